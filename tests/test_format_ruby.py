"""Cassettes of Ruby's VCR: bodies that their YAML and JSON encode in one way or another."""

from __future__ import annotations

import base64
import gzip
import io
import json
from typing import Any

import pytest

from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.reading.reader import read

URL = "https://api.openai.com/v1/chat/completions"
ASKED = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Ça va ?"}]}


def completion(total: int = 13) -> dict[str, Any]:
    return {
        "id": "chatcmpl-R1",
        "object": "chat.completion",
        "created": 1766496292,
        "model": "gpt-5.2-2025-12-11",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Ça va.", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": total},
    }


def wire(total: int = 13) -> bytes:
    return json.dumps(completion(total), ensure_ascii=False).encode()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def folded(data: bytes) -> str:
    return base64.encodebytes(data).decode().replace("\n", "\n        ")


CASSETTE = """\
---
http_interactions:
- request:
    method: post
    uri: https://api.openai.com/v1/chat/completions
    body:
      encoding: UTF-8
      string: '{"model":"gpt-5.2","messages":[{"role":"user","content":"Hello"}]}'
    headers:
      !binary "Q29udGVudC1UeXBl":
      - application/json
  response:
    status:
      code: 200
      message: OK
    headers:
      Content-Type:
      - application/json
    body:
      %s
    http_version:
  recorded_at: Sun, 26 Oct 2025 19:13:19 GMT
recorded_with: VCR 6.3.1
"""

ENCODINGS = {
    "binary": lambda data: (
        f"encoding: ASCII-8BIT\n      string: !binary |-\n        {folded(data)}"
    ),
    "binary in a line": lambda data: f"encoding: UTF-8\n      string: !binary {b64(data)}",
    "binary by YAML's own tag": lambda data: f"string: !!binary {b64(data)}",
    "base64_string": lambda data: (
        f"encoding: UTF-8\n      base64_string: |\n        {folded(data)}"
    ),
    "base64 text": lambda data: f"encoding: ASCII-8BIT\n      string: {b64(data)}",
    "folded base64 text": lambda data: f"string: |-\n        {folded(data)}",
}


def read_text(text: str) -> Exchange:
    (exchange,) = read(io.BytesIO(text.encode()), name="f")
    return exchange


def codes(exchange: Exchange) -> list[str]:
    return [finding.code for finding in check_exchange(exchange).findings]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_body_is_decoded(encoding: str, zipped: bool) -> None:
    for total, expected in [(13, []), (14, ["U02"])]:
        data = gzip.compress(wire(total), mtime=0) if zipped else wire(total)
        exchange = read_text(CASSETTE % ENCODINGS[encoding](data))
        assert exchange.response is not None
        assert exchange.response.body == wire(total)
        assert codes(exchange) == expected
        assert exchange.request is not None
        assert exchange.request.headers == {"content-type": "application/json"}


def test_a_stream_in_base64() -> None:
    stream = b'data: {"id":"c1"}\n\ndata: [DONE]\n\n'
    exchange = read_text(CASSETTE % ENCODINGS["base64 text"](stream))
    assert exchange.response is not None
    assert exchange.response.body == stream


@pytest.mark.parametrize("text", ["eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "W3hd_", "Hi"])
def test_text_that_only_looks_like_base64_stays(text: str) -> None:
    exchange = read_text(CASSETTE % f"encoding: UTF-8\n      string: '{text}'")
    assert exchange.response is not None
    assert exchange.response.body == text


def test_the_json_serializer() -> None:
    for body in (
        {"encoding": "ASCII-8BIT", "base64_string": b64(wire())},
        {"string": wire().decode()},
    ):
        request = {"method": "post", "uri": URL, "body": {"string": json.dumps(ASKED)}}
        response = {"status": {"code": 200, "message": ""}, "headers": {}, "body": body}
        tape = {"http_interactions": [{"request": request, "response": response}]}
        assert codes(read_text(json.dumps(tape))) == []


def test_characters_that_are_bytes() -> None:
    text = wire().decode("latin-1")
    exchange = read_text(CASSETTE % f"encoding: ASCII-8BIT\n      string: {json.dumps(text)}")
    assert exchange.response is not None
    assert exchange.response.body == wire()
    exchange = read_text(CASSETTE % f"encoding: UTF-8\n      string: {json.dumps(text)}")
    assert exchange.response is not None
    assert exchange.response.body == text
    exchange = read_text(CASSETTE % 'encoding: ASCII-8BIT\n      string: "\\xe9"')
    assert exchange.response is not None
    assert exchange.response.body == "é"


def test_the_structs_of_the_first_version() -> None:
    text = f"""\
---
- !ruby/struct:VCR::HTTPInteraction
  request: !ruby/struct:VCR::Request
    method: :post
    uri: https://api.openai.com:443/v1/chat/completions
    body: '{json.dumps(ASKED)}'
    headers: {{}}
  response: !ruby/struct:VCR::Response
    status: !ruby/struct:VCR::ResponseStatus
      code: 200
      message: OK
    headers:
      content-type:
      - application/json
    body: !binary {b64(wire(14))}
    http_version: "1.1"
"""
    exchange = read_text(text)
    assert exchange.request is not None
    assert exchange.request.method == "POST"
    assert codes(exchange) == ["U02"]
