"""Cassettes on disk: what is written is read, by us and by vcrpy; nothing is lost or torn."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import filelock
import httpx
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_writers import killing
from vcr.persisters.filesystem import FilesystemPersister
from vcr.serializers import jsonserializer, yamlserializer

from pytest_chatapi import ReadError, RecordReplayTransport, Request, SecretError, WriteError
from pytest_chatapi.recording import cassette
from pytest_chatapi.recording.cassette import Cassette, Prepared, _yaml_block, prepared
from pytest_chatapi.recording.cassette import write as write_file
from pytest_chatapi.recording.interaction import (
    Interaction,
    from_parts,
    interaction_of,
    plain_form,
    redacted,
)
from pytest_chatapi.recording.matching import Matcher
from pytest_chatapi.recording.own_layout import own_interaction, own_request
from pytest_chatapi.redaction.redactor import Redactor

REDACTOR = Redactor(environ={})
SIDES = ("request", "response")
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


def write(path: Path, *new: Interaction, **more: Any) -> Prepared:
    ready = prepared(path, path.name, new, REDACTOR)
    write_file(path, path.name, ready, **more)
    return ready


# Line breaks of all kinds, what YAML gives a meaning, and what it cannot hold.
TEXTS = st.text(
    st.sampled_from("ab \n\r\t:#-'\"\\{}[]|>&*!%@`~?,\u0085\u2028\ufeff\u00e9\x00\x1b\U0001f600"),
    max_size=30,
)


@settings(max_examples=100, deadline=None)
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
    ready = write(path, interaction(answer=b"\xff"), interaction(b'{"a": 3}'))
    assert str(ready.refusal) == (
        f"c.json: not written: POST {URL}: a body is not text: use a YAML cassette instead "
        "(1 other exchange recorded)"
    )
    assert len(Cassette(path).entries) == 3


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
        ("a: 1\n", "c.yaml: not a recording in a known format"),
        (
            '{"run_type": "llm", "inputs": {}, "outputs": {}}',
            r"c.yaml: a run of LangSmith, not read directly: use --map 'request=\$.inputs,",
        ),
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


@pytest.mark.parametrize("rounds", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_two_writers_that_are_killed_lose_nothing(tmp_path: Path, rounds: int) -> None:
    path = tmp_path / "c.yaml"
    chance = random.Random(7)
    with killing(path, appends=False) as killed:
        for turn in range(rounds):
            sides = (turn * 2, turn * 2 + 1)
            said = killed({worker: chance.randint(1, 8) for worker in sides})
            found: dict[int, list[int]] = {}
            for entry in Cassette(path).entries:
                body = json.loads(entry.request.body)
                found.setdefault(body["worker"], []).append(body["n"])
            for worker, committed in zip(sides, said, strict=True):
                assert committed
                assert found[worker][: len(committed)] == committed
    assert path.exists()
    write(path, interaction())
    assert [p.name for p in tmp_path.iterdir()] == ["c.yaml"]  # what a killed one left is gone


# -- the file itself -----------------------------------------------------------------------------


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    mask = os.umask(0o027)
    try:
        write(path, interaction())
        assert path.stat().st_mode & 0o7777 == 0o640
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(mask)
    path.chmod(0o604)
    write(path, interaction())
    assert path.stat().st_mode & 0o7777 == 0o604


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link, target = tmp_path / "c.yaml", tmp_path / "there" / "real.yaml"
    link.symlink_to(target)
    write(link, interaction())
    write(link, interaction())
    assert link.is_symlink()
    assert len(Cassette(target).entries) == 2
    assert [path.name for path in target.parent.iterdir()] == ["real.yaml"]


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.yaml"
    write(path, interaction())
    before = path.read_bytes()

    def fails(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    for name in ("replace", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fails)
            with pytest.raises(WriteError, match="cannot be written: No space left on device"):
                write(path, interaction())
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["c.yaml"]


def test_what_a_dead_writer_left_is_removed(tmp_path: Path) -> None:
    path, other = tmp_path / "c.yaml", tmp_path / "d.yaml"
    digest = hashlib.sha256(b"c.yaml").hexdigest()[:16]
    (tmp_path / f".chatapi-{digest}-abc.tmp").write_text("half")
    kept = tmp_path / f".chatapi-{hashlib.sha256(b'd.yaml').hexdigest()[:16]}-abc.tmp"
    kept.write_text("half")  # its writer may be at work
    write(path, interaction())
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([kept.name, "c.yaml"])
    write(other, interaction())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.yaml", "d.yaml"]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="there are no owners")
def test_the_locks_of_another_user_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, there = tmp_path / "c.yaml", tmp_path / "temp"
    there.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(there))
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(WriteError, match=f"{owner + 1} belongs to another user: remove it"):
        write(path, interaction())
    assert not path.exists()


def test_one_writer_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, there = tmp_path / "c.yaml", tmp_path / "temp"
    there.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(there))
    write(path, interaction())
    (folder,) = there.iterdir()
    assert folder.stat().st_mode & 0o7777 == 0o700
    (lock,) = folder.iterdir()
    monkeypatch.setattr(cassette, "_LOCK_SECONDS", 0)
    with filelock.FileLock(lock):
        with pytest.raises(WriteError, match="another process has locked it for 0 s"):
            write(path, interaction())
        write(tmp_path / "d.yaml", interaction())  # another file, another lock
    write(path, interaction())
    assert len(Cassette(path).entries) == 2


def test_nothing_left_is_no_file(tmp_path: Path) -> None:
    for name in ("c.yaml", "c.json"):
        path = tmp_path / name
        write(path, interaction(b'{"a": 1}'), interaction(b'{"a": 2}'))
        write(path, keep=lambda entry: entry.index == 1)
        (entry,) = Cassette(path).entries
        assert json.loads(entry.request.body) == {"a": 2}
        write(path, keep=lambda entry: False)
        assert not path.exists()
        write(path, keep=lambda entry: False)  # nor is that an error


def test_blocks_without_a_line_end_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    write(path, interaction(b'{"a": 1}'))
    path.write_bytes(path.read_bytes().rstrip())
    write(path, interaction(b'{"a": 2}'))
    assert [json.loads(e.request.body)["a"] for e in Cassette(path).entries] == [1, 2]


def test_what_follows_the_blocks_stays_behind_them(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    write(path, interaction(b'{"a": 1}'))
    head = "# by hand\nversion: 1\ninteractions:\n"
    blocks = path.read_text().removeprefix("version: 1\ninteractions:\n")
    path.write_text(f"{head}{blocks}notes: mine\n")
    write(path, interaction(b'{"a": 2}'))
    text = path.read_text()
    assert text.startswith(head + blocks + "- request:")
    assert text.endswith("\nnotes: mine\n")
    assert len(Cassette(path).entries) == 2


@pytest.mark.parametrize("content", [b"", b" \n\n"])
def test_an_empty_file_has_no_interactions(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    assert (Cassette(path).exists, Cassette(path).entries) == (True, [])
    write(path, interaction())
    assert len(Cassette(path).entries) == 1
    assert not Cassette(tmp_path / "none.yaml").exists


def test_aliases_in_a_large_file_are_named(tmp_path: Path) -> None:
    """Looking for them takes as long as splitting the file, so from 1 MiB on nobody does."""
    block = (
        "- request:\n    method: POST\n    uri: https://x.example/\n    headers: {a}\n"
        "    body: '{body}'\n  response: {{status: {{code: 200, message: OK}}, headers: {{}}, "
        "body: {{string: ''}}}}\n"
    )
    path = tmp_path / "c.yaml"
    text = "version: 1\ninteractions:\n" + block.format(a="&a {b: [c]}", body="x")
    path.write_text(text + block.format(a="*a", body="y"))
    assert [e.request.headers for e in Cassette(path, "c.yaml").entries] == [{"b": "c"}] * 2
    path.write_text(text + block.format(a="*a", body="y" * (1 << 20)))
    first, second = Cassette(path, "c.yaml").entries
    assert first.request.headers == {"b": "c"}
    with pytest.raises(ReadError, match="interaction 1: not valid YAML") as caught:
        _ = second.request
    assert caught.value.reason.endswith(
        "; in a file this large, an interaction cannot refer to another"
    )


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"- request:\n", b"- request: 1\n  x:\n", "has no request, so it cannot be replayed"),
        (b"\n  response:\n", b"\n  responses:\n", "has no response, so it cannot be replayed"),
        (b"caf\xc3\xa9", b"caf\xe9", "not UTF-8; save the file as UTF-8"),
        (b"\n  response:\n", b"\n- x:\n", "the file mixes interactions of several layouts"),
    ],
)
def test_a_damaged_interaction_is_named(
    tmp_path: Path, old: bytes, new: bytes, reason: str
) -> None:
    path = tmp_path / "c.yaml"
    write(path, interaction(b"caf\xc3\xa9"), interaction(b"caf\xc3\xa9"))
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    read = Cassette(path, "c.yaml")
    with pytest.raises(ReadError) as caught:
        [entry.interaction for entry in read.entries]
    assert caught.value.reason == reason


def test_an_entry_is_parsed_no_further_than_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.yaml"
    made = interaction(b'{"a": 1}', b"data: caf\xc3\xa9\n\n")
    made.test = "test_it.py::test_it['a']"
    write(path, made)
    foreign = (
        path.read_text().replace("    chatapi:\n", "    notes:\n").replace(": POST", ": 'POST'")
    )
    path.write_text(foreign + path.read_text().removeprefix("version: 1\ninteractions:\n"))
    loaded: list[str] = []
    real = cassette.load_all
    monkeypatch.setattr(cassette, "load_all", lambda text: loaded.append(text) or real(text))
    theirs, ours = Cassette(path).entries
    assert (theirs.own, theirs.test, theirs.recorded_at) == (
        False,
        made.test,
        "2026-11-25T10:00:00.000Z",
    )
    assert (ours.own, ours.test, ours.recorded_at) == (True, made.test, made.recorded_at)
    assert ours.request.method == "POST"
    assert ours.interaction.pieces == made.pieces
    assert loaded == []
    assert theirs.request.method == "POST"
    assert len(loaded) == 1
    assert "response" not in loaded[0]
    assert theirs.request is theirs.request
    assert theirs.interaction is theirs.interaction
    assert len(loaded) == 2
    assert (theirs.own, theirs.test, theirs.recorded_at) == (False, "", "")


# -- the form on disk ----------------------------------------------------------------------------


def test_a_body_that_was_edited_is_split_at_its_events(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    write(path, interaction(b"{}", b"data: 1\n\ndata: 2\n\n", sizes=[4, 14]))
    assert Cassette(path).entries[0].interaction.pieces == [b"data", b": 1\n\ndata: 2\n\n"]
    path.write_text(path.read_text().replace("data: 2", "data: 222"))
    edited = Cassette(path).entries[0].interaction
    assert (edited.pieces, edited.times) == ([b"data: 1\n\n", b"data: 222\n\n"], None)


@pytest.mark.parametrize(
    ("body", "pieces"),
    [
        (b"data: 1\n\ndata: 2\n\n", [b"data: 1\n\n", b"data: 2\n\n"]),
        (b"data: 1\r\n\r\ndata: 2", [b"data: 1\r\n\r\n", b"data: 2"]),
        (b"data: 1\r\rdata: 2\r\r", [b"data: 1\r\r", b"data: 2\r\r"]),
        (b"event: a\n\n: b\n\n", [b"event: a\n\n", b": b\n\n"]),
        (b": ping\n\ndata: 1\n\n", [b": ping\n\n", b"data: 1\n\n"]),
        (b"{\n\n}", [b"{\n\n}"]),
        (b"", []),
    ],
)
def test_a_body_without_times_is_split_at_its_events(body: bytes, pieces: list[bytes]) -> None:
    made = from_parts(Request(), 200, "", [], body, {})
    assert (made.pieces, made.times) == (pieces, None)


def test_notes_of_an_interaction() -> None:
    made = interaction(b"{}", b"caf\xc3", "client", [2, 3])
    made.times, made.error, made.phase, made.test = [0.0123, 1.5], "ReadError", "teardown", "t"
    form = plain_form(made)
    assert form["response"]["body"] == {"string": "caf"}
    assert form["response"]["chatapi"] == {
        "recorded_at": "2026-11-25T10:00:00.000Z",
        "test": "t",
        "phase": "teardown",
        "pieces": "2@12.3 2@1500.0",
        "cut": "client",
        "error": "ReadError",
        "tail": "ww==",
    }
    assert (
        list(form["response"]["chatapi"]) == "recorded_at test phase pieces cut error tail".split()
    )
    assert interaction_of(form) == Interaction(
        Request("POST", URL, {"content-type": "application/json"}, "{}"),
        200,
        "OK",
        made.headers,
        [b"ca", b"f\xc3"],
        [0.0123, 1.5],
        "client",
        "ReadError",
        "2026-11-25T10:00:00.000Z",
        "t",
        True,
        "teardown",
    )
    bare = interaction(b"{}", b"")
    assert plain_form(bare)["response"]["chatapi"] == {"recorded_at": bare.recorded_at}


@pytest.mark.parametrize(
    ("answer", "cut", "text"),
    [
        (b"caf\xc3", None, b"caf\xc3"),  # nobody cut it: the server sent it so
        (b"caf\xff", "client", b"caf\xff"),  # no character begins like that
        (b"\xff caf\xc3", "client", b"\xff caf\xc3"),
        (b"caf\xf0\x9f\x98", "server", "caf"),
        (b"\xc3 cafe", "client", b"\xc3 cafe"),
    ],
)
def test_only_a_character_that_was_cut_is_set_aside(
    answer: bytes, cut: Any, text: str | bytes
) -> None:
    form = plain_form(interaction(b"{}", answer, cut))
    assert form["response"]["body"]["string"] == text
    assert b"".join(interaction_of(form).pieces) == answer


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        (b'{"a":[1,"caf\\u00e9"]}', '{\n  "a": [\n    1,\n    "caf\u00e9"\n  ]\n}'),
        (b"[1]", "[\n  1\n]"),
        (b'{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        (b'{"a": NaN}', '{"a": NaN}'),
        (b'{"a": ', '{"a": '),
        (b"1", "1"),
        (b"a=1", "a=1"),
        (b"", None),
        (b"\xff", b"\xff"),
    ],
)
def test_bodies_of_requests_are_written_readable(sent: bytes, written: Any) -> None:
    assert plain_form(interaction(sent))["request"]["body"] == written


def test_headers_of_the_wire_are_left_out() -> None:
    headers = [
        ("content-length", "2"),
        ("content-encoding", "gzip"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("content-type", "text/plain"),
    ]
    for method, left in (("GET", headers[4:]), ("HEAD", [headers[4], headers[0]])):
        made = interaction(b"")
        made.request.method, made.headers = method, headers
        assert redacted(made, REDACTOR).headers == left
    titled = [(name.title(), text) for name, text in headers]
    assert from_parts(Request("GET"), 200, "", titled, b"", {}).headers == titled[4:]
    assert from_parts(Request("HEAD"), 200, "", titled, b"", {}).headers == titled


def test_a_redacted_interaction_keeps_what_is_no_secret() -> None:
    key = "sk-" + "a1B2" * 6
    made = interaction(f'{{"a": "{key}"}}'.encode(), f"say {key} now".encode(), "server", [6, 30])
    made.reason, made.error, made.test, made.phase = f"OK {key}", "ReadError", "t", "teardown"
    made.times, made.request.url = [1.0, 2.0], f"{URL}?api-key={key}"
    made.request_headers = [("content-type", "application/json"), ("authorization", key)]
    clean = redacted(made, REDACTOR)
    assert key not in repr(clean)
    assert len(clean.pieces) == 2
    assert b"".join(clean.pieces).startswith(b"say ")
    assert b"".join(clean.pieces).endswith(b" now")
    assert clean.request_headers == [("content-type", "application/json")]
    assert (clean.status, clean.cut, clean.error, clean.test) == (200, "server", "ReadError", "t")
    assert (clean.phase, clean.times, clean.own) == ("teardown", [1.0, 2.0], True)
    assert clean.recorded_at == made.recorded_at
    assert clean.reason.startswith("OK ")


@pytest.mark.parametrize(
    "scalar",
    [
        '"a"',
        "&a b",
        "!!str a",
        "a #b",
        "a: b",
        "a:",
        "a ",
        "'open",
        "'a'b'",
        "'",
        "",
        "{a}",
        "[a]",
        "a\u2028b",
        "# a",
    ],
)
def test_scalars_that_are_not_plain_are_left_to_the_parser(scalar: str) -> None:
    block = _yaml_block(plain_form(interaction(b'{"a": 1}', b"data: 1\n\n")))
    assert own_request(block.encode()) is not None
    changed = block.replace("- application/json\n", f"- {scalar}\n", 1).encode()
    assert own_request(changed) is None
    noted = block.replace("recorded_at: '2026-11-25T10:00:00.000Z'", f"recorded_at: {scalar}")
    assert own_interaction(noted.encode()) is None


def test_what_the_quick_reader_decodes() -> None:
    made = interaction(b'{"a": 1}', b"data: caf\xc3\xa9\n\n")
    made.reason, made.error = "", "it's"
    made.request_headers = [("x-a", "it's"), ("x-a", "'"), ("x-b", "plain")]
    block = _yaml_block(plain_form(made)).encode()
    quick = own_interaction(block)
    assert quick is not None
    assert (quick.reason, quick.error, quick.pieces) == ("", "it's", made.pieces)
    assert quick.request.headers == {"x-a": "it's, '", "x-b": "plain"}
    for bad in (b"\xff", b"\xe2\x80\xa8"):  # not UTF-8; a character that YAML reads as a line end
        assert own_request(block.replace(b'"a": 1', b'"a": "' + bad + b'"')) is None
        assert own_interaction(block.replace(b"caf\xc3\xa9", bad)) is None


def test_a_cassette_is_named_by_its_path_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    assert (Cassette(path).name, Cassette(path, "shorter").name) == (str(path), "shorter")


@pytest.mark.parametrize("name", ["c.yaml", "c.json"])
@pytest.mark.parametrize("sides", [("request",), ("response",), ("request", "response"), ()])
def test_a_refusal_says_where_the_secret_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sides: tuple[str, ...]
) -> None:
    """Nothing is masked here, as if redaction had overlooked it."""
    monkeypatch.setattr(cassette, "redacted", lambda interaction, redactor: interaction)
    key = "sk-" + "a1B2" * 6
    body, answer = (json.dumps({"a": key if side in sides else "b"}).encode() for side in SIDES)
    harmless, bad = interaction(b'{"a": 1}'), interaction(body, answer)
    path = tmp_path / (name if sides else f"{key}{name}")
    place = f"the {' and '.join(sides)} of POST {URL} still contains" if sides else ""
    reason = (
        f"not written: {place or 'the name of the cassette contains'} an API key (sk-...); "
        "add a pattern for it to redact=[...] in the chatapi_config fixture, or keep it out of "
        "the test"
    )
    if not sides:
        with pytest.raises(SecretError) as caught:
            prepared(path, path.name, [harmless, bad], REDACTOR)
        assert caught.value.reason == reason
        return
    ready = prepared(path, path.name, [harmless, bad, harmless], REDACTOR)
    assert isinstance(ready.refusal, SecretError)
    assert ready.refusal.reason == f"{reason} (2 other exchanges recorded)"
    assert (ready.interactions, ready.refused) == ([harmless, harmless], 1)
    write_file(path, path.name, ready)
    assert key not in path.read_text()
    assert len(Cassette(path).entries) == 2


@pytest.mark.parametrize("name", ["c.yaml", "c.json"])
def test_what_cannot_be_written_is_left_out(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    good, bad = interaction(b'{"a": 1}'), interaction(b'{"a": 2}')
    bad.reason = "O\ud83dK"
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    endless = interaction()
    endless.request_headers = [("content-type", deep)]  # type: ignore[list-item]
    ready = write(path, good, bad, good, endless, bad, bad)
    assert len(Cassette(path).entries) == 2
    assert ready.refused == 4
    message = str(ready.refusal)
    assert message.startswith(
        f"{name}: not written: POST {URL}: contains characters that are not valid Unicode; "
        f"POST {URL}"
    )
    assert message.endswith("; and 1 more (2 other exchanges recorded)")
    assert type(ready.refusal) is WriteError


@pytest.mark.parametrize("name", ["c.yaml", "c.json"])
@pytest.mark.parametrize("text", [rb"\ud83d", rb"\ud83d and \udc00", rb"\ud83d\ude00"])
def test_half_a_surrogate_pair_is_kept_as_it_was_sent(
    name: str, text: bytes, tmp_path: Path
) -> None:
    body = b'{"messages": [{"content": "' + text + b'"}]}'
    sent = interaction(body, body)
    write(tmp_path / name, interaction(), sent)
    read = Cassette(tmp_path / name).entries[1].interaction
    assert b"".join(read.pieces) == body
    assert json.loads(str(read.request.body)) == json.loads(body)
    matcher = Matcher(REDACTOR)
    assert matcher.key(read.request) == matcher.key(sent.request)


@pytest.mark.parametrize(("cut", "kept"), [("server", "server"), ("client", "client"), ("x", None)])
def test_who_cut_it_is_one_of_two(cut: str, kept: str | None) -> None:
    assert from_parts(Request(), 200, "", [], b"", {"cut": cut}).cut == kept


@pytest.mark.parametrize(
    ("body", "content"),
    [(None, b""), ("text", b"text"), ([], b"[]"), ({}, b"{}"), ({"string": None}, b"")],
)
def test_a_body_of_ours_that_was_changed_by_hand(body: Any, content: bytes) -> None:
    form = plain_form(interaction())
    form["response"]["body"] = body
    pieces = interaction_of(form).pieces
    assert b"".join(pieces) == content
