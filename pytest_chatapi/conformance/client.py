"""Runs a consumer of responses against each delivery of the catalogue, and gives each a verdict."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from pytest_chatapi.conformance.consumer import Consumer, Hung
from pytest_chatapi.conformance.probe import BOTH, Mode, Verdict
from pytest_chatapi.contract.ask import Ask, request_json
from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.errors import ChatAPIError, SettingError
from pytest_chatapi.fuzz.cases import Case, Deliverer, Said, cases_of, hard_to_read
from pytest_chatapi.fuzz.counterexample import Failure
from pytest_chatapi.fuzz.deliveries import CATALOGUE, Delivery
from pytest_chatapi.fuzz.judge import Judge
from pytest_chatapi.fuzz.loops import MOST_REQUESTS, wrong_loop
from pytest_chatapi.fuzz.oracle import Outcome
from pytest_chatapi.fuzz.replies import kinds
from pytest_chatapi.mock import ChatMock
from pytest_chatapi.mock.builders import reply_that_fits
from pytest_chatapi.mock.replies import Reply
from pytest_chatapi.recording.interaction import Interaction
from pytest_chatapi.recording.opening import open_recorder
from pytest_chatapi.server.app import make_app
from pytest_chatapi.server.run import running

__all__ = [
    "DeliveryCheck",
    "DeliveryResult",
    "Evidence",
    "Tried",
    "beside",
    "client_checks",
    "common",
    "serving",
    "shown",
]

_PLAIN = {
    "text": "text is read",
    "structured": "structured output is read",
    "call": "a tool call is read",
    "calls": "several tool calls are read",
    "text and calls": "text and tool calls of one response are read",
    "refusal": "a refusal does not look like an empty response",
    "calls again": "calls of a further response are answered too",
}
_STAGES = {"layout": "chunks", "chunks": "chunks", "events": "sse", "bytes": "bytes"}
_NOT_OF_THIS_FORM = {
    "whole": "the consumer asks for streams",
    "stream": "the consumer does not ask for streams",
}
_CONTEXT = 40  # characters before the first difference
_SHOWN = 300
_NOT_OFFERED = "the consumer's request gives no occasion for it"


@dataclass(frozen=True)
class DeliveryCheck:
    """A delivery with its parameters, in one form; or a kind of response, delivered plainly.

    Attributes:
        name: of the delivery with its parameters, or the kind.
        row: ``None``: the plain delivery.
    """

    capability: str
    name: str
    mode: Mode
    title: str
    row: Delivery | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)

    codes = frozenset[str]()

    @property
    def ids(self) -> tuple[str, str]:
        """The id, and that of both forms."""
        both = f"{self.capability}.{self.name}"
        has_both = self.row is not None and self.row.form == "both"
        return (f"{both}.{self.mode}" if has_both else both), both

    @property
    def id(self) -> str:
        return self.ids[0]


def client_checks() -> list[DeliveryCheck]:
    """All checks of consumers, in the order in which they run; the same for each consumer."""
    checks = [
        DeliveryCheck("plain", kind.replace(" ", "-"), "-", title) for kind, title in _PLAIN.items()
    ]
    for row in CATALOGUE.values():
        capability = _STAGES[row.stage] if row.kind == "legal" else row.kind
        modes: tuple[Mode, ...] = BOTH if row.form == "both" else (row.form,)
        for parameters in row.fixed:
            name = row.name.replace("_", "-")
            if len(row.fixed) > 1:
                name += "".join(f"-{_word(*item)}" for item in parameters.items() if item[1])
                name += "-null" if None in parameters.values() else ""
            checks += [
                DeliveryCheck(capability, name, mode, row.title, row, parameters) for mode in modes
            ]
    order = ["plain", *dict.fromkeys(_STAGES.values()), "tolerated", "debatable", "illegal"]
    return sorted(checks, key=lambda check: order.index(check.capability))


_WORDS = {"\r\n": "cr-lf", "\r": "cr"}


def _word(name: str, value: Any) -> str:
    """What a parameter adds to the name of a check."""
    if value is True:
        return name
    if isinstance(value, int):
        return "end" if value >= 10**6 else str(value)
    text = "-".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return _WORDS.get(text) or re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


@dataclass(frozen=True)
class Evidence:
    """A case in which the consumer is wrong.

    Attributes:
        sent: the responses, with their requests.
        plain_sent: those of the plain delivery.
    """

    failure: Failure
    sent: Sequence[Interaction]
    plain_sent: Sequence[Interaction]

    @property
    def size(self) -> int:
        """Bytes on the wire: of several failures, the smallest is shown."""
        return sum(len(piece) for response in self.sent for piece in response.pieces)


@dataclass
class DeliveryResult:
    """The verdict on a check.

    Attributes:
        reason: of any verdict but a pass, in one sentence.
        requests: how many the consumer sent.
        evidence: of a failure.
    """

    check: DeliveryCheck
    verdict: Verdict
    reason: str = ""
    requests: int = 0
    evidence: Evidence | None = None


class Tried:
    """A consumer whose plain deliveries are known.

    Attributes:
        ask: of its first request.
        turns: how many requests it sends for one result.
        said: what the model may say.
        requests: how many it sent so far.
    """

    def __init__(
        self,
        consumer: Consumer,
        mock: ChatMock,
        deliverer: Deliverer,
        seen: Callable[[], str],
        *,
        strict: bool,
    ) -> None:
        self._consumer, self._mock, self._deliverer = consumer, mock, deliverer
        self._seen, self._strict = seen, strict
        self._check = DeliveryCheck("plain", "text", "-", "")
        self._is_changed = False
        self._requests = self.requests = 0
        self._plain_sent: dict[Said, Sequence[Interaction]] = {}
        self._sent: Sequence[Interaction] = ()
        self._fails: dict[Case, bool] = {}
        self.ask = self._first_request()
        self.said = hard_to_read(kinds(self.ask))
        mock.reply(self._respond)
        first = self._run(Case(self.said[0]))[0]
        plain = {self.said[0]: first}
        if first.sent_back is None:  # else it is a failure of the plain delivery
            self._require_usable(first, self._run(Case(self.said[0]))[0])
        for said in self.said[1:]:
            plain[said] = self._run(Case(said))[0]
        self.turns = max(outcome.requests for outcome in plain.values())
        if self.turns > 1:
            kind = "calls" if any(said.kind == "calls" for said in self.said) else "call"
            for said, outcome in plain.items():
                if said.kind == "call" and outcome.sent_back is None:
                    self.said.append(said._replace(then=(kind,)))
        self._judge = Judge(self._run, self.ask, self.said, None, self.turns, (), plain=plain)
        # What is wrong with the plain delivery is reported once.
        self._plain = {said: self._judge.plain_failure(said) for said in self.said}
        self._comparable = [
            said
            for said, failure in self._plain.items()
            if not _is_silent(self._judge.plain[said])
            and not said.then
            and self._judge.plain[said].sent_back is None
            and (failure is None or (said.kind != "refusal" and not self._judge.plain[said].error))
        ]

    def _respond(self, request: Request) -> Interaction:
        response = self._deliverer(request)
        headers = response.headers
        if response.status >= 400:  # one that is asked again would get the same response
            headers = [*headers, ("x-should-retry", "false")]
        # With a time, each piece is sent alone.
        return replace(response, headers=headers, times=[0.0] * len(response.pieces))

    # -- the plain delivery ------------------------------------------------------------------

    def _first_request(self) -> Ask:
        """What the consumer asks for."""
        asks: list[Ask] = []

        def reply(request: Request) -> Reply:
            if len(asks) == MOST_REQUESTS:  # a loop that does not end
                raise SettingError(f"the consumer sent {MOST_REQUESTS} requests for one result")
            asks.append(Ask(request_json(request)[0]))
            return reply_that_fits(asks[-1])

        self._mock.reply(reply)
        outcome = self._consumer.run(self._check.id)
        if not asks:
            raise ChatAPIError(
                f"the consumer sent no request for a chat completion to OPENAI_BASE_URL: it "
                f"{shown(outcome)}{self._seen()}"
            )
        return asks[0]

    def _require_usable(self, one: Outcome, other: Outcome) -> None:
        """
        Raises:
            ChatAPIError: there is nothing to compare other deliveries with.
        """
        if one.error is not None:
            raise ChatAPIError(
                f"the consumer fails on the plain delivery of {self.said[0].kind}: it {shown(one)}"
                f"{self._seen()}; the others are compared with "
                "what it makes of that, so fix it first"
            )
        if _is_silent(one):
            raise ChatAPIError(
                "the consumer prints nothing: print what it understood of the response"
            )
        if other.error is not None or one.value != other.value:
            first, second = beside(shown(one), shown(other))
            raise ChatAPIError(
                f"the consumer {first}, and for the same response it {second}: print what can be "
                "compared, without ids and times of its own"
            )

    def _run(self, case: Case) -> tuple[Outcome, bool]:
        self._deliverer.begin(case)
        self._mock.requests.clear()
        self._mock.refused.clear()
        outcome = self._consumer.run(self._check.id)
        turns = self._deliverer.turns(self._mock.requests, self._mock.refused)
        is_endless = bool(self._deliverer.problem) and len(turns) >= MOST_REQUESTS
        outcome = replace(
            outcome,
            sent_back=wrong_loop(turns, outcome.value, is_endless=is_endless),
            requests=max(1, len(self._deliverer.asked)),
        )
        if self._deliverer.problem and outcome.sent_back is None:
            raise ChatAPIError(self._deliverer.problem)
        self._sent = tuple(self._deliverer.sent)
        if not case.steps:
            self._plain_sent.setdefault(case.said, self._sent)
        self._requests += len(self._sent)
        self.requests += len(self._sent)
        changed = self._deliverer.changed
        if not case.steps:
            return outcome, changed
        if isinstance(outcome.error, Hung) and (changed or not self._sent):
            raise _Hangs(Failure(case, str(outcome.error), self._judge.plain[case.said], outcome))
        row = self._check.row
        self._is_changed |= changed and row is not None and case.steps[-1].name == row.name
        return outcome, changed

    # -- checks ------------------------------------------------------------------------------

    def result(self, check: DeliveryCheck) -> DeliveryResult:
        """Try a delivery with all that the model may say."""
        self._check, self._requests = check, 0
        if check.row is None:
            return self._plain_result(check)
        form = "stream" if self.ask.stream else "whole"
        if check.mode != form:
            return self._unexercised(check, _NOT_OF_THIS_FORM[check.mode])
        cases = cases_of(
            check.row, check.parameters, self.ask.stream, self._comparable, turns=self.turns
        )
        is_explained = False
        failures: list[Failure] = []
        evidence: Evidence | None = None
        has_passed = False
        for case in cases:
            self._is_changed = False
            try:
                failure = self._judge.judged(case)
            except _Hangs as hangs:
                failures.append(hangs.failure)
                evidence = self._evidence(hangs.failure)
                break  # each costs the timeout
            if failure is None:
                has_passed |= self._is_changed
                continue
            shown_too = self._evidence(failure)
            if self._fails_without(case):
                is_explained = True
                continue
            failures.append(failure)
            if evidence is None or shown_too.size < evidence.size:
                evidence = shown_too
        if failures:
            return self._failed(check, failures, evidence)
        if has_passed:
            return DeliveryResult(check, Verdict.PASS, requests=self._requests)
        if is_explained:
            names = ", ".join(step.name.replace("_", "-") for step in check.row.after)
            return self._unexercised(check, f"fails without this already: see {names or 'compact'}")
        if check.row.unless:
            other = check.row.unless.replace("_", "-")
            return self._unexercised(check, f"to the consumer it is the same as {other}")
        return self._unexercised(check, _NOT_OFFERED)

    def _fails_without(self, case: Case) -> bool:
        """Whether what was applied before the last delivery is what is wrong."""
        before = Case(case.said, case.steps[:-1], case.turn)
        if before not in self._fails:
            try:
                self._fails[before] = bool(before.steps) and self._judge.judged(before) is not None
            except _Hangs:
                self._fails[before] = True
        return self._fails[before]

    def _plain_result(self, check: DeliveryCheck) -> DeliveryResult:
        said = next((said for said in self.said if _name(said) == check.name), None)
        if said is None:
            return self._unexercised(check, _NOT_OFFERED)
        failure = self._plain[said]
        sent = self._plain_sent[failure.case.said if failure is not None else said]
        self._requests = len(sent)
        if failure is not None:
            wrong = failure.outcome.sent_back
            if wrong is not None:  # the response before that request is enough
                sent = sent[: wrong.request][-1:]
            return self._failed(check, [failure], Evidence(failure, sent, ()))
        if _is_silent(self._judge.plain[said]):
            return self._unexercised(check, "the consumer prints nothing for it")
        if said.then and self._judge.plain[said].error is not None:
            return self._unexercised(check, "the consumer does not go on for so long")
        return DeliveryResult(check, Verdict.PASS, requests=self._requests)

    def _evidence(self, failure: Failure) -> Evidence:
        return Evidence(failure, self._sent, self._plain_sent.get(failure.case.said, ()))

    def _unexercised(self, check: DeliveryCheck, reason: str) -> DeliveryResult:
        return DeliveryResult(check, Verdict.NOT_EXERCISED, reason, self._requests)

    def _failed(
        self, check: DeliveryCheck, failures: Sequence[Failure], evidence: Evidence | None
    ) -> DeliveryResult:
        is_loose = check.row is not None and check.row.kind in ("tolerated", "debatable")
        verdict = Verdict.NON_STRICT if is_loose and not self._strict else Verdict.FAIL
        problems = dict.fromkeys(failure.problem for failure in failures)
        reasons = []
        for problem in problems:
            said = [f.case.said.kind for f in failures if f.problem == problem]
            place = next((_place(f) for f in failures if f.problem == problem), "")
            reasons.append(f"{problem} ({', '.join(dict.fromkeys(said))}){place}")
        return DeliveryResult(check, verdict, "; ".join(reasons), self._requests, evidence)


def _name(said: Said) -> str:
    """The name of the check of its plain delivery."""
    return "calls-again" if said.then else said.kind.replace(" ", "-")


def _place(failure: Failure) -> str:
    """Where the requests of a tool loop are wrong, if they are."""
    wrong = failure.outcome.sent_back
    if wrong is None or wrong.problem != failure.problem:
        return ""
    return f": request {wrong.request + 1}: {wrong.detail}"


class _Hangs(Exception):
    """The consumer did not end in time, which no delivery excuses."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure


def _is_silent(outcome: Outcome) -> bool:
    return outcome.error is None and outcome.value in ("", None)


def shown(outcome: Outcome) -> str:
    """What the consumer made of a response, to follow on "it"."""
    if outcome.error is not None:
        return str(outcome.error)
    return f"printed {text_of_value(outcome.value)}"


def text_of_value(value: Any) -> str:
    """What was printed, in one line if it is JSON."""
    if value == "":
        return "nothing"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def beside(plain: str, here: str) -> tuple[str, str]:
    """Two texts, each from shortly before where they differ, and shortened."""
    same = common(plain, here)
    return _from(plain, same), _from(here, same)


def common(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many items two sequences have in common at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _from(text: str, at: int) -> str:
    start = at - _CONTEXT if at > 2 * _CONTEXT else 0
    head = f"{text.partition(' ')[0]} ..." if start else ""
    end = start + _SHOWN
    return head + text[start:end] + (" ..." if end < len(text) else "")


@contextmanager
def serving(consumer_for: Callable[[str], Consumer], *, strict: bool = False) -> Iterator[Tried]:
    """A consumer that was tried with the plain delivery, and the server that it talks to.

    Args:
        consumer_for: the consumer of a server at a base URL.
        strict: what is non-strict fails.

    Raises:
        ChatAPIError: there is nothing to compare deliveries with: what the consumer prints for the
            plain one is an error, empty, or differs from time to time.
    """
    deliverer = Deliverer()
    mock = ChatMock("chatapi conform client", "compatible")

    recorder = open_recorder(None, answers=mock, replay_speed=1)

    def seen() -> str:
        """What it was refused, and what else it asked for."""
        if mock.refused:
            return f": its request was refused: {mock.refused[0][1]}"
        for request in mock.requests:
            path = urlsplit(request.url).path
            if not path.endswith("/chat/completions"):
                return f"; the server got {request.method} {path}"
        return ""

    with running(make_app(recorder)) as server:
        consumer = consumer_for(server.url)
        try:
            yield Tried(consumer, mock, deliverer, seen, strict=strict)
        finally:
            consumer.close()
