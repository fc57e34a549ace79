"""Count the work of a call, to show without a clock that it does not take long. Not a test."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["work"]


def work(call: Callable[..., object], *arguments: object) -> int:
    """Return how much `call` does in this thread, the same in each run.

    Counted are lines of Python, calls of C, and for each method of a text or bytes the length of
    that, which is as far as it may look. What an extension does within one call (libyaml, a regular
    expression) does not show.
    """
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        if event == "c_call":
            owner = getattr(argument, "__self__", None)
            count += 1 + (len(owner) if isinstance(owner, str | bytes | bytearray) else 0)

    before = sys.gettrace(), sys.getprofile()
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        call(*arguments)
    finally:
        sys.settrace(before[0])
        # The profiler of cProfile is an object that sys.setprofile does not take back.
        sys.setprofile(before[1] if callable(before[1]) else None)
    return count
