"""Recordings of the Azure SDK's test proxy."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from read_files import (
    CUT_STREAM,
    EMBEDDINGS,
    REQUEST,
    STREAM,
    WRONG,
    Verdict,
    exchanges_in,
    verdict,
)
from traffic import ANSWER

TEXT = {"Content-Type": "text/event-stream; charset=utf-8", "x-request-id": "r"}
UNTYPED = {"x-request-id": "r"}


def entry(response: Any, **more: Any) -> dict[str, Any]:
    return {
        "RequestUri": "https://api.openai.com/v1/chat/completions",
        "RequestMethod": "POST",
        "RequestHeaders": {"Content-Type": "application/json", "Accept": ["a/b", "c/d"]},
        "RequestBody": REQUEST,
        "StatusCode": 200,
        "ResponseHeaders": {"Content-Type": "application/json", "x-request-id": "r"},
        "ResponseBody": response,
    } | more


def write(tmp_path: Path, *entries: Any) -> Path:
    path = tmp_path / "recording.json"
    path.write_text(json.dumps({"Entries": entries, "Variables": {}}, indent=2))
    return path


def read(tmp_path: Path, *entries: Any) -> Verdict:
    return verdict(write(tmp_path, *entries))


@pytest.mark.parametrize(
    ("clean", "broken", "code", "more"),
    [
        (ANSWER, WRONG, "U02", {}),
        (json.dumps(ANSWER), json.dumps(WRONG), "U02", {}),
        (json.dumps(ANSWER), json.dumps(WRONG), "U02", {"ResponseHeaders": UNTYPED}),
        (ANSWER, WRONG, "U02", {"RequestBody": json.dumps(REQUEST)}),
        (
            STREAM.splitlines(keepends=True),
            CUT_STREAM.splitlines(keepends=True),
            "T08",
            {"ResponseHeaders": TEXT, "RequestBody": REQUEST | {"stream": True}},
        ),
        (
            base64.b64encode(json.dumps(ANSWER).encode()).decode(),
            base64.b64encode(json.dumps(WRONG).encode()).decode(),
            "U02",
            {"ResponseHeaders": UNTYPED},
        ),
    ],
)
def test_a_fault_is_found(
    clean: Any, broken: Any, code: str, more: dict[str, Any], tmp_path: Path
) -> None:
    assert read(tmp_path, entry(clean, **more), entry(broken, **more)) == ([[], [code]], 0, [])


def test_what_is_in_an_exchange(tmp_path: Path) -> None:
    lines = json.dumps(REQUEST, indent=1).splitlines(keepends=True)
    path = write(tmp_path, entry(ANSWER, RequestBody=lines, StatusCode=201), entry(None))
    (exchange, other), errors = exchanges_in(path)
    assert errors == []
    assert exchange.request is not None
    assert exchange.response is not None
    assert exchange.request.url == "https://api.openai.com/v1/chat/completions"
    assert exchange.request.headers["accept"] == "a/b, c/d"
    assert exchange.request.json() == REQUEST
    assert exchange.response.status == 201
    assert other.response is not None
    assert other.response.body is None


def test_other_apis_are_skipped(tmp_path: Path) -> None:
    uri = "https://x.openai.azure.com/openai/deployments/e/embeddings?api-version=2024-10-21"
    assert read(tmp_path, entry(EMBEDDINGS, RequestUri=uri), entry(WRONG)) == ([["U02"]], 1, [])


def test_what_is_not_an_entry_is_named(tmp_path: Path) -> None:
    reason = 'not an entry: it has no "RequestUri" or no "StatusCode"'
    expected = [f"f: interaction {index}: {reason}" for index in (0, 2)]
    assert read(tmp_path, {"RequestUri": "x"}, entry(WRONG), 5) == ([["U02"]], 0, expected)
