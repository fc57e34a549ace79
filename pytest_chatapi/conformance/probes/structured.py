"""Probes: structured."""
