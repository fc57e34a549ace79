"""Damaged and malicious recordings: always a ReadError of one line that says where and why."""

from __future__ import annotations

import base64
import builtins
import gzip
import io
import itertools
import json
import os
import subprocess
import sys
import threading
import tracemalloc
import types
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from steps import work

from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading import bodies, files, json_text, yaml_events
from pytest_chatapi.reading.reader import NotARecording, read, read_file
from pytest_chatapi.reading.refused import unknown_json
from pytest_chatapi.reading.registry import not_a_recording
from pytest_chatapi.reading.yaml_events import load_all

LINE = b'{"request": {"url": "/v1"}, "response": {"status": 200, "body": "x"}}'
UNKNOWN = not_a_recording("f").reason
NO_EXCHANGE = 'not an exchange: it has neither "request" nor "response"'


def outcome(data: bytes) -> tuple[list[Exchange], list[str]]:
    errors: list[ReadError] = []
    exchanges = list(read_file(io.BytesIO(data), errors.append, name="f"))
    assert all("\n" not in str(error) for error in errors)
    return exchanges, [str(error) for error in errors]


def problem(data: bytes) -> str:
    exchanges, errors = outcome(data)
    assert exchanges == []
    assert len(errors) == 1
    with pytest.raises(ReadError) as caught:
        list(read(io.BytesIO(data), name="f"))
    assert str(caught.value) == errors[0]
    return errors[0]


def cassette(body: str) -> bytes:
    text = "interactions:\n- request: {uri: /}\n  response:\n    body: {string: %s}\n"
    return (text % body).encode()


def binary(data: bytes) -> bytes:
    return cassette("!!binary " + base64.b64encode(data).decode())


def bomb(size: int) -> bytes:
    return gzip.compress(b" " * size, mtime=0)


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for n in range(1, levels):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        # Empty and foreign files.
        (b"", "f: is empty"),
        (b" \n\t\r\n", "f: is empty"),
        (b"\xef\xbb\xbf", "f: is empty"),
        (gzip.compress(b"", mtime=0), "f: is empty"),
        (b'{"name": "x", "version": "1"}', str(unknown_json("f", {"name": "x", "version": "1"}))),
        (b'{"name": "x"}\n{"name": "y"}\n', str(unknown_json("f", {"name": "x"}))),
        (b"[]", f"f: {UNKNOWN}"),
        (b"[1, 2]", f"f: {UNKNOWN}"),
        (b"# Title\n\nProse.\n", f"f: {UNKNOWN}"),
        (b"services:\n  web: {}\n", f"f: {UNKNOWN}"),
        (b"[tool]\nx = 1\n", f"f: {UNKNOWN}"),
        (b"5", f"f: {UNKNOWN}"),
        (b"# only a comment\n", f"f: {UNKNOWN}"),
        (b"<html></html>", f"f: {UNKNOWN}"),
        (b'{"request": "GET /"}', str(unknown_json("f", {"request": "GET /"}))),
        (b'{"interactions": 5}', str(unknown_json("f", {"interactions": 5}))),
        # Damaged JSON.
        (
            b'{"request": {"url": "/v1"',
            "f: line 1, column 26: not valid JSON: Expecting ',' delimiter; the text is cut off",
        ),
        (
            b'{\n "interactions": [\n  {"request": {"uri": "/v',
            "f: line 3, column 23: not valid JSON: "
            "Unterminated string starting at; the text is cut off",
        ),
        (
            b'{\n "interactions": [}\n}',
            "f: line 2, column 19: not valid JSON: Expecting value",
        ),
        (
            b'{"request": {"url": "a\x00b"}}',
            "f: line 1, column 23: not valid JSON: Invalid control character at",
        ),
        (
            b'{"request":\n {"url": "\xff"}}',
            "f: line 2, byte 11: not UTF-8 (0xff); save the file as UTF-8",
        ),
        (
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
            "f: line 1, byte 1: binary data, which is no recording",
        ),
        (
            b'{"request": {"url": "\xff"}}\n',
            "f: line 1, byte 22: not UTF-8 (0xff); save the file as UTF-8",
        ),
        (
            b'{"request":\n {"body": [' + b"1" * 5000 + b"]}}",
            "f: line 2, column 12: an integer of more than 4300 digits",
        ),
        (b'{"request":' + b"[" * 100_000, "f: the JSON is nested too deeply"),
        (b'{"request":\n' + b'{"a":' * 100_000, "f: the JSON is nested too deeply"),
        (
            b'{"request": {"body": ' + b"[" * 300 + b"]" * 300 + b"}}",
            "f: line 1: request: the body is nested deeper than 200 levels",
        ),
        (
            rb'{"request": "{\"messages\": [{\"role\": \"user\"}], \"body\": '
            + rb"\u005b" * 300
            + rb"\u005d" * 300
            + b'}"}',
            "f: line 1: request: the body is nested deeper than 200 levels",
        ),
        # Damaged YAML.
        (
            b'interactions:\n- request: {uri: "/v',
            "f: line 2, column 21: not valid YAML: "
            "while scanning a quoted scalar, found unexpected end of stream",
        ),
        (
            b"interactions:\n- request:\n    a: 1\n   b: 2\n",
            "f: line 4, column 4: not valid YAML: "
            "while parsing a block mapping, did not find expected key",
        ),
        (
            b"interactions:\n- request: {uri: \xff}",
            "f: line 2, byte 18: not UTF-8 (0xff); save the file as UTF-8",
        ),
        (
            b"interactions:\n- request: {uri: a\x00b}",
            "f: line 2, column 19: not valid YAML: "
            "the control character U+0000 is not allowed in YAML",
        ),
        (
            b"\x00\x00\x00\x00",
            "f: line 1, column 1: not valid YAML: "
            "the control character U+0000 is not allowed in YAML",
        ),
        (
            b"interactions: " + b"[" * 900,
            "f: line 1, column 214: not valid YAML: nested deeper than 200 levels",
        ),
        (
            b"interactions:\n" + b"- " * 100_000 + b"a",
            "f: line 2, column 399: not valid YAML: nested deeper than 200 levels",
        ),
        (
            b"interactions: " + b"{a: " * 100_000,
            "f: line 1, column 811: not valid YAML: nested deeper than 200 levels",
        ),
        (
            b"interactions: &a [*a]",
            "f: line 1, column 19: not valid YAML: the alias *a refers to itself",
        ),
        (
            b"interactions: *a",
            "f: line 1, column 15: not valid YAML: the alias *a has no anchor",
        ),
        (
            b"interactions:\n- ? [a]\n  : b",
            "f: line 2, column 5: not valid YAML: a mapping key must be a plain value",
        ),
        (
            b"interactions:\n- &a [b]\n- ? *a\n  : b",
            "f: line 3, column 5: not valid YAML: a mapping key must be a plain value",
        ),
        (
            b"interactions:\n- {<<: 5}",
            "f: line 2, column 9: not valid YAML: the key << takes a mapping or a list of mappings",
        ),
        (
            b"interactions:\n- !!binary a",
            "f: line 2, column 3: not valid YAML: this !!binary value is not base64",
        ),
        (
            b"interactions:\n- !!int abc",
            "f: line 2, column 3: not valid YAML: 'abc' is not a valid !!int value",
        ),
        (
            b"interactions:\n- !!float " + b"x" * 99,
            f"f: line 2, column 3: not valid YAML: '{'x' * 37}...' is not a valid !!float value",
        ),
        (
            b"interactions:\n- " + b"1" * 2001,
            "f: line 2, column 3: not valid YAML: an integer of more than 2000 digits",
        ),
        (
            b"interactions:\n- 0x" + b"f" * 2001,
            "f: line 2, column 3: not valid YAML: an integer of more than 2000 digits",
        ),
        (
            b"interactions:\n" + laughs(30).encode(),
            "f: line 8, column 25: not valid YAML: aliases and merges expand to more than 16 MiB",
        ),
        (
            b"interactions:\n- &a " + b"x" * 100_000 + b"\n- [" + b"*a, " * 200 + b"]",
            "f: line 3, column 672: not valid YAML: aliases and merges expand to more than 16 MiB",
        ),
        # Damaged TOML.
        (
            b'[[interactions]]\n[interactions.request]\nuri = "a',
            "f: not valid TOML: Unterminated string; the file is cut off",
        ),
        (
            b"[[interactions]]\na = ",
            "f: not valid TOML: Invalid value; the file is cut off",
        ),
        (
            b"[[interactions]]\na = " + b"[" * 100_000,
            "f: not valid TOML: nested too deeply",
        ),
        (
            b"[[interactions]]\na = " + b"1" * 5000,
            "f: not valid TOML: an integer of more than 4300 digits",
        ),
        # Damaged compression and encoding.
        (gzip.compress(LINE, mtime=0)[:-12], "f: the gzip data is cut off"),
        (gzip.compress(LINE, mtime=0)[:12], "f: the gzip data is cut off"),
        (b"\x1f\x8b\x08\xff" + b"x" * 50, "f: damaged gzip data: unknown header flags set"),
        (
            gzip.compress(LINE, mtime=0)[:-8] + bytes(8),
            "f: damaged gzip data: incorrect data check",
        ),
        (b"\xff\xfe{", "f: damaged UTF-16 text; save the file as UTF-8"),
        (b"\xff\xfe{\x00\x00\xd8{\x00", "f: damaged UTF-16 text; save the file as UTF-8"),
        # Damaged bodies.
        (
            binary(gzip.compress(b"x" * 99, mtime=0)[:-5]),
            "f: interaction 0: response: the gzip data of the body is cut off",
        ),
        (
            binary(b"\x1f\x8b\x08\xff" + b"x" * 50),
            "f: interaction 0: response: the body is damaged gzip data: unknown header flags set",
        ),
        (
            binary(bomb(17 << 20)),
            "f: interaction 0: response: the body decompresses to more than 16 MiB",
        ),
        (
            binary(zlib.compress(b" " * (17 << 20))),
            "f: interaction 0: response: the body decompresses to more than 16 MiB",
        ),
        (
            b'{"log": {"entries": [{"response": {"content": {"text":"?","encoding":"base64"}}}]}}',
            "f: interaction 0: response: the body is not base64",
        ),
        (
            b"request: {body: {type: binary, content: xyz}}",
            "f: interaction 0: request: the binary body is not hexadecimal",
        ),
        # Interactions that are none.
        (b"interactions: [5]", f"f: interaction 0: {NO_EXCHANGE}"),
        (
            b'{"response": {"status": 0}}',
            f"f: line 1: {NO_EXCHANGE}",
        ),
    ],
)
def test_what_is_said(data: bytes, message: str) -> None:
    assert problem(data) == message


def test_depth_that_the_parser_itself_refuses() -> None:
    # Newer libyaml stops at 1,000 levels, before it has given the first event.
    assert problem(b"interactions: " + b"[" * 100_000).endswith("nested deeper than 200 levels")


def test_foreign_files_are_told_from_damaged_ones() -> None:
    def kind(data: bytes) -> type[ReadError]:
        errors: list[ReadError] = []
        assert list(read_file(io.BytesIO(data), errors.append)) == []
        (error,) = errors
        return type(error)

    assert kind(b'{"compilerOptions": {}, // comment\n}') is NotARecording
    assert kind(b"Dear all: this: is prose") is NotARecording
    assert kind(b"[a]\nb") is NotARecording
    assert kind(b'{"choices": [') is ReadError
    assert kind(b"- request:\n  - }") is ReadError
    assert kind(b"[[interactions]]\nb") is ReadError


def test_one_damaged_line_does_not_lose_the_others() -> None:
    bad = [
        b'{"request": {',
        b"[" * 100_000,
        b'{"request": {"url": "\xc3("}}',
        b'{"a": 1}',
        b"5",
        b"\x00\x00",
        b'{"request": {"body": ' + b"9" * 4301 + b"}}",
    ]
    data = b"\n".join([LINE, *bad, LINE, b""])
    exchanges, errors = outcome(data)
    assert [e.source.index for e in exchanges if e.source] == [0, 8]
    assert errors == [
        "f: line 2, column 14: not valid JSON: "
        "Expecting property name enclosed in double quotes; the text is cut off",
        "f: line 3: the JSON is nested too deeply",
        "f: line 4, byte 22: not UTF-8 (0xc3); save the file as UTF-8",
        f"f: line 5: {NO_EXCHANGE}",
        f"f: line 6: {NO_EXCHANGE}",
        "f: line 7, column 1: not valid JSON: Expecting value",
        "f: line 8, column 22: an integer of more than 4300 digits",
    ]
    given: list[Exchange] = []
    with pytest.raises(ReadError, match=r"^f: line 2, column 14: "):
        given.extend(read(io.BytesIO(data), name="f"))
    assert len(given) == 2


def test_a_damaged_first_line_does_not_either() -> None:
    exchanges, errors = outcome(LINE[:-3] + b"\n" + LINE + b"\n")
    assert [e.source.index for e in exchanges if e.source] == [1]
    assert errors == [
        "f: line 1, column 65: not valid JSON: Unterminated string starting at; the text is cut off"
    ]


def test_one_damaged_interaction_does_not_lose_the_others() -> None:
    exchanges, errors = outcome(
        b"interactions: [5, {request: {url: /a}}, {response: {body: {base64_string: x}}}, {}]"
    )
    assert [e.source.index for e in exchanges if e.source] == [1]
    assert errors == [
        f"f: interaction 0: {NO_EXCHANGE}",
        "f: interaction 2: response: the body is not base64",
        f"f: interaction 3: {NO_EXCHANGE}",
    ]


def test_a_damaged_second_document_does_not_lose_the_first() -> None:
    exchanges, errors = outcome(b"request: {url: /a}\n---\nrequest: [\n")
    assert len(exchanges) == 1
    assert errors == [
        "f: line 4, column 1: not valid YAML: "
        "while parsing a flow node, did not find expected node content"
    ]


ODD_LINES = (
    *(b'{"a": 1, "b": 2, "a": 3}', b"[NaN, -Infinity]", b"[1e999, -0, -0.0, 2.5e-324]"),
    *(b"[123456789012345678901234567890]", b"[0.1e1, 3.0E+2, 9007199254740993.0]"),
    *(b'["\\ud83d\\ude00", "\\u0000"]', b'["\\ud800"]', '["\u2028"]'.encode()),
    *(b" [1]\r", b"[1]x", b"[01]", b"[1,]", b'["\t"]', b'["\xff"]', b"\xef\xbb\xbf[]", b"\x0c[]"),
    *(b"[" * 300 + b"]" * 300, b"[" * 100_000, b"[" + b"1" * 4301 + b"]"),
)


def test_lines_are_read_alike_with_and_without_jiter(monkeypatch: pytest.MonkeyPatch) -> None:
    def each() -> Iterator[str]:
        for line in ODD_LINES:
            try:
                yield repr(json_text.loads_line(line, "f", 0))
            except ReadError as error:
                yield str(error)

    assert json_text.from_json is not None, "openai has brought it"
    with_jiter = list(each())
    monkeypatch.setattr(json_text, "from_json", None)
    assert list(each()) == with_jiter
    assert with_jiter[:2] == ["{'a': 3, 'b': 2}", "[nan, -inf]"]


def test_a_damaged_chunk_line_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b'{"choices": []}\n{"choi\n{"choices": []}\n')
    errors: list[ReadError] = []
    (exchange,) = read_file(file, errors.append, name="f")
    assert exchange.response is not None
    assert list(exchange.response.chunks or ()) == [{"choices": []}] * 2
    assert [str(error) for error in errors] == [
        "f: line 2, column 2: not valid JSON: Unterminated string starting at; the text is cut off"
    ]


def test_a_cut_off_gzip_file_gives_the_lines_before(tmp_path: Path) -> None:
    data = b"".join(
        json.dumps({"request": {"url": os.urandom(40).hex()}}).encode() + b"\n" for _ in range(5000)
    )
    exchanges, errors = outcome(gzip.compress(data, mtime=0)[:-2000])
    assert 1000 < len(exchanges) < 5000
    assert errors == ["f: the gzip data is cut off"]
    file = tmp_path / "f.sse.gz"
    file.write_bytes(gzip.compress(b"data: 1\n\n" * 1000, mtime=0)[:-3])
    with pytest.raises(ReadError) as caught:
        list(read(file))
    assert str(caught.value) == f"{file}: the gzip data is cut off"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_damaged_event_stream_in_utf_16_shows_when_it_is_read(
    encoding: str, tmp_path: Path
) -> None:
    file = tmp_path / "f.sse"
    file.write_bytes("\ufeffdata: 1\n\n".encode(encoding) + b"a")
    with pytest.raises(ReadError, match="damaged UTF-16 text"):
        list(read(file))


# --- bounds -----------------------------------------------------------------------------------


def test_a_gzip_bomb_in_place_of_a_document(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(gzip.compress(b'{"interactions":\n[' + b" " * (17 << 20), mtime=0))
    tracemalloc.start()
    with pytest.raises(ReadError) as caught:
        list(read(file))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(caught.value) == f"{file}: decompresses to more than 16 MiB"
    assert peak < 64 << 20


def test_bounds_of_what_is_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_DOCUMENT", 2 << 20)
    assert problem(b"interactions:\n" + b" " * (3 << 20)) == "f: the document is larger than 2 MiB"
    exchanges, errors = outcome(LINE + b"\n" + b" " * (3 << 20))
    assert len(exchanges) == 1
    assert errors == ["f: line 2: the line is longer than 2 MiB"]
    monkeypatch.setattr(bodies, "MAX_DOCUMENT", 2 << 20)
    message = "f: interaction 0: response: the body decompresses to more than 2 MiB"
    assert problem(binary(bomb(3 << 20))) == message


BLOCK = bytes(1 << 20)


def megabytes(count: int) -> Iterator[bytes]:
    """So many blocks of one MiB, all the same one, and then an error of its own."""
    yield from itertools.repeat(BLOCK, count)
    raise EOFError


def test_how_much_is_held_in_memory() -> None:
    for reader, place, reason in (
        (files.join, "", "the document is larger than 256 MiB"),
        (files.lines_of, "line 1", "the line is longer than 256 MiB"),
    ):
        with pytest.raises(EOFError):
            list(reader(megabytes(256), "f"))
        with pytest.raises(ReadError) as caught:
            list(reader(itertools.chain(itertools.repeat(BLOCK, 256), [b"x"]), "f"))
        assert (caught.value.place, caught.value.reason) == (place, reason)


def test_how_far_a_gzip_file_may_expand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for size, zipped_size, is_read in (
        (1024, 1, True),
        (1025, 1, False),
        (1025, 5 << 20, False),
        (1025, 6 << 20, True),
    ):

        def unzipped(blocks: Any, size: int = size, zipped: int = zipped_size) -> Any:
            yield from ((block, zipped) for block in megabytes(size))

        monkeypatch.setattr(files, "_gunzip", unzipped)
        # The end of the blocks stands for data that is cut off.
        errors = outcome_of(gzip.compress(b"data: 1\n\n", mtime=0), files.blocks_of)
        assert errors == (
            "the gzip data is cut off"
            if is_read
            else (
                "decompresses to more than 1024 MiB, over 200 times its size; "
                "if that is expected, decompress it first"
            )
        )
    monkeypatch.undo()
    file = tmp_path / "f.gz"
    for size, limit in ((80_000, 16), (100_000, 19)):
        file.write_bytes(b"\x1f\x8b\x08" + bytes(size - 3))
        with pytest.raises(EOFError):
            files.join(megabytes(limit), "f", str(file))
        with pytest.raises(ReadError, match=f"^f: decompresses to more than {limit} MiB$"):
            files.join(megabytes(limit + 1), "f", str(file))


def outcome_of(data: bytes, blocks_of: Callable[..., Iterator[bytes]]) -> str:
    with pytest.raises(ReadError) as caught:
        for _ in blocks_of(io.BytesIO(data), "f"):
            pass
    return caught.value.reason


class Brotli(types.ModuleType):
    """Each byte of it is a MiB; it ends with a full stop, and a question mark is damage."""

    error = type("error", (Exception,), {})
    steps = 0
    ended = False

    def Decompressor(self) -> Brotli:
        return self

    def process(self, data: bytes) -> bytes:
        self.steps += 1
        self.ended = data.endswith(b".")
        if b"?" in data:
            raise self.error
        return BLOCK * data.count(b"~") + data

    def is_finished(self) -> bool:
        return self.ended


@pytest.mark.parametrize(
    ("body", "expected", "steps"),
    [
        (b"~" * 2 + b".", BLOCK * 2 + b"~~.", 1),
        (b"a" * 99 + b".", b"a" * 99 + b".", 7),
        (b"~" * 15 + b"a", None, 1),  # is not finished
        (b"~" * 9 + b"?.", None, 1),
        (b"~" * 1_000 + b".", "the body decompresses to more than 16 MiB", 1),
        (b"~" * 15 + b" " * 985 + b"~" * 9 + b".", "the body decompresses to more than 16 MiB", 63),
    ],
)
def test_a_body_in_brotli(
    body: bytes, expected: Any, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    brotli = Brotli("brotli")
    monkeypatch.setitem(sys.modules, "brotli", brotli)
    if isinstance(expected, str):
        with pytest.raises(bodies.BodyProblem, match=f"^{expected}$"):
            bodies.plain_body(body, "BR")
    else:
        assert bodies.plain_body(body, "BR") == (body if expected is None else expected)
    assert brotli.steps == steps
    assert bodies.plain_body(body) == body


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"text", b"text"),
        (b"", None),  # is cut off
        (ValueError("damaged"), None),
        (b"~" * ((16 << 20) + 1), "the body decompresses to more than 16 MiB"),
        (b"~" * (16 << 20), b"~" * (16 << 20)),
    ],
)
def test_a_body_in_zstd(content: Any, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reader(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if isinstance(content, ValueError):
                raise content
            assert size == (16 << 20) + 1
            return super().read(size)

    def reader(body: bytes, read_across_frames: bool) -> Reader:
        assert read_across_frames
        return Reader(b"" if isinstance(content, ValueError) else content)

    zstandard: Any = types.ModuleType("zstandard")
    zstandard.ZstdError = ValueError
    zstandard.ZstdDecompressor = lambda: types.SimpleNamespace(stream_reader=reader)
    monkeypatch.setitem(sys.modules, "zstandard", zstandard)
    body = b"\x28\xb5\x2f\xfd..."
    if isinstance(expected, str):
        with pytest.raises(bodies.BodyProblem, match=f"^{expected}$"):
            bodies.plain_body(body)
    else:
        assert bodies.plain_body(body) == (body if expected is None else expected)


@pytest.mark.parametrize("compress", [lambda data: gzip.compress(data, mtime=0), zlib.compress])
def test_how_far_a_body_may_expand(compress: Callable[[bytes], bytes]) -> None:
    for noise, zeros, is_read in (
        (9_000, 15, True),
        (9_000, 17, False),
        (99_000, 17, True),
        (99_000, 25, False),
    ):
        data = os.urandom(noise) + bytes(zeros << 20)
        body = compress(data)
        if is_read:
            assert bodies.plain_body(body) == data
        else:
            limit = max(16, len(body) * 200 >> 20)
            with pytest.raises(bodies.BodyProblem, match=rf"to more than {limit} MiB$"):
                bodies.plain_body(body)


def test_merges_that_copy_without_aliases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_events, "MAX_ALIASED", 1 << 20)
    members = ", ".join(f"k{n}: 1" for n in range(10_000))
    for levels, reason in ((104, ""), (105, "aliases and merges expand to more than 1 MiB")):
        merges = "{<<: " * levels + "{" + members + "}" + "}" * levels
        errors = outcome(f"interactions: [{merges}]".encode())[1]
        assert [error.partition(" not valid YAML: ")[2] for error in errors] == [reason]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b" " * (1 << 19), "is empty"),
        (b" " * (1 << 21), UNKNOWN),
        (b" " * (1 << 21) + b"request: {url: /}", ""),
        (b"\n" * (1 << 19) + LINE, ""),
        (b"# c\n" * 20_000 + b"request: {url: /}", ""),
        (b": " + b"c" * 70_000 + b"\n\ndata: 1\n\n", ""),
        (b"data: " + b"x" * 70_000, ""),
        (b"event: x\n" * 10_000 + b"prose\n", ""),
        (b"event: x\n" * 1_000 + b"prose: 1\nprose: 1\n", UNKNOWN),
    ],
)
def test_how_much_is_read_to_recognise_a_file(data: bytes, reason: str) -> None:
    exchanges, errors = outcome(data)
    assert errors == ([f"f: {reason}"] if reason else [])
    assert len(exchanges) == (not reason)


def test_a_bomb_among_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_STREAM", 1 << 20)
    stream = b"data: 1\n\n" + b" " * (4 << 20)
    assert problem(gzip.compress(stream, mtime=0)) == (
        "f: decompresses to more than 1 MiB, over 200 times its size; "
        "if that is expected, decompress it first"
    )
    fair = b"".join(b"data: %s\n\n" % os.urandom(50).hex().encode() for _ in range(20_000))
    assert outcome(gzip.compress(fair, 1, mtime=0))[1] == []


GROWING: list[Callable[[int], bytes]] = [
    lambda n: b"\n" * 3 * n,
    lambda n: b"#\n" * n,
    lambda n: b" " * 3 * n,
    lambda n: b"interactions:\n" + b" \n" * n,
    lambda n: b"data:" + b"\n" * 3 * n,
    lambda n: b"{\n" * n,
    lambda n: b'{"a":\n' + b" " * 3 * n,
    lambda n: b"[\n" + b"{}\n" * n,
    lambda n: b"- " + b"a" * 3 * n,
    lambda n: b"interactions: [" + b"5," * (n // 4) + b"]",
    lambda n: binary(gzip.compress(b"", mtime=0) * (n // 20)),
    lambda n: gzip.compress(b"", mtime=0) * (n // 20),
    lambda n: binary(b"\x1f\x8b" * n),
]


@pytest.mark.parametrize("data", GROWING)
def test_work_grows_with_size_only(data: Callable[[int], bytes]) -> None:
    once, twice = data(20_000), data(40_000)
    assert work(outcome, twice) < 2.5 * work(outcome, once)


@pytest.mark.slow
@pytest.mark.parametrize("data", GROWING)
def test_millions_of_them(data: Callable[[int], bytes]) -> None:
    exchanges, errors = outcome(data(1_000_000))
    assert not exchanges or not errors


@pytest.mark.parametrize("megabytes", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_a_large_body(tmp_path: Path, megabytes: int) -> None:
    file = tmp_path / "f"
    with file.open("wb") as out:
        out.write(b'{"request": {"url": "/"}, "response": {"body": "')
        for _ in range(megabytes):
            out.write(b"x" * 1_000_000)
        out.write(b'"}}')
    (exchange,) = read(file)
    assert exchange.response is not None
    assert len(exchange.response.body) == megabytes * 1_000_000


def test_a_long_stream_takes_little_memory(tmp_path: Path) -> None:
    file = tmp_path / "f"
    with file.open("wb") as out:
        for _ in range(40):
            out.write(b"data: {}\n\n" * 100_000)
    (exchange,) = read(file)
    assert exchange.response is not None
    tracemalloc.start()
    size = sum(map(len, exchange.response.pieces or ()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 40_000_000
    assert peak < 1 << 20


def test_a_stream_that_vanishes(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"data: 1\n\n")
    (exchange,) = read(file)
    file.unlink()
    assert exchange.response is not None
    with pytest.raises(ReadError) as caught:
        list(exchange.response.pieces or ())
    assert str(caught.value) == f"{file}: no such file or folder"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(5, "Input/output error"), "f: cannot be read: Input/output error"),
        (MemoryError(), "f: too large for the memory of this machine"),
        (RecursionError(), "f: nested too deeply"),
    ],
)
def test_errors_of_the_system(error: BaseException, message: str) -> None:
    class Broken(io.BytesIO):
        def read1(self, size: int | None = -1) -> bytes:
            raise error

    errors: list[ReadError] = []
    assert list(read_file(Broken(), errors.append, name="f")) == []
    assert [str(error) for error in errors] == [message]


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.tempfile, "SpooledTemporaryFile", lambda size: Full())
    assert problem(b"data: 1\n\n") == "f: cannot be buffered on disk: No space left on device"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for content in (b"data: 1\n\n", LINE):
        writer = threading.Thread(target=pipe.write_bytes, args=(content,))
        writer.start()
        assert len(list(read(pipe))) == 1
        writer.join()


# --- nothing is executed ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "tag",
    [
        "python/object/apply:os.system",
        "python/object/apply:subprocess.check_output",
        "python/object/new:os.system",
        "python/name:os.system",
        "python/module:os",
        "python/object:os.system",
    ],
)
def test_no_tag_is_executed(tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr(os, "system", called.append)
    monkeypatch.setattr(subprocess, "check_output", called.append)
    real = builtins.__import__

    def importer(name: str, *args: Any, **kwargs: Any) -> Any:
        assert name not in ("os", "subprocess", "os.system")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", importer)
    for value in ("[touch /tmp/owned]", "{args: [touch /tmp/owned], state: {}}", "'x'"):
        (loaded,) = load_all(f"a: !!{tag} {value}\n")
        assert (
            loaded["a"] in ("touch /tmp/owned", ["touch /tmp/owned"], "x") or "args" in loaded["a"]
        )
    assert called == []


# --- anything at all --------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        *(
            b'{ } [ ] , : " \n - & * ! !!binary !!int ? | > << data: event: \x00 \xff 0x1 ~'.split(
                b" "
            )
        ),
        b"interactions:\n- ",
        b'"request": {',
        b"response:",
        b'"body": ',
        b"body: ",
        b'{"interactions": [',
        b"[[interactions]]\n",
        b"status: ",
        b"headers: ",
        b"\x1f\x8b\x08",
        b"\xff\xfe",
        b'"choices": [',
        b"  ",
        LINE,
    ]
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(WORDS | st.binary(max_size=4), max_size=25), st.booleans())
def test_nothing_else_ever_comes_out(words: list[bytes], zipped: bool) -> None:
    data = b"".join(words)
    exchanges, errors = outcome(gzip.compress(data, mtime=0) if zipped else data)
    for exchange in exchanges:
        assert exchange.request or exchange.response
        if exchange.response and exchange.response.pieces is not None:
            list(exchange.response.pieces)
    assert exchanges or errors or b"interactions" in data


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_cut_and_flipped_recordings(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["python_tags.yaml", "cassetter.yaml", "cassetter.toml"]))
    whole = bytearray((Path(__file__).parent / "readers_data" / name).read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=3)):
        whole[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(whole)))
    outcome(bytes(whole[:cut]))


def test_without_a_large_stack() -> None:
    """Deep nesting must not crash the interpreter, whatever its recursion limit."""
    code = (
        "import io, sys\n"
        "sys.setrecursionlimit(3000)\n"
        "from pytest_chatapi.reading.reader import read_file\n"
        "for data in (b'{\"request\":' + b'[' * 10**6, b'interactions: ' + b'[' * 10**6,\n"
        "             b'interactions: ' + b'- ' * 10**6):\n"
        "    list(read_file(io.BytesIO(data), lambda error: print(error.reason), name='f'))\n"
    )
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 3
