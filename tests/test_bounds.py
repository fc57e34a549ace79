"""The bounds and guards of rules, each by name: on the legal side, and just beyond."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_chatapi import Exchange, Request, Response
from pytest_chatapi.contract import ask, profiles, validation
from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.assemble import Text
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.examples import changed
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.ledger import MOST_OF_A_RULE, Ledger
from pytest_chatapi.contract.profiles import get_profile, profile_for_url
from pytest_chatapi.contract.rules.errors import error_message, is_error_body
from pytest_chatapi.contract.rules.registry import Violation
from pytest_chatapi.contract.rules.usage import check_usage
from pytest_chatapi.contract.schemas import load, resolved
from pytest_chatapi.contract.sse import decode_sse, looks_like_sse
from pytest_chatapi.contract.wording import listed, show

DELETE = {"$delete": True}
CHOICE = "response.body.choices[0]"
MESSAGE = f"{CHOICE}.message"
USAGE = "response.body.usage"
EVENTS = "response.events"


def append(*items: object) -> dict[str, object]:
    return {"$append": list(items)}


def found(
    base: str, changes: dict[str, Any], profile: str = "openai", as_of: str | None = None
) -> list[Finding]:
    return check_exchange(changed(base, changes), profile, as_of=as_of).findings


def codes(base: str, changes: dict[str, Any], profile: str = "openai") -> set[str]:
    return {f.code for f in found(base, changes, profile) if f.code not in ("S10", "Q13")}


# -- tokens ------------------------------------------------------------------------------

SECOND = {
    "index": 1,
    "message": {"role": "assistant", "content": "Hi.", "refusal": None},
    "logprobs": None,
    "finish_reason": "stop",
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"request.body.max_tokens": 9}, {"K03"}),
        ({"request.body.max_completion_tokens": 9}, {"K03"}),
        ({"request.body.max_tokens": 10}, set()),
        ({"request.body.max_tokens": 8}, {"K02"}),
        # Of several choices, the usage tells only the sum.
        ({"request.body": {"n": 2, "max_tokens": 9}, "choices": 2}, set()),
        ({"request.body": {"n": 2, "max_tokens": 5}, "choices": 2}, set()),
        ({"request.body": {"n": 2, "max_tokens": 4}, "choices": 2}, {"K02"}),
        ({"request.body.max_tokens": 9, f"{CHOICE}.finish_reason": "length"}, set()),
        ({"request.body.max_tokens": 9, f"{CHOICE}.finish_reason": "content_filter"}, {"K03"}),
        ({"request.body.max_tokens": 9, f"{CHOICE}.finish_reason": ""}, {"S07"}),
        ({"request.body.max_tokens": 9, f"{CHOICE}.finish_reason": None}, {"S01"}),
        ({"request.body.max_tokens": 0}, {"Q00"}),
        ({"request.body.max_tokens": 0, USAGE: DELETE}, {"Q00", "U05"}),
    ],
)
def test_the_token_limit(changes: dict[str, Any], expected: set[str]) -> None:
    if changes.get("choices") == 2:
        body = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hello!"}]}
        changes = {
            "request.body": {**body, **changes["request.body"]},
            "response.body.choices": append(SECOND),
        }
    assert codes("text", changes) == expected


@pytest.mark.parametrize(
    ("profile", "reasoning", "limit", "expected"),
    [
        ("openai", 5, 4, {"K02"}),
        ("compatible", 5, 4, set()),
        ("compatible", 5, 3, {"K02"}),
        ("compatible", 0, 8, {"K02"}),
        ("azure", 5, 4, {"K02"}),
    ],
)
def test_reasoning_does_not_count_for_compatible_servers(
    profile: str, reasoning: int, limit: int, expected: set[str]
) -> None:
    details = f"{USAGE}.completion_tokens_details.reasoning_tokens"
    changes = {"request.body.max_tokens": limit, details: reasoning}
    assert codes("text", changes, profile) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({f"{USAGE}.{key}": value}, expected)
        for key, value, expected in (
            ("prompt_tokens_details.cached_tokens", 9, set()),
            ("prompt_tokens_details.cached_tokens", 10, {"U03"}),
            ("prompt_tokens_details.audio_tokens", 10, {"U03"}),
            ("prompt_tokens_details.text_tokens", 10, {"U03"}),
            ("prompt_tokens_details.image_tokens", 10, {"U03"}),
            ("prompt_tokens_details.cache_write_tokens", 10, set()),
            ("prompt_tokens_details.cache_write_tokens", -1, {"U03"}),
            ("completion_tokens_details.reasoning_tokens", 9, set()),
            ("completion_tokens_details.reasoning_tokens", 10, {"U04"}),
            ("completion_tokens_details.audio_tokens", 10, {"U04"}),
            ("completion_tokens_details.text_tokens", 10, {"U04"}),
            ("completion_tokens_details.accepted_prediction_tokens", 9, set()),
            ("completion_tokens_details.accepted_prediction_tokens", 10, {"U04"}),
            ("completion_tokens_details.rejected_prediction_tokens", 10, {"U04"}),
            ("completion_tokens_details.rejected_prediction_tokens", -1, {"U04"}),
            ("total_tokens", 17, {"U02"}),
            ("total_tokens", 19, {"U02"}),
            ("total_tokens", -1, {"U01"}),
            ("completion_tokens", -1, {"U01"}),
            # Beyond any count, so it is not written down.
            ("total_tokens", 10**18, set()),
            ("total_tokens", 10**18 - 1, {"U02"}),
            ("prompt_tokens_details.cached_tokens", 10**18, set()),
            ("prompt_tokens_details.cached_tokens", 10**18 - 1, {"U03"}),
        )
    ],
)
def test_the_bounds_of_counts(changes: dict[str, Any], expected: set[str]) -> None:
    assert codes("text", changes) == expected


def test_predictions_are_bounded_together() -> None:
    details = f"{USAGE}.completion_tokens_details"
    both = {f"{details}.accepted_prediction_tokens": 5, f"{details}.rejected_prediction_tokens": 4}
    assert codes("text", both) == set()
    (finding,) = found("text", {**both, f"{details}.rejected_prediction_tokens": 5})
    assert (finding.code, finding.got) == ("U04", "5 + 5")
    negative = {
        f"{details}.accepted_prediction_tokens": -1,
        f"{details}.rejected_prediction_tokens": 30,
    }
    assert [f.got for f in found("text", negative)] == ["-1"]


@pytest.mark.parametrize(
    ("total", "reasoning", "cases"),
    [
        (18, 5, []),
        (23, 5, [("U02", "reasoning")]),
        (24, 5, [("U02", "")]),
        (28, 10, [("U02", "reasoning")]),
        (18, 10, [("U04", "")]),
        (13, -5, [("U02", "reasoning"), ("U04", "")]),
    ],
)
def test_reasoning_beside_the_completion(
    total: int, reasoning: int, cases: list[tuple[str, str]]
) -> None:
    details = f"{USAGE}.completion_tokens_details.reasoning_tokens"
    findings = found("text", {f"{USAGE}.total_tokens": total, details: reasoning})
    assert [(f.code, f.case) for f in findings] == cases


@pytest.mark.parametrize(
    ("content", "prompt", "completion", "paths"),
    [
        ("Hello!", 9, 0, ["$.usage.completion_tokens"]),
        ("Hello!", 0, 9, ["$.usage.prompt_tokens"]),
        ("Hello!", 0, 0, ["$.usage.completion_tokens"]),
        ("", 9, 0, []),
    ],
)
def test_a_response_with_content_has_tokens(
    content: str, prompt: int, completion: int, paths: list[str]
) -> None:
    changes = {
        f"{MESSAGE}.content": content,
        f"{CHOICE}.finish_reason": "stop" if content else "length",
        USAGE: {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    }
    assert [f.path for f in found("text", changes) if f.code == "U07"] == paths


# -- log probabilities -------------------------------------------------------------------

TOKEN = f"{CHOICE}.logprobs.content[0]"


@pytest.mark.parametrize("place", ["logprob", "top_logprobs[1].logprob"])
@pytest.mark.parametrize(
    ("value", "legal"),
    [
        (0, True),
        (0.001, True),
        (0.0011, False),
        (0.01, False),
        (1, False),
        (-9999.0, True),
        (-9999, True),
        (-9999.001, False),
        (-10000, False),
    ],
)
def test_the_range_of_a_log_probability(place: str, value: float, legal: bool) -> None:
    found_codes = codes("logprobs", {f"{TOKEN}.{place}": value}) - {"L06"}
    assert found_codes == (set() if legal else {"L02"})


def test_a_violation_of_many_tokens_is_one_finding() -> None:
    one = {f"{TOKEN}.logprob": 1}
    assert [f.message for f in found("logprobs", one)] == ["a log probability is out of range"]
    two = {**one, f"{CHOICE}.logprobs.content[1].logprob": 2}
    (finding,) = found("logprobs", two)
    assert finding.message == "a log probability is out of range (and 1 more token)"
    assert finding.path == "$.choices[0].logprobs.content[0].logprob"
    three = {**two, f"{TOKEN}.top_logprobs[0].logprob": 3}
    assert found("logprobs", three)[0].message.endswith("(and 2 more tokens)")


@pytest.mark.parametrize(("limit", "expected"), [(1, {"L03"}), (2, set()), (0, {"L03"})])
def test_the_number_of_alternatives(limit: int, expected: set[str]) -> None:
    assert codes("logprobs", {"request.body.top_logprobs": limit}) == expected


@pytest.mark.parametrize(("byte", "expected"), [(255, {"L04"}), (256, {"L01"}), (-1, {"L01"})])
def test_the_range_of_a_byte(byte: int, expected: set[str]) -> None:
    assert codes("logprobs", {f"{TOKEN}.bytes[0]": byte}) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({f"{CHOICE}.logprobs": None}, {"L05"}),
        ({"request.body.logprobs": False, "request.body.top_logprobs": DELETE}, {"L05"}),
        ({f"{CHOICE}.logprobs": None, f"{MESSAGE}.content": ""}, {"S09"}),
        (
            {f"{CHOICE}.logprobs": None, f"{MESSAGE}.content": None, f"{MESSAGE}.refusal": "No."},
            {"L05"},
        ),
        ({f"{MESSAGE}.content": "Hi?"}, {"L04"}),
        ({f"{MESSAGE}.content": [{"type": "text", "text": "Hi?"}]}, {"S01"}),
        ({f"{TOKEN}.bytes": None}, set()),
        ({f"{TOKEN}.bytes": None, f"{MESSAGE}.content": "Hi?"}, set()),
        ({f"{CHOICE}.logprobs.content[1].bytes": [34]}, {"L04"}),
        ({f"{CHOICE}.logprobs.content[1]": None}, {"S01"}),
    ],
)
def test_log_probabilities_spell_the_content(changes: dict[str, Any], expected: set[str]) -> None:
    assert codes("logprobs", changes) == expected


# -- frames and choices ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        (999_999_999, "`created` is too small for unix seconds"),
        (1_000_000_000, None),
        (100_000_000_000, None),
        (100_000_000_001, "`created` is in milliseconds"),
    ],
)
def test_the_range_of_created(created: int, expected: str | None) -> None:
    messages = [expected] if expected else []
    assert [f.message for f in found("text", {"response.body.created": created})] == messages
    chunks = {f"{EVENTS}[{i}].created": created for i in range(4)}
    assert [f.message.partition(" (")[0] for f in found("stream", chunks)] == messages


@pytest.mark.parametrize(
    ("indexes", "expected"),
    [([0, 1], set()), ([1, 0], set()), ([0, 2], {"S06"}), ([1, 1], {"S06"}), ([-1, 0], {"S06"})],
)
def test_the_indexes_of_choices(indexes: list[int], expected: set[str]) -> None:
    changes = {
        "request.body.n": 2,
        "response.body.choices": [{**SECOND, "index": index} for index in indexes],
    }
    assert codes("text", changes) == expected


def stream_of(*choices: dict[str, Any], n: int | None = None) -> Exchange:
    """A stream with one chunk for each choice, or list of choices."""
    frame = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_790_000_000,
        "model": "gpt-5.2",
    }
    body = "".join(
        f"data: {json.dumps({**frame, 'choices': c if isinstance(c, list) else [c]})}\n\n"
        for c in choices
    )
    request = {
        "model": "gpt-5.2",
        "messages": [{"role": "user", "content": "Hello!"}],
        "stream": True,
        **({"n": n} if n else {}),
    }
    return Exchange(
        Request("POST", "https://api.openai.com/v1/chat/completions", {}, request),
        Response(200, {"content-type": "text/event-stream"}, f"{body}data: [DONE]\n\n"),
    )


def part(index: Any, content: str = "a", finish: str | None = "stop") -> dict[str, Any]:
    delta = {"role": "assistant", "content": content}
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


@pytest.mark.parametrize(
    ("choices", "n", "messages"),
    [
        ([part(0)], None, []),
        ([[part(0), part(1)]], 2, []),
        ([part(1)], None, ["choice 1 is out of range: the request asks for n = 1"]),
        (
            [[part(0), part(1), part(2)]],
            2,
            ["choice 2 is out of range: the request asks for n = 2"],
        ),
        ([part(-1)], None, ["choice -1 is out of range: the request asks for n = 1"]),
        ([[part(0, "a", None), part(0)]], None, ["choice 0 appears twice in one chunk"]),
        (
            [[part(0), part(1, "a", None), part(1)]],
            2,
            ["choice 1 appears twice in one chunk"],
        ),
    ],
)
def test_the_indexes_of_choices_in_chunks(
    choices: list[Any], n: int | None, messages: list[str]
) -> None:
    findings = check_exchange(stream_of(*choices, n=n)).findings
    assert [f.message for f in findings if f.code == "T12"] == messages


def test_a_chunk_out_of_range_counts_once() -> None:
    (finding, *_) = check_exchange(stream_of(part(-1), part(-1), part(0))).findings
    assert (finding.code, finding.repeats) == ("T12", 1)
    assert finding.message.endswith("n = 1 (and 1 more chunk)")


def call(index: Any, name: str = "f", **members: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": "{}"}
    plain = {"index": index, "id": f"call_{index}", "type": "function", "function": function}
    return {**plain, **members}


def streamed_calls(*fragments: list[dict[str, Any]]) -> list[Finding]:
    deltas = [{"role": "assistant", "content": None}, *({"tool_calls": f} for f in fragments)]
    choices = [{"index": 0, "delta": d, "logprobs": None, "finish_reason": None} for d in deltas]
    exchange = stream_of(*choices, {**part(0, "", "tool_calls"), "delta": {}})
    assert exchange.request is not None
    tool = {"type": "function", "function": {"name": "f"}}
    exchange.request.body["tools"] = [tool, {**tool, "function": {"name": "g"}}]
    return check_exchange(exchange).findings


@pytest.mark.parametrize(
    ("fragments", "cases"),
    [
        ([[call(0)], [call(1)]], []),
        ([[call(1)], [call(0)]], []),
        ([[call(1)]], [("C05", "")]),
        ([[call(0)], [call(2)]], [("C05", "")]),
        ([[{**call(0), "index": None}]], [("C05", "absent")]),
        ([[{k: v for k, v in call(0).items() if k != "index"}]], [("C05", "absent")]),
        ([[{**call(0), "index": "0"}]], [("C05", "")]),
        # Under one index: another id, another name, or a name once the arguments are complete.
        ([[call(0)], [{**call(1), "index": 0}]], [("C05", "")]),
        ([[call(0, id="")], [{"index": 0, "function": {"name": "g"}}]], [("C04", ""), ("C05", "")]),
        ([[call(0)], [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]], [("C05", "")]),
        (
            [
                [call(0, function={"name": "f", "arguments": "{"})],
                [{"index": 0, "function": {"name": "f", "arguments": "}"}}],
            ],
            [("C06", "")],
        ),
    ],
)
def test_the_indexes_of_calls(
    fragments: list[list[dict[str, Any]]], cases: list[tuple[str, str]]
) -> None:
    findings = [f for f in streamed_calls(*fragments) if f.code in ("C04", "C05", "C06")]
    assert sorted({(f.code, f.case) for f in findings}) == cases


@pytest.mark.parametrize(("index", "got"), [(10**9, "1000000000"), (10**9 + 1, "absent")])
def test_an_index_has_a_limit(index: int, got: str) -> None:
    (finding,) = [f for f in streamed_calls([call(index)]) if f.code == "C05"]
    assert finding.got == got


@pytest.mark.parametrize(("count", "got"), [(5, ""), (6, " and 1 more"), (8, " and 3 more")])
def test_the_names_of_many_calls_are_shortened(count: int, got: str) -> None:
    function = {"name": "get_weather", "arguments": '{"city":"Paris"}'}
    calls = [{"id": f"c{i}", "type": "function", "function": function} for i in range(count)]
    changes = {f"{MESSAGE}.tool_calls": calls, "request.body.parallel_tool_calls": False}
    (finding,) = found("tools", changes)
    assert finding.got == ", ".join(['"get_weather"'] * 5) + got


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("[1]", "the arguments are not an object"),
        ("null", "the arguments are not an object"),
        ('"x"', "the arguments are not an object"),
        (" ", "the arguments are empty"),
        ("", "the arguments are empty"),
        ("{", "the arguments are not JSON: "),
    ],
)
def test_what_arguments_are_instead_of_an_object(arguments: str, message: str) -> None:
    changes = {f"{MESSAGE}.tool_calls[0].function.arguments": arguments}
    (strict,) = found("tools", changes)
    (finding,) = found("tools", {**changes, "request.body.tools[0].function.strict": False})
    assert [(f.code, f.level) for f in (strict, finding)] == [("C10", "error"), ("C03", "warning")]
    assert strict.message == finding.message
    assert strict.path == finding.path
    assert finding.message.startswith(message)
    assert finding.path == "$.choices[0].message.tool_calls[0].function.arguments"


def test_a_legacy_call_has_its_own_path() -> None:
    legacy = {
        "request.body.tools": DELETE,
        "request.body.functions": [{"name": "get_weather"}],
        f"{MESSAGE}.tool_calls": DELETE,
        f"{CHOICE}.finish_reason": "function_call",
    }
    call = {"name": "get_weather", "arguments": "["}
    finding, deprecated = found("tools", {**legacy, f"{MESSAGE}.function_call": call})
    assert deprecated.code == "Q13"
    assert finding.path == "$.choices[0].message.function_call.arguments"
    call = {"name": "nope", "arguments": "{}"}
    finding, deprecated = found("tools", {**legacy, f"{MESSAGE}.function_call": call})
    assert deprecated.code == "Q13"
    assert (finding.code, finding.path) == ("C09", "$.choices[0].message.function_call.name")


# -- lists of what is excused ------------------------------------------------------------

FINISHES = ("stop", "length", "tool_calls", "content_filter", "function_call")


def by_finish(base: str, changes: dict[str, Any], code: str) -> list[str]:
    """The reasons with which a code is reported."""
    place = f"{CHOICE}.finish_reason"
    return [f for f in FINISHES if code in codes(base, {**changes, place: f})]


def test_which_reasons_excuse_what() -> None:
    empty = {f"{MESSAGE}.content": None}
    tools = {"request.body.tools": [{"type": "function", "function": {"name": "f"}}]}
    named = {"type": "function", "function": {"name": "f"}}
    required = {**tools, "request.body.tool_choice": "required"}
    assert by_finish("text", empty, "S09") == ["stop", "function_call"]
    assert by_finish("text", required, "K06") == ["stop", "function_call"]
    one = {**tools, "request.body.tool_choice": named}
    assert by_finish("text", one, "K07") == ["stop", "function_call"]
    assert by_finish("text", {}, "C08") == ["tool_calls"]
    assert by_finish("tools", {}, "C07") == ["stop", "content_filter", "function_call"]
    forced = {"request.body.tool_choice": {**named, "function": {"name": "get_weather"}}}
    assert by_finish("tools", forced, "C07") == ["content_filter", "function_call"]
    arguments = {f"{MESSAGE}.tool_calls[0].function.arguments": "{"}
    assert by_finish("tools", arguments, "C10") == ["stop", "tool_calls", "function_call"]
    text = {f"{MESSAGE}.content": "{"}
    assert by_finish("json-object", text, "J01") == ["stop", "tool_calls", "function_call"]
    legacy = {
        f"{MESSAGE}.tool_calls": DELETE,
        f"{MESSAGE}.function_call": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
    }
    assert by_finish("tools", legacy, "C07") == ["tool_calls", "content_filter"]


@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        ("invalid_request_error", {400, 401, 403, 404, 405, 409, 413, 415, 422, 429}),
        ("authentication_error", {401, 403}),
        ("permission_error", {403}),
        ("permission_denied_error", {403}),
        ("not_found_error", {404}),
        ("rate_limit_error", {429, 503}),
        ("rate_limit_exceeded", {429}),
        ("insufficient_quota", {402, 429}),
        ("tokens", {429}),
        ("requests", {429}),
        ("server_error", {500, 502, 503, 504}),
        ("service_unavailable_error", {503}),
        ("an_unknown_error", {*range(400, 600)}),
    ],
)
def test_which_statuses_fit_an_error(kind: str, statuses: set[int]) -> None:
    known = [400, 401, 402, 403, 404, 405, 409, 413, 415, 422, 429, 500, 502, 503, 504]
    changes = {"response.body.error.type": kind}
    fitting = {
        status
        for status in known
        if "X06" not in codes("error-401", {**changes, "response.status": status})
    }
    assert fitting == statuses & {*known}


@pytest.mark.parametrize(
    ("body", "is_error"),
    [
        ({"error": {"message": "m"}}, True),
        ({"error": "m"}, True),
        ({"error": {}}, False),
        ({"error": None}, False),
        ({"error": "m", "choices": None}, False),
        ({"error": "m", "object": "error"}, True),
        ({"error": "m", "object": "chat.completion"}, False),
        ({"error": "m", "object": "chat.completion.chunk"}, False),
        ({"error": "m", "object": "list"}, False),
        ({"error": "m", "object": "model"}, False),
        ("error", False),
    ],
)
def test_which_bodies_are_errors(body: Any, is_error: bool) -> None:
    assert is_error_body(body) is is_error


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "a"}}, '"a"'),
        ({"error": "b", "message": "a"}, '"b"'),
        ({"message": "c"}, '"c"'),
        ({"detail": [{"msg": "d"}]}, '"d"'),
        ({"error_message": "e"}, '"e"'),
        ([[{"error": {"message": "f"}}]], '"f"'),
        ([], "[]"),
        ({"error": {"message": "", "code": 1}}, '{"message": "", "code": 1}'),
    ],
)
def test_where_a_server_puts_its_message(body: Any, message: str) -> None:
    assert error_message(body) == message


STREAM_TYPE = "text/event-stream"


@pytest.mark.parametrize(
    ("base", "media_type", "stream", "message"),
    [
        ("text", "application/json", False, None),
        ("text", "application/problem+json", False, None),
        ("text", "Application/JSON ; charset=utf-8", False, None),
        ("text", "", False, None),
        ("text", "text/plain", False, "a JSON response has the wrong content type"),
        ("text", STREAM_TYPE, False, "a JSON response has the wrong content type"),
        ("stream", "text/plain", True, "an event stream has the wrong content type"),
        ("stream", "application/json", True, "an event stream has the wrong content type"),
        ("stream", "", True, None),
        (
            "stream",
            STREAM_TYPE,
            False,
            "the request does not ask for a stream, but the body is an event stream",
        ),
        (
            "text",
            "application/json",
            True,
            "the request asks for a stream, but the body is not an event stream",
        ),
        ("error-401", "application/json", False, None),
        ("error-401", "", False, None),
        ("error-401", "text/plain", False, "a JSON error body has the wrong content type"),
        ("error-401", STREAM_TYPE, True, "a JSON error body has the wrong content type"),
    ],
)
def test_content_types(base: str, media_type: str, stream: bool, message: str | None) -> None:
    changes = {
        "response.headers.content-type": media_type or DELETE,
        "request.body.stream": stream,
    }
    messages = [f.message for f in found(base, changes) if f.code == "E02"]
    assert messages == ([message] if message else [])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"response.body": "", "response.cut": "server"}, {"T17"}),
        ({"response.body": "", "response.cut": "client"}, set()),
        ({"response.body": ""}, {"S16"}),
        ({"response.body": " \n"}, {"S00"}),
        ({"response.body": "{", "response.cut": "server"}, {"T17"}),
        ({"response.body": "{", "response.cut": "client"}, set()),
        ({"response.body": "{"}, {"S00"}),
        ({"response.body": "\ufeff{}", "response.status": 204}, set()),
        ({"response.body": "{", "response.status": 199}, set()),
        ({"response.body": "{", "response.status": 299}, {"S00"}),
        ({"response.body": "{", "response.status": 300}, set()),
        ({"response.body": "{", "response.status": 399}, set()),
        ({"response.body": "{", "response.status": 400}, {"X04"}),
        ({"response.body": "{", "response.status": 400, "response.cut": "server"}, set()),
        ({"response.body": "", "response.status": 400}, {"X04"}),
        ({"response.body": "", "response.status": 400, "response.cut": "client"}, set()),
    ],
)
def test_bodies_that_are_missing_or_cut(changes: dict[str, Any], expected: set[str]) -> None:
    assert codes("text", changes) == expected
    if changes["response.body"] == "{" and 200 <= changes.get("response.status", 200) < 300:
        assert codes("models", changes) == (set() if "response.cut" in changes else {"D01"})


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, set()),
        ({"content-type": "application/json"}, set()),
        (
            dict.fromkeys(("content-length", "transfer-encoding", "date"), "1"),
            set(),
        ),
        ({"content-type": "application/json", "server": "x"}, {"H01"}),
        ({"x-request-id": "r", "server": "x"}, set()),
    ],
)
def test_a_recording_of_few_headers_has_dropped_the_others(
    headers: dict[str, str], expected: set[str]
) -> None:
    assert codes("text", {"response.headers": headers}) == expected


@pytest.mark.parametrize("name", ["limit", "remaining", "reset"])
@pytest.mark.parametrize("unit", ["requests", "tokens"])
@pytest.mark.parametrize(
    ("value", "is_count", "is_reset", "is_azure"),
    [
        ("10", True, False, True),
        ("0", True, False, True),
        ("1.5", False, False, True),
        ("-1", False, False, True),
        ("-2", False, False, False),
        ("6m0s", False, True, False),
        ("1h2m3.5s", False, True, False),
        ("12ms", False, True, False),
        ("1d", False, True, False),
        ("5µs", False, True, False),
        ("5us", False, True, False),
        ("5ns", False, True, False),
        ("soon", False, False, False),
        ("1x", False, False, False),
        ("", False, False, False),
        # What recorders put in place of a value.
        ("<TOKENS>", True, True, True),
        ("[x]", True, True, True),
        ("{x}", True, True, True),
        ("*", True, True, True),
        ("$x", True, True, True),
        ("xx-xx", True, True, True),
        ("XXX", True, True, True),
        ("REDACTED", True, True, True),
        ("redacted", True, True, True),
        ("filtered", True, True, True),
        ("masked", True, True, True),
        ("dummy", True, True, True),
        ("fake", True, True, True),
        ("test_requests", True, True, True),
        ("sanitized", True, True, True),
        ("scrubbed", True, True, True),
        ("a placeholder", True, True, True),
    ],
)
def test_rate_limit_headers(
    name: str, unit: str, value: str, is_count: bool, is_reset: bool, is_azure: bool
) -> None:
    header = f"x-ratelimit-{name}-{unit}"
    changes = {f"response.headers.{header}": value}
    legal = is_reset if name == "reset" else is_count
    assert codes("error-429", changes) == (set() if legal else {"H02"})
    assert codes("error-429", changes, "azure") == (set() if legal or is_azure else {"H02"})
    assert codes("error-429", {f"response.headers.{header}-day": "soon"}) == set()


@pytest.mark.parametrize(
    ("status", "value", "expected"),
    [
        (429, "soon", {"X05"}),
        (503, "soon", {"X05"}),
        (500, "soon", set()),
        (429, "", {"X05"}),
        (429, "0", set()),
        (429, " 7 ", set()),
        (429, "1.5", {"X05"}),
        (429, "Wed, 21 Oct 2026 07:28:00 GMT", set()),
    ],
)
def test_retry_after(status: int, value: str, expected: set[str]) -> None:
    error = {"message": "m", "type": "t", "param": None, "code": None}
    changes = {
        "response.status": status,
        "response.body": {"error": error},
        "response.headers.retry-after": value,
    }
    assert codes("error-429", changes) == expected


@pytest.mark.parametrize(
    ("name", "since"),
    [
        ("functions", "2023-11-06"),
        ("function_call", "2023-11-06"),
        ("max_tokens", "2024-09-12"),
        ("user", "2025-07-30"),
        ("seed", "2026-05-13"),
        ("prompt_cache_retention", "2026-07-09"),
    ],
)
def test_the_first_day_of_a_deprecation(name: str, since: str) -> None:
    before = f"{since[:-2]}{int(since[-2:]) - 1:02}"

    def deprecated(as_of: str | None, value: Any = 1000) -> list[str]:
        findings = found("text", {f"request.body.{name}": value}, as_of=as_of)
        return [f.path for f in findings if f.code == "Q13"]

    assert deprecated(before) == []
    assert deprecated(since) == deprecated(None) == [f"$.{name}"]
    assert deprecated(None, value=None) == []


# -- requests ----------------------------------------------------------------------------

ASKED = {"role": "user", "content": "Hello!"}


def called(*ids: str) -> dict[str, Any]:
    function = {"name": "f", "arguments": "{}"}
    calls = [{"id": id_, "type": "function", "function": function} for id_ in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def returned(id_: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id_, "content": "1"}


@pytest.mark.parametrize(
    ("messages", "violations"),
    [
        ([ASKED, called("a"), returned("a")], []),
        ([ASKED, called("a", "b"), returned("b"), returned("a")], []),
        ([ASKED, called("a"), returned("a"), called("a"), returned("a")], []),
        ([ASKED, called("a")], [("$.messages[1].tool_calls[0]", "the call is not answered")]),
        (
            [ASKED, called("a", "b"), returned("a"), ASKED],
            [("$.messages[1].tool_calls[1]", "the call is not answered")],
        ),
        (
            [ASKED, called("a"), ASKED, returned("a")],
            [
                ("$.messages[1].tool_calls[0]", "the call is not answered"),
                (
                    "$.messages[3].tool_call_id",
                    "no earlier assistant message made this call",
                ),
            ],
        ),
        (
            [ASKED, called("a"), returned("a"), returned("a")],
            [("$.messages[3].tool_call_id", "the call is answered twice")],
        ),
        (
            [ASKED, returned("a")],
            [("$.messages[1].tool_call_id", "no earlier assistant message made this call")],
        ),
        (
            [ASKED, called("a"), called("b"), returned("b")],
            [("$.messages[1].tool_calls[0]", "the call is not answered")],
        ),
    ],
)
def test_calls_are_answered_before_the_conversation_goes_on(
    messages: list[Any], violations: list[tuple[str, str]]
) -> None:
    findings = found("text", {"request.body.messages": messages})
    assert [(f.path, f.message) for f in findings if f.code == "Q11"] == violations


@pytest.mark.parametrize(
    ("member", "value", "legal"),
    [
        ("content", "Hi", True),
        ("content", "", True),
        ("content", None, False),
        ("refusal", "No.", True),
        ("refusal", "", False),
        ("audio", {"id": "a"}, True),
        ("function_call", {"name": "f", "arguments": "{}"}, True),
        ("tool_calls", [], False),
    ],
)
def test_what_an_assistant_message_has(member: str, value: Any, legal: bool) -> None:
    messages = [ASKED, {"role": "assistant", member: value}]
    findings = found("text", {"request.body.messages": messages})
    assert ("Q08" in {f.code for f in findings}) is not legal


@pytest.mark.parametrize(
    ("messages", "legal"),
    [
        ([{"role": "user", "content": "As JSON."}], True),
        ([{"role": "user", "content": "as json"}], True),
        ([{"role": "user", "content": [{"type": "text", "text": "JSON?"}]}], True),
        ([ASKED, {"role": "system", "content": "JSON"}], True),
        ([ASKED], False),
        ([{"role": "user", "name": "json", "content": "x"}], False),
        ([{"role": "user", "content": [{"type": "json", "text": None}]}], False),
    ],
)
def test_the_word_json(messages: list[Any], legal: bool) -> None:
    findings = found("json-object", {"request.body.messages": messages})
    assert ("Q14" in {f.code for f in findings}) is not legal


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("sk-" + "a" * 16, 19),
        ("sk-" + "a" * 15, None),
        ("task-" + "a" * 20, None),
        ("x sk-proj_" + "a-" * 9, 26),
        ("_sk-" + "a" * 20, None),
    ],
)
def test_what_looks_like_a_key(text: str, length: int | None) -> None:
    for changes, path in (
        ({"request.body.messages[0].content": text}, "$.messages[0].content"),
        ({"request.body.metadata": {"a": {"b": [text]}}}, "$.metadata.a.b[0]"),
        ({"request.body.metadata": {text: ""}}, "$.metadata"),
    ):
        got = [f"{f.path} {f.got}" for f in found("text", changes) if f.code == "Q16"]
        assert got == ([f"{path} sk-REDACTED ({length} characters)"] if length else [])


# -- the ledger, the memo, text ----------------------------------------------------------


def test_a_rule_has_a_hundred_findings_and_counts_the_rest() -> None:
    assert MOST_OF_A_RULE == 100
    models = [{"id": "m", "object": "model", "created": 1, "owned_by": "o"}] * 151
    findings = found("models", {"response.body.data": models})
    assert [f.code for f in findings] == ["D03"] * 100
    assert findings[-1].message == "the id is already used at $.data[0] (and 50 more places)"
    assert all("more" not in f.message for f in findings[:-1])
    findings = found("models", {"response.body.data": models[:101]})
    assert len(findings) == 100
    assert findings[-1].message == "the id is already used at $.data[0]"


def test_a_ledger_of_its_own() -> None:
    ledger = Ledger(get_profile("openai"))
    assert len(ledger) == 0
    assert not ledger.full("U02")
    for place in range(MOST_OF_A_RULE):
        assert not ledger.full("U02")
        ledger.add("U02", Violation(f"$.{place}", "", 0, "m"))
    assert ledger.full("U02")
    assert not ledger.full("U03")
    assert len(ledger) == MOST_OF_A_RULE
    assert ledger.has(frozenset({"U02", "U03"}))
    assert not ledger.has(frozenset({"U03"}))
    assert not ledger.has(frozenset())
    # What the profile has off leaves no trace.
    ledger.add("S11", Violation("$.choices[0].logprobs", "", 0, "m"))
    assert not ledger.has(frozenset({"S11"}))


def test_the_memo_of_shapes_is_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    assert validation.MEMO_LIMIT == 4096
    monkeypatch.setattr(validation, "MEMO_LIMIT", 16)
    node = validation.Node(resolved("usage"))
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    sizes = []
    for number in range(100):
        violations, unknown = node.violations({**usage, f"x{number}": 1})
        assert (violations, unknown) == ([], [(f"x{number}",)])
        violations, _ = node.violations({f"y{n}": 1 for n in range(number)} | {"total_tokens": "2"})
        assert [v.problem.keyword for v in violations].count("type") == 1
        sizes.append(len(node._verdicts) + len(node._known_verdicts))
    assert max(sizes) <= 2 * 16
    assert sizes[-1] > 0
    # Plain values and lengths of lists have their memo too.
    for number in range(100):
        node._walk(number, (), [], [])
    assert len(node._verdicts) <= 16


class _Watched(dict[str, Any]):
    """A request body that notes which of its members are looked at."""

    def __init__(self, **members: Any) -> None:
        super().__init__(members)
        self.seen: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.seen.add(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self.seen.add(str(key))
        return super().__contains__(key)


def test_requests_without_these_parameters_are_read_at_once() -> None:
    body = _Watched(model="gpt-5.1", messages=[], n=2)
    assert Ask(body).n == 2
    assert body.seen == {"model"} | ask._READ


@pytest.mark.parametrize("kind", [str, bytes])
@pytest.mark.parametrize("spelled", ["sk-", "\\u0073k-", "s\\u006b-", "sk\\u002D"])
@pytest.mark.parametrize("member", ['{{"user": "{}"}}', '{{"metadata": {{"{}": 1}}}}'])
def test_a_key_is_seen_however_it_is_escaped(member: str, spelled: str, kind: type) -> None:
    text = member.format(spelled + "a" * 20)
    body = text if kind is str else text.encode()
    result = check_exchange(Exchange(Request("POST", "/v1/chat/completions", {}, body), Response()))
    assert [finding.code for finding in result.findings].count("Q16") == 1


def test_the_deprecated_function_call_names_what_a_choice_has_to_call() -> None:
    weather = {"name": "weather", "parameters": {"type": "object"}}
    asked = {"request.body.functions": [weather]}
    assert "K07" not in codes("text", asked)
    assert "K07" in codes("text", {**asked, "request.body.function_call": {"name": "weather"}})


def test_the_memo_of_addresses_is_small() -> None:
    profiles._of_url.cache_clear()
    for number in range(1_000):
        assert profile_for_url(f"https://host-{number}.example/v1").name == "compatible"
    info = profiles._of_url.cache_info()
    assert info.currsize == info.maxsize == 256
    long = f"https://api.openai.com/v1/chat/completions?{'x' * 500}"
    assert profile_for_url(long).name == "openai"
    assert profiles._of_url.cache_info().misses == info.misses  # it was not looked up


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # Plain counts and parts, which are told without the rules; and just beyond each bound.
        ({}, set()),
        ({"completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 5}}, set()),
        ({"completion_tokens_details": {"reasoning_tokens": 10}}, {"U04"}),
        ({"completion_tokens_details": {"reasoning_tokens": -1, "audio_tokens": 5}}, {"U04"}),
        ({"completion_tokens_details": {"reasoning_tokens": 9, "audio_tokens": 9}}, set()),
        ({"prompt_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 1}}, {"U03"}),
        ({"prompt_tokens_details": {"cached_tokens": -1, "audio_tokens": 2}}, {"U03"}),
        ({"prompt_tokens_details": {}}, set()),
        ({"prompt_tokens_details": None}, set()),
        ({"total_tokens": 19}, {"U02"}),
        ({"prompt_tokens": 0, "total_tokens": 9}, {"U07"}),
        ({"completion_tokens": 0, "total_tokens": 9}, {"U07"}),
        ({"prompt_tokens": -1, "total_tokens": 8}, {"U01"}),
        ({"cost": 1, "cost_details": {"a_cost": 2, "upstream_inference_cost": 3}}, {"U08"}),
    ],
)
def test_what_counts_need_no_rule(changes: dict[str, Any], expected: set[str]) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18, **changes}
    ledger = Ledger(get_profile("compatible"))
    check_usage(ledger, usage, answered=True)
    assert {finding.code for finding in ledger.findings()} == expected


@pytest.mark.parametrize(
    "markup",
    [
        "<tool_call>",
        "</tool_call>",
        "[TOOL_CALLS]",
        "<|python_tag|>",
        "<|tool_call|>",
        "<|tool_calls|>",
        "<|tool_call_begin|>",
        "<|tool_calls_begin|>",
        "<|tool_calls_start|>",
        "<｜tool▁calls▁begin｜>",
        "<｜tool▁call▁begin｜>",
        "<|tool▁call",
        "<function=get_weather>",
        "<function=a.b-c>",
        "<function_call>",
        "<function_calls>",
        "<function=" + "a" * 54 + ">",
    ],
)
def test_markup_that_is_split_between_two_scans(markup: str) -> None:
    for at in range(1, len(markup)):
        text = Text(keep=False)
        text.add("Well. " + markup[:at])
        text.finish()
        text.add(markup[at:] + " Done.")
        text.finish()
        assert text.markup == markup or (markup.startswith(text.markup) and text.markup)
    whole = Text(keep=True)
    for character in f"a{markup}b":
        whole.add(character)
    assert str(whole) == f"a{markup}b"
    assert markup.startswith(whole.markup)
    assert whole.markup


def test_text_is_scanned_when_enough_of_it_waits() -> None:
    text = Text(keep=False, stops=("ab",))
    for _ in range(255):
        text.add("xa")
        text.add("by")
    assert text.stopped is None
    text.add("z")
    assert text.stopped is None
    text.add("z")  # the 512th
    assert text.stopped == "ab"


def test_a_stop_sequence_longer_than_any_markup_is_found_across_scans() -> None:
    stop = "s" * 99 + "!"
    for at in (1, 50, 99):
        text = Text(keep=False, stops=(stop, "?"))
        text.add("-" * 200 + stop[:at])
        text.finish()
        text.add(stop[at:])
        text.finish()
        assert text.stopped == stop


def test_text_that_was_not_kept_cannot_be_read() -> None:
    text = Text(keep=False)
    text.add("a")
    assert (text.any, text.kept) == (True, False)
    with pytest.raises(ValueError, match="this text was not kept"):
        str(text)
    assert str(Text(keep=True)) == ""


# -- server-sent events ------------------------------------------------------------------


def events(*pieces: bytes) -> list[tuple[bytes, bytes, str]]:
    return [*decode_sse(pieces)]


@pytest.mark.parametrize(
    "pieces",
    [
        [b"data: a\r", b"\ndata: b\r\n\r\n"],
        [b"data: a\r", b"", b"\ndata: b\r\n\r\n"],
        [b"data: a\r", b"", b"", b"\n", b"data: b\r\n\r", b"", b"\n"],
        [b"data: a\ndata: b\n", b"", b"\n"],
        [b"\xef\xbb\xbfdata: a\n", b"data: b\n\n"],
        [b"\xef\xbb\xbf", b"data: a\n", b"data: b\n\n"],
        [b"\xef\xbb\xbf\n", b"\n", b"data: a\ndata: b"],
    ],
)
def test_a_line_end_split_between_pieces_is_one(pieces: list[bytes]) -> None:
    assert events(*pieces) == [(b"a\nb", b"", "")]


def test_two_events_of_carriage_returns() -> None:
    assert events(b"data: a\r\rdata: b\r", b"\r") == [(b"a", b"", ""), (b"b", b"", "")]
    assert events(b"data: a\r\n\r\n", b"\ndata: b\n\n") == [(b"a", b"", ""), (b"b", b"", "")]


@pytest.mark.parametrize(
    ("block", "event"),
    [
        (b"data: a", (b"a", b"", "")),
        (b"data:a", (b"a", b"", "")),
        (b"data:  a", (b" a", b"", "")),
        (b"data", (b"", b"", "")),
        (b"data: a\ndata: b", (b"a\nb", b"", "")),
        (b"event: x\ndata: a", (b"a", b"x", "")),
        (b"event:x\ndata: a", (b"a", b"x", "")),
        (b"id: 1\nretry: 2\ndata: a", (b"a", b"", "")),
        (b": comment\ndata: a", (b"a", b"", "")),
        (b"error: a", (b"a", b"error", "")),
        (b"error:a", (b"a", b"error", "")),
        (b"error\ndata: a", (b"a", b"", "")),
        (b"Data: a", (b"", b"", "Data:")),
        (b" data: a", (b"", b"", " data:")),
        (b"DATA: a\n id: b", (b"", b"", "DATA:")),
        (b"Event: a\ndata: b", (b"b", b"", "Event:")),
        (b"Retry: 1", (b"", b"", "Retry:")),
        (b"Data\ndata: b", (b"b", b"", "")),
        (b"other: a\ndata: b", (b"b", b"", "")),
    ],
)
def test_the_fields_of_an_event(block: bytes, event: tuple[bytes, bytes, str]) -> None:
    assert events(block + b"\n\n") == [event]


@pytest.mark.parametrize(
    "block", [b"", b"\n", b": comment", b"event: x", b"id: 1", b"retry: 1", b"other: a", b"error"]
)
def test_a_block_without_data_is_no_event(block: bytes) -> None:
    assert events(block + b"\n\n", b"data: a\n\n") == [(b"a", b"", "")]


@pytest.mark.parametrize(
    ("head", "is_stream"),
    [
        (b"data: {}", True),
        (b"data:{}", True),
        (b" Data: {}", True),
        (b"event: x", True),
        (b"id: 1", True),
        (b"retry: 1", True),
        (b": comment", True),
        (b"\r\n\r\ndata: x", True),
        (b" " * 20 + b"data: x", True),
        (b"\xef\xbb\xbfdata: x", True),
        (b"data", False),
        (b"error: x", False),
        (b'{"data": 1}', False),
        (b"<html>", False),
        (b"x" * 63 + b":", False),
        (b"", False),
    ],
)
def test_how_an_event_stream_begins(head: bytes, is_stream: bool) -> None:
    assert looks_like_sse(head) is is_stream


# -- profiles, days, words ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "profile"),
    [
        ("x.openai.azure.com", "azure"),
        ("x.openai.azure.us", "azure"),
        ("x.openai.azure.cn", "azure"),
        ("x.openai.azure.org", "compatible"),
        ("x.cognitiveservices.azure.com", "azure"),
        ("openai.azure.com.evil.example", "compatible"),
        ("xopenai.azure.com", "compatible"),
        ("x.inference.ai.azure.com", "compatible"),
        ("x.models.ai.azure.com", "compatible"),
        ("api.openai.com.", "openai"),
        ("api.openai.com", "openai"),
        ("us.api.openai.com", "openai"),
        ("myapi.openai.com", "compatible"),
        ("[broken", "compatible"),
    ],
)
def test_whose_server_a_host_is(host: str, profile: str) -> None:
    chosen = profile_for_url(f"https://{host}/v1/chat/completions")
    assert chosen.name == profile
    filters = chosen.level("T09", "content-filter")
    behind_azure = "azure" in profile or ".ai.azure.com" in host
    assert filters == (None if behind_azure else "warning")


def test_a_property_has_a_first_and_a_last_day() -> None:
    def documented(day: str) -> bool:
        return "service_tier" in resolved("response", day)["properties"]

    since = validation.Node(resolved("response")).schema["properties"]["service_tier"]["x-since"]
    before = f"{since[:-2]}{int(since[-2:]) - 1:02}"
    assert documented(since)
    assert not documented(before)
    assert load("response") is load("response")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a" * 80, '"' + "a" * 80 + '"'),
        ("a" * 81, '"' + "a" * 77 + '..."'),
        ([1] * 21, "[" + ", ".join(["1"] * 20) + "]"),
        ({str(n): 0 for n in range(12)}, None),
        (10**40 - 1, "9" * 40),
        (10**40, '"a number of more than 40 digits"'),
        (-(10**40), '"a number of more than 40 digits"'),
        (True, "true"),
        (b"\xffa", '"\ufffda"'),
        ([[[[[1]]]]], '[[[["[...]"]]]]'),
        ({"a": {"b": {"c": {"d": {}}}}}, '{"a": {"b": {"c": {"d": "{...}"}}}}'),
    ],
)
def test_how_a_value_is_shown(value: Any, text: str | None) -> None:
    shown = show(value)
    assert len(shown) <= 82
    assert text is None or shown == text
    assert text is not None or shown.endswith("...")


def test_how_values_are_listed() -> None:
    assert listed(range(8)) == "0, 1, 2, 3, 4, 5, 6, 7"
    assert listed(range(9)) == "0, 1, 2, 3, 4, 5, 6, 7 and 1 more"
    assert listed([]) == ""


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        ("text", "response.body.object", '"chat.completion"'),
        ("text", "response.body.created", "integer"),
        ("text", "response.body.choices[0].message.content", "string or null"),
        ("text", "response.body.usage", "object"),
        ("text", "request.body.messages", "array with at least 1 item"),
        ("text", "request.body.model", "string"),
        ("text", "request.body.n", "integer from 1 to 128 or null"),
        (
            "text",
            "request.body.stop",
            "string or null or array with 1 to 4 items",
        ),
        ("text", "request.body.messages[0].content", "string or array with at least 1 item"),
        ("tools", "request.body.tools[0].type", 'one of "function", "custom"'),
        ("structured", "request.body.response_format.json_schema.name", None),
    ],
)
def test_what_a_schema_expects_in_words(base: str, path: str, expected: str | None) -> None:
    findings = found(base, {path: 1.5}, "documented")
    (text,) = {f.expected for f in findings if f.path == "$" + path.partition(".body")[2]}
    assert expected is None or text == expected
    assert expected is not None or text.startswith("string")
