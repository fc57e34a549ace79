"""Recorders of other languages whose cassettes look much like vcrpy's."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from read_files import EMBEDDINGS, REQUEST, WRONG, exchanges_in, verdict
from traffic import ANSWER

URL = "https://api.openai.com/v1/chat/completions"
OTHER_URL = "https://api.openai.com/v1/embeddings"
BODY = json.dumps(REQUEST)
HEADERS = {"Content-Type": "application/json", "x-request-id": "r"}
LISTS = {name: [value] for name, value in HEADERS.items()}

Call = Callable[[Any, str, int], Any]


def go_vcr(answer: Any, url: str, status: int) -> Any:
    request = {
        "proto": "HTTP/1.1",
        "content_length": 94,
        "host": "api.openai.com",
        "body": BODY,
        "form": {},
        "headers": LISTS,
        "url": url,
        "method": "POST",
    }
    response = {
        "proto": "HTTP/2.0",
        "transfer_encoding": [],
        "content_length": -1,
        "uncompressed": True,
        "body": json.dumps(answer),
        "headers": LISTS,
        "status": f"{status} Text",
        "code": status,
        "duration": "812.1ms",
    }
    return {"id": 0, "request": request, "response": response}


def r_vcr(answer: Any, url: str, status: int) -> Any:
    return {
        "request": {
            "method": "post",
            "uri": url,
            "body": {"encoding": "", "string": BODY},
            "headers": HEADERS,
        },
        "response": {
            "status": {"status_code": status, "category": "c", "reason": "OK", "message": "m"},
            "headers": HEADERS,
            "body": {"encoding": "UTF-8", "file": False, "string": json.dumps(answer)},
        },
        "recorded_at": "2026-01-01 00:00:00 GMT",
        "recorded_with": "vcr/1.2.0, webmockr/0.9.0",
    }


def r_vcr_2(answer: Any, url: str, status: int) -> Any:
    return {
        "request": {"method": "POST", "uri": url, "body": {"string": BODY}, "headers": HEADERS},
        "response": {
            "status": status,
            "headers": HEADERS,
            "body": {"string": json.dumps(answer)},
        },
        "recorded_at": "2026-01-01 00:00:00",
    }


def betamax(answer: Any, url: str, status: int) -> Any:
    encoded = base64.b64encode(json.dumps(answer).encode()).decode()
    return {
        "request": {
            "body": {"encoding": "utf-8", "string": BODY},
            "headers": LISTS,
            "method": "POST",
            "uri": url,
        },
        "response": {
            "body": {"encoding": "utf-8", "base64_string": encoded, "string": ""},
            "headers": LISTS,
            "status": {"code": status, "message": "OK"},
            "url": url,
        },
        "recorded_at": "2026-01-01T00:00:00",
    }


def exvcr(answer: Any, url: str, status: int) -> Any:
    return {
        "request": {
            "body": BODY,
            "headers": HEADERS,
            "method": "post",
            "options": [],
            "request_body": "",
            "url": url,
        },
        "response": {
            "binary": False,
            "body": json.dumps(answer),
            "headers": HEADERS,
            "status_code": status,
            "type": "ok",
        },
    }


def exvcr_binary(answer: Any, url: str, status: int) -> Any:
    call = exvcr(answer, url, status)
    data = json.dumps(answer).encode()
    term = base64.b64encode(b"\x83m" + len(data).to_bytes(4, "big") + data).decode()
    call["response"] |= {"binary": True, "body": term}
    return call


def php_vcr(answer: Any, url: str, status: int) -> Any:
    return {
        "request": {"method": "POST", "url": url, "headers": HEADERS, "body": BODY},
        "response": {
            "status": {"http_version": "1.1", "code": str(status), "message": "OK"},
            "headers": HEADERS,
            "body": json.dumps(answer),
            "curl_info": {"url": url, "http_code": status},
        },
        "index": 0,
    }


def pact(answer: Any, url: str, status: int) -> Any:
    path = url.removeprefix("https://api.openai.com")
    return {
        "description": "a request for a completion",
        "providerState": "p",
        "request": {"method": "POST", "path": path, "headers": HEADERS, "body": REQUEST},
        "response": {
            "status": status,
            "headers": HEADERS,
            "body": answer,
            "matchingRules": {"$.body.id": {"match": "type"}},
        },
    }


def pact_4(answer: Any, url: str, status: int) -> Any:
    call = pact(answer, url, status) | {"type": "Synchronous/HTTP"}
    kind = {"contentType": "application/json", "encoded": False}
    call["request"] |= {"headers": LISTS, "body": {"content": REQUEST} | kind}
    call["response"] |= {"headers": LISTS, "body": {"content": answer} | kind}
    return call


def pact_4_encoded(answer: Any, url: str, status: int) -> Any:
    call = pact_4(answer, url, status)
    text = base64.b64encode(json.dumps(answer).encode()).decode()
    call["response"]["body"] |= {"content": text, "encoded": "base64"}
    return call


def in_yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False)


PACT = {"consumer": {"name": "a"}, "provider": {"name": "b"}}

RECORDERS: list[tuple[Call, Callable[[list[Any]], str]]] = [
    (go_vcr, lambda calls: "---\n" + in_yaml({"version": 2, "interactions": calls})),
    (go_vcr, lambda calls: json.dumps({"version": 2, "interactions": calls}, indent=1)),
    (r_vcr, lambda calls: in_yaml({"http_interactions": calls})),
    (r_vcr_2, lambda calls: in_yaml({"http_interactions": calls, "recorded_with": "VCR-vcr/2"})),
    (r_vcr, lambda calls: json.dumps({"http_interactions": calls})),
    (betamax, lambda calls: json.dumps({"http_interactions": calls, "recorded_with": "betamax"})),
    (exvcr, lambda calls: json.dumps(calls, indent=2)),
    (exvcr_binary, lambda calls: json.dumps(calls, indent=2)),
    (php_vcr, in_yaml),
    (php_vcr, lambda calls: json.dumps(calls)),
    (pact, lambda calls: json.dumps(PACT | {"interactions": calls}, indent=2)),
    (pact_4, lambda calls: json.dumps(PACT | {"interactions": calls}, indent=2)),
    (pact_4_encoded, lambda calls: json.dumps(PACT | {"interactions": calls}, indent=2)),
]


@pytest.mark.parametrize(("call", "text"), RECORDERS)
def test_a_recorder(call: Call, text: Callable[[list[Any]], str], tmp_path: Path) -> None:
    path = tmp_path / "cassette"
    error = {"error": {"message": "m", "type": "t", "param": None, "code": None}}
    calls = [
        call(ANSWER, URL, 200),
        call(EMBEDDINGS, OTHER_URL, 200),
        call(WRONG, URL, 200),
        call(error, URL, 404),
    ]
    path.write_text(text(calls))
    assert verdict(path) == ([[], ["U02"], []], 1, [])
    exchanges, _ = exchanges_in(path)
    request, response = exchanges[3].request, exchanges[3].response
    assert request is not None
    assert response is not None
    assert response.status == 404
    assert request.method == "POST"
    assert request.json() == REQUEST
    assert response.headers["x-request-id"] == "r"


def test_a_call_of_exvcr_that_failed(tmp_path: Path) -> None:
    path = tmp_path / "cassette.json"
    failed = exvcr(ANSWER, URL, 200)
    failed["response"] = {"type": "error", "body": {"reason": "timeout"}, "status_code": None}
    damaged = exvcr_binary(ANSWER, URL, 200)
    damaged["response"]["body"] = "g20="
    path.write_text(json.dumps([failed, damaged]))
    reason = "response: the binary body is not a binary of Erlang"
    assert verdict(path) == ([[]], 0, [f"f: interaction 1: {reason}"])


def test_a_body_of_r_in_another_file(tmp_path: Path) -> None:
    path = tmp_path / "cassette.yml"
    call = r_vcr(ANSWER, URL, 200)
    call["response"]["body"] |= {"file": True, "string": "../files/a.json"}
    path.write_text(in_yaml({"http_interactions": [call]}))
    reason = "response: the body is in another file, '../files/a.json'"
    assert verdict(path) == ([], 0, [f"f: interaction 0: {reason}"])
