"""Looks for the delivery that a consumer reads wrong: the fixed list first, then random ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.database import ExampleDatabase
from hypothesis.errors import Flaky

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.errors import SettingError
from pytest_chatapi.fuzz.cases import Case, Said, draft_of, fixed_cases, said_reply
from pytest_chatapi.fuzz.counterexample import Failure
from pytest_chatapi.fuzz.draft import Draft
from pytest_chatapi.fuzz.judge import Judge
from pytest_chatapi.fuzz.strategies import cases
from pytest_chatapi.mock.replies import Reply

__all__ = ["Search"]

# An example is a whole call of the application, and this may be called in a test of Hypothesis.
_NOT_CHECKED = [
    check
    for check in HealthCheck
    if check.name in ("too_slow", "function_scoped_fixture", "nested_given")
]


class _Found(Exception):
    """The consumer is wrong; Hypothesis shrinks the case to the smallest that raises this."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure


class _OwnKeys(ExampleDatabase):
    """The examples of one test: Hypothesis' keys are those of the function that all tests share."""

    def __init__(self, database: ExampleDatabase, name: str) -> None:
        super().__init__()
        self._database, self._name = database, hashlib.sha256(name.encode()).digest()[:8]

    def save(self, key: bytes, value: bytes) -> None:
        self._database.save(self._name + key, value)

    def fetch(self, key: bytes) -> Iterable[bytes]:
        return self._database.fetch(self._name + key)

    def delete(self, key: bytes, value: bytes) -> None:
        self._database.delete(self._name + key, value)


@dataclass(kw_only=True)
class Search(Judge):
    """One search.

    Attributes:
        ask: of the first request.
        turns: how many requests the consumer sends for the plain delivery.
        allowed: kinds of deliveries.
        name: of the test, under which Hypothesis keeps what it found.
    """

    ask: Ask
    own: Sequence[Reply] | None
    turns: int
    allowed: Sequence[str]
    name: str = ""
    failures: list[Failure] = field(default_factory=list)

    def fixed(self) -> None:
        """Try the fixed list; all that is wrong in it goes to `failures`."""
        for what in self.said:
            case = Case(what)
            failure = self.judged(case)
            if failure is None and what.kind == "refusal":
                failure = self.lost_refusal(case)
            if failure is not None:
                self.failures.append(failure)
        self.failures += self.wrong_in(self.allowed)

    def wrong_in(self, allowed: Sequence[str]) -> list[Failure]:
        """What is wrong in the fixed list of these kinds of deliveries."""
        cases = fixed_cases(self.ask.stream, self.said, turns=self.turns, allowed=allowed)
        return [failure for case in cases if (failure := self.judged(case))]

    def random(self, examples: int, seed: int | None, only: str | None = None) -> Failure | None:
        """The smallest case that is wrong, of this many random ones.

        Args:
            only: a delivery that has to be in them.
        """

        def test(case: Case) -> None:
            if failure := self.judged(case):
                raise _Found(failure)

        def start(what: Said) -> Draft:
            return draft_of(said_reply(what, self.ask, self.own), self.ask)

        database = settings().database
        search = settings(
            max_examples=examples,
            deadline=None,
            database=database and _OwnKeys(database, f"{self.name} {only}"),
            report_multiple_bugs=False,
            print_blob=False,
            suppress_health_check=_NOT_CHECKED,
            phases=[Phase.reuse, Phase.generate, Phase.shrink],
        )(
            given(
                cases(
                    self.ask,
                    self.said,
                    start,
                    allowed=self.allowed,
                    turns=self.turns,
                    only=only,
                )
            )(test)
        )
        if seed is not None:
            search = seeded(seed)(search)
        try:
            search()
        except _Found as found:
            return found.failure
        except Flaky:
            raise SettingError(
                "the consumer returns something else each time it gets the same response: "
                "return what can be compared, or pass same="
            ) from None
        return None
