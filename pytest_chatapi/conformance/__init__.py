"""Conformance of live servers: probes that force behaviour, and verdicts on it."""
