"""Which recording comes next: each entry of a cassette is played once, equal ones in order."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.recording.cassette import Cassette
from pytest_chatapi.recording.matching import Matcher

__all__ = ["Lookup"]


class Lookup:
    """The recordings of a cassette, and which of them have been played.

    Entries are read no further than the first that matches.

    Args:
        test: of equal recordings, those of this test come first; ``""`` keeps them in order.
        repeats: the last of equal recordings is played again and again.
        own_only: those of other tests are not played at all.
    """

    def __init__(
        self,
        cassette: Cassette,
        matcher: Matcher,
        *,
        test: str,
        repeats: bool,
        own_only: bool = False,
    ) -> None:
        self.cassette, self.matcher = cassette, matcher
        self.entries = entries = cassette.entries
        self._repeats = repeats
        self._order: Sequence[int] = range(len(entries))
        if test:
            rank = {test: 0, "": 1}
            if own_only:
                self._order = [at for at in self._order if entries[at].test in rank]
            self._order = sorted(self._order, key=lambda at: rank.get(entries[at].test, 2))
        self._read = 0
        self._waiting: dict[bytes, deque[int]] = defaultdict(deque)
        self._last: dict[bytes, int] = {}
        self._by_head: dict[bytes, list[int]] | None = None
        self._played: set[int] = set()

    def take(self, request: Request) -> int | None:
        """The index of the next recording of a request, from now on played."""
        key = self.matcher.key(request)
        waiting = self._waiting[key]
        while not waiting and self._read < len(self._order):
            at = self._order[self._read]
            self._read += 1
            recorded = self.entries[at].request
            is_same = _is_spelled_alike(recorded, request)
            self._waiting[key if is_same else self.matcher.key(recorded)].append(at)
        while waiting:
            at = waiting.popleft()
            if at not in self._played:
                self._played.add(at)
                self._last[key] = at
                return at
        return self._last.get(key) if self._repeats else None

    def give_back(self, index: int, request: Request) -> None:
        """Make a recording the next one of its request again."""
        self._played.discard(index)
        self._waiting[self.matcher.key(request)].appendleft(index)

    def take_foreign(
        self, request: Request, match_on: Sequence[str], *, any_body: bool
    ) -> tuple[int, bool] | None:
        """As `take`, among the recordings of other recorders and by their rules.

        Args:
            match_on: what is compared besides the body, see `Matcher`.
            any_body: one with another body will do, if none has the same.

        Returns:
            the index, and whether the bodies are equal.
        """
        if self._by_head is None:
            self._by_head = defaultdict(list)
            for at, entry in enumerate(self.entries):
                if not entry.own:
                    self._by_head[self.matcher.head_key(entry.request, match_on)].append(at)
        alike = self._by_head.get(self.matcher.head_key(request, match_on), ())
        unplayed = [at for at in alike if at not in self._played]
        body = self.matcher.body(request)
        equal = [at for at in unplayed if self.matcher.body(self.entries[at].request) == body]
        candidates = equal or (unplayed if any_body else [])
        if not candidates:
            return None
        self._played.add(candidates[0])
        return candidates[0], bool(equal)

    @property
    def playable(self) -> list[int]:
        """The indexes of the recordings that may be played, in the order of the file."""
        return sorted(self._order)

    @property
    def hidden(self) -> list[str]:
        """The tests whose recordings are not played here, although they are in the file."""
        if len(self._order) == len(self.entries):
            return []
        playable = set(self._order)
        tests = (entry.test for at, entry in enumerate(self.entries) if at not in playable)
        return list(dict.fromkeys(tests))

    def recordings_of(self, request: Request) -> list[int]:
        """The index of each recording of a request, played or not."""
        key = self.matcher.key(request)
        return [at for at in self.playable if self.matcher.key(self.entries[at].request) == key]

    def is_played(self, index: int) -> bool:
        return index in self._played


def _is_spelled_alike(one: Request, other: Request) -> bool:
    """Whether two requests are the same without parsing either."""
    return (
        _bytes(one.body) == _bytes(other.body) is not None
        and one.url == other.url
        and one.method == other.method
        and one.headers.get("content-type") == other.headers.get("content-type")
    )


def _bytes(body: object) -> bytes | None:
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")
    return body if isinstance(body, bytes) else None
