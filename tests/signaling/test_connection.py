# SPDX-License-Identifier: Apache-2.0
"""One WebSocket, and what hostile clients do with it."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiohttp import WSMsgType

from p2p_handoff.limits import MAX_ENVELOPE, MAX_RELAY_MESSAGE, RELAY_BURST, RELAY_MESSAGES_PER_SECOND
from signaling import messages as m
from signaling.login import answer
from signaling.messages import Farewell, Refusal, RequestId
from signaling.policy import EmbeddedPolicy, SharedPolicy
from signaling.relay import Capacity, Relay
from tests.signaling.parties import ALICE, BOB, MALLORY, RawClient, dialled, logged_in, running_relay

ID = RequestId(1)


async def test_a_login_is_welcomed_with_the_device_and_the_limits() -> None:
    async with running_relay() as url, dialled(url) as client:
        welcome = await client.log_in(ALICE)
    assert welcome == m.Welcome(
        ALICE.device, m.Count(MAX_ENVELOPE), m.Count(RELAY_MESSAGES_PER_SECOND), m.Count(RELAY_BURST), m.Count(600)
    )


async def test_an_envelope_passes_between_two_clients() -> None:
    async with running_relay() as url, logged_in(url, ALICE) as alice, logged_in(url, BOB) as bob:
        assert await alice.ask(m.Send(ID, BOB.device, b"sealed")) == m.Sent(ID)
        assert await bob.receive() == m.Deliver(ALICE.device, b"sealed")


async def test_a_login_signed_by_another_key_is_refused() -> None:
    async with running_relay() as url, dialled(url) as client:
        login = answer(await client.challenge(), m.HostLabel(client.host), ALICE.key, MALLORY.sign)
        assert login is not None
        await client.send(login)
        assert await client.farewell() is Farewell.BAD_LOGIN


async def test_a_login_replayed_on_another_connection_is_refused() -> None:
    async with running_relay() as url, dialled(url) as first, dialled(url) as second:
        login = answer(await first.challenge(), m.HostLabel(first.host), ALICE.key, ALICE.sign)
        assert login is not None
        assert isinstance(await first.ask(login), m.Welcome)
        await second.challenge()
        await second.send(login)
        assert await second.farewell() is Farewell.BAD_LOGIN


async def test_a_login_passed_on_by_a_hostile_relay_is_refused() -> None:
    """Alice dials Mallory's relay, which hands her the good relay's challenge and passes her answer on."""
    async with running_relay() as url, dialled(url) as mallory:
        challenge = await mallory.challenge()
        login = answer(challenge, m.HostLabel("mallory.example:8787"), ALICE.key, ALICE.sign)
        assert login is not None
        await mallory.send(login)
        assert await mallory.farewell() is Farewell.WRONG_HOST


async def test_a_relay_answers_to_the_names_that_it_was_given() -> None:
    relay = Relay(SharedPolicy(), hosts=["Relay.Example"])
    async with running_relay(relay) as url, dialled(url) as client:
        assert isinstance(await client.log_in(ALICE, host="relay.example:443"), m.Welcome)


async def test_an_unknown_version_is_refused() -> None:
    async with running_relay() as url, dialled(url) as client:
        login = answer(await client.challenge(), m.HostLabel(client.host), ALICE.key, ALICE.sign)
        assert login is not None
        await client.send(m.Login(m.Version(2), login.identity_key, login.host, login.signature))
        assert await client.farewell() is Farewell.VERSION


async def test_nobody_takes_the_place_of_an_embedded_relays_own_device() -> None:
    async with running_relay(Relay(EmbeddedPolicy(ALICE.device))) as url, dialled(url) as client:
        assert await client.log_in(ALICE) == m.Goodbye(Farewell.FORBIDDEN)


async def test_a_client_that_never_logs_in_is_sent_away() -> None:
    relay = Relay(SharedPolicy(), capacity=Capacity(login_seconds=0.05))
    async with running_relay(relay) as url, dialled(url) as client:
        await client.challenge()
        assert await client.farewell() is Farewell.TOO_SLOW


async def test_a_request_before_the_login_ends_the_connection() -> None:
    async with running_relay() as url, dialled(url) as client:
        await client.challenge()
        await client.send(m.Send(ID, BOB.device, b"x"))
        assert await client.farewell() is Farewell.BAD_MESSAGE


async def test_a_second_login_ends_the_connection() -> None:
    async with running_relay() as url, logged_in(url, ALICE) as client:
        await client.send(m.Login(m.Version(1), m.IdentityKey(ALICE.key), m.HostLabel("x"), m.Signature(bytes(64))))
        assert await client.farewell() is Farewell.BAD_MESSAGE


@pytest.mark.parametrize("garbage", [b"", b"\xff" * 50, b"\xa1\x64type\x64sent", b"\x81" * 90_000])
async def test_garbage_ends_the_connection_with_a_reason(garbage: bytes) -> None:
    async with running_relay() as url, logged_in(url, ALICE) as client:
        await client.socket.send_bytes(garbage)
        assert await client.farewell() is Farewell.BAD_MESSAGE


async def test_text_ends_the_connection_with_a_reason() -> None:
    async with running_relay() as url, logged_in(url, ALICE) as client:
        await client.socket.send_str("hello")
        assert await client.farewell() is Farewell.BAD_MESSAGE


async def test_an_oversized_message_ends_the_connection() -> None:
    async with running_relay() as url, logged_in(url, ALICE) as client:
        await client.socket.send_bytes(bytes(MAX_RELAY_MESSAGE + 1))
        frame = await client.socket.receive()
        assert (frame.type, frame.data) == (WSMsgType.CLOSE, 1009)


async def test_one_bad_client_does_not_disturb_the_others() -> None:
    async with running_relay() as url, logged_in(url, ALICE) as alice, logged_in(url, BOB) as bob:
        async with logged_in(url, MALLORY) as mallory:
            await mallory.socket.send_bytes(b"\xff")
            await mallory.farewell()
        assert await alice.ask(m.Send(ID, BOB.device, b"x")) == m.Sent(ID)
        assert await bob.receive() == m.Deliver(ALICE.device, b"x")


async def test_a_flood_is_slowed_down_to_the_rate_without_losing_a_message() -> None:
    extra = 20
    async with running_relay() as url, logged_in(url, ALICE) as client:
        started = time.monotonic()
        for number in range(RELAY_BURST + extra):
            await client.send(m.Presence(RequestId(number), ()))
        replies = [await client.receive() for _ in range(RELAY_BURST + extra)]
    assert time.monotonic() - started >= (extra - 1) / RELAY_MESSAGES_PER_SECOND
    assert replies == [m.Present(RequestId(number), ()) for number in range(RELAY_BURST + extra)]


async def send_until_busy(sender: RawClient) -> None:
    """Send to Bob until the relay finds that he does not read."""
    for _ in range(1000):
        if await sender.ask(m.Send(ID, BOB.device, bytes(MAX_ENVELOPE))) == m.Refused(ID, Refusal.BUSY):
            return
    pytest.fail("a recipient that reads nothing never became busy")


async def until_bob_is_absent(asker: RawClient) -> None:
    """Ask again and again: the relay's own pace is the pause."""
    async with asyncio.timeout(5):
        while await asker.ask(m.Presence(ID, (BOB.device,))) != m.Present(ID, ()):
            continue


async def test_a_slow_reader_is_disconnected_and_its_senders_are_told() -> None:
    relay = Relay(SharedPolicy(), capacity=Capacity(stall_seconds=0.2))
    async with running_relay(relay) as url, logged_in(url, ALICE) as alice, logged_in(url, BOB):
        await send_until_busy(alice)
        await until_bob_is_absent(alice)


async def test_a_recipient_that_reads_again_is_no_longer_busy() -> None:
    async with running_relay() as url, logged_in(url, ALICE) as alice, logged_in(url, BOB) as bob:
        await send_until_busy(alice)
        async with asyncio.timeout(10):
            while await alice.ask(m.Send(ID, BOB.device, b"small")) != m.Sent(ID):
                await bob.receive()


async def test_the_older_connection_of_a_device_is_told_why_it_ends() -> None:
    async with running_relay() as url, logged_in(url, ALICE) as older, logged_in(url, ALICE) as newer:
        assert await older.farewell() is Farewell.REPLACED
        assert await newer.ask(m.Presence(ID, (ALICE.device,))) == m.Present(ID, (ALICE.device,))


async def test_a_client_that_vanishes_is_absent_at_once() -> None:
    async with running_relay() as url, logged_in(url, ALICE) as alice:
        async with logged_in(url, BOB):
            assert await alice.ask(m.Presence(ID, (BOB.device,))) == m.Present(ID, (BOB.device,))
        await until_bob_is_absent(alice)
