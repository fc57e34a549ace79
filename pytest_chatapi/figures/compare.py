"""What changed between two reports of figures, and whether it is within given limits.

Unknown is not 0: a figure that became unknown is said, and fails a limit that names it. A sum over
exchanges of which some did not report is only a lower bound, and so not known either.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.contract.wording import did_you_mean, mask, plural, show
from pytest_chatapi.errors import SettingError
from pytest_chatapi.figures.report import EXCLUDED, OTHER_ENDING, findings_by_test

__all__ = ["FIGURES", "SCOPES", "Limit", "compare", "exceeded", "limit_of", "place"]

VERSION = 1
"""Of the comparison as JSON."""

Scope = Literal["run", "model", "test"]
SCOPES: tuple[Scope, ...] = ("run", "model", "test")

FIGURES: dict[str, int] = {
    "exchanges": 1,
    "prompt_tokens": 1,
    "completion_tokens": 1,
    "total_tokens": 1,
    "cached_tokens": -1,
    "cache_write_tokens": 1,
    "reasoning_tokens": 1,
    "audio_in_tokens": 1,
    "audio_out_tokens": 1,
    "unreported": 1,
    "usd": 1,
    "unpriced": 1,
    "spent_usd": 1,
    "saved_usd": -1,
    "usd_per_million_tokens": 1,
    "seconds": 1,
    "ttft_seconds": 1,
    "first_answer_seconds": 1,
    "tokens_per_second": -1,
    "server_tokens_per_second": -1,
    "speeds_disagree": 1,
    "tokens_per_chunk": 0,
    "answers": 0,
    "tool_calls": 0,
    "valid_tool_calls": -1,
    "valid_tool_calls_per_1000": -1,
    "json": 0,
    "valid_json": -1,
    "valid_json_per_1000": -1,
    "cut": 1,
    "cut_per_1000": 1,
    "refused": 1,
    "refused_per_1000": 1,
    "findings": 1,
    "findings_per_1000": 1,
}
"""Which way a figure gets worse: 1 where more is worse, -1 where less is, 0 where each change is.

Scores, as ``scores.NAME``, get worse downwards.
"""

_ORDER = {name: at for at, name in enumerate(FIGURES)}

_SCORES = "scores."

_ALWAYS = {"prompt_tokens", "completion_tokens", "total_tokens", "usd"}
"""Figures that each chat completion has: where they are not known, that is a gap. A response that
was not streamed has no first token, and a test without tools no valid calls.
"""

_SHARES = {
    "valid_tool_calls_per_1000": "tool_calls",
    "valid_json_per_1000": "json",
    "cut_per_1000": "answers",
    "refused_per_1000": "answers",
    "findings_per_1000": "exchanges",
}
"""Shares, and of how many they are."""

_LONGEST_NAME = 200
"""Characters of a node id that are shown: it may have a whole prompt in it."""

_LARGEST = 1e15
"""Of what a report can have counted, in whatever unit."""

_SMALLEST = 1e-9
"""Differences that are due to the arithmetic of floats."""


# -- limits --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limit:
    """How much worse a figure may get.

    Attributes:
        text: as it was given.
        scope: the run, each model or each test; ``None`` for all of them.
        figure: a name of `FIGURES`, or ``scores.NAME``.
        most: how much; of the base, if it is a percentage.
    """

    text: str
    scope: Scope | None
    figure: str
    most: float
    is_percentage: bool

    def allows(self, base: float, head: float) -> bool:
        """Whether a change is within the limit; an improvement always is."""
        worse = head - base
        direction = _direction(self.figure)
        worse = worse * direction if direction else abs(worse)
        most = abs(base) * self.most / 100 if self.is_percentage else self.most
        return worse <= most + _SMALLEST * max(abs(base), abs(head))


_LIMIT = re.compile(r"(?:(\w+):)?([^=:]+)=\+?(\d+(?:\.\d*)?|\.\d+)(%?)")


def limit_of(text: str) -> Limit:
    """A limit from ``total_tokens=5%``, ``findings=0`` or ``model:usd=0.01``.

    Raises:
        SettingError: it is not one; in one line, why.
    """
    shown = show(text)
    match = _LIMIT.fullmatch(text.strip())
    if match is None:
        raise SettingError(
            f"--max-change {shown}: use FIGURE=LIMIT, such as total_tokens=5% or findings=0"
        )
    scope, figure, most, percent = match.groups()
    if scope is not None and scope not in SCOPES:
        near = did_you_mean(scope, SCOPES) or f": use {', '.join(SCOPES)}"
        raise SettingError(f"--max-change {shown}: no scope {show(scope)}{near}")
    figure = figure.strip()
    if figure not in FIGURES and not (figure.startswith(_SCORES) and figure != _SCORES):
        near = did_you_mean(figure, FIGURES) or ": docs/compare.md lists them"
        raise SettingError(f"--max-change {shown}: no figure {show(figure)}{near}")
    return Limit(text.strip(), scope, figure, float(most), bool(percent))


def _direction(figure: str) -> int:
    return -1 if figure.startswith(_SCORES) else FIGURES[figure]


# -- figures of a row ----------------------------------------------------------------------------


class _Value(NamedTuple):
    """A figure of the run, a model or a test.

    Attributes:
        number: ``None`` where nothing is known.
        spread: of several exchanges, as the report has it.
        gap: why the number is not all there is, or ``""``.
    """

    number: float | None = None
    spread: JSONObject | None = None
    gap: str = ""

    @property
    def is_known(self) -> bool:
        return self.number is not None and not self.gap


def _values(row: JSONObject) -> dict[str, _Value]:
    """The figures of a row of a report, by name."""
    members = dict(_members(row))
    values = {}
    for name, member in members.items():
        if name in FIGURES or name.startswith(_SCORES):
            number, spread = _number(member)
            if name in _SHARES and number is not None:
                spread = {"n": _number(members.get(_SHARES[name]))[0]}
            values[name] = _Value(number, spread, _gap(row, name))
    return values


def _members(row: JSONObject) -> Iterator[tuple[str, JSON]]:
    yield from row.items()
    yield from _object(row.get("form")).items()
    for name, score in _object(row.get("scores")).items():
        yield f"{_SCORES}{name}", score


def _number(member: JSON) -> tuple[float | None, JSONObject | None]:
    """A number, or the one that stands for a spread: its median, or the mean of scores."""
    if isinstance(member, dict):
        parts = {name: _number(member[name])[0] for name in _SPREAD if name in member}
        return parts.get("median", parts.get("mean")), parts
    is_number = isinstance(member, int | float) and not isinstance(member, bool)
    return (member if is_number and abs(member) < _LARGEST else None), None


_SPREAD = ("n", "median", "p5", "p95", "mean", "low", "high")


def _gap(row: JSONObject, figure: str) -> str:
    """Why a sum is not complete: not all of the responses reported."""
    unreported, unpriced = row["unreported"], row["unpriced"]
    is_cost = figure in ("usd", "spent_usd", "saved_usd")
    if is_cost and unpriced:
        return f"{plural(unreported + unpriced, 'response')} at an unknown price"
    if unreported and (is_cost or figure in ("prompt_tokens", "completion_tokens", "total_tokens")):
        return f"{plural(unreported, 'response')} reported no usage"
    return ""


def _rows(report: JSONObject, scope: Scope) -> dict[str, JSONObject]:
    """The rows of a report by name: one for the run, one for each model or test."""
    if scope == "model":
        return {row["name"]: row for row in report["models"]}
    findings = findings_by_test(report)
    if scope == "run":
        return {"": {**report["run"], "findings": findings.total()}}
    return {row["test"]: {**row, "findings": findings[row["test"]]} for row in report["tests"]}


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}


# -- comparing -----------------------------------------------------------------------------------


def compare(
    base: tuple[str, JSONObject],
    head: tuple[str, JSONObject],
    limits: Sequence[Limit] = (),
    *,
    allow_unknown: bool = False,
) -> JSONObject:
    """What changed from one report to another, as JSON.

    Args:
        base, head: name and report, as `read_report` returns it.
        allow_unknown: compare what is known where as many responses are not known in both reports.

    Returns:
        ``changes`` has each figure that differs, or that does not keep to its limit; ``limits`` how
        many figures each limit was compared with, how many were ``over`` it, ``unknown``, which
        fails as well, or ``absent`` from both reports; ``problems`` what fails.
    """
    changes: list[JSONObject] = []
    counts = {limit: {"compared": 0, "over": 0, "unknown": 0, "absent": 0} for limit in limits}
    rows: JSONObject = {}
    for scope in SCOPES:
        before, after = _rows(base[1], scope), _rows(head[1], scope)
        pairs = {name: name for name in before if name in after}
        new, removed = sorted(after.keys() - before), sorted(before.keys() - after)
        if scope == "model" and len(new) == len(removed) == 1:
            pairs[removed.pop()] = new.pop()  # took its place
        unchanged = 0
        own = [limit for limit in counts if limit.scope in (None, scope)]
        for old, name in pairs.items():
            differing = [*_changes(before[old], after[name], own, counts, allow_unknown)]
            unchanged += not differing
            title = name if old == name else f"{old} -> {name}"
            changes += [{"scope": scope, "name": title, **one} for one in differing]
        rows[f"{scope}s"] = {
            "compared": len(pairs),
            "unchanged": unchanged,
            "new": [_brief(name, after[name]) for name in new],
            "removed": [_brief(name, before[name]) for name in removed],
        }
    return {
        "version": VERSION,
        "base": {"name": base[0], "run": base[1]["run"]},
        "head": {"name": head[0], "run": head[1]["run"]},
        **rows,
        "outcomes": _outcomes(base[1], head[1]),
        "changes": changes,
        "limits": [{"limit": limit.text, **count} for limit, count in counts.items()],
        "problems": [
            {"problem": problem, "change": change}
            for problem, change in _problems((base, head), changes, counts)
        ],
    }


def _brief(name: str, row: JSONObject) -> JSONObject:
    return {"name": name, "total_tokens": row.get("total_tokens"), "usd": row.get("usd")}


def exceeded(comparison: JSONObject) -> bool:
    """Whether a limit is exceeded, or could not be held."""
    return bool(comparison["problems"])


def _changes(
    before: JSONObject,
    after: JSONObject,
    limits: Sequence[Limit],
    counts: Mapping[Limit, dict[str, int]],
    allow_unknown: bool,
) -> Iterator[JSONObject]:
    """The figures of a row that changed, or that do not keep to their limits."""
    base_values, head_values = _values(before), _values(after)
    for name in sorted(base_values.keys() | head_values.keys(), key=_order):
        base, head = base_values.get(name, _Value()), head_values.get(name, _Value())
        problems = {
            limit: _problem(limit, base, head, counts[limit], allow_unknown)
            for limit in limits
            if limit.figure == name
        }
        broken = next((limit for limit, problem in problems.items() if problem), None)
        if broken is None and _is_same(base, head):
            continue
        change, percent = _difference(base, head)
        yield {
            "figure": name,
            "base": base.number,
            "head": head.number,
            "change": change,
            "percent": percent,
            "gaps": {"base": base.gap, "head": head.gap},
            "spread": {"base": base.spread, "head": head.spread},
            "within_spread": _is_within(head.number, base.spread),
            "limit": broken.text if broken else None,
            "problem": problems[broken] if broken else "",
        }


def _is_same(base: _Value, head: _Value) -> bool:
    if base.number is None or head.number is None:
        return base.number is head.number and base.gap == head.gap
    return base.gap == head.gap and math.isclose(base.number, head.number, rel_tol=_SMALLEST)


def _order(figure: str) -> tuple[int, str]:
    return (_ORDER.get(figure, len(_ORDER)), figure)


def _problem(
    limit: Limit, base: _Value, head: _Value, count: dict[str, int], allow_unknown: bool
) -> str:
    """What is wrong with a figure under a limit, or ``""``."""
    # Without a gap in either, nothing was answered that could be counted.
    same_gap = base.gap == head.gap and (allow_unknown or not base.gap)
    if base.number is not None and head.number is not None and (same_gap or not _gaps(base, head)):
        count["compared"] += 1
        if limit.allows(base.number, head.number):
            return ""
        count["over"] += 1
        return f"over {limit.most:g}{'%' * limit.is_percentage}"
    if base.number is head.number and (same_gap or limit.figure not in _ALWAYS):
        count["absent"] += 1
        return ""
    count["unknown"] += 1
    unknown = [side for side, value in (("base", base), ("head", head)) if not value.is_known]
    gap = next(iter(_gaps(base, head)), "")
    return f"not known in {' and '.join(unknown)}" + (f": {gap}" if gap else "")


def _gaps(*values: _Value) -> list[str]:
    return [value.gap for value in values if value.gap]


def _difference(base: _Value, head: _Value) -> tuple[float | None, float | None]:
    """The change, and in percent of the base; ``None`` where either is not known in full."""
    if base.number is None or head.number is None or _gaps(base, head):
        return None, None
    change = head.number - base.number
    return change, change / abs(base.number) * 100 if base.number else None


def _is_within(number: float | None, spread: JSONObject | None) -> bool | None:
    """Whether a figure lies where most of the others did; ``None`` where that is not known."""
    if number is None or spread is None or (spread.get("n") or 0) < 2:
        return None
    low, high = (_number(spread.get(name, spread.get(other)))[0] for name, other in _ENDS)
    return None if low is None or high is None else low <= number <= high


_ENDS = ("p5", "low"), ("p95", "high")


def _outcomes(base: JSONObject, head: JSONObject) -> list[JSONObject]:
    """The tests that came to something else."""
    before = {row["test"]: row.get("outcome") for row in base["tests"]}
    return [
        {"test": row["test"], "base": old, "head": new}
        for row in head["tests"]
        if isinstance(old := before.get(row["test"]), str)
        and isinstance(new := row.get("outcome"), str)
        and old != new
    ]


def _problems(
    reports: Iterable[tuple[str, JSONObject]],
    changes: Iterable[JSONObject],
    counts: Mapping[Limit, Mapping[str, int]],
) -> Iterator[tuple[str, JSONObject | None]]:
    for one in changes:
        if one["problem"]:
            yield one["problem"], one
    for limit, count in counts.items():
        if not count["compared"] and not count["unknown"]:
            yield f"nothing to compare for {limit.text}: no figure in both reports", None
    for name, report in reports if counts else ():
        whys = [one["why"] for one in report["run"].get("unread", ())]
        if unread := sum(why not in (OTHER_ENDING, EXCLUDED) for why in whys):
            files = plural(unread, "file")
            yield f"{mask(name)} is not complete: {files} could not be read for it", None


def place(change: JSONObject) -> str:
    """Of what a change is: ``run``, ``model gpt-4o``, ``tests/test_a.py::test_b``."""
    name = mask(change["name"])
    name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."
    return {"run": "run", "model": f"model {name}"}.get(change["scope"], name)
