"""`chatapi check --rates`: logs of many exchanges on the command line."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from traffic import ANSWER

from pytest_chatapi import __version__
from pytest_chatapi.cli import jobs as jobs_module
from pytest_chatapi.cli.main import main
from pytest_chatapi.config.checker import Checker
from pytest_chatapi.config.file import Configuration
from pytest_chatapi.errors import SettingError
from pytest_chatapi.logs import engines
from pytest_chatapi.logs import files as files_module
from pytest_chatapi.logs.files import FilePart, FileTask
from pytest_chatapi.logs.rates import Rates

START = 1793491200
Run = Callable[..., tuple[int, str, str]]


def litellm(at: int, *, is_wrong: bool = False, **more: Any) -> dict[str, Any]:
    """A row of LiteLLM's StandardLoggingPayload, an hour after the one before."""
    usage = {**ANSWER["usage"]}
    usage["total_tokens"] += is_wrong
    return {
        "id": f"chatcmpl-{at}",
        "call_type": "acompletion",
        "status": "success",
        "api_base": "http://vllm-prod:8000/v1",
        "model": ANSWER["model"],
        "startTime": START + at * 3600.0,
        "messages": [{"role": "user", "content": "Hi"}],
        "model_parameters": {},
        "response": {**ANSWER, "id": f"chatcmpl-{at}", "usage": usage},
        **more,
    }


def text_of(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


# Ten days, and from the sixth on each eighth row is wrong.
ROWS = [litellm(at, is_wrong=at >= 120 and at % 8 == 0) for at in range(240)]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        status = main(["check", "--isolated", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def as_json(run: Run, *arguments: object) -> Any:
    _, out, _ = run("--format", "json", *arguments)
    return json.loads(out)


def test_the_report(run: Run) -> None:
    Path("log.jsonl").write_text(text_of(ROWS))
    status, out, err = run("--rates", "log.jsonl")
    lines = out.splitlines()
    assert (status, err) == (1, "")
    assert max(map(len, lines)) <= 80
    assert lines[:3] == [
        "error U02 usage-total: 15 of 240 rows, 6.2% (3.8% to 10%)",
        "  seen     2026-11-06 00:00 to 2026-11-10 16:00 UTC",
        "  by       vllm-prod:8000 gpt-5.2: 15 of 240 rows, 6.2% (3.8% to 10%)",
    ]
    assert "  U02 at vllm-prod:8000 (gpt-5.2) went from 0% to 12% on 2026-11-06" in lines
    assert lines[-2:] == [
        "240 rows checked in 1 file, 2026-11-01 to 2026-11-10: 1 rate too high",
        "explain: chatapi rules U02; allow: --max-rate U02=10%",
    ]
    at = lines.index(
        "not exercised by any row: stream life cycle, event-stream framing, tool calls,"
    )
    assert lines[at + 1] == "  structured output, logprobs, errors, headers"
    at = lines.index("  example  $.usage.total_tokens: the total is 1 too high")
    assert all(line.startswith("           log.jsonl:") for line in lines[at + 1 : at + 4])


TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
CHOICE = ANSWER["choices"][0]
CALLING = {**CHOICE["message"], "content": None, "tool_calls": [CALL]}


TOKEN = {"token": "{}", "logprob": -0.1, "bytes": [123, 125], "top_logprobs": []}


def batch(choice: dict[str, Any]) -> dict[str, Any]:
    """A line of OpenAI's batch output, which does not have the request."""
    answer = {"status_code": 200, "request_id": "r", "body": {**ANSWER, "choices": [choice]}}
    return {"id": "b", "custom_id": "c", "response": answer, "error": None}


def answered(parameters: dict[str, Any], **choice: Any) -> dict[str, Any]:
    message = {**CHOICE["message"], "content": "{}"}
    response = {**ANSWER, "choices": [{**CHOICE, "message": message, **choice}]}
    messages = [{"role": "user", "content": "As JSON."}]
    return litellm(1, messages=messages, model_parameters=parameters, response=response)


@pytest.mark.parametrize(
    ("code", "could"),
    [
        ("C03", answered({"tools": TOOLS})),
        ("C03", answered({"functions": [{"name": "look"}]})),
        ("C03", batch({**CHOICE, "message": CALLING, "finish_reason": "tool_calls"})),
        ("J01", answered({"response_format": {"type": "json_object"}})),
        ("L03", answered({"logprobs": True}, logprobs={"content": [TOKEN], "refusal": None})),
    ],
)
def test_rows_that_could_not_have_a_finding_are_no_evidence(
    run: Run, code: str, could: dict[str, Any]
) -> None:
    Path("log.jsonl").write_text(text_of(ROWS[:2]))
    _, out, _ = run("--max-rate", f"{code}=1%", "log.jsonl")
    assert f"  {code} at most 1%: not exercised, no row could have it\n" in out
    Path("log.jsonl").write_text(text_of([*ROWS[:2], could]))
    assert as_json(run, "--max-rate", f"{code}=1%", "log.jsonl")["limits"][0]["rows"] == 1


def test_rows_that_do_not_show_usage_are_no_evidence_about_it(run: Run) -> None:
    asked = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    Path("log.jsonl").write_text(text_of([{"request": asked, "response": "Hi"}] * 4000))
    _, out, _ = run("--max-rate", "U02=0.1%", "--max-rate", "S07=0.1%", "log.jsonl")
    for code in ("U02", "S07"):
        assert f"  {code} at most 0.1%: not exercised, no row could have it\n" in out
    assert "not exercised by any row: usage, stream life cycle, event-stream framing," in out


@pytest.mark.parametrize(
    ("code", "choice"),
    [
        ("C08", {"finish_reason": "tool_calls"}),
        ("C09", {"message": CALLING, "finish_reason": "tool_calls"}),
        ("L05", {"logprobs": {"content": [TOKEN], "refusal": None}}),
    ],
)
def test_what_nobody_asked_for_is_counted_in_all_rows(
    run: Run, code: str, choice: dict[str, Any]
) -> None:
    rows = [*(answered({}) for _ in range(400)), answered({}, **choice)]
    Path("log.jsonl").write_text(text_of(rows))
    (limit,) = as_json(run, "--max-rate", f"{code}=2%", "log.jsonl")["limits"]
    assert (limit["code"], limit["says"], limit["rows"]) == (code, "within", 401)


def test_rows_whose_tools_are_unknown_are_no_evidence_about_their_names(run: Run) -> None:
    converted = answered({"tools": [{"name": "look", "input_schema": {"type": "object"}}]})
    Path("log.jsonl").write_text(text_of([converted]))
    limits = as_json(run, "--max-rate", "C09=1%", "--max-rate", "U02=1%", "log.jsonl")["limits"]
    assert {limit["code"]: limit["rows"] for limit in limits} == {"C09": 0, "U02": 1}


def test_notes_are_counted_unless_selected(run: Run) -> None:
    asked = {"startTime": None, "model_parameters": {"max_tokens": 5}}
    response = {**ANSWER, "created": None}
    Path("log.jsonl").write_text(text_of([litellm(1, response=response, **asked)]))
    _, out, _ = run("--rates", "log.jsonl")
    assert "notes: Q13 deprecated-parameter (1); list: --select Q13\n" in out
    assert "1 row without a time, so of no day\n" in out
    _, out, _ = run("--rates", "--select", "Q13", "log.jsonl")
    assert out.startswith("note Q13 deprecated-parameter: 1 of 1 row, 100% (21% to 100%)\n")
    assert "notes:" not in out


def test_rows_of_nobody_are_counted(run: Run) -> None:
    """Their rate is that of all of them, in which one bad model may be hidden."""
    nobody = {"model": None, "api_base": None, "response": {**ANSWER, "model": None}}
    Path("log.jsonl").write_text(text_of([ROWS[0], litellm(1, **nobody), litellm(2, **nobody)]))
    _, out, _ = run("--rates", "log.jsonl")
    assert "2 rows without provider and model, so rated together\n" in out


def test_one_process_imports_nothing_for_several(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(text_of(ROWS[:1]))
    code = (
        "import sys; from pytest_chatapi.cli.main import main\n"
        "assert main(['check', '--isolated', '--rates', 'log.jsonl']) == 0\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = done.stdout.splitlines()[-1].split()
    assert "pytest_chatapi.logs.engines" in loaded
    assert {"multiprocessing", "pyarrow", "fsspec", "pytest_chatapi.logs.batches"}.isdisjoint(
        loaded
    )


def test_places_stay_in_one_piece(run: Run) -> None:
    """Of a document, with the number of the interaction, since nothing has its line."""
    folder = "a-folder/" + "-with-a-long-name" * 5
    Path(folder).mkdir(parents=True)
    Path(f"{folder}/log.json").write_text(json.dumps([ROWS[0], ROWS[120]], indent=1))
    _, out, _ = run("--rates", "a-folder")
    assert f"           {folder}/log.json, interaction 1 chatcmpl-120\n" in out
    assert "explain: chatapi rules U02\n" in out  # nobody would allow for a rate so high


def test_what_is_not_shown_is_counted(run: Run) -> None:
    rows = [litellm(at, is_wrong=True, model=f"m-{at}", id=f"id-{at}") for at in range(30)]
    Path("log.jsonl").write_text(text_of(rows))
    _, out, _ = run("--max-rate", "1%", "log.jsonl")
    assert "           and 25 more (--format json has all)\n" in out
    assert "  and 10 more (--format json has all)\n" in out


def test_the_page(run: Run) -> None:
    Path("log.jsonl").write_text(text_of(ROWS))
    status, out, err = run("--max-rate", "U02=20%", "--format", "html", "log.jsonl", "-o", "a.html")
    assert (status, out, err) == (0, "", "")
    assert "<title>Findings in logs: 2026-11-01 to 2026-11-10</title>" in Path("a.html").read_text()


@pytest.mark.parametrize("form", ["text", "json", "html"])
def test_no_report_has_a_secret(run: Run, form: str) -> None:
    """In the id, model, provider and finding of a row, and in the name of its file."""
    key = "sk-proj-" + "aB3dE5gH7jK9mN1p" * 3
    names = {"id": key, "model": key, "api_base": f"http://user:{key}@host/v1?api_key={key}"}
    response = {**ANSWER, "id": key, "object": key, "usage": {"prompt_tokens": key}}
    file = f"log-{key}.jsonl"
    Path(file).write_text(text_of([litellm(1, response=response, **names), {"id": key, "x": 1}]))
    _, out, err = run("--rates", "--format", form, file)
    assert "S03" in out
    assert key[8:] not in out + err


def test_limits_decide_the_status(run: Run) -> None:
    Path("log.jsonl").write_text(text_of(ROWS))
    for options, expected in (
        (["--max-rate", "20%"], 0),
        (["--max-rate", "U02=20%"], 0),
        (["--max-rate", "T08=20%"], 1),
        (["--max-rate", "1%"], 1),
        (["--max-rate", "1%", "--max-rate", "usage-total=0.2"], 0),
        (["--max-rate", "5%"], 0),  # 6.2%, but so few rows may have that by chance
    ):
        status, out, _ = run("log.jsonl", *options)
        assert status == expected, out
    assert "U02 at most 5% at vllm-prod:8000 gpt-5.2: undecided, 240 rows are too" in out


def test_warnings_fail_if_strict(run: Run) -> None:
    choice = {**ANSWER["choices"][0], "finish_reason": "done"}
    Path("log.jsonl").write_text(text_of([litellm(0, response={**ANSWER, "choices": [choice]})]))
    assert run("--rates", "log.jsonl")[0] == 0
    assert run("--rates", "--strict", "log.jsonl")[0] == 1


def test_what_cannot_be_read_is_a_finding(run: Run) -> None:
    Path("log.jsonl").write_text(text_of(ROWS[:100]) + '{"id": "cut\n')
    status, out, err = run("--rates", "log.jsonl")
    assert (status, err) == (2, "")
    assert "error unread unread-row: 1 of 101 rows, 1.0% (0.17% to 5.4%)" in out
    assert "  example  not valid JSON" in out
    assert "           log.jsonl, line 101, column 8\n" in out
    assert run("--max-rate", "unread=5%", "log.jsonl")[0] == 0
    assert run("--max-rate", "5%", "log.jsonl")[0] == 2  # a limit for rules


def test_a_file_that_cannot_be_read_is_more_than_a_row(run: Run) -> None:
    """No limit lets it pass, although the place of the damage is known."""
    Path("log.jsonl").write_text(text_of(ROWS[:100]))
    Path("cut.json").write_text(json.dumps(ROWS)[:-100])
    status, out, err = run("--max-rate", "unread=5%", "log.jsonl", "cut.json")
    assert (status, err[:29]) == (2, "chatapi: cut.json: line 1, co")
    assert "unread at most 5%: within, 0%" in out


def test_each_path_that_was_named_has_rows(run: Run) -> None:
    Path("log.jsonl").write_text(text_of(ROWS[:100]))
    Path("empty").mkdir()
    status, out, err = run("--rates", "log.jsonl", "empty")
    assert (status, err) == (2, "chatapi: empty: nothing was checked\n")
    assert "\nnot everything could be read: 1 error\n100 rows checked in 1 file" in out
    assert run("--rates", "--allow-unchecked", "log.jsonl", "empty")[0] == 0
    Path("later.jsonl").write_text(text_of(ROWS[100:110]))
    assert run("--until", "2026-11-05", "log.jsonl", "later.jsonl")[0] == 0  # none was asked for
    status, out, err = run("--rates", "--allow-unchecked", "empty")
    assert (status, out, err) == (0, "nothing checked in 0 files\n", "")


def test_rows_without_a_response_are_counted(run: Run) -> None:
    Path("log.jsonl").write_text(text_of([ROWS[0], litellm(1, response=None)]))
    _, out, _ = run("--rates", "log.jsonl")
    assert "1 exchange without a response: only the request was checked\n" in out
    for _ in range(2):
        assert as_json(run, "--state", "state", "log.jsonl")["unanswered"] == 1


def test_rows_without_a_request_are_counted(run: Run) -> None:
    """It was not logged, or is not understood; a failed call with neither is no such row."""
    image = {"role": "user", "parts": [{"type": "uri", "uri": "https://h/i.png"}]}
    answer = {"role": "assistant", "parts": [{"type": "text", "content": "Hi"}]}
    names = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.request.model")
    told = dict(zip(names, ([image], [answer], "m"), strict=True))
    rows = [ROWS[0], litellm(1, messages={}), {"attributes": told}]
    Path("log.jsonl").write_text(text_of([*rows, litellm(2, messages={}, response=None)]))
    line = (
        "2 exchanges whose request was not logged, or is not understood: only the response was "
        "checked"
    )
    _, out, _ = run("--rates", "log.jsonl")
    assert line in " ".join(out.split())
    for _ in range(2):
        assert as_json(run, "--state", "state", "log.jsonl")["unasked"] == 2
    _, out, _ = run("log.jsonl")
    assert line in " ".join(out.split())


def test_rows_of_files_that_leave_a_rule_out_are_not_in_its_rate(
    capsys: pytest.CaptureFixture[str], run: Run
) -> None:
    Path("chatapi.toml").write_text('[per-file-ignores]\n"old.jsonl" = ["usage-total", "T"]\n')
    for name in ("old.jsonl", "new.jsonl"):
        Path(name).write_text(text_of(ROWS))
    main(["check", "--rates", "old.jsonl", "new.jsonl"])
    assert "error U02 usage-total: 15 of 240 rows" in capsys.readouterr().out


def test_a_file_that_is_named_twice_is_read_once(run: Run) -> None:
    Path("log.jsonl").write_text(text_of(ROWS[:100]))
    Path("today.jsonl").symlink_to("log.jsonl")
    assert as_json(run, "--rates", "log.jsonl", Path("log.jsonl").absolute(), ".")["rows"] == 100


def test_every_container_has_the_same_rates(run: Run) -> None:
    text = text_of(ROWS)
    Path("a").mkdir()
    Path("a/log.jsonl").write_text(text)
    expected = as_json(run, "--rates", "a")
    examples = [row.pop("examples") for row in expected["findings"]]
    assert examples[0][0].keys() == {"id", "place", "path", "got", "message"}
    Path("b").mkdir()
    Path("b/log.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    Path("c").mkdir()
    with pa.CompressedOutputStream("c/log.jsonl.zst", "zstd") as file:
        file.write(text[: len(text) // 2].encode())
        file.write(text[len(text) // 2 :].encode())
    Path("d").mkdir()
    pq.write_table(pa.table({"line": text.splitlines()}), "d/text.parquet", row_group_size=7)
    texts = ("response", "model_parameters")
    columns = [{**row, **{name: json.dumps(row[name]) for name in texts}} for row in ROWS]
    Path("e").mkdir()
    pq.write_table(pa.Table.from_pylist(columns), "e/columns.parquet")
    Path("f").mkdir()
    for at in range(0, 240, 50):
        Path(f"f/{at}.jsonl").write_text(text_of(ROWS[at : at + 50]))
    for folder in "bcdef":
        found = as_json(run, "--rates", "--jobs", 2 if folder == "f" else 1, folder)
        for row in [*found["findings"], *found["series"]]:
            row["examples"] = None
        assert found["rows"] == 240, folder
        for name in ("findings", "changes"):
            assert [{**row, "examples": None} for row in expected[name]] == [
                {**row, "examples": None} for row in found[name]
            ], folder


def test_parquet_is_checked_without_rates_too(run: Run) -> None:
    pq.write_table(pa.table({"line": text_of(ROWS[120:130]).splitlines()}), "log.parquet")
    found = as_json(run, "log.parquet")
    assert [(f["code"], f["source"]["index"]) for f in found["findings"]] == [
        ("U02", 0),
        ("U02", 8),
    ]
    Path("log.parquet").write_bytes(Path("log.parquet").read_bytes()[:-9])
    status, _, err = run("log.parquet")
    assert (status, err.splitlines()[0][:50]) == (
        2,
        "chatapi: log.parquet: damaged Parquet data: Parque",
    )


def test_shares_of_a_file_add_up_to_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of([*ROWS, 5]) + "<<<<<<< HEAD\n"
    Path("log.jsonl").write_text(text)
    pq.write_table(pa.table({"line": text.splitlines()}), "log.parquet", row_group_size=50)
    Path("log.json").write_text(json.dumps(ROWS, indent=1))
    for name in ("log.jsonl", "log.parquet", "log.json"):
        whole = as_json(run, "--rates", "--jobs", "1", name)
        assert whole["rows"] == 240
        with monkeypatch.context() as patch:
            patch.setattr(jobs_module, "_WORTH_SHARES", 1000)
            assert as_json(run, "--rates", "--jobs", "3", "--state", "state", name) == whole, name
    assert len(Path("state").read_text().splitlines()) == 3
    Path("cut.jsonl.gz").write_bytes(gzip.compress(text.encode())[:-9])
    monkeypatch.setattr(jobs_module, "_WORTH_SHARES", 10)
    _, _, err = run("--rates", "--jobs", "2", "cut.jsonl.gz")
    assert err == "chatapi: cut.jsonl.gz: the gzip data is cut off\n"
    run("--state", "none", "cut.jsonl.gz")
    assert not Path("none").exists()  # so that it is read again once it is whole


def test_a_table_of_something_else(run: Run) -> None:
    Path("logs").mkdir()
    pq.write_table(pa.table({"price": [1, 2], "name": ["a", "b"]}), "logs/prices.parquet")
    reason = "not a recording in a known format; its keys are price, name: --map says where"
    for options in ([], ["--rates"]):
        status, _, err = run("logs/prices.parquet", *options)
        assert (status, err.startswith(f"chatapi: logs/prices.parquet: {reason}")) == (2, True)
    Path("logs/log.jsonl").write_text(text_of(ROWS))
    status, out, _ = run("logs", "--max-rate", "50%")
    assert status == 0
    assert "1 file skipped: not an HTTP recording" in out
    helicone = {"request_id": "h", "request_body": "{}", "response_body": "{}"}
    pq.write_table(pa.Table.from_pylist([helicone] * 3), "logs/helicone.parquet")
    _, _, err = run("logs/helicone.parquet", "--rates")
    assert err.startswith("chatapi: logs/helicone.parquet: requests of Helicone, not read direct")


@pytest.mark.parametrize("end", [-1, -300])
def test_zstd_that_is_cut_off(run: Run, end: int) -> None:
    with pa.CompressedOutputStream("log.jsonl.zst", "zstd") as file:
        file.write(text_of(ROWS).encode())
    Path("log.jsonl.zst").write_bytes(Path("log.jsonl.zst").read_bytes()[:end])
    for options in ([], ["--rates"]):
        status, _, err = run("log.jsonl.zst", *options)
        assert (status, err) == (2, "chatapi: log.jsonl.zst: the zstd data is cut off\n")


def test_a_sample_is_the_same_however_the_log_is_split(run: Run) -> None:
    Path("a.jsonl").write_text(text_of(ROWS))
    whole = as_json(run, "--sample", "25%", "a.jsonl")
    assert 30 < whole["rows"] < 90
    assert whole["left_out"] == {"not in the sample": 240 - whole["rows"]}
    Path("parts").mkdir()
    for at in range(3):
        Path(f"parts/{at}.jsonl").write_text(text_of(ROWS[at::3]))
    parts = as_json(run, "--sample", "0.25", "parts")
    for data in (whole, parts):
        for row in [*data["findings"], *data["series"]]:
            for example in row["examples"]:
                del example["place"]
    assert {**parts, "files": 1} == whole
    Path("whole.json").write_text(json.dumps(ROWS))  # no rows that could be left unparsed
    found = as_json(run, "--sample", "25%", "whole.json")
    assert 30 < found["rows"] < 90
    assert found["left_out"] == {"not in the sample": 240 - found["rows"]}


def test_a_part_of_the_time(run: Run) -> None:
    Path("log.jsonl").write_text(text_of([*ROWS, litellm(0, startTime=None, response={"x": 1})]))
    found = as_json(run, "--since", "2026-11-02", "--until", "2026-11-03T06:00Z", "log.jsonl")
    assert found["rows"] == 30
    assert found["left_out"] == {"from --until on": 186, "before --since": 24, "without a time": 1}
    status, out, err = run("--since", "2027-01-01", "log.jsonl")
    reason = "nothing was checked: all rows were left out"
    assert (status, err) == (2, f"chatapi: log.jsonl: {reason}\n")
    assert "could be read" not in out
    status, _, err = run("--since", "2027-01-01", "--until", "2027-01-01", "log.jsonl")
    assert (status, err) == (2, "chatapi: --until: it has to be later than --since\n")


def test_a_mapped_time_that_is_none(run: Run) -> None:
    """Days would be those of another clock: the response has a time, too."""
    answer = litellm(0)["response"]
    row = {"in": {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}, "out": answer}
    rows = [row | {"ts": ts} for ts in ("2026-11-02T10:00:00Z", 1793613600, None, "yesterday")]
    Path("log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    status, out, _ = run("--rates", "--map", "request=$.in,response=$.out,time=$.ts", "log.jsonl")
    assert status == 2
    assert "unread-row: 1 of 4 rows" in out
    assert 'the mapped time is "yesterday": it must be a date and time' in " ".join(out.split())


def test_a_mapping_says_when_and_who(run: Run) -> None:
    row = {"in": {"model": "m", "messages": ROWS[0]["messages"]}, "out": ROWS[120]["response"]}
    Path("log.jsonl").write_text(text_of([{**row, "at": "2026-11-03T00:00Z", "by": "us"}]))
    mapping = "request=$.in,response=$.out,time=$.at,provider=$.by,id=$.out.id"
    (series, *_) = as_json(run, "--rates", "--map", mapping, "log.jsonl")["series"]
    assert (series["provider"], series["model"], series["day"]) == ("us", "m", "2026-11-03")
    assert series["examples"][0]["id"] == "chatcmpl-120"


def test_the_table(run: Run) -> None:
    Path("log.jsonl").write_text(text_of(ROWS))
    assert run("--rates", "--format", "parquet", "-o", "rates.parquet", "log.jsonl")[0] == 1
    rows = [row for row in pq.read_table("rates.parquet").to_pylist() if row["code"] == "U02"]
    assert [(row["day"][-2:], row["found"], row["rows"]) for row in rows[4:6]] == [
        ("05", 0, 24),
        ("06", 3, 24),
    ]
    assert rows[5]["first"].isoformat() == "2026-11-06T00:00:00+00:00"


def test_what_was_done_is_not_done_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("logs").mkdir()
    for at in range(4):
        Path(f"logs/{at}.jsonl").write_text(text_of(ROWS[at * 60 : at * 60 + 60]))
    read: list[str] = []
    read_file = files_module.read_file

    def noted(path: Any, *rest: Any, **more: Any) -> Any:
        read.append(Path(path).stem)
        if len(read) == killed_at:
            raise KeyboardInterrupt
        return read_file(path, *rest, **more)

    monkeypatch.setattr(files_module, "read_file", noted)
    killed_at = 3
    assert run("--state", "state", "logs")[0] == 130
    killed_at = 0
    read.clear()
    resumed = as_json(run, "--state", "state", "logs")
    assert read == ["2", "3"]
    read.clear()
    assert as_json(run, "--state", "state", "logs") == resumed == as_json(run, "--rates", "logs")
    assert read == ["0", "1", "2", "3"]  # those of the run without a state
    read.clear()
    Path("logs/1.jsonl").write_text(text_of(ROWS[60:119]))
    with Path("state").open("ab") as file:
        file.write(b'{"chatapi-rates": 1, "fi')  # a run that was killed while it wrote
    assert as_json(run, "--state", "state", "logs")["rows"] == 239
    assert as_json(run, "--state", "state", "logs")["rows"] == 239
    assert read == ["1"]
    assert as_json(run, "--state", "state", "--profile", "compatible", "logs")["rows"] == 239
    assert read == ["1", "0", "1", "2", "3"]
    read.clear()
    about = Path("logs/0.jsonl").stat()
    Path("logs/0.jsonl").write_text(text_of(ROWS[:60]).replace("chatcmpl-7", "chatcmpl-8"))
    os.utime("logs/0.jsonl", ns=(about.st_atime_ns, about.st_mtime_ns))  # as `cp -p` does
    Path("logs/1.jsonl").rename("logs/sk-proj-abcdefghijklmnopqrstuvwxyz012345.jsonl")
    as_json(run, "--state", "state", "--profile", "compatible", "logs")
    assert [name[:7] for name in read] == ["0", "sk-proj"]
    lines = Path("state").read_text().splitlines()
    assert "sk-proj-a" not in "".join(lines)
    edited = [{**json.loads(line), "rates": {}} for line in lines if "file" in line]
    Path("state").write_text(text_of(edited))
    assert as_json(run, "--state", "state", "--profile", "compatible", "logs")["rows"] == 239


def test_counts_of_an_earlier_form_are_counted_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("log.jsonl").write_text(text_of(ROWS[:9]))
    for form, lines in ((1, 1), (2, 2), (2, 2)):
        monkeypatch.setattr(files_module, "FORM", form)
        assert as_json(run, "--state", "state", "log.jsonl")["rows"] == 9
        assert len(Path("state").read_text().splitlines()) == lines


@pytest.mark.parametrize(
    ("known", "edited"),
    [
        ('"assembled": 1', '"assembled": "x"'),
        ('"U02", "error"', '"U99", "error"'),
        ('"U02", "error"', '"U02", "bad"'),
        ('": 1}]], "found"', '": -50}]], "found"'),
        ('": 1}]], "found"', '": null}]], "found"'),
        ('"2026-11-06", {"', '"2026-11-06", {"KQSU'),
        ('"skipped": {}', '"skipped": []'),
        ('"the total is 1 too high"', "7"),
        (f"{START + 120 * 3600}.0", '"never"'),
    ],
)
def test_counts_that_somebody_has_edited_are_not_believed(
    run: Run, known: str, edited: str
) -> None:
    Path("log.jsonl").write_text(text_of([ROWS[120]]))
    expected = as_json(run, "--state", "state", "log.jsonl")
    state = Path("state").read_text()
    Path("state").write_text(state.replace(known, edited))
    assert Path("state").read_text() != state
    assert as_json(run, "--state", "state", "log.jsonl") == expected
    assert Path("state").read_text().endswith(state)


@pytest.mark.parametrize("row", [ROWS[0], {"chatapi-rates": 1, "file": "log.jsonl"}])
def test_a_state_that_is_none(run: Run, row: Any) -> None:
    Path("log.jsonl").write_text(text_of([row]))
    status, _, err = run("--state", "log.jsonl", "log.jsonl")
    message = "chatapi: --state: log.jsonl is not a file of chatapi check --state\n"
    assert (status, err) == (2, message)
    assert Path("log.jsonl").read_text() == text_of([row])


def test_urls(run: Run) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/logs/a.jsonl", text_of(ROWS[:120]).encode())
    memory.pipe("/logs/b.jsonl.gz", gzip.compress(text_of(ROWS[120:]).encode()))
    memory.pipe("/logs/readme.bin", b"x")
    found = as_json(run, "--rates", "--state", "state", "memory://logs")
    assert (found["rows"], found["unread_files"]) == (240, {"with another ending": 1})
    assert found["findings"][0]["examples"][0]["place"].startswith("memory://")
    assert as_json(run, "--state", "state", "memory://logs/*.jsonl*")["rows"] == 240
    assert len(Path("state").read_text().splitlines()) == 2
    memory.pipe("/logs/t.parquet", b"PAR1")
    for url, reason in (
        ("memory://logs/t.parquet", "damaged Parquet data: Parquet file size is 4 bytes, "),
        ("memory://none", "no such file or folder"),
        ("memory://logs/*.har", "no file matches"),
        ("nosuch://x/y", "Protocol not known: nosuch"),
    ):
        status, _, err = run("--rates", url)
        assert (status, err.splitlines()[0][: len(url) + 11 + len(reason)]) == (
            2,
            f"chatapi: {url}: {reason}",
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["memory://logs"], "memory://logs: add --rates, which reads URLs\n"),
        (["--format", "parquet"], "--format parquet is for rates: add --rates"),
        (["--rates", "--format", "parquet"], "--format parquet needs a file: add --output FILE"),
        (["--rates", "--format", "junit"], "--rates has no format junit: use text, json, html, "),
        (
            ["--sample", "1%", "--write-baseline"],
            "--write-baseline and --sample cannot be combined",
        ),
        (["--rates", "--address", "x"], "--address needs --engine dask or --engine ray"),
        (
            ["--engine", "ray", "--address", "127.0.0.1:1"],
            "--engine ray: no cluster at 127.0.0.1:1: Connection refused\n",
        ),
        (["--sample", "0%"], "--sample: '0%' is not a part: use 1% or 0.01"),
        (["--since", "now"], "--since: 'now' is not a date or time: use 2026-11-03 or "),
        (
            ["--max-rate", "T=1%", "--max-rate", "U02=1%", "--select", "T,E,U02:$.x", "--ignore=U"],
            "--max-rate U02: the settings for select and ignore leave U02 out\n",
        ),
        (
            ["--max-rate", "1%", "--max-rate", "U02=1%", "--select", "T"],
            "--max-rate U02: the settings for select and ignore leave U02 out\n",
        ),
        (["--max-rate", "U02"], "'U02' is not a rate: use 0.1%, or U02=0.1% for one rule"),
    ],
)
def test_bad_usage(run: Run, options: list[str], message: str) -> None:
    Path("log.jsonl").write_text(text_of(ROWS[:1]))
    status, out, err = run("log.jsonl", *options)
    assert (status, out) == (2, "")
    assert err.startswith(f"chatapi: {message}")


@pytest.mark.parametrize(
    ("engine", "greeting", "reason"),
    [
        ("dask", b"", "timed out"),
        ("dask", b"HTTP/1.1 400 Bad Request", "something else than Dask listens there"),
        ("ray", b"SSH-2.0-OpenSSH", "something else than Ray listens there"),
    ],
)
def test_what_is_not_a_cluster_is_not_waited_for(
    run: Run, monkeypatch: pytest.MonkeyPatch, engine: str, greeting: bytes, reason: str
) -> None:
    monkeypatch.setattr(engines, "_PATIENCE", 0.5 if greeting else 0.01)
    monkeypatch.setitem(engines.ENGINES, engine, lambda *_: iter(()))
    Path("log.jsonl").write_text(text_of(ROWS[:1]))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

        def greet() -> None:
            connection, _ = server.accept()
            connection.settimeout(5)
            with connection, suppress(OSError):
                connection.sendall(greeting)
                connection.recv(1)  # until the other side closes it

        thread = threading.Thread(target=greet)
        thread.start()
        status, out, err = run("log.jsonl", "--engine", engine, "--address", address)
        thread.join()
    assert (status, out) == (2, "")
    assert err == f"chatapi: --engine {engine}: no cluster at {address}: {reason}\n"


def test_what_an_engine_returns_is_looked_at(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file once, and of the version that is here."""

    def engine(tasks: Sequence[FileTask], check: Any, address: str | None) -> Iterator[Any]:
        done = [(task, check(task)) for task in tasks]
        yield from done[:1] * 2
        yield done[1][0], done[1][1]._replace(version="0.0.1")
        yield done[2][0], None

    monkeypatch.setitem(engines.ENGINES, "dask", engine)
    Path("logs").mkdir()
    for name in "abcd":
        Path(f"logs/{name}.jsonl").write_text(text_of(ROWS[:10]))
    found = as_json(run, "--engine", "dask", "--max-rate", "100%", "logs")
    assert found["rows"] == 10
    assert {Path(one["file"]).stem: one["reason"] for one in found["errors"]} == {
        "b": f"--engine dask: checked by pytest-chatapi 0.0.1 on a worker, {__version__} is here",
        "c": "--engine dask: no worker returned a result",
        "d": "--engine dask: no worker returned a result",
    }
    assert run("--engine", "dask", "--max-rate", "100%", "logs")[0] == 2


def _counted(task: FileTask) -> FilePart:
    """As a worker that the system kills: the first time for one task, each time for another."""
    if task.name == "killed once" and Path(task.path).exists():
        Path(task.path).unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    if task.name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return FilePart(Rates(files=1), [])


def test_a_process_that_is_killed(tmp_path: Path) -> None:
    """Its files are checked again; nothing is lost or counted twice."""
    (tmp_path / "0").touch()
    checker = Checker(Configuration())
    names = ["killed once", "a", "b", "c"]
    tasks = [
        FileTask(str(tmp_path / str(at)), name, True, checker) for at, name in enumerate(names)
    ]
    done = engines.results(tasks, _counted, engine="", address=None, jobs=2)
    assert sorted(task.name for task, _ in done) == sorted(names)
    tasks[1] = tasks[1]._replace(name="killed")
    with pytest.raises(SettingError, match=r"^a process was killed, .*: use fewer --jobs$"):
        list(engines.results(tasks, _counted, engine="", address=None, jobs=2))
