"""Validates values by schemas that users wrote (tool parameters, structured output).

Such a schema may be broken, huge, recursive, or full of remote references. Nothing is ever
fetched, and a value that cannot be validated in a bounded number of steps is left unchecked.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from pytest_chatapi.contract.budget import (
    STEPS,
    NotJudged,
    SchemaTrouble,
    bounded,
    budgeted,
    spend,
)
from pytest_chatapi.contract.patterns import has_match, is_quick
from pytest_chatapi.contract.plain_validation import compiled
from pytest_chatapi.contract.schema_memo import known_of
from pytest_chatapi.contract.wire import JSON, JSONObject, fingerprint
from pytest_chatapi.contract.wording import shortened, show, show_member

__all__ = [
    "STEPS",
    "NotJudged",
    "SchemaTrouble",
    "bounded",
    "first_error",
    "has_match",
    "mismatch",
    "validator_of",
]

_ERROR = 10
"""Steps that an error counts for, in each keyword that passes it on."""


# Of jsonschema, for the schemas that have not fitted. Least recently used first out.
_LIMIT = 256
_validators: OrderedDict[bytes, Any] = OrderedDict()


def mismatch(schema: JSONObject, value: JSON) -> tuple[str, str] | None:
    """As `first_error`, but ``None`` also for a schema that cannot be used.

    Raises:
        NotJudged: it takes too many steps to tell.
    """
    try:
        return first_error(schema, value)
    except NotJudged:
        raise
    except SchemaTrouble:
        return None


def first_error(schema: JSONObject, value: JSON) -> tuple[str, str] | None:
    """The most relevant violation as (`` at $.path`` or empty, message), ``None`` if it fits.

    Raises:
        SchemaTrouble: the schema is not valid, or a reference in it leads nowhere.
        NotJudged: it takes too many steps to tell.
    """
    if _surely_fits(schema, value):
        return None
    from jsonschema.exceptions import best_match

    errors: list[Any] = []
    try:
        with bounded():
            validator = _validator(schema)
            try:
                for error in validator.iter_errors(value):
                    errors.append(error)  # what was found before it raises counts
            except NotJudged:
                if not errors:
                    raise
        error = best_match(errors)
    except SchemaTrouble:
        raise
    except RecursionError:
        raise NotJudged("endless recursion") from None
    except Exception as trouble:
        # jsonschema does not catch the errors of re, of referencing and of odd keyword values.
        raise SchemaTrouble(str(trouble)) from trouble
    except BaseException as panic:
        if type(panic).__name__ != "PanicException":
            raise
        # From the Rust code of `referencing`, for some references that form a circle.
        raise NotJudged("endless recursion") from None
    if error is None:
        return None
    place = error.json_path
    message = error.message
    if "REDACTED" in (shown := show_member(place, error.instance)):
        message = message.replace(repr(error.instance), shown)
    message = message if len(message) <= 160 else shortened(message, 157) + "..."
    return ("" if place == "$" else f" at {place}"), message


def _key(schema: JSONObject) -> bytes:
    try:
        return fingerprint(schema)
    except ValueError:  # such as a text of a class of its own
        return _json(schema).encode()


def _json(schema: JSONObject) -> str:
    try:
        return json.dumps(schema)
    except (ValueError, TypeError, RecursionError):
        raise SchemaTrouble("not JSON") from None


def _surely_fits(schema: JSONObject, value: JSON) -> bool:
    known = known_of(schema)
    if known.fits is None:
        known.fits = compiled(schema) or _not_surely
    try:
        with bounded():
            return known.fits(value)
    except (NotJudged, RecursionError):
        return False


def _not_surely(value: JSON) -> bool:
    return False


def _validator(schema: JSONObject) -> Any:
    """The validator of a schema: its messages depend on the order of the members, too."""
    key = _key(schema)
    if key in _validators:
        _validators.move_to_end(key)
        return _validators[key]
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    _json(schema)
    meta = _validator_class()(
        Draft202012Validator.META_SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    with budgeted(STEPS):  # of its own, since this is done once
        error = best_match(meta.iter_errors(schema))
    if error is not None:
        raise SchemaTrouble(error.message)
    validator = _validators[key] = validator_of(schema)
    if len(_validators) > _LIMIT:
        _validators.popitem(last=False)
    return validator


def validator_of(schema: JSON) -> Any:
    """A validator of jsonschema that counts its steps; see `bounded`."""
    from referencing import Registry

    return _validator_class()(schema, registry=Registry())


# -- keywords that count their steps ----------------------------------------------------------


_Keyword = Callable[[Any, Any, Any, Any], Any]


@cache
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    keywords = {**Draft202012Validator.VALIDATORS, **_OWN}
    keywords["unevaluatedProperties"] = _unevaluated(keywords["unevaluatedProperties"])
    counted = {name: _counted(keyword) for name, keyword in keywords.items()}
    kind: Any = extend(Draft202012Validator, counted)  # type: ignore[no-untyped-call]
    kind.evolve = _evolve
    return kind


_KEPT = (
    ("format_checker", "format_checker"),
    ("_registry", "registry"),
    ("_resolver", "_resolver"),
)


def _evolve(self: Any, **changes: Any) -> Any:
    """As jsonschema has it, but without leaving this class for the one that ``$schema`` names."""
    changes.setdefault("schema", self.schema)
    for attribute, argument in _KEPT:
        changes.setdefault(argument, getattr(self, attribute))
    return type(self)(**changes)


def _counted(keyword: _Keyword) -> _Keyword:
    def count(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        # A message about a large value, or a comparison with one, takes its time too.
        spend(1 + (len(instance) >> 6 if isinstance(instance, str | list | dict) else 0))
        for error in keyword(validator, value, instance, schema) or ():
            spend(_ERROR)
            yield error

    return count


# -- keywords that jsonschema applies in unbounded or quadratic time -----------------------------


def _pattern(validator: Any, pattern: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(instance, str) and not has_match(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[Any]:
    for pattern, inner in patterns.items() if isinstance(instance, dict) else ():
        for name, value in instance.items():
            spend(1)
            if has_match(pattern, name):
                yield from validator.descend(value, inner, path=name, schema_path=pattern)


def _additional(validator: Any, inner: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not isinstance(instance, dict):
        return
    declared, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extras = [
        name
        for name in instance
        if name not in declared and not any(has_match(pattern, name) for pattern in patterns)
    ]
    if isinstance(inner, dict):
        for name in extras:
            yield from validator.descend(instance[name], inner, path=name)
    elif not inner and extras:
        names = ", ".join(map(repr, sorted(extras)))
        verb = "does" if len(extras) == 1 else "do"
        if patterns:
            expected = ", ".join(map(repr, sorted(patterns)))
            yield ValidationError(f"{names} {verb} not match any of the regexes: {expected}")
        else:
            verb = "was" if len(extras) == 1 else "were"
            yield ValidationError(
                f"Additional properties are not allowed ({names} {verb} unexpected)"
            )


def _unique(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if wanted and isinstance(instance, list):
        seen = set()
        for item in instance:
            spend(1)
            seen.add(_same_text(item))
        if len(seen) < len(instance):
            yield ValidationError(f"{instance!r} has non-unique elements")


def _same_text(value: JSON) -> str:
    """A text that is equal for values that are equal in JSON Schema: 1 is 1.0, and not true."""
    return json.dumps(_plain_numbers(value), sort_keys=True)


def _plain_numbers(value: JSON) -> JSON:
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, list):
        return [_plain_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain_numbers(member) for name, member in value.items()}
    return value


def _unevaluated(keyword: _Keyword) -> _Keyword:
    """jsonschema applies the patterns of all subschemas to all names, by `re`."""

    def check(validator: Any, inner: Any, instance: Any, schema: Any) -> Any:
        for pattern in _patterns_in(schema) if isinstance(instance, dict) else ():
            for name in instance:
                spend(1)
                if not is_quick(pattern, name):
                    raise NotJudged(f"the pattern {show(pattern)} may take too many steps")
        return keyword(validator, inner, instance, schema)

    return check


def _patterns_in(schema: JSON) -> Iterator[str]:
    if isinstance(schema, list):
        for part in schema:
            yield from _patterns_in(part)
    elif isinstance(schema, dict):
        for key, part in schema.items():
            if key == "patternProperties" and isinstance(part, Mapping):
                yield from part
            yield from _patterns_in(part)


_OWN: dict[str, _Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "uniqueItems": _unique,
}
