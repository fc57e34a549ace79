"""Tests that wait for nothing: what sleeps is written down instead."""

from __future__ import annotations

import time

import pytest


def noted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of each sleep, none of which takes any time."""
    seconds: list[float] = []

    async def sleep(wait: float) -> None:
        seconds.append(wait)

    monkeypatch.setattr(time, "sleep", seconds.append)
    monkeypatch.setattr("anyio.sleep", sleep)
    return seconds
