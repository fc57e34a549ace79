"""One exchange under way: a `Take` records it while the client reads, a `Playback` replays it."""

from __future__ import annotations

import contextlib
import re
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, Protocol

from pytest_chatapi.contract.exchange import Exchange, Request, Response, Source, fold_headers
from pytest_chatapi.recording import clock
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["STALL", "Keeper", "Playback", "Player", "Take", "is_done"]

STALL = 10.0
"""Seconds that a client gets to stop where it stopped in the recording."""

_DONE = re.compile(rb"(?:^|[\r\n])data: ?\[DONE\]")
_LAST_PIECES = 8
_LAST_BYTES = 4096


def is_done(pieces: Sequence[bytes]) -> bool:
    """Whether a stream got as far as ``data: [DONE]``.

    Looks only at the end, where the event may be spread over several pieces.
    """
    return _DONE.search(b"".join(pieces[-_LAST_PIECES:])[-_LAST_BYTES:]) is not None


class Keeper(Protocol):
    """What a take needs of its recorder."""

    redactor: Redactor
    test: str
    phase: str

    @property
    def cassette(self) -> object:
        """``None`` where nothing is recorded."""

    def drop(self, take: Take, error: BaseException | None) -> None:
        """Forget a take that becomes no recording."""

    def spent(self, exchange: Exchange, error: BaseException | None = None) -> None:
        """Count what an exchange took that has ended."""


class Take:
    """One exchange on its way to the server and back, while the client already reads it.

    Attributes:
        exchange: with as much of the response as has arrived.
        interaction: the recording, once the exchange has ended; ``None`` before, and where
            nothing is recorded.
        pieces, times: of the body, as they came off the wire.
        reader: the thread that reads the response.
    """

    __slots__ = (
        "_closed",
        "_error",
        "_headers",
        "_keeper",
        "_reason",
        "_request_headers",
        "_started",
        "_status",
        "exchange",
        "interaction",
        "pieces",
        "reader",
        "times",
    )

    def __init__(
        self, keeper: Keeper, exchange: Exchange, request_headers: list[tuple[str, str]]
    ) -> None:
        self._keeper, self.exchange, self._request_headers = keeper, exchange, request_headers
        self._started = clock.elapsed()
        self._status = 0
        self._reason, self._error = "", ""
        self._headers: list[tuple[str, str]] = []
        self._closed = False
        self.reader = threading.current_thread()
        self.pieces: list[bytes] = []
        self.times: list[float] = []
        self.interaction: Interaction | None = None

    def sent(self) -> None:
        """The last byte of the request was written: times count from now."""
        self._started = clock.elapsed()

    def responded(self, status: int, reason: str, headers: Iterable[tuple[str, str]]) -> None:
        """Note the head of the response."""
        self._status, self._reason = status, reason
        self._headers = [(name.lower(), text) for name, text in headers]
        self._keeper.redactor.learn(self._headers)
        # The lists grow: until the body has ended, the exchange shows as much as has arrived.
        self.exchange.response = Response(
            status, fold_headers(self._headers), pieces=self.pieces, cut="client", times=self.times
        )

    def piece(self, data: bytes) -> None:
        """Note bytes of the body, as they came off the wire."""
        self.times.append(clock.elapsed() - self._started)
        self.pieces.append(data)
        self.reader = threading.current_thread()

    @property
    def is_open(self) -> bool:
        """Whether the response has not ended, or not even begun."""
        return not self._closed

    def ended(self) -> None:
        """The body is complete."""
        self._close(None)

    def failed(self, error: BaseException, by: Literal["server", "client"]) -> None:
        """The body ended before it was complete."""
        self._error = type(error).__name__ if isinstance(error, Exception) else ""
        self._close(by)

    def closed(self) -> None:
        """The client stopped reading."""
        self._close("client")

    def unanswered(self, error: BaseException | None = None) -> None:
        """No response came, so there is nothing to record and nothing to replay later."""
        self._keeper.spent(self.exchange, error)
        self._keeper.drop(self, error)

    def _close(self, cut: Literal["server", "client"] | None) -> None:
        if self._closed or not self._status:
            return
        self._closed = True
        headers = fold_headers(self._headers)
        pieces, times = _decompressed(self.pieces, self.times, headers.get("content-encoding", ""))
        if cut == "client" and not self._error and self._is_whole(headers, pieces):
            cut = None
        self.exchange.response = Response(
            self._status, headers, pieces=tuple(pieces), cut=cut, times=tuple(times)
        )
        self._keeper.spent(self.exchange)
        if self._keeper.cassette is None:
            self._keeper.drop(self, None)
            return
        self.interaction = Interaction(
            self.exchange.request or Request(),
            self._status,
            self._reason,
            self._headers,
            pieces,
            times,
            cut,
            self._error,
            clock.now(),
            self._keeper.test,
            True,
            self._keeper.phase,
            self._request_headers,
        )

    def _is_whole(self, headers: dict[str, str], pieces: Sequence[bytes]) -> bool:
        """Whether a client that closed had all of the body: SDKs close after ``[DONE]``."""
        request = self.exchange.request
        if self._status in (204, 304) or (request is not None and request.method == "HEAD"):
            return True
        length = headers.get("content-length", "")
        if length.isdigit():
            return sum(map(len, self.pieces)) >= int(length)
        return is_done(pieces)


class Player(Protocol):
    """What a playback needs of its recorder."""

    replay_speed: float

    def overrun(self, playback: Playback, reader: str = "") -> None:
        """A client reads on where, in the recording, it had stopped."""


class Playback:
    """A response that is being played to a client.

    Attributes:
        interaction: what is played; with status 0 no response comes, but the error it names.
        delivered: how many of its pieces the client has taken.
        broke_off: called where the client gets an error of its own, and so will ask again.
    """

    __slots__ = ("_player", "broke_off", "delivered", "exchange", "interaction")

    def __init__(
        self,
        player: Player,
        interaction: Interaction,
        exchange: Exchange,
        source: Source | None = None,
        broke_off: Callable[[], None] | None = None,
    ) -> None:
        self._player, self.exchange = player, exchange
        self.interaction, self.broke_off = interaction, broke_off
        self.delivered = 0
        exchange.source = source
        if interaction.status:
            headers = fold_headers(interaction.headers)
            pieces, times = interaction.pieces, interaction.times
            if "content-encoding" in headers:  # only a fault compresses: recordings are plain
                pieces, times = _decompressed(
                    pieces, times or [0.0] * len(pieces), headers["content-encoding"]
                )
            exchange.response = Response(
                interaction.status, headers, pieces=pieces, cut=interaction.cut, times=times
            )

    @property
    def is_plain(self) -> bool:
        """Whether a mock made it in one piece, so that nothing can happen on its way."""
        interaction = self.interaction
        return (
            self.exchange.source is None
            and interaction.status != 0
            and len(interaction.pieces) == 1
            and interaction.cut is None
            and not interaction.times
            and not interaction.reason
        )

    @property
    def waits(self) -> list[float] | None:
        """Seconds to wait before each piece; ``None`` for no waiting."""
        speed, times = self._player.replay_speed, self.interaction.times
        if self.interaction.stalls:
            speed = 1
        if not speed or not times:
            return None
        return [
            max(0.0, (time - before) / speed)
            for before, time in zip([0.0, *times], times, strict=False)
        ]

    def closed(self) -> None:
        """The client stopped reading: what it left unread, it never received."""
        pieces, response = self.interaction.pieces, self.exchange.response
        if self.delivered >= len(pieces) or response is None:
            return
        received = pieces[: self.delivered]
        if not is_done(received):
            response.pieces, response.cut = tuple(received), "client"

    def overrun(self, reader: str = "") -> None:
        """The client reads on where, in the recording, it had stopped; see `Recorder.overrun`."""
        self._player.overrun(self, reader)


# -- compressed bodies -------------------------------------------------------------------------


def _decompressed(
    pieces: Sequence[bytes], times: Sequence[float], encoding: str
) -> tuple[list[bytes], list[float]]:
    """The pieces decompressed, each at its time; unchanged where that is not possible."""
    step = _decompressor(encoding.strip().lower(), pieces)
    if step is None:
        return list(pieces), list(times)
    plain, plain_times = [], []
    try:
        for piece, time in zip(pieces, times, strict=True):
            data = step(piece)
            if data:
                plain.append(data)
                plain_times.append(time)
    except Exception:  # each library has its own error; a damaged body is kept as it came
        return list(pieces), list(times)
    return plain, plain_times


def _decompressor(encoding: str, pieces: Sequence[bytes]) -> Callable[[bytes], bytes] | None:
    """Takes a piece and returns what it adds; ``None`` where nothing here can read the encoding."""
    if encoding in ("gzip", "x-gzip"):
        return zlib.decompressobj(31).decompress
    if encoding == "deflate":  # some servers send it without the header of zlib
        zipped = pieces and pieces[0][:1] and pieces[0][0] & 0x0F == 8
        return zlib.decompressobj(zlib.MAX_WBITS if zipped else -zlib.MAX_WBITS).decompress
    step: Callable[[bytes], bytes] | None = None
    with contextlib.suppress(ImportError):
        if encoding == "br":
            import brotli  # type: ignore[import-not-found,import-untyped,unused-ignore]

            step = brotli.Decompressor().process
        elif encoding == "zstd":
            import zstandard  # type: ignore[import-not-found,import-untyped,unused-ignore]

            step = zstandard.ZstdDecompressor().decompressobj().decompress
    return step
