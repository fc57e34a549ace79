"""Hypothesis strategies: completions, streams, exchanges and errors, legal by construction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from pytest_chatapi.contract.ask import Ask
from pytest_chatapi.contract.exchange import Exchange, Request, Response, fold_headers
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.errors import SettingError
from pytest_chatapi.faults.fault import CATALOGUE as FAULTS
from pytest_chatapi.fuzz.cases import OWN, Case, Said, draft_of, said_reply
from pytest_chatapi.fuzz.deliveries import CATALOGUE, Delivery, Places, Step, apply, delivered
from pytest_chatapi.fuzz.draft import STAGES, Draft
from pytest_chatapi.fuzz.replies import completion_for, endings, kinds

try:
    from hypothesis import strategies as st
except ImportError:
    raise SettingError(
        "chatapi_fuzz needs Hypothesis: pip install 'pytest-chatapi[fuzz]'"
    ) from None

__all__ = ["cases", "completions", "errors", "exchanges", "streams", "texts"]

_ODD = 'a \n"\\:{}[]é日🙂\u2028\x85\ufeff\x7f'


def texts() -> st.SearchStrategy[str]:
    """Texts of a model; simple ones first."""
    letters = st.one_of(st.sampled_from(_ODD), st.characters(exclude_categories=["Cs", "Cc"]))
    return st.one_of(
        st.text(letters, min_size=1, max_size=12),
        st.sampled_from(["data: x\n\ndata: [DONE]\n\n", "[DONE]", "  a  ", "null", '{"a": 1}']),
    )


def _said(fitting: Sequence[Said]) -> st.SearchStrategy[Said]:
    """One of these, with another text if it is not a reply of the test's own."""

    def varied(said: Said) -> st.SearchStrategy[Said]:
        if said.kind.startswith(OWN):
            return st.just(said)
        then = st.lists(st.sampled_from(["call", "calls", "text and calls"]), max_size=3)
        further = then.map(tuple) if said.then else st.just(())
        return st.builds(Said, st.just(said.kind), texts(), st.integers(0, 3), further)

    return st.sampled_from(fitting).flatmap(varied)


@st.composite
def _steps(
    draw: st.DrawFn,
    start: Callable[[], Draft],
    rows: Sequence[Delivery],
    last: Delivery | None = None,
) -> tuple[Step, ...]:
    """Deliveries that fit a response, in the order of their stages."""
    fitting = [row for row in rows if row.kind != "illegal"]
    chosen = draw(st.lists(st.sampled_from(fitting), max_size=5, unique_by=lambda row: row.name))
    wanted = {row.name for row in chosen}
    if draw(st.booleans()):
        wanted.discard("compact")
    elif any(row.name == "compact" for row in rows):
        wanted.add("compact")  # few chunks are easier to read
    if last is not None:
        wanted |= {last.name, *(step.name for step in last.after)}
    preset = {step.name: step.parameters for step in last.after} if last is not None else {}
    draft = start()
    steps = []
    for row in sorted(
        (row for row in CATALOGUE.values() if row.name in wanted),
        key=lambda row: STAGES.index(row.stage),
    ):
        draft.reach(row.stage)
        parameters = preset.get(row.name)
        if parameters is None:
            parameters = tuple((key, draw(_value(v, draft))) for key, v in row.domains.items())
        if row.change(draft, **dict(parameters)) is not False or row is last:
            steps.append(Step(row.name, parameters))
    return tuple(steps)


def _value(domain: Places | tuple[Any, ...], draft: Draft) -> st.SearchStrategy[Any]:
    if not isinstance(domain, Places):
        return st.sampled_from(domain)
    top = max(domain.first, draft.size(domain.of))
    place = st.integers(domain.first, top)
    if not domain.several:
        return place
    return st.lists(place, min_size=1, max_size=8, unique=True).map(sorted).map(tuple)


@st.composite
def cases(
    draw: st.DrawFn,
    ask: Ask,
    said: Sequence[Said],
    start: Callable[[Said], Draft],
    *,
    allowed: Sequence[str] = ("legal",),
    turns: int = 1,
    only: str | None = None,
    skip: Collection[str] = (),
) -> Case:
    """What a model says to a request, and how it is delivered.

    Args:
        said: what may be said, with other texts.
        start: makes the draft of it.
        allowed: kinds of deliveries.
        turns: how many requests the consumer sends.
        only: a delivery that has to be among them.
        skip: names of deliveries to leave out.
    """
    rows = [
        row
        for row in CATALOGUE.values()
        if row.kind in allowed and row.fits(ask.stream) and row.name not in skip
    ]
    what = draw(_said(said))
    last = CATALOGUE[only] if only else None
    illegal = [row for row in rows if row.kind == "illegal"]
    if last is None and illegal and draw(st.integers(0, 3)) == 3:
        last = draw(st.sampled_from(illegal))
    steps = draw(_steps(lambda: start(what), rows, last))
    turn = None
    if last is not None and last.kind == "illegal":
        turn = draw(st.integers(0, turns - 1))
    return Case(what, steps, turn)


# -- for everyone ----------------------------------------------------------------------------


_PLAIN: JSONObject = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Say something."}],
}


def _all_said(ask: Ask) -> list[Said]:
    return [Said(kind) for kind in [*kinds(ask), *endings(ask)]]


def completions(body: JSONObject | None = None) -> st.SearchStrategy[JSONObject]:
    """``chat.completion`` objects that respond to a request.

    Args:
        body: of the request; ``None``: a plain question.
    """
    body = body or _PLAIN
    ask = Ask(body)
    return _said(_all_said(ask)).map(
        lambda what: completion_for(said_reply(what, ask, None), body, 0)
    )


def exchanges(
    body: JSONObject | None = None, *, allowed: Sequence[str] = ("legal",)
) -> st.SearchStrategy[Exchange]:
    """Requests with their responses, streamed if the request is, in any delivery.

    Args:
        body: of the request; ``None``: a plain question.
        allowed: kinds of deliveries: ``legal``, ``tolerated``, ``debatable``, ``illegal``.
    """
    body = body or _PLAIN
    ask = Ask(body)
    request = Request("POST", "https://api.openai.com/v1/chat/completions", {}, body)

    def start(what: Said) -> Draft:
        return draft_of(said_reply(what, ask, None), ask)

    def exchange(case: Case) -> Exchange:
        draft = start(case.said)
        apply(draft, case.steps)
        sent = delivered(request, draft)
        response = Response(
            sent.status, fold_headers(sent.headers), pieces=tuple(sent.pieces), cut=sent.cut
        )
        return Exchange(request, response)

    return cases(ask, _all_said(ask), start, allowed=allowed).map(exchange)


def streams(
    body: JSONObject | None = None, *, allowed: Sequence[str] = ("legal",)
) -> st.SearchStrategy[tuple[bytes, ...]]:
    """The pieces of a streamed response, as they arrive."""
    streamed = {**(body or _PLAIN), "stream": True}
    return exchanges(streamed, allowed=allowed).map(
        lambda exchange: tuple(exchange.response.pieces or ()) if exchange.response else ()
    )


def errors() -> st.SearchStrategy[Exchange]:
    """Requests that the API refuses or fails to serve: the error statuses of `faults`."""
    request = Request("POST", "https://api.openai.com/v1/chat/completions", {}, _PLAIN)

    def exchange(name: str) -> Exchange:
        sent = FAULTS[name].function().apply(None, request)
        assert sent is not None
        headers = fold_headers(sent.headers)
        return Exchange(request, Response(sent.status, headers, pieces=tuple(sent.pieces)))

    made = [exchange(name) for name, row in FAULTS.items() if row.kind == "status"]
    # A gateway's web page is common, and not what the reference has.
    return st.sampled_from([e for e in made if e.response and "json" in str(e.response.headers)])
