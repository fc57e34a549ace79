"""Tests of the code that reads responses: every legal delivery of one, and illegal ones.

`deliveries` is the catalogue, `cases` the list of what is tried, `oracle` decides what is wrong;
they know no Hypothesis, which `strategies` and `search` need (extra ``fuzz``).
"""
