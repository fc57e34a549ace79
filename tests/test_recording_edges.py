"""What went wrong once with record and replay, each in a run of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from recording_runs import HEAD, bodies

POST = """
def post(text="Hi", client=httpx, **more):
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    return client.post(url, json=ask(text), **more)
"""
START = "import os, asyncio, threading, unittest\n" + POST


def cassette(pytester: pytest.Pytester, name: str = "test_a") -> Path:
    return pytester.path / "cassettes" / "test_it" / f"{name}.yaml"


def interactions(path: Path) -> list[Any]:
    return list(yaml.safe_load(path.read_text())["interactions"])


# -- requests that are sent again ----------------------------------------------------------------


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_what_is_sent_again_is_recorded_again(
    pytester: pytest.Pytester,
    run: Any,
    server: Any,
    library: str,
) -> None:
    test = (
        START
        + f"""
lib = {library}
URL = os.environ["OPENAI_BASE_URL"]
pytestmark = pytest.mark.chatapi

class Retries(lib.BaseTransport):
    def __init__(self): self.inner = lib.HTTPTransport()
    def handle_request(self, request):
        response = self.inner.handle_request(request)
        return self.inner.handle_request(request) if response.status_code == 429 else response

class AsyncRetries(lib.AsyncBaseTransport):
    def __init__(self): self.inner = lib.AsyncHTTPTransport()
    async def handle_async_request(self, request):
        response = await self.inner.handle_async_request(request)
        if response.status_code == 429:
            await response.aread()
            return await self.inner.handle_async_request(request)
        return response

def test_redirect(chatapi):
    assert lib.get(URL + "/moved", follow_redirects=True).status_code == 200
    assert [e.response.status for e in chatapi.exchanges] == [302, 200]

def test_digest(chatapi):
    answer = lib.get(URL + "/digest", auth=lib.DigestAuth("me", "pass-w0rd-99"))
    assert answer.status_code == 200
    assert [e.response.status for e in chatapi.exchanges] == [401, 200]

def test_twice(chatapi):
    with lib.Client() as client:
        request = client.build_request("POST", URL + "/chat/completions", json=ask())
        assert [client.send(request).status_code for _ in "ab"] == [200, 200]
    assert len(chatapi.exchanges) == 2

def test_retry(chatapi):
    with lib.Client(transport=Retries()) as client:
        assert post("LIMIT {library}", client).status_code == 200
    assert [e.response.status for e in chatapi.exchanges] == [429, 200]

def test_async_retry(chatapi):
    async def go():
        async with lib.AsyncClient(transport=AsyncRetries()) as client:
            return await post("LIMIT async {library}", client)
    assert asyncio.run(go()).status_code == 200
    assert [e.response.status for e in chatapi.exchanges] == [429, 200]

def test_through_ours(chatapi, chatapi_client):
    assert chatapi_client.get("/moved", follow_redirects=True).status_code == 200
    assert len(chatapi.exchanges) == 2
"""
    )
    run(test, "--record-mode=once").assert_outcomes(passed=6)
    seen = len(server.seen)
    run().assert_outcomes(passed=6)
    assert len(server.seen) == seen
    assert "pass-w0rd-99" not in cassette(pytester, "test_digest").read_text()


def test_aiohttp_follows_redirects_and_sends_forms(run: Any) -> None:
    test = (
        START
        + """
import aiohttp
pytestmark = pytest.mark.chatapi

def test_redirect(chatapi):
    async def go():
        async with aiohttp.ClientSession() as session:
            async with session.get(os.environ["OPENAI_BASE_URL"] + "/moved") as response:
                return response.status
    assert asyncio.run(go()) == 200
    assert [e.response.status for e in chatapi.exchanges] == [302, 200]

def test_form(chatapi):
    async def go():
        form = aiohttp.FormData()
        form.add_field("a", "b")
        async with aiohttp.ClientSession() as session:
            async with session.post(os.environ["OPENAI_BASE_URL"] + "/form", data=form) as response:
                return response.status
    assert asyncio.run(go()) == 200
"""
    )
    run(test, "--record-mode=once").assert_outcomes(passed=2)
    run().assert_outcomes(passed=2)


# -- shared cassettes ----------------------------------------------------------------------------

SHARED = (
    START
    + """
pytestmark = pytest.mark.chatapi(cassette="shared")
def test_one(): post("one"); post("common")
def test_two(): post("two"); post("common")
def test_three(): post("three")
"""
)


def test_a_test_records_again_without_the_others(
    pytester: pytest.Pytester,
    run: Any,
) -> None:
    # With `once`, the second test already plays what the first one has just recorded.
    for mode, count in (("once", 4), ("rewrite", 5)):
        run(SHARED, f"--record-mode={mode}").assert_outcomes(passed=3)
        assert len(bodies(cassette(pytester, "shared"))) == count
        run().assert_outcomes(passed=3)  # each plays the common one that it recorded
    changed = SHARED.replace('"three"', '"drei"')
    run(changed, "--record-mode=rewrite", "-k", "three").assert_outcomes(passed=1, deselected=2)
    run().assert_outcomes(passed=3)
    run(changed.replace("one", "eins"), "--record-mode=all", "-k", "one or eins")
    run().assert_outcomes(passed=3)


# -- the phases of a test ------------------------------------------------------------------------


def test_only_a_call_that_passed_is_written(pytester: pytest.Pytester, run: Any) -> None:
    test = (
        START
        + """
pytestmark = pytest.mark.chatapi

@pytest.fixture
def broken():
    post("setup")
    raise RuntimeError

def test_broken(broken): ...
def test_subtests(subtests):
    post("x")
    with subtests.test("a"):
        assert 0

class TestCase(unittest.TestCase):
    def test_fails(self):
        post("x")
        self.fail()
"""
    )
    run(test, "--record-mode=once")
    assert not (pytester.path / "cassettes").exists()


def test_fixtures_of_the_test_are_recorded(pytester: pytest.Pytester, run: Any) -> None:
    test = (
        START
        + """
@pytest.fixture
def thing():
    assert post("setup").status_code == 200
    yield
    assert post("teardown").status_code == 200

@pytest.mark.chatapi
def test_a(thing):
    assert post("call").status_code == 200
"""
    )
    run(test, "--record-mode=once").assert_outcomes(passed=1)
    assert len(bodies(cassette(pytester))) == 3
    run().assert_outcomes(passed=1)
    result = run(test.replace('    assert post("teardown").status_code == 200\n', ""))
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["1 unused recording in cassettes/test_it/test_a.yaml:"])


def test_a_miss_is_told_once(run: Any) -> None:
    test = (
        START
        + """
pytestmark = pytest.mark.chatapi

@pytest.fixture
def setup():
    post("setup")

@pytest.fixture
def teardown():
    yield
    post("teardown")

def test_setup(setup): ...
def test_teardown(teardown): ...

def test_two():
    try:
        post("one")
    except BaseException:
        pass
    post("two")
"""
    )
    result = run(test)
    result.assert_outcomes(passed=1, failed=1, errors=2)
    misses = [line for line in result.outlines if line.startswith("no recording for")]
    assert len(misses) == 3  # the two of the last test are the same in words
    result.stdout.no_fnmatch_line("*ExceptionGroup*")


def test_skip_and_xfail_do_not_hide_a_miss(pytester: pytest.Pytester, run: Any) -> None:
    test = (
        START
        + """
pytestmark = pytest.mark.chatapi

def test_skips():
    try:
        post()
    except BaseException:
        pytest.skip()

@pytest.mark.xfail
def test_xfails():
    post("x")
    assert 0
"""
    )
    result = run(test)
    result.assert_outcomes(failed=1, xfailed=1)
    result.stdout.fnmatch_lines(["*test_xfails: xfail because a recording is missing*"])
    run(test, "--record-mode=once").assert_outcomes(passed=1, xfailed=1)
    assert cassette(pytester, "test_xfails").exists()


def test_a_group_of_misses_is_told_without_the_frames(run: Any) -> None:
    test = (
        START
        + """
@pytest.mark.chatapi
def test_a():
    async def go():
        async with httpx.AsyncClient() as client, asyncio.TaskGroup() as group:
            for text in "ab":
                group.create_task(post(text, client))
    asyncio.run(go())
"""
    )
    result = run(test)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["no recording for POST chat/completions gpt-5.2"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_findings_explain_a_failure(run: Any) -> None:
    test = (
        START
        + """
@pytest.mark.chatapi(profile="openai")
def test_a():
    assert post("ODD").json()["object"] == "chat.completion"
"""
    )
    result = run(test, "--record-mode=once")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["-* Captured chatapi call -*", "S03: POST chat/completions * breaks*"]
    )


def test_a_refused_write_keeps_the_failure_of_the_test(run: Any) -> None:
    key = "sk-" + "a1B2" * 6
    test = (
        START
        + f"""
@pytest.mark.chatapi(cassette="{key}", record_on_failure=True)
def test_a():
    post()
    assert 0, "the real reason"
"""
    )
    result = run(test, "--record-mode=once")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*the real reason*", "-* Captured chatapi call -*", "*not written: the name*"]
    )
    result.stdout.no_fnmatch_line("*During handling*")
    result = run(test.replace("assert 0", "assert 1"), "--record-mode=once")
    result.assert_outcomes(failed=1)
    refusals = [line for line in result.outlines if "not written: the name" in line]
    assert len(refusals) == 1


# -- what leaves the machine ---------------------------------------------------------------------


def test_wider_fixtures_do_not_reach_the_network(run: Any) -> None:
    test = (
        START
        + """
@pytest.fixture(scope="module")
def module():
    httpx.get("http://far-away.example/")

@pytest.fixture(scope="module")
def local():
    return post().status_code

@pytest.mark.chatapi
def test_far(module): ...

@pytest.mark.chatapi
def test_local(local):
    assert local == 200  # a server that the tests themselves start
"""
    )
    result = run(test)
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "no recording for a connection to far-away.example:80",
            "  because   record mode 'none' allows no connections to other machines, and",
            "            requests of fixtures with a wider scope than the test are not",
            "            recorded: make the fixture one of function scope, or send it in the",
            "            test; to allow the host: ignore_hosts=['far-away.example']",
        ],
        consecutive=True,
    )


def test_a_mock_that_passes_a_request_on(run: Any) -> None:
    test = (
        START
        + """
import respx
@pytest.mark.chatapi
def test_a(chatapi):
    with respx.mock(using="httpcore", assert_all_called=False) as mock:
        mock.route(host="127.0.0.1").pass_through()
        mock.post("http://x.example/", json={"a": 1}).respond(json={"b": 2})
        assert post().status_code == 200
        assert httpx.post("http://x.example/", json={"a": 1}).json() == {"b": 2}
    assert len(chatapi.exchanges) == 1
"""
    )
    run(test, "--record-mode=once").assert_outcomes(passed=1)
    run().assert_outcomes(passed=1)


def test_a_mock_sees_a_body_that_is_made_while_it_is_sent(run: Any) -> None:
    test = (
        START
        + """
import respx
from respx.patterns import Lookup, Pattern

class Whole(Pattern):
    key, lookups = "whole", (Lookup.EQUAL,)
    def parse(self, request):
        return request.content  # respx has read it by then

@pytest.mark.chatapi
def test_a(chatapi):
    def body():
        yield b'{"a": 1}'
    async def abody():
        yield b'{"a": 1}'
    async def go():
        async with httpx.AsyncClient() as client:
            return await client.post("http://x.example/", content=abody())
    with respx.mock(using="httpcore") as mock:
        mock.route(Whole(b'{"a": 1}')).respond(json={"b": 2})
        assert httpx.post("http://x.example/", content=body()).json() == {"b": 2}
        assert asyncio.run(go()).json() == {"b": 2}
    assert chatapi.exchanges == []
"""
    )
    run(test).assert_outcomes(passed=1)


# A name that leads back to this machine.
FAR = """
import socket
PORT = int(os.environ["OPENAI_BASE_URL"].rpartition(":")[2].partition("/")[0])
look_up = socket.getaddrinfo
def found_here(host, *args, **kwargs):
    name = host.decode() if isinstance(host, bytes) else str(host)
    return look_up("127.0.0.1" if name.lower() == "far.example" else host, *args, **kwargs)
socket.getaddrinfo = found_here
def connect(host="Far.example"):
    socket.create_connection((host, PORT)).close()
"""


def test_hosts_that_are_left_alone(pytester: pytest.Pytester, run: Any) -> None:
    test = (
        START
        + FAR
        + """
@pytest.fixture
def vcr_config(request):
    return getattr(request, "param", {})

@pytest.fixture(scope="module")
def module():
    connect()

def passes(chatapi, host):
    import requests
    url = f"http://{host}:{PORT}/v1/models"
    assert httpx.get(url).json() == requests.get(url).json() == {"object": "list", "data": []}
    async def go():
        async with httpx.AsyncClient() as client:
            return await client.get(url)
    assert asyncio.run(go()).status_code == 200
    assert chatapi.exchanges == []

@pytest.mark.chatapi(ignore_hosts=["far.EXAMPLE"])
def test_far(module, chatapi):
    connect()
    passes(chatapi, "Far.example")

@pytest.mark.chatapi
@pytest.mark.parametrize(
    "vcr_config", [{"ignore_hosts": ["127.0.0.1"]}, {"ignore_localhost": True}], indirect=True
)
def test_of_vcrpy(vcr_config, chatapi):
    passes(chatapi, "127.0.0.1")

@pytest.mark.chatapi
@pytest.mark.parametrize("vcr_config", [{"ignore_hosts": ["far.example"]}], indirect=True)
def test_far_of_vcrpy(vcr_config, chatapi):
    connect()
    passes(chatapi, "far.example")
"""
    )
    run(test).assert_outcomes(passed=4)
    run(test, "--record-mode=once").assert_outcomes(passed=4)
    assert not (pytester.path / "cassettes").exists()


# A module fixture that connects to far.example, and a test that needs it.
CONNECTS = (
    HEAD
    + START
    + FAR
    + """
@pytest.fixture(scope="module")
def module():
    connect()

@pytest.mark.chatapi
def test_it(module): ...
"""
)
LETS_THROUGH = """
@pytest.fixture(scope="SCOPE")
def chatapi_config():
    return {"ignore_hosts": ["far.example"]}
"""


@pytest.mark.parametrize("scope", ["session", "module", "function"])
def test_hosts_of_another_module_are_not_let_through(
    pytester: pytest.Pytester, run: Any, scope: str
) -> None:
    lets_through = LETS_THROUGH.replace("SCOPE", scope)
    pytester.makepyfile(
        test_a=f"import pytest\n{lets_through}@pytest.mark.chatapi\ndef test_a(): ...\n",
        test_b=CONNECTS,
    )
    result = run("", "test_a.py", "test_b.py")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["no recording for a connection to far.example:*"])


def test_hosts_of_the_conftest_are_let_through(pytester: pytest.Pytester, run: Any) -> None:
    pytester.makeconftest("import pytest\n" + LETS_THROUGH.replace("SCOPE", "session"))
    pytester.makepyfile(test_a=CONNECTS, test_b=CONNECTS)
    run("", "test_a.py", "test_b.py").assert_outcomes(passed=2)
    run("", "test_b.py").assert_outcomes(passed=1)


@pytest.mark.parametrize("arguments", ["data", "data, chatapi_config"])
@pytest.mark.parametrize("scope", ["session", "package", "module", "class"])
def test_the_hosts_hold_for_fixtures_of_the_same_scope(
    pytester: pytest.Pytester, run: Any, scope: str, arguments: str
) -> None:
    pytester.makeconftest("import pytest\n" + LETS_THROUGH.replace("SCOPE", scope))
    test = CONNECTS.replace('"module"', f'"{scope}"').replace("def module", "def data")
    pytester.makepyfile(test_a=test.replace("test_it(module)", f"test_it({arguments})"))
    run("", "test_a.py").assert_outcomes(passed=1)


@pytest.mark.parametrize("flag", ["--record-mode=once", "--disable-recording"])
def test_fixtures_may_connect_where_tests_may(
    pytester: pytest.Pytester, run: Any, flag: str
) -> None:
    pytester.makepyfile(test_b=CONNECTS)
    run("", "test_b.py", flag).assert_outcomes(passed=1)


def test_a_connection_that_was_swallowed_fails_at_the_end(run: Any) -> None:
    test = """
import socket
@pytest.mark.chatapi
def test_a():
    try:
        socket.getaddrinfo("far-away.example", 80)
    except BaseException:
        pass
"""
    result = run(test)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["no recording for a connection to far-away.example:80"])


def test_a_test_without_a_recorder_may_connect_again(run: Any) -> None:
    test = START + FAR + "@pytest.mark.chatapi\ndef test_a(): ...\ndef test_b(): connect()\n"
    run(test).assert_outcomes(passed=2)


def test_while_it_records_anything_may_leave_the_machine(run: Any) -> None:
    test = START + FAR + "@pytest.mark.chatapi\ndef test_a(): connect()\n"
    run(test, "--record-mode=once").assert_outcomes(passed=1)
    run(test).assert_outcomes(failed=1)


# In its own process vcr is imported when the recorder is at work.
@pytest.mark.parametrize("apart", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_second_recorder_inside_is_refused(run: Any, apart: bool) -> None:
    test = (
        START
        + """
@pytest.mark.chatapi
def test_a(tmp_path):
    import vcr
    with vcr.use_cassette(str(tmp_path / "x.yaml")):
        post()
"""
    )
    result = run(test, "--record-mode=once", apart=apart)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*vcrpy opens a cassette while @pytest.mark.chatapi records*"])


def test_what_got_no_answer_is_said(run: Any) -> None:
    test = (
        START
        + """
@pytest.mark.chatapi
def test_a():
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://127.0.0.1:9/")
"""
    )
    result = run(test, "--record-mode=once")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*test_a: 1 request got no response, so there is nothing to replay:", "  *ConnectError"]
    )


# -- settings ------------------------------------------------------------------------------------


def test_a_secret_that_a_fixture_sets(pytester: pytest.Pytester, run: Any) -> None:
    test = (
        START
        + """
@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "zebra-crossing-77")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://from-a-fixture.example/v1")

@pytest.mark.chatapi
def test_a(key, chatapi):
    assert chatapi.base_url == "http://from-a-fixture.example/v1"

@pytest.mark.chatapi
def test_b(monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "zebra-crossing-77")
    assert post("say zebra-crossing-77").status_code == 200
"""
    )
    run(test, "--record-mode=once").assert_outcomes(passed=2)
    assert "zebra" not in cassette(pytester, "test_b").read_text()
    run().assert_outcomes(passed=2)


def test_the_command_is_one_that_works(run: Any) -> None:
    test = (
        START
        + """
@pytest.mark.chatapi(record_mode="none")
@pytest.mark.parametrize("text", ["a b of some length that does not fit into a terminal's line"])
def test_a(text):
    post(text)
"""
    )
    result = run(test, "--record-mode=once")
    result.stdout.fnmatch_lines(
        [
            "  record it set record_mode='once' in the marker, then pytest "
            "*test_it.py::test_a[[]a b of some length that does not fit into a terminal*"
        ]
    )


def test_config_fixture_counts_everywhere(run: Any) -> None:
    test = (
        START
        + """
@pytest.fixture(scope="session")
def chatapi_config():
    return {"profile": "openai", "ignore": ["S03"]}

def test_contract(chat_contract):
    assert (chat_contract.profile, chat_contract.ignore) == ("openai", ("S03",))

@pytest.mark.vcr
def test_vcr():
    post("ODD")
"""
    )
    run(test, "--record-mode=once", ini="chatapi_check_vcr = true").assert_outcomes(passed=2)
    strict = test.replace(', "ignore": ["S03"]', "").replace('("S03",)', "()")
    run(strict, ini="chatapi_check_vcr = true").assert_outcomes(passed=1, failed=1)


def test_names_and_rules_of_pytest_recording(pytester: pytest.Pytester, run: Any) -> None:
    long = "x" * 300
    test = (
        START
        + f"""
import time
@pytest.fixture
def vcr_config():
    return {{"filter_query_parameters": ["now"], "filter_post_data_parameters": ["id"]}}

@pytest.mark.default_cassette("mine.yaml")
@pytest.mark.MARK
def test_named(): post()

@pytest.mark.MARK
@pytest.mark.parametrize("name", ["a/b:c", "{long}"])
def test_long(name): post()

@pytest.mark.MARK
def test_filtered():
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    assert httpx.post(f"{{url}}?now={{time.time_ns()}}", json={{**ask(), "id": "x"}}).json()

class TestIt:
    @pytest.mark.MARK
    def test_method(self): post()
"""
    )
    run(test.replace("MARK", "vcr"), "--record-mode=once").assert_outcomes(passed=5)
    theirs = sorted(path.name for path in pytester.path.rglob("*.yaml"))
    result = run(test.replace("MARK", "chatapi"))
    result.assert_outcomes(passed=5)
    for path in pytester.path.rglob("*.yaml"):
        path.unlink()
    run(test.replace("MARK", "chatapi"), "--record-mode=once").assert_outcomes(passed=5)
    assert sorted(path.name for path in pytester.path.rglob("*.yaml")) == theirs


@pytest.mark.parametrize(
    ("ini", "message"),
    [
        ("chatapi_match_on = headers", "match_on cannot compare 'headers'"),
        ("chatapi_ignore_body = user", "'user' is not a path"),
        ("chatapi_redact = (", "redact: '(' is not a regular expression"),
        ("chatapi_base_url = localhost:1", "base_url must begin with http:// or https://"),
        ("chatapi_record_mode = x", "record_mode must be one of none, once"),
    ],
)
def test_wrong_settings_fail_before_any_test(run: Any, ini: str, message: str) -> None:
    result = run("def test_a(): ...", ini=ini)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if message in line], result.errlines


def test_a_hook_that_fails_is_named(run: Any) -> None:
    test = (
        START
        + """
@pytest.mark.chatapi(normalize_body=lambda body: body["x"])
def test_a():
    post()
"""
    )
    run(START + "@pytest.mark.chatapi\ndef test_a(): post()\n", "--record-mode=once")
    result = run(test)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*normalize_body: <lambda> failed on*", "*KeyError: 'x'*"])


def test_a_frozen_clock_does_not_confuse_a_run(pytester: pytest.Pytester, run: Any) -> None:
    test = (
        START
        + """
from freezegun import freeze_time
pytestmark = pytest.mark.chatapi(cassette="shared")

@freeze_time("2001-01-01")
@pytest.mark.parametrize("text", ["a", "b"])
def test_a(text):
    post(text)
"""
    )
    pytest.importorskip("freezegun")
    for mode in ("once", "rewrite"):
        run(test, f"--record-mode={mode}").assert_outcomes(passed=2)
        assert len(bodies(cassette(pytester, "shared"))) == 2
    assert not interactions(cassette(pytester, "shared"))[0]["response"]["chatapi"][
        "recorded_at"
    ].startswith("2001")


def test_without_the_marker_a_client_still_records(run: Any) -> None:
    test = (
        START
        + """
def test_a(request):
    client = request.getfixturevalue("chatapi_client")
    assert client.post("/chat/completions", json=ask()).status_code == 200
    assert post("too").status_code == 200
"""
    )
    run(test, "--record-mode=once").assert_outcomes(passed=1)
    run().assert_outcomes(passed=1)


def test_without_the_marker_nothing_leaves_the_machine_from_then_on(run: Any) -> None:
    test = """
import socket
def test_a(request):
    request.getfixturevalue("chatapi")
    socket.create_connection(("192.0.2.1", 80), 1)
"""
    result = run(test)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["no recording for a connection to 192.0.2.1:80"])


def test_a_marked_parameter_turns_on_no_recorder_for_others(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    test = """
import os
@pytest.mark.parametrize("key", [pytest.param("sk-replay", marks=pytest.mark.chatapi), None])
def test_a(key):
    assert os.environ.get("OPENAI_API_KEY") == key
"""
    run(test).assert_outcomes(passed=2)
