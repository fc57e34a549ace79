"""Marks the waits of a replayed response, which virtual time may skip however short they are."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

__all__ = ["is_keeping_pace", "keeping_pace"]

_ON: ContextVar[bool] = ContextVar("chatapi_keeping_pace", default=False)


@contextlib.contextmanager
def keeping_pace() -> Iterator[None]:
    """A block that waits for a piece of a response."""
    token = _ON.set(True)
    try:
        yield
    finally:
        _ON.reset(token)


def is_keeping_pace() -> bool:
    return _ON.get()
