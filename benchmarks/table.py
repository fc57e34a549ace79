"""The table that a benchmark prints, and its place in docs/benchmarks.md. Not a benchmark."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
HEAD = "| what | measured | result | target | |\n|---|---|---:|---:|---|"


class Row(NamedTuple):
    """One line of a table.

    Attributes:
        what: is measured.
        measured: the absolute values.
        result: what they come to; ``None`` where it cannot be measured here.
        most, least: the target, where there is one.
        unit: of result and target.
    """

    what: str
    measured: str
    result: float | None
    most: float | None = None
    least: float | None = None
    unit: str = "x"

    @property
    def missed(self) -> bool:
        """Judged as it is shown."""
        if self.result is None:
            return False
        shown = round(self.result, 2)
        return (self.most is not None and shown > self.most) or (
            self.least is not None and shown < self.least
        )

    def __str__(self) -> str:
        result = "n/a" if self.result is None else f"{self.result:.2f} {self.unit}"
        sign, bound = (">=", self.least) if self.most is None else ("<=", self.most)
        target = "" if bound is None else f"{sign} {bound:g} {self.unit}"
        verdict = "" if bound is None or self.result is None else "ok"
        if self.missed:
            verdict = "MISSED"
        return f"| {self.what} | {self.measured} | {result} | {target} | {verdict} |"


def median(run: Callable[[], float], rounds: int = 5) -> float:
    return statistics.median(run() for _ in range(rounds))


def parser(about: str | None) -> argparse.ArgumentParser:
    """Has the options that `show` wants."""
    made = argparse.ArgumentParser(description=(about or "").partition("\n")[0])
    made.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    made.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    return made


def show(rows: Iterable[Row], name: str, options: argparse.Namespace) -> int:
    """Prints rows as they come.

    Args:
        rows: may be measured one by one.
        name: of the place in docs/benchmarks.md, between ``<!-- NAME:start -->`` and
            ``<!-- NAME:end -->``.
        options: of a `parser`.

    Returns:
        The exit status.
    """
    print(HEAD)
    lines, missed = [HEAD], False
    for row in rows:
        print(row, flush=True)
        lines.append(str(row))
        missed |= row.missed
    if options.write:
        text = PAGE.read_text(encoding="utf-8")
        start, end = f"<!-- {name}:start -->\n", f"<!-- {name}:end -->"
        head, found, rest = text.partition(start)
        _, ended, tail = rest.partition(end)
        if not (found and ended):
            raise SystemExit(f"docs/benchmarks.md has no place for the table: {start}{end}")
        table = "\n".join(lines)
        PAGE.write_text(f"{head}{start}{table}\n{end}{tail}", encoding="utf-8")
    return int(missed and options.check)
