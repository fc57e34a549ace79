"""What fits for sure without jsonschema, fits with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_chatapi.contract.budget import bounded
from pytest_chatapi.contract.plain_validation import compiled
from pytest_chatapi.contract.schemas import document, resolved
from pytest_chatapi.contract.userschema import NotJudged, SchemaTrouble, first_error
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
    "minProperties": st.integers(0, 2),
    "maxProperties": st.integers(0, 2),
    "exclusiveMinimum": st.integers(0, 2),
    "exclusiveMaximum": st.integers(0, 2),
    "$ref": st.sampled_from(["#/$defs/a", "#/$defs/b"]),
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
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "items": inner,
            "additionalProperties": inner | st.booleans(),
        },
    ),
    max_leaves=4,
)


def surely_fits(schema: Any, value: Any) -> bool:
    fits = compiled(schema)
    try:
        return fits is not None and fits(value)
    except RecursionError:
        return False


@given(schema=DIALECT, definition=DIALECT, value=VALUES)
def test_it_never_takes_what_jsonschema_refuses(schema: Any, definition: Any, value: Any) -> None:
    schema = {**schema, "$defs": {"a": definition, "b": {"items": {"$ref": "#/$defs/b"}}}}
    fits = compiled(schema)
    assert fits is not None
    if surely_fits(schema, value):
        assert _validator_class()(schema).is_valid(value)


ODD: dict[str, Any] = {
    "type": "text",
    "required": ["a", "a"],
    "minLength": -1,
    "minimum": "1",
    "exclusiveMinimum": True,
    "pattern": "(",
    "anyOf": [],
    "enum": "a",
    "properties": [],
    "items": [{}],
    "title": 1,
    "$defs": {"a": {"type": []}},
    "$ref": "#/$defs/none",
    "$schema": 1,
}


@pytest.mark.parametrize("keyword", ODD)
def test_a_schema_that_is_not_valid_is_left_to_jsonschema(keyword: str) -> None:
    """Whatever the value is: the schema may be used where the value does not get as far."""
    assert compiled({keyword: ODD[keyword]}) is None
    with pytest.raises(SchemaTrouble):
        first_error({keyword: ODD[keyword]}, {"a": 1} if keyword != "pattern" else "a")


@pytest.mark.parametrize("keyword", ["not", "multipleOf", "$id", "uniqueItems", "oneOf"])
def test_what_is_not_known_is_not_sure(keyword: str) -> None:
    assert compiled({"properties": {"a": {keyword: {}}}}) is None
    assert surely_fits({"x-rule": {}}, 1)


@pytest.mark.parametrize("reference", ["#", "#/properties/a", "#/$defs/a~1b", "other#/$defs/a"])
def test_other_references_are_left_to_jsonschema(reference: str) -> None:
    definitions = {"a": {}, "a/b": {}, "a~1b": {}}
    schema = {"properties": {"a": {}, "b": {"$ref": reference}}, "$defs": definitions}
    assert compiled(schema) is None


def test_a_recursive_schema() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
        "required": ["next"],
        "additionalProperties": False,
    }
    schema = {"$defs": {"node": node}, "$ref": "#/$defs/node"}
    assert surely_fits(schema, {"next": {"next": None}})
    assert not surely_fits(schema, {"next": {"next": 1}})
    assert first_error({"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}}, None) is None
    assert not surely_fits({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, 1)


def test_definitions_that_double_the_work_use_up_the_budget() -> None:
    definitions: dict[str, Any] = {"d0": {"pattern": "a"}}
    for number in range(1, 13):
        definitions[f"d{number}"] = {"allOf": [{"$ref": f"#/$defs/d{number - 1}"}] * 2}
    fits = compiled({"$defs": definitions, "$ref": "#/$defs/d12"})
    assert fits is not None
    with bounded(1000), pytest.raises(NotJudged):
        fits("a")


def test_all_that_a_schema_says_counts() -> None:
    either = {"anyOf": [{"type": "string", "minLength": 2}, {"type": "integer", "minimum": 1}]}
    assert [surely_fits(either, value) for value in ("ab", 1, "a", 0)] == [True, True, False, False]
    assert not surely_fits({"type": "string", "enum": ["a", None]}, None)
    assert not surely_fits({"enum": ["a", None], "type": ["string", "array"]}, None)


def test_values_are_equal_only_within_their_type() -> None:
    assert surely_fits({"enum": [1, "a"]}, 1)
    assert not surely_fits({"enum": [1, "a"]}, True)
    assert not surely_fits({"enum": [0, True]}, 1)
    assert not surely_fits({"const": 0}, False)
    assert not surely_fits({"const": [1]}, [True])
    assert not surely_fits({"type": "integer"}, 1.0)
    assert not surely_fits({"type": "number"}, True)
    assert not surely_fits({"minimum": 0}, float("nan"))
    assert not surely_fits({"pattern": "(a+)+$"}, "a" * 5000)  # `re` may backtrack


def test_a_schema_that_is_not_json_is_trouble() -> None:
    with pytest.raises(SchemaTrouble, match="not JSON"):
        first_error({"type": "string", "default": b"a"}, 1)


class Text(str):
    """As libraries have them for their constants."""


def test_what_is_not_settled_here_is_left_to_jsonschema() -> None:
    many = dict.fromkeys(map(str, range(200_000)), 1)
    assert first_error({"type": "object", "properties": {}}, many) is None
    with pytest.raises(NotJudged, match="endless recursion"):
        first_error({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, 1)
    for kind in (Text("string"), "string"):
        assert first_error({"type": kind}, "a") is None
        assert first_error({"type": kind}, 1) == ("", "1 is not of type 'string'")


def test_equal_schemas_of_different_types_are_told_apart() -> None:
    for value in (1, True, 1.0, 0, False):
        assert (first_error({"enum": [value]}, True) is None) is (value is True)


@pytest.mark.parametrize("name", [path.stem for path in SCHEMAS.glob("*.json")])
def test_the_keywords_of_our_schemas_are_known(name: str) -> None:
    """Else a clean exchange would import jsonschema after all."""
    assert "$schema" not in document(name) or compiled(resolved(name)) is not None
