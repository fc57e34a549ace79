"""A project's own secrets: regular expressions, which know nothing of JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pytest_chatapi.errors import SettingError
from pytest_chatapi.redaction.leaves import Documents, StringLeaf
from pytest_chatapi.redaction.replacing import REDACTED, Hit

__all__ = ["Patterns"]

_KIND = "what a pattern matches"


class Patterns:
    """Several patterns at once.

    Args:
        patterns: regular expressions. Where one has a group ``secret``, only that is replaced.

    Raises:
        SettingError: a pattern is not a regular expression.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = [_compiled(pattern) for pattern in patterns]

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def hits(self, text: str, documents: Documents) -> Iterator[Hit]:
        """What the patterns match, other than in the strings of JSON alone.

        Those were looked at one by one, as they read without escapes.
        """
        for pattern, group in self._patterns:
            for match in pattern.finditer(text):
                start, end = match.span(group)
                # What is within a placeholder stays, whatever the pattern is.
                around = text.find(REDACTED, max(0, end - len(REDACTED)), start + len(REDACTED))
                if start >= end or 0 <= around <= start:
                    continue
                if not documents.touch(start, end):
                    yield Hit(start, end, REDACTED, _KIND)
                elif not _is_in_a_leaf(documents, *match.span()):
                    yield from _clipped(documents, start, end)


def _compiled(pattern: str) -> tuple[re.Pattern[str], int | str]:
    """A pattern, and the group of it that is replaced."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise SettingError(f"redact: {pattern!r} is not a regular expression: {error}") from None
    return compiled, "secret" if "secret" in compiled.groupindex else 0


def _is_in_a_leaf(documents: Documents, start: int, end: int) -> bool:
    return any(
        leaf.span[0] <= start and end <= leaf.span[1] for leaf in documents.leaves_at(start, end)
    )


def _clipped(documents: Documents, start: int, end: int) -> Iterator[Hit]:
    """What of JSON text may be replaced where a match is not within one string."""
    leaves = documents.leaves_at(start, end)
    if len(leaves) > 1:
        leaves = [leaf for leaf in leaves if isinstance(leaf, StringLeaf)]
    # Over several values it reads on too far, and what has hits was understood without this.
    if len(leaves) == 1 and not leaves[0].hits and leaves[0].text != leaves[0].placeholder:
        (leaf,) = leaves
        first, last = leaf.span
        if isinstance(leaf.value, str) and last - first == len(leaf.text):  # without escapes
            first, last = max(first, start), min(last, end)
        yield Hit(first, last, leaf.placeholder, _KIND)
