"""``--max-rate``: how often a finding may be in a log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from pytest_chatapi.contract.catalogue import FAMILIES, get_rule, rules
from pytest_chatapi.contract.findings import LEVELS, Level, at_least
from pytest_chatapi.errors import SettingError
from pytest_chatapi.logs.rates import Group, Rate, Rates
from pytest_chatapi.logs.rows import UNREAD

__all__ = ["Limits", "Verdict", "as_rate"]

_RATE = re.compile(r"(\d+(?:\.\d+)?)(%?)")


class Verdict(NamedTuple):
    """Where the rate of a finding is in relation to its limit.

    Attributes:
        group: the provider and model whose rate it is; empty where no row exercised the rule.
        says: ``above``: the whole interval is above the limit, or there is no limit; ``within``:
            all of it is within; ``undecided``: the limit is inside of it, so that these rows are
            too few to tell; ``not exercised``: no row could have had the finding.
    """

    code: str
    group: Group
    rate: Rate
    limit: float | None
    says: Literal["above", "within", "undecided", "not exercised"]


class Limits:
    """The highest rates that are allowed; without any, a single finding is too much.

    Args:
        texts: each ``RATE`` for all findings, or ``CODE=RATE``; a rule's name, a family's letter
            and ``unread`` are codes, too. The rate is ``0.1%`` or ``0.001``. The most specific
            applies.

    Raises:
        SettingError: one of them is not of this form.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._limits: dict[str, float] = {}
        for text in texts:
            name, equals, rate = text.rpartition("=")
            value = as_rate(rate)
            if value is None or (equals and not name.strip()):
                raise SettingError(f"{text!r} is not a rate: use 0.1%, or U02=0.1% for one rule")
            self._limits[_code(name.strip())] = value

    def __bool__(self) -> bool:
        return bool(self._limits)

    def of(self, code: str) -> float | None:
        """The limit of a code; ``None`` where there is none."""
        for key in (code, code[0], ""):
            if key in self._limits:
                return self._limits[key]
        return None

    def verdicts(self, rates: Rates, level: Level = "error") -> list[Verdict]:
        """A verdict for each finding with its rate in the rows of each provider and model.

        A limit is exceeded where the whole interval of the rate is above it. So a few rows neither
        fail for a finding that may be chance, nor hide one that cannot be. Where a rule is named
        with a limit, there is a verdict for rows without findings, too. A family that no row
        exercised has one as a whole.

        Args:
            level: the mildest that counts where the rule has no limit of its own, which counts at
                any level.
        """
        return list(self._verdicts(rates, at_least(level)))

    def _verdicts(self, rates: Rates, levels: frozenset[str]) -> Iterator[Verdict]:
        for family in FAMILIES:
            if family in self._limits and not rates.exercised(family):
                of_family = self._limits[family]
                yield Verdict(family, Group(), Rate(0, 0), of_family, "not exercised")
        named = [code for code in [UNREAD, *rules()] if code in self._limits]
        for code in dict.fromkeys([*named, *rates.codes()]):
            limit = self.of(code)
            by_model = rates.by_model(code, LEVELS if code in named else levels)
            if not by_model:
                yield Verdict(code, Group(), Rate(0, 0), limit, "not exercised")
            for group, rate in sorted(by_model.items()):
                low, high = rate.interval
                if rate.found and (limit is None or low > limit):
                    yield Verdict(code, group, rate, limit, "above")
                elif limit is not None and (rate.found or code in named):
                    says: Literal["within", "undecided"] = (
                        "within" if high <= limit else "undecided"
                    )
                    yield Verdict(code, group, rate, limit, says)


def as_rate(text: str) -> float | None:
    """A part of all rows, from 0 to 1, out of ``0.1%`` or ``0.001``; ``None`` if it is not one."""
    match = _RATE.fullmatch(text.strip())
    value = float(match[1]) / (100 if match[2] else 1) if match else 2.0
    return value if value <= 1 else None


def _code(text: str) -> str:
    if not text or text.lower() == UNREAD:
        return text.lower()
    return text.upper() if text.upper() in FAMILIES else get_rule(text).code
