"""What fits for sure without jsonschema, fits with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_chatapi.contract.plain_validation import surely_fits
from pytest_chatapi.contract.validation import _validator_class

SCHEMAS = Path(__file__).resolve().parent.parent / "schemas"

VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 2, 3, -1, 1.0, 2.5, "", "a", "ab", "abc", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=5,
)
TYPES = ["null", "boolean", "integer", "number", "string", "array", "object"]
LEAVES: dict[str, Any] = {
    "type": st.sampled_from(TYPES) | st.lists(st.sampled_from(TYPES), min_size=1, unique=True),
    "enum": st.lists(VALUES, min_size=1, max_size=3),
    "const": VALUES,
    "minimum": st.integers(0, 2),
    "maximum": st.integers(0, 2),
    "minLength": st.integers(0, 2),
    "maxLength": st.integers(0, 2),
    "pattern": st.sampled_from(["a", "^b$", "c$"]),
    "minItems": st.integers(0, 2),
    "maxItems": st.integers(0, 2),
    "maxProperties": st.integers(0, 2),
    "required": st.lists(st.sampled_from("abc"), unique=True),
    "additionalProperties": st.booleans(),
    "description": st.just("text"),
}
DIALECT = st.recursive(
    st.fixed_dictionaries({}, optional=LEAVES),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            **LEAVES,
            "propertyNames": inner,
            "properties": st.dictionaries(st.sampled_from("abc"), inner),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
        },
    ),
    max_leaves=4,
)


@given(schema=DIALECT, value=VALUES)
def test_it_never_takes_what_jsonschema_refuses(schema: Any, value: Any) -> None:
    if surely_fits(schema, value):
        assert _validator_class()(schema).is_valid(value)


@pytest.mark.parametrize("keyword", ["not", "items", "multipleOf", "$ref", "uniqueItems"])
def test_what_is_not_known_is_not_sure(keyword: str) -> None:
    assert not surely_fits({keyword: {}}, 1)
    assert surely_fits({"x-rule": {}}, 1)


def test_values_are_equal_only_within_their_type() -> None:
    assert surely_fits({"enum": [1, "a"]}, 1)
    assert not surely_fits({"enum": [1, "a"]}, True)
    assert not surely_fits({"const": 0}, False)
    assert not surely_fits({"type": "integer"}, 1.0)
    assert not surely_fits({"type": "number"}, True)
    assert not surely_fits({"minimum": 0}, float("nan"))


def test_the_keywords_of_our_schemas_are_known() -> None:
    """Else a clean exchange would import jsonschema after all."""
    used: set[str] = set()

    def collect(schema: Any) -> None:
        for keyword, part in schema.items():
            used.add(keyword)
            for inner in {"properties": list, "$defs": list}.get(keyword, lambda _: ())(
                part.values() if isinstance(part, dict) else ()
            ):
                collect(inner)
            for inner in part if keyword == "anyOf" else ():
                collect(inner)

    for path in SCHEMAS.glob("*.json"):
        loaded = json.loads(path.read_text(encoding="utf-8"))
        if "$schema" in loaded:
            collect(loaded)
    taken = {"$defs", "$ref", "items"}  # apart, before an object is validated
    sample = {
        "type": TYPES,
        "enum": [1],
        "const": 1,
        "anyOf": [{}],
        "pattern": "",
        "properties": {},
        "propertyNames": {},
        "required": [],
        "additionalProperties": True,
    }
    for keyword in used - taken:
        assert surely_fits({keyword: sample.get(keyword, 1)}, 1), keyword
