"""A request that no recording answers, and how to say so."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytest_chatapi.contract.exchange import Exchange, Request
from pytest_chatapi.contract.titles import title_of
from pytest_chatapi.contract.wording import mask, plural, show
from pytest_chatapi.recording.matching import differences

if TYPE_CHECKING:
    from pytest_chatapi.recording.recorder import Recorder

__all__ = ["Miss", "describe", "miss_of"]

_SHOWN = 8
_COMPARED = 200


@dataclass
class Miss:
    """What was asked, and what came nearest.

    Attributes:
        request: method, path, model; redacted.
        reason: why there is no answer, in one line.
        nearest: the recording that differs least, e.g. ``interaction 3 of FILE``, or ``""``.
        differences: (path, recorded, asked), all that differ.
        remedy: what to do, set by whoever knows.
        answered: it was answered all the same, with what came nearest.
        routes: of a mock, each with why it does not answer; ``None`` for a recorder.
    """

    request: str
    reason: str
    nearest: str = ""
    differences: list[tuple[str, Any, Any]] = field(default_factory=list)
    remedy: str = ""
    answered: bool = False
    routes: list[str] | None = None


def miss_of(
    recorder: Recorder,
    request: Request,
    index: int | None = None,
    *,
    answered: bool = False,
    cut: bool = False,
) -> Miss:
    """Compares with the recordings; dear, so only done where nothing else is left.

    Args:
        index: the recording to compare with, instead of the nearest.
        answered: it was answered all the same, by the looser rules of the cassette's owner.
        cut: the recording answered, up to where its client had stopped.
    """
    redactor, matcher, cassette = recorder.redactor, recorder.matcher, recorder.cassette
    plain = Request(
        request.method, redactor.url(request.url), request.headers, matcher.body(request)
    )
    title = mask(redactor.text(title_of(Exchange(plain))))
    if cassette is None:
        return Miss(title, "there is no cassette")
    if cut:
        where = f"interaction {index} of {cassette.name}"
        reason = f"{where} ends where its client stopped reading, and this one reads on"
        hint = "; where time decides when it stops, replay_speed=1 keeps the recorded pace"
        return Miss(title, reason + hint * (recorder.replay_speed == 0))
    entries = recorder.entries
    if not entries:
        state = "is empty" if cassette.exists else "does not exist"
        return Miss(title, f"the cassette {cassette.name} {state}")
    same = recorder.recordings_of(request) if index is None else []
    if same:
        times = plural(len(same), "time")
        return Miss(title, f"{cassette.name} has it {times}, all played by now")
    best: tuple[Any, ...] | None = None
    heads = [name for name in matcher.match_on if name != "body"]
    head = matcher.head_key(request, heads)
    # Comparing is dear, and a test hardly means a recording that is far from the end.
    near = [at for at, e in enumerate(entries) if matcher.head_key(e.request, heads) == head]
    chosen = (near or range(len(entries)))[-_COMPARED:] if index is None else [index]
    for at in chosen:
        other = entries[at].request
        # What is asked of another endpoint has nothing to compare.
        found = _heads(plain, other) or differences(matcher.body(other), plain.body)
        rank = (recorder.played(at), len(found), at)
        if best is None or rank < best[0]:
            best = (rank, at, found)
    assert best is not None
    _, at, found = best
    state = " (already played)" if recorder.played(at) and not answered else ""
    reason = (
        f"the rules of {cassette.name} do not compare bodies"
        if answered
        else f"{cassette.name} has no such request"
    )
    return Miss(title, reason, f"interaction {at}{state}", found, answered=answered)


def _heads(asked: Request, recorded: Request) -> list[tuple[str, Any, Any]]:
    found: list[tuple[str, Any, Any]] = []
    if asked.method != recorded.method:
        found.append(("method", recorded.method, asked.method))
    old, new = urlsplit(recorded.url), urlsplit(asked.url)
    if old.path != new.path:
        found.append(("path", old.path, new.path))
    if old.query != new.query:
        found.append(("query", old.query, new.query))
    return found


def describe(miss: Miss) -> str:
    """A miss as lines for a terminal of 80 columns."""
    is_mocked = miss.routes is not None
    head = "no reply for" if is_mocked else "no recording for"
    head = "another body in" if miss.answered else head
    lines = _row(head, miss.request)
    lines += _row("  because", miss.reason)
    if miss.nearest:
        lines += _row("  nearest", miss.nearest)
        for path, recorded, asked in miss.differences[:_SHOWN]:
            lines.append(f"    {mask(path)}")
            lines.append(f"      recorded {_near(recorded, asked)}")
            lines.append(f"      asked    {_near(asked, recorded)}")
        more = len(miss.differences) - _SHOWN
        if more > 0:
            lines.append(f"    ... and {plural(more, 'more difference')}")
    for route in miss.routes or ():
        lines += _row("", route)
    if miss.remedy:  # in one line, however long: it is there to be pasted
        lines.append(f"  {'reply' if is_mocked else 'record it':<9} {miss.remedy}")
    return "\n".join(lines)


def _near(value: Any, other: Any) -> str:
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
    return textwrap.wrap(
        text,
        80,
        initial_indent=f"{label:<11} ",
        subsequent_indent=" " * 12,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [label]
