"""What a rule is: a function for each code, registered by its decorator.

A rule looks at a few facts and returns what breaks it: nothing, one `Violation`, or a list of
them. The `Ledger` adds code, name and level. A rule that has nothing to say returns ``None`` or
an empty list, so a response without fault costs one call for each rule and no more.

Codes that stand in no decorator have their home in ``x-rule`` of ``schemas/*.json``;
`rules.shape.report` reports those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias, TypeVar

from pytest_chatapi.contract.wire import JSON

__all__ = ["RULES", "Check", "Found", "Violation", "checks", "code_of", "codes_of", "rule"]


class Violation(NamedTuple):
    """What breaks a rule, and where.

    Attributes:
        path: JSON path from the response body, the chunk or the request body.
        expected: what the contract asks for, in a few words.
        got: the value (rendered by `show`); already rendered text is `Shown`.
        message: one sentence, without the path.
        case: the case of the rule in the level matrix, such as ``reasoning``, or empty.
        chunk: number of the chunk, ``None`` outside of a stream.
    """

    path: str
    expected: str
    got: JSON
    message: str
    case: str = ""
    chunk: int | None = None


Found: TypeAlias = Violation | list[Violation] | None

_Facts = TypeVar("_Facts")
_Rule = TypeVar("_Rule", bound=Callable[..., Found])

Check: TypeAlias = tuple[str, Callable[[_Facts], Found]]
"""A code, and its function of one fact object."""

RULES: dict[str, Callable[..., Found]] = {}
"""The rules of all modules that are imported, by code."""

_CODES: dict[Callable[..., Found], str] = {}


def rule(code: str) -> Callable[[_Rule], _Rule]:
    """Registers the function below as the rule of this code; the function stays as it is."""

    def register(function: _Rule) -> _Rule:
        if code in RULES:
            raise ValueError(f"{code} is {RULES[code].__name__} already")
        RULES[code] = function
        _CODES[function] = code
        return function

    return register


def code_of(function: Callable[..., Found]) -> str:
    """The code of a rule."""
    return _CODES[function]


def codes_of(*functions: Callable[..., Found]) -> frozenset[str]:
    """The codes of some rules, as `Ledger.has` takes them."""
    return frozenset(_CODES[function] for function in functions)


def checks(*functions: Callable[[_Facts], Found]) -> tuple[Check[_Facts], ...]:
    """Rules that look at the same facts, in the order in which `Ledger.run` runs them."""
    return tuple((_CODES[function], function) for function in functions)
