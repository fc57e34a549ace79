"""In what pieces a body arrived, and when, as our cassettes note it: ``316@12.5 320@14.1``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pytest_chatapi.contract.wire import JSON

__all__ = ["arrivals_of", "split"]

_PIECE = re.compile(r"(\d+)@(\d+(?:\.\d+)?)")


def arrivals_of(body: bytes, note: JSON) -> tuple[list[bytes], list[float]] | None:
    """The pieces of a body, and the seconds at which they arrived after the request was sent.

    Args:
        note: bytes and milliseconds of each piece.

    Returns:
        ``None`` where they are not known, or no longer add up, as the body was edited since.
    """
    arrivals = _PIECE.findall(note) if isinstance(note, str) else []
    sizes = [int(size) for size, _ in arrivals]
    if not arrivals or sum(sizes) != len(body):
        return None
    return split(body, sizes), [float(time) / 1000 for _, time in arrivals]


def split(body: bytes, sizes: Iterable[int]) -> list[bytes]:
    """A body in pieces of these sizes."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(body[at : at + size])
        at += size
    return pieces
