"""Exchanges from Python objects: what is read from responses, requests and streams of each kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import pytest
import requests
from traffic import ANSWER

from pytest_chatapi import Exchange, Request, Response
from pytest_chatapi.reading.objects import exchange_from, is_stream, request_from, stream_from

URL = "https://api.openai.com/v1/chat/completions"
BODY = {"model": "m", "messages": []}
SSE = 'data: {"choices": []}\n\ndata: [DONE]\n\n'

both = pytest.mark.parametrize("family", [httpx, httpx2], ids=["httpx", "httpx2"])


def of_requests(status: int, headers: dict[str, str], content: bytes) -> requests.Response:
    response = requests.Response()
    response.status_code, response._content = status, content
    response.headers.update(headers)
    response.request = requests.Request("post", URL, json=BODY).prepare()
    return response


# -- responses ---------------------------------------------------------------------------


@both
def test_status_headers_and_body(family: Any) -> None:
    headers = [("Content-Type", "application/json"), ("x-a", "1"), ("X-A", "2")]
    exchange = exchange_from(family.Response(429, headers=headers, content=b"{}"))
    response = exchange.response
    assert response is not None
    assert (response.status, response.body) == (429, b"{}")
    assert (response.headers["content-type"], response.headers["x-a"]) == (
        "application/json",
        "1, 2",  # a header that was sent twice
    )
    assert exchange.request is None


@both
def test_a_response_that_was_not_read_yet_is_read(family: Any) -> None:
    transport = family.MockTransport(lambda _: family.Response(200, content=iter([b"a", b"b"])))
    with family.Client(transport=transport) as client, client.stream("GET", URL) as response:
        exchange = exchange_from(response)
    assert exchange.response is not None
    assert exchange.response.body == b"ab"


def test_a_response_of_requests() -> None:
    exchange = exchange_from(of_requests(201, {"X-A": "1"}, b"ab"))
    assert exchange.response is not None
    assert exchange.request is not None
    assert (exchange.response.status, exchange.response.body) == (201, b"ab")
    assert exchange.response.headers == {"x-a": "1"}
    assert (exchange.request.method, exchange.request.url) == ("POST", URL)
    assert json.loads(exchange.request.body) == BODY


@both
def test_a_response_without_a_body(family: Any) -> None:
    exchange = exchange_from(family.Response(204))
    assert exchange.response is not None
    assert exchange.response.body is None


def test_a_request_that_is_passed_wins() -> None:
    own = Request("POST", "https://h/v1/chat/completions", {}, "own")
    passed = Request("POST", URL, {}, "passed")
    response = httpx.Response(200, json=ANSWER, request=httpx.Request("POST", "https://x/"))
    for value in (response, Exchange(own, Response(body="b")), Response(body="b"), {}, "b", [{}]):
        assert exchange_from(value, passed).request is passed
    exchange = Exchange(own, Response(body="b"))
    assert exchange_from(exchange) is exchange
    assert exchange_from(exchange, passed).response is exchange.response


# -- requests ----------------------------------------------------------------------------


@both
def test_a_request_of_a_client(family: Any) -> None:
    request = request_from(family.Request("post", URL, json=BODY, headers={"X-A": "1"}))
    assert (request.method, request.url, request.headers["x-a"]) == ("POST", URL, "1")
    assert json.loads(request.body) == BODY
    assert request_from(family.Request("GET", URL)).body is None


@both
def test_the_body_of_an_upload_that_was_not_read_is_unknown(family: Any) -> None:
    request = family.Request("POST", URL, content=iter([b"a"]))
    assert request_from(request).body is None
    exchange = exchange_from(family.Response(200, json=ANSWER, request=request))
    assert exchange.request is not None
    assert (exchange.request.method, exchange.request.body) == ("POST", None)


def test_keyword_arguments_may_hold_objects_of_the_sdk() -> None:
    completion = pytest.importorskip("openai").types.chat.ChatCompletion.model_validate(ANSWER)
    message = completion.choices[0].message
    request = request_from({**BODY, "messages": ({"role": "user"}, message)})
    assert request.body == {
        "model": "m",
        "messages": [{"role": "user"}, ANSWER["choices"][0]["message"]],
    }


@pytest.mark.parametrize("value", [42, None, object(), httpx])
def test_what_is_not_a_request(value: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot read an object of type .* as a request: pass a"):
        request_from(value)


# -- streams -----------------------------------------------------------------------------


@both
def test_a_response_is_a_stream_by_its_content_type(family: Any) -> None:
    for kind, expected in (("text/event-stream; charset=utf-8", True), ("application/json", False)):
        assert is_stream(family.Response(200, headers={"content-type": kind})) is expected
    assert not is_stream(family.Response(200))
    assert is_stream(of_requests(200, {"Content-Type": "text/event-stream"}, b""))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (SSE, True),
        (SSE.encode(), True),
        (bytearray(SSE.encode()), True),
        (memoryview(SSE.encode()), True),
        ('{"a": "\ud800"}', False),
        (b"{}", False),
        ({}, False),
        ([{}], True),
        (iter(()), True),
        (42, False),
        (Response(chunks=[]), True),
        (Response(pieces=[]), True),
        (Response(body=SSE), True),
        (Response(body={}), False),
        (Exchange(None, Response(body=SSE)), True),
        (Exchange(None, Response(body="{}")), False),
        (Exchange(Request()), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_is_stream(value: Any, expected: bool) -> None:
    assert is_stream(value) is expected


@pytest.mark.parametrize("kind", [str.encode, lambda text: bytearray(text.encode())])
def test_the_text_of_a_stream_is_not_an_iterable_of_chunks(kind: Any) -> None:
    for value in (SSE, kind(SSE), memoryview(kind(SSE))):
        response = stream_from(value).response
        assert response is not None
        assert response.content == SSE.encode()


@pytest.mark.parametrize(
    "pieces",
    [
        SSE.splitlines(),
        SSE.splitlines(keepends=True),
        [SSE[:30] + "\n", SSE[30:]],
        [SSE.encode()[:5], bytearray(SSE.encode()[5:9]), memoryview(SSE.encode()[9:])],
    ],
    ids=["lines", "lines with ends", "text", "bytes"],
)
def test_pieces_of_a_stream(pieces: list[Any]) -> None:
    response = stream_from(iter(pieces)).response
    assert response is not None
    assert response.pieces is not None
    text = b"".join(response.pieces).replace(b"\n", b"")
    assert text == SSE.replace("\n", "").encode()


def test_lines_get_their_ends_back() -> None:
    response = stream_from(SSE.splitlines()).response
    assert response is not None
    assert b"".join(response.pieces or ()) == SSE.encode()
    response = stream_from(["a\r", "b"]).response
    assert response is not None
    assert b"".join(response.pieces or ()) == b"a\rb"


def test_an_iterable_is_read_lazily() -> None:
    read = []

    def chunks() -> Iterator[dict[str, Any]]:
        for number in range(3):
            read.append(number)
            yield {"number": number}

    response = stream_from(chunks(), {"stream": True}).response
    assert read == [0]
    assert response is not None
    assert list(response.chunks or ()) == [{"number": number} for number in range(3)]
    empty = stream_from(iter(())).response
    assert empty is not None
    assert empty.chunks == []


def test_the_request_of_a_stream() -> None:
    request = stream_from(iter([{}]), BODY).request
    assert request is not None
    assert request.body == BODY
    assert stream_from(iter([{}])).request is None
