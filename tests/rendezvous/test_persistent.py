# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest

from p2p_handoff.errors import UnreachableError, UsageError
from p2p_handoff.limits import RELAY_HURRY, RELAY_RETRY_MAX, RELAY_RETRY_MIN, RELAY_STABLE_AFTER
from p2p_handoff.rendezvous.client import RelayClient
from p2p_handoff.rendezvous.persistent import (
    Connected,
    EnvelopeArrived,
    Lost,
    PersistentRelay,
    RelayEvent,
    Surroundings,
)
from signaling.policy import SharedPolicy
from signaling.relay import Relay
from signaling.server import serve
from tests.signaling.parties import ALICE, BOB, MALLORY, running_relay


@dataclass
class Stage:
    """A clock that stands still, a sleep that lasts until it is let go, and the events so far."""

    now: float = 0.0
    events: asyncio.Queue[RelayEvent] = field(default_factory=asyncio.Queue)
    wake: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def sleep(self, _seconds: float) -> None:
        await self.wake.acquire()

    def surroundings(self) -> Surroundings:
        return Surroundings(clock=lambda: self.now, sleep=self.sleep, entropy=lambda size: b"\xff" * size)

    async def event(self) -> RelayEvent:
        async with asyncio.timeout(5):
            return await self.events.get()

    async def lost(self) -> Lost:
        event = await self.event()
        assert isinstance(event, Lost)
        return event


@asynccontextmanager
async def kept(stage: Stage, url: str) -> AsyncIterator[PersistentRelay]:
    """Alice stays connected to a relay."""
    relay = PersistentRelay(url, ALICE.key, ALICE.sign, stage.events.put_nowait, surroundings=stage.surroundings())
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_it_connects_and_brings_envelopes() -> None:
    stage = Stage()
    async with running_relay() as url, kept(stage, url) as relay:
        connected = await stage.event()
        assert isinstance(connected, Connected)
        assert relay.client is connected.client
        async with RelayClient.connect(url, BOB.key, BOB.sign) as bob:
            await bob.send(ALICE.device, b"hello")
        assert await stage.event() == EnvelopeArrived(url, BOB.device, b"hello")


async def test_it_comes_back_when_the_relay_does() -> None:
    stage = Stage()
    async with AsyncExitStack() as first:
        [(host, port)] = await first.enter_async_context(serve(Relay(SharedPolicy()).application(), ["127.0.0.1"]))
        async with kept(stage, f"ws://{host}:{port}") as relay:
            assert isinstance(await stage.event(), Connected)
            await first.aclose()
            assert (await stage.lost()).reason == "the relay shut down"
            assert not relay.is_connected
            with pytest.raises(UnreachableError):
                _ = relay.client
            async with serve(Relay(SharedPolicy()).application(), ["127.0.0.1"], port):
                stage.wake.release()
                assert isinstance(await stage.event(), Connected)
                assert relay.is_connected


async def test_pauses_grow_while_nobody_listens() -> None:
    stage = Stage()
    async with kept(stage, "ws://127.0.0.1:1"):
        pauses = []
        for _ in range(4):
            pauses.append((await stage.lost()).retry_in)
            stage.wake.release()
    assert [round(pause, 3) for pause in pauses] == [0.5, 1, 2, 4]


async def shut_down_after(stage: Stage, seconds: float) -> float:
    """Fail twice, then connect for some seconds; the pause that follows."""
    [(host, port)] = await reserve_port()
    async with kept(stage, f"ws://{host}:{port}"):
        for _ in range(2):
            await stage.lost()
            stage.wake.release()
        await stage.lost()
        async with serve(Relay(SharedPolicy()).application(), [host], port):
            stage.wake.release()
            assert isinstance(await stage.event(), Connected)
            stage.now += seconds
        return (await stage.lost()).retry_in


async def reserve_port() -> list[tuple[str, int]]:
    async with serve(Relay(SharedPolicy()).application(), ["127.0.0.1"]) as addresses:
        return addresses


async def test_a_connection_that_lasted_resets_the_pause() -> None:
    assert await shut_down_after(Stage(), RELAY_STABLE_AFTER) <= RELAY_RETRY_MIN


async def test_a_connection_that_broke_at_once_does_not() -> None:
    assert await shut_down_after(Stage(), RELAY_STABLE_AFTER / 2) > RELAY_RETRY_MIN


async def test_a_device_that_was_replaced_does_not_fight_for_its_place() -> None:
    stage = Stage()
    async with running_relay() as url, kept(stage, url):
        assert isinstance(await stage.event(), Connected)
        async with RelayClient.connect(url, ALICE.key, ALICE.sign):
            assert (await stage.lost()).retry_in > RELAY_RETRY_MAX / 2


async def test_a_refused_login_is_not_tried_again_soon() -> None:
    stage = Stage()
    async with running_relay() as url:
        relay = PersistentRelay(
            url, ALICE.key, MALLORY.sign, stage.events.put_nowait, surroundings=stage.surroundings()
        )
        task = asyncio.create_task(relay.run())
        assert (await stage.lost()).retry_in > RELAY_RETRY_MAX / 2
        task.cancel()


def test_a_url_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(UsageError):
        PersistentRelay("relay.example", ALICE.key, ALICE.sign, lambda _event: None)


async def test_a_hurried_relay_is_tried_again_at_once_and_not_more_often_than_agreed() -> None:
    stage = Stage()
    async with kept(stage, "ws://127.0.0.1:9/v1") as relay:
        await stage.lost()
        relay.hurry()
        stage.now += RELAY_HURRY
        assert stage.events.empty()
        relay.hurry()
        await stage.lost()
        assert stage.events.empty()


async def test_a_relay_where_another_agent_has_this_identity_is_not_hurried() -> None:
    stage = Stage()
    async with running_relay() as url, kept(stage, url) as relay:
        await stage.event()
        async with RelayClient.connect(url, ALICE.key, ALICE.sign):
            await stage.lost()
            stage.now += RELAY_HURRY
            relay.hurry()
            stage.wake.release()  # Only the end of the pause itself brings it back.
            assert isinstance(await stage.event(), Connected)
