"""Sleeping that takes no time."""

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

NOW = 1000.0


@pytest.fixture
def really(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of each sleep that would have been real, while the real clocks stand still."""
    seconds: list[float] = []

    def pause(real: Any) -> Any:
        async def sleep(delay: float, result: Any = None) -> Any:
            seconds.append(delay)
            await real(0)
            return result

        return sleep

    monkeypatch.setattr(time, "sleep", seconds.append)
    monkeypatch.setattr(time, "monotonic", lambda: NOW)
    monkeypatch.setattr(time, "time", lambda: NOW)
    for module in (asyncio, anyio, trio):
        monkeypatch.setattr(module, "sleep", pause(module.sleep))
    return seconds


@pytest.fixture
def clock(really: list[float]) -> Iterator[VirtualTime]:
    before = (time.sleep, time.monotonic, asyncio.sleep, anyio.sleep, trio.sleep)
    with VirtualTime() as clock:
        yield clock
    assert before == (time.sleep, time.monotonic, asyncio.sleep, anyio.sleep, trio.sleep)


def test_sleeping_takes_no_time_but_passes(clock: VirtualTime, really: list[float]) -> None:
    time.sleep(100)
    time.sleep(0.5)
    assert set(really) == {0}
    assert time.monotonic() == NOW + 100.5
    assert clock.slept == [100, 0.5]


def test_a_short_pause_is_real(clock: VirtualTime, really: list[float]) -> None:
    time.sleep(0.05)
    asyncio.run(asyncio.sleep(0.05))
    assert really == [0.05, 0.05]
    assert time.monotonic() == NOW
    assert clock.slept == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_async_sleep(clock: VirtualTime, really: list[float], backend: str) -> None:
    async def main() -> None:
        await anyio.sleep(50)
        await (asyncio if backend == "asyncio" else trio).sleep(60)

    anyio.run(main, backend=backend)
    assert set(really) == {0}
    assert time.monotonic() == NOW + 110
    assert clock.slept == [50, 60]


def test_the_result_of_asyncio_sleep(clock: VirtualTime) -> None:
    assert asyncio.run(asyncio.sleep(9, result="result")) == "result"
    assert asyncio.run(asyncio.sleep(0.01, result="result")) == "result"


def test_who_sleeps_at_the_same_time_sleeps_together(clock: VirtualTime) -> None:
    async def main() -> None:
        await asyncio.gather(*(asyncio.sleep(10) for _ in range(20)))

    asyncio.run(main())
    assert time.monotonic() == NOW + 10


def test_time_never_runs_backwards(clock: VirtualTime) -> None:
    times: list[float] = []

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)
        times.append(time.monotonic())

    async def main() -> None:
        await asyncio.gather(sleep(20), sleep(10), sleep(15))

    asyncio.run(main())
    assert times == [NOW + 20] * 3
    assert time.time() == NOW + 20


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


def test_a_server_thread_keeps_real_time(clock: VirtualTime, really: list[float]) -> None:
    def serve() -> None:
        with keeps_real_time():
            time.sleep(30)

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert really == [30]
    assert time.monotonic() == NOW
    assert clock.slept == []


def test_the_wall_clock_moves_on(clock: VirtualTime) -> None:
    time.sleep(100)
    assert time.time() == NOW + 100


def test_what_was_taken_by_name_is_real_again_afterwards(really: list[float]) -> None:
    with VirtualTime() as clock:
        from time import monotonic, sleep

        sleep(100)
        assert monotonic() == NOW + 100
    really.clear()
    sleep(15)
    assert really == [15]
    assert monotonic() == NOW
    assert clock.slept == [100]


def test_sleeping_for_ever_is_left_alone(clock: VirtualTime, really: list[float]) -> None:
    forever = float("inf")
    time.sleep(forever)
    asyncio.run(asyncio.sleep(forever))
    assert really == [forever] * 2
    assert time.monotonic() == NOW
    assert clock.slept == []
