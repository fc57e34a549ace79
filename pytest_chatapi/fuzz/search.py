"""Looks for the delivery that a consumer reads wrong: the fixed list first, then random ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.database import ExampleDatabase

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.fuzz.cases import Case, Said, draft_of, fixed_cases
from pytest_chatapi.fuzz.deliveries import CATALOGUE, Step
from pytest_chatapi.fuzz.draft import Draft
from pytest_chatapi.fuzz.oracle import Outcome, lost_refusal, problem_of
from pytest_chatapi.fuzz.replies import reply_of
from pytest_chatapi.fuzz.strategies import cases
from pytest_chatapi.mock.replies import Reply

__all__ = ["Failure", "Search"]

_MOST_SHRINKS = 300


@dataclass(frozen=True)
class Failure:
    """A case in which the consumer is wrong.

    Attributes:
        problem: what is wrong, in a few words.
    """

    case: Case
    problem: str
    plain: Outcome
    outcome: Outcome


class _Found(Exception):
    """The consumer is wrong; Hypothesis shrinks the case to the smallest that raises this."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure


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
        runs: how often the consumer was run.
    """

    run: Callable[[Case], tuple[Outcome, bool]]
    ask: Ask
    said: Sequence[Said]
    own: Sequence[Reply] | None
    turns: int
    allowed: Sequence[str]
    same: Callable[[Any, Any], bool] | None = None
    database: ExampleDatabase | None = None
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
        problem = problem_of(illegal, plain, outcome, self.same)
        return Failure(case, problem, plain, outcome) if problem else None

    def _lost_refusal(self, case: Case, plain: Outcome) -> Failure | None:
        first = self.said[0]
        success = self.plain_outcome(first)
        if first.kind not in ("text", "structured") or success.error or plain.error:
            return None
        if not lost_refusal(plain.value, success.value, is_structured=first.kind == "structured"):
            return None
        return Failure(case, "lost the refusal", success, plain)

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
                failure = self._lost_refusal(case, self.plain_outcome(what))
            if failure is not None:
                self.failures.append(failure)
        for case in fixed_cases(self.ask.stream, self.said, turns=self.turns, allowed=self.allowed):
            if failure := self.judged(case):
                self.failures.append(failure)

    def random(self, examples: int, seed: int | None, only: str | None = None) -> Failure | None:
        """The smallest case that is wrong, of this many random ones.

        Args:
            only: a delivery that has to be in them.
        """

        def test(case: Case) -> None:
            if failure := self.judged(case):
                raise _Found(failure)

        def start(what: Said) -> Draft:
            reply = (
                reply_of(what.kind, self.ask, what.text, what.number)
                if self.own is None
                else self.own[int(what.kind.removeprefix("reply "))]
            )
            return draft_of(reply, self.ask)

        options: dict[str, Any] = {}
        if self.database is not None:
            options["database"] = self.database
        search = settings(
            max_examples=examples,
            deadline=None,
            report_multiple_bugs=False,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.reuse, Phase.generate, Phase.shrink],
            **options,
        )(
            given(
                cases(
                    self.ask,
                    [what.kind for what in self.said],
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
        return None
