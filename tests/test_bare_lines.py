"""Text in an event stream that is in no field: an error's words, or a chunk that clients lose."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_chatapi import Exchange, Request, Response
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.contract.sse import BARE, decode_sse

URL = "http://127.0.0.1:8000/v1/chat/completions"
ASK = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
ERROR = '{"error": {"message": "out of memory on device 0", "type": "server_error", "code": 500}}'


def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 1_750_000_000, "model": "m"}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps({**frame, "choices": [choice]})


FIRST, TEXT, LAST = (
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hello"}),
    chunk({}, "stop"),
)
DONE = "data: [DONE]\n\n"


def sse(*data: str) -> str:
    return "".join(f"data: {item}\n\n" for item in data)


def judge(body: Any, content_type: str = "text/event-stream", stream: bool = True) -> list[Finding]:
    request = Request("POST", URL, {}, {**ASK, "stream": stream})
    told = {"pieces": body} if isinstance(body, list) else {"body": body}
    response = Response(200, {"content-type": content_type}, **told)
    return check_exchange(Exchange(request, response)).findings


WORDS = 'the server reports an error on a line without `data:`: "out of memory on device 0"'
PRETTY = json.dumps(json.loads(ERROR), indent=2)


@pytest.mark.parametrize(
    "body",
    [
        ERROR + DONE,
        ERROR + "\n\n" + DONE,
        ERROR + "\n" + DONE,
        "\n" + ERROR + "\n\n" + DONE,
        sse(FIRST, TEXT) + ERROR,
        sse(FIRST, TEXT) + ERROR + "\n\n",
        sse(FIRST, TEXT) + ERROR + "\n\n" + DONE,
        sse(FIRST, TEXT) + ERROR + DONE,
        sse(FIRST, TEXT) + "\ufeff" + ERROR + "\n\n" + DONE,
        sse(FIRST, TEXT) + "  " + ERROR + "\n" + DONE,
        sse(FIRST, TEXT) + f"[{ERROR}]\n\n" + DONE,
        sse(FIRST, TEXT) + PRETTY + "\n\n" + DONE,
        sse(FIRST) + f"data: {TEXT}\n{ERROR}\n\n" + DONE,
        PRETTY + "\n\n" + DONE,
        sse(FIRST, TEXT) + f"err: {ERROR}\n\n" + DONE,
        (sse(FIRST, TEXT) + ERROR + "\n\n" + DONE).replace("\n", "\r\n"),
    ],
)
def test_an_error_without_data_is_told_in_the_servers_words(body: str) -> None:
    (finding,) = judge(body)
    assert (finding.code, finding.message) == ("T10", WORDS)


@pytest.mark.parametrize("error", ['{"detail": "out of memory"}', '{"message": "out of memory"}'])
def test_errors_of_other_shapes(error: str) -> None:
    (finding,) = judge(sse(FIRST, TEXT) + error + "\n\n" + DONE)
    assert finding.code == "T10"
    assert "out of memory" in finding.message


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
def test_an_error_that_is_all_of_the_body_is_x03(content_type: str) -> None:
    codes = [f.code for f in judge(ERROR, content_type)]
    assert codes == ["X03"]


@pytest.mark.parametrize(
    ("body", "got"),
    [
        (sse(FIRST) + TEXT + "\n\n" + sse(LAST) + DONE, TEXT),
        (sse(FIRST) + f"data: {LAST}\n{TEXT}\n\n" + DONE, TEXT),
        (TEXT + "\n\n" + sse(FIRST, LAST) + DONE, TEXT),
        (sse(FIRST, TEXT) + LAST + "\n\n" + DONE, LAST),
        (sse(FIRST) + "Internal Server Error\n\n" + sse(LAST) + DONE, "Internal Server Error"),
        (sse(FIRST) + "upstream died: reset\n\n" + sse(LAST) + DONE, "upstream died: reset"),
        (sse(FIRST) + f"dta: {TEXT}\n\n" + sse(LAST) + DONE, TEXT),
        (sse(FIRST) + f"data {TEXT}\n\n" + sse(LAST) + DONE, f"data {TEXT}"),
        (sse(FIRST) + "<html>502</html>\n\n" + sse(LAST) + DONE, "<html>502</html>"),
        (sse(FIRST) + '{"id": "c1",\n\n' + sse(LAST) + DONE, '{"id": "c1",'),
    ],
)
def test_text_that_clients_skip_is_e01(body: str, got: str) -> None:
    (finding,) = judge(body)
    assert (finding.code, finding.message) == ("E01", "clients skip a line without `data:`")
    assert finding.got[:20] == json.dumps(got)[:20]


def test_lines_of_json_instead_of_events_are_no_stream() -> None:
    body = "\n".join([FIRST, TEXT, LAST])
    for content_type in ("text/event-stream", "application/x-ndjson"):
        codes = {f.code for f in judge(body, content_type)}
        assert codes & {"E01", "S00"}


def test_a_byte_order_mark_before_a_later_field() -> None:
    bom = "\ufeff"
    assert judge(bom + sse(FIRST, TEXT, LAST) + DONE) == []
    for space in ("\u200b", "\u00a0", "\t"):
        (finding,) = judge(sse(FIRST) + space + sse(TEXT, LAST) + DONE)
        assert finding.code == "E01"
    (finding,) = judge(sse(FIRST) + bom + sse(TEXT, LAST) + DONE)
    assert finding.code == "E01"
    assert finding.message == "clients skip a line with a byte-order mark before its field name"
    assert [f.code for f in judge(sse(FIRST, TEXT, LAST) + bom + DONE)] == ["E01"]
    assert [f.code for f in judge(bom + bom + sse(FIRST, TEXT, LAST) + DONE)] == ["E01"]


@pytest.mark.parametrize(
    "extra",
    [
        ": a comment {\n\n",
        ":{}\n\n",
        "unknown: x\n\n",
        "x-trace: {}\n\n",
        "keepalive\n\n",
        "id: 7\n\n",
        "event: ping\n\n",
        "retry: 10\n\n",
        "data\n",
        "no colon\n",
        "event: message\nno colon\n",
    ],
)
def test_what_the_standard_ignores_is_silent(extra: str) -> None:
    body = sse(FIRST) + extra + sse(TEXT, LAST) + DONE
    assert judge(body) == []


def test_json_over_several_lines_of_one_event_is_one_fault() -> None:
    pretty = json.dumps(json.loads(TEXT), indent=1)
    (finding,) = judge(sse(FIRST) + f"data: {pretty}\n\n" + sse(LAST) + DONE)
    assert finding.code == "T11"


def test_a_whole_answer_is_not_taken_for_a_stream() -> None:
    broken = '{"id": "c1",\n "choices": [}'
    assert {f.code for f in judge(broken, "application/json", stream=False)} == {"S00"}
    assert "S00" in {f.code for f in judge(broken)}
    assert {f.code for f in judge(ERROR + DONE, "application/json", stream=False)} == {"S00"}


def test_a_bare_line_is_an_event_of_its_own() -> None:
    body = b'data: a\n{"x": 1}\n\nOh no\n\nping\n\ndata: b\n\n'
    assert [*decode_sse([body])] == [
        (b'{"x": 1}', b"", BARE),
        (b"a", b"", ""),
        (b"Oh no", b"", BARE),
        (b"b", b"", ""),
    ]


STREAM = (
    sse(FIRST)
    + TEXT
    + "\r\n\r\n\ufeff"
    + sse(TEXT)
    + "It broke down\n\n"
    + f"data: {TEXT}\n{ERROR}\n\n"
    + sse(LAST)
    + DONE
).encode()


@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
def test_any_chunking_gives_the_same_findings(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in pairwise(bounds)]
    whole = judge(STREAM)
    assert {f.code for f in whole} == {"E01", "T10"}
    assert judge(pieces) == whole


HEAD = (ERROR + DONE).encode()


@given(st.lists(st.integers(0, len(HEAD)), max_size=20))
def test_a_stream_that_begins_with_json_in_any_chunking(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(HEAD)]
    pieces = [HEAD[a:b] for a, b in pairwise(bounds)]
    assert judge(pieces) == judge(HEAD)
