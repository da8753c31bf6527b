# SPDX-License-Identifier: Apache-2.0
"""agent.seeking: attempts come often enough, one schedule serves everybody, and nobody is dialled for nobody."""

from __future__ import annotations

import asyncio
import os
from typing import cast

import pytest

from p2p_handoff.agent.retry import delays
from p2p_handoff.agent.seeking import CALM_DELAY, URGENT_DELAY, URGENT_PATIENCE, Seeker, always
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import TrustError, UnreachableError
from p2p_handoff.ids import DeviceId

PEER, OTHER = DeviceId("p" * 32), DeviceId("o" * 32)
TCP_ASKS_AGAIN_AFTER = 1.0
"""Seconds: the initial retransmission timeout (RFC 6298 §2.1)."""
PROMISE = 2.0
"""Seconds from the moment when the devices can meet until the doubt is resolved."""
DIAL = 0.5
"""Seconds that reaching, answering and opening take at the most on a network that works."""


class Network:
    """A device that is away until it is let in, and a wait that lasts until something is heard."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.attempts = 0
        self.away = True
        self.waits: list[float] = []
        self.patience: list[float | None] = []
        self.heard = asyncio.Event()
        self.waiting = asyncio.Event()
        self.wire = cast("Wire", object())

    async def connect(self, _device: DeviceId, patience: float | None) -> Wire:
        self.patience.append(patience)
        self.attempts += 1
        if self.away:
            raise self.error
        return self.wire

    async def sighted(self, _device: DeviceId, seconds: float) -> None:
        self.waits.append(seconds)
        self.waiting.set()
        await self.heard.wait()
        self.heard.clear()

    async def hear(self) -> None:
        """Something is heard of the device once the seeker waits."""
        await self.waiting.wait()
        self.waiting.clear()
        self.heard.set()


@pytest.fixture(params=[UnreachableError("away"), TrustError("not linked"), ValueError("unforeseen")])
def network(request: pytest.FixtureRequest) -> Network:
    return Network(request.param)


def test_the_constants_keep_the_promise_wherever_in_an_attempt_the_network_comes_back() -> None:
    deaf = max(TCP_ASKS_AGAIN_AFTER, URGENT_PATIENCE - TCP_ASKS_AGAIN_AFTER + URGENT_DELAY)
    assert deaf + DIAL <= PROMISE


def test_urgent_pauses_never_grow_beyond_their_bound() -> None:
    schedule = delays(os.urandom, limit=URGENT_DELAY)
    assert all(next(schedule) <= URGENT_DELAY for _ in range(100))


async def test_a_device_is_sought_until_it_is_found(network: Network) -> None:
    seeker = Seeker(network.connect, network.sighted, os.urandom)
    seeking = asyncio.create_task(seeker.reach(PEER))
    for _ in range(5):
        await network.hear()
    network.away = False  # Before the fifth word wakes the search.
    assert await seeking is network.wire
    assert network.attempts == 6
    assert max(network.waits) <= URGENT_DELAY
    assert set(network.patience) == {URGENT_PATIENCE}


async def test_several_sessions_that_wait_for_a_device_share_its_schedule(network: Network) -> None:
    seeker = Seeker(network.connect, network.sighted, os.urandom)
    seeking = [asyncio.create_task(seeker.reach(PEER)) for _ in range(3)]
    await network.waiting.wait()
    assert network.attempts == 1
    network.away = False
    await network.hear()
    assert await asyncio.gather(*seeking) == [network.wire] * 3
    assert network.attempts == 2


async def test_a_search_ends_with_the_last_who_waits(network: Network) -> None:
    seeker = Seeker(network.connect, network.sighted, os.urandom)
    one, other = (asyncio.create_task(seeker.reach(PEER)) for _ in range(2))
    await network.waiting.wait()
    one.cancel()
    await asyncio.gather(one, return_exceptions=True)
    await network.hear()
    await network.waiting.wait()
    assert network.attempts == 2
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    assert not seeker._searches
    network.away = False
    assert await seeker.reach(OTHER) is network.wire


def calmly() -> bool:
    return False


async def attempts(network: Network, number: int) -> None:
    """So many more attempts fail, each after something was heard."""
    for _ in range(number):
        await network.hear()
    await network.waiting.wait()


async def test_where_nobody_waits_any_more_the_pauses_grow_to_their_bound_and_stay_there(network: Network) -> None:
    seeker = Seeker(network.connect, network.sighted, os.urandom)
    seeking = asyncio.create_task(seeker.reach(PEER, calmly))
    await attempts(network, 20)
    assert set(network.patience) == {None}
    assert all(CALM_DELAY / 2 <= wait <= CALM_DELAY for wait in network.waits[10:])
    seeking.cancel()
    await asyncio.gather(seeking, return_exceptions=True)


async def test_a_person_who_asks_ends_a_long_pause_and_begins_the_pauses_anew(network: Network) -> None:
    seeker = Seeker(network.connect, network.sighted, os.urandom)
    seeking = asyncio.create_task(seeker.reach(PEER, calmly))
    await attempts(network, 20)
    before = network.attempts
    network.waiting.clear()
    seeker.hurry()
    await network.waiting.wait()
    assert network.attempts == before + 1
    assert network.waits[-1] <= 1.0
    network.away = False
    seeker.hurry()
    assert await seeking is network.wire


async def test_whoever_waits_urgently_makes_the_schedule_urgent_at_once(network: Network) -> None:
    seeker = Seeker(network.connect, network.sighted, os.urandom)
    calm = asyncio.create_task(seeker.reach(PEER, calmly))
    await attempts(network, 20)
    network.waiting.clear()
    urgent = asyncio.create_task(seeker.reach(PEER, always))
    await network.waiting.wait()
    assert network.patience[-1] == URGENT_PATIENCE
    assert network.waits[-1] <= URGENT_DELAY
    urgent.cancel()
    await asyncio.gather(urgent, return_exceptions=True)
    await attempts(network, 1)
    assert network.patience[-1:] == [None]
    network.away = False
    seeker.hurry()
    assert await calm is network.wire


async def test_a_search_becomes_calm_while_it_lasts(network: Network) -> None:
    urgency = iter([True] * 3)
    seeker = Seeker(network.connect, network.sighted, os.urandom)
    seeking = asyncio.create_task(seeker.reach(PEER, lambda: next(urgency, False)))
    await attempts(network, 15)
    assert network.waits[-1] >= CALM_DELAY / 2
    seeking.cancel()
    await asyncio.gather(seeking, return_exceptions=True)
