"""Requests that got no response while a test recorded: recording it again would not help.

No cassette can hold them, so pytest's cache remembers them for the message of the next replay.
"""

from __future__ import annotations

import pytest

__all__ = ["instead_of", "remember_unanswered", "unanswered_of"]

_KEY = "chatapi/unanswered"
_FAULTS = {
    "ConnectError": "connect_error",
    "ConnectTimeout": "connect_timeout",
    "ReadError": "reset",
    "RemoteProtocolError": "disconnect",
}


def remember_unanswered(item: pytest.Item, requests: list[str]) -> None:
    """Note what got no response in this run of a test, in place of what did in an earlier one.

    Args:
        requests: each with the name of the error at its end.
    """
    cache = getattr(item.config, "cache", None)
    if cache is None:
        return
    known: dict[str, str] = cache.get(_KEY, {})
    before = known.pop(item.nodeid, "")
    if requests:
        known[item.nodeid] = requests[0]
    if known.get(item.nodeid, "") != before:
        cache.set(_KEY, known)


def unanswered_of(item: pytest.Item) -> str:
    """A request of a test that got no response when it was last recorded, or ``""``."""
    cache = getattr(item.config, "cache", None)
    known: dict[str, str] = cache.get(_KEY, {}) if cache is not None else {}
    return known.get(item.nodeid, "")


def instead_of(request: str) -> str:
    """What to do instead of recording a request, whose text ends in the name of its error."""
    fault = _FAULTS.get(request.rpartition(": ")[2], "read_timeout")
    return f"inject it with chatapi.inject({fault!r}) instead"
