"""Runs a consumer on cases, and says what is wrong with what it makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_chatapi.fuzz.cases import Case, Said
from pytest_chatapi.fuzz.counterexample import Failure
from pytest_chatapi.fuzz.deliveries import CATALOGUE, Step
from pytest_chatapi.fuzz.oracle import Outcome, lost_refusal, problem_of

__all__ = ["Judge"]


@dataclass(kw_only=True)
class Judge:
    """Knows what a consumer makes of the plain deliveries, and compares the others with it.

    Attributes:
        run: runs the consumer on a case, and returns its outcome; also whether each delivery of it
            had something to change.
        said: kinds of what the model may say, the plainest first.
        same: compares two results; ``None``: they have to be equal.
        runs: how often the consumer was run.
    """

    run: Callable[[Case], tuple[Outcome, bool]]
    said: Sequence[Said]
    same: Callable[[Any, Any], bool] | None = None
    runs: int = 0
    plain: dict[Said, Outcome] = field(default_factory=dict)
    accepted: dict[Case, bool] = field(default_factory=dict)

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

    def lost_refusal(self, case: Case) -> Failure | None:
        """What is wrong if the consumer makes of a refusal what it makes of an empty response."""
        first = self.said[0]
        plain = self.plain_outcome(case.said)
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
