"""Figures of exchanges, against values computed by hand."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.figures.measure import Form, Timing, Tokens, figures_of, tokens_of

URL = "https://api.example.org/v1/chat/completions"


def chunk(usage: Any = None, **delta: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": delta, "finish_reason": None}] if delta else []
    body = {"id": "c", "object": "chat.completion.chunk", "model": "m-1", "choices": choices}
    return {**body, "usage": usage} if usage else body


def stream(*timed: tuple[float, dict[str, Any]]) -> Exchange:
    """An exchange whose chunks arrive one by one, at seconds."""
    pieces = [f"data: {json.dumps(one)}\n\n".encode() for _, one in timed]
    pieces.append(b"data: [DONE]\n\n")
    times = [*(time for time, _ in timed), timed[-1][0]]
    headers = {"content-type": "text/event-stream"}
    request = Request("POST", URL, {}, json.dumps({"model": "m", "stream": True}))
    return Exchange(request, Response(200, headers, pieces=pieces, times=times))


USAGE = {"prompt_tokens": 10, "completion_tokens": 21, "total_tokens": 31}


def test_first_token_is_not_the_first_chunk() -> None:
    exchange = stream(
        (0.1, chunk(role="assistant", content="")),
        (0.5, chunk(reasoning_content="Well")),
        (1.0, chunk(content="Hello")),
        (1.5, chunk(content=" there")),
        (1.6, chunk(USAGE)),
    )
    figures = figures_of(exchange, "live")
    assert figures.tokens == Tokens(10, 21, 31)
    # 20 tokens after the first chunk of one, in the second from 0.5 to 1.5.
    marks = ((0.1, "role"), (0.5, "reasoning"), (1.0, "answer"), (1.5, "answer"), (1.6, "usage"))
    assert figures.timing == Timing(1.6, 0.1, 0.5, 1.0, 20.0, "", 3, 7.0, 0, 0.5, None, marks)
    assert (figures.model, figures.requested_model) == ("m-1", "m")


def test_the_tokens_of_the_first_chunk_are_left_out() -> None:
    first = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    exchange = stream((0.5, chunk(first, content="a b c d e")), (1.0, chunk(USAGE, content="f")))
    timing = figures_of(exchange, "live").timing
    assert timing.tokens_per_second == pytest.approx(32)
    assert timing.first_chunk_tokens == 5


@pytest.mark.parametrize(
    ("timed", "why"),
    [
        ([(0.5, chunk(USAGE, content="a"))], "fewer than two chunks have tokens"),
        ([(0.5, chunk(content="a")), (0.6, chunk(content="b"))], "is not reported"),
        ([(0.5, chunk(content="a")), (0.549, chunk(USAGE, content="b"))], "within 50 ms"),
    ],
)
def test_a_speed_that_cannot_be_measured(timed: list[Any], why: str) -> None:
    timing = figures_of(stream(*timed), "live").timing
    assert timing.tokens_per_second is None
    assert why in timing.unmeasured


def test_what_is_not_reported_is_not_zero() -> None:
    figures = figures_of(stream((0.5, chunk(content="a")), (1.0, chunk(content="b"))), "recorded")
    assert figures.tokens == Tokens()
    assert figures.wire_usd is None


@pytest.mark.parametrize(
    "delta", [{"refusal": "no"}, {"audio": {"data": "AA=="}}, {"tool_calls": [{}]}]
)
def test_what_counts_as_a_token(delta: dict[str, Any]) -> None:
    timing = figures_of(
        stream((0.1, chunk(role="assistant")), (0.4, chunk(**delta))), "live"
    ).timing
    assert (timing.first_chunk, timing.first_token) == (0.1, 0.4)


def test_a_chunk_of_several_kinds() -> None:
    both = chunk(tool_calls=[{}])
    both["choices"] += chunk(reasoning="b")["choices"] + chunk(role="assistant")["choices"]
    timed = ((0.1, chunk(audio={"id": "a"})), (0.2, both), (0.3, chunk(content="a")))
    timing = figures_of(stream(*timed), "live").timing
    assert [kind for _, kind in timing.marks] == ["other", "tool", "answer"]
    assert (timing.first_token, timing.first_answer) == (0.2, 0.2)


def test_a_first_chunk_without_a_name() -> None:
    exchange = stream((0.1, {**chunk(role="assistant"), "model": ""}), (0.2, chunk(content="a")))
    assert figures_of(exchange, "live").model == "m-1"


def test_an_error_has_figures_too() -> None:
    exchange = stream((0.5, chunk(content="a")))
    assert exchange.response
    exchange.response.status = 429
    figures = figures_of(exchange, "live")
    assert (figures.model, figures.is_stream, figures.status) == ("m", True, 429)
    exchange.response = None
    assert figures_of(exchange, "live").status == 0


def test_stalls() -> None:
    times = [0.1, 0.2, 0.3, 0.4, 2.4, 2.5]
    timing = figures_of(stream(*((time, chunk(content="a")) for time in times)), "live").timing
    assert (timing.stalls, timing.longest_gap) == (1, pytest.approx(2.0))


def test_a_cassette_without_times_says_so() -> None:
    exchange = stream((0.5, chunk(content="a")), (1.0, chunk(USAGE, content="b")))
    assert figures_of(exchange, "replayed").timing.first_token == 0.5
    assert exchange.response
    exchange.response.times = None
    assert "not recorded" in figures_of(exchange, "recorded").timing.unmeasured


@pytest.mark.parametrize(
    ("extra", "tokens"),
    [
        (
            {"prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1}},
            {"cached": 4, "audio_in": 1},
        ),
        ({"completion_tokens_details": {"reasoning_tokens": 7}}, {"reasoning": 7}),
        (
            {"cache_read_input_tokens": 3, "cache_creation_input_tokens": 2},
            {"cached": 3, "cache_write": 2},
        ),
        ({"prompt_cache_hit_tokens": 6}, {"cached": 6}),
        ({"prompt_tokens_details": None, "completion_tokens_details": []}, {}),
    ],
)
def test_details_of_usage(extra: dict[str, Any], tokens: dict[str, int]) -> None:
    assert tokens_of({**USAGE, **extra}) == Tokens(10, 21, 31, **tokens)


@pytest.mark.parametrize("count", [-1, 1.5, True, "9", None, 10**400])
def test_a_count_that_is_none(count: object) -> None:
    assert tokens_of({"prompt_tokens": count}) == Tokens()


def whole(**members: Any) -> Exchange:
    body = {"id": "c", "object": "chat.completion", "model": "m", "choices": [], **members}
    return Exchange(Request("POST", URL), Response(200, {}, body=json.dumps(body), times=[0.7]))


def test_a_whole_response() -> None:
    figures = figures_of(whole(usage=USAGE, service_tier="flex"), "live")
    assert (figures.timing.total, figures.tokens.total, figures.tier) == (0.7, 31, "flex")
    assert figures.timing.unmeasured == "the response was not streamed"


@pytest.mark.parametrize(
    ("members", "speed"),
    [
        ({"timings": {"predicted_per_second": 50.5}}, 50.5),
        ({"usage": {**USAGE, "completion_time": 0.5}}, 42.0),
        ({"x_groq": {"usage": {**USAGE, "completion_time": 0.1}}}, 210.0),
        ({"metrics": {"mean_time_per_output_token": 0.02}}, 50.0),
        ({"metrics": {"mean_time_per_output_token": 1e-320}}, None),
        ({"usage": {**USAGE, "completion_time": 1e-320}}, None),
        ({}, None),
    ],
)
def test_the_speed_that_the_server_says(members: dict[str, Any], speed: float | None) -> None:
    assert figures_of(whole(**members), "live").server_tokens_per_second == speed


def test_speeds_that_disagree() -> None:
    timed = ((0.5, chunk(content="a")), (1.5, {**chunk(USAGE, content="b"), "timings": {}}))
    for theirs, disagree in ((20.0, False), (24.5, False), (26.0, True), (16.0, True)):
        timed[1][1]["timings"] = {"predicted_per_second": theirs}
        assert figures_of(stream(*timed), "live").speeds_disagree is disagree


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        ({"cost": 0.25}, 0.25),
        ({"cost_in_usd_ticks": 25_000_000}, 0.0025),
        ({"cost": 0}, 0.0),
        ({"cost": math.inf}, None),
        ({"cost": math.nan}, None),
        ({"cost": 10**400}, None),
        ({}, None),
    ],
)
def test_the_cost_on_the_wire(usage: dict[str, Any], usd: float | None) -> None:
    assert figures_of(whole(usage={**USAGE, **usage}), "live").wire_usd == usd


def test_the_cost_in_a_header() -> None:
    for text, usd in (("0.003", 0.003), ("0.0", None), ("None", None), ("1e999", None)):
        exchange = whole(usage=USAGE)
        assert exchange.response
        exchange.response.headers = {"x-litellm-response-cost": text}
        assert figures_of(exchange, "live").wire_usd == usd


def test_groq_streams_usage_of_its_own() -> None:
    exchange = stream((0.5, chunk(content="a")), (1.0, {**chunk(), "x_groq": {"usage": USAGE}}))
    assert figures_of(exchange, "live").tokens == Tokens(10, 21, 31)


def test_who_is_billed() -> None:
    exchange = whole()
    assert exchange.request
    assert exchange.response
    exchange.request.headers = {"openai-project": "proj_abcdefghijkl", "openai-organization": "x"}
    exchange.response.headers = {"openai-organization": "acme", "openai-project": "proj_REDACTED"}
    figures = figures_of(exchange, "live")
    assert (figures.organization, figures.project) == ("acme", "proj...ijkl")


# -- form ----------------------------------------------------------------------------------------

PARAMETERS = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": PARAMETERS}}]
FORMAT = {"type": "json_schema", "json_schema": {"name": "s", "schema": PARAMETERS}}


def form(request: dict[str, Any], *choices: dict[str, Any]) -> Form:
    listed = [
        {"index": i, "logprobs": None, "finish_reason": "stop", **choice}
        for i, choice in enumerate(choices)
    ]
    for choice in listed:
        choice["message"] = {"role": "assistant", "content": None, **choice["message"]}
    exchange = whole(choices=listed, usage=USAGE)
    assert exchange.request
    exchange.request.body = json.dumps({"model": "m", "messages": [], "n": len(listed), **request})
    return figures_of(exchange, "live").form


def calls(*arguments: str, name: str = "f", finish: str = "tool_calls") -> dict[str, Any]:
    made = [
        {"id": f"c{i}", "type": "function", "function": {"name": name, "arguments": text}}
        for i, text in enumerate(arguments)
    ]
    return {"message": {"tool_calls": made}, "finish_reason": finish}


def test_the_form_of_tool_calls() -> None:
    many = ['{"n": 1}'] * 10 + ['{"n": "x"}', "{"]
    assert form({"tools": TOOLS}, calls(*many)) == Form(1, 12, 10)
    # The tenth call is not the first, whose path its own begins with.
    assert form({"tools": TOOLS}, calls("{}", *many[:10])) == Form(1, 11, 10)
    assert form({"tools": TOOLS}, calls("{}", name="g")) == Form(1, 1, 0)
    # Calls that were cut may be valid or not.
    assert form({"tools": TOOLS}, calls("{", finish="length")) == Form(1, cut=1)


def test_a_call_without_its_type_is_the_servers_fault() -> None:
    choice = calls('{"n": 1}')
    del choice["message"]["tool_calls"][0]["type"]
    assert form({"tools": TOOLS}, choice) == Form(1, 1, 1)
    del choice["message"]["tool_calls"][0]["function"]["name"]
    assert form({"tools": TOOLS}, choice) == Form(1, 1, 0)


def test_the_form_of_input_for_a_custom_tool() -> None:
    grammar = {"syntax": "regex", "definition": "[a-z]+"}
    custom = {"name": "f", "format": {"type": "grammar", "grammar": grammar}}
    choice = calls("a")
    (call,) = choice["message"]["tool_calls"]
    call.update(type="custom", custom={"name": "f", "input": "A1"})
    del call["function"]
    assert form({"tools": [{"type": "custom", "custom": custom}]}, choice) == Form(1, 1, 0)
    call["custom"]["input"] = "abc"
    assert form({"tools": [{"type": "custom", "custom": custom}]}, choice) == Form(1, 1, 1)


def test_calls_that_cannot_be_checked() -> None:
    endless = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": endless}}]
    assert form({"tools": tools}, calls("{}", "{")) == Form(1, 1, 0)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"message": {"content": '{"n": 1}'}}, Form(1, json=1, valid_json=1)),
        ({"message": {"content": '{"n": "x"}'}}, Form(1, json=1)),
        ({"message": {"content": "```json"}}, Form(1, json=1)),
        ({"message": {"content": '{"n'}, "finish_reason": "length"}, Form(1, cut=1)),
        ({"message": {"refusal": "no"}}, Form(1, refused=1)),
        ({"message": {"content": "{"}, "finish_reason": "content_filter"}, Form(1, refused=1)),
    ],
)
def test_the_form_of_json(choice: dict[str, Any], expected: Form) -> None:
    assert form({"response_format": FORMAT}, choice) == expected
    if not expected.cut and not expected.refused:
        assert form({}, choice) == Form(1)


def test_each_choice_counts() -> None:
    good, bad = ({"message": {"content": text}} for text in ('{"n": 1}', "no"))
    assert form({"response_format": FORMAT}, good, bad, bad) == Form(3, json=3, valid_json=1)
