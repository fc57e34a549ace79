"""Recordings, mocks and faults on a real socket, and a proxy that records."""
