"""Schemas that users wrote are applied in a bounded number of steps, and what was not judged is
said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from steps import work

from pytest_chatapi.contract import userschema
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.userschema import (
    NotJudged,
    SchemaTrouble,
    bounded,
    first_error,
    has_match,
    mismatch,
)
from pytest_chatapi.errors import SettingError
from pytest_chatapi.mock.schema_values import fitting_value

MOST_WORK = 4_000_000


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


TWO_WAYS = [
    {"properties": {"a": {"$ref": "#"}}, "required": [name], "type": "object"} for name in "bc"
]
DOUBLED = {
    f"{number}": {"allOf": [{"$ref": f"#/$defs/{number + 1}"}] * 2} for number in range(20)
} | {"20": {}}
ENDLESS: list[tuple[Any, Any]] = [
    ({"type": "string", "pattern": r"^(a+)+\1$"}, "a" * 40 + "!"),
    ({"type": "string", "pattern": "^(?!b)(a|a)*$"}, "a" * 40 + "!"),
    ({"type": "string", "pattern": "(?x) ^ ( a+ ) + $"}, "a" * 40 + "!"),
    ({"type": "string", "pattern": "^(a+)(?#)+$"}, "a" * 40 + "!"),
    ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, 1),
    ({"anyOf": TWO_WAYS}, nested(40)),
    ({"$schema": "http://json-schema.org/draft-07/schema#", "anyOf": TWO_WAYS}, nested(40)),
    ({"oneOf": [{"not": part} for part in TWO_WAYS]}, nested(40)),
    ({"$ref": "#/$defs/0", "$defs": DOUBLED}, 1),
    ({"items": {"pattern": "a*a*b|c"}}, ["a" * 150 + "c"] * 50),
    ({"patternProperties": {"^(a+)+$": {}}, "unevaluatedProperties": False}, {"a" * 40 + "!": 1}),
]


@pytest.mark.parametrize(("schema", "value"), ENDLESS)
def test_what_takes_too_long_is_given_up(schema: Any, value: Any) -> None:
    why: list[str] = []

    def judge() -> None:
        with bounded(10_000), pytest.raises(NotJudged) as caught:
            mismatch(schema, value)
        why.append(str(caught.value))

    assert work(judge) < MOST_WORK
    assert "\n" not in why[0]
    judge()
    assert why[0] == why[1]  # whatever was remembered


@pytest.mark.parametrize(
    ("schema", "value", "fits"),
    [
        ({"pattern": "^(a+)+$"}, "a" * 5000 + "!", False),
        ({"pattern": "^(a+)+$"}, "a" * 5000, True),
        ({"pattern": "(.*)*b"}, "a" * 5000, False),
        ({"pattern": ".*.*.*.*.*=x"}, "a" * 5000, False),
        ({"pattern": "a?" * 40 + "a" * 40}, "a" * 40, True),
        ({"pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"}, "a" * 60, False),
        ({"pattern": "^" + "(a|a)" * 40 + "$"}, "a" * 40 + "b", False),
        ({"pattern": "^" + "(?:a|(?:a|a))" * 40}, "a" * 40, True),
        ({"patternProperties": {"^(a+)+$": False}}, {"a" * 40 + "!": 1}, True),
        ({"patternProperties": {"^(a+)+$": False}}, {"a" * 40: 1}, False),
        (
            {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False},
            {"a" * 40 + "!": 1},
            False,
        ),
        (
            {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": {"type": "string"}},
            {"a" * 40: 1, "a" * 40 + "!": "1"},
            True,
        ),
        ({"uniqueItems": True}, [{"a": n} for n in range(2000)], True),
        ({"uniqueItems": True}, [{"a": n % 1999} for n in range(2000)], False),
        ({"uniqueItems": True}, [[n, "x"] for n in range(2000)], True),
        ({"items": {"type": "object", "required": ["a"]}}, [{"a": n} for n in range(5000)], True),
    ],
)
def test_what_can_be_judged_is(schema: Any, value: Any, fits: bool) -> None:
    results: list[Any] = []
    assert work(lambda: results.append(mismatch(schema, value))) < MOST_WORK
    assert (results[0] is None) is fits


def test_an_error_that_was_found_counts_however_much_is_left() -> None:
    schema = {"properties": {"a": {"type": "string"}, "b": {"$ref": "#/$defs/n"}}}
    schema["$defs"] = {"n": json.loads(json.dumps({"anyOf": TWO_WAYS}).replace("#", "#/$defs/n"))}
    assert mismatch(schema, {"a": 1, "b": nested(40)}) == (" at $.a", "1 is not of type 'string'")
    with pytest.raises(NotJudged):
        mismatch(schema, {"a": "1", "b": nested(40)})


def test_a_budget_is_shared_in_a_block() -> None:
    schema = {"items": {"type": "integer"}}
    value = [1] * 100
    with bounded(250):
        assert first_error(schema, value) is None
        assert first_error(schema, value) is None
        with pytest.raises(NotJudged, match="it takes too many steps"):
            first_error(schema, value)
    assert first_error(schema, value) is None


def test_a_schema_that_is_checked_once_has_a_budget_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schema = {"properties": {f"p{n}": {"type": "integer"} for n in range(50)}}
    monkeypatch.setattr(userschema, "STEPS", 4000)
    with bounded(60):
        assert first_error(schema, {"p1": 1}) is None
    with pytest.raises(NotJudged):
        first_error({"allOf": [{"anyOf": [{"const": n} for n in range(30)]}] * 30}, "x")


# -- as jsonschema judges ------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([1.0, 0.5, -0.0, "a", "ab"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)
SCHEMAS = st.fixed_dictionaries(
    {},
    optional={
        "uniqueItems": st.booleans(),
        "pattern": st.sampled_from(["a", "^a$", "b+", "(ab?)*$"]),
        "properties": st.just({"a": {"type": "integer"}}),
        "patternProperties": st.just({"b|^c": {"type": "string"}, "a": {"minimum": 1}}),
        "additionalProperties": st.sampled_from([False, True, {"type": "null"}]),
        "unevaluatedProperties": st.sampled_from([False, {"type": "null"}]),
    },
)


@given(schema=SCHEMAS, value=VALUES)
def test_it_judges_as_jsonschema(schema: Any, value: Any) -> None:
    theirs = jsonschema.Draft202012Validator(schema)
    error = jsonschema.exceptions.best_match(theirs.iter_errors(value))
    ours = first_error(schema, value)
    assert (ours is None) == (error is None)
    if ours is not None and error is not None:
        expected = [found.message for found in theirs.iter_errors(value)]
        assert ours[1] in [
            message[:157] + "..." if len(message) > 160 else message for message in expected
        ]


def test_a_dialect_in_the_middle_does_not_end_the_count() -> None:
    draft7 = "http://json-schema.org/draft-07/schema#"
    schema = {"properties": {"a": {"$schema": draft7, "items": {"type": "integer"}}}}
    with bounded(100), pytest.raises(NotJudged):
        first_error(schema, {"a": [1] * 200})


@pytest.mark.parametrize("pattern", ["(", "[a", "a{2,1}", "(?<x"])
@pytest.mark.parametrize("text", ["a", "a" * 5000])
def test_what_is_no_pattern_is_trouble_with_the_schema(pattern: str, text: str) -> None:
    with pytest.raises(re.error):
        has_match(pattern, text)
    assert mismatch({"pattern": pattern}, text) is None
    with pytest.raises(SchemaTrouble):
        first_error({"pattern": pattern}, text)


def test_a_pattern_that_python_warns_of_is_no_traceback() -> None:
    with pytest.raises(SchemaTrouble, match="set"):  # by `filterwarnings = error`
        first_error({"pattern": "[[a]x"}, "ax")


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"^\d+(\.\d+)*$", "1.2.3.44.5.6.7.8.9.10", True),
        (r"^\d+(\.\d+)*$", "1.2.3.44.5.6.7.8.9.", False),
        (r"(b|c)+", "x" * 50 + "bc" + "x" * 50, True),
        (r"^(b|c)+", "x" * 50 + "bc", False),
        (r"(b|c)+$", "bc" + "x" * 50, False),
        (r"^(?!\s*$).+", "text " * 300, True),
        (r"^(?!\s*$).+", " " * 300, False),
        ("^(?=.*[A-Z])(?=.*[0-9]).{8,}$", "abcdeF1gh", True),
        (r"^\+?1?\s*\(?\d{3}\)?[-.\s]*\d{3}[-.\s]*\d{4}$", "+1 (555) 123-4567", True),
        (
            r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?$",
            "2025-01-15",
            True,
        ),
    ],
)
def test_patterns_in_use(pattern: str, text: str, expected: bool) -> None:
    assert has_match(pattern, text) is expected
    assert (re.search(pattern, text) is not None) is expected


# -- what is said of it --------------------------------------------------------------------------


def findings(ask: Any, message: Any, finish: str) -> dict[str, tuple[str, str]]:
    body = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}], **ask}
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1750000000,
        "model": "gpt-5.2",
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
    }
    headers = {"content-type": "application/json"}
    exchange = Exchange(
        Request("POST", "https://api.openai.com/v1/chat/completions", headers, json.dumps(body)),
        Response(200, headers, pieces=[json.dumps(answer).encode()]),
    )
    return {f.code: (f.level, f.message) for f in check_exchange(exchange).findings}


@pytest.mark.parametrize("strict", [True, False])
def test_content_that_was_not_judged_is_a_note(strict: bool) -> None:
    schema = {"name": "x", "strict": strict, "schema": {"type": "object", "anyOf": TWO_WAYS}}
    ask = {"response_format": {"type": "json_schema", "json_schema": schema}}
    message = {"role": "assistant", "content": json.dumps(nested(40)), "refusal": None}
    level, text = findings(ask, message, "stop")["J02"]
    assert level == "note"
    assert text == ("the content was not checked against the schema: it takes too many steps")


@pytest.mark.parametrize("strict", [True, False])
def test_arguments_that_were_not_judged_are_a_note(strict: bool) -> None:
    function = {"name": "f", "strict": strict, "parameters": {"type": "object", "anyOf": TWO_WAYS}}
    ask = {"tools": [{"type": "function", "function": function}]}
    call = {"name": "f", "arguments": json.dumps(nested(40))}
    message = {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
    }
    level, text = findings(ask, message, "tool_calls")["C10"]
    assert level == "note"
    assert text == (
        "the arguments were not checked against the tool's schema: it takes too many steps"
    )


# -- the mock's values ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "string", "pattern": "^(?=.{300}$)(a+)+!?$"}, "cannot generate a string"),
        (
            {
                "anyOf": TWO_WAYS,
                "default": nested(40),
            },
            "the search was given up: it takes too many steps",
        ),
        pytest.param(
            {"enum": [nested(40)] * 10, "anyOf": TWO_WAYS},
            "the search was given up",
            marks=pytest.mark.slow,
        ),
        ({"type": "array", "uniqueItems": True, "minItems": 2000}, "no candidate fits"),
        ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, "endless recursion"),
    ],
)
def test_a_value_that_is_not_found_is_given_up_in_one_line(schema: Any, message: str) -> None:
    errors: list[str] = []

    def generate() -> None:
        with pytest.raises(SettingError) as caught:
            fitting_value(schema)
        errors.append(str(caught.value))

    assert work(generate) < MOST_WORK
    assert errors[0].startswith("cannot generate a value for the schema at #")
    assert message in errors[0]
    assert "\n" not in errors[0]


@pytest.mark.parametrize(
    ("schema", "check"),
    [
        ({"type": "string", "pattern": "^(a+)+$"}, lambda v: v == "a"),
        (
            {"uniqueItems": True, "default": [{"a": n} for n in range(2000)]},
            lambda v: len(v) == 2000,
        ),
    ],
)
def test_a_value_that_is_found(schema: Any, check: Callable[[Any], bool]) -> None:
    values: list[Any] = []
    assert work(lambda: values.append(fitting_value(schema))) < MOST_WORK
    assert check(values[0])
