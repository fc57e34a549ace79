"""Every recording format: what comes out of it, and how the files to read are found."""

from __future__ import annotations

import base64
import gzip
import io
import itertools
import json
import os
import pickle
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.exchange import Exchange, Source
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading import bodies, yaml_events
from pytest_chatapi.reading.files import blocks_of
from pytest_chatapi.reading.find import find
from pytest_chatapi.reading.mapping import Mapping
from pytest_chatapi.reading.reader import NotARecording, read, read_file, values_of
from pytest_chatapi.reading.refused import unknown_json
from pytest_chatapi.reading.yaml_events import YAMLProblem, load_all

DATA = Path(__file__).parent / "readers_data"
URL = "https://api.example.test/v1/chat/completions"
SENT = '{"model":"m","messages":[{"role":"user","content":"Hello"}]}'
GOT = '{"id":"c1","object":"chat.completion","choices":[]}'
SSE = 'data: {"id":"c1"}\n\ndata: [DONE]\n\n'


def zipped(data: bytes) -> bytes:
    """Without the time, since test ids are made of it and xdist's workers have to agree."""
    return gzip.compress(data, mtime=0)


def of(content: str | bytes, tmp_path: Path, name: str = "some.file") -> list[Exchange]:
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read(file))


def one(content: str | bytes, tmp_path: Path) -> Exchange:
    (exchange,) = of(content, tmp_path)
    assert exchange.source == Source(str(tmp_path / "some.file"), 0)
    return exchange


def response(content: str | bytes, tmp_path: Path) -> Any:
    recorded = one(content, tmp_path).response
    assert recorded is not None
    return recorded


def request(content: str | bytes, tmp_path: Path) -> Any:
    recorded = one(content, tmp_path).request
    assert recorded is not None
    return recorded


def vcr(body: Any, **more: Any) -> dict[str, Any]:
    interaction = {
        "request": {"method": "post", "uri": URL, "headers": {"A": ["1", "2"]}, "body": SENT},
        "response": {
            "status": {"code": 200, "message": "OK"},
            "headers": {"Content-Type": ["application/json"]},
            "body": body,
        },
    }
    return {"interactions": [interaction], "version": 1, **more}


# --- vcrpy ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dump", [yaml.safe_dump, json.dumps, lambda v: json.dumps(v, indent=1)])
def test_vcrpy(dump: Any, tmp_path: Path) -> None:
    exchange = one(dump(vcr({"string": GOT})), tmp_path)
    assert exchange.request is not None
    assert exchange.response is not None
    assert exchange.request.method == "POST"
    assert exchange.request.url == URL
    assert exchange.request.headers == {"a": "1, 2"}
    assert exchange.request.body == SENT
    assert exchange.response.status == 200
    assert exchange.response.headers == {"content-type": "application/json"}
    assert exchange.response.body == GOT


def test_what_vcrpy_itself_writes(tmp_path: Path) -> None:
    serialize = pytest.importorskip("vcr.serializers.yamlserializer").serialize
    body = zipped(GOT.encode())
    assert response(serialize(vcr({"string": body})), tmp_path).body == GOT.encode()


@pytest.mark.parametrize(
    ("recorded", "body"),
    [
        (zipped(SSE.encode()), SSE.encode()),
        (zipped(b"data: 1\n\n") + zipped(b"data: 2\n\n"), b"data: 1\n\ndata: 2\n\n"),
        (zlib.compress(GOT.encode()), GOT.encode()),
        (b"\xff\xfe not text", b"\xff\xfe not text"),
        (b"\x28\xb5\x2f\xfd not zstd", b"\x28\xb5\x2f\xfd not zstd"),
        (GOT.encode(), GOT.encode()),
        (b"", None),
        ("", None),
        (None, None),
        (zipped(b""), None),
        (zipped(GOT.encode()).decode("latin-1"), GOT.encode()),
        ({"id": "c1"}, {"id": "c1"}),
        ([1], [1]),
    ],
)
@pytest.mark.parametrize("encoding", [None, "gzip", "identity", "br", "zstd"])
def test_a_body_is_decompressed_by_its_bytes(
    recorded: Any, body: Any, encoding: str | None, tmp_path: Path
) -> None:
    tape = vcr({"string": recorded})
    if encoding:
        tape["interactions"][0]["response"]["headers"]["Content-Encoding"] = [encoding]
    assert response(yaml.safe_dump(tape), tmp_path).body == body


@pytest.mark.parametrize(("module", "encoding"), [("brotli", "br"), ("zstandard", "zstd")])
def test_brotli_and_zstd_where_installed(module: str, encoding: str, tmp_path: Path) -> None:
    compress = pytest.importorskip(module).compress
    tape = vcr(None)
    answer = tape["interactions"][0]["response"]
    answer["headers"]["content-encoding"] = encoding
    answer["body"] = {"string": compress(GOT.encode())}
    assert response(yaml.safe_dump(tape), tmp_path).body == GOT.encode()
    answer["body"] = {"string": compress(GOT.encode() * 99)[:9]}
    assert response(yaml.safe_dump(tape), tmp_path).body == answer["body"]["string"]
    answer["body"] = {"string": compress(b" " * (17 << 20))}
    with pytest.raises(ReadError, match=r"the body decompresses to more than 16 MiB$"):
        of(yaml.safe_dump(tape), tmp_path)


def test_raw_deflate_is_known_by_its_header(tmp_path: Path) -> None:
    squeeze = zlib.compressobj(wbits=-15)
    tape = vcr({"string": squeeze.compress(GOT.encode()) + squeeze.flush()})
    tape["interactions"][0]["response"]["headers"]["content-encoding"] = "deflate"
    assert response(yaml.safe_dump(tape), tmp_path).body == GOT.encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, None),
        ("", None),
        (SENT, SENT),
        (SENT.encode(), SENT.encode()),
        (zipped(SENT.encode()), SENT.encode()),
        ({"model": "m"}, {"model": "m"}),
        ({"string": SENT}, SENT),
        ({"string": ""}, None),
        ({"encoding": "UTF-8", "string": SENT}, SENT),
        ({"encoding": "UTF-8"}, None),
        ({"base64_string": base64.b64encode(SENT.encode()).decode()}, SENT.encode()),
    ],
)
def test_bodies_of_requests(body: Any, expected: Any, tmp_path: Path) -> None:
    tape = vcr({"string": GOT})
    tape["interactions"][0]["request"]["body"] = body
    assert request(yaml.safe_dump(tape), tmp_path).body == expected


def test_parsed_bodies(tmp_path: Path) -> None:
    tape = vcr(None)
    for part in ("request", "response"):
        tape["interactions"][0][part].pop("body")
        tape["interactions"][0][part]["parsed_body"] = {"part": part, "n": None}
    exchange = one(yaml.safe_dump(tape), tmp_path)
    assert exchange.request is not None
    assert exchange.response is not None
    assert exchange.request.body == {"part": "request", "n": None}
    assert exchange.response.body == {"part": "response", "n": None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{a: 1, b: [x, ~, 1.5, true]}", {"a": 1, "b": ["x", None, 1.5, True]}),
        ("{a: !!binary aGk=}", {"a": "hi"}),
        ("[[!!binary /w==]]", [["\ufffd"]]),
        ("{a: {1: x}}", {"a": {"1": "x"}}),
        ("[{true: x}]", [{"true": "x"}]),
        ("{1.5: {}, !!binary /w==: []}", {"1.5": {}, "\ufffd": []}),
    ],
)
def test_each_oddity_of_a_parsed_body(text: str, expected: Any, tmp_path: Path) -> None:
    assert request(f"request: {{parsed_body: {text}}}", tmp_path).body == expected


def test_a_date_of_toml_becomes_text(tmp_path: Path) -> None:
    text = "[request]\nbody_type = 'json'\nbody_content = {at = 2026-11-25}\n"
    assert request(text, tmp_path).body == {"at": "2026-11-25"}


@pytest.mark.parametrize(("levels", "is_read"), [(200, True), (201, False)])
def test_how_deep_a_body_may_be(levels: int, is_read: bool) -> None:
    body = "[" * levels + "1" + "]" * levels
    indexes, errors = read_through(f'{{"request": {{"body": {body}}}}}'.encode())
    assert indexes == ([0] if is_read else [])
    reason = "f: line 1: request: the body is nested deeper than 200 levels"
    assert errors == ([] if is_read else [reason])


def test_a_parsed_body_of_json_lines_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_parsed", None)
    parts = {"request": {"url": URL, "body": json.loads(SENT)}, "response": {"body": {}}}
    batch = {"custom_id": "c", "response": {"status_code": 200, "body": json.loads(GOT)}}
    rows = "".join(json.dumps(row) + "\n" for row in (parts, batch))
    assert read_through(rows.encode()) == ([0, 1], [])


def test_a_parsed_body_becomes_what_json_can_say(tmp_path: Path) -> None:
    text = "request: {url: /v1, parsed_body: {no: 1, ~: 2, 3: [!!binary aGk=], !!binary aGk=: x}}\n"
    body = request(text, tmp_path).body
    assert body == {"false": 1, "null": 2, "3": ["hi"], "hi": "x"}


def test_headers_in_bytes(tmp_path: Path) -> None:
    text = "request: {headers: {A: [!!binary 6Q==], !!binary Qg==: b}, method: !!binary cHV0}\n"
    asked = request(text, tmp_path)
    assert (asked.method, asked.headers) == ("PUT", {"a": "\xe9", "b": "b"})


def test_vcrpy_with_its_first_httpx(tmp_path: Path) -> None:
    old = {"status_code": 404, "http_version": "HTTP/1.1", "headers": {}, "content": GOT}
    found = response(json.dumps({"interactions": [{"request": {}, "response": old}]}), tmp_path)
    assert (found.status, found.body) == (404, GOT)


def test_python_tags_are_looked_through(tmp_path: Path) -> None:
    exchange = one((DATA / "python_tags.yaml").read_bytes(), tmp_path)
    assert exchange.request is not None
    assert exchange.response is not None
    assert exchange.request.method == "POST"
    assert exchange.request.headers == {"accept": "*/*", "user-agent": "node", "x-old": "yes"}
    assert exchange.request.body == "été"
    assert exchange.response.status == 201
    assert exchange.response.body == b"raw"


def test_ruby_vcr(tmp_path: Path) -> None:
    tape = {"http_interactions": vcr({"encoding": "UTF-8", "string": GOT})["interactions"]}
    assert response(yaml.safe_dump(tape), tmp_path).body == GOT


def test_an_empty_cassette_holds_nothing(tmp_path: Path) -> None:
    assert of("interactions: []\nversion: 1\n", tmp_path) == []
    assert of("interactions:\n", tmp_path) == []


def test_several_yaml_documents_are_numbered_through(tmp_path: Path) -> None:
    text = yaml.safe_dump_all([vcr({"string": "1"}), vcr({"string": "2"})])
    assert [e.source.index for e in of(text, tmp_path) if e.source] == [0, 1]


# --- other formats ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cassetter.yaml", "cassetter.toml"])
def test_cassetter(name: str) -> None:
    exchanges = list(read(DATA / name))
    bodies = [(e.request and e.request.body, e.response and e.response.body) for e in exchanges]
    as_text = name.endswith("toml")
    assert bodies == [
        (
            '{"model":"m","seed":null}' if as_text else {"model": "m", "seed": None},
            '{"id":"x","n":null,"choices":[]}'
            if as_text
            else {"id": "x", "n": None, "choices": []},
        ),
        ("abc", 'data: {"a":1}\n\ndata: [DONE]\n\n'),
        (None, b"\x89PNG\xff"),
    ]
    assert [e.source for e in exchanges] == [Source(str(DATA / name), i) for i in range(3)]
    first = exchanges[0].request
    assert first is not None
    assert (first.method, first.url, first.headers) == ("POST", URL, {"accept": "*/*", "x": "a, b"})


def test_cassetter_json_strings_stay_json(tmp_path: Path) -> None:
    text = 'request: {uri: /, body: {type: json, content: "hi"}}\n'
    assert request(text, tmp_path).body == '"hi"'


@pytest.mark.parametrize("dump", [yaml.safe_dump, json.dumps, lambda v: json.dumps(v, indent=2)])
def test_a_single_exchange(dump: Any, tmp_path: Path) -> None:
    single = {
        "request": {"method": "POST", "url": URL, "headers": {"A": "b"}, "body": SENT},
        "response": {"status": {"code": 404}, "headers": {}, "body": GOT},
    }
    exchange = one(dump(single), tmp_path)
    assert exchange.request is not None
    assert exchange.response is not None
    assert (exchange.request.url, exchange.request.body) == (URL, SENT)
    assert (exchange.response.status, exchange.response.body) == (404, GOT)


def har(**answer: Any) -> str:
    headers = [{"name": "X-A", "value": "1"}, {"name": "x-a", "value": "2"}, {"name": ":path"}]
    asked = {"method": "POST", "url": URL, "headers": headers, "postData": {"text": SENT}}
    answer = {"status": 200, "headers": headers, **answer}
    return json.dumps(
        {"log": {"version": "1.2", "entries": [{"request": asked, "response": answer}]}}
    )


def test_har(tmp_path: Path) -> None:
    exchange = one(har(content={"mimeType": "application/json", "text": GOT}), tmp_path)
    assert exchange.request is not None
    assert exchange.response is not None
    assert exchange.request.body == SENT
    assert exchange.request.headers == exchange.response.headers == {"x-a": "1, 2"}
    assert exchange.response.body == GOT


def test_har_in_base64(tmp_path: Path) -> None:
    text = base64.b64encode(SSE.encode()).decode()
    assert (
        response(har(content={"text": text, "encoding": "base64"}), tmp_path).body == SSE.encode()
    )
    assert response(har(content={"size": 5, "mimeType": "x"}), tmp_path).body is None


@pytest.mark.parametrize(
    ("told", "api"),
    [
        ({"content": {"size": 5, "mimeType": "application/json"}}, "body not recorded"),
        ({"content": {"size": 5, "text": None}}, "body not recorded"),
        ({"content": {"size": 0}, "bodySize": 5}, "body not recorded"),
        ({"content": {"size": 0}, "bodySize": -1}, "chat"),
        ({"content": {"size": -1}}, "chat"),
        ({"content": {"size": 5, "text": ""}}, "chat"),
        ({"content": {"size": 5, "text": GOT}}, "chat"),
    ],
)
def test_har_whose_body_was_not_saved(told: Any, api: str, tmp_path: Path) -> None:
    exchange = one(har(**told), tmp_path)
    assert check_exchange(exchange).api == api


def test_har_of_a_request_without_an_answer(tmp_path: Path) -> None:
    assert one(har(status=0, content={}), tmp_path).response is None


@pytest.mark.parametrize(
    ("asked", "answered", "bodies"),
    [
        ({"postData": {"text": "a"}}, {"content": {"text": "b"}}, ("a", "b")),
        ({"content": {"text": "a"}}, {"postData": {"text": "b"}, "body": ""}, (None, None)),
        ({"postData": "a"}, {"content": "b"}, (None, "b")),
        ({"body": "a", "postData": {"text": "x"}}, {"body": "b", "content": "x"}, ("a", "b")),
        ({"body": None, "postData": {"text": "a"}}, {"body": None, "content": "b"}, ("a", "b")),
        (
            {"body": {"type": "text", "content": "a"}},
            {"body_type": "none", "body": "x"},
            ("a", None),
        ),
        (
            {"body": {"type": "none"}},
            {"body": {"type": "other", "content": "b"}},
            (None, {"type": "other", "content": "b"}),
        ),
        (
            {"body": {"type": "text", "string": "a"}},
            {"body": {}},
            ({"type": "text", "string": "a"}, {}),
        ),
        ({"body": "", "parsed_body": [1]}, {"body": "b", "parsed_body": [1]}, ([1], "b")),
        (
            {"body": {"string": "a", "base64_string": "Yg=="}},
            {"body": {"string": ""}, "parsed_body": [2]},
            (b"b", [2]),
        ),
        (
            {"postData": {"text": "YQ==", "encoding": "base64"}},
            {"content": {"text": 5, "encoding": "base64"}},
            (b"a", 5),
        ),
    ],
)
@pytest.mark.parametrize("within", ["entries", "interactions", "line"])
def test_which_spelling_of_a_body_counts(
    asked: Any, answered: Any, bodies: Any, within: str, tmp_path: Path
) -> None:
    exchange: Any = {"request": asked, "response": answered}
    if within != "line":
        exchange = {within: [exchange]}
    if within == "entries":
        exchange = {"log": exchange}
    recorded = one(json.dumps(exchange), tmp_path)
    assert recorded.request is not None
    assert recorded.response is not None
    assert (recorded.request.body, recorded.response.body) == bodies


def line(**answer: Any) -> str:
    return json.dumps(
        {
            "meta": {"n": 1},
            "request": {"method": "POST", "url": URL, "body": {"model": "m"}},
            "response": {"status": 200, "headers": {"A": "b"}, "body": GOT, **answer},
        }
    )


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_json_lines(end: str, tmp_path: Path) -> None:
    text = line() + "\n\n" + line(cut="server") + "\r\n" + line(cut="client", body={"a": 1}) + end
    exchanges = of(text, tmp_path)
    assert [e.source.index for e in exchanges if e.source] == [0, 2, 3]
    assert [e.response.cut for e in exchanges if e.response] == [None, "server", "client"]
    assert [e.response.body for e in exchanges if e.response] == [GOT, GOT, {"a": 1}]
    assert exchanges[0].request is not None
    assert exchanges[0].request.body == {"model": "m"}


def test_a_merge_conflict_in_json_lines_is_said_once(tmp_path: Path) -> None:
    line = json.dumps({"request": {"url": URL}, "response": {"status": 200, "body": GOT}})
    ours = ["<<<<<<< HEAD", line, "||||||| base", line, "=======", line, ">>>>>>> topic"]
    path = tmp_path / "f.jsonl"
    path.write_text("\n".join([line, *ours, line, *ours]))
    for mapping in (None, Mapping("response=$.answer")):
        errors: list[ReadError] = []
        exchanges = list(read_file(path, errors.append, name="f", mapping=mapping))
        assert len(exchanges) == 8
        assert [str(e) for e in errors] == ["f: line 2: a merge conflict is not resolved (<<<<<<<)"]


def test_json_lines_come_one_by_one(tmp_path: Path) -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return line().encode() + b"\n"

    exchanges = read(Endless(), name="tail")  # type: ignore[arg-type]
    assert [next(exchanges).source for _ in range(3)] == [Source("tail", i) for i in range(3)]


def test_a_line_of_a_live_pipe_is_not_held_up() -> None:
    class Pipe(io.BytesIO):
        lines = 0

        def read1(self, size: int | None = -1) -> bytes:
            self.lines += 1
            return self.readline()

    pipe = Pipe((line() + "\n").encode() * 3)
    for number, exchange in enumerate(read(pipe), 1):
        assert exchange.source is not None
        assert pipe.lines == number


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (GOT, 200),
        ('{"object":"chat.completion.chunk","choices":[]}', 200),
        ('{"choices":[{"delta":{}}]}', 200),
        ('{"object":"list","data":[]}', 200),
        ('{"id":"m","object":"model"}', 200),
        ('{"error":{"message":"no"}}', 400),
        ('{"error":"no"}', 400),
        ('{"object":"error","message":"no"}', 400),
        (json.dumps(json.loads(GOT), indent=2), 200),
    ],
)
@pytest.mark.parametrize("before", ["", "\ufeff", "\n \n"])
def test_raw_json_bodies(text: str, status: int, before: str, tmp_path: Path) -> None:
    exchange = one(before + text + "\n", tmp_path)
    assert exchange.request is None
    assert exchange.response is not None
    assert (exchange.response.status, exchange.response.body) == (status, text.encode())


@pytest.mark.parametrize(
    "text",
    [
        SSE,
        'data:{"id":"c1"}\r\n\r\n',
        ': hello\n\ndata: {"id":"c1"}\n\n',
        ": only\n\n: comments\n\n",
        "event: x\nid: 1\ndata: 1\n\nno field\n\n",
        "\n\n" + SSE,
        "data: [DONE]",
    ],
)
def test_raw_sse_bodies(text: str, tmp_path: Path) -> None:
    found = response(text, tmp_path)
    assert found.status == 200
    assert found.body is None
    for _ in range(2):
        assert b"".join(found.pieces) == text.encode()
    assert b"".join(pickle.loads(pickle.dumps(found.pieces))) == text.encode()


def test_a_long_stream_is_read_in_small_blocks(tmp_path: Path) -> None:
    stream = b"".join(b'data: {"n": %d}\n\n' % n for n in range(100_000))
    for content in (stream, gzip.compress(stream, 1)):
        pieces = list(response(content, tmp_path).pieces)
        assert b"".join(pieces) == stream
        assert max(map(len, pieces)) <= 4 * 64 * 1024


def test_raw_chunk_lines(tmp_path: Path) -> None:
    chunks = [{"choices": [{"delta": {"content": str(n)}}]} for n in range(3)]
    text = "\n".join(map(json.dumps, chunks))
    for content in (text, text + "\n\n", text + "\n[DONE]\n", zipped(text.encode())):
        found = response(content, tmp_path)
        assert list(found.chunks) == chunks == list(found.chunks)
        assert pickle.loads(pickle.dumps(list(found.chunks))) == chunks
    assert response(json.dumps(chunks, indent=1), tmp_path).chunks == chunks
    bare = [{"object": "chat.completion.chunk"}] * 2
    assert list(response("\n".join(map(json.dumps, bare)), tmp_path).chunks) == bare
    (piped,) = read(io.BytesIO(text.encode()))
    assert piped.response is not None
    assert list(piped.response.chunks or ()) == chunks


@pytest.mark.parametrize(
    ("first", "is_stream"),
    [
        ({"choices": []}, None),
        ({"object": "", "choices": [], "prompt_filter_results": []}, None),
        ({"object": "chat.completion", "choices": []}, False),
        ({"object": "chat.completion", "choices": [{"index": 0}]}, False),
        ({"object": "text_completion", "choices": [{"text": "Hi"}]}, False),
        ({"choices": [{"text": "Hi"}]}, False),
        ({"object": "chat.completion", "choices": [{"delta": {}}]}, True),
        ({"choices": [{"delta": {}, "text": "Hi"}]}, True),
        ({"choices": [{"index": 0, "finish_reason": "stop"}]}, True),
    ],
)
def test_the_first_line_with_choices_tells_whether_the_lines_are_chunks(
    first: Any, is_stream: bool | None, tmp_path: Path
) -> None:
    whole, chunk = {"choices": [{"message": {}}]}, {"choices": [{"delta": {}}]}
    for below, streams in ((whole, False), (chunk, True)):
        text = "\n\n".join(map(json.dumps, [first, below, below]))
        count = 1 if is_stream or (is_stream is None and streams) else 3
        assert len(of(text, tmp_path)) == count


def test_a_list_of_exchanges_or_bodies(tmp_path: Path) -> None:
    text = "[\n" + line() + ",\n" + line() + "\n]\n"
    assert len(of(text, tmp_path)) == 2
    whole = GOT.replace("[]", '[{"message":{}}]')
    lines = of(whole + "\n" + whole + "\n", tmp_path)
    assert [e.response.body for e in lines if e.response] == [whole.encode()] * 2
    listed = of(f"[{whole}, {whole}]", tmp_path)  # of which no text is known
    assert [e.response.body for e in listed if e.response] == [json.loads(whole)] * 2


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ('{"object": "chat.completion.deleted"}', 200),
        ('{"object": "chat.completio"}', None),
        ('{"object": "models"}', None),
        ('{"choices": {}}', None),
        ('{"error": 5}', None),
        ('{"error": null}', None),
        ('{"choices": [], "error": {}}', 200),
        ("choices = []", 200),
        ("choices: []", None),
        ("- choices: []", 200),
        ("[]", None),
    ],
)
def test_what_counts_as_a_raw_body(text: str, status: int | None) -> None:
    statuses = []
    errors: list[ReadError] = []
    for exchange in read_file(io.BytesIO(text.encode()), errors.append):
        statuses.append(exchange.response and exchange.response.status)
    assert statuses == ([] if status is None else [status])
    assert [type(error) for error in errors] == ([NotARecording] if status is None else [])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("interactions: []", 0),
        ("interactions: [1, 2]", 2),
        ("http_interactions: [1]", 1),
        ("http_interactions: [1]\ninteractions: [1, 2]", 2),
        ("http_interactions: [1]\ninteractions: 5", 1),
        ("request: {}", 1),
        ("[[interactions]]\nrequest = 1", 1),
        ('{"log": {"entries": [1, 2]}}', 2),
        ('[1, {"request": {}}]', 2),
        ("interactions: [1]\n---\ninteractions: [1, 2]", 1),
    ],
)
def test_the_interactions_of_a_document(text: str, count: int) -> None:
    assert len(values_of(text.encode(), "f")) == count


@pytest.mark.parametrize(
    "text", ["", GOT, SSE, f"[{GOT}]"[:-1], "log: {entries: 5}", "interactions: 5"]
)
def test_a_document_without_interactions(text: str) -> None:
    with pytest.raises(ReadError):
        values_of(text.encode(), "f")


def test_a_damaged_end_shows_before_the_first_document_is_used() -> None:
    with pytest.raises(ReadError, match=r"^f: line 2, column 1: not valid YAML: "):
        values_of(b"interactions: []\n]", "f")
    with pytest.raises(YAMLProblem):
        next(load_all("text\nkey: value"))


def lines_with_an_exchange(count: int, number: int, first: bytes) -> bytes:
    """So many foreign lines, but for the first one and for an exchange on line `number`."""
    lines = [first, *[b'{"a": 1}'] * (count - 1)]
    lines[number - 1] = line().encode()
    return b"\n".join(lines)


def read_through(data: bytes) -> tuple[list[int], list[str]]:
    """The indexes of the exchanges, and the errors."""
    errors: list[ReadError] = []
    exchanges = list(read_file(io.BytesIO(data), errors.append, name="f"))
    return [e.source.index for e in exchanges if e.source], [str(e) for e in errors]


@pytest.mark.parametrize(("number", "is_recognised"), [(3, True), (22, True), (23, False)])
def test_how_far_json_lines_are_looked_at(number: int, is_recognised: bool) -> None:
    indexes, errors = read_through(lines_with_an_exchange(30, number, b'{"a": 1}'))
    if is_recognised:
        assert indexes == [number - 1]
        assert len(errors) == 29
    else:
        assert (indexes, errors) == ([], [str(unknown_json("f", {"a": 1}))])


@pytest.mark.parametrize(("number", "is_recognised"), [(2, True), (20, True), (21, False)])
def test_how_far_the_lines_below_a_damaged_one_are_looked_at(
    number: int, is_recognised: bool
) -> None:
    indexes, errors = read_through(lines_with_an_exchange(30, number, b'{"a'))
    if is_recognised:
        assert indexes == [number - 1]
        assert len(errors) == 29
    else:  # one document
        assert indexes == []
        assert [error[:18] for error in errors] == ["f: line 1, column "]


def test_blank_lines_before_a_damaged_one(tmp_path: Path) -> None:
    data = b"\n" * 19 + b'{"a\n' + line().encode()
    assert read_through(data)[0] == []
    assert read_through(data[1:])[0] == [19]


# --- around the formats -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "encode",
    [
        str.encode,
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    ],
)
@pytest.mark.parametrize("is_zipped", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        line(body="é") + "\n" + line() + "\n",
        json.dumps(vcr("é"), indent=1),
        'data: "é"\n\n',
        "# x\nrequest: {url: é}",
    ],
)
def test_encodings(text: str, encode: Any, is_zipped: bool, tmp_path: Path) -> None:
    data = encode(text)
    exchange = of(zipped(data) if is_zipped else data, tmp_path)[0]
    if exchange.request and exchange.request.url == "é":
        return
    assert exchange.response is not None
    if exchange.response.pieces is not None:
        assert b"".join(exchange.response.pieces) == text.encode()
    else:
        assert exchange.response.body == "é"


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"a\0b\0", b"ab"),
        (b"\0a\0b", b"ab"),
        (b"\xff\xfea\0", b"a"),
        (b"\xfe\xff\0a", b"a"),
        (b"\xff\xfea\0b\0", b"ab"),
        (b"a\0\0\0", None),
        (b"\0\0b\0", None),
        (b"a\0bb", None),
        (b"aab\0", None),
        (b"\0a\0\0", None),
        (b"\0\0\0b", None),
        (b"\0abb", None),
        (b"aa\0b", None),
        (b"\xff\xfe\0\0a\0\0\0", None),
        (b"a\0b", None),
        (b"\0a\0", None),
        (b"", None),
    ],
)
def test_what_counts_as_utf_16(head: bytes, text: bytes | None) -> None:
    assert b"".join(blocks_of(io.BytesIO(head), "f")) == (head if text is None else text)


@pytest.mark.parametrize("junk", [b"junk", b"\0\0junk", b"\0" * 99])
def test_what_follows_gzip_data_is_ignored(junk: bytes, tmp_path: Path) -> None:
    text = GOT.encode()
    assert response(zipped(text) + junk, tmp_path).body == text
    tape = vcr({"string": zipped(text) + junk})
    assert response(yaml.safe_dump(tape), tmp_path).body == text
    two = zipped(line().encode() + b"\n") + b"\0\0" + zipped(line().encode()) + junk
    assert len(of(two, tmp_path)) == 2


class Dripping(io.RawIOBase):
    """A pipe that has one byte at a time."""

    def __init__(self, data: bytes) -> None:
        self._bytes = iter(data)

    def read(self, size: int = -1) -> bytes:
        return bytes(itertools.islice(self._bytes, 1))


@pytest.mark.parametrize(
    "data",
    [
        line().encode(),
        b"\xef\xbb\xbf" + line().encode(),
        line().encode("utf-16"),
        line().encode("utf-16-be"),
        zipped(line().encode()),
        yaml.safe_dump(vcr({"string": GOT})).encode(),
        b"\n\n# comment\n\nresponse: {body: x}\n",
        b"[[interactions]]\n[interactions.response]\nbody = 'x'\n",
        b": comment\n\ndata: 1\n\n",
        GOT.encode(),
    ],
)
def test_a_slow_pipe(data: bytes) -> None:
    (exchange,) = read(Dripping(data))  # type: ignore[arg-type]
    assert exchange.response is not None
    whole = next(read(io.BytesIO(data)))
    assert exchange.request == whole.request
    assert exchange.response.body == whole.response.body if whole.response else False


@pytest.mark.parametrize(
    ("asked", "method", "url"),
    [
        ({}, "POST", ""),
        ({"url": "/a"}, "POST", "/a"),
        ({"uri": "/a", "method": "get"}, "GET", "/a"),
        ({"uri": None, "path": "/a", "method": None}, "POST", "/a"),
        ({"uri": 5, "method": ["x"]}, "POST", "5"),
        ({"uri": "/\ud800"}, "POST", "/\\ud800"),
        ({"uri": "/a", "url": "/b", "path": "/c"}, "POST", "/a"),
        ({"uri": "", "url": "/b", "path": "/c"}, "POST", "/b"),
        ({"method": " put\n"}, "PUT", ""),
    ],
)
def test_odd_requests(asked: Any, method: str, url: str, tmp_path: Path) -> None:
    found = request(json.dumps({"request": asked}), tmp_path)
    assert (found.method, found.url, found.body) == (method, url, None)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (None, {}),
        ("x", {}),
        ([["A", "1"], ["a", "2"]], {"a": "1, 2"}),
        ([{"name": "A", "value": "1"}, {"value": "2"}, 3], {"a": "1"}),
        ({"A": [None, 1, {"b": 1}], "B": None}, {"a": "1, "}),
        (
            {":status": "200", "B": 1 << 63, "C": 1 << 64, "D": -1.5},
            {"b": f"{1 << 63}", "c": "", "d": "-1.5"},
        ),
        ([["A"], ["B", "1", "2"], ["C", "é"]], {"c": "é"}),
        ([{"name": "A"}, [":b", "c"]], {"a": ""}),
        ({"A": True, "B": "\udcff"}, {"a": "True", "b": "\\udcff"}),
        ({":status": "200", "B": "1", "b": "2"}, {"b": "1, 2"}),
        ({"A": "1", "B": "\udcff"}, {"a": "1", "b": "\\udcff"}),
    ],
)
def test_odd_headers(headers: Any, expected: Any, tmp_path: Path) -> None:
    assert request(json.dumps({"request": {"headers": headers}}), tmp_path).headers == expected


@pytest.mark.parametrize(
    ("part", "status"),
    [
        ({"status": 201}, 201),
        ({"status": "201"}, 201),
        ({"status": "201 Created"}, 201),
        ({"status": {"code": 201, "message": "Created"}}, 201),
        ({"status": {"code": "201"}}, 201),
        ({"status": 201.0}, 201),
        ({"status_code": 201}, 201),
        ({"statusCode": 201}, 201),
        ({"status": None, "body": "x"}, 200),
        ({"status": True}, 200),
        ({"status": -1}, 200),
        ({"status": float("nan")}, 200),
        ({"status": float("inf")}, 200),
        ({"status": 10**30}, 200),
        ({"status": 0, "body": "x"}, 200),
        ({"status": 1}, 200),
        ({"status": 99}, 200),
        ({"status": 100}, 100),
        ({"status": 999}, 999),
        ({"status": 1000}, 200),
        ({"status": 201.5}, 200),
        ({"status": "2019"}, 201),
        ({"status": "20x"}, 200),
        ({"status_code": 201, "statusCode": 404}, 201),
        ({"cut": ["server"]}, 200),
    ],
)
def test_odd_statuses(part: Any, status: int, tmp_path: Path) -> None:
    found = response(json.dumps({"response": {"body": None, **part}}), tmp_path)
    assert found.status == status
    assert found.cut is None


def test_a_body_with_lone_surrogates_becomes_bytes(tmp_path: Path) -> None:
    assert response(line(body="a\udcff"), tmp_path).body == b"a\xff"
    assert response(line(body="a\ud800"), tmp_path).body == b"a\xed\xa0\x80"


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(SSE.encode())))
    (exchange,) = read("-")
    assert exchange.source == Source("<stdin>", 0)
    assert exchange.response is not None
    for _ in range(2):
        assert b"".join(exchange.response.pieces or ()) == SSE.encode()


def test_an_open_file(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text(line())
    with file.open("rb") as opened:
        assert [e.source for e in read(opened)] == [Source(str(file), 0)]
    assert [e.source for e in read(io.BytesIO(line().encode()))] == [Source("<file>", 0)]
    assert [e.source for e in read(file, name="n")] == [Source("n", 0)]
    with pytest.raises(TypeError, match=r"^open the file in binary mode$"):
        list(read(io.StringIO(line())))  # type: ignore[arg-type]


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, pytest_chatapi.reading.reader\n"
        "print({'yaml', 'vcr', 'httpx', 'pytest', 'tomllib', 'jsonschema'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- which files ------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.yaml", "a.jsonl.gz", "sub/c.SSE", "README.md", ".hidden.json", ".git/d.json"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        text = line().encode()
        file.write_bytes(zipped(text) if name.endswith("gz") else text)
    (tmp_path / "package.json").write_text('{"name": "x", "version": "1.0.0"}\n')
    (tmp_path / "notes.txt").write_text("Nothing: to: see.\n")
    return tmp_path


def test_find(tree: Path) -> None:
    def names(*paths: Any) -> list[str]:
        return [path.relative_to(tree).as_posix() for path in find(paths)]

    every = ["a.jsonl.gz", "b.yaml", "notes.txt", "package.json", "sub/c.SSE"]
    assert names(tree) == every
    assert names(tree / "README.md", tree, tree / "b.yaml") == ["README.md", *every]
    assert names(str(tree / "*.y*ml")) == ["b.yaml"]
    assert names(str(tree / "s*")) == ["sub/c.SSE"]
    assert find(["-"]) == [Path("-")]
    odd = tree / "odd[1].yaml"
    odd.write_text(line())
    assert names(odd) == ["odd[1].yaml"]


def test_what_is_not_a_file_is_not_found(tree: Path) -> None:
    (tree / "folder.yaml").mkdir()
    (tree / "gone.yaml").symlink_to(tree / "nowhere")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tree / "pipe.yaml")
    assert [path.name for path in find([tree])] == [
        "a.jsonl.gz",
        "b.yaml",
        "notes.txt",
        "package.json",
        "c.SSE",
    ]


def test_a_path_that_cannot_be(tmp_path: Path) -> None:
    path = f"{tmp_path}/{'x' * 300}.yaml"
    with pytest.raises(ReadError, match=r"x\.yaml: cannot be read: File name too long$"):
        find([path])


@pytest.mark.parametrize("named", [True, False])
def test_an_unreadable_folder_in_a_folder(
    named: bool, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", *([path] if named else []))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    errors: list[ReadError] = []
    assert len(find([tree], errors.append)) == 4
    place = tree / "sub" if named else tree
    assert [str(error) for error in errors] == [f"{place}: permission denied"]


def test_a_folder_gives_its_recordings_only(tree: Path) -> None:
    assert [e.source.file for e in read(tree) if e.source] == [
        str(tree / name) for name in ("a.jsonl.gz", "b.yaml", "sub/c.SSE")
    ]
    assert len(list(read(str(tree / "**" / "*.json*")))) == 1


def test_a_damaged_file_does_not_stop_a_folder(tree: Path) -> None:
    (tree / "a.json").write_text('{"interactions": [')
    (tree / "z.json").write_text("")
    given: list[Exchange] = []
    with pytest.raises(ReadError) as caught:
        given.extend(read(tree))
    assert len(given) == 3
    assert str(caught.value) == (
        f"{tree / 'a.json'}: line 1, column 19: "
        "not valid JSON: Expecting value; the text is cut off"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.yaml", "no such file or folder"),
        ("no\0ne.yaml", "no such file or folder"),
        ("*.none", "no file matches"),
    ],
)
def test_a_path_without_files(name: str, reason: str, tree: Path) -> None:
    path = f"{tree}/{name}"
    for call in (lambda: find([path]), lambda: list(read(path))):
        with pytest.raises(ReadError) as caught:
            call()
        assert str(caught.value) == f"{path}: {reason}"
    errors: list[ReadError] = []
    assert find([path, tree / "b.yaml"], errors.append) == [tree / "b.yaml"]
    assert [error.reason for error in errors] == [reason]


def test_a_url_is_no_pattern_and_shown_without_its_signature() -> None:
    url = "https://h.test/logs/a.jsonl?se=2026&sig={}"
    signed = url.format("s3cr3t%3D")
    for call in (lambda: find([signed]), lambda: list(read(signed))):
        with pytest.raises(ReadError) as caught:
            call()
        reason = "a URL: chatapi check --rates reads it, or download it"
        assert str(caught.value) == f"{url.format('REDACTED')}: {reason}"


def test_a_folder_without_recordings(tmp_path: Path) -> None:
    with pytest.raises(NotARecording) as caught:
        list(read(tmp_path))
    assert str(caught.value) == f"{tmp_path}: contains no recordings"


def test_no_permission(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(tree))

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        with pytest.raises(ReadError) as caught:
            find([tree])
    assert str(caught.value) == f"{tree}: permission denied"
    errors: list[ReadError] = []
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", refuse)
        assert list(read_file(tree / "b.yaml", errors.append)) == []
    assert list(read_file(tree, errors.append)) == []
    assert [str(error) for error in errors] == [
        f"{tree / 'b.yaml'}: permission denied",
        f"{tree}: is a folder",
    ]


# --- YAML -------------------------------------------------------------------------------------

SNIPPETS = r"""
a
'a'
"a\n\u00e9\x1b"
! 5
~
null
Null
NO
yes
on
y
true
'true'
0
-1
+12
0o17
017
0x1F
0b101
1_000
190:20:30
1.5
-1.5e+3
1e5
.5
6.
.inf
-.INF
190:20:30.15
685_230.15
[]
{}
[a, 'b', "c", 1, ~]
{a: 1, 2: b, ~: c, true: d}
[[[]], {a: {b: []}}]
- a\n- - b\n  - c\n- d: e\n  f:\n  - g
? a\n: b
? |\n  a\n: b
a: |\n  x\n  y\n\n
a: |+\n  x\n\nb: 1
a: |-\n  x
a: >\n  x\n  y\n\n  z
a: >-\n   x\n\n    y
'a: ''it''s'''
a: "x\\\n  y"
a: x\n  y\n   z
# c\na: 1 # d\n...
---\na
%YAML 1.1\n---\na
&a [1]
[&a [1], *a]
{a: &x {b: 1}, c: *x}
[&a 5, *a, &a2 5, *a2]
{<<: {a: 1}, a: 2, b: 3}
{a: 2, <<: {a: 1, c: 4}}
{<<: [{a: 1}, {a: 2, b: 3}], c: 4}
{<<: {a: 1}, <<: {a: 2}}
- &x {a: 1}\n- <<: *x\n  b: 2
'<<': 1
{'<<': 1}
!!str 5
!!int '5'
!!int '0x10'
!!float 5
!!float 1
!!bool 'yes'
!!null ''
!!binary aGVsbG8=
!!binary |\n  aGVs\n  bG8=
{!!binary aGk=: 1}
!!map {a: 1}
!!seq [a]
{a: 1, a: 2}
- 😀
a:
-
''
key with spaces: value with  spaces
a: b:c
http://x: y
- -1
- '- 1'
"\0 \t"
{a, b}
{a: , b: }
[a: 1, b]
"""


@pytest.mark.parametrize("snippet", SNIPPETS.splitlines())
def test_agreement_with_csafeloader(snippet: str) -> None:
    text = snippet.replace("\\n", "\n") if not snippet.startswith('"') else snippet
    expected = yaml.load(text, Loader=yaml.CSafeLoader)
    got = list(load_all(text))
    assert repr(got) == repr([expected] if got else [])
    if not got:
        assert expected is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!!python/none ''", None),
        ("!!python/long '5'", 5),
        ("!!python/int '5'", 5),
        ("!!python/bool 'yes'", True),
        ("!!python/float '1'", 1.0),
        ("!!python/str 5", "5"),
        ("!!python/unicode 5", "5"),
        ("!!python/bytes aGk=", b"hi"),
        ("!!timestamp 2026-11-25", "2026-11-25"),
        ("2026-11-25", "2026-11-25"),
        ("!ours 5", "5"),
        ("=", "="),
        ("<<", "<<"),
        ("[<<, {a: <<}]", ["<<", {"a": "<<"}]),
        ("{&a <<: {b: 1}, c: *a}", {"b": 1, "c": "<<"}),
        ("!!python/tuple [1, 2]", [1, 2]),
        ("!!python/object/apply:a.B [5]", 5),
        ("!!python/object/new:a.B {args: [x], state: 1}", "x"),
        ("!!python/object/apply:a.B [5, 6]", [5, 6]),
        ("!!python/object/apply:a.B [[5]]", [[5]]),
        ("!!python/object:a.B {x: 1}", {"x": 1}),
        ("!!map [5]", [5]),
        ("{!!python/object/apply:a.B [k]: v}", {"k": "v"}),
        ("[&a [1], &a [2], *a]", [[1], [2], [2]]),
        ("[&a x, *a, &a y, *a]", ["x", "x", "y", "y"]),
        ("1:30", 90),
    ],
)
def test_what_differs_from_csafeloader(text: str, value: Any) -> None:
    assert repr(list(load_all(text))) == repr([value])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("!!bool maybe", "'maybe' is not a valid !!bool value"),
        ("!!int ''", "'' is not a valid !!int value"),
        ("!!int abc", "'abc' is not a valid !!int value"),
        (
            "1" + ":00" * 250 + ".5",
            f"{'1' + ':00' * 12!r}"[:-1] + "...' is not a valid !!float value",
        ),
        ("!!float " + "x" * 40, f"'{'x' * 40}' is not a valid !!float value"),
        ("!!float " + "x" * 41, f"'{'x' * 37}...' is not a valid !!float value"),
        ("!!binary é", "this !!binary value is not base64"),
        ("[" * 201 + "]" * 201, "nested deeper than 200 levels"),
        ("&a [*a]", "the alias *a refers to itself"),
        ("[&a [1], &a [*a]]", "the alias *a refers to itself"),
        ("*a", "the alias *a has no anchor"),
        ("&a x\n--- *a", "the alias *a has no anchor"),
    ],
)
def test_values_that_yaml_cannot_have(text: str, reason: str) -> None:
    with pytest.raises(YAMLProblem) as caught:
        list(load_all(text))
    assert caught.value.reason == reason
    assert caught.value.line


def test_what_is_remembered_of_scalars_is_bounded() -> None:
    known = yaml_events._scalars(yaml).known
    list(load_all("\n".join(f"- word{number}" for number in range(3 * yaml_events._REMEMBERED))))
    assert "word0" not in known
    assert 0 < len(known) <= yaml_events._REMEMBERED
    assert list(load_all("[word0, 0x10, word0]")) == [["word0", 16, "word0"]]


def test_the_deepest_nesting() -> None:
    text = "[" * 200 + "]" * 200
    assert str(*load_all(text)) == text


def test_the_longest_integer() -> None:
    assert list(load_all("1" * 2000)) == [int("1" * 2000)]
    with pytest.raises(YAMLProblem, match="an integer of more than 2000 digits"):
        list(load_all("1" * 2001))


def test_the_loader_without_libyaml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert response(yaml.safe_dump(vcr({"string": b"\xff"})), tmp_path).body == b"\xff"
    with pytest.raises(
        YAMLProblem, match=r"^the control character U\+0001 is not allowed"
    ) as caught:
        list(load_all("a: 1\nb: \x01"))
    assert (caught.value.line, caught.value.column) == (2, 4)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.sampled_from(["=", "<<", "2024-01-01", "1:30", "no", "0x", "-", "~", "!", "&a", "*a"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5) | st.integers(), inner),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, True, False]), st.booleans())
def test_what_pyyaml_dumps_comes_back(value: Any, flow: bool | None, unicode: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=unicode)
    # PyYAML itself loses the line breaks of Unicode that it wrote unescaped, and reads back
    # another text: then what it reads is what is right.
    reference = yaml.load(text, Loader=yaml.CSafeLoader)
    assert list(load_all(text)) == [reference]
    assert reference == value or not {"\x85", "\u2028", "\u2029"}.isdisjoint(text)
