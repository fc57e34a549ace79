"""The lines of findings, in each kind of file that has any."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_chatapi.contract.exchange import Source
from pytest_chatapi.contract.findings import Finding
from pytest_chatapi.reading.lines import with_lines
from pytest_chatapi.reading.reader import read_file

PAD = r"\n\ndata: in JSON " + "word " * 20
EVENTS = "".join(f'data: {{"n": {n}, "pad": "{PAD}"}}\n\n' for n in range(3)) + "data: [DONE]\n\n"
OTHER = {
    "request": {"method": "POST", "uri": "http://h/v1", "body": '{"a": 1}', "headers": {}},
    "response": {"status": {"code": 200}, "headers": {}, "body": {"string": "{}"}},
}


def finding(
    code: str = "U02", path: str = "$", chunk: int | None = None, index: int = 1
) -> Finding:
    return Finding(
        code=code,
        name="x",
        level="error",
        profile="openai",
        path=path,
        expected="",
        got="",
        message="",
        chunk=chunk,
        source=Source("f", index),
    )


def line_of(tmp_path: Path, text: str, found: Finding, **options: bool) -> str:
    """The text of the line of a finding in a file; empty without a line."""
    path = tmp_path / "file"
    path.write_bytes(text.encode())
    (result,) = with_lines([found], path, **options)
    assert result.source is not None
    return text.split("\n")[result.source.line - 1] if result.source.line else ""


def recording(answer: Any, key: str = "body", asked: str = "{}") -> dict[str, Any]:
    response = {"status": {"code": 200}, "headers": {"Retry-After": ["x"]}, key: answer}
    return {"request": {**OTHER["request"], "body": asked}, "response": response}


def cassette(*recordings: dict[str, Any], **options: Any) -> str:
    return yaml.safe_dump({"interactions": [OTHER, *recordings]}, sort_keys=False, **options)


def block(text: str) -> str:
    """A cassette whose second body is a block of text, as it is in cassettes of this package."""
    lines = text.rstrip("\n").split("\n")
    body = "".join(f"        {line}\n" if line else "\n" for line in lines)
    return cassette(recording({"string": "HERE"})).replace("string: HERE\n", f"string: |\n{body}")


PARSED = {"id": "c", "choices": [{"message": {"x": 1}}, {"message": {"tool_calls": []}}]}
PRETTY = json.dumps(PARSED, indent=2)


@pytest.mark.parametrize("flow", [{}, {"width": 9999}, {"default_style": '"'}, {"indent": 4}])
def test_each_event_of_a_stream_in_yaml(tmp_path: Path, flow: dict[str, Any]) -> None:
    text = cassette(recording({"string": EVENTS}), **flow)
    for number in range(3):
        line = line_of(tmp_path, text, finding(chunk=number))
        # In quotes, the space behind the colon may be where the line is broken.
        _, _, below = text.partition(line + "\n")
        event = re.sub(r'\\[ "]|\\\n', lambda m: m[0].strip("\\\n"), f"{line}\n{below[:60]}")
        assert re.search(rf'data: *{{"n": {number}', event)


def test_an_event_whose_line_is_not_sure_has_that_of_its_body(tmp_path: Path) -> None:
    text = cassette(recording({"string": "HERE"}))
    text = text.replace("string: HERE", r'string: "data: {}\x0A\x0Adata: {}' + '\n      "')
    assert "string: " in line_of(tmp_path, text, finding(chunk=1))


def test_each_event_of_a_stream_in_a_block(tmp_path: Path) -> None:
    for number in range(3):
        line = line_of(tmp_path, block(": hi\n\n" + EVENTS), finding(chunk=number))
        assert line.startswith(f'        data: {{"n": {number}')
    # Text without a field makes the numbers of later events unsure.
    odd = block(EVENTS.replace('data: {"n": 1', '{"n": 1'))
    assert 'data: {"n": 0' in line_of(tmp_path, odd, finding(chunk=0))
    assert line_of(tmp_path, odd, finding(chunk=2)).strip() == "string: |"


@pytest.mark.parametrize(
    ("text", "found", "line"),
    [
        (cassette(recording({"string": "{}"})), finding(), "string: '{}'"),
        (cassette(recording("{}")), finding(), "body: '{}'"),
        (cassette(recording("{}", asked="asked")), finding("Q00"), "body: asked"),
        (cassette(recording("{}")), finding("X05", "headers.retry-after"), "Retry-After:"),
        (cassette(recording("{}")), finding("X05", "headers.absent"), "headers:"),
        (
            cassette(recording(PARSED, "parsed_body")),
            finding(path="$.choices[0].message.x"),
            "x: 1",
        ),
        (
            cassette(recording(PARSED, "parsed_body")),
            finding(path="$.choices[1].message.refusal"),
            "message:",
        ),
        (block(PRETTY), finding(path="$.choices[1].message.tool_calls[0].id"), '"tool_calls": []'),
        (block(PRETTY), finding(path="$.absent"), "{"),
        # The same in other layouts: indented lists, JSON, several documents.
        (
            "interactions:\n  - request: {body: a, uri: http://h}\n"
            "    response: {body: {string: x}}\n  - request: {body: b, uri: http://h}\n"
            "    response:\n      body: {string: y}\n",
            finding(),
            "body: {string: y}",
        ),
        (
            "---\n" + cassette() + "---\n" + cassette(),
            finding("Q00"),
            """body: '{"a": 1}'""",
        ),
        (
            json.dumps({"interactions": [OTHER, recording({"string": "b"})]}, indent=1),
            finding(),
            '"string": "b"',
        ),
        (json.dumps({"interactions": [OTHER, recording("b")]}), finding(), ""),
        (PRETTY, finding(path="$.choices[1].message", index=0), '"message": {'),
        (
            json.dumps(
                {"log": {"entries": [OTHER, recording({"text": "b"}, "content")]}}, indent=1
            ),
            finding(),
            '"text": "b"',
        ),
        (
            '[[interactions]]\n[interactions.request]\nuri = "http://h"\n'
            '[[interactions]] # second\n[interactions.request]\nuri = "http://h"\n',
            finding(),
            "[[interactions]] # second",
        ),
        (EVENTS, finding(chunk=2, index=0), 'data: {"n": 2'),
        (
            '{"object": "chat.completion.chunk", "choices": []}\n\n{"n": 1}\n[DONE]\n',
            finding(chunk=1, index=0),
            '{"n": 1}',
        ),
    ],
)
def test_members(tmp_path: Path, text: str, found: Finding, line: str) -> None:
    assert line in line_of(tmp_path, text, found)
    assert line_of(tmp_path, text, found)


def test_the_second_interaction_is_told_from_the_first(tmp_path: Path) -> None:
    text = cassette(recording({"string": "second"}))
    assert "second" in line_of(tmp_path, text, finding())
    assert line_of(tmp_path, text, finding(), members=False) == "- request:"
    first = text.split("\n").index("- request:")
    path = tmp_path / "file"
    (result,) = with_lines([finding()], path, members=False)
    assert result.source is not None
    assert result.source.line > first + 1


@pytest.mark.parametrize(
    "text",
    [
        "interactions:\n- request: {\n",  # damaged since it was checked
        cassette().replace("uri: http://h/v1", "uri: &x http://h/v1\n    other: *x"),
        "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
        "",
    ],
    ids=["damaged", "gone", "binary", "empty"],
)
def test_a_finding_needs_no_line(tmp_path: Path, text: str) -> None:
    assert line_of(tmp_path, text, finding(index=7)) == ""
    assert with_lines([finding()], tmp_path / "none") == [finding()]


def test_a_line_that_the_reader_knew_is_kept_and_its_file_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n" + json.dumps(OTHER) + "\n")
    (exchange,) = read_file(path, pytest.fail)
    assert exchange.source is not None
    assert (exchange.source.index, exchange.source.line) == (1, 2)
    known = finding().at(exchange.source)
    note = Finding(**{**{n: getattr(finding(), n) for n in Finding._fields}, "level": "note"})
    path.unlink()
    assert with_lines([known, note], path, notes=False) == [known, note]
