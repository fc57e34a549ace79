"""The chart of a rate by day: a specification for Vega-Lite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.logs.rates import Rate
from pytest_chatapi.pages.charts import Rows, chart
from pytest_chatapi.pages.lanes import lanes, rounded, short, words

__all__ = ["Lane", "by_day"]

_LABELS = 5


class Lane(NamedTuple):
    """A row of the chart.

    Attributes:
        shown: text at the right end.
        days: ``YYYY-MM-DD``.
        changes: days of changes, and what each one is.
    """

    name: str
    shown: str
    days: Mapping[str, Rate]
    changes: Mapping[str, str]


def by_day(title: str, of: Sequence[Lane]) -> str:
    """A row for each model: its rate on each day as a bar with the interval of 95%, on a scale of
    its own. A day with rows but without the finding is a thin line; a dashed one is a change.
    """
    first = min(_number(day) for lane in of for day in lane.days)
    last = max(_number(day) for lane in of for day in lane.days)
    bars, changes, names = [], [], []
    for at, lane in enumerate(of):
        top = max(rate.interval[1] if rate.found else rate.value for rate in lane.days.values())

        def height(value: float, at: int = at, top: float = top or 1.0) -> float:
            return rounded(at + 0.94 - 0.52 * min(1.0, value / top))

        for day, rate in lane.days.items():
            low, high = rate.interval if rate.found else (0.0, 0.0)
            middle = _number(day) - first
            heights = [height(value) for value in (rate.value, low, high)]
            heights[0] = min(heights[0], rounded(at + 0.925))
            bars.append((middle - 0.4, middle + 0.4, middle, at + 0.94, *heights))
        names.append((at, short(lane.name), lane.shown))
        for day, text in lane.changes.items():
            begin = _number(day) - first - 0.5
            is_late = begin > (last - first) / 2
            changes.append((at + 0.24, at + 0.94, begin, "" if is_late else text, text * is_late))
    y = lanes(len(of))
    x: JSONObject = {
        "type": "quantitative",
        "title": None,
        "scale": {"domain": [-0.5, last - first + 0.5], "nice": False},
        "axis": _axis(first, last),
    }
    note: JSONObject = {"type": "text", "baseline": "top", "fontSize": 11}
    layer: list[JSONObject] = [
        {
            "data": {"name": "bars"},
            "mark": {"type": "rect", "fill": "var(--run1)", "opacity": 0.55},
            "encoding": {
                "x": {"field": "from", **x},
                "x2": {"field": "to"},
                "y": {"field": "base", **y},
                "y2": {"field": "top"},
            },
        },
        {
            "data": {"name": "bars"},
            "mark": {"type": "rule", "stroke": "var(--text)"},
            "encoding": {
                "x": {"field": "day", **x},
                "y": {"field": "low", **y},
                "y2": {"field": "high"},
            },
        },
        {
            "data": {"name": "changes"},
            "mark": {"type": "rule", "stroke": "var(--run2)", "strokeDash": [4, 2], "size": 2},
            "encoding": {
                "x": {"field": "day", **x},
                "y": {"field": "top", **y},
                "y2": {"field": "base"},
            },
        },
    ]
    for field, align, dx in (("right", "left", 4), ("left", "right", -4)):
        layer.append(
            {
                "data": {"name": "changes"},
                "mark": {**note, "align": align, "dx": dx, "fill": "var(--run2)"},
                "encoding": {
                    "x": {"field": "day", **x},
                    "y": {"field": "top", **y},
                    "text": {"field": field},
                },
            }
        )
    layer += [
        {"data": {"name": "rows"}, **words("name", y, 0.06)},
        {"data": {"name": "rows"}, **words("shown", y, 0.06, at_end=True)},
    ]
    specification = {"width": "container", "height": 92 * len(of), "layer": layer}
    data = {
        "bars": Rows(("from", "to", "day", "base", "top", "low", "high"), bars),
        "changes": Rows(("top", "base", "day", "right", "left"), changes),
        "rows": Rows(("at", "name", "shown"), names),
    }
    return chart(title, specification, data)


def _number(day: str) -> int:
    return date.fromisoformat(day).toordinal()


def _axis(first: int, last: int) -> JSONObject:
    step = max(1, -(-(last - first + 1) // _LABELS))
    days = range(first, last + 1, step)
    names = [date.fromordinal(day).strftime("%m-%d") for day in days]
    values = [day - first for day in days]
    label = f"{names}[indexof({values}, datum.value)]"
    return {"values": values, "labelExpr": label, "grid": False}
