"""Records and replays the exchanges of one test. Knows no HTTP client: `transport` does."""

from __future__ import annotations

import contextlib
import re
import threading
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, Protocol

from pytest_chatapi.contract.exchange import Exchange, Request, Response, Source, fold_headers
from pytest_chatapi.contract.titles import title_of
from pytest_chatapi.errors import ChatAPIError, UnrecordedRequest
from pytest_chatapi.reading.bodies import BodyProblem, plain_body
from pytest_chatapi.recording import clock
from pytest_chatapi.recording.cassette import Cassette, Entry, update
from pytest_chatapi.recording.interaction import Interaction, redacted
from pytest_chatapi.recording.matching import Matcher
from pytest_chatapi.recording.miss import Miss, describe, miss_of
from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["Answers", "FaultLike", "PlanLike", "Playback", "Recorder", "Take"]

_DONE = re.compile(rb"(?:^|[\r\n])data: ?\[DONE\]")


def _raise(miss: Miss) -> NoReturn:
    raise UnrecordedRequest(describe(miss))


class Answers(Protocol):
    """What answers without having been recorded: a mock."""

    give_back: Callable[[], None] | None
    """Puts the reply that was just given back, where it would not be given again anyway."""

    def answer(self, request: Request) -> Interaction | None:
        """The answer to a request, ``None`` where there is none."""

    def miss(self, request: Request) -> Miss:
        """Why there is none."""


class FaultLike(Protocol):
    """What goes wrong with one answer."""

    @property
    def alone(self) -> bool:
        """It takes the place of an answer, so that none is needed."""

    @property
    def retried(self) -> bool:
        """A client that got this asks again."""

    def apply(self, answer: Interaction | None, request: Request) -> Interaction | None:
        """What comes instead of `answer`; ``None`` where there is nothing to change in it."""


class PlanLike(Protocol):
    """Decides which answers arrive as they are."""

    def next(self, request: Request) -> FaultLike | None: ...

    def done(self, fault: Any) -> None:
        """It really happened."""


@dataclass
class Recorder:
    """What one test sends and receives, from a cassette or on the way into one.

    Attributes:
        cassette: ``None`` for live traffic that is neither recorded nor replayed.
        mode: one of `recording.modes.RECORD_MODES`.
        on_miss: called with a request that nothing answers; must raise.
        replay_speed: 0 hands a recorded stream over at once, 1 at its recorded pace, 2 twice
            as fast.
        legacy_match_on: what the owner of a cassette of another recorder compares; a request
            that differs in its body alone is then answered with a warning.
        allow_playback_repeats: the last of equal recordings is given again and again.
        legacy_filter: what that owner does to a request before it is compared; ``None`` for
            one that it leaves alone.
        test: who records; written into a cassette that is not this test's alone.
        phase: written with what is recorded from now on, see `Interaction`.
        since: when the run began; what a cassette holds from before is old (see `rewrite`).
        answers: a mock, in place of cassette and network.
        faults: what goes wrong with answers that come from a cassette or a mock.
        exchanges: what was really sent and received, in the order of sending.
        misses: the requests that nothing answered, told to the client or not.
        warnings: what was answered although it differs, as text.
        unanswered: what was sent and got no response, so that nothing could be recorded.
        ports: of servers on this machine that ask this recorder themselves.
    """

    cassette: Cassette | None
    matcher: Matcher
    redactor: Redactor
    mode: str = "none"
    on_miss: Callable[[Miss], NoReturn] = _raise
    replay_speed: float = 0
    legacy_match_on: Sequence[str] = ("method", "scheme", "host", "port", "path", "query")
    legacy_filter: Callable[[Request], Request | None] | None = None
    allow_playback_repeats: bool = False
    test: str = ""
    phase: str = ""
    since: str = ""
    answers: Answers | None = None
    faults: PlanLike | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    misses: list[Miss] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    ports: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._entries = self.cassette.entries if self.cassette is not None else []
        self._fresh = all(
            bool(self.since) and entry.recorded_at >= self.since
            for entry in (self._entries if self.mode in ("once", "rewrite") else ())
        )
        self._replays = self.cassette is not None and self.mode not in ("all", "rewrite")
        self._records = self.cassette is not None and (
            self.mode in ("new_episodes", "all", "rewrite") or (self.mode == "once" and self._fresh)
        )
        # Of equal recordings in a shared cassette, a test's own come first.
        self._order = (
            sorted(range(len(self._entries)), key=lambda at: self._rank(self._entries[at].test))
            if self.test
            else range(len(self._entries))
        )
        self._scanned = 0
        self._waiting: dict[bytes, deque[int]] = defaultdict(deque)
        self._last: dict[bytes, int] = {}
        self._legacy: dict[bytes, deque[int]] | None = None
        self._learned = False
        self._taken: set[int] = set()
        self._takes: list[Take] = []
        self._written = False

    def _rank(self, test: str) -> int:
        return 0 if test == self.test else 2 if test else 1

    # -- one request -----------------------------------------------------------------------

    def begin(
        self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> Playback | Take:
        """Decides what becomes of a request: a recording to play, or one to make.

        Raises:
            UnrecordedRequest: neither (or whatever `on_miss` raises).
        """
        pairs = [(name.lower(), text) for name, text in headers]
        if self.answers is None:  # what a mock is asked is never written
            if not self._learned:  # by now, fixtures have set what they set
                self._learned = True
                self.redactor.learn_environment()
            self.redactor.learn(pairs, url)
        folded = fold_headers(pairs)
        request = Request(method.upper(), url, folded, _plain(body, folded))
        with self._lock:
            exchange = Exchange(request)
            try:
                playback = self._answer(request, exchange)
            except ChatAPIError as error:  # a damaged recording, or a hook of the user's
                routes: list[str] | None = [] if self.answers is not None else None
                self._tell(Miss(self.redactor.text(f"{method} {url}"), str(error), routes=routes))
                raise
            if playback is not None:
                self.exchanges.append(exchange)
                return playback
            if not self.sends:
                self._miss(request)
            self.exchanges.append(exchange)
            take = Take(self, exchange, pairs)
            self._takes.append(take)
            return take

    def _answer(self, request: Request, exchange: Exchange) -> Playback | None:
        """What is sent to nobody: a recording or a mock's reply, with whatever goes wrong."""
        fault = self.faults.next(request) if self.faults is not None else None
        if self.faults is not None and fault is not None and fault.alone:
            made = fault.apply(None, request)
            assert made is not None
            self.faults.done(fault)
            return Playback(self, made, exchange)
        source: Source | None = None
        give_back: Callable[[], None] | None = None
        answer: Interaction | None = None
        if self.answers is not None:
            answer = self.answers.answer(request)
            give_back = self.answers.give_back
        elif self._replays and (found := self._find(request)) is not None:
            entry = self._entries[found]
            answer, source = entry.interaction, Source(entry.name, entry.index)

            def give_back() -> None:
                self._taken.discard(found)
                self._waiting[self.matcher.key(request)].appendleft(found)

        if answer is None:
            return None
        if self.faults is not None and fault is not None:
            changed = fault.apply(answer, request)
            if changed is not None:
                self.faults.done(fault)
                answer = changed
                if fault.retried and give_back is not None:
                    give_back()
                    give_back = None
        return Playback(self, answer, exchange, source, give_back)

    def _find(self, request: Request) -> int | None:
        key = self.matcher.key(request)
        waiting = self._waiting[key]
        while not waiting and self._scanned < len(self._entries):
            at = self._order[self._scanned]
            self._scanned += 1
            recorded = self._entries[at].request
            same = _is_spelled_alike(recorded, request)
            self._waiting[key if same else self.matcher.key(recorded)].append(at)
        while waiting:
            at = waiting.popleft()
            if at not in self._taken:
                self._taken.add(at)
                self._last[key] = at
                return at
        if self.allow_playback_repeats and key in self._last:
            return self._last[key]
        return self._find_legacy(request)

    def _find_legacy(self, request: Request) -> int | None:
        """What its owner's recorder would have given, although the body is another one."""
        asked = self.legacy_filter(request) if self.legacy_filter is not None else request
        compares = "body" in self.legacy_match_on
        if asked is None or (compares and asked is request):
            return None
        if self._legacy is None:
            self._legacy = defaultdict(deque)
            for at, entry in enumerate(self._entries):
                if not entry.own:
                    key = self.matcher.head_key(entry.request, self.legacy_match_on)
                    self._legacy[key].append(at)
        waiting = self._legacy.get(self.matcher.head_key(asked, self.legacy_match_on), ())
        left = [at for at in waiting if at not in self._taken]
        body = self.matcher.body(asked)
        equal = [at for at in left if self.matcher.body(self._entries[at].request) == body]
        for at in equal or ([] if compares else left):
            self._taken.add(at)
            if not equal:
                self.warnings.append(describe(miss_of(self, asked, at, answered=True)))
            return at
        return None

    def _miss(self, request: Request) -> None:
        self._tell(
            self.answers.miss(request) if self.answers is not None else miss_of(self, request)
        )

    def _tell(self, miss: Miss) -> None:
        self.misses.append(miss)
        self.on_miss(miss)

    def recordings_of(self, request: Request) -> list[int]:
        """The index of each recording that answers a request, played or not."""
        key = self.matcher.key(request)
        return [
            at for at, entry in enumerate(self._entries) if self.matcher.key(entry.request) == key
        ]

    def overrun(self, playback: Playback) -> None:
        """A client reads on where, in the recording, it had stopped."""
        request = playback.exchange.request or Request()
        source = playback.exchange.source
        self._tell(miss_of(self, request, source.index if source else 0, cut=True))

    def played(self, index: int) -> bool:
        return index in self._taken

    @property
    def sends(self) -> bool:
        """Whether any request may go out to a server."""
        return self.answers is None and (self.cassette is None or self._records)

    @property
    def entries(self) -> Sequence[Entry]:
        return self._entries

    # -- the end of a test -----------------------------------------------------------------

    def finish(self) -> None:
        """Ends what is still under way: who has not read on by now has stopped."""
        for take in list(self._takes):
            take.closed()

    def unplayed(self, *, phase: str = "") -> list[Entry]:
        """Recordings of this test that it did not ask for; empty while it records.

        Args:
            phase: of the recording, see `Interaction`.
        """
        if self.cassette is None or self._records or not self._replays:
            return []
        return [
            entry
            for at, entry in enumerate(self._entries)
            if at not in self._taken
            and entry.test in ("", self.test)
            and entry.interaction.phase == phase
        ]

    def save(self) -> bool:
        """Writes what was recorded since the last time; whether there was anything.

        Raises:
            WriteError: it could not be written, or holds what looks like a secret.
            ReadError: what stands there by now is damaged.
        """
        with self._lock:
            if self.cassette is None:
                return False
            self.redactor.learn_environment()
            done = [take for take in self._takes if take.interaction is not None]
            new = [redacted(t.interaction, self.redactor) for t in done if t.interaction]
            drops = self.mode == "rewrite" and not self._written
            if not new and not (drops and self._entries):
                return False  # nothing to add, nothing to take away
            keys = Counter(self.matcher.key(i.request) for i in new)

            def keep(entry: Entry) -> bool:
                if not drops and self.mode != "all":
                    return True
                if entry.test not in ("", self.test):
                    return True  # what another test recorded is that test's to drop
                if self.since and entry.recorded_at >= self.since:
                    return True
                # As vcrpy has it, what is recorded anew takes the place of what it matches.
                return not drops and self.matcher.key(entry.request) not in keys

            update(self.cassette.path, self.cassette.name, new, self.redactor, keep)
            self._written = True
            # Others may have ended meanwhile, in other threads: those are for the next time.
            self._takes = [take for take in self._takes if take not in done]
            return bool(new)


def _plain(body: bytes, headers: dict[str, str]) -> bytes | str | None:
    try:
        plain = plain_body(body, headers.get("content-encoding", ""))
    except BodyProblem:
        return body
    return plain if isinstance(plain, bytes | str) or plain is None else body


def _is_spelled_alike(one: Request, other: Request) -> bool:
    """Whether nothing has to be parsed to see that two requests are the same."""
    return (
        _bytes(one.body) == _bytes(other.body) is not None
        and one.url == other.url
        and one.method == other.method
        and one.headers.get("content-type") == other.headers.get("content-type")
    )


def _bytes(body: Any) -> bytes | None:
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    return body if isinstance(body, bytes) else None


class Take:
    """One exchange on its way to the server and back, while the client already reads it."""

    __slots__ = (
        "_closed",
        "_error",
        "_headers",
        "_reason",
        "_recorder",
        "_sent",
        "_started",
        "_status",
        "exchange",
        "interaction",
        "pieces",
        "times",
    )

    def __init__(self, recorder: Recorder, exchange: Exchange, sent: list[tuple[str, str]]) -> None:
        self._recorder, self.exchange, self._sent = recorder, exchange, sent
        self._started = clock.elapsed()
        self._status = 0
        self._reason, self._error = "", ""
        self._headers: list[tuple[str, str]] = []
        self._closed = False
        self.pieces: list[bytes] = []
        self.times: list[float] = []
        self.interaction: Interaction | None = None

    def responded(self, status: int, reason: str, headers: Iterable[tuple[str, str]]) -> None:
        """The head of the response has come."""
        self._status, self._reason = status, reason
        self._headers = [(name.lower(), text) for name, text in headers]
        self._recorder.redactor.learn(self._headers)
        # Who looks while the body is still under way sees as much of it as has come.
        self.exchange.response = Response(
            status, fold_headers(self._headers), pieces=self.pieces, cut="client", times=self.times
        )

    def piece(self, data: bytes) -> None:
        """Bytes of the body, as they came off the wire."""
        self.times.append(clock.elapsed() - self._started)
        self.pieces.append(data)

    def ended(self) -> None:
        """The body is complete."""
        self._close(None)

    def failed(self, error: BaseException, by: Literal["server", "client"]) -> None:
        """The body ended before it was complete."""
        self._error = type(error).__name__ if isinstance(error, Exception) else ""
        self._close(by)

    def closed(self) -> None:
        """The client reads no further."""
        self._close("client")

    def unanswered(self, error: BaseException | None = None) -> None:
        """There is no response: nothing to record, and nothing to replay later."""
        recorder = self._recorder
        with recorder._lock:
            recorder._takes = [take for take in recorder._takes if take is not self]
            if isinstance(error, Exception) and recorder.cassette is not None:
                what = title_of(Exchange(self.exchange.request))
                recorder.unanswered.append(f"{what}: {type(error).__name__}")

    def _close(self, cut: Literal["server", "client"] | None) -> None:
        if self._closed or not self._status:
            return
        self._closed = True
        headers = fold_headers(self._headers)
        pieces, times = _decoded(self.pieces, self.times, headers.get("content-encoding", ""))
        if cut == "client" and not self._error and self._is_whole(headers, pieces):
            cut = None
        self.exchange.response = Response(
            self._status, headers, pieces=tuple(pieces), cut=cut, times=tuple(times)
        )
        if self._recorder.cassette is None:
            self.unanswered()
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
            self._recorder.test,
            True,
            self._recorder.phase,
            self._sent,
        )

    def _is_whole(self, headers: dict[str, str], pieces: Sequence[bytes]) -> bool:
        """Whether a client that closed had all of it: SDKs close after ``[DONE]``."""
        request = self.exchange.request
        if self._status in (204, 304) or (request is not None and request.method == "HEAD"):
            return True
        length = headers.get("content-length", "")
        if length.isdigit():
            return sum(map(len, self.pieces)) >= int(length)
        return _is_done(pieces)


def _is_done(pieces: Sequence[bytes]) -> bool:
    return _DONE.search(b"".join(pieces[-8:])[-4096:]) is not None


def _decoded(
    pieces: list[bytes], times: Sequence[float], encoding: str
) -> tuple[list[bytes], list[float]]:
    """Decompressed, still in the pieces in which it came; as it is where that fails."""
    unzip: Any = None
    name = encoding.strip().lower()
    with contextlib.suppress(ImportError):
        if name in ("gzip", "x-gzip"):
            unzip = zlib.decompressobj(31)
        elif name == "deflate":
            zipped = pieces and pieces[0][:1] and pieces[0][0] & 0x0F == 8
            unzip = zlib.decompressobj(zlib.MAX_WBITS if zipped else -zlib.MAX_WBITS)
        elif name == "br":
            import brotli  # type: ignore[import-not-found,import-untyped,unused-ignore]

            unzip = brotli.Decompressor()
        elif name == "zstd":
            import zstandard  # type: ignore[import-not-found,import-untyped,unused-ignore]

            unzip = zstandard.ZstdDecompressor().decompressobj()
    if unzip is None:
        return list(pieces), list(times)
    step = unzip.process if name == "br" else unzip.decompress
    plain, when = [], []
    try:
        for piece, at in zip(pieces, times, strict=True):
            data = step(piece)
            if data:
                plain.append(data)
                when.append(at)
    except Exception:  # each library has its own error, and a body that lies is kept as it came
        return list(pieces), list(times)
    return plain, when


class Playback:
    """An answer that is being played to a client.

    Attributes:
        interaction: with status 0 where no response comes, but the error that it names.
        delivered: how many of its pieces the client has taken.
        broke_off: called where the client gets an error of its own, and so will ask again.
    """

    __slots__ = ("_recorder", "broke_off", "delivered", "exchange", "interaction")

    def __init__(
        self,
        recorder: Recorder,
        interaction: Interaction,
        exchange: Exchange,
        source: Source | None = None,
        broke_off: Callable[[], None] | None = None,
    ) -> None:
        self._recorder, self.exchange = recorder, exchange
        self.interaction, self.broke_off = interaction, broke_off
        self.delivered = 0
        exchange.source = source
        if interaction.status:
            headers = fold_headers(interaction.headers)
            pieces, times = interaction.pieces, interaction.times
            if "content-encoding" in headers:  # a fault's doing: what is kept is plain
                pieces, times = _decoded(
                    list(pieces), times or [0.0] * len(pieces), headers["content-encoding"]
                )
            exchange.response = Response(
                interaction.status, headers, pieces=pieces, cut=interaction.cut, times=times
            )

    @property
    def is_plain(self) -> bool:
        """Whether it is one piece that a mock made, so that nothing can happen on its way."""
        made = self.interaction
        return (
            self.exchange.source is None
            and made.status != 0
            and len(made.pieces) == 1
            and made.cut is None
            and not made.times
            and not made.reason
        )

    @property
    def waits(self) -> list[float] | None:
        """Seconds to wait before each piece; ``None`` for no waiting."""
        speed, times = self._recorder.replay_speed, self.interaction.times
        if self.interaction.stalls:
            speed = 1
        if not speed or not times:
            return None
        return [
            max(0.0, (time - before) / speed)
            for before, time in zip([0.0, *times], times, strict=False)
        ]

    def closed(self) -> None:
        """The client reads no further: what it left unread, it never received."""
        pieces, response = self.interaction.pieces, self.exchange.response
        if self.delivered >= len(pieces) or response is None:
            return
        got = pieces[: self.delivered]
        if not _is_done(got):
            response.pieces, response.cut = tuple(got), "client"

    def overrun(self) -> None:
        self._recorder.overrun(self)
