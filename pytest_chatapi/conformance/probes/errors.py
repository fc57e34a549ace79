"""Probes: errors."""
