"""The Python interface, with everything people have in hand."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest
from traffic import ANSWER

import pytest_chatapi as chatapi
from pytest_chatapi import ContractError, Exchange, Request, Response, SettingError

openai = pytest.importorskip("openai")

URL = "https://api.openai.com/v1/chat/completions"
QUESTION: dict[str, Any] = {
    "model": "gpt-5.2",
    "messages": [{"role": "user", "content": "Hello!"}],
}
LOW = copy.deepcopy(ANSWER)
LOW["usage"]["total_tokens"] = 20
FRAME = {"id": "c", "object": "chat.completion.chunk", "created": 1750000000, "model": "gpt-5.2"}
ERROR = {
    "message": "Rate limit reached",
    "type": "rate_limit_error",
    "param": None,
    "code": "rate_limit_exceeded",
}


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    index = more.pop("index", 0)
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**FRAME, "choices": [{**choice, **more}]}


CHUNKS = [
    chunk({"role": "assistant", "content": "", "refusal": None}),
    chunk({"content": "Hel"}),
    chunk({"content": "lo!"}),
    chunk({}, "stop"),
]
HIGH = [*CHUNKS[:3], chunk({}, "stop"), chunk({"content": "late"})]


def sse(chunks: list[dict[str, Any]]) -> str:
    return "".join(f"data: {json.dumps(c)}\n\n" for c in chunks) + "data: [DONE]\n\n"


def client(status: int, body: Any, kind: str = "application/json") -> Any:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return openai.OpenAI(
        api_key="k",
        max_retries=0,
        http_client=httpx2.Client(
            transport=httpx2.MockTransport(
                lambda _: httpx2.Response(status, headers={"content-type": kind}, content=content)
            )
        ),
    )


def response(library: Any, body: Any, status: int = 200, *, attached: bool = True) -> Any:
    stream = isinstance(body, str)
    return library.Response(
        status,
        headers={"content-type": "text/event-stream" if stream else "application/json"},
        content=(body if stream else json.dumps(body)).encode(),
        request=library.Request("POST", URL, json={**QUESTION, "stream": stream})
        if attached
        else None,
    )


class Raw:
    """What ``with_raw_response`` gives, as far as it matters."""

    def __init__(self, http_response: Any) -> None:
        self.http_response = http_response


FORMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dict": lambda body: body,
    "str": json.dumps,
    "bytes": lambda body: json.dumps(body).encode(),
    "bytearray": lambda body: bytearray(json.dumps(body).encode()),
    "httpx": lambda body: response(httpx, body),
    "httpx2": lambda body: response(httpx2, body),
    "httpx alone": lambda body: response(httpx, body, attached=False),
    "httpx2 alone": lambda body: response(httpx2, body, attached=False),
    "raw": lambda body: Raw(response(httpx2, body)),
    "openai": lambda body: client(200, body).chat.completions.create(**QUESTION),
    "openai raw": lambda body: client(200, body).chat.completions.with_raw_response.create(
        **QUESTION
    ),
    "exchange": lambda body: Exchange(Request("POST", URL, {}, QUESTION), Response(body=body)),
    "response": lambda body: Response(body=body),
}
STREAMS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "str": sse,
    "bytes": lambda chunks: sse(chunks).encode(),
    "list": lambda chunks: chunks,
    "iterator": iter,
    "pieces": lambda chunks: iter([sse(chunks).encode()[i : i + 7] for i in range(0, 4000, 7)]),
    "lines": lambda chunks: iter(sse(chunks).splitlines()),
    "text": lambda chunks: iter(sse(chunks).splitlines(keepends=True)),
    "httpx": lambda chunks: response(httpx, sse(chunks)),
    "httpx2 alone": lambda chunks: response(httpx2, sse(chunks), attached=False),
    "raw": lambda chunks: Raw(response(httpx2, sse(chunks))),
    "openai": lambda chunks: client(200, sse(chunks), "text/event-stream").chat.completions.create(
        **QUESTION, stream=True
    ),
    "openai list": lambda chunks: list(STREAMS["openai"](chunks)),
    "exchange": lambda chunks: Exchange(None, Response(body=sse(chunks))),
}
form = pytest.mark.parametrize("make", FORMS.values(), ids=FORMS)
stream_form = pytest.mark.parametrize("make", STREAMS.values(), ids=STREAMS)


# -- completions -----------------------------------------------------------------------


@form
def test_completion(make: Any) -> None:
    assert chatapi.assert_chat_completion(make(ANSWER)) == ANSWER
    assert chatapi.check(make(ANSWER)) == []


@form
def test_completion_fails(make: Any) -> None:
    with pytest.raises(ContractError) as caught:
        chatapi.assert_chat_completion(make(LOW))
    assert [f.code for f in caught.value.findings] == ["U02"]
    assert [f.code for f in chatapi.check(make(LOW))] == ["U02"]


def test_message() -> None:
    with pytest.raises(AssertionError) as caught:
        chatapi.assert_chat_completion(LOW)
    assert str(caught.value) == (
        "U02: the chat completion breaks the contract: 1 finding (profile openai)\n"
        "\n"
        "error U02 usage-total: the total is 1 too low\n"
        "  at       $.usage.total_tokens\n"
        "  expected 21 (9 prompt + 12 completion)\n"
        "  got      20\n"
        "\n"
        "explain it: chatapi rules U02\n"
        'ignore it:  ignore=["U02:$.usage.total_tokens"]'
    )
    assert isinstance(caught.value, chatapi.ChatAPIError)
    chatapi.assert_chat_completion(LOW, ignore=["U02:$.usage.total_tokens"])


def test_settings() -> None:
    odd = {**ANSWER, "object": "x"}
    chatapi.assert_chat_completion(odd, profile="compatible")
    with pytest.raises(ContractError, match="S03"):
        chatapi.assert_chat_completion(odd, profile="compatible", strict=True)
    with pytest.raises(SettingError, match="unknown profile 'x'"):
        chatapi.assert_chat_completion(ANSWER, profile="x")
    with pytest.raises(SettingError, match="did you mean U02"):
        chatapi.assert_chat_completion(ANSWER, ignore=["u2x"])
    with pytest.raises(SettingError, match="use YYYY-MM-DD"):
        chatapi.assert_chat_completion(ANSWER, as_of="x")


@pytest.mark.parametrize(
    "request_",
    [
        {**QUESTION, "n": 2},
        json.dumps({**QUESTION, "n": 2}),
        httpx.Request("POST", URL, json={**QUESTION, "n": 2}),
        httpx2.Request("POST", URL, json={**QUESTION, "n": 2}),
        Request("POST", URL, {}, {**QUESTION, "n": 2}),
    ],
    ids=["dict", "str", "httpx", "httpx2", "own"],
)
@pytest.mark.parametrize("name", ["dict", "httpx alone", "httpx", "openai", "exchange"])
def test_request(request_: Any, name: str) -> None:
    with pytest.raises(ContractError, match="K01"):
        chatapi.assert_chat_completion(FORMS[name](ANSWER), request=request_)
    assert "K01" in {f.code for f in chatapi.check(FORMS[name](ANSWER), request=request_)}


# -- streams ---------------------------------------------------------------------------


@stream_form
def test_stream(make: Any) -> None:
    completion = chatapi.assert_chat_stream(make(CHUNKS))
    assert completion["choices"][0]["message"]["content"] == "Hello!"
    assert chatapi.assemble(make(CHUNKS)) == completion


@stream_form
def test_stream_fails(make: Any) -> None:
    with pytest.raises(ContractError) as caught:
        chatapi.assert_chat_stream(make(HIGH))
    assert {f.code[0] for f in caught.value.findings if f.level == "error"} == {"T"}


# -- the wrong kind --------------------------------------------------------------------


def test_a_stream_that_was_read_before() -> None:
    stream = STREAMS["openai"](CHUNKS)
    assert list(stream)
    for empty in (stream, [], (), iter(())):
        with pytest.raises(
            ContractError, match=r"T18 .* the stream is empty: was it read before\?"
        ):
            chatapi.assert_chat_stream(empty)
        assert [f.code for f in chatapi.check(empty)] == ["T18"]
    # The test knows that nobody waited for the first chunk.
    assert chatapi.check(Exchange(None, Response(chunks=[], cut="client"))) == []


def test_error_where_an_answer_is_expected() -> None:
    failed = response(httpx, {"error": ERROR}, 429)
    for judge in (chatapi.assert_chat_completion, chatapi.assert_chat_stream):
        with pytest.raises(ContractError) as caught:
            judge(failed)
        assert 'got status 429: the server says "Rate limit reached"' in str(caught.value)
        assert "use assert_error_body()" in str(caught.value)


@pytest.mark.parametrize("name", ["str", "list", "httpx2 alone"])
def test_stream_where_an_answer_is_expected(name: str) -> None:
    with pytest.raises(ContractError, match=r"use assert_chat_stream\(\)"):
        chatapi.assert_chat_completion(STREAMS[name](CHUNKS))


def test_answer_where_a_stream_is_expected() -> None:
    for plain in (ANSWER, json.dumps(ANSWER), response(httpx, ANSWER)):
        with pytest.raises(ContractError, match=r"use assert_chat_completion\(\)"):
            chatapi.assert_chat_stream(plain)


@pytest.mark.parametrize("name", ["assert_chat_completion", "assert_chat_stream", "check"])
@pytest.mark.parametrize("value", [42, None, 1.5, object()])
def test_no_response(name: str, value: Any) -> None:
    with pytest.raises(
        TypeError, match=r"cannot read an object of type .* as a response: pass a dict"
    ):
        getattr(chatapi, name)(value)


# -- the others ------------------------------------------------------------------------


def test_usage() -> None:
    usage = ANSWER["usage"]
    completion = FORMS["openai"](ANSWER)
    for given in (usage, json.dumps(usage), ANSWER, completion, completion.usage):
        assert chatapi.assert_usage(given) == usage
    for wrong, path in ((LOW["usage"], "$.total_tokens"), (LOW, "$.usage.total_tokens")):
        with pytest.raises(ContractError) as caught:
            chatapi.assert_usage(wrong)
        assert f"at       {path}\n" in str(caught.value)
    with pytest.raises(
        ContractError, match=r"expected a usage object with .* at \$.usage, got absent"
    ):
        chatapi.assert_usage({k: v for k, v in ANSWER.items() if k != "usage"})
    with pytest.raises(ContractError):
        chatapi.assert_usage({"prompt_tokens": 1})
    chatapi.assert_usage(LOW, ignore=["U02"])


def test_chat_request() -> None:
    for given in (
        QUESTION,
        json.dumps(QUESTION),
        httpx.Request("POST", URL, json=QUESTION),
        httpx2.Request("POST", URL, json=QUESTION),
        Exchange(Request("POST", URL, {}, QUESTION)),
    ):
        assert chatapi.assert_chat_request(given) == QUESTION
    with pytest.raises(ContractError, match="Q"):
        chatapi.assert_chat_request({"model": "m", "messages": "Hello!"})
    with pytest.raises(
        ContractError,
        match=r"expected a POST to \.\.\./chat/completions, got GET https://h/v1/models",
    ):
        chatapi.assert_chat_request(httpx.Request("GET", "https://h/v1/models"))
    with pytest.raises(TypeError, match="cannot read an object of type int as a request"):
        chatapi.assert_chat_request(42)


def test_error_body() -> None:
    body = {"error": ERROR}
    assert chatapi.assert_error_body(body, status=429) == ERROR
    assert chatapi.assert_error_body(response(httpx, body, 429)) == ERROR
    assert chatapi.assert_error_body(json.dumps(body), status=429) == ERROR
    with pytest.raises(ContractError, match="X01"):
        chatapi.assert_error_body({"detail": "no"})
    with pytest.raises(ContractError, match="expected an error status, got 200"):
        chatapi.assert_error_body(response(httpx, ANSWER))
    with pytest.raises(ContractError, match="expected an error body, got a list or a stream"):
        chatapi.assert_error_body([body])


def test_models() -> None:
    one = {"id": "m", "object": "model", "created": 1686935002, "owned_by": "me"}
    many = {"object": "list", "data": [one]}
    url = "https://api.openai.com/v1/models"
    for body in (one, many):
        made = httpx.Response(200, json=body, request=httpx.Request("GET", url))
        for given in (body, json.dumps(body), made):
            assert chatapi.assert_models(given) == body
    with pytest.raises(ContractError, match="D0"):
        chatapi.assert_models({"object": "list", "data": [{"id": 3}]})
    for items in ([one], iter([])):  # which lacks what is around it
        with pytest.raises(ContractError, match="expected models, got a list or a stream"):
            chatapi.assert_models(items)


def test_an_exchange_is_left_as_it_is() -> None:
    one = {"id": "m", "object": "model", "created": 1686935002, "owned_by": "me"}
    exchange = Exchange(Request("GET", "https://h/v1/models/m"), Response(body=one))
    before = copy.deepcopy(exchange)
    chatapi.assert_models(exchange)
    assert exchange == before
    failed = Exchange(None, Response(status=200, body={"error": ERROR}))
    before = copy.deepcopy(failed)
    chatapi.assert_error_body(failed, status=429)
    assert failed == before


def test_other_endpoints() -> None:
    for url in ("https://api.openai.com/v1/embeddings", "https://h/"):
        other = Exchange(Request("POST", url, {}, "x"), Response(body="y"))
        assert chatapi.check(other) == []
        with pytest.raises(SettingError, match="is not an endpoint of the Chat Completions API"):
            chatapi.assert_chat_completion(other)


# -- assemble --------------------------------------------------------------------------


def test_assemble() -> None:
    usage = ANSWER["usage"]
    assert chatapi.assemble([*CHUNKS, {**FRAME, "choices": [], "usage": usage}]) == {
        "id": "c",
        "object": "chat.completion",
        "created": 1750000000,
        "model": "gpt-5.2",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello!", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": usage,
    }


def test_assemble_tool_calls() -> None:
    def call(**function: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": 0, "function": function}]}

    head = {"index": 0, "id": "call_1", "type": "function"}
    first = {**head, "function": {"name": "f", "arguments": ""}}
    made = chatapi.assemble(
        [
            chunk({"role": "assistant", "content": None, "tool_calls": [first]}),
            chunk(call(arguments='{"a":')),
            chunk(call(arguments="1}")),
            chunk({}, "tool_calls"),
        ]
    )
    (choice,) = made["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    ]


def test_assemble_refusal_logprobs_and_several_choices() -> None:
    def token(text: str) -> dict[str, Any]:
        one = {"token": text, "logprob": -0.1, "bytes": list(text.encode()), "top_logprobs": []}
        return {"content": [one], "refusal": None}

    made = chatapi.assemble(
        [
            chunk({"role": "assistant", "content": ""}),
            chunk({"role": "assistant", "content": None, "refusal": ""}, index=1),
            chunk({"content": "A"}, logprobs=token("A")),
            chunk({"refusal": "No"}, index=1),
            chunk({"content": "B"}, logprobs=token("B")),
            chunk({}, "stop", index=1),
            chunk({}, "stop"),
        ]
    )
    first, second = made["choices"]
    assert first["message"] == {"role": "assistant", "content": "AB", "refusal": None}
    assert [t["token"] for t in first["logprobs"]["content"]] == ["A", "B"]
    assert (second["index"], second["message"]["content"]) == (1, None)
    assert second["message"]["refusal"] == "No"


@pytest.mark.parametrize("nothing", [[], "", b"", iter(()), "data: [DONE]\n\n"])
def test_assemble_nothing(nothing: Any) -> None:
    with pytest.raises(ContractError, match="there are no chunks to join"):
        chatapi.assemble(nothing)


def test_a_stream_is_read_once_and_lazily() -> None:
    seen: list[int] = []

    def chunks() -> Iterator[dict[str, Any]]:
        for position, one in enumerate(CHUNKS):
            seen.append(position)
            yield one

    chatapi.assert_chat_stream(chunks())
    assert seen == [0, 1, 2, 3]
