"""What this package uses of httpx and httpx2, as types that both families satisfy.

Neither is imported: which of the two a request belongs to is decided at run time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any, Protocol

__all__ = [
    "AsyncByteStream",
    "AsyncTransport",
    "ByteStream",
    "Family",
    "HTTPRequest",
    "HTTPResponse",
    "SyncTransport",
]


class _URL(Protocol):
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int | None: ...


class _Headers(Protocol):
    def multi_items(self) -> list[tuple[str, str]]: ...


class HTTPRequest(Protocol):
    """A request of either family, from a sync or an async client."""

    extensions: Any
    """A mapping of names, such as ``timeout`` and ``trace``, to what they are."""

    @property
    def method(self) -> str: ...
    @property
    def url(self) -> _URL: ...
    @property
    def headers(self) -> _Headers: ...
    def read(self) -> bytes: ...
    async def aread(self) -> bytes: ...


class HTTPResponse(Protocol):
    """A response of either family."""

    stream: Any
    """A `ByteStream` or an `AsyncByteStream`, and a subclass of the family's own base class."""
    elapsed: timedelta
    """From the request to the end of the response."""

    @property
    def status_code(self) -> int: ...
    @property
    def reason_phrase(self) -> str: ...
    @property
    def headers(self) -> _Headers: ...
    @property
    def is_closed(self) -> bool: ...
    @property
    def content(self) -> bytes: ...
    def read(self) -> bytes: ...


class ByteStream(Protocol):
    """The body of a response to a sync client, in the pieces in which it arrives."""

    def __iter__(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class AsyncByteStream(Protocol):
    """The body of a response to an async client."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def aclose(self) -> None: ...


class SyncTransport(Protocol):
    """A transport of either family; it takes and returns the types of its own."""

    def handle_request(self, request: Any) -> Any: ...
    def close(self) -> None: ...


class AsyncTransport(Protocol):
    """As `SyncTransport`, for async clients."""

    async def handle_async_request(self, request: Any) -> Any: ...
    async def aclose(self) -> None: ...


class Family(Protocol):
    """The module ``httpx`` or ``httpx2``."""

    @property
    def __name__(self) -> str: ...
    @property
    def Response(self) -> Callable[..., HTTPResponse]: ...
    @property
    def Limits(self) -> Callable[..., object]: ...
    @property
    def HTTPTransport(self) -> type[Any]: ...  # makes a `SyncTransport`
    @property
    def AsyncHTTPTransport(self) -> type[Any]: ...  # makes an `AsyncTransport`
    @property
    def SyncByteStream(self) -> type: ...
    @property
    def AsyncByteStream(self) -> type: ...
    @property
    def TransportError(self) -> type[Exception]: ...
    @property
    def TimeoutException(self) -> type[Exception]: ...
    @property
    def ReadTimeout(self) -> type[Exception]: ...
    @property
    def RemoteProtocolError(self) -> type[Exception]: ...
