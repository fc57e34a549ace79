"""Runs the application on a socket of this machine, in a thread that ends when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from uvicorn.config import Config
from uvicorn.server import ServerState

from pytest_chatapi.errors import SettingError
from pytest_chatapi.faults.virtual_time import keeps_real_time
from pytest_chatapi.recording import clock
from pytest_chatapi.server.connection import Connection, Outlet

__all__ = ["Server", "running", "serve"]

_LOG = logging.getLogger(__name__)
_BACKLOG = 2048
_LONGEST_HEAD = 64 * 1024
_LAST_SECONDS = 5.0


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        url: the base URL of its API, ``http://127.0.0.1:PORT/v1``.
        ended: done when it does not run any more.
    """

    url: str
    ended: Future[None]


@contextlib.contextmanager
def running(
    app: Starlette,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    allow_remote: bool = False,
    protocol: str = "auto",
) -> Iterator[Server]:
    """A server for as long as the block lasts; streams that are open at its end are cut.

    Args:
        app: of `make_app`.
        port: 0 takes any that is free.
        allow_remote: without it, `host` has to be this machine's loopback.
        protocol: ``h11``, ``httptools``, or ``auto`` for the faster one that is installed.

    Raises:
        SettingError: the address is in use, not of this machine or not loopback.
        ChatAPIError: at the end: the cassette cannot be written.
    """
    listening = _listen(host, port, allow_remote)
    ready: Future[Callable[[], object]] = Future()
    ended: Future[None] = Future()

    def work() -> None:
        try:
            with keeps_real_time(), asyncio.Runner(loop_factory=_Loop) as runner:
                runner.run(_run(app, listening, protocol, ready))
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
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                stop()
            thread.join()
    ended.result()


def serve(
    app: Starlette,
    *,
    host: str,
    port: int,
    allow_remote: bool,
    ready: Callable[[str], None],
) -> int:
    """Runs it until Ctrl-C or SIGTERM, in the main thread.

    Args:
        host, port, allow_remote: as of `running`.
        ready: called with the base URL once the server takes requests.

    Returns:
        The exit status.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with (
            running(app, host=host, port=port, allow_remote=allow_remote) as server,
            contextlib.suppress(KeyboardInterrupt),
        ):
            ready(server.url)
            while not server.ended.done():
                wait([server.ended], 1)  # without an end Windows would not see Ctrl-C
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


class _Loop(asyncio.SelectorEventLoop):
    def time(self) -> float:
        return clock.elapsed()  # a test may have frozen the other one


async def _run(
    app: Starlette, listening: socket.socket, protocol: str, ready: Future[Callable[[], object]]
) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    state = ServerState()
    # Nothing here may touch the loggers of uvicorn, which the code under test may use as well.
    config = Config(
        app, http=protocol, ws="none", lifespan="off", log_config=None, proxy_headers=False
    )
    config.load()
    kind: Any = config.http_protocol_class
    watched = type("_WatchedProtocol", (_Watched, kind), {})

    def connect() -> Any:
        return watched(config=config, server_state=state, app_state={}, _loop=loop)

    async with app.router.lifespan_context(app):
        server = await loop.create_server(connect, sock=listening, backlog=_BACKLOG)
        ready.set_result(lambda: loop.call_soon_threadsafe(stopped.set))
        await stopped.wait()
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=_LAST_SECONDS)


class _Watched:
    """Added to a protocol of uvicorn: tells the application about the connection below."""

    app: Any
    cycle: Any
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.logger, self.access_log = _LOG, False
        self._head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        outlet = Outlet(transport)
        super().connection_made(outlet)  # type: ignore[misc]
        self._connection = connection = Connection(outlet, self.loop)
        app = self.app

        async def with_connection(scope: Any, receive: Any, send: Any) -> None:
            scope["chatapi"] = connection
            await app(scope, receive, send)

        self.app = with_connection

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)  # type: ignore[misc]
        self._connection.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)  # type: ignore[misc]
        # httptools has no limit of its own for headers that never end.
        is_head = self.cycle is None or self.cycle.response_complete
        self._head = self._head + len(data) if is_head else 0
        if self._head > _LONGEST_HEAD:
            self.transport.abort()


def _listen(host: str, port: int, allow_remote: bool) -> socket.socket:
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise SettingError(f"host {host!r} is no address: {error.strerror or error}") from None
    if not allow_remote and not ipaddress.ip_address(address[0]).is_loopback:
        raise SettingError(
            f"host {host!r} is not this machine's loopback, so others could reach the server: "
            "use 127.0.0.1, or --allow-remote where that is meant"
        )
    listening = socket.socket(family, kind, number)
    try:
        if hasattr(socket, "SO_REUSEPORT"):  # not on Windows, where it would steal the port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise SettingError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; "
            "--port 0 takes one that is free"
        ) from None
    return listening


def _url(host: str, listening: socket.socket) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{listening.getsockname()[1]}/v1"
