"""What a request asks for decides what its response is held against, and how strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from whole_and_streamed import OPENAI, USAGE, VLLM, exchange, findings, verdict

from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.contract.findings import Finding

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def structured(strict: bool = True, **ask: Any) -> dict[str, Any]:
    inner = {"name": "place", "strict": strict, "schema": SCHEMA}
    return {"response_format": {"type": "json_schema", "json_schema": inner}, **ask}


OBJECT = {"response_format": {"type": "json_object"}}
REASONED = {**USAGE, "completion_tokens_details": {"reasoning_tokens": 5}}


# -- J01 and J02 on nothing ----------------------------------------------------------------


@pytest.mark.parametrize("content", [None, ""])
@pytest.mark.parametrize("url", [OPENAI, VLLM])
def test_nothing_is_not_structured_output(url: str, content: str | None) -> None:
    for ask, code in ((structured(), "J02"), (OBJECT, "J01")):
        expected = {code: "error", "S09": "warning"}
        assert verdict(ask, {"content": content}, url=url) == expected
        assert verdict(ask, {"content": content}, url=url, usage=REASONED) == {code: "error"}
        assert verdict(ask, {"content": content}, "length", url=url) == {}
        assert verdict(ask, {"content": content}, "content_filter", url=url) == {}
        assert verdict(ask, {"content": content, "refusal": "No."}, url=url) == {}
        (finding,) = findings(ask, {"content": content}, url=url, usage=REASONED)
        assert (finding.message, finding.got) == ("the content is empty", "nothing")


def test_reasoning_is_not_structured_output() -> None:
    assert verdict(structured(), {"reasoning": "Let me see."}) == {"J02": "error"}


def test_nothing_for_a_loose_schema_is_one_warning() -> None:
    loose = structured(strict=False)
    assert verdict(loose, {}) == {"S09": "warning"}
    assert verdict(loose, {}, usage=REASONED) == {"J02": "warning"}
    assert verdict(structured(), {}, "tool_calls") == {"C08": "error"}


# -- S09 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("member", ["reasoning", "reasoning_content"])
@pytest.mark.parametrize("usage", [None, USAGE, REASONED])
def test_text_of_the_reasoning_says_something(member: str, usage: Any) -> None:
    expected = [] if usage else ["U05"]
    for content in (None, ""):
        message = {"content": content, member: "It rains there."}
        whole = check_exchange(exchange({}, message, streamed=False, usage=usage)).findings
        assert [f.code for f in whole if f.level != "note"] == expected
        streamed = check_exchange(exchange({}, message, streamed=True, usage=usage)).findings
        assert [f.code for f in streamed if f.level != "note"] == []


@pytest.mark.parametrize("value", ["", None, {"text": "x"}, ["x"], True])
def test_what_is_not_text_of_the_reasoning(value: Any) -> None:
    assert verdict({}, {"reasoning": value}) == {"S09": "warning"}
    assert verdict({}, {"reasoning_content": value}) == {"S09": "warning"}


# -- K03 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, ["note"]),
        ({"stop_reason": None}, ["note"]),
        ({"stop_reason": "END"}, []),
        ({"stop_reason": 128009}, []),
        ({"matched_stop": "END"}, []),
        ({"matched_stop": None}, ["note"]),
        ({"stop_reason": {}}, ["note"]),
    ],
)
def test_a_text_that_ends_on_its_last_token(
    choice: dict[str, Any], expected: list[str], streamed: bool
) -> None:
    ask = {"max_completion_tokens": 8}
    found = check_exchange(exchange(ask, {"content": "Hi"}, streamed=streamed, **choice)).findings
    assert [f.level for f in found if f.code == "K03"] == expected


# -- J02 and the request's own stop --------------------------------------------------------

CUT = '{"city": "Tu'


@pytest.mark.parametrize(
    ("stop", "text", "choice", "expected"),
    [
        (["rku"], CUT, {"stop_reason": "rku"}, "warning"),
        ("rku", CUT, {}, "warning"),
        (["rku"], '{"city":', {}, "warning"),
        (["rku"], '{"city": nul', {}, "warning"),
        (["rku"], '{"city": "S\\u00', {}, "warning"),
        # The model's own end token ended it.
        (["rku"], CUT, {"stop_reason": None}, "error"),
        (["rku"], CUT, {"stop_reason": 128009}, "error"),
        (["rku"], CUT, {"stop_reason": "other"}, "error"),
        # No stop makes this JSON.
        (["rku"], "Turku", {}, "error"),
        (["rku"], '{"city" "Tu', {}, "error"),
        (["rku"], '{"city": 1}', {}, "error"),
        (["rku"], '{"city": "S\\x', {}, "error"),
        (["rku"], "{t", {}, "error"),
        (["rku"], "", {}, "error"),
        ([], CUT, {}, "error"),
        (None, CUT, {}, "error"),
    ],
)
def test_json_that_the_own_stop_cuts(
    stop: Any, text: str, choice: dict[str, Any], expected: str
) -> None:
    ask = structured(stop=stop)
    levels = [f.level for f in findings(ask, {"content": text}, **choice) if f.code == "J02"]
    assert levels == [expected]
    if not text.endswith("}"):
        levels = [
            f.level
            for f in findings({**OBJECT, "stop": stop}, {"content": text}, **choice)
            if f.code == "J01"
        ]
        assert levels == [expected]


def test_a_stop_token_of_the_request_cuts_too() -> None:
    ask = structured(stop_token_ids=[42])
    assert verdict(ask, {"content": CUT}, stop_reason=42) == {"J02": "warning"}
    assert verdict(ask, {"content": CUT}, stop_reason=43) == {"J02": "error"}
    assert verdict(ask, {"content": ""}, stop_reason=42) == {"J02": "warning", "S09": "warning"}
    assert verdict(ask, {"content": CUT}, "tool_calls", stop_reason=42)["J02"] == "error"


# -- K04, T14, T15: what a parameter of one server asks for --------------------------------


def test_a_stop_sequence_that_was_asked_for() -> None:
    ask = {"stop": ["END"]}
    assert verdict(ask, {"content": "The END"}) == {"K04": "error"}
    for value, expected in ((True, {}), (False, {"K04": "error"}), ("yes", {"K04": "error"})):
        ask = {"stop": ["END"], "include_stop_str_in_output": value}
        assert verdict(ask, {"content": "The END"}) == expected


def counted(options: dict[str, Any] | None) -> list[str]:
    """Codes for a stream that has usage on each chunk."""
    usual = exchange({"stream_options": options or {}}, {"content": "Hi"}, streamed=True)
    assert usual.response is not None
    assert usual.request is not None
    assert isinstance(usual.request.body, dict)
    if options is None:
        del usual.request.body["stream_options"]
    lines = str(usual.response.body).split("\n\n")
    counts = json.dumps({"prompt_tokens": 20, "completion_tokens": 1, "total_tokens": 21})
    body = "\n\n".join(
        line[:-1] + f', "usage": {counts}}}' if '"delta"' in line else line for line in lines
    )
    response = Response(200, usual.response.headers, body)
    found = check_exchange(Exchange(usual.request, response)).findings
    return [f.code for f in found if f.level != "note"]


def test_a_running_count_that_was_asked_for() -> None:
    assert counted({"continuous_usage_stats": True}) == []
    assert counted({"continuous_usage_stats": False}) == ["T15"]
    assert counted({"continuous_usage_stats": True, "include_usage": False}) == []
    assert counted({}) == ["T15"]
    assert counted(None) == ["T15"]


# -- E02 and Q03 after a Q00 about `stream` -----------------------------------------------


@pytest.mark.parametrize("value", ["true", 1, 0, "", []])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_broken_stream_is_one_finding(value: Any, streamed: bool) -> None:
    answer = exchange({}, {"content": "Hi"}, streamed=streamed)
    assert answer.request is not None
    assert isinstance(answer.request.body, dict)
    answer.request.body.update(stream=value, stream_options={"include_usage": True})
    found = [f for f in check_exchange(answer).findings if f.level != "note"]
    assert [(f.code, f.path) for f in found] == [("Q00", "$.stream")]


@pytest.mark.parametrize(("value", "streamed"), [(True, False), (False, True), (None, True)])
def test_a_sound_stream_is_held_against_the_body(value: bool | None, streamed: bool) -> None:
    answer = exchange({}, {"content": "Hi"}, streamed=streamed, usage=None)
    assert answer.request is not None
    assert isinstance(answer.request.body, dict)
    answer.request.body["stream"] = value
    assert "E02" in [f.code for f in check_exchange(answer).findings]


# -- L06 ---------------------------------------------------------------------------------


def ranked(own: float, *top: float, chosen: str = "a", asked: int = 3) -> list[Finding]:
    """The findings for one token; its alternatives are called a, b, c ..."""
    alternatives = [
        {"token": token, "logprob": value, "bytes": [*token.encode()]}
        for token, value in zip("abcd", top, strict=False)
    ]
    token = {"token": chosen, "logprob": own, "bytes": [*chosen.encode()]}
    logprobs = {"content": [{**token, "top_logprobs": alternatives}], "refusal": None}
    ask = {"logprobs": True, "top_logprobs": asked}
    answer = exchange(ask, {"content": chosen}, streamed=False, logprobs=logprobs, url=OPENAI)
    return [f for f in check_exchange(answer).findings if f.code[0] == "L"]


@pytest.mark.parametrize(
    ("own", "top", "legal"),
    [
        (-0.1, [-0.1, -2.0, -3.0], True),
        (-2.0, [-2.0, -2.0, -2.0], True),
        # Rounding is no order.
        (-2.0, [-2.0, -1.9995, -3.0], True),
        (-2.0, [-2.0, -1.9985, -3.0], False),
        (-3.0, [-3.0, -0.1, -2.0], False),
        (-0.1, [-0.1, -2.0, -1.0], False),
        (-0.1, [-0.1, -9999.0, -9999.0], True),
        (-0.1, [-0.1], True),
    ],
)
def test_alternatives_fall(own: float, top: list[float], legal: bool) -> None:
    assert [(f.code, f.level) for f in ranked(own, *top)] == ([] if legal else [("L06", "note")])


@pytest.mark.parametrize(
    ("own", "asked", "legal"),
    [
        (-5.0, 3, True),  # an unlikely token was chosen
        (-3.0, 3, True),
        (-2.0, 3, True),  # a tie
        (-1.5, 3, False),
        (-0.01, 3, False),
        (-1.5, 4, True),  # not a full list
    ],
)
def test_a_likely_token_is_among_its_alternatives(own: float, asked: int, legal: bool) -> None:
    found = ranked(own, -1.0, -2.0, -3.0, chosen="z", asked=asked)
    assert [(f.code, f.level) for f in found] == ([] if legal else [("L06", "note")])
    if not legal:
        assert "leaves out the chosen token" in found[0].message
        assert found[0].path == "$.choices[0].logprobs.content[0].top_logprobs"


# -- negative tests ------------------------------------------------------------------------

ERROR = {
    "error": {
        "message": "Invalid value.",
        "type": "invalid_request_error",
        "param": "temperature",
        "code": None,
    }
}


def levels(status: int | None, **ask: Any) -> dict[str, str]:
    body = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Go."}], **ask}
    response = None
    if status is not None:
        response = Response(status, {"content-type": "application/json"}, json.dumps(ERROR))
    found = check_exchange(Exchange(Request("POST", OPENAI, {}, body), response)).findings
    return {f.code: f.level for f in found if f.code[0] == "Q"}


def test_what_a_server_refused_is_a_note() -> None:
    wrong: dict[str, Any] = {"temperature": 3, "top_logprobs": 2, "top_k": 5}
    assert levels(None, **wrong) == {"Q00": "error", "Q02": "error", "Q12": "warning"}
    for status in (400, 401, 404, 422, 429, 499):
        assert levels(status, **wrong) == {"Q00": "note", "Q02": "note", "Q12": "note"}
    for status in (500, 503):
        assert levels(status, **wrong) == levels(None, **wrong)


def test_a_key_in_a_refused_request_is_still_a_key() -> None:
    assert levels(400, user="sk-abcdefghijklmnop1234")["Q16"] == "error"


def test_the_answer_to_a_refused_request_keeps_its_levels() -> None:
    request = Request("POST", OPENAI, {}, "{")
    response = Response(400, {"content-type": "application/json"}, '{"detail": "No."}')
    found = check_exchange(Exchange(request, response)).findings
    assert {f.code: f.level for f in found if f.code != "H01"} == {"Q00": "note", "X01": "error"}


# -- L05: log probabilities in a form that no client reads ------------------------------------


@pytest.mark.parametrize(
    "logprobs",
    [
        {"content": None, "refusal": None},
        {"tokens": ["Hi"], "token_logprobs": [-0.1], "text_offset": [0]},
    ],
)
def test_log_probabilities_without_a_list_of_tokens(logprobs: dict[str, Any]) -> None:
    body: dict[str, Any] = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1_750_000_000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi"},
                "logprobs": logprobs,
                "finish_reason": "stop",
            }
        ],
    }
    chunk = {**body, "object": "chat.completion.chunk"}
    delta = {"role": "assistant", "content": "Hi"}
    chunk["choices"] = [{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": "stop"}]
    stream = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
    for answer, ask in ((json.dumps(body), {}), (stream, {"stream": True})):
        request = {"model": "m", "messages": [], "logprobs": True, **ask}
        exchange = Exchange(Request("POST", VLLM, {}, request), Response(200, {}, answer))
        (finding,) = [f for f in check_exchange(exchange).findings if f.code == "L05"]
        assert (finding.level, finding.got) == ("error", "an object without")
