# SPDX-License-Identifier: Apache-2.0
"""What every port does, shown on the one that needs no socket."""

from __future__ import annotations

import asyncio

import pytest

from p2p_handoff.errors import UnreachableError
from p2p_handoff.limits import RELAY_CLIENT_QUEUE
from signaling.policy import SharedPolicy
from signaling.relay import Relay
from tests.signaling.parties import ALICE, BOB


async def test_a_party_that_floods_loses_the_room() -> None:
    relay = Relay(SharedPolicy())
    async with relay.local_port(ALICE.device) as alice, relay.local_port(BOB.device) as bob:
        opened = await alice.open_room()
        joined = await bob.join_room(opened.id)
        for _ in range(RELAY_CLIENT_QUEUE + 1):
            await joined.send(b"x")
        assert [await opened.receive() for _ in range(RELAY_CLIENT_QUEUE)] == [b"x"] * RELAY_CLIENT_QUEUE
        with pytest.raises(UnreachableError, match="more than anyone reads"):
            await opened.receive()


async def test_what_the_relay_kept_is_received_although_it_comes_with_the_reply() -> None:
    relay = Relay(SharedPolicy())
    async with relay.local_port(ALICE.device) as alice, relay.local_port(BOB.device) as bob:
        opened = await alice.open_room()
        await opened.send(b"1")
        await opened.send(b"2")
        joined = await bob.join_room(opened.id)
        await opened.close()
        assert [await joined.receive(), await joined.receive()] == [b"1", b"2"]
        with pytest.raises(UnreachableError, match="left"):
            await joined.receive()


async def test_a_cancelled_reader_takes_nothing_with_it() -> None:
    relay = Relay(SharedPolicy())
    async with relay.local_port(ALICE.device) as alice, relay.local_port(BOB.device) as bob:
        reader = asyncio.ensure_future(anext(alice.envelopes()))
        await asyncio.sleep(0)
        reader.cancel()
        await asyncio.wait([reader])
        await bob.send(ALICE.device, b"x")
        assert await anext(alice.envelopes()) == (BOB.device, b"x")
        assert not alice.closed.is_set()
