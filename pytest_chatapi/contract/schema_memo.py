"""Remembers what was found out about users' schemas: an application sends the same few all the
time.
"""

from __future__ import annotations

from typing import TypeAlias

from pytest_chatapi.contract.plain_validation import Fits
from pytest_chatapi.contract.wire import JSON, JSONObject

__all__ = ["Known", "SchemaMemo", "known_of"]

_Names: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]

MOST_SCHEMAS = 256
_MOST_ALIKE = 64


class Known:
    """What is known of a schema so far.

    Attributes:
        fits: tells without jsonschema that a value fits; ``None``: not compiled yet.
        is_accepted: the service takes it with ``strict: true``.
    """

    __slots__ = ("fits", "is_accepted")

    def __init__(self) -> None:
        self.fits: Fits | None = None
        self.is_accepted = False


class SchemaMemo:
    """Finds what is known of a schema by comparing it with the earlier ones that have the same
    properties: to make a key of a schema takes eight times as long.
    """

    def __init__(self) -> None:
        self._count = 0
        self._by_names: dict[_Names, list[tuple[JSON, Known]]] = {}  # the latest first

    def known_of(self, schema: JSONObject) -> Known:
        """What is known of a schema, and of all that differ in the order of members only."""
        properties = schema.get("properties")
        names = tuple(schema), tuple(properties) if type(properties) is dict else ()
        try:
            for exact, known in self._by_names.get(names, ()):
                if exact == schema:
                    return known
            exact = _exact(schema)
        except (TypeError, RecursionError):
            return Known()
        if self._count >= MOST_SCHEMAS:
            self._by_names.clear()
            self._count = 0
        self._count += 1
        known = Known()
        alike = self._by_names.setdefault(names, [])
        if len(alike) >= _MOST_ALIKE:
            alike.pop()
            self._count -= 1
        alike.insert(0, (exact, known))
        return known


known_of = SchemaMemo().known_of


class _Exactly:
    """Equals a number, or a truth value, of the same type only: for Python 1, 1.0 and true are
    equal.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: float) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self._value) and other == self._value


def _exact(value: JSON) -> JSON:
    """A copy that equals copies of this value only.

    Raises:
        TypeError: there is something in it that JSON does not have.
    """
    kind = type(value)
    if kind is dict:
        return {
            name: member if type(member) is str else _exact(member)
            for name, member in value.items()
        }
    if kind is list:
        return [item if type(item) is str else _exact(item) for item in value]
    if kind in _COMPARED_BY_TYPE:
        return _Exactly(value)
    if value is not None:
        raise TypeError(kind)
    return None


_COMPARED_BY_TYPE = (bool, int, float)
