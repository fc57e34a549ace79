"""The errors that the mock sends for a request that breaks the contract."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_chatapi import Exchange, Request, Response, SettingError, check
from pytest_chatapi.contract.ask import request_json
from pytest_chatapi.contract.catalogue import rules
from pytest_chatapi.contract.examples import document, example
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.mock.refusals import (
    invalid_type,
    metadata_refusal,
    not_found,
    refusal_of,
    unknown_url,
)

URL = "https://api.openai.com/v1/chat/completions"
DELETE: Any = object()

USER = {"role": "user", "content": "Hi"}
FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
ASSISTANT = {"role": "assistant", "tool_calls": [CALL, {**CALL, "id": "call_2"}]}
TOOL = {"role": "tool", "tool_call_id": "call_1", "content": "x"}
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
NAMED = {"type": "function", "function": {"name": "g"}}


def ask(**changes: Any) -> dict[str, Any]:
    body = {"model": "gpt-4o-mini", "messages": [USER], **changes}
    return {key: value for key, value in body.items() if value is not DELETE}


def refused(body: Any, profile: str | None = None, url: str = URL) -> dict[str, Any] | None:
    """The error for a body (``bytes`` as on the wire), after a check that it is legal itself."""
    wire = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request("POST", url, body=wire)
    answer = refusal_of(*request_json(request), url, profile)
    if answer is None:
        return None
    status, error = answer
    assert status == 400
    assert answered(request, status, error) == []
    found: dict[str, Any] = error["error"]
    assert set(found) == {"message", "type", "param", "code"}
    assert found["type"] == "invalid_request_error"
    return found


def answered(request: Request | None, status: int, body: Any) -> list[str]:
    """Codes of the findings about a response."""
    headers = {"content-type": "application/json"}
    response = Response(status, headers, json.dumps(body).encode())
    found = check(Exchange(request or Request("POST", URL), response), "documented")
    return [f.code for f in found if not f.code.startswith("Q")]


CONTENT_NULL = "Invalid value for 'content': expected a string, got null."
OPEN_CALLS = (
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
    "'tool_call_id'. The following tool_call_ids did not have response messages: "
)
ORPHAN = (
    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
    "'tool_calls'."
)
NOT_PATTERN = (
    "Invalid 'tools[0].function.name': string does not match pattern. "
    "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
)
TOO_LONG = "string too long. Expected a string with maximum length"
NAME = "tools[0].function.name"

# What is sent, and param, code and message of the error.
REFUSALS: list[tuple[dict[str, Any], str | None, str | None, str]] = [
    # Required parameters.
    ({"model": DELETE}, None, None, "you must provide a model parameter"),
    (
        {"messages": DELETE},
        "messages",
        "missing_required_parameter",
        "Missing required parameter: 'messages'.",
    ),
    (
        {"messages": []},
        "messages",
        "empty_array",
        "Invalid 'messages': empty array. "
        "Expected an array with minimum length 1, but got an empty array instead.",
    ),
    (
        {"messages": [{"content": "x"}]},
        "messages[0].role",
        "missing_required_parameter",
        "Missing required parameter: 'messages[0].role'.",
    ),
    (
        {"tools": [{"type": "function"}]},
        "tools[0].function",
        "missing_required_parameter",
        "Missing required parameter: 'tools[0].function'.",
    ),
    (
        {"response_format": {"type": "json_schema"}},
        "response_format.json_schema",
        "missing_required_parameter",
        "Missing required parameter: 'response_format.json_schema'.",
    ),
    (
        {"messages": [{"role": "tool", "content": "x"}]},
        "messages.[0].tool_call_id",
        None,
        "Missing parameter 'tool_call_id': messages with role 'tool' must have a 'tool_call_id'.",
    ),
    (
        {"modalities": ["text", "audio"]},
        "audio",
        "missing_required_parameter",
        "Missing required parameter: 'audio'.",
    ),
    # Unknown parameters.
    ({"foo": 1}, "foo", "unknown_parameter", "Unknown parameter: 'foo'."),
    ({"x" * 70: 1}, "x" * 70, "unknown_parameter", "Unknown parameter: 'xxx...xxx'."),
    (
        {"stor": 1},
        "stor",
        "unknown_parameter",
        "Unknown parameter: 'stor'. Did you mean 'stop' or 'store'?",
    ),
    ({"messagess": 1}, "messagess", "unknown_parameter", "Unknown parameter: 'messagess'."),
    (
        {"audio": {"voice": {"id": "a", "x": 1}, "format": "wav"}},
        "audio.voice.x",
        "unknown_parameter",
        "Unknown parameter: 'audio.voice.x'.",
    ),
    # Types.
    (
        {"temperature": "hot"},
        "temperature",
        "invalid_type",
        "Invalid type for 'temperature': expected a decimal, but got a string instead.",
    ),
    (
        {"n": 1.5},
        "n",
        "invalid_type",
        "Invalid type for 'n': expected an integer, but got a decimal number instead.",
    ),
    (
        {"stream": "y"},
        "stream",
        "invalid_type",
        "Invalid type for 'stream': expected a boolean, but got a string instead.",
    ),
    (
        {"model": None},
        "model",
        "invalid_type",
        "Invalid type for 'model': expected a string, but got null instead.",
    ),
    (
        {"messages": "x"},
        "messages",
        "invalid_type",
        "Invalid type for 'messages': expected an array of objects, but got a string instead.",
    ),
    (
        {"messages": ["x"]},
        "messages[0]",
        "invalid_type",
        "Invalid type for 'messages[0]': expected an object, but got a string instead.",
    ),
    (
        {"messages": [{"role": "user", "content": 7}]},
        "messages[0].content",
        "invalid_type",
        "Invalid type for 'messages[0].content': expected one of a string or array of objects, "
        "but got an integer instead.",
    ),
    (
        {"messages": [{"role": None, "content": "x"}]},
        "messages[0].role",
        "invalid_type",
        "Invalid type for 'messages[0].role': expected one of 'system', 'assistant', 'user', "
        "'function', 'tool', or 'developer', but got null instead.",
    ),
    (
        {"messages": [{"role": "user", "content": [{**PICTURE, "image_url": "x"}]}]},
        "messages[0].content[0].image_url",
        "invalid_type",
        "Invalid type for 'messages[0].content[0].image_url': expected an object, "
        "but got a string instead.",
    ),
    (
        {"functions": "x"},
        "functions",
        "invalid_type",
        "Invalid type for 'functions': expected an array of function definitions, "
        "but got a string instead.",
    ),
    (
        {"tool_choice": 7},
        "tool_choice",
        "invalid_type",
        "Invalid type for 'tool_choice': expected one of one of 'none', 'auto', or 'required' "
        "or object, but got an integer instead.",
    ),
    (
        {"metadata": {"k": 7}},
        "metadata.k",
        "invalid_type",
        "Invalid type for 'metadata.k': expected a string, but got an integer instead.",
    ),
    (
        {"verbosity": {}},
        "verbosity",
        "invalid_type",
        "Invalid type for 'verbosity': expected one of 'low', 'medium', or 'high', "
        "but got an object instead.",
    ),
    # Values.
    (
        {"temperature": 3},
        "temperature",
        "decimal_above_max_value",
        "Invalid 'temperature': decimal above maximum value. "
        "Expected a value <= 2, but got 3 instead.",
    ),
    (
        {"presence_penalty": -2.5},
        "presence_penalty",
        "decimal_below_min_value",
        "Invalid 'presence_penalty': decimal below minimum value. "
        "Expected a value >= -2, but got -2.5 instead.",
    ),
    (
        {"n": 0},
        "n",
        "integer_below_min_value",
        "Invalid 'n': integer below minimum value. Expected a value >= 1, but got 0 instead.",
    ),
    (
        {"logit_bias": {"50256": 101}},
        "logit_bias.50256",
        "integer_above_max_value",
        "Invalid 'logit_bias.50256': integer above maximum value. "
        "Expected a value <= 100, but got 101 instead.",
    ),
    (
        {"messages": [{"role": "bogus", "content": "x"}]},
        "messages[0].role",
        "invalid_value",
        "Invalid value: 'bogus'. Supported values are: 'system', 'assistant', 'user', "
        "'function', 'tool', and 'developer'.",
    ),
    (
        {"tools": [{"type": "x"}]},
        "tools[0].type",
        "invalid_value",
        "Invalid value: 'x'. Supported values are: 'function' and 'custom'.",
    ),
    (
        {"reasoning_effort": "ultra"},
        "reasoning_effort",
        "invalid_value",
        "Invalid value: 'ultra'. Supported values are: 'none', 'minimal', 'low', 'medium', "
        "'high', 'xhigh', and 'max'.",
    ),
    (
        {"stop": list("abcde")},
        "stop",
        "array_above_max_length",
        "Invalid 'stop': array too long. "
        "Expected an array with maximum length 4, but got an array with length 5 instead.",
    ),
    (
        {"tools": [{"type": "function", "function": {"name": "a b"}}]},
        NAME,
        "invalid_value",
        NOT_PATTERN,
    ),
    (
        {"tools": [{"type": "function", "function": {"name": "a" * 70}}]},
        NAME,
        "string_above_max_length",
        f"Invalid '{NAME}': {TOO_LONG} 64, but got a string with length 70 instead.",
    ),
    (
        {"tools": [{"type": "function", "function": {"name": ""}}]},
        NAME,
        "empty_string",
        f"Invalid '{NAME}': empty string. "
        "Expected a string with minimum length 1, but got an empty string instead.",
    ),
    (
        {"metadata": {str(i): "v" for i in range(17)}},
        "metadata",
        "object_above_max_properties",
        "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
        "but got an object with 17 properties instead.",
    ),
    (
        {"metadata": {"k" * 70: "v"}},
        "metadata." + "k" * 70,
        "property_name_above_max_length",
        "Invalid property name in 'metadata': 'kkk...kkk' is too long. Expected a string with "
        "maximum length 64, but got a string with length 70 instead.",
    ),
    (
        {"metadata": {"k": "v" * 513}},
        "metadata.k",
        "string_above_max_length",
        f"Invalid 'metadata.k': {TOO_LONG} 512, but got a string with length 513 instead.",
    ),
    (
        {"messages": [{"role": "system", "content": [PICTURE]}]},
        "messages[0]",
        "invalid_value",
        "Invalid 'messages[0]'. Image URLs are only allowed for messages with role 'user', but "
        "this message with role 'system' contains an image URL.",
    ),
    (
        {"messages": [{"role": "system", "content": [{"type": "file", "file": {}}]}]},
        "messages[0].content[0].type",
        "invalid_value",
        "Invalid value: 'file'. Supported values are: 'text'.",
    ),
    # Across fields.
    (
        {"top_logprobs": 3},
        "top_logprobs",
        None,
        "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
    ),
    (
        {"stream_options": {"include_usage": True}},
        "stream_options",
        None,
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
    ),
    (
        {"tool_choice": "required"},
        "tool_choice",
        None,
        "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are "
        "specified.",
    ),
    (
        {"function_call": {"name": "g"}},
        "function_call",
        None,
        "Invalid value for 'function_call': 'function_call' is only allowed when 'functions' are "
        "specified.",
    ),
    (
        {"tools": [FUNCTION], "tool_choice": NAMED},
        "function_call",
        None,
        "Invalid value for 'function_call': no function named 'g' was specified in the "
        "'functions' parameter.",
    ),
    (
        {"response_format": {"type": "json_object"}},
        "messages",
        None,
        "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
        "'json_object'.",
    ),
    # The conversation.
    ({"messages": [{"role": "user"}]}, "messages.[0].content", None, CONTENT_NULL),
    ({"messages": [USER, {"role": "assistant"}]}, "messages.[1].content", None, CONTENT_NULL),
    (
        {"messages": [{"role": "developer"}]},
        "messages[0].content",
        "missing_required_parameter",
        "Missing required parameter: 'messages[0].content'.",
    ),
    ({"messages": [USER, TOOL]}, "messages.[1].role", None, ORPHAN),
    ({"messages": [USER, ASSISTANT]}, "messages", None, OPEN_CALLS + "call_1, call_2"),
    (
        {"messages": [USER, ASSISTANT, TOOL, USER]},
        "messages.[3].role",
        None,
        OPEN_CALLS + "call_2",
    ),
]


@pytest.mark.parametrize(
    ("changes", "param", "code", "message"), REFUSALS, ids=[row[3][:60] for row in REFUSALS]
)
def test_words(changes: dict[str, Any], param: str | None, code: str | None, message: str) -> None:
    error = refused(ask(**changes))
    assert error is not None
    assert (error["param"], error["code"], error["message"]) == (param, code, message)


# Two violations, and the param of the one that is reported.
ORDER: list[tuple[dict[str, Any], str | None]] = [
    ({"foo": 1, "model": DELETE, "messages": DELETE}, None),
    ({"foo": 1, "messages": DELETE}, "messages"),
    ({"foo": 1, "messages": []}, "foo"),
    ({"foo": 1, "n": "x"}, "foo"),
    ({"temperature": "x", "n": 0}, "n"),
    ({"metadata": {"k": 7}, "n": 0}, "n"),
    ({"verbosity": "x", "store": "x"}, "store"),
    ({"store": "x", "messages": ["x"]}, "messages[0]"),
    ({"top_logprobs": 1, "verbosity": "x"}, "verbosity"),
    ({"messages": [{"role": "user"}, {"role": "user", "content": 7}]}, "messages[1].content"),
    ({"messages": [{"role": "user"}], "top_logprobs": 1}, "top_logprobs"),
    ({"messages": [{"role": "user"}, TOOL]}, "messages.[0].content"),
    ({"messages": [TOOL], "response_format": {"type": "json_object"}}, "messages.[0].role"),
    ({"messages": [TOOL, ASSISTANT]}, "messages.[0].role"),
    ({"messages": [ASSISTANT, USER, TOOL]}, "messages.[1].role"),
]


@pytest.mark.parametrize(("changes", "param"), ORDER)
def test_the_first_of_two_violations_is_reported(
    changes: dict[str, Any], param: str | None
) -> None:
    body = ask(**changes)
    for sent in (body, dict(reversed(body.items()))):
        error = refused(sent)
        assert error is not None
        assert error["param"] == param


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (b"", "you must provide a model parameter"),
        (b"  \n", "you must provide a model parameter"),
        (b"{", "We could not parse the JSON body of your request. (HINT: "),
        (b"null", "We could not parse the JSON body of your request. (HINT: "),
        (b'{"model": NaN}', "We could not parse the JSON body of your request. (HINT: "),
        (b'{"a": "\xff"}', "We could not parse the JSON body of your request. (HINT: "),
        (b"[]", "Invalid type for the request body: expected an object, but got an array instead."),
    ],
)
def test_bodies_that_are_no_object(wire: bytes, message: str) -> None:
    error = refused(wire)
    assert error is not None
    assert error["message"].startswith(message)
    assert error["param"] is None


QUESTIONS = [
    row
    for code, rule in rules().items()
    if code[0] == "Q"
    for row in (code, *(f"{code}/{case}" for case in rule.cases))
]


@pytest.mark.parametrize("row", QUESTIONS)
def test_each_rule_refuses_its_example_and_nothing_legal(row: str) -> None:
    shown = example(row)
    assert shown.broken.request is not None
    assert shown.legal.request is not None
    broken = refused(shown.broken.request.json(), "openai", shown.broken.request.url)
    assert (broken is None) == (row in {"Q13", "Q16", "Q17", "Q17/live", "Q00/null"})
    assert refused(shown.legal.request.json(), "openai", shown.legal.request.url) is None


def test_plain_requests_pass() -> None:
    for base in document()["bases"].values():
        if base["request"]["method"] == "POST":
            assert refused(base["request"]["body"], url=base["request"]["url"]) is None
    azure = "https://x.openai.azure.com/openai/deployments/gpt-4o/chat/completions"
    assert refused(ask(model=DELETE), url=azure) is None
    assert refused(ask(model=DELETE)) is not None


def test_the_profile_decides_what_is_refused() -> None:
    null = ask(tools=None)
    assert refused(null) is None
    assert refused(null, "openai") is None
    error = refused(null, "documented")
    assert error is not None
    assert error["message"] == (
        "Invalid type for 'tools': expected an array of objects, but got null instead."
    )
    assert refused(ask(foo=1), "azure") is not None
    assert refused(ask(foo=1), "compatible") is None
    with pytest.raises(SettingError, match="unknown profile 'opnai'"):
        refusal_of(None, "not JSON", URL, "opnai")


def test_a_field_beside_an_unknown_tag_is_refused_all_the_same() -> None:
    prediction = {"type": True, "content": {}}
    error = refused(ask(prediction=prediction), "compatible")
    assert error is not None
    assert error["message"] == (
        "Invalid type for 'prediction.content': expected one of a string or array of objects, "
        "but got an object instead."
    )


def test_all_roles_are_listed() -> None:
    """They are listed by hand, since the service orders them differently."""
    items = load("request").properties["messages"].items
    assert items is not None
    roles = {branch.properties["role"].schema["const"] for branch in items.branches}
    error = refused(ask(messages=[{"role": "x"}]))
    assert error is not None
    assert set(error["message"].partition("are: ")[2].split("'")[1::2]) == roles


def test_metadata_alone() -> None:
    assert metadata_refusal({"key": "value"}) is None
    assert metadata_refusal(None) is None
    assert metadata_refusal("x") == invalid_type("metadata", "a metadata object", "x")


def test_models_and_urls_that_do_not_exist() -> None:
    status, body = not_found("gpt-9")
    assert status == 404
    assert body["error"] == {
        "message": "The model `gpt-9` does not exist or you do not have access to it.",
        "type": "invalid_request_error",
        "param": None,
        "code": "model_not_found",
    }
    assert answered(None, status, body) == []
    status, body = unknown_url("POST", "/v1/foo")
    assert (status, body["error"]["message"]) == (404, "Invalid URL (POST /v1/foo)")
    assert answered(None, status, body) == []


def test_the_sdk_reads_it() -> None:
    def serve(request: httpx2.Request) -> httpx2.Response:
        answer = refusal_of(json.loads(request.content), None, str(request.url))
        assert answer is not None
        return httpx2.Response(answer[0], json=answer[1])

    http = httpx2.Client(transport=httpx2.MockTransport(serve))
    client = openai.OpenAI(api_key="k", http_client=http)
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hi"}], temperature=3
        )
    assert (caught.value.param, caught.value.code) == ("temperature", "decimal_above_max_value")


RICH = ask(
    messages=[
        {"role": "system", "content": [{"type": "text", "text": "Answer in JSON."}]},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, PICTURE]},
        ASSISTANT,
        TOOL,
        {**TOOL, "tool_call_id": "call_2"},
        {"role": "user", "content": "And?", "name": "ann"},
    ],
    tools=[FUNCTION, {"type": "custom", "custom": {"name": "c", "format": {"type": "text"}}}],
    tool_choice={"type": "function", "function": {"name": "f"}},
    response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": {}}},
    stream=True,
    stream_options={"include_usage": True},
    modalities=["text", "audio"],
    audio={"voice": {"id": "v"}, "format": "wav"},
    metadata={"k": "v"},
    logit_bias={"1": 1},
    stop=["a"],
    logprobs=True,
    top_logprobs=2,
    prediction={"type": "content", "content": [{"type": "text", "text": "x"}]},
    functions=[{"name": "old"}],
    web_search_options={"user_location": {"type": "approximate", "approximate": {}}},
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything inside a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    below = []
    for key, member in inside:
        below.append((*path, key))
        if isinstance(member, dict | list):
            below += places(member, (*path, key))
    return below


LIKELY = [
    *[None, True, 0, -1, 999, 10**30, 2.5, "", "text", "tool", "json_object", "x" * 600, [], {}],
    *[[7], {"type": "x"}, {"role": "tool"}, {"\ud800": 1}, [None], {"name": "a b"}],
    *["function", "custom", {"type": "custom"}, [CALL], [TOOL, TOOL], "sk-" + "a" * 30],
]
VALUES = st.one_of(
    st.sampled_from(LIKELY),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ),
)


@given(st.lists(st.tuples(st.sampled_from(places(RICH)), VALUES | st.just(DELETE)), max_size=3))
def test_refuses_what_the_rules_find_and_nothing_else(changes: list[Any]) -> None:
    body = copy.deepcopy(RICH)
    for path, value in changes:
        # What an earlier change removed cannot be changed again.
        with suppress(KeyError, IndexError, TypeError):
            place: Any = body
            for step in path[:-1]:
                place = place[step]
            if value is DELETE:
                del place[path[-1]]
            else:
                place[path[-1]] = value
    found = check(Exchange(Request("POST", URL, body=body), None), "openai")
    refusing = [f for f in found if f.level != "note" and f.code not in ("Q13", "Q16")]
    assert (refused(body) is not None) == bool(refusing)


@pytest.mark.parametrize(
    ("changes", "param", "said", "taken_elsewhere"),
    [
        ({"tools": []}, "tools", "empty array", False),
        (
            {"messages": [USER, {"role": "assistant", "content": "x", "tool_calls": []}, USER]},
            "messages[1].tool_calls",
            "empty array",
            False,
        ),
        ({"max_completion_tokens": 0}, "max_completion_tokens", "below minimum value", False),
        ({"max_tokens": 0}, "max_tokens", "Expected a value >= 1, but got 0", False),
        ({"tool_choice": "auto"}, "tool_choice", "only allowed when 'tools' are specified", True),
        ({"parallel_tool_calls": False}, "parallel_tool_calls", "only allowed when 'tools'", False),
        (
            {"stream": True, "stream_options": {"include_usage": True, "x": 1}},
            "stream_options.x",
            "Unknown parameter",
            True,
        ),
    ],
)
def test_what_the_reference_allows_and_the_service_refuses(
    changes: dict[str, Any], param: str, said: str, taken_elsewhere: bool
) -> None:
    error = refused(ask(**changes))
    assert error is not None
    assert error["param"] == param
    assert said in error["message"]
    assert (refused(ask(**changes), "compatible") is None) is taken_elsewhere
