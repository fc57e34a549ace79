"""Tables that a page's reader can sort by any column, with the keyboard too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pytest_chatapi.pages.words import text

__all__ = ["Cell", "Column", "table"]


class Column(NamedTuple):
    """The heading of a column; of numbers the largest comes first when it is sorted."""

    title: str
    is_number: bool = True


class Cell(NamedTuple):
    """What a cell shows, as HTML, and what it is sorted by; ``None`` is always last."""

    html: str
    key: float | str | None


def table(
    title: str,
    columns: Sequence[Column],
    rows: Iterable[Sequence[Cell]],
    *,
    order: int | None = None,
    foot: str = "",
) -> str:
    """A table, in a part of the page that scrolls by itself where it is too wide.

    Args:
        title: plain text.
        rows: the first cell of each is its heading.
        order: the column by which the rows are already sorted, the largest first.
        foot: HTML for a last row, which is not sorted.
    """
    head = "".join(
        f'<th scope="col"{" class=n" if column.is_number else ""}'
        f"{' aria-sort=descending' if at == order else ''}>"
        f'<button type="button"{" data-number" if column.is_number else ""}>'
        f"{text(column.title)}</button></th>"
        for at, column in enumerate(columns)
    )
    body = "".join(f"<tr>{_cells(columns, row)}</tr>\n" for row in rows)
    last = f'<tfoot><tr><td colspan="{len(columns)}">{foot}</td></tr></tfoot>' if foot else ""
    return (
        f'<h3>{text(title)}</h3><div class="wide" role="region" tabindex="0" '
        f'aria-label="{text(title)}"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody>{last}</table></div>\n"
    )


def _cells(columns: Sequence[Column], row: Sequence[Cell]) -> str:
    parts = []
    for at, (column, cell) in enumerate(zip(columns, row, strict=True)):
        start, end = ('th scope="row"', "th") if at == 0 else ("td", "td")
        key = "" if cell.key is None else str(cell.key)
        kind = " class=n" if column.is_number else ""
        parts.append(f'<{start}{kind} data-key="{text(key)}">{cell.html}</{end}>')
    return "".join(parts)
