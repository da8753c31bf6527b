# SPDX-License-Identifier: Apache-2.0
"""A wire ends in a typed error and tells everybody, whatever happens on it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from p2p_handoff.agent.open_wires import OpenWires
from p2p_handoff.agent.wire import Wire
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import HandoffError, RemoteProtocolError, StorageError, UnreachableError
from p2p_handoff.limits import CREDIT_WINDOW, MIB
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.protocol.messages import Message
from p2p_handoff.protocol.records import ObjectRecord
from p2p_handoff.store.addresses import Addresses
from tests.agent.devices import Devices, Pair, event, failing, introduce, until
from tests.protocol.grants import TXN


async def connected(pair: Pair) -> tuple[Wire, Wire]:
    """Both ends of the connection of two agents."""
    near = await pair.laptop.parts.dialer.connect(pair.desktop.device)
    await until(lambda: pair.desktop.parts.dialer.wire(pair.laptop.device) is not None)
    far = pair.desktop.parts.dialer.wire(pair.laptop.device)
    assert far is not None
    return near, far


@pytest.mark.parametrize("error", [RemoteProtocolError("nonsense"), ValueError("a defect")])
async def test_a_message_that_cannot_be_dealt_with_ends_the_connection(two_agents: Pair, error: Exception) -> None:
    near, far = await connected(two_agents)

    def stumble(wire: Wire, message: Message) -> None:
        raise error

    two_agents.desktop.handoffs.message_received = stumble  # type: ignore[method-assign]  # a defect behind the wire
    gone = asyncio.create_task(event(two_agents.laptop, "disconnected"))
    await asyncio.sleep(0)
    near.send(msg.ListSessions(1))
    await gone
    assert not far.is_open


async def test_sending_in_the_moment_after_the_peer_left_is_unreachable(two_agents: Pair) -> None:
    near, far = await connected(two_agents)
    received, caught = near.message_received, list[HandoffError]()

    def receive(channel: Channel, message: bytes) -> None:
        received(channel, message)
        with contextlib.suppress(UnreachableError):
            try:
                near.send(msg.ListSessions(1))
            except HandoffError as error:
                caught.append(error)
                raise

    near.message_received = receive  # type: ignore[method-assign]  # to look right behind the Goodbye
    await far.close("bye")
    await until(lambda: not near.is_open)
    assert caught
    assert all(isinstance(error, UnreachableError) for error in caught)


async def test_a_connection_is_kept_when_its_address_cannot_be_noted(
    two_agents: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: it stayed open without a listener, answered pings, and swallowed every message."""
    monkeypatch.setattr(Addresses, "remember", failing(StorageError("the disk is full"), 1000, None))
    near, far = await connected(two_agents)
    assert two_agents.laptop.parts.dialer.wire(two_agents.desktop.device) is near
    assert near.is_open
    assert far.is_open


async def test_a_connection_that_cannot_be_taken_up_is_closed_at_both_ends(
    two_agents: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    adopt = OpenWires._adopt

    def unless_desktop(self: OpenWires, wire: Wire) -> None:
        if self is desktop.parts.dialer._open:
            raise StorageError("the disk is bad")
        adopt(self, wire)

    monkeypatch.setattr(OpenWires, "_adopt", unless_desktop)
    near = await laptop.parts.dialer.connect(desktop.device)
    await asyncio.wait_for(near.wait_closed(), 10)


async def test_a_handoff_is_told_of_the_end_even_when_closing_is_cancelled(two_agents: Pair) -> None:
    near, _ = await connected(two_agents)
    release = near._engine.close

    async def slow() -> None:
        await release()
        await asyncio.sleep(60)

    near._engine.close = slow  # type: ignore[method-assign]  # an engine that takes its time
    gone = asyncio.create_task(event(two_agents.laptop, "disconnected"))
    closing = asyncio.create_task(near.close())
    await until(lambda: not near.is_open)
    closing.cancel()
    await gone


async def test_an_agent_that_stops_waits_for_a_wire_that_is_just_ending(two_agents: Pair) -> None:
    near, _ = await connected(two_agents)
    release, go, told = near._engine.close, asyncio.Event(), list[str]()

    async def slow() -> None:
        await release()
        await go.wait()

    near._engine.close = slow  # type: ignore[method-assign]  # an engine that takes its time
    two_agents.laptop.on("disconnected", lambda fields: told.append(fields["name"]))
    near.connection_lost("the cable was pulled")
    await until(lambda: not near.is_open)
    closing = asyncio.create_task(two_agents.laptop.parts.dialer.close())
    done, _pending = await asyncio.wait({closing}, timeout=0.2)
    assert not done
    go.set()
    await closing
    assert told == ["desktop"]


async def test_an_agent_that_stops_also_ends_a_wire_that_opens_meanwhile(two_agents: Pair, devices: Devices) -> None:
    """Regression: it was waited for, and never closed."""
    laptop, phone = two_agents.laptop, await devices.start("phone")
    introduce(laptop, phone)
    near, _ = await connected(two_agents)
    late = await laptop.parts.dialer.connect(phone.device)
    del laptop.parts.dialer._open._wires[phone.device]
    release = near._engine.close

    async def meanwhile() -> None:
        laptop.parts.dialer._open.adopt(late)
        await release()

    near._engine.close = meanwhile  # type: ignore[method-assign]  # an answer that is ready at this moment
    await asyncio.wait_for(laptop.parts.dialer.close(), 10)
    assert not late.is_open


async def test_how_long_content_waits_for_credit_is_counted(two_agents: Pair) -> None:
    near, far = await connected(two_agents)
    contacts = two_agents.desktop.parts.contacts
    held: list[ObjectRecord] = []

    def hold(wire: Wire, record: ObjectRecord) -> None:
        assert wire is far
        held.append(record)

    contacts.object_received = hold  # type: ignore[method-assign]  # a disk that takes nothing
    record = ObjectRecord(TXN, digest(b""), 0, bytes(MIB))
    sending = asyncio.create_task(_send(near, record, CREDIT_WINDOW // MIB + 4))
    await until(lambda: near.no_credit > 0, 60)
    assert not sending.done()
    while not sending.done():
        while held:
            far.consumed(held.pop().wire_bytes)
        await asyncio.sleep(0.01)
    await until(lambda: near.bulk_sent == (CREDIT_WINDOW // MIB + 4) * record.wire_bytes, 60)
    waited = near.no_credit
    await asyncio.sleep(0.01)
    assert near.no_credit == waited, "it has stopped"


async def _send(wire: Wire, record: ObjectRecord, times: int) -> None:
    for _ in range(times):
        await wire.send_object(record)


async def test_what_moves_on_a_wire_has_a_rate(two_agents: Pair) -> None:
    near, far = await connected(two_agents)
    assert (near.sending, near.receiving) == (0, 0)
    await near.send_object(ObjectRecord(TXN, digest(b""), 0, bytes(1000)))
    await until(lambda: near.sending > 0 and far.receiving > 0, 20)
    assert (near.receiving, far.sending) == (0, 0)
