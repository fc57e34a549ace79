"""Time that passes at once: who sleeps wakes up immediately, and the clock says that he slept."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

__all__ = ["VirtualTime", "keeps_real_time"]

_SHORT = 0.1
"""Seconds below which a sleep is real: so short are the pauses of those who poll for something."""

_TURNS = 8

_real_here = threading.local()


@contextlib.contextmanager
def keeps_real_time() -> Iterator[None]:
    """For the thread of a server, whose clients may be anywhere."""
    _real_here.on = True
    try:
        yield
    finally:
        _real_here.on = False


class VirtualTime:
    """While it is entered, ``time.sleep`` and the ``sleep`` of asyncio, anyio and trio return at
    once, and ``time.monotonic`` (which event loops and deadlines go by) and ``time.time`` move on.

    Attributes:
        slept: seconds, each time that somebody slept, in order.
    """

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._ahead = 0.0
        self._on = False
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> VirtualTime:
        monotonic = time.monotonic
        self._real_monotonic = monotonic
        self._on = True
        wall = time.time
        # Who took these functions by name meanwhile keeps them, so they have to end by themselves.
        self._patch(time, "monotonic", lambda: monotonic() + (self._ahead if self._on else 0))
        self._patch(time, "time", lambda: wall() + (self._ahead if self._on else 0))
        real_sleep = time.sleep

        def sleep(seconds: float, /) -> None:
            if self._is_real(seconds):
                real_sleep(seconds)
            else:
                wake = self._begin(seconds)
                real_sleep(0)
                self._reach(wake)

        self._patch(time, "sleep", sleep)
        for name in ("asyncio", "anyio", "trio"):
            if name in sys.modules:
                self._patch_async(sys.modules[name])
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._on = False
        self._stack.close()

    def _patch(self, module: Any, name: str, value: Any) -> None:
        self._stack.callback(setattr, module, name, getattr(module, name))
        setattr(module, name, value)

    def _patch_async(self, module: Any) -> None:
        real = module.sleep

        async def sleep(delay: float, result: Any = None) -> Any:
            if self._is_real(delay):
                await real(delay)
                return result
            wake = self._begin(delay)
            await real(0)  # who sleeps beside us starts from the same moment
            self._reach(wake)
            # Some turns of the loop, so that a deadline that has passed meanwhile comes before us.
            for _ in range(_TURNS):
                await real(0)
            return result

        self._patch(module, "sleep", sleep)

    def _is_real(self, seconds: Any) -> bool:
        return (
            not self._on or getattr(_real_here, "on", False) or not _SHORT <= seconds < float("inf")
        )

    def _begin(self, seconds: float) -> float:
        self.slept.append(seconds)
        return self._real_monotonic() + self._ahead + seconds

    def _reach(self, moment: float) -> None:
        self._ahead = max(self._ahead, moment - self._real_monotonic())
