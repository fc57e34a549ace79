"""Loads ``schemas/*.json`` as they are documented on a given day.

The dialect on top of JSON Schema 2020-12:

``x-since``, ``x-until``  first day on which a property is documented, and the first on which it
                          no longer is
``x-enum-since``          first day of an enum value
``x-before``              day -> keywords that applied before that day
``x-rule``                code that reports a violation, for all keywords or for each failing one
"""

from __future__ import annotations

import json
from datetime import date
from functools import cache

from pytest_chatapi.contract.bundled import bundled
from pytest_chatapi.contract.validation import Node, Schema

__all__ = ["document", "load", "resolved"]

_TODAY = "9999-12-31"
_ANNOTATIONS = ("$defs", "$schema", "$id", "title")


@cache
def document(name: str) -> Schema:
    """The schema file ``schemas/<name>.json``, unresolved."""
    text = (bundled("schemas") / f"{name}.json").read_text(encoding="utf-8")
    loaded: Schema = json.loads(text)
    return loaded


@cache
def load(name: str, as_of: date | None = None) -> Node:
    """The compiled schema of a document, as documented on that day (``None``: today)."""
    return Node(resolved(name, as_of.isoformat() if as_of else _TODAY))


def resolved(name: str, day: str = _TODAY) -> Schema:
    """The schema of that day in plain JSON Schema, with the target of every ``$ref`` in place."""
    schema = _resolve(document(name), name, day)
    assert schema is not None, f"schemas/{name}.json has a day at its root"
    return schema


def _resolve(schema: Schema, home: str, day: str) -> Schema | None:
    """``None`` for what is not documented on that day; `home` is the file of the schema."""
    if schema.get("x-since", "") > day or schema.get("x-until", "9999-99") <= day:
        return None
    if "$ref" in schema:
        return _resolve_reference(schema, home, day)
    plain = _on_day(schema, day)
    if "properties" in plain:
        properties = {k: _resolve(sub, home, day) for k, sub in plain["properties"].items()}
        plain["properties"] = {k: sub for k, sub in properties.items() if sub is not None}
        plain["required"] = [k for k in plain.get("required", ()) if k in plain["properties"]]
    for keyword in ("items", "additionalProperties", "propertyNames"):
        if isinstance(plain.get(keyword), dict):
            plain[keyword] = _resolve(plain[keyword], home, day)
    if "anyOf" in plain:
        branches = (_resolve(branch, home, day) for branch in plain["anyOf"])
        plain["anyOf"] = [branch for branch in branches if branch is not None]
    return plain


def _resolve_reference(schema: Schema, home: str, day: str) -> Schema | None:
    file, _, pointer = schema["$ref"].partition("#")
    home = file.removesuffix(".json") or home
    target = document(home)
    for step in pointer.strip("/").split("/") if pointer else ():
        target = target[step]
    beside = {k: v for k, v in schema.items() if k != "$ref"}
    inner = _resolve(target, home, day)
    return None if inner is None else {**inner, **beside}


def _on_day(schema: Schema, day: str) -> Schema:
    """The keywords of one schema as they applied on that day, without annotations."""
    plain = {k: v for k, v in schema.items() if k not in _ANNOTATIONS}
    for until in sorted(plain.pop("x-before", {}), reverse=True):
        if day < until:
            plain.update(schema["x-before"][until])
    for value, since in plain.pop("x-enum-since", {}).items():
        if since > day:
            plain["enum"] = [v for v in plain["enum"] if v != value]
    return plain
