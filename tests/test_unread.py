"""What is not read or not checked is said, and nothing that was not understood passes."""

from __future__ import annotations

import json
import pickle
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inner_runs import run_apart

from pytest_chatapi import Exchange, Request, Response, check
from pytest_chatapi.assertions import assert_chat_completion
from pytest_chatapi.cli.main import main
from pytest_chatapi.contract import endpoint as endpoint_module
from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.endpoint import endpoint, other_api, row_of
from pytest_chatapi.errors import ContractError, ReadError
from pytest_chatapi.reading import reader as reader_module
from pytest_chatapi.reading.objects import exchange_from
from pytest_chatapi.reading.reader import NotARecording, read
from pytest_chatapi.recording.cassette import Cassette
from pytest_chatapi.recording.lookup import Lookup
from pytest_chatapi.recording.matching import Matcher
from pytest_chatapi.recording.miss import miss_of
from pytest_chatapi.redaction.redactor import Redactor
from pytest_chatapi.report import Report, unreadable_lines

CHAT_URL = "https://api.openai.com/v1/chat/completions"
ASKED = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}]}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
ANSWER = {
    "id": "chatcmpl-7",
    "object": "chat.completion",
    "created": 1750000000,
    "model": "gpt-5.2-2025-12-11",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi.", "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": USAGE,
}
WRONG = {**ANSWER, "usage": {**USAGE, "total_tokens": 6}}
EMBEDDINGS = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}
RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "output": []}
MODEL = {"id": "m", "object": "model", "created": 1, "owned_by": "o"}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def line(body: Any = ANSWER, url: str = CHAT_URL, asked: Any = ASKED, **answer: Any) -> str:
    request = {"method": "POST", "url": url, "body": asked}
    headers = {"content-type": "application/json", "x-request-id": "r"}
    response = {"status": 200, "headers": headers, "body": body, **answer}
    return json.dumps({"request": request, "response": response})


def write(name: str, *lines: str) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
    return name


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(["check", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def alone(body: Any, asked: Any = None, status: int = 200) -> Exchange:
    request = None if asked is None else Request(body=asked)
    return Exchange(request, Response(status, body=body))


# -- a path of which nothing was checked -------------------------------------------------


def responses(count: int) -> list[str]:
    return [line(RESPONSE, "https://api.openai.com/v1/responses")] * count


@pytest.mark.parametrize(
    ("files", "path", "found"),
    [
        ({"r.jsonl": responses(12)}, "r.jsonl", "12 exchanges, all of the Responses API"),
        ({"r.jsonl": responses(1)}, "r.jsonl", "1 exchange, of the Responses API"),
        (
            {"f/a.jsonl": responses(2), "f/b.json": ['{"name": "x"}'], "f/c.txt": ["Dear all"]},
            "f",
            "2 exchanges, all of the Responses API; 2 files: not HTTP recordings",
        ),
        (
            {"r.jsonl": [*responses(2), line(EMBEDDINGS, "https://h/v1/embeddings")]},
            "r.jsonl",
            "3 exchanges, none of them checked: 2 responses, 1 embeddings",
        ),
        ({"f/a.json": ["{}"], "f/b.txt": ["x"]}, "f", "2 files: not HTTP recordings"),
        (
            {"f/a.bin": ["x"], "f/b": ["x"], "f/c.md": ["x"]},
            "f",
            "2 files: of other file types",
        ),
        (
            {"f/a.bin": ["x"], "f/b.txt": ["x"]},
            "f",
            "2 files: 1 not an HTTP recording, 1 of another file type",
        ),
        ({"f/.hidden.json": ["{}"], "f/a.py": ["x"]}, "f", "no files to look into"),
        ({"v.yaml": ["interactions: []"]}, "v.yaml", "1 file: without an exchange"),
        (
            {"v.json": ['{"http_interactions": []}']},
            "v.*",
            "1 file: without an exchange",
        ),
        (
            {"u.jsonl": [line({"users": []}, "https://h/api/v1/users", None)]},
            "u.jsonl",
            "1 exchange, of an unknown API",
        ),
        (
            {"t.jsonl": [line({}, "https://h/v1/traces", {"resourceSpans": []})] * 2},
            "t.jsonl",
            "2 exchanges, all telemetry",
        ),
        (
            {"n.jsonl": ['{"request": {"method": "GET", "url": "https://h/v1/models"}}']},
            "n.jsonl",
            "1 exchange, unanswered",
        ),
    ],
)
def test_a_path_of_which_nothing_was_checked(
    files: dict[str, list[str]], path: str, found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, lines in files.items():
        write(name, *lines)
    status, out, err = run(capsys, path)
    assert (status, err) == (2, f"chatapi: {path}: nothing was checked: {found}\n")
    assert out.splitlines()[-1].startswith("nothing checked")
    assert "no findings" not in out
    # Another path in which something was checked does not make up for it.
    status, _, err = run(capsys, write("good.jsonl", line()), path)
    assert (status, err) == (2, f"chatapi: {path}: nothing was checked: {found}\n")


def test_lists_of_changed_files_may_hold_other_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes, damaged = tmp_path / "notes.yaml", tmp_path / "damaged.yaml"
    notes.write_text("a: 1\n")
    damaged.write_text("- request: {\n")
    assert main(["check", str(notes)]) == 2
    assert main(["check", "--allow-unchecked", str(notes)]) == 0
    assert main(["check", "--allow-unchecked", str(tmp_path / "missing.yaml")]) == 2
    capsys.readouterr()
    assert main(["check", "--allow-unchecked", str(notes), str(damaged)]) == 2
    assert "damaged.yaml: line 2" in capsys.readouterr().err


def test_a_path_with_an_error_of_its_own_needs_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("empty.jsonl").touch()
    assert run(capsys, "empty.jsonl")[2] == "chatapi: empty.jsonl: is empty\n"
    assert run(capsys, "gone.jsonl")[2] == "chatapi: gone.jsonl: no such file or folder\n"
    assert run(capsys, "*.gone")[2] == "chatapi: *.gone: no file matches\n"
    write("later.jsonl", *responses(1), '{"note": 1}')
    status, _, err = run(capsys, "later.jsonl")
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("chatapi: later.jsonl: line 2: not an exchange")


def test_standard_input_of_which_nothing_was_checked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write("r.jsonl", *responses(2))
    with open(name, encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        status, _, err = run(capsys, "-")
    found = "nothing was checked: 2 exchanges, all of the Responses API"
    assert (status, err) == (2, f"chatapi: <stdin>: {found}\n")


# -- what was skipped, in every format ---------------------------------------------------

REMARK = "3 exchanges skipped: 2 responses, 1 embeddings"


@pytest.fixture
def mixed() -> str:
    write("f/a.jsonl", line(), *responses(2), line(EMBEDDINGS, "https://h/v1/embeddings"))
    write("f/notes.txt", "# How to log", "", "- in your code:", "", '"response": log,', "}")
    return "f"


def test_counts_in_text(mixed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, mixed) == (
        0,
        f"{REMARK}\n1 file skipped: not an HTTP recording\n"
        "1 exchange checked in 1 file: no findings\n",
        "",
    )


def test_counts_in_json(mixed: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(run(capsys, mixed, "--format", "json")[1])
    assert data["skipped"] == 3
    assert data["skipped_by_api"] == {"responses": 2, "embeddings": 1}
    assert data["unread_files"] == {"in no known format": 1}
    [row] = map(json.loads, run(capsys, mixed, "--format", "jsonl")[1].splitlines())
    assert row["code"] is None
    assert row["message"] == f"{REMARK}; 1 file skipped: not an HTTP recording"
    assert row["skipped_by_api"] == data["skipped_by_api"]


def test_counts_in_junit(mixed: str, capsys: pytest.CaptureFixture[str]) -> None:
    [suite] = ElementTree.fromstring(run(capsys, mixed, "--format", "junit")[1])
    assert (suite.get("tests"), suite.get("skipped")) == ("3", "2")
    assert next(suite.iter("skipped")).get("message") == REMARK


def test_counts_in_annotations(mixed: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, mixed, "--format", "github")[1]
    assert out.splitlines()[0] == f"::notice title=not checked::{REMARK}"
    [part] = json.loads(run(capsys, mixed, "--format", "sarif")[1])["runs"]
    notes = part["invocations"][0]["toolExecutionNotifications"]
    assert notes[0] == {"level": "note", "message": {"text": REMARK}}


def test_processes_count_the_same() -> None:
    # What crosses the border of a process.
    one, other = Report(1, Counter(a=2), 1), Report(0, Counter(a=1, b=1), 1, Counter(c=3))
    one.add(pickle.loads(pickle.dumps(other)))
    assert (one.exchanges, one.skipped, one.unread) == (1, {"a": 3, "b": 1}, {"c": 3})
    error = NotARecording("f", "line 1", "a run of LangSmith", "of LangSmith")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.kind) == ("f: line 1: a run of LangSmith", "of LangSmith")


def test_requests_that_were_never_answered(capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"method": "POST", "url": CHAT_URL, "body": {**ASKED, "temperature": 9}}
    write("n.jsonl", json.dumps({"request": asked}))
    status, out, _ = run(capsys, "n.jsonl")
    assert (status, "error Q00" in out) == (1, True)
    assert "\n1 exchange without a response: only the request was checked\n" in out


def test_an_unknown_api_has_the_same_words_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    other = line({"users": []}, "https://h/api/v1/users", None)
    write("u.jsonl", line(), other)
    said = "1 exchange skipped: of an unknown API"
    for form in ("text", "jsonl", "junit", "github", "sarif"):
        assert said in run(capsys, "u.jsonl", "--format", form)[1]
    assert json.loads(run(capsys, "u.jsonl", "--format", "json")[1])["skipped_by_api"] == {
        "unknown": 1
    }


# -- what could not be read, in every format ---------------------------------------------


@pytest.fixture
def torn(capsys: pytest.CaptureFixture[str]) -> str:
    """A folder with a damaged line, and a path of which nothing was checked."""
    write("g/b%.jsonl", line(), "{", line())
    write("r.jsonl", *responses(1))
    return "nothing was checked: 1 exchange, of the Responses API"


def report_of(form: str, capsys: pytest.CaptureFixture[str]) -> str:
    status, out, err = run(capsys, "g", "r.jsonl", "--format", form)
    assert (status, err.count("\n")) == (2, 2)
    return out


def test_errors_in_json(torn: str, capsys: pytest.CaptureFixture[str]) -> None:
    errors = json.loads(report_of("json", capsys))["errors"]
    assert [(e["file"], e["place"]) for e in errors] == [
        ("g/b%.jsonl", "line 2, column 2"),
        ("r.jsonl", ""),
    ]
    assert errors[0]["reason"].startswith("not valid JSON: ")
    assert errors[1]["reason"] == torn
    [row] = map(json.loads, report_of("jsonl", capsys).splitlines())
    assert row["errors"] == errors
    assert row["message"].startswith("g/b%.jsonl: line 2, column 2: not valid JSON: ")


def test_errors_in_junit(torn: str, capsys: pytest.CaptureFixture[str]) -> None:
    [suite] = ElementTree.fromstring(report_of("junit", capsys))
    assert (suite.get("tests"), suite.get("errors"), suite.get("failures")) == ("5", "2", "0")
    cases = [case for case in suite if case.find("error") is not None]
    assert [(case.get("classname"), case.get("name")) for case in cases] == [
        ("g/b%.jsonl", "line 2, column 2"),
        ("r.jsonl", "unreadable"),
    ]
    assert [error.get("message") for error in suite.iter("error")][1] == torn


def test_errors_in_annotations(torn: str, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, _ = report_of("github", capsys).splitlines()
    assert first.startswith("::error file=g/b%25.jsonl,line=2,title=not read::line 2, column 2: ")
    assert second == f"::error file=r.jsonl,title=not read::{torn}"
    [part] = json.loads(report_of("sarif", capsys))["runs"]
    [invocation] = part["invocations"]
    assert invocation["executionSuccessful"] is False
    first, second, note = invocation["toolExecutionNotifications"]
    assert (first["level"], second["level"], note["level"]) == ("error", "error", "note")
    assert first["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "g/b%25.jsonl", "uriBaseId": "%SRCROOT%"},
                "region": {"startLine": 2},
            }
        }
    ]
    assert second["message"]["text"] == f"r.jsonl: {torn}"


def test_a_run_without_an_error_was_successful(
    mixed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    [part] = json.loads(run(capsys, mixed, "--format", "sarif")[1])["runs"]
    assert part["invocations"][0]["executionSuccessful"] is True
    assert json.loads(run(capsys, mixed, "--format", "json")[1])["errors"] == []
    [suite] = ElementTree.fromstring(run(capsys, mixed, "--format", "junit")[1])
    assert suite.get("errors") == "0"


def test_test_cases_have_names_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [{"in": ASKED, "out": ANSWER}] * 2
    write("m.jsonl", json.dumps({"runs": runs}))
    write("raw/a.json", json.dumps(WRONG))
    write("raw/b.json", json.dumps({"error": {"message": "no", "type": None, "code": None}}))
    write("raw/c.sse", sse(MESSAGE_START, names=True))
    mapping = "request=$.runs[*].in,response=$.runs[*].out"
    _, out, _ = run(capsys, "m.jsonl", "raw", "--map", mapping, "--format", "junit")
    [suite] = ElementTree.fromstring(out)
    names = [(case.get("classname"), case.get("name")) for case in suite]
    assert len(set(names)) == len(names)
    _, out, _ = run(capsys, "raw", "--format", "junit")
    [suite] = ElementTree.fromstring(out)
    assert [case.get("name") for case in suite][:2] == [
        "0 chat.completion gpt-5.2-2025-12-11",
        "0 error 400",
    ]


# -- files of tools that are known by name -----------------------------------------------

LANGSMITH = {"run_type": "llm", "inputs": ASKED, "outputs": ANSWER}
POSTMAN = {"info": {"_postman_id": "p"}, "item": [{"request": {"url": "https://h"}}]}


def test_tools_keep_their_names_in_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    write("f/a.json", json.dumps(LANGSMITH))
    write("f/b.jsonl", *[json.dumps(LANGSMITH)] * 2)
    write("f/c.json", json.dumps(POSTMAN))
    write("f/d.json", "{}")
    said = "2 of LangSmith, 1 of Postman, 1 not an HTTP recording (see --map, or docs/formats.md)"
    assert run(capsys, "f")[2] == f"chatapi: f: nothing was checked: 4 files: {said}\n"
    write("f/e.json", json.dumps(ANSWER))
    status, out, err = run(capsys, "f")
    assert (status, err) == (0, "")
    assert " ".join(out.split()).startswith(f"4 files skipped: {said} 1 exchange checked")
    assert run(capsys, "f", "--jobs", "2")[1] == out
    unread = json.loads(run(capsys, "f", "--format", "json")[1])["unread_files"]
    assert unread == {"of LangSmith": 2, "of Postman": 1, "in no known format": 1}


# -- other recordings in a folder --------------------------------------------------------

WEBSOCKET = """\
version: 1
interactions:
- {kind: message, direction: received, data: {type: session.created}}
- {kind: message, direction: sent, data: {type: response.create}}
"""
GRPC = """\
version: 2
interactions:
- request_stream: {json: {model: m}, raw: !!binary Ci8=}
  response_stream: {chunks_raw: [!!binary Ci8=]}
"""


def test_other_recordings_in_a_folder_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    write("f/a.jsonl", line())
    write("f/live.yaml", WEBSOCKET)
    write("f/live.json", json.dumps({"interactions": [{"direction": "sent", "data": {}}] * 400}))
    write("f/xai.yaml", GRPC)
    write("f/cassetter.yaml", "interactions: []\nws_interactions:\n- {uri: u, frames: []}\n")
    write("f/cassetter-grpc.yaml", "interactions: []\ngrpc_interactions:\n- {request: {}}\n")
    http = {"direction": "out", "request": {}, "response": {"body": {"string": json.dumps(ANSWER)}}}
    mixed = {"interactions": [http], "ws_interactions": [{"uri": "u", "frames": []}]}
    write("f/mixed.json", json.dumps(mixed))
    write("f/queue.yaml", "interactions:\n- {topic: a, message: b}\n")
    write("f/new.yaml", "")
    kinds = "3 of WebSocket messages, 2 of gRPC calls, 1 empty, 1 not an HTTP recording"
    status, out, err = run(capsys, "f")
    assert (status, err) == (0, "")
    assert " ".join(out.split()).startswith(f"7 files skipped: {kinds} 2 exchanges checked")
    assert run(capsys, "f/live.yaml", "f/xai.yaml", "f/new.yaml")[::2] == (
        2,
        "chatapi: f/live.yaml: a recording of WebSocket messages, not of HTTP requests and "
        "responses\n"
        "chatapi: f/xai.yaml: a recording of gRPC calls, not of HTTP requests and responses\n"
        "chatapi: f/new.yaml: is empty\n",
    )


def test_what_is_beside_http_in_a_cassette_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    http = {"request": {"method": "POST", "uri": "u"}, "response": {"body": {"string": "{}"}}}
    document = {
        "interactions": [http],
        "ws_interactions": [{"uri": "wss://api.openai.com/v1/realtime?model=m", "frames": []}],
        "grpc_interactions": [{"request": {"method": "/xai_api.Chat/GetCompletion"}}, 1],
    }
    write("c.yaml", f"---\n{json.dumps(document)}\n")
    skipped = json.loads(run(capsys, "c.yaml", "--format", "json")[1])["skipped_by_api"]
    assert skipped == {"unknown": 3, "realtime": 1}


def test_reading_errors_are_folded(capsys: pytest.CaptureFixture[str]) -> None:
    damaged = "- request: {method: POST, uri: u}\n  response: {body: {base64_string: '?'}}\n"
    for name in "abc":
        write(f"f/{name}.yaml", f"interactions:\n{damaged}{damaged}")
    status, _, err = run(capsys, "f")
    first, *others = err.splitlines()
    assert (status, others) == (2, [])
    assert first.startswith("chatapi: f/a.yaml: interaction 0: ")
    assert first.endswith(" (and 5 more in 2 other files)")
    assert len(json.loads(run(capsys, "f", "--format", "json")[1])["errors"]) == 6
    many = [ReadError("f", f"line {n}", f"reason {chr(65 + n % 13)}") for n in range(26)]
    lines = unreadable_lines(many)
    assert lines[0] == "f: line 0: reason A (and 1 more)"
    assert lines[10:] == ["... and 6 more: --format json lists all"]


def test_a_persister_of_vcrpy(capsys: pytest.CaptureFixture[str]) -> None:
    """LangChain's keeps two lists, and neither addresses nor headers."""
    headers = {"Content-Type": ["**REDACTED**"]}
    body = {"string": json.dumps({**ANSWER, "created": "now"})}
    call = {"method": "POST", "uri": "**REDACTED**", "body": json.dumps(ASKED), "headers": headers}
    answer = {"body": body, "headers": headers, "status": {"code": 200, "message": "OK"}}
    write("c.yaml", json.dumps({"requests": [call] * 2, "responses": [answer] * 2}))
    status, out, err = run(capsys, "c.yaml", "--format", "json")
    data = json.loads(out)
    assert (status, err, data["exchanges"]) == (1, "", 2)
    assert {finding["code"] for finding in data["findings"]} >= {"S01"}
    assert not {"E02", "S00"} & {finding["code"] for finding in data["findings"]}
    write("e.yaml", json.dumps({"requests": [call] * 3, "responses": [answer]}))
    data = json.loads(run(capsys, "e.yaml", "--format", "json")[1])
    assert (data["exchanges"], data["unanswered"]) == (3, 2)
    write("d.json", json.dumps({"requests": [{"method": "GET"}], "responses": [answer]}))
    assert run(capsys, "d.json")[2].startswith("chatapi: d.json: not a recording in a known format")


# -- in pytest ---------------------------------------------------------------------------

_QUIET = ("-o", "asyncio_default_fixture_loop_scope=function")


def test_the_summary_of_pytest(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pytester.path)
    odd = {**ASKED, "max_tokens": 9, "seed": 1, "model": "gpt-4"}
    write("c/a.jsonl", line(asked=odd), line(asked=odd), *responses(3))
    write("c/notes.txt", "Dear all")
    write("d/only.jsonl", *responses(2))
    result = pytester.runpytest("-p", "chatapi", *_QUIET, "--chatapi-cassettes", "c", "c")
    result.stdout.fnmatch_lines(
        [
            "-* chat completions contract -*",
            "3 exchanges skipped: responses",
            "1 file skipped: not an HTTP recording",
            "2 recorded exchanges checked: 8 notes: Q13 deprecated-parameter (4), Q17",
            "  model-shutdown (2), K09 model-echo (2)",
        ],
        consecutive=True,
    )
    result = pytester.runpytest("-p", "chatapi", *_QUIET, "--chatapi-cassettes", "d", "d")
    result.stdout.fnmatch_lines(
        ["nothing was checked in *d: 2 exchanges, all of the Responses API"]
    )


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("--chatapi-cassettes", "d"), 1),
        (("--chatapi-cassettes", "c", "--chatapi-cassettes", "d"), 1),
        (("-o", "chatapi_cassettes=d"), 0),  # a setting for every run, of whatever part
        (("--chatapi-cassettes", "c"), 0),
    ],
)
def test_a_folder_that_the_command_names_has_something_to_check(
    arguments: tuple[str, ...], status: int, pytester: pytest.Pytester, monkeypatch: Any
) -> None:
    monkeypatch.chdir(pytester.path)
    write("c/a.jsonl", line())
    write("d/only.jsonl", *responses(2))
    write("test_a.py", "def test_a(): pass")
    result = pytester.runpytest("-p", "chatapi", *_QUIET, *arguments)
    assert result.ret == status
    is_empty = "nothing was checked in" in result.stdout.str()
    assert is_empty == any("d" in argument.split("=")[-1:] for argument in arguments)


@pytest.mark.slow  # two processes
def test_workers_fail_where_nothing_was_checked(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pytester.path)
    write("d/only.jsonl", *responses(2))
    write("e/torn.jsonl", line(), "{")
    write("test_a.py", "def test_a(): pass")
    folders = ("--chatapi-cassettes", "d", "--chatapi-cassettes", "e")
    result = run_apart(pytester, "-p", "xdist", "-n", "1", *folders)
    assert result.ret == 1
    assert "nothing was checked in " in result.stdout.str()
    assert "1 file could not be read: see the errors above" in result.stdout.str()


def test_the_summary_beside_a_file_that_cannot_be_read(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pytester.path)
    write("c/a.jsonl", line(), *responses(3))
    write("c/b.jsonl", line(), "{", "{")
    write("c/c.json", json.dumps(LANGSMITH))
    arguments = ("-p", "chatapi", *_QUIET, "--chatapi-cassettes", "c")
    result = pytester.runpytest(*arguments)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert result.stdout.str().count("not valid JSON") == 1  # (and 1 more)
    summary = [
        "-* chat completions contract -*",
        "1 file could not be read: see the errors above",
        "3 exchanges skipped: responses",
        "1 file skipped: of LangSmith (see --map, or docs/formats.md)",
    ]
    result.stdout.fnmatch_lines([*summary, "no recorded exchange was checked"], consecutive=True)
    result = pytester.runpytest(*arguments, "--continue-on-collection-errors")
    result.stdout.fnmatch_lines(
        [*summary, "1 recorded exchange checked: no findings"], consecutive=True
    )


def test_the_summary_of_workers(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pytester.path)
    odd = {**ASKED, "max_tokens": 9}
    write("c/a.jsonl", *[line(asked=odd)] * 4, *responses(3))
    write("d/only.md", "x")
    folders = ("--chatapi-cassettes", "c", "--chatapi-cassettes", "d", "c", "d")
    result = run_apart(pytester, "-p", "xdist", "-n", "2", *folders)
    result.stdout.fnmatch_lines(
        [
            "nothing was checked in *d: no files to look into",
            "3 exchanges skipped: responses",
            "4 recorded exchanges checked: 4 notes: Q13 deprecated-parameter (4)",
        ],
        consecutive=True,
    )


# -- bodies that are not there -----------------------------------------------------------

STREAM_TYPE = {"content-type": "text/event-stream", "x-request-id": "r"}


@pytest.mark.parametrize(
    ("answer", "codes"),
    [
        ({"body": ""}, ["S16"]),
        ({"body": None}, ["S16"]),
        ({"body": "\n \n"}, ["S00"]),
        ({"body": "\n \n", "cut": "client"}, []),
        ({"body": "\n\n\n", "headers": STREAM_TYPE}, ["T18"]),
        ({"body": "", "headers": STREAM_TYPE}, ["T18"]),
        ({"body": None, "headers": STREAM_TYPE}, ["S16"]),
        ({"body": ": ping\n\n", "headers": STREAM_TYPE}, ["T18"]),
        ({"body": "", "headers": STREAM_TYPE, "cut": "client"}, []),
        ({"body": "", "headers": STREAM_TYPE, "cut": "server"}, ["T17"]),
        ({"body": "", "status": 204}, []),
    ],
)
@pytest.mark.parametrize("in_pieces", [False, True])
def test_empty_bodies(answer: dict[str, Any], codes: list[str], in_pieces: bool) -> None:
    asked = {**ASKED, "stream": "event" in str(answer.get("headers"))}
    [exchange] = read(Path(write("e.jsonl", line(asked=asked, **answer))))
    if in_pieces and answer["body"]:
        assert exchange.response is not None
        exchange.response.pieces, exchange.response.body = [answer["body"].encode()], None
    assert [finding.code for finding in check_exchange(exchange).findings] == codes


def test_pieces_without_a_byte() -> None:
    for pieces, code in (([], "S16"), ([b"", b""], "S16"), ([b"", b" "], "S00")):
        exchange = Exchange(Request("POST", CHAT_URL, {}, ASKED), Response(pieces=pieces))
        assert code in [finding.code for finding in check_exchange(exchange).findings]


def test_an_empty_document_is_noted() -> None:
    exchange = Exchange(Request("GET", "https://h/v1/models"), Response())
    assert [finding.code for finding in check_exchange(exchange).findings] == ["S16"]


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ({"status": 200, "payload": {}}, "its keys are status, payload, and none"),
        ({}, "its keys are none, and none"),
        ("Hi", 'it is not an object, but "Hi"'),
        ([ANSWER], "it is not an object, but "),
    ],
)
def test_an_envelope_that_is_not_understood(
    response: Any, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    request = {"method": "POST", "url": CHAT_URL, "body": ASKED}
    name = write("e.jsonl", json.dumps({"request": request, "response": response}))
    status, _, err = run(capsys, name)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("chatapi: e.jsonl: line 1: the response is not understood: " + reason)


@pytest.mark.parametrize(
    ("method", "response"),
    [
        ("POST", {"status": 204}),
        ("OPTIONS", {"status": 200}),
        ("HEAD", {"status": 404}),
        ("POST", {"status": 200, "cut": "server"}),
    ],
)
def test_an_envelope_that_needs_no_body(method: str, response: Any) -> None:
    request = {"method": method, "url": CHAT_URL, "body": ASKED}
    [exchange] = read(write("e.jsonl", json.dumps({"request": request, "response": response})))
    assert exchange.response is not None
    assert exchange.response.body is None


# -- the body decides --------------------------------------------------------------------


def sse(*events: Any, names: bool = False) -> str:
    return "".join(
        (f"event: {event['type']}\n" if names else "") + f"data: {json.dumps(event)}\n\n"
        for event in events
    )


CHUNK = {
    "id": "chatcmpl-7",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}],
}
CLAUDE = {"type": "model", "id": "claude-9", "display_name": "C", "created_at": "2026-01-01"}
MESSAGE_START = {"type": "message_start", "message": {"type": "message", "content": []}}


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (EMBEDDINGS, "embeddings"),
        ({"data": [{"embedding": "AAAA", "index": 0}], "model": "m"}, "embeddings"),
        ({"object": "file", "id": "file-1", "purpose": "batch"}, "files"),
        ({"object": "list", "data": [{"object": "file", "id": "file-1"}]}, "files"),
        ({"object": "assistant", "id": "asst_1", "model": "m"}, "assistants"),
        ({"object": "thread", "id": "thread_1"}, "threads"),
        ({"object": "thread.run", "id": "run_1", "model": "m", "usage": None}, "threads"),
        ({"object": "list", "data": [{"object": "thread.message"}]}, "threads"),
        (
            {"object": "text_completion", "choices": [{"text": "Hi", "index": 0}]},
            "text completions",
        ),
        ({"choices": [{"text": "Hi", "index": 0}]}, "text completions"),
        (sse({"object": "text_completion", "choices": [{"text": "H"}]}), "text completions"),
        (RESPONSE, "responses"),
        ({**RESPONSE, "error": {"code": "x", "message": "m"}}, "responses"),
        (sse({"type": "response.created", "response": RESPONSE}), "responses"),
        ({"object": "response.compaction", "output": []}, "responses"),
        ("event: response.created\ndata: {broken\n\n", "responses"),
        ({"type": "message", "role": "assistant", "content": [], "model": "m"}, "anthropic"),
        (sse({"type": "ping"}, MESSAGE_START, names=True), "anthropic"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, "anthropic"),
        ({"data": [CLAUDE], "has_more": False}, "anthropic"),
        (CLAUDE, "anthropic"),
        ({"candidates": [{"content": {}}], "usageMetadata": {}}, "gemini"),
        ([{"candidates": []}], "gemini"),
        (sse({"candidates": []}), "gemini"),
        ({"model": "m", "created_at": "2026", "message": {"role": "a"}, "done": True}, "ollama"),
        ('{"model": "m", "created_at": "x", "done": false}\n{"done": true}\n', "ollama"),
        ({"models": [{"name": "m", "digest": "d"}]}, "ollama"),
        ({"output": {"message": {"content": []}}, "stopReason": "end_turn"}, "bedrock"),
        ({"id": "modr-1", "model": "m", "results": [{"flagged": True}]}, "moderations"),
        ({"message": {"role": "a"}, "finish_reason": "X", "usage": {"billed_units": {}}}, "cohere"),
        ({"completion": "Hi", "stop_reason": "stop"}, "anthropic"),
        ({"created": 1, "data": [{"b64_json": "AA"}]}, "images"),
        ({"created": 1, "data": [{"url": "https://h/a.png"}]}, "images"),
        ({"text": "Hello", "usage": {"type": "duration", "seconds": 3}}, "audio"),
        (sse({"type": "transcript.text.delta", "delta": "He"}), "audio"),
        ({"results": [{"index": 0, "relevance_score": 0.9}]}, "rerank"),
        ({"object": "batch", "id": "batch_1"}, "batches"),
        ({"object": "fine_tuning.job", "model": "m"}, "fine-tuning"),
        ({"object": "vector_store.file", "id": "v"}, "vector stores"),
        ({"users": []}, "unknown"),
        ({"status": "ok"}, "unknown"),
    ],
)
def test_a_lone_body_of_another_api(body: Any, name: str) -> None:
    variants = (
        [body] if isinstance(body, str) else [body, json.dumps(body), json.dumps(body, indent=1)]
    )
    for form in variants:
        assert other_api(alone(form)) == name
        if isinstance(form, str):
            assert other_api(alone(form.encode())) == name
        exchange = alone(form)
        assert check_exchange(exchange).api == name
        assert check_exchange(exchange).findings == []
    if isinstance(body, str):
        assert other_api(Exchange(None, Response(pieces=[body.encode()]))) == name
    # The same where the address is a placeholder, or says nothing.
    for url in ("**REDACTED**", "https://h/api/v2/invoke"):
        assert other_api(Exchange(Request("POST", url), Response(body=body))) == name


@pytest.mark.parametrize(
    "body",
    [
        ANSWER,
        {key: value for key, value in ANSWER.items() if key != "object"},
        {key: value for key, value in ANSWER.items() if key != "choices"},
        {"id": "c", "created": 1, "model": "m"},
        {"choices": []},
        {"choices": "none"},
        {**ANSWER, "object": "text_completion"},
        {**ANSWER, "type": "message"},
        {"role": "assistant", "content": "Hi"},
        {"error": {"message": "m", "type": "t"}},
        {"error": "m"},
        {"detail": "Not Found"},
        {"object": "error", "message": "m", "code": 400},
        {"message": "Unauthorized"},
        {},
        [],
        "",
        None,
        "{",
        '{"id": "c", "choi',
        "<html>",
        "Internal Server Error",
        b"\xff",
        "data: [DONE]\n\n",
        sse({"error": {"message": "m"}}),
        sse({"choices": [], "object": "", "prompt_filter_results": []}, CHUNK),
        sse(CHUNK),
        "data: {broken\n\n",
    ],
)
def test_a_lone_body_that_may_be_a_broken_completion(body: Any) -> None:
    assert endpoint(alone(body)) == "chat"
    if isinstance(body, dict | list):
        assert endpoint(alone(json.dumps(body))) == "chat"


def test_any_body_under_an_error_status_is_checked() -> None:
    assert endpoint(alone({"users": []}, status=500)) == "chat"
    assert other_api(alone(RESPONSE, status=500)) == "responses"


def test_lists_of_models_alone() -> None:
    assert endpoint(alone({"object": "list", "data": [MODEL]})) == "model_list"
    assert endpoint(alone({"object": "list", "data": []})) == "model_list"
    message = {"id": "chatcmpl-1-0", "role": "user", "content": "Hi"}
    assert endpoint(alone({"object": "list", "data": [message]})) == "message_list"


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"model": "m", "input": "Hi", "max_output_tokens": 9}, "responses"),
        ({"model": "m", "input": [{"role": "user", "content": "Hi"}]}, "responses"),
        ({"model": "text-embedding-3-small", "input": "Hi"}, "embeddings"),
        ({"model": "m", "input": ["a"], "encoding_format": "float"}, "embeddings"),
        ({"model": "omni-moderation-latest", "input": "Hi"}, "moderations"),
        ({"contents": [{"parts": []}]}, "gemini"),
        ({"contents": {"parts": []}}, "gemini"),
        ({"query": "q", "contents": {"text": True}}, "unknown"),  # a search of Exa
        ({"model": "m", "prompt": "Once"}, "text completions"),
        ({"model": "gpt-image-1", "prompt": "a cat"}, "images"),
        ({**ASKED, "max_tokens": 9, "system": "Be brief"}, "anthropic"),
        ({**ASKED, "tools": [{"name": "f", "input_schema": {}}]}, "anthropic"),
        ({**ASKED, "options": {"num_ctx": 9}}, "ollama"),
        ({"messages": [], "inferenceConfig": {}}, "bedrock"),
        ({"model": "m", "query": "q", "documents": []}, "rerank"),
        ({"input_file_id": "f", "endpoint": "/v1/x", "completion_window": "24h"}, "batches"),
        ({"resourceSpans": [{"resource": {}}]}, "telemetry"),
        (ASKED, None),
        ({**ASKED, "max_tokens": 9}, None),
        ({**ASKED, "max_completion_tokens": 9, "system": "Be brief", "max_tokens": 9}, None),
        ({"model": "m"}, None),
        ({}, None),
        ({"name": "x"}, "unknown"),
    ],
)
def test_a_lone_request(asked: Any, name: str | None) -> None:
    assert other_api(Exchange(Request(body=asked))) == name
    assert other_api(Exchange(Request(body=json.dumps(asked)))) == name
    # An error says nothing about the API, a completion says everything.
    assert other_api(alone({"error": {"message": "m"}}, asked, 400)) in (name, None)
    assert other_api(alone(ANSWER, asked)) is None


@pytest.mark.parametrize(
    "url", ["**REDACTED**", "https://h/api/v2/invoke", "<API_BASE>", "/proxy", "https://h/api/chat"]
)
def test_a_plain_completion_is_checked_under_any_address(url: str) -> None:
    for body in (WRONG, json.dumps(WRONG)):
        result = check_exchange(Exchange(Request("POST", url, {}, ASKED), Response(body=body)))
        assert "U02" in [finding.code for finding in result.findings]
    # With its request.
    asked = {**ASKED, "stream": True}
    exchange = Exchange(Request("POST", url, {}, asked), Response(body=json.dumps(ANSWER)))
    assert "E02" in [finding.code for finding in check_exchange(exchange).findings]


def test_a_request_is_plain_where_its_response_may_be_broken() -> None:
    def called(body: Any, asked: Any = ASKED, status: int = 200) -> str | None:
        return endpoint(Exchange(Request("POST", "/invoke", {}, asked), Response(status, {}, body)))

    assert called("{") == called({"error": "m"}) == called({}, status=500) == "chat"
    # The application's own server, and a path that is not there.
    assert called({"reply": "Hi"}) is None
    assert called("{", {"messages": []}) is None
    assert called({"detail": "Not Found"}, status=404) is None
    assert endpoint(Exchange(Request("POST", "/invoke", {}, ASKED))) is None
    # A placeholder says nothing.
    assert endpoint(Exchange(Request("POST", "**REDACTED**", {}, ASKED))) == "chat"
    azure = Request("POST", "**REDACTED**", {}, {"messages": []})
    assert endpoint(Exchange(azure, Response(404, {}, {"error": {"message": "m"}}))) == "chat"
    assert endpoint(Exchange(azure, Response(200, {}, {"reply": "Hi"}))) is None


def test_models_of_other_apis_under_a_path_of_ours() -> None:
    def listed(body: Any) -> str:
        return row_of(Exchange(Request("GET", "https://h/v1/models"), Response(body=body))).name

    assert listed({"data": [CLAUDE], "has_more": False}) == "anthropic"
    assert listed({"models": [{"name": "models/g", "supportedGenerationMethods": []}]}) == "gemini"
    # llama.cpp's list is one of both, and any other is one of ours, however broken.
    both = {"object": "list", "data": [MODEL], "models": [{"name": "m", "digest": ""}]}
    assert listed(both) == listed({"data": []}) == listed("{") == "model_list"


@pytest.mark.parametrize(
    ("media_type", "name"),
    [
        ("audio/mpeg", "audio"),
        ("Image/PNG", "images"),
        ("application/vnd.amazon.eventstream", "bedrock"),
        ("text/html; charset=utf-8", None),
        ("application/json", None),
    ],
)
def test_bodies_that_are_not_text(media_type: str, name: str | None) -> None:
    response = Response(200, {"Content-Type": media_type}, b"\x00\xff\x10")
    assert other_api(Exchange(None, response)) == name


@pytest.mark.parametrize(
    "path",
    [
        "/v1/traces",
        "/api/public/ingestion",
        "/api/public/otel/v1/traces",
        "/api/7/envelope/",
        "/runs/multipart",
        "/runs/0a1b2c3d-0000-4000-8000-000000000000",
        "/batch/",
        "/i/v0/e/",
        "/call/upsert_batch",
    ],
)
def test_telemetry_by_its_path(path: str) -> None:
    exchange = Exchange(Request("POST", f"https://h{path}"), Response(body={"status": 1}))
    assert other_api(exchange) == "telemetry"


def test_a_lone_answer_is_not_parsed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "_lenient", None)
    for body in (json.dumps(ANSWER), json.dumps(ANSWER).encode()):
        assert endpoint(alone(body)) == "chat"


def test_pieces_that_can_be_read_once_are_left_alone() -> None:
    pieces: Iterator[bytes] = iter([sse(RESPONSE).encode()])
    assert endpoint(Exchange(None, Response(pieces=pieces))) == "chat"
    assert next(pieces)
    chunks: Iterator[Any] = iter([RESPONSE])
    assert endpoint(Exchange(None, Response(chunks=chunks))) == "chat"
    assert next(chunks) is RESPONSE
    assert other_api(Exchange(None, Response(chunks=[RESPONSE]))) == "responses"


def test_what_a_test_passes_is_checked() -> None:
    assert "S01" in [finding.code for finding in check({"reply": "Hi"})]
    assert check(RESPONSE) == []
    assert check(alone({"reply": "Hi"})) == []
    for body in ({"reply": "Hi"}, RESPONSE, EMBEDDINGS):
        with pytest.raises(ContractError):
            assert_chat_completion(body)


def test_files_of_other_apis_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    write("f/a.json", json.dumps(RESPONSE))
    write("f/b.json", json.dumps({"type": "message", "role": "assistant", "content": []}))
    write("f/c.sse", sse(MESSAGE_START, names=True))
    write("f/d.json", json.dumps(ANSWER))
    write("f/e.json", json.dumps({"id": "modr-1", "results": [{"flagged": True}]}))
    status, out, err = run(capsys, "f")
    assert (status, err) == (0, "")
    assert out.startswith(
        "4 exchanges skipped: 2 anthropic, 1 responses, 1 moderations\n"
        "1 exchange checked in 5 files: "
    )


# -- damage ------------------------------------------------------------------------------

BLOCK = """\
- request:
    method: POST
    uri: {url}
    headers: {{}}
    body: '{body}'
  response:
    status: {{code: 200, message: OK}}
    headers: {{}}
    body: {{string: '{{}}'}}
"""


def block(text: str = "Hi", url: str = CHAT_URL) -> str:
    asked = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return BLOCK.format(url=url, body=json.dumps(asked))


HEAD = "version: 1\ninteractions:\n"
CONFLICTS = [
    (f"{HEAD}<<<<<<< HEAD\n{block()}=======\n{block('Ho')}>>>>>>> b\n", 3),
    (f"{HEAD}{block()}<<<<<<< HEAD\n=======\n{block('Ho')}>>>>>>> b\n", 12),
    (HEAD + block().replace("    body: {", "<<<<<<< a\n=======\n>>>>>>> b\n    body: {"), 11),
    ('{\n<<<<<<< a\n"version": 1,\n=======\n>>>>>>> b\n"interactions": []}\n', 2),
]


@pytest.mark.parametrize(("text", "number"), CONFLICTS)
def test_conflict_markers(text: str, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    name = write("c.yaml", text)
    expected = f"c.yaml: line {number}: a merge conflict is not resolved (<<<<<<<)"
    assert run(capsys, name)[::2] == (2, f"chatapi: {expected}\n")
    with pytest.raises(ReadError) as caught:
        Cassette(name)
    assert str(caught.value) == expected


def test_a_marker_inside_of_a_text_is_none() -> None:
    name = write("c.yaml", HEAD + block("a <<<<<<< b\\n<<<<<<< c"))
    assert len(Cassette(name).entries) == 1


def test_a_uri_that_is_broken_matches_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    name = write("c.yaml", HEAD + block(url="'http://[::1'") + block("Ho"))
    lookup = Lookup(Cassette(name), Matcher(Redactor()), test="", repeats=False)
    request = Request("POST", CHAT_URL, {}, lookup.entries[1].request.body)
    assert lookup.take(request) == 1
    write("bad.yaml", HEAD + block(url="'http://[::1'"))
    lookup = Lookup(Cassette("bad.yaml"), Matcher(Redactor()), test="", repeats=False)
    assert lookup.take(request) is None
    assert miss_of(lookup, request).differences[0][:2] == ("path", "http://[::1")
    status, _, err = run(capsys, name, "--format", "junit")
    assert (status, err) == (1, "")


# -- nesting -----------------------------------------------------------------------------

DEEP = "[" * 900 + "]" * 900


@pytest.mark.parametrize(
    ("name", "place"),
    [("d.json", "interaction 0: response: "), ("d.yaml", "line 11, column 207: not valid YAML: ")],
)
def test_nesting_of_900(name: str, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "d.yaml":
        text = HEAD + block().replace("    body: {string: '{}'}", f"    body: {DEEP}")
    else:
        request = {"method": "POST", "uri": CHAT_URL, "body": "{}"}
        item = {"request": request, "response": {"body": "DEEP"}}
        text = json.dumps({"interactions": [item]}).replace('"DEEP"', DEEP)
    write(name, text)
    status, _, err = run(capsys, name)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith(f"chatapi: {name}: {place}")
    assert err.endswith("nested deeper than 200 levels\n")
    with pytest.raises(ReadError, match=r"interaction 0: .*nested deeper than 200 levels"):
        Cassette(name).entries[0].interaction  # noqa: B018


# -- assembled logs ----------------------------------------------------------------------


def test_rules_about_the_wire_are_off_for_assembled_logs() -> None:
    asked = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
    failed = Response(500, {}, {"error": "m"})
    for response in (Response(body=json.dumps(WRONG)), failed, Response(chunks=[CHUNK])):
        wire = Exchange(Request("POST", CHAT_URL, {}, asked), response)
        logged = Exchange(Request("POST", CHAT_URL, {}, asked), response, assembled=True)
        found = [finding.code for finding in check_exchange(wire).findings]
        left = [finding.code for finding in check_exchange(logged).findings]
        assert left == [code for code in found if code[0] not in "ETXH"]
        assert left != found
    assert "U02" in [
        finding.code
        for finding in check_exchange(Exchange(None, Response(body=WRONG), assembled=True)).findings
    ]


def test_an_exchange_stays_assembled_with_another_request() -> None:
    logged = Exchange(None, Response(body=ANSWER), assembled=True)
    assert exchange_from(logged, ASKED).assembled


def test_assembled_logs_are_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write("log.jsonl", line(), line())
    real = reader_module.read_file

    def assembled(*arguments: Any, **more: Any) -> Iterator[Exchange]:
        for exchange in real(*arguments, **more):
            exchange.assembled = True
            yield exchange

    monkeypatch.setattr(reader_module, "read_file", assembled)
    remark = (
        "2 exchanges from assembled logs: their streams, headers and errors (T, E, X, H) were "
        "not recorded, so not checked"
    )
    assert " ".join(run(capsys, name)[1].split()).startswith(remark)
    data = json.loads(run(capsys, name, "--format", "json")[1])
    assert (data["exchanges"], data["assembled"]) == (2, 2)
    assert remark in run(capsys, name, "--format", "junit")[1]
