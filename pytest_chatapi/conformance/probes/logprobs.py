"""Probes: logprobs."""
