"""Days on which the rate of a finding changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from pytest_chatapi.logs.rates import Group, Rate, Rates

__all__ = ["Change", "changes_of", "days_of_change"]

_RISK = 0.01
"""Probability of any false alarm in a whole log whose rates are constant, at most."""

_FACTOR = 2
"""A rate has to become this many times as high or as low: at millions of rows anything smaller is
significant, too, and of no use to anybody."""


class Change(NamedTuple):
    """A rate that was different from one day on.

    Attributes:
        before, after: the rates from the previous change, and until the next one.
    """

    code: str
    provider: str
    model: str
    day: str
    before: Rate
    after: Rate


def changes_of(rates: Rates) -> list[Change]:
    """The changes of all findings but notes, of each provider and model by itself: if they were
    taken together, a different mix of models would look like a change.
    """
    series: dict[tuple[str, Group], list[tuple[str, Rate]]] = {}
    for code in [code for code in rates.codes() if rates.level(code) != "note"]:
        of_code: dict[Group, list[tuple[str, Rate]]] = {}
        for group, rate in rates.by_group(code).items():
            if group.day:
                of_code.setdefault(group._replace(day=""), []).append((group.day, rate))
        for group, days in of_code.items():
            if len(days) > 1 and any(rate.found for _, rate in days):
                series[code, group] = sorted(days)
    return [
        Change(code, group.provider, group.model, *change)
        for (code, group), days in series.items()
        for change in days_of_change(days, _RISK / len(series))
    ]


def days_of_change(
    days: Sequence[tuple[str, Rate]], risk: float = _RISK
) -> list[tuple[str, Rate, Rate]]:
    """The first day of each new rate, with the rates before and after.

    The most likely change is looked for, then one before and one after it, and so on. One is named
    only where chance would not have split the findings like that in `risk` of all cases, by
    Fisher's exact test for each possible day.

    Args:
        days: in order.
        risk: probability that constant rates have any change.
    """
    cuts = sorted(_cuts([rate for _, rate in days], 0, risk))
    edges = [0, *cuts, len(days)]
    parts = [_sum(days[a:b]) for a, b in pairwise(edges)]
    return [(days[cut][0], parts[at], parts[at + 1]) for at, cut in enumerate(cuts)]


def _sum(days: Sequence[tuple[str, Rate]]) -> Rate:
    return sum((rate for _, rate in days), Rate(0, 0))


def _cuts(days: Sequence[Rate], start: int, risk: float) -> list[int]:
    total = sum(days, Rate(0, 0))
    best, cut, before = 0.0, 0, Rate(0, 0)
    left = Rate(0, 0)
    for at in range(1, len(days)):
        left += days[at - 1]
        gain = _gain(left, total)
        if gain > best:
            best, cut, before = gain, at, left
    if not cut or not _is_real(before, total, risk / (len(days) - 1)):
        return []
    return [
        *_cuts(days[:cut], start, risk),
        start + cut,
        *_cuts(days[cut:], start + cut, risk),
    ]


def _gain(left: Rate, total: Rate) -> float:
    """How much more likely two rates are than one, as a logarithm."""
    right = Rate(total.found - left.found, total.rows - left.rows)
    return _likelihood(left) + _likelihood(right) - _likelihood(total)


def _likelihood(rate: Rate) -> float:
    k, n = rate
    return sum(part * math.log(part / n) for part in (k, n - k) if part)


def _is_real(left: Rate, total: Rate, risk: float) -> bool:
    right = Rate(total.found - left.found, total.rows - left.rows)
    low, high = sorted((left.value, right.value))
    return high >= _FACTOR * low and _chance(left, total) < risk


def _chance(left: Rate, total: Rate) -> float:
    """Probability that chance gives the left part as unusual a count: Fisher's exact test, two
    times the smaller side.
    """
    expected = left.rows * total.value
    step = 1 if left.found > expected else -1
    log_p = _hypergeometric(left.found, left.rows, total)
    tail, k = 0.0, left.found
    while log_p > -745 and 0 <= k <= left.rows:
        p = math.exp(log_p)
        tail += p
        if tail > 0.5 or p < tail * 1e-9:
            break
        k += step
        log_p = _hypergeometric(k, left.rows, total)
    return min(1.0, 2 * tail)


def _hypergeometric(k: int, n: int, total: Rate) -> float:
    """Logarithm of the probability that `k` of `total.found` findings are in `n` of all rows."""
    if not max(0, n - (total.rows - total.found)) <= k <= min(n, total.found):
        return -math.inf
    rest = total.rows - total.found
    return _choose(total.found, k) + _choose(rest, n - k) - _choose(total.rows, n)


def _choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
