"""Runs the application on a local socket, in a thread that ends when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from pytest_chatapi.recording import clock
from pytest_chatapi.server.app import App
from pytest_chatapi.server.connection import ASGIApp, Connection, Outlet, Receive, Scope, Send

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as _Protocol
else:
    _Protocol = object  # at run time the class for either parser is added, see `_run`

from pytest_chatapi.server.listening import BACKLOG, listen

__all__ = ["IDLE", "Server", "running", "serve"]

IDLE = 75.0
"""Seconds after which a connection is closed on which the client sends nothing."""

_LOG = logging.getLogger(__name__)

_LONGEST_HEAD = 64 * 1024
"""Bytes of the headers of a request."""

_LAST_SECONDS = 5.0
"""Seconds for requests to end by themselves once their connections were cut."""

_Stop: TypeAlias = Callable[[], object]


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        url: the base URL of its API, ``http://127.0.0.1:PORT/v1``.
        ended: done when it has stopped.
    """

    url: str
    ended: Future[None]


@contextlib.contextmanager
def running(
    app: App,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    allow_remote: bool = False,
    protocol: str = "auto",
    idle: float = IDLE,
    listening: socket.socket | None = None,
    beside_tests: bool = True,
) -> Iterator[Server]:
    """A server for as long as the block lasts; streams that are open at its end are cut.

    Args:
        app: from `make_app`.
        port: 0 for any free one.
        allow_remote: without it, `host` must be a loopback address.
        protocol: ``h11``, ``httptools``, or ``auto`` for the faster one that is installed.
        idle: seconds after which a connection is closed if the client sends nothing, while no
            response is under way.
        listening: from `listen`, in place of `host`, `port` and `allow_remote`.
        beside_tests: a test in this process may make time virtual, which is not for the server.

    Raises:
        SettingError: the address is in use, not on this machine, or not loopback.
        ChatAPIError: at the end, if the cassette cannot be written.
    """
    listening = listening or listen(host, port, allow_remote)
    real_time = _real_time() if beside_tests else contextlib.nullcontext()
    ready: Future[_Stop] = Future()
    ended: Future[None] = Future()

    def work() -> None:
        try:
            with real_time, asyncio.Runner(loop_factory=_Loop) as runner:
                runner.run(_run(app, listening, protocol, idle, ready))
        except BaseException as error:
            (ended if ready.done() else ready).set_exception(error)
        if not ended.done():
            ended.set_result(None)

    thread = threading.Thread(target=work, name="chatapi-server", daemon=True)
    with listening:
        url = _url(host, listening)
        thread.start()
        stop = ready.result()
        try:
            yield Server(url, ended)
        finally:
            with contextlib.suppress(RuntimeError):  # its loop is closed, so it has ended by itself
                stop()
            thread.join()
    ended.result()


def _real_time() -> contextlib.AbstractContextManager[None]:
    from pytest_chatapi.faults.virtual_time import keeps_real_time  # with all of the faults

    return keeps_real_time()


def serve(
    app: App,
    listening: socket.socket,
    *,
    host: str,
    idle: float = IDLE,
    ready: Callable[[str], None],
) -> int:
    """Run a server until Ctrl-C or SIGTERM; must be called in the main thread.

    Args:
        listening: from `listen`.
        host, idle: see `running`.
        ready: called with the base URL once the server accepts requests.

    Returns:
        The exit status.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with (
            running(app, host=host, listening=listening, idle=idle, beside_tests=False) as server,
            contextlib.suppress(KeyboardInterrupt),
        ):
            ready(server.url)
            while not server.ended.done():
                # On Windows, Ctrl-C does not interrupt a wait without a timeout.
                wait([server.ended], 1)
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


class _Loop(asyncio.SelectorEventLoop):
    def time(self) -> float:
        return clock.elapsed()  # a test may have frozen `time.monotonic`


async def _run(
    app: App, listening: socket.socket, protocol: str, idle: float, ready: Future[_Stop]
) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    state = ServerState()
    # The loggers of uvicorn stay as they are: the code under test may use them.
    config = Config(
        app,
        http=protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        timeout_keep_alive=idle,  # type: ignore[arg-type]  # it is passed on to `call_later`
    )
    config.load()
    protocol_class: type[_Watched] = type(
        "_WatchedProtocol", (_Watched, config.http_protocol_class), {}
    )

    def connect() -> asyncio.Protocol:
        return protocol_class(config, state, {}, loop)

    server = await loop.create_server(connect, sock=listening, backlog=BACKLOG)
    ready.set_result(lambda: loop.call_soon_threadsafe(stopped.set))
    await stopped.wait()
    server.close()
    for connection in list(state.connections):
        connection.transport.abort()
    if state.tasks:
        await asyncio.wait(state.tasks, timeout=_LAST_SECONDS)
    await app.close()


class _Watched(_Protocol):
    """Added to a protocol of uvicorn: tells the application about the connection below."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(config, server_state, app_state, loop)
        self.logger, self.access_log = _LOG, False
        self._head = 0
        self._idle = float(config.timeout_keep_alive)
        self._heard = loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        outlet = Outlet(transport)
        super().connection_made(cast(asyncio.Transport, outlet))
        self._connection = connection = Connection(outlet, self.loop)
        app: ASGIApp = self.app

        async def with_connection(scope: Scope, receive: Receive, send: Send) -> None:
            scope["chatapi"] = connection
            await app(scope, receive, send)

        self.app = with_connection
        self._check_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._idle_check.cancel()
        self._connection.lost.set_result(None)

    def _check_idle(self) -> None:
        """Close a connection whose client sends no request, or only a part of one.

        uvicorn has a timer for what follows a response alone.
        """
        left = self._heard + self._idle - self.loop.time()
        if left <= 0 and self._awaits_client:
            self.transport.abort()
            return
        self._idle_check = self.loop.call_later(left if left > 0 else self._idle, self._check_idle)

    @property
    def _awaits_client(self) -> bool:
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return self.timeout_keep_alive_task is None
        return cycle.more_body and not getattr(self, "pipeline", None)

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        super().data_received(data)
        # httptools does not limit the headers of a request.
        is_head = self.cycle is None or self.cycle.response_complete
        self._head = self._head + len(data) if is_head else 0
        if self._head > _LONGEST_HEAD:
            self.transport.abort()


def _url(host: str, listening: socket.socket) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{listening.getsockname()[1]}/v1"
