"""How often each finding is in a log: counts that can be added up in any order.

The counts of a log are the same however it was split, and in whatever order its parts were read.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

from pytest_chatapi.contract.catalogue import FAMILIES, rules
from pytest_chatapi.contract.findings import LEVELS, Finding
from pytest_chatapi.contract.wire import JSON, JSONObject
from pytest_chatapi.logs.exercised import could_have
from pytest_chatapi.logs.rows import UNREAD, CheckedRow, row_hash, shown
from pytest_chatapi.reading.mapped import Mapped

__all__ = ["EXAMPLES", "FORM", "Example", "Found", "Group", "Rate", "Rates", "day_of", "name_of"]

EXAMPLES = 3
"""Examples that are kept of each finding, of each group."""

FORM = 2
"""Of `Rates.to_json`, the bits of `exercised` included: a state of another form is not used."""

_Z = 1.959964
"""Standard normal quantile of a two-sided interval of 95%."""


class Rate(NamedTuple):
    """A number of rows out of those that could have had a finding."""

    found: int
    rows: int

    @property
    def value(self) -> float:
        """From 0 to 1; 0 without rows."""
        return self.found / self.rows if self.rows else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval of 95% for the rate behind these rows; all of 0 to 1 without any."""
        n = self.rows
        if not n:
            return 0.0, 1.0
        p, z2 = self.value, _Z * _Z
        middle = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        # Rounding must not move the ends of 0 and 1 inwards.
        low = 0.0 if not self.found else max(0.0, middle - half)
        return low, 1.0 if self.found == n else min(1.0, middle + half)

    def __add__(self, other: object) -> Rate:
        if not isinstance(other, Rate):
            return NotImplemented
        return Rate(self.found + other.found, self.rows + other.rows)


class Group(NamedTuple):
    """What rates are told by.

    Attributes:
        provider: host or name; empty where it is not known.
        model: empty where it is not known.
        day: ``YYYY-MM-DD`` in UTC; empty where it is not known.
    """

    provider: str = ""
    model: str = ""
    day: str = ""


class Example(NamedTuple):
    """One row with a finding; its texts are without secrets.

    Attributes:
        order: those with the lowest are kept: a hash of the row's id, so that neither order nor
            splitting of the log decides.
        id: of the row; may be empty.
        place: ``FILE:LINE``, as far as it is known.
        path, got, message: those of the finding.
    """

    order: str
    id: str
    place: str
    path: str
    got: str
    message: str


@dataclass
class Found:
    """The rows of a group with one finding.

    Attributes:
        rows: number of them; a row that has it several times counts once.
        first, last: seconds since 1970; ``None`` where no row has a time.
    """

    rows: int = 0
    first: float | None = None
    last: float | None = None
    examples: list[Example] = field(default_factory=list)

    def count(self, time: float | None) -> None:
        """Count one row."""
        self.rows += 1
        if time is not None:
            if self.first is None or time < self.first:
                self.first = time
            if self.last is None or time > self.last:
                self.last = time

    def add(self, other: Found) -> None:
        self.rows += other.rows
        times = [time for time in (self.first, other.first) if time is not None]
        self.first = min(times, default=None)
        times = [time for time in (self.last, other.last) if time is not None]
        self.last = max(times, default=None)
        self.examples = sorted(self.examples + other.examples)[:EXAMPLES]


_Key = tuple[str, str, Group]  # code, level, group


@dataclass
class Rates:
    """The counts of a log, or of a part of it.

    Attributes:
        checked: number of checked rows of each group, by what they exercise (see
            `CheckedRow.exercised`).
        found: by code, level and group. A row counts for a code once, with its worst level.
        skipped: rows that were not checked, by the API that they are of, or what they lack.
        left_out: rows that were not asked for, by the reason.
        assembled, unanswered, unasked: see `Report`.
        files: number of files read.
        mapped: what the mapping has found, if there is one.
    """

    checked: defaultdict[Group, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    found: dict[_Key, Found] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    assembled: int = 0
    unanswered: int = 0
    unasked: int = 0
    files: int = 0
    mapped: Mapped = field(default_factory=Mapped)

    def count(self, row: CheckedRow, place: str = "") -> None:
        """Count one row.

        Args:
            place: ``FILE:LINE``.
        """
        if row.skipped:
            self.skipped[row.skipped] += 1
            return
        if row.problem:
            order = _order(row, place)
            self._add((UNREAD, "error", Group()), row, order, place, "", "", row.problem)
            return
        group = Group(row.provider, row.model, day_of(row.time))
        self.checked[group][row.exercised] += 1
        self.assembled += row.is_assembled
        self.unanswered += row.is_unanswered
        self.unasked += row.is_unasked
        if not row.findings:
            return
        order = _order(row, place)
        for one in _worst(row.findings):
            key = one.code, one.level, group
            self._add(key, row, order, place, one.path, one.got, one.message)

    def _add(self, key: _Key, row: CheckedRow, order: str, place: str, *texts: str) -> None:
        found = self.found.get(key)
        if found is None:
            found = self.found[key] = Found()
        found.count(row.time)
        if len(found.examples) < EXAMPLES or order <= found.examples[-1].order:
            example = Example(order, shown(row.id), place, *texts)
            found.examples = sorted([*found.examples, example])[:EXAMPLES]

    def add(self, other: Rates) -> None:
        """Add the counts of another part."""
        for group, counts in other.checked.items():
            self.checked[group].update(counts)
        for key, found in other.found.items():
            self.found.setdefault(key, Found()).add(found)
        self.skipped.update(other.skipped)
        self.left_out.update(other.left_out)
        self.assembled += other.assembled
        self.unanswered += other.unanswered
        self.unasked += other.unasked
        self.files += other.files
        self.mapped.add(other.mapped)

    # -- what they say ------------------------------------------------------------------

    @property
    def rows(self) -> int:
        """Number of checked rows."""
        return sum(counts.total() for counts in self.checked.values())

    @property
    def unread(self) -> int:
        return sum(found.rows for (code, *_), found in self.found.items() if code == UNREAD)

    def exercised(self, code: str) -> dict[Group, int]:
        """How many rows of each group could have had a finding, or any of a family, without groups
        of none.
        """
        if code == UNREAD:
            return {Group(): self.rows + self.skipped.total() + self.unread}
        rows = {
            group: sum(n for exercised, n in counts.items() if could_have(exercised, code))
            for group, counts in self.checked.items()
        }
        return {group: n for group, n in rows.items() if n}

    def codes(self) -> list[str]:
        """The codes that were found, the worst level first, then in the catalogue's order."""
        order = {code: at for at, code in enumerate([UNREAD, *rules()])}
        worst: dict[str, int] = {}
        for code, level, _ in self.found:
            at = LEVELS.index(level)
            worst[code] = min(at, worst.get(code, at))
        return sorted(worst, key=lambda code: (worst[code], order[code]))

    def level(self, code: str) -> str:
        """The worst level at which a code was found."""
        return min((lvl for found, lvl, _ in self.found if found == code), key=_severity)

    def by_group(self, code: str, levels: Iterable[str] = LEVELS) -> dict[Group, Rate]:
        """The rate of a code in each group that exercised it.

        Args:
            levels: those that count.
        """
        kept = frozenset(levels)
        counts: Counter[Group] = Counter()
        for (found_code, level, group), found in self.found.items():
            if found_code == code and level in kept:
                counts[group] += found.rows
        return {group: Rate(counts[group], n) for group, n in self.exercised(code).items()}

    def by_model(self, code: str, levels: Iterable[str] = LEVELS) -> dict[Group, Rate]:
        """`by_group`, the days of each provider and model together."""
        rates: dict[Group, Rate] = {}
        for group, rate in self.by_group(code, levels).items():
            whole = group._replace(day="")
            rates[whole] = rates.get(whole, Rate(0, 0)) + rate
        return rates

    def total(self, code: str) -> Rate:
        """The rate of a code in all rows that could have had it."""
        return Rate(self.all_found(code).rows, sum(self.exercised(code).values()))

    def models_with(self, code: str) -> list[tuple[Group, Rate]]:
        """The providers and models that have a code, the one that surely has it most often first:
        a single row of its own is no reason to come first.
        """
        found = [(group, rate) for group, rate in self.by_model(code).items() if rate.found]
        return sorted(found, key=lambda one: (-one[1].interval[0], one[0]))

    def found_by_model(self, code: str) -> dict[Group, Found]:
        """First and last, and examples, of each provider and model, over all levels and days."""
        by_model: dict[Group, Found] = {}
        for (found_code, _, group), found in self.found.items():
            if found_code == code:
                by_model.setdefault(group._replace(day=""), Found()).add(found)
        return by_model

    def all_found(self, code: str) -> Found:
        """First and last, and examples, over all levels, days, providers and models."""
        total = Found()
        for found in self.found_by_model(code).values():
            total.add(found)
        return total

    def days(self) -> list[str]:
        """The days of the checked rows, in order."""
        return sorted({group.day for group in self.checked} - {""})

    # -- as data ------------------------------------------------------------------------

    def to_json(self) -> JSONObject:
        """Plain data in a fixed order, for the state of a run and for other processes."""
        return {
            "checked": [
                [*group, dict(sorted(counts.items()))]
                for group, counts in sorted(self.checked.items())
            ],
            "found": [
                [code, level, *group, found.rows, found.first, found.last, found.examples]
                for (code, level, group), found in sorted(
                    self.found.items(), key=lambda item: item[0]
                )
            ],
            "skipped": dict(sorted(self.skipped.items())),
            "left_out": dict(sorted(self.left_out.items())),
            "assembled": self.assembled,
            "unanswered": self.unanswered,
            "unasked": self.unasked,
            "files": self.files,
            "mapped": [self.mapped.exchanges, sorted(self.mapped.members), self.mapped.keys],
        }

    @classmethod
    def from_json(cls, data: JSONObject) -> Rates:
        """The inverse of `to_json`.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: it is something else.
        """
        rates = cls()
        for provider, model, day, counts in data["checked"]:
            for exercised in counts:
                could_have(exercised, "S")  # or it is not one
            rates.checked[Group(provider, model, day)] = _counter(counts)
        for code, level, provider, model, day, rows, first, last, examples in data["found"]:
            if (code != UNREAD and code not in rules()) or level not in LEVELS:
                raise ValueError(f"{code} is not a finding")
            kept = [Example(*example) for example in examples]
            if not all(isinstance(text, str) for example in kept for text in example):
                raise ValueError("not an example")
            if not all(time is None or isinstance(time, (int, float)) for time in (first, last)):
                raise ValueError("not a time")
            found = Found(_count(rows), first, last, kept)
            rates.found[code, level, Group(provider, model, day)] = found
        exchanges, members, keys = data["mapped"]
        rates.mapped = Mapped(_count(exchanges), set(members), dict(keys))
        rates.skipped = _counter(data["skipped"])
        rates.left_out = _counter(data["left_out"])
        rates.assembled, rates.files = _count(data["assembled"]), _count(data["files"])
        rates.unanswered, rates.unasked = _count(data["unanswered"]), _count(data["unasked"])
        return rates


def _counter(data: JSONObject) -> Counter[str]:
    return Counter({name: _count(count) for name, count in data.items()})


def _count(value: JSON) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value


def _severity(level: str) -> int:
    return LEVELS.index(level)


def _order(row: CheckedRow, place: str) -> str:
    """See `Example`."""
    return row_hash((row.id or place).encode("utf-8", "surrogatepass"))


def _worst(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The first finding of each code at its worst level."""
    worst: dict[str, Finding] = {}
    for finding in findings:
        known = worst.get(finding.code)
        if known is None or _severity(finding.level) < _severity(known.level):
            worst[finding.code] = finding
    return iter(worst.values())


def day_of(time: float | None) -> str:
    """The day in UTC; empty for ``None``."""
    return "" if time is None else _day(int(time // 86400))


@lru_cache(4096)
def _day(number: int) -> str:
    return (date(1970, 1, 1) + timedelta(number)).isoformat()


def name_of(code: str) -> str:
    """The name of a rule, of a family, or of `UNREAD`."""
    if code == UNREAD:
        return "unread-row"
    return FAMILIES[code] if code in FAMILIES else rules()[code].name
