"""Tells without jsonschema that a value fits: importing that takes longer than most checks, and
it takes 50 times as long to validate.

A schema is compiled to functions, if it has only the keywords below and each is as JSON Schema
2020-12 wants it. Whatever is in doubt is left to jsonschema, and so is everything that does not
fit, since it knows what to say about it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeAlias

from pytest_chatapi.contract.budget import spend
from pytest_chatapi.contract.patterns import has_match, is_quick
from pytest_chatapi.contract.wire import JSON

__all__ = ["Fits", "compiled"]

Fits: TypeAlias = Callable[[JSON], bool]
"""Whether a value fits for sure; false also where that is not known.

Raises:
    NotJudged: the budget of the block is used up.
    RecursionError: the value, or the schema's references to itself, are too deep.
"""


def compiled(schema: Any) -> Fits | None:
    """What tells that a value fits this schema; ``None`` where that takes jsonschema.

    An ``integer`` has to be an int, although JSON Schema would take 5.0.
    """
    try:
        return _Compiler(schema).fits(schema) or _anything
    except (_Unsure, RecursionError):
        return None


class _Unsure(Exception):
    """The schema is invalid, or has more than the keywords below."""


_TYPES: dict[str, frozenset[type]] = {
    "null": frozenset({type(None)}),
    "boolean": frozenset({bool}),
    "integer": frozenset({int}),
    "number": frozenset({int, float}),
    "string": frozenset({str}),
    "array": frozenset({list}),
    "object": frozenset({dict}),
}
_PLAIN = frozenset({type(None), bool, int, float, str})
_NUMBERS = {
    "minimum": operator.ge,
    "maximum": operator.le,
    "exclusiveMinimum": operator.gt,
    "exclusiveMaximum": operator.lt,
}
_SIZES: dict[str, tuple[type, Callable[[Any, Any], bool]]] = {
    "minLength": (str, operator.ge),
    "maxLength": (str, operator.le),
    "minItems": (list, operator.ge),
    "maxItems": (list, operator.le),
    "minProperties": (dict, operator.ge),
    "maxProperties": (dict, operator.le),
}
_COMBINED: dict[str, Callable[[Iterable[bool]], bool]] = {"anyOf": any, "allOf": all}
_OF_OBJECTS = frozenset({"properties", "required", "additionalProperties", "propertyNames"})
# What says nothing about values, but has to be of this type.
_ANNOTATIONS: dict[str, Any] = {
    "$comment": str,
    "contentEncoding": str,
    "contentMediaType": str,
    "default": object,
    "deprecated": bool,
    "description": str,
    "examples": list,
    "format": str,
    "readOnly": bool,
    "title": str,
    "writeOnly": bool,
}
_DIALECTS = (
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-07/schema#",
    "https://json-schema.org/draft/2020-12/schema",
)
# All others that mean something; any further name is an annotation.
_TOO_MUCH = frozenset(
    "$anchor $dynamicAnchor $dynamicRef $id $recursiveAnchor $recursiveRef $vocabulary contains "
    "contentSchema dependencies dependentRequired dependentSchemas else if maxContains "
    "minContains multipleOf not oneOf patternProperties prefixItems then unevaluatedItems "
    "unevaluatedProperties uniqueItems".split()
)


class _Compiler:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._definitions: dict[str, Fits | None] = {}  # by reference

    def fits(self, schema: Any) -> Fits | None:
        """What tells that a value fits; ``None`` where any value does.

        Raises:
            _Unsure: see `compiled`.
        """
        if schema is True:
            return None
        if schema is False:
            return _nothing
        if type(schema) is not dict:
            raise _Unsure
        tests = []
        for keyword, wanted in schema.items():
            if keyword not in _OF_OBJECTS:
                test = self._test(keyword, wanted, schema)
                if test is not None:
                    tests.append(test)
        if not _OF_OBJECTS.isdisjoint(schema):
            tests.append(self._of_object(schema))
        return _all(tests)

    def _test(self, keyword: str, wanted: Any, schema: Any) -> Fits | None:
        """What a keyword asks for; ``None`` for nothing."""
        if keyword in _ANNOTATIONS:
            if not isinstance(wanted, _ANNOTATIONS[keyword]):
                raise _Unsure
            return None
        if keyword == "type":
            return _typed(wanted)
        if keyword == "enum":
            return _one_of(_list(wanted))
        if keyword == "const":
            return _one_of([wanted])
        if keyword == "items":
            return self._of_items(wanted)
        if keyword in _COMBINED:
            return self._combined(wanted, _COMBINED[keyword])
        if keyword == "$ref":
            return self._referenced(wanted)
        if keyword in ("$defs", "definitions"):
            self._define(keyword, wanted, schema)
        elif keyword in _NUMBERS:
            return _bounded(wanted, _NUMBERS[keyword])
        elif keyword in _SIZES:
            return _sized(wanted, *_SIZES[keyword])
        elif keyword == "pattern":
            return _matching(wanted)
        elif keyword == "$schema":
            if wanted not in _DIALECTS:
                raise _Unsure
        elif keyword in _TOO_MUCH:
            raise _Unsure
        return None

    def _combined(self, branches: Any, combine: Callable[[Iterable[bool]], bool]) -> Fits:
        tests = [self.fits(branch) or _anything for branch in _list(branches, 1)]

        def fits_branches(value: JSON) -> bool:
            spend(len(tests))
            return combine(test(value) for test in tests)

        return fits_branches

    def _of_items(self, schema: Any) -> Fits | None:
        fits = self.fits(schema)
        if fits is None:
            return None

        def items(value: JSON) -> bool:
            if type(value) is not list:
                return True
            spend(1 + len(value))
            return all(map(fits, value))

        return items

    def _of_object(self, schema: Any) -> Fits:
        members = {
            name: self.fits(sub) for name, sub in _dict(schema.get("properties", {})).items()
        }
        others = self.fits(schema.get("additionalProperties", True))
        names = self.fits(schema.get("propertyNames", True))
        required = frozenset(_texts(schema.get("required", [])))

        def has_members(value: JSON) -> bool:
            if type(value) is not dict:
                return True
            spend(1 + len(value))
            if not required <= value.keys():
                return False
            for name, member in value.items():
                fits = members.get(name, others)
                if fits is not None and not fits(member):
                    return False
            return names is None or all(map(names, value))

        return has_members

    def _define(self, keyword: str, definitions: Any, schema: Any) -> None:
        for name, definition in _dict(definitions).items():
            fits = self.fits(definition)
            if schema is self._root:
                self._definitions[f"#/{keyword}/{name}"] = fits

    def _referenced(self, reference: Any) -> Fits:
        """What looks the definition up when it is needed: it may refer to itself."""
        home, _, name = _text(reference).rpartition("/")
        if home not in ("#/$defs", "#/definitions") or not {"%", "~"}.isdisjoint(name):
            raise _Unsure
        if name not in _dict(self._root.get(home[2:])):
            raise _Unsure
        known = self._definitions

        def fits_definition(value: JSON) -> bool:
            spend(1)  # with two references in each, definitions double the work
            fits = known[reference]
            return fits is None or fits(value)

        return fits_definition


def _anything(value: JSON) -> bool:
    return True


def _nothing(value: JSON) -> bool:
    return False


def _all(tests: list[Fits]) -> Fits | None:
    if not tests:
        return None
    first, rest = tests[0], _all(tests[1:])
    return first if rest is None else lambda value: first(value) and rest(value)


def _typed(wanted: Any) -> Fits:
    return _of_types(wanted) if type(wanted) is str else _of_types(*_texts(wanted, 1))


@lru_cache
def _of_types(*names: str) -> Fits:
    if not _TYPES.keys() >= set(names):
        raise _Unsure
    kinds = frozenset().union(*(_TYPES[name] for name in names))
    return lambda value: type(value) in kinds


def _one_of(values: list[Any]) -> Fits:
    # 1, 1.0 and true are equal in Python.
    allowed = {(type(value), value) for value in values if type(value) in _PLAIN}
    return lambda value: type(value) in _PLAIN and (type(value), value) in allowed


def _bounded(bound: Any, holds: Callable[[Any, Any], bool]) -> Fits:
    if type(bound) not in (int, float):
        raise _Unsure
    return lambda value: type(value) not in (int, float) or holds(value, bound)


def _sized(bound: Any, kind: Any, holds: Callable[[Any, Any], bool]) -> Fits:
    if type(bound) is not int or bound < 0:
        raise _Unsure
    return lambda value: type(value) is not kind or holds(len(value), bound)


def _matching(pattern: Any) -> Fits:
    try:
        re.compile(_text(pattern))
    except (re.error, OverflowError, Warning):  # which pytest may turn into errors
        raise _Unsure from None

    def matches(value: JSON) -> bool:
        return type(value) is not str or (is_quick(pattern, value) and has_match(pattern, value))

    return matches


def _text(value: Any) -> str:
    if type(value) is not str:
        raise _Unsure
    return value


def _texts(value: Any, least: int = 0) -> list[str]:
    texts = [_text(item) for item in _list(value, least)]
    if len(set(texts)) < len(texts):
        raise _Unsure
    return texts


def _list(value: Any, least: int = 0) -> list[Any]:
    if type(value) is not list or len(value) < least:
        raise _Unsure
    return value


def _dict(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise _Unsure
    return value
