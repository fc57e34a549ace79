"""Q19, Q20, Q21, and what Q00 and Q12 refuse: check, assertions and mock refuse the same."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest

from pytest_chatapi import ContractError, Exchange, Request, assert_chat_request, check
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.rules import request as request_rules
from pytest_chatapi.contract.strict_schema import strict_problems
from pytest_chatapi.mock.refusals import refusal_of

URL = "https://api.openai.com/v1/chat/completions"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
USER = {"role": "user", "content": "Hi"}
TEXT = {"type": "string"}


def body(**more: Any) -> dict[str, Any]:
    return {"model": "gpt-5.2", "messages": [USER], **more}


def found(sent: Any, profile: str = "openai", **how: Any) -> list[Finding]:
    return check(Exchange(Request("POST", URL, body=sent)), profile, **how)


def told(sent: Any, profile: str = "openai", **how: Any) -> list[tuple[str, str, str, str]]:
    return [(f.code, f.level, f.path, f.message) for f in found(sent, profile, **how)]


def refused(sent: dict[str, Any], profile: str | None = None) -> tuple[Any, Any, Any] | None:
    """Message, parameter and code of the mock's error."""
    answer = refusal_of(sent, None, URL, profile)
    if answer is None:
        return None
    assert answer[0] == 400
    error = answer[1]["error"]
    return error["message"], error["param"], error["code"]


# -- Q19 and Q21 -----------------------------------------------------------------------------

EMPTY = (
    "Invalid '{}': empty array. Expected an array with minimum length 1, but got an empty array "
    "instead."
)
ONLY = "Invalid value for '{0}': '{0}' is only allowed when 'tools' are specified."


@pytest.mark.parametrize(
    ("more", "path", "message", "error", "elsewhere"),
    [
        (
            {"tools": []},
            "$.tools",
            "`tools` is empty: leave it out",
            (EMPTY.format("tools"), "tools", "empty_array"),
            "error",
        ),
        (
            {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True},
            "$.tools",
            "`tools` is empty: leave it out",
            (EMPTY.format("tools"), "tools", "empty_array"),
            "error",
        ),
        (
            {"parallel_tool_calls": False},
            "$.parallel_tool_calls",
            "`parallel_tool_calls` without tools",
            (ONLY.format("parallel_tool_calls"), "parallel_tool_calls", None),
            "error",
        ),
        (
            {"tool_choice": "auto"},
            "$.tool_choice",
            "`tool_choice` without tools",
            (ONLY.format("tool_choice"), "tool_choice", None),
            None,
        ),
        (
            {"tool_choice": "none", "tools": None},
            "$.tool_choice",
            "`tool_choice` without tools",
            (ONLY.format("tool_choice"), "tool_choice", None),
            None,
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": "x", "tool_calls": []}, USER]},
            "$.messages[1].tool_calls",
            "`tool_calls` is empty: leave it out",
            (EMPTY.format("messages[1].tool_calls"), "messages[1].tool_calls", "empty_array"),
            "warning",
        ),
    ],
)
def test_no_tools(
    more: dict[str, Any], path: str, message: str, error: tuple[Any, ...], elsewhere: str | None
) -> None:
    sent = body(**more)
    for profile in ("openai", "azure", "documented"):
        assert ("Q19", "error", path, message) in told(sent, profile)
        assert [f.code for f in found(sent, profile) if f.level == "error"][-1] == "Q19"
    assert refused(sent) == error
    levels = [f.level for f in found(sent, "compatible") if f.code == "Q19"]
    assert levels == ([elsewhere] if elsewhere else [])
    with pytest.raises(ContractError, match="Q19 tools-missing"):
        assert_chat_request(sent)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
@pytest.mark.parametrize("more", [{}, {"tools": []}])
def test_a_forced_tool_that_is_missing_is_q10_alone(choice: Any, more: dict[str, Any]) -> None:
    assert [f.code for f in found(body(tool_choice=choice, **more))] == ["Q10"]


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": True},
        {"messages": [USER, {"role": "assistant", "content": "x"}, USER]},
    ],
)
def test_with_tools_or_without_either(more: dict[str, Any]) -> None:
    assert found(body(**more)) == []
    assert refused(body(**more)) is None


def test_null_counts_as_absent() -> None:
    sent = body(tool_choice=None, parallel_tool_calls=None)
    assert {(f.code, f.case) for f in found(sent)} == {("Q00", "null")}
    assert refused(sent) is None


def test_both_caps() -> None:
    sent = body(max_tokens=9, max_completion_tokens=8)
    message = "`max_tokens` and `max_completion_tokens` are both sent"
    assert told(sent)[0] == ("Q21", "error", "$.max_tokens", message)
    assert found(sent)[0].got == "9 and 8"
    assert refused(sent) == (
        "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        "max_tokens",
        "invalid_parameter_combination",
    )
    for legal in (body(max_tokens=9), body(max_completion_tokens=9, max_tokens=None)):
        assert [f.code for f in found(legal) if f.level == "error"] == []
        assert refused(legal) is None
    assert "Q21" not in [f.code for f in found(sent, as_of="2024-09-11")]


# -- Q00 and Q12 -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_cap_below_one(name: str, value: int) -> None:
    sent = body(**{name: value})
    assert ("Q00", "error", f"$.{name}", f"`{name}` is too low") in told(sent)
    assert ("Q00", "warning", f"$.{name}", f"`{name}` is too low") in told(sent, "compatible")
    assert refused(sent) == (
        f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {value} "
        "instead.",
        name,
        "integer_below_min_value",
    )


def test_an_empty_list_of_stops_is_a_note_and_an_empty_stop_an_error() -> None:
    message = "an empty list of stop sequences: leave it out"
    assert told(body(stop=[])) == [("Q00", "note", "$.stop", message)]
    assert told(body(stop=[]), "compatible") == [("Q00", "note", "$.stop", message)]
    assert refused(body(stop=[])) is None
    assert told(body(stop=["a", ""])) == [("Q00", "error", "$.stop[1]", "`1` is too short")]
    assert refused(body(stop=[""])) == (
        "Invalid 'stop[0]': empty string. Expected a string with minimum length 1, but got an "
        "empty string instead.",
        "stop[0]",
        "empty_string",
    )
    assert found(body(stop=["a"])) == []


def test_keys_of_logit_bias_are_token_ids() -> None:
    sent = body(logit_bias={"12": 1, "hello": 1})
    message = "`logit_bias` has a key that is not allowed"
    assert told(sent) == [("Q00", "error", "$.logit_bias", message)]
    assert refused(sent) == (
        "Invalid key in 'logit_bias': hello. You should only be submitting non-negative integers.",
        "logit_bias",
        None,
    )
    assert found(body(logit_bias={"12": 1, "0": -100})) == []
    # The bounds of the values keep their own code.
    assert [f.code for f in found(body(logit_bias={"12": 101}))] == ["Q07"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have(value: float) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"maximum": [value]}}}
    for sent, path in (
        (body(x={"y": [value]}), "$.x.y[0]"),
        (body(tools=[tool]), "$.tools[0].function.parameters.maximum[0]"),
    ):
        message = f"{value} is not a JSON number"
        assert ("Q00", "error", path, message) in told(sent)
        # As text it is not JSON at all.
        assert [f.code for f in found(json.dumps(sent))] == ["Q00"]
    (finding,) = [f for f in found(body(temperature=value)) if "JSON number" in f.message]
    assert (finding.path, finding.got) == ("$.temperature", str(value))
    assert found(body(temperature=0.5)) == []


class Text(str):
    """As libraries have them for their constants."""


def test_a_key_in_a_text_of_a_class_of_its_own() -> None:
    sent = body(metadata={"a": Text("sk-" + "aB3dE5gH7" * 4)})
    assert [f.code for f in found(sent) if f.path == "$.metadata.a"] == ["Q16"]


def test_bounds_are_told_apart() -> None:
    """However often a number was within them."""
    for value, problem in (
        (1, None),
        (3, "high"),
        (-1, "low"),
        (2, None),
        (-2, "low"),
        (4, "high"),
    ):
        messages = [finding.message for finding in found(body(temperature=value))]
        assert messages == ([f"`temperature` is too {problem}"] if problem else [])


def test_unknown_members_of_stream_options() -> None:
    sent = body(stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True})
    message = "the reference does not list the parameter `stream_options.continuous_usage_stats`"
    path = "$.stream_options.continuous_usage_stats"
    assert told(sent) == [("Q12", "warning", path, message)]
    assert told(sent, "compatible") == [("Q12", "note", path, message)]
    assert refused(sent) == (
        "Unknown parameter: 'stream_options.continuous_usage_stats'.",
        "stream_options.continuous_usage_stats",
        "unknown_parameter",
    )
    assert refused(sent, "compatible") is None


def test_the_leaves_of_a_clean_body_are_not_looked_at_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(request_rules, "secret_in_request", calls.append)
    assert found(body(temperature=0.5)) == []
    assert calls == []


# -- Q20 -------------------------------------------------------------------------------------


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    named = {"name": "person", "strict": True, "schema": schema}
    return body(response_format={"type": "json_schema", "json_schema": named})


def tool(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    function = {"name": "get", "strict": True, "parameters": schema, **more}
    return body(tools=[TOOL, {"type": "function", "function": function}])


def obj(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def without(schema: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in schema.items() if k != key}


REQUIRED = (
    "In context={}, 'required' is required to be supplied and to be an array including every key "
    "in properties."
)
CLOSED = "In context={}, 'additionalProperties' is required to be supplied and to be false."
ROOT = "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{}\"'."

BROKEN: list[tuple[str, dict[str, Any], str, str, str]] = [
    (
        "one property is optional",
        {**obj(a=TEXT, b=TEXT), "required": ["a"]},
        ".required",
        'strict: the property "b" is not required',
        REQUIRED.format("()") + " Missing 'b'.",
    ),
    (
        "no property is required",
        without(obj(a=TEXT, b=TEXT), "required"),
        ".required",
        'strict: the properties "a", "b" are not required',
        REQUIRED.format("()") + " Missing 'a'.",
    ),
    (
        "inside a list",
        obj(a={"type": "array", "items": {**obj(b=TEXT), "required": []}}),
        ".properties.a.items.required",
        'strict: the property "b" is not required',
        REQUIRED.format("('properties', 'a', 'items')") + " Missing 'b'.",
    ),
    (
        "required without a property",
        {**obj(a=TEXT), "required": ["a", "b"]},
        ".required",
        'strict: "b" is required, but is not a property',
        REQUIRED.format("()") + " Extra required key 'b' supplied.",
    ),
    (
        "open",
        without(obj(a=TEXT), "additionalProperties"),
        ".additionalProperties",
        "strict: the object allows further properties",
        CLOSED.format("()"),
    ),
    (
        "open on purpose",
        obj(a={**obj(), "additionalProperties": True}),
        ".properties.a.additionalProperties",
        "strict: the object allows further properties",
        CLOSED.format("('properties', 'a')"),
    ),
    (
        "a map",
        obj(a={"type": ["object", "null"], "additionalProperties": TEXT}),
        ".properties.a.additionalProperties",
        "strict: the object allows further properties",
        CLOSED.format("('properties', 'a')"),
    ),
    (
        "in a branch",
        obj(a={"anyOf": [TEXT, without(obj(b=TEXT), "additionalProperties")]}),
        ".properties.a.anyOf[1].additionalProperties",
        "strict: the object allows further properties",
        CLOSED.format("('properties', 'a', 'anyOf', '1')"),
    ),
    (
        "in a definition",
        {
            **obj(a={"$ref": "#/$defs/b"}, c={"$ref": "#/$defs/b"}),
            "$defs": {"b": {**obj(d=TEXT), "required": []}},
        },
        '["$defs"].b.required',
        'strict: the property "d" is not required',
        REQUIRED.format("('$defs', 'b')") + " Missing 'd'.",
    ),
    (
        "a list at the root",
        {"type": "array", "items": TEXT},
        ".type",
        "strict: the root of the schema is not an object",
        ROOT.format("array"),
    ),
    (
        "nothing at the root",
        {},
        ".type",
        "strict: the root of the schema is not an object",
        ROOT.format("None"),
    ),
    (
        "a union at the root",
        {"anyOf": [obj(a=TEXT), obj(b=TEXT)]},
        ".anyOf",
        "strict: the root of the schema is an `anyOf`",
        "In context=(), 'anyOf' is not permitted.",
    ),
    (
        "a keyword",
        obj(a={"oneOf": [TEXT]}),
        ".properties.a.oneOf",
        "strict: `oneOf` is not supported",
        "In context=('properties', 'a'), 'oneOf' is not permitted.",
    ),
    (
        "a condition",
        {**obj(a=TEXT), "if": {}},
        ".if",
        "strict: `if` is not supported",
        "In context=(), 'if' is not permitted.",
    ),
    (
        "no type",
        obj(a={"description": "Anything."}),
        ".properties.a",
        "strict: the schema has no type",
        "In context=('properties', 'a'), schema must have a 'type' key.",
    ),
    (
        "a list of anything",
        obj(a={"type": "array"}),
        ".properties.a.items",
        "strict: the array has no `items`",
        "In context=('properties', 'a'), array schema missing items.",
    ),
]


@pytest.mark.parametrize(
    ("schema", "path", "message", "reason"),
    [pytest.param(*row[1:], id=row[0]) for row in BROKEN],
)
@pytest.mark.parametrize("profile", ["openai", "compatible"])
def test_a_strict_schema_that_the_service_refuses(
    schema: dict[str, Any], path: str, message: str, reason: str, profile: str
) -> None:
    root = "$.response_format.json_schema.schema"
    assert told(strict(schema), profile) == [("Q20", "error", root + path, message)]
    assert refused(strict(schema), profile) == (
        f"Invalid schema for response_format 'person': {reason}",
        "response_format",
        None,
    )
    root = "$.tools[1].function.parameters"
    assert told(tool(schema), profile) == [("Q20", "error", root + path, message)]
    assert refused(tool(schema), profile) == (
        f"Invalid schema for function 'get': {reason}",
        "tools[1].function.parameters",
        "invalid_function_parameters",
    )
    # Not strict: any schema will do.
    loose = copy.deepcopy(strict(schema))
    loose["response_format"]["json_schema"]["strict"] = False
    assert found(loose, profile) == []
    assert found(tool(schema, strict=None), profile) == found(tool({}, strict=None), profile)


TREE = obj(value=TEXT, children={"type": "array", "items": {"$ref": "#"}})


@pytest.mark.parametrize(
    "schema",
    [
        obj(),
        without(obj(), "required"),
        {"type": "object", "additionalProperties": False},
        obj(a={"type": ["string", "null"], "pattern": "x", "format": "email"}),
        obj(a={"type": "array", "items": TEXT, "minItems": 1, "maxItems": 2}),
        obj(a={"anyOf": [TEXT, obj(b={"type": "null"})], "description": "x"}),
        obj(a={"enum": ["x", "y"]}, b={"type": "string", "const": "z", "title": "t"}),
        # A property may have the name of a keyword.
        obj(allOf=TEXT, properties=TEXT, type=TEXT, items=obj(required=TEXT)),
        TREE,
        {
            **obj(node={"$ref": "#/$defs/node"}),
            "$defs": {"node": obj(next={"$ref": "#/$defs/node"})},
        },
        {**obj(a={"$ref": "#/definitions/b"}), "definitions": {"b": TEXT, "unused": {}}},
        {"$ref": "#/$defs/a", "$defs": {"a": obj(b=TEXT)}},
        obj(a={"$ref": "#/nowhere"}, b={"$ref": "https://example.com/x"}, c={"$ref": "#/a/0"}),
    ],
)
def test_a_strict_schema_that_the_service_takes(schema: dict[str, Any]) -> None:
    assert found(strict(schema)) == []
    assert found(tool(schema)) == []
    assert refused(strict(schema)) is None


def nested(levels: int) -> dict[str, Any]:
    schema = obj(leaf=TEXT)
    for _ in range(levels - 1):
        schema = obj(inner={"type": "array", "items": schema})
    return schema


def characters(count: int) -> dict[str, Any]:
    """Names, enum values and const values of so many characters together."""
    return obj(
        abc={"type": "string", "enum": ["x" * (count - 10)]},
        de={"type": "string", "const": "12345"},
    )


@pytest.mark.parametrize(
    ("legal", "broken", "message", "got", "reason"),
    [
        (
            nested(10),
            nested(11),
            "strict: the schema has too many levels of objects",
            "11",
            "11 levels of nesting exceeds limit of 10.",
        ),
        (
            obj(**{f"p{i}": TEXT for i in range(5000)}),
            obj(**{f"p{i}": TEXT for i in range(5001)}),
            "strict: the schema has too many properties",
            "5,001",
            "5001 parameters exceeds limit of 5000.",
        ),
        (
            obj(
                a={"type": "integer", "enum": [*range(500)]},
                b={"type": "integer", "enum": [*range(500)]},
            ),
            obj(
                a={"type": "integer", "enum": [*range(500)]},
                b={"type": "integer", "enum": [*range(501)]},
            ),
            "strict: the schema has too many enum values",
            "1,001",
            "Expected at most 1000 enum values in total within a single schema when using "
            "structured outputs, but received 1001. Consider reducing the number of enums, or use "
            "'strict: false' to opt out of structured outputs.",
        ),
        (
            characters(120_000),
            characters(120_001),
            "strict: the schema has too many characters of names and enum values",
            "120,001",
            "Expected at most 120000 characters in total of property names, definition names, enum "
            "values and const values, but received 120001.",
        ),
        (
            obj(a={"type": "string", "enum": ["x" * 100, *(f"{i:060}" for i in range(249))]}),
            obj(a={"type": "string", "enum": ["x" * 100, *(f"{i:060}" for i in range(250))]}),
            "strict: the schema has too many characters of an enum with more than 250 values",
            "15,100",
            "In context=('properties', 'a'), expected at most 15000 characters in an enum with "
            "more than 250 values, but received 15100.",
        ),
    ],
    ids=["levels", "properties", "enum values", "characters", "a long enum"],
)
def test_sizes(
    legal: dict[str, Any], broken: dict[str, Any], message: str, got: str, reason: str
) -> None:
    assert [*strict_problems(legal)] == []
    (problem,) = strict_problems(broken)
    assert (problem.message, problem.got, problem.refusal) == (message, got, reason)


@pytest.mark.parametrize(
    "schema",
    [
        {**obj(a=TEXT), "required": "a"},
        {**obj(a=TEXT), "required": [1, None, {}, "a"]},
        {**obj(), "properties": [1]},
        obj(a=1, b=None, c=[], d=True),
        obj(a={"anyOf": 1}, b={"anyOf": [1, None]}, c={"enum": 1}, d={"type": {}}, e={"const": []}),
        obj(a={"$ref": 1}, b={"$ref": "#/properties/b"}, c={"$ref": "#//"}),
        {"$ref": "#"},
        {"type": 1},
    ],
)
def test_a_broken_schema_breaks_nothing(schema: dict[str, Any]) -> None:
    found(strict(schema))
    found(tool(schema))
    assert refused(strict(schema)) is None or "Invalid schema" in refused(strict(schema))[0]  # type: ignore[index]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("not", {}), ("uniqueItems", True), ("anyOf", [{"type": "array"}]), ("oneOf", [])],
)
def test_what_is_beside_a_plain_type_is_looked_at(keyword: str, value: Any) -> None:
    assert [*strict_problems(obj(a={"type": "string", keyword: value}))]


def test_a_schema_that_is_no_object_is_left_to_q00() -> None:
    for schema in (None, 1, [], "x"):
        assert "Q20" not in [f.code for f in found(strict(schema))]  # type: ignore[arg-type]
    assert found(body(tools=[{"type": "custom", "custom": {"name": "a"}}])) == []


def test_a_hostile_schema_takes_no_longer_than_a_large_one() -> None:
    """Steps are counted: of a schema with 200,000 branches only so many are looked at."""
    looked_at = []

    class Branch(dict[str, Any]):
        def get(self, *how: Any) -> Any:
            looked_at.append(how)
            return super().get(*how)

    branches = [Branch(type="string")] * 200_000
    assert [*strict_problems(obj(a={"anyOf": branches}))] == []
    assert len(looked_at) < 200_000
    # Each definition is followed once, however often it is referred to.
    doubling = {
        f"d{i}": obj(a={"$ref": f"#/$defs/d{i + 1}"}, b={"$ref": f"#/$defs/d{i + 1}"})
        for i in range(60)
    }
    schema = {**obj(a={"$ref": "#/$defs/d0"}), "$defs": {**doubling, "d60": TEXT}}
    assert [*strict_problems(schema)] == []
    deep: dict[str, Any] = TEXT
    for _ in range(5000):
        deep = {"type": "array", "items": deep}
    assert [*strict_problems(obj(a=deep))] == []
    endless = obj(a=None)
    endless["properties"]["a"] = endless
    assert [p.message for p in strict_problems(endless)] == [
        "strict: the schema has too many levels of objects"
    ]


def test_many_findings_are_counted() -> None:
    findings = found(strict(obj(**{f"p{i}": {} for i in range(300)})))
    assert {f.code for f in findings} == {"Q20"}
    assert len(findings) == 100
    assert findings[-1].message.endswith("(and 200 more places)")
