"""Writes the tables that are made from the code into the documentation: run it after a change."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_chatapi import faults
from pytest_chatapi.mock.builders import builders_table

DOCS = Path(__file__).resolve().parent.parent / "docs"
TABLES = {"builders": ("mock.md", builders_table), "faults": ("faults.md", faults.table)}


def with_table(name: str) -> tuple[Path, str, str]:
    """The page, its text as it stands, and as it should be."""
    file, make = TABLES[name]
    page = DOCS / file
    text = page.read_text(encoding="utf-8")
    block = f"<!-- {name}:start -->\n{make()}<!-- {name}:end -->"
    pattern = re.compile(f"<!-- {name}:start -->.*?<!-- {name}:end -->", re.DOTALL)
    return page, text, pattern.sub(lambda _: block, text)


if __name__ == "__main__":
    for table in TABLES:
        page, _, text = with_table(table)
        page.write_text(text, encoding="utf-8")
