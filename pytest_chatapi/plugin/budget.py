"""The marker ``chatapi_budget``: what a test may spend, and how fast its model must answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import pytest

from pytest_chatapi.config.limits import LIMITS, SWITCH, TOKENS, check_limit
from pytest_chatapi.contract.apis import CHAT, UNKNOWN
from pytest_chatapi.contract.ask import request_json
from pytest_chatapi.contract.body_tests import asks_chat
from pytest_chatapi.contract.endpoint import row_of
from pytest_chatapi.contract.exchange import Exchange
from pytest_chatapi.contract.wording import mask, plural
from pytest_chatapi.figures.measure import Timing
from pytest_chatapi.figures.summary import Group, Priced

__all__ = [
    "MARKER",
    "MEASURED",
    "NEAR",
    "breaches",
    "limits_of",
    "near_end",
    "refusal_of",
    "shown",
    "uncounted_api",
    "used_by",
    "used_up",
]

MARKER = "chatapi_budget"

MEASURED: dict[str, Callable[[Timing], float | None]] = {
    "ttft": lambda timing: timing.first_token,
    "min_tokens_per_second": lambda timing: timing.tokens_per_second,
}
"""What a limit on time is held against."""

NEAR = 0.8
"""The share of a limit from which the end of the run tells of it."""


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
            check_limit(MARKER, name, value)
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


def breaches(
    limits: Mapping[str, Any],
    group: Group,
    others: Sequence[str] = (),
    numbers: Sequence[int] | None = None,
) -> Iterator[str]:
    """What exceeds its limit, one message for each.

    Args:
        group: the chat completions of the test, in order.
        others: the API of each request that costs something too.
        numbers: of the exchanges of `group`, if there were others between them.
    """
    numbers = range(len(group.exchanges)) if numbers is None else numbers
    calls = limits.get("calls")
    if calls is not None and len(group.exchanges) > calls:
        first_over = numbers[math.floor(calls)]
        yield (
            f"calls: {len(group.exchanges)}, over the budget of {shown(calls)}, broken by exchange "
            f"{first_over}"
        )
    for name in TOKENS:
        if name in limits:
            yield from _sum(name, limits, group, others, numbers)
    if "usd" in limits:
        yield from _sum("usd", limits, group, others, numbers)
    for number, one in zip(numbers, group.exchanges, strict=True):
        timing = one.figures.timing
        first, most = timing.first_token, limits.get("ttft")
        if most is not None and first is not None and first > most:
            yield (
                f"ttft: {first:.2f} s to the first token of exchange {number}, over the budget of "
                f"{shown(most)} s"
            )
        speed = timing.tokens_per_second
        least = limits.get("min_tokens_per_second")
        if least is not None and speed is not None and speed < least:
            yield (
                f"min_tokens_per_second: {speed:.1f} tokens/s in exchange {number}, under the "
                f"budget of {shown(least)}"
            )
    yield from _unmeasured(limits, group)


def _sum(
    name: str,
    limits: Mapping[str, Any],
    group: Group,
    others: Sequence[str],
    numbers: Sequence[int],
) -> Iterator[str]:
    """Whether the tokens or the cost of all exchanges exceed their limit, or may."""
    most, used, unknown = limits[name], 0.0, list[str]()
    for number, one in zip(numbers, group.exchanges, strict=True):
        taken = used_by(name, one)
        if taken is None and 200 <= one.figures.status < 300:
            unknown.append(f"exchange {number}, {mask(one.figures.model) or 'unknown model'}")
        used += taken or 0
        if used > most:
            total = sum(used_by(name, other) or 0 for other in group.exchanges)
            yield (
                f"{name}: {f'{total:.6f}' if name == 'usd' else f'{total:,}'}, over the budget of "
                f"{shown(most)}, broken by exchange {number}"
            )
            return
    if limits.get(SWITCH):
        return
    why, remedy = [], ""
    if unknown and name == "usd":
        why.append(f"the cost of {plural(len(unknown), 'response')} is not known ({unknown[0]})")
        remedy = "" if find_spec("genai_prices") else "pip install 'pytest-chatapi[cost]', or "
    elif unknown:
        why.append(f"{plural(len(unknown), 'response')} reported no usage ({unknown[0]})")
    if others:
        kinds = ", ".join(dict.fromkeys(others))
        why.append(f"{plural(len(others), 'request')} to other APIs ({kinds}) cannot be counted")
    if why:
        yield (
            f"{name}: {' and '.join(why)}, so the budget of {shown(most)} may be exceeded; "
            f"{remedy}allow it: {SWITCH}=True"
        )


def near_end(limits: Mapping[str, Any], group: Group) -> Iterator[str]:
    """The limits on tokens and cost that are kept, but nearly used up."""
    for name in (*TOKENS, "usd"):
        used = sum(used_by(name, one) or 0 for one in group.exchanges)
        if name in limits and used and used >= limits[name] * NEAR:
            yield used_up(name, used, limits[name])


def used_up(name: str, used: float, most: float) -> str:
    """How much of a limit is used up, in words."""
    share = f" ({used / most:.0%})" if most else ""
    return f"{name} {shown(used)} of {shown(most)}{share}"


def used_by(name: str, one: Priced) -> float | int | None:
    """What an exchange took of a limit on tokens or USD; ``None`` where that is not known."""
    if name == "usd":
        return one.cost.usd
    count: int | None = getattr(one.figures.tokens, name.removesuffix("_tokens"))
    return count


def _unmeasured(limits: Mapping[str, Any], group: Group) -> Iterator[str]:
    """Limits on time that nothing was measured for: they must not pass unseen."""
    if limits.get(SWITCH):
        return
    timings = [one.figures.timing for one in group.exchanges]
    for name, measured in MEASURED.items():
        if name in limits and all(measured(timing) is None for timing in timings):
            reasons = {timing.unmeasured for timing in timings} - {""}
            why = f": {', '.join(sorted(reasons))}" if reasons else ""
            yield f"{name}: nothing could be measured{why}; allow it: {SWITCH}=True"


def shown(value: float) -> str:
    """A number as messages show it."""
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


# Rows of `OTHER_APIS` that have no model behind them, and what may have none.
_FREE = frozenset(
    "assistants,containers,conversations,files,moderations,organization,telemetry,uploads,"
    "vector stores,unknown".split(",")
)


def uncounted_api(exchange: Exchange) -> str | None:
    """The name of the API of a request that costs something nobody counts.

    Returns:
        ``""`` for a chat completion, which is counted; ``None`` for what costs nothing.
    """
    row, request = row_of(exchange), exchange.request
    if row is CHAT:
        return ""
    if row.check is not None or request is None or request.method not in ("POST", "PUT"):
        return None
    if row is UNKNOWN:  # perhaps a server with paths of its own
        asked, _ = request_json(request)
        return "" if isinstance(asked, dict) and asks_chat(asked) else None
    return None if row.name in _FREE else row.name
