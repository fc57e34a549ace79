"""Virtual time: sleeping returns at once, and the clock moves on as if it had taken its time."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, ModuleType
from typing import Any

from pytest_chatapi.faults.sleepers import Clock, LoopSleepers, Sleepers, TrioSleepers
from pytest_chatapi.recording.keeping_pace import is_keeping_pace

__all__ = ["VirtualTime", "keeps_real_time"]

_SHORT = 0.1
"""Seconds below which a sleep is real, because code that polls for something pauses like that."""

_real_here = threading.local()

_active: VirtualTime | None = None
"""What time passes in at the moment."""


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
    once, while the clocks of ``time`` and of event loops move on. While there is one thread, so do
    waits for a condition or an event that have a timeout: nothing else could end them.

    Tasks of one event loop wake in the order of their moments, and the clock moves only when none
    of them can run. Deadlines strike for tasks that sleep or wait for one that does (`sleepers`).

    Attributes:
        clock: the clock that moves on.
        waited: seconds of all waiting with a timeout that took no time.
        slept: the seconds of each sleep, in order.
    """

    clock: Clock

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.waited = 0.0
        self._is_paused = False
        self._sleepers: dict[Any, Sleepers[Any, Any]] = {}
        self._references: list[tuple[dict[str, Any], str, object, object]] = []

    def __enter__(self) -> VirtualTime:
        global _active
        self._outer = _active
        self.clock = Clock(_real("monotonic"), self._outer.clock.ahead if self._outer else 0.0)
        _let_time_machine_begin()
        _new_patches()
        for patch in _PATCHES.values():
            patch.install()
        self._replace_references()
        _active = self
        return self

    def __exit__(self, *exc_info: object) -> None:
        global _active
        _active = self._outer
        for namespace, name, ours, theirs in self._references:
            if namespace.get(name) is ours:
                namespace[name] = theirs
        if self._outer is None:
            for patch in _PATCHES.values():
                patch.remove()
        for sleepers in list(self._sleepers.values()):
            sleepers.end()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Sleep in real time for as long as the block lasts."""
        before, self._is_paused = self._is_paused, True
        try:
            yield
        finally:
            self._is_paused = before

    def is_real(self, seconds: float) -> bool:
        """Whether a sleep of so many seconds is real, in this thread."""
        return (
            self._is_paused
            or getattr(_real_here, "on", False)
            or (seconds < _SHORT and not (seconds > 0 and is_keeping_pace()))
            or seconds == float("inf")
        )

    def begin(self, seconds: float) -> float:
        """Note a sleep, and return the moment at which it ends."""
        self.slept.append(seconds)
        for name in _CLOCKS:  # freezegun puts back what it takes for the real functions
            if isinstance(getattr(time, name), BuiltinFunctionType):
                _PATCHES["time", name].install()
        return self.clock.now() + seconds

    def block_until(self, moment: float) -> None:
        """Block this thread up to a moment."""
        sleepers = self.sleepers_here()
        if sleepers is None:
            self.clock.reach(moment)
        else:
            sleepers.block_until(moment)

    def sleepers_here(self) -> LoopSleepers | TrioSleepers | None:
        """Those of the event loop that runs in this thread."""
        with contextlib.suppress(RuntimeError):
            return self.sleepers_of(asyncio.get_running_loop())
        trio = sys.modules.get("trio")
        if trio is not None:
            context = trio._core._run.GLOBAL_RUN_CONTEXT
            if hasattr(context, "task"):  # `in_trio_task`, which older versions do not have
                return self.sleepers_in_run(context.runner)
        return None

    def sleepers_of(self, loop: asyncio.AbstractEventLoop) -> LoopSleepers:
        """Those of an event loop of asyncio."""
        if loop not in self._sleepers:
            self._sleepers[loop] = LoopSleepers(self.clock, loop)
        sleepers = self._sleepers[loop]
        assert isinstance(sleepers, LoopSleepers)
        return sleepers

    def sleepers_in_run(self, runner: Any) -> TrioSleepers:
        """Those of a run of trio."""
        if runner not in self._sleepers:
            self._sleepers[runner] = TrioSleepers(self.clock, runner)
        sleepers = self._sleepers[runner]
        assert isinstance(sleepers, TrioSleepers)
        return sleepers

    def _replace_references(self) -> None:
        """Replace what modules took by name, as in ``from time import sleep``."""
        ours = {
            id(patch.below): (patch.below, patch.ours)
            for (module, name), patch in _PATCHES.items()
            if module == "time" or name == "sleep"
        }
        ours |= {id(f): (f, _PATCHES[key].ours) for key, f in _originals()}
        for namespace, names in _namespaces(ours):
            for name in names:
                theirs = namespace.get(name)
                if id(theirs) in ours:
                    replacement = ours[id(theirs)][1]
                    self._references.append((namespace, name, replacement, theirs))
                    namespace[name] = replacement


# -- the functions that ours replace -------------------------------------------------------------


class _Patch:
    """A function of a module or class, that another can replace."""

    def __init__(self, owner: Any, name: str, ours: Callable[..., Any]) -> None:
        self._owner, self._name, self.ours = owner, name, ours
        self.below: Callable[..., Any] = getattr(owner, name)

    def install(self) -> None:
        present = getattr(self._owner, self._name)
        if present is not self.ours:
            self.below = present
            setattr(self._owner, self._name, self.ours)

    def remove(self) -> None:
        if getattr(self._owner, self._name) is self.ours:
            setattr(self._owner, self._name, self.below)

    @property
    def real(self) -> Callable[..., Any]:
        """The function to call instead of ours; another tool may have replaced it since."""
        present: Callable[..., Any] = getattr(self._owner, self._name)
        return self.below if present is self.ours else present


_CLOCKS = ("monotonic", "perf_counter", "time", "monotonic_ns", "perf_counter_ns", "time_ns")
_OF_TIME = {name: getattr(time, name) for name in ("sleep", *_CLOCKS)}
_PATCHES: dict[tuple[str, str], _Patch] = {}


def _real(name: str) -> Callable[[], float]:
    """The clock of this name below virtual time."""
    return lambda: _PATCHES["time", name].real()


def _new_patches() -> list[_Patch]:
    """Those of modules that were imported since; each is made once, as modules keep what they take
    by name.
    """
    before = len(_PATCHES)
    if not _PATCHES:
        _PATCHES["time", "sleep"] = _Patch(time, "sleep", _sleep)
        for name in _CLOCKS:
            _PATCHES["time", name] = _Patch(time, name, _moving(name))
        _PATCHES["threading", "wait"] = _Patch(threading.Condition, "wait", _wait)
        # Both compare a timeout with a clock that they took by name.
        for module, name in ((threading, "_time"), (queue, "time")):
            if hasattr(module, name):
                _PATCHES[module.__name__, name] = _Patch(module, name, _time_of_waiting)
        loop = asyncio.BaseEventLoop
        _PATCHES["asyncio", "sleep"] = _Patch(asyncio, "sleep", _asyncio_sleep)
        _PATCHES["asyncio", "time"] = _Patch(loop, "time", _loop_time)
        _PATCHES["asyncio", "call_at"] = _Patch(loop, "call_at", _call_at)
    anyio, trio = sys.modules.get("anyio"), sys.modules.get("trio")
    if anyio is not None and ("anyio", "sleep") not in _PATCHES:
        _PATCHES["anyio", "sleep"] = _Patch(anyio, "sleep", _anyio_sleep)
    if trio is not None and ("trio", "sleep") not in _PATCHES:
        system_clock = trio._core._run.SystemClock
        _PATCHES["trio", "sleep"] = _Patch(trio, "sleep", _trio_sleep)
        _PATCHES["trio", "time"] = _Patch(system_clock, "current_time", _trio_time)
    return list(_PATCHES.values())[before:]


def _originals() -> Iterator[tuple[tuple[str, str], Callable[..., Any]]]:
    """The functions themselves, whatever has replaced them by now."""
    for name, function in _OF_TIME.items():
        yield ("time", name), function
    yield ("asyncio", "sleep"), asyncio.tasks.sleep
    if ("trio", "sleep") in _PATCHES:
        yield ("trio", "sleep"), sys.modules["trio"]._timeouts.sleep


def _sleep(seconds: float, /) -> None:
    time_passes, real = _active, _PATCHES["time", "sleep"].real
    if time_passes is None or time_passes.is_real(seconds):
        real(seconds)
    else:
        moment = time_passes.begin(seconds)
        real(0)  # threads that sleep at the same time start from the same moment
        time_passes.block_until(moment)


def _wait(condition: threading.Condition, timeout: float | None = None) -> bool:
    time_passes, real = _active, _PATCHES["threading", "wait"].real
    if (
        time_passes is None
        or timeout is None
        or time_passes.is_real(timeout)
        or threading.active_count() > 1
    ):
        notified: bool = real(condition, timeout)
        return notified
    moment = time_passes.begin(timeout)
    notified = real(condition, 0)
    time_passes.waited += timeout
    time_passes.block_until(moment)
    return notified


def _time_of_waiting() -> float:
    now: float = _PATCHES["time", "monotonic"].real()
    return now + (_active.waited if _active is not None else 0)


def _moving(name: str) -> Callable[[], float]:
    """A clock of the module ``time`` that moves with virtual time."""
    unit = 1_000_000_000 if name.endswith("_ns") else 1

    def now() -> float:
        real: float = _PATCHES["time", name].real()
        if _active is None or _is_tool(name):
            return real
        ahead = _active.clock.ahead * unit
        return real + (int(ahead) if unit > 1 else ahead)

    return now


def _is_tool(name: str) -> bool:
    """Whether hypothesis asks how long a test really takes."""
    if not name.startswith("perf_counter"):
        return False
    caller: str = sys._getframe(2).f_globals.get("__name__") or ""
    return caller.partition(".")[0] == "hypothesis"


async def _asyncio_sleep(delay: float, result: Any = None) -> Any:
    time_passes = _active
    if time_passes is None or time_passes.is_real(delay):
        return await _PATCHES["asyncio", "sleep"].real(delay, result)
    sleepers = time_passes.sleepers_of(asyncio.get_running_loop())
    await sleepers.sleep_until(time_passes.begin(delay))
    return result


def _loop_time(loop: asyncio.BaseEventLoop) -> float:
    time_passes = _active
    if time_passes is None:
        now: float = _PATCHES["asyncio", "time"].real(loop)
        return now
    if getattr(loop, "_thread_id", None) in (None, threading.get_ident()):
        time_passes.sleepers_of(loop).catch_up()
    return time_passes.clock.now()


def _call_at(loop: asyncio.BaseEventLoop, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
    timer: asyncio.TimerHandle = _PATCHES["asyncio", "call_at"].real(loop, *args, **kwargs)
    if _active is not None:
        _active.sleepers_of(loop).set_by_running(timer)
    return timer


async def _trio_sleep(seconds: float) -> None:
    time_passes = _active
    if time_passes is None or time_passes.is_real(seconds) or not _is_system_time():
        await _PATCHES["trio", "sleep"].real(seconds)
    else:
        runner = sys.modules["trio"]._core._run.GLOBAL_RUN_CONTEXT.runner
        await time_passes.sleepers_in_run(runner).sleep_until(time_passes.begin(seconds))


async def _anyio_sleep(delay: float) -> None:
    if _active is not None:
        for patch in _new_patches():  # anyio imports trio when it first runs on it
            patch.install()
    await _PATCHES["anyio", "sleep"].real(delay)


def _is_system_time() -> bool:
    """Whether trio runs on the clock of the system, and not on a ``MockClock``."""
    trio = sys.modules["trio"]
    return isinstance(trio.lowlevel.current_clock(), trio._core._run.SystemClock)


def _trio_time(clock: Any) -> float:
    time_passes = _active
    now: float = _PATCHES["trio", "time"].real(clock)
    if time_passes is None:
        return now
    runner = getattr(sys.modules["trio"]._core._run.GLOBAL_RUN_CONTEXT, "runner", None)
    if runner is not None and runner.clock is clock:
        time_passes.sleepers_in_run(runner).catch_up()
    return now + time_passes.clock.ahead


def _let_time_machine_begin() -> None:
    """Let time-machine take hold of the functions of C, for it takes whatever it finds for one."""
    time_machine = sys.modules.get("time_machine")
    if time_machine is not None:
        with contextlib.suppress(RuntimeError), time_machine.travel(0):  # it refuses freezegun
            pass


# -- what modules took by name -------------------------------------------------------------------

_KEPT = sys.stdlib_module_names | {
    "_pytest", "pytest", "xdist", "execnet", "pytest_timeout", "pytest_benchmark", "hypothesis",
    "freezegun", "time_machine", "trio", "uvicorn", "pytest_chatapi",
}  # fmt: skip
"""Packages that keep the real functions: they wait for, or measure, what is real."""

_NOTHING: dict[str, Any] = {}
_looked_into: dict[str, tuple[int, int, list[str]]] = {}
"""By name of a module: its id, the size of its namespace, and the names that hold a function."""


def _namespaces(functions: dict[int, Any]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """The modules that hold one of these functions, given by id, and under which names."""
    for module_name, module in list(sys.modules.items()):
        before = _looked_into.get(module_name)
        namespace = getattr(module, "__dict__", _NOTHING)
        if before is None or before[0] != id(module) or before[1] != len(namespace):
            names: list[str] = []
            if isinstance(module, ModuleType) and module_name.partition(".")[0] not in _KEPT:
                names = [name for name, value in list(namespace.items()) if id(value) in functions]
            _looked_into[module_name] = before = id(module), len(namespace), names
        if before[2]:
            yield namespace, before[2]
