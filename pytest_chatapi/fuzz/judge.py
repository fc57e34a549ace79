"""Decides for each case whether the consumer is wrong; and the fixed list of all that is tried.

Knows no Hypothesis: `search` adds random cases to it, and a client of any language is tried with
the fixed list alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.fuzz.cases import Case, Said, draft_of, fixed_cases, said_reply
from pytest_chatapi.fuzz.counterexample import Failure
from pytest_chatapi.fuzz.deliveries import CATALOGUE, Step
from pytest_chatapi.fuzz.draft import Draft
from pytest_chatapi.fuzz.oracle import Outcome, lost_call, lost_refusal, lost_usage, problem_of
from pytest_chatapi.fuzz.replies import SUCCESSES
from pytest_chatapi.mock.replies import Reply

__all__ = ["Judge"]


@dataclass
class Judge:
    """What is known of one consumer.

    Attributes:
        run: runs the consumer on a case, and returns its outcome; also whether each delivery of it
            had something to change.
        ask: of the first request.
        turns: how many requests the consumer sends for the plain delivery.
        said: what the model may say.
        own: the replies that a test allows; ``None``: any that fits.
        allowed: kinds of deliveries.
        skip: names of deliveries to leave out.
        same: compares two results; ``None``: they have to be equal.
        plain: what the consumer makes of the plain delivery.
        accepted: whether the consumer returns something for a case; see `_accepts`.
        failures: what is wrong in the fixed list.
    """

    run: Callable[[Case], tuple[Outcome, bool]]
    ask: Ask
    said: Sequence[Said]
    own: Sequence[Reply] | None
    turns: int
    allowed: Sequence[str]
    same: Callable[[Any, Any], bool] | None = None
    skip: Collection[str] = ()
    plain: dict[Said, Outcome] = field(default_factory=dict)
    accepted: dict[Case, bool] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def plain_outcome(self, said: Said) -> Outcome:
        """What the consumer makes of the plain delivery."""
        if said not in self.plain:
            self.plain[said] = self.run(Case(said))[0]
        return self.plain[said]

    def draft(self, said: Said) -> Draft:
        """The beginning of a delivery of what the model may say to the first request."""
        return draft_of(said_reply(said, self.ask, self.own), self.ask)

    def judged(self, case: Case) -> Failure | None:
        """What is wrong in a case; ``None`` if nothing is, or if there is nothing to see in it."""
        plain = self.plain_outcome(case.said)
        if plain.sent_back is not None:
            if case.steps:
                return None  # the same again
            return Failure(case, plain.sent_back.problem, plain, plain)
        if not case.steps:
            if case.said.then:
                return None  # a consumer may refuse to go on for long
            if plain.error is not None and case.said.kind in SUCCESSES:
                return Failure(case, "could not read the plain delivery", plain, plain)
            return None
        illegal = case.illegal
        if illegal is not None and illegal.unless and self._accepts(case, illegal.unless):
            return None
        outcome, changed = self.run(case)
        if not changed:
            return None
        if outcome.sent_back is not None and illegal is None:
            return Failure(case, outcome.sent_back.problem, plain, outcome)
        rows = [CATALOGUE[step.name] for step in case.steps]
        problem = problem_of(rows, plain, outcome, self.same)
        return Failure(case, problem, plain, outcome) if problem else None

    def plain_failure(self, said: Said) -> Failure | None:
        """What is wrong with the plain delivery of what the model may say."""
        failure = self.judged(Case(said))
        if failure is not None:
            return failure
        return self._lost_refusal() if said.kind == "refusal" else self._lost(said)

    def _lost_refusal(self) -> Failure | None:
        """Whether a refusal looks like a response that says nothing."""
        first, refused = self.said[0], Said("refusal", "I cannot help with that.")
        success, plain = self.plain_outcome(first), self.plain_outcome(refused)
        if first.kind not in ("text", "structured") or success.error or plain.error:
            return None
        if not lost_refusal(plain.value, success.value, is_structured=first.kind == "structured"):
            return None
        return Failure(Case(refused), "lost the refusal", success, plain)

    def _lost(self, said: Said) -> Failure | None:
        """Whether a result has a place for something and not what the response has of it."""
        short = said._replace(text="Hi")
        plain = self.plain_outcome(short)
        if plain.error is not None:
            return None
        completion = self.draft(short).completion
        has_usage = self.ask.include_usage or not self.ask.stream
        problem = ""
        if has_usage and self.turns == 1 and lost_usage(plain.value):
            problem = "lost the usage"
        if lost_call(plain.value, completion):
            problem = "lost a tool call"
        return Failure(Case(short), problem, plain, plain) if problem else None

    def _accepts(self, case: Case, name: str) -> bool:
        """Whether the consumer returns something for another delivery of the same response."""
        step = Step(name, tuple(CATALOGUE[name].fixed[0].items()))
        other = Case(case.said, (step,), case.turn)
        if other not in self.accepted:
            self.accepted[other] = self.run(other)[0].error is None
        return self.accepted[other]

    def fixed(self) -> None:
        """Try the fixed list; all that is wrong in it goes to `failures`."""
        for what in self.said:
            if failure := self.plain_failure(what):
                self.failures.append(failure)
        self.failures += self.wrong_in(self.allowed)

    def wrong_in(self, allowed: Sequence[str]) -> list[Failure]:
        """What is wrong in the fixed list of these kinds of deliveries."""
        cases = fixed_cases(
            self.ask.stream, self.said, turns=self.turns, allowed=allowed, skip=self.skip
        )
        return [failure for case in cases if (failure := self.judged(case))]
