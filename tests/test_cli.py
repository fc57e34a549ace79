"""The command, through `main` and through the installed script."""

from __future__ import annotations

import copy
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from argparse import ArgumentTypeError
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from traffic import ANSWER

from pytest_chatapi.cli import check as check_module
from pytest_chatapi.cli import jobs as jobs_module
from pytest_chatapi.cli import rules as rules_module
from pytest_chatapi.cli.arguments import whole_number
from pytest_chatapi.cli.main import main
from pytest_chatapi.config import checker as checker_module
from pytest_chatapi.contract.catalogue import FAMILIES, Rule, rules
from pytest_chatapi.errors import ReadError
from pytest_chatapi.faults import CATALOGUE, table

ROOT = Path(__file__).parent.parent
CHAT = "https://api.openai.com/v1/chat/completions"
NEXT = "explain: chatapi rules U02; ignore: --ignore 'U02:$.usage.total_tokens'"


# Why the explanation of one rule may be missing in a checkout.
def answer(total: int = 21, **changes: Any) -> dict[str, Any]:
    body = copy.deepcopy(ANSWER)
    body["usage"]["total_tokens"] = total
    return body | changes


def line(
    body: Any = None, *, url: str = CHAT, status: int = 200, kind: str = "application/json"
) -> str:
    asked = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hello!"}]}
    return json.dumps(
        {
            "request": {"method": "POST", "url": url, "body": asked},
            "response": {
                "status": status,
                "headers": {"content-type": kind},
                "body": answer() if body is None else body,
            },
        }
    )


def write(name: str, *lines: str) -> str:
    Path(name).write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
    return name


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def log() -> str:
    """One total too low, four too high, one wrong `object`, one clean, one of another API."""
    return write(
        "log.jsonl",
        line(answer(20)),
        line(answer(22)),
        line(answer(23)),
        line(),
        line({"data": []}, url="https://api.openai.com/v1/embeddings"),
        line(answer(24)),
        line(answer(25)),
        line(answer(object="x")),
    )


@pytest.fixture
def good() -> str:
    return write("good.jsonl", line())


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        status = main(arguments)
    except SystemExit as stopped:  # argparse
        status = int(stopped.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


# -- text ------------------------------------------------------------------------------


def test_text(capsys: pytest.CaptureFixture[str], log: str) -> None:
    status, out, err = run(capsys, "check", log)
    assert (status, err) == (1, "")
    assert out == (
        "log.jsonl:1: error U02 usage-total: the total is 1 too low\n"
        "  at       interaction 0: $.usage.total_tokens\n"
        "  expected 21 (9 prompt + 12 completion)\n"
        "  got      20\n"
        "\n"
        "log.jsonl:2: error U02 usage-total: the total is 1 too high\n"
        "  at       interaction 1: $.usage.total_tokens\n"
        "  expected 21 (9 prompt + 12 completion)\n"
        "  got      22\n"
        "  also     log.jsonl:3; log.jsonl:6; and 1 more\n"
        "\n"
        "log.jsonl:8: error S03 object-constant: `object` is not a documented value\n"
        "  at       interaction 7: $.object\n"
        '  expected "chat.completion"\n'
        '  got      "x"\n'
        "  hint     not an error under `--profile compatible`\n"
        "\n"
        "1 exchange skipped: embeddings\n7 exchanges checked in 1 file: 6 errors\n"
        f"{NEXT}\n"
    )


def test_text_keeps_to_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    name = write("a-" * 30 + ".jsonl", line(answer(object="word " * 60)), line(answer(-1)))
    _, out, _ = run(capsys, "check", "--profile", "documented", name)
    lines = out.splitlines()
    assert len(lines) > 5
    # A file's name is never broken, so that it can be copied.
    assert [text for text in lines if len(text) > 80 and name not in text] == []


def test_no_findings(capsys: pytest.CaptureFixture[str], good: str) -> None:
    assert run(capsys, "check", good) == (0, "1 exchange checked in 1 file: no findings\n", "")


def test_notes_are_counted_and_shown_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    # A 200 without a body: the recorder lost it, which is note S16.
    name = write("lost.jsonl", line("").replace(' "body": ""', ' "body": null'))
    status, out, _ = run(capsys, "check", name)
    assert (status, out) == (
        0,
        f"notes: S16 {rules()['S16'].name} (1); list: --select S16\n\n"
        "1 exchange checked in 1 file: 1 note\n",
    )
    status, out, _ = run(capsys, "check", "--select", "S16", name)
    assert (status, out.startswith(f"lost.jsonl:1: note S16 {rules()['S16'].name}:")) == (0, True)


def test_colour(
    capsys: pytest.CaptureFixture[str], log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plain, _ = run(capsys, "check", log)
    assert "\x1b" not in plain
    monkeypatch.setenv("FORCE_COLOR", "1")
    _, coloured, _ = run(capsys, "check", log)
    head = "\x1b[1mlog.jsonl:1\x1b[0m: \x1b[31;1merror\x1b[0m \x1b[1mU02\x1b[0m usage-total: "
    assert coloured.startswith(head)
    assert coloured.endswith(f"\x1b[31;1m6 errors\x1b[0m\n{NEXT}\n")
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    for form in ("json", "junit", "github", "sarif"):
        assert "\x1b" not in run(capsys, "check", "--format", form, log)[1]
    run(capsys, "check", "-o", "report.txt", log)
    assert Path("report.txt").read_text("utf-8") == plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(capsys, "check", log)[1] == plain


def test_terminal_escapes_in_a_recording_are_never_sent_to_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nasty = "\x1b]0;title\x07\x1b[2J\u202eabc"
    name = write(
        "nasty.jsonl",
        line(answer(object=nasty)),
        line(answer(id=7, **{f"k{nasty}": 1})),
        line({"error": {"message": nasty, "type": nasty, "param": 3, "code": 3}}, status=400),
        line({"error": nasty}, status=400),
    )
    for form in ("text", "github"):
        _, out, _ = run(capsys, "check", "--format", form, "--select", "S,X", name)
        assert "S03" in out
        assert "X01" in out
        assert "\x1b" not in out
        assert "\x07" not in out


def test_statistics(capsys: pytest.CaptureFixture[str], log: str, good: str) -> None:
    counts = "      5  U02  error    usage-total\n      1  S03  error    object-constant\n"
    _, out, _ = run(capsys, "check", "--statistics", log)
    assert out.endswith(
        "  hint     not an error under `--profile compatible`\n\n"
        f"{counts}\n"
        "1 exchange skipped: embeddings\n7 exchanges checked in 1 file: 6 errors\n"
        f"{NEXT}\n"
    )
    _, out, err = run(capsys, "check", "--statistics", "--format", "jsonl", log)
    found = [json.loads(text)["code"] for text in out.splitlines()]
    assert found == ["U02"] * 5 + ["S03", None]
    assert counts in err
    _, out, _ = run(capsys, "check", "--statistics", good)
    assert out == "no findings to count\n\n1 exchange checked in 1 file: no findings\n"


# -- how to go on ----------------------------------------------------------------------


def test_the_last_line_says_how_to_go_on(capsys: pytest.CaptureFixture[str], good: str) -> None:
    name = write("w.jsonl", line(answer(object="x")))
    arguments = ("check", "--profile", "compatible", name)
    assert "explain:" not in run(capsys, *arguments)[1]  # a warning fails nothing
    last = run(capsys, *arguments, "--strict")[1].splitlines()[-1]
    assert last == "explain: chatapi rules S03; ignore: --ignore 'S03:$.object'"
    assert "explain:" not in run(capsys, "check", good)[1]


def test_what_the_last_line_says_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    name = write("k.jsonl", line(answer(20)))
    last = run(capsys, "check", name)[1].splitlines()[-1]
    options = shlex.split(last.partition("; ignore: ")[2])
    status, out, _ = run(capsys, "check", name, *options)
    assert (status, "error" in out) == (0, False)


# -- other formats ---------------------------------------------------------------------

KEYS = ["code", "name", "level", "profile", "source", "chunk", "path", "expected", "got", "message"]
UNCOVERED = ["skipped_by_api", "unread_files", "assembled", "unanswered", "unasked"]


def test_json(capsys: pytest.CaptureFixture[str], log: str) -> None:
    status, out, err = run(capsys, "check", "--format", "json", log)
    assert (status, err) == (1, "")
    data = json.loads(out)
    assert list(data) == ["version", "exchanges", "skipped", *UNCOVERED, "errors", "findings"]
    assert (data["version"], data["exchanges"], data["skipped"]) == (1, 7, 1)
    assert data["skipped_by_api"] == {"embeddings": 1}
    assert [list(found) for found in data["findings"]] == [KEYS] * 6
    assert data["findings"][0] == {
        "code": "U02",
        "name": "usage-total",
        "level": "error",
        "profile": "openai",
        "source": {"file": "log.jsonl", "line": 1, "index": 0},
        "chunk": None,
        "path": "$.usage.total_tokens",
        "expected": "21 (9 prompt + 12 completion)",
        "got": "20",
        "message": "the total is 1 too low",
    }


def test_json_without_findings(capsys: pytest.CaptureFixture[str], good: str) -> None:
    _, out, _ = run(capsys, "check", "--format", "json", good)
    assert json.loads(out) == {
        "version": 1,
        "exchanges": 1,
        "skipped": 0,
        "skipped_by_api": {},
        "unread_files": {},
        "assembled": 0,
        "unanswered": 0,
        "unasked": 0,
        "errors": [],
        "findings": [],
    }
    assert run(capsys, "check", "--format", "jsonl", good) == (0, "", "")
    assert run(capsys, "check", "--format", "github", good) == (0, "", "")


def test_jsonl(capsys: pytest.CaptureFixture[str], log: str) -> None:
    _, document, _ = run(capsys, "check", "--format", "json", log)
    status, out, _ = run(capsys, "check", "--format", "jsonl", log)
    assert status == 1
    *findings, rest = [json.loads(text) for text in out.splitlines()]
    assert findings == json.loads(document)["findings"]
    assert sorted(rest) == sorted([*KEYS, *UNCOVERED, "errors"])
    assert (rest["name"], rest["message"]) == ("not-checked", "1 exchange skipped: embeddings")


def test_chunk_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    frame = {"id": "c", "object": "chat.completion.chunk", "created": 1750000000, "model": "m"}
    deltas: list[Any] = [{"role": "assistant", "content": "H"}, {"content": 5}, {}]
    events = [
        {**frame, "choices": [{"index": 0, "delta": d, "finish_reason": "stop" if not d else None}]}
        for d in deltas
    ]
    text = "".join(f"data: {json.dumps(e)}\n\n" for e in events) + "data: [DONE]\n\n"
    Path("stream.sse").write_text(text)
    _, out, _ = run(capsys, "check", "--format", "jsonl", "--select", "S01", "stream.sse")
    (found,) = [json.loads(row) for row in out.splitlines()]
    assert (found["chunk"], found["path"]) == (1, "$.choices[0].delta.content")
    _, out, _ = run(capsys, "check", "--select", "S01", "stream.sse")
    assert out.startswith("stream.sse:3: ")
    assert "  at       interaction 0, chunk 1: $.choices[0].delta.content\n" in out


def test_junit(capsys: pytest.CaptureFixture[str]) -> None:
    bad = "\x00\x08\x1b\ud800<&\"'>]]>"
    name = write(
        "r.jsonl", line(), line(answer(20)), line(answer(object=bad, model=bad, **{bad: 1}))
    )
    status, out, _ = run(capsys, "check", "--format", "junit", name)
    assert status == 1
    (suite,) = ElementTree.fromstring(out.encode())
    assert suite.attrib == {
        "name": "chatapi",
        "tests": "3",
        "failures": "2",
        "errors": "0",
        "skipped": "0",
    }
    cases = list(suite)
    assert [case.get("classname") for case in cases] == ["r.jsonl"] * 3
    assert [case.get("name") for case in cases] == [
        f"{index} POST chat/completions gpt-5.2" for index in range(3)
    ]
    assert len(cases[0]) == 0
    (failure,) = cases[1]
    assert failure.get("message") == "U02 usage-total: the total is 1 too low"
    assert failure.text == (
        "r.jsonl:2: error U02 usage-total: the total is 1 too low\n"
        "  at       interaction 1: $.usage.total_tokens\n"
        "  expected 21 (9 prompt + 12 completion)\n"
        "  got      20"
    )
    assert "<&" in (cases[2][0].text or "")


def test_junit_control_characters_in_names(capsys: pytest.CaptureFixture[str]) -> None:
    asked = json.loads(line(answer(20)))
    asked["request"]["body"]["model"] = 'a\x01\x1b"<&'
    name = write("a\x02&<.jsonl", json.dumps(asked))
    _, out, _ = run(capsys, "check", "--format", "junit", name)
    ((case,),) = ElementTree.fromstring(out.encode())
    assert case.get("name") == '0 POST chat/completions a??"<&'
    assert case.get("classname") == "a\ufffd&<.jsonl"


def test_junit_fails_what_strict_fails(capsys: pytest.CaptureFixture[str]) -> None:
    name = write("w.jsonl", line(answer(object="x")))
    arguments = ("check", "--profile", "compatible", "--format", "junit", name)
    status, out, _ = run(capsys, *arguments)
    assert (status, 'failures="0"' in out, "<system-out>" in out) == (0, True, True)
    status, out, _ = run(capsys, *arguments, "--strict")
    assert (status, 'failures="1"' in out) == (1, True)


def test_github(capsys: pytest.CaptureFixture[str]) -> None:
    name = write("a,b:c%.jsonl", line(answer(20)), line(answer(object="50%\r\n::x")))
    status, out, _ = run(capsys, "check", "--format", "github", name)
    assert status == 1
    first, second = out.splitlines()
    assert first == (
        "::error file=a%2Cb%3Ac%25.jsonl,line=1,title=U02 usage-total::the total is 1 too low | "
        "interaction 0: $.usage.total_tokens | "
        "expected 21 (9 prompt + 12 completion) | got 20"
    )
    assert '| got "50%25' in second
    _, out, _ = run(capsys, "check", "--format", "github", "--profile", "compatible", name)
    assert [text.split()[0] for text in out.splitlines()] == ["::error", "::warning"]


def test_a_value_is_shown_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    name = write("a.jsonl", line(answer(object="a\r\n\x1bb")))
    _, out, _ = run(capsys, "check", "--format", "jsonl", name)
    assert json.loads(json.loads(out)["got"]) == "a\r\n\x1bb"


def test_sarif(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a b").mkdir()
    name = write("a b/ü.jsonl", line(answer(20)), line(answer(object="x")), line(answer(22)))
    status, out, _ = run(capsys, "check", "--format", "sarif", name)
    assert status == 1
    data = json.loads(out)
    assert list(data) == ["$schema", "version", "runs"]
    assert data["version"] == "2.1.0"
    (made,) = data["runs"]
    driver = made["tool"]["driver"]
    assert driver["name"] == "chatapi"
    assert [rule["id"] for rule in driver["rules"]] == ["S03", "U02"]
    total = driver["rules"][1]
    assert total["shortDescription"] == {"text": "`total_tokens` = prompt + completion."}
    assert total["fullDescription"]["text"].endswith(f"completion. {rules()['U02'].why}")
    assert total["help"]["text"].splitlines()[2:] == [
        "Basis: stated in the reference.",
        "Explained with examples by: chatapi rules U02",
    ]
    page = (ROOT / "docs" / "rules" / "U02.md").read_text(encoding="utf-8")
    assert total["help"]["markdown"] in page
    assert '-     "total_tokens": 18,\n+     "total_tokens": 25,\n' in total["help"]["markdown"]
    assert [result["ruleId"] for result in made["results"]] == ["U02", "S03", "U02"]
    for result in made["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] == "error"
        (location,) = result["locations"]
        artifact = {"uri": "a%20b/%C3%BC.jsonl", "uriBaseId": "%SRCROOT%"}
        assert location["physicalLocation"]["artifactLocation"] == artifact
    assert [
        result["locations"][0]["physicalLocation"]["region"]["startLine"]
        for result in made["results"]
    ] == [1, 2, 3]
    assert made["results"][0]["message"]["text"] == (
        "the total is 1 too low; expected 21 (9 prompt + 12 completion), got 20"
    )


# -- -o --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "json", "jsonl", "junit", "github", "sarif"])
def test_output_file(capsys: pytest.CaptureFixture[str], log: str, form: str) -> None:
    _, shown, _ = run(capsys, "check", "--format", form, log)
    Path("out").write_text("old")
    assert run(capsys, "check", "--format", form, "-o", "out", log) == (1, "", "")
    assert Path("out").read_text("utf-8") == shown
    assert run(capsys, "check", "--format", form, "--output", "new", log) == (1, "", "")
    assert sorted(os.listdir()) == ["log.jsonl", "new", "out"]


def test_output_into_a_pipe_and_through_a_link(
    capsys: pytest.CaptureFixture[str], log: str
) -> None:
    _, shown, _ = run(capsys, "check", log)
    os.mkfifo("pipe")
    with ThreadPoolExecutor() as pool:
        read = pool.submit(Path("pipe").read_text, "utf-8")
        assert run(capsys, "check", "-o", "pipe", log) == (1, "", "")
        assert read.result() == shown
    assert Path("pipe").is_fifo()
    Path("link").symlink_to("out")
    assert run(capsys, "check", "-o", "link", log) == (1, "", "")
    assert Path("link").is_symlink()
    assert Path("out").read_text("utf-8") == shown


@pytest.mark.parametrize(
    "target",
    [
        "nowhere/out",
        pytest.param("log.jsonl/out"),
        "folder",
    ],
)
def test_output_that_cannot_be_written(
    capsys: pytest.CaptureFixture[str], log: str, target: str
) -> None:
    Path("folder").mkdir()
    status, out, err = run(capsys, "check", "-o", target, log)
    assert (status, out) == (2, "")
    assert re.fullmatch(rf"chatapi: {target}: cannot be written: .+\n", err)
    assert sorted(os.listdir()) == ["folder", "log.jsonl"]


@pytest.mark.parametrize("target", [".", "/", ""])
def test_output_without_a_name(capsys: pytest.CaptureFixture[str], log: str, target: str) -> None:
    status, out, err = run(capsys, "check", "-o", target, log)
    assert (status, out, err.count("\n")) == (2, "", 1)


def test_a_report_that_fails_leaves_the_old_one(
    capsys: pytest.CaptureFixture[str], log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    Path("out").write_text("old")
    monkeypatch.setattr(os, "replace", full)
    status, _, err = run(capsys, "check", "-o", "out", log)
    assert (status, err) == (2, "chatapi: out: cannot be written: No space left on device\n")
    assert Path("out").read_text() == "old"
    assert sorted(os.listdir()) == ["log.jsonl", "out"]


# -- settings --------------------------------------------------------------------------


def codes(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    status, out, err = run(capsys, "check", "--format", "jsonl", *arguments)
    assert err == ""
    found = [json.loads(text) for text in out.splitlines()]
    assert status == int(any(f["level"] == "error" for f in found))
    return [f["code"] for f in found if f["code"]]


def test_profile(capsys: pytest.CaptureFixture[str]) -> None:
    name = write("p.jsonl", line(answer(object="x")))
    for profile, status in (("documented", 1), ("openai", 1), ("azure", 1), ("compatible", 0)):
        assert run(capsys, "check", "--profile", profile, name)[0] == status
    assert run(capsys, "check", "--profile", "compatible", "--strict", name)[0] == 1
    status, out, err = run(capsys, "check", "--profile", "opennai", name)
    assert (status, out) == (2, "")
    assert err.startswith("chatapi: unknown profile 'opennai': did you mean openai?")


def test_profile_is_chosen_by_host(capsys: pytest.CaptureFixture[str]) -> None:
    urls = {
        CHAT: "openai",
        "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=1": "azure",
        "http://127.0.0.1:8080/v1/chat/completions": "compatible",
    }
    name = write("p.jsonl", *(line(answer(20), url=url) for url in urls))
    _, out, _ = run(capsys, "check", "--format", "jsonl", "--select", "U02", name)
    assert [json.loads(text)["profile"] for text in out.splitlines()] == list(urls.values())


def test_as_of(capsys: pytest.CaptureFixture[str], log: str) -> None:
    assert codes(capsys, "--as-of", "2026-01-31", log) == ["U02"] * 5 + ["S03"]
    for wrong in ("yesterday", "2026-02-30", "2026-1-1", ""):
        status, out, err = run(capsys, "check", "--as-of", wrong, log)
        assert (status, out, err) == (2, "", f"chatapi: '{wrong}' is not a date: use YYYY-MM-DD\n")


@pytest.mark.parametrize(
    ("ignored", "left"),
    [
        (["U02"], ["S03"]),
        (["u02"], ["S03"]),
        (["usage-total"], ["S03"]),
        (["U"], ["S03"]),
        (["U02", "S03"], []),
        (["U02,S03"], []),
        (["U02, S03,"], []),
        (["U02:$.usage.total_tokens"], ["S03"]),
        (["U02:usage.total_tokens"], ["S03"]),
        (["U02:usage"], ["S03"]),
        (["U02:$"], ["S03"]),
        (["U02:usage.total"], ["U02", "S03"]),
        (["U02:usage.*"], ["S03"]),
        (["U02:total_tokens"], ["U02", "S03"]),
        (["S"], ["U02"]),
    ],
)
def test_ignore(capsys: pytest.CaptureFixture[str], ignored: list[str], left: list[str]) -> None:
    name = write("i.jsonl", line(answer(20)), line(answer(object="x")))
    flags = [part for code in ignored for part in ("--ignore", code)]
    assert codes(capsys, *flags, name) == left


def test_ignore_any_index(capsys: pytest.CaptureFixture[str]) -> None:
    body = answer(20)
    body["choices"].append({**body["choices"][0], "index": 1})
    for choice in body["choices"]:
        choice["finish_reason"] = "x"
    name = write("i.jsonl", line(body))
    assert sorted(codes(capsys, "--select", "U02,S07", name)) == ["S07", "S07", "U02"]
    for pattern in ("$.choices[*].finish_reason", "choices[*]", "choices[].finish_reason"):
        assert codes(capsys, "--ignore", f"K01,S07:{pattern}", name) == ["U02"]
    assert codes(capsys, "--ignore", "K01,S07:choices[1]", name).count("S07") == 1
    assert codes(capsys, "--select", "S07:choices[1].finish_reason", name) == ["S07"]


def test_select(capsys: pytest.CaptureFixture[str], log: str) -> None:
    assert codes(capsys, "--select", "U", log) == ["U02"] * 5
    assert codes(capsys, "--select", "S03", log) == ["S03"]
    assert codes(capsys, "--select", "S,U", "--ignore", "U02", log) == ["S03"]
    assert codes(capsys, "--select", "T", log) == []


@pytest.mark.parametrize("flag", ["--ignore", "--select"])
@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("u2x", "did you mean U02?"),
        ("usage-totl", "did you mean usage-total?"),
        ("headers", "did you mean H02 ratelimit-headers?"),
        ("9!?", "`chatapi rules` lists them"),
    ],
)
def test_unknown_code(
    capsys: pytest.CaptureFixture[str], good: str, flag: str, code: str, hint: str
) -> None:
    expected = (2, "", f"chatapi: unknown rule '{code}': {hint}\n")
    assert run(capsys, "check", flag, code, good) == expected
    assert run(capsys, "check", flag, f"U02,{code}:$.usage", good) == expected


def test_strict(capsys: pytest.CaptureFixture[str], good: str) -> None:
    name = write("w.jsonl", line(answer(object="x"), url="http://h/v1/chat/completions"))
    status, out, _ = run(capsys, "check", name)
    assert (status, out.splitlines()[-1]) == (0, "1 exchange checked in 1 file: 1 warning")
    assert run(capsys, "check", "--strict", name)[0] == 1
    assert run(capsys, "check", "--strict", good)[0] == 0


def test_jobs_share_the_lines_of_a_large_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is in the file: the report is that of one process."""
    shares: list[tuple[int, int]] = []

    def in_processes(tasks: list[Any], jobs: int) -> Any:
        shares.extend(task.share for task in tasks)
        return map(check_module._check_file, tasks)

    monkeypatch.setattr(check_module, "_in_processes", in_processes)
    lines = [line(answer(20 + i % 3)) for i in range(11)]
    lines[3:3] = ["<<<<<<< a", "{", "=======", "", "{", ">>>>>>> b", "{"]
    files = [
        write("lines.jsonl", *lines),
        write("bare.jsonl", *[json.dumps(answer(30 + i)) for i in range(3)]),
        write("document.json", json.dumps(answer(30), indent=1)),
        write("broken.json", '{"request":\n{'),
        write("other.json", "[1]"),
    ]
    known = ["--baseline", "known.json", files[1]]
    run(capsys, "check", "--write-baseline", *known)
    for arguments in (files, ["--format", "junit", *files], ["--format", "json", *files], known):
        monkeypatch.setattr(jobs_module, "_WORTH_SHARES", 1 << 60)
        alone = run(capsys, "check", "--jobs", "3", *arguments)
        shares.clear()
        monkeypatch.setattr(jobs_module, "_WORTH_SHARES", 0)
        assert run(capsys, "check", "--jobs", "3", *arguments) == alone
        assert shares[:3] == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize("form", ["text", "json", "junit"])
def test_jobs(capsys: pytest.CaptureFixture[str], form: str) -> None:
    names = [write(f"{i}.jsonl", line(answer(20 + i)), line()) for i in range(5)]
    Path("bad.json").write_text('{"interactions": [')
    alone = run(capsys, "check", "--jobs", "1", "--format", form, *names, "bad.json")
    assert alone[0] == 2
    assert "4.jsonl" in alone[1]
    assert run(capsys, "check", "--jobs", "2", "--format", form, *names, "bad.json") == alone


def _killed(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where memory runs out."""
    monkeypatch.setattr(check_module, "_check_file", _killed)
    names = [write(f"{i}.jsonl", line()) for i in range(2)]
    message = "chatapi: a process was killed, perhaps for lack of memory: use fewer --jobs\n"
    assert run(capsys, "check", "--jobs", "2", *names) == (2, "", message)


@pytest.mark.parametrize(
    ("flags", "size", "processes"),
    [((), 10, None), ((), 0, 4), (("--jobs", "1"), 0, None), (("--jobs", "9"), 10, 2)],
    ids=["small", "large", "one", "more-than-files"],
)
def test_processes_are_started_where_they_are_worth_it(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[str, ...],
    size: int,
    processes: int | None,
) -> None:
    count = 2 if flags else 4
    names = [write(f"{number}.jsonl", line()) for number in range(count)]
    started = []

    def in_processes(tasks: list[Any], jobs: int) -> Any:
        started.append(jobs)
        return map(check_module._check_file, tasks)

    monkeypatch.setattr(check_module, "_in_processes", in_processes)
    monkeypatch.setattr(jobs_module, "WORTH_PROCESSES", size * os.path.getsize("0.jsonl"))
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert run(capsys, "check", *flags, *names)[:2] == (
        0,
        f"{count} exchanges checked in {count} files: no findings\n",
    )
    assert started == ([processes] if processes else [])


@pytest.mark.parametrize("number", ["0", "-1", "two", "1.5"])
def test_jobs_is_a_number(capsys: pytest.CaptureFixture[str], good: str, number: str) -> None:
    status, out, err = run(capsys, "check", f"--jobs={number}", good)
    assert (status, out) == (2, "")
    assert err.endswith(f"'{number}' is not a number of processes (1 or more)\n")


@pytest.mark.parametrize(
    ("files", "terminals", "shown"),
    [(21, ("stdout", "stderr"), True), (20, ("stdout", "stderr"), False), (21, ("stderr",), False)],
    ids=["many", "few", "piped"],
)
def test_progress(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    files: int,
    terminals: tuple[str, ...],
    shown: bool,
) -> None:
    names = [write(f"{number}.jsonl", line()) for number in range(files)]
    for name in terminals:
        monkeypatch.setattr(getattr(sys, name), "isatty", lambda: True)
    status, out, err = run(capsys, "check", *names)
    assert (status, "21/21" in out) == (0, False)
    if not shown:
        assert err == ""
        return
    bars = err.split("\r")
    assert bars[1] == "[" + "=" + " " * 29 + "] 1/21 files"
    assert bars[21] == "[" + "=" * 30 + "] 21/21 files"
    assert bars[22:] == ["\x1b[K"]  # and it is wiped


# -- what is read ----------------------------------------------------------------------


def test_a_damaged_file(capsys: pytest.CaptureFixture[str], good: str) -> None:
    Path("bad.json").write_text('{"interactions": [')
    status, out, err = run(capsys, "check", "bad.json", good, "nowhere.yaml")
    assert (status, out) == (2, "1 exchange checked in 2 files: no findings\n")
    first, second = err.splitlines()
    assert first == "chatapi: nowhere.yaml: no such file or folder"
    assert second.startswith("chatapi: bad.json: line 1, column 19: not valid JSON: ")


def test_a_body_that_cannot_be_read_during_its_check(
    capsys: pytest.CaptureFixture[str], log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = checker_module.check_exchange, iter(range(100))

    def check_exchange(*arguments: Any, **settings: Any) -> Any:
        if next(calls) == 1:
            raise ReadError(log, "interaction 1", "the file has gone")
        return real(*arguments, **settings)

    monkeypatch.setattr(checker_module, "check_exchange", check_exchange)
    status, out, err = run(capsys, "check", log)
    assert (status, err) == (2, "chatapi: log.jsonl: interaction 1: the file has gone\n")
    assert out.endswith(
        f"\n1 exchange skipped: embeddings\n7 exchanges checked in 1 file: 5 errors\n{NEXT}\n"
    )


def test_exit_code_of_a_damaged_file_wins_over_findings(
    capsys: pytest.CaptureFixture[str], log: str
) -> None:
    Path("bad.json").write_text('{"interactions": [')
    status, out, _ = run(capsys, "check", "bad.json", log)
    assert (status, out.splitlines()[-2].endswith(": 6 errors")) == (2, True)


def test_a_folder_may_hold_other_files(capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder").mkdir()
    write("folder/package.json", '{"name": "x", "version": "1.0.0"}')
    write("folder/README.txt", "Recordings of the test suite.")
    write("folder/a.jsonl", line())
    passed = (
        0,
        "2 files skipped: not HTTP recordings\n1 exchange checked in 1 file: no findings\n",
        "",
    )
    assert run(capsys, "check", "folder") == passed
    status, _, err = run(capsys, "check", "folder", "folder/package.json")
    assert (status, err.count("\n")) == (2, 1)  # who names a file means it
    assert err.startswith("chatapi: folder/package.json: ")


def test_other_traffic_is_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    other = line({"data": []}, url="https://api.openai.com/v1/embeddings")
    name = write("other.jsonl", other, other)
    assert run(capsys, "check", name) == (
        2,
        "2 exchanges skipped: embeddings\nnothing checked in 1 file\n",
        "chatapi: other.jsonl: nothing was checked: 2 exchanges, all of the Embeddings API\n",
    )


def test_standard_input(
    capsys: pytest.CaptureFixture[str], log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, named, _ = run(capsys, "check", log)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(Path(log).read_bytes())))
    status, out, err = run(capsys, "check", "-")
    assert (status, out, err) == (1, named.replace("log.jsonl", "<stdin>"), "")


def test_shipped_cassettes_pass(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "check", str(ROOT / "cassettes"))
    assert (status, err) == (0, "")
    assert " 0 exchanges" not in out


def test_secrets_never_show(capsys: pytest.CaptureFixture[str]) -> None:
    key = "sk-proj-" + "Ab3dEf6hIj" * 4
    token = "Zm9vYmFyYmF6cXV4" * 2
    refused = {
        "message": f"Incorrect API key provided: {key}. Sent: Authorization: Bearer {token}",
        "type": f"Bearer {token}",
        "param": key,
    }
    name = write(
        "secret.jsonl",
        line(answer(object=key, id=[key], system_fingerprint={"authorization": f"Bearer {token}"})),
        line(answer(object=f"Bearer {token}", service_tier=key)),
        line(answer(**{key: 1, "model": [f"Bearer {token}"]})),
        line({"error": refused}, status=401),
        line({"error": f"Bearer {token} and {key}"}, status=401),
        line({"error": refused}),
        line(f"not JSON at all, Bearer {token}, {key}"),
        line(f"data: {key}\n\ndata: {{Bearer {token}\n\n", kind="text/event-stream"),
    )
    for form in ("text", "json", "jsonl", "junit", "github", "sarif"):
        for profile in ("documented", "compatible"):
            _, out, err = run(
                capsys, "check", "--profile", profile, "--select", "S,T,E,X", "--format", form, name
            )
            assert out.count("object-constant") >= 1
            assert key not in out + err
            assert token not in out + err


# -- rules -----------------------------------------------------------------------------


def test_rules(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "rules")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:2] == ["S: shape of a response", "  S00  not-json                   error"]
    assert lines[-1] == "To explain one: chatapi rules CODE"
    assert re.findall(r"^  ([A-Z]\d\d)  ", out, re.MULTILINE) == list(rules())
    assert [text[0] for text in lines if re.match("[A-Z]: ", text)] == list(FAMILIES)
    assert all(lines[at - 1] == "" for at, text in enumerate(lines) if re.match("[U-Z]: ", text))
    assert "  S03  object-constant            error (compatible: warning)" in lines


def test_rules_json(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "rules", "--format", "json")
    data = json.loads(out)
    assert (status, [row["code"] for row in data]) == (0, list(rules()))
    assert [row["since"] for row in data] == [rule.since or None for rule in rules().values()]
    assert out.startswith('[\n  {\n    "code": "S00",\n')
    for row in data:
        assert list(row) == ["code", "name", "statement", "why", "basis", "since", "levels"]
        assert list(row["levels"]) == ["documented", "openai", "azure", "compatible"]
        assert set(row["levels"].values()) <= {"error", "warning", "note", "off"}


def test_rules_markdown_is_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    page = ROOT / "docs" / "rules.md"
    # If it differs: python tests/write_docs_tables.py
    assert run(capsys, "rules", "--format", "markdown") == (0, page.read_text("utf-8"), "")


@pytest.mark.parametrize("letter", ["Q", "q"])
def test_one_family(capsys: pytest.CaptureFixture[str], letter: str) -> None:
    whole = run(capsys, "rules")[1]
    status, out, err = run(capsys, "rules", letter)
    assert (status, err) == (0, "")
    assert out.startswith(f"Q: {FAMILIES['Q']}\n  Q00  ")
    assert out + "\n" in whole
    assert {line[2] for line in out.splitlines()[1:]} == {"Q"}


@pytest.mark.parametrize("code", ["U02", "u02", "usage-total"])
def test_one_rule(capsys: pytest.CaptureFixture[str], code: str) -> None:
    status, out, err = run(capsys, "rules", code)
    assert (status, err) == (0, "")
    assert out.startswith("U02 usage-total\n\n`total_tokens` = prompt + completion.\n\nwhy it ")
    assert "\nwhy it matters:\n  Libraries disagree about what was used: LangChain " in out
    assert "\nbreaks it (in the exchange `text`):\n  response.body.usage.total_tokens = 25\n" in out
    assert "\nlegal (Reasoning tokens are part of the completion tokens):\n  " in out
    assert out.endswith(
        "\nignore: --ignore U02, or --ignore U02:$.json.path for one path\n",
    )


def test_every_rule_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for code in rules():
        status, out, _ = run(capsys, "rules", code)
        assert (status, out.splitlines()[0]) == (0, f"{code} {rules()[code].name}")
        assert "\nbreaks it (in the exchange `" in out
        assert max(map(len, out.splitlines())) <= 80 or "`" in out
        assert '{"$' not in out  # how schemas/examples.json puts it


def test_an_explanation() -> None:
    rule = Rule(
        code="Z01",
        name="a-rule",
        levels="EEEW",
        basis="doc",
        statement="The contract, " * 6 + "in one sentence.",
        why="A client " * 9 + "fails.",
        since="2024-08-06",
        cases={"case": ("EWW-", "a case of it")},
    )
    words = "x" * 50 + " one-two-three-four-five-six"
    examples = {"breaks it": {"a.b": words, "c": [1, "é"]}, "legal": {"a": None}}
    assert rules_module._explained(rule, examples) == (
        "Z01 a-rule\n"
        "\n"
        "The contract, The contract, The contract, The contract, The contract, The\n"
        "contract, in one sentence.\n"
        "\n"
        "why it matters:\n"
        "  A client A client A client A client A client A client A client A client A\n"
        "  client fails.\n"
        "\n"
        "level:  error (compatible: warning)\n"
        "        a case of it: warning (documented: error, compatible: off)\n"
        "basis:  stated in the reference\n"
        "since:  2024-08-06\n"
        "\n"
        "breaks it:\n"
        f"  a.b = {'x' * 50}\n"
        "    one-two-three-four-five-six\n"
        '  c = [1, "é"]\n'
        "\n"
        "legal:\n"
        "  a = null\n"
        "\n"
        "ignore: --ignore Z01, or --ignore Z01:$.json.path for one path\n"
    )
    plain = rule._replace(since="", cases={}, levels="EEEE")
    assert "since" not in rules_module._explained(plain, {})
    assert "\nlevel:  error\nbasis:" in rules_module._explained(plain, {})
    shared = {"id": "a", "created": 1, "model": "m", "system_fingerprint": "f"}
    chunk = {**shared, "object": "chat.completion.chunk", "choices": []}
    changes = {"a": {"$delete": True}, "b[1]": {"$insert": [{"$raw": "\n"}, chunk]}}
    explained = rules_module._explained(plain, {"legal": {**changes, "c": {"$append": [1]}}})
    assert '\nlegal:\n  a is removed\n  before b[1]: "\\n", {..., "choices": []}\n' in explained
    assert "\n  at the end of c: 1\n" in explained
    for length, shown in ((300, "y" * 300), (301, "y" * 297 + "...")):
        text = rules_module._explained(plain, {"long": {"a": "y" * length}})
        assert f"long:a={shown}ignore:" in re.sub(r"\s", "", text)


def test_unknown_rule(capsys: pytest.CaptureFixture[str]) -> None:
    expected = (2, "", "chatapi: unknown rule 'u2x': did you mean U02?\n")
    assert run(capsys, "rules", "u2x") == expected
    hint = "did you mean U09? `chatapi rules U` lists the family"
    assert run(capsys, "rules", "u99")[2] == f"chatapi: unknown rule 'u99': {hint}\n"
    near = (
        "U01 usage-counts, U02 usage-total, U03 usage-prompt-details, U04 usage-completion-details"
    )
    assert (
        run(capsys, "rules", "usage")[2] == f"chatapi: unknown rule 'usage': did you mean {near}?\n"
    )


# -- usage -----------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("check",), ("chek", "x"), ("check", "--frmat", "x")])
def test_bad_usage(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("usage: chatapi")


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("65535", 65535), ("007", 7), ("65536", None), ("-1", None), ("", None)]
    + [(text, None) for text in ("x", "1.5", " 1", "+1", "1_0", "²", "٣")],
)
def test_whole_numbers(text: str, value: int | None) -> None:
    port, bytes_ = whole_number("a valid port", most=65535), whole_number("a number of bytes")
    if value is not None:
        assert port(text) == bytes_(text) == value
        return
    with pytest.raises(ArgumentTypeError) as caught:
        port(text)
    assert str(caught.value) == f"{text!r} is not a valid port (0-65535)"
    if text != "65536":
        with pytest.raises(ArgumentTypeError) as caught:
            bytes_(text)
        assert str(caught.value) == f"{text!r} is not a number of bytes (0 or more)"


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    from pytest_chatapi import __version__

    assert run(capsys, "--version") == (0, f"chatapi {__version__}\n", "")
    status, out, _ = run(capsys, "check", "--help")
    assert (status, "exit status: 0 no errors, 1 errors" in out) == (0, True)


# -- the script itself -----------------------------------------------------------------

SCRIPT = shutil.which("chatapi", path=str(Path(sys.executable).parent))
needs_script = pytest.mark.skipif(SCRIPT is None, reason="chatapi is not installed as a script")


@needs_script
def test_script(log: str) -> None:
    done = subprocess.run(
        [str(SCRIPT), "check", "-"], input=Path(log).read_bytes(), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"\x1b" not in done.stdout
    assert done.stdout.endswith(
        b"1 exchange skipped: embeddings\n7 exchanges checked in 1 file: 6 errors\n"
        + f"{NEXT}\n".encode()
    )


@needs_script
@pytest.mark.parametrize("command", ["rules", "rules --format json", "check --format json many"])
def test_broken_pipe(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a buffer, nothing is left to be written when the interpreter ends.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    write("many", *[line(answer(20))] * 500)
    reader, writer = os.pipe()
    os.close(reader)  # as `| head` does when it has seen enough
    done = subprocess.run(
        [str(SCRIPT), *command.split()], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@needs_script
@pytest.mark.skipif(os.name == "nt", reason="no shell")
def test_head() -> None:
    done = subprocess.run(
        ["sh", "-c", f'"{SCRIPT}" rules | head -n 1'], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("S: shape of a response\n", "")


@needs_script
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_output_is_utf_8_whatever_the_terminal(encoding: str) -> None:
    name = write("ü€.jsonl", line(answer(object="日本\ud800")))
    done = subprocess.run(
        [str(SCRIPT), "check", name],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert "ü€.jsonl:1: error" in done.stdout.decode()


# -- faults ------------------------------------------------------------------------------


def test_faults(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "faults")
    assert (status, err) == (0, "")
    names = re.findall(r"^(\w+)  +\S", out, re.MULTILINE)
    assert sorted(names) == sorted(name for name in CATALOGUE if name != "ok")
    assert max(map(len, out.splitlines())) <= 80


def test_some_faults(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "faults", "cut(chunks=3)", "rate_limit") == (
        0,
        "cut         The connection ends after `chunks` or `bytes`, whichever comes\n"
        "            first.\n"
        "rate_limit  429 with `Retry-After` in seconds.\n",
        "",
    )
    status, out, err = run(capsys, "faults", "rate_limt")
    assert (status, out) == (2, "")
    assert err == ("chatapi: unknown fault 'rate_limt': did you mean rate_limit?\n")


def test_faults_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "faults", "--format", "markdown") == (0, table(), "")
    assert table() in (ROOT / "docs" / "faults.md").read_text("utf-8")
