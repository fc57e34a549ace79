"""The contract: what a Chat Completions exchange has to look like.

Knows no pytest and no HTTP client.
"""
