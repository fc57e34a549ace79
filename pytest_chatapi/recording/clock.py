"""The real time, even where a test has frozen it: recordings of one run are known by their time."""

from __future__ import annotations

import sys
import time

__all__ = ["elapsed", "now"]

# freezegun replaces these functions in every module that holds them by name. time-machine changes
# what they return, and has a way around that.
_REAL = (time.time, time.perf_counter)


def now() -> str:
    """UTC to the millisecond, e.g. ``2026-11-25T10:45:00.123Z``; sorts as text."""
    hatch = getattr(sys.modules.get("time_machine"), "escape_hatch", None)
    seconds: float = _REAL[0]()
    if hatch is not None and hatch.is_travelling():
        seconds = hatch.time.time()
    day = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{day}.{int(seconds % 1 * 1000):03}Z"


def elapsed() -> float:
    """Seconds since an arbitrary moment, for differences only."""
    return _REAL[1]()
