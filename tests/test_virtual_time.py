"""Sleeping that takes no time."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import anyio
import pytest
import trio

from pytest_chatapi.faults.virtual_time import VirtualTime, keeps_real_time


@pytest.fixture
def clock() -> Any:
    before = (time.sleep, time.monotonic, asyncio.sleep, anyio.sleep, trio.sleep)
    with VirtualTime() as clock:
        yield clock
    assert before == (time.sleep, time.monotonic, asyncio.sleep, anyio.sleep, trio.sleep)


def really(started: float) -> float:
    return time.perf_counter() - started


def test_sleeping_takes_no_time_but_passes(clock: VirtualTime) -> None:
    real, virtual = time.perf_counter(), time.monotonic()
    time.sleep(100)
    time.sleep(0.5)
    assert really(real) < 1
    assert 100.5 <= time.monotonic() - virtual < 102
    assert clock.slept == [100, 0.5]


def test_a_short_pause_is_real(clock: VirtualTime) -> None:
    started = time.perf_counter()
    time.sleep(0.05)
    asyncio.run(asyncio.sleep(0.05))
    assert really(started) >= 0.1
    assert clock.slept == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_async_sleep(clock: VirtualTime, backend: str) -> None:
    async def main() -> None:
        await anyio.sleep(50)
        await (asyncio if backend == "asyncio" else trio).sleep(60)

    started = time.perf_counter()
    anyio.run(main, backend=backend)
    assert really(started) < 5
    assert clock.slept == [50, 60]


def test_the_result_of_asyncio_sleep(clock: VirtualTime) -> None:
    assert asyncio.run(asyncio.sleep(9, result="result")) == "result"


def test_who_sleeps_at_the_same_time_sleeps_together(clock: VirtualTime) -> None:
    async def main() -> float:
        began = time.monotonic()
        await asyncio.gather(*(asyncio.sleep(10) for _ in range(20)))
        return time.monotonic() - began

    assert 10 <= asyncio.run(main()) < 15


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


def test_a_server_thread_keeps_real_time(clock: VirtualTime) -> None:
    took = []

    def serve() -> None:
        with keeps_real_time():
            started = time.perf_counter()
            time.sleep(0.2)
            took.append(really(started))

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert took[0] >= 0.2
    assert clock.slept == []


def test_the_wall_clock_moves_on(clock: VirtualTime) -> None:
    before = time.time()
    time.sleep(100)
    assert 100 <= time.time() - before < 102


def test_what_was_taken_by_name_is_real_again_afterwards() -> None:
    with VirtualTime() as clock:
        from time import monotonic, sleep

        sleep(100)
    started, before = time.perf_counter(), monotonic()
    sleep(0.15)
    assert really(started) >= 0.15
    assert monotonic() - before < 5
    assert clock.slept == [100]


def test_sleeping_for_ever_is_left_alone(clock: VirtualTime) -> None:
    async def main() -> None:
        with anyio.move_on_after(0.05):
            await anyio.sleep_forever()

    asyncio.run(main())
    assert clock.slept == []
