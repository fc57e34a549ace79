"""Probes: stream."""
