"""Parts of charts with a row for each name: the name is in the row, and no axis is beside it."""

from __future__ import annotations

from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.pages.words import plain

__all__ = ["lanes", "rounded", "short", "uprights", "words"]

_NAME = 80
"""Characters of a name in a chart; tables have all of it."""


def short(name: str) -> str:
    name = plain(name).replace("\n", " ")
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def rounded(value: float) -> float:
    return float(f"{value:.4g}")


def lanes(count: int) -> JSONObject:
    """The vertical axis: each row of the chart is one unit high."""
    scale = {"domain": [0, count], "reverse": True, "nice": False}
    return {"type": "quantitative", "scale": scale, "axis": None}


_NOTE = 150  # pixels for the text at the right end of a row


def words(field: str, y: JSONObject, top: float, *, at_end: bool = False) -> JSONObject:
    """A layer with text at the left or at the right end of each row."""
    return {
        "transform": [{"calculate": f"datum.at + {top}", "as": "top"}],
        "mark": {
            "type": "text",
            "baseline": "top",
            "align": "right" if at_end else "left",
            "limit": {"expr": "width"} if at_end else {"expr": f"width - {_NOTE}"},
        },
        "encoding": {
            "y": {"field": "top", **y},
            "x": {"value": "width" if at_end else 0},
            "text": {"field": field},
        },
    }


def uprights(
    x: JSONObject, y: JSONObject, top: float, base: float, width: float = 1, colour: str = "text"
) -> JSONObject:
    """A layer with an upright line for each value, from `top` to `base` of its row."""
    return {
        "transform": [
            {"calculate": f"datum.at + {top}", "as": "top"},
            {"calculate": f"datum.at + {base}", "as": "base"},
        ],
        "mark": {"type": "rule", "strokeWidth": width, "stroke": f"var(--{colour})"},
        "encoding": {"x": x, "y": {"field": "top", **y}, "y2": {"field": "base"}},
    }
