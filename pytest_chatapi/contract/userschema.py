"""Validates values by schemas that users wrote (tool parameters, structured output).

Such a schema may be broken, huge, recursive, or full of remote references. Nothing is ever
fetched, and a value that cannot be validated is left unchecked.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import shortened

__all__ = ["SchemaTrouble", "first_error", "mismatch"]

# Compiled schemas that are kept, least recently used first out.
_LIMIT = 256
_validators: OrderedDict[str, Any] = OrderedDict()


class SchemaTrouble(Exception):
    """The schema itself cannot be used."""


def mismatch(schema: JSONObject, value: JSON) -> tuple[str, str] | None:
    """As `first_error`, but ``None`` also for a schema that cannot be used."""
    try:
        return first_error(schema, value)
    except SchemaTrouble:
        return None


def first_error(schema: JSONObject, value: JSON) -> tuple[str, str] | None:
    """The most relevant violation as (`` at $.path`` or empty, message), ``None`` if it fits.

    Raises:
        SchemaTrouble: the schema is not valid, or a reference in it leads nowhere.
    """
    from jsonschema.exceptions import best_match

    try:
        validator = _validator(schema)
        error = best_match(validator.iter_errors(value))
    except SchemaTrouble:
        raise
    except RecursionError:
        raise SchemaTrouble("endless recursion") from None
    except Exception as trouble:
        # jsonschema does not catch the errors of re, of referencing and of odd keyword values.
        raise SchemaTrouble(str(trouble)) from trouble
    except BaseException as panic:
        if type(panic).__name__ != "PanicException":
            raise
        # From the Rust code of `referencing`, for some references that form a circle.
        raise SchemaTrouble("endless recursion") from None
    if error is None:
        return None
    place = error.json_path
    message = error.message if len(error.message) <= 160 else shortened(error.message, 157) + "..."
    return ("" if place == "$" else f" at {place}"), message


def _validator(schema: JSONObject) -> Any:
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
