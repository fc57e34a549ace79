"""Validates values by a schema that a user wrote (tool parameters, structured output).

Such a schema may be anything: broken, huge, recursive, full of remote references. Nothing is
ever fetched, and what cannot be judged is not judged.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

__all__ = ["SchemaTrouble", "first_error"]

_LIMIT = 256
_validators: OrderedDict[str, Any] = OrderedDict()


class SchemaTrouble(Exception):
    """The schema itself cannot be used."""


def first_error(schema: dict[str, Any], value: Any) -> tuple[str, str] | None:
    """The most telling violation as (`` at $.path`` or empty, message), ``None`` when it fits.

    Raises:
        SchemaTrouble: the schema is not valid, or refers to what is not there.
    """
    from jsonschema.exceptions import best_match

    try:
        validator = _validator(schema)
        error = best_match(validator.iter_errors(value))
    except SchemaTrouble:
        raise
    except RecursionError:
        raise SchemaTrouble("recursive without end") from None
    except Exception as trouble:
        # jsonschema lets errors of re, of referencing and of odd keyword values through.
        raise SchemaTrouble(str(trouble)) from trouble
    except BaseException as panic:
        if type(panic).__name__ != "PanicException":
            raise
        # Of the Rust below `referencing`, for some references that lead in a circle.
        raise SchemaTrouble("recursive without end") from None
    if error is None:
        return None
    place = error.json_path
    message = error.message if len(error.message) <= 160 else error.message[:157] + "..."
    return ("" if place == "$" else f" at {place}"), message


def _validator(schema: dict[str, Any]) -> Any:
    try:
        key = json.dumps(schema, sort_keys=True)
    except (ValueError, TypeError, RecursionError):
        raise SchemaTrouble("not JSON") from None
    if key in _validators:
        _validators.move_to_end(key)
        return _validators[key]
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise SchemaTrouble(error.message) from None
    validator = Draft202012Validator(schema, registry=Registry())
    _validators[key] = validator
    if len(_validators) > _LIMIT:
        _validators.popitem(last=False)
    return validator
