"""Clients that the code under test builds itself, of each HTTP library, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import io
import json
import subprocess
import sys
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import aiohttp
import httpx
import httpx2
import pytest
import requests
import respx
import urllib3
import vcr
import vcr.request
from fixed_answer import FixedAnswer

from pytest_chatapi import UnrecordedRequest
from pytest_chatapi.recording.cassette import Cassette
from pytest_chatapi.recording.intercept import intercepted
from pytest_chatapi.recording.opening import open_recorder
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.recording.transport import RecordReplayTransport
from pytest_chatapi.recording.vcr_bridge import _Bridge, _bytes

OTHERS = ("requests", "urllib3", "aiohttp", "httplib2", "tornado", "boto3")
BODY = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def of_httpx(url: str) -> bytes:
    return httpx.post(url, json=BODY).content


def of_httpx2(url: str) -> bytes:
    return httpx2.post(url, json=BODY).content


def of_requests(url: str) -> bytes:
    return requests.post(url, json=BODY, timeout=60).content


def of_urllib3(url: str) -> bytes:
    with urllib3.PoolManager() as pool:
        return pool.request("POST", url, json=BODY).data


def of_async_httpx(url: str) -> bytes:
    async def post() -> bytes:
        async with httpx.AsyncClient() as client:
            return (await client.post(url, json=BODY)).content

    return asyncio.run(post())


def of_async_httpx2(url: str) -> bytes:
    async def post() -> bytes:
        async with httpx2.AsyncClient() as client:
            return (await client.post(url, json=BODY)).content

    return asyncio.run(post())


def of_aiohttp(url: str) -> bytes:
    async def post() -> bytes:
        async with aiohttp.ClientSession() as session, session.post(url, json=BODY) as response:
            return await response.read()

    return asyncio.run(post())


CLIENTS = [
    of_httpx,
    of_httpx2,
    of_async_httpx,
    of_async_httpx2,
    of_requests,
    of_urllib3,
    of_aiohttp,
]


@pytest.fixture
def url(server: Any) -> str:
    return f"{server.url}/chat/completions"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.yaml"


def opened(path: Path | None, mode: str = "none", **more: Any) -> Recorder:
    return open_recorder(path, record_mode=mode, **more)


# -- recording and replaying -----------------------------------------------------------------------


@pytest.mark.parametrize("post", CLIENTS)
def test_every_client_records_and_replays(post: Any, url: str, path: Path, server: Any) -> None:
    recorder = opened(path, "once")
    with intercepted(recorder):
        live = post(url)
    (exchange,) = recorder.exchanges
    assert exchange.response is not None
    assert (exchange.response.content, exchange.response.cut) == (live, None)
    assert exchange.response.headers["content-type"] == "application/json"
    assert exchange.request is not None
    assert (exchange.request.url, exchange.request.json()) == (url, BODY)
    recorder.save()
    seen = len(server.seen)
    recorder = opened(path)
    with intercepted(recorder):
        assert post(url) == live
        with pytest.raises(UnrecordedRequest):
            post(url)
    assert len(server.seen) == seen
    assert recorder.exchanges[0].source is not None
    assert post(url) == live  # afterwards, requests go out again
    assert len(server.seen) == seen + 1
    assert len(recorder.exchanges) == 1


@pytest.mark.parametrize("post", CLIENTS)
def test_hosts_that_are_ignored(post: Any, url: str, path: Path, server: Any) -> None:
    for mode in ("none", "once"):
        recorder = opened(path, mode)
        seen = len(server.seen)
        with intercepted(recorder, ignore_hosts=["x.example", "127.0.0.1"]):
            assert json.loads(post(url))["object"] == "chat.completion"
        assert len(server.seen) == seen + 1
        assert recorder.exchanges == recorder.misses == []
    localhost = url.replace("127.0.0.1", "localhost")
    with intercepted(opened(path), ignore_hosts=["LOCALHOST"]):
        assert httpx.post(localhost, json=BODY).status_code == 200


@pytest.mark.parametrize("post", CLIENTS)
def test_a_server_of_our_own_asks_the_recorder_itself(
    post: Any, url: str, path: Path, server: Any
) -> None:
    recorder = opened(path, "once")
    port = server.server_address[1]
    recorder.ports.add(port)
    with intercepted(recorder):
        post(url)
    assert recorder.exchanges == []
    recorder.ports = {port + 1}
    with intercepted(recorder):
        post(url)
    assert len(recorder.exchanges) == 1


def test_the_port_of_our_server_on_another_machine_is_not_ours(path: Path) -> None:
    recorder = opened(path)
    recorder.ports.add(80)
    for get in (httpx.get, requests.get):
        with intercepted(recorder), pytest.raises(UnrecordedRequest):
            get("http://far.example:80/")


def test_live_traffic_is_looked_at_and_sent(url: str) -> None:
    recorder = opened(None)
    with intercepted(recorder):
        of_httpx(url)
        of_requests(url)  # nothing to replay: the bridge to vcrpy is not needed
    assert len(recorder.exchanges) == 1


def test_a_recorder_that_sends_does_not_meet_itself(url: str, path: Path, server: Any) -> None:
    recorder, other = opened(path, "once"), opened(path, "once")
    seen = len(server.seen)
    for mine, count in ((recorder, 0), (other, 1)):
        transport = RecordReplayTransport(mine)
        with intercepted(recorder), httpx.Client(transport=transport) as client:
            client.post(url, json=BODY)
        assert len(mine.exchanges) == 1
        assert len(recorder.exchanges) == 1 + count
    assert len(server.seen) == seen + 2


def test_mock_transports_and_routers_of_respx_come_first(path: Path) -> None:
    recorder = opened(path)
    mock = httpx.MockTransport(lambda request: httpx.Response(201))
    with intercepted(recorder):
        with httpx.Client(transport=mock) as client:
            assert client.get("http://x.example/").status_code == 201
        with respx.mock(using="httpcore", assert_all_called=False) as router:
            router.get("http://x.example/").respond(202)
            router.get("http://y.example/").pass_through()
            assert httpx.get("http://x.example/").status_code == 202
            for other in ("http://y.example/", "http://z.example/"):
                with pytest.raises(UnrecordedRequest):
                    httpx.get(other)
    assert len(recorder.misses) == 2


class Whole(respx.patterns.Pattern):
    """Matches a body that has been read, as respx reads it when it is asked first."""

    key = "whole_body"
    lookups = (respx.patterns.Lookup.EQUAL,)

    def parse(self, request: Any) -> bytes:
        return bytes(request.content)


def test_routers_of_respx_see_a_body_that_is_made_while_it_is_sent(path: Path) -> None:
    def body() -> Iterator[bytes]:
        yield b"abc"

    async def abody() -> AsyncIterator[bytes]:
        yield b"abc"

    async def post() -> int:
        async with httpx.AsyncClient() as client:
            return (await client.post("http://x.example/", content=abody())).status_code

    with intercepted(opened(path)), respx.mock(using="httpcore") as router:
        router.route(Whole(b"abc")).respond(202)
        assert httpx.post("http://x.example/", content=body()).status_code == 202
        assert asyncio.run(post()) == 202


def test_what_others_kept_of_the_patches_sends_afterwards(url: str, path: Path) -> None:
    recorder = opened(path)
    with intercepted(recorder):
        kept = httpx.HTTPTransport.handle_request
        akept = httpx.AsyncHTTPTransport.handle_async_request
    assert httpx.HTTPTransport.handle_request is not kept
    with httpx.HTTPTransport() as transport:
        response = kept(transport, httpx.Request("POST", url, json=BODY))
        assert response.read()
        response.close()

    async def send() -> int:
        async with httpx.AsyncHTTPTransport() as transport:
            response = await akept(transport, httpx.Request("POST", url, json=BODY))
            await response.aread()
            await response.aclose()
            return response.status_code

    assert asyncio.run(send()) == 200
    assert recorder.exchanges == recorder.misses == []


# -- the bridge to vcrpy ---------------------------------------------------------------------------


def test_other_libraries_get_what_a_mock_answers() -> None:
    headers = [("x-a", "1"), ("x-b", "2"), ("x-a", "3")]
    mock = FixedAnswer(status=201, reason="Made", headers=headers, pieces=[b"a", b"b"])
    recorder = opened(None, answers=mock)
    with intercepted(recorder):
        response = requests.get("http://x.example/", timeout=60)
    assert (response.status_code, response.reason, response.content) == (201, "Made", b"ab")
    assert dict(response.headers) == {"x-a": "1, 3", "x-b": "2"}
    (exchange,) = recorder.exchanges
    assert exchange.response is not None
    assert exchange.response.cut is None


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"status": 0, "error": "ConnectError"}, "ConnectionResetError: the connection ended here"),
        ({"status": 0, "error": "ReadTimeout", "reason": "too slow"}, "TimeoutError: too slow"),
        ({"cut": "server"}, "ConnectionResetError: the connection ended here"),
    ],
)
def test_other_libraries_get_errors_of_the_socket(fields: dict[str, Any], error: str) -> None:
    recorder = opened(None, answers=FixedAnswer(**fields))
    with intercepted(recorder), pytest.raises(requests.RequestException) as caught:
        requests.get("http://x.example/", timeout=60)
    chain: list[BaseException] = [caught.value]
    while chain[-1].__context__ is not None:
        chain.append(chain[-1].__context__)
    assert error in [f"{type(one).__name__}: {one}" for one in chain]


def test_what_a_client_left_does_not_matter_to_other_libraries() -> None:
    recorder = opened(None, answers=FixedAnswer(cut="client", pieces=[b"a"]))
    with intercepted(recorder):
        assert requests.get("http://x.example/", timeout=60).content == b"a"


def test_a_redirect_of_aiohttp_is_two_exchanges(path: Path, server: Any) -> None:
    async def get() -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{server.url}/moved") as response,
        ):
            return response.status

    recorder = opened(path, "once")
    with intercepted(recorder):
        assert asyncio.run(get()) == 200
    statuses = [e.response.status for e in recorder.exchanges if e.response is not None]
    assert statuses == [302, 200]
    recorder.save()
    recorder = opened(path)
    with intercepted(recorder):
        assert asyncio.run(get()) == 200
    assert recorder.unplayed() == []


def test_the_same_redirect_of_aiohttp_twice_is_four_exchanges(path: Path, server: Any) -> None:
    async def get_twice() -> list[int]:
        statuses = []
        async with aiohttp.ClientSession() as session:
            for _ in "ab":
                async with session.get(f"{server.url}/moved") as response:
                    statuses.append(response.status)
        return statuses

    recorder = opened(path, "once")
    with intercepted(recorder):
        assert asyncio.run(get_twice()) == [200, 200]
    recorder.save()
    assert len(Cassette(path).entries) == 4
    recorder = opened(path)
    with intercepted(recorder):
        assert asyncio.run(get_twice()) == [200, 200]
    assert recorder.unplayed() == []


def test_concurrent_requests_of_one_url_are_told_apart(path: Path, server: Any) -> None:
    url = f"{server.url}/chat/completions"

    def ask(text: str) -> dict[str, Any]:
        return {"model": "m", "messages": [{"role": "user", "content": text}]}

    recorder = opened(path, "once")
    with intercepted(recorder):
        for text in ("ECHO a", "ECHO b"):
            requests.post(url, json=ask(text), timeout=60)
    for exchange in recorder.exchanges:
        assert exchange.request is not None
        assert exchange.response is not None
        said = exchange.response.json()["choices"][0]["message"]["content"]
        assert said == exchange.request.json()["messages"][0]["content"]


def test_what_the_patchers_of_vcrpy_hand_over(path: Path) -> None:
    """Names and texts as bytes, no reason, no body: each of their stubs has a form of its own."""
    seen = opened(path, "once")

    class Bound(_Bridge):
        recorder = seen
        passes = staticmethod(lambda host, port: False)
        takes: ClassVar[Any] = defaultdict(deque)

    request = vcr.request.Request("GET", "http://x.example/", None, {b"X-Sent": b"1"})
    for body in (None, {"string": None}, {"string": "text"}, {"string": b"text"}):
        response = {
            "status": {"code": 200, "message": None},
            "headers": {b"X-A": [b"caf\xe9", "2"], "x-b": "3"},
            "body": body,
        }
        Bound(path="").append(request, response)
    recordings = [take.interaction for take in seen._takes]
    assert [b"".join(made.pieces) for made in recordings] == [b"", b"", b"text", b"text"]
    for made in recordings:
        assert (made.reason, made.cut) == ("", None)
        assert made.headers == [("x-a", "caf\u00e9"), ("x-a", "2"), ("x-b", "3")]
        assert made.request_headers == [("x-sent", "1")]


def test_the_body_of_a_request_is_read_without_taking_it() -> None:
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    assert _bytes(file) == b"456789"
    assert file.tell() == 4
    assert _bytes(io.StringIO("caf\u00e9")) == b"caf\xc3\xa9"
    assert _bytes(bytearray(b"a")) == b"a"
    assert _bytes("caf\u00e9") == b"caf\xc3\xa9"
    assert _bytes({"a": [1]}) == b'{"a": [1]}'
    assert _bytes([1]) == b"[1]"
    assert _bytes({"a": object()}) == b"<dict>"
    assert _bytes(None) == b""
    assert _bytes(iter(())) == b"<tuple_iterator>"


# -- what is imported meanwhile --------------------------------------------------------------------


@pytest.fixture
def unloaded() -> Iterator[None]:
    """As if none of the libraries that go through the bridge had been imported."""
    with mock.patch.dict(sys.modules):
        for name in list(sys.modules):
            if name.partition(".")[0] in OTHERS:
                del sys.modules[name]
        yield


def patchers() -> list[str]:
    return [type(finder).__name__ for finder in sys.meta_path]


@pytest.fixture
def bridges(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often vcrpy patched something, which it does not really do here."""
    times: list[str] = []

    @contextlib.contextmanager
    def bridged(*args: Any, **more: Any) -> Iterator[None]:
        assert list(more["skip"]) == ["httpx", "httpx2"]
        times.append("bridged")
        yield

    from pytest_chatapi.recording import vcr_bridge

    monkeypatch.setattr(vcr_bridge, "bridged", bridged)
    return times


# A class whose method stands for all requests through its library.
STUBS = {
    module: f"class {class_name}:\n    def {method}(self, url): return url"
    for module, class_name, method in [
        ("urllib3.connectionpool", "HTTPConnectionPool", "urlopen"),
        ("aiohttp.client", "ClientSession", "_request"),
        ("httplib2", "Http", "request"),
        ("tornado.simple_httpclient", "SimpleAsyncHTTPClient", "fetch_impl"),
        ("tornado.curl_httpclient", "CurlAsyncHTTPClient", "fetch_impl"),
    ]
}


def write_stub(folder: Path, module: str, text: str) -> None:
    package, _, name = module.rpartition(".")
    if package:
        folder = folder / package
        folder.mkdir()
        (folder / "__init__.py").write_text("")
    (folder / f"{name}.py").write_text(f"{text}\n")


@pytest.mark.parametrize("name", STUBS)
def test_vcrpy_patches_nothing_until_a_library_is_used(
    unloaded: None,
    bridges: list[str],
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write_stub(tmp_path, name, STUBS[name])
    before = patchers()
    with intercepted(opened(path)):
        assert len(patchers()) == len(before) + 1
        module = importlib.import_module(name)
        (owner,) = (value for value in vars(module).values() if isinstance(value, type))
        (method,) = (key for key in vars(owner) if not key.startswith("__"))
        used = getattr(owner, method)
        assert bridges == []
        for _ in "ab":  # once is enough
            assert getattr(owner(), method)(url="http://x.example/") == "http://x.example/"
            assert bridges == ["bridged"]
    assert patchers() == before
    assert getattr(owner, method) is not used
    # What others kept of the patch does what the original does.
    assert used(owner(), "http://y.example/") == "http://y.example/"
    with intercepted(opened(path)):  # it is there already
        assert bridges == ["bridged", "bridged"]


def test_a_library_that_is_replaced_while_it_is_first_used(
    unloaded: None, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vcrpy replaces the method that it found, which is ours, and calls that."""
    monkeypatch.syspath_prepend(tmp_path)
    write_stub(tmp_path, "httplib2", STUBS["httplib2"])

    @contextlib.contextmanager
    def bridged(*args: Any, **more: Any) -> Iterator[None]:
        http = sys.modules["httplib2"].Http
        found = http.request
        with mock.patch.object(http, "request", lambda self, url: found(self, url) + "!"):
            yield

    from pytest_chatapi.recording import vcr_bridge

    monkeypatch.setattr(vcr_bridge, "bridged", bridged)
    with intercepted(opened(path)):
        http = importlib.import_module("httplib2").Http()
        assert [http.request("x"), http.request("x")] == ["x!", "x!"]
    assert http.request("x") == "x"
    assert vars(type(http))["request"].__module__ == "httplib2"


@pytest.mark.parametrize("name", OTHERS)
def test_a_library_that_is_loaded_is_patched_at_once(
    unloaded: None, bridges: list[str], path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, mock.Mock())
    with intercepted(opened(path)):
        assert bridges == ["bridged"]


def test_a_library_of_another_shape_is_left_alone(
    unloaded: None,
    bridges: list[str],
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write_stub(tmp_path, "httplib2", "NEW = True")
    with intercepted(opened(path)):
        assert importlib.import_module("httplib2").NEW
    assert bridges == []


# Each of these as the first import of a library inside a recorded test.
FIRST_IMPORTS = [
    "import requests",
    "import urllib3",
    "import aiohttp",
    "import botocore.awsrequest",
    "import vcr.stubs.requests_stubs",
    "[importlib.util.find_spec(n) for n in ('urllib3', 'aiohttp', 'vcr')]; import requests",
    # Not also 'urllib3' or 'vcr': threads that enter one package at several places at once meet in
    # the middle of it, and Python gives one of them a module that is not complete.
    "in_threads('requests', 'aiohttp')",
]
MORE_FIRST_IMPORTS = [
    "import httpx",
    "import httpx2",
    "import requests.adapters",
    "from urllib3.util import Retry",
    "import aiohttp.client",
    "import client_of_requests",
    "import vcr",
    "import vcr.patch",
    "importlib.util.find_spec('requests'); import requests",
    "importlib.util.find_spec('requests.adapters'); import requests",
    "in_threads('requests')",
]
# In a process of its own, as none of the libraries may be loaded; `sent` sends through each of
# them, and has to get the mock's response.
RUN_FIRST_IMPORTS = """
import asyncio, importlib, importlib.util, os, sys, threading, traceback
from fixed_answer import FixedAnswer
from pytest_chatapi.recording.intercept import intercepted
from pytest_chatapi.recording.opening import open_recorder
import httpx, httpx2

def sent():
    import aiohttp, requests, urllib3
    url = "http://x.example/"
    async def get():
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status
    with urllib3.PoolManager() as pool:
        assert pool.request("GET", url).status == 201
    assert requests.get(url, timeout=60).status_code == 201
    assert asyncio.run(get()) == 201

def in_threads(*names):
    gate, errors = threading.Barrier(len(names)), []
    def load(name):
        gate.wait()
        try:
            importlib.import_module(name)
        except BaseException as error:
            errors.append(error)
    threads = [threading.Thread(target=load, args=(name,)) for name in names]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert not errors, errors

def run(first):
    recorder = open_recorder(None, answers=FixedAnswer(status=201, pieces=[b"a"]))
    with intercepted(recorder):
        exec(first)
        sent()
    assert len(recorder.exchanges) == 3
    with intercepted(recorder):
        sent()
    assert len(recorder.exchanges) == 6

assert not {"requests", "urllib3", "aiohttp", "vcr"} & sys.modules.keys()
for first in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            run(first)
        except BaseException:
            print("FAILED", first, traceback.format_exc())
            sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
print("done")
"""


@pytest.mark.parametrize(
    "imports",
    [FIRST_IMPORTS, pytest.param(MORE_FIRST_IMPORTS, marks=pytest.mark.slow)],
    ids=["each", "more"],
)
def test_the_first_import_of_a_library_may_be_inside_a_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imports: list[str]
) -> None:
    (tmp_path / "client_of_requests.py").write_text("from requests.sessions import Session\n")
    package = tmp_path / "botocore"  # in it, as in the real one, a submodule imports urllib3
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "awsrequest.py").write_text(
        "import urllib3.connectionpool as pools\n"
        "class AWSHTTPConnection: ...\nclass AWSHTTPSConnection: ...\n"
        "AWSHTTPConnectionPool = type('P', (pools.HTTPConnectionPool,), {})\n"
        "AWSHTTPSConnectionPool = type('S', (pools.HTTPSConnectionPool,), {})\n"
    )
    (package / "vendored").mkdir()
    (package / "vendored" / "requests.py").write_text("")  # which vcrpy refuses
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parent}")
    done = subprocess.run(
        [sys.executable, "-c", RUN_FIRST_IMPORTS, *imports],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_a_module_that_another_finder_finds_is_waited_for(
    unloaded: None,
    bridges: list[str],
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the finders of editable installs, which find what is not in `sys.path`."""
    write_stub(tmp_path, "httplib2", STUBS["httplib2"])

    class Finder:
        @staticmethod
        def find_spec(name: str, path: Any, target: Any = None) -> Any:
            if name == "httplib2":
                return importlib.util.spec_from_file_location(name, tmp_path / "httplib2.py")
            return None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    with intercepted(opened(path)):
        assert importlib.import_module("httplib2").Http().request("x") == "x"
        assert bridges == ["bridged"]


def test_a_module_that_is_missing_is_still_missing(
    unloaded: None, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    with intercepted(opened(path)), pytest.raises(ModuleNotFoundError):
        importlib.import_module("httplib2")


def test_a_second_recorder_is_refused(path: Path, tmp_path: Path) -> None:
    class Refused(Exception):
        pass

    def refuse() -> Any:
        raise Refused

    context = vcr.use_cassette(str(tmp_path / "x.yaml"), record_mode="none")
    with intercepted(opened(path), on_second=refuse):
        with pytest.raises(Refused):
            context.__enter__()
        with pytest.raises(UnrecordedRequest):
            requests.get("http://x.example/", timeout=60)  # our own cassette is none
    with context:
        pass
    with intercepted(opened(path)), context:
        pass
