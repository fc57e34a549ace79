"""Sleeping that takes no time. The real clock stands still here, and real sleeps are counted."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
import trio

from pytest_chatapi.faults.virtual_time import VirtualTime, keeps_real_time


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
    monkeypatch.setattr(time, "monotonic", lambda: real.now)
    monkeypatch.setattr(time, "time", lambda: real.now)
    monkeypatch.setattr(time, "sleep", real.sleep)
    for module in (asyncio, anyio, trio):
        monkeypatch.setattr(module, "sleep", counted(real, module.sleep))
    return real


def counted(real: RealTime, turn: Any) -> Any:
    """A sleep that takes a turn of the loop instead, as it does for 0 seconds."""

    async def sleep(delay: float, result: Any = None) -> Any:
        real.sleep(delay)
        await turn(0)
        return result

    return sleep


@pytest.fixture
def clock(real: RealTime) -> Iterator[VirtualTime]:
    before = (time.sleep, time.monotonic, time.time, asyncio.sleep, anyio.sleep, trio.sleep)
    with VirtualTime() as clock:
        yield clock
    assert before == (
        time.sleep,
        time.monotonic,
        time.time,
        asyncio.sleep,
        anyio.sleep,
        trio.sleep,
    )


def test_sleeping_takes_no_time_but_passes(clock: VirtualTime, real: RealTime) -> None:
    time.sleep(100)
    time.sleep(0.5)
    assert set(real.slept) == {0}
    assert time.monotonic() == real.now + 100.5
    assert clock.slept == [100, 0.5]


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
    assert set(real.slept) == {0}
    assert clock.slept == [50, 60]
    assert time.monotonic() == real.now + 110


def test_the_result_of_asyncio_sleep(clock: VirtualTime) -> None:
    assert asyncio.run(asyncio.sleep(9, result="result")) == "result"
    assert asyncio.run(asyncio.sleep(0, result="result")) == "result"


def test_tasks_that_sleep_at_the_same_time_sleep_together(
    clock: VirtualTime, real: RealTime
) -> None:
    async def main() -> None:
        await asyncio.gather(*(asyncio.sleep(10) for _ in range(20)))

    asyncio.run(main())
    assert time.monotonic() == real.now + 10


def test_the_clock_never_runs_backwards(clock: VirtualTime, real: RealTime) -> None:
    woke = []

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        woke.append(time.monotonic() - real.now)

    async def main() -> None:
        # The long sleep is over first, and the end of the short one lies before that moment.
        await asyncio.gather(sleeper(100), sleeper(10))

    asyncio.run(main())
    assert woke == [100, 100]


def test_the_time_of_a_real_pause_counts_as_well(clock: VirtualTime, real: RealTime) -> None:
    async def main() -> None:
        asleep = asyncio.create_task(asyncio.sleep(10))
        await asyncio.sleep(0)
        real.now += 4
        await asleep

    asyncio.run(main())
    assert time.monotonic() == RealTime.now + 10


def test_a_deadline_strikes_before_a_longer_sleep_ends(clock: VirtualTime) -> None:
    async def main() -> str:
        try:
            async with asyncio.timeout(5):
                await asyncio.sleep(60)
        except TimeoutError:
            return "struck"
        return "slept on"

    assert asyncio.run(main()) == "struck"


def test_wait_for_strikes_as_well(clock: VirtualTime) -> None:
    async def main() -> None:
        await asyncio.wait_for(asyncio.sleep(60), 5)

    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_no_deadline_strikes_for_a_shorter_sleep(clock: VirtualTime) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await asyncio.sleep(5)

    asyncio.run(main())


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


def test_the_wall_clock_moves_on(clock: VirtualTime, real: RealTime) -> None:
    time.sleep(100)
    assert time.time() == real.now + 100


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


def test_sleeping_forever_is_left_alone(clock: VirtualTime, real: RealTime) -> None:
    forever = float("inf")
    asyncio.run(asyncio.sleep(forever))
    time.sleep(forever)
    assert (real.slept, clock.slept) == ([forever, forever], [])
