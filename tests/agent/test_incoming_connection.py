# SPDX-License-Identifier: Apache-2.0
"""agent.incoming_connection: the newest wire counts, and a silent source is given up unless a person thinks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest

from p2p_handoff.agent import incoming_connection
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.incoming import Incoming
from p2p_handoff.agent.wire import Wire
from p2p_handoff.protocol import messages as msg
from p2p_handoff.session.ownership import Role
from tests.agent.devices import Devices, Pair, deaf_to, event, fill, until
from tests.agent.test_answers import FILES
from tests.agent.test_crossing import Purse
from tests.agent.test_giving_up import pushed


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


async def arriving_at(agent: Agent) -> Incoming:
    await until(lambda: bool(agent.handoffs.active()))
    (arriving,) = agent.handoffs.active()
    assert isinstance(arriving, Incoming)
    return arriving


async def test_a_late_word_on_a_replaced_connection_does_not_bring_it_back(two_people: Pair, folder: Path) -> None:
    laptop, desktop = two_people
    pushing = asyncio.create_task(laptop.to("desktop", folder))
    await event(desktop, "request")
    incoming = await arriving_at(desktop)
    current = incoming._connection.current
    older, newer = current.require(), cast("Wire", Purse())
    incoming.attach(newer)
    incoming.attach(older)
    assert current.wire is newer
    pushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pushing


async def test_a_source_that_says_nothing_after_its_first_word_is_given_up(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    monkeypatch.setattr(incoming_connection, "SOURCE_SILENCE", 0.2)
    hear = deaf_to(desktop, msg.Request)
    pushing = asyncio.create_task(pushed(laptop, folder))
    report = await (await arriving_at(desktop)).report
    assert (report.outcome, report.reason, report.exit_code) == ("failed", "expired", 5)
    assert laptop.sessions()[0].ownership.role is Role.PRIMARY
    pushing.cancel()
    await pushing
    hear()
    monkeypatch.setattr(incoming_connection, "SOURCE_SILENCE", 600.0)
    assert (await laptop.to("desktop")).outcome == "done"


async def test_a_person_who_thinks_it_over_is_no_silent_source(
    two_people: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_people
    monkeypatch.setattr(incoming_connection, "SOURCE_SILENCE", 0.05)
    pushing = asyncio.create_task(pushed(laptop, folder))
    await event(desktop, "request")
    connection = (await arriving_at(desktop))._connection
    looks = 0
    look = connection._look_for_silence

    def looked() -> None:
        nonlocal looks
        looks += 1
        look()

    connection._silence.cancel()
    monkeypatch.setattr(connection, "_look_for_silence", looked)
    looked()
    await until(lambda: looks > 3)
    assert len(desktop.pending()) == 1
    monkeypatch.setattr(incoming_connection, "SOURCE_SILENCE", 600.0)
    desktop.accept()
    assert (await pushing).outcome == "done"
