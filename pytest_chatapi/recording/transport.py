"""Record and replay as a transport of httpx or httpx2, sync or async.

A response goes to the client piece by piece as it arrives; the recorder only looks on.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.recording.recorder import Playback, Recorder, Take

if TYPE_CHECKING:
    import httpx
    import httpx2

    class _Sync(httpx.BaseTransport, httpx2.BaseTransport): ...  # type: ignore[misc]

    class _Async(httpx.AsyncBaseTransport, httpx2.AsyncBaseTransport): ...  # type: ignore[misc]

else:
    # Clients of either family take whatever has the methods, so neither has to be imported.
    _Sync = _Async = object

__all__ = [
    "AsyncRecordReplayTransport",
    "RecordReplayTransport",
    "ahandle",
    "family_of",
    "handle",
    "is_sending",
    "sending",
]

_SENDING: ContextVar[Recorder | None] = ContextVar("chatapi_sending", default=None)

_STALL = 10.0
"""Seconds that an async client gets to stop where it had stopped in the recording."""


def family_of(message: Any) -> ModuleType:
    """httpx or httpx2, whichever a request is of."""
    for kind in type(message).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in ("httpx", "httpx2"):
            return sys.modules[name]
    raise TypeError(f"a request of httpx or httpx2 is needed, not {type(message).__name__}")


_STREAMS: dict[tuple[ModuleType, str], type] = {}


def _stream_type(family: ModuleType, kind: type) -> type:
    """`kind` as a byte stream of that family: its clients insist on their own base class."""
    key = (family, kind.__name__)
    if key not in _STREAMS:
        base = (
            family.AsyncByteStream if kind.__name__.startswith("_Async") else family.SyncByteStream
        )
        _STREAMS[key] = type(kind.__name__, (kind, base), {})
    return _STREAMS[key]


def _ended_by(family: ModuleType, error: BaseException) -> Any:
    is_client = isinstance(error, family.TimeoutException) or not isinstance(
        error, family.TransportError
    )
    return "client" if is_client else "server"


class _Tee:
    def __init__(self, family: ModuleType, inner: Any, take: Take) -> None:
        self._family, self._inner, self._take = family, inner, take

    def __iter__(self) -> Iterator[bytes]:
        take = self._take
        try:
            for piece in self._inner:
                take.piece(piece)
                yield piece
        except GeneratorExit:
            raise
        except BaseException as error:
            take.failed(error, _ended_by(self._family, error))
            raise
        take.ended()

    def close(self) -> None:
        self._take.closed()
        self._inner.close()


class _AsyncTee:
    def __init__(self, family: ModuleType, inner: Any, take: Take) -> None:
        self._family, self._inner, self._take = family, inner, take

    async def __aiter__(self) -> AsyncIterator[bytes]:
        take = self._take
        try:
            async for piece in self._inner:
                take.piece(piece)
                yield piece
        except GeneratorExit:
            raise
        except BaseException as error:
            take.failed(error, _ended_by(self._family, error))
            raise
        take.ended()

    async def aclose(self) -> None:
        self._take.closed()
        await self._inner.aclose()


class _Replay:
    def __init__(self, family: ModuleType, playback: Playback, patience: float | None) -> None:
        self._family, self._playback, self._patience = family, playback, patience

    def __iter__(self) -> Iterator[bytes]:
        playback = self._playback
        waits = playback.waits
        for at, piece in enumerate(playback.interaction.pieces):
            if waits is not None:
                time.sleep(_within(waits[at], self._patience))
                _lose_patience(self._family, playback, waits[at], self._patience)
            playback.delivered += 1
            yield piece
        if playback.interaction.cut is not None:
            _raise_cut(self._family, playback)

    def close(self) -> None:
        self._playback.closed()


class _AsyncReplay:
    def __init__(self, family: ModuleType, playback: Playback, patience: float | None) -> None:
        self._family, self._playback, self._patience = family, playback, patience

    async def __aiter__(self) -> AsyncIterator[bytes]:
        playback = self._playback
        waits = playback.waits
        for at, piece in enumerate(playback.interaction.pieces):
            if waits is not None:
                await _sleep(_within(waits[at], self._patience))
                _lose_patience(self._family, playback, waits[at], self._patience)
            playback.delivered += 1
            yield piece
        cut = playback.interaction.cut
        if cut is not None:
            if cut == "client" and not playback.interaction.error:
                await _sleep(_STALL)  # a task that was cancelled here will be cancelled again
            _raise_cut(self._family, playback)

    async def aclose(self) -> None:
        self._playback.closed()


async def _sleep(seconds: float) -> None:
    import anyio

    await anyio.sleep(seconds)


def _raise_cut(family: ModuleType, playback: Playback) -> None:
    interaction = playback.interaction
    if interaction.cut == "client" and not interaction.error:
        playback.overrun()
    count = len(interaction.pieces)
    raise _error_of(family, interaction)(
        f"the connection ended here in the recording, after {count} pieces"
    )


def _error_of(family: ModuleType, interaction: Interaction) -> Any:
    kind = getattr(family, interaction.error or "", None)
    if isinstance(kind, type) and issubclass(kind, family.TransportError):
        return kind
    return family.RemoteProtocolError


def _within(wait: float, patience: float | None) -> float:
    return wait if patience is None else min(wait, patience)


def _lose_patience(
    family: ModuleType, playback: Playback, wait: float, patience: float | None
) -> None:
    """A client's read timeout ends a replayed wait as it would end a real one."""
    if patience is not None and wait > patience:
        if playback.broke_off is not None:
            playback.broke_off()
        raise family.ReadTimeout(f"nothing came for {patience:g} s")


def _timeout(request: Any, name: str) -> float | None:
    found: float | None = request.extensions.get("timeout", {}).get(name)
    return found


def _fail(family: ModuleType, playback: Playback, request: Any) -> None:
    """Raises what a client gets where no response comes at all."""
    kind = _error_of(family, playback.interaction)
    raise kind(playback.interaction.reason or kind.__name__, request=request)


def _wait_in_vain(playback: Playback, request: Any) -> float:
    """Seconds that a client waits before it gives up."""
    names = {"ConnectTimeout": "connect", "ReadTimeout": "read"}
    name = names.get(playback.interaction.error)
    return (_timeout(request, name) or 0.0) if name else 0.0


def _response(family: ModuleType, playback: Playback, stream: type, request: Any) -> Any:
    interaction = playback.interaction
    if playback.is_plain:
        (body,) = interaction.pieces
        playback.delivered = 1
        return family.Response(interaction.status, headers=list(interaction.headers), content=body)
    extensions: dict[str, Any] = {"http_version": b"HTTP/1.1"}
    if interaction.reason:
        extensions["reason_phrase"] = interaction.reason.encode("ascii", "replace")
    return family.Response(
        interaction.status,
        headers=list(interaction.headers),
        stream=_stream_type(family, stream)(family, playback, _timeout(request, "read")),
        extensions=extensions,
    )


def _begin(recorder: Recorder, request: Any, body: bytes) -> Playback | Take:
    return recorder.begin(request.method, str(request.url), request.headers.multi_items(), body)


def _tee(family: ModuleType, response: Any, take: Take, stream: type) -> Any:
    take.responded(response.status_code, response.reason_phrase, response.headers.multi_items())
    if response.is_closed:  # a mock, or a transport that looked
        if response.content:
            take.piece(response.content)
        take.ended()
        return response
    response.stream = _stream_type(family, stream)(family, response.stream, take)
    return response


@contextlib.contextmanager
def sending(recorder: Recorder) -> Iterator[None]:
    """Around a request that a recorder has decided to send."""
    token = _SENDING.set(recorder)
    try:
        yield
    finally:
        _SENDING.reset(token)


def is_sending(recorder: Recorder) -> bool:
    """Whether one of our transports has taken a request and is just sending it, by whatever
    transports of httpx it was given.
    """
    return _SENDING.get() is recorder


def handle(recorder: Recorder, request: Any, send: Callable[[Any], Any]) -> Any:
    """Answers a request from the cassette, or sends it and records what comes."""
    family = family_of(request)
    found = _begin(recorder, request, request.read())
    if isinstance(found, Playback):
        if not found.interaction.status:
            time.sleep(_wait_in_vain(found, request))
            _fail(family, found, request)
        return _response(family, found, _Replay, request)
    try:
        response = send(request)
    except BaseException as error:
        found.unanswered(error)
        raise
    return _tee(family, response, found, _Tee)


async def ahandle(recorder: Recorder, request: Any, send: Callable[[Any], Any]) -> Any:
    """As `handle`, for async clients on any event loop."""
    family = family_of(request)
    found = _begin(recorder, request, await request.aread())
    if isinstance(found, Playback):
        if not found.interaction.status:
            await _sleep(_wait_in_vain(found, request))
            _fail(family, found, request)
        return _response(family, found, _AsyncReplay, request)
    try:
        response = await send(request)
    except BaseException as error:
        found.unanswered(error)
        raise
    return _tee(family, response, found, _AsyncTee)


class RecordReplayTransport(_Sync):
    """A transport for ``httpx.Client`` and ``httpx2.Client`` that records and replays.

    Args:
        recorder: what it reads from and writes to, or the path of a cassette.
        transport: sends what has to be sent; made when it is needed first.
        options: for a path, as `open_recorder` takes them (``record_mode="once"`` ...).
    """

    def __init__(self, recorder: Any, *, transport: Any = None, **options: Any) -> None:
        self.recorder = _recorder_of(recorder, options)
        self._owned = not isinstance(recorder, Recorder)
        self._transport = transport

    def handle_request(self, request: Any) -> Any:
        return handle(self.recorder, request, self._send)

    def _send(self, request: Any) -> Any:
        if self._transport is None:
            self._transport = family_of(request).HTTPTransport()
        with sending(self.recorder):
            return self._transport.handle_request(request)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Writes the cassette, where it was opened by path.

        Raises:
            WriteError: it cannot be written, or holds what looks like a secret.
        """
        if self._transport is not None:
            self._transport.close()
        if self._owned:
            self.recorder.finish()
            self.recorder.save()


class AsyncRecordReplayTransport(_Async):
    """As `RecordReplayTransport`, for ``httpx.AsyncClient`` and ``httpx2.AsyncClient``."""

    def __init__(self, recorder: Any, *, transport: Any = None, **options: Any) -> None:
        self.recorder = _recorder_of(recorder, options)
        self._owned = not isinstance(recorder, Recorder)
        self._transport = transport

    async def handle_async_request(self, request: Any) -> Any:
        return await ahandle(self.recorder, request, self._send)

    async def _send(self, request: Any) -> Any:
        if self._transport is None:
            family = family_of(request)
            # Nobody may close this one, and another test has another event loop.
            limits = family.Limits(max_keepalive_connections=0)
            self._transport = family.AsyncHTTPTransport(limits=limits)
        with sending(self.recorder):
            return await self._transport.handle_async_request(request)

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """As `RecordReplayTransport.close`."""
        if self._transport is not None:
            await self._transport.aclose()
        if self._owned:
            self.recorder.finish()
            self.recorder.save()


def _recorder_of(recorder: Any, options: dict[str, Any]) -> Recorder:
    if isinstance(recorder, Recorder):
        return recorder
    from pytest_chatapi.recording.opening import open_recorder

    return open_recorder(recorder, **options)
