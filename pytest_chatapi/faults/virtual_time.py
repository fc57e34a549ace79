"""Virtual time: sleeping returns at once, and the clock moves on as if it had taken its time."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType

from pytest_chatapi.recording.keeping_pace import is_keeping_pace

__all__ = ["VirtualTime", "keeps_real_time"]

_SHORT = 0.1
"""Seconds below which a sleep is real, because code that polls for something pauses like that."""

_TURNS = 8
"""Turns of the event loop after a sleep, in which a deadline that has passed can strike."""

_real_here = threading.local()


@contextlib.contextmanager
def keeps_real_time() -> Iterator[None]:
    """Sleep in real time in this thread: for a server, whose clients may be in other processes."""
    _real_here.on = True
    try:
        yield
    finally:
        _real_here.on = False


class VirtualTime:
    """A context in which ``time.sleep`` and the ``sleep`` of asyncio, anyio and trio return at
    once, while ``time.monotonic`` (which event loops and deadlines use) and ``time.time`` move on.

    Attributes:
        slept: the seconds of each sleep, in order.
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
        # Code that did `from time import sleep` keeps our functions, so they must turn real again.
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

    def _patch(self, module: ModuleType, name: str, value: Callable[..., object]) -> None:
        self._stack.callback(setattr, module, name, getattr(module, name))
        setattr(module, name, value)

    def _patch_async(self, module: ModuleType) -> None:
        real = module.sleep

        async def sleep(delay: float, result: object = None) -> object:
            if self._is_real(delay):
                await real(delay)
                return result
            wake = self._begin(delay)
            await real(0)  # tasks that sleep at the same time start from the same moment
            self._reach(wake)
            for _ in range(_TURNS):
                await real(0)
            return result

        self._patch(module, "sleep", sleep)

    def _is_real(self, seconds: float) -> bool:
        return (
            not self._on
            or getattr(_real_here, "on", False)
            or (seconds < _SHORT and not (seconds > 0 and is_keeping_pace()))
            or seconds == float("inf")
        )

    def _begin(self, seconds: float) -> float:
        """Return the moment at which the sleep ends."""
        self.slept.append(seconds)
        return self._real_monotonic() + self._ahead + seconds

    def _reach(self, moment: float) -> None:
        """Move the clock to this moment, but never backwards: a longer sleep may have ended."""
        self._ahead = max(self._ahead, moment - self._real_monotonic())
