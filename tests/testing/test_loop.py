# SPDX-License-Identifier: Apache-2.0
"""Time that jumps, timers in order, and processes that are suspended and killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from p2p_handoff.testing import loop as loops
from p2p_handoff.testing.loop import Process, ProcessKilledError, SimulatedLoop, StuckError


@pytest.fixture
def loop() -> Iterator[SimulatedLoop]:
    """A loop that fails the test when an error was left unhandled."""
    made = SimulatedLoop()
    yield made
    made.close()
    assert made.failures == []


def test_time_jumps_to_the_next_timer_and_timers_fire_in_order(loop: SimulatedLoop) -> None:
    fired: list[tuple[str, float]] = []

    async def wait(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        fired.append((name, loop.time()))

    async def story() -> None:
        await asyncio.gather(wait("a year", 31_536_000.0), wait("a day", 86_400.0), wait("now", 0.0))

    loop.run_until_complete(story())
    assert fired == [("now", 0.0), ("a day", 86_400.0), ("a year", 31_536_000.0)]


def test_deadlines_are_those_of_simulated_time(loop: SimulatedLoop) -> None:
    async def story() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(600):
                await loop.create_future()
        return loop.time()

    assert loop.run_until_complete(story()) == 600.0


def test_what_would_run_in_a_thread_runs_in_one_piece_and_takes_as_long_as_the_disk(loop: SimulatedLoop) -> None:
    loop.disk_delay = lambda: 0.25

    async def story() -> tuple[int, float]:
        return await asyncio.to_thread(lambda: 42), loop.time()

    assert loop.run_until_complete(story()) == (42, 0.25)


def test_an_error_in_a_thread_reaches_whoever_waits(loop: SimulatedLoop) -> None:
    async def story() -> None:
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)

    loop.run_until_complete(story())


def test_a_run_in_which_everybody_waits_is_stuck_and_not_silent(loop: SimulatedLoop) -> None:
    async def story() -> None:
        await loop.create_future()

    with pytest.raises(StuckError, match="nothing will ever happen"):
        loop.run_until_complete(story())


def test_a_run_in_which_no_time_passes_is_stuck(loop: SimulatedLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "MAX_STEPS_AT_ONCE", 1000)

    async def story() -> None:
        while True:  # noqa: ASYNC110 - it is what must be noticed
            await asyncio.sleep(0)

    with pytest.raises(StuckError, match="while no time passed"):
        loop.run_until_complete(story())


def test_a_suspended_process_gets_no_turn_and_loses_none(loop: SimulatedLoop) -> None:
    ticks: list[float] = []

    async def tick() -> None:
        for _ in range(3):
            await asyncio.sleep(1.0)
            ticks.append(loop.time())

    async def story() -> None:
        process = Process(loop, "laptop")
        ticking = process.spawn(tick())
        await asyncio.sleep(1.5)
        process.suspend()
        await asyncio.sleep(100.0)
        assert ticks == [1.0]
        process.resume()
        await ticking

    loop.run_until_complete(story())
    assert ticks == [1.0, 101.5, 102.5]


def test_a_timer_that_is_cancelled_by_what_was_due_before_it_does_not_fire_after_a_suspension(
    loop: SimulatedLoop,
) -> None:
    fired: list[str] = []

    async def story() -> None:
        process = Process(loop, "laptop")
        later = loop.call_later(2.0, fired.append, "later", context=process.context.copy())
        loop.call_later(1.0, later.cancel, context=process.context.copy())
        process.suspend()
        await asyncio.sleep(10.0)
        process.resume()
        await asyncio.sleep(1.0)

    loop.run_until_complete(story())
    assert fired == []


def test_a_killed_process_does_nothing_any_more_and_gives_back_what_it_held(loop: SimulatedLoop) -> None:
    seen: list[str] = []

    async def generator() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                await asyncio.sleep(1.0)
        finally:
            await asyncio.sleep(1.0)
            seen.append("a generator was left in order")

    async def work() -> None:
        try:
            async for _ in generator():
                await asyncio.sleep(1.0)
        finally:
            await asyncio.sleep(1.0)
            seen.append("left in order")

    async def story() -> None:
        process = Process(loop, "laptop")
        process.at_end.append(lambda: seen.append("given back"))
        process.spawn(work())
        process.spawn(asyncio.to_thread(seen.append, "in a thread"))
        process.kill()
        process.kill()
        await process.ended
        await asyncio.sleep(60.0)

    loop.run_until_complete(story())
    assert seen == ["given back"]


def test_a_process_can_die_in_the_middle_of_a_step(loop: SimulatedLoop) -> None:
    seen: list[str] = []

    async def work(process: Process) -> None:
        try:
            process.kill()
            raise ProcessKilledError
        except Exception:  # noqa: BLE001 - it must not be caught by what catches everything else
            seen.append("caught")

    async def story() -> None:
        process = Process(loop, "laptop")
        process.spawn(work(process))
        await asyncio.sleep(1.0)

    loop.run_until_complete(story())
    assert seen == []


def test_what_a_process_calls_and_spawns_belongs_to_it(loop: SimulatedLoop) -> None:
    async def whose() -> Process | None:
        return loops.PROCESS.get()

    async def story() -> None:
        process = Process(loop, "laptop")
        assert await process.spawn(whose()) is process
        assert process.call(loops.PROCESS.get) is process
        assert await whose() is None

    loop.run_until_complete(story())


def test_an_error_that_nobody_handles_is_noted() -> None:
    loop = SimulatedLoop()

    async def story() -> None:
        loop.call_soon(lambda: 1 // 0)
        await asyncio.sleep(1)

    loop.run_until_complete(story())
    loop.close()
    assert len(loop.failures) == 1
    assert "ZeroDivisionError" in loop.failures[0]
