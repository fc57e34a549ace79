"""The server over real sockets: what is played, what is cut, what is recorded on the way."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import logging
import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest
import stub_server
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from traffic import ANSWER

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.errors import SettingError
from pytest_chatapi.faults import CATALOGUE, Plan
from pytest_chatapi.faults.virtual_time import VirtualTime
from pytest_chatapi.mock import ChatMock
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.recording.miss import Miss
from pytest_chatapi.recording.opening import open_recorder
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.recording.transport import RecordReplayTransport
from pytest_chatapi.recording.under_way import STALL
from pytest_chatapi.redaction.redactor import Redactor

pytest.importorskip("uvicorn")
from pytest_chatapi.server import app as app_module
from pytest_chatapi.server import run as run_module
from pytest_chatapi.server.app import make_app
from pytest_chatapi.server.connection import Connection, Gone, Outlet
from pytest_chatapi.server.origin import foreign, without_dots
from pytest_chatapi.server.pages import REQUESTS, About, Journal, Seen
from pytest_chatapi.server.run import running

SHIPPED = Path(__file__).parent.parent / "cassettes"
KEY = "sk-proj-Zx81kLmQ02vNs7RtYw3uPd5"
JSON = [("content-type", "application/json")]
SSE = [("content-type", "text/event-stream")]
FAR = 3600.0
PATIENCE = 60


class Mock:
    """Answers as a test's function says."""

    give_back = None
    passes_on = False

    def __init__(self, answer: Callable[[Request], Interaction | None]) -> None:
        self._answer = answer

    def answer(self, request: Request) -> Interaction | None:
        return self._answer(request)

    def miss(self, request: Request) -> Miss:
        return Miss(f"{request.method} {request.url}", "there is no route")


def mocked(answer: Interaction | Callable[[Request], Interaction | None], **more: Any) -> Recorder:
    """A recorder that gives one answer to all requests, or what a function says."""
    function = answer if callable(answer) else lambda _: answer
    return open_recorder(None, answers=Mock(function), replay_speed=1, **more)


def text(request: Request) -> str:
    content: str = request.json()["messages"][-1]["content"]
    return content


def answer(*pieces: bytes, **more: Any) -> Interaction:
    return Interaction(Request(), headers=more.pop("headers", SSE), pieces=pieces, **more)


def ask(content: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}], **more}


@pytest.fixture(params=["h11", "httptools"])
def protocol(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return str(request.param)


@contextlib.contextmanager
def serving(recorder: Recorder, protocol: str = "auto", **more: Any) -> Iterator[str]:
    with running(make_app(recorder, **more), protocol=protocol) as server:
        yield server.url


@contextlib.contextmanager
def client(url: str, **more: Any) -> Iterator[httpx.Client]:
    more = {"timeout": PATIENCE, "trust_env": False, "verify": False, **more}
    with httpx.Client(base_url=url, **more) as asking:
        yield asking


def post(url: str, body: Any = None, **more: Any) -> httpx.Response:
    with client(url) as asking:
        return asking.post("/chat/completions", json=body or ask(), **more)


def pieces_until_error(url: str) -> tuple[list[bytes], str]:
    pieces: list[bytes] = []
    with client(url) as asking:
        try:
            with asking.stream("POST", "/chat/completions", json=ask()) as response:
                pieces.extend(response.iter_raw())
        except httpx.TransportError as error:
            return pieces, type(error).__name__
    return pieces, ""


class Watched:
    """A server whose clients wait in vain, seen from both sides.

    Attributes:
        lines: what it says of each request.
    """

    def __init__(self, recorder: Recorder, protocol: str = "auto") -> None:
        self.lines: queue.Queue[str] = queue.Queue()
        self._begun = threading.Semaphore(0)
        begin = recorder.begin

        def noticed(*arguments: Any) -> Any:
            try:
                return begin(*arguments)
            finally:
                self._begun.release()

        recorder.begin = noticed  # type: ignore[method-assign]
        self._server = serving(recorder, protocol, on_exchange=self.lines.put)

    def __enter__(self) -> Watched:
        self.url = self._server.__enter__()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._server.__exit__(*exc_info)

    def leave_after(self, body: bytes, question: Any = None) -> int:
        """Reads so much of a response and leaves while the rest is awaited; its status.

        The server would have noted anything else that it did meanwhile.
        """
        received = b""
        with (
            client(self.url) as asking,
            asking.stream("POST", "/chat/completions", json=question or ask()) as response,
        ):
            pieces = response.iter_bytes()
            while len(received) < len(body):
                received += next(pieces)
        assert received == body
        assert self.lines.get(timeout=PATIENCE).endswith(", the client left")
        return response.status_code

    def leave_unanswered(self, content: str = "Hi") -> None:
        """Sends a request and leaves while its response is awaited."""
        with connected(self.url) as connection:
            connection.sendall(raw_request(content))
            assert self._begun.acquire(timeout=PATIENCE)
        assert self.lines.get(timeout=PATIENCE).endswith(", the client left")


def connected(url: str) -> socket.socket:
    port = httpx.URL(url).port
    assert port is not None
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def raw_request(content: str = "Hi") -> bytes:
    body = json.dumps(ask(content)).encode()
    line = "POST /v1/chat/completions HTTP/1.1"
    return f"{line}\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def to_end(connection: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            parts.append(data)
    return b"".join(parts)


# -- what is played ----------------------------------------------------------------------------


def test_a_whole_answer(protocol: str) -> None:
    body = json.dumps(ANSWER).encode()
    headers = [*JSON, ("x-request-id", "req_1"), ("transfer-encoding", "chunked")]
    with serving(mocked(answer(body, headers=headers)), protocol) as url:
        response = post(url)
    assert response.status_code == 200
    assert response.json() == ANSWER
    assert dict(response.headers) == {
        "content-type": "application/json",
        "x-request-id": "req_1",
        "content-length": str(len(body)),
    }


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_answers_without_a_body(protocol: str, method: str, status: int) -> None:
    recorded = answer(headers=[("content-length", "7")], status=status)
    with serving(mocked(recorded), protocol) as url, client(url) as asking:
        for _ in range(2):  # on one connection, so what follows has not gone wrong
            response = asking.request(method, "/models")
            assert (response.status_code, response.content) == (status, b"")
            length = "7" if method == "HEAD" else None
            assert response.headers.get("content-length") == length


def test_a_piece_arrives_while_the_next_is_far(protocol: str) -> None:
    recorded = answer(b"data: 1\n\n", b"data: 2\n\n", times=[0, FAR])
    recorder = mocked(recorded)
    with (
        serving(recorder, protocol) as url,
        client(url) as asking,
        asking.stream("POST", "/chat/completions", json=ask()) as got,
    ):
        assert got.headers["transfer-encoding"] == "chunked"
        assert next(got.iter_raw()) == b"data: 1\n\n"
    # The client left there.
    (exchange,) = recorder.exchanges
    assert exchange.response is not None
    assert exchange.response.cut == "client"
    assert exchange.response.content == b"data: 1\n\n"


def test_what_does_not_wait_goes_out_as_one(protocol: str) -> None:
    pieces = [b"data: %d\n\n" % number for number in range(20)]
    with serving(mocked(answer(*pieces)), protocol) as url, connected(url) as connection:
        connection.sendall(raw_request())
        got = connection.recv(65536)
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert got.endswith(b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n")


def test_little_is_held_back() -> None:
    sent: list[bytes] = []
    transport: Any = SimpleNamespace(write=sent.append, is_closing=lambda: False)
    outlet = Outlet(transport)
    with outlet.holding():
        outlet.write(b"a" * 1000)
        assert not sent
        outlet.write(b"b" * 100_000)
        assert sent == [b"a" * 1000 + b"b" * 100_000]


def test_what_is_held_back_is_sent_before_a_connection_closes() -> None:
    done: list[object] = []
    transport: Any = SimpleNamespace(
        write=lambda data: done.append(bytes(data)),
        close=lambda: done.append("closed"),
        is_closing=lambda: "closed" in done,
    )
    outlet = Outlet(transport)
    with outlet.holding():
        outlet.write(b"a")
        outlet.close()
        outlet.write(b"b")  # asyncio would warn of it
    assert done == [b"a", "closed"]


def test_a_block_ends_with_the_connection_and_not_after_it() -> None:
    async def main() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        outlet: Any = None
        lost = Connection(outlet, loop)
        loop.call_soon(lost.lost.set_result, None)
        with pytest.raises(Gone), lost.watched():
            await asyncio.Event().wait()
        assert task.cancelling() == 0
        await asyncio.sleep(0)  # nothing is left to be cancelled

        late = Connection(outlet, loop)
        with late.watched():
            late.lost.set_result(None)  # its callback is due, and comes after the block
        await asyncio.sleep(0)
        assert task.cancelling() == 0

    asyncio.run(main())


def test_only_the_heads_of_requests_are_counted() -> None:
    class Protocol:
        cycle: Any = None

        def data_received(self, data: bytes) -> None: ...

    aborts: list[str] = []
    watched: Any = type("_", (run_module._Watched, Protocol), {"__init__": lambda self: None})()
    watched.loop = SimpleNamespace(time=lambda: 0.0)
    watched._head, watched.transport = 0, SimpleNamespace(abort=lambda: aborts.append("aborted"))
    for cycle in (None, SimpleNamespace(response_complete=True)):
        watched.cycle = SimpleNamespace(response_complete=False)
        for _ in range(40):
            watched.data_received(b"x" * 4096)  # of a body
        watched.cycle = cycle
        for _ in range(16):
            watched.data_received(b"x" * 4096)
        assert aborts == []
        watched.data_received(b"x")
        assert aborts.pop() == "aborted"


@pytest.mark.parametrize("size", [1, 70_000])
def test_many_pieces(protocol: str, size: int) -> None:
    pieces = [bytes([65 + number % 26]) * size for number in range(150)]
    with serving(mocked(answer(*pieces)), protocol) as url:
        assert post(url).content == b"".join(pieces)


def test_speed(protocol: str) -> None:
    recorded = answer(b"1", b"2", times=[FAR, 2 * FAR])
    for speed in (0, 1e6):
        recorder = mocked(recorded)
        recorder.replay_speed = speed
        with serving(recorder, protocol) as url:
            assert post(url).content == b"12"


def test_what_stalls_does_so_at_any_speed() -> None:
    recorder = mocked(answer(b"1", b"2", times=[0, FAR], stalls=True))
    recorder.replay_speed = 0
    with Watched(recorder) as server:
        assert server.leave_after(b"1") == 200


def test_pace_is_kept_where_a_test_froze_the_time() -> None:
    freezegun = pytest.importorskip("freezegun")
    with (
        freezegun.freeze_time("2026-01-01"),
        serving(mocked(answer(b"1", b"2", times=[0.01, 0.02]))) as url,
        connected(url) as connection,
    ):
        connection.sendall(raw_request().replace(b"host: localhost", b"connection: close"))
        assert to_end(connection).endswith(b"1\r\n2\r\n0\r\n\r\n")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(pieces=st.lists(st.binary(min_size=1, max_size=300), max_size=150), data=st.data())
def test_any_pieces_arrive(pieces: list[bytes], data: st.DataObject) -> None:
    recorded = answer(*pieces, cut=data.draw(st.sampled_from([None, "server"])))
    kind = data.draw(st.sampled_from(["h11", "httptools"]))
    with serving(mocked(recorded), kind) as url:
        got, error = pieces_until_error(url)
    assert b"".join(got) == b"".join(pieces)
    assert error == ("RemoteProtocolError" if recorded.cut else "")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"cut": "server"}, "RemoteProtocolError"),
        ({"cut": "server", "error": "RemoteProtocolError"}, "RemoteProtocolError"),
        ({"cut": "server", "error": "ReadError"}, "ReadError"),
    ],
)
@pytest.mark.parametrize("length", [[], [("content-length", "1000")]])
def test_cuts(protocol: str, more: dict[str, Any], expected: str, length: Any) -> None:
    recorded = answer(b"data: 1\n\n", b"dat", headers=[*SSE, *length], **more)
    with serving(mocked(recorded), protocol) as url:
        pieces, error = pieces_until_error(url)
    assert (b"".join(pieces), error) == (b"data: 1\n\ndat", expected)


@pytest.mark.parametrize("length", [[], [("content-length", "1000")]])
def test_a_recorded_timeout_is_one_for_any_client(protocol: str, length: Any) -> None:
    recorded = answer(
        b"data: 1\n\n", b"dat", headers=[*SSE, *length], cut="client", error="ReadTimeout"
    )
    with Watched(mocked(recorded), protocol) as server:
        assert server.leave_after(b"data: 1\n\ndat") == 200


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("ReadError", "ReadError"),
        ("WriteError", "ReadError"),
        ("ConnectError", "ReadError"),
        ("", "ReadError"),
        ("RemoteProtocolError", "RemoteProtocolError"),
    ],
)
def test_no_response(protocol: str, error: str, expected: str) -> None:
    with serving(mocked(answer(status=0, error=error)), protocol) as url:
        assert pieces_until_error(url) == ([], expected)
        assert pieces_until_error(url) == ([], expected)


@pytest.mark.parametrize("error", ["ReadTimeout", "ConnectTimeout"])
def test_no_response_in_time(protocol: str, error: str) -> None:
    with Watched(mocked(answer(status=0, error=error)), protocol) as server:
        server.leave_unanswered()
        server.leave_unanswered()


def test_a_client_that_reads_on_where_another_had_stopped(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalls: list[float] = []

    async def stall(seconds: float) -> None:
        stalls.append(seconds)
        if len(stalls) == 1:
            await asyncio.Event().wait()  # until the client has left

    monkeypatch.setattr(app_module.asyncio, "sleep", stall)
    recorder = mocked(answer(b"data: 1\n\n", cut="client"))
    with Watched(recorder, protocol) as server:
        server.leave_after(b"data: 1\n\n")
    assert recorder.misses == []
    with serving(recorder, protocol) as url:
        assert pieces_until_error(url) == ([b"data: 1\n\n"], "RemoteProtocolError")
    assert len(recorder.misses) == 1
    assert stalls == [STALL, STALL]


def seen(asking: httpx.Client, streams: bool) -> tuple[Any, ...]:
    """Status, body and error of a response; nothing where it cannot be decoded."""
    received: list[bytes] = []
    status, error = 0, ""
    try:
        with asking.stream("POST", "/chat/completions", json=ask(stream=streams)) as response:
            status = response.status_code
            received.extend(response.iter_bytes())
    except httpx.DecodingError:
        return ()  # how far it came is a matter of pieces
    except httpx.TransportError as raised:
        error = type(raised).__name__
    return status, b"".join(received), error


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("name", [n for n, e in CATALOGUE.items() if e.kind != "deviation"])
def test_faults_are_those_of_the_replay(
    name: str, streams: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recorder() -> Recorder:
        recorder = mocked(sdk_answers)
        recorder.faults = Plan(name)
        recorder.replay_speed = 0
        return recorder

    transport = RecordReplayTransport(recorder())
    with (
        monkeypatch.context() as patch,
        client("http://x/v1", transport=transport, timeout=1) as asking,
    ):
        patch.setattr(time, "sleep", lambda seconds: None)  # the client's timeout takes no time
        expected = seen(asking, streams)
    if not expected or not expected[2].endswith("Timeout"):
        with serving(recorder()) as url, client(url) as asking:
            response = seen(asking, streams)
        # A server that accepts connections cannot refuse them.
        instead = {"ConnectError": "ReadError"}
        assert response == tuple(instead.get(part, part) for part in expected)
        return
    status, body, _ = expected
    with Watched(recorder()) as server:
        if status:
            assert server.leave_after(body, ask(stream=streams)) == status
        else:
            server.leave_unanswered()


def test_headers_that_no_wire_may_carry(protocol: str) -> None:
    headers = [
        ("x-a", "1\r\nset-cookie: b"),
        ("x b", "2"),
        ("x-c", "caf\u00e9 \u20ac\0"),
        ("", "3"),
        ("x-d\r\ne", "4"),
        ("x-\u00e9", "7"),
        ("keep-alive", "5"),
        ("connection", "x-f"),
        ("x-f", "6"),
    ]
    with serving(mocked(answer(b"{}", headers=headers)), protocol) as url:
        response = post(url)
    assert {n: v for n, v in response.headers.raw if n != b"content-length"} == {
        b"x-a": b"1  set-cookie: b",
        b"x-c": "caf\u00e9 ?".encode("latin-1"),
    }


# -- what is refused ---------------------------------------------------------------------------


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def test_a_miss_says_why(protocol: str) -> None:
    recorder = mocked(lambda request: None)
    with serving(recorder, protocol) as url:
        response = post(url)
        assert response.status_code == 404
        assert error_of(response)["code"] == "no_recording"
        assert "there is no route" in error_of(response)["message"]
        with (
            openai.OpenAI(base_url=url, api_key=KEY) as sdk,
            pytest.raises(openai.NotFoundError, match="there is no route"),
        ):
            sdk.chat.completions.create(**ask())
    assert len(recorder.misses) == 2


def test_a_broken_hook_ends_no_server() -> None:
    def broken(request: Request) -> Interaction:
        if text(request) == "Hi":
            raise ZeroDivisionError("of a hook")
        return answer(b"{}")

    lines: list[str] = []
    with serving(mocked(broken), on_exchange=lines.append) as url:
        assert post(url).status_code >= 400
        assert post(url, ask("Ho")).status_code == 200
    assert len(lines) == 2


def test_a_client_that_leaves_within_its_request_gets_no_response() -> None:
    with Watched(mocked(answer(b"{}"))) as server:
        with connected(server.url) as connection:
            connection.sendall(raw_request()[:-3])
        line = server.lines.get(timeout=PATIENCE)
    assert line.startswith("POST /v1/chat/completions - 0 bytes ")
    assert line.endswith(", the client left")


def test_lines_show_no_secret_and_drive_no_terminal() -> None:
    token = "ghp_" + "a1B2" * 6
    errors: list[Exception] = [SettingError(f"one\n\x1b[31m {token}")]

    def save() -> None:
        if errors:
            raise errors.pop()

    lines: list[str] = []
    with (
        serving(mocked(answer(b"{}")), save=save, on_exchange=lines.append) as url,
        client(url) as asking,
    ):
        asking.get(f"/models?api-key=s3cret-value&a={token}")
    (line,) = lines
    assert line.startswith("GET /v1/models?api-key=REDACTED&a=ghp_REDACTED 200 ")
    assert line.endswith(", one\\n\\u001b[31m ghp_REDACTED")


def test_what_goes_wrong_in_the_middle_is_a_cut(
    protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[str] = []
    recorded = answer(b"12", b"345", headers=[("content-length", "4")], cut="server")
    with serving(mocked(recorded), protocol, on_exchange=lines.append) as url:
        got, error = pieces_until_error(url)
    assert (got, error) == ([b"12"], "RemoteProtocolError")
    assert "Error: " in lines[0]
    assert caplog.records == []


def test_the_key_is_checked_where_there_is_one(protocol: str) -> None:
    lines: list[str] = []
    recorder = mocked(answer(b"{}", headers=JSON))
    with serving(recorder, protocol, api_key=KEY, on_exchange=lines.append) as url:
        for headers in ({}, {"authorization": "Basic eDp5"}, {"authorization": "Bearer"}):
            response = post(url, headers=headers)
            assert response.status_code == 401
            assert "didn't provide an API key" in error_of(response)["message"]
        for key, shown in (
            (KEY[:-1] + "x", "sk-*****dx"),
            ("thirteen-char", "thi*****ar"),
            ("twelve-chars", "*****"),
            ("caf\u00c3\u00a9", "*****"),
        ):
            response = post(url, headers={"authorization": f"Bearer {key}".encode("latin-1")})
            assert response.status_code == 401
            assert error_of(response)["code"] == "invalid_api_key"
            assert error_of(response)["message"] == f"Incorrect API key provided: {shown}."
        assert recorder.exchanges == []
        assert post(url, headers={"authorization": f"bearer {KEY}"}).status_code == 200
    assert KEY not in "".join(lines)


def chunked(size: int) -> Iterator[bytes]:
    for _ in range(size // 65536):
        yield b"x" * 65536


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_has_a_limit(
    protocol: str, is_chunked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "_LINGER", FAR)  # the client may be slow to send the rest
    size = 8 * 1024 * 1024
    content: Any = chunked(size) if is_chunked else b"x" * size
    recorder = mocked(answer(b"{}", headers=JSON))
    with (
        serving(recorder, protocol, max_body=100_000) as url,
        client(url) as asking,
    ):
        response = asking.post("/chat/completions", content=content)
        assert response.status_code == 413
        assert error_of(response)["code"] == "request_too_large"
        assert response.headers["connection"] == "close"
        assert asking.post("/chat/completions", content=b"x" * 100_000).status_code == 200
        assert asking.post("/chat/completions", content=b"x" * 100_001).status_code == 413
    assert len(recorder.exchanges) == 1


def test_a_body_that_is_announced_is_not_waited_for(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "_LINGER", 0)
    with serving(mocked(answer()), protocol, max_body=10) as url, connected(url) as connection:
        connection.sendall(b"POST /v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 11\r\n\r\n")
        assert to_end(connection).startswith(b"HTTP/1.1 413 ")


class FakeClient:
    """Sends the pieces of a body to the application, and notes what is read and sent in order.

    Attributes:
        is_endless: it neither sends the last piece nor leaves.
    """

    def __init__(self, *pieces: bytes, is_endless: bool = False) -> None:
        self._pieces = list(pieces)
        self.is_endless = is_endless
        self.events: list[str] = []

    async def receive(self) -> dict[str, Any]:
        self.events.append("read")
        if not self._pieces:
            await asyncio.Event().wait()
        piece = self._pieces.pop(0)
        more = bool(self._pieces) or self.is_endless
        return {"type": "http.request", "body": piece, "more_body": more}

    async def send(self, message: Any) -> None:
        self.events.append("sent" if message.get("more_body", True) else "ended")

    def scope(self, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
        return {
            "type": "http",
            "method": "POST",
            "path": "/v1/chat/completions",
            "raw_path": b"/v1/chat/completions",
            "query_string": b"",
            "headers": headers,
            "server": ("127.0.0.1", 80),
            "chatapi": None,
        }

    def post(self, app: Any, *headers: tuple[bytes, bytes]) -> None:
        response = app(self.scope(*headers), self.receive, self.send)
        asyncio.run(asyncio.wait_for(response, PATIENCE))


def test_a_body_that_is_too_large_is_read_to_its_end_before_the_connection_ends() -> None:
    """Or the connection would be reset while the client sends, and it would not learn why."""
    sender = FakeClient(*[b"x" * 8] * 4)
    sender.post(make_app(mocked(answer()), max_body=10))
    assert sender.events == ["read", "read", "sent", "sent", "read", "read", "ended"]
    sender = FakeClient(*[b"x" * 8] * 4)
    sender.post(make_app(mocked(answer()), max_body=10), (b"content-length", b"32"))
    assert sender.events == ["sent", "sent", "read", "read", "read", "read", "ended"]


def test_a_body_without_an_end_is_not_read_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "_LINGER", 0)
    sender = FakeClient(b"x" * 11, b"x", is_endless=True)
    sender.post(make_app(mocked(answer()), max_body=10))
    assert sender.events == ["read", "sent", "sent", "read", "read", "ended"]


def test_headers_have_an_end(protocol: str) -> None:
    with serving(mocked(answer(b"{}")), protocol) as url, connected(url) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n")
        with contextlib.suppress(OSError):
            for _ in range(100):
                connection.sendall(b"x-long: " + b"x" * 4096 + b"\r\n")
        assert b" 200 " not in to_end(connection)


def test_what_is_no_http_is_let_go(protocol: str) -> None:
    with serving(mocked(answer(b"{}")), protocol) as url:
        with connected(url) as connection:
            connection.sendall(b"\x16\x03\x01 hello?\r\n\r\n")
            assert b" 200 " not in to_end(connection)
        assert post(url).status_code == 200


def test_others_are_kept_out() -> None:
    app = make_app(mocked(answer()))
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        with (
            pytest.raises(SettingError, match=r"not a loopback address"),
            running(app, host=host),
        ):
            pass
    with (
        pytest.raises(SettingError, match=r"cannot listen on 192\.0\.2\.1"),
        running(app, host="192.0.2.1", allow_remote=True),
    ):
        pass
    with (
        pytest.raises(SettingError, match="cannot resolve host 'no such host'"),
        running(app, host="no such host"),
    ):
        pass
    with running(app, host="localhost") as one:
        port = httpx.URL(one.url).port
        assert port is not None
        with (
            pytest.raises(SettingError, match=f"port {port}.*in use.*--port 0"),
            running(app, host="localhost", port=port),
        ):
            pass


@pytest.mark.parametrize(
    "upstream", ["api.openai.com/v1", "ftp://x/v1", "https://", "http://x/?a=b"]
)
def test_an_upstream_is_a_url(upstream: str) -> None:
    with pytest.raises(SettingError, match="upstream must be a base URL"):
        make_app(mocked(answer()), upstream=upstream)


# -- many clients ------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_streams_at_once_beside_clients_that_do_not_read(
    protocol: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = 20
    everyone = asyncio.Barrier(count)
    sleep = asyncio.sleep

    async def wait_for_others(seconds: float) -> None:
        await (everyone.wait() if seconds == FAR else sleep(0))

    def reply(request: Request) -> Interaction:
        content = text(request)
        if content == "LOTS":
            return answer(*[b"x" * 100_000] * 200)
        times = [FAR + at for at in range(words)]
        return answer(*(f"{content}-{at};".encode() for at in range(words)), times=times)

    async def one(asking: httpx.AsyncClient, number: int) -> bool:
        parts = []
        async with asking.stream("POST", "/chat/completions", json=ask(f"n{number}")) as got:
            async for part in got.aiter_raw():
                parts.append(part)
        return b"".join(parts).decode() == "".join(f"n{number}-{at};" for at in range(words))

    async def all_of_them(url: str) -> list[bool]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(
            base_url=url, limits=limits, timeout=60, trust_env=False
        ) as asking:
            return await asyncio.gather(*(one(asking, number) for number in range(count)))

    monkeypatch.setattr(app_module.asyncio, "sleep", wait_for_others)
    lines: list[str] = []
    recorder = mocked(reply)
    with (
        serving(recorder, protocol, on_exchange=lines.append) as url,
        contextlib.ExitStack() as open_,
    ):
        for _ in range(5):
            open_.enter_context(connected(url)).sendall(raw_request("LOTS"))
        with connected(url) as vanishing:
            vanishing.sendall(raw_request("LOTS"))
            vanishing.recv(10)
        with connected(url) as half:
            half.sendall(raw_request("LOTS")[:-3])
        assert asyncio.run(all_of_them(url)) == [True] * count
        finished = [line for line in lines if ", " not in line]
        assert len(finished) == count
    assert not [line for line in lines if "no recording" in line or "Error" in line]
    # They ended with the server.
    assert len([line for line in lines if line.endswith("the client left")]) >= 7


def test_a_request_that_takes_the_recorder_long_delays_no_stream(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_busy, go_on = threading.Event(), threading.Event()

    def reply(request: Request) -> Interaction:
        if len(text(request)) > 3:
            is_busy.set()
            assert go_on.wait(2 * PATIENCE)
        return answer(b"1", b"2", b"3", times=[0, 1, 2])

    async def sleep(seconds: float) -> None:
        if seconds:
            await asyncio.get_running_loop().run_in_executor(None, is_busy.wait, PATIENCE)

    monkeypatch.setattr(app_module.asyncio, "sleep", sleep)
    with serving(mocked(reply), protocol) as url, contextlib.ExitStack() as others:
        with (
            client(url) as asking,
            asking.stream("POST", "/chat/completions", json=ask()) as response,
        ):
            for content in ("x" * 100_000, "Hi"):  # what comes then waits for its turn as well
                others.enter_context(connected(url)).sendall(raw_request(content))
            assert response.read() == b"123"
            assert is_busy.is_set()
            assert not go_on.is_set()
        go_on.set()
        assert post(url).content == b"123"


def test_a_request_can_be_cancelled_while_the_recorder_is_busy() -> None:
    is_busy, go_on = threading.Event(), threading.Event()

    def reply(request: Request) -> Interaction:
        is_busy.set()
        assert go_on.wait(PATIENCE)
        return answer(b"1")

    async def cancel(app: Any, sender: FakeClient) -> None:
        task = asyncio.create_task(app(sender.scope(), sender.receive, sender.send))
        await asyncio.get_running_loop().run_in_executor(None, is_busy.wait, PATIENCE)
        task.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    sender = FakeClient(json.dumps(ask("x" * 100_000)).encode())
    asyncio.run(cancel(make_app(mocked(reply)), sender))
    assert sender.events == ["read"]


def test_it_stops_with_streams_open(protocol: str) -> None:
    threads = set(threading.enumerate())
    answers = {
        "stalls": answer(b"1", b"2", times=[0, FAR]),
        "holds": answer(status=0, error="ReadTimeout"),
        "lots": answer(*[b"x" * 100_000] * 200),
    }
    recorder = mocked(lambda request: answers[text(request)])
    with contextlib.ExitStack() as clients:
        with serving(recorder, protocol) as url:
            for content in answers:
                connection = clients.enter_context(connected(url))
                connection.sendall(raw_request(content))
                if content != "holds":
                    assert connection.recv(1)
            idle = clients.enter_context(connected(url))
            early = clients.enter_context(connected(url))
            early.sendall(b"POST /v1/chat/completions HTTP/1.1\r\n")
            post(url, ask("lots"))
        assert set(threading.enumerate()) <= threads
        assert to_end(idle) == b""
    with pytest.raises(httpx.ConnectError):
        post(url)
    gc.collect()  # what is left open would warn, and warnings are errors


def test_loggers_of_uvicorn_are_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", seen.append)
    loggers = [logging.getLogger(f"uvicorn{part}") for part in ("", ".error", ".access")]
    monkeypatch.setattr(loggers[2], "handlers", [handler])
    level = loggers[2].level
    loggers[2].setLevel(logging.DEBUG)
    try:
        before = [(x.handlers[:], x.level, x.propagate) for x in loggers]
        with serving(mocked(answer(b"{}"))) as url:
            post(url)
        assert [(x.handlers, x.level, x.propagate) for x in loggers] == before
    finally:
        loggers[2].setLevel(level)
    assert seen == []


# -- cassettes and the proxy -------------------------------------------------------------------


@contextlib.contextmanager
def proxy(path: Path, upstream: str, mode: str = "new_episodes", **more: Any) -> Iterator[str]:
    recorder = open_recorder(path, record_mode=mode)
    with serving(recorder, upstream=upstream, save=recorder.save, **more) as url:
        yield url


@contextlib.contextmanager
def replay(path: Path) -> Iterator[str]:
    with serving(open_recorder(path)) as url:
        yield url


def interactions(path: Path) -> list[Any]:
    recorded: list[Any] = yaml.safe_load(path.read_text())["interactions"]
    return recorded


def talk(url: str) -> list[Any]:
    """All kinds of answers that the stub has, as the client sees them."""
    got: list[Any] = []
    headers = {"authorization": f"Bearer {KEY}", "openai-organization": "acme-org-1x"}
    with client(url, headers=headers) as asking:
        for content in ("Hi", "GZIP", "LIMIT", "LIMIT"):
            response = asking.post("/chat/completions", json=ask(content))
            got.append((response.status_code, response.json()))
        for content in ("Hi", "SPLIT"):
            question = ask(content, stream=True)
            with asking.stream("POST", "/chat/completions", json=question) as response:
                got.append((response.status_code, list(response.iter_raw())))
        got.append(asking.get("/models?limit=2").json())
    return got


@pytest.fixture
def stub() -> Iterator[Any]:
    with stub_server.running() as server:
        yield server


def test_round_trip_through_the_proxy(stub: Any, tmp_path: Path) -> None:
    threads = set(threading.enumerate())
    path = tmp_path / "c.yaml"
    lines: list[str] = []
    written = threading.Semaphore(0)

    def line_of(line: str) -> None:
        lines.append(line)
        written.release()

    with proxy(path, stub.url, on_exchange=line_of) as url:
        live = talk(url)
        assert all(written.acquire(timeout=PATIENCE) for _ in live)
        # Each was written when it was over, not at the end.
        assert len(interactions(path)) == 7
    assert [status for status, _ in live[:6]] == [200, 200, 429, 200, 200, 200]
    asked = len(stub.seen)
    with replay(path) as url:
        assert talk(url) == live
    assert len(stub.seen) == asked
    written = path.read_text()
    assert f"uri: {stub.url}/chat/completions" in written
    assert f"uri: {stub.url}/models?limit=2" in written
    for secret in (KEY, "acme-org-1x", "s3cretC00kie99"):
        assert secret not in written
        assert secret not in "\n".join(lines)
    assert [t for t in set(threading.enumerate()) - threads if "chatapi" in t.name] == []
    assert len(lines) == 7
    assert lines[0].startswith("POST /v1/chat/completions 200 ")


def test_what_goes_upstream(stub: Any, tmp_path: Path) -> None:
    with proxy(tmp_path / "c.yaml", stub.url + "/") as url:
        post(
            url,
            headers={
                "authorization": f"Bearer {KEY}",
                "openai-project": "proj_1",
                "connection": "x-hop, keep-alive",
                "x-hop": "1",
                "te": "trailers",
                "accept-encoding": "br, gzip, zstd",
            },
        )
        post(url, headers={"accept-encoding": "br", "user-agent": "mine"})
        with client(url.removesuffix("/v1")) as asking:
            response = asking.get("/elsewhere")
            assert response.status_code == 404
            assert "Invalid URL (GET /elsewhere)" in error_of(response)["message"]
    assert {recorded["request"]["uri"] for recorded in interactions(tmp_path / "c.yaml")} == {
        f"{stub.url}/chat/completions"
    }
    sent, plain = ({k.lower(): v for k, v in head.items()} for head, _ in stub.seen)
    assert sent["authorization"] == f"Bearer {KEY}"
    assert sent["openai-project"] == "proj_1"
    assert sent["host"] == stub.url.split("/")[2]
    assert sent["accept-encoding"] == "gzip"
    assert not {"x-hop", "te", "connection"} & set(sent)
    assert plain["accept-encoding"] == "identity"
    assert plain["user-agent"] == "mine"


@pytest.mark.parametrize("mode", ["new_episodes", "all", "once", "none"])
def test_the_mode_decides_what_goes_upstream(stub: Any, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "c.yaml"
    with proxy(path, stub.url) as url:
        post(url, ask("Hi"))
    with proxy(path, stub.url, mode) as url:
        same, other = post(url, ask("Hi")), post(url, ask("Ho"))
    assert same.status_code == 200
    assert other.status_code == (200 if mode in ("new_episodes", "all") else 404)
    assert len(stub.seen) == {"new_episodes": 2, "all": 3}.get(mode, 1)
    assert len(interactions(path)) == (1 if mode in ("once", "none") else 2)


def test_an_upstream_that_dies(stub: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "c.yaml"
    question = ask("DIE", stream=True)

    def try_it(url: str) -> list[bytes]:
        got: list[bytes] = []
        with (
            client(url) as asking,
            pytest.raises(httpx.RemoteProtocolError),
            asking.stream("POST", "/chat/completions", json=question) as response,
        ):
            got.extend(response.iter_raw())
        return got

    lines: list[str] = []
    with proxy(path, stub.url, on_exchange=lines.append) as url:
        live = try_it(url)
    assert b"".join(live) == b"".join(stub_server.events()[:3])
    (recorded,) = interactions(path)
    assert recorded["response"]["chatapi"]["cut"] == "server"
    assert "cut by the upstream" in lines[0]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    with replay(path) as url:
        assert b"".join(try_it(url)) == b"".join(live)


def test_an_upstream_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        with proxy(tmp_path / "c.yaml", gone) as url:
            response = post(url)
    assert response.status_code == 502
    assert "ConnectError" in error_of(response)["message"]
    assert not (tmp_path / "c.yaml").exists()


def test_the_proxy_streams_and_ends_when_its_client_does(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    answers = {
        "far": answer(b"data: 1\n\n", b"data: 2\n\n", times=[0, FAR]),
        "silent": answer(status=0, error="ReadTimeout"),
    }
    asked = threading.Semaphore(0)

    def reply(request: Request) -> Interaction:
        asked.release()
        return answers[text(request)]

    left = threading.Semaphore(0)
    with (
        serving(mocked(reply), on_exchange=lambda line: left.release()) as origin,
        proxy(path, origin) as url,
    ):
        with (
            client(url) as asking,
            asking.stream("POST", "/chat/completions", json=ask("far")) as response,
        ):
            assert next(response.iter_raw()) == b"data: 1\n\n"
        assert left.acquire(timeout=PATIENCE)
        assert asked.acquire(timeout=PATIENCE)
        with connected(url) as connection:
            connection.sendall(raw_request("silent"))
            assert asked.acquire(timeout=PATIENCE)
        assert left.acquire(timeout=PATIENCE)
    (recorded,) = interactions(path)
    assert recorded["response"]["chatapi"]["cut"] == "client"
    assert recorded["response"]["body"]["string"] == "data: 1\n\n"


def test_the_upstream_may_take_any_time_to_respond(
    stub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts: list[httpx.Timeout] = []

    class Client(httpx.AsyncClient):
        def __init__(self, **more: Any) -> None:
            timeouts.append(more["timeout"])
            super().__init__(**more)

    monkeypatch.setattr(httpx, "AsyncClient", Client)
    with proxy(tmp_path / "c.yaml", stub.url) as url:
        assert post(url).status_code == 200
        assert post(url, ask("Ho")).status_code == 200
    # One client for all requests, so that connections are kept.
    assert [timeout.as_dict() for timeout in timeouts] == [
        {"connect": app_module._CONNECT, "read": None, "write": None, "pool": None}
    ]


def test_any_number_of_streams_passes_the_proxy(tmp_path: Path) -> None:
    upstream = mocked(answer(b"data: 1\n\n", b"data: 2\n\n", times=[0, FAR]))
    path = tmp_path / "c.yaml"
    with (
        contextlib.ExitStack() as open_,
        serving(upstream) as origin,
        proxy(path, origin) as url,
    ):
        clients = [open_.enter_context(connected(url)) for _ in range(120)]
        for one in clients:
            one.sendall(raw_request())
        for one in clients:
            got = b""
            while b"data: 1" not in got:
                got += one.recv(4096)
    # Those that were open at the end are kept as far as they came.
    assert [i["response"]["chatapi"]["cut"] for i in interactions(path)] == ["client"] * 120


def test_clients_at_once_are_all_recorded(stub: Any, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"

    async def all_of_them(url: str) -> list[str]:
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as asking:
            calls = (
                asking.post("/chat/completions", json=ask(f"ECHO {number}")) for number in range(60)
            )
            return [
                r.json()["choices"][0]["message"]["content"] for r in await asyncio.gather(*calls)
            ]

    with proxy(path, stub.url) as url:
        expected = [f"ECHO {number}" for number in range(60)]
        assert asyncio.run(all_of_them(url)) == expected
    with replay(path) as url:
        assert asyncio.run(all_of_them(url)) == expected


def test_what_cannot_be_written_is_told(stub: Any, tmp_path: Path) -> None:
    recorder = open_recorder(tmp_path / "c.yaml", record_mode="all")
    (tmp_path / "c.yaml").mkdir()
    lines: list[str] = []
    app = make_app(recorder, upstream=stub.url, save=recorder.save, on_exchange=lines.append)
    with pytest.raises(Exception, match=r"c\.yaml") as caught, running(app) as server:
        assert post(server.url).status_code == 200
    assert isinstance(caught.value, importlib.import_module("pytest_chatapi.errors").ChatAPIError)
    assert "c.yaml" in lines[0]


def test_recording_without_an_upstream_is_no_crash(tmp_path: Path) -> None:
    with serving(open_recorder(tmp_path / "c.yaml", record_mode="all")) as url:
        assert post(url).status_code == 404


RECORDED = """interactions:
- request:
    method: POST
    uri: https://api.groq.com/openai/v1/chat/completions
    headers: {}
    body: '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}'
  response:
    status: {code: 200, message: OK}
    headers: {content-type: [application/json]}
    body: {string: '{"id": 1}'}
version: 1
"""


@pytest.mark.parametrize("base", ["/v1", "/openai/v1"])
def test_other_base_urls_are_served_below_v1_too(tmp_path: Path, base: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(RECORDED)
    recorder = open_recorder(path, match_on=["host", "path", "body"] if base == "/v1" else ["path"])
    with serving(recorder) as url:
        assert post(url.removesuffix("/v1") + base).json() == {"id": 1}
        assert post(url.removesuffix("/v1") + base).status_code == 404


def test_a_damaged_recording_hides_no_other(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    damaged = "- request:\n    method: [\n  response: {}\n"
    path.write_text(RECORDED.replace("interactions:\n", f"interactions:\n{damaged}", 1))
    with serving(open_recorder(path, match_on=["method"])) as url:
        response = post(url)
        assert response.status_code == 404
        assert "interaction 0: not valid YAML" in error_of(response)["message"]


# -- clients of others -------------------------------------------------------------------------


def sdk_answers(request: Request) -> Interaction:
    if request.method == "GET":
        return answer(b'{"object": "list", "data": []}', headers=JSON)
    if request.json().get("stream"):
        return answer(*stub_server.events(), times=[0.002 * n for n in range(7)])
    return answer(json.dumps(ANSWER).encode(), headers=JSON)


def test_the_sdk(protocol: str) -> None:
    async def asynchronously(url: str) -> str:
        async with openai.AsyncOpenAI(base_url=url, api_key=KEY) as sdk:
            assert [model async for model in sdk.models.list()] == []
            words = ""
            async for chunk in await sdk.chat.completions.create(**ask(), stream=True):
                words += chunk.choices[0].delta.content or ""
            return words

    with serving(mocked(sdk_answers), protocol, api_key=KEY) as url:
        with openai.OpenAI(base_url=url, api_key=KEY) as sdk:
            whole = sdk.chat.completions.create(**ask()).choices[0].message.content
            chunks = list(sdk.chat.completions.create(**ask(), stream=True))
        assert whole == "Hello!"
        words = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert words == "".join(stub_server.WORDS) == asyncio.run(asynchronously(url))


IN_A_SUBPROCESS = """
import openai
sdk = openai.OpenAI()
question = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
print(sdk.chat.completions.create(**question).choices[0].message.content)
for chunk in sdk.chat.completions.create(**question, stream=True):
    print(ascii(chunk.choices[0].delta.content or ""), end="")
"""


@pytest.mark.slow  # its import; the fixture `chatapi_server` is tried with it each time
def test_the_sdk_in_a_subprocess() -> None:
    with serving(mocked(sdk_answers)) as url:
        environment = {**os.environ, "OPENAI_BASE_URL": url, "OPENAI_API_KEY": KEY}
        done = subprocess.run(
            [sys.executable, "-c", IN_A_SUBPROCESS],
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert done.stdout == "Hello!\n''" + "".join(map(ascii, stub_server.WORDS)) + "''", done.stderr


# -- pace --------------------------------------------------------------------------------------


def test_a_pace_is_real_on_a_socket(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float, result: object = None) -> None:
        slept.append(seconds)
        await sleep(0)

    mock = ChatMock("test")
    mock.reply("a b c", ttft=FAR, tokens_per_second=0.5)
    monkeypatch.setattr(app_module.asyncio, "sleep", noted)
    with VirtualTime() as clock, serving(open_recorder(None, answers=mock), protocol) as url:
        assert post(url, ask(stream=True)).content.endswith(b"data: [DONE]\n\n")
    assert [seconds for seconds in slept if seconds] == [FAR, 2, 2]
    assert clock.slept == []


def test_what_was_sent_to_the_server_itself_cannot_pass_through() -> None:
    mock = ChatMock("test")
    mock.chat().pass_through()
    with serving(open_recorder(None, answers=mock)) as url:
        response = post(url)
    assert response.status_code == 404
    assert response.json()["error"]["message"] == (
        "pass_through() has nowhere to send this to: its server is this one"
    )


# -- other web sites ---------------------------------------------------------------------------


def asked(url: str, path: str = "/v1/models", **headers: str) -> httpx.Response:
    """Asks with these headers, underscores for hyphens; a path goes out as it is."""
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    port = httpx.URL(url).port
    target = path.encode()
    with httpx.Client(trust_env=False, verify=False, timeout=PATIENCE) as asking:
        return asking.request(
            "POST",
            f"http://127.0.0.1:{port}/",
            headers=[(name.encode(), text.encode("latin-1")) for name, text in sent.items()],
            extensions={"target": target},
            json=ask(),
        )


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "rebound.example"},
        {"host": "localhost.example:8080"},
        {"host": "192.0.2.7"},
        {"host": "127.0.0.1.example"},
        {"host": "a@localhost"},
        {"host": ""},
        {"origin": "https://site.example"},
        {"origin": "null"},
        {"origin": "http://localhost.example"},
        {"origin": "extension://localhost"},
        {"sec_fetch_site": "cross-site"},
        {"origin": "https://site.example", "sec_fetch_site": "same-site"},
    ],
)
def test_what_another_site_sends_is_refused(
    tmp_path: Path, protocol: str, headers: dict[str, str]
) -> None:
    path = tmp_path / "c.yaml"
    with stub_server.running() as stub:
        recorder = open_recorder(path, record_mode="new_episodes")
        save = recorder.save
        with serving(recorder, protocol, upstream=stub.url, save=save) as url:
            response = asked(url, "/v1/chat/completions", **headers)
            assert response.status_code == 403
            assert response.json()["error"]["type"] == "invalid_request_error"
            assert response.json()["error"]["code"] == "forbidden"
            assert not path.exists()
            # The nearest request of its own is recorded.
            assert asked(url, "/v1/chat/completions").status_code == 200
        assert path.exists()
        assert len(stub.seen) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "localhost"},
        {"host": "LOCALHOST.:9"},
        {"host": "127.0.0.2:80"},
        {"host": "[::1]:80"},
        {"host": "mock.internal:80"},
        {"host": "two.internal"},
        {"origin": "http://localhost:3000", "sec_fetch_site": "cross-site"},
        {"origin": "https://mock.internal"},
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
    ],
)
def test_what_is_sent_to_this_server_is_not(protocol: str, headers: dict[str, str]) -> None:
    names = ["mock.internal", "Two.internal"]
    with serving(mocked(answer(b"data: 1\n\n")), protocol, hosts=names) as url:
        assert asked(url, **headers).status_code == 200


@pytest.mark.parametrize(
    ("host", "address", "refused"),
    [
        ("192.0.2.7:8080", "10.0.0.5", False),  # through a port that a router forwards
        ("[2001:db8::1]:80", "10.0.0.5", False),
        ("2001:db8::1", "fe80::1%eth0", False),
        ("rebound.example", "10.0.0.5", True),
        ("192.0.2.7", "127.0.0.1", True),
    ],
)
def test_an_address_is_no_name_of_another_site(host: str, address: str, refused: bool) -> None:
    assert bool(foreign([("host", host)], address, ())) is refused


def test_a_refused_host_is_shown_in_one_safe_line() -> None:
    message = foreign([("host", f"{KEY}\x1b[2J\xff" + "x" * 500)], "127.0.0.1", ())
    assert message is not None
    assert message.isascii()
    assert message.isprintable()
    assert KEY not in message
    assert len(message) < 200
    assert message.endswith("does not name this server; to allow it, add --allow-host NAME")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/models", "/v1/models"),
        ("/v1/models/a%2Fb", "/v1/models/a%2Fb"),
        ("/v1/models/gpt-4.1..2", "/v1/models/gpt-4.1..2"),
        ("/v1/models/%2E%2Ehidden", "/v1/models/%2E%2Ehidden"),
        ("/v1/../v1/models", "/v1/models"),
        ("/v1/./models/", "/v1/models/"),
        ("/v1/../../admin", "/admin"),
        ("/v1/%2e%2E/admin", "/admin"),
        ("/v1/.%2e/admin", "/admin"),
        ("/v1/..%2fadmin", "/admin"),
        ("/v1/..%5C..\\admin", "/admin"),
        ("/v1/models/..", "/v1/"),
        ("/..", "/"),
        ("/.", "/"),
        ("*", "*"),
    ],
)
def test_paths_without_dots(path: str, expected: str) -> None:
    assert without_dots(path) == expected


@pytest.mark.parametrize("path", ["/v1/../secret", "/v1/%2e%2e/secret", "/v1/..%2fsecret"])
def test_no_path_leads_out_of_the_upstream(tmp_path: Path, protocol: str, path: str) -> None:
    with stub_server.running() as stub:
        recorder = open_recorder(tmp_path / "c.yaml", record_mode="new_episodes")
        with serving(recorder, protocol, upstream=stub.url, save=recorder.save) as url:
            assert asked(url, path).status_code == 404
            assert asked(url, "/v1/x/../chat/completions").status_code == 200
        assert len(stub.seen) == 1


def test_a_header_outside_of_ascii(tmp_path: Path, protocol: str) -> None:
    with stub_server.running() as stub:
        recorder = open_recorder(tmp_path / "c.yaml", record_mode="new_episodes")
        with serving(recorder, protocol, upstream=stub.url, save=recorder.save) as url:
            response = asked(url, x_title="Gr\xfc\xdfe")
        assert response.status_code == 400
        error = response.json()["error"]
        assert error["message"] == "The header x-title has characters outside of ASCII"
        assert stub.seen == []


# -- idle connections --------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [b"", b"POST /v1/x HT", raw_request()[:-5], None])
def test_an_idle_connection_is_closed(
    protocol: str, monkeypatch: pytest.MonkeyPatch, begun: bytes | None
) -> None:
    ahead = 0.0
    real = run_module._Loop.time
    monkeypatch.setattr(run_module._Loop, "time", lambda loop: real(loop) + ahead)
    recorder = mocked(answer(b"data: 1\n\n"))
    with running(make_app(recorder), protocol=protocol) as server:

        def moved_on(seconds: float) -> None:
            nonlocal ahead
            ahead += seconds
            post(server.url)  # wakes the loop

        with connected(server.url) as connection:
            if begun is None:
                connection.sendall(raw_request())
                while not connection.recv(65536).endswith(b"0\r\n\r\n"):
                    pass
            else:
                connection.sendall(begun)
            post(server.url)  # by now, the server has accepted the connection before
            moved_on(run_module.IDLE / 2)
            connection.settimeout(0)
            with pytest.raises(BlockingIOError):
                connection.recv(1)
            moved_on(run_module.IDLE)
            connection.settimeout(PATIENCE)
            assert to_end(connection) == b""


def test_a_long_response_is_not_idle(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = 0.0
    real = run_module._Loop.time
    monkeypatch.setattr(run_module._Loop, "time", lambda loop: real(loop) + ahead)

    def answered(request: Request) -> Interaction:
        return answer(b"data: 1\n\n", *[b"data: 2\n\n"] * (text(request) == "slow"), times=[0, FAR])

    with (
        running(make_app(mocked(answered)), protocol=protocol) as server,
        client(server.url) as asking,
        asking.stream("POST", "/chat/completions", json=ask("slow")) as response,
    ):
        pieces = response.iter_raw()
        assert next(pieces) == b"data: 1\n\n"
        for _ in range(3):
            ahead += FAR / 4
            post(server.url)
        ahead += FAR
        post(server.url)
        assert next(pieces) == b"data: 2\n\n"


# -- what the server shows of itself -------------------------------------------------------------

ABOUT = About("serving <c.yaml>", lambda: [f"GET /v1/{n}" for n in range(22)], ["chatapi serve X"])


def test_a_page_says_what_is_served() -> None:
    with serving(mocked(answer(b"data: x\n\n")), about=ABOUT) as url, client(url) as asking:
        root = url.removesuffix("/v1")
        plain, page = (
            asking.get(f"{root}/"),
            asking.get(f"{root}/", headers={"accept": "text/html"}),
        )
        head, *blocks = plain.text.split("\n\n")
        assert head.endswith(": serving <c.yaml>")
        assert blocks[0] == f"Base URL:\n  {url}\n  export OPENAI_BASE_URL={url}"
        assert blocks[1].splitlines()[-2:] == ["  GET /v1/19", "  ... and 2 more"]
        assert blocks[2].endswith(f"curl {root}{REQUESTS}")
        assert blocks[3] == "To serve more:\n  chatapi serve X\n"
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "serving &lt;c.yaml&gt;</h1>" in page.text
        named = asking.get(f"{root}/", headers={"host": "localhost:99"})
        assert "export OPENAI_BASE_URL=http://localhost:99/v1" in named.text
        elsewhere = asking.post(f"{root}/")
        assert (elsewhere.status_code, error_of(elsewhere)["code"]) == (404, "unknown_url")
        refused = asking.get(f"{root}/", headers={"origin": "http://evil"})
        assert refused.status_code == 403


def test_the_journal() -> None:
    def respond(request: Request) -> Interaction | None:
        return answer(b"{}", headers=JSON) if text(request) != "lost" else None

    recorder = mocked(respond)
    recorder.faults = Plan("ok, server_error")
    about = replace(ABOUT, profile="openai")
    lines: list[str] = []
    with (
        serving(recorder, about=about, api_key=KEY, on_exchange=lines.append) as url,
        client(url) as asking,
    ):
        journal = f"{url.removesuffix('/v1')}{REQUESTS}"
        assert asking.get(journal).status_code == 401
        assert asking.post("/chat/completions?a=1", json=ask()).status_code == 401
        asking.headers["authorization"] = f"Bearer {KEY}"
        for body in (ask(user=KEY), ask(temperature=3), ask("lost")):
            asking.post("/chat/completions", json=body)
        asking.post("/form", content=b"not \xff JSON")
        told = asking.get(journal).json()
        assert KEY not in str(told)
        rows = told["requests"]
        assert (told["total"], [row["number"] for row in rows]) == (5, [1, 2, 3, 4, 5])
        keys = ("method", "path", "status", "answered_by", "fault")
        assert [tuple(row[key] for key in keys) for row in rows] == [
            ("POST", "/v1/chat/completions?a=1", 401, None, None),
            ("POST", "/v1/chat/completions", 200, "mock", None),
            ("POST", "/v1/chat/completions", 500, "mock", "server_error"),
            ("POST", "/v1/chat/completions", 404, None, None),
            ("POST", "/v1/form", 404, None, None),
        ]
        assert [row["body"] and row["body"]["messages"] for row in rows[:4]] == [
            None,
            *[ask(said)["messages"] for said in ("Hi", "Hi", "lost")],
        ]
        assert rows[4]["body"] == "not \ufffd JSON"
        assert [(f["code"], f["path"]) for row in rows for f in row["findings"]] == [
            ("Q16", "$.user"),
            ("Q00", "$.temperature"),
        ]
        assert (rows[3]["note"], rows[0]["note"]) == ("no recording or reply", None)
        assert asking.delete(journal).json() == {"total": 0, "requests": []}
        assert asking.get(journal).json() == {"total": 0, "requests": []}
    assert [line.partition(" ms, ")[2] for line in lines if " ms," in line] == [
        "fault server_error",
        "no recording or reply",
        "no recording or reply",
    ]


def test_what_a_recording_answered(tmp_path: Path) -> None:
    shutil.copy(SHIPPED / "plain.yaml", tmp_path / "c.yaml")
    recorder = open_recorder(tmp_path / "c.yaml", match_on=["method"], name="c.yaml")
    with serving(recorder, about=ABOUT) as url, client(url) as asking:
        post(url)
        [row] = asking.get(f"{url.removesuffix('/v1')}{REQUESTS}").json()["requests"]
        assert row["answered_by"] == "interaction 0 of c.yaml"


def test_the_journal_is_bounded() -> None:
    journal = Journal(Redactor())
    for number in range(1002):
        journal.add(Seen("GET", f"/{number}", []))
    told = json.loads(journal.reader()())
    assert (told["total"], len(told["requests"])) == (1002, 1000)
    assert (told["requests"][0]["number"], told["requests"][0]["path"]) == (3, "/2")
    for size in (5, 5, 20):  # MiB
        journal.add(seen := Seen("POST", "/", []))
        journal.add_body(seen, b"1" * (size << 20))
    assert len(journal._seen) == 1
    journal.add(late := Seen("POST", "/", []))
    journal.clear()
    journal.add_body(late, b"1")
    assert (journal._bytes, journal.reader()()) == (0, '{\n  "total": 0,\n  "requests": []\n}')


def test_without_a_page_a_server_has_no_paths_of_its_own() -> None:
    asked: list[str] = []

    def respond(request: Request) -> None:
        asked.append(request.url.partition("://")[2].partition("/")[2])

    with serving(mocked(respond)) as url, client(url.removesuffix("/v1")) as asking:
        assert [asking.get(path).status_code for path in ("/", REQUESTS)] == [404, 404]
    assert asked == ["", REQUESTS[1:]]
