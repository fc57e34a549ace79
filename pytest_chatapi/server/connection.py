"""The connection below a request: to cut it, and to see it end, which ASGI has no words for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias

__all__ = ["ASGIApp", "Connection", "Gone", "Outlet", "Receive", "Scope", "Send"]

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER for 0 s: unsent data is dropped, with a RST
_MOST_HELD = 64 * 1024


class Gone(Exception):
    """The client has left."""


class Outlet:
    """A transport that can hold back what is written and send it as one.

    To send costs more than everything else that is done for a chunk.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: bytearray | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """A block whose writes are held back; it has to `flush` before it waits."""
        self._held = bytearray()
        try:
            yield
        finally:
            self.flush()
            self._held = None

    def flush(self) -> None:
        if self._held:
            held, self._held = self._held, bytearray()
            if not self._transport.is_closing():
                self._transport.write(held)

    def write(self, data: bytes) -> None:
        if self._held is None:
            self._transport.write(data)
            return
        self._held += data
        if len(self._held) > _MOST_HELD:
            self.flush()

    def close(self) -> None:
        self.flush()
        self._transport.close()


class Connection:
    """One client's connection.

    Attributes:
        outlet: for all that is written.
        lost: done when the connection has ended, by either side.
    """

    def __init__(self, outlet: Outlet, loop: asyncio.AbstractEventLoop) -> None:
        self.outlet = outlet
        self.lost: asyncio.Future[None] = loop.create_future()

    async def cut(self) -> None:
        """Close it after what was sent, even in the middle of a response."""
        self.outlet.close()
        await self.lost

    async def reset(self) -> None:
        """Reset it at once, so that the client sees an error instead of an end."""
        with contextlib.suppress(OSError):
            connection: socket.socket = self.outlet.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.outlet.abort()
        await self.lost

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """A block that ends when the client leaves, whatever it waits for.

        Raises:
            Gone: the client has left.
        """
        task = asyncio.current_task()
        assert task is not None
        inside = True

        def leave(_: object) -> None:
            if inside:  # a callback that is already scheduled cannot be removed
                task.cancel()

        self.lost.add_done_callback(leave)
        try:
            yield
        except asyncio.CancelledError:
            if not self.lost.done():
                raise
            task.uncancel()
            raise Gone from None
        finally:
            inside = False
            self.lost.remove_done_callback(leave)
