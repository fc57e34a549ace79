"""The connection below a request: what ASGI has no words for, to cut it and to see it go."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any

__all__ = ["Connection", "Gone"]

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER for no time: what is left is thrown away, with RST


class Gone(Exception):
    """The client has left."""


class Connection:
    """One client's connection.

    Attributes:
        lost: done when the connection is no more, whoever ended it.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self.lost: asyncio.Future[None] = loop.create_future()

    async def cut(self) -> None:
        """Ends it after what was sent, in the middle of whatever that is."""
        self._transport.close()
        await self.lost

    async def reset(self) -> None:
        """Ends it at once, so that the client gets an error and no end."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()
        await self.lost

    @property
    def _socket(self) -> Any:
        return self._transport.get_extra_info("socket")

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """A block that ends when the client leaves, wherever it waits.

        Raises:
            Gone: the client has left.
        """
        task = asyncio.current_task()
        assert task is not None
        inside = True

        def leave(_: object) -> None:
            if inside:  # a callback that is due can no longer be taken back
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
