"""A comparison of two reports as text of 80 columns, and as Markdown for a comment."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, groupby
from typing import Any

from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import mask, plural, wrapped
from pytest_chatapi.figures.compare import SCOPES, place

__all__ = ["markdown_of", "text_of"]

_NAME = 27
_SHOWN = 20
"""Tests that are listed in each list; JSON has all of them."""

_LONGEST_COMMENT = 60_000
"""Characters of Markdown. GitHub takes 65,536 of a comment, GitLab more."""

_MARKER = "<!-- chatapi compare -->"
"""By which a script finds the comment to update."""

_DETAILS = {
    "unreported",
    "unpriced",
    "spent_usd",
    "saved_usd",
    "speeds_disagree",
    "tokens_per_chunk",
    "answers",
    "tool_calls",
    "valid_tool_calls",
    "json",
    "valid_json",
    "cut",
    "refused",
    "findings_per_1000",
}
"""Figures that others say as well: shown if a limit names them; JSON has all of them."""

_MAIN = {
    "total_tokens",
    "usd",
    "ttft_seconds",
    "tokens_per_second",
    "valid_tool_calls_per_1000",
    "valid_json_per_1000",
    "findings",
}
"""Figures that are not folded in a comment, beside scores and what is not within its limit."""


# -- what is shown -------------------------------------------------------------------------------


def _shown(comparison: JSONObject) -> list[list[JSONObject]]:
    """The changes worth showing, by what they are of: run, models, then tests, first those that do
    not keep to a limit, then those whose tokens changed most.
    """
    groups = []
    for _, changes in groupby(comparison["changes"], key=lambda c: (c["scope"], c["name"])):
        every = [*changes]
        first = next((one for one in every if one["figure"] == "ttft_seconds"), None)
        groups.append([one for one in every if one["problem"] or _says_something(one, first)])
    if comparison["models"]["compared"] == 1 and not _has_others(comparison["models"]):
        # Of one model, the sums are those of the run.
        groups = [own for own in groups if own and (own[0]["scope"] != "run" or _fails(own))]
    return sorted((own for own in groups if own), key=_rank)


def _rank(own: Sequence[JSONObject]) -> tuple[int, bool, float]:
    tokens = (one["change"] or 0 for one in own if one["figure"] == "total_tokens")
    weight = abs(next(tokens, 0)) if own[0]["scope"] == "test" else 0
    return (SCOPES.index(own[0]["scope"]), not _fails(own), -weight)


def _says_something(one: JSONObject, first_token: JSONObject | None) -> bool:
    if one["figure"] == "first_answer_seconds" and first_token is not None:
        return any(one[side] != first_token[side] for side in ("base", "head"))
    # Times of single tests differ with each run.
    is_noise = one["scope"] == "test" and one["figure"].endswith("_seconds")
    # Cassettes round times, so those of a replay differ from live ones by less than is shown.
    is_noise = is_noise or (
        one["gaps"]["base"] == one["gaps"]["head"] and _side(one, "base") == _side(one, "head")
    )
    return not is_noise and one["figure"] not in _DETAILS


def _has_others(rows: JSONObject) -> bool:
    return bool(rows["new"] or rows["removed"])


def _fails(own: Iterable[JSONObject]) -> bool:
    return any(one["problem"] for one in own)


def _number(figure: str, value: float | None) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, int):
        return f"{value:,}"
    if "usd" in figure:
        places = 4 if not value else min(max(4, 2 - math.floor(math.log10(abs(value)))), 8)
        return f"{value:,.{places}f}"
    if figure.endswith("seconds") or figure.startswith("scores."):
        return f"{value:.3f}"
    return f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def _side(one: JSONObject, side: str) -> str:
    number = _number(one["figure"], one[side])
    return f"{number}+" if one["gaps"][side] and one[side] is not None else number


def _change(one: JSONObject) -> str:
    if one["percent"] is not None:
        text = f"{one['percent']:+,.1f}%"
        return text if abs(one["percent"]) >= 0.05 else f"{one['percent']:+.2g}%"
    if one["change"] is not None:
        return f"{'+' if one['change'] > 0 else ''}{_number(one['figure'], one['change'])}"
    return ""


def _spread(one: JSONObject) -> str:
    """Of how many exchanges a figure is, and where most of them are; ``""`` for a sum."""
    base, head = one["spread"]["base"], one["spread"]["head"]
    if not (base or head):
        return ""
    text = _pair(base, head, lambda spread: f"n {spread.get('n')}")
    for low, high, name in (("p5", "p95", "p5-p95"), ("low", "high", "interval")):
        if low in (base or head):
            ends = _pair(base, head, partial(_range, one["figure"], low, high))
            text += f", {name} {ends}"
    return text + (": within the spread of base" if one["within_spread"] else "")


def _gaps(own: Iterable[JSONObject]) -> list[str]:
    """Why figures of a test or model are not known, or only in part: each reason once."""
    gaps = (
        f"in {side}, {one['gaps'][side]}"
        for one in own
        for side in ("base", "head")
        if one["gaps"][side]
    )
    return [*dict.fromkeys(gaps)]


def _pair(base: JSONObject | None, head: JSONObject | None, text: Any) -> str:
    before, after = (text(spread) if spread else "unknown" for spread in (base, head))
    return before if before == after else f"{before} -> {after}"


def _range(figure: str, low: str, high: str, spread: JSONObject) -> str:
    return "-".join(_number(figure, spread.get(end)) for end in (low, high))


def _verdict(comparison: JSONObject) -> str:
    if comparison["problems"]:
        return f"not within the limits: {plural(len(comparison['problems']), 'problem')}"
    return "within the limits" if comparison["limits"] else "no limits given"


def _problem(problem: JSONObject) -> str:
    """A problem in one line."""
    text, one = problem["problem"], problem["change"]
    if one is None:
        return str(text)
    figures = ""
    if text.startswith("over"):
        change = f" ({_change(one)})" if one["percent"] is not None else ""
        figures = f"{_side(one, 'base')} -> {_side(one, 'head')}{change}, "
    return f"{place(one)}: {mask(one['figure'])} {figures}{text}"


def _held(one: JSONObject) -> str:
    """How many figures a limit was compared with."""
    parts = [f"{one['compared']:,} compared"]
    for kind, words in (("over", "over"), ("unknown", "not known"), ("absent", "in neither")):
        parts += [f"{one[kind]:,} {words}"] if one[kind] else []
    return f"{one['limit']}: {', '.join(parts)}"


def _about(side: JSONObject) -> str:
    run = side["run"]
    sources = ", ".join(f"{count:,} {name}" for name, count in run["sources"].items())
    about = plural(run["exchanges"], "exchange") + (f" ({sources})" if sources else "")
    return f"{about}, {mask(run['started'])}" if run["started"] else about


def _others(comparison: JSONObject) -> Iterator[tuple[str, list[str]]]:
    """What is in one report alone, and the tests that came to something else."""
    for kind in ("models", "tests"):
        for word in ("new", "removed"):
            names = [_brief(one) for one in comparison[kind][word]]
            if names:
                yield f"{word} {kind}", names
    outcomes = comparison["outcomes"]
    if outcomes:
        yield (
            "tests with another outcome",
            [mask(f"{o['test']}: {o['base']} -> {o['head']}") for o in outcomes],
        )


def _brief(one: JSONObject) -> str:
    tokens = one["total_tokens"]
    return place({"scope": "test", **one}) + (
        f" ({tokens:,} tokens)" if isinstance(tokens, int) else ""
    )


def _unchanged(comparison: JSONObject, shown: Sequence[Sequence[JSONObject]]) -> list[str]:
    """How many of those that were compared are not shown, and why."""
    same, other = [], []
    for scope in ("model", "test"):
        rows = comparison[f"{scope}s"]
        left = rows["compared"] - rows["unchanged"] - sum(o[0]["scope"] == scope for o in shown)
        same += [plural(rows["unchanged"], scope)] if rows["unchanged"] else []
        other += [plural(left, scope)] if left else []
    lines = [f"unchanged: {', '.join(same)}"] if same else []
    return lines + ([f"only times or details: {', '.join(other)}"] if other else [])


# -- text ----------------------------------------------------------------------------------------


def text_of(comparison: JSONObject) -> str:
    """A table of what changed, then what is in one report alone, then the limits."""
    base, head = comparison["base"], comparison["head"]
    lines = [
        f"base  {mask(base['name'])}: {_about(base)}",
        f"head  {mask(head['name'])}: {_about(head)}",
        "",
    ]
    shown = _shown(comparison)
    if shown:
        lines.append(f"{'':<{_NAME + 2}}{'base':>12}{'head':>12}{'change':>10}")
    tests = 0
    for own in shown:
        tests += own[0]["scope"] == "test"
        if tests <= _SHOWN:
            lines.append(place(own[0]))
            for one in own:
                lines += _text_rows(one)
            for gap in _gaps(own):
                lines += _indented(gap)
    if tests > _SHOWN:
        lines.append(f"... and {plural(tests - _SHOWN, 'more test')}: --format json")
    lines += [""] if shown else []
    lines += _unchanged(comparison, shown)
    for title, names in _others(comparison):
        lines.append(f"{title}: {len(names):,}")
        lines += [f"  {name}" for name in names[:_SHOWN]]
        if names[_SHOWN:]:
            lines.append(f"  ... and {len(names) - _SHOWN:,} more: --format json")
    lines += [_held(one) for one in comparison["limits"]]
    lines += [
        line
        for problem in comparison["problems"][:_SHOWN]
        for line in wrapped(f"FAIL {_problem(problem)}", "  ")
    ]
    if comparison["problems"][_SHOWN:]:
        lines.append(f"... and {plural(len(comparison['problems']) - _SHOWN, 'more problem')}")
    lines.append(_verdict(comparison) + _hint(comparison))
    return "\n".join(lines) + "\n"


def _hint(comparison: JSONObject) -> str:
    if not comparison["limits"]:
        return ": --max-change FIGURE=LIMIT makes this a gate"
    problems = [one for one in comparison["problems"] if one["problem"].startswith("not known")]
    changes = [one["change"] for one in problems]
    if any(one["gaps"]["base"] == one["gaps"]["head"] != "" for one in changes):
        return "\nallow what neither report knows: --allow-unknown"
    return ""


def _text_rows(one: JSONObject) -> Iterator[str]:
    name, problem = mask(one["figure"]), one["problem"]
    if len(name) > _NAME:
        yield f"  {name}"
        name = ""
    numbers = f"{_side(one, 'base'):>12}{_side(one, 'head'):>12}{_change(one):>10}"
    word = "not known" if problem.startswith("not known") else problem
    yield f"  {name:<{_NAME}}{numbers}  {word}".rstrip()
    if spread := _spread(one):
        yield from _indented(spread)


def _indented(text: str) -> list[str]:
    return wrapped(text, " " * 6, first=" " * 4)


# -- Markdown ------------------------------------------------------------------------------------


def markdown_of(comparison: JSONObject) -> str:
    """A comment: the verdict, the main figures of the run and its models, and folded the rest."""
    shown, problems = _shown(comparison), comparison["problems"]
    main = [
        one
        for own in shown
        for one in own
        if own[0]["scope"] != "test"
        and (one["problem"] or one["figure"] in _MAIN or one["figure"].startswith("scores."))
    ]
    lines = [_MARKER, f"### Chat completions: {_verdict(comparison)}", ""]
    lines += [f"- {_code(_problem(problem))}" for problem in problems[:_SHOWN]]
    lines += [f"- and {len(problems) - _SHOWN:,} more"] if problems[_SHOWN:] else []
    lines += [""] if problems else []
    lines += [*_TABLE, *_table_rows(main), ""] if main else ["Run and models are unchanged.", ""]
    lines += _details(comparison, shown)
    base, head = comparison["base"], comparison["head"]
    lines += [_code(_held(one)) + "  " for one in comparison["limits"]]
    lines += [f"{line}  " for line in _unchanged(comparison, shown)]
    lines.append(f"base: {_code(base['name'])}, {_code(_about(base))}  ")
    lines.append(f"head: {_code(head['name'])}, {_code(_about(head))}")
    return _limited(lines)


def _details(comparison: JSONObject, shown: Sequence[Sequence[JSONObject]]) -> Iterator[str]:
    """All figures, and what is in one report alone, folded."""
    others = [*_others(comparison)]
    if not shown and not others:
        return
    changed = sum(own[0]["scope"] == "test" for own in shown)
    tests = comparison["tests"]
    counts = (
        (changed, "changed"),
        (len(tests["new"]), "new"),
        (len(tests["removed"]), "removed"),
        (len(comparison["outcomes"]), "with another outcome"),
    )
    words = ", ".join(f"{count:,} {word}" for count, word in counts if count)
    yield f"<details><summary>All figures; tests: {words or 'unchanged'}</summary>"
    yield ""
    first_tests = len(shown) - changed + _SHOWN
    if shown:
        yield from _TABLE
        yield from (row for own in shown[:first_tests] for row in _table_rows(own))
        yield ""
    if shown[first_tests:]:
        yield from (f"and {plural(len(shown) - first_tests, 'more test')}", "")
    for title, names in others:
        yield from (f"{title}:", "", *(f"- {_code(name)}" for name in names[:_SHOWN]))
        if names[_SHOWN:]:
            yield f"- and {len(names) - _SHOWN:,} more"
        yield ""
    yield from ("</details>", "")


_TABLE = ("| | | base | head | change | |", "|---|---|--:|--:|--:|---|")


def _table_rows(changes: Sequence[JSONObject]) -> Iterator[str]:
    before = None
    for one in changes:
        where = one["scope"], one["name"]
        name = "" if where == before else _code(place(one))
        before = where
        figure = _code(one["figure"]) if one["figure"].startswith("scores.") else one["figure"]
        notes = [f"**{one['problem']}**"] if one["problem"] else []
        notes += [spread] if (spread := _spread(one)) else []
        notes += [gap for gap in _gaps([one]) if not one["problem"]]
        cells = (name, figure, _side(one, "base"), _side(one, "head"), _change(one))
        yield f"| {' | '.join(cells)} | {'; '.join(notes)} |"


def _code(text: str) -> str:
    """Text of others as code, also inside a table: no markup, no mention, no link."""
    text = mask(text)
    ticks = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") or not text else ""
    return f"{ticks}{pad}{text}{pad}{ticks}".replace("|", "\\|")


def _limited(lines: Sequence[str]) -> str:
    """The lines within the length of a comment: what is folded is left out first."""
    if _length(lines) > _LONGEST_COMMENT:
        start = next((n for n, line in enumerate(lines) if line.startswith("<details>")), 0)
        end = lines.index("</details>") + 1 if start else 0
        lines = [*lines[:start], *lines[end:], "", "The details are too long for a comment."]
    if _length(lines) > _LONGEST_COMMENT:
        last = "The rest is too long for a comment."
        ends = accumulate(len(line) + 1 for line in lines)
        fit = sum(end < _LONGEST_COMMENT - len(last) - 2 for end in ends)
        lines = [*lines[:fit], "", last]
    return "\n".join(lines) + "\n"


def _length(lines: Iterable[str]) -> int:
    return sum(len(line) + 1 for line in lines)
