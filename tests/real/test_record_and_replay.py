"""Record from a real server, replay without it: the same answers, in the same pieces."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import real_servers

from pytest_chatapi import RecordReplayTransport, check

QUESTION = {
    "model": real_servers.MODEL,
    "messages": [{"role": "user", "content": "Hello!"}],
    "max_tokens": 8,
}
STREAM = {**QUESTION, "stream": True, "stream_options": {"include_usage": True}}


def talk(family: Any, path: Path, url: str, mode: str) -> tuple[Any, list[bytes], list[Any]]:
    transport = RecordReplayTransport(path, record_mode=mode)
    headers = {"authorization": f"Bearer {real_servers.KEY}"}
    # The other tests may keep the machine busy.
    client = family.Client(base_url=url, transport=transport, headers=headers, timeout=60)
    with client:
        answer = client.post("/chat/completions", json=QUESTION).json()
        with client.stream("POST", "/chat/completions", json=STREAM) as response:
            pieces = list(response.iter_raw())
        return answer, pieces, transport.recorder.exchanges


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("name", ["llama", "aimock", "litserve"])
def test_round_trip(
    name: str, library: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(name)
    family = importlib.import_module(library)
    path = tmp_path / "c.yaml"
    answer, pieces, live = talk(family, path, url, "once")
    again, same, replayed = talk(family, path, "http://127.0.0.1:9/v1", "none")
    assert again == answer
    assert b"".join(same) == b"".join(pieces)
    assert len(same) == len(pieces) > 1
    assert real_servers.KEY not in path.read_text()
    codes = [[finding.code for finding in check(exchange)] for exchange in live]
    assert [[finding.code for finding in check(exchange)] for exchange in replayed] == codes
    if name == "llama":
        assert not [f for exchange in live for f in check(exchange) if f.level == "error"]
