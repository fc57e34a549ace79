"""What is tried: what the model says, and how that is delivered. The fixed list, and one run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pytest_chatapi.contract.ask import Ask, request_json
from pytest_chatapi.contract.exchange import Request
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.errors import SettingError
from pytest_chatapi.fuzz.deliveries import CATALOGUE, Delivery, Step, apply, delivered
from pytest_chatapi.fuzz.draft import Draft
from pytest_chatapi.fuzz.loops import MOST_REQUESTS, Turn, calls_of
from pytest_chatapi.fuzz.replies import HARD, completion_for, fitting, kinds, reply_of
from pytest_chatapi.mock.replies import Reply
from pytest_chatapi.recording.interaction import Interaction

__all__ = [
    "FEWER_CHUNKS",
    "OWN",
    "Case",
    "Deliverer",
    "Said",
    "cases_of",
    "draft_of",
    "fixed_cases",
    "hard_to_read",
    "said_reply",
]

OWN = "reply "
"""How the kind of a reply of the test's own begins; its index follows."""


FEWER_CHUNKS = ("compact", "whole_texts", "role_with_content", "finish_with_content")
"""Deliveries that make a counterexample easier to read."""


class Said(NamedTuple):
    """What the model says: a kind of `replies.kinds`, or `OWN` and an index.

    Attributes:
        then: the kinds of its further responses in a tool loop, before it comes to an end.
    """

    kind: str
    text: str = HARD
    number: int = 0
    then: tuple[str, ...] = ()


def hard_to_read(kinds: Iterable[str]) -> list[Said]:
    """These kinds of what the model says, each with the text that readers get wrong."""
    return [Said(kind, f"No: {HARD}" if kind == "refusal" else HARD) for kind in kinds]


@dataclass(frozen=True)
class Case:
    """What the model says, and the deliveries that are applied to it; none: the plain one.

    Attributes:
        turn: the request whose response they apply to, from 0; ``None``: all.
    """

    said: Said
    steps: tuple[Step, ...] = ()
    turn: int | None = None

    @property
    def plain(self) -> Case:
        return Case(self.said)

    @property
    def illegal(self) -> Delivery | None:
        rows = (CATALOGUE[step.name] for step in self.steps)
        return next((row for row in rows if row.kind == "illegal"), None)


def draft_of(reply: Reply, ask: Ask, turn: int = 0) -> Draft:
    """The beginning of a delivery: a reply to a request."""
    return Draft(completion_for(reply, ask.body, turn), ask, ask.stream)


@dataclass
class Deliverer:
    """Responds to the requests of one consumer, case after case; a reply function of a mock.

    Attributes:
        own: the replies that a test allows; ``None``: any that fits.
        asked: the bodies of the requests of this run, each once: a repeated one is a retry, and
            gets the same response.
        said: what the model said to each of them.
        sent: the response to each of them.
        changed: whether each delivery had something to change in some response.
    """

    own: Sequence[Reply] | None = None
    case: Case = field(default_factory=lambda: Case(Said("text", "Hello!")))
    asked: list[bytes | str | None] = field(default_factory=list)
    said: list[JSONObject] = field(default_factory=list)
    sent: list[Interaction] = field(default_factory=list)
    changed: bool = False
    problem: str = ""

    def begin(self, case: Case) -> None:
        self.case, self.asked, self.said, self.sent, self.changed = case, [], [], [], False
        self.problem = ""

    def __call__(self, request: Request) -> Interaction:
        body = request.body if isinstance(request.body, str | bytes) else None
        if body in self.asked:
            return self.sent[self.asked.index(body)]
        turn = len(self.asked)
        if turn >= MOST_REQUESTS:
            self.problem = f"the consumer sent {MOST_REQUESTS} different requests for one result"
            raise SettingError(self.problem)
        ask = Ask(request_json(request)[0])
        try:
            draft = draft_of(self._reply(ask, turn), ask, turn)
        except SettingError as error:
            self.problem = str(error)
            raise
        if self.case.turn in (None, turn):
            self.changed |= apply(draft, self.case.steps)
        response = delivered(request, draft)
        self.asked.append(body)
        self.said.append(draft.completion)
        self.sent.append(response)
        return response

    def turns(
        self, requests: Sequence[Request], refused: Sequence[tuple[Request, str]]
    ) -> list[Turn]:
        """The different requests of this run, with what the model said to them.

        Args:
            requests: of this run; others than those of chat completions are left out.
            refused: those of them that break the contract, with the error's message.
        """
        refusals = {request.body: message for request, message in refused}
        turns: dict[object, Turn] = {}
        for request in requests:
            body = request_json(request)[0]
            if request.body in turns or not isinstance(body, dict) or "messages" not in body:
                continue
            known = request.body in self.asked
            said = self.said[self.asked.index(request.body)] if known else None
            turns[request.body] = Turn(body, said, refusals.get(request.body, ""))
        return list(turns.values())

    def _reply(self, ask: Ask, turn: int) -> Reply:
        reply = said_reply(self.case.said, ask, self.own, turn)
        if turn == 0 or self.own is None:
            return reply
        reply = fitting(reply, ask.body)
        is_over = turn >= len(self.own) and any(calls_of(completion_for(reply, ask.body, turn)))
        return fitting(None, ask.body) if is_over else reply


def said_reply(said: Said, ask: Ask, own: Sequence[Reply] | None, turn: int = 0) -> Reply:
    """The reply to one of the requests of a consumer."""
    if own is not None:
        first = int(said.kind.removeprefix(OWN))
        return own[min(first + turn, len(own) - 1)]
    kind = said.kind
    if turn:
        fitting_kinds = kinds(ask)
        kind = said.then[turn - 1] if turn <= len(said.then) else ""
        kind = kind if kind in fitting_kinds else fitting_kinds[0]
    return reply_of(kind, ask, said.text, said.number)


_FOR_ALL = {"compact", "finish_with_content", "arguments_at_once", "ends_early", "only_done"}
"""Deliveries that depend most on what is said."""


def fixed_cases(
    streamed: bool,
    said: Sequence[Said],
    *,
    turns: int = 1,
    allowed: Collection[str] = ("legal",),
    skip: Collection[str] = (),
) -> Iterator[Case]:
    """Each delivery of the catalogue at least once, with fixed parameters; the same in each run.

    Args:
        said: what the model may say, the plainest first: framing is tried on that only, and on
            most others only what they differ by.
        turns: how many requests the consumer sends for the plain delivery.
        allowed: kinds of deliveries.
        skip: names of deliveries to leave out.
    """
    for row in CATALOGUE.values():
        if row.kind in allowed:
            for parameters in row.fixed:
                for case in cases_of(row, parameters, streamed, said, turns=turns):
                    if not {step.name for step in case.steps} & set(skip):
                        yield case


def cases_of(
    row: Delivery,
    parameters: Mapping[str, Any],
    streamed: bool,
    said: Sequence[Said],
    *,
    turns: int = 1,
) -> Iterator[Case]:
    """A delivery with fixed parameters, applied to what the model may say; see `fixed_cases`."""
    if not row.fits(streamed):
        return
    compact = Step("compact")
    steps = (*row.after, Step(row.name, tuple(parameters.items())))
    is_framing = row.stage in ("events", "bytes") and row.kind == "legal"
    several = [what for what in said if what.kind == "calls"] or list(said[1:2])
    main = [*said[:1], *(what for what in several if what != said[0])]
    for what in said[:1] if is_framing else said if row.name in _FOR_ALL else main:
        if row.kind != "illegal":
            yield Case(what, steps)
        else:
            for turn in range(turns):
                yield Case(what, steps, turn)
        if is_framing and streamed and compact not in steps:
            yield Case(what, (compact, *steps))
