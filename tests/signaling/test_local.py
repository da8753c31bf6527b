# SPDX-License-Identifier: Apache-2.0
"""The embedded relay's own device, and clients that reach it over the network."""

from __future__ import annotations

import asyncio

import pytest

from p2p_handoff.errors import LocalProtocolError, RejectedError, UnreachableError
from p2p_handoff.rendezvous.client import RelayClient
from signaling.policy import EmbeddedPolicy
from signaling.relay import Relay
from tests.signaling.parties import ALICE, BOB, CAROL, running_relay


async def test_the_own_device_and_a_network_client_exchange_envelopes() -> None:
    relay = Relay(EmbeddedPolicy(ALICE.device))
    async with (
        running_relay(relay) as url,
        relay.local_port(ALICE.device) as alice,
        RelayClient.connect(url, BOB.key, BOB.sign) as bob,
    ):
        await bob.send(None, b"offer")
        assert await anext(alice.envelopes()) == (BOB.device, b"offer")
        await alice.send(BOB.device, b"answer")
        assert await anext(bob.envelopes()) == (None, b"answer")
        assert await alice.presence([BOB.device]) == {BOB.device}


async def test_a_room_of_the_own_device_is_joined_from_the_network_by_its_id() -> None:
    relay = Relay(EmbeddedPolicy(ALICE.device))
    async with running_relay(relay) as url, relay.local_port(ALICE.device) as alice:
        opened = await alice.open_room()
        await opened.send(b"first")
        async with RelayClient.connect(url, BOB.key, BOB.sign) as bob:
            joined = await bob.join_room(opened.id)
            assert await joined.receive() == b"first"
            await joined.send(b"second")
            assert await opened.receive() == b"second"
        with pytest.raises(UnreachableError, match="left"):
            await opened.receive()


async def test_the_embedded_relay_carries_nothing_between_strangers() -> None:
    relay = Relay(EmbeddedPolicy(ALICE.device))
    async with (
        running_relay(relay) as url,
        relay.local_port(ALICE.device),
        RelayClient.connect(url, BOB.key, BOB.sign) as bob,
        RelayClient.connect(url, CAROL.key, CAROL.sign) as carol,
    ):
        with pytest.raises(RejectedError) as refused:
            await bob.send(carol.device, b"x")
        assert refused.value.reason == "forbidden"
        with pytest.raises(RejectedError):
            await bob.open_room()
        assert await bob.presence([carol.device, ALICE.device]) == set()


async def test_whoever_names_an_id_does_not_learn_whether_it_is_the_one_that_is_here() -> None:
    relay = Relay(EmbeddedPolicy(ALICE.device))
    async with (
        running_relay(relay) as url,
        relay.local_port(ALICE.device),
        RelayClient.connect(url, BOB.key, BOB.sign) as bob,
    ):
        reasons = []
        for device in (ALICE.device, CAROL.device):
            with pytest.raises(RejectedError) as refused:
                await bob.send(device, b"x")
            reasons.append((refused.value.reason, refused.value.what))
        assert reasons[0] == reasons[1]


async def test_a_local_port_holds_to_the_bounds_of_the_wire() -> None:
    relay = Relay(EmbeddedPolicy(ALICE.device))
    async with relay.local_port(ALICE.device) as alice:
        with pytest.raises(LocalProtocolError):
            await alice.send(BOB.device, b"")


async def test_a_closed_local_port_ends_its_envelopes_and_refuses_requests() -> None:
    relay = Relay(EmbeddedPolicy(ALICE.device))
    async with relay.local_port(ALICE.device) as alice:
        room = await alice.open_room()
    async with asyncio.timeout(1):
        assert [item async for item in alice.envelopes()] == []
    assert alice.closed.is_set()
    with pytest.raises(UnreachableError, match="this side"):
        await alice.send(BOB.device, b"x")
    with pytest.raises(UnreachableError):
        await room.receive()
    await room.close()


async def test_a_local_port_learns_that_its_relay_shut_down() -> None:
    relay = Relay(EmbeddedPolicy(ALICE.device))
    async with relay.local_port(ALICE.device) as alice:
        async with running_relay(relay):
            pass
        assert alice.close_reason == "the relay shut down"
