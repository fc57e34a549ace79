"""The charts of the report: specifications for Vega-Lite, with values counted into bins before.

A row of a chart has its name in it and no axis beside it, so charts have room in 400 pixels. Runs
differ by shape as well as by colour.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.pages.charts import Rows, chart
from pytest_chatapi.pages.lanes import lanes, rounded, short, uprights, words

__all__ = ["KINDS", "Bins", "Mark", "Sample", "bins_of", "histogram", "ranges", "timeline"]

KINDS = "role", "reasoning", "answer", "tool", "usage", "other"
"""What a chunk can bring, in the order of the lanes."""

_RUN_COLOURS = tuple(f"var(--run{number})" for number in range(1, 5))
_RUN_SHAPES = "circle", "square", "triangle-up", "diamond"


def _of_run(values: Sequence[str]) -> JSONObject:
    scale = {"domain": [0, 1, 2, 3], "range": list(values)}
    return {"field": "run", "type": "ordinal", "scale": scale, "legend": None}


# -- models side by side -------------------------------------------------------------------------


class Mark(NamedTuple):
    """A model in one of the charts that compare them: a value, and the range around it."""

    name: str
    run: int
    low: float
    middle: float
    high: float
    shown: str


def ranges(title: str, note: str, marks: Sequence[Mark], form: str = "") -> str:
    """A row for each model: its value as a point on the range.

    Args:
        form: of the numbers of the axis, in the language of d3-format.
    """
    rows = [
        (at, short(name), run % 4, *map(rounded, (low, middle, high)), shown)
        for at, (name, run, low, middle, high, shown) in enumerate(marks)
    ]
    y = lanes(len(rows))
    x = {
        "type": "quantitative",
        "title": None,
        "scale": {"domain": [0, max(mark.high for mark in marks) or 1], "nice": True},
        "axis": {"tickCount": 5, **({"format": form} if form else {})},
    }
    line = {"field": "line", **y}
    specification = {
        "width": "container",
        "height": 38 * len(rows),
        "data": {"name": "models"},
        "transform": [{"calculate": "datum.at + 0.7", "as": "line"}],
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 5, "opacity": 0.35, "strokeCap": "round"},
                "encoding": {
                    "x": {"field": "low", **x},
                    "x2": {"field": "high"},
                    "y": line,
                    "color": _of_run(_RUN_COLOURS),
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                "encoding": {
                    "x": {"field": "middle", **x},
                    "y": line,
                    "color": _of_run(_RUN_COLOURS),
                    "shape": _of_run(_RUN_SHAPES),
                },
            },
            words("name", y, 0.08),
            words("shown", y, 0.08, at_end=True),
        ],
    }
    columns = ("at", "name", "run", "low", "middle", "high", "shown")
    return chart(title, specification, {"models": Rows(columns, rows)}, note)


# -- distributions -------------------------------------------------------------------------------


class Bins(NamedTuple):
    """How many values are between two neighbours of `edges`, for each sample."""

    edges: list[float]
    counts: list[list[int]]
    is_log: bool


class Sample(NamedTuple):
    """A row of a distribution; `marked` are the few values that are marked one by one."""

    name: str
    run: int
    median: float
    shown: str
    marked: Sequence[float]


def bins_of(samples: Sequence[Sequence[float]]) -> Bins:
    """Bins for all samples: of equal width, on a logarithmic scale if they differ that much."""
    low = min(map(min, samples))
    high = max(map(max, samples))
    is_log = low > 0 and high / low > 10
    if is_log:
        steps = 20 if sum(map(len, samples)) >= 500 else 10  # to a power of ten
        first, last = math.floor(math.log10(low) * steps), math.ceil(math.log10(high) * steps)
        edges = [10 ** (step / steps) for step in range(first, last + 1)]
    else:
        width = _nice((high - low) / 40 or high / 10 or 1.0)
        first = math.floor(low / width)
        last = max(math.ceil(high / width), first + 1)
        edges = [step * width for step in range(first, last + 1)]
    counts = []
    for values in samples:
        of_sample = [0] * (len(edges) - 1)
        for value in values:
            of_sample[min(max(bisect_right(edges, value) - 1, 0), len(of_sample) - 1)] += 1
        counts.append(of_sample)
    return Bins([rounded(edge) for edge in edges], counts, is_log)


def _nice(width: float) -> float:
    """The next of 1, 2, 5, 10, ..., or a tenth of them."""
    power = 10.0 ** math.floor(math.log10(width))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= width)


def histogram(title: str, unit: str, samples: Sequence[Sample], bins: Bins) -> str:
    """A row for each model: its bins, its median, and its extreme values one by one."""
    edges = bins.edges
    bars, medians, marked = [], [], []
    for at, (sample, counts) in enumerate(zip(samples, bins.counts, strict=True)):
        largest = max(counts)
        bars += [
            (
                at + 0.86,
                rounded(at + 0.86 - 0.54 * count / largest),
                edges[bin],
                edges[bin + 1],
                sample.run % 4,
            )
            for bin, count in enumerate(counts)
            if count
        ]
        medians.append((at, short(sample.name), rounded(sample.median), sample.shown))
        marked += [(at, rounded(value)) for value in sample.marked]
    y = lanes(len(samples))
    x: JSONObject = {
        "type": "quantitative",
        "title": unit,
        "scale": {"domain": [edges[0], edges[-1]], "nice": False, "zero": False},
        "axis": {"tickCount": 6},
    }
    if bins.is_log:
        x["scale"] |= {"type": "log"}
        x["axis"] = {"values": _round_values(edges[0], edges[-1]), "format": "~g"}
    specification = {
        "width": "container",
        "height": 76 * len(samples),
        "layer": [
            {
                "data": {"name": "bins"},
                "mark": {"type": "rect", "opacity": 0.55},
                "encoding": {
                    "color": _of_run(_RUN_COLOURS),
                    "x": {"field": "from", **x},
                    "x2": {"field": "to"},
                    "y": {"field": "base", **y},
                    "y2": {"field": "top"},
                },
            },
            {"data": {"name": "marked"}, **uprights({"field": "value", **x}, y, 0.88, 0.95)},
            {"data": {"name": "rows"}, **uprights({"field": "median", **x}, y, 0.28, 0.86, 2)},
            {"data": {"name": "rows"}, **words("name", y, 0.06)},
            {"data": {"name": "rows"}, **words("shown", y, 0.06, at_end=True)},
        ],
    }
    data = {
        "bins": Rows(("base", "top", "from", "to", "run"), bars),
        "marked": Rows(("at", "value"), marked),
        "rows": Rows(("at", "name", "median", "shown"), medians),
    }
    return chart(title, specification, data)


def _round_values(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, ... from `low` to `high`; only powers of ten where these are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(powers) <= 4 else (1,)
    values = [rounded(step * 10.0**power) for power in powers for step in steps]
    return [value for value in values if low <= value <= high]


# -- one stream ----------------------------------------------------------------------------------

_FINEST = 800
"""Chunks of a kind that are nearer than the stream's time by this are one mark."""


def timeline(title: str, marks: Iterable[Sequence[Any]]) -> str:
    """A lane for each kind of chunk, and a mark for each chunk."""
    marks = list(marks)
    present = [kind for kind in KINDS if any(kind == of for _, of in marks)]
    end = max((seconds for seconds, _ in marks), default=0.0) or 1.0
    drawn = {
        (round(seconds / end * _FINEST), present.index(kind)): rounded(seconds)
        for seconds, kind in reversed(marks)
        if kind in present
    }
    rows = sorted((lane, seconds) for (_, lane), seconds in drawn.items())
    y = lanes(len(present))
    x = {
        "type": "quantitative",
        "title": "seconds after the request",
        "scale": {"domain": [0, rounded(end)], "nice": False},
        "axis": {"tickCount": 8},
    }
    specification = {
        "width": "container",
        "height": 44 * len(present),
        "layer": [
            {
                "data": {"name": "chunks"},
                **uprights({"field": "seconds", **x}, y, 0.42, 0.92, 1.5, "run1"),
            },
            {"data": {"name": "lanes"}, **words("kind", y, 0.06)},
        ],
    }
    kinds = [(lane, kind) for lane, kind in enumerate(present)]
    data = {"chunks": Rows(("at", "seconds"), rows), "lanes": Rows(("at", "kind"), kinds)}
    return chart(title, specification, data)
