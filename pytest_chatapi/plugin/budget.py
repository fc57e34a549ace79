"""The marker ``chatapi_budget``: what a test may spend, and how fast its model must answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_chatapi.contract.wording import did_you_mean, plural
from pytest_chatapi.figures.measure import Figures
from pytest_chatapi.figures.summary import Group

__all__ = ["LIMITS", "MARKER", "breaches", "limits_of", "refusal_of"]

MARKER = "chatapi_budget"

_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")
LIMITS = ("calls", *_TOKENS, "usd", "ttft", "min_tokens_per_second")
_SWITCH = "allow_unknown"


def limits_of(item: pytest.Item) -> dict[str, Any]:
    """The limits of a test by name; of several markers, the nearest wins for each.

    Raises:
        ValueError: a marker is wrong; in one line, how.
    """
    limits: dict[str, Any] = {}
    for marker in item.iter_markers(MARKER):
        if marker.args:
            raise ValueError(f"{MARKER} takes keyword arguments: {', '.join(LIMITS)}")
        for name, value in marker.kwargs.items():
            if name == _SWITCH:
                if not isinstance(value, bool):
                    raise ValueError(f"{MARKER}: {_SWITCH} must be true or false, not {value!r}")
            elif name not in LIMITS:
                near = did_you_mean(name, (*LIMITS, _SWITCH))
                raise ValueError(f"{MARKER} has no limit {name!r}{near}")
            elif isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ValueError(f"{MARKER}: {name} must be a number of at least 0, not {value!r}")
            limits.setdefault(name, value)
    return limits


def refusal_of(item: pytest.Item, *, is_measured: bool) -> str:
    """Why the budget of a test cannot be held; ``""`` if it can.

    Args:
        is_measured: a recorder sees the traffic of the test.
    """
    try:
        limits_of(item)
    except ValueError as error:
        return str(error)
    if is_measured:
        return ""
    return (
        f"@pytest.mark.{MARKER} has nothing to measure: add @pytest.mark.chatapi, which records "
        "and replays the test, or one of the plugin's fixtures"
    )


def breaches(limits: dict[str, Any], group: Group) -> Iterator[str]:
    """What exceeds its limit, one message for each.

    Args:
        group: the exchanges of the test, in order.
    """
    allows_unknown = limits.get(_SWITCH, False)
    calls = limits.get("calls")
    if calls is not None and len(group.exchanges) > calls:
        yield f"calls: {len(group.exchanges)}, over the budget of {_number(calls)}"
    for name in _TOKENS:
        if name in limits:
            yield from _tokens(name, limits[name], group, allows_unknown=allows_unknown)
    if "usd" in limits:
        yield from _usd(limits["usd"], group, allows_unknown=allows_unknown)
    for number, one in enumerate(group.exchanges):
        timing = one.figures.timing
        first, most = timing.first_token, limits.get("ttft")
        if most is not None and first is not None and first > most:
            yield (
                f"ttft: {first:.2f} s to the first token of exchange {number}, over the budget of "
                f"{_number(most)} s"
            )
        speed = timing.tokens_per_second
        least = limits.get("min_tokens_per_second")
        if least is not None and speed is not None and speed < least:
            yield (
                f"min_tokens_per_second: {speed:.1f} tokens/s in exchange {number}, under the "
                f"budget of {_number(least)}"
            )
    yield from _unmeasured(limits, group)


def _tokens(name: str, most: float, group: Group, *, allows_unknown: bool) -> Iterator[str]:
    kind = name.removesuffix("_tokens")
    used = group.tokens(kind) or 0
    if used > most:
        number = _breaking(most, group, lambda one: getattr(one.tokens, kind))
        yield f"{name}: {used:,}, over the budget of {_number(most)}, broken by exchange {number}"
    elif group.unreported and not allows_unknown:
        yield (
            f"{name}: {plural(group.unreported, 'response')} reported no usage, so the budget of "
            f"{_number(most)} may be exceeded; allow it: {_SWITCH}=True"
        )


def _usd(most: float, group: Group, *, allows_unknown: bool) -> Iterator[str]:
    spent = group.usd or 0.0
    if spent > most:
        yield f"usd: {spent:.6f}, over the budget of {_number(most)}"
    unknown = group.unpriced + group.unreported
    if spent <= most and unknown and not allows_unknown:
        yield (
            f"usd: the cost of {plural(unknown, 'response')} is not known, so the budget of "
            f"{_number(most)} may be exceeded; install genai-prices, or allow it: {_SWITCH}=True"
        )


def _breaking(most: float, group: Group, count: Callable[[Figures], int | None]) -> int:
    """The number of the exchange by which a sum came to be more than allowed."""
    total = 0
    for number, one in enumerate(group.exchanges):
        total += count(one.figures) or 0
        if total > most:
            return number
    return len(group.exchanges) - 1


def _unmeasured(limits: dict[str, Any], group: Group) -> Iterator[str]:
    """Limits on time that nothing was measured for: they must not pass unseen."""
    if limits.get(_SWITCH):
        return
    timings = [one.figures.timing for one in group.exchanges]
    for name, known in (
        ("ttft", [timing.first_token for timing in timings]),
        ("min_tokens_per_second", [timing.tokens_per_second for timing in timings]),
    ):
        if name in limits and all(value is None for value in known):
            reasons = {timing.unmeasured for timing in timings} - {""}
            why = f": {', '.join(sorted(reasons))}" if reasons else ""
            yield f"{name}: nothing could be measured{why}; allow it: {_SWITCH}=True"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
