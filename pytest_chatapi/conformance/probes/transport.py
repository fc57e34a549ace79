"""Probes: transport."""
