"""What a rule is: a function for each code, registered by its decorator.

A rule looks at a few facts and returns what breaks it: nothing, one `Violation`, or a list of
them. The `Ledger` adds code, name and level. Where nothing is wrong, a rule returns ``None`` or
an empty list, so a legal response costs one call for each rule and no more.

A code without a function has its home in ``x-rule`` of ``schemas/*.json``; `shape.report` reports
it. Name, statement and levels of all codes are in ``schemas/rules.json``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import NamedTuple, TypeAlias, TypeVar

from pytest_chatapi.contract.wire import JSON

__all__ = [
    "RULES",
    "Check",
    "Violation",
    "Violations",
    "checks",
    "checks_by_member",
    "code_of",
    "codes_of",
    "rule",
]


class Violation(NamedTuple):
    """What breaks a rule, and where.

    Attributes:
        path: JSON path in the response body, the chunk or the request body.
        expected: what the contract asks for, in a few words.
        got: the value (rendered by `show`); already rendered text is `Shown`.
        message: one sentence, without the path.
        case: the case of the rule in the level matrix, such as ``reasoning``, or empty.
        chunk: number of the chunk, counted from 0; ``None`` outside a stream.
    """

    path: str
    expected: str
    got: JSON
    message: str
    case: str = ""
    chunk: int | None = None


Violations: TypeAlias = Violation | list[Violation] | None
"""What a rule returns."""

_Facts = TypeVar("_Facts")
_Rule = TypeVar("_Rule", bound=Callable[..., Violations])

Check: TypeAlias = tuple[str, Callable[[_Facts], Violations]]
"""A code, and its function, which takes one object of facts."""

RULES: dict[str, Callable[..., Violations]] = {}
"""By code, the rules of all modules that have been imported."""

_CODES: dict[Callable[..., Violations], str] = {}


def rule(code: str) -> Callable[[_Rule], _Rule]:
    """Registers a function, unchanged, as the rule of this code.

    Raises:
        ValueError: the code has a function already.
    """

    def register(function: _Rule) -> _Rule:
        if code in RULES:
            raise ValueError(f"{code} is {RULES[code].__name__} already")
        RULES[code] = function
        _CODES[function] = code
        return function

    return register


def code_of(function: Callable[..., Violations]) -> str:
    """The code of a rule."""
    return _CODES[function]


def codes_of(*functions: Callable[..., Violations]) -> frozenset[str]:
    """The codes of some rules, as `Ledger.has` takes them."""
    return frozenset(_CODES[function] for function in functions)


def checks(*functions: Callable[[_Facts], Violations]) -> tuple[Check[_Facts], ...]:
    """Rules that take the same facts, in the order in which `Ledger.run` runs them."""
    return tuple((_CODES[function], function) for function in functions)


def checks_by_member(
    rules: Mapping[Callable[[_Facts], Violations], Collection[str]],
) -> Callable[[tuple[str, ...]], tuple[Check[_Facts], ...]]:
    """What selects the rules that may have something to say about a body, by its members: most
    bodies have few, and most rules are about one.

    Args:
        rules: each with the members of which a body has to have one.
    """

    @lru_cache(maxsize=1024)
    def checks_of(members: tuple[str, ...]) -> tuple[Check[_Facts], ...]:
        present = frozenset(members)
        return checks(*(rule for rule, needed in rules.items() if not present.isdisjoint(needed)))

    return checks_of
