"""A recording run tells what its cassettes lack, and the advice of a failure is a cure."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml
from recording_runs import bodies

from pytest_chatapi.recording import clock
from pytest_chatapi.recording.cassette import Cassette
from pytest_chatapi.recording.expiry import is_older
from pytest_chatapi.recording.opening import open_recorder
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.recording.under_way import Take

START = """
import os, threading, time
def post(text="Hi", **more):
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    return httpx.post(url, json=ask(text), **more)
"""


def folder(pytester: pytest.Pytester) -> Path:
    return pytester.path / "cassettes" / "test_it"


def advised(result: pytest.RunResult) -> list[str]:
    """The arguments of the one command that a failure prints."""
    pattern = re.compile(r"^(?:  record it|record again:) pytest (.+)$", re.MULTILINE)
    (command,) = set(pattern.findall(result.stdout.str()))
    return shlex.split(command)


# -- what is told at record time -----------------------------------------------------------------


def test_a_stream_that_a_thread_still_reads(run: Any, server: Any) -> None:
    test = (
        START
        + """
@pytest.mark.chatapi
def test_a(request):
    begun, url = threading.Event(), os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    def read():
        with httpx.stream("POST", url, json=ask("HELD 1", stream=True), timeout=60) as response:
            for piece in response.iter_bytes():
                begun.set()
    thread = threading.Thread(target=read, name="reader")
    thread.start()
    begun.wait(60)

@pytest.fixture(autouse=True, scope="module")
def joined():
    yield
    release()
    for thread in threading.enumerate():
        if thread.name == "reader":
            thread.join()
"""
    )
    import builtins

    server.turns["HELD 1"].release()
    builtins.release = lambda: server.turns["HELD 1"].release(100)  # type: ignore[attr-defined]
    try:
        result = run(test, "--record-mode=once")
    finally:
        server.turns["HELD 1"].release(100)
        del builtins.release  # type: ignore[attr-defined]
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*test_a: the test ended while another thread was reading, so the recording ends there "
            "too:",
            "  POST chat/completions gpt-5.2 stream: * bytes so far, in thread reader",
            "  wait for the thread in the test, or a replay that reads on fails",
        ]
    )


def test_a_stream_that_its_own_thread_leaves_is_no_news(run: Any) -> None:
    test = (
        START
        + """
from concurrent.futures import ThreadPoolExecutor
kept = []
workers = ThreadPoolExecutor()

@pytest.mark.chatapi
def test_worker(chatapi_client):
    workers.submit(test_a, chatapi_client).result()

@pytest.mark.chatapi
def test_a(chatapi_client):
    body = ask(stream=True)
    kept.append(chatapi_client.send(
        chatapi_client.build_request("POST", "/chat/completions", json=body), stream=True))
    next(kept[-1].iter_bytes())
"""
    )
    result = run(test, "--record-mode=once")
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*another thread*")
    run().assert_outcomes(passed=2)


WIDER = """
async def aiohttp_post(aiohttp):
    async with aiohttp.ClientSession() as session:
        await session.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=ask())

@pytest.fixture(scope="{scope}")
def thing():
    {library}
    return {send}

@pytest.mark.chatapi
def test_a(thing): ...
"""


@pytest.mark.parametrize("scope", ["class", "module", "session"])
@pytest.mark.parametrize(
    ("library", "send"),
    [
        ("", "post()"),
        ("", "httpx2.post(os.environ['OPENAI_BASE_URL'] + '/chat/completions', json=ask())"),
        (
            "import requests",
            "requests.post(os.environ['OPENAI_BASE_URL'] + '/chat/completions', json=ask())",
        ),
        ("", "openai.OpenAI().chat.completions.create(**ask())"),
        ("import aiohttp, asyncio", "asyncio.run(aiohttp_post(aiohttp))"),
    ],
)
def test_requests_of_wider_fixtures(run: Any, scope: str, library: str, send: str) -> None:
    result = run(
        START + WIDER.format(scope=scope, library=library, send=send), "--record-mode=once"
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*test_a: not recorded, so not replayed: POST 127.0.0.1/v1/chat/completions, sent by "
            f"the fixture 'thing' of {scope} scope;",
            "  to record it, make the fixture one of function scope, or send it in the test",
        ]
    )


def test_connections_of_wider_fixtures(run: Any) -> None:
    test = (
        START
        + """
import socket
look_up = socket.getaddrinfo
def found_here(host, *args, **kwargs):
    return look_up("127.0.0.1" if host == "far.example" else host, *args, **kwargs)
socket.getaddrinfo = found_here

@pytest.fixture(scope="module")
def thing():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        socket.create_connection(("far.example", listening.getsockname()[1])).close()

@pytest.mark.chatapi
def test_a(thing): ...
"""
    )
    result = run(test, "--record-mode=once")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*: not recorded, so not replayed: a connection to far.example:*, sent by the fixture*"]
    )
    run().assert_outcomes(errors=1)


def test_what_a_wider_fixture_may_ask_is_no_news(run: Any) -> None:
    test = START + WIDER.format(
        scope="module", library="", send="httpx.get(os.environ['OPENAI_BASE_URL'] + '/models')"
    )
    for flags in (["--record-mode=once"], []):
        result = run(test, *flags)
        result.assert_outcomes(passed=1)
        result.stdout.no_fnmatch_line("*not recorded*")


def test_wider_fixtures_have_the_key_of_a_replay(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    test = """
import os
@pytest.fixture(scope="session")
def client():
    with openai.OpenAI() as client:
        yield client
@pytest.mark.chatapi
def test_a(client):
    assert client.chat.completions.create(**ask()).choices
def test_b():
    assert "OPENAI_API_KEY" not in os.environ
"""
    run(test, "--record-mode=once", "-k", "test_a").assert_outcomes(passed=1, deselected=1)
    monkeypatch.delenv("OPENAI_API_KEY")
    run().assert_outcomes(passed=2)


@pytest.mark.parametrize("scope", ["session", "module"])
def test_the_key_of_a_replay_is_never_sent(
    run: Any, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    """A fixture of the session is set up before it is known that a module records."""
    test = f"""
import os
@pytest.fixture(scope="session", autouse=True)
def early():
    return os.environ.get("OPENAI_API_KEY")

@pytest.fixture(scope="{scope}")
def late(early):
    return os.environ.get("OPENAI_API_KEY")

@pytest.fixture(scope="{scope}")
def chatapi_config():
    return {{"record_mode": "once"}}

@pytest.mark.chatapi
def test_a(early, late):
    assert late is None
    assert early == (None if "{scope}" == "session" else "sk-replay")
    assert "OPENAI_API_KEY" not in os.environ
    with pytest.raises(openai.OpenAIError):
        openai.OpenAI()
def test_b():
    assert "OPENAI_API_KEY" not in os.environ
"""
    monkeypatch.delenv("OPENAI_API_KEY")
    run(test).assert_outcomes(passed=2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_requests_of_forked_children(run: Any) -> None:
    test = (
        START
        + """
@pytest.mark.chatapi
def test_a():
    child = os.fork()
    if not child:
        try:
            post("of the child")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
@pytest.mark.chatapi
def test_b():
    post()
"""
    )
    result = run(test, "--record-mode=once", apart=True)
    result.assert_outcomes(passed=2)
    told = [line for line in result.outlines if "a forked" in line]
    assert told == [
        "test_it.py::test_a: a forked process sent POST chat/completions gpt-5.2: not recorded, "
        "nor counted as replayed;"
    ]
    result.stdout.fnmatch_lines(
        ["  to record it, give the process the base URL of the fixture chatapi_server"]
    )


def test_an_unknown_client_is_pointed_to_the_server(run: Any) -> None:
    test = """
import socket
@pytest.mark.chatapi
def test_a():
    socket.create_connection(("203.0.113.7", 443))
"""
    result = run(test)
    result.assert_outcomes(failed=1)
    text = " ".join(result.stdout.str().split())
    assert (
        "the recorder does not know the client that connects; give it the base URL of the fixture "
        "chatapi_server, which replays to any client; to allow the host: "
        "ignore_hosts=['203.0.113.7']"
    ) in text


# -- names that make one file name ---------------------------------------------------------------

NAMES = (
    START
    + """
@pytest.mark.chatapi
@pytest.mark.parametrize("model", ["openai/x", "openai-x", "openai:x"])
def test_a(model):
    assert post(f"ECHO {model}").json()["choices"][0]["message"]["content"] == f"ECHO {model}"
    assert post("ECHO all").status_code == 200
"""
)


def test_names_that_make_one_file_name(pytester: pytest.Pytester, run: Any) -> None:
    result = run(NAMES, "--record-mode=once")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [
            "*test_a[[]openai-x]: cassettes/test_it/test_a[[]openai-x].yaml is also the cassette "
            "of test_a[[]openai/x], whose file name is the same; each test replays its own "
            "recordings"
        ]
    )
    assert len(bodies(folder(pytester) / "test_a[openai-x].yaml")) == 6
    run().assert_outcomes(passed=3)
    for name in ("openai/x", "openai-x", "openai:x"):
        run("", f"test_it.py::test_a[{name}]").assert_outcomes(passed=1)


def test_a_name_whose_file_is_taken(run: Any) -> None:
    run(NAMES, "--record-mode=once", "test_it.py::test_a[openai/x]").assert_outcomes(passed=1)
    result = run("", "test_it.py::test_a[openai-x]")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "no recording for POST chat/completions gpt-5.2",
            "  sent from test_it.py:[0-9]*",
            "  because   the cassette cassettes/test_it/test_a[[]openai-x].yaml only has",
            "            recordings of test_a[[]openai/x], whose file name is the same",
            "  record it pytest 'test_it.py::test_a[[]openai-x]' --record-mode=rewrite",
        ],
        consecutive=True,
    )
    run("", *advised(result)).assert_outcomes(passed=1)
    run("", "-k", "openai/x or openai-x").assert_outcomes(passed=2, deselected=1)
    run("", "--record-mode=once", "-k", "openai:x").assert_outcomes(passed=1, deselected=2)
    run("").assert_outcomes(passed=3)


# -- two runs at once ----------------------------------------------------------------------------


def of_a_run(path: Path, since: str, mode: str = "once") -> Recorder:
    return open_recorder(path, record_mode=mode, since=since)


def record(recorder: Recorder, *texts: str, phase: str = "") -> None:
    for text in texts:
        take = recorder.begin("POST", "https://a.example/v1/chat/completions", [], text.encode())
        assert isinstance(take, Take)
        recorder.phase = phase
        take.responded(200, "OK", [])
        take.piece(text.encode())
        take.ended()
    recorder.save()


def texts(path: Path) -> list[Any]:
    return [entry.request.body for entry in Cassette(path).entries]


@pytest.mark.parametrize("name", ["c.yaml", "c.json"])
@pytest.mark.parametrize("mode", ["once", "new_episodes", "all", "rewrite"])
def test_two_runs_at_once_leave_each_recording_once(
    name: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = (f"2026-11-26T10:00:{second:02}.000Z" for second in range(60))
    monkeypatch.setattr(clock, "now", lambda: next(moments))
    path = tmp_path / name
    first, second = of_a_run(path, clock.now(), mode), of_a_run(path, clock.now(), mode)
    record(first, "a", "b", "a")
    record(second, "a", "b", "a", "c")
    assert texts(path) == ["a", "b", "a", "c"]
    record(first, "b", phase="teardown")  # not the same as that of the call
    assert texts(path) == ["a", "b", "a", "c", "b"]
    record(second, "d")
    assert texts(path) == ["a", "b", "a", "c", "b", "d"]


def test_clients_of_one_run_all_keep_their_recordings(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    first, second = (open_recorder(path, record_mode="once") for _ in "ab")
    record(first, "a")
    record(second, "a")
    assert texts(path) == ["a", "a"]


# -- the command that a failure prints -----------------------------------------------------------

ONCE_A_PROCESS = (
    START
    + """
import functools
@functools.cache
def encoding():
    return httpx.get(os.environ["OPENAI_BASE_URL"] + "/encodings.json?day=today").status_code

pytestmark = pytest.mark.chatapi{arguments}
def test_a():
    encoding(), post("a")
def test_b():
    encoding(), post("b")
"""
)


@pytest.mark.slow  # seven runs of pytest in processes of their own
def test_what_a_process_requests_once(run: Any, server: Any) -> None:
    test = ONCE_A_PROCESS.replace("{arguments}", "")
    run(test, "--record-mode=once", apart=True).assert_outcomes(passed=2)
    result = run("", "-k", "test_b", apart=True)  # alone, it sends what the other had sent
    result.assert_outcomes(failed=1, deselected=1)
    run("", *advised(result), apart=True).assert_outcomes(passed=1)
    run("", "-k", "test_b", apart=True).assert_outcomes(passed=1, deselected=1)
    result = run("", apart=True)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "1 unused recording in cassettes/test_it/test_b.yaml:",
            "  interaction 0: GET /v1/encodings.json",
            "record again: pytest test_it.py::test_b --record-mode=rewrite",
            f"or, if a process requests it only once: optional=['{server.url}/encodings.json']",
            "or allow it: unplayed='ignore'",
        ],
        consecutive=True,
    )
    (setting,) = re.findall(r"^or, if .*: (optional=.*)$", result.stdout.str(), re.MULTILINE)
    run(ONCE_A_PROCESS.replace("{arguments}", f"({setting})"), apart=True).assert_outcomes(passed=2)
    run("", "-k", "test_b", apart=True).assert_outcomes(passed=1, deselected=1)


@pytest.mark.parametrize(
    ("pattern", "is_optional"),
    [
        ("https://a.example/token", True),
        ("*/token", True),
        ("https://*.example/*", True),
        ("https://a.example", False),
        ("*/token?x=1", False),
    ],
)
def test_optional_recordings(pattern: str, is_optional: bool, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    recorder = open_recorder(path, record_mode="once")
    take = recorder.begin("GET", "https://a.example/token?x=1", [], b"")
    assert isinstance(take, Take)
    take.responded(200, "OK", [])
    take.ended()
    recorder.save()
    replaying = open_recorder(path, optional=[pattern])
    assert len(replaying.unplayed()) == (not is_optional)
    assert replaying.begin("GET", "https://a.example/token?x=1", [], b"").exchange.source


def test_a_request_without_a_response(run: Any) -> None:
    test = (
        START
        + """
def silent():
    import socket
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=ask(), timeout=0.05)

@pytest.mark.chatapi
def test_a(chatapi):
    FAULT
    with pytest.raises(httpx.ReadTimeout):
        silent()
"""
    )
    cached = ["-p", "cacheprovider"]
    plain = test.replace("    FAULT\n", "")
    result = run(plain, "--record-mode=once", *cached)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*test_a: 1 request got no response, so there is nothing to replay:",
            "  POST chat/completions gpt-5.2: ReadTimeout",
            "  a replay fails there, unless the client then sent it again;",
            "  inject it with chatapi.inject('read_timeout') instead",
        ]
    )
    result = run("", *cached)
    result.assert_outcomes(failed=1)
    run("", *advised(result), *cached).assert_outcomes(passed=1)
    result = run("", *cached)
    result.assert_outcomes(failed=1)
    text = " ".join(result.stdout.str().split())
    advice = re.search(
        r"when it was recorded last, a request got no response "
        r"\(POST chat/completions gpt-5.2: ReadTimeout\): inject it with (\S+) instead",
        text,
    )
    assert advice is not None
    cured = test.replace("FAULT", advice[1])
    run(cured, *cached).assert_outcomes(passed=1)


def test_a_stream_that_a_timeout_ends(run: Any, server: Any) -> None:
    test = (
        START
        + """
@pytest.mark.chatapi{arguments}
def test_a(chatapi_client):
    with pytest.raises(httpx.ReadTimeout):
        body = ask("HELD 3", stream=True)
        with chatapi_client.stream("POST", "/chat/completions", json=body, timeout=0.3) as stream:
            list(stream.iter_bytes())
"""
    )
    server.turns["HELD 3"].release()
    try:
        result = run(test.replace("{arguments}", ""), "--record-mode=once")
    finally:
        server.turns["HELD 3"].release(100)
    result.assert_outcomes(passed=1)
    run().assert_outcomes(passed=1)  # the same exception is raised where the client had it


def test_a_client_that_stops_by_the_clock(pytester: pytest.Pytester, run: Any) -> None:
    test = (
        START
        + """
@pytest.fixture
def slept(monkeypatch):
    seconds = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds

@pytest.mark.chatapi{arguments}
def test_a(chatapi_client, slept):
    pieces = []
    with chatapi_client.stream("POST", "/chat/completions", json=ask(stream=True)) as response:
        for piece in response.iter_bytes():
            pieces.append(piece)
            if {stops}:
                break
"""
    )
    run(
        test.replace("{arguments}", "").replace("{stops}", "len(pieces) == 2"),
        "--record-mode=once",
    ).assert_outcomes(passed=1)
    path = folder(pytester) / "test_a.yaml"
    text = path.read_text()
    assert "cut: client" in text
    # As if the second piece had come after half a second, in which the client lost its patience.
    path.write_text(re.sub(r"(pieces: \d+)@[\d.]+ (\d+)@[\d.]+", r"\1@0.0 \2@500.0", text))
    by_clock = test.replace("{stops}", "sum(slept) > 0.4")
    result = run(by_clock.replace("{arguments}", ""))
    result.assert_outcomes(failed=1)
    advice = re.search(r"set (replay_speed=1) to keep", " ".join(result.stdout.str().split()))
    assert advice is not None
    run(by_clock.replace("{arguments}", f"({advice[1]})")).assert_outcomes(passed=1)


def test_skips(pytester: pytest.Pytester, run: Any) -> None:
    test = (
        START
        + """
pytestmark = pytest.mark.chatapi
@pytest.fixture
def thing():
    post("fixture")
    pytest.skip("in a fixture")
def test_fixture(thing): ...
def test_call():
    post("call")
    pytest.skip("in the call")
"""
    )
    result = run(test)
    result.assert_outcomes(failed=1, errors=1)
    commands = re.findall(r"^  record it pytest (.+)$", result.stdout.str(), re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        result = run("", *shlex.split(command))
        result.assert_outcomes(skipped=1)
        result.stdout.fnmatch_lines(
            ["*: skipped after 1 exchange, recorded anyway: replays skip there too"]
        )
    run("").assert_outcomes(skipped=2)
    for name in ("test_fixture", "test_call"):
        assert len(bodies(folder(pytester) / f"{name}.yaml")) == 1


def test_a_skip_before_any_request_drops_nothing(pytester: pytest.Pytester, run: Any) -> None:
    test = START + "@pytest.mark.chatapi\ndef test_a():\n    post()\n"
    run(test, "--record-mode=once").assert_outcomes(passed=1)
    skipping = test.replace("    post()", "    pytest.skip()")
    run(skipping, "--record-mode=rewrite").assert_outcomes(skipped=1)
    assert len(bodies(folder(pytester) / "test_a.yaml")) == 1


# -- time-machine --------------------------------------------------------------------------------


def test_a_time_machine_does_not_change_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its functions stay in place, and return another time: it has a hatch to the real one."""
    machine = ModuleType("time_machine")
    monkeypatch.setitem(sys.modules, "time_machine", machine)
    assert clock.now() > "2026"  # while it is being imported
    travelling = [True]
    machine.escape_hatch = SimpleNamespace(  # type: ignore[attr-defined]
        time=SimpleNamespace(time=lambda: 1_000_000_000.5),
        is_travelling=lambda: bool(travelling),
    )
    assert clock.now() == "2001-09-09T01:46:40.500Z"
    assert not is_older("2001-08-30T00:00:00Z", "30d")
    assert is_older("2001-08-01T00:00:00Z", "30d")
    travelling.clear()
    assert clock.now() > "2026"


def test_dates_in_a_time_machine(pytester: pytest.Pytester, run: Any) -> None:
    pytest.importorskip("time_machine")
    test = (
        START
        + """
import time_machine
@pytest.mark.chatapi(max_age="30d", on_expiry="fail")
@time_machine.travel("2001-01-01")
def test_a():
    assert time.gmtime().tm_year == 2001
    post()
"""
    )
    run(test, "--record-mode=once").assert_outcomes(passed=1)
    (recorded,) = yaml.safe_load((folder(pytester) / "test_a.yaml").read_text())["interactions"]
    assert recorded["response"]["chatapi"]["recorded_at"] > "2026"
    run(test).assert_outcomes(passed=1)
