"""Tells without jsonschema that a value fits: importing that takes longer than most checks.

Only the keywords of our own schemas are known. Whatever is in doubt is left to jsonschema, and so
is everything that does not fit, since it knows what to say about it.
"""

from __future__ import annotations

import re
from typing import Any

from pytest_chatapi.contract.wire import JSON

__all__ = ["surely_fits"]

_TYPES: dict[type, tuple[str, ...]] = {
    type(None): ("null",),
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    str: ("string",),
    list: ("array",),
    dict: ("object",),
}
_NUMBERS = frozenset({"minimum", "maximum"})
_IGNORED = frozenset("$schema $id title description default deprecated examples format".split())


def surely_fits(schema: Any, value: JSON) -> bool:
    """Whether a value fits a schema for sure; false also where that is not known.

    An ``integer`` has to be an int: JSON Schema would take 5.0.
    """
    return all(_fits(keyword, wanted, value, schema) for keyword, wanted in schema.items())


def _fits(keyword: str, wanted: Any, value: JSON, schema: Any) -> bool:
    kind = type(value)
    if keyword[:2] == "x-" or keyword in _IGNORED:
        return True
    if keyword == "type":
        return any(t == wanted if isinstance(wanted, str) else t in wanted for t in _TYPES[kind])
    if keyword == "enum":
        return any(type(one) is kind and one == value for one in wanted)
    if keyword == "const":
        return type(wanted) is kind and bool(wanted == value)
    if keyword == "anyOf":
        return any(surely_fits(branch, value) for branch in wanted)
    if keyword in _NUMBERS:
        if kind not in (int, float):
            return True
        return bool(value >= wanted if keyword == "minimum" else value <= wanted)
    if keyword in ("minLength", "maxLength", "pattern"):
        if kind is not str:
            return True
        if keyword == "pattern":
            return re.search(wanted, value) is not None
        return bool(len(value) >= wanted if keyword == "minLength" else len(value) <= wanted)
    if keyword in ("minItems", "maxItems"):
        if kind is not list:
            return True
        return bool(len(value) >= wanted if keyword == "minItems" else len(value) <= wanted)
    if keyword == "maxProperties":
        return kind is not dict or len(value) <= wanted
    if keyword == "propertyNames":
        return kind is not dict or all(surely_fits(wanted, name) for name in value)
    if keyword == "required":
        return kind is not dict or all(name in value for name in wanted)
    if keyword == "properties":
        return kind is not dict or all(
            surely_fits(wanted[name], member) for name, member in value.items() if name in wanted
        )
    if keyword == "additionalProperties" and isinstance(wanted, bool):
        return wanted or kind is not dict or value.keys() <= schema.get("properties", {}).keys()
    return False
