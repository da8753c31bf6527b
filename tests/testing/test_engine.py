# SPDX-License-Identifier: Apache-2.0
"""The simulated engine passes the suite of every engine, and its link can be broken."""

from __future__ import annotations

import asyncio
import random

import pytest

from p2p_handoff.limits import ICE_DEADLINE
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.testing.engine import Exchange, SimulatedEngine
from p2p_handoff.testing.engine_conformance import CHECKS, Check, Recorder
from p2p_handoff.testing.link import Conditions, Link
from p2p_handoff.testing.loop import Process, SimulatedLoop


class Network:
    """Engines of two devices on one link."""

    def __init__(self) -> None:
        self.loop = SimulatedLoop()
        self.source = random.Random(1)
        self.link = Link(self.loop, self.source, Conditions(delay=(0.0, 0.001), silent_cuts=1.0))
        self.exchange = Exchange(lambda _one, _other: self.link)
        self.made = 0

    def engine(self, *, ice_deadline: float = ICE_DEADLINE) -> SimulatedEngine:
        self.made += 1
        name = f"device {self.made}"
        process = Process(self.loop, name)
        return SimulatedEngine(self.exchange, name, process, self.source, ice_deadline=ice_deadline)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_engine(check: Check) -> None:
    network = Network()

    async def run() -> None:
        await check(network.engine, network.engine)

    network.loop.run_until_complete(run())
    network.loop.close()
    assert network.loop.failures == []


def test_one_end_of_a_silent_cut_hears_nothing() -> None:
    network = Network()

    async def story() -> None:
        dialler, answerer = network.engine().connection(), network.engine().connection()
        await dialler.set_answer(await answerer.create_answer(await dialler.create_offer()))
        await asyncio.gather(dialler.wait_open(), answerer.wait_open())
        heard = Recorder(), Recorder()
        dialler.start_receiving(heard[0])
        answerer.start_receiving(heard[1])
        dialler.send(Channel.CONTROL, b"lost")
        network.link.cut()
        await asyncio.sleep(100)
        assert sorted(len(recorder.losses) for recorder in heard) == [0, 1]
        assert heard[1].messages[Channel.CONTROL] == []
        await asyncio.gather(dialler.close(), answerer.close())

    network.loop.run_until_complete(story())
    network.loop.close()
