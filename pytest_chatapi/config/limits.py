"""The limits of a budget: their names, what they take, and how they are written in one line."""

from __future__ import annotations

import math

from pytest_chatapi.contract.wording import did_you_mean

__all__ = ["ADDED_UP", "LIMITS", "SWITCH", "TIMES", "TOKENS", "check_limit", "limits_of_text"]

TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")
ADDED_UP = ("calls", *TOKENS, "usd")
"""What the exchanges use up together."""
TIMES = ("ttft", "min_tokens_per_second")
"""What holds for each exchange."""
LIMITS = (*ADDED_UP, *TIMES)
SWITCH = "allow_unknown"
"""Lets pass what cannot be counted or measured."""


def check_limit(where: str, name: str, value: object) -> None:
    """Refuse what is not a limit, or not a value of one.

    Args:
        where: what names it, for the message.

    Raises:
        ValueError: in one line, what is wrong.
    """
    if name == SWITCH:
        if not isinstance(value, bool):
            raise ValueError(f"{where}: {SWITCH} must be true or false, not {value!r}")
    elif name not in LIMITS:
        known = (*LIMITS, SWITCH)
        near = did_you_mean(name, known) or f": use one of {', '.join(known)}"
        raise ValueError(f"{where} has no limit {name!r}{near}")
    elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{where}: {name} must be a number of at least 0, not {value!r}")


def limits_of_text(where: str, text: str) -> dict[str, int | float | bool]:
    """The limits in a text such as ``total_tokens=200000 usd=1.50``.

    Raises:
        ValueError: in one line, what is wrong.
    """
    limits: dict[str, int | float | bool] = {}
    for part in text.split():
        name, equals, written = part.partition("=")
        if not equals:
            raise ValueError(f"{where}: {part!r} is not a limit: use NAME=NUMBER, such as usd=1.50")
        if name in limits:
            raise ValueError(f"{where}: {name} is set twice")
        check_limit(where, name, value := _value(written))
        limits[name] = value  # type: ignore[assignment]
    return limits


def _value(written: str) -> object:
    if written.lower() in ("true", "false"):
        return written.lower() == "true"
    for number in (int, float):
        try:
            return number(written)
        except ValueError:
            continue
    return written
