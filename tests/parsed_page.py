"""What is in a page of a report, for tests. Not a test."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from pytest_chatapi.contract.wire import JSONObject


class Parsed(HTMLParser):
    """What a browser finds in a page.

    Attributes:
        text: of the page, without scripts and style.
        scripts: attributes and content.
        tables: by their titles, rows of texts of cells; the first row is the head.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._rows: list[list[str]] = []
        self._inside = ""
        self._is_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        of = dict(attrs)
        self.tags.append((tag, of))
        if tag == "script":
            self.scripts.append((of, ""))
        elif of.get("class") == "wide":
            self._rows = self.tables[of["aria-label"] or ""] = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
            self._is_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""
        if tag in ("td", "th"):
            self._is_cell = False

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] = self.scripts[-1][0], data
        elif self._inside != "style":
            self.text += data
            if self._is_cell:
                self._rows[-1][-1] += data

    @property
    def charts(self) -> list[JSONObject]:
        return [
            json.loads(content)
            for attributes, content in self.scripts
            if attributes.get("type") == "application/json"
        ]
