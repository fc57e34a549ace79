"""The file of settings, for both doors, and the baseline of known findings."""

from __future__ import annotations

import copy
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from inner_runs import run_here
from traffic import ANSWER

from pytest_chatapi.cli.main import main
from pytest_chatapi.config.checker import Checker, Globs
from pytest_chatapi.config.file import FILE_KEYS, Configuration, find
from pytest_chatapi.config.options import ROWS

OPENAI, OTHER = "https://api.openai.com", "https://dbc-1.cloud.databricks.net"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("CI", "FORCE_COLOR", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def write(name: str, *lines: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{text}\n" for text in lines), encoding="utf-8")
    return path


def line(*, total: int = 21, host: str = OPENAI, status: int = 200, **changes: Any) -> str:
    """An exchange; `total` other than 21 is U02, another `object` S03."""
    body = copy.deepcopy(ANSWER) | changes
    body["usage"]["total_tokens"] = total
    return json.dumps(
        {
            "request": {
                "method": "POST",
                "url": f"{host}/v1/chat/completions",
                "body": {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}]},
            },
            "response": {
                "status": status,
                "headers": {"content-type": "application/json"},
                "body": body,
            },
        }
    )


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        status = main(["check", *arguments])
    except SystemExit as stopped:  # argparse
        status = int(stopped.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def codes(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    _, out, _ = check(capsys, "--format", "json", *arguments)
    return [f["code"] for f in json.loads(out)["findings"] if f["level"] != "note"]


# -- the file ----------------------------------------------------------------------------


def test_the_nearest_file_wins() -> None:
    write("pyproject.toml", "[tool.chatapi]", "profile = 'openai'")
    write("a/pyproject.toml", "[project]", "name = 'chatapi'")
    write("a/b/pyproject.toml", "[tool.chatapi]", "profile = 'azure'")
    write("a/b/chatapi.toml", "profile = 'compatible'")
    write("a/b/c/pyproject.toml", "[tool.ruff]", "broken = ")  # does not name us: is not parsed
    assert find("a/b/c").values == {"profile": "compatible"}
    assert find("a").values == {"profile": "openai"}
    assert Path(find("a").file) == Path.cwd() / "pyproject.toml"
    assert find("/").values == {}


def test_values_are_those_of_the_rows() -> None:
    write(
        "chatapi.toml",
        'ignore = ["S10", "K"]',
        'select = "T"',
        "as-of = 2026-01-31",
        "strict = true",
        'exclude = "old"',
    )
    assert find(".").values == {
        "ignore": ["S10", "K"],
        "select": ["T"],
        "as_of": "2026-01-31",
        "strict": True,
        "exclude": ["old"],
    }
    assert list(FILE_KEYS) == [
        *("profile", "ignore", "strict", "map", "select", "as-of", "profiles"),
        *("per-file-ignores", "exclude", "prices", "quality-index", "baseline"),
    ]
    assert all(row.in_file for row in ROWS.values() if row.option)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\nignor = []", "2: unknown setting 'ignor': did you mean ignore?"),
        ("as_of = 1", "1: unknown setting 'as_of': did you mean as-of?"),
        ("chatapi_strict = 1", "1: unknown setting 'chatapi_strict': did you mean strict?"),
        ("zzz = 1", "1: unknown setting 'zzz': use profile, ignore, strict, map, select, as-of, "),
        (
            "record-mode = 'once'",
            "1: 'record-mode' is a setting of pytest: set chatapi_record_mode under "
            "[tool.pytest.ini_options]",
        ),
        ("cassette = 'x'", "1: unknown setting 'cassette': use profile, "),
        (
            "[tool.chatapi]\nstrict = true",
            "1: [tool.chatapi] is for pyproject.toml: here the settings have no header",
        ),
        ("strict = 'yes'", "1: strict must be true or false, not 'yes'"),
        ("ignore = [1]", "1: ignore must be a list of strings, not [1]"),
        ("ignore = ['S10,U02']", "1: ignore: unknown rule 'S10,U02'"),
        ("ignore = ['S99']", "1: ignore: unknown rule 'S99': did you mean S"),
        ("profile = 'x'", "1: profile: unknown profile 'x': use documented, "),
        ("as-of = '2026-13-01'", "1: as-of: '2026-13-01' is not a date: use YYYY-MM-DD"),
        ("as-of = 2026-01-31T10:00:00", "1: as-of must be a date such as 2026-01-31, not "),
        ("map = ''", "1: map: map request, response or both"),
        ("map = 'x'", "1: map: 'x' is not MEMBER=PATH"),
        ("profiles = 'openai'", '1: profiles must be a table such as {"*.example.com" = '),
        (
            "[profiles]\n'a.example' = 'openai'\n'https://b/' = 'openai'",
            "3: profiles: 'https://b/' is not a host: use a name such as *.example.com",
        ),
        ("profiles = {'a' = 3}", "1: profiles: 'a' must be a string, not 3"),
        (
            "strict = true\n[per-file-ignores]\n'a*' = ['S10']\n'b*' = ['S99']",
            "4: per-file-ignores: unknown rule 'S99'",
        ),
        ("per-file-ignores = {'a' = 3}", "1: per-file-ignores: 'a' must be a list of strings"),
        ("prices = 5", "1: prices must be a table such as "),
        (
            "[prices.'m-*']\ninput = 1\noutput = 2\n[prices.x]\ninput = 1",
            "4: prices: the price of 'x' must be a table with input and output, in USD per million "
            "tokens, and may have cached, cache_write, audio_in, audio_out",
        ),
        (
            "quality-index = {'m' = {value = 60}}",
            "1: quality-index: the quality index of 'm' must be a table with value, a number, and "
            "source, whose figure it is",
        ),
        ("strict = true\nignore = [\n", " not valid TOML: Invalid value (at end of document)"),
        ("strict = true\nignore == 3", "2:9: not valid TOML: Invalid value"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(
    capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    write("chatapi.toml", text)
    status, out, err = check(capsys, "x.jsonl")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"chatapi: chatapi.toml:{message}")


def test_a_file_that_cannot_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    Path("pyproject.toml").write_bytes(b"# \xff\n[tool.chatapi]\n")
    assert check(capsys, "x")[2] == "chatapi: pyproject.toml: is not UTF-8\n"
    write("pyproject.toml", "tool.chatapi = 3")
    assert check(capsys, "x")[2] == "chatapi: pyproject.toml: tool.chatapi must be a table, not 3\n"
    assert check(capsys, "--config", "no.toml", "x")[2].startswith(
        "chatapi: no.toml: cannot be read: "
    )
    write("a/pyproject.toml", "[tool.ruff]")
    assert check(capsys, "--config", "a/pyproject.toml", "x")[2] == (
        "chatapi: a/pyproject.toml: has no table [tool.chatapi]\n"
    )


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("bad_*.yaml", "tests/bad_1.yaml", "tests/good.yaml"),
        ("tests/*.yaml", "tests/a/b.yaml", "more/tests/a.yaml"),
        ("tests/**/x.yaml", "tests/x.yaml", "tests/ax.yaml"),
        ("tests/**/x.yaml", "tests/a/b/x.yaml", "x.yaml"),
        ("old", "tests/old/a.yaml", "tests/older/a.yaml"),
        ("tests/old/", "tests/old/a.yaml", "old/a.yaml"),
        ("./a.yaml", "a.yaml", "b/a.yaml"),
        ("a[01].yaml", "a1.yaml", "a2.yaml"),
        ("tests/test_a[gpt-4o].yaml", "tests/test_a[gpt-4o].yaml", "tests/test_a[b].yaml"),
        ("test_a[x-y].yaml", "tests/test_a[x-y].yaml", "tests/test_a[z].yaml"),
        ("../c/*.yaml", "../c/a.yaml", "a.yaml"),
        ("../c", "../c/d/a.yaml", "c/a.yaml"),
        ("a.yaml", "../c/a.yaml", "../a.yaml/b.yaml"),
    ],
)
def test_globs(pattern: str, yes: str, no: str) -> None:
    folder = str(Path.cwd() / "[x]" / "proj")  # a bracket in the way is not a pattern
    globs = Globs([pattern], folder)
    assert globs(f"{folder}/{yes}")
    assert not globs(f"{folder}/{no}")


def test_a_name_matches_below_the_folder_only() -> None:
    assert not Globs([Path.cwd().name], str(Path.cwd() / "a"))(Path.cwd() / "a" / "b.yaml")
    assert not Globs([Path.cwd().name], "/elsewhere")("b.yaml")
    assert not Globs([], ".")("a.yaml")


@pytest.mark.parametrize(
    ("url", "profile"),
    [
        ("https://A.Databricks.net/v1", "azure"),
        ("https://b.databricks.net/v1", "openai"),
        ("https://b.databricks.net:8000/v1", "openai"),
        ("http://localhost:8000/v1", "documented"),
        ("http://localhost:8001/v1", "compatible"),
        ("http://[broken/v1", "compatible"),
        ("/v1/chat/completions", "compatible"),
        ("", "compatible"),
    ],
)
def test_the_profile_of_a_host(url: str, profile: str) -> None:
    table = {
        "a.databricks.net": "azure",
        "*.Databricks.net": "openai",
        "localhost:8000": "documented",
    }
    values = {"profiles": table, "profile": "compatible"}
    assert Checker(Configuration("", values)).profile(url) == profile
    assert Checker(Configuration("", values), profile="azure").profile(url) == "azure"


# -- the command -------------------------------------------------------------------------


def test_the_command_reads_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    odd = write("tests/odd.jsonl", line(total=20, object="x"), line(object="x", host=OTHER))
    name = str(odd)
    assert codes(capsys, name) == ["S03", "U02", "S03"]
    assert check(capsys, "--strict", name)[0] == 1
    write("chatapi.toml", 'profiles = {"*.databricks.net" = "openai"}', 'ignore = ["U02"]')
    assert codes(capsys, name) == ["S03", "S03"]
    assert codes(capsys, "--profile", "compatible", "--ignore", "S03:$.object", name) == []
    assert codes(capsys, "--select", "U", name) == ["U02"]  # also if the file ignores it
    assert codes(capsys, "--isolated", name) == ["S03", "U02", "S03"]
    write("chatapi.toml", 'per-file-ignores = {"tests/*.jsonl" = ["S03", "U"]}', "strict = true")
    assert check(capsys, "--jobs", "2", name, str(write("b.jsonl", line())))[0] == 0
    write("chatapi.toml", 'profile = "compatible"', "strict = true", 'ignore = ["U02"]')
    assert check(capsys, name)[0] == 1
    write("other.toml", 'select = ["T"]')
    assert codes(capsys, "--config", "other.toml", name) == []
    status, _, err = check(capsys, "--config", "other.toml", "--isolated", name)
    assert (status, "not allowed with argument" in err) == (2, True)


def test_a_pattern_that_matches_nothing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    write("tests/a.jsonl", line(total=20))
    write("chatapi.toml", "[per-file-ignores]", '"a/*" = ["U"]', '"b/*" = ["S10"]')
    assert check(capsys, "tests")[2] == (
        "chatapi: chatapi.toml:2: no file matches 'a/*', which is relative to the folder of that "
        "file\n"
    )
    assert check(capsys, "--ignore", "U", "tests")[2] == ""


def test_what_is_excluded_is_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("good", "bad_1", "old/a", "old/b"):
        write(f"tests/{name}.jsonl", line(total=21 if name == "good" else 20))
    write("tests/old/x.dat", "")
    write("pyproject.toml", "[tool.chatapi]", 'exclude = ["bad_*", "tests/old"]')
    status, out, _ = check(capsys, "tests")
    assert (status, out) == (
        0,
        "3 files skipped: excluded by the settings\n1 exchange checked in 1 file: no findings\n",
    )
    assert check(capsys, "tests/bad_1.jsonl")[0] == 1  # what is named is read
    bad = io.TextIOWrapper(io.BytesIO(Path("tests/bad_1.jsonl").read_bytes()))
    monkeypatch.setattr(sys, "stdin", bad)
    assert check(capsys, "--exclude", "*", "-")[0] == 1
    assert "2 files checked" not in check(capsys, "--exclude", "good.jsonl", "tests")[1]
    assert check(capsys, "--exclude", "good.jsonl", "tests")[0] == 1
    status, _, err = check(capsys, "tests/old")
    assert (status, err) == (
        2,
        "chatapi: tests/old: nothing was checked: 2 files: excluded by the settings\n",
    )


def test_the_mapping_of_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    write("log.jsonl", json.dumps({"out": json.loads(line(total=20))["response"]["body"]}))
    write("chatapi.toml", 'map = "response=$.out"')
    assert codes(capsys, "log.jsonl") == ["U02"]


def test_the_settings_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    write(
        "pyproject.toml",
        "[tool.chatapi]",
        'ignore = ["S10"]',
        "strict = true",
        "as-of = 2026-01-31",
        "[tool.chatapi.per-file-ignores]",
        '"tests/a*" = ["U", "K09"]',
        '"tests/b*" = "S10"',
        '[tool.chatapi.prices."m-*"]',
        "input = 0.5",
        "output = 1.5",
    )
    arguments = ("--show-settings", "--ignore", "K", "--as-of", "2026-02-01")
    assert check(capsys, *arguments) == (
        0,
        """settings in pyproject.toml:
  profile           by host (default)
  ignore            S10, K (pyproject.toml:2, --ignore)
  strict            yes (pyproject.toml:3)
  map               none (default)
  select            all (default)
  as-of             2026-02-01 (--as-of)
  profiles          none (default)
  per-file-ignores  tests/a*: U, K09 (pyproject.toml:6)
                    tests/b*: S10 (pyproject.toml:7)
  exclude           none (default)
  prices            m-*: input 0.5, output 1.5 (pyproject.toml:8)
  quality-index     none (default)
  baseline          none (default)
""",
        "",
    )
    _, out, _ = check(capsys, "--show-settings", "--isolated", "--select", "S10")
    assert out.startswith("no settings file:\n  profile           by host (default)\n")
    assert "  select            S10 (--select)\n" in out
    _, out, _ = check(capsys, "--show-settings", "--select", "S10")
    assert "  ignore            none (default)\n" in out
    status, _, err = check(capsys)
    assert (status, "the following arguments are required: PATH" in err) == (2, True)


# -- the baseline ------------------------------------------------------------------------

KNOWN = """{
  "version": 1,
  "findings": {
    "tests/a.jsonl": {
      "S03:$.object": 1,
      "U02:$.usage.total_tokens": 2
    },
    "tests/b.jsonl": {
      "U02:$.usage.total_tokens": 1
    }
  }
}
"""


@pytest.fixture
def known(capsys: pytest.CaptureFixture[str]) -> Path:
    """Recordings with four findings, all of them in the baseline."""
    write("tests/b.jsonl", line(total=22))
    write("tests/a.jsonl", line(total=20), line(), line(total=23, object="x"))
    status, out, err = check(capsys, "tests", "--write-baseline")
    assert (status, err) == (0, "chatapi-baseline.json: wrote 4 findings in 2 files\n")
    assert out == (
        "4 known findings in the baseline\n4 exchanges checked in 2 files: no findings\n"
    )
    write("chatapi.toml", 'baseline = "chatapi-baseline.json"')
    return Path("chatapi-baseline.json")


def test_known_findings_are_only_counted(capsys: pytest.CaptureFixture[str], known: Path) -> None:
    assert known.read_text() == KNOWN
    lines = (line(total=99, object="x"), line(), line(), line(total=20))  # moved, and edited
    write("tests/a.jsonl", *lines)
    status, out, err = check(capsys, ".")
    assert (status, err) == (0, "")
    assert out == (
        "1 file skipped: not an HTTP recording\n"  # the settings, and not the baseline
        "4 known findings in the baseline\n5 exchanges checked in 2 files: no findings\n"
    )
    assert codes(capsys, "--isolated", "tests") == ["S03", "U02", "U02", "U02"]
    _, out, _ = check(capsys, "--format", "json", "tests")
    assert json.loads(out)["known"] == 4


def test_a_baseline_is_not_written_of_some_rules(
    capsys: pytest.CaptureFixture[str], known: Path
) -> None:
    status, _, err = check(capsys, "tests", "--write-baseline", "--select", "S")
    said = "chatapi: --write-baseline: leave out --select: it would forget all other rules\n"
    assert (status, err) == (2, said)
    assert known.read_text() == KNOWN


def test_one_more_finding_fails(capsys: pytest.CaptureFixture[str], known: Path) -> None:
    with open("tests/a.jsonl", "a") as file:
        file.write(f"{line(total=24)}\n{line(model='', object='x')}\n")
    status, out, _ = check(capsys, "tests")
    assert status == 1
    assert (
        "1 known finding in the baseline\n"
        "more findings than the baseline knows:\n"
        "  tests/a.jsonl: S03:$.object (2 found, 1 known)\n"
        "  tests/a.jsonl: U02:$.usage.total_tokens (3 found, 2 known)\n"
    ) in out
    assert [code for code in codes(capsys, "tests") if code in ("S03", "U02")] == [
        *("U02", "S03", "U02", "U02", "S03"),
    ]


def test_notes_are_in_no_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.jsonl", line(extra=1))  # S10 is a note
    assert check(capsys, "a.jsonl", "--write-baseline")[2].endswith("wrote 0 findings in 0 files\n")
    write("b.json", '{"version": 1, "findings": {"a.jsonl": {"S10:$.extra": 1}}}')
    assert check(capsys, "a.jsonl", "--baseline", "b.json")[1] == (
        "notes: S10 unknown-field (1); list: --select S10\n\n1 exchange checked in 1 file: 1 note\n"
    )
    # A warning of one host, a note of the other.
    write("a.jsonl", line(service_tier="x"), line(service_tier="x", host=OTHER))
    check(capsys, "a.jsonl", "--write-baseline")
    assert check(capsys, "a.jsonl", "--baseline", "chatapi-baseline.json")[1] == (
        "notes: S14 service-tier-unknown (1); list: --select S14\n\n"
        "1 known finding in the baseline\n"
        "2 exchanges checked in 1 file: 1 note\n"
    )


def test_stale_entries_are_told(capsys: pytest.CaptureFixture[str], known: Path) -> None:
    write("tests/a.jsonl", line(total=20))
    Path("tests/b.jsonl").unlink()
    status, out, _ = check(capsys, "tests")
    assert (status, out) == (
        0,
        "1 known finding in the baseline\n"
        "3 stale entries in the baseline (refresh: chatapi check --write-baseline PATH):\n"
        "  tests/a.jsonl: S03:$.object (gone)\n"
        "  tests/a.jsonl: U02:$.usage.total_tokens (1 of 2 left)\n"
        "  tests/b.jsonl: the file is gone (1 finding)\n"
        "1 exchange checked in 1 file: no findings\n",
    )
    github = check(capsys, "--format", "github", "tests")[1]
    assert github.startswith("::notice title=baseline::1 known finding in the baseline%0A3 stale")
    for form in ("sarif", "junit"):
        assert "3 stale entries" in check(capsys, "--format", form, "tests")[1]
    assert "S03:$.object (gone)" in check(capsys, "--format", "jsonl", "tests")[1]
    check(capsys, "tests", "--write-baseline")
    left = json.loads(known.read_text())["findings"]
    assert left == {"tests/a.jsonl": {"U02:$.usage.total_tokens": 1}}
    write("tests/a.jsonl", line())
    check(capsys, "tests", "--write-baseline")
    assert json.loads(known.read_text())["findings"] == {}


def test_many_stale_entries_are_folded(capsys: pytest.CaptureFixture[str], known: Path) -> None:
    data = json.loads(KNOWN)
    data["findings"] |= {f"gone/{number}.jsonl": {"U02:$": 1} for number in range(6)}
    known.write_text(json.dumps(data))
    assert (
        "  gone/4.jsonl: the file is gone (1 finding)\n  ... and 1 more\n"
        in check(capsys, "tests")[1]
    )


def test_a_part_of_the_recordings_says_nothing_of_the_rest(
    capsys: pytest.CaptureFixture[str], known: Path
) -> None:
    for arguments in (["tests/b.jsonl"], ["--select", "S", "tests"], ["--ignore", "U", "tests"]):
        status, out, _ = check(capsys, *arguments)
        assert (status, "stale" in out) == (0, False)
    with open("tests/a.jsonl", "w") as file:
        file.write("{damaged\n")
        file.write(f"{line()}\n")
    assert "stale" not in check(capsys, "tests")[1]
    check(capsys, "tests/b.jsonl", "--write-baseline")
    assert known.read_text() == KNOWN


def test_standard_input_is_in_no_baseline(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(line(total=20).encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    status, out, err = check(capsys, "-", "--write-baseline", "--baseline", "b.json")
    assert (status, err) == (1, "b.json: wrote 0 findings in 0 files\n")
    assert "U02" in out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no such baseline: write it with chatapi check --write-baseline PATH"),
        ("[]", "is not a baseline: delete it, or name another file"),
        ('{"version": 1, "findings": {"a": {"U02:$": true}}}', "is not a baseline: delete it"),
        (
            '{"version": 2, "findings": {}}',
            "has version 2, but this chatapi reads version 1: delete it and write it again ",
        ),
        ('{\n"version" 1}', ":2: is not a baseline: not valid JSON"),
    ],
)
def test_a_baseline_that_is_none(
    capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    write("a.jsonl", line())
    if text is not None:
        write("b.json", text)
    status, out, err = check(capsys, "--baseline", "b.json", "a.jsonl")
    assert (status, out) == (2, "")
    separator = "" if message.startswith(":") else ": "
    assert err.startswith(f"chatapi: b.json{separator}{message}")
    if text is not None:  # which may be any file
        assert check(capsys, "--baseline", "b.json", "--write-baseline", "a.jsonl")[0] == 2
        assert Path("b.json").read_text() == f"{text}\n"


# -- in pytest ---------------------------------------------------------------------------

TESTS = """
import httpx, pytest

def post(**more):
    body = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}]} | more
    return httpx.post("https://api.openai.com/v1/chat/completions", json=body)

@pytest.mark.chatapi
def test_known():
    post()

@pytest.mark.chatapi(ignore=["S03"])
def test_stub():
    post()

@pytest.mark.chatapi
def test_by_file(chat_contract):
    post()

def test_contract(chat_contract, chatapi_mock):
    if chat_contract.profile is None:
        pytest.skip("of the first run")
    assert (chat_contract.profile, chat_contract.as_of) == ("compatible", "2026-01-31")
    assert chat_contract.ignore == ("K09", "S")
    assert chatapi_mock.profile == "compatible"

@pytest.mark.vcr
def test_by_vcr():
    post()

@pytest.mark.chatapi
def test_refused(chatapi):
    assert post(temperature=9).status_code == 400
    assert {f.level for f in chatapi.findings if f.code[0] == "Q"} == {"note"}
"""


def cassette(name: str, body: Any, status: int = 200, **more: Any) -> None:
    asked = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}], **more}
    kind = {"content-type": ["application/json"]}
    interaction = {
        "request": {
            "method": "POST",
            "uri": f"{OPENAI}/v1/chat/completions",
            "headers": kind,
            "body": json.dumps(asked),
        },
        "response": {
            "status": {"code": status, "message": ""},
            "headers": kind,
            "body": {"string": json.dumps(body)},
        },
    }
    # JSON is YAML.
    write(
        f"cassettes/test_it/{name}.yaml", json.dumps({"version": 1, "interactions": [interaction]})
    )


def test_the_plugin_reads_it_too(pytester: pytest.Pytester) -> None:
    odd = ANSWER | {"object": "x"}
    for name in ("known", "stub", "by_file", "by_vcr"):
        cassette(f"test_{name}", odd | ({"choices": 3} if name == "by_file" else {}))
    refusal = {"message": "m", "type": "invalid_request_error", "param": None, "code": None}
    cassette("test_refused", {"error": refusal}, 400, temperature=9)
    write("test_it.py", TESTS)
    write("logs/a.jsonl", line(total=20), line(object="x", host=OTHER))
    write("logs/old/b.jsonl", line(total=20))
    data = {"logs/a.jsonl": {"U02:$.usage.total_tokens": 1}}
    data["cassettes/test_it/test_known.yaml"] = {"S03:$.object": 1}
    write("base.json", json.dumps({"version": 1, "findings": data}))
    write(
        "chatapi.toml",
        'ignore = ["Q17", "H01"]',
        'profiles = {"*.databricks.net" = "documented"}',
        'exclude = ["old"]',
        'baseline = "base.json"',
        "[per-file-ignores]",
        '"cassettes/test_it/test_by_*" = ["S"]',
    )
    flags = ("--chatapi-cassettes", "logs", ".", "-o", "chatapi_check_vcr=true")
    result = run_here(pytester, *flags)
    result.assert_outcomes(passed=6, failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*error S03 *",
            "1 file skipped: excluded by the settings",
            "1 known finding in the baseline",
            "2 recorded exchanges checked: 1 error: S03 object-constant (1)",
        ]
    )
    assert result.outlines.count("1 known finding in the baseline") == 2  # also of a replay
    write(
        "chatapi.toml",
        'profile = "compatible"',
        'map = "response=$.out"',
        'ignore = ["K09"]',
        "as-of = 2026-01-31",
        "[per-file-ignores]",
        '"test_it.py" = ["S"]',
        '"logs/a*" = ["S"]',
    )
    write("logs/mapped.jsonl", json.dumps({"out": ANSWER}))
    which = "contract or vcr or mapped or 1"
    result = run_here(pytester, *flags, "-k", which)
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["2 recorded exchanges checked: no findings"])
    ini = str(write("b/p.ini", "[pytest]"))
    result = run_here(pytester, "-o", "chatapi_baseline=no.json", "-c", ini)
    result.stderr.fnmatch_lines(["ERROR: chatapi: b/no.json: there is no such baseline: write *"])
    write("chatapi.toml", "ignor = 3")
    result = run_here(pytester)
    result.stderr.fnmatch_lines(
        ["ERROR: chatapi: chatapi.toml:1: unknown setting 'ignor': did you mean ignore?"]
    )
