"""Answers without a server: replies, refusals and what is stored."""
