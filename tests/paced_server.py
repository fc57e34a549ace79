"""A server that writes its chunks one by one, each when it is told to. Not a test."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = ["PacedServer", "VirtualClock", "running"]


class VirtualClock:
    """A clock that is where the pace has put it, however long anything takes."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


class PacedServer:
    """Answers each request with chunks: the first is written when the client has sent all of the
    request, the next when the client has the one before.

    Attributes:
        url: of the API.
        chunks: what to write, and at how many seconds after the request.
        content_type: of the response.
        requested: when the last byte of the last request had been read.
        written: when each chunk of its response began to be written.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.chunks: Sequence[tuple[float, bytes]] = ()
        self.content_type = "text/event-stream"
        self.requested = 0.0
        self.written: list[float] = []
        self._arrived = threading.Semaphore(0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def arrived(self) -> None:
        """The client has a chunk."""
        self._arrived.release()

    def trace(self, name: str, info: Any) -> None:
        """For the extension ``trace`` of httpx: the client has sent its request, after a connection
        that took its time.
        """
        if name == "http11.receive_response_headers.started":
            self._arrived.release()
        elif name == "connection.connect_tcp.complete" and isinstance(self.clock, VirtualClock):
            self.clock.time += 3

    async def async_trace(self, name: str, info: Any) -> None:
        """As `trace`, for async clients."""
        self.trace(name, info)

    def serve(self) -> None:
        """Serve until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    self._answer(connection)

    def close(self) -> None:
        """End `serve`."""
        self._arrived.release()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _answer(self, connection: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        headers = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:])
        while len(body) < int(headers[b"content-length"]):
            body += connection.recv(65536)
        self._arrived.acquire(timeout=60)
        self.requested, self.written = self.clock(), []
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n"
            b"content-type: %b\r\n\r\n" % self.content_type.encode()
        )
        for seconds, chunk in self.chunks:
            if isinstance(self.clock, VirtualClock):
                self.clock.time = self.requested + seconds
            self.written.append(self.clock())
            connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            self._arrived.acquire(timeout=60)
        connection.sendall(b"0\r\n\r\n")


@contextlib.contextmanager
def running(clock: Callable[[], float] = time.perf_counter) -> Iterator[PacedServer]:
    """The server, on a thread of its own."""
    server = PacedServer(clock)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
