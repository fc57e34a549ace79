"""What is remembered of users' schemas is of the same schema, and there is never much of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_chatapi.contract import schema_memo, userschema
from pytest_chatapi.contract.schema_memo import SchemaMemo
from pytest_chatapi.contract.strict_schema import strict_problems
from pytest_chatapi.contract.userschema import first_error

JSON_VALUES = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 2, -1, 0.0, 1.0, 2.5, "", "a", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=5,
)
MEMBERS = ["type", "properties", "enum"]
SCHEMAS = st.dictionaries(st.sampled_from(MEMBERS), JSON_VALUES)


def copy(schema: Any) -> Any:
    return json.loads(json.dumps(schema))


@given(schemas=st.lists(SCHEMAS, max_size=8))
def test_schemas_are_told_apart_as_json_tells_them(schemas: list[Any]) -> None:
    memo = SchemaMemo()
    texts = {id(memo.known_of(schema)): json.dumps(schema, sort_keys=True) for schema in schemas}
    for schema in schemas:
        assert texts[id(memo.known_of(copy(schema)))] == json.dumps(schema, sort_keys=True)


def test_a_schema_that_changes_is_another_one() -> None:
    schema: Any = {"properties": {"a": {"enum": ["b"]}}}
    assert first_error(schema, {"a": "c"}) is not None
    schema["properties"]["a"]["enum"].append("c")
    assert first_error(schema, {"a": "c"}) is None


def test_a_schema_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []
    monkeypatch.setattr(userschema, "compiled", lambda schema: compiled.append(schema))
    schemas: list[Any] = [{"properties": {"once": {"const": number}}} for number in (0, 1, 1.0)]
    for schema in [*schemas, *schemas]:
        assert first_error(copy(schema), {"once": schema["properties"]["once"]["const"]}) is None
    assert compiled == schemas


def test_a_strict_schema_that_is_accepted_says_nothing_about_a_similar_one() -> None:
    schema: Any = {"type": "object", "properties": {}, "required": []}
    for _ in range(2):
        assert not [*strict_problems({**schema, "additionalProperties": False})]
        assert [*strict_problems({**schema, "additionalProperties": 0})]


def test_no_more_than_a_few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_memo, "MOST_SCHEMAS", 20)
    memo = SchemaMemo()
    for number in range(100):
        memo.known_of({"title": str(number)})
        memo.known_of({"properties": {str(number): {}}})
        assert sum(map(len, memo._by_names.values())) <= 20


def test_tools_with_equal_parameters_are_all_remembered() -> None:
    memo = SchemaMemo()
    schemas = [{"properties": {"query": {"description": str(number)}}} for number in range(40)]
    known = [memo.known_of(schema) for schema in schemas]
    assert [memo.known_of(schema) for schema in schemas] == known


def test_a_schema_that_changes_all_the_time_drives_out_no_other() -> None:
    memo, other = SchemaMemo(), {"properties": {"city": {}}}
    known = memo.known_of(other)
    for day in range(2 * schema_memo.MOST_SCHEMAS):
        memo.known_of({"properties": {"day": {"description": str(day)}}})
    assert memo.known_of(other) is known


@pytest.mark.parametrize("odd", [b"a", (1,), {1}, object()])
def test_what_is_not_json_is_not_remembered(odd: Any) -> None:
    memo, schema = SchemaMemo(), {"default": odd}
    assert memo.known_of(schema) is not memo.known_of(schema)


def test_what_is_nested_too_deeply_is_not_remembered() -> None:
    schema: Any = {}
    for _ in range(100_000):
        schema = {"items": schema}
    assert not SchemaMemo().known_of(schema).is_accepted
