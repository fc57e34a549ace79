"""A request that no recording matches: what came nearest, and the message that says so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from pytest_chatapi.contract.exchange import Exchange, Request
from pytest_chatapi.contract.titles import title_of
from pytest_chatapi.contract.wire import JSON
from pytest_chatapi.contract.wording import mask, plural, show, wrapped
from pytest_chatapi.recording.kinds import DEFAULT_MATCH_ON
from pytest_chatapi.recording.lookup import Lookup
from pytest_chatapi.recording.matching import Matcher, differences, split_url

__all__ = ["Miss", "describe", "differing_of", "miss_of", "overrun_of"]

_SHOWN = 8
_COMPARED = 200
"""Recordings that are compared with a request, the last of the cassette."""

Difference = tuple[str, JSON, JSON]
"""Path, recorded value, sent value."""


@dataclass
class Miss:
    """What was requested, and what came nearest.

    Attributes:
        request: method, path, model; redacted.
        reason: why there is no response, in one line.
        nearest: the recording that differs least, e.g. ``interaction 3 of FILE``, or ``""``.
        differences: (path, recorded, sent), all that differ.
        remedy: the command or setting that helps, filled in by `on_miss` of a recorder.
        answered: the nearest recording was replayed anyway.
        is_over_budget: it was not sent, as that would exceed a budget.
        sent_from: ``FILE:LINE`` of the user's code that sent it; empty if not known.
        routes: of a mock, each with why it does not match; ``None`` for a recorder.
    """

    request: str
    reason: str
    nearest: str = ""
    differences: list[Difference] = field(default_factory=list)
    remedy: str = ""
    answered: bool = False
    is_over_budget: bool = False
    routes: list[str] | None = None
    sent_from: str = ""


def miss_of(lookup: Lookup, request: Request) -> Miss:
    """Say why no recording matches a request, and which comes nearest.

    Comparing is expensive, so call this only when the request is lost.
    """
    cassette, matcher = lookup.cassette, lookup.matcher
    plain = _plain(matcher, request)
    title = _title(matcher, plain)
    if not lookup.entries:
        state = "is empty" if cassette.exists else "does not exist"
        return Miss(title, f"the cassette {cassette.name} {state}")
    if not lookup.playable:
        others = ", ".join(lookup.hidden[:3])
        return Miss(
            title,
            f"the cassette {cassette.name} only has recordings of {others}, whose file name is "
            "the same",
        )
    count = len(lookup.recordings_of(request))
    if count:
        state = "already played" if count == 1 else "all already played"
        recordings = plural(count, "recording")
        return Miss(title, f"{cassette.name} has {recordings} of this request, {state}")
    differing = {at: _compared(lookup, at, plain) for at in _candidates(lookup, request)}
    nearest = min(differing, key=lambda at: (lookup.is_played(at), len(differing[at]), at))
    state = " (already played)" if lookup.is_played(nearest) else ""
    return Miss(
        title,
        f"{cassette.name} has no such request",
        f"interaction {nearest}{state}",
        differing[nearest],
    )


def differing_of(lookup: Lookup, request: Request, index: int) -> Miss:
    """Say in what a request differs from the recording that is replayed for it anyway."""
    plain = _plain(lookup.matcher, request)
    return Miss(
        _title(lookup.matcher, plain),
        f"the match rules of {lookup.cassette.name} ignore the body",
        f"interaction {index}",
        _compared(lookup, index, plain),
        answered=True,
    )


def overrun_of(
    lookup: Lookup, request: Request, index: int, *, at_once: bool, reader: str = ""
) -> Miss:
    """Say that a client reads on where the recording ends, because its client had stopped there.

    Args:
        at_once: pieces are replayed without waiting.
        reader: the name of the thread that reads, if it is not the test's own.
    """
    reason = (
        f"interaction {index} of {lookup.cassette.name} ends where the recorded client stopped "
        "reading, but this client keeps reading"
    )
    if reader:
        reason += (
            f", in thread {reader}; if the test ended before that thread when it was recorded, "
            "wait for the thread in the test, then record it"
        )
    if at_once:
        reason += (
            "; if a timeout decides when it stops, set replay_speed=1 to keep the recorded pace"
        )
    return Miss(_title(lookup.matcher, _plain(lookup.matcher, request)), reason)


def _plain(matcher: Matcher, request: Request) -> Request:
    url, body = matcher.redactor.url(request.url), matcher.body(request)
    return Request(request.method, url, request.headers, body)


def _title(matcher: Matcher, request: Request) -> str:
    return mask(matcher.redactor.text(title_of(Exchange(request))))


def _candidates(lookup: Lookup, request: Request) -> Sequence[int]:
    """The recordings to compare with: those that differ in the body alone, if there are any."""
    matcher = lookup.matcher
    heads = [name for name in matcher.match_on if name != "body"]
    key = matcher.head_key(request, heads)
    playable = lookup.playable
    alike = [at for at in playable if matcher.head_key(lookup.entries[at].request, heads) == key]
    # Most likely the test means a recording near the end.
    return (alike or playable)[-_COMPARED:]


def _compared(lookup: Lookup, index: int, plain: Request) -> list[Difference]:
    recorded = lookup.entries[index].request
    # Bodies for different endpoints have nothing to compare.
    return _heads(plain, recorded) or differences(lookup.matcher.body(recorded), plain.body)


def _heads(sent: Request, recorded: Request) -> list[Difference]:
    old, new = split_url(recorded.url), split_url(sent.url)
    parts = [
        ("method", recorded.method, sent.method),
        ("path", old.path, new.path),
        ("query", old.query, new.query),
    ]
    return [part for part in parts if part[1] != part[2]]


def describe(miss: Miss) -> str:
    """The message of a miss, as lines for a terminal of 80 columns."""
    is_mocked = miss.routes is not None
    head = "no reply for" if is_mocked else "no recording for"
    head = "different body in" if miss.answered else "not sent" if miss.is_over_budget else head
    lines = _row(head, miss.request)
    if miss.sent_from:
        lines += _row("  sent from", miss.sent_from)
    lines += _row("  because", miss.reason)
    if miss.nearest:
        lines += _row("  nearest", miss.nearest)
        for path, recorded, sent in miss.differences[:_SHOWN]:
            lines.append(f"    {mask(path)}")
            lines.append(f"      recorded {_near(recorded, sent)}")
            lines.append(f"      sent     {_near(sent, recorded)}")
        more = len(miss.differences) - _SHOWN
        if more > 0:
            lines.append(f"    ... and {plural(more, 'more difference')}")
    for route in miss.routes or ():
        lines += _row("", route)
    if miss.answered:
        names = json.dumps(DEFAULT_MATCH_ON)
        lines += _row("  compare", f"match_on={names}, or record it again")
    if miss.remedy:  # in one line, however long: it is there to be pasted
        label = "to go on" if miss.is_over_budget else "reply" if is_mocked else "record it"
        lines.append(f"  {label:<9} {miss.remedy}")
    return "\n".join(lines)


def _near(value: JSON, other: JSON) -> str:
    """A value, cut to the place where a long text begins to differ from another."""
    if isinstance(value, str) and isinstance(other, str) and len(value) > 56:
        at = next(
            (i for i, (a, b) in enumerate(zip(value, other, strict=False)) if a != b),
            min(len(value), len(other)),
        )
        if at > 30:
            return show("..." + value[at - 20 :], 60)
    return show(value, 60)


def _row(label: str, text: str) -> list[str]:
    return wrapped(text, " " * 12, first=f"{label:<11} ") or [label]
