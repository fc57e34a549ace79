"""`check_batch`: Arrow record batches of logged exchanges, checked as `chatapi check` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from read_files import REQUEST as _REQUEST
from read_files import STREAM, WRONG
from traffic import ANSWER

from pytest_chatapi.cli.main import main
from pytest_chatapi.errors import ReadError, SettingError
from pytest_chatapi.logs import check_batch, finding_schema

REQUEST = {**_REQUEST, "model": WRONG["model"]}
LITELLM = {
    "id": "chatcmpl-1",
    "call_type": "acompletion",
    "status": "success",
    "api_base": "http://vllm-prod:8000/v1",
    "custom_llm_provider": "hosted_vllm",
    "model": WRONG["model"],
    "startTime": 1793664000.25,
    "messages": REQUEST["messages"],
    "model_parameters": {"temperature": 9},
    "response": WRONG,
}
LANGFUSE = {
    "id": "o1",
    "type": "GENERATION",
    "startTime": "2026-11-03T00:00:00.250Z",
    "model": WRONG["model"],
    "modelParameters": {},
    "input": {"messages": REQUEST["messages"]},
    "output": WRONG,
}
BATCH = {
    "id": "batch_req_1",
    "custom_id": "r1",
    "response": {"status_code": 200, "request_id": "q", "body": WRONG},
    "error": None,
}
PLAIN = {"request": {"url": "/v1/chat/completions", "body": REQUEST}, "response": {"body": WRONG}}
STREAMED = {"request": {"body": REQUEST | {"stream": True}}, "response": {"body": STREAM}}
OTHER_API = {"request": {"url": "/v1/responses", "body": {}}, "response": {"body": {}}}
ROWS = [LITELLM, LANGFUSE, BATCH, PLAIN, STREAMED, OTHER_API, ANSWER, {"what": "else"}, 5]
TEXTS = [*map(json.dumps, ROWS), '{"id": "cut', ""]


def texts(lines: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"line": lines})


def found(batch: pa.RecordBatch, *columns: str, mapping: str | None = None) -> list[Any]:
    rows = check_batch(batch, mapping).select(columns).to_pylist()
    return [tuple(row.values()) for row in rows]


def test_findings_are_those_of_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(TEXTS))
    main(["check", "--isolated", "--format", "json", str(log)])
    captured = capsys.readouterr()
    reported = json.loads(captured.out)
    names = ["code", "name", "level", "profile", "chunk", "path", "expected", "got", "message"]
    checked = check_batch(texts(TEXTS)).to_pylist()
    ours = [
        {name: row[name] for name in names}
        for row in checked
        if row["code"] not in ("unread", "skipped")
    ]
    assert len(ours) > 5
    assert ours == [{name: one[name] for name in names} for one in reported["findings"]]
    unread = [row["message"] for row in checked if row["code"] == "unread"]
    assert all(reason in captured.err for reason in unread[:-1])
    # The command passes over blank lines; in a batch, a row without text is a row that is missing.
    assert unread[-1].startswith("not valid JSON")


def test_each_row_is_named_dated_and_attributed() -> None:
    columns = ("row_id", "code", "provider", "model", "time")
    rows = found(texts(list(map(json.dumps, [LITELLM, LANGFUSE, BATCH]))), *columns)
    assert [(*row[:4], row[4].isoformat()[:19]) for row in rows if row[1] == "U02"] == [
        ("chatcmpl-1", "U02", "vllm-prod:8000", WRONG["model"], "2026-11-03T00:00:00"),
        ("o1", "U02", None, WRONG["model"], "2026-11-03T00:00:00"),
        ("batch_req_1", "U02", None, WRONG["model"], "2025-06-15T15:06:40"),
    ]


def test_the_arguments_of_a_callback_have_the_row_inside() -> None:
    columns = ("row_id", "code", "provider", "model", "time")
    whole = {"model": "alias", "standard_logging_object": LITELLM}
    expected = found(texts([json.dumps(LITELLM)]), *columns)
    assert found(texts([json.dumps(whole)]), *columns) == expected


def test_a_row_that_is_not_checked_is_a_row() -> None:
    rows = found(texts(TEXTS[-6:]), "code", "name", "level", "message")
    reason = 'not an exchange: it has neither "request" nor "response"'
    assert rows == [
        ("skipped", "responses", "note", None),
        ("unread", "unread-row", "error", reason),
        ("unread", "unread-row", "error", reason),
        ("unread", "unread-row", "error", rows[3][3]),
        ("unread", "unread-row", "error", rows[4][3]),
    ]


def test_a_row_of_a_known_tool_is_named() -> None:
    helicone = {"request_id": "h", "request_body": REQUEST, "response_body": WRONG}
    ((message,),) = found(texts([json.dumps(helicone)]), "message")
    assert message.startswith("requests of Helicone, not read directly: use --map 'request=$")


@pytest.mark.parametrize("quoted", [True, False])
def test_columns_instead_of_text(quoted: bool) -> None:
    """As Langfuse's Parquet has it, or with structs, which have null for what is absent."""
    output = json.dumps(WRONG) if quoted else WRONG | {"error": None}
    batch = pa.RecordBatch.from_pylist(
        [{**LANGFUSE, "output": output}, {**LANGFUSE, "id": "o2", "output": output}]
    )
    assert found(batch, "row_id", "code") == [("o1", "U02"), ("o2", "U02")]


def test_columns_as_pandas_writes_them() -> None:
    """With nanoseconds, categories, and days outside of Python's calendar."""
    row = {**LANGFUSE, "output": json.dumps(WRONG)}
    columns = {name: pa.array([value]) for name, value in row.items()}
    columns["output"] = pa.array([row["output"]]).dictionary_encode()
    for stamp, kind, day in (
        (1793491200123456789, pa.timestamp("ns", "UTC"), "2026-11-01"),
        (2**62, pa.timestamp("s"), "2025-06-15"),  # that of the response instead
    ):
        columns["startTime"] = pa.array([stamp], kind)
        ((code, time),) = found(pa.record_batch(columns), "code", "time")
        assert (code, str(time.date())) == ("U02", day)
    line = pa.array([json.dumps(row)])
    for batch in (
        pa.record_batch({"line": line.dictionary_encode()}),
        pa.RecordBatch.from_arrays([line, line], ["line", "line"]),
    ):
        assert found(batch, "code") == [("U02",)]


def test_what_structs_lack_is_not_reported() -> None:
    """Of a row that lacks a member, a struct has null for it, and so is no proof of either."""
    body = {name: value for name, value in WRONG.items() if name != "object"}
    rows = [{"row_id": "a", **PLAIN, "response": {"body": body}}, {"row_id": "b", **PLAIN}]
    batch = pa.RecordBatch.from_pylist(rows)
    assert found(batch, "row_id", "code", "profile") == [
        ("a", "U02", "compatible"),
        ("b", "U02", "compatible"),
    ]


def test_the_column_names_a_row_before_its_own_id() -> None:
    batch = pa.record_batch({"row_id": ["mine"], "line": [json.dumps(LANGFUSE)]})
    assert found(batch, "row_id") == [("mine",)]


def test_mapped_columns() -> None:
    batch = pa.record_batch(
        {
            "row_id": [b"a", b"b"],
            "asked": [json.dumps(REQUEST)] * 2,
            "got": [json.dumps(WRONG), json.dumps(ANSWER)],
            "at": [1793664000, None],
        }
    )
    mapping = "request=$.asked,response=$.got,time=$.at"
    ((row_id, code, time),) = found(batch, "row_id", "code", "time", mapping=mapping)
    assert (row_id, code, time.isoformat()) == ("a", "U02", "2026-11-03T00:00:00+00:00")


def test_an_exchange_in_a_member_of_the_row() -> None:
    """As where a log shipper has put its own frame around each line."""
    framed = {"@timestamp": "2026-11-03", "host": "h", "message": json.dumps(LITELLM)}
    text = json.dumps(framed)
    rows = found(texts([text]), "row_id", "code", "provider", mapping="exchange=$.message")
    assert ("chatcmpl-1", "U02", "vllm-prod:8000") in rows
    more = "exchange=$.message,provider=$.host,id=$.host"
    assert ("h", "U02", "h") in found(texts([text]), "row_id", "code", "provider", mapping=more)
    with pytest.raises(SettingError, match="exchange holds all of it: leave out response"):
        check_batch(texts([text]), "exchange=$.message,response=$.x")


def test_secrets_in_names_are_masked() -> None:
    key = "sk-proj-" + "aB3dE5gH7jK9mN1p" * 3
    row = {**LITELLM, "id": f"for {key}", "model": key, "api_base": f"http://me:{key}@h:1/v1"}
    named = found(texts([json.dumps(row)]), "row_id", "provider", "model")
    assert named
    assert {name[1] for name in named} == {"h:1"}
    assert key not in str(named)


def test_a_row_without_a_name_is_named_by_its_content() -> None:
    first, second = (found(texts([json.dumps(PLAIN)]), "row_id") for _ in range(2))
    assert first == second
    assert len(first[0][0]) == 16


def test_a_column_of_bytes_is_part_of_the_name() -> None:
    columns = {"request": [json.dumps(REQUEST)] * 2, "response": [json.dumps(WRONG)] * 2}
    batch = pa.record_batch({**columns, "digest": [b"\x01", b"\xff"]})
    assert len(set(found(batch, "row_id"))) == 2


def test_different_columns_of_one_name_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a join of two tables has them: the last one was read. One that is there twice is fine."""
    columns = {"request": REQUEST, "response": WRONG, "other": ANSWER}
    arrays = [pa.array([json.dumps(value)]) for value in columns.values()]
    table = pa.table(arrays, names=["request", "response", "response"])
    reason = "two different columns are called 'response': rename or drop one"
    with pytest.raises(ReadError, match=f"^<rows>: {reason}$"):
        check_batch(table.to_batches()[0])
    pq.write_table(table, tmp_path / "log.parquet")
    for option in ("--isolated", "--rates"):
        assert main(["check", option, str(tmp_path / "log.parquet")]) == 2
        line = capsys.readouterr().err.splitlines()[0]
        assert line.startswith("chatapi: ")
        assert line.endswith(f"log.parquet: {reason}")


@given(st.permutations(range(len(TEXTS))), st.integers(1, 4))
def test_findings_do_not_depend_on_the_splitting(order: list[int], size: int) -> None:
    lines = [TEXTS[index] for index in order]
    parts = [
        check_batch(texts(lines[at : at + size])).to_pylist() for at in range(0, len(lines), size)
    ]
    whole = check_batch(texts(TEXTS)).to_pylist()
    assert sorted(repr(row) for part in parts for row in part) == sorted(map(repr, whole))


def test_no_findings() -> None:
    assert check_batch(texts([])).schema == finding_schema()
    assert check_batch(texts([json.dumps(ANSWER)])).num_rows == 0
