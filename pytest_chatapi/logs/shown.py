"""The rates of a log as text, JSON and Parquet. Pure functions but for the last."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pytest_chatapi.contract.catalogue import FAMILIES
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import plural, wrapped
from pytest_chatapi.errors import ReadError, SettingError
from pytest_chatapi.logs.changes import Change
from pytest_chatapi.logs.limits import ALL, Verdict
from pytest_chatapi.logs.rates import Example, Found, Group, Rate, Rates, name_of
from pytest_chatapi.logs.rows import UNREAD
from pytest_chatapi.report import Paint, Report, filled, plain, remarks

__all__ = [
    "NOTHING",
    "VERDICTS",
    "Outcome",
    "as_json",
    "as_text",
    "moment",
    "percent",
    "remarks_of",
    "where",
    "write_parquet",
]

_MOST_MODELS = 5
_MOST_NOTES = 6
_MOST_CHANGES = _MOST_LIMITS = 20
VERDICTS = ("above", "not exercised", "undecided", "within")
"""What verdicts say, the worst first."""

NOTHING = "nothing was checked"
"""The error of a path, and of a run, where nothing was."""


@dataclass
class Outcome:
    """The result of a run.

    Attributes:
        unread: files that are not logs, by the reason (see `Report.unread`).
        errors: what could not be read.
        resumed: number of the files whose rates an earlier run had kept.
    """

    rates: Rates
    verdicts: list[Verdict] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    errors: list[ReadError] = field(default_factory=list)
    resumed: int = 0

    @property
    def failing(self) -> list[Verdict]:
        """The findings that are too frequent."""
        return [verdict for verdict in self.verdicts if verdict.says == "above"]


def percent(value: float) -> str:
    """A rate with two significant digits: ``0.12%``; never 0% or 100% where it is not."""
    if value in (0.0, 1.0):
        return f"{value * 100:.0f}%"
    for digits in (0, 1, 2, 3, 4, 5, 6):
        text = f"{value * 100:.{digits}f}"
        if float(text) >= 10 ** (1 - digits) and float(text) < 100:
            return f"{text}%"
    return f"{value * 100:.2g}%" if value < 0.5 else f"{value * 100:.6g}%"


# -- text ----------------------------------------------------------------------------------------


def as_text(outcome: Outcome, paint: Paint = plain, *, notes: bool = False) -> str:
    """The report for a terminal of 80 columns.

    Args:
        notes: show notes in full, instead of only counting them.
    """
    rates = outcome.rates
    blocks = [
        "\n".join(_finding(rates, code, paint))
        for code in rates.codes()
        if notes or rates.level(code) != "note"
    ]
    for lines in (_changes(outcome.changes), _limits(outcome, paint)):
        if block := "\n".join(lines):
            blocks.append(block)
    blocks.append(
        "\n".join([*_remarks(outcome, notes), _summary(outcome, paint), *_next_step(outcome)])
    )
    return "\n\n".join(blocks) + "\n"


def _finding(rates: Rates, code: str, paint: Paint) -> Iterator[str]:
    level, found = rates.level(code), rates.all_found(code)
    head = f"{level} {code} {name_of(code)}: {_rate(rates.total(code))}"
    yield head.replace(f"{level} {code}", f"{paint(level, level)} {paint('bold', code)}", 1)
    if found.first is not None and found.last is not None:
        first, last = moment(found.first), moment(found.last)
        yield f"  seen     {first} UTC" if first == last else f"  seen     {first} to {last} UTC"
    most = rates.models_with(code)
    if any(any(group) for group, _ in most):
        for at, (group, rate) in enumerate(most[:_MOST_MODELS]):
            yield from _row("by" if at == 0 else "", f"{where(group)}: {_rate(rate)}")
        if len(most) > _MOST_MODELS:
            yield from _row("", f"and {len(most) - _MOST_MODELS:,} more (--format json has all)")
    yield from _examples(found.examples)


def _examples(examples: Sequence[Example]) -> Iterator[str]:
    """The examples; those that say the same, in one."""
    same: dict[str, list[str]] = {}
    for one in examples:
        what = f"{one.path}: {one.message}" if one.path else one.message
        same.setdefault(what, []).append(" ".join(filter(None, (one.place, one.id))))
    for what, places in same.items():
        yield from _row("example", what)
        for place in filter(None, places):
            yield f"{'':<11}{place}"  # however long, to be found and copied


def _rate(rate: Rate) -> str:
    low, high = rate.interval
    of = f"{rate.found:,} of {plural(rate.rows, 'row')}"
    return f"{of}, {percent(rate.value)} ({percent(low)} to {percent(high)})"


def where(group: Group) -> str:
    """Provider and model as text."""
    return " ".join(filter(None, group)) or "unknown provider and model"


def moment(time: float) -> str:
    """A time in UTC, to the minute."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")


def _row(label: str, text: str) -> list[str]:
    """A labelled line, wrapped; a place in it stays in one piece."""
    return wrapped(f"  {label:<8} {text}", " " * 11)


def _changes(changes: Sequence[Change]) -> Iterator[str]:
    if changes:
        yield "changes:"
    for change in changes[:_MOST_CHANGES]:
        place = f" at {change.provider}" if change.provider else ""
        model = f" ({change.model})" if change.model else ""
        before, after = percent(change.before.value), percent(change.after.value)
        text = f"  {change.code}{place}{model} went from {before} to {after} on {change.day}"
        yield from filled(text, 4).splitlines()
    if len(changes) > _MOST_CHANGES:
        yield f"  and {len(changes) - _MOST_CHANGES:,} more (--format json has all)"


def _limits(outcome: Outcome, paint: Paint) -> Iterator[str]:
    shown = [verdict for verdict in outcome.verdicts if verdict.limit is not None]
    if shown:
        yield "limits:"
    shown.sort(key=lambda verdict: VERDICTS.index(verdict.says))
    for verdict in shown[:_MOST_LIMITS]:
        assert verdict.limit is not None
        head = f"  {verdict.code} at most {verdict.limit * 100:g}%"
        place = f" at {where(verdict.group)}" if any(verdict.group) else ""
        place = " in all rows" if verdict.group == ALL else place
        if verdict.says == "not exercised":
            text = f"{head}: not exercised, no row could have it"
        else:
            low, high = map(percent, verdict.rate.interval)
            rows = verdict.rate.rows
            says: str = verdict.says
            if says == "undecided":
                says += f", {plural(rows, 'row')} {'is' if rows == 1 else 'are'} too few"
            value = percent(verdict.rate.value)
            text = f"{head}{place}: {says}, {value} ({low} to {high})"
        style = {"above": "error", "within": "good"}.get(verdict.says, "warning")
        lines = filled(text, 4)
        word = verdict.says
        yield from lines.replace(f": {word}", f": {paint(style, word)}", 1).splitlines()
    if len(shown) > _MOST_LIMITS:
        yield f"  and {len(shown) - _MOST_LIMITS:,} more (--format json has all)"


def _remarks(outcome: Outcome, with_notes: bool) -> list[str]:
    rates = outcome.rates
    lines = remarks_of(outcome)
    # Errors go to standard error, whereas this may go to a file.
    errors = sum(rates.rows > 0 or not error.reason.startswith(NOTHING) for error in outcome.errors)
    if errors:
        lines.append(f"not everything could be read: {plural(errors, 'error')}")
    notes = [code for code in rates.codes() if rates.level(code) == "note"]
    if notes and not with_notes:
        counts = [(rates.all_found(code).rows, code) for code in notes]
        most = sorted(counts, reverse=True)[:_MOST_NOTES]
        listing = ", ".join(f"{code} {name_of(code)} ({n:,})" for n, code in most)
        more = len(counts) - len(most)
        listing += f" and {plural(more, 'other code')}" if more else ""
        lines.append(f"notes: {listing}; list: --select {most[0][1]}")
    return [filled(line) for line in lines]


def remarks_of(outcome: Outcome) -> list[str]:
    """What was not checked, or only in part: one line each."""
    rates = outcome.rates
    report = Report(
        skipped=rates.skipped,
        unread=outcome.unread,
        assembled=rates.assembled,
        unanswered=rates.unanswered,
        unasked=rates.unasked,
    )
    lines = remarks(report)
    if rates.rows and (idle := _not_exercised(rates)):
        lines.append(f"not exercised by any row: {idle}")
    by_group = [(group, counts.total()) for group, counts in rates.checked.items()]
    if undated := sum(rows for group, rows in by_group if not group.day):
        lines.append(f"{plural(undated, 'row')} without a time, so of no day")
    if unnamed := sum(rows for group, rows in by_group if not (group.provider or group.model)):
        lines.append(f"{plural(unnamed, 'row')} without provider and model, so rated together")
    for reason, count in sorted(rates.left_out.items()):
        lines.append(f"{plural(count, 'row')} left out: {reason}")
    if outcome.resumed:
        files = plural(outcome.resumed, "file")
        lines.append(f"{files} unchanged since an earlier run, which --state has kept")
    return lines


def _not_exercised(rates: Rates) -> str:
    """The families of rules that no row exercised."""
    # Lists of models are no part of a log.
    families = [letter for letter in FAMILIES if letter != "D"]
    idle = [FAMILIES[letter] for letter in families if not rates.exercised(letter)]
    return ", ".join(idle)


def _summary(outcome: Outcome, paint: Paint) -> str:
    rates = outcome.rates
    if not rates.rows:
        return paint("error", f"nothing checked in {plural(rates.files, 'file')}")
    days = rates.days()
    text = f"{plural(rates.rows, 'row')} checked in {plural(rates.files, 'file')}"
    if days:
        text += f", {days[0]}" + (f" to {days[-1]}" if len(days) > 1 else "")
    codes = [code for code in rates.codes() if rates.level(code) != "note"]
    failing = {verdict.code for verdict in outcome.failing}
    if not codes:
        return f"{text}: {paint('good', 'no findings')}"
    if not failing:
        return f"{text}: {paint('good', 'no rate too high')}"
    return f"{text}: {paint('error', plural(len(failing), 'rate') + ' too high')}"


def _next_step(outcome: Outcome) -> list[str]:
    """How to go on where a finding fails the run: a line, else nothing."""
    if not outcome.failing:
        return []
    code = outcome.failing[0].code
    highest = max(v.rate.interval[1] for v in outcome.failing if v.code == code)
    steps = [] if code == UNREAD else [f"explain: chatapi rules {code}"]
    if highest < 0.5:
        steps.append(f"allow: --max-rate {code}={percent(highest)}")
    return ["; ".join(steps)] if steps else []


# -- for machines --------------------------------------------------------------------------------


def as_json(outcome: Outcome) -> str:
    """The report as JSON; ``series`` has a row for each code, provider, model and day."""
    rates = outcome.rates
    data = {
        "version": 1,
        "rows": rates.rows,
        "files": rates.files,
        "skipped_by_api": dict(rates.skipped.most_common()),
        "left_out": dict(rates.left_out.most_common()),
        "unread_files": dict(outcome.unread.most_common()),
        "assembled": rates.assembled,
        "unanswered": rates.unanswered,
        "unasked": rates.unasked,
        "not_exercised": _not_exercised(rates).split(", ") if _not_exercised(rates) else [],
        "errors": [{"file": e.file, "place": e.place, "reason": e.reason} for e in outcome.errors],
        "findings": [_finding_json(rates, code) for code in rates.codes()],
        "limits": [
            {
                "code": verdict.code,
                "provider": verdict.group.provider,
                "model": verdict.group.model,
                "limit": verdict.limit,
                "says": verdict.says,
                **_rate_json(verdict.rate),
            }
            for verdict in outcome.verdicts
        ],
        "changes": [
            {
                "code": change.code,
                "provider": change.provider,
                "model": change.model,
                "day": change.day,
                "before": _rate_json(change.before),
                "after": _rate_json(change.after),
            }
            for change in outcome.changes
        ],
        "series": list(series(rates)),
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _finding_json(rates: Rates, code: str) -> JSONObject:
    return {
        "code": code,
        "name": name_of(code),
        "level": rates.level(code),
        **_rate_json(rates.total(code)),
        **_seen_json(rates.all_found(code)),
    }


def _rate_json(rate: Rate) -> JSONObject:
    low, high = rate.interval
    return {"found": rate.found, "rows": rate.rows, "rate": rate.value, "low": low, "high": high}


def _seen_json(found: Found) -> JSONObject:
    return {
        "first": _iso(found.first),
        "last": _iso(found.last),
        "examples": [
            {name: value for name, value in one._asdict().items() if name != "order"}
            for one in found.examples
        ],
    }


def _iso(time: float | None) -> str | None:
    return None if time is None else datetime.fromtimestamp(time, UTC).isoformat()


def series(rates: Rates) -> Iterator[JSONObject]:
    """A row for each code, provider, model and day on which the code was exercised, where the
    model has it on any day; so days without it are there, too.
    """
    for code in rates.codes():
        with_it = {group for group, _ in rates.models_with(code)}
        for group, rate in sorted(rates.by_group(code).items()):
            if group._replace(day="") in with_it:
                found = _in_group(rates, code, group)
                yield {
                    "code": code,
                    "name": name_of(code),
                    "level": rates.level(code),
                    **group._asdict(),
                    **_rate_json(rate),
                    **_seen_json(found),
                }


def _in_group(rates: Rates, code: str, group: Group) -> Found:
    total = Found()
    for level in ("error", "warning", "note"):
        if (found := rates.found.get((code, level, group))) is not None:
            total.add(found)
    return total


def write_parquet(outcome: Outcome, path: str) -> None:
    """Write the `series` as a table, for the engine that has the log.

    Raises:
        ReadError: it cannot be written.
        SettingError: pyarrow is missing.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise SettingError("--format parquet: pip install 'pytest-chatapi[logs]'") from None
    text, moment = pa.string(), pa.timestamp("ms", tz="UTC")
    example = pa.struct([(name, text) for name in ("id", "place", "path", "got", "message")])
    names = ("code", "name", "level", "provider", "model", "day")
    schema = pa.schema(
        [
            *((name, text) for name in names),
            ("found", pa.int64()),
            ("rows", pa.int64()),
            *((name, pa.float64()) for name in ("rate", "low", "high")),
            *((name, moment) for name in ("first", "last")),
            ("examples", pa.list_(example)),
        ]
    )
    rows = [
        {**row, **{k: row[k] and datetime.fromisoformat(row[k]) for k in ("first", "last")}}
        for row in series(outcome.rates)
    ]
    try:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    except OSError as error:
        raise ReadError(path, "", f"cannot be written: {error.strerror or error}") from None
