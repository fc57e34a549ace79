"""A recording from which secrets were taken is still found: both sides are masked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from pytest_chatapi.recording.transport import RecordReplayTransport

SECRET = "Zq7x" + "R2mK9wLp4TbV8s"
KEY = "sk-" + "a1B2" * 6
URL = "https://api.example.test/v1/chat/completions"
JSON = {"content-type": "application/json"}


def chat(content: Any, **more: Any) -> str:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": content}], **more})


def lines(text: str) -> bytes:
    return "".join(
        json.dumps({"response": text[i : i + 4]}) + "\n" for i in range(0, 60, 4)
    ).encode()


KINDS: dict[str, dict[str, Any]] = {
    "member": {"content": chat("a", metadata={"client_secret": SECRET})},
    "member in a string": {"content": chat(json.dumps({"password": SECRET}))},
    "member of a response": {"answer": json.dumps({"api_key": SECRET}).encode()},
    "form": {
        "content": f"a=1&password={SECRET}",
        "headers": {"content-type": "application/x-www-form-urlencoded"},
    },
    "parameter": {"url": f"{URL}?sig={SECRET}&b=1"},
    "password in the URL": {"url": URL.replace("//", f"//me:{SECRET}@")},
    "next": {"url": f"{URL}?next={quote(f'https://h.test/?sig={SECRET}', safe='')}"},
    "bot": {"url": f"https://api.example.test/bot{KEY}/send"},
    "URL in a text": {"content": chat(f"see https://me:{SECRET}@h.test/?sig={SECRET}")},
    "MCP": {"content": chat("a", tools=[{"server_url": "h", "headers": {"X-Acme": SECRET}}])},
    "header": {
        "headers": {**JSON, "helicone-auth": f"Bearer {SECRET}"},
        "content": chat("a"),
        "answer": json.dumps({"error": f"bad {SECRET}"}).encode(),
    },
    "entities": {"content": chat("".join(f"&#{ord(char)};" for char in KEY))},
    "bytes": {"content": chat("a", data=list(KEY.encode()))},
    "utf-16": {"content": chat(KEY).encode("utf-16"), "answer": chat(KEY).encode("utf-16-le")},
    "lines": {"answer": lines(f"It is {KEY}. And " + json.dumps({"password": SECRET}))},
    "vendor": {"content": chat("npm_" + "a1B2" * 9)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_replays(kind: str, tmp_path: Path) -> None:
    case = {"url": URL, "content": chat("a"), "headers": JSON, "answer": b"{}", **KINDS[kind]}
    path = tmp_path / "it.yaml"

    def send(mode: str) -> httpx.Response:
        server = httpx.MockTransport(lambda request: httpx.Response(200, content=case["answer"]))
        with httpx.Client(
            transport=RecordReplayTransport(path, transport=server, record_mode=mode)
        ) as client:
            return client.post(case["url"], content=case["content"], headers=case["headers"])

    assert send("all").content == case["answer"]  # the client gets what was sent
    written = path.read_bytes().replace(b"\\0", b"").replace(b"\0", b"").decode()
    for secret in (SECRET, KEY, "npm_a1B2", "&#115;", "115,"):
        assert secret not in written
    assert send("none").status_code == 200
