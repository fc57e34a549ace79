"""The rates of a log as one HTML page that fetches nothing.

Every chart has a table with the same figures. The page has rates and a few examples, never each
row, so its size does not grow with their number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from pytest_chatapi.contract.findings import LEVELS
from pytest_chatapi.contract.wording import plural
from pytest_chatapi.figures.plots import Mark, ranges
from pytest_chatapi.logs.limits import Verdict
from pytest_chatapi.logs.plots import Lane, by_day
from pytest_chatapi.logs.rates import Example, Found, Group, Rate, Rates, name_of
from pytest_chatapi.logs.rows import UNREAD
from pytest_chatapi.logs.shown import VERDICTS, Outcome, moment, percent, remarks_of, where
from pytest_chatapi.pages.cards import CARDS, dim, folded, level_of, page_of, remarks, tiles
from pytest_chatapi.pages.frame import frame
from pytest_chatapi.pages.tables import Cell, Column, table
from pytest_chatapi.pages.words import text

__all__ = ["page"]

_OPEN = 6
"""Findings that are shown at once; the others on request."""
_CHARTED = 6
"""Models in the charts of a finding; tables have more."""
_LISTED = 200
"""Rows of a table."""

_SAYS = {"above": "fail", "within": "pass", "undecided": "loose", "not exercised": "no"}


def page(outcome: Outcome) -> str:
    """The page of a run."""
    rates = outcome.rates
    sections = [("findings", "Findings", _findings(outcome))]
    if outcome.changes:
        sections.insert(0, ("changes", "Changes by day", _changes(outcome)))
    if outcome.verdicts:
        sections.insert(0, ("limits", "Limits", _limits(outcome)))
    title = "Findings in logs"
    days = rates.days()
    span = f": {days[0]} to {days[-1]}" if days else ""
    head = f'<section class="card">{tiles(_tiles(outcome))}{_unchecked(outcome)}</section>\n'
    return frame(
        f"{title}{span}",
        page_of(title, sections, head, _DEFINITIONS),
        style=CARDS + _STYLE,
        is_scripted=True,
    )


# -- how values are written ----------------------------------------------------------------------


def _count(count: int) -> Cell:
    return Cell(f"{count:,}", count)


def _rate(rate: Rate) -> list[Cell]:
    """Rows with a finding, all rows, the rate and its interval: see `_RATE`."""
    low, high = map(percent, rate.interval)
    return [
        _count(rate.found),
        _count(rate.rows),
        Cell(f"{percent(rate.value)} <small>{low} to {high}</small>", rate.value),
    ]


def _short_rate(rate: Rate) -> Cell:
    shown = f"{percent(rate.value)} <small>{rate.found:,} of {rate.rows:,}</small>"
    return Cell(shown, rate.value)


_RATE = (Column("rows with it"), Column("rows"), Column("rate, interval of 95%"))


def _seen(found: Found) -> list[Cell]:
    """When it was seen: see `_SEEN`."""
    return [_time(found.first), _time(found.last)]


_SEEN = (Column("first seen", False), Column("last seen", False))


def _name(name: str, unknown: str = "unknown") -> Cell:
    return Cell(text(name) or dim(unknown), name or None)


def _time(time: float | None) -> Cell:
    return Cell(dim("no time") if time is None else f"{moment(time)} UTC", time)


def _code(code: str, level: str) -> str:
    return f"{level_of(level)} <b>{text(code)}</b> {text(name_of(code))}"


def _linked(code: str, level: str) -> Cell:
    link = f'<a href="#{text(code)}"><b>{text(code)}</b> {text(name_of(code))}</a>'
    return Cell(f"{level_of(level)} {link}", code)


def _badge(says: str) -> str:
    return f'<span class="badge {_SAYS[says]}">{text(says)}</span>'


def _more(left: int, noun: str = "row") -> str:
    others = "<code>--format json</code> and <code>parquet</code> have all of them"
    return f"{plural(left, f'more {noun}')}; {others}" if left > 0 else ""


# -- totals --------------------------------------------------------------------------------------


def _tiles(outcome: Outcome) -> Iterator[tuple[str, str, str]]:
    rates = outcome.rates
    days = rates.days()
    resumed = f"{outcome.resumed:,} from --state" if outcome.resumed else ""
    yield "Rows checked", f"{rates.rows:,}", ""
    yield "Files", f"{rates.files:,}", resumed
    if days:
        yield "Days", f"{len(days):,}", f"{text(days[0])} to {text(days[-1])}"
    levels = [rates.level(code) for code in rates.codes()]
    counted = [plural(levels.count(level), level) for level in LEVELS if level in levels]
    yield "Kinds of findings", f"{len(levels) - levels.count('note'):,}", ", ".join(counted)
    says = [verdict.says for verdict in outcome.verdicts]
    too_high = len({verdict.code for verdict in outcome.failing})
    parts = [f"{says.count(word):,} {word}" for word in VERDICTS if word in says]
    note = ", ".join(parts) if parts else "no error, and no limit"
    style = "bad" if too_high else "good"
    yield "Rates too high", f'<span class="{style}">{too_high:,}</span>', note
    yield "Changes", f"{len(outcome.changes):,}", ""
    if rates.unread:
        yield "Rows that cannot be read", f"{rates.unread:,}", ""


def _unchecked(outcome: Outcome) -> str:
    """What was not checked, or only in part."""
    lines = [text(f"{line[:1].upper()}{line[1:]}") for line in remarks_of(outcome)]
    errors = outcome.errors
    if errors:
        summary = f"Not everything could be read: {plural(len(errors), 'error')}"
        items = (f"<code>{text(str(error))}</code>" for error in errors[:_LISTED])
        lines.append(folded(summary, items, len(errors) - _LISTED, is_open=True))
    return remarks(lines)


# -- limits and changes --------------------------------------------------------------------------


def _limits(outcome: Outcome) -> str:
    verdicts = sorted(outcome.verdicts, key=lambda verdict: VERDICTS.index(verdict.says))
    levels = {code: outcome.rates.level(code) for code in outcome.rates.codes()}
    rows = [_verdict(verdict, levels.get(verdict.code)) for verdict in verdicts[:_LISTED]]
    intro = "A rate is too high where the whole interval is above its limit."
    if all(verdict.limit is None for verdict in verdicts):
        intro = "Without <code>--max-rate</code>, any error is too much."
    columns = [
        Column("finding", False),
        *(Column(name, False) for name in ("verdict", "provider", "model")),
        Column("limit"),
        *_RATE,
    ]
    return f"<p>{intro}</p>\n" + table(
        "Verdicts", columns, rows, foot=_more(len(verdicts) - _LISTED, "verdict")
    )


def _verdict(verdict: Verdict, level: str | None) -> list[Cell]:
    """The cells of a verdict; without a level its code was not found, so there is no link."""
    code, limit = verdict.code, verdict.limit
    name = Cell(f"<b>{text(code)}</b> {text(name_of(code))}", code)
    return [
        name if level is None else _linked(code, level),
        Cell(_badge(verdict.says), VERDICTS.index(verdict.says)),
        _name(verdict.group.provider, "all" if code == UNREAD else "unknown"),
        _name(verdict.group.model, "all" if code == UNREAD else "unknown"),
        Cell(dim("none") if limit is None else f"{limit * 100:g}%", limit),
        *(_rate(verdict.rate) if verdict.rate.rows else [_count(0), _count(0), Cell("", None)]),
    ]


def _changes(outcome: Outcome) -> str:
    rows = [
        [
            Cell(text(change.day), change.day),
            _linked(change.code, outcome.rates.level(change.code)),
            _name(change.provider),
            _name(change.model),
            *map(_short_rate, (change.before, change.after)),
        ]
        for change in sorted(outcome.changes, key=lambda change: (change.day, change.code))
    ]
    columns = [Column(name, False) for name in ("day", "finding", "provider", "model")]
    return (
        "<p>Days on which the rate of a provider and model became at least twice or at most half "
        "as high, and not by chance.</p>\n"
    ) + table(
        "Changes",
        [*columns, Column("rate before"), Column("rate from then on")],
        rows[:_LISTED],
        foot=_more(len(rows) - _LISTED, "change"),
    )


# -- findings ------------------------------------------------------------------------------------


def _findings(outcome: Outcome) -> str:
    rates = outcome.rates
    codes = rates.codes()
    if not codes:
        return "<p>None: the rows are as the contract says, where they were checked.</p>\n"
    rows = []
    for code in codes:
        level = rates.level(code)
        name = _linked(code, level)
        rows.append(
            [
                Cell(name.html, f"{LEVELS.index(level)} {code}"),
                *_rate(rates.total(code)),
                *_seen(rates.all_found(code)),
            ]
        )
    columns = [Column("finding", False), *_RATE, *_SEEN]
    shown = [code for code in codes if rates.level(code) != "note"][:_OPEN]
    return (
        "<p><code>chatapi rules CODE</code> explains a rule. The rate is of the rows that could "
        "have had the finding.</p>\n"
        + table("All findings", columns, rows)
        + "".join(_finding(outcome, code, is_open=code in shown) for code in codes)
    )


def _finding(outcome: Outcome, code: str, *, is_open: bool) -> str:
    rates = outcome.rates
    level = rates.level(code)
    most, total = rates.models_with(code), rates.total(code)
    found = rates.all_found(code)
    examples = "".join(map(_example, found.examples))
    return (
        f'<details class="rule"{" open" if is_open else ""}><summary>'
        f"{_code(code, level)} <small>{total.found:,} of {plural(total.rows, 'row')}, "
        f"{percent(total.value)}</small></summary>\n"
        f'<div id="{text(code)}">'  # inside, so that a link opens it
        f"{_charts(outcome, code, most[:_CHARTED], len(most))}"
        f"{_models(rates, code, most)}"
        f"<h3>{plural(len(found.examples), 'example')}</h3><ul>{examples}</ul></div></details>\n"
    )


def _charts(outcome: Outcome, code: str, most: Sequence[tuple[Group, Rate]], models: int) -> str:
    note = "interval of 95%"
    note += f"; the {len(most)} highest of {models:,}" if models > len(most) else ""
    marks = [
        Mark(
            where(group),
            0,
            rate.interval[0],
            rate.value,
            rate.interval[1],
            f"{percent(rate.value)}, {rate.found:,} of {rate.rows:,}",
        )
        for group, rate in most
    ]
    charts = [ranges(f"{code} by provider and model", note, marks, form="~%")]
    by_model: defaultdict[Group, dict[str, Rate]] = defaultdict(dict)
    for group, rate in sorted(outcome.rates.by_group(code).items()):
        if group.day:
            by_model[group._replace(day="")][group.day] = rate
    lanes = []
    for whole, _ in most:
        days = by_model[whole]
        if not days:
            continue
        changes = {
            change.day: f"{percent(change.before.value)} to {percent(change.after.value)} "
            f"on {change.day}"
            for change in outcome.changes
            if (change.code, change.provider, change.model) == (code, whole.provider, whole.model)
        }
        highest = max(days.values(), key=lambda rate: rate.value)
        lanes.append(Lane(where(whole), f"up to {percent(highest.value)}", days, changes))
    if any(len(lane.days) > 1 for lane in lanes):
        charts.append(by_day(f"{code} by day", lanes))
    return f'<div class="panels">{"".join(charts)}</div>\n'


def _models(rates: Rates, code: str, most: Sequence[tuple[Group, Rate]]) -> str:
    names = [Column("provider", False), Column("model", False)]
    found = rates.found_by_model(code)
    by_model = table(
        f"{code} by provider and model",
        [*names, *_RATE, *_SEEN],
        [
            [_name(group.provider), _name(group.model), *_rate(rate), *_seen(found[group])]
            for group, rate in most[:_LISTED]
        ],
        foot=_more(len(most) - _LISTED, "model"),
    )
    with_it = {group for group, _ in most}
    days = [
        (group, rate)
        for group, rate in sorted(rates.by_group(code).items(), key=lambda one: one[0][::-1])
        if group.day and group._replace(day="") in with_it
    ]
    if len({group.day for group, _ in days}) < 2:
        return by_model
    by_day = table(
        f"{code} by day",
        [Column("day", False), *names, *_RATE],
        [
            [Cell(text(group.day), group.day), *map(_name, group[:2]), *_rate(rate)]
            for group, rate in days[:_LISTED]
        ],
        foot=_more(len(days) - _LISTED),
    )
    return f"{by_model}<details><summary>By day</summary>{by_day}</details>\n"


def _example(example: Example) -> str:
    rows = (
        ("row", example.id),
        ("file", example.place),
        ("at", example.path),
        ("got", example.got),
    )
    items = "".join(
        f"<dt>{label}</dt><dd><code>{text(value)}</code></dd>" for label, value in rows if value
    )
    return f'<li class="example">{text(example.message)}<dl>{items}</dl></li>'


_DEFINITIONS = """<details class="card"><summary>How the rates are counted</summary><dl>
<dt>rate</dt><dd>Rows with a finding, out of those that could have had it: a rule about streams has
only streams in its rate. A row counts once for each code.</dd>
<dt>interval of 95%</dt><dd>Wilson's: where the rate behind these rows is, but for one interval in
twenty.</dd>
<dt>undecided</dt><dd>The limit is inside of the interval, so these rows are too few to tell.</dd>
<dt>change</dt><dd>The most likely days, each by Fisher's exact test: logs of constant rates have a
false one in at most 1% of all logs.</dd>
<dt>provider</dt><dd>The host that was called, else what the log calls it.</dd>
<dt>day</dt><dd>In UTC, of the log's time, else of the response's <code>created</code>.</dd>
<dt>examples</dt><dd>Three rows drawn by a hash of their names, without secrets.</dd>
</dl></details>
"""

_STYLE = """
.badge { display: inline-block; padding: 0 .5rem; font-size: .8rem; border: 1px solid currentColor;
  border-radius: .3rem; white-space: nowrap; }
.badge.fail { color: var(--fail); background: var(--fail-back); font-weight: 700; }
.badge.pass { color: var(--pass); background: var(--pass-back); }
.badge.loose { color: var(--loose); background: var(--loose-back); }
.badge.no { color: var(--no); background: var(--no-back); }
.bad { color: var(--fail); } .good { color: var(--pass); }
.example { border-left: 3px solid var(--line); padding-left: .7rem; margin: .6rem 0; }
.rule > div { scroll-margin-top: 3rem; }
"""
