"""Sleeping that takes no time. The real clock stands still here, and real sleeps are counted."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from types import ModuleType
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trio
import trio.testing
import yaml
from recording_runs import REAL_SLEEPS
from traffic import ANSWER

from pytest_chatapi.faults import sleepers
from pytest_chatapi.faults.virtual_time import VirtualTime, keeps_real_time

CLOCKS = ("monotonic", "perf_counter", "time", "monotonic_ns", "perf_counter_ns", "time_ns")


class RealTime:
    """What the functions of the standard library do below the virtual time."""

    now = 1000.0

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> RealTime:
    real = RealTime()
    for name in CLOCKS:
        unit = 1_000_000_000 if name.endswith("_ns") else 1
        monkeypatch.setattr(time, name, lambda unit=unit: real.now * unit)
    monkeypatch.setattr(time, "sleep", real.sleep)
    for module in (asyncio, trio):
        monkeypatch.setattr(module, "sleep", counted(real, module.sleep))
    monkeypatch.setattr("trio._core._run.perf_counter", lambda: real.now)
    monkeypatch.setattr(sleepers, "_GRACE", 0)
    return real


def counted(real: RealTime, turn: Any) -> Any:
    """A sleep that takes a turn of the loop instead, as it does for 0 seconds."""

    async def sleep(delay: float, *result: Any) -> Any:
        real.sleep(delay)
        return await turn(0, *result)

    return sleep


def everything() -> list[object]:
    return [
        *(getattr(time, name) for name in ("sleep", *CLOCKS)),
        *(asyncio.sleep, anyio.sleep, trio.sleep),
        *(asyncio.BaseEventLoop.time, asyncio.BaseEventLoop.call_at),
        trio._core._run.SystemClock.current_time,
        *(threading.Condition.wait, threading._time, queue.time),  # type: ignore[attr-defined]
    ]


@pytest.fixture
def clock(real: RealTime) -> Iterator[VirtualTime]:
    before = everything()
    with VirtualTime() as clock:
        yield clock
    assert everything() == before


def on_both(main: Callable[[], Awaitable[Any]]) -> None:
    """Run a function that uses anyio alone on asyncio and on trio."""
    for backend in ("asyncio", "trio"):
        anyio.run(main, backend=backend)


# -- sleeping ------------------------------------------------------------------------------------


def test_sleeping_takes_no_time_but_passes(clock: VirtualTime, real: RealTime) -> None:
    time.sleep(100)
    time.sleep(0.5)
    assert set(real.slept) == {0}
    assert time.monotonic() == real.now + 100.5
    assert clock.slept == [100, 0.5]


@pytest.mark.parametrize("name", CLOCKS)
def test_the_clocks_of_the_module_time_move_on(
    clock: VirtualTime, real: RealTime, name: str
) -> None:
    unit = 1_000_000_000 if name.endswith("_ns") else 1
    before = getattr(time, name)()
    time.sleep(100)
    after = getattr(time, name)()
    assert (before, after) == (real.now * unit, (real.now + 100) * unit)


def test_hypothesis_measures_what_a_test_really_takes(clock: VirtualTime, real: RealTime) -> None:
    time.sleep(100)
    namespace = {"__name__": "hypothesis.core", "time": time}
    assert eval("time.perf_counter()", namespace) == real.now


def test_a_pause_of_less_than_a_tenth_of_a_second_is_real(
    clock: VirtualTime, real: RealTime
) -> None:
    time.sleep(0.099)
    asyncio.run(asyncio.sleep(0.05))
    assert (real.slept, clock.slept) == ([0.099, 0.05], [])
    assert time.monotonic() == real.now
    time.sleep(0.1)
    assert clock.slept == [0.1]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_async_sleep(clock: VirtualTime, real: RealTime, backend: str) -> None:
    async def main() -> None:
        await anyio.sleep(50)
        await (asyncio if backend == "asyncio" else trio).sleep(60)

    anyio.run(main, backend=backend)
    assert real.slept == []
    assert clock.slept == [50, 60]
    assert time.monotonic() == pytest.approx(real.now + 110)


def test_the_names_of_arguments(clock: VirtualTime) -> None:
    async def with_trio() -> None:
        await trio.sleep(seconds=5)

    async def with_asyncio() -> None:
        assert await asyncio.sleep(delay=6, result="result") == "result"

    async def with_anyio() -> None:
        await anyio.sleep(delay=7)

    trio.run(with_trio)
    asyncio.run(with_asyncio())
    on_both(with_anyio)
    assert clock.slept == [5, 6, 7, 7]


def test_the_result_of_asyncio_sleep(clock: VirtualTime) -> None:
    assert asyncio.run(asyncio.sleep(9, result="result")) == "result"
    assert asyncio.run(asyncio.sleep(0, result="result")) == "result"


def test_sleeping_forever_is_left_alone(clock: VirtualTime, real: RealTime) -> None:
    forever = float("inf")
    asyncio.run(asyncio.sleep(forever))
    time.sleep(forever)
    assert (real.slept, clock.slept) == ([forever, forever], [])


@pytest.mark.parametrize("threads", [1, 2])
def test_waiting_takes_no_time_while_nobody_could_end_it(
    real: RealTime, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    waited: list[float] = []
    wait = threading.Condition.wait

    def wait_for_real(condition: threading.Condition, timeout: float | None = None) -> bool:
        if timeout:
            waited.append(timeout)
            real.now += timeout
        return wait(condition, 0)

    monkeypatch.setattr(threading.Condition, "wait", wait_for_real)
    monkeypatch.setattr(threading, "_time", lambda: real.now)
    monkeypatch.setattr(queue, "time", lambda: real.now)
    monkeypatch.setattr(threading, "active_count", lambda: threads)
    began, condition = real.now, threading.Condition()
    with VirtualTime() as clock:
        assert not threading.Event().wait(5)
        with pytest.raises(queue.Empty):
            queue.Queue().get(timeout=6)
        with condition:
            assert not condition.wait_for(lambda: False, timeout=7)
            assert not condition.wait(timeout=0.05)
        assert not threading.Semaphore(0).acquire(timeout=8)
        with pytest.raises(TimeoutError):
            Future().result(timeout=9)
        assert time.monotonic() == pytest.approx(began + 35.05)
    virtual, real_waits = (clock.slept, waited) if threads == 1 else (waited, clock.slept)
    assert [seconds for seconds in virtual if seconds != 0.05] == [5, 6, 7, 8, 9]
    assert [seconds for seconds in real_waits if seconds != 0.05] == []


def test_what_is_there_is_not_waited_for(real: RealTime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    with VirtualTime() as clock:
        event, items = threading.Event(), queue.Queue[str]()
        event.set()
        items.put("item")
        assert event.wait(5)
        assert items.get(timeout=5) == "item"
    assert clock.slept == []


def test_a_server_thread_keeps_real_time(clock: VirtualTime, real: RealTime) -> None:
    def serve() -> None:
        with keeps_real_time():
            time.sleep(0.2)
        time.sleep(7)

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    time.sleep(8)
    assert real.slept == [0.2, 0, 0]
    assert clock.slept == [7, 8]


def test_a_pause_in_virtual_time(clock: VirtualTime, real: RealTime) -> None:
    time.sleep(10)
    with clock.paused():
        time.sleep(11)
        asyncio.run(asyncio.sleep(12))
        assert time.monotonic() == real.now + 10  # it does not go back
    time.sleep(13)
    assert (clock.slept, real.slept) == ([10, 13], [0, 11, 12, 0])


# -- the order of things -------------------------------------------------------------------------


def test_tasks_wake_in_the_order_of_their_moments(clock: VirtualTime, real: RealTime) -> None:
    for_both: list[float] = []

    async def main() -> None:
        async def sleeper(*naps: float) -> None:
            for seconds in naps:
                await anyio.sleep(seconds)
                for_both.append(round(time.monotonic() - began))

        began = time.monotonic()
        async with anyio.create_task_group() as group:
            group.start_soon(sleeper, 100)
            group.start_soon(sleeper, 10, 10, 85)
            group.start_soon(sleeper, 15)
            for _ in range(20):
                group.start_soon(sleeper, 30)

    on_both(main)
    assert for_both == [10, 15, 20, *[30] * 20, 100, 105] * 2
    assert time.monotonic() == pytest.approx(real.now + 210)


def test_nobody_wakes_while_another_task_can_run(clock: VirtualTime) -> None:
    log: list[str] = []

    async def main() -> None:
        async def sleeper() -> None:
            await anyio.sleep(30)
            log.append("awake")

        async def busy() -> None:
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            log.append("done")

        async with anyio.create_task_group() as group:
            group.start_soon(sleeper)
            group.start_soon(busy)

    on_both(main)
    assert log == ["done", "awake"] * 2


def test_a_task_that_polls_without_sleeping_keeps_nobody_asleep(
    clock: VirtualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sleepers, "_LONGEST_TURN", 0)

    async def main() -> None:
        is_done = False

        async def sleeper() -> None:
            nonlocal is_done
            await anyio.sleep(30)
            is_done = True

        async with anyio.create_task_group() as group:
            group.start_soon(sleeper)
            while not is_done:
                await anyio.lowlevel.checkpoint()

    on_both(main)


def test_the_time_of_a_real_pause_counts_as_well(clock: VirtualTime, real: RealTime) -> None:
    async def main() -> None:
        asleep = asyncio.create_task(asyncio.sleep(10))
        await asyncio.sleep(0)
        real.now += 4
        await asleep

    asyncio.run(main())
    assert time.monotonic() == RealTime.now + 10


def test_what_a_task_gets_from_outside_has_a_moment_to_arrive(
    clock: VirtualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sleepers, "_GRACE", 3600)  # it ends when all has arrived
    log: list[str] = []

    async def main() -> None:
        async def from_a_thread() -> None:
            for _ in range(3):
                await asyncio.to_thread(int)
            log.append("arrived")

        async def sleeper() -> None:
            await asyncio.sleep(30)
            log.append("awake")

        await asyncio.gather(sleeper(), from_a_thread())

    asyncio.run(main())
    assert log == ["arrived", "awake"]


# -- deadlines -----------------------------------------------------------------------------------


async def under_a_timeout() -> None:
    async with asyncio.timeout(5):
        await asyncio.sleep(60)


async def wait_for() -> None:
    await asyncio.wait_for(asyncio.sleep(60), 5)


async def wait_for_a_task() -> None:
    await asyncio.wait_for(asyncio.create_task(asyncio.sleep(60)), 5)


async def wait() -> None:
    tasks = {asyncio.create_task(asyncio.sleep(60)), asyncio.create_task(asyncio.sleep(3))}
    _, left = await asyncio.wait(tasks, timeout=5)
    assert len(left) == 1
    left.pop().cancel()
    raise TimeoutError


async def gather() -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    async with asyncio.timeout(5):
        await asyncio.gather(asyncio.gather(task), asyncio.sleep(3))


async def shield() -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    try:
        async with asyncio.timeout(5):
            await asyncio.shield(task)
    finally:
        task.cancel()


async def a_group() -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(60))


async def as_completed() -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    try:
        for future in asyncio.as_completed([task], timeout=5):
            await future
    finally:
        task.cancel()


async def blocking() -> None:
    async with asyncio.timeout(5):
        time.sleep(60)
        for _ in range(2):
            await asyncio.sleep(0)


async def polling() -> None:
    async with asyncio.timeout(5):
        while True:
            await asyncio.sleep(2)


OWN = [
    *(under_a_timeout, wait_for, wait_for_a_task, wait, gather, shield, a_group, as_completed),
    *(blocking, polling),
]


@pytest.mark.parametrize("overslept", OWN)
def test_a_deadline_strikes_before_a_longer_sleep_ends(
    clock: VirtualTime, real: RealTime, overslept: Callable[[], Any]
) -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(overslept())
    assert time.monotonic() - real.now == pytest.approx(60 if overslept is blocking else 5)


def test_a_timer_runs_during_a_longer_sleep(clock: VirtualTime) -> None:
    async def main() -> None:
        ran: list[float] = []
        loop = asyncio.get_running_loop()
        loop.call_later(5, lambda: ran.append(loop.time()))
        began = loop.time()
        await asyncio.sleep(4)
        assert ran == []
        await asyncio.sleep(4)
        assert ran == [pytest.approx(began + 5)]

    asyncio.run(main())


async def own_sleep() -> None:
    await anyio.sleep(60)


async def sleep_of_a_group() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 60)
        group.start_soon(anyio.sleep, 3)


async def sleep_of_an_inner_group() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(sleep_of_a_group)


@pytest.mark.parametrize("overslept", [own_sleep, sleep_of_a_group, sleep_of_an_inner_group])
def test_deadlines_of_anyio_strike_on_each_backend(
    clock: VirtualTime, real: RealTime, overslept: Callable[[], Awaitable[None]]
) -> None:
    async def main() -> None:
        began = time.monotonic()
        with pytest.raises(TimeoutError), anyio.fail_after(5):
            await overslept()
        with anyio.move_on_after(5) as scope:
            await overslept()
        assert scope.cancelled_caught
        assert time.monotonic() - began == pytest.approx(10)
        with anyio.fail_after(61):
            await overslept()

    on_both(main)


def test_deadlines_of_trio_strike(clock: VirtualTime, real: RealTime) -> None:
    async def main() -> None:
        began = trio.current_time()
        with pytest.raises(trio.TooSlowError), trio.fail_after(5):
            await trio.sleep(60)
        with trio.move_on_after(5) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 60)
        assert scope.cancelled_caught
        with trio.move_on_after(5) as scope:
            time.sleep(60)
            await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        assert trio.current_time() - began == pytest.approx(70)

    trio.run(main)


def test_no_deadline_strikes_for_a_shorter_sleep(clock: VirtualTime) -> None:
    async def with_asyncio() -> None:
        async with asyncio.timeout(60):
            await asyncio.sleep(5)

    async def with_anyio() -> None:
        with anyio.fail_after(60):
            await anyio.sleep(5)

    asyncio.run(with_asyncio())
    on_both(with_anyio)


@pytest.mark.parametrize("source", ["a thread", "a task"])
def test_a_deadline_does_not_strike_for_a_sleep_of_another_task(
    clock: VirtualTime, source: str
) -> None:
    log: list[str] = []

    async def main() -> None:
        reply, in_thread = anyio.Event(), threading.Event()

        async def retry() -> None:
            await anyio.sleep(30)
            log.append("retried")
            reply.set()
            in_thread.set()

        async def wait() -> None:
            if source == "a thread":
                await anyio.to_thread.run_sync(in_thread.wait)
            else:
                await reply.wait()

        async def receive() -> None:
            with anyio.fail_after(10):
                await wait()
                log.append("received")
                with anyio.move_on_after(3) as scope:  # from here on by its own sleep
                    await anyio.sleep(4)
                assert scope.cancelled_caught
            with pytest.raises(TimeoutError), anyio.fail_after(10):
                await anyio.sleep(11)
            log.append("struck")

        async with anyio.create_task_group() as group:
            group.start_soon(retry)
            group.start_soon(receive)

    on_both(main)
    assert log == ["retried", "received", "struck"] * 2


def test_nor_for_a_task_that_it_started_and_does_not_wait_for(clock: VirtualTime) -> None:
    async def main() -> None:
        flushed, reply = 0, anyio.Event()

        async def flush() -> None:
            nonlocal flushed
            while flushed < 5:
                await anyio.sleep(20)
                flushed += 1
            reply.set()

        with anyio.fail_after(10):
            async with anyio.create_task_group() as background:
                background.start_soon(flush)
                await reply.wait()
        assert flushed == 5

    on_both(main)


def test_nor_for_a_sleep_in_a_thread(clock: VirtualTime) -> None:
    async def main() -> None:
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()

        async def receive() -> None:
            async with asyncio.timeout(10):
                await gone.wait()

        def sleep() -> None:
            time.sleep(30)
            loop.call_soon_threadsafe(gone.set)

        task = asyncio.create_task(receive())
        await asyncio.sleep(0)
        thread = threading.Thread(target=sleep)
        thread.start()
        await task
        thread.join()

    asyncio.run(main())


def test_a_polling_task_reaches_its_own_deadline_in_order(clock: VirtualTime) -> None:
    log: list[str] = []

    async def main() -> None:
        async def poll(times: int) -> None:
            with anyio.move_on_after(10) as scope:
                for _ in range(times):
                    await anyio.sleep(1)
            log.append(f"{times}: {'struck' if scope.cancelled_caught else 'done'}")

        async def sleeper() -> None:
            await anyio.sleep(30)
            log.append("awake")

        async with anyio.create_task_group() as group:
            group.start_soon(sleeper)
            group.start_soon(poll, 9)
            group.start_soon(poll, 12)

    on_both(main)
    assert log == ["9: done", "12: struck", "awake"] * 2


def test_a_loop_that_lives_on_gets_its_deadlines_back(real: RealTime) -> None:
    loop = asyncio.new_event_loop()
    ran: list[str] = []
    try:
        loop.run_until_complete(asyncio.sleep(0))
        loop.call_later(20, ran.append, "held")
        with VirtualTime():
            loop.run_until_complete(asyncio.sleep(30))
            assert ran == []
        real.now += 20
        loop.run_until_complete(asyncio.sleep(0))
        assert ran == ["held"]
    finally:
        loop.close()


def test_who_still_sleeps_at_the_end_is_woken(real: RealTime) -> None:
    loop = asyncio.new_event_loop()
    try:
        with VirtualTime():
            task = loop.create_task(asyncio.sleep(30))
            loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(task)
    finally:
        loop.close()


def test_a_loop_with_a_clock_of_its_own_keeps_it(clock: VirtualTime) -> None:
    class Loop(asyncio.SelectorEventLoop):
        def time(self) -> float:
            return 5.0

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.get_loop().call_later(20, int)
        runner.run(asyncio.sleep(30))
        (timer,) = runner.get_loop()._scheduled  # type: ignore[attr-defined]
        assert timer.when() == 25
    assert clock.slept == [30]


def test_a_mock_clock_of_trio_keeps_its_own_time(clock: VirtualTime, real: RealTime) -> None:
    async def main() -> None:
        await trio.sleep(5)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert (clock.slept, real.slept) == ([], [5])


# -- what modules took by name -------------------------------------------------------------------


def test_what_was_imported_by_name_is_real_again_afterwards(real: RealTime) -> None:
    with VirtualTime() as clock:
        from asyncio import sleep as async_sleep
        from time import monotonic, sleep
        from time import time as wall

        sleep(100)
        assert (monotonic(), wall()) == (real.now + 100, real.now + 100)
    assert (monotonic(), wall()) == (real.now, real.now)
    real.slept.clear()
    sleep(150)
    asyncio.run(async_sleep(160))
    assert real.slept == [150, 160]
    assert clock.slept == [100]
    with VirtualTime() as clock:
        sleep(170)
    assert clock.slept == [170]


def test_what_was_imported_by_name_before(real: RealTime, monkeypatch: pytest.MonkeyPatch) -> None:
    module, tool = ModuleType("application"), ModuleType("hypothesis.internal")
    for holder in (module, tool):
        monkeypatch.setitem(__import__("sys").modules, holder.__name__, holder)
        exec("from time import sleep as pause, monotonic\nfrom asyncio import sleep", vars(holder))
    before = dict(vars(module)), dict(vars(tool))
    for _ in range(2):
        with VirtualTime() as clock:
            assert vars(tool) == before[1]
            vars(module)["pause"](100)
            asyncio.run(vars(module)["sleep"](50))
            assert vars(module)["monotonic"]() == real.now + 150
            assert clock.slept == [100, 50]
        assert (vars(module), vars(tool)) == before


def test_a_function_that_a_test_replaces_stays_replaced(
    clock: VirtualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", slept.append)
        asyncio.run(asyncio.sleep(20))
        time.sleep(30)
        assert (clock.slept, slept) == ([20], [30])
    time.sleep(40)
    assert clock.slept == [20, 40]


# -- beside tools that freeze time ---------------------------------------------------------------


FREEZERS = ("freezegun", "time_machine")


def frozen(package: str) -> Any:
    module = pytest.importorskip(package)
    if package == "freezegun":
        return module.freeze_time("2001-02-03")
    return module.travel("2001-02-03T00:00:00+00:00", tick=False)


START = 981158400  # 2001-02-03


@pytest.mark.parametrize("package", FREEZERS)
def test_virtual_time_within_frozen_time(package: str) -> None:
    before = everything()
    with frozen(package):
        with VirtualTime() as clock:
            time.sleep(30)
            assert time.time() == pytest.approx(START + 30)
            with pytest.raises(TimeoutError):
                asyncio.run(wait_for())
            on_both(own_sleep)
        assert clock.slept == [30, 60, 60, 60]
        assert time.time() == START
    assert everything() == before


@pytest.mark.parametrize("package", FREEZERS)
def test_frozen_time_within_virtual_time(package: str) -> None:
    before = everything()
    with VirtualTime() as clock:
        with frozen(package):
            time.sleep(30)
            with pytest.raises(TimeoutError):
                asyncio.run(wait_for())
            on_both(own_sleep)
        began = time.time()
        assert began > START + 10**8
        time.sleep(30)
        began = time.time()
        time.sleep(30)
        assert time.time() - began >= 30
    assert clock.slept == [30, 60, 60, 60, 30, 30]
    assert everything() == before


# -- in a test with the plugin -------------------------------------------------------------------

CONCURRENT = (
    REAL_SLEEPS
    + """
import anyio
from pytest_chatapi import faults
from pytest_chatapi.mock import text

async def ask_for(client, prompt):
    answer = await client.chat.completions.create(**ask(prompt))
    return answer.choices[0].message.content

async def application(slow, quick):
    answers = []
    async def patient():
        answers.append(await ask_for(slow, "slow"))
    async def in_a_hurry():
        with anyio.fail_after(10):
            for _ in range(4):
                await anyio.sleep(2)
                answers.append(await ask_for(quick, "quick"))
    async with anyio.create_task_group() as group:
        group.start_soon(patient)
        group.start_soon(in_a_hurry)
    return answers

@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a(chatapi_mock, chatapi, backend, real_sleeps):
    chatapi_mock.chat(prompt="slow").script([faults.rate_limit(retry_after=30), "slow"])
    chatapi_mock.chat(prompt="quick").reply("quick")
    async def main():
        async with openai.AsyncOpenAI() as client:
            return await application(client, client)
    assert anyio.run(main, backend=backend) == ["quick"] * 4 + ["slow"]
    assert sorted(chatapi.slept) == [2, 2, 2, 2, 30]

@pytest.mark.parametrize("family", [httpx, httpx2])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_read_timeouts_strike(chatapi_mock, chatapi, backend, family):
    chatapi_mock.script([faults.stall(seconds=60), "late"])
    async def main():
        async with family.AsyncClient(timeout=20) as client:
            with pytest.raises(family.ReadTimeout):
                await client.post("https://api.openai.com/v1/chat/completions", json=ask())
            with pytest.raises(TimeoutError), anyio.fail_after(15):
                await anyio.sleep(16)
            await client.post("https://api.openai.com/v1/chat/completions", json=ask())
    anyio.run(main, backend=backend)
    assert chatapi.slept == [20, 16]
"""
)


def test_a_concurrent_application(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL")
    run(CONCURRENT).assert_outcomes(passed=6)


def exchange(status: int, body: object, **headers: str) -> dict[str, Any]:
    question = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "Hi"}]}
    headers["content-type"] = "application/json"
    return {
        "request": {
            "method": "POST",
            "uri": "https://api.openai.com/v1/chat/completions",
            "body": json.dumps(question),
            "headers": {"content-type": ["application/json"]},
        },
        "response": {
            "status": {"code": status, "message": ""},
            "headers": {name: [value] for name, value in headers.items()},
            "body": {"string": json.dumps(body)},
        },
    }


ERROR = {"message": "Slow", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
LIMITED = {
    "version": 1,
    "interactions": [
        exchange(429, {"error": ERROR}, **{"retry-after": "20"}),
        exchange(200, ANSWER),
    ],
}


def test_a_replayed_rate_limit(
    run: Any, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL")
    folder = pytester.path / "cassettes" / "test_it"
    folder.mkdir(parents=True)
    (folder / "limited.yaml").write_text(yaml.safe_dump(LIMITED))
    test = (
        REAL_SLEEPS
        + """
pytestmark = pytest.mark.chatapi(cassette="limited")

async def answered():
    async with openai.AsyncOpenAI() as client:
        return await client.chat.completions.create(**ask())

@pytest.mark.chatapi(virtual_time=True)
def test_sync(chatapi, real_sleeps):
    assert openai.OpenAI().chat.completions.create(**ask()).choices
    assert (chatapi.slept, any(real_sleeps)) == ([20], False)

@pytest.mark.chatapi(virtual_time=True)
def test_async(chatapi, real_sleeps):
    assert asyncio.run(answered()).choices
    assert (chatapi.slept, any(real_sleeps)) == ([20], False)

def test_real(chatapi, real_sleeps):
    assert openai.OpenAI().chat.completions.create(**ask()).choices
    assert (chatapi.slept, list(filter(None, real_sleeps))) == ([], [20])
"""
    )
    run(test).assert_outcomes(passed=3)


def test_a_recording_takes_its_time(run: Any) -> None:
    test = (
        REAL_SLEEPS
        + """
import os

@pytest.mark.chatapi(virtual_time=True)
def test_a(chatapi, real_sleeps):
    time.sleep(20)
    httpx.post(os.environ["OPENAI_BASE_URL"] + "/chat/completions", json=ask())
    assert bool(chatapi.slept) is not any(real_sleeps)
    print("slept", chatapi.slept)
"""
    )
    result = run(test, "--record-mode=once", "-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*slept []*"])
    result = run(test, "-s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*slept [[]20[]]*"])
