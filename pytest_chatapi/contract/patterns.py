"""Matches the patterns of users' schemas, in bounded time."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from pytest_chatapi.contract.budget import NotJudged, spend
from pytest_chatapi.contract.grammar import GrammarTrouble, matches
from pytest_chatapi.contract.wording import show

__all__ = ["has_match", "is_quick", "quick_matcher"]

_QUICK_STEPS = 10_000_000
"""Steps that `re` may take on one text."""

_STEPS_OF_RE = 2048
"""As many of them count for one of ours."""


def has_match(pattern: str, text: str) -> bool:
    """Whether a pattern matches somewhere in a text, as `re.search` tells, in bounded time.

    Raises:
        re.error: it is not a regular expression.
        NotJudged: that cannot be told.
    """
    if is_quick(pattern, text):
        return quick_matcher(pattern)(text)
    re.compile(pattern)
    try:
        return matches(f"(?s:.*)(?:{pattern})(?s:.*)", text)
    except GrammarTrouble as trouble:
        raise NotJudged(f"the pattern {show(pattern)} may backtrack, and {trouble}") from None


def is_quick(pattern: str, text: str) -> bool:
    """Whether `re` takes few steps for sure, however it backtracks."""
    return _cost(pattern).steps(len(text)) <= _QUICK_STEPS


def quick_matcher(pattern: str) -> Callable[[str], bool]:
    """What tells that a text has a match; false also where `re` may take too many steps to tell.

    Raises:
        re.error: it is not a regular expression.
    """
    search, steps_of = re.compile(pattern).search, _cost(pattern).steps

    def matches(text: str) -> bool:
        steps = steps_of(len(text))
        if steps > _QUICK_STEPS:
            return False
        spend(steps // _STEPS_OF_RE)
        return search(text) is not None

    return matches


class _Cost(NamedTuple):
    """How much an expression can backtrack.

    Attributes:
        loops: parts that may match any number of characters; the search for the beginning is one.
        ways: through the alternatives and optional parts.
        is_nested: a group is repeated, so that there may be any number of ways.
    """

    loops: int
    ways: int
    is_nested: bool

    def steps(self, length: int) -> int:
        """The most that `re` may take on a text of this length."""
        steps: int = self.ways * (length + 1) ** self.loops
        return 4**length * steps if self.is_nested else steps


_ESCAPED_OR_SET = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_OPENING = re.compile(r"\((?:\?(?:[:=!>]|<[=!]|P?<\w+>|[a-wyzA-Z]*(?:-[a-zA-Z]+)?[:)]))?")
_LOOP = re.compile(r"[*+]|\{\d*,\d*\}")
_NESTED = re.compile(r"\)(?:[*+]|\{\d*,?\d*\})")
_UNCLEAR = re.compile(r"\(\?(?:#|[a-zA-Z]*x)")
"""A comment, or white space that counts for nothing, may hide a repetition."""


@lru_cache(256)
def _cost(pattern: str) -> _Cost:
    plain = _OPENING.sub("(", _ESCAPED_OR_SET.sub("x", pattern))
    is_nested = _NESTED.search(plain) is not None or _UNCLEAR.search(pattern) is not None
    is_anchored = pattern.startswith("^") and "|" not in plain
    ways, open_groups = 2 ** plain.count("?"), [1]
    for char in plain:
        if char == "(":
            open_groups.append(1)
        elif char == "|":
            open_groups[-1] += 1
        elif char == ")" and len(open_groups) > 1:
            ways *= open_groups.pop()
    return _Cost(len(_LOOP.findall(plain)) + (not is_anchored), ways * open_groups[0], is_nested)
