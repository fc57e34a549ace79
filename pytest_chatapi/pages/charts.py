"""Charts in a page: Vega-Lite specifications, and the script that draws them.

The script is built by ``.ci/charts/renew``. A page carries it compressed, because it is most of the
page. Colours are variables of the page's style, so charts are light or dark as the page is.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from pytest_chatapi.contract.wire import JSONObject
from pytest_chatapi.pages.words import text

__all__ = ["Rows", "bundle", "chart", "packed"]

_VENDORED = Path(__file__).with_name("vendor") / "charts.min.js"


class Rows(NamedTuple):
    """The data of a chart, without the names of the columns in each row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@cache
def bundle() -> str:
    """The script that draws charts."""
    return _VENDORED.read_text(encoding="ascii")


@cache
def packed() -> str:
    """The script as a part of a page, where nothing runs yet."""
    data = base64.b64encode(gzip.compress(bundle().encode(), mtime=0)).decode()
    theme = escape(_json(_THEME))
    return f'<script type="text/plain" id="bundle" data-theme="{theme}">{data}</script>'


def chart(title: str, specification: JSONObject, data: Mapping[str, Rows], note: str = "") -> str:
    """A figure with a chart.

    Args:
        title: plain text, also for people who do not see the chart: a table beside it has to have
            the same figures.
        specification: Vega-Lite, without data and config.
        data: by the names that the specification uses.
        note: plain text after the title.
    """
    values = {name: rows._asdict() for name, rows in data.items()}
    return (
        f'<figure class="plot"><figcaption><b>{text(title)}</b> {text(note)}</figcaption>'
        f'<div class="chart" role="img" aria-label="Chart: {text(title)}"></div>'
        f'<script type="application/json">{_json({**specification, "datasets": values})}</script>'
        "</figure>\n"
    )


def _json(value: Any) -> str:
    """JSON that cannot end the element which it is in."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


_FONT = "system-ui, sans-serif"
_THEME: JSONObject = {
    "aria": False,  # the chart as a whole has a label, and a table beside it
    "background": None,
    "font": _FONT,
    "padding": {"left": 0, "right": 1, "top": 0, "bottom": 4},
    "autosize": {"type": "fit-x", "contains": "padding"},
    "view": {"stroke": None},
    "axis": {
        "domainColor": "var(--line)",
        "gridColor": "var(--line)",
        "gridOpacity": 0.7,
        "tickColor": "var(--line)",
        "labelColor": "var(--dim)",
        "labelFontSize": 11,
        "titleColor": "var(--dim)",
        "titleFontSize": 11,
        "titleFontWeight": "normal",
    },
    "text": {"font": _FONT, "fontSize": 12, "fill": "var(--text)"},
    "legend": {"labelColor": "var(--text)", "titleColor": "var(--dim)"},
}
