"""How findings and messages render values and words, on all floors."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Collection, Iterable
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from pytest_chatapi.contract.wire import JSON, JSONObject

if TYPE_CHECKING:
    from pytest_chatapi.redaction.redactor import Redactor

__all__ = [
    "ABSENT",
    "Shown",
    "did_you_mean",
    "is_placeholder",
    "listed",
    "mask",
    "place_of",
    "plural",
    "shortened",
    "show",
    "show_member",
    "use_instead",
    "use_one_of",
    "without_secrets",
    "wrapped",
]

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


# `json.dumps` would make an encoder for each value.
_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT: Any = _Absent()
"""The value of an absent member, which is not the same as ``null``."""


def mask(text: str) -> str:
    """The text without its secrets, and with control characters and changes of writing direction
    escaped, so that it is safe to print in a terminal.
    """
    text = without_secrets(text)
    return text if text.isprintable() else _UNPRINTABLE.sub(_escape, text)


def without_secrets(text: str) -> str:
    """The text as it may be shown, its lines as they are: what would not be written to a cassette
    is not printed either, nor is the password or a secret parameter of a URL.
    """
    return _masked(text) if len(text) < _REMEMBERED else _masked.__wrapped__(text)


def shortened(text: str, limit: int) -> str:
    """The first characters of a text, without its secrets: a part of a key looks harmless."""
    return text if len(text) <= limit else without_secrets(text[:_MASKED])[:limit]


_REMEMBERED = 1000
"""Texts that are shorter are masked once: findings repeat their paths and expectations."""

_MASKED = 4096
"""Characters of a value that are masked before it is shortened."""

_TOKEN = re.compile(r"""[^\s"'<>`\\]+""")
_AFTER_URL = ",.:;)]}"
"""What a sentence has behind a URL: no part of the parameter before it, which may be a secret."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://")


@cache
def _redactor() -> Redactor:
    from pytest_chatapi.redaction.redactor import Redactor

    return Redactor(environ={})


@lru_cache(4096)
def _masked(text: str) -> str:
    if "://" in text or ("?" in text and "=" in text):
        text = _TOKEN.sub(_without_url_secrets, text)
    text = _redactor().text(text)
    if "sk-" in text or "Bearer" in text:
        from pytest_chatapi.redaction.shapes import LIKE_A_KEY_OR_TOKEN

        text = LIKE_A_KEY_OR_TOKEN.sub(_loosely_masked, text)
    return text


def _loosely_masked(match: re.Match[str]) -> str:
    return "sk-REDACTED" if match[0].startswith("sk-") else "Bearer REDACTED"


def _without_url_secrets(match: re.Match[str]) -> str:
    token = match[0].rstrip(_AFTER_URL)
    after = match[0][len(token) :]
    scheme = _SCHEME.search(token) if "://" in token else None
    if scheme is not None:
        return token[: scheme.start()] + _redactor().url(token[scheme.start() :]) + after
    return _redactor().url(token) + after if "?" in token and "=" in token else match[0]


def _escape(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]


def show(value: JSON, limit: int = 80) -> str:
    """A value for people to read: JSON in one line, shortened, secrets masked."""
    if value is ABSENT:
        return "absent"
    if isinstance(value, bytes):
        value = value[:_MASKED].decode("utf-8", "replace")
    if isinstance(value, str):
        value = without_secrets(value[:_MASKED])
        is_whole = len(value) <= limit
        text = _encode(value if is_whole else value[: limit - 3] + "...")
        # With nothing but quotes around it, it is masked already.
        is_plain = is_whole and len(text) == len(value) + 2 and text.isprintable()
        return text if is_plain else mask(text)
    try:
        is_short = type(value) is int and -(10**15) < value < 10**15
        text = str(value) if is_short else _encode(_pruned(value, 4))
    except (ValueError, RecursionError):
        text = type(value).__name__
    text = mask(text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def show_member(path: str, value: JSON) -> str:
    """As `show`, for the value at a path: a name such as ``password`` makes it secret."""
    if isinstance(value, str) and (name := _secret_name(path)):
        masked = _redactor().text(json.dumps({name: value[:_MASKED]}))
        if "REDACTED" in masked:
            try:
                value = json.loads(masked)[name]
            except (ValueError, KeyError):
                value = "REDACTED"
    return show(value)


@lru_cache(1024)
def _secret_name(path: str) -> str:
    """The name at the end of a path, if it may say that the value is secret."""
    from pytest_chatapi.redaction.members import may_be_secret

    name = _MEMBER.search(path)
    return name[1] if name and may_be_secret({name[1]}) else ""


_MEMBER = re.compile(r"[.](\w[\w-]*)\Z")


def _pruned(value: JSON, depth: int) -> JSON:
    # A hostile value may be huge or deep: render no more of it than can be shown.
    if isinstance(value, dict):
        if not depth:
            return "{...}"
        return {
            shortened(str(k), 80): _pruned(v, depth - 1)
            for k, v, _ in zip(value.keys(), value.values(), range(20), strict=False)
        }
    if isinstance(value, list):
        return [_pruned(v, depth - 1) for v in value[:20]] if depth else "[...]"
    if isinstance(value, str):
        return shortened(value, 200)
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


_PLACEHOLDER = re.compile(r"(?i)redact|filter|mask|dummy|fake|test|sanitiz|scrub|placeholder")


def is_placeholder(value: str) -> bool:
    """Whether a recorder put this in place of a header's value: ``**REDACTED**``, ``dummy``."""
    text = value.strip()
    if not text:
        return False
    if text[0] in "<[{*$" or set(text) <= set("*xX-#."):
        return True
    return text.isupper() or bool(_PLACEHOLDER.search(text))


def place_of(finding: JSONObject) -> str:
    """Where a finding in a report is: ``$.usage``, or ``$.usage in chunk 3`` of a stream."""
    path: str = finding["path"]
    chunk = finding.get("chunk")
    return path if chunk is None else f"{path} in chunk {chunk}"


def plural(count: int, noun: str) -> str:
    """``1 finding``, ``1,603 findings``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def wrapped(text: str, indent: str, *, first: str = "", width: int = 80) -> list[str]:
    """Lines for a terminal. Paths, names and commands stay in one piece, so that they can be
    copied.

    Args:
        indent: of all lines but the first.
        first: what the first line begins with; a long word stays on the line with it.
    """
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def did_you_mean(name: str, known: Collection[str], *, cutoff: float = 0.6) -> str:
    """``: did you mean strict?``, or an empty string if nothing is similar.

    Args:
        cutoff: least similarity, from 0 to 1, as of `difflib.get_close_matches`.
    """
    near = _nearest(name, known)
    is_near = bool(near) and _likeness(name, near[0]) >= cutoff
    return f": did you mean {near[0]}?" if is_near else ""


def use_instead(name: str, known: Collection[str]) -> str:
    """As `did_you_mean`, or all names, the nearest first, in lines for a terminal."""
    return did_you_mean(name, known) or use_one_of(_nearest(name, known))


def use_one_of(names: Iterable[str]) -> str:
    """``: use a, b``, or lines of names for a terminal if there are many."""
    text = ", ".join(names)
    if len(text) <= _LINE:
        return f": use {text}"
    return ": use\n" + textwrap.fill(
        text, 80, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )


_LINE = 40
"""Characters of a list that is not worth lines of its own."""


def _nearest(name: str, known: Collection[str]) -> list[str]:
    # A mistyped name still begins as it should, more often than not.
    return sorted(known, key=lambda other: (-_likeness(name, other), other[:1] != name[:1]))


def _likeness(name: str, other: str) -> float:
    """How similar two names are, from 0 to 1, whatever the order of their words."""
    from difflib import SequenceMatcher

    pairs = (name, other), (_sorted_words(name), _sorted_words(other))
    return max(SequenceMatcher(None, *pair).ratio() for pair in pairs)


def _sorted_words(name: str) -> str:
    return "_".join(sorted(re.split(r"[_-]+", name)))
