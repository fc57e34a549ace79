"""Reports of figures, of one or several runs side by side, as one HTML page that fetches nothing.

Every chart has a table with the same figures. The page has sums, bins and the extremes, never each
exchange, so its size does not grow with their number.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from pytest_chatapi.contract.findings import LEVELS
from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.contract.wording import place_of, plural
from pytest_chatapi.figures.plots import (
    KINDS,
    Mark,
    Sample,
    bins_of,
    histogram,
    ranges,
    timeline,
)
from pytest_chatapi.figures.report import findings_by_test
from pytest_chatapi.pages.cards import CARDS, dim, folded, level_of, page_of, remarks, tiles
from pytest_chatapi.pages.frame import frame
from pytest_chatapi.pages.tables import Cell, Column, table
from pytest_chatapi.pages.words import text

__all__ = ["page"]

_SERIES = 16
"""Models and runs that a chart shows; tables have all of them."""
_MARKED = 500
"""Exchanges that are marked one by one in a distribution: the slowest."""
_LISTED = 20
"""Of these in a table."""
_TESTS = 200
_STREAMS = 12
_RULE_TESTS = 8
_RULE_FRAMES = 3

_SIGNS = "●", "■", "▲", "◆"
"""Of runs, as in the charts."""

_SOURCES = {"live": "live", "replayed": "replayed", "recorded": "recorded", "mock": "mocked"}


class Series(NamedTuple):
    """A model in a run."""

    model: str
    run: int
    name: str
    row: JSONObject
    exchanges: list[JSONObject]


def page(reports: Sequence[tuple[str, JSONObject]]) -> str:
    """The page of some reports.

    Args:
        reports: names, and reports as `report_of` returns them.
    """
    series = _series(reports)
    sections = [
        ("models", "Models side by side", _models(reports, series)),
        ("speed", "First token and speed", _distributions(series)),
        ("stream", "One stream, chunk by chunk", _timelines(reports)),
        ("findings", "Findings by rule", _findings(reports)),
        ("tests", "Tests by cost", _tests(reports)),
    ]
    title = "Tokens, cost and speed"
    return frame(
        f"{title}: {', '.join(name for name, _ in reports)}",
        page_of(title, sections, _totals(reports), _DEFINITIONS),
        style=_STYLE,
        is_scripted=True,
    )


def _series(reports: Sequence[tuple[str, JSONObject]]) -> list[Series]:
    """Each model in each run; those of one model are neighbours."""
    found: dict[str, list[Series]] = {}
    for run, (name, report) in enumerate(reports):
        of_model: defaultdict[str, list[JSONObject]] = defaultdict(list)
        for exchange in report["exchanges"]:
            of_model[_model_of(exchange)].append(exchange)
        for row in report["models"]:
            model = row["name"]
            shown = model if len(reports) == 1 else f"{model} · {name}"
            one = Series(model, run, shown, row, of_model[model])
            found.setdefault(model, []).append(one)
    return [one for of_model in found.values() for one in of_model]


def _model_of(exchange: JSONObject) -> str:
    return exchange["model"] or "unknown model"


def _sign(run: int, reports: Sequence[tuple[str, JSONObject]]) -> str:
    return (
        f'<span class="run r{run % 4 + 1}"><b aria-hidden="true">{_SIGNS[run % 4]}</b> '
        f"{text(reports[run][0])}</span>"
    )


def _run_column(reports: Sequence[tuple[str, JSONObject]]) -> list[Column]:
    """The column of `_run_cell`: only where there are several runs."""
    return [Column("run", False)] if len(reports) > 1 else []


def _run_cell(run: int, reports: Sequence[tuple[str, JSONObject]]) -> list[Cell]:
    return [Cell(_sign(run, reports), run)] if len(reports) > 1 else []


# -- how values are written ----------------------------------------------------------------------


def _count(count: int | None) -> Cell:
    return Cell(dim("not reported") if count is None else f"{count:,}", count)


def _usd(usd: float | None) -> str:
    if usd is None:
        return "unknown"
    if 0 < usd < 0.0001:
        return "under $0.0001"
    return f"${usd:,.4f}" if 0 < usd < 1 else f"${usd:,.2f}"


def _price(usd: float) -> str:
    """With two to four decimals."""
    whole, _, decimals = f"{usd:,.4f}".partition(".")
    return f"${whole}.{decimals.rstrip('0'):0<2}"


def _sources(counts: JSONObject) -> str:
    return ", ".join(
        f"{counts[name]:,} {word}" for name, word in _SOURCES.items() if name in counts
    )


def _money(usd: float | None) -> Cell:
    return Cell(dim("unknown") if usd is None else _usd(usd), usd)


def _seconds(seconds: float) -> str:
    digits = 3 if seconds < 0.1 else 2 if seconds < 10 else 1
    return f"{seconds:,.{digits}f}"


def _time(seconds: float | None, unknown: str = "not measured") -> Cell:
    return Cell(dim(unknown) if seconds is None else f"{_seconds(seconds)} s", seconds)


def _speed(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 10 else f"{speed:.1f}"


def _edge(value: float) -> str:
    return f"{float(f'{value:.3g}'):,g}"


def _share(share: float) -> str:
    return f"{share:.2f}"


def _per_thousand(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or not value else f"{value:.1f}"


def _spread(spread: JSONObject | None, write: Callable[[float], str]) -> Cell:
    """A median with the 5th and 95th percentile, and the number of values."""
    if spread is None:
        return Cell(dim("not measured"), None)
    low, middle, high = (write(spread[name]) for name in ("p5", "median", "p95"))
    return Cell(f"{middle} <small>{low}-{high}, n {spread['n']:,}</small>", spread["median"])


def _test_name(test: str) -> str:
    if not test:
        return dim("outside of a test")
    return f"<code>{text(test).replace('/', '/<wbr>').replace('::', '::<wbr>')}</code>"


# -- totals --------------------------------------------------------------------------------------


def _totals(reports: Sequence[tuple[str, JSONObject]]) -> str:
    parts = []
    for run, (_, report) in enumerate(reports):
        about = report["run"]
        started = f", started {_moment(about['started'])}" if about["started"] else ""
        of = "recordings" if about["kind"] == "recordings" else "a run of pytest"
        parts.append(
            f'<section class="card"><h2>{_sign(run, reports)} '
            f"<small>{of}{started}, {text(about['tool'])}</small></h2>"
            f"{tiles(_tiles(report))}{_left_out(about)}</section>\n"
        )
    return "".join(parts)


def _moment(started: str) -> str:
    """A time without what is finer than a minute."""
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return text(started)
    return f"{moment:%Y-%m-%d %H:%M} {moment:%Z}".rstrip()


def _tiles(report: JSONObject) -> Iterator[tuple[str, str, str]]:
    """What a run comes to: label, value and note, as HTML."""
    about, exchanges = report["run"], report["exchanges"]
    failed = sum(one["status"] != 200 for one in exchanges)
    note = _sources(about["sources"]) + (f"; {failed:,} failed" if failed else "")
    yield "Exchanges", f"{about['exchanges']:,}", note
    notes = []
    if about["prompt_tokens"] is not None and about["completion_tokens"] is not None:
        notes.append(f"{about['prompt_tokens']:,} in, {about['completion_tokens']:,} out")
    if about["unreported"]:
        notes.append(f"{plural(about['unreported'], 'response')} without usage")
    yield "Tokens", _count(about["total_tokens"]).html, "; ".join(notes)
    cached = about["cached_tokens"]
    prompt = about["prompt_tokens"]
    notes = [f"{cached / prompt:.0%} of the prompts"] if cached and prompt else []
    reporting = [one["cached_tokens"] is not None for one in exchanges if one["status"] == 200]
    if cached is not None and not all(reporting):
        notes.append(f"reported by {sum(reporting):,} of {len(reporting):,}")
    yield "Cached tokens", _count(cached).html, "; ".join(notes)
    for label, source, usd in (
        ("Spent", "live", about["spent_usd"]),
        ("Saved by replay", "replayed", about["saved_usd"]),
        ("Cost when recorded", "recorded", about["usd"]),
    ):
        if source not in about["sources"]:
            if source == "live" and about["kind"] == "pytest":
                yield label, "nothing", "no exchange was live"
            continue
        answered = [one for one in exchanges if one["source"] == source and one["status"] == 200]
        unknown = sum(one["usd"] is None for one in answered)
        note = f"unknown for {unknown:,} of {len(answered):,}" if unknown else ""
        yield label, _money(usd).html, note
    for label, name, write, unit in (
        ("First token", "ttft_seconds", _seconds, "s"),
        ("Output speed", "tokens_per_second", _speed, "tokens/s"),
    ):
        known = [one[name] for one in exchanges if one[name] is not None]
        if known:
            yield label, f"{write(statistics.median(known))} {unit}", f"median of {len(known):,}"
        else:
            yield label, dim("not measured"), ""
    if tests := report["tests"]:
        outcomes = Counter(one["outcome"] for one in tests)
        known_outcomes = [f"{n:,} {text(name)}" for name, n in outcomes.most_common() if name]
        yield "Tests", f"{len(tests):,}", ", ".join(known_outcomes)
    levels = Counter(finding["level"] for one in exchanges for finding in one["findings"])
    counted = [plural(levels[level], level) for level in LEVELS if levels[level]]
    yield "Findings", f"{levels.total() - levels['note']:,}", ", ".join(counted)


def _left_out(about: JSONObject) -> str:
    lines = []
    if about["skipped"]:
        kinds = ", ".join(f"{count:,} {text(name)}" for name, count in about["skipped"].items())
        lines.append(f"Exchanges without figures: {kinds}")
    if about["unread"]:
        count = len(about["unread"])
        files = (
            f"<code>{text(one['file'])}</code>: {text(one['why'])}"
            for one in about["unread"][:_LISTED]
        )
        lines.append(folded(f"{plural(count, 'file')} not read", files, count - _LISTED))
    return remarks(lines)


# -- models --------------------------------------------------------------------------------------


def _models(reports: Sequence[tuple[str, JSONObject]], series: Sequence[Series]) -> str:
    if not series:
        return "<p>There are no exchanges.</p>\n"
    key = ""
    if len(reports) > 1:
        names = "".join(f"<li>{_sign(run, reports)}</li>" for run in range(len(reports)))
        key = f'<ul class="key">{names}</ul>\n'
    left = len(series) - _SERIES
    more = f"<p>{left} more in the tables.</p>\n" if left > 0 else ""
    charts = "".join(_panels(series[:_SERIES]))

    def heads(one: Series) -> list[Cell]:
        return [Cell(text(one.model), one.model), *_run_cell(one.run, reports)]

    first = [Column("model", False), *_run_column(reports)]
    scores = sorted({name for one in series for name in one.row["scores"]})
    return (
        f'{key}<div class="panels">{charts}</div>\n{more}'
        + table(
            "Tokens and cost",
            [
                *first,
                *map(Column, ("exchanges", "prompt tokens", "completion tokens", "cached tokens")),
                *map(Column, ("USD", "USD per million", "list price in / out")),
            ],
            [[*heads(one), *_cost_cells(one.row)] for one in series],
        )
        + _speed_table(first, [(heads(one), one.row) for one in series])
        + table(
            "Quality: form per 1,000, and scores with their 95% interval",
            [
                *first,
                *map(Column, ("valid tool calls", "valid JSON", "cut", "refused", "findings")),
                *(Column(f"score: {name}") for name in scores),
                *([Column("index")] if any(one.row["quality_index"] for one in series) else []),
            ],
            [[*heads(one), *_quality_cells(one.row, scores, series)] for one in series],
        )
        + _accounts(reports)
    )


def _panels(series: Sequence[Series]) -> Iterator[str]:
    """The charts that compare models: only those for which something is known."""
    scores = Counter(name for one in series for name in one.row["scores"])
    for name, _ in scores.most_common(2):
        marks = [
            Mark(
                one.name,
                one.run,
                found["low"],
                found["mean"],
                found["high"],
                f"{_share(found['mean'])}, n {found['n']:,}",
            )
            for one in series
            if (found := one.row["scores"].get(name))
        ]
        yield _compared(f"Score {name}", "mean, 95% interval", marks, series)
    if not scores:
        marks = [
            Mark(one.name, one.run, 0.0, rate, rate, _per_thousand(rate))
            for one in series
            if (rate := one.row["form"]["findings_per_1000"]) is not None
        ]
        yield _compared("Findings per 1,000 exchanges", "", marks, series)
    for title, name, write, unit in (
        ("Output tokens per second", "tokens_per_second", _speed, "tokens/s"),
        ("Seconds to the first token", "ttft_seconds", _seconds, "s"),
    ):
        marks = [
            Mark(
                one.name,
                one.run,
                found["p5"],
                found["median"],
                found["p95"],
                f"{write(found['median'])} {unit}, n {found['n']:,}",
            )
            for one in series
            if (found := one.row[name]) is not None
        ]
        if marks:
            yield _compared(title, "median, 5th to 95th percentile", marks, series)
    marks = [
        Mark(one.name, one.run, 0.0, usd, usd, _usd(usd))
        for one in series
        if (usd := one.row["usd_per_million_tokens"]) is not None
    ]
    if marks:
        title = "USD per million tokens"
        yield _compared(title, "as these exchanges used them", marks, series)


def _compared(title: str, note: str, marks: Sequence[Mark], series: Sequence[Series]) -> str:
    left = len(series) - len(marks)
    return ranges(title, f"{note}; unknown for {left} more" if left else note, marks)


def _cost_cells(row: JSONObject) -> list[Cell]:
    usd = _money(row["usd"])
    if row["unpriced"]:
        usd = Cell(
            f"{usd.html} <small class=wrap>{row['unpriced']:,} at an unknown price</small>", usd.key
        )
    prompt = _count(row["prompt_tokens"])
    if row["unreported"]:
        note = f"<small>{row['unreported']:,} not reported</small>"
        prompt = Cell(
            f"{prompt.html} {note}" if prompt.key is not None else prompt.html, prompt.key
        )
    price = row["list_price"]
    listed = Cell(dim("unknown"), None)
    if price is not None:
        shown = f"{_price(price['input'])} / {_price(price['output'])}"
        notes = (
            f"3:1 {_price(price['3:1'])}",
            f"7:2:1 {_price(price['7:2:1'])}",
            text(price["source"]),
        )
        listed = Cell(
            " ".join((shown, *(f"<small>{note}</small>" for note in notes))), price["input"]
        )
    return [
        Cell(
            f"{row['exchanges']:,} <small class=wrap>{_sources(row['sources'])}</small>",
            row["exchanges"],
        ),
        prompt,
        _count(row["completion_tokens"]),
        _count(row["cached_tokens"]),
        usd,
        _money(row["usd_per_million_tokens"]),
        listed,
    ]


_TIMES = (
    "ttft_seconds",
    "first_answer_seconds",
    "tokens_per_second",
    "server_tokens_per_second",
    "tokens_per_chunk",
    "seconds",
)


def _speed_table(first: Sequence[Column], rows: Sequence[tuple[list[Cell], JSONObject]]) -> str:
    timed = [(heads, row) for heads, row in rows if any(row[name] for name in _TIMES)]
    left = len(rows) - len(timed)
    if not timed:
        return f"<h3>Speed</h3><p>{dim('No times are known.')}</p>\n"
    return table(
        "Speed: median, 5th to 95th percentile, number of measurements",
        [
            *first,
            *map(Column, ("first token, s", "first answer token, s", "output tokens/s")),
            *map(Column, ("tokens/s by the server", "tokens per chunk", "whole response, s")),
        ],
        [[*heads, *_speed_cells(row)] for heads, row in timed],
        foot=f"{left:,} more without known times" if left else "",
    )


def _speed_cells(row: JSONObject) -> list[Cell]:
    server = _spread(row["server_tokens_per_second"], _speed)
    if row["speeds_disagree"]:
        note = f"{row['speeds_disagree']:,} differ by more than a fifth"
        server = Cell(f"{server.html}<small>{note}</small>", server.key)
    return [
        _spread(row["ttft_seconds"], _seconds),
        _spread(row["first_answer_seconds"], _seconds),
        _spread(row["tokens_per_second"], _speed),
        server,
        _spread(row["tokens_per_chunk"], lambda value: f"{value:.1f}"),
        _spread(row["seconds"], _seconds),
    ]


def _quality_cells(
    row: JSONObject, scores: Sequence[str], series: Sequence[Series]
) -> Iterator[Cell]:
    form = row["form"]
    for name, of, none in (
        ("valid_tool_calls", form["tool_calls"], "no calls"),
        ("valid_json", form["json"], "not asked for"),
        ("cut", form["answers"], "no answers"),
        ("refused", form["answers"], "no answers"),
        ("findings", row["exchanges"], "no exchanges"),
    ):
        rate = form[f"{name}_per_1000"]
        if rate is None:
            yield Cell(dim(none), None)
        else:
            yield Cell(f"{_per_thousand(rate)} <small>n {of:,}</small>", rate)
    for name in scores:
        score = row["scores"].get(name)
        if score is None:
            yield Cell(dim("no score"), None)
        else:
            low, mean, high = (_share(score[part]) for part in ("low", "mean", "high"))
            yield Cell(f"{mean} <small>{low}-{high}, n {score['n']:,}</small>", score["mean"])
    if any(one.row["quality_index"] for one in series):
        index = row["quality_index"]
        if index is None:
            yield Cell(dim("unknown"), None)
        else:
            yield Cell(f"{index['value']:g} <small>{text(index['source'])}</small>", index["value"])


def _accounts(reports: Sequence[tuple[str, JSONObject]]) -> str:
    """What each organization and project used, where the traffic names any."""
    used: defaultdict[tuple[int, str, str], list[JSONObject]] = defaultdict(list)
    for run, (_, report) in enumerate(reports):
        for one in report["exchanges"]:
            used[run, one["organization"], one["project"]].append(one)
    if not any(organization or project for _, organization, project in used):
        return ""
    rows = []
    for (run, *names), exchanges in used.items():
        tokens = [one["total_tokens"] for one in exchanges if one["total_tokens"] is not None]
        usd = [one["usd"] for one in exchanges if one["usd"] is not None]
        rows.append(
            [
                *(Cell(text(name) or dim("none"), name) for name in names),
                *_run_cell(run, reports),
                _count(len(exchanges)),
                _count(sum(tokens) if tokens else None),
                _money(sum(usd) if usd else None),
            ]
        )
    columns = [
        *(Column(name, False) for name in ("organization", "project")),
        *_run_column(reports),
        *map(Column, ("exchanges", "tokens", "USD")),
    ]
    return table("Organizations and projects", columns, rows)


# -- distributions -------------------------------------------------------------------------------


def _distributions(series: Sequence[Series]) -> str:
    return _distribution(
        series, "ttft_seconds", "Seconds to the first token", "s", _seconds, is_slow_high=True
    ) + _distribution(series, "tokens_per_second", "Output tokens per second", "tokens/s", _speed)


def _distribution(
    series: Sequence[Series],
    name: str,
    title: str,
    unit: str,
    write: Callable[[float], str],
    *,
    is_slow_high: bool = False,
) -> str:
    measured = [
        (one, [(value, each) for each in one.exchanges if (value := each[name]) is not None])
        for one in series
    ]
    measured = [(one, values) for one, values in measured if values]
    if not measured:
        return f"<h3>{title}</h3><p>{dim('Not measured in any exchange.')}</p>\n"
    left = len(measured) - _SERIES
    measured = measured[:_SERIES]
    every = ((value, at, each) for at, (_, of) in enumerate(measured) for value, each in of)
    slowest = sorted(every, key=lambda one: -one[0] if is_slow_high else one[0])[:_MARKED]
    bins = bins_of([[value for value, _ in values] for _, values in measured])
    marked: defaultdict[int, list[float]] = defaultdict(list)
    for value, at, _ in slowest:
        marked[at].append(value)
    samples = []
    for at, (one, values) in enumerate(measured):
        median = statistics.median(value for value, _ in values)
        shown = f"median {write(median)} {unit}, n {len(values):,}"
        samples.append(Sample(one.name, one.run, median, shown, marked[at]))
    count = sum(len(values) for _, values in measured)
    unmeasured = sum(len(one.exchanges) for one in series) - count
    marks = "each exchange is" if count <= _MARKED else f"the {_MARKED} slowest are"
    notes = f"The line is the median; {marks} marked below the bars."
    if bins.is_log:
        notes += " The scale is logarithmic."
    if unmeasured > 0 and left <= 0:
        notes += f" Not measured in {plural(unmeasured, 'exchange')}."
    if left > 0:
        notes += f" {left} more models are not shown."
    rows = [
        [
            Cell(f"{_edge(bins.edges[at])} to {_edge(bins.edges[at + 1])}", bins.edges[at]),
            *(_count(counts[at]) for counts in bins.counts),
        ]
        for at in range(len(bins.edges) - 1)
        if any(counts[at] for counts in bins.counts)
    ]
    listed = [
        [
            Cell(f"{write(value)} {unit}", value),
            Cell(text(measured[at][0].name), measured[at][0].name),
            Cell(_test_name(each["test"]), each["test"]),
            Cell(_SOURCES[each["source"]], each["source"]),
            _count(each["completion_tokens"]),
        ]
        for value, at, each in slowest[:_LISTED]
    ]
    columns = [Column(title.lower()), *(Column(one.name) for one, _ in measured)]
    return (
        f"{histogram(title, unit, samples, bins)}<p class=note>{notes}</p>\n"
        f"<details><summary>As a table: {title.lower()}</summary>"
        f"{table(f'Exchanges by {title.lower()}', columns, rows)}</details>\n"
        f"<details><summary>The slowest {len(listed)}</summary>"
        + table(
            f"Slowest by {title.lower()}",
            [
                Column(title.lower()),
                Column("model", False),
                Column("test", False),
                Column("source", False),
                Column("completion tokens"),
            ],
            listed,
        )
        + "</details>\n"
    )


# -- one stream ----------------------------------------------------------------------------------


def _timelines(reports: Sequence[tuple[str, JSONObject]]) -> str:
    streams = [
        (run, report["exchanges"][stream["exchange"]], stream["marks"])
        for run, (_, report) in enumerate(reports)
        for stream in report["streams"]
        if stream["marks"]
    ]
    if not streams:
        return f"<p>{dim('No stream was timed chunk by chunk.')}</p>\n"
    streams.sort(key=lambda one: -(one[1]["seconds"] or 0.0))
    # The slowest of each model and run come first, so that each has one.
    ranks: Counter[tuple[int, str]] = Counter()
    ranked = []
    for one in streams:
        key = one[0], _model_of(one[1])
        ranked.append((ranks[key], one))
        ranks[key] += 1
    ranked.sort(key=lambda pair: pair[0])
    shown = [one for _, one in ranked[:_STREAMS]]
    options, sections = [], []
    for at, (run, exchange, marks) in enumerate(shown):
        title = f"{_model_of(exchange)}, {_seconds(marks[-1][0])} s"
        title += f", {exchange['test']}" if exchange["test"] else ""
        title += f" ({reports[run][0]})" if len(reports) > 1 else ""
        options.append(f"<option>{text(title)}</option>")
        sections.append(f"<div{' hidden' if at else ''}>{_stream(exchange, marks)}</div>\n")
    return (
        "<p>The slowest streams of each model. Each mark is a chunk.</p>\n"
        f'<p><label>Stream <select data-shows="streams">{"".join(options)}</select></label></p>\n'
        f'<div id="streams" aria-live="polite">{"".join(sections)}</div>\n'
    )


def _stream(exchange: JSONObject, marks: Sequence[Sequence[Any]]) -> str:
    facts: list[tuple[str, Any, Callable[[Any], str]]] = [
        ("first token", exchange["ttft_seconds"], lambda value: f"{_seconds(value)} s"),
        ("output", exchange["tokens_per_second"], lambda value: f"{_speed(value)} tokens/s"),
        ("longest gap", exchange["longest_gap_seconds"], lambda value: f"{_seconds(value)} s"),
        ("stalls", exchange["stalls"], str),
        ("tokens per chunk", exchange["tokens_per_chunk"], lambda value: f"{value:.1f}"),
        ("completion", exchange["completion_tokens"], lambda value: f"{value:,} tokens"),
    ]
    items = "".join(
        f"<div><dt>{label}</dt><dd>{dim('unknown') if value is None else write(value)}</dd></div>"
        for label, value, write in facts
    )
    rows = []
    for kind in KINDS:
        times = [seconds for seconds, of in marks if of == kind]
        if times:
            gap = max((b - a for a, b in pairwise(times)), default=None)
            rows.append(
                [
                    Cell(kind, kind),
                    _count(len(times)),
                    _time(times[0]),
                    _time(times[-1]),
                    _time(gap, "none"),
                ]
            )
    columns = [
        Column("chunks with", False),
        *map(Column, ("number", "first", "last", "longest gap")),
    ]
    return (
        f'<dl class="facts">{items}</dl>{timeline("Chunks as they arrived", marks)}'
        f"<details><summary>As a table</summary>{table('Chunks by kind', columns, rows)}</details>"
    )


# -- findings ------------------------------------------------------------------------------------


def _findings(reports: Sequence[tuple[str, JSONObject]]) -> str:
    rules: dict[tuple[str, str], list[tuple[int, JSONObject, JSONObject]]] = {}
    for run, (_, report) in enumerate(reports):
        for exchange in report["exchanges"]:
            for finding in exchange["findings"]:
                key = finding["level"], finding["code"]
                rules.setdefault(key, []).append((run, exchange, finding))
    if not rules:
        return "<p>None: the exchanges are as the contract says, where they were checked.</p>\n"
    ranks: dict[str, int] = {level: rank for rank, level in enumerate(LEVELS)}
    ordered = sorted(rules, key=lambda key: (ranks.get(key[0], len(ranks)), -len(rules[key])))
    return (
        "<p><code>chatapi rules CODE</code> explains a rule. Notes do not count as findings.</p>\n"
        + "".join(_rule(level, code, rules[level, code], reports) for level, code in ordered)
    )


def _rule(
    level: str,
    code: str,
    found: Sequence[tuple[int, JSONObject, JSONObject]],
    reports: Sequence[tuple[str, JSONObject]],
) -> str:
    finding = found[0][2]
    models = Counter(_model_of(exchange) for _, exchange, _ in found)
    tests = Counter(exchange["test"] for _, exchange, _ in found)
    runs = Counter(run for run, _, _ in found)
    places = plural(len({(run, id(exchange)) for run, exchange, _ in found}), "exchange")
    where = [f"{text(model)} {count:,}" for model, count in models.most_common(8)]
    where += [f"{len(models) - 8} more models"] if len(models) > 8 else []
    rows = [("models", ", ".join(where))]
    if len(reports) > 1:
        of_runs = (f"{_sign(run, reports)} {count:,}" for run, count in sorted(runs.items()))
        rows.append(("runs", ", ".join(of_runs)))
    listed = [f"{_test_name(test)} {count:,}" for test, count in tests.most_common(_RULE_TESTS)]
    left = len(tests) - _RULE_TESTS
    listed += [f"{left:,} more tests"] if left > 0 else []
    rows.append(("tests", "<br>".join(listed)))
    items = "".join(f"<dt>{label}</dt><dd>{html}</dd>" for label, html in rows)
    # Those with a frame first, and no two that say the same.
    said: dict[tuple[str, str], JSONObject] = {}
    for _, _, each in sorted(found, key=lambda one: "frame" not in one[2]):
        said.setdefault((each["message"], each["path"]), each)
    shown = "".join(map(_shown, list(said.values())[:_RULE_FRAMES]))
    rest = len(said) - _RULE_FRAMES
    more = f"<p class=note>{rest:,} more ways in which this was found.</p>" if rest > 0 else ""
    return (
        f'<details class="rule"><summary>{level_of(level)} '
        f"<b>{text(code)}</b> {text(finding['name'])} "
        f"<small>{len(found):,} in {places}</small>"
        f"</summary>{shown}{more}<dl>{items}</dl></details>\n"
    )


def _shown(finding: JSONObject) -> str:
    rows = [("at", place_of(finding))]
    rows += [(name, finding.get(name) or "") for name in ("expected", "got")]
    items = "".join(f"<dt>{name}</dt><dd>{text(value)}</dd>" for name, value in rows if value)
    frame_ = f"<pre>{text(finding['frame'])}</pre>" if finding.get("frame") else ""
    return f"<h3>{text(finding['message'])}</h3><dl>{items}</dl>{frame_}"


# -- tests ---------------------------------------------------------------------------------------


def _tests(reports: Sequence[tuple[str, JSONObject]]) -> str:
    tests = [(run, test) for run, (_, report) in enumerate(reports) for test in report["tests"]]
    if not tests:
        return f"<p>{dim('No exchange belongs to a test.')}</p>\n"
    is_priced = any(test["usd"] is not None for _, test in tests)

    def cost(one: tuple[int, JSONObject]) -> tuple[float, int]:
        return (-1.0 if one[1]["usd"] is None else one[1]["usd"], one[1]["total_tokens"] or -1)

    tests.sort(key=cost, reverse=True)
    findings = [findings_by_test(report) for _, report in reports]
    scores = sorted({name for _, test in tests for name in test["scores"]})
    rows = []
    for run, test in tests[:_TESTS]:
        usd = _money(test["usd"])
        if test["usd"] is not None and test["unpriced"]:
            usd = Cell(f"{usd.html} <small>{test['unpriced']:,} unknown</small>", usd.key)
        rows.append(
            [
                Cell(_test_name(test["test"]), test["test"]),
                *_run_cell(run, reports),
                usd,
                _count(test["total_tokens"]),
                _count(test["cached_tokens"]),
                _count(test["exchanges"]),
                _time(test["ttft_seconds"]),
                _count(findings[run][test["test"]]),
                Cell(text(test["outcome"] or "") or dim("unknown"), test["outcome"]),
                *(_score(test["scores"].get(name)) for name in scores),
            ]
        )
    columns = [
        Column("test", False),
        *_run_column(reports),
        *map(Column, ("USD", "tokens", "cached", "exchanges", "slowest first token", "findings")),
        Column("outcome", False),
        *(Column(f"score: {name}") for name in scores),
    ]
    order = [column.title for column in columns].index("USD" if is_priced else "tokens")
    return table(
        "Tests, those that cost most first", columns, rows, order=order, foot=_rest(tests[_TESTS:])
    )


def _score(score: float | None) -> Cell:
    return Cell(dim("no score"), None) if score is None else Cell(_share(score), score)


def _rest(tests: Sequence[tuple[int, JSONObject]]) -> str:
    if not tests:
        return ""
    tokens = [test["total_tokens"] for _, test in tests if test["total_tokens"] is not None]
    usd = [test["usd"] for _, test in tests if test["usd"] is not None]
    return (
        f"{plural(len(tests), 'more test')}: "
        f"{f'{sum(tokens):,} tokens' if tokens else 'tokens not reported'}, "
        f"{_usd(sum(usd) if usd else None)}{'' if usd else ' cost'}"
    )


_DEFINITIONS = """<details class="card"><summary>How these figures are measured</summary><dl>
<dt>first token</dt><dd>Seconds from the last byte of the request to the first chunk with content,
refusal, reasoning, audio or a part of a tool call. A chunk with the role alone does not count. The
first answer token is the first that is not reasoning.</dd>
<dt>output tokens per second</dt><dd>Tokens after those of the first chunk, divided by the seconds
from the first to the last chunk with a token. Not measurable for fewer than two such chunks, or
less than 50 ms.</dd>
<dt>tokens</dt><dd>As the responses report them. Responses without usage are counted, not
estimated.</dd>
<dt>USD</dt><dd>What the response says, else by the project's own table, else the list price of the
model at the host that was called. An unknown price is not 0.</dd>
<dt>list price</dt><dd>USD per million tokens. 3:1 is of three parts input and one output; 7:2:1 of
seven parts cached, two input and one output.</dd>
<dt>stall</dt><dd>A gap between chunks that is several times the usual one.</dd>
<dt>replayed</dt><dd>Times are those of the recording, and the cost is what the recording cost.</dd>
</dl></details>
"""

_STYLE = f"""{CARDS}
#tests tbody th {{ min-width: 11rem; }}
@media (min-width: 60rem) {{ #tests tbody th {{ min-width: 20rem; }} }}
"""
