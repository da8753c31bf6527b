# SPDX-License-Identifier: Apache-2.0
"""Lanes keep their order, a partition holds back, a cut loses."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from p2p_handoff.testing.link import Conditions, Ends, Link
from p2p_handoff.testing.loop import Process, SimulatedLoop


class Wires:
    """A link with a process at each end, and what arrived."""

    def __init__(self, conditions: Conditions) -> None:
        self.loop = SimulatedLoop()
        self.link = Link(self.loop, random.Random(1), conditions)
        self.arrived: list[object] = []

    def process(self, name: str) -> Process:
        return Process(self.loop, name)

    def run(self, story: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.loop.run_until_complete(story())
        self.loop.close()
        assert self.loop.failures == []

    def put(self, item: object) -> Callable[[], None]:
        return lambda: self.arrived.append(item)


@pytest.fixture
def wires() -> Wires:
    """A slow, lossy link."""
    return Wires(Conditions(delay=(0.0, 1.0), loss=0.3))


def test_a_lane_keeps_its_order_whatever_each_message_takes(wires: Wires) -> None:
    async def story() -> None:
        lane = wires.link.lane(wires.process("desktop"))
        for number in range(50):
            lane.send(wires.put(number))
        await asyncio.sleep(100)

    wires.run(story)
    assert wires.arrived == list(range(50))


def test_two_lanes_overtake_each_other(wires: Wires) -> None:
    async def story() -> None:
        process = wires.process("desktop")
        one, other = wires.link.lane(process), wires.link.lane(process)
        for number in range(50):
            (one, other)[number % 2].send(wires.put(number))
        await asyncio.sleep(100)

    wires.run(story)
    assert sorted(wires.arrived, key=lambda item: int(str(item))) == list(range(50))
    assert wires.arrived != list(range(50))


def test_a_partition_holds_everything_back_in_order(wires: Wires) -> None:
    async def story() -> None:
        lane = wires.link.lane(wires.process("desktop"))
        lane.send(wires.put("sent before"))
        wires.link.part()
        lane.send(wires.put("sent meanwhile"))
        await asyncio.sleep(100)
        assert wires.arrived == []
        wires.link.heal()
        lane.send(wires.put("sent after"))
        await asyncio.sleep(100)

    wires.run(story)
    assert wires.arrived == ["sent before", "sent meanwhile", "sent after"]


def test_what_is_sent_to_a_suspended_process_waits_and_to_a_dead_one_is_lost(wires: Wires) -> None:
    async def story() -> None:
        suspended, dead = wires.process("suspended"), wires.process("dead")
        for process in (suspended, dead):
            wires.link.lane(process).send(wires.put(process.name))
        suspended.suspend()
        dead.kill()
        await asyncio.sleep(100)
        assert wires.arrived == []
        suspended.resume()
        await asyncio.sleep(1)

    wires.run(story)
    assert wires.arrived == ["suspended"]


@pytest.mark.parametrize(("silent", "heard"), [(0.0, {"laptop", "desktop"}), (1.0, None)])
def test_a_cut_loses_what_is_on_its_way_and_may_be_heard_by_one_side_only(
    silent: float, heard: set[str] | None
) -> None:
    wires = Wires(Conditions(silent_cuts=silent))
    told: list[str] = []

    async def story() -> None:
        processes = {name: wires.process(name) for name in ("laptop", "desktop")}
        ends = Ends({name: lambda _, name=name: told.append(name) for name in processes}, processes)  # type: ignore[misc]
        lane = wires.link.lane(processes["desktop"])
        ends.lanes.append(lane)
        wires.link.connected(ends)
        lane.send(wires.put("lost"))
        wires.link.cut()
        lane.send(wires.put("lost as well"))
        await asyncio.sleep(100)
        assert not wires.link.over(ends)

    wires.run(story)
    assert wires.arrived == []
    assert set(told) == heard if heard is not None else len(told) == 1


def test_a_cut_can_be_set_at_a_message_and_taken_back(wires: Wires) -> None:
    cuts: list[int] = []
    link = wires.link

    async def story() -> None:
        process = wires.process("laptop")
        ends = Ends({"laptop": lambda _: cuts.append(link.messages)}, {"laptop": process})
        link.conditions = Conditions(silent_cuts=0.0)
        link.connected(ends)
        link.cut_at_message(1)
        link.forget_cut()
        link.sent()
        link.cut_at_message(2)
        link.sent()
        link.sent()
        await asyncio.sleep(1)

    wires.run(story)
    assert cuts == [3]
