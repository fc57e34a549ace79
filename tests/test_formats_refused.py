"""What is named instead of read, with the mapping that would read it where one does."""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest
from read_files import REQUEST, WRONG, verdict

from pytest_chatapi.cli.main import main

URL = "https://api.openai.com/v1/chat/completions"
RAW = json.dumps(REQUEST)
WRONG_RAW = json.dumps(WRONG)

LANGSMITH = {"id": "r", "run_type": "llm", "inputs": REQUEST, "outputs": WRONG, "error": None}
HELICONE = {
    "request_id": "r",
    "request_path": URL,
    "request_body": REQUEST,
    "response_body": WRONG,
    "response_status": 200,
}
POSTMAN_INFO = {"schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"}
POSTMAN_REQUEST = {"method": "POST", "body": {"mode": "raw", "raw": RAW}, "url": {"raw": URL}}
POSTMAN_ITEM = {
    "name": "hello",
    "request": POSTMAN_REQUEST,
    "response": [{"originalRequest": POSTMAN_REQUEST, "code": 200, "body": WRONG_RAW}],
}
POSTMAN_ITEM_OF_V2 = POSTMAN_ITEM | {
    "response": [
        {"originalRequest": POSTMAN_REQUEST | {"url": URL}, "code": 200, "body": WRONG_RAW}
    ]
}
MOCKSERVER_REQUEST = {"method": "POST", "path": "/v1/chat/completions"}

# What it is, and a document.
MAPPED: list[tuple[str, Any]] = [
    ("a run of LangSmith", LANGSMITH),
    ("a run of LangSmith", [LANGSMITH]),
    ("a run of LangSmith", LANGSMITH | {"error": "RateLimitError"}),
    ("requests of Helicone", HELICONE),
    ("requests of Helicone", {"data": [HELICONE], "error": None}),
    ("a collection of Postman", {"info": POSTMAN_INFO, "item": [POSTMAN_ITEM]}),
    ("a collection of Postman", {"info": {"_postman_id": "p"}, "item": [{"item": [POSTMAN_ITEM]}]}),
    ("a collection of Postman", {"info": POSTMAN_INFO, "item": [POSTMAN_ITEM_OF_V2]}),
    (
        "a simulation of Hoverfly",
        {
            "data": {
                "pairs": [
                    {
                        "request": {
                            "path": [{"matcher": "exact", "value": "/v1/chat/completions"}],
                            "body": [{"matcher": "json", "value": RAW}],
                        },
                        "response": {"status": 200, "body": WRONG_RAW, "encodedBody": False},
                    }
                ]
            },
            "meta": {"schemaVersion": "v5"},
        },
    ),
    (
        "expectations of MockServer",
        [
            {
                "httpRequest": MOCKSERVER_REQUEST | {"body": {"type": "JSON", "json": REQUEST}},
                "httpResponse": {"statusCode": 200, "body": WRONG_RAW},
            }
        ],
    ),
    (
        "expectations of MockServer",
        {
            "httpRequest": MOCKSERVER_REQUEST | {"body": {"type": "STRING", "string": RAW}},
            "httpResponse": {"body": {"type": "JSON", "json": WRONG_RAW}},
        },
    ),
    (
        "expectations of MockServer",
        {"httpRequest": MOCKSERVER_REQUEST, "httpResponse": {"body": WRONG}},
    ),
    (
        "a mapping of WireMock.Net",
        {
            "Guid": "g",
            "Request": {"Path": {"Matchers": [{"Pattern": "/v1/chat/completions"}]}},
            "Response": {"StatusCode": 200, "BodyAsJson": WRONG},
        },
    ),
    (
        "a mapping of WireMock.Net",
        {
            "Request": {"Path": "/v1/chat/completions"},
            "Response": {"StatusCode": 200, "Body": WRONG_RAW},
        },
    ),
    (
        "an environment of Mockoon",
        {
            "lastMigration": 1,
            "routes": [{"responses": [{"statusCode": 200, "body": WRONG_RAW}]}],
        },
    ),
]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(value: Any) -> Path:
        path = tmp_path / "export.json"
        path.write_text(json.dumps(value, indent=1))
        return path

    return write


def mapping_of(error: str) -> str:
    match = re.search(r"--map '(.+)'", error)
    assert match is not None
    return match[1]


@pytest.mark.parametrize(("name", "value"), MAPPED)
def test_the_mapping_in_the_message_reads_it(name: str, value: Any, write: Any) -> None:
    path = write(value)
    codes, skipped, (error,) = verdict(path)
    assert (codes, skipped) == ([], 0)
    assert error.startswith(f"f: {name}, not read directly: use --map '")
    assert verdict(path, mapping_of(error)) == ([["U02"]], 0, [])


def test_an_exchange_in_a_known_format_is_read(write: Any) -> None:
    span = {"attributes": {"gen_ai.system": "openai"}}
    headers = {"content-type": "application/json", "x-request-id": "r"}
    known = {"response": {"status": 200, "headers": headers, "body": WRONG}}
    assert verdict(write(span | known)) == ([["U02"]], 0, [])
    assert verdict(write([span | known])) == ([["U02"]], 0, [])


def test_lines_are_named_once(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(f"{json.dumps(LANGSMITH)}\n" * 3)
    (error,) = verdict(path).errors
    assert verdict(path, mapping_of(error)) == ([["U02"]] * 3, 0, [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (
            "a collection of Postman",
            {"info": POSTMAN_INFO, "item": [{"request": POSTMAN_REQUEST, "response": []}]},
        ),
        (
            "an export of Insomnia",
            {
                "__export_format": 4,
                "resources": [{"body": {"text": RAW}, "url": URL, "method": "POST"}],
            },
        ),
    ],
)
def test_requests_alone(name: str, value: Any, write: Any) -> None:
    text = json.dumps(value).replace('\\"gpt-4o-mini\\"', "5")  # the model is not a text
    path = write(json.loads(text))
    (error,) = verdict(path).errors
    assert error.startswith(f"f: {name}, not read directly: use --map '")
    assert verdict(path, mapping_of(error)) == ([["Q00"]], 0, [])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (
            {"resourceSpans": [{"scopeSpans": []}]},
            "spans of OpenTelemetry, not read: none has gen_ai.output.messages, so there is no "
            "response",
        ),
        (
            {"name": "chat", "attributes": {"gen_ai.request.model": "m"}},
            "spans of OpenTelemetry, not read: none has gen_ai.output.messages, so there is no "
            "response",
        ),
        (
            {"type": "Point", "metric": "http_reqs", "data": {"value": 1}},
            "measurements of k6, not read: they have no bodies",
        ),
    ],
)
def test_what_no_mapping_reads(value: Any, reason: str, write: Any) -> None:
    assert verdict(write(value)) == ([], 0, [f"f: {reason}"])


def a_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("raw/1_c.txt", "x")


def a_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("create table t (a)")
    connection.close()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (a_zip, "a zip file (Fiddler's .saz is one): unpack it, or save the traffic as HAR"),
        (a_database, "an SQLite database: export the rows as JSON Lines"),
        (b"\xd4\xc3\xb2\xa1\x02\x00", "a packet capture (pcap): "),
        (b"\xa1\xb2\xc3\xd4\x00\x02", "a packet capture (pcap): "),
        (b"\n\r\r\n\x1c\x00\x00\x00\x4d\x3c\x2b\x1a\x01\x00", "a packet capture (pcap): "),
        (b'<?xml version="1.0"?>\n<testResults version="1.2">', "a file of JMeter: "),
        (b"<jmeterTestPlan>", "a file of JMeter: "),
        (
            b'<?xml version="1.0"?>\n<!DOCTYPE items [\n<!ELEMENT items (item*)>\n]>\n'
            b'<items burpVersion="2024.1">',
            "an export of Burp: save the traffic as HAR",
        ),
        (
            b'<?xml version="1.0" encoding="UTF-8" ?>\n<?charles serialisation-version="2.0" ?>\n'
            b"<charles-session>",
            "an XML session of Charles: save it as HAR, or as JSON (.chlsj)",
        ),
    ],
)
def test_files_that_hold_no_json(content: Any, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    (error,) = verdict(path).errors
    assert error.startswith(f"f: {kind}")
    path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    assert verdict(path).errors == [error]


def test_in_a_folder_they_are_passed_over(write: Any, tmp_path: Path) -> None:
    write(LANGSMITH)
    (tmp_path / "good.json").write_text(WRONG_RAW)
    assert main(["check", str(tmp_path)]) == 1
