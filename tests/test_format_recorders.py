"""Recorders whose files resemble vcrpy's or have an exchange a line, and are read as they are."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
import yaml

from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.reading.reader import read
from tests.test_format_ruby import ASKED, URL, completion, wire

SENT = json.dumps(ASKED)
JSON_TYPE = {"Content-Type": ["application/json"]}


def go_vcr(total: int) -> str:
    request = {"proto": "HTTP/1.1", "body": SENT, "form": {}, "url": URL, "method": "POST"}
    response = {"body": wire(total).decode(), "headers": JSON_TYPE, "status": "200 OK", "code": 200}
    interaction = {"id": 0, "request": request, "response": response}
    return yaml.safe_dump({"version": 2, "interactions": [interaction]})


def betamax(total: int) -> str:
    body = {"encoding": "utf-8", "base64_string": base64.b64encode(wire(total)).decode()}
    request = {"body": {"encoding": "utf-8", "string": SENT}, "method": "POST", "uri": URL}
    response = {"body": body, "headers": JSON_TYPE, "status": {"code": 200, "message": "OK"}}
    interaction = {"request": request, "response": {**response, "url": URL}}
    return json.dumps({"http_interactions": [interaction], "recorded_with": "betamax/0.9.0"})


def php_vcr(total: int) -> str:
    request = {"method": "POST", "url": URL, "headers": {"Host": "api.openai.com"}, "body": SENT}
    status = {"http_version": "1.1", "code": "200", "message": "OK"}
    response = {"status": status, "body": wire(total).decode(), "curl_info": {"url": URL}}
    return yaml.safe_dump([{"request": request, "response": response, "index": 0}])


def pact(version: int, encoded: Any = False) -> Any:
    def write(total: int) -> str:
        def body(value: Any) -> Any:
            if version < 4:
                return value
            if encoded == "base64":
                value = base64.b64encode(json.dumps(value).encode()).decode()
            return {"content": value, "contentType": "application/json", "encoded": encoded}

        request = {"method": "POST", "path": "/v1/chat/completions", "body": body(ASKED)}
        response = {"status": 200, "headers": JSON_TYPE, "body": body(completion(total))}
        interaction = {"description": "a chat", "request": request, "response": response}
        return json.dumps({"consumer": {"name": "c"}, "interactions": [interaction]})

    return write


RECORDERS = {
    "go-vcr": go_vcr,
    "Betamax": betamax,
    "PHP-VCR": php_vcr,
    "Pact 3": pact(3),
    "Pact 4": pact(4),
    "Pact 4, base64": pact(4, "base64"),
    "Pact 4, JSON": pact(4, "JSON"),
}


@pytest.mark.parametrize("recorder", RECORDERS)
def test_one_fault_is_found_and_none_is_invented(recorder: str) -> None:
    for total, expected in [(13, []), (14, ["U02"])]:
        (exchange,) = read(io.BytesIO(RECORDERS[recorder](total).encode()), name="f")
        assert exchange.request is not None
        assert exchange.request.json() == ASKED
        assert not exchange.assembled
        findings = check_exchange(exchange).findings
        assert [f.code for f in findings if f.level != "note"] == expected
