"""Tasks that are virtually asleep: in which order they wake, and whose deadlines that concerns.

Once nothing else in an event loop can run, the virtual clock jumps to the next moment at which a
task wakes. If a task waits for a sleeping one, directly or through other tasks, its deadlines are
at hand: the jump ends at the first of them, which then strikes. Any other deadline belongs to a
task that waits for something real, such as a socket or a thread, so a jump puts it off by as much.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import heapq
import math
import selectors
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import sleep as _real_sleep
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from pytest_chatapi.recording.clock import elapsed

if TYPE_CHECKING:
    import trio

__all__ = ["Clock", "LoopSleepers", "Sleepers", "TrioSleepers"]

_GRACE = 0.02
"""Real seconds before a jump for what a task may get from a socket or a thread."""

_TURNS = 8
"""Turns after which an event loop counts as idle that does not show what it is about to run."""

_MOST_TURNS = 1000
"""Turns after which tasks that can run are taken to poll for what a sleeping one will do."""

_LONGEST_TURN = 0.5
"""The same in real seconds, for trio, which does not show its turns."""

_ROUNDING = 1e-6
"""Seconds past a deadline at which it surely strikes, even on a clock that does not move itself."""

_Task = TypeVar("_Task")
_Wake = TypeVar("_Wake")


class Clock:
    """A clock that can be moved on.

    Args:
        base: the clock below, in seconds.

    Attributes:
        ahead: seconds by which it has been moved.
        began: those by which it was ahead at first.
    """

    def __init__(self, base: Callable[[], float], ahead: float = 0.0) -> None:
        self.base, self.ahead, self.began = base, ahead, ahead
        self._lock = threading.Lock()

    def now(self) -> float:
        """Seconds since an arbitrary moment."""
        return self.base() + self.ahead

    def reach(self, moment: float) -> None:
        """Move on to a moment, but never back: a longer sleep may have ended."""
        with self._lock:
            base = self.base()
            self.ahead = max(self.ahead, moment - base)
            while base + self.ahead < moment:  # rounded down
                self.ahead = math.nextafter(self.ahead, math.inf)


class Sleepers(ABC, Generic[_Task, _Wake]):
    """The sleeping tasks of one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._put_off = clock.began
        self._sleeping: dict[_Wake, tuple[float, _Task]] = {}

    def catch_up(self, at_hand: Iterable[int] = ()) -> None:
        """Put deadlines off by what the clock was moved, except those with these ids."""
        seconds = self._clock.ahead - self._put_off
        if seconds:
            self._put_off = self._clock.ahead
            self._postpone(seconds, frozenset(at_hand))

    def block_until(self, moment: float) -> None:
        """Let the running task block the loop up to a moment."""
        self.catch_up()
        at_hand = self._at_hand([task for task in (self._running(),) if task is not None])
        self._clock.reach(moment)
        self.catch_up(at_hand)

    @abstractmethod
    def end(self) -> None:
        """Give deadlines back what they were put off by, and wake all tasks."""

    def _advance(self) -> list[_Wake]:
        """Jump to the next moment at which a task wakes or is due; return the tasks that wake."""
        self.catch_up()
        at_hand = self._at_hand([task for _, task in self._sleeping.values()])
        moment = min([due for due, _ in self._sleeping.values()] + list(at_hand.values()))
        self._clock.reach(moment)
        self.catch_up(at_hand)
        woken = [(due, wake) for wake, (due, _) in self._sleeping.items() if due <= moment]
        return [wake for _, wake in sorted(woken, key=lambda pair: pair[0])]

    @abstractmethod
    def _running(self) -> _Task | None: ...

    @abstractmethod
    def _at_hand(self, sleeping: Iterable[_Task]) -> Mapping[int, float]:
        """Ids and moments of the deadlines of tasks that wait for these, or are among them."""

    @abstractmethod
    def _postpone(self, seconds: float, except_ids: frozenset[int]) -> None: ...


# -- asyncio -------------------------------------------------------------------------------------

_Future = asyncio.Future[Any]
_AsyncioTask = asyncio.Task[Any]


class LoopSleepers(Sleepers[_AsyncioTask, _Future]):
    """The sleeping tasks of an event loop of asyncio."""

    def __init__(self, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(clock)
        self._loop = loop
        # Timers by their id, as their hash changes, and the tasks that set them.
        self._owners: dict[int, tuple[weakref.ref[Any], weakref.ref[_AsyncioTask]]] = {}
        self._is_watching = False
        self._turns = 0
        self._patient_until: float | None = None

    def set_by_running(self, timer: asyncio.TimerHandle) -> None:
        """Note that the running task has set a timer."""
        task = self._running()
        if task is not None:
            key = id(timer)
            gone = weakref.ref(timer, lambda _: self._owners.pop(key, None))
            self._owners[key] = gone, weakref.ref(task)

    async def sleep_until(self, moment: float) -> None:
        """Let the running task sleep."""
        task = asyncio.current_task()
        assert task is not None  # asyncio.sleep is awaited in one
        woken: _Future = self._loop.create_future()
        self._sleeping[woken] = moment, task
        if not self._is_watching:
            self._is_watching = True
            self._loop.call_soon(self._watch)
        try:
            await woken
        finally:
            self._sleeping.pop(woken, None)

    def end(self) -> None:
        def end() -> None:
            self._postpone(self._clock.began - self._put_off, frozenset())
            for woken in self._sleeping:
                self._wake(woken)

        if self._loop.is_closed():
            return
        if self._loop.is_running():
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                self._loop.call_soon_threadsafe(end)
        else:
            end()

    def _watch(self) -> None:
        """Jump once nothing else can run; called in each turn of the loop until no task sleeps."""
        if not self._sleeping:
            self._is_watching = False
            return
        self._loop.call_soon(self._watch)
        if self._is_busy() or self._waits_for_the_real():
            return
        self._turns, self._patient_until = 0, None
        for woken in self._advance():
            self._wake(woken)

    def _wake(self, woken: _Future) -> None:
        if not woken.done():
            woken.set_result(None)

    def _is_busy(self) -> bool:
        self._turns += 1
        ready = getattr(self._loop, "_ready", None)
        if ready is None:
            return self._turns <= _TURNS
        return len(ready) > 1 and self._turns <= _MOST_TURNS  # one is our own next turn

    def _waits_for_the_real(self) -> bool:
        """Whether something came from outside, or may still come for a task that waits for it."""
        waiting = _waiting_for(task for _, task in self._sleeping.values())
        if all(id(task) in waiting for task in asyncio.all_tasks(self._loop)):
            return False
        if self._patient_until is None:
            self._patient_until = elapsed() + _GRACE
        left = self._patient_until - elapsed()
        if left <= 0:
            return False
        selector = getattr(self._loop, "_selector", None)
        if isinstance(selector, selectors.BaseSelector):
            has_come = bool(selector.select(left))  # the loop itself finds it again
        else:
            has_come = False
            _real_sleep(left)
        if not has_come:
            self._patient_until = -math.inf  # a frozen clock would never get there
        return True

    def _running(self) -> _AsyncioTask | None:
        return asyncio.current_task(self._loop)

    def _at_hand(self, sleeping: Iterable[_AsyncioTask]) -> dict[int, float]:
        waiting = _waiting_for(sleeping)
        at_hand = {}
        for timer in getattr(self._loop, "_scheduled", ()):
            _, owner = self._owners.get(id(timer), (None, None))
            task = owner() if owner is not None else None
            if id(task) in waiting and not timer.cancelled():
                at_hand[id(timer)] = timer.when() + _ROUNDING
        return at_hand

    def _postpone(self, seconds: float, except_ids: frozenset[int]) -> None:
        # A loop that has a clock of its own is not ahead.
        if getattr(self._loop.time, "__func__", None) is not asyncio.BaseEventLoop.time:
            return
        timers = getattr(self._loop, "_scheduled", [])
        for timer in timers:
            if id(timer) not in except_ids:
                timer._when += seconds
        heapq.heapify(timers)


def _waiting_for(tasks: Iterable[_AsyncioTask]) -> dict[int, _Future]:
    """By id, these tasks and all tasks and futures that end or go on only after one of them."""
    reached: dict[int, _Future] = {}
    ahead: list[_Future] = list(tasks)
    while ahead:
        future = ahead.pop()
        if id(future) not in reached:
            reached[id(future)] = future
            for callback, _ in getattr(future, "_callbacks", None) or ():
                ahead += _waiters(callback)
    return reached


def _waiters(callback: object) -> Iterator[_Future]:
    """The tasks and futures that a callback of a future makes go on.

    A task that awaits a future is bound to its callback; `gather`, `wait`, `wait_for`, `shield` and
    groups of tasks keep a future of their own in theirs.
    """
    held = [getattr(callback, "__self__", None)]
    if isinstance(callback, functools.partial):
        held += callback.args
    for cell in getattr(callback, "__closure__", None) or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:  # empty
            continue
    for value in held:
        # Compared by type: the target of a proxy may be gone.
        kind = type(value)
        if kind.__name__ == "TaskGroup":  # of asyncio or anyio
            value = getattr(value, "_on_completed_fut", None)
        elif kind.__name__ == "_AsCompletedIterator":  # since Python 3.13
            value = getattr(value, "_done", None)
        if issubclass(type(value), asyncio.Queue):  # of `as_completed`
            yield from getattr(value, "_getters", ())
        elif hasattr(type(value), "_asyncio_future_blocking"):
            yield cast(_Future, value)


# -- trio ----------------------------------------------------------------------------------------


class TrioSleepers(Sleepers["trio.lowlevel.Task", "trio.Event"]):
    """The sleeping tasks of a run of trio."""

    def __init__(self, clock: Clock, runner: Any) -> None:
        super().__init__(clock)
        self._runner = runner
        self._is_watching = False

    async def sleep_until(self, moment: float) -> None:
        """Let the running task sleep."""
        import trio

        woken = trio.Event()
        self._sleeping[woken] = moment, trio.lowlevel.current_task()
        if not self._is_watching:
            self._is_watching = True
            trio.lowlevel.spawn_system_task(self._watch)
        try:
            await woken.wait()
        finally:
            del self._sleeping[woken]

    def end(self) -> None:
        pass  # a run is over before a test is

    async def _watch(self) -> None:
        """Jump each time nothing else can run, until no task sleeps."""
        import trio

        try:
            while self._sleeping:
                await _until_idle()
                if self._somebody_waits_for_the_real():
                    await trio.to_thread.run_sync(_real_sleep, _GRACE)
                    await _until_idle()
                if self._sleeping:
                    for woken in self._advance():
                        woken.set()
                await trio.lowlevel.checkpoint()
        finally:
            self._is_watching = False

    def _somebody_waits_for_the_real(self) -> bool:
        waiting = _parents_of(task for _, task in self._sleeping.values())
        left = [self._runner.main_task]
        while left:
            task = left.pop()
            if task not in waiting:
                return True
            left += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        return False

    def _running(self) -> trio.lowlevel.Task | None:
        import trio

        return trio.lowlevel.current_task()

    def _at_hand(self, sleeping: Iterable[trio.lowlevel.Task]) -> dict[int, float]:
        import trio

        at_hand = {}
        offset = self._clock.now() - trio.current_time()  # trio counts from a moment of its own
        for task in _parents_of(sleeping):
            status: Any = task._cancel_status
            nursery = task.parent_nursery
            outside = nursery._cancel_status if nursery is not None else None
            while status is not None and status is not outside:  # the scopes it entered itself
                at_hand[id(status._scope)] = status._scope.deadline + offset + _ROUNDING
                status = status.parent
        return at_hand

    def _postpone(self, seconds: float, except_ids: frozenset[int]) -> None:
        scopes = {
            scope
            for deadline, _, scope in self._runner.deadlines._heap
            if deadline == scope._registered_deadline
        }
        for scope in scopes:
            if id(scope) not in except_ids:
                scope.deadline += seconds


async def _until_idle() -> None:
    """Wait until no task can run."""
    import trio
    import trio.testing

    with trio.move_on_after(_LONGEST_TURN):
        await trio.testing.wait_all_tasks_blocked()


def _parents_of(tasks: Iterable[trio.lowlevel.Task]) -> set[trio.lowlevel.Task]:
    """These tasks, and those that wait at the end of a nursery for one of them."""
    reached = set()
    ahead = list(tasks)
    while ahead:
        task = ahead.pop()
        reached.add(task)
        nursery = task.parent_nursery
        if nursery is not None and getattr(nursery, "_parent_waiting_in_aexit", True):
            ahead.append(nursery.parent_task)
    return reached
