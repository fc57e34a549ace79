"""Looks for the delivery that a consumer reads wrong: the fixed list first, then random ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.database import ExampleDatabase
from hypothesis.errors import Flaky

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.errors import SettingError
from pytest_chatapi.fuzz.cases import Case, Said, draft_of, fixed_cases, said_reply
from pytest_chatapi.fuzz.counterexample import Failure
from pytest_chatapi.fuzz.deliveries import CATALOGUE, Step
from pytest_chatapi.fuzz.draft import Draft
from pytest_chatapi.fuzz.oracle import Outcome, lost_refusal, problem_of
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


@dataclass
class Search:
    """One search.

    Attributes:
        run: runs the consumer on a case, and returns its outcome; also whether each delivery of it
            had something to change.
        ask: of the first request.
        turns: how many requests the consumer sends for the plain delivery.
        said: kinds of what the model may say.
        allowed: kinds of deliveries.
        skip: names of deliveries to leave out.
        name: of the test, under which Hypothesis keeps what it found.
        runs: how often the consumer was run.
    """

    run: Callable[[Case], tuple[Outcome, bool]]
    ask: Ask
    said: Sequence[Said]
    own: Sequence[Reply] | None
    turns: int
    allowed: Sequence[str]
    same: Callable[[Any, Any], bool] | None = None
    name: str = ""
    skip: Collection[str] = ()
    runs: int = 0
    plain: dict[Said, Outcome] = field(default_factory=dict)
    accepted: dict[Case, bool] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def plain_outcome(self, said: Said) -> Outcome:
        """What the consumer makes of the plain delivery."""
        if said not in self.plain:
            self.plain[said] = self._outcome(Case(said))[0]
        return self.plain[said]

    def _outcome(self, case: Case) -> tuple[Outcome, bool]:
        self.runs += 1
        return self.run(case)

    def judged(self, case: Case) -> Failure | None:
        """What is wrong in a case; ``None`` if nothing is, or if there is nothing to see in it."""
        plain = self.plain_outcome(case.said)
        if not case.steps:
            is_success = case.said.kind in ("text", "structured", "call", "calls")
            if plain.error is not None and is_success:
                return Failure(case, "could not read the plain delivery", plain, plain)
            return None
        illegal = case.illegal
        if illegal is not None and illegal.unless and self._accepts(case, illegal.unless):
            return None
        outcome, changed = self._outcome(case)
        if not changed:
            return None
        rows = [CATALOGUE[step.name] for step in case.steps]
        problem = problem_of(rows, plain, outcome, self.same)
        return Failure(case, problem, plain, outcome) if problem else None

    def _lost_refusal(self) -> Failure | None:
        """Whether a refusal looks like a response that says nothing."""
        first, refused = self.said[0], Said("refusal", "I cannot help with that.")
        success, plain = self.plain_outcome(first), self.plain_outcome(refused)
        if first.kind not in ("text", "structured") or success.error or plain.error:
            return None
        if not lost_refusal(plain.value, success.value, is_structured=first.kind == "structured"):
            return None
        return Failure(Case(refused), "lost the refusal", success, plain)

    def _accepts(self, case: Case, name: str) -> bool:
        """Whether the consumer returns something for another delivery of the same response."""
        step = Step(name, tuple(CATALOGUE[name].fixed[0].items()))
        other = Case(case.said, (step,), case.turn)
        if other not in self.accepted:
            self.accepted[other] = self._outcome(other)[0].error is None
        return self.accepted[other]

    def fixed(self) -> None:
        """Try the fixed list; all that is wrong in it goes to `failures`."""
        for what in self.said:
            case = Case(what)
            failure = self.judged(case)
            if failure is None and what.kind == "refusal":
                failure = self._lost_refusal()
            if failure is not None:
                self.failures.append(failure)
        self.failures += self.wrong_in(self.allowed)

    def wrong_in(self, allowed: Sequence[str]) -> list[Failure]:
        """What is wrong in the fixed list of these kinds of deliveries."""
        cases = fixed_cases(
            self.ask.stream, self.said, turns=self.turns, allowed=allowed, skip=self.skip
        )
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
                    skip=self.skip,
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
