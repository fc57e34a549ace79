r"""Matches a text against the regular expression of a custom tool, in bounded time.

The expressions are those of Rust's ``regex``, which have no look-around and no backreferences, so
all ways to match are followed at once, and nothing backtracks. Python's `re` only tests single
characters against ``[a-z]`` or ``\d``. What is not understood is never guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, NoReturn, TypeAlias

__all__ = ["GrammarTrouble", "matches"]

_LONGEST_PATTERN = 20_000
_DEEPEST = 50
_MOST_STATES = 5_000
_MOST_STEPS = 400_000  # well under a second


class GrammarTrouble(Exception):
    """The expression cannot be used; says why, as a clause."""


def matches(pattern: str, text: str) -> bool:
    """Whether the expression matches the text as a whole.

    Raises:
        GrammarTrouble: it is not valid, uses what is not supported, or takes too many steps.
    """
    return _Run(_program(pattern)).accepts(text)


class _Test(NamedTuple):
    """What one character has to be.

    Attributes:
        literal: this character, or else
        one: matches it.
        loose: Rust and Python disagree about some characters outside of ASCII.
    """

    literal: str
    one: re.Pattern[str] | None = None
    loose: bool = False


class _Edge(NamedTuple):
    """The beginning or the end of the text."""

    at_end: bool


class _Many(NamedTuple):
    """A part, so and so many times; ``most`` is ``None`` for any number."""

    part: _Part
    least: int
    most: int | None


class _All(NamedTuple):
    parts: list[_Part]


class _Any(NamedTuple):
    parts: list[_Part]


_Part: TypeAlias = _Test | _Edge | _Many | _All | _Any

_NEEDS = "the expression uses {}, which is not supported here"


def _unsupported(what: str) -> NoReturn:
    raise GrammarTrouble(_NEEDS.format(what))


# -- reading an expression -----------------------------------------------------------------

_QUANTIFIER = re.compile(r"([*+?]|\{(\d{1,9})\}|\{(\d{0,9}),(\d{0,9})\})\??")
_GROUP = re.compile(r"\(\?(?:P?<[A-Za-z_][\w.\[\]]*>|([a-zA-Z]*)(?:-([a-zA-Z]+))?([:)]))")
_CODE = re.compile(
    r"\\(?:x\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|u\{([0-9A-Fa-f]{1,6})\}"
    r"|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))"
)
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_POSIX = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "digit": "0-9",
    "lower": "a-z",
    "upper": "A-Z",
    "space": r"\t\n\v\f\r ",
    "blank": r"\t ",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
    "punct": r"!-/:-@\[-`{-~",
}


class _Reader:
    """Reads an expression from left to right."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    def read(self) -> _Part:
        part = self._alternatives(frozenset(), 0)
        if self.at < len(self.pattern):
            raise GrammarTrouble("the expression has a `)` too many")
        return part

    def _alternatives(self, flags: frozenset[str], depth: int) -> _Part:
        if depth > _DEEPEST:
            raise GrammarTrouble("the expression is nested too deeply")
        pattern = self.pattern
        branches: list[_Part] = []
        parts: list[_Part] = []
        while self.at < len(pattern) and pattern[self.at] != ")":
            char = pattern[self.at]
            if char == "|":
                self.at += 1
                branches.append(_All(parts))
                parts = []
                continue
            if char == "(":
                part, flags = self._group(flags, depth)
                if part is None:
                    continue
            else:
                part = self._atom(char, flags)
            for _ in range(_DEEPEST):
                match = _QUANTIFIER.match(pattern, self.at)
                if match is None:
                    break
                self.at = match.end()
                part = _repeated(part, match)
            parts.append(part)
        branches.append(_All(parts))
        return _Any(branches) if len(branches) > 1 else branches[0]

    def _group(self, flags: frozenset[str], depth: int) -> tuple[_Part | None, frozenset[str]]:
        """A group, or ``None`` and the flags for what follows."""
        inner = flags
        if self.pattern.startswith("(?", self.at):
            match = _GROUP.match(self.pattern, self.at)
            if match is None:
                _unsupported("look-around, or another group of the kind `(?`")
            inner = (flags | set(match[1] or "")) - set(match[2] or "")
            for flag in sorted((set(match[1] or "") | set(match[2] or "")) - set("is")):
                _unsupported(f"the flag `{flag}`")
            self.at = match.end()
            if match[3] == ")":
                return None, inner
        else:
            self.at += 1
        part = self._alternatives(inner, depth + 1)
        if self.at >= len(self.pattern):
            raise GrammarTrouble("the expression has a `(` too many")
        self.at += 1
        return part, flags

    def _atom(self, char: str, flags: frozenset[str]) -> _Part:
        if char == "[":
            return self._set(flags)
        if char == "\\":
            return self._escape(flags)
        self.at += 1
        if char in "*+?":
            raise GrammarTrouble(f"the expression has a `{char}` with nothing to repeat")
        if char in "^$":
            return _Edge(char == "$")
        if char == ".":
            return _Test("", re.compile("." if "s" not in flags else "(?s:.)"))
        return _literal(char, flags)

    def _escape(self, flags: frozenset[str]) -> _Part:
        if match := _CODE.match(self.pattern, self.at):
            self.at = match.end()
            return _literal(_character(match), flags)
        char = self.pattern[self.at + 1 : self.at + 2]
        self.at += 2
        if char and char in "dDwWsS":
            return _Test("", re.compile(f"\\{char}"), loose=True)
        if char and char in "Az":
            return _Edge(char == "z")
        if char in _CONTROLS:
            return _literal(_CONTROLS[char], flags)
        if not char or char.isalnum():
            _unsupported(f"`\\{char}`")
        return _literal(char, flags)

    def _set(self, flags: frozenset[str]) -> _Part:
        """A set such as ``[a-z]``, rewritten for Python."""
        pattern, loose = self.pattern, False
        self.at += 1
        text = "["
        if pattern.startswith("^", self.at):
            self.at += 1
            text += "^"
        start = self.at
        while True:
            char = pattern[self.at : self.at + 1]
            if not char:
                raise GrammarTrouble("the expression has a `[` that is not closed")
            if char == "]" and self.at > start:
                break
            if pattern[self.at : self.at + 2] in ("&&", "--", "~~"):
                _unsupported("an operation on sets")
            if char == "[":
                text += self._posix()
            elif char == "\\":
                piece = self._escape_in_set()
                loose = loose or piece in (r"\w", r"\W", r"\s", r"\S", r"\d", r"\D")
                text += piece
            else:
                self.at += 1
                text += char if char == "-" or char.isalnum() else re.escape(char)
        self.at += 1
        try:
            one = re.compile(text + "]", re.IGNORECASE if "i" in flags else 0)
        except re.error as error:
            raise GrammarTrouble(f"the expression has an invalid set: {error.msg}") from None
        return _Test("", one, loose)

    def _posix(self) -> str:
        match = re.compile(r"\[:([a-z]+):\]").match(self.pattern, self.at)
        if match is None or match[1] not in _POSIX:
            _unsupported("a set inside a set")
        self.at = match.end()
        return _POSIX[match[1]]

    def _escape_in_set(self) -> str:
        if match := _CODE.match(self.pattern, self.at):
            self.at = match.end()
            return re.escape(_character(match))
        char = self.pattern[self.at + 1 : self.at + 2]
        self.at += 2
        if char and char in "dDwWsS":
            return f"\\{char}"
        if char in _CONTROLS:
            return re.escape(_CONTROLS[char])
        if not char or char.isalnum():
            _unsupported(f"`\\{char}` in a set")
        return re.escape(char)


def _repeated(part: _Part, match: re.Match[str]) -> _Part:
    sign, exact, least, most = match[1], match[2], match[3], match[4]
    if exact:
        return _Many(part, int(exact), int(exact))
    if sign in "*+?":
        return _Many(part, int(sign == "+"), 1 if sign == "?" else None)
    if most and int(most) < int(least or 0):
        raise GrammarTrouble(f"the expression has an invalid repetition, `{match[0]}`")
    return _Many(part, int(least or 0), int(most) if most else None)


def _character(match: re.Match[str]) -> str:
    code = int(next(filter(None, match.groups())), 16)
    if code > 0x10FFFF:
        raise GrammarTrouble("the expression has an invalid code point")
    return chr(code)


def _literal(char: str, flags: frozenset[str]) -> _Test:
    if "i" in flags and char.lower() != char.upper():
        return _Test("", re.compile(re.escape(char), re.IGNORECASE))
    return _Test(char)


# -- from an expression to states ----------------------------------------------------------


class _State(NamedTuple):
    """What has to come next (``None``: nothing), and the states after it."""

    test: _Test | _Edge | None
    after: list[int]


class _Program(NamedTuple):
    """The states, of which the first accepts, and the one to begin with."""

    states: list[_State]
    start: int


@lru_cache(64)
def _program(pattern: str) -> _Program:
    if len(pattern) > _LONGEST_PATTERN:
        raise GrammarTrouble("the expression is too long")
    states = [_State(None, [])]
    start = _add(states, _Reader(pattern).read(), 0)
    return _Program(states, start)


def _new(states: list[_State], test: _Test | _Edge | None, after: Iterable[int]) -> int:
    if len(states) >= _MOST_STATES:
        raise GrammarTrouble("the expression is too large")
    states.append(_State(test, [*after]))
    return len(states) - 1


def _add(states: list[_State], part: _Part, after: int) -> int:
    """Adds the states of one part; returns the state to begin it with."""
    if isinstance(part, _Test | _Edge):
        return _new(states, part, [after])
    if isinstance(part, _All):
        for inner in reversed(part.parts):
            after = _add(states, inner, after)
        return after
    if isinstance(part, _Any):
        return _new(states, None, [_add(states, inner, after) for inner in part.parts])
    if part.most is None:
        loop = _new(states, None, [after])
        states[loop].after.append(_add(states, part.part, loop))
        after = loop
    else:
        end = after
        for _ in range(part.most - part.least):
            after = _new(states, None, [_add(states, part.part, after), end])
    for _ in range(part.least):
        before = len(states)
        after = _add(states, part.part, after)
        if len(states) == before:
            break  # nothing, repeated
    return after


# -- matching ------------------------------------------------------------------------------


class _Run:
    """Follows all ways through a program at once."""

    def __init__(self, program: _Program) -> None:
        self._program = program
        self._left = _MOST_STEPS
        self._next: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def accepts(self, text: str) -> bool:
        states = frozenset({self._program.start})
        for at, char in enumerate(text):
            self._spend(1)
            if at == 0:
                states = self._step(states, char, at_start=True)
                continue
            later = self._next.get((states, char))
            if later is None:
                later = self._next[states, char] = self._step(states, char, at_start=False)
            states = later
            if not states:
                return False
        return 0 in self._reached(states, at_start=not text, at_end=True)

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise GrammarTrouble("the input takes too many steps to match")

    def _step(self, states: frozenset[int], char: str, *, at_start: bool) -> frozenset[int]:
        later = set[int]()
        for number in self._reached(states, at_start=at_start, at_end=False):
            test, after = self._program.states[number]
            if isinstance(test, _Test) and _fits(test, char):
                later.update(after)
        return frozenset(later)

    def _reached(self, states: Iterable[int], *, at_start: bool, at_end: bool) -> set[int]:
        """These states, and all that follow from them without another character."""
        reached, waiting = set[int](), [*states]
        while waiting:
            number = waiting.pop()
            if number in reached:
                continue
            self._spend(1)
            reached.add(number)
            test, after = self._program.states[number]
            if isinstance(test, _Edge) and not (at_end if test.at_end else at_start):
                continue
            if not isinstance(test, _Test):
                waiting.extend(after)
        return reached


def _fits(test: _Test, char: str) -> bool:
    if test.one is None:
        return char == test.literal
    if test.loose and not char.isascii():
        category = unicodedata.category(char)
        if category[0] in "MNSPC" and category != "Nd":
            _unsupported(f"a class such as `\\w` on the character {char!r}")
    return test.one.fullmatch(char) is not None
