# SPDX-License-Identifier: Apache-2.0
"""agent.listing: what may be taken, and how long the answer is waited for."""

from __future__ import annotations

import pytest

from p2p_handoff.agent import listing
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import TimedOutError, UnreachableError
from p2p_handoff.protocol import messages as msg
from tests.agent.devices import Devices, Pair, deaf_to, fill, pull_cable


async def test_a_device_tells_what_may_be_taken(two_agents: Pair, devices: Devices) -> None:
    laptop, desktop = two_agents
    record = await laptop.start([fill(devices.path("laptop", "project"), {"a": b"a"})], "work")
    (told,) = await desktop.handoffs.sessions_of(laptop.device)
    assert (told.session, told.title, told.role, told.primary) == (record.id, "work", "primary", laptop.device)


async def test_the_end_of_the_connection_ends_the_waiting(two_agents: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    laptop, desktop = two_agents

    def break_the_connection(_wire: Wire, message: msg.Message) -> None:
        if isinstance(message, msg.ListSessions):
            pull_cable(desktop, laptop)

    monkeypatch.setattr(laptop.handoffs, "message_received", break_the_connection)
    with pytest.raises(UnreachableError, match="broke before it answered"):
        await desktop.handoffs.sessions_of(laptop.device)


async def test_a_device_that_is_there_and_says_nothing_is_not_waited_for_for_ever(
    two_agents: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    monkeypatch.setattr(listing, "HANDSHAKE_DEADLINE", 0.1)
    deaf_to(laptop, msg.ListSessions)
    with pytest.raises(TimedOutError, match="laptop did not answer"):
        await desktop.handoffs.sessions_of(laptop.device)


async def test_an_answer_that_comes_too_late_is_nobodys(two_agents: Pair) -> None:
    _, desktop = two_agents
    desktop.handoffs._listing.received(msg.SessionList(77, ()))
    assert await desktop.handoffs.sessions_of(two_agents.laptop.device) == ()
