"""Fixtures of nock."""

from __future__ import annotations

import gzip
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

JSON_HEADERS = ["Content-Type", "application/json", "x-request-id", "req_1"]


def call(response: Any, **more: Any) -> dict[str, Any]:
    return {
        "scope": "https://api.openai.com:443",
        "method": "POST",
        "path": "/v1/chat/completions",
        "body": REQUEST,
        "status": 200,
        "response": response,
        "rawHeaders": JSON_HEADERS,
        "responseIsBinary": False,
    } | more


def read(tmp_path: Path, *calls: dict[str, Any]) -> Verdict:
    path = tmp_path / "fixture.json"
    path.write_text(json.dumps(calls, indent=2))
    return verdict(path)


def zipped(answer: Any) -> str:
    return gzip.compress(json.dumps(answer).encode(), mtime=0).hex()


GZIP_HEADERS = [*JSON_HEADERS, "Content-Encoding", "gzip"]
STREAMED = REQUEST | {"stream": True}
STREAM_HEADERS = {"content-type": "text/event-stream", "x-request-id": "req_1"}


@pytest.mark.parametrize(
    ("clean", "broken", "code", "more"),
    [
        (ANSWER, WRONG, "U02", {}),
        (json.dumps(ANSWER), json.dumps(WRONG), "U02", {}),
        # One hexadecimal text for each piece that came.
        (
            [zipped(ANSWER)[:40], zipped(ANSWER)[40:]],
            [zipped(WRONG)[:40], zipped(WRONG)[40:]],
            "U02",
            {"rawHeaders": GZIP_HEADERS},
        ),
        (zipped(ANSWER), zipped(WRONG), "U02", {"responseIsBinary": True}),
        (zipped(ANSWER), zipped(WRONG), "U02", {}),  # of a version without that flag
        (ANSWER, WRONG, "U02", {"rawHeaders": dict(zip(*[iter(JSON_HEADERS)] * 2, strict=True))}),
        (ANSWER, WRONG, "U02", {"rawHeaders": [["x-request-id", "req_1"]]}),
        (
            STREAM,
            CUT_STREAM,
            "T08",
            {"rawHeaders": STREAM_HEADERS, "body": STREAMED},
        ),
    ],
)
def test_a_fault_is_found(
    clean: Any, broken: Any, code: str, more: dict[str, Any], tmp_path: Path
) -> None:
    assert read(tmp_path, call(clean, **more), call(broken, **more)) == ([[], [code]], 0, [])


def test_what_is_in_an_exchange(tmp_path: Path) -> None:
    path = tmp_path / "fixture.json"
    more = {"reqheaders": {"X-A": ["b"]}, "status": 429, "path": "/v1/chat/completions?a=1"}
    path.write_text(json.dumps([call({"error": {}}, **more), call("", body="*", method="get")]))
    (exchange, other), errors = exchanges_in(path)
    assert errors == []
    assert exchange.request is not None
    assert exchange.response is not None
    assert exchange.request.url == "https://api.openai.com:443/v1/chat/completions?a=1"
    assert exchange.request.headers == {"x-a": "b"}
    assert exchange.request.body == REQUEST
    assert exchange.response.status == 429
    assert exchange.response.headers["x-request-id"] == "req_1"
    assert other.request is not None
    assert other.response is not None
    assert (other.request.method, other.request.body, other.response.body) == ("GET", None, None)


def test_other_apis_are_skipped(tmp_path: Path) -> None:
    other = call(EMBEDDINGS, path="/v1/embeddings")
    assert read(tmp_path, other, call(WRONG)) == ([["U02"]], 1, [])


def test_a_damaged_body_is_named(tmp_path: Path) -> None:
    damaged = call("1f8", responseIsBinary=True)
    reason = "f: interaction 0: response: the binary body is not hexadecimal"
    assert read(tmp_path, damaged, call(WRONG)) == ([["U02"]], 0, [reason])
