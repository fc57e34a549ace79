"""The fixture ``chatapi_server``: subprocesses are recorded, replayed, mocked and judged."""

from __future__ import annotations

from typing import Any

import pytest
from recording_runs import REAL_SLEEPS, bodies

CHILD = '''
import subprocess, sys
from pytest_chatapi import faults
CODE = """
import openai
stream = openai.OpenAI().chat.completions.create(
    model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}], stream=True)
print("".join(c.choices[0].delta.content or "" for c in stream if c.choices))
"""
def child(code=CODE):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return (done.stdout + done.stderr).strip()
# Asks once more after an error, as the SDK does, and starts in a fifth of its time.
PLAIN_CODE = """
import http.client, json, os, urllib.parse
url = urllib.parse.urlsplit(os.environ["OPENAI_BASE_URL"])
messages = [{"role": "user", "content": "Hi"}]
asked = json.dumps({"model": "gpt-4o-mini", "messages": messages, "stream": True})
for turn in range(2):
    connection = http.client.HTTPConnection(url.netloc)
    connection.request("POST", url.path + "/chat/completions", asked)
    with connection.getresponse() as response:
        text = response.read().decode()
    if response.status == 200:
        break
chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
print("".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"]))
"""
'''


def test_a_subprocess_is_recorded_and_replayed(
    run: Any, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, server: Any
) -> None:
    test = (
        CHILD
        + """
def test_a(chatapi_server, chatapi):
    assert chatapi_server.startswith("http://127.0.0.1:")
    assert child() == "Hello caf\\u00e9!"
    (exchange,) = chatapi.exchanges
    assert exchange.request.url.endswith("/v1/chat/completions")
"""
    )
    seen = len(server.seen)
    run(test, "--record-mode=once").assert_outcomes(passed=1)
    assert len(server.seen) == seen + 1
    path = pytester.path / "cassettes" / "test_it" / "test_a.yaml"
    assert len(bodies(path)) == 1
    assert server.url.rpartition(":")[2] in path.read_text()
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.delenv("OPENAI_API_KEY")
    run(test.replace("child()", "child(PLAIN_CODE)")).assert_outcomes(passed=1)
    assert len(server.seen) == seen + 1


def test_a_subprocess_without_recording_fails_the_test(run: Any) -> None:
    result = run(CHILD + "def test_a(chatapi_server): child(PLAIN_CODE)")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "no recording for POST chat/completions gpt-4o-mini stream",
            "  because   the cassette cassettes/test_it/test_a.yaml does not exist",
        ]
    )


def test_a_mock_behind_the_server(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.delenv("OPENAI_API_KEY")
    test = (
        CHILD
        + REAL_SLEEPS
        + """
import os
def test_a(chatapi_mock, chatapi_server, chatapi):
    chatapi_mock.script([faults.overloaded(), "Hello there!"])
    assert child(PLAIN_CODE) == "Hello there!"
    assert len(chatapi_mock.requests) == 2

def test_in_this_process(chatapi_mock, chatapi_server, chatapi, openai_client):
    chatapi_mock.reply("Hello!")
    for family in (httpx, httpx2):
        assert family.post(chatapi_server + "/chat/completions", json=ask()).status_code == 200
    import requests
    assert requests.post(chatapi_server + "/chat/completions", json=ask()).status_code == 200
    assert openai.OpenAI().chat.completions.create(**ask()).choices
    assert len(chatapi.exchanges) == 4

@pytest.mark.chatapi(virtual_time=True)
def test_stalls_are_real_and_backoff_is_not(chatapi_mock, chatapi_server, chatapi, real_sleeps):
    chatapi.inject("overloaded, stall(seconds=0.4)")
    chatapi_mock.reply("Hello!")
    client = openai.OpenAI()
    assert list(client.chat.completions.create(**ask(), stream=True))
    assert 0.4 in real_sleeps
    (backoff,) = chatapi.slept
    assert backoff not in real_sleeps

def test_what_polls_a_server_takes_its_time(chatapi_mock, chatapi_server, chatapi, real_sleeps):
    time.sleep(0.7)
    chatapi.inject("overloaded")
    asyncio.run(asyncio.sleep(0.8))
    assert [s for s in real_sleeps if s > 0.6] == [0.7, 0.8]
    assert chatapi.slept == []
    assert httpx.post(chatapi_server + "/chat/completions", json=ask()).status_code == 503

def test_after():
    assert "OPENAI_BASE_URL" not in os.environ
"""
    )
    run(test).assert_outcomes(passed=5)


def test_a_cut_is_one_on_the_wire(run: Any) -> None:
    test = (
        CHILD
        + """
@pytest.mark.chatapi_faults("cut(chunks=3)", "reset")
def test_a(chatapi_mock, chatapi_server):
    chatapi_mock.reply("Hello there, whoever you may be!")
    said = child(PLAIN_CODE)
    assert "IncompleteRead" in said or "ConnectionResetError" in said
"""
    )
    run(test).assert_outcomes(passed=2)


def test_in_process_clients_are_recorded_once(run: Any, pytester: pytest.Pytester) -> None:
    test = """
@pytest.mark.parametrize("family", [httpx, httpx2])
def test_a(chatapi_server, family):
    assert family.post(chatapi_server + "/chat/completions", json=ask()).status_code == 200
"""
    run(test, "--record-mode=once").assert_outcomes(passed=2)
    for path in (pytester.path / "cassettes" / "test_it").iterdir():
        assert len(bodies(path)) == 1


def test_the_extra_is_named(run: Any, pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import sys; sys.modules['uvicorn'] = None")
    result = run("def test_a(chatapi_server): ...")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["* is not installed: pip install 'pytest-chatapi[[]server]'"])
