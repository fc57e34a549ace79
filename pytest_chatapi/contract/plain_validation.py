"""Tells without jsonschema that a value fits: importing that takes longer than most checks, and
it takes 50 times as long to validate.

A schema is compiled to functions, if it has only the keywords below and each is as JSON Schema
2020-12 wants it. Whatever is in doubt is left to jsonschema, and so is everything that does not
fit, since it knows what to say about it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from pytest_chatapi.contract.budget import spend
from pytest_chatapi.contract.patterns import quick_matcher
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
        return _function(*_Compiler(schema).fit(schema))
    except (_Unsure, RecursionError):
        return None


class _Unsure(Exception):
    """The schema is invalid, or has more than the keywords below."""


_Kinds: TypeAlias = frozenset[type]
_Fit: TypeAlias = tuple[_Kinds, Fits | None]
"""The types of the values that fit, and what else tells that a value of one of them does.

Most members of objects are only bound to a type, so it is looked at where they are: a call for
each would take longer than all the rest.
"""

_TYPES: dict[str, _Kinds] = {
    "null": frozenset({type(None)}),
    "boolean": frozenset({bool}),
    "integer": frozenset({int}),
    "number": frozenset({int, float}),
    "string": frozenset({str}),
    "array": frozenset({list}),
    "object": frozenset({dict}),
}
_ALL = frozenset[type]().union(*_TYPES.values())
_PLAIN = _ALL - {list, dict}
# Values of these types may be equal to one of another type: 1, 1.0 and true.
_NUMERIC = frozenset({bool, int, float})
_ANYTHING: _Fit = (_ALL, None)
_NOTHING: _Fit = (frozenset(), None)
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
        self._definitions: dict[str, _Fit] = {}  # by reference

    def fit(self, schema: Any) -> _Fit:
        """What fits a schema.

        Raises:
            _Unsure: see `compiled`.
        """
        if schema is True:
            return _ANYTHING
        if schema is False:
            return _NOTHING
        if type(schema) is not dict:
            raise _Unsure
        kinds, has_members = _ALL, False
        tests: list[Fits] = []
        for keyword, wanted in schema.items():
            if keyword in _OF_OBJECTS:
                has_members = True
            elif keyword in _ANNOTATIONS:
                if not isinstance(wanted, _ANNOTATIONS[keyword]):
                    raise _Unsure
            else:
                fitting, test = self._keyword(keyword, wanted, schema)
                if fitting is not _ALL:
                    kinds = fitting if kinds is _ALL else kinds & fitting
                if test is not None:
                    tests.append(test)
        if has_members:
            tests.append(self._of_object(schema))
        return kinds, _all(tests) if tests else None

    def _keyword(self, keyword: str, wanted: Any, schema: Any) -> _Fit:
        if keyword == "type":
            return _typed(wanted)
        if keyword == "items":
            return self._of_items(wanted)
        if keyword == "enum":
            return _one_of(_list(wanted))
        if keyword == "const":
            return _one_of([wanted])
        if keyword == "anyOf":
            return _any_of([self.fit(branch) for branch in _list(wanted, 1)])
        if keyword == "allOf":
            return _all_of([self.fit(branch) for branch in _list(wanted, 1)])
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
        return _ANYTHING

    def _of_items(self, schema: Any) -> _Fit:
        kinds, test = self.fit(schema)

        def items(value: JSON) -> bool:
            if type(value) is not list:
                return True
            spend(1 + len(value))
            return kinds.issuperset(map(type, value)) and (test is None or all(map(test, value)))

        return _ALL, items

    def _of_object(self, schema: Any) -> Fits:
        members = {name: self.fit(sub) for name, sub in _dict(schema.get("properties", {})).items()}
        others = self.fit(schema.get("additionalProperties", True))
        names = None
        if "propertyNames" in schema:
            names = _function(*self.fit(schema["propertyNames"]))
        required = frozenset(_texts(schema.get("required", [])))

        def has_members(value: JSON) -> bool:
            if type(value) is not dict:
                return True
            spend(1 + len(value))
            if not required <= value.keys():
                return False
            for name, member in value.items():
                kinds, test = members.get(name, others)
                if type(member) not in kinds or (test is not None and not test(member)):
                    return False
            return names is None or all(map(names, value))

        return has_members

    def _define(self, keyword: str, definitions: Any, schema: Any) -> None:
        for name, definition in _dict(definitions).items():
            fit = self.fit(definition)
            if schema is self._root:
                self._definitions[f"#/{keyword}/{name}"] = fit

    def _referenced(self, reference: Any) -> _Fit:
        """What looks the definition up when it is needed: it may refer to itself."""
        home, _, name = _text(reference).rpartition("/")
        if home not in ("#/$defs", "#/definitions") or not {"%", "~"}.isdisjoint(name):
            raise _Unsure
        if name not in _dict(self._root.get(home[2:])):
            raise _Unsure
        known = self._definitions
        if reference in known:
            return known[reference]

        def fits_definition(value: JSON) -> bool:
            spend(1)  # with two references in each, definitions double the work
            kinds, test = known[reference]
            return type(value) in kinds and (test is None or test(value))

        return _ALL, fits_definition


def _function(kinds: _Kinds, test: Fits | None) -> Fits:
    if test is None:
        return lambda value: type(value) in kinds
    return lambda value: type(value) in kinds and test(value)


def _all(tests: list[Fits]) -> Fits:
    first, *others = tests
    if not others:
        return first
    rest = _all(others)
    return lambda value: first(value) and rest(value)


def _any_of(branches: list[_Fit]) -> _Fit:
    kinds = _NOTHING[0].union(*[kinds for kinds, _ in branches])
    # A type that one of the branches takes without a test needs none.
    tested = kinds.difference(*[kinds for kinds, test in branches if test is None])
    if not tested:
        return kinds, None

    def fits_a_branch(value: JSON) -> bool:
        spend(len(branches))
        kind = type(value)
        return kind not in tested or any(
            kind in kinds and test is not None and test(value) for kinds, test in branches
        )

    return kinds, fits_a_branch


def _all_of(branches: list[_Fit]) -> _Fit:
    kinds = _ALL.intersection(*[kinds for kinds, _ in branches])
    tests = [test for _, test in branches if test is not None]

    def fits_branches(value: JSON) -> bool:
        spend(len(branches))
        return all(test(value) for test in tests)

    return kinds, fits_branches if tests else None


def _typed(wanted: Any) -> _Fit:
    if type(wanted) is str and wanted in _TYPES:
        return _TYPES[wanted], None
    names = _texts(wanted, 1)
    if not _TYPES.keys() >= set(names):
        raise _Unsure
    return _NOTHING[0].union(*[_TYPES[name] for name in names]), None


def _one_of(values: list[Any]) -> _Fit:
    kinds = _PLAIN & set(map(type, values))
    plain = [value for value in values if type(value) in kinds]
    if kinds.isdisjoint(_NUMERIC):
        return kinds, frozenset(plain).__contains__
    allowed = {(type(value), value) for value in plain}
    return kinds, lambda value: (type(value), value) in allowed


def _bounded(bound: Any, holds: Callable[[Any, Any], bool]) -> _Fit:
    if type(bound) not in (int, float):
        raise _Unsure
    return _ALL, lambda value: type(value) not in (int, float) or holds(value, bound)


def _sized(bound: Any, kind: Any, holds: Callable[[Any, Any], bool]) -> _Fit:
    if type(bound) is not int or bound < 0:
        raise _Unsure
    return _ALL, lambda value: type(value) is not kind or holds(len(value), bound)


def _matching(pattern: Any) -> _Fit:
    try:
        matches = quick_matcher(_text(pattern))
    except (re.error, OverflowError, Warning):  # which pytest may turn into errors
        raise _Unsure from None
    return _ALL, lambda value: type(value) is not str or matches(value)


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
