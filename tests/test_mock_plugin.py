"""The mock and faults as pytest shows them: fixtures, marker, virtual time, messages."""

from __future__ import annotations

from typing import Any

import pytest
from recording_runs import REAL_SLEEPS, bodies

MOCK = """
from pytest_chatapi import faults
from pytest_chatapi.mock import text, tool_call
URL = "https://api.openai.com/v1/chat/completions"
"""


@pytest.fixture(autouse=True)
def _no_server(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL")
    monkeypatch.delenv("OPENAI_API_KEY")


def test_every_client_is_answered(run: Any) -> None:
    test = (
        MOCK
        + """
import asyncio, requests

def test_sdk(chatapi_mock):
    chatapi_mock.reply("Hello!")
    answer = openai.OpenAI().chat.completions.create(**ask())
    assert answer.choices[0].message.content == "Hello!"
    stream = openai.OpenAI().chat.completions.create(**ask(), stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in stream) == "Hello!"

def test_async_sdk(chatapi_mock):
    chatapi_mock.reply("Hello!")
    async def go():
        async with openai.AsyncOpenAI() as client:
            return await client.chat.completions.create(**ask())
    assert asyncio.run(go()).choices[0].message.content == "Hello!"

@pytest.mark.parametrize("family", [httpx, httpx2])
def test_httpx(chatapi_mock, family):
    chatapi_mock.reply("Hello!")
    assert family.post(URL, json=ask()).status_code == 200

def test_requests(chatapi_mock):
    chatapi_mock.reply("Hello!")
    assert requests.post(URL, json=ask()).json()["choices"][0]["message"]["content"] == "Hello!"

def test_aiohttp(chatapi_mock):
    import aiohttp
    chatapi_mock.reply("Hello!")
    async def go():
        async with aiohttp.ClientSession() as session, session.post(URL, json=ask()) as response:
            return await response.json()
    assert asyncio.run(go())["choices"][0]["message"]["content"] == "Hello!"

def test_fixtures(chatapi_mock, chatapi, openai_client, chatapi_client):
    chatapi_mock.reply("Hello!")
    assert openai_client.chat.completions.create(**ask()).choices
    assert chatapi_client.post("/chat/completions", json=ask()).status_code == 200
    assert [e.response.status for e in chatapi.exchanges] == [200, 200]
    assert chatapi.findings == []
    assert chatapi.usage.total_tokens > 0
    assert len(chatapi_mock.requests) == 2
"""
    )
    run(test).assert_outcomes(passed=7)


def test_the_same_answer_in_every_run(run: Any) -> None:
    test = (
        MOCK
        + """
def test_a(chatapi_mock, openai_client):
    chatapi_mock.reply("Hello!")
    print("ID", openai_client.chat.completions.create(**ask()).id)
"""
    )
    ids = [run(test, "-s").stdout.str().partition("ID ")[2].split()[0] for _ in range(2)]
    assert ids[0] == ids[1]


def test_unused_replies_fail(run: Any) -> None:
    test = (
        MOCK
        + """
def test_a(chatapi_mock, openai_client):
    chatapi_mock.script(["Hello!", "again", "and again"])
    chatapi_mock.chat(prompt="Never").reply("x")
    openai_client.chat.completions.create(**ask())
"""
    )
    result = run(test)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "unused mock replies:",
            "  chat(): 2 of 3 script turns",
            '  chat(prompt="Never"): never requested',
            "remove them, or allow them: unplayed='ignore'",
        ],
        consecutive=True,
    )
    run(MOCK, ini="chatapi_unplayed = ignore").assert_outcomes()
    run(test, ini="chatapi_unplayed = ignore").assert_outcomes(passed=1)
    run(test, ini="chatapi_unplayed = warn").stdout.fnmatch_lines(
        ["test_it.py::test_a: unused mock replies:"]
    )


def test_an_unmatched_request_fails_even_where_code_hides_it(run: Any) -> None:
    test = (
        MOCK
        + """
def test_a(chatapi_mock, openai_client):
    chatapi_mock.chat(prompt="Hello").reply("x")
    openai_client.chat.completions.create(**ask("Hello"))
    try:
        openai_client.chat.completions.create(**ask("Goodbye"))
    except BaseException:
        pass
"""
    )
    result = run(test)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "no reply for POST chat/completions gpt-5.2",
            "  sent from test_it.py:[0-9]*",
            "  because   no route of the mock matches it",
            '            1. chat(prompt="Hello"): prompt is "Goodbye"',
            "  reply     chatapi_mock.reply(...), or chatapi_mock.chat(prompt=...).reply(...)",
        ],
        consecutive=True,
    )


def test_the_network_is_out_of_reach(run: Any) -> None:
    test = (
        MOCK
        + """
import socket
def test_a(chatapi_mock):
    socket.create_connection(("192.0.2.1", 80), timeout=1)
"""
    )
    run(test).stdout.fnmatch_lines(["*no recording for a connection to 192.0.2.1:80*"])


def test_what_passes_through_may_leave_the_machine(run: Any) -> None:
    test = (
        MOCK
        + """
import importlib.util

def test_a(chatapi_mock):
    assert importlib.util.find_spec("requests")
    import requests
    chatapi_mock.route(host="passed.invalid").pass_through()
    chatapi_mock.reply("Hello!")
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://passed.invalid/")
    with pytest.raises(requests.ConnectionError):
        requests.get("http://passed.invalid/")
    assert requests.post(URL, json=ask()).status_code == 200
    import socket
    socket.create_connection(("other.invalid", 80), timeout=1)
"""
    )
    result = run(test)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no recording for a connection to other.invalid:80*"])


def test_hand_made_answers_are_judged_where_a_policy_says_so(run: Any) -> None:
    test = (
        MOCK
        + """
def test_a(chatapi_mock, chatapi_client):
    chatapi_mock.reply({"id": "x"})
    chatapi_client.post("/chat/completions", json=ask())
"""
    )
    run(test).assert_outcomes(passed=1)
    run(test, "--chatapi-policy=error").assert_outcomes(failed=1)


def test_retries_take_no_time_and_are_on_the_handle(run: Any) -> None:
    test = (
        MOCK
        + REAL_SLEEPS
        + """
def test_a(chatapi_mock, chatapi, openai_client, real_sleeps):
    chatapi_mock.script([faults.rate_limit(retry_after=7), faults.rate_limit(retry_after=9), "Hi"])
    assert openai_client.chat.completions.create(**ask()).choices[0].message.content == "Hi"
    assert chatapi.slept == [7, 9]
    assert not any(real_sleeps)

async def go():
    async with openai.AsyncOpenAI() as client:
        return await client.chat.completions.create(**ask())

def test_async(chatapi_mock, chatapi, real_sleeps):
    chatapi_mock.script([faults.rate_limit(retry_after=7), "Hi"])
    asyncio.run(go())
    assert chatapi.slept == [7]
    assert not any(real_sleeps)

@pytest.mark.chatapi(virtual_time=False)
def test_real(chatapi_mock, chatapi, openai_client, real_sleeps):
    chatapi_mock.script([faults.server_error(), "Hi"])
    openai_client.chat.completions.create(**ask())
    assert len(list(filter(None, real_sleeps))) == 1
    assert chatapi.slept == []
"""
    )
    run(test).assert_outcomes(passed=3)


def test_injected_faults(run: Any) -> None:
    test = (
        MOCK
        + """
def test_a(chatapi_mock, chatapi, openai_client):
    plan = chatapi.inject("2*rate_limit, cut(chunks=3), ok")
    chatapi_mock.reply("A long answer in several chunks")
    stream = openai_client.chat.completions.create(**ask(), stream=True)
    with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
        list(stream)
    assert list(openai_client.chat.completions.create(**ask(), stream=True))
    assert [str(fault) for fault in plan.happened] == ["rate_limit", "rate_limit", "cut(chunks=3)"]
    assert len(chatapi.slept) == 2
"""
    )
    run(test).assert_outcomes(passed=1)


RECORDED = (
    MOCK
    + """
import os
def converse():
    client = openai.OpenAI(base_url=os.environ.get("SERVER"), api_key="k3y-of-the-test")
    for attempt in range(2):
        try:
            said = ""
            for chunk in client.chat.completions.create(**ask(), stream=True):
                said += chunk.choices[0].delta.content or "" if chunk.choices else ""
            return said
        except (openai.APIError, httpx.HTTPError):
            if attempt:
                raise
"""
)


def test_faults_on_a_cassette(
    run: Any, pytester: pytest.Pytester, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER", server.url)
    test = (
        RECORDED
        + """
@pytest.mark.chatapi_faults("rate_limit", "server_error", "cut(chunks=3)",
                            "2*server_error, cut(chunks=1)")
@pytest.mark.parametrize("who", ["a", "b"])
def test_survives(who):
    assert converse() == "Hello caf\\u00e9!"
"""
    )
    plain = (
        RECORDED
        + """
@pytest.mark.chatapi
@pytest.mark.parametrize("who", ["a", "b"])
def test_survives(who):
    assert converse() == "Hello caf\\u00e9!"
"""
    )
    run(plain, "--record-mode=once").assert_outcomes(passed=2)
    recorded = {p.name for p in (pytester.path / "cassettes" / "test_it").iterdir()}
    assert recorded == {"test_survives[a].yaml", "test_survives[b].yaml"}
    seen = len(server.seen)
    result = run(test, "-v")
    result.assert_outcomes(passed=8)
    result.stdout.fnmatch_lines(["*::test_survives[[]a-2*server_error, cut(chunks=1)[]] PASSED*"])
    assert len(server.seen) == seen
    assert len(bodies(pytester.path / "cassettes" / "test_it" / "test_survives[a].yaml")) == 1


def test_what_a_fault_cannot_change_is_skipped(run: Any) -> None:
    test = (
        MOCK
        + """
@pytest.mark.chatapi_faults("tool_index_missing", "usage_null_details")
def test_a(chatapi_mock, openai_client):
    chatapi_mock.reply("text")
    openai_client.chat.completions.create(**ask())

@pytest.mark.chatapi_faults("rate_limit")
def test_b(chatapi_mock): ...
"""
    )
    result = run(test, "-rs")
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(
        [
            "*tool_index_missing: there is nothing in this traffic that it could change; "
            "it changes streams only: request with stream=True",
            "*rate_limit: the test requested no chat completion",
        ]
    )


def test_a_plan_that_never_happens_is_skipped(run: Any) -> None:
    test = (
        MOCK
        + """
def test_a(chatapi_mock, chatapi, openai_client):
    chatapi.inject("ok, ok", faults.rate_limit(retry_after=7))
    chatapi_mock.reply("text")
    openai_client.chat.completions.create(**ask())

def test_b(chatapi_mock, chatapi):
    chatapi.inject("rate_limit")

@pytest.mark.chatapi_faults("ok", "cut")
def test_c(chatapi_mock, openai_client):
    chatapi_mock.reply("text")
    try:
        openai_client.chat.completions.create(**ask())
    except openai.APIConnectionError:
        pass
"""
    )
    result = run(test, "-rs")
    result.assert_outcomes(passed=2, skipped=2)
    result.stdout.fnmatch_lines(
        [
            "*ok, ok, rate_limit(retry_after=7): its turn did not come in 1 chat completion",
            "*rate_limit: the test requested no chat completion",
        ]
    )


def test_a_set_is_one_test_for_each(run: Any) -> None:
    test = (
        MOCK
        + """
client = openai.OpenAI(api_key="k", max_retries=3, timeout=60)

@pytest.mark.chatapi_faults("resilience", "compatible-servers")
def test_a(chatapi_mock):
    chatapi_mock.reply("A text of a few words")
    try:
        client.chat.completions.create(**ask())
    except openai.APIError:
        pass
"""
    )
    # Of a body that ends early, or is none, the SDK makes an error of the JSON parser.
    result = run(test)
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] > 40
    assert outcomes["failed"] == 2
    result.stdout.fnmatch_lines(["FAILED *[[]empty_body[]]*", "FAILED *[[]gzip_cut[]]*"])


def test_a_failure_says_what_was_injected_where(run: Any) -> None:
    test = """
@pytest.mark.chatapi_faults("server_error, gzip_cut")
def test_a(chatapi_mock, openai_client):
    chatapi_mock.reply("x")
    client = openai_client.with_options(max_retries=1)
    client.chat.completions.create(**ask())
"""
    result = run(test)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "-* Captured chatapi call -*",
            "injected faults:",
            "  exchange 0, sent from test_it.py:[0-9]*: server_error (500: the server failed)",
            "  exchange 1, sent from test_it.py:[0-9]*: gzip_cut (The body is compressed with",
            "    gzip, and ends in the middle of the compressed data)",
        ],
        consecutive=True,
    )


TAKES = "@pytest.mark.chatapi_faults takes names of faults, plans or sets: "


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            '"rate_limt"',
            "@pytest.mark.chatapi_faults: unknown fault 'rate_limt': did you mean rate_limit?*",
        ),
        (
            '"resilence"',
            "@pytest.mark.chatapi_faults: unknown fault 'resilence': did you mean resilience?*",
        ),
        ("", TAKES + "resilience, compatible-servers"),
        ("name=1", TAKES + "resilience, compatible-servers"),
        (
            '["cut", "reset"]',
            "@pytest.mark.chatapi_faults: pass names as separate arguments, not a list",
        ),
        ("1", "@pytest.mark.chatapi_faults takes names of faults, plans or sets, not int"),
    ],
)
def test_wrong_scenarios_are_an_error_of_one_line_at_collection(
    run: Any, arguments: str, message: str
) -> None:
    result = run(f"@pytest.mark.chatapi_faults({arguments})\ndef test_a(): ...")
    result.assert_outcomes(errors=1)
    message = f"test_it.py::test_a: {message}".replace("[", "[[]")
    result.stdout.fnmatch_lines(
        ["_* ERROR collecting test_it.py _*", message, "=* short test summary info *"],
        consecutive=True,
    )


@pytest.mark.parametrize(
    "call",
    [
        'chat(prompt__cont="x")',
        'chat("weather")',
        'chat(promt="x")',
        'chat(prompt__regex="(")',
        "reply(3)",
        'script("x")',
    ],
)
def test_a_wrong_call_of_the_mock_shows_no_frame_of_ours(run: Any, call: str) -> None:
    result = run(f"def test_a(chatapi_mock):\n    chatapi_mock.{call}")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E   *SettingError: *", "test_it.py:*: SettingError"])
    result.stdout.no_fnmatch_line("*pytest_chatapi/mock/*")


def test_scenarios_disturb_no_other_recorder(run: Any) -> None:
    result = run("""
@pytest.mark.vcr
@pytest.mark.chatapi_faults("rate_limit")
def test_a(): ...
""")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["@pytest.mark.chatapi_faults does not work with @pytest.mark.vcr: *"]
    )
