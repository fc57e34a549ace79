"""The report of a run: its JSON, its other formats, failures that are known, and a replay."""

from __future__ import annotations

import copy
import json
import re
import shlex
import stat
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from conformance_reports import FEW, hostile, problems_of, reported
from conformance_servers import KEY, MODEL, URL, Answered

from pytest_chatapi import __version__
from pytest_chatapi.cli import conform
from pytest_chatapi.cli.main import main
from pytest_chatapi.conformance.formats import FORMATS
from pytest_chatapi.conformance.page import page
from pytest_chatapi.conformance.probe import Verdict
from pytest_chatapi.conformance.report import (
    About,
    badge_of,
    curl,
    shown_headers,
    text_of,
)
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.redaction.redactor import Redactor


@pytest.fixture(scope="module", name="recorded")
def recorded_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, JSONObject]:
    """A folder of recordings, and the report of the run that made them."""
    folder = tmp_path_factory.mktemp("recorded")
    return folder, reported(FEW, hostile, folder, declared=frozenset({"logprobs"}))


@pytest.fixture(name="report")
def own_report(recorded: tuple[Path, JSONObject]) -> JSONObject:
    """The report, for the test to change."""
    return copy.deepcopy(recorded[1])


def replay(folder: Path, *options: str | Path) -> int:
    return main(["conform", "replay", str(folder), *map(str, options)])


# -- JSON ----------------------------------------------------------------------------------------


def test_a_real_report_is_as_the_schema_says(report: JSONObject) -> None:
    assert problems_of(report) == []
    verdicts = {check["verdict"] for check in report["checks"]}
    assert verdicts == {*Verdict} - {"harness-error"}
    assert report["summary"]["checks"] == len(report["checks"])
    assert sum(report["summary"][verdict] for verdict in Verdict) == len(report["checks"])
    of_checks = sum(check["requests"] for check in report["checks"])
    assert report["summary"]["requests"] == of_checks + 3  # the plainest: whole, streamed, cut
    for check in report["checks"]:
        assert len(check["exchange"]) == check["requests"]


def test_a_replay_gives_the_report_of_the_live_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every = reported((), hostile, tmp_path / "every")
    repeated = reported(("tools.required", "text.basic"), None, tmp_path / "repeated", repeat=3)
    for live, folder, status in ((every, "every", 1), (repeated, "repeated", 0)):
        assert replay(tmp_path / folder, "--format", "json") == status
        assert json.loads(capsys.readouterr().out) == live


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (None, "rec: has no conform.json: record with chatapi conform server --record"),
        ([], "rec/conform.json: cannot be read: "),
        ({"repeat": None}, "rec/conform.json: $.repeat: missing or wrong: record again"),
        (
            {"checks": ["text.basic.whole", "old.one"]},
            'rec/conform.json: $.checks: not a check of pytest-chatapi {}: "old.one"; record again',
        ),
    ],
)
def test_recordings_that_cannot_be_checked_again(
    change: Any,
    said: str,
    recorded: tuple[Path, JSONObject],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rec").mkdir()
    index = json.loads((recorded[0] / "conform.json").read_text(encoding="utf-8"))
    if change is not None:
        changed = {**index, **change} if isinstance(change, dict) else change
        Path("rec", "conform.json").write_text(json.dumps(changed), encoding="utf-8")
    assert replay(Path("rec")) == 2
    assert capsys.readouterr().err.startswith(f"chatapi: {said.format(__version__)}")


def test_the_key_is_in_no_report_and_no_recording(
    recorded: tuple[Path, JSONObject], report: JSONObject
) -> None:
    folder, _ = recorded
    texts = [render(report) for render in FORMATS.values()]
    texts += [file.read_text(encoding="utf-8") for file in folder.iterdir()]
    assert [text for text in texts if KEY in text] == []
    assert "REDACTED" in texts[1]


def test_half_a_key_is_not_quoted() -> None:
    def repeats_the_key(answered: Answered) -> None:
        message = "x" * 70 + KEY
        answered.status, answered.headers["content-type"] = 403, "application/json"
        answered.body = json.dumps({"error": {"message": message}}).encode()

    report = reported(("text.basic",), repeats_the_key)
    assert "xxx" in report["checks"][0]["got"]
    assert KEY[:6] not in json.dumps(report)


# -- text ----------------------------------------------------------------------------------------


def test_text_has_a_table_then_failures_then_reasons(report: JSONObject) -> None:
    report["checks"] = [c for c in report["checks"] if c["id"] != "tools.required.whole"]
    text = text_of(report)
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert "\x1b" not in text
    table, _, rest = text.partition("\nFAIL ")
    assert table.splitlines()[3:] == [
        "Transport and models                        whole             stream",
        "  transport.wrong-method                    non-strict",
        "",
        "Text                                        whole             stream",
        "  text.basic                                pass              pass",
        "",
        "Tools                                       whole             stream",
        "  tools.required                                              FAIL",
        "",
        *table.splitlines()[12:],
    ]
    assert rest.startswith("tools.required.stream: ")
    assert "  sent\n    curl -isN http://127.0.0.1:1/v1/chat/completions \\\n      -H " in rest
    assert '-H "authorization: Bearer $OPENAI_API_KEY" \\\n' in rest
    assert '  received 200 text/event-stream; charset=utf-8\n    data: {"id": "chatcmpl-1"' in rest
    assert "\nunsupported\n  declared\n    logprobs" in rest
    assert "\nnot exercised\n  no rate limit was met\n    errors.rate-limit\n" in rest
    assert "\nnon-strict\n  a GET has an unusual status (expected 404 or 405; got 418)\n" in rest


def test_colour_adds_nothing_but_colour(
    recorded: tuple[Path, JSONObject],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    replay(recorded[0])
    coloured = capsys.readouterr().out
    replay(recorded[0], "-o", tmp_path / "report.txt")
    monkeypatch.setenv("NO_COLOR", "1")
    replay(recorded[0])
    plain = capsys.readouterr().out
    assert "\x1b[31;1mFAIL\x1b[0m \x1b[1mtools.required" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    assert (tmp_path / "report.txt").read_text(encoding="utf-8") == plain


def test_the_frames_about_a_finding_are_shown(report: JSONObject) -> None:
    [check] = [c for c in report["checks"] if c["id"] == "tools.required.stream"]
    report["checks"] = [check]
    exchange = report["exchanges"][check["exchange"][-1]]
    exchange["body"] = "".join(f"data: {number}\n\n" for number in range(40))
    finding = {"code": "T02", "name": "n", "level": "error", "profile": "p", "source": None}
    finding |= {"chunk": 20, "path": "$.id", "expected": "a", "got": "b", "message": "m"}
    check["findings"] = [finding, finding]
    text = text_of(report)
    assert (
        text.count("error T02 n: m\n  at       $.id in chunk 20\n  expected a\n  got      b") == 1
    )
    assert "    ... 19 lines before\n    data: 19\n" in text
    assert "    data: 22\n    ... and 17 more lines\n" in text


def test_a_prompt_that_is_to_be_too_long_is_not_shown_whole(report: JSONObject) -> None:
    [check] = [c for c in report["checks"] if c["id"] == "tools.required.whole"]
    report["checks"] = [check]
    report["exchanges"][check["exchange"][-1]]["curl"] = "curl \\\n" + "x" * 1500
    text = text_of(report)
    assert "    " + "x" * 1000 + "... 500 more characters, as --format json has them\n" in text


# -- curl ----------------------------------------------------------------------------------------

ABOUT = About(
    "http://h/v1", "m", "2026-06-01", key_variable="K", headers={"authorization": "Bearer $K"}
)
JSON_TYPE = {"content-type": "application/json"}


def test_curl_sends_json_again() -> None:
    body = {"messages": [{"content": 'It\'s "a"\nb, c  d \u00fc' + " word" * 30}], "n": [1, 2.5]}
    command = curl(("POST", "/chat/completions", json.dumps(body).encode(), JSON_TYPE), ABOUT)
    *words, sent = shlex.split(command.replace("\\\n", ""))
    assert words == [
        *("curl", "-isN", "http://h/v1/chat/completions", "-H", "authorization: Bearer $K"),
        *("-H", "content-type: application/json", "--data-raw"),
    ]
    assert json.loads(sent) == body
    assert '-H "authorization: Bearer $K"' in command  # which a shell fills in


@pytest.mark.parametrize(
    ("call", "rest"),
    [
        (("GET", "/models", None, {}), ' \\\n  -H "authorization: Bearer $K"'),
        (("GET", "/models", None, {"authorization": ""}), ""),
        (
            ("GET", "/models", None, {"authorization": "no $(x)"}),
            " \\\n  -H 'authorization: no $(x)'",
        ),
    ],
)
def test_curl_has_the_headers_of_the_request(call: Any, rest: str) -> None:
    assert curl(call, ABOUT) == f"curl -isN http://h/v1/models{rest}"


@pytest.mark.parametrize(
    ("method", "body", "first", "last"),
    [
        ("POST", b"", "curl -isN http://h/v1/x", "--data-raw ''"),
        ("PUT", b"{'", "curl -isN -X PUT http://h/v1/x", "--data-raw '{'\"'\"''"),
        ("POST", b"{\n'\\", "curl -isN http://h/v1/x", "--data-raw $'{\\n\\'\\\\'"),
    ],
)
def test_curl_sends_what_is_not_json_as_it_is(
    method: str, body: bytes, first: str, last: str
) -> None:
    lines = curl((method, "/x", body, {}), ABOUT).split(" \\\n  ")
    assert [lines[0], *lines[2:]] == [first, "-H content-type:", last]


def test_the_name_of_a_variable_is_not_run() -> None:
    about = About("http://h", "m", "d", key_variable="$(x)", headers={"a": "Bearer $$(x)"})
    assert "-H 'a: Bearer $$(x)'" in curl(("GET", "/", None, {}), about)


def test_secret_headers_of_the_user_are_not_shown() -> None:
    headers = {"authorization": "Basic abc", "api-key": "12", "x-team": "red"}
    shown = shown_headers(headers, "K", Redactor(environ={}))
    assert shown == {"authorization": "REDACTED", "api-key": "REDACTED", "x-team": "red"}


# -- other formats -------------------------------------------------------------------------------


def test_the_command_has_all_formats() -> None:
    assert tuple(FORMATS) == conform.FORMATS


def test_junit(report: JSONObject) -> None:
    [check] = [c for c in report["checks"] if c["id"] == "text.basic.stream"]
    check["verdict"] = "harness-error"
    [suite] = ElementTree.fromstring(FORMATS["junit"](report))
    outcomes = {case.get("name"): [child.tag for child in case] for case in suite}
    assert outcomes["text.basic.whole"] == []
    assert outcomes["tools.required.whole"] == ["failure"]
    assert outcomes["errors.rate-limit"] == ["skipped"]
    assert outcomes["text.basic.stream"] == ["error"]
    tags = [tag for of_case in outcomes.values() for tag in of_case]
    counts = {"failures": "failure", "errors": "error", "skipped": "skipped"}
    assert {name: int(suite.get(name, "")) for name in counts} == {
        name: tags.count(tag) for name, tag in counts.items()
    }
    assert int(suite.get("tests", "")) == len(report["checks"])


def test_github(report: JSONObject) -> None:
    *errors, notice = FORMATS["github"](report).splitlines()
    assert [line.partition("::FAIL")[0] for line in errors] == [
        "::error title=tools.required.whole%3A fail",
        "::error title=tools.required.stream%3A fail",
    ]
    assert notice.startswith(f"::notice title=conformance of {MODEL}::{report['summary']['badge']}")
    assert "%0Aerrors.rate-limit: not-exercised: no rate limit was met" in notice


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"pass": 41, "not-exercised": 6, "unsupported": 3}, "41/47 (6 not exercised)"),
        ({"pass": 41}, "41/41"),
        (
            {"fail": 1, "non-strict": 2, "not-exercised": 3, "harness-error": 4},
            "0/10 (1 failed, 2 non-strict, 3 not exercised, 4 not run)",
        ),
    ],
)
def test_badge(counts: dict[str, int], text: str) -> None:
    summary = {**dict.fromkeys(Verdict, 0), **counts, "checks": sum(counts.values())}
    assert badge_of(summary) == text
    assert FORMATS["badge"]({"summary": {"badge": text}}) == f"{text}\n"


# -- HTML ----------------------------------------------------------------------------------------


class Parsed(HTMLParser):
    """The tags and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def each(self, name: str) -> Iterator[str]:
        return (value for _, attrs in self.tags if (value := attrs.get(name)) is not None)


def test_the_page_has_each_verdict_and_no_markup_of_the_server(report: JSONObject) -> None:
    parsed = Parsed(page([("one", report), ("two", report)]))
    tags = {tag for tag, _ in parsed.tags}
    assert tags.isdisjoint({"script", "img", "link", "iframe", "object", "form"})
    assert list(parsed.each("src")) == []
    [policy] = [each for each in parsed.each("content") if "-src" in each]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-\S+'; base-uri 'none'; form-action 'none'", policy
    )
    ids = list(parsed.each("id"))
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in parsed.each("href")} == {*ids} - {"hide"}
    assert len(ids) - 1 == 2 * 2 * len(report["checks"])
    assert '<script>document.title=\\"ran\\"</script>' in parsed.text
    assert "\x1b" not in parsed.text
    for word in ("pass", "non-strict", "fail", "unsupported", "not exercised", "error"):
        assert f" {word}" in parsed.text


def test_a_check_that_only_one_run_has(report: JSONObject) -> None:
    other = copy.deepcopy(report)
    [check] = [c for c in other["checks"] if c["id"] == "errors.rate-limit"]
    check |= {"id": "future.thing", "capability": "future", "mode": "-"}
    parsed = Parsed(page([("one", report), ("two", other)]))
    assert parsed.text.count("not run") == 2
    assert "future.thing" in parsed.text


def test_matrix_names_runs_by_their_files(
    report: JSONObject, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / "a" / "vllm.json", tmp_path / "b" / "vllm.json", tmp_path / "sglang.json"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(report), encoding="utf-8")
    assert main(["conform", "matrix", *map(str, paths), "-o", str(tmp_path / "m.html")]) == 0
    assert main(["conform", "matrix", *map(str, paths)]) == 0
    out = capsys.readouterr().out
    assert out == (tmp_path / "m.html").read_text(encoding="utf-8")
    names = re.findall("<strong>(.*?)</strong>", out)
    assert names == [str(paths[0]), str(paths[1]), "sglang"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("[", "r.json: is not JSON: Expecting value: line 1 column 2 (char 1)"),
        ("[]", "r.json: is not a report of version 1: write one with chatapi conform ... "),
        ({"version": 2}, "r.json: is not a report of version 1: write one"),
        (
            {"profile": None},
            "r.json: $.profile: not as schemas/conformance.json says: None is ",
        ),
        (
            {"exchanges": []},
            "r.json: $.checks[].exchange: not as schemas/conformance.json says: an index that ",
        ),
    ],
)
def test_matrix_refuses_what_is_not_a_report(
    change: Any,
    said: str,
    report: JSONObject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    text = change if isinstance(change, str) else json.dumps({**report, **change})
    Path("r.json").write_text(text, encoding="utf-8")
    assert main(["conform", "matrix", "r.json"]) == 2
    assert capsys.readouterr().err.startswith(f"chatapi: {said}")


# -- known failures ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '[failures]\n"tools.required" = "the model calls nothing: #7"\n',
        '[failures]\ntools.required = "the model calls nothing: #7"\n',
        '[failures.tools.required]\nwhole = "the model calls nothing: #7"\n'
        'stream = "the model calls nothing: #7"\n',
    ],
)
def test_known_failures_do_not_fail_the_run(
    text: str,
    recorded: tuple[Path, JSONObject],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    known = tmp_path / "known.toml"
    known.write_text(text, encoding="utf-8")
    assert replay(recorded[0]) == 1
    capsys.readouterr()
    assert replay(recorded[0], "--expected", known) == 0
    shown = capsys.readouterr().out
    assert "  tools.required                            FAIL *            FAIL *\n" in shown
    assert "\nknown failures *\n" in shown
    assert "(known: the model calls nothing: #7)" in " ".join(shown.split())
    assert "FAIL tools" not in shown
    assert ", 2 known; " in " ".join(shown.split())
    assert replay(recorded[0], "--expected", known, "--format", "junit") == 0
    assert 'message="known failure: the model calls nothing: #7"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "now"),
    [
        ("text.basic.whole", "pass"),
        ("transport.wrong-method", "non-strict"),
        ("logprobs.content.whole", "unsupported"),
    ],
)
def test_a_known_failure_that_is_none_fails_the_run(
    name: str,
    now: str,
    recorded: tuple[Path, JSONObject],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if name.startswith("logprobs"):
        name = next(c["id"] for c in recorded[1]["checks"] if c["capability"] == "logprobs")
    known = tmp_path / "known.toml"
    known.write_text(f'[failures]\ntools.required = "r"\n"{name}" = "#8"\n', encoding="utf-8")
    assert replay(recorded[0], "--expected", known) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert f"STALE {name}: known as a failure (#8), but is {now}: remove its entry" in shown
    replay(recorded[0], "--expected", known, "--format", "github")
    assert f"::error title={name}%3A {now}::STALE" in capsys.readouterr().out


def test_what_was_not_exercised_may_still_be_a_known_failure(
    recorded: tuple[Path, JSONObject], tmp_path: Path
) -> None:
    known = tmp_path / "known.toml"
    known.write_text(
        '[failures]\ntools.required = "r"\n"errors.rate-limit" = "r"\n', encoding="utf-8"
    )
    assert replay(recorded[0], "--expected", known) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        ("[failures", "not valid TOML: "),
        ("", "has no table [failures]"),
        ("failures = 1", "has no table [failures]"),
        ("[failure]", "'failure' is not a known table: did you mean failures?"),
        ("[checks]\n", "'checks' is not a known table: list checks below [failures]"),
        (
            '[failures]\n"tools.requierd" = "r"',
            "'tools.requierd' is not a check: did you mean tools.required?",
        ),
        (
            '[failures]\n"tools.required" = " "',
            'tools.required has no reason: write "tools.required" = "why it fails"',
        ),
        ("[failures]\ntools.required = {}", "tools.required has no reason: write "),
    ],
)
def test_the_file_of_known_failures_is_looked_at_first(
    text: str | None,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("known.toml").write_text(text, encoding="utf-8")
    # There is no server, which nobody finds out.
    command = ["conform", "server", URL, "--model", "m", "--expected", "known.toml"]
    assert main(command) == 2
    assert capsys.readouterr().err.startswith(f"chatapi: known.toml: {said}")


# -- the file ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (".", ".: cannot be written: it is a folder, name a file in it"),
        ("no/report.json", "no/report.json: cannot be written: "),
    ],
)
def test_a_report_that_cannot_be_written_costs_no_request(
    file: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["conform", "server", URL, "--model", "m", "-o", file]) == 2
    assert capsys.readouterr().err.startswith(f"chatapi: {said}")


def test_the_report_replaces_a_file_as_a_whole(
    recorded: tuple[Path, JSONObject], tmp_path: Path
) -> None:
    target, link = tmp_path / "report.json", tmp_path / "link.json"
    target.write_text("old", encoding="utf-8")
    link.symlink_to(target)
    before = target.open(encoding="utf-8")
    with before:
        assert replay(recorded[0], "--format", "json", "-o", link) == 1
        assert before.read() == "old"
    assert link.is_symlink()
    assert json.loads(target.read_text(encoding="utf-8")) == recorded[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "report.json"]


def test_a_device_stays_a_device(recorded: tuple[Path, JSONObject]) -> None:
    assert replay(recorded[0], "-o", "/dev/null") == 1
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
