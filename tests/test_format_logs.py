"""Logs that assemble a response from what a client library returned: what they show is checked."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.endpoint import endpoint, other_api
from pytest_chatapi.contract.exchange import Exchange, Request, Response
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.reader import read
from pytest_chatapi.reading.shapes import why_not_json

ASKED: dict[str, Any] = {
    "model": "gpt-5.2",
    "messages": [{"role": "user", "content": "Hello"}],
}
STREAMED = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
JSON_ONLY = {"type": "json_schema", "json_schema": {
    "name": "city", "strict": True, "schema": TOOL["function"]["parameters"],
}}  # fmt: skip
PLAIN = {"role": "assistant", "content": "Hi"}
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
FRAME = {"id": "chatcmpl-L1", "created": 1766496292, "model": "gpt-5.2-2025-12-11"}


def completion(total: int = 13, **message: Any) -> dict[str, Any]:
    """As a client library dumps it: with null for what was absent."""
    kept = {"role": "assistant", "content": "Hi", "tool_calls": None, "function_call": None}
    choice = {"index": 0, "finish_reason": "stop", "message": {**kept, **message}}
    usage = {**USAGE, "total_tokens": total}
    return {**FRAME, "object": "chat.completion", "choices": [choice], "usage": usage}


def chunks(total: int = 13) -> list[dict[str, Any]]:
    frame = {**FRAME, "object": "chat.completion.chunk"}
    deltas: list[tuple[dict[str, Any], str | None]] = [
        ({"role": "assistant", "content": "", "tool_calls": None}, None),
        ({"content": "Hi"}, None),
        ({}, "stop"),
    ]
    told = [
        {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        for delta, finish in deltas
    ]
    return [*told, {**frame, "choices": [], "usage": {**USAGE, "total_tokens": total}}]


def call(name: str = "weather", arguments: str = '{"city": "Oslo"}') -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": "call_1", "type": "function", "function": function}


def read_all(*values: Any) -> list[Exchange]:
    text = "\n".join(map(json.dumps, values))
    return list(read(io.BytesIO(text.encode()), name="f"))


def one(value: Any) -> Exchange:
    (exchange,) = read_all(value)
    return exchange


def alarms(exchange: Exchange) -> list[str]:
    """Codes of the findings that are more than notes."""
    return [f.code for f in check_exchange(exchange).findings if f.level != "note"]


# -- home-made logs ----------------------------------------------------------------------

HOME_MADE: dict[str, Any] = {
    "the bodies": lambda total: {"request": ASKED, "response": completion(total)},
    "flat": lambda total: {**ASKED, "ts": 1.5, "response": completion(total)},
    "flat, no model": lambda total: {
        "messages": ASKED["messages"], "response": completion(total),
    },
    "chunks": lambda total: {"request": STREAMED, "response": chunks(total)},
    "named chunks": lambda total: {"request": STREAMED, "response": {"chunks": chunks(total)}},
    "text": lambda total: {"request": ASKED, "response": {"text": json.dumps(completion(total))}},
    "content": lambda total: {
        "request": {"json": ASKED}, "response": {"content": json.dumps(completion(total))},
    },
    "data": lambda total: {"request": {"data": ASKED}, "response": {"data": completion(total)}},
    "another name": lambda total: {"request": ASKED, "response": {"result": completion(total)}},
    "texts": lambda total: {
        "request": json.dumps(ASKED), "response": json.dumps(completion(total)),
    },
    "input and output": lambda total: {"input": ASKED, "output": completion(total)},
    "messages and output": lambda total: {
        "input": ASKED["messages"], "params": {"temperature": 1}, "output": completion(total),
    },
    "bodies by name": lambda total: {
        "request_body": json.dumps(ASKED), "response_body": json.dumps(completion(total)),
    },
    "the answer alone": lambda total: {"id": 5, "completion": completion(total)},
}  # fmt: skip


@pytest.mark.parametrize("form", HOME_MADE)
def test_a_home_made_log_is_read(form: str) -> None:
    exchange = one(HOME_MADE[form](13))
    assert exchange.assembled == ("chunks" not in form)
    assert alarms(exchange) == []
    assert alarms(one(HOME_MADE[form](14))) == ["U02"]
    if form != "the answer alone":
        assert exchange.request is not None
        assert exchange.request.json()["messages"] == ASKED["messages"]


WIRE = {**completion(14), "choices": [{**completion()["choices"][0], "message": {
    "role": "assistant", "content": "Hi", "refusal": None,
}, "logprobs": None}]}  # fmt: skip


@pytest.mark.parametrize(
    "response",
    [
        {"status": 200, "text": json.dumps(WIRE)},
        {"status_code": 200, "json": WIRE},
        {"statusCode": 200, "data": WIRE},
        {"status": 200, "payload": WIRE},
        {"headers": {"Content-Type": "application/json"}, "content": json.dumps(WIRE)},
        {"status": 200, **WIRE},
    ],
)
def test_what_recorded_a_status_or_headers_saw_the_wire(response: Any) -> None:
    exchange = one(
        {"request": {"url": "/v1/chat/completions", "json": ASKED}, "response": response}
    )
    assert not exchange.assembled
    assert exchange.response is not None
    assert exchange.response.status == 200
    assert alarms(exchange) == ["U02"]


def test_the_status_and_the_url_may_be_above() -> None:
    url = "https://api.openai.com/v1/chat/completions"
    body = {"error": {"message": "no", "type": "tokens", "param": None, "code": None}}
    exchange = one({"url": url, "status": 429, "request": ASKED, "response": body})
    assert (exchange.request and exchange.request.url, exchange.assembled) == (url, False)
    assert exchange.response is not None
    assert (exchange.response.status, exchange.response.body) == (429, body)
    exchange = one({"req": {"url": url, "body": ASKED}, "res": {"status": 200, "body": WIRE}})
    assert alarms(exchange) == ["U02"]


def test_a_response_alone() -> None:
    url = "https://api.openai.com/v1/chat/completions"
    value = {"url": url, "status": 200, "headers": {"X-Request-Id": "r"}, "body": WIRE}
    exchange = one(value)
    assert exchange.request == Request(url=url)
    assert exchange.response == Response(200, {"x-request-id": "r"}, WIRE)
    assert not exchange.assembled
    assert alarms(exchange) == ["U02"]
    assert alarms(one({"response": {"status": 200, "body": WIRE}, "path": "logs/1"})) == ["U02"]


def test_an_event_stream_as_text_is_checked_as_one() -> None:
    events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks(14)[1:])
    exchange = one({"request": STREAMED, "response": events})
    assert not exchange.assembled
    assert {*alarms(exchange)} == {"T04", "T08", "U02"}


@pytest.mark.parametrize("error", [{"message": "slow down"}, "timeout"])
def test_the_form_of_an_error_is_not_in_a_log(error: Any) -> None:
    exchange = one({"request": ASKED, "response": {"error": error}})
    assert exchange.response is not None
    assert exchange.response.status == 400
    assert alarms(exchange) == []
    exchange = one({**ASKED, "temperature": 3, "response": None, "error": error})
    assert exchange.response is None
    assert alarms(exchange) == ["Q00"]


def test_a_message_alone_is_held_against_the_request() -> None:
    for response in ("not JSON", {"role": "assistant", "content": "not JSON"}):
        exchange = one({"request": {**ASKED, "response_format": JSON_ONLY}, "response": response})
        assert alarms(exchange) == ["J02"]
        assert alarms(one({"request": ASKED, "response": response})) == []
    asked = {**ASKED, "response_format": JSON_ONLY}
    value = {"input": asked, "output": {"role": "assistant", "content": None}}
    assert alarms(one(value)) == []  # the log does not say why it is empty


MODEL, MESSAGES = ASKED["model"], ASKED["messages"]
COUNTS = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 99}


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ({"content": "Hi", "model": "m"}, []),
        ({"content": "Hi", "model": "m", "usage": USAGE}, []),
        ({"content": "Hi", "model": "m", "usage": COUNTS}, ["U02"]),
        ({"content": "Hi", "usage": {"prompt_tokens": 9, "total_tokens": -1}}, []),
        ({"text": "Hi", "id": "c1", "usage": COUNTS}, ["U02"]),
        ({"content": "It is \ufffd", "status": "success"}, ["S15"]),
        ({"content": None, "tool_calls": [call("train", "{bad")]}, ["C09", "C03"]),
        ({"content": "One moment", "tool_calls": [call("train")]}, ["C09"]),
        ({"tool_calls": [call()], "model": "m"}, []),
        ({"content": None, "function_call": call("train")["function"]}, ["C09"]),
        ({"content": "", "tool_calls": []}, []),
        ({"content": None, "tool_calls": []}, []),
        ({**PLAIN, "usage": COUNTS}, ["U02"]),
    ],
)
@pytest.mark.parametrize("url", ["", "http://127.0.0.1:8000/v1/chat/completions"])
def test_what_a_log_made_of_a_response_is_a_message(
    response: Any, expected: list[str], url: str
) -> None:
    asked = {**ASKED, "tools": [TOOL]}
    exchange = one({"request": asked, "response": response, "url": url})
    assert exchange.assembled
    assert alarms(exchange) == expected


@pytest.mark.parametrize("response", ["Hi", {"content": "Hi"}, PLAIN])
def test_the_tokens_of_a_message_may_be_beside_it(response: Any) -> None:
    for usage, expected in ((COUNTS, ["U02"]), (USAGE, []), ({"total_tokens": 99}, []), (5, [])):
        assert alarms(one({"request": ASKED, "response": response, "usage": usage})) == expected


@pytest.mark.parametrize("finish", ["length", "content_filter", "max_tokens"])
def test_a_message_that_was_cut_off_need_not_be_whole(finish: str) -> None:
    asked = {**ASKED, "response_format": JSON_ONLY}
    cut = {"content": '{"city', "finish_reason": finish}
    for response in (cut, {**cut, "role": "assistant"}):
        assert alarms(one({"request": asked, "response": response})) == []
        ended = {**response, "finish_reason": "stop"}
        assert alarms(one({"request": asked, "response": ended})) == ["J02"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"content": [{"type": "text", "text": "Os"}, {"type": "text", "text": "lo"}]}, ["J02"]),
        ({"content": [{"type": "text", "text": '{"city": "Oslo"}'}]}, []),
        ({"content": "", "tool_calls": [call(arguments={"town": "Oslo"})]}, ["C10"]),  # type: ignore[arg-type]
        ({"content": "", "tool_calls": [call(arguments={"city": "Oslo"})]}, []),  # type: ignore[arg-type]
        ({"content": '{"city": "Oslo"}', "tool_calls": []}, []),
    ],
)
def test_what_a_library_parsed_is_checked_as_it_was(message: Any, expected: list[str]) -> None:
    asked = {**ASKED, "tools": [TOOL], "response_format": JSON_ONLY}
    value = {"request": asked, "response": {"role": "assistant", **message}}
    assert alarms(one(value)) == expected
    output = {"role": "assistant", **message}
    assert alarms(one(observation(input=asked, output=output))) == expected


@pytest.mark.parametrize(
    "message",
    [
        {"content": {"city": "Oslo"}},
        {"content": 5},
        {"content": [{"type": "text", "text": "Hi"}, {"type": "tool-call", "toolName": "f"}]},
        {"content": ["Hi"]},
        {"content": [{"type": "text", "text": None}]},
        {"content": None, "tool_calls": [{"id": "t1", "name": "weather", "args": {}}]},
        {"content": None, "tool_calls": [call(), "weather"]},
        {"content": None, "tool_calls": "weather"},
        {"content": None, "tool_calls": [{"id": "t1", "function": {"arguments": "{}"}}]},
        {"content": None, "tool_calls": [call(arguments=5)]},  # type: ignore[arg-type]
        {"content": None, "function_call": "weather"},
        {"parts": [{"type": "blob", "content": "R0lG"}]},
    ],
)
def test_a_message_in_a_form_of_a_librarys_own_is_counted(message: Any) -> None:
    message = {"role": "assistant", **message}
    asked = {**ASKED, "tools": [TOOL]}
    for value in (
        {"request": asked, "response": message},
        {"request": asked, "output": message},
        observation(input=asked, output=message),
    ):
        result = check_exchange(one(value))
        assert (result.kind, result.api) == (None, "messages not understood")


NO_BODY = ", and none of them is the body"


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ({"foo": {"a": 1}}, "its keys are foo" + NO_BODY),
        ({"status": 200, "foo": [1]}, "its keys are status, foo" + NO_BODY),
        ({"status": 200, "headers": {}}, "its keys are status, headers" + NO_BODY),
        ({"foo": 1, "text": ""}, "its keys are foo, text" + NO_BODY),
        ([1], "it is not an object, but [1]"),
        (5, "it is not an object, but 5"),
    ],
)
def test_what_is_not_understood_is_refused(response: Any, reason: str) -> None:
    with pytest.raises(ReadError) as caught:
        one({"request": ASKED, "response": response})
    assert str(caught.value) == f"f: line 1: the response is not understood: {reason}"


@pytest.mark.parametrize("status", [0, 100, 204, 304])
def test_some_responses_never_have_a_body(status: int) -> None:
    exchange = one({"request": {"body": ASKED}, "response": {"status": status}})
    assert exchange.response is None if status == 0 else exchange.response is not None


def test_a_failed_call_has_an_empty_response_in_a_log_only() -> None:
    assert one({"request": ASKED, "response": {}}).response is None
    request = {"url": "/v1/chat/completions", "body": ASKED}
    for response in ({}, "Hi"):
        with pytest.raises(ReadError, match="the response is not understood"):
            one({"request": request, "response": response})


def test_what_has_nothing_to_do_with_chat_is_not_refused() -> None:
    value = {"request": {"url": "https://a.example/x"}, "response": {"status": 200, "foo": [1]}}
    exchange = one(value)
    assert exchange.response is not None
    assert exchange.response.body is None
    with pytest.raises(ReadError, match="not a recording in a known format"):
        one({"request": {"foo": 1}, "response": {"bar": {"x": 1}}})


@pytest.mark.parametrize("key", ["text", "content", "data"])
def test_a_text_without_a_status_is_that_of_a_message(key: str) -> None:
    asked = {**ASKED, "response_format": JSON_ONLY}
    for text in ("Oslo", '{"town": "Oslo"}', '{"city": '):
        assert alarms(one({"request": asked, "response": {key: text}})) == ["J02"]
        assert alarms(one({"request": ASKED, "response": {key: text}})) == []
    assert alarms(one({"request": asked, "response": {"status": 200, key: "Oslo"}})) == ["S00"]


BODY = json.dumps(completion())
ERROR = json.dumps({"error": {"message": "slow down", "type": "requests", "code": None}})
MESSAGE = json.dumps({"role": "assistant", "content": "Hi"})
CUT = "it is not valid JSON: Unterminated string starting at; the text is cut off"
PRINTED = "it is not valid JSON: Expecting property name enclosed in double quotes"
OF_PYTHON = "it is not JSON, but what Python prints of an object"
DAMAGED = [
    (BODY[:23], CUT),
    (BODY[: BODY.index("Hi")], CUT),
    (BODY.replace("chatcmpl-", "")[:-30], CUT),
    (BODY[:-1], "it is not valid JSON: Expecting ',' delimiter; the text is cut off"),
    (BODY.replace("Hi", "H\n"), "it is not valid JSON: Invalid control character at"),
    (ERROR[: ERROR.index("down")], CUT),
    (MESSAGE[:-3], CUT),
    ("\n".join(map(json.dumps, chunks())), "it is not valid JSON: Extra data"),
    (json.dumps(BODY)[:60], CUT),
    (str(completion()), OF_PYTHON),
    ("ChatCompletion(id='chatcmpl-L1', choices=[Choice(finish_reason='stop')])", OF_PYTHON),
    (json.dumps({"usage": USAGE, **completion()}).split("Hi")[0], CUT),
    (json.dumps({"usage": USAGE, **completion()})[:40], CUT),
    (
        json.dumps({"timings": {"n": [1, 2]}, "choices": completion()["choices"]}).split("Hi")[0],
        CUT,
    ),
    ('{"choices":[{"content_filter_results":{"hate":{"filtered":false}},"finish_re', CUT),
]


# What clients print, taken from the libraries themselves.
PRINTED_BY_CLIENTS = [
    "ChatCompletion(id='chatcmpl-1', choices=[Choice(finish_reason='stop', index=0)])",
    "ChatCompletion(id='chatcmpl-1', choices=[Choice(finish_reason='stop', message=ChatComp",
    "ParsedChatCompletion[~ResponseFormatT](id='chatcmpl-1', choices=[ParsedChoice[NoneType](",
    "ChatCompletionMessage(content='It\\'s', refusal=None, role='assistant', audio=None)",
    "[Choice(finish_reason='stop', index=0, message=ChatCompletionMessage(content='Hi'))]",
    "[Choice(delta=ChoiceDelta(content='Hi', role='assistant'), index=0)]",
    "ChoiceDelta(content='Hi', function_call=None, refusal=None, role=None)",
    "ChunkEvent(type='chunk', chunk=ChatCompletionChunk(id='chatcmpl-1'))",
    "ModelResponse(id='chatcmpl-1', created=1, choices=[Choices(index=0)])",
    "StreamingChoices(finish_reason=None, index=0, delta=Delta(content='Hi', role='assistant'))",
    "Delta(provider_specific_fields=None, content='Hi', role='assistant')",
    "Message(content='Hi', role='assistant', tool_calls=None)",
    "ModelResponse(parts=[TextPart(content='Hi')], model_name='test')",
    "[ModelRequest(parts=[UserPromptPart(content='Hi')]), ModelResponse(parts=[])]",
    "AgentRunResult(output='Hi')",
    "AIMessage(content='Hi', additional_kwargs={}, response_metadata={})",
    "[AIMessageChunk(content='H', additional_kwargs={}, response_metadata={})]",
    "content='Hi' additional_kwargs={} response_metadata={'finish_reason': 'stop'} id='run--1'",
    "generations=[[ChatGeneration(text='Hi', message=AIMessage(content='Hi'))]] llm_output={}",
    "text='Hi' generation_info={'finish_reason': 'stop'} message=AIMessage(content='Hi')",
    "ChatGeneration(text='Hi', message=AIMessage(content='Hi'))",
    "LLMResult(generations=[[ChatGeneration(text='Hi')]], llm_output={})",
    "{'messages': [HumanMessage(content='Hi', additional_kwargs={}), AIMessage(content='Hi')]}",
    "{'raw': AIMessage(content='', additional_kwargs={}), 'parsed': None}",
    "id='cmpl-9' object='chat.completion' choices=[Choice(index=0)]",
    "choices=[Choice(index=0)] created=1",
    "{'content': 'Hi', 'refusal': None, 'role': 'assistant', 'tool_calls': None}",
    "{'content': 'Hi', 'additional_kwargs': {}, 'response_metadata': {}}",
    "[{'finish_reason': 'stop', 'index': 0, 'message': {'content': 'Hi'}}]",
    repr(BODY.encode()),
    repr(BODY.encode())[:70],
    repr(b"\n     \n" + BODY.encode()),
    repr(b'{\n  "error": {"message": "slow down"}}'),
    repr(bytearray(BODY.encode())),
    repr(b'data: {"id": 1}'),
    repr([b'data: {"id": 1}', b"data: [DONE]"]),
    repr(b": OPENROUTER PROCESSING\n\ndata: {}"),
    "<Response [200 OK]>",
    "<Response [200]>",
    "<APIResponse [200 OK] type=<class 'openai.types.chat.chat_completion.ChatCompletion'>>",
    "<openai.AsyncStream object at 0x7f2d8c0b1a90>",
    "<coroutine object AsyncCompletions.create at 0x7F2D8C0B1A90>\n",
    "<async_generator object acompletion at 0x7f2d8c0b1a90>",
    "<bound method Response.json of <Response [200 OK]>>",
    "<Task pending name='Task-2' coro=<AsyncCompletions.create()>>",
    "Error code: 429 - {'error': {'message': 'slow down'}}",
]


@pytest.mark.parametrize("text", PRINTED_BY_CLIENTS)
def test_what_python_prints_of_an_object_is_not_the_text_of_a_message(text: str) -> None:
    assert why_not_json(text, "response").startswith(f"the response is not understood: {OF_PYTHON}")
    with pytest.raises(ReadError, match="what Python prints of an object"):
        one({"request": ASKED, "response": text})


@pytest.mark.parametrize(
    "text",
    [
        "\n" * 40_000,
        " " * 40_000 + "Hi",
        "[" * 40_000,
        "b'" + "\\n" * 20_000,
        "id='" + " a" * 20_000,
        "{'a': " + "'role': 'assistant'" * 5000,
        "<" + "a." * 20_000,
    ],
)
def test_a_long_text_is_no_print(text: str) -> None:
    """Each in a few milliseconds: white space alone once took minutes."""
    assert why_not_json(text, "response") == why_not_json(text, "request") == ""


@pytest.mark.parametrize(("text", "reason"), DAMAGED)
def test_a_body_that_is_no_longer_json_is_not_the_text_of_a_message(text: str, reason: str) -> None:
    for value in (
        {"request": ASKED, "response": text},
        {"request": ASKED, "response": {"text": text}},
        {**ASKED, "response": text},
        payload(response=text),
        observation(output=text),
    ):
        with pytest.raises(ReadError) as caught:
            one(value)
        message = str(caught.value)
        assert message.startswith(f"f: line 1: the response is not understood: {reason}")
        assert message.endswith("; log the whole body as JSON")


@pytest.mark.parametrize(
    "text",
    [
        "{name}, welcome",
        '{"city": "Os',
        '{"id": 7, "object": "chair", "choices": ["a", "b',
        '{"choices": [{"index": 0, "text": "4"}, {"index',
        '{"error": "no such ci',
        f"{MESSAGE}\n{MESSAGE}",
        f"```json\n{BODY[:50]}",
        f"It returns {BODY[:50]}",
        "[INST] Hi",
        "ChatCompletion is a class.",
        "ChatCompletion(model='gpt-5.2') makes one.",
        "Message(content='Hi') is positional in v1; now write Message(role='assistant').",
        "Message(content='Hi', sender='me')",
        "AIMessage(content='Hi')",
        "User(id='u1', name='Ann', role='user')",
        "[CreateUser(id='7', role='user')]",
        "Question(text='Where?', choices=[Choice(text='Here'), Choice(text='There')])",
        "content='Hi'",
        "content='Hi' is the argument, with additional_kwargs={} beside it.",
        "id='42'\nadditional_kwargs={'role': 'assistant'}",
        'id="req-1" level=info msg="done" finish_reason="stop"',
        "{'role': 'assistant', 'content': 'Hi'}",
        "b'abc' is a bytes literal.",
        """b'{"id": "chatcmpl-1"}' is a bytes literal holding JSON.""",
        """b'{"a": 1}'""",
        "b'data:image/png;base64,iVBORw0KGgo='",
        "It is <openai.Stream object at 0x7f2d8c0b1a90>",
        "<openai.Stream object at 0x7f2d8c0b1a90> is what it prints.",
        "<__main__.Dog object at 0x7f2d8c0b1a90>",
        "<function greet at 0x7f2d8c0b1a90>",
        "<generator object squares at 0x7f2d8c0b1a90>",
        '{"usage": {"cpu": "80',
        '{"error": {"message": "not found"}}\n\nThat is the error you get.',
        '{"choices": [{"label": "A", "message": "foo"}]} Hope this helps!',
    ],
)
def test_a_text_that_begins_with_a_brace_is_that_of_a_message(text: str) -> None:
    exchange = one({"request": ASKED, "response": text})
    assert exchange.response == Response(body={"message": {"role": "assistant", "content": text}})
    assert one(observation(output=text)).response is not None


def test_a_message_alone_shows_no_log_probabilities() -> None:
    asked = {**ASKED, "logprobs": True}
    for response in ("Hi", {"role": "assistant", "content": "Hi"}):
        assert alarms(one({"request": asked, "response": response})) == []
    assert "L05" in alarms(one({"request": asked, "response": completion()}))


def test_a_call_that_may_have_been_forced_may_finish_with_stop() -> None:
    response = completion(content=None, tool_calls=[call()])
    assert alarms(one({"request": {**ASKED, "tools": [TOOL]}, "response": response})) == ["C07"]
    assert alarms(one(observation(input=ASKED["messages"], output=response))) == []
    row = {"latency": 1, "url": "/v1/chat/completions", "response": response}
    assert one(row).is_unasked
    assert alarms(one(row)) == []
    assert "C07" in alarms(one(response))  # not of a log


ASKED_TEXT = json.dumps(ASKED)


@pytest.mark.parametrize(
    ("text", "reason"), [(ASKED_TEXT[:30], CUT), (ASKED_TEXT[:-6], CUT), (str(ASKED), PRINTED)]
)
def test_a_request_that_is_no_longer_json_is_refused(text: str, reason: str) -> None:
    messages = text[text.index("[") : -1] if "[" in text else '[{"role": "us'
    for value in (
        {"request": text, "response": completion()},
        {"messages": messages, "response": completion()},
        payload(messages=messages),
        observation(input=messages, output=completion()),
    ):
        with pytest.raises(ReadError) as caught:
            one(value)
        message = str(caught.value)
        assert message.startswith(f"f: line 1: the request is not understood: {reason}")
    other = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}]}
    assert endpoint(one({"request": text, "response": other})) is None
    assert alarms(one({"request": "{name}, welcome", "response": completion(14)})) == ["U02"]


@pytest.mark.parametrize(
    "text",
    [
        '{"model": "T-800", "year": 1984} Describe this robot.',
        '[{"role": "user", "content": "a"}]\nContinue this conversation.',
        "Message(content='Hi', role='assistant')\nWhat does this code do?",
        """b'{"messages": []}' what type is this in Python?""",
        '{"tools": [{"type": "hammer"}, {"type": "saw"} Fix this JSON',
    ],
)
def test_a_prompt_may_begin_like_a_request(text: str) -> None:
    for value in (
        {"request": text, "response": completion(14)},
        {"messages": text, "response": completion(14)},
        payload(messages=text, response=completion(14)),
        observation(input=text, output=completion(14)),
    ):
        assert "U02" in alarms(one(value))


def test_two_requests_in_one_text_are_refused() -> None:
    with pytest.raises(ReadError, match="the request is not understood: it is not valid JSON"):
        one({"request": f"{ASKED_TEXT}\n{ASKED_TEXT}", "response": completion()})


def test_json_that_a_model_wrote_is_its_text_in_langfuse() -> None:
    for text in ('{"city": "Oslo<|im_end|>"}', json.dumps('{"city": "Oslo<|im_end|>"}')):
        response = one(observation(output=text)).response
        assert response is not None
        assert response.body["message"] == {"role": "assistant", "content": text}


def test_a_body_may_be_the_text_of_a_text() -> None:
    twice = json.dumps(json.dumps(completion(14)))
    for value in (
        {"request": json.dumps(ASKED_TEXT), "response": twice},
        payload(response=twice),
        observation(output=twice),
    ):
        exchange = one(value)
        assert exchange.request is not None
        assert exchange.request.body == ASKED
        assert alarms(exchange) == ["U02"]
    text = json.dumps('{"city": "Oslo"}')  # not a body: it is what the model wrote
    assert one({"request": ASKED, "response": text}).response == Response(
        body={"message": {"role": "assistant", "content": text}}
    )


@pytest.mark.parametrize("key", ["response", "result"])
@pytest.mark.parametrize("name", ["messages", "input"])
@pytest.mark.parametrize("parameters", ["params", "kwargs", "model_parameters"])
def test_parameters_may_have_an_object_of_their_own(parameters: str, key: str, name: str) -> None:
    called = completion(tool_calls=[call()], content=None)
    called["choices"][0]["finish_reason"] = "tool_calls"
    two = completion()
    two["choices"].append({**two["choices"][0], "index": 1})
    for stated, response, expected in (
        ({"response_format": JSON_ONLY}, completion(), ["J02"]),
        ({"tools": [TOOL]}, called, []),
        ({"n": 2}, two, []),
        ({"n": 2}, completion(), ["K01"]),
        ({"temperature": 3}, completion(), ["Q00"]),
    ):
        for told in (stated, json.dumps(stated)):
            value = {"model": MODEL, name: MESSAGES, parameters: told, key: response}
            assert alarms(one(value)) == expected


@pytest.mark.parametrize("key", ["response", "result"])
def test_the_whole_request_may_be_beside_its_response(key: str) -> None:
    asked = {**ASKED, "response_format": JSON_ONLY}
    for value in ({"kwargs": asked}, {"messages": MESSAGES, "sent": json.dumps(asked)}):
        assert alarms(one({**value, key: completion()})) == ["J02"]
    earlier = {"messages": [{"role": "user", "content": "Hey"}], "response_format": JSON_ONLY}
    assert alarms(one({**ASKED, "previous": earlier, "response": completion()})) == []


@pytest.mark.parametrize(
    "own",
    [
        {"user": 42},
        {"metadata": {"attempt": 2}},
        {"store": "redis"},
        {"n": 17},
        {"n": "17"},
        {"seed": "a3"},
        {"stop": False},
        {"prediction": {"label": "a"}},
        {"audio": {"path": "a.wav"}},
        {"tools": ["weather"]},
        {"response_format": "json"},
        {"max_tokens": 100.0},
        {"model": {"name": "m"}},
    ],
)
@pytest.mark.parametrize("key", ["response", "result"])
def test_members_of_a_log_that_are_named_like_parameters(own: Any, key: str) -> None:
    value = {**ASKED, **own, key: completion()}
    assert alarms(one(value)) == []
    assert alarms(one({**value, "temperature": 3})) == ["Q00"]
    (name,) = own
    if name not in ("model", "metadata"):  # in a request it is a parameter
        assert {*alarms(one({"request": {**ASKED, **own}, key: completion()}))} & {"K01", "Q00"}


def test_parameters_of_a_flat_request() -> None:
    two = completion()
    two["choices"].append({**two["choices"][0], "index": 1})
    value = {**ASKED, "n": 2, "tools": json.dumps([TOOL]), "response": two}
    exchange = one(value)
    assert exchange.request is not None
    assert exchange.request.body == {**ASKED, "n": 2, "tools": [TOOL]}
    assert alarms(exchange) == []
    assert alarms(one({**value, "n": 3})) == ["K01"]
    audio = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "mp3"}}
    assert alarms(one({**ASKED, **audio, "response": completion()})) == []
    second = json.loads(json.dumps(chunks()[:3]).replace('"index": 0', '"index": 1'))
    streamed = second + chunks()
    events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in streamed) + "data: [DONE]\n\n"
    for response in (streamed, events):
        value = {**ASKED, "stream": True, "n": 2, "response": response}
        assert not {*alarms(one(value))} & {"K01", "T12"}
    events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks()) + "data: [DONE]\n\n"
    assert "K01" not in alarms(one({**value, "n": 17, "response": events}))


@pytest.mark.parametrize("tools", [{}, {"tools": None}, {"tools": ["weather"]}])
def test_a_log_that_left_its_tools_out_shows_no_unknown_call(tools: Any) -> None:
    called = completion(tool_calls=[call()], content=None)
    called["choices"][0]["finish_reason"] = "tool_calls"
    delta = {"role": "assistant", "tool_calls": [{"index": 0, **call()}]}
    streamed = chunks()
    streamed[0]["choices"][0]["delta"] = delta
    streamed[2]["choices"][0]["finish_reason"] = "tool_calls"
    events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in streamed)
    for response in (
        called,
        json.dumps(called),
        {"content": None, "tool_calls": [call()]},
        {"content": None, "function_call": call()["function"]},
        streamed,
        events + "data: [DONE]\n\n",
    ):
        exchange = one({**ASKED, "stream": True, **tools, "response": response})
        assert "C09" not in alarms(exchange)
        assert exchange.request is not None
        assert exchange.request.body is None
        exchange = one({"request": ASKED, "response": response})
        assert "C09" in alarms(exchange)


def test_a_list_of_chunks_may_be_the_body_of_http() -> None:
    for headers, expected in (
        ({}, ["U02"]),
        ({"content-type": "text/event-stream"}, ["U02"]),
        ({"content-type": "application/json"}, ["S00"]),
    ):
        response = {"status": 200, "headers": headers, "body": chunks(14)}
        exchange = one({"request": {"body": STREAMED}, "response": response})
        assert not exchange.assembled
        assert alarms(exchange) == expected


def test_messages_may_be_text() -> None:
    value = {"model": "gpt-5.2", "messages": json.dumps(ASKED["messages"]), "temperature": 3}
    assert alarms(one({**value, "response": completion()})) == ["Q00"]


def test_a_request_that_is_something_else_hides_no_response() -> None:
    value = {"request": {"a": 1}, "response": {"completion": completion(14)}}
    assert alarms(one(value)) == ["U02"]


def test_bodies_of_other_apis_are_kept_for_their_contract_to_decide() -> None:
    body = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}]}
    exchange = one({"request": {"model": "m", "input": "x"}, "response": body})
    assert exchange.request is not None
    assert exchange.response is not None
    assert exchange.request.body == {"model": "m", "input": "x"}
    assert (exchange.request.url, exchange.response.body) == ("", body)


CLAUDE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-test",
    "content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}  # fmt: skip
TO_CLAUDE = {"model": "claude-test", "max_tokens": 9, "messages": ASKED["messages"]}
CLAUDE_TOOLS = [{"name": "weather", "input_schema": {"type": "object"}}]


@pytest.mark.parametrize(
    "value",
    [
        {"request": TO_CLAUDE, "response": CLAUDE},
        {"request": {**TO_CLAUDE, "tools": CLAUDE_TOOLS}, "response": CLAUDE},
        {**TO_CLAUDE, "response": CLAUDE},
        {**TO_CLAUDE, "tools": CLAUDE_TOOLS, "response": "Hi"},
        {"request": {**TO_CLAUDE, "system": "Be brief."}, "response": "Hi"},
        {"request": {**TO_CLAUDE, "tools": CLAUDE_TOOLS}, "response": PLAIN},
        {"request": TO_CLAUDE, "response": {**PLAIN, "stop_reason": "end_turn"}},
        {"request": TO_CLAUDE, "response": {**PLAIN, "content": [{"type": "tool_use"}]}},
        {"input": ASKED["messages"], "model": "claude-test", "output": CLAUDE},
        {**TO_CLAUDE, "completion": CLAUDE},
        {"request": TO_CLAUDE, "response": json.dumps(CLAUDE)},
        {"request": TO_CLAUDE, "response": {"status": 200, "body": CLAUDE}},
    ],
)
def test_a_message_of_anthropic_in_a_log_is_not_checked(value: Any) -> None:
    exchange = one(value)
    assert (endpoint(exchange), other_api(exchange)) == (None, "anthropic")


def test_a_message_of_the_responses_api_in_a_log_is_named() -> None:
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text"}]}
    assert other_api(one({"request": ASKED, "response": message})) == "responses"


def test_a_completion_whose_library_took_tools_of_anthropic_is_checked() -> None:
    value = {**TO_CLAUDE, "tools": CLAUDE_TOOLS, "response": completion(14)}
    assert alarms(one(value)) == ["U02"]


def test_the_frame_that_a_home_made_log_leaves_out_is_not_missed() -> None:
    choice = {"message": PLAIN, "finish_reason": "tool_calls"}
    value = {"request": ASKED, "response": {"choices": [choice], "usage": {**USAGE}}}
    assert alarms(one(value)) == ["C08"]
    value["response"]["id"] = ""
    assert alarms(one(value)) == ["S02", "C08"]  # what is there is checked
    # On the wire, it is missed.
    value["response"] = {"status": 200, "body": value["response"]}
    assert {"S01", "S03"} < {*alarms(one(value))}


def text_completion(**members: Any) -> dict[str, Any]:
    choice = {"index": 0, "text": "Hi", "finish_reason": "stop", "logprobs": None}
    return {**FRAME, "choices": [choice], "usage": {**USAGE, "total_tokens": 99}, **members}


@pytest.mark.parametrize(
    "value",
    [
        {"request": {"model": "m", "prompt": "Say hello"}, "response": text_completion()},
        {"response": text_completion(object="text_completion")},
        {"prompt": "Say hello", "completion": text_completion()},
        {"model": "m", "prompt": "Say", "response": [text_completion(object="text_completion")]},
        {"custom_id": "a", "response": {"status_code": 200, "body": text_completion()}},
    ],
)
def test_text_completions_in_a_log_are_not_checked(value: Any) -> None:
    exchange = one(value)
    assert (endpoint(exchange), other_api(exchange)) == (None, "text completions")


def test_a_choice_with_text_and_a_message_is_one_of_a_chat() -> None:
    value = completion(14)
    value["choices"][0]["text"] = "Hi"
    assert alarms(one({"request": ASKED, "response": value})) == ["U02"]


def test_two_responses_are_no_log() -> None:
    with pytest.raises(ReadError, match="not a recording in a known format"):
        one({"chosen": completion(), "rejected": completion()})
    with pytest.raises(ReadError, match="chosen and rejected could be it; name it `response`"):
        one({"request": ASKED, "chosen": completion(), "rejected": completion()})
    # Where one is called the response, the other is something else.
    assert alarms(one({"request": ASKED, "response": completion(), "raw": completion(14)})) == []


@pytest.mark.parametrize("key", ["completion", "output", "result"])
def test_the_response_to_a_request_may_have_another_name(key: str) -> None:
    for request in (ASKED, {"url": "/v1/chat/completions", "body": ASKED}):
        for response in (completion(14), json.dumps(completion(14)), chunks(14)):
            assert alarms(one({"request": request, key: response})) == ["U02"]
    assert one({"request": ASKED, key: "Hi"}).response is None


# -- LiteLLM -----------------------------------------------------------------------------


def payload(**members: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-L1",
        "call_type": "acompletion",
        "status": "success",
        "custom_llm_provider": "openai",
        "model": "gpt-5.2",
        "api_base": "https://api.openai.com/v1/",
        "messages": ASKED["messages"],
        "response": completion(),
        "model_parameters": {},
        "error_str": None,
        "error_information": {"error_code": "", "error_message": ""},
        **members,
    }


def test_litellm() -> None:
    exchange = one(payload())
    assert exchange.assembled
    assert exchange.request is not None
    assert exchange.request.url == "https://api.openai.com/v1/chat/completions"
    assert exchange.request.body == ASKED
    assert alarms(exchange) == []
    assert alarms(one(payload(response=completion(14)))) == ["U02"]
    assert alarms(one(payload(response=json.dumps(completion(14))))) == ["U02"]
    arguments = {"model": "m", "messages": [], "standard_logging_object": payload()}
    assert one(arguments).request == exchange.request


def test_litellm_compares_with_the_parameters() -> None:
    called = completion(tool_calls=[call(arguments='{"town": "Oslo"}')], content=None)
    called["choices"][0]["finish_reason"] = "tool_calls"
    exchange = one(payload(response=called, model_parameters={"tools": [TOOL], "max_retries": 2}))
    assert alarms(exchange) == ["C10"]
    assert exchange.request is not None
    assert exchange.request.body == {**ASKED, "tools": [TOOL]}


def test_litellm_joins_a_stream() -> None:
    joined = completion()
    del joined["usage"]
    parameters = {"stream": True, "logprobs": True}
    assert alarms(one(payload(response=joined, stream=True, model_parameters=parameters))) == []


def test_tools_that_litellm_had_converted_are_left_out() -> None:
    parameters = {
        "tools": [{"name": "weather", "input_schema": {}}],
        "tool_choice": {"type": "tool", "name": "weather"},
        "max_tokens": 100,
    }
    exchange = one(payload(model_parameters=parameters))
    assert exchange.request is not None
    assert exchange.request.body == {**ASKED, "max_tokens": 100}


def called(name: str = "weather", arguments: str = '{"city": "Oslo"}') -> dict[str, Any]:
    value = completion(tool_calls=[call(name, arguments)], content=None)
    value["choices"][0]["finish_reason"] = "tool_calls"
    return value


@pytest.mark.parametrize(
    "tools",
    [
        [{"name": "weather", "input_schema": {"type": "object"}}],
        [{"function_declarations": [{"name": "weather"}]}],
        [{"toolSpec": {"name": "weather"}}],
        [{"type": "web_search"}, TOOL],
    ],
)
@pytest.mark.parametrize("choice", ["required", {"type": "auto"}, {"type": "tool", "name": "w"}])
def test_a_call_of_a_tool_that_is_not_in_the_log_is_not_unknown(tools: Any, choice: Any) -> None:
    """Neither is a choice among them; all else is compared."""
    parameters = {"tools": tools, "tool_choice": choice, "parallel_tool_calls": True, "n": 2}
    value = payload(response=called("train"), model_parameters=parameters)
    assert alarms(one(value)) == ["K01"]
    parameters |= {"tools": [TOOL], "n": 1}
    value = payload(response=called("train"), model_parameters=parameters)
    assert alarms(one(value)) == ["C09"]
    assert alarms(one(payload(response=called()))) == ["C09"]  # it would have logged them


def spend(response: Any, **asked: Any) -> dict[str, Any]:
    body = {**ASKED, "model": "alias", "litellm_call_id": "a", **asked}
    return payload(messages={}, model_parameters=None, response=response, proxy_server_request=body)


def test_spend_logs_of_litellm_have_the_request_that_its_proxy_received() -> None:
    value = spend(completion(content="no JSON"), response_format=JSON_ONLY)
    exchange = one(value)
    assert exchange.request is not None
    assert exchange.request.body == {**ASKED, "response_format": JSON_ONLY}
    assert alarms(exchange) == ["J02"]
    for name in ("messages", "response", "proxy_server_request"):  # as the database exports them
        value[name] = json.dumps(value[name])
    assert alarms(one(value)) == ["J02"]
    assert alarms(one({**value, "proxy_server_request": "{}"})) == []


SKIPPED = "... (litellm_truncated skipped 900 chars. It is whole in callbacks.) ..."


@pytest.mark.parametrize(
    "text", [f'{{"city": "O{SKIPPED}o"}}}}', '{"city": "O... (litellm_truncated 900 chars)']
)
def test_texts_that_litellm_truncated_are_not_compared(text: str) -> None:
    asked = {"response_format": JSON_ONLY, "logprobs": True, "n": 2}
    short = completion(content=text)
    token = {"token": "O", "logprob": -1.0, "bytes": None, "top_logprobs": []}
    short["choices"][0]["logprobs"] = {"content": [token], "refusal": None}
    assert alarms(one(spend(short, **asked))) == ["K01"]
    assert alarms(one(spend(called("train", text), tools=[TOOL], n=2))) == ["K01"]
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": f"a{SKIPPED}b"}}
    tool = {"type": "custom", "custom": {"name": "sql", "format": grammar}}
    made = called()
    made["choices"][0]["message"]["tool_calls"] = [
        {"id": "call_1", "type": "custom", "custom": {"name": "sql", "input": "SELECT"}}
    ]
    assert alarms(one(spend(made, tools=[tool]))) == []
    # What is truncated elsewhere does not matter.
    messages = [{"role": "user", "content": text}]
    assert alarms(one(spend(called("train"), messages=messages, tools=[TOOL]))) == ["C09"]
    described = {**TOOL, "function": {**TOOL["function"], "description": text}}
    assert alarms(one(spend(called(arguments="{}"), tools=[described]))) == ["C10"]


@pytest.mark.parametrize(("code", "status"), [("429", 429), ("", 500), ("999", 500)])
def test_litellm_failed(code: str, status: int) -> None:
    details = {"error_code": code, "error_class": "RateLimitError", "error_message": "slow down"}
    exchange = one(payload(status="failure", response={}, error_information=details))
    assert exchange.response is not None
    assert exchange.response.status == status
    assert alarms(exchange) == []


@pytest.mark.parametrize("response", ["Hi", [completion()], 5])
def test_a_response_of_litellm_that_is_not_an_object_is_refused(response: Any) -> None:
    reason = "the response is not understood: it is not an object, but "
    with pytest.raises(ReadError, match=reason):
        one(payload(response=response))


def test_a_broken_completion_of_litellm_is_checked() -> None:
    broken = {**completion(), "choices": "none", "object": 5}
    assert alarms(one(payload(response=broken))) == ["S01", "S03"]
    assert one(payload(response={})).response is None


def test_a_broken_request_of_litellm_is_checked() -> None:
    assert alarms(one(payload(messages=[{"content": "Hello"}]))) == ["Q00"]
    printed = "Message(content='Hi', role='assistant', tool_calls=None)"
    for messages in (None, [], "Hello", [*ASKED["messages"], printed]):
        request = one(payload(messages=messages)).request
        assert request is not None
        assert request.body is None


def test_litellm_redacted_its_log() -> None:
    hidden = completion(14, content="redacted-by-litellm")
    parameters = {"response_format": JSON_ONLY}
    for messages in ("redacted-by-litellm", ASKED["messages"]):
        value = payload(messages=messages, response=hidden, model_parameters=parameters)
        assert alarms(one(value)) == ["U02"]
        hidden_call = called(arguments="redacted-by-litellm")
        assert alarms(one(payload(messages=messages, response=hidden_call))) == []
    value = payload(messages="redacted-by-litellm", response={"text": "redacted-by-litellm"})
    exchange = one(value)
    assert exchange.request is not None
    assert (exchange.request.body, exchange.response) == (None, None)


@pytest.mark.parametrize(
    ("call_type", "name"),
    [
        ("aembedding", "embeddings"),
        ("aresponses", "responses"),
        ("atext_completion", "text completions"),
        ("aimage_generation", "images"),
        ("anthropic_messages", "anthropic"),
        ("arerank", "rerank"),
        ("acreate_batch", "batches"),
    ],
)
def test_other_calls_of_litellm_are_named(call_type: str, name: str) -> None:
    exchange = one(payload(call_type=call_type, response={"object": "list", "data": []}))
    assert endpoint(exchange) is None
    assert other_api(exchange) == name


# -- Langfuse ----------------------------------------------------------------------------


def observation(**members: Any) -> dict[str, Any]:
    return {
        "id": "o1",
        "traceId": "t1",
        "type": "GENERATION",
        "model": "gpt-5.2",
        "input": ASKED["messages"],
        "output": {"role": "assistant", "content": "Hi"},
        "usage": {"input": 9, "output": 4, "total": 13, "unit": "TOKENS"},
        **members,
    }


def test_langfuse() -> None:
    exchange = one(observation())
    assert exchange.assembled
    assert exchange.request is not None
    assert exchange.request.body == ASKED
    assert alarms(exchange) == []
    assert alarms(one(observation(usage={"input": 9, "output": 4, "total": 14}))) == ["U02"]
    assert alarms(one(observation(output=completion(14)))) == ["U02"]


@pytest.mark.parametrize(
    "counts",
    [
        {"usage": {"input": 9, "output": 4, "total": 99, "unit": "CHARACTERS"}},
        {"usage": {"input": 0, "output": 0, "total": 99}},
        {"usage": {"total": 99}},
        {"usage": {"input": 9, "output": 4, "total": 99}, "usageDetails": {"input_cached": 86}},
        {"usage": None, "usage_details": {"input": 9, "cache_read": 86, "output": 4, "total": 99}},
        {"usage": {"promptTokens": 9, "completionTokens": 4, "totalTokens": 99}},
    ],
)
def test_counts_that_langfuse_adds_up_otherwise_are_not_compared(counts: Any) -> None:
    assert alarms(one(observation(**counts))) == []


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"tool_calls": [call()]}, []),
        ({"tool_calls": [call("train")]}, ["C09"]),
        ({"tool_calls": [call(arguments='{"town": "Oslo"}')]}, ["C10"]),
        ({"tool_calls": [{"name": "train"}], "additional_kwargs": {"tool_calls": [call()]}}, []),
        ({"tool_calls": [], "additional_kwargs": {"tool_calls": [call("train")]}}, ["C09"]),
        ({"tool_calls": None, "content": "It is \ufffd"}, ["S15"]),
    ],
)
def test_what_a_message_of_langfuse_shows(message: Any, expected: list[str]) -> None:
    asked = {"messages": ASKED["messages"], "tools": [TOOL]}
    exchange = one(observation(input=asked, output={"role": "assistant", **message}))
    assert alarms(exchange) == expected


def test_langfuse_exports_texts_in_snake_case() -> None:
    value = {
        "id": "o1",
        "trace_id": "t1",
        "type": "GENERATION",
        "provided_model_name": "gpt-5.2",
        "model_parameters": json.dumps({"response_format": JSON_ONLY, "max_tokens": 50}),
        "input": json.dumps(ASKED["messages"]),
        "output": json.dumps([{"role": "assistant", "content": '{"town": 1}'}]),
        "usage_details": json.dumps({"input": 9, "output": 4, "total": 13}),
    }
    assert alarms(one(value)) == ["J02"]
    cut = {**value, "usage_details": {"input": 9, "output": 50, "total": 59}}
    assert alarms(one(cut)) == []  # it may be cut off there


@pytest.mark.parametrize("kept", [{}, {"input": {"messages": ASKED["messages"], "system": "s"}}])
def test_a_generation_of_anthropic_in_langfuse_is_not_checked(kept: Any) -> None:
    output = PLAIN if kept else CLAUDE
    exchange = one(observation(output=output, modelParameters={"max_tokens": 9}, **kept))
    assert (endpoint(exchange), other_api(exchange)) == (None, "anthropic")


@pytest.mark.parametrize(
    ("logged", "sent"),
    [
        ({"max_tokens": "Infinity", "temperature": "1"}, {"temperature": 1}),
        ({"max_tokens": "inf", "top_p": "0.5", "n": "1"}, {"top_p": 0.5, "n": 1}),
        ({"max_tokens": float("inf"), "seed": "None"}, {}),
        ({"stream": "true", "logprobs": "False"}, {"stream": True, "logprobs": False}),
        (
            {"max_tokens": "50", "user": "1", "stop": "2"},
            {"max_tokens": 50, "user": "1", "stop": "2"},
        ),
        ({"seed": "-7", "temperature": "1e-1"}, {"seed": -7, "temperature": 0.1}),
    ],
)
def test_parameters_that_a_log_wrote_as_text(logged: Any, sent: Any) -> None:
    exchange = one(observation(modelParameters=logged))
    assert exchange.request is not None
    assert exchange.request.body == {**sent, **ASKED}
    assert alarms(exchange) == []


def test_a_parameter_that_no_text_explains_is_wrong() -> None:
    assert alarms(one(observation(modelParameters={"temperature": "hot"}))) == ["Q00"]
    assert alarms(one(observation(modelParameters={"temperature": "3"}))) == ["Q00"]


@pytest.mark.parametrize(
    ("logged", "sent"),
    [
        (
            {"stream_options": '{"include_usage": true}'},
            {"stream_options": {"include_usage": True}},
        ),
        ({"response_format": json.dumps(JSON_ONLY)}, {"response_format": JSON_ONLY}),
        ({"tools": json.dumps([TOOL])}, {"tools": [TOOL]}),
        ({"stop": '["a", "b"]'}, {"stop": ["a", "b"]}),
        ({"stop": "{"}, {"stop": "{"}),
        ({"tools": [TOOL], "tool_choice": "auto"}, {"tools": [TOOL], "tool_choice": "auto"}),
        # What Python prints of a value.
        ({"response_format": "{'type': 'json_object'}", "logit_bias": "{'50256': -100}"}, {}),
        ({"modalities": "['text']", "metadata": "{'a': None}", "tools": "[{'type': 1}]"}, {}),
        ({"tools": [TOOL], "tool_choice": "{'type': 'function'}"}, {"tools": [TOOL]}),
    ],
)
def test_objects_that_a_log_wrote_as_text(logged: Any, sent: Any) -> None:
    exchange = one(observation(modelParameters=logged, output=None))
    assert exchange.request is not None
    assert exchange.request.body == {**sent, **ASKED}
    if "stream_options" not in sent:
        assert alarms(exchange) == []


OFFERED = {"role": "tool", "content": TOOL}
LANGCHAIN_CALL = {"name": "weather", "args": {"city": "Oslo"}, "id": "call_1", "type": "tool_call"}
RESULT = {"role": "tool", "content": "3 degrees", "tool_call_id": "call_1"}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"tool_calls": [LANGCHAIN_CALL]}, []),
        ({"tool_calls": [{**LANGCHAIN_CALL, "name": "train"}]}, ["C09"]),
        ({"tool_calls": [{**LANGCHAIN_CALL, "args": {}}]}, ["C10"]),
        ({"content": "Hi<|im_end|>"}, ["S19"]),
    ],
)
def test_a_conversation_as_langchain_logs_it_in_langfuse(output: Any, expected: list[str]) -> None:
    asked = [
        *ASKED["messages"],
        {"role": "assistant", "content": "", "tool_calls": [LANGCHAIN_CALL]},
        RESULT,
        OFFERED,
    ]
    message = {"role": "assistant", "content": "", **output}
    exchange = one(observation(input=asked, output=message))
    assert alarms(exchange) == expected
    assert exchange.request is not None
    body = exchange.request.json()
    assert (body["tools"], body["messages"][2:]) == ([TOOL], [RESULT])
    assert body["messages"][1]["tool_calls"] == [call()]


def test_the_result_of_a_call_is_no_tool() -> None:
    exchange = one(observation(input=[*ASKED["messages"], {**RESULT, "content": {"degrees": 3}}]))
    assert exchange.request is not None
    assert "tools" not in exchange.request.json()
    assert len(exchange.request.json()["messages"]) == 2


def test_tools_that_langfuse_does_not_have_are_not_missing() -> None:
    output = {"role": "assistant", "content": None, "tool_calls": [call("train")]}
    asked = {"tool_choice": "required", "temperature": 3}
    assert alarms(one(observation(output=output, modelParameters=asked))) == ["Q00"]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": [{"type": "tool-call", "toolCallId": "a", "input": {}}]},
        {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "a", "output": {}}]},
        {"role": "tool", "content": "3 degrees"},
        {"role": "user", "parts": [{"type": "uri", "uri": "https://h/i.png"}]},
    ],
)
def test_a_request_of_langfuse_in_a_form_of_its_own_is_left_alone(message: Any) -> None:
    value = observation(input=[*ASKED["messages"], message], output="Hi<|im_end|>")
    exchange = one(value)
    assert exchange.request is not None
    assert exchange.request.body is None
    assert alarms(exchange) == ["S19"]


def test_messages_with_parts_in_langfuse_are_read_as_those_of_opentelemetry() -> None:
    made = {"type": "tool_call", "id": "call_1", "name": "weather", "arguments": {"city": "Oslo"}}
    asked = [
        {"role": "user", "parts": [{"type": "text", "content": "Hello"}]},
        {"role": "assistant", "parts": [made]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "result": "3"}]},
    ]
    wrong = {"type": "tool_call", "id": "call_2", "name": "weather", "arguments": {"town": "Oslo"}}
    output = [{"role": "assistant", "parts": [wrong], "finish_reason": "tool_call"}]
    value = observation(input=asked, output=output, modelParameters={"tools": [TOOL]})
    assert alarms(one(value)) == ["C10"]
    assert alarms(one({**value, "output": json.dumps(output), "modelParameters": {}})) == []
    image = [{"role": "assistant", "parts": [{"type": "blob", "content": "R0lG"}]}]
    assert one({**value, "output": image}).lacks == "messages not understood"
    claude = {"attributes": {"gen_ai.provider.name": "anthropic"}}
    assert other_api(one({**value, "metadata": claude})) == "anthropic"


def test_other_observations_are_named_and_skipped() -> None:
    values = [
        observation(type="SPAN", input={"a": 1}, output=None),
        observation(input="Say hello", output="Hello"),
        observation(input=[{"parts": []}]),
    ]
    for exchange in read_all(*values):
        assert endpoint(exchange) is None
    failed = one(observation(output=None, level="ERROR", statusMessage="timeout"))
    assert failed.response is None
    assert failed.request is not None
    assert failed.request.body == ASKED


@pytest.mark.parametrize("key", ["observations", "data"])
def test_traces_and_pages_of_langfuse(key: str) -> None:
    span, generation = observation(type="SPAN"), observation(output=completion(14))
    exchanges = read_all({"id": "t1", key: [span, generation]})
    assert [endpoint(exchange) for exchange in exchanges] == [None, "chat"]
    assert alarms(exchanges[1]) == ["U02"]


# -- Charles -----------------------------------------------------------------------------


def transaction(body: dict[str, Any], **members: Any) -> dict[str, Any]:
    sent = {"mimeType": "application/json", "body": {"text": json.dumps(ASKED)}}
    header = {"headers": [{"name": "X-Request-Id", "value": "r"}]}
    got = {"status": 200, "mimeType": "application/json", "header": header, "body": body}
    where = {"scheme": "https", "host": "api.openai.com", "path": "/v1/chat/completions"}
    return {"status": "COMPLETE", "method": "POST", **where, "request": sent, "response": got,
            **members}  # fmt: skip


def test_charles() -> None:
    (exchange,) = read_all([transaction({"text": json.dumps(WIRE)})])
    assert exchange.request is not None
    assert exchange.response is not None
    assert exchange.request.url == "https://api.openai.com/v1/chat/completions"
    assert exchange.response.headers == {
        "x-request-id": "r", "content-type": "application/json",
    }  # fmt: skip
    assert not exchange.assembled
    assert alarms(exchange) == ["U02"]


def test_bodies_and_addresses_of_charles() -> None:
    encoded = {"encoding": "base64", "encoded": "eyJpZCI6ICJjMSJ9"}
    value = transaction(encoded, port=8443, query="a=b", path="/x")
    (exchange,) = read_all([value])
    assert exchange.request is not None
    assert exchange.response is not None
    assert exchange.request.url == "https://api.openai.com:8443/x?a=b"
    assert exchange.response.body == b'{"id": "c1"}'
    (exchange,) = read_all([{**value, "status": "FAILED", "response": {"body": None}}])
    assert exchange.response is None
    with pytest.raises(ReadError, match=r"interaction 0: response: the body is not base64$"):
        read_all([transaction({"encoding": "base64", "encoded": "?"})])
