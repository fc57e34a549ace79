"""How findings and messages render values and words, on all floors."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from typing import Any

from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.redaction.shapes import LIKE_A_KEY_OR_TOKEN

__all__ = ["ABSENT", "Shown", "did_you_mean", "listed", "mask", "plural", "show"]

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


# `json.dumps` would make an encoder for each text.
_encode = json.JSONEncoder(ensure_ascii=False).encode


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT: Any = _Absent()
"""The value of an absent member, which is not the same as ``null``."""


def mask(text: str) -> str:
    """The text with anything like a key masked, and with control characters and changes of
    writing direction escaped, so that it is safe to print in a terminal.
    """
    if "sk-" in text or "Bearer" in text:
        text = _masked(text)
    return text if text.isprintable() else _UNPRINTABLE.sub(_escape, text)


def _masked(text: str) -> str:
    return LIKE_A_KEY_OR_TOKEN.sub(lambda match: match[0][:3] + "***", text)


def _escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def show(value: JSON, limit: int = 80) -> str:
    """A value for people to read: JSON in one line, shortened, secrets masked."""
    if value is ABSENT:
        return "absent"
    if isinstance(value, bytes):
        value = value[: limit * 4].decode("utf-8", "replace")
    if isinstance(value, str):
        value = _masked(value[: limit * 4])  # first: a part of a key is not recognised
        value = value if len(value) <= limit else value[: limit - 3] + "..."
        return mask(_encode(value))
    try:
        text = json.dumps(_pruned(value, 4), ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        text = type(value).__name__
    text = mask(text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _pruned(value: JSON, depth: int) -> JSON:
    # A hostile value may be huge or deep: render no more of it than can be shown.
    if isinstance(value, dict):
        if not depth:
            return "{...}"
        return {
            str(k)[:80]: _pruned(v, depth - 1)
            for k, v, _ in zip(value.keys(), value.values(), range(20), strict=False)
        }
    if isinstance(value, list):
        return [_pruned(v, depth - 1) for v in value[:20]] if depth else "[...]"
    if isinstance(value, str):
        return value[:200]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**40:
        return "a number of more than 40 digits"
    return value


class Shown(str):
    """Text for `got` that is shown as it is, not as a JSON string."""


def listed(values: Iterable[JSON], limit: int = 8) -> str:
    """A few values, comma-separated, for `expected`."""
    items = [show(v, 40) for v in values]
    return ", ".join(items[:limit]) + (
        f" and {len(items) - limit} more" if len(items) > limit else ""
    )


def plural(count: int, noun: str) -> str:
    """``1 finding``, ``1,603 findings``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def did_you_mean(name: str, known: Collection[str], *, cutoff: float = 0.6) -> str:
    """``: did you mean strict?``, or an empty string if nothing is similar.

    Args:
        cutoff: least similarity, from 0 to 1, as of `difflib.get_close_matches`.
    """
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1, cutoff)
    return f": did you mean {near[0]}?" if near else ""
