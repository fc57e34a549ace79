"""Records and replays the exchanges of one test. Knows no HTTP client: `transport` does."""

from __future__ import annotations

import fnmatch
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures.thread import _worker
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn, Protocol
from urllib.parse import urlsplit

from pytest_chatapi.contract.exchange import Exchange, Request, Source, fold_headers
from pytest_chatapi.contract.titles import title_of
from pytest_chatapi.contract.wording import mask
from pytest_chatapi.errors import ChatAPIError, UnrecordedRequest
from pytest_chatapi.reading.bodies import BodyProblem, plain_body
from pytest_chatapi.recording.appending import Appender
from pytest_chatapi.recording.cassette import Cassette, Entry, prepared, write
from pytest_chatapi.recording.forks import ForkNote
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.recording.lookup import Lookup
from pytest_chatapi.recording.matching import Matcher
from pytest_chatapi.recording.miss import Miss, describe, differing_of, miss_of, overrun_of
from pytest_chatapi.recording.sender import sender
from pytest_chatapi.recording.under_way import Playback, Take
from pytest_chatapi.redaction.redactor import Redactor

__all__ = ["Answers", "BudgetLike", "FaultLike", "PaceLike", "PlanLike", "Recorder"]


def _raise(miss: Miss) -> NoReturn:
    miss.sent_from = ""  # the traceback says so
    raise UnrecordedRequest(describe(miss))


class Answers(Protocol):
    """What responds without a recording: a mock."""

    give_back: Callable[[], None] | None
    """Makes the last reply the next one again; ``None`` where it would come again anyway."""
    passes_on: bool
    """Whether the last request is to be sent to its server."""

    def answer(self, request: Request) -> Interaction | None:
        """The response to a request, ``None`` where there is none."""

    def miss(self, request: Request) -> Miss:
        """Why there is none."""


class FaultLike(Protocol):
    """What goes wrong with one response."""

    @property
    def alone(self) -> bool:
        """Whether it takes the place of a response, so that none is needed."""

    @property
    def retried(self) -> bool:
        """Whether a client that got this sends the request again."""

    def apply(self, answer: Interaction | None, request: Request) -> Interaction | None:
        """What comes instead of `answer`; ``None`` where there is nothing to change in it."""


class PaceLike(Protocol):
    """Decides when the pieces of a response arrive."""

    def paced(self, interaction: Interaction) -> Interaction:
        """The response with times of arrival that hold at any replay speed."""


class PlanLike(Protocol):
    """Decides what goes wrong with which response."""

    @property
    def happened(self) -> Sequence[object]:
        """The faults that were applied, in order."""

    def next(self, request: Request) -> FaultLike | None:
        """The fault whose turn it is; ``None`` for a response that stays as it is."""

    def done(self, fault: Any) -> None:
        """The fault was applied."""


class BudgetLike(Protocol):
    """Decides whether a request may still be sent to a server."""

    def admit(self, exchange: Exchange) -> tuple[str, str] | None:
        """Why it may not, and what to do about it; ``None`` if it may, which then counts."""

    def spent(self, exchange: Exchange, number: int, error: BaseException | None) -> None:
        """Count an exchange that has ended.

        Args:
            number: among those of its test.
            error: why there is no response.
        """


_Response = tuple[Interaction | None, Source | None, Callable[[], None] | None]
"""A response, where it comes from, and what makes it the next one again."""


@dataclass
class Recorder:
    """What one test sends and receives, from a cassette or on the way into one.

    Attributes:
        cassette: ``None`` for live traffic that is neither recorded nor replayed.
        mode: one of `recording.kinds.RECORD_MODES`.
        on_miss: called with a request that gets no response; must raise.
        replay_speed: 0 replays a stream without waiting, 1 at its recorded pace, 2 twice as fast.
        legacy_match_on: what the owner of a cassette of another recorder compares; a request
            that differs in its body alone then gets the recording, with a warning.
        legacy_filter: what that owner does to a request before it is compared; it returns
            ``None`` for a request that is ignored.
        allow_playback_repeats: the last of equal recordings is played again and again.
        test: the test that records; written into a cassette that several tests share.
        own_only: recordings of other tests are not played: their cassette has the same name by
            chance.
        optional: patterns of URLs (`fnmatch`, without the query) whose recordings need not be
            played, and are kept by `rewrite` until they are recorded again.
        phase: written with what is recorded from now on, see `Interaction`.
        since: when the run began; recordings from before are old (see `rewrite`).
        answers: a mock, in place of cassette and network.
        pace: of responses that come from a cassette or a mock; that of a reply wins.
        faults: what goes wrong with responses that come from a cassette or a mock.
        budget: of what is sent to servers.
        exchanges: what was really sent and received, in the order of sending.
        misses: the requests that got no response, whether or not the client noticed.
        warnings: requests that got a recording although they differ, as text.
        unanswered: what was sent and got no response, so that nothing could be recorded.
        still_read: responses that a thread still read when they were ended, as text.
        shares_with: other tests whose recordings are in the cassette, although it is `own_only`.
        written: how many exchanges were written to the cassette.
        refused: how many were left out, as they must not or cannot be written.
        ports: of servers on this machine that ask this recorder themselves.
        passed_hosts: to which a mock has let a request pass.
        appends: `save` is called for each exchange, so that it must not cost more as the cassette
            grows; at the end, `close` is called.
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
    own_only: bool = False
    optional: Sequence[str] = ()
    phase: str = ""
    since: str = ""
    answers: Answers | None = None
    pace: PaceLike | None = None
    faults: PlanLike | None = None
    budget: BudgetLike | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    misses: list[Miss] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    still_read: list[str] = field(default_factory=list)
    shares_with: set[str] = field(default_factory=set)
    written: int = 0
    refused: int = 0
    ports: set[int] = field(default_factory=set)
    passed_hosts: set[str] = field(default_factory=set)
    appends: bool = False

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._lookup: Lookup | None = None
        self._replays = self._records = False
        self._on_disk: set[str] = set()
        self._fork_note = ForkNote()
        if self.cassette is not None:
            self._lookup = Lookup(
                self.cassette,
                self.matcher,
                test=self.test,
                repeats=self.allow_playback_repeats,
                own_only=self.own_only,
            )
            self._replays = self.mode not in ("all", "rewrite")
            if self.mode == "rewrite":
                # Saving looks at each entry: a damaged one fails here, before anything is sent.
                for entry in self.entries:
                    self._is_new(entry)
            is_new = self.mode == "once" and all(map(self._is_new, self._own_entries()))
            self._records = is_new or self.mode in ("new_episodes", "all", "rewrite")
            if self._records and self.since:
                self._on_disk = {entry.recorded_at for entry in self.entries}
        self._has_learned_environment = False
        self._takes: list[Take] = []
        self._written = False
        self._appender = Appender()
        self._replaceable: set[bytes] | None = None

    def _is_new(self, entry: Entry) -> bool:
        """Whether this run recorded it."""
        return bool(self.since) and entry.recorded_at >= self.since

    def _own_entries(self) -> Sequence[Entry]:
        """The recordings that this test may play."""
        if not self.own_only:
            return self.entries
        return [entry for entry in self.entries if entry.test in ("", self.test)]

    @property
    def sends(self) -> bool:
        """Whether any request may go out to a server."""
        return self.answers is None and (self.cassette is None or self._records)

    @property
    def entries(self) -> Sequence[Entry]:
        """The recordings of the cassette."""
        return self.cassette.entries if self.cassette is not None else ()

    # -- one request -----------------------------------------------------------------------

    def begin(
        self, method: str, url: str, headers: Iterable[tuple[str, str]], body: bytes
    ) -> Playback | Take:
        """Decide what becomes of a request: a recording to play, or one to make.

        Raises:
            UnrecordedRequest: neither (or whatever `on_miss` raises).
        """
        if self._fork_note.is_child:
            self._fork_note.write(self._title(Request(method.upper(), url, {}, body)))
        pairs = [(name.lower(), text) for name, text in headers]
        if self.answers is None:  # requests to a mock are never written
            if not self._has_learned_environment:  # fixtures have set their variables by now
                self._has_learned_environment = True
                self.redactor.learn_environment()
            self.redactor.learn(pairs, url)
        folded = fold_headers(pairs)
        request = Request(method.upper(), url, folded, _plain(body, folded))
        with self._lock:
            exchange = Exchange(request, sent_from=sender())
            try:
                playback = self._play(request, exchange)
            except ChatAPIError as error:  # a damaged recording, or a hook of the user's
                routes: list[str] | None = [] if self.answers is not None else None
                self._lose(Miss(self._title(request), str(error), routes=routes), exchange)
                raise
            if playback is not None:
                self.exchanges.append(exchange)
                return playback
            if self.answers is not None and self.answers.passes_on:
                self.passed_hosts.add((urlsplit(url).hostname or "").lower())
            elif not self.sends:
                self._lose(self._miss(request), exchange)
            if self.budget is not None and (refusal := self.budget.admit(exchange)):
                reason, remedy = refusal
                miss = Miss(self._title(request), reason, remedy=remedy, is_over_budget=True)
                self._lose(miss, exchange)
            exchange.live = True
            self.exchanges.append(exchange)
            take = Take(self, exchange, pairs)
            self._takes.append(take)
            return take

    def _play(self, request: Request, exchange: Exchange) -> Playback | None:
        """A recording or a mock's reply, with the fault whose turn it is."""
        plan = self.faults
        fault = plan.next(request) if plan is not None else None
        if plan is not None and fault is not None and fault.alone:
            replacement = fault.apply(None, request)
            assert replacement is not None
            plan.done(fault)
            exchange.fault = str(fault)
            return Playback(self, replacement, exchange)
        response, source, give_back = self._response(request)
        if response is None:
            return None
        if self.pace is not None:
            response = self.pace.paced(response)
        if plan is not None and fault is not None:
            changed = fault.apply(response, request)
            if changed is not None:
                plan.done(fault)
                exchange.fault = str(fault)
                response = changed
                if fault.retried and give_back is not None:
                    give_back()
                    give_back = None
        return Playback(self, response, exchange, source, give_back)

    def _response(self, request: Request) -> _Response:
        if self.answers is not None:
            response = self.answers.answer(request)  # which sets what gives it back
            return response, None, self.answers.give_back
        if self._lookup is not None and self._replays:
            index = self._lookup.take(request)
            if index is None:
                index = self._take_foreign(self._lookup, request)
            if index is not None:
                entry = self._lookup.entries[index]
                give_back = partial(self._lookup.give_back, index, request)
                return entry.interaction, Source(entry.name, entry.index), give_back
        return None, None, None

    def _take_foreign(self, lookup: Lookup, request: Request) -> int | None:
        """What the recorder that owns the cassette would have played."""
        sent = self.legacy_filter(request) if self.legacy_filter is not None else request
        compares_body = "body" in self.legacy_match_on
        if sent is None or (compares_body and sent is request):
            return None
        taken = lookup.take_foreign(sent, self.legacy_match_on, any_body=not compares_body)
        if taken is None:
            return None
        index, is_equal = taken
        if not is_equal:
            self.warnings.append(describe(differing_of(lookup, sent, index)))
        return index

    def _miss(self, request: Request) -> Miss:
        if self.answers is not None:
            return self.answers.miss(request)
        assert self._lookup is not None  # without a cassette, every request is sent
        return miss_of(self._lookup, request)

    def _title(self, request: Request) -> str:
        return mask(self.redactor.text(title_of(Exchange(request))))

    def _lose(self, miss: Miss, exchange: Exchange) -> None:
        miss.sent_from = exchange.sent_from
        self.misses.append(miss)
        self.on_miss(miss)

    # -- what takes and playbacks report ---------------------------------------------------

    def overrun(self, playback: Playback, reader: str = "") -> None:
        """A client reads on where, in the recording, it had stopped.

        Args:
            reader: the thread in which it reads, if it is not the test's own.
        """
        request, source = playback.exchange.request or Request(), playback.exchange.source
        if self._lookup is None or source is None:
            miss = Miss(self._title(request), "the client keeps reading where the response is cut")
        else:
            at_once = not self.replay_speed
            miss = overrun_of(self._lookup, request, source.index, at_once=at_once, reader=reader)
        self._lose(miss, playback.exchange)

    def of_forks(self) -> str:
        """A request that a forked process has sent since the last call, or ``""``."""
        return self._fork_note.take()

    def spent(self, exchange: Exchange, error: BaseException | None = None) -> None:
        """Count what an exchange took that was sent and has ended."""
        if self.budget is not None:
            numbers = (n for n, other in enumerate(self.exchanges) if other is exchange)
            self.budget.spent(exchange, next(numbers, 0), error)

    def drop(self, take: Take, error: BaseException | None) -> None:
        """Forget a take that becomes no recording."""
        with self._lock:
            self._takes = [other for other in self._takes if other is not take]
            if isinstance(error, Exception) and self.cassette is not None:
                title = self._title(take.exchange.request or Request())
                self.unanswered.append(f"{title}: {type(error).__name__}")

    # -- the end of a test -----------------------------------------------------------------

    def finish(self) -> None:
        """End what is still under way: unread responses count as abandoned by the client.

        Those that another thread still reads, or waits for, are noted in `still_read`.
        """
        for take in list(self._takes):
            if take.is_open and self._is_read_elsewhere(take):
                title = self._title(take.exchange.request or Request())
                size = sum(map(len, take.pieces))
                state = f"{size:,} bytes so far" if take.exchange.response else "no response so far"
                self.still_read.append(f"{title}: {state}, in thread {take.reader.name}")
                take.reader = threading.current_thread()  # told once
            take.closed()

    def _is_read_elsewhere(self, take: Take) -> bool:
        # A server of ours reads in a thread of its own, and ends that by itself.
        if self.cassette is None or self.ports or take.reader is threading.current_thread():
            return False
        return take.reader.is_alive() and not _is_idle(take.reader)

    def unplayed(self, *, phase: str = "") -> list[Entry]:
        """Recordings of this test that were not requested; empty while it records.

        Args:
            phase: of the recording, see `Interaction`.
        """
        if self._lookup is None or self._records or not self._replays:
            return []
        return [
            entry
            for at, entry in enumerate(self._lookup.entries)
            if not self._lookup.is_played(at)
            and entry.test in ("", self.test)
            and entry.interaction.phase == phase
            and not self._is_optional(entry.request)
        ]

    def _is_optional(self, request: Request) -> bool:
        url = request.url.partition("?")[0]
        return any(fnmatch.fnmatchcase(url, pattern) for pattern in self.optional)

    @property
    def unwritten(self) -> int:
        """How many exchanges would be written by `save`."""
        if self.cassette is None:
            return 0
        return sum(take.interaction is not None for take in self._takes)

    def save(self) -> bool:
        """Write what was recorded since the last call; return whether there was anything.

        An exchange that must not or cannot be written is left out for good.

        Raises:
            SecretError, WriteError: exchanges were left out; all others have been written.
            WriteError: nothing could be written, and the next call tries again.
            ReadError: what is in the file by now is damaged.
        """
        with self._lock:
            if self.cassette is None:
                return False
            self.redactor.learn_environment()
            done = [take for take in self._takes if take.interaction is not None]
            recorded = [take.interaction for take in done if take.interaction is not None]
            is_rewrite = self.mode == "rewrite" and not self._written
            if not recorded and not (is_rewrite and self.entries):
                return False  # nothing to add, nothing to drop
            path, name = self.cassette.path, self.cassette.name
            ready = prepared(path, name, recorded, self.redactor)
            if ready.blocks or not ready.refused:  # else there is nothing to replace the old with
                keep = self._keeps(ready.interactions, is_rewrite=is_rewrite)
                appender = None
                if self.appends and not is_rewrite and not self._replaces(ready.interactions):
                    appender = self._appender
                write(path, name, ready, keep, appender)
                self._written = True
                self._on_disk |= {interaction.recorded_at for interaction in ready.interactions}
            self.written += len(ready.blocks)
            self.refused += ready.refused
            # Takes that other threads ended in the meantime are left to the next call.
            self._takes = [take for take in self._takes if take not in done]
            if ready.refusal is not None:
                raise ready.refusal
            return bool(recorded)

    def close(self) -> None:
        """Remove what `save` keeps on the disk for the next call."""
        with self._lock:
            self._appender.close()

    def _replaces(self, new: Sequence[Interaction]) -> bool:
        """Whether `new` may take the place of what is in the file."""
        if self.mode != "all":
            return False
        if self._replaceable is None:
            self._replaceable = {
                self.matcher.key(entry.request)
                for entry in self.entries
                if entry.test in ("", self.test) and not self._is_new(entry)
            }
        keys = {self.matcher.key(interaction.request) for interaction in new}
        replaces = not self._replaceable.isdisjoint(keys)
        if not self.since:
            self._replaceable |= keys
        return replaces

    def _keeps(self, new: Sequence[Interaction], *, is_rewrite: bool) -> Callable[[Entry], bool]:
        """Which entries of the file stay when `new` are written."""
        keys = {self.matcher.key(interaction.request) for interaction in new}
        phases = {interaction.phase for interaction in new}

        def keep(entry: Entry) -> bool:
            if self.own_only and entry.test not in ("", self.test):
                self.shares_with.add(entry.test)
            if self._is_of_parallel_run(entry) and entry.interaction.phase in phases:
                # Two runs at once leave each recording once.
                return self.matcher.key(entry.request) not in keys
            if not is_rewrite and self.mode != "all":
                return True
            if entry.test not in ("", self.test):
                return True  # only the test that recorded it may drop it
            if self._is_new(entry):
                return True
            # What is optional may have been requested by another test of this run.
            if is_rewrite and not (self.optional and self._is_optional(entry.request)):
                return False
            # As in vcrpy, a new recording replaces what it matches.
            return self.matcher.key(entry.request) not in keys

        return keep

    def _is_of_parallel_run(self, entry: Entry) -> bool:
        """Whether another run recorded it for this test while this one was under way."""
        is_known = not self.since or entry.recorded_at in self._on_disk
        return not is_known and entry.test == self.test


def _is_idle(thread: threading.Thread) -> bool:
    """Whether a thread of an executor waits for work, so that it has left what it read."""
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code is _worker.__code__


def _plain(body: bytes, headers: dict[str, str]) -> bytes | None:
    """The body decompressed; as it is where that fails."""
    try:
        plain: bytes | None = plain_body(body, headers.get("content-encoding", ""))
    except BodyProblem:
        return body
    return plain
