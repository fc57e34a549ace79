"""Cassettes on disk: what is written is read, by us and by vcrpy; nothing is lost or torn."""

from __future__ import annotations

import gzip
import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from vcr.persisters.filesystem import FilesystemPersister
from vcr.serializers import jsonserializer, yamlserializer

from pytest_chatapi import ReadError, RecordReplayTransport, Request, WriteError
from pytest_chatapi.recording.cassette import Cassette, _yaml_block, update
from pytest_chatapi.recording.interaction import (
    Interaction,
    interaction_of,
    plain_form,
    redacted,
)
from pytest_chatapi.recording.own_layout import own_interaction, own_request
from pytest_chatapi.redaction.redactor import Redactor

REDACTOR = Redactor(environ={})
URL = "https://api.openai.com/v1/chat/completions"


def interaction(
    body: bytes = b"{}", answer: bytes = b"{}", cut: Any = None, sizes: list[int] | None = None
) -> Interaction:
    pieces, at = [], 0
    for size in sizes or [len(answer)]:
        pieces.append(answer[at : at + size])
        at += size
    headers = [("content-type", "application/json"), ("x-ratelimit-limit-requests", "60")]
    return Interaction(
        Request("POST", URL, {"content-type": "application/json"}, body),
        200,
        "OK",
        headers,
        [piece for piece in pieces if piece],
        None,
        cut,
        "",
        "2026-11-25T10:00:00.000Z",
        request_headers=[("content-type", "application/json")],
    )


def write(path: Path, *new: Interaction, **more: Any) -> None:
    update(path, path.name, [redacted(i, REDACTOR) for i in new], REDACTOR, **more)


# Line breaks of all kinds, what YAML gives a meaning, and what it cannot hold.
TEXTS = st.text(
    st.sampled_from("ab \n\r\t:#-'\"\\{}[]|>&*!%@`~?,\u0085\u2028\ufeff\u00e9\x00\x1b\U0001f600"),
    max_size=30,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS | st.binary(max_size=9)), min_size=1, max_size=4))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[tuple[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("c") / "c.yaml"
    plain = [(a.encode(), b.encode() if isinstance(b, str) else b) for a, b in bodies]
    for sent, answer in plain:  # one at a time, so that blocks are put behind blocks
        write(path, interaction(sent, answer))
    read = Cassette(path)
    assert len(read.entries) == len(plain)
    requests, responses = FilesystemPersister.load_cassette(path, yamlserializer)
    for entry, request, response, (sent, answer) in zip(
        read.entries, requests, responses, plain, strict=True
    ):
        assert b"".join(entry.interaction.pieces) == answer
        assert response["body"]["string"] == answer
        if sent[:1] not in (b"{", b"["):
            got = entry.request.body
            assert (got.encode() if isinstance(got, str) else got or b"") == sent
            assert (request.body or b"") == sent


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(TEXTS, TEXTS | st.binary(max_size=9)),
    st.lists(st.tuples(st.sampled_from(["x-a", "x-b", "date"]), TEXTS), max_size=3),
    st.sampled_from(["OK", "", "Not Found", "No", "it's"]),
    st.sampled_from([None, "client", "server"]),
)
def test_the_quick_reader_agrees_with_the_parser(
    bodies: tuple[str, Any], headers: list[tuple[str, str]], reason: str, cut: Any
) -> None:
    answer = bodies[1].encode() if isinstance(bodies[1], str) else bodies[1]
    made = interaction(bodies[0].encode(), answer, cut)
    made.headers, made.reason, made.error, made.test = headers, reason, "ReadError", "a[b: c]"
    block = _yaml_block(plain_form(made))
    slow = interaction_of(yaml.load(block, Loader=yaml.CSafeLoader)[0])
    quick = own_interaction(block.encode())
    if quick is not None:
        assert quick == slow
    request = own_request(block.encode())
    assert request is None or request == slow.request


def test_the_quick_reader_reads_what_is_usual() -> None:
    for answer in (b'{"id": "it\'s"}', b'{\n  "id": 1\n}\n', b"data: 1\n\ndata: caf\xc3\xa9\n\n"):
        block = _yaml_block(plain_form(interaction(b'{"a": [1]}', answer))).encode()
        quick = own_interaction(block)
        assert quick is not None
        assert b"".join(quick.pieces) == answer
    # What somebody changed by hand is the parser's business, and so is another line end.
    for change in ((b"code: 200", b"code: 0x20"), (b"OK", b"OK # fine"), (b"\n", b"\r\n")):
        assert own_interaction(block.replace(*change)) is None
    # So are empty lines at the end of a text, unless they are all said to count.
    for mark in (b"|", b"|-"):
        assert own_interaction(block.replace(b"|+", mark)) is None
        begun = block.replace(b"body: |-", b"body: " + mark)
        assert own_request(begun) is not None
        assert own_request(begun.replace(b"      }\n", b"      }\n\n", 1)) is None


def test_layout(tmp_path: Path) -> None:
    path = tmp_path / "a" / "c.yaml"
    answer = b'data: {"a": 1}\n\ndata: [DONE]\n\n'
    write(path, interaction(b'{"model": "m", "n": 1}', answer, "server", [16, 14]))
    assert (
        path.read_text()
        == """\
version: 1
interactions:
- request:
    method: POST
    uri: https://api.openai.com/v1/chat/completions
    headers:
      content-type:
      - application/json
    body: |-
      {
        "model": "m",
        "n": 1
      }
  response:
    status:
      code: 200
      message: OK
    headers:
      content-type:
      - application/json
      x-ratelimit-limit-requests:
      - '60'
    body:
      string: |+
        data: {"a": 1}

        data: [DONE]

    chatapi:
      recorded_at: '2026-11-25T10:00:00.000Z'
      pieces: 16@0.0 14@0.0
      cut: server
"""
    )


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    write(path, interaction(b'{"a": 1}', b"caf\xc3\xa9"))
    write(path, interaction(b'{"a": 2}'))
    read = Cassette(path)
    assert [json.loads(e.request.body)["a"] for e in read.entries] == [1, 2]
    assert all(entry.own for entry in read.entries)
    requests, responses = FilesystemPersister.load_cassette(path, jsonserializer)
    assert len(requests) == 2
    assert responses[0]["body"]["string"] == b"caf\xc3\xa9"
    with pytest.raises(WriteError, match=r"c.json: a body is not text: use a YAML cassette"):
        write(path, interaction(answer=b"\xff"))
    assert len(Cassette(path).entries) == 2


def test_what_others_wrote_stays_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    theirs = [
        {
            "request": {"method": "POST", "uri": URL, "body": "{}\n\n- request:\n", "headers": {}},
            "response": {
                "status": {"code": 200, "message": "OK"},
                "headers": {},
                "body": {"string": "x"},
            },
        }
    ] * 2
    text = yaml.dump({"interactions": theirs, "version": 1}, Dumper=NoAliases)
    path.write_text(text)
    write(path, interaction())
    assert path.read_text().startswith(text.removesuffix("version: 1\n"))
    read = Cassette(path)
    assert [entry.own for entry in read.entries] == [False, False, True]
    assert read.entries[0].request.body == "{}\n\n- request:\n"
    # With aliases no block can be read alone.
    path.write_text(yaml.dump({"interactions": theirs, "version": 1}))
    assert "*id001" in path.read_text()
    assert len(Cassette(path).entries) == 2
    write(path, interaction())
    assert [entry.own for entry in Cassette(path).entries] == [False, False, True]


class NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


PARSED = """\
interactions:
- request:
    headers: {{content-type: [application/json]}}
    method: POST
    parsed_body: {{messages: [{{content: Hi, role: user}}], model: m, stream: false}}
    uri: {url}
  response:
    headers: {{content-type: [application/json]}}
    parsed_body: {{id: chatcmpl-1, object: chat.completion}}
    status: {{code: 200, message: OK}}
version: 1
"""


@pytest.mark.parametrize("form", ["parsed_body", "cassetter.yaml", "cassetter.toml", "gzip"])
def test_cassettes_of_others_are_played(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"c.{form}"
    parsed = PARSED.format(url=URL)
    if form.startswith("cassetter"):
        path = Path(__file__).parent / "readers_data" / form
    else:
        path.write_bytes(gzip.compress(parsed.encode()) if form == "gzip" else parsed.encode())
    recorded = Cassette(path).entries
    assert len(recorded) > 0
    with httpx.Client(transport=RecordReplayTransport(path)) as client:
        for entry in recorded:
            request, answer = entry.request, entry.interaction
            body = request.body if isinstance(request.body, str | bytes) else None
            got = client.request(
                request.method,
                f"https://elsewhere.example{urlsplit(request.url).path}",
                params=urlsplit(request.url).query or None,
                content=body,
                json=request.body if body is None and request.body is not None else None,
            )
            assert got.status_code == answer.status
            assert got.content == b"".join(answer.pieces)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n", "c.yaml: no known recording format"),
        ("interactions:\n- request:\n    a: [\n", "c.yaml: interaction 0: not valid YAML"),
        (
            "interactions:\n- request:\n    method: GET\n",
            "c.yaml: interaction 0: has no response",
        ),
    ],
)
def test_damage_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ReadError, match=message):
        _ = [entry.interaction for entry in Cassette(path, "c.yaml").entries]


def test_formats_that_are_read_only(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"cannot be written in this format: use one of .yaml"):
        write(tmp_path / "c.toml", interaction())


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(WriteError, match=r"c\.yaml: cannot be written: "):
        write(tmp_path / "a" / "c.yaml", interaction())


WORKER = """
import sys
from pathlib import Path
from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.recording.cassette import update
from pytest_chatapi.recording.interaction import Interaction, redacted
from pytest_chatapi.redaction.redactor import Redactor
path, redactor = Path(sys.argv[1]), Redactor(environ={})
for number in range(10_000):
    body = b'{"worker": %d, "n": %d}' % (int(sys.argv[2]), number)
    new = Interaction(Request("POST", "https://api.openai.com/v1/chat/completions", {}, body), 200)
    update(path, path.name, [redacted(new, redactor)], redactor)
    print(number, flush=True)
"""


@pytest.mark.parametrize("rounds", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_two_writers_that_are_killed_lose_nothing(tmp_path: Path, rounds: int) -> None:
    path = tmp_path / "c.yaml"
    chance = random.Random(7)
    for turn in range(rounds):
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", WORKER, str(path), str(turn * 2 + side)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for side in (0, 1)
        ]
        said: list[list[str]] = []
        # However slow the machine is: both are at work before they are killed.
        first = [
            [worker.stdout.readline() for _ in range(chance.randint(1, 20))]
            for worker in workers
            if worker.stdout
        ]
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
        for worker, lines in zip(workers, first, strict=True):
            out, _ = worker.communicate()
            said.append("".join([*lines, out]).split())
        found: dict[int, list[int]] = {}
        for entry in Cassette(path).entries if path.exists() else []:
            body = json.loads(entry.request.body)
            found.setdefault(body["worker"], []).append(body["n"])
        for side, numbers in enumerate(said):
            committed = [int(number) for number in numbers]
            assert found.get(turn * 2 + side, [])[: len(committed)] == committed
    assert path.exists()
    write(path, interaction())
    assert [p.name for p in tmp_path.iterdir()] == ["c.yaml"]  # what a killed one left is gone
