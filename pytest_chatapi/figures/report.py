"""The report of a run: its figures by model, by test and by exchange, as JSON.

The schema is ``schemas/figures.json``. ``None`` is what is not known.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, NamedTuple

from pytest_chatapi import __version__
from pytest_chatapi.contract.schemas import load
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.errors import ReadError
from pytest_chatapi.figures.measure import Figures, Form, Timing, Tokens
from pytest_chatapi.figures.price import Cost, Prices
from pytest_chatapi.figures.summary import TOKENS, Group, Priced, by_model

__all__ = [
    "EXCLUDED",
    "OTHER_ENDING",
    "VERSION",
    "Score",
    "figures_of_row",
    "findings_by_test",
    "is_report",
    "merged",
    "priced_of_row",
    "read_report",
    "report_of",
    "row_of",
]

VERSION = 1
"""Of the form."""

OTHER_ENDING, EXCLUDED = "has another ending", "is excluded"
"""Why a file was not meant to be read; in ``unread`` beside those that could not be."""

_STREAMS = 3
"""How many streams of a model are kept chunk by chunk: the slowest."""
_MARKS = 2000
"""The most chunks of such a stream."""

# Members of a row and what they are in `Figures` and in `Timing`.
_PLAIN = {
    "test": "test",
    "model": "model",
    "source": "source",
    "stream": "is_stream",
    "requested_model": "requested_model",
    "host": "host",
    "organization": "organization",
    "project": "project",
    "tier": "tier",
    "server_tokens_per_second": "server_tokens_per_second",
}
_TIMES = {
    "seconds": "total",
    "ttft_seconds": "first_token",
    "first_chunk_seconds": "first_chunk",
    "first_answer_seconds": "first_answer",
    "tokens_per_second": "tokens_per_second",
    "unmeasured": "unmeasured",
    "token_chunks": "token_chunks",
    "tokens_per_chunk": "tokens_per_chunk",
    "first_chunk_tokens": "first_chunk_tokens",
    "stalls": "stalls",
    "longest_gap_seconds": "longest_gap",
}
_ID = "gen_ai.response.id"
_FINISHES = "gen_ai.response.finish_reasons"

_PROVIDERS = {
    "api.openai.com": "openai",
    ".openai.azure.com": "azure.ai.openai",
    ".services.ai.azure.com": "azure.ai.inference",
    "api.anthropic.com": "anthropic",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "-aiplatform.googleapis.com": "gcp.vertex_ai",
}
"""Ends of host names, and the provider's name in OpenTelemetry's conventions."""


class Score(NamedTuple):
    """What a test gave to what a model said, from 0 to 1.

    Attributes:
        model: ``""`` for each model that the test had an answer of.
    """

    test: str
    name: str
    value: float
    model: str = ""


# -- one exchange --------------------------------------------------------------------------------


def row_of(priced: Priced) -> JSONObject:
    """The figures of an exchange as JSON; with ``marks``, which a report has of few streams."""
    figures, cost = priced.figures, priced.cost
    tokens, timing = figures.tokens, figures.timing
    row: JSONObject = {name: getattr(figures, attribute) for name, attribute in _PLAIN.items()}
    row["status"] = figures.status or None
    row.update((f"{kind}_tokens", getattr(tokens, kind)) for kind in TOKENS)
    row.update((name, getattr(timing, attribute)) for name, attribute in _TIMES.items())
    row["usd"], row["usd_source"] = cost.usd, cost.source or None
    row["form"] = asdict(figures.form)
    row["findings"] = list(figures.findings)
    row["attributes"] = _attributes(figures)
    if timing.marks:
        row["marks"] = [list(mark) for mark in timing.marks]
    return row


def priced_of_row(row: JSONObject) -> Priced:
    """The figures that `row_of` made a row of, at what they cost then."""
    return Priced(figures_of_row(row), Cost(row["usd"], row["usd_source"] or ""))


def figures_of_row(row: JSONObject) -> Figures:
    """The figures that `row_of` made a row of."""
    values: dict[str, Any] = {attribute: row[name] for name, attribute in _PLAIN.items()}
    times = {attribute: row[name] for name, attribute in _TIMES.items()}
    attributes = row["attributes"]
    return Figures(
        **values,
        status=row["status"] or 0,
        tokens=Tokens(**{kind: row[f"{kind}_tokens"] for kind in TOKENS}),
        timing=Timing(**times, marks=tuple((time, kind) for time, kind in row.get("marks", ()))),
        wire_usd=row["usd"] if row["usd_source"] == "response" else None,
        form=Form(**{field.name: row["form"][field.name] for field in fields(Form)}),
        findings=tuple(row["findings"]),
        response_id=attributes.get(_ID, ""),
        finishes=tuple(attributes.get(_FINISHES, ())),
    )


def _attributes(figures: Figures) -> JSONObject:
    """The exchange in the names of OpenTelemetry's conventions for generative AI."""
    tokens = figures.tokens
    name = figures.host.partition(":")[0].lower()
    named = {
        "gen_ai.provider.name": next(
            (known for suffix, known in _PROVIDERS.items() if name.endswith(suffix)), None
        ),
        "server.address": name or None,
        "gen_ai.request.model": figures.requested_model or None,
        "gen_ai.request.stream": figures.is_stream,
        "gen_ai.response.model": figures.model or None,
        _ID: figures.response_id or None,
        _FINISHES: list(figures.finishes) or None,
        "gen_ai.response.time_to_first_chunk": figures.timing.first_chunk,
        "gen_ai.usage.input_tokens": tokens.prompt,
        "gen_ai.usage.output_tokens": tokens.completion,
        "gen_ai.usage.cache_read.input_tokens": tokens.cached,
        "gen_ai.usage.cache_creation.input_tokens": tokens.cache_write,
        "gen_ai.usage.reasoning.output_tokens": tokens.reasoning,
        "gen_ai.openai.response.service_tier": figures.tier or None,
    }
    known = {name: value for name, value in named.items() if value is not None}
    return {"gen_ai.operation.name": "chat", **known}


# -- a run ---------------------------------------------------------------------------------------


def report_of(
    exchanges: Iterable[Figures | Priced],
    prices: Prices,
    run: Mapping[str, JSON],
    outcomes: Mapping[str, str] | None = None,
    scores: Iterable[Score] = (),
) -> JSONObject:
    """The report of a run.

    Args:
        exchanges: those without a price get one.
        run: its ``kind``, and ``started``, ``skipped`` and ``unread``, where they are known.
        outcomes: of the tests, by node id.
    """
    every = Group(
        "",
        [one if isinstance(one, Priced) else Priced(one, prices.cost(one)) for one in exchanges],
    )
    tests: dict[str, Group] = {}
    for one in every.exchanges:
        if one.figures.test:
            tests.setdefault(one.figures.test, Group(one.figures.test)).exchanges.append(one)
    scores = list(scores)
    for score in scores:
        tests.setdefault(score.test, Group(score.test))
    rows = [row_of(one) for one in every.exchanges]
    return {
        "version": VERSION,
        "run": _run_row(every, run),
        "models": [_model_row(group, prices, scores) for group in by_model(every.exchanges)],
        "accounts": _account_rows(every),
        "tests": [
            _test_row(group, (outcomes or {}).get(name), scores) for name, group in tests.items()
        ],
        "exchanges": rows,
        "streams": _streams(rows),
    }


def merged(reports: Sequence[JSONObject], prices: Prices) -> JSONObject:
    """Several reports as one; what a test gave counts as its mean."""
    rows, skipped = list[JSONObject](), Counter[str]()
    for report in reports:
        first = len(rows)
        rows += [dict(row) for row in report["exchanges"]]
        for stream in report["streams"]:
            rows[first + stream["exchange"]]["marks"] = stream["marks"]
        skipped.update(report["run"]["skipped"])
    tests = [row for report in reports for row in report["tests"]]
    kinds = {report["run"]["kind"] for report in reports}
    run = {
        "kind": "pytest" if kinds == {"pytest"} else "recordings",
        "skipped": skipped,
        "unread": [one for report in reports for one in report["run"]["unread"]],
    }
    return report_of(
        map(priced_of_row, rows),
        prices,
        run,
        {row["test"]: row["outcome"] for row in tests if row["outcome"] is not None},
        [Score(row["test"], name, of) for row in tests for name, of in row["scores"].items()],
    )


def _run_row(every: Group, run: Mapping[str, JSON]) -> JSONObject:
    return {
        "kind": run["kind"],
        "started": run.get("started"),
        "tool": f"pytest-chatapi {__version__}",
        **every.sums(),
        "spent_usd": _usd(every, "live"),
        "saved_usd": _usd(every, "replayed"),
        "skipped": dict(run.get("skipped") or {}),
        "unread": list(run.get("unread") or ()),
    }


def _usd(every: Group, source: str) -> float | None:
    return Group("", [one for one in every.exchanges if one.figures.source == source]).usd


def _model_row(group: Group, prices: Prices, scores: Sequence[Score]) -> JSONObject:
    own = {one.figures.test for one in group.exchanges}
    values: dict[str, list[float]] = {}
    for score in scores:
        if score.model == group.name or (not score.model and score.test in own):
            values.setdefault(score.name, []).append(score.value)
    # One exchange for each way to look up the price.
    asked = {(f.model, f.requested_model, f.host): f for f in (e.figures for e in group.exchanges)}
    listed = (price for figures in asked.values() if (price := prices.listed(figures)))
    return {
        **group.to_json(),
        "list_price": next(listed, None),
        "quality_index": prices.quality(group.name),
        "scores": {name: _interval(of) for name, of in values.items()},
    }


def _interval(values: Sequence[float]) -> JSONObject:
    """The mean with a 95% interval by Wilson's score, which is wide enough for any values from 0
    to 1, and exact for those that are 0 or 1.
    """
    n, z2 = len(values), 1.959964**2
    mean = math.fsum(values) / n
    middle = (mean * n + z2 / 2) / (n + z2)
    half = math.sqrt(z2 * (mean * (1 - mean) * n + z2 / 4)) / (n + z2)
    return {"n": n, "mean": mean, "low": max(0.0, middle - half), "high": min(1.0, middle + half)}


def _account_rows(every: Group) -> list[JSONObject]:
    """One row for each organization and project that is known."""
    accounts: dict[tuple[str, str], Group] = {}
    for one in every.exchanges:
        names = one.figures.organization, one.figures.project
        if any(names):
            accounts.setdefault(names, Group("")).exchanges.append(one)
    return [
        {"organization": organization, "project": project, **group.sums()}
        for (organization, project), group in accounts.items()
    ]


def _test_row(group: Group, outcome: str | None, scores: Sequence[Score]) -> JSONObject:
    own: dict[str, list[float]] = {}
    for score in scores:
        if score.test == group.name:
            own.setdefault(score.name, []).append(score.value)
    return {
        "test": group.name,
        "outcome": outcome,
        **group.sums(),
        "ttft_seconds": group.slowest_first_token,
        "scores": {name: math.fsum(values) / len(values) for name, values in own.items()},
    }


def _streams(rows: Sequence[JSONObject]) -> list[JSONObject]:
    """The slowest streams of each model, chunk by chunk; takes the marks out of the rows."""
    slowest = sorted(
        (number for number, row in enumerate(rows) if "marks" in row),
        key=lambda number: -(rows[number]["seconds"] or 0),
    )
    kept: list[JSONObject] = []
    counts: Counter[str] = Counter()
    for number in slowest:
        marks, model = rows[number].pop("marks"), rows[number]["model"]
        counts[model] += 1
        if counts[model] <= _STREAMS:
            kept.append({"exchange": number, "marks": marks[:_MARKS]})
    return kept


# -- a file --------------------------------------------------------------------------------------


def read_report(path: str | os.PathLike[str]) -> JSONObject:
    """The report in a file.

    Raises:
        ReadError: it cannot be read, or is not a report of this version.
    """
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            report: JSONObject = json.load(file)
    except OSError as error:
        raise ReadError(name, "", f"cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise ReadError(name, "", "is not a report: it is not JSON") from None
    if not is_report(report):
        raise ReadError(name, "", "is not a report of figures: make one with --chatapi-report")
    if report["version"] != VERSION:
        raise ReadError(
            name, "", f"is a report of version {report['version']!r}, and this reads {VERSION}"
        )
    violations, _ = load("figures").violations(report)
    for steps, problem, _ in violations[:1]:
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
        expected = f"expected {problem.expected}"
        raise ReadError(name, f"${place}", f"is not as schemas/figures.json says: {expected}")
    for number, stream in enumerate(report["streams"]):
        if stream["exchange"] >= len(report["exchanges"]):
            place = f"$.streams[{number}].exchange"
            raise ReadError(name, place, f"there is no exchange {stream['exchange']}")
    return report


def findings_by_test(report: JSONObject) -> Counter[str]:
    """Errors and warnings of each test of a report; ``""`` has those outside of a test."""
    counts: Counter[str] = Counter()
    for exchange in report["exchanges"]:
        counts[exchange["test"]] += sum(
            finding["level"] != "note" for finding in exchange["findings"]
        )
    return counts


def is_report(value: JSON) -> bool:
    """Whether JSON looks like a report, of whatever version."""
    return (
        isinstance(value, dict)
        and "version" in value
        and isinstance(value.get("run"), dict)
        and all(isinstance(value.get(name), list) for name in ("models", "tests", "exchanges"))
    )
