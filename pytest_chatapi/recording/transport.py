"""Record and replay as a transport for httpx or httpx2, sync or async.

A response goes to the client piece by piece as it arrives; the recorder only looks on.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, cast

from pytest_chatapi.errors import UnrecordedRequest
from pytest_chatapi.recording.http_types import (
    AsyncByteStream,
    AsyncTransport,
    ByteStream,
    Family,
    HTTPRequest,
    HTTPResponse,
    SyncTransport,
)
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.recording.keeping_pace import keeping_pace
from pytest_chatapi.recording.kinds import HTTP_FAMILIES
from pytest_chatapi.recording.miss import Miss, describe
from pytest_chatapi.recording.recorder import Recorder
from pytest_chatapi.recording.under_way import STALL, Playback, Take

if TYPE_CHECKING:
    import httpx
    import httpx2

    class _Sync(httpx.BaseTransport, httpx2.BaseTransport): ...  # type: ignore[misc]

    class _Async(httpx.AsyncBaseTransport, httpx2.AsyncBaseTransport): ...  # type: ignore[misc]

else:
    # Clients of either family take anything with the right methods, so neither is imported.
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


def family_of(message: object) -> Family:
    """The module, httpx or httpx2, that a request belongs to.

    Raises:
        TypeError: neither.
    """
    for kind in type(message).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in HTTP_FAMILIES:
            return cast(Family, sys.modules[name])
    raise TypeError(f"expected a request of httpx or httpx2, got {type(message).__name__}")


def handle(
    recorder: Recorder, request: HTTPRequest, send: Callable[[HTTPRequest], HTTPResponse]
) -> HTTPResponse:
    """Return the recorded response to a request, or send it and record what comes back."""
    family = family_of(request)
    started = time.perf_counter()
    begun = _begin(recorder, request, request.read())
    if isinstance(begun, Playback):
        if not begun.interaction.status:
            time.sleep(_seconds_to_failure(begun, request))
            _raise_failure(family, begun, request)
        return _response(family, begun, _Replay, request, started)
    try:
        with _noting_when_sent(request, begun):
            response = send(request)
    except BaseException as error:
        begun.unanswered(error)
        raise
    return _teed(family, response, begun, _Tee)


async def ahandle(
    recorder: Recorder,
    request: HTTPRequest,
    send: Callable[[HTTPRequest], Awaitable[HTTPResponse]],
) -> HTTPResponse:
    """As `handle`, for async clients on any event loop."""
    family = family_of(request)
    started = time.perf_counter()
    begun = _begin(recorder, request, await request.aread())
    if isinstance(begun, Playback):
        if not begun.interaction.status:
            await _sleep(_seconds_to_failure(begun, request))
            _raise_failure(family, begun, request)
        return _response(family, begun, _AsyncReplay, request, started)
    try:
        with _noting_when_sent(request, begun, is_async=True):
            response = await send(request)
    except BaseException as error:
        begun.unanswered(error)
        raise
    return _teed(family, response, begun, _AsyncTee)


def _begin(recorder: Recorder, request: HTTPRequest, body: bytes) -> Playback | Take:
    return recorder.begin(request.method, str(request.url), request.headers.multi_items(), body)


async def _sleep(seconds: float) -> None:
    import anyio

    await anyio.sleep(seconds)


@contextlib.contextmanager
def sending(recorder: Recorder) -> Iterator[None]:
    """Mark what is sent inside the block as sent for `recorder`."""
    token = _SENDING.set(recorder)
    try:
        yield
    finally:
        _SENDING.reset(token)


def is_sending(recorder: Recorder) -> bool:
    """Whether `recorder` has already decided to send the request that is under way.

    Then the transports of httpx below ours must let it pass.
    """
    return _SENDING.get() is recorder


# -- recording ---------------------------------------------------------------------------------

_SENT = ("http11.send_request_body.complete", "http2.send_request_body.complete")


@contextlib.contextmanager
def _noting_when_sent(
    request: HTTPRequest, take: Take, *, is_async: bool = False
) -> Iterator[None]:
    """Tell a take when the last byte of its request was written, so that no time of a model has
    the opening of a connection in it.
    """
    extensions = request.extensions
    own = extensions.get("trace")

    def trace(name: str, info: Any) -> Any:
        if name in _SENT:
            take.sent()
        return own(name, info) if own is not None else None

    async def async_trace(name: str, info: Any) -> None:
        noted = trace(name, info)
        if noted is not None:
            await noted

    request.extensions = {**extensions, "trace": async_trace if is_async else trace}
    try:
        yield
    finally:
        request.extensions = extensions


def _teed(family: Family, response: HTTPResponse, take: Take, stream: type) -> HTTPResponse:
    take.responded(response.status_code, response.reason_phrase, response.headers.multi_items())
    if response.is_closed:  # by a mock, or by a transport that read it
        if response.content:
            take.piece(response.content)
        take.ended()
        return response
    response.stream = _stream_type(family, stream)(family, response.stream, take)
    return response


_STREAM_TYPES: dict[tuple[Family, str], type] = {}


def _stream_type(family: Family, kind: type) -> type:
    """`kind` as a byte stream of that family: its clients insist on their own base class."""
    key = (family, kind.__name__)
    if key not in _STREAM_TYPES:
        is_async = hasattr(kind, "__aiter__")
        base = family.AsyncByteStream if is_async else family.SyncByteStream
        _STREAM_TYPES[key] = type(kind.__name__, (kind, base), {})
    return _STREAM_TYPES[key]


@contextlib.contextmanager
def _to_the_end(take: Take, family: Family) -> Iterator[None]:
    """Tell a take how the body ended that is read in the block."""
    try:
        yield
    except GeneratorExit:  # the client stopped reading: `close` follows
        raise
    except BaseException as error:
        take.failed(error, _ended_by(family, error))
        raise
    take.ended()


def _ended_by(family: Family, error: BaseException) -> Literal["server", "client"]:
    if isinstance(error, family.TransportError) and not isinstance(error, family.TimeoutException):
        return "server"
    return "client"


class _Tee:
    def __init__(self, family: Family, inner: ByteStream, take: Take) -> None:
        self._family, self._inner, self._take = family, inner, take

    def __iter__(self) -> Iterator[bytes]:
        with _to_the_end(self._take, self._family):
            for piece in self._inner:
                self._take.piece(piece)
                yield piece

    def close(self) -> None:
        self._take.closed()
        self._inner.close()


class _AsyncTee:
    def __init__(self, family: Family, inner: AsyncByteStream, take: Take) -> None:
        self._family, self._inner, self._take = family, inner, take

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _to_the_end(self._take, self._family):
            async for piece in self._inner:
                self._take.piece(piece)
                yield piece

    async def aclose(self) -> None:
        self._take.closed()
        await self._inner.aclose()


# -- replaying ---------------------------------------------------------------------------------


def _response(
    family: Family, playback: Playback, stream: type, request: HTTPRequest, started: float
) -> HTTPResponse:
    interaction = playback.interaction
    if playback.is_plain:
        (body,) = interaction.pieces
        playback.delivered = 1
        response = family.Response(
            interaction.status, headers=list(interaction.headers), content=body
        )
        # A client sets this when it closes the body, and this one is closed already.
        response.elapsed = timedelta(seconds=time.perf_counter() - started)
        return response
    extensions = {"http_version": b"HTTP/1.1"}
    if interaction.reason:
        extensions["reason_phrase"] = interaction.reason.encode("ascii", "replace")
    return family.Response(
        interaction.status,
        headers=list(interaction.headers),
        stream=_stream_type(family, stream)(family, playback, _timeout(request, "read")),
        extensions=extensions,
    )


class _Replay:
    def __init__(self, family: Family, playback: Playback, patience: float | None) -> None:
        self._family, self._playback, self._patience = family, playback, patience

    def __iter__(self) -> Iterator[bytes]:
        playback = self._playback
        waits = playback.waits
        for at, piece in enumerate(playback.interaction.pieces):
            if waits is not None:
                with keeping_pace():
                    time.sleep(_within(waits[at], self._patience))
                _lose_patience(self._family, playback, waits[at], self._patience)
            playback.delivered += 1
            yield piece
        if playback.interaction.cut is not None:
            _raise_cut(self._family, playback)

    def close(self) -> None:
        self._playback.closed()


class _AsyncReplay:
    def __init__(self, family: Family, playback: Playback, patience: float | None) -> None:
        self._family, self._playback, self._patience = family, playback, patience

    async def __aiter__(self) -> AsyncIterator[bytes]:
        playback = self._playback
        waits = playback.waits
        for at, piece in enumerate(playback.interaction.pieces):
            if waits is not None:
                with keeping_pace():
                    await _sleep(_within(waits[at], self._patience))
                _lose_patience(self._family, playback, waits[at], self._patience)
            playback.delivered += 1
            yield piece
        if playback.interaction.cut is not None:
            if _was_stopped(playback.interaction):
                await _sleep(STALL)  # a task that was cancelled here will be cancelled again
            _raise_cut(self._family, playback)

    async def aclose(self) -> None:
        self._playback.closed()


def _within(wait: float, patience: float | None) -> float:
    return wait if patience is None else min(wait, patience)


def _lose_patience(family: Family, playback: Playback, wait: float, patience: float | None) -> None:
    """End a replayed wait with the client's read timeout, as it would end a real one."""
    if patience is not None and wait > patience:
        if playback.broke_off is not None:
            playback.broke_off()
        raise family.ReadTimeout(f"no data came for {patience:g} s")


def _timeout(request: HTTPRequest, name: str) -> float | None:
    seconds: float | None = request.extensions.get("timeout", {}).get(name)
    return seconds


def _was_stopped(interaction: Interaction) -> bool:
    """Whether the recorded client stopped reading of its own accord."""
    return interaction.cut == "client" and not interaction.error


def _raise_cut(family: Family, playback: Playback) -> NoReturn:
    interaction = playback.interaction
    if _was_stopped(interaction):
        thread = threading.current_thread()
        playback.overrun("" if thread is threading.main_thread() else thread.name)
    raise _error_of(family, interaction)(
        f"the connection ended here in the recording, after {len(interaction.pieces)} pieces"
    )


def _error_of(family: Family, interaction: Interaction) -> Callable[..., Exception]:
    kind = getattr(family, interaction.error or "", None)
    if isinstance(kind, type) and issubclass(kind, family.TransportError):
        return kind
    return family.RemoteProtocolError


def _seconds_to_failure(playback: Playback, request: HTTPRequest) -> float:
    """How long a client waits before it gives up on a response that never comes."""
    if playback.interaction.times is not None:
        return 0.0  # a mock's own error, which comes at once
    names = {"ConnectTimeout": "connect", "ReadTimeout": "read"}
    name = names.get(playback.interaction.error)
    return (_timeout(request, name) or 0.0) if name else 0.0


def _raise_failure(family: Family, playback: Playback, request: HTTPRequest) -> NoReturn:
    """Raise what a client gets when no response comes at all."""
    interaction = playback.interaction
    error = _error_of(family, interaction)
    raise error(interaction.reason or error.__name__, request=request)


# -- transports --------------------------------------------------------------------------------


class RecordReplayTransport(_Sync):
    """A transport for ``httpx.Client`` and ``httpx2.Client`` that records and replays.

    Args:
        recorder: what it reads from and writes to, or the path of a cassette.
        transport: sends what has to be sent; made on first use.
        options: for a path, as `open_recorder` takes them (``record_mode="once"`` ...).
    """

    def __init__(
        self,
        recorder: Recorder | str | os.PathLike[str],
        *,
        transport: SyncTransport | None = None,
        **options: Any,
    ) -> None:
        self.recorder = _recorder_of(recorder, options)
        self._owned = not isinstance(recorder, Recorder)
        self._transport = transport

    def handle_request(self, request: HTTPRequest) -> Any:
        return handle(self.recorder, request, self._send)

    def _send(self, request: HTTPRequest) -> HTTPResponse:
        if self._transport is None:
            self._transport = family_of(request).HTTPTransport()
        with sending(self.recorder):
            response: HTTPResponse = self._transport.handle_request(request)
        return response

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Write the cassette, if it was opened by path.

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

    def __init__(
        self,
        recorder: Recorder | str | os.PathLike[str],
        *,
        transport: AsyncTransport | None = None,
        **options: Any,
    ) -> None:
        self.recorder = _recorder_of(recorder, options)
        self._owned = not isinstance(recorder, Recorder)
        self._transport = transport

    async def handle_async_request(self, request: HTTPRequest) -> Any:
        return await ahandle(self.recorder, request, self._send)

    async def _send(self, request: HTTPRequest) -> HTTPResponse:
        if self._transport is None:
            family = family_of(request)
            # The test may never close this one, and another test has another event loop.
            limits = family.Limits(max_keepalive_connections=0)
            self._transport = family.AsyncHTTPTransport(limits=limits)
        with sending(self.recorder):
            response: HTTPResponse = await self._transport.handle_async_request(request)
        return response

    async def __aenter__(self) -> Self:
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


def _recorder_of(recorder: Recorder | str | os.PathLike[str], options: dict[str, Any]) -> Recorder:
    if isinstance(recorder, Recorder):
        return recorder
    from pytest_chatapi.recording.opening import open_recorder

    opened = open_recorder(recorder, **options)
    if "on_miss" not in options:
        opened.on_miss = partial(_fail_for_miss, opened)
    return opened


def _fail_for_miss(recorder: Recorder, miss: Miss) -> NoReturn:
    cassette = recorder.cassette
    miss.sent_from = ""  # the traceback says so
    if cassette is not None and miss.routes is None:
        mode = "new_episodes" if cassette.exists else "once"
        miss.remedy = f"open the cassette with record_mode={mode!r}"
    raise UnrecordedRequest(describe(miss))
