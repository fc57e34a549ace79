"""Recordings of Polly.js: HAR whose bodies are lists of encoded chunks."""

from __future__ import annotations

import base64
import gzip
import io
import json
from typing import Any

import pytest
from test_format_ruby import ASKED, URL, wire

from pytest_chatapi.contract.check import check_exchange
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.errors import ReadError
from pytest_chatapi.reading.reader import read


def har(content: dict[str, Any], **headers: str) -> str:
    entry = {
        "_id": "a",
        "_order": 0,
        "request": {"method": "POST", "url": URL, "postData": {"text": json.dumps(ASKED)}},
        "response": {
            "status": 200,
            "headers": [{"name": name, "value": value} for name, value in headers.items()],
            "content": {"mimeType": "application/json", **content},
        },
    }
    log = {"_recordingName": "r", "creator": {"name": "Polly.JS"}, "entries": [entry]}
    return json.dumps({"log": log})


def read_har(content: dict[str, Any]) -> Exchange:
    (exchange,) = read(io.BytesIO(har(content).encode()), name="f")
    return exchange


def chunks(data: bytes, encode: Any, size: int = 40) -> str:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return json.dumps([encode(part) for part in parts])


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


FORMS = {
    "base64 chunks": lambda data: {"encoding": "base64", "text": chunks(data, base64_of)},
    "base64": lambda data: {"encoding": "base64", "text": base64_of(data)},
    "hex chunks named base64": lambda data: {"encoding": "base64", "text": chunks(data, bytes.hex)},
    "hex chunks": lambda data: {"text": chunks(data, bytes.hex)},
    "hex chunks of version 4": lambda data: {"_isBinary": True, "text": chunks(data, bytes.hex)},
    "hex, migrated": lambda data: {"encoding": "hex", "text": data.hex()},
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_chunks_are_joined(form: str, zipped: bool) -> None:
    for total, expected in [(13, []), (14, ["U02"])]:
        data = gzip.compress(wire(total), mtime=0) if zipped else wire(total)
        exchange = read_har(FORMS[form](data))
        assert exchange.response is not None
        assert exchange.response.body == wire(total)
        assert [finding.code for finding in check_exchange(exchange).findings] == expected


@pytest.mark.parametrize("text", ['["a", "b"]', "[1]", '["abc"]', "[]", wire().decode()])
def test_plain_text_stays(text: str) -> None:
    exchange = read_har({"text": text})
    assert exchange.response is not None
    assert exchange.response.body == text


def test_chunks_that_are_not_base64() -> None:
    with pytest.raises(ReadError, match=r"^f: interaction 0: response: the body is not base64$"):
        read_har({"encoding": "base64", "text": '["e30=", "?"]'})
