"""Probes: modalities."""
