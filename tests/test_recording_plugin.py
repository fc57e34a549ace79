"""The marker and the fixtures of record and replay, in runs of their own."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from inner_runs import run_apart, run_here
from recording_runs import VCR, bodies

PLAIN = """
@pytest.mark.chatapi
def test_a(openai_client, chatapi):
    answer = openai_client.chat.completions.create(**ask())
    assert answer.choices[0].message.content
    assert chatapi.usage.total_tokens == answer.usage.total_tokens
    assert [e.response.status for e in chatapi.exchanges] == [200]
    assert chatapi.findings == []
"""


def test_records_once_and_replays_without_network_or_key(
    pytester: pytest.Pytester, run: Any, monkeypatch: pytest.MonkeyPatch, server: Any
) -> None:
    run(PLAIN, "--record-mode=once").assert_outcomes(passed=1)
    assert len(bodies(pytester.path / "cassettes" / "test_it" / "test_a.yaml")) == 1
    seen = len(server.seen)
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.example.org/v1")
    run().assert_outcomes(passed=1)
    assert len(server.seen) == seen


def test_the_sdk_needs_no_key_to_replay(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    test = """
import os
@pytest.mark.chatapi
def test_a():
    assert openai.OpenAI().chat.completions.create(**ask()).choices
def test_b():
    assert not os.environ.get("OPENAI_API_KEY")
"""
    run(test, "--record-mode=once", "-k", "test_a").assert_outcomes(passed=1, deselected=1)
    monkeypatch.delenv("OPENAI_API_KEY")
    run().assert_outcomes(passed=2)


def test_own_clients_are_intercepted(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    test = """
import asyncio, os, threading
URL = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
pytestmark = pytest.mark.chatapi

@pytest.mark.parametrize("family", [httpx, httpx2])
def test_sync(family):
    assert family.post(URL, json=ask()).status_code == 200

@pytest.mark.parametrize("family", [httpx, httpx2])
def test_async(family):
    async def go():
        async with family.AsyncClient() as client:
            return await client.post(URL, json=ask())
    assert asyncio.run(go()).status_code == 200

def test_sdk():
    assert openai.OpenAI().chat.completions.create(**ask()).choices
    assert list(openai.OpenAI().chat.completions.create(**ask(), stream=True))

def test_thread(chatapi):
    thread = threading.Thread(target=lambda: httpx.post(URL, json=ask()))
    thread.start(); thread.join()
    assert len(chatapi.exchanges) == 1

def test_requests():
    import requests
    assert requests.post(URL, json=ask()).json()["choices"]

def test_urllib3():
    import urllib3, json
    body = json.dumps(ask()).encode()
    assert urllib3.PoolManager().request("POST", URL, body=body).status == 200

def test_aiohttp(chatapi):
    import aiohttp
    async def go():
        async with aiohttp.ClientSession() as session, session.post(URL, json=ask()) as response:
            return await response.json()
    assert asyncio.run(go())["choices"]
    assert len(chatapi.exchanges) == 1

async def get():
    async with httpx2.AsyncClient() as client:
        return await client.post(URL, json=ask())

@pytest.mark.asyncio
async def test_asyncio():
    assert (await get()).status_code == 200

@pytest.mark.anyio
async def test_anyio():
    assert (await get()).status_code == 200

@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param
"""
    run(test, "--record-mode=once").assert_outcomes(passed=12)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.example.org/v1")
    run().assert_outcomes(passed=12)


def test_a_library_that_is_imported_by_the_test_is_intercepted(
    pytester: pytest.Pytester, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In this process it has been imported, and so it has been wherever openai is.
    test = """
import os, pytest
ASK = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}

@pytest.mark.chatapi
def test_a():
    import requests
    response = requests.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=ASK)
    assert response.json()["choices"]
"""
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.delenv("CI", raising=False)
    pytester.makepyfile(test_it=test)
    run_here(pytester, "--record-mode=once").assert_outcomes(passed=1)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.example.org/v1")
    run_apart(pytester).assert_outcomes(passed=1)


def test_a_miss_passes_through_what_the_sdk_catches(run: Any) -> None:
    run(PLAIN, "--record-mode=once")
    result = run(PLAIN.replace("ask()", "ask('Ho')"))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "no recording for POST chat/completions gpt-5.2",
            "  sent from test_it.py:[0-9]*",
            "  because   cassettes/test_it/test_a.yaml has no such request",
            "  nearest   interaction 0",
            "    $.messages[[]0].content",
            '      recorded "Hi"',
            '      sent     "Ho"',
            "  record it pytest test_it.py::test_a --record-mode=rewrite",
            "*short test summary*",
        ],
        consecutive=True,
    )


def test_a_miss_that_was_swallowed_fails_at_the_end(run: Any) -> None:
    result = run(
        """
@pytest.mark.chatapi
def test_a(chatapi_client):
    try:
        chatapi_client.post("/chat/completions", json=ask())
    except BaseException:
        pass
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "no recording for POST chat/completions gpt-5.2",
            "  sent from test_it.py:[0-9]*",
            "  because   the cassette cassettes/test_it/test_a.yaml does not exist",
            "  record it pytest test_it.py::test_a --record-mode=once",
        ],
        consecutive=True,
    )


def test_a_finding_fails_the_call_and_nothing_is_written(
    pytester: pytest.Pytester, run: Any
) -> None:
    test = """
@pytest.mark.chatapi(profile="openai")
def test_a(chatapi_client, record_property):
    record_property("of", "somebody else")
    chatapi_client.post("/chat/completions", json=ask("ODD"))
"""
    result = run(test, "--record-mode=once")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "S03: POST * breaks the contract: 1 finding*",
            "  exchange  0 of this test",
            "  sent from test_it.py:[0-9]*",
        ]
    )
    assert not (pytester.path / "cassettes").exists()
    run(test, "--record-mode=once", "--chatapi-policy=off").assert_outcomes(passed=1)
    result = run("", "--chatapi-policy=warn")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "-* chat completions -*",
            "test_it.py::test_a: exchange 0: POST *: S03 *",
            "1 replayed: 21 tokens",
            "=* 1 passed *",
        ],
        consecutive=True,
    )
    run("", ini="chatapi_policy = off").assert_outcomes(passed=1)
    run("").assert_outcomes(failed=1)


@pytest.mark.parametrize("way", ["assert 0", "raise ValueError", "pytest.fail()"])
def test_a_test_that_fails_writes_nothing(pytester: pytest.Pytester, run: Any, way: str) -> None:
    test = PLAIN + f"    {way}\n"
    run(test, "--record-mode=once")
    assert not (pytester.path / "cassettes").exists()
    run(test, "--record-mode=once", ini="chatapi_record_on_failure = true")
    assert (pytester.path / "cassettes").exists()


def test_record_on_failure_writes_what_a_finding_failed(
    pytester: pytest.Pytester, run: Any
) -> None:
    # The request asks for two choices; the server sends one.
    test = PLAIN.replace("**ask()", "**ask(), n=2").replace(
        "    assert chatapi.findings == []\n", ""
    )
    result = run(test, "--record-mode=once", ini="chatapi_record_on_failure = true")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*K01*", "1 recorded, cassettes/test_it/test_a.yaml"])
    assert len(bodies(pytester.path / "cassettes" / "test_it" / "test_a.yaml")) == 1


RECORDS = """
@pytest.mark.chatapi
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a(chatapi_client, count):
    for number in range(count):
        chatapi_client.post("/chat/completions", json=ask(str(number)))

@pytest.mark.chatapi(cassette="of.many")
@pytest.mark.parametrize("count", [1, 2])
def test_b(chatapi_client, count):
    chatapi_client.post("/chat/completions", json=ask(f"b {count}"))
"""


def test_what_was_recorded_is_summed_up(run: Any) -> None:
    result = run(RECORDS, "--record-mode=new_episodes", "-k", "test_b")
    result.stdout.fnmatch_lines(
        [
            "-* chat completions -*",
            "2 live: 42 tokens, at an unknown price",
            "2 recorded, cassettes/test_it/of.many.yaml",
            "=* 2 passed*",
        ],
        consecutive=True,
    )
    result = run(
        "",
        "--record-mode=once",
        "-k",
        "test_a",
    )
    result.stdout.fnmatch_lines(
        [
            "1 recorded, cassettes/test_it/test_a[[]1].yaml",
            "2 recorded, cassettes/test_it/test_a[[]2].yaml",
            "3 recorded, cassettes/test_it/test_a[[]3].yaml",
            "4 recorded in 1 more cassette",
            "=* 4 passed*",
        ],
        consecutive=True,
    )
    run("").stdout.fnmatch_lines(
        ["-* chat completions -*", "12 replayed: 252 tokens", "=* 6 passed*"], consecutive=True
    )
    run("", "-q").stdout.no_fnmatch_line("* chat completions *")
    result = run("", "--record-mode=rewrite", "-q")
    result.stdout.no_fnmatch_line("*recorded*")


def test_a_marked_test_of_which_nothing_was_seen_is_named(run: Any, server: Any) -> None:
    test = """
import json, os, socket, unittest, urllib.parse

@pytest.mark.chatapi
def test_unknown_client():
    url = urllib.parse.urlsplit(os.environ["OPENAI_BASE_URL"])
    body = json.dumps(ask())
    head = f"POST {url.path}/chat/completions HTTP/1.1\\r\\ncontent-length: {len(body)}"
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.sendall(f"{head}\\r\\n\\r\\n{body}".encode())
        assert connection.recv(99).startswith(b"HTTP/1.1 200")

@pytest.mark.chatapi
@pytest.mark.parametrize("number", [1, 2])
def test_not_awaited(async_openai_client, number):
    async_openai_client.chat.completions.create(**ask()).close()

class TestCase(unittest.TestCase):
    @pytest.mark.chatapi(record_mode="once")
    def test_nothing(self): ...

@pytest.mark.chatapi
def test_skipped():
    pytest.skip()

@pytest.mark.xfail
@pytest.mark.chatapi
def test_expected():
    assert 0
"""
    seen = len(server.seen)
    result = run(test)
    result.assert_outcomes(passed=4, skipped=1, xfailed=1)
    assert len(server.seen) == seen + 1
    result.stdout.fnmatch_lines(
        [
            "-* chat completions -*",
            "4 tests with @pytest.mark.chatapi sent no request that was seen:",
            "  test_it.py::test_unknown_client",
            "  test_it.py::test_not_awaited[[]1]",
            "  test_it.py::test_not_awaited[[]2]",
            "  ... and 1 more",
            "  unknown clients and other processes go unseen; to allow it: unplayed='ignore'",
            "=* 4 passed*",
        ],
        consecutive=True,
    )


def test_a_test_that_need_not_send_is_not_named(run: Any) -> None:
    test = """
@pytest.mark.chatapi
def test_sends(chatapi_client):
    chatapi_client.post("/chat/completions", json=ask())

@pytest.fixture
def sends_at_the_end(chatapi_client):
    yield
    chatapi_client.post("/chat/completions", json=ask())

@pytest.mark.chatapi
def test_teardown(sends_at_the_end): ...

@pytest.mark.chatapi(unplayed="ignore")
def test_allowed(): ...

@pytest.mark.chatapi(ignore=["S10"])
def test_checks_only(chat_contract): ...

@pytest.mark.chatapi
def test_looks(chatapi):
    assert not chatapi.exchanges

@pytest.mark.chatapi
def test_mocks(chatapi_mock):
    assert not chatapi_mock.requests

@pytest.mark.chatapi
def test_fuzz(chatapi_fuzz):
    def read():
        response = httpx.post("https://api.openai.com/v1/chat/completions", json=ask())
        return response.raise_for_status().json()["choices"][0]["message"]
    chatapi_fuzz(read, examples=0, illegal=False)

@pytest.mark.chatapi
class TestClass:
    def test_in_a_class(self): ...

def test_auto(): ...
"""
    result = run(test, "--record-mode=once", ini="chatapi_auto = true")
    result.assert_outcomes(passed=9)
    result.stdout.no_fnmatch_line("*that was seen*")
    result.stdout.no_fnmatch_line("*never calls*")


def test_a_test_that_does_not_call_its_fuzzer_is_named(run: Any) -> None:
    result = run("def test_a(chatapi_fuzz): ...")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["test_it.py::test_a: the test never calls its argument chatapi_fuzz"]
    )


def test_the_documented_way_to_share_a_cassette(run: Any) -> None:
    page = Path(__file__).parent.parent / "docs" / "record-and-replay.md"
    section = page.read_text("utf-8").partition("## Share a cassette")[2]
    test = section.partition("```python\n")[2].partition("```")[0]
    result = run(test, "--record-mode=once")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["2 recorded, cassettes/greetings.yaml"])
    run("").assert_outcomes(passed=2)


def test_two_spellings_of_a_path_are_one_cassette(run: Any) -> None:
    test = """
@pytest.mark.chatapi(cassette="../shared/hello")
def test_a(chatapi_client):
    chatapi_client.post("/chat/completions", json=ask())
@pytest.mark.chatapi(cassette="gone/../../shared/./hello.yaml")
def test_b(chatapi, chatapi_client):
    chatapi_client.post("/chat/completions", json=ask("Ho"))
    assert ".." not in str(chatapi.cassette)
"""
    result = run(test, "--record-mode=new_episodes")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["2 recorded, cassettes/shared/hello.yaml"])
    run("").assert_outcomes(passed=2)
    # A recording in it whose test is gone is used by none.
    result = run(test.replace("def test_b", "def test_c"), "--chatapi-orphans=fail")
    result.stdout.fnmatch_lines(
        [
            "-* cassettes that no test owns -*",
            "cassettes/shared/hello.yaml: 1 recording of test_it.py::test_b",
        ],
        consecutive=True,
    )


def test_a_finding_says_where_it_is_and_who_sent_the_request(run: Any) -> None:
    test = """
@pytest.mark.chatapi(profile="openai")
def test_a(chatapi_client):
    chatapi_client.post("/chat/completions", json=ask())
    chatapi_client.post(
        "/chat/completions", json=ask("ODD"))  # here
"""
    run(test, "--record-mode=once", "--chatapi-policy=off").assert_outcomes(passed=1)
    text = run("", "--color=yes").stdout.str()
    number = 1 + (pytest_path := Path("test_it.py")).read_text().split("\n").index(
        "    chatapi_client.post("
    )
    assert f"\n  sent from {pytest_path}:{number}\n" in text
    assert "\n  exchange  1 of this test\n" in text
    assert "\n  replayed  interaction 1 of cassettes/test_it/test_a.yaml\n" in text
    head = re.search(
        "\x1b\\[1mcassettes/test_it/test_a.yaml:([0-9]+)\x1b\\[0m: \x1b\\[31;1merror\x1b\\[0m "
        "\x1b\\[1mS03\x1b\\[0m object-constant:\n",
        text,
    )
    assert head
    lines = Path("cassettes/test_it/test_a.yaml").read_text().split("\n")
    assert "string:" in lines[int(head[1]) - 1] or '"object"' in lines[int(head[1]) - 1]
    assert "\x1b" not in run("").stdout.str()


@pytest.mark.parametrize("way", ["assert 0", "pytest.fail()"])
def test_what_was_not_recorded_is_summed_up(run: Any, way: str) -> None:
    test = RECORDS.replace("\n\n@", f"\n    if count > 2: {way}\n\n@")
    result = run(test, "--record-mode=once", "-k", "test_a")
    result.stdout.fnmatch_lines(
        [
            "1 recorded, cassettes/test_it/test_a[[]1].yaml",
            "2 recorded, cassettes/test_it/test_a[[]2].yaml",
            "not recorded: 7 exchanges of 2 tests that did not pass",
            "  to record anyway: chatapi_record_on_failure = true",
        ],
        consecutive=True,
    )
    result = run("", "--record-mode=once", "-k", "test_a", ini="chatapi_record_on_failure = true")
    result.stdout.fnmatch_lines(["3 recorded, *", "4 recorded, *"])
    result.stdout.no_fnmatch_line("not recorded: *")


def test_unplayed_recordings(run: Any) -> None:
    test = """
@pytest.mark.chatapi
def test_a(chatapi_client):
    for text in TEXTS:
        chatapi_client.post("/chat/completions", json=ask(text))
"""
    run("TEXTS = 'ab'" + test, "--record-mode=once").assert_outcomes(passed=1)
    result = run("TEXTS = 'a'" + test)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "1 unused recording in cassettes/test_it/test_a.yaml:",
            "  interaction 1: POST chat/completions gpt-5.2",
            "record again: pytest test_it.py::test_a --record-mode=rewrite",
            "or allow it: unplayed='ignore'",
        ],
        consecutive=True,
    )
    result = run("", ini="chatapi_unplayed = warn")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*test_a: 1 unused recording in cassettes*"])
    result = run("", ini="chatapi_unplayed = ignore")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*unused recording*")


def test_ci_never_records_unless_asked(
    pytester: pytest.Pytester, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    test = PLAIN.replace("chatapi\n", "chatapi(record_mode='all')\n", 1)
    run(test).assert_outcomes(failed=1)
    assert not (pytester.path / "cassettes").exists()
    run(test, "--record-mode=once").assert_outcomes(passed=1)


@pytest.mark.parametrize("plugin", ["recording", "own"])
def test_record_mode_is_there_once(run: Any, plugin: str) -> None:
    flags = ["-p", "no:recording"] if plugin == "own" else []
    run(PLAIN, "--record-mode", "once", *flags).assert_outcomes(passed=1)
    result = run("", "--record-mode=sometimes", *flags)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--record-mode: invalid choice: 'sometimes'*"])


def test_two_recorders_are_refused(run: Any) -> None:
    result = run("@pytest.mark.vcr\n" + PLAIN.lstrip() + "def test_b(): ...\n")
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["*@pytest.mark.vcr and @pytest.mark.chatapi both turn on a rec*"])


def test_vcr_tests_are_checked_where_asked(run: Any) -> None:
    test = """
import os
@pytest.mark.chatapi(profile="openai")
@pytest.mark.vcr
def test_a():
    httpx.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=ask("ODD"))
"""
    run(test, "--record-mode=once").assert_outcomes(passed=1)
    run().assert_outcomes(passed=1)
    result = run(ini="chatapi_check_vcr = true")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["S03: POST chat/completions gpt-5.2 breaks the cont*", "  exchange  0 of this test"]
    )


def test_a_client_fixture_of_the_project_turns_no_recorder_on(run: Any) -> None:
    test = """
@pytest.fixture
def openai_client():
    return "the project's own"
@pytest.mark.vcr
def test_a(openai_client):
    assert openai_client == "the project's own"
"""
    run(test).assert_outcomes(passed=1)
    of_ours = test.replace("def openai_client()", "def openai_client(openai_client)")
    run(of_ours).assert_outcomes(errors=1)


def test_cassettes_of_pytest_recording_replay_here_and_ours_there(run: Any) -> None:
    for first, second in (("vcr", "chatapi"), ("chatapi", "vcr")):
        run(VCR.format(marker=first, text="Hi"), "--record-mode=rewrite").assert_outcomes(passed=1)
        run(VCR.format(marker=second, text="Hi")).assert_outcomes(passed=1)


def test_an_older_cassette_keeps_the_rules_of_its_owner(run: Any) -> None:
    run(VCR.format(marker="vcr", text="Hi"), "--record-mode=once")
    result = run(VCR.format(marker="chatapi", text="Ho"))
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*different body in POST chat*", "*ignore the body*", "*sent*Ho*"])
    strict = "@pytest.fixture\ndef vcr_config(): return {'match_on': ['method', 'body']}\n"
    run(strict + VCR.format(marker="chatapi", text="Ho")).assert_outcomes(failed=1)
    marker = "chatapi(match_on=['method', 'path', 'body'])"
    run(VCR.format(marker=marker, text="Ho")).assert_outcomes(failed=1)


def test_nothing_leaves_the_machine(run: Any) -> None:
    result = run(
        """
import socket
@pytest.mark.chatapi
def test_a():
    socket.create_connection(("192.0.2.1", 80), 1)
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["no recording for a connection to 192.0.2.1:80"])


ORPHANS = "-* cassettes that no test owns -*"


def test_xdist_workers_share_a_cassette(
    pytester: pytest.Pytester, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = """
import pytest
def ask(client, number):
    messages = [{"role": "user", "content": f"number {number}"}]
    client.post("/chat/completions", json={"model": "m", "messages": messages})
@pytest.mark.parametrize("number", range(12))
@pytest.mark.chatapi(cassette="shared")
def test_a(chatapi_client, number): ask(chatapi_client, number)
@pytest.mark.parametrize("number", range(12))
@pytest.mark.chatapi(cassette="rewritten", record_mode="rewrite")
def test_b(chatapi_client, number): ask(chatapi_client, number)
"""
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.delenv("CI", raising=False)
    pytester.makepyfile(test_it=test)
    rewritten, shared = (
        pytester.path / "cassettes" / "test_it" / f"{name}.yaml" for name in ("rewritten", "shared")
    )
    run_here(pytester, "-k", "test_b").assert_outcomes(passed=12, deselected=12)
    rewritten.write_text(rewritten.read_text().replace("number 7", "number 1"))
    gone = rewritten.with_name("gone.yaml")
    gone.write_text("interactions: []\n")
    flags = ("--record-mode=once", "--chatapi-orphans=fail", "test_it.py")
    result = run_apart(pytester, "-p", "xdist", "-n", "2", *flags)
    result.assert_outcomes(passed=24)
    assert result.ret == 1
    result.stdout.fnmatch_lines([ORPHANS, str(gone.relative_to(pytester.path))], consecutive=True)
    for path in (rewritten, shared):
        assert len(set(bodies(path))) == 12 == len(bodies(path))
    run_here(pytester, "-k", "test_a").assert_outcomes(passed=12, deselected=12)
    run_here(pytester, "-k", "test_a and 3").assert_outcomes(passed=1, deselected=23)


def test_reruns_start_anew(run: Any) -> None:
    test = """
tries = []
@pytest.mark.flaky(reruns=1)
@pytest.mark.chatapi
def test_a(chatapi_client):
    chatapi_client.post("/chat/completions", json=ask())
    tries.append(1)
    assert len(tries) == 2
"""
    run(test, "-prerunfailures", "--record-mode=once").assert_outcomes(passed=1)
    run("", "-prerunfailures").assert_outcomes(passed=1)


def test_a_rerun_forgets_what_failed_before(pytester: pytest.Pytester, run: Any) -> None:
    test = """
tries = []
@pytest.mark.flaky(reruns=1)
@pytest.mark.chatapi
def test_a(chatapi_client, subtests):
    tries.append(1)
    chatapi_client.post("/chat/completions", json=ask())
    with subtests.test():  # only its report fails, not the call
        assert len(tries) == 2
"""
    run(test, "-prerunfailures", "--record-mode=once")
    assert (pytester.path / "cassettes" / "test_it" / "test_a.yaml").exists()


def test_orphans(pytester: pytest.Pytester, run: Any) -> None:
    run(PLAIN, "--record-mode=once")
    folder = pytester.path / "cassettes"
    (folder / "test_it" / "test_gone.yaml").write_text("interactions: []\n")
    (folder / "test_moved").mkdir()
    (folder / "test_moved" / "test_a.yaml").write_text("interactions: []\n")
    run("", "--chatapi-orphans").stdout.fnmatch_lines(
        [
            "-* cassettes that no test owns -*",
            os.path.join("cassettes", "test_it", "test_gone.yaml"),
            os.path.join("cassettes", "test_moved", "test_a.yaml"),
        ],
        consecutive=True,
    )


def test_orphans_fail_a_run_on_demand(pytester: pytest.Pytester, run: Any) -> None:
    test = "@pytest.mark.chatapi\ndef test_a(): ..."
    assert run(test, "--chatapi-orphans=fail").ret == 0
    gone = pytester.path / "cassettes" / "test_it" / "test_gone.yaml"
    gone.parent.mkdir(parents=True)
    gone.write_text("interactions: []\n")
    assert run("", "--chatapi-orphans").ret == 0
    assert run("", "--chatapi-orphans=fail").ret == 1
    assert run("", "--chatapi-orphans=fail", "--collect-only").ret == 1
    assert run("", ini="chatapi_orphans_fail = true").ret == 1
    # What is left out may own it.
    result = run("", "--chatapi-orphans=fail", "test_it.py::test_a")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["not looked for: *"])
    # pytest takes a path after the flag for what it is.
    run("", "--chatapi-orphans", "test_it.py").assert_outcomes(passed=1)


def test_what_is_no_orphan(pytester: pytest.Pytester, run: Any) -> None:
    folder = pytester.path / "cassettes"
    owned = [
        "test_it/test_a.json",
        "test_it/test_a.yaml",
        "test_it/test_v.yaml",
        "test_it/mine.yaml",
    ]
    for name in (*owned, "test_it/README.md", "test_other/test_b.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("interactions: []\n")
    pytester.makepyfile(test_other="")  # there, but not in this run
    test = """
@pytest.mark.chatapi
def test_a(): ...
@pytest.mark.vcr("mine.yaml")
def test_v(): ...
"""
    result = run(test, "--chatapi-orphans", "--collect-only", "test_it.py")
    result.stdout.fnmatch_lines([ORPHANS, "none"], consecutive=True)


def test_old_recordings(pytester: pytest.Pytester, run: Any) -> None:
    run(PLAIN, "--record-mode=once")
    path = pytester.path / "cassettes" / "test_it" / "test_a.yaml"
    path.write_text(path.read_text().replace("recorded_at: '20", "recorded_at: '19"))
    result = run("", ini="chatapi_max_age = 30d")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*test_a.yaml was recorded on 19*, over 30d ago; record again:*"])
    run("", ini="chatapi_max_age = 30d\nchatapi_on_expiry = fail").assert_outcomes(failed=1)
    result = run("", ini="chatapi_max_age = old")
    result.stderr.fnmatch_lines(["*max_age must be a number of days, hours or weeks such as 30d*"])


def test_config_fixture_and_marker(run: Any) -> None:
    test = """
@pytest.fixture(scope="session")
def chatapi_config():
    return {"base_url": "http://x.example/v1", "api_key": "k", "organization": "acme"}

@pytest.mark.chatapi(http_client="httpx2", project="q")
def test_a(chatapi_client, chatapi_async_client, chatapi, openai_client, async_openai_client):
    assert isinstance(chatapi_client, httpx2.Client)
    assert isinstance(chatapi_async_client, httpx2.AsyncClient)
    assert chatapi.base_url == "http://x.example/v1"
    headers = chatapi_client.headers
    assert headers["authorization"] == "Bearer k"
    assert (headers["openai-organization"], headers["openai-project"]) == ("acme", "q")
    assert (openai_client.organization, async_openai_client.project) == ("acme", "q")
"""
    run(test).assert_outcomes(passed=1)
    result = run(test.replace('"api_key"', '"apikey"'))
    result.stdout.fnmatch_lines(
        ["*chatapi_config: unknown setting 'apikey': did you mean api_key?"]
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('{"redct": []}', "the fixture chatapi_config: unknown setting 'redct': *"),
        ("[]", "the fixture chatapi_config must return a dict, not list"),
    ],
)
def test_a_wrong_config_is_named_without_a_traceback(run: Any, value: str, message: str) -> None:
    test = f"""
@pytest.fixture(scope="session")
def chatapi_config():
    return {value}

@pytest.fixture(scope="module")
def module():
    httpx.get("http://far.example/")

@pytest.mark.chatapi
def test_a(): ...
def test_b(chat_contract): ...
@pytest.mark.chatapi
def test_c(module): ...
"""
    result = run(test)
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(["*setup of test_a*", message, "*setup of test_b*", message])
    result.stdout.no_fnmatch_line("E  *")


def test_what_is_to_be_redacted_adds_up(pytester: pytest.Pytester, run: Any) -> None:
    test = """
pytestmark = pytest.mark.chatapi(redact="module-[0-9]+")

@pytest.fixture(scope="session")
def chatapi_config():
    return {"redact": ["config-[0-9]+"]}

@pytest.mark.chatapi(redact=["marker-[0-9]+"])
def test_a(chatapi_client):
    text = "ini-1111 config-2222 module-3333 marker-4444"
    assert chatapi_client.post("/chat/completions", json=ask(text)).status_code == 200
"""
    run(test, "--record-mode=once", ini="chatapi_redact = ini-[0-9]+").assert_outcomes(passed=1)
    (body,) = bodies(pytester.path / "cassettes" / "test_it" / "test_a.yaml")
    assert [digits for digits in ("1111", "2222", "3333", "4444") if digits in body] == []
    assert body.count("REDACTED") == 4


def test_mocks_of_other_libraries_work_inside(run: Any) -> None:
    test = """
import respx
@pytest.mark.chatapi
def test_respx(respx_mock):
    respx_mock.get("http://x.example/").respond(json={"a": 1})
    assert httpx.get("http://x.example/").json() == {"a": 1}

@pytest.mark.chatapi
def test_pytest_httpx(httpx_mock):
    httpx_mock.add_response(json={"a": 1})
    assert httpx.get("http://x.example/").json() == {"a": 1}

@pytest.mark.chatapi
def test_transports_of_ones_own():
    mock = httpx.MockTransport(lambda request: httpx.Response(204))
    assert httpx.Client(transport=mock).get("http://x.example/").status_code == 204
"""
    run(test).assert_outcomes(passed=3)


def test_auto_and_json(pytester: pytest.Pytester, run: Any) -> None:
    test = """
import os
def test_a():
    assert httpx.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=ask()).json()
"""
    ini = "chatapi_auto = true\nchatapi_serializer = json"
    run(test, "--record-mode=once", ini=ini).assert_outcomes(passed=1)
    assert (pytester.path / "cassettes" / "test_it" / "test_a.json").exists()
    run("", ini=ini).assert_outcomes(passed=1)


def test_live(pytester: pytest.Pytester, run: Any) -> None:
    run(PLAIN, "--disable-recording").assert_outcomes(passed=1)
    assert not (pytester.path / "cassettes").exists()


def test_a_damaged_cassette(pytester: pytest.Pytester, run: Any) -> None:
    path = pytester.path / "cassettes" / "test_it" / "test_a.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("interactions: [\n")
    result = run(PLAIN)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["chatapi: cassettes/test_it/test_a.yaml: line 2, column 1: *"])
