"""HTTP as text: httprr, curl, and the files of editors."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from read_files import (
    CUT_STREAM,
    EMBEDDINGS,
    REQUEST,
    STREAM,
    WRONG,
    Verdict,
    exchanges_in,
    verdict,
)
from traffic import ANSWER

from pytest_chatapi.contract.check import check_exchange

Read = Callable[..., Verdict]

TYPE = "Content-Type: application/json\r\nx-request-id: r"
EVENTS = "Content-Type: text/event-stream\r\nx-request-id: r"


def answer(body: Any, head: str = TYPE, line: str = "HTTP/1.1 200 OK") -> bytes:
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    raw = data.encode() if isinstance(data, str) else data
    return f"{line}\r\n{head}\r\n\r\n".encode() + raw


def sent(target: str = "https://api.openai.com/v1/chat/completions", body: Any = REQUEST) -> bytes:
    head = f"POST {target} HTTP/1.1\r\nHost: api.openai.com\r\nContent-Type: application/json"
    return f"{head}\r\n\r\n{json.dumps(body)}".encode()


def in_chunks(data: str, size: int = 50, end: bytes = b"\r\n") -> bytes:
    raw = data.encode()
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    return b"".join(b"%x" % len(p) + end + p + end for p in pieces) + b"0" + end + end


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def check(data: bytes, name: str = "dump.txt") -> Verdict:
        (tmp_path / name).write_bytes(data)
        return verdict(tmp_path / name)

    return check


# -- httprr --------------------------------------------------------------------------------------


def trace(*calls: tuple[bytes, bytes]) -> bytes:
    return b"httprr trace v1\n" + b"".join(
        b"%d %d\n" % (len(request), len(response)) + request + response
        for request, response in calls
    )


@pytest.mark.parametrize("line", ["HTTP/2.0 200 OK", "HTTP/1.1 200 OK"])
def test_httprr(read: Read, line: str) -> None:
    good, bad = answer(ANSWER, line=line), answer(WRONG, line=line)
    assert read(trace((sent(), good), (sent(), bad))) == ([[], ["U02"]], 0, [])


def test_the_lengths_of_httprr_are_bytes(read: Read) -> None:
    request = REQUEST | {"messages": [{"role": "user", "content": "Grüße 👋"}]}
    text = json.dumps(request, ensure_ascii=False).encode()
    first = sent().partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + text
    assert read(trace((first, answer(ANSWER)), (sent(), answer(WRONG)))) == ([[], ["U02"]], 0, [])


def test_a_stream_in_httprr(read: Read) -> None:
    request = sent(body=REQUEST | {"stream": True})
    head = EVENTS + "\r\nTransfer-Encoding: chunked"
    calls = [(request, answer(in_chunks(stream), head)) for stream in (STREAM, CUT_STREAM)]
    assert read(trace(*calls)) == ([[], ["T08"]], 0, [])


def test_httprr_with_line_feeds_and_gzip(read: Read, tmp_path: Path) -> None:
    call = (sent().replace(b"\r\n", b"\n"), answer(WRONG).replace(b"\r\n", b"\n"))
    assert read(gzip.compress(trace(call), mtime=0), "t.httprr.gz") == ([["U02"]], 0, [])
    (exchange,), _ = exchanges_in(tmp_path / "t.httprr.gz")
    assert exchange.request is not None
    assert exchange.response is not None
    assert exchange.request.url == "https://api.openai.com/v1/chat/completions"
    assert exchange.request.json() == REQUEST
    assert exchange.response.headers["x-request-id"] == "r"


def test_other_apis_in_httprr_are_skipped(read: Read) -> None:
    other = sent("https://api.openai.com/v1/embeddings", {"model": "m", "input": "x"})
    assert read(trace((other, answer(EMBEDDINGS)), (sent(), answer(WRONG)))) == (
        [["U02"]],
        1,
        [],
    )


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (
            trace((sent(), answer(ANSWER)))[:-7],
            "interaction 0: 7 bytes less than its lengths say; record it again",
        ),
        (
            trace((sent(), answer(ANSWER))) + b"\nx",
            "interaction 1: the lengths of request and response are missing; record it again",
        ),
        (
            trace((b"prose", answer(ANSWER))),
            "interaction 0: request: its first line is not METHOD TARGET HTTP/VERSION",
        ),
        (
            trace((sent(), b"prose")),
            "interaction 0: response: its first line is not HTTP/VERSION STATUS",
        ),
    ],
)
def test_damaged_traces(read: Read, data: bytes, error: str) -> None:
    assert read(data).errors == [f"f: {error}"]


# -- curl ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["HTTP/2 200 ", "HTTP/1.1 200 OK", "HTTP/3 200"])
def test_curl_i(read: Read, line: str) -> None:
    assert read(answer(ANSWER, line=line)) == ([[]], 0, [])
    assert read(answer(WRONG, line=line)) == ([["U02"]], 0, [])
    assert read(answer(WRONG, line=line).replace(b"\r\n", b"\n")) == ([["U02"]], 0, [])


def test_headers_that_are_not_ascii(read: Read, tmp_path: Path) -> None:
    read(answer(ANSWER, TYPE + "\r\nx-city: Åland\r\nx-b: c"))
    (exchange,), _ = exchanges_in(tmp_path / "dump.txt")
    assert exchange.response is not None
    assert exchange.response.headers["x-b"] == "c"
    assert exchange.response.headers["x-city"].encode("latin-1").decode() == "Åland"


@pytest.mark.parametrize(
    ("head", "line", "api"),
    [
        ("content-type: application/json", "HTTP/2 200 ", "body not recorded"),
        (
            "content-type: application/json\r\ncontent-length: 812",
            "HTTP/2 200 ",
            "body not recorded",
        ),
        ("content-length: 812", "HTTP/1.1 429 Too Many Requests", "body not recorded"),
        ("content-type: application/json\r\ncontent-length: 0", "HTTP/2 200 ", "chat"),
        ("content-length: 00", "HTTP/2 200 ", "chat"),
        ("content-length: 812", "HTTP/1.1 304 Not Modified", "chat"),
        ("x-request-id: r", "HTTP/2 200 ", "chat"),
    ],
)
def test_a_head_whose_body_was_not_saved(
    head: str, line: str, api: str, read: Read, tmp_path: Path
) -> None:
    read(answer("", head, line))
    read(http_file(LINE, "", REQUEST, "").rstrip() + b"\n\n" + answer("", head, line), "a.http")
    for name in ("dump.txt", "a.http"):
        (exchange,), errors = exchanges_in(tmp_path / name)
        assert (check_exchange(exchange).api, errors) == (api, [])


def test_a_stream_in_curl_i(read: Read) -> None:
    assert read(answer(STREAM, EVENTS)) == ([[]], 0, [])
    assert read(answer(CUT_STREAM, EVENTS)) == ([["T08"]], 0, [])


@pytest.mark.parametrize(
    "before",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.1 301 Moved Permanently\r\nLocation: /v1\r\nContent-Length: 5\r\n\r\nmoved",
        b"HTTP/2 307 \r\nlocation: /v1\r\n\r\n",
        b"HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: x\n\n",
    ],
)
def test_what_came_before_the_last_response(read: Read, before: bytes) -> None:
    assert read(before + answer(ANSWER)) == ([[]], 0, [])
    assert read(before + answer(WRONG)) == ([["U02"]], 0, [])


def test_several_responses(read: Read) -> None:
    assert read(answer(WRONG) + answer(ANSWER) + b"\n" + answer(WRONG)) == (
        [["U02"], [], ["U02"]],
        0,
        [],
    )


def test_http_in_a_text_begins_no_response(read: Read) -> None:
    choice = ANSWER["choices"][0]
    text = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    body = WRONG | {"choices": [choice | {"message": choice["message"] | {"content": text}}]}
    assert read(answer(body)) == ([["U02"]], 0, [])


CHUNKED = EVENTS + "\r\nTransfer-Encoding: chunked"


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_chunks_as_saved(read: Read, end: bytes) -> None:
    assert read(answer(in_chunks(STREAM, end=end), CHUNKED)) == ([[]], 0, [])
    assert read(answer(in_chunks(CUT_STREAM, end=end), CHUNKED)) == ([["T08"]], 0, [])
    assert read(answer(STREAM, CHUNKED)) == ([[]], 0, [])  # curl has put it together
    assert read(answer(CUT_STREAM, CHUNKED)) == ([["T08"]], 0, [])


def test_a_missing_last_chunk_is_a_cut(read: Read, tmp_path: Path) -> None:
    data = answer(in_chunks(STREAM).removesuffix(b"0\r\n\r\n"), CHUNKED)
    read(data)
    (exchange,), errors = exchanges_in(tmp_path / "dump.txt")
    assert errors == []
    assert exchange.response is not None
    assert exchange.response.cut == "server"


def test_a_damaged_chunk_is_named(read: Read) -> None:
    body = in_chunks(STREAM).replace(b"32\r\n", b"30\r\n", 1)
    error = "f: interaction 0: response: chunk 1 does not end where its size says"
    assert read(answer(body, CHUNKED)) == ([], 0, [error])


DUMP = b"""* Host api.openai.com:443 was resolved.
*   Trying 192.0.2.7:443...
  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current
                                 Dload  Upload   Total   Spent    Left  Speed
> POST /v1/chat/completions HTTP/1.1
> Host: api.openai.com
> Content-Type: application/json
>
} [94 bytes data]
< HTTP/1.1 100 Continue
<
< HTTP/1.1 200 OK
< content-type: application/json
< x-request-id: r
<
{ [300 bytes data]
100   412  100   318  100    94    512    151 --:--:-- --:--:-- --:--:--   664
"""
LEFT = b"* Connection #0 to host api.openai.com left intact\n"


@pytest.mark.parametrize("between", [b"", b"\n"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_curl_v(read: Read, tmp_path: Path, between: bytes, end: bytes) -> None:
    for body, codes in ((ANSWER, []), (WRONG, ["U02"])):
        data = DUMP + json.dumps(body).encode() + between + LEFT
        assert read(data.replace(b"\n", end)) == ([codes], 0, [])
    (exchange,), _ = exchanges_in(tmp_path / "dump.txt")
    assert exchange.request is not None
    assert exchange.request.url == "https://api.openai.com/v1/chat/completions"
    assert exchange.request.body is None


def test_two_calls_of_curl_v(read: Read) -> None:
    other = DUMP.replace(b"/chat/completions", b"/embeddings")
    data = other + json.dumps(EMBEDDINGS).encode() + LEFT
    assert read(data + DUMP + json.dumps(WRONG).encode() + LEFT) == ([["U02"]], 1, [])


@pytest.mark.parametrize("data", [b"* a list\n* of notes\n", b"> quoted\n", b"GET ready\n"])
def test_prose_is_no_dump(read: Read, data: bytes) -> None:
    (error,) = read(data).errors
    assert "interaction" not in error


# -- the files of editors ------------------------------------------------------------------------


def http_file(*parts: Any) -> bytes:
    return "\n".join(p if isinstance(p, str) else json.dumps(p, indent=1) for p in parts).encode()


LINE = "POST https://api.openai.com/v1/chat/completions"
SAVED = ["", "HTTP/1.1 200 OK", "Content-Type: application/json", "x-request-id: r", ""]


@pytest.mark.parametrize("line", [LINE, LINE + " HTTP/1.1"])
def test_a_request_with_its_response(read: Read, line: str) -> None:
    head = [
        "### say hello",
        "# @name hello",
        "// a comment",
        line,
        "Content-Type: application/json",
    ]
    for body, codes in ((ANSWER, []), (WRONG, ["U02"])):
        data = http_file(*head, "", REQUEST, *SAVED, body)
        assert read(data, "a.http") == ([codes], 0, [])
        assert read(data.replace(b"\n", b"\r\n"), "a.http") == ([codes], 0, [])


def test_a_response_behind_a_separator_belongs_to_the_request_before_it(
    read: Read, tmp_path: Path
) -> None:
    response = http_file(*SAVED[1:], WRONG)
    data = http_file(LINE, "", REQUEST, "", "### saved", "", "") + response
    assert read(data, "a.http") == ([["U02"]], 0, [])
    (exchange,), _ = exchanges_in(tmp_path / "a.http")
    assert exchange.request is not None
    assert exchange.request.json() == REQUEST
    more = b"\n\n###\n\n" + http_file(LINE, "", REQUEST, "", "###", "") + response
    assert read(data + more, "a.http") == ([["U02"], ["U02"]], 0, [])
    assert read(data + b"\n\n###\n" + response, "a.http") == ([["U02"], ["U02"]], 0, [])


def test_several_requests(read: Read, tmp_path: Path) -> None:
    data = http_file(
        "@host = api.openai.com",
        "@base = https://{{host}}/v1",
        "",
        "POST {{base}}/chat/completions",
        "Authorization: Bearer {{$dotenv KEY}}",
        "",
        REQUEST | {"temperature": 9},
        "",
        "> {%",
        'client.test("ok", () => {});',
        "%}",
        "<> 2026-01-01T000000.200.json",
        "### other",
        "POST {{base}}/embeddings",
        "",
        {"model": "m", "input": "{{text}}"},
        "###",
        "",
        "POST {{base}}/chat/completions",
        "",
        REQUEST,
        *SAVED,
        WRONG,
    )
    assert read(data, "a.http") == ([["Q00"], ["U02"]], 1, [])
    exchanges, _ = exchanges_in(tmp_path / "a.http")
    first = exchanges[0].request
    assert first is not None
    assert first.url == "https://api.openai.com/v1/chat/completions"
    assert first.json() == REQUEST | {"temperature": 9}
    assert exchanges[0].response is None


@pytest.mark.parametrize("between", [b"", b"\r\n\r\n"])
def test_a_conversation(read: Read, tmp_path: Path, between: bytes) -> None:
    calls = [(sent("/v1/chat/completions"), answer(WRONG)), (sent("/v1/embeddings"), answer("{}"))]
    calls.append((sent("/v1/chat/completions"), answer(ANSWER)))
    data = between.join(request + between + response for request, response in calls)
    assert read(data) == ([["U02"], []], 1, [])
    exchanges, _ = exchanges_in(tmp_path / "dump.txt")
    assert exchanges[2].request is not None
    assert exchanges[2].request.url == "https://api.openai.com/v1/chat/completions"
    assert exchanges[2].request.json() == REQUEST


@pytest.mark.parametrize("body", ["< ./body.json", '{"model": {{model}}}'])
def test_a_body_that_is_elsewhere(read: Read, body: str) -> None:
    error = "f: interaction 0: request: its body is not in this file: check what was sent"
    assert read(http_file(LINE, "", body), "a.http") == ([], 0, [error])
    assert read(http_file(LINE, "", body, *SAVED, WRONG), "a.http") == ([["U02"]], 0, [])
