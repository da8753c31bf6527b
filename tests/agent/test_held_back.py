# SPDX-License-Identifier: Apache-2.0
"""agent.held_back: a handoff that waits for its chain survives a new connection, and can be given up."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.agent.giving_up import GivenUpError
from p2p_handoff.agent.long_chains import LongChains
from p2p_handoff.limits import MAX_CHAINS_KEPT
from p2p_handoff.protocol import messages as msg
from p2p_handoff.security.identity import Identity
from tests.agent.devices import Devices, Pair, fill, heard_by, pull_cable, until
from tests.agent.long_histories import started_long_ago


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), {"main.py": b"print('hello')\n"})


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Long chains are verified once this is set."""
    go, verify = threading.Event(), LongChains._verify

    def slow(*args: Any) -> Any:
        assert go.wait(10)
        return verify(*args)

    monkeypatch.setattr(LongChains, "_verify", slow)
    return go


async def test_a_connection_that_breaks_meanwhile_costs_nothing(
    two_agents: Pair, folder: Path, slowly: threading.Event
) -> None:
    laptop, desktop = two_agents
    await started_long_ago(laptop, folder, Identity.generate())
    requests = heard_by(desktop, msg.Request)
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await until(lambda: len(requests) == 1)
    pull_cable(laptop, desktop)
    await until(lambda: len(requests) == 2, 20)
    slowly.set()
    assert (await handing).outcome == "done"
    assert [own.ownership.role.value for own in desktop.sessions()] == ["primary"]


async def test_a_handoff_that_is_cancelled_meanwhile_leaves_nothing(
    two_agents: Pair, folder: Path, slowly: threading.Event
) -> None:
    laptop, desktop = two_agents
    await started_long_ago(laptop, folder, Identity.generate())
    requests, cancels = heard_by(desktop, msg.Request), heard_by(desktop, msg.Cancel)
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await until(lambda: bool(requests))
    handing.cancel()
    await until(lambda: bool(cancels))
    slowly.set()
    with pytest.raises(GivenUpError) as given_up:
        await handing
    assert given_up.value.report.outcome == "cancelled"
    assert laptop.sessions()[0].ownership.role.value == "primary"
    await until(lambda: not desktop.handoffs.active())
    assert not desktop.sessions()


async def test_a_device_with_many_long_chains_under_way_waits(
    two_agents: Pair, folder: Path, slowly: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    await started_long_ago(laptop, folder, Identity.generate())
    other = fill(folder.parent / "other", {"notes.txt": b"notes\n"})
    second = await started_long_ago(laptop, other, Identity.generate())
    record = laptop.store.sessions.get(second)
    assert record is not None
    monkeypatch.setattr("p2p_handoff.protocol.admission.MAX_CHAINS_KEPT", 2 * len(record.chain) - 1)
    assert len(record.chain) < MAX_CHAINS_KEPT
    requests = heard_by(desktop, msg.Request)
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await until(lambda: bool(requests))
    turned_away = await laptop.to("desktop", second)
    assert (turned_away.outcome, turned_away.reason) == ("rejected", "busy")
    slowly.set()
    assert (await handing).outcome == "done"
    # What is over is not counted any more.
    assert (await laptop.to("desktop", second)).outcome == "done"


async def test_what_waits_with_a_handoff_is_bounded_and_the_handoff_is_turned_away(
    two_agents: Pair, folder: Path, slowly: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    await started_long_ago(laptop, folder, Identity.generate())
    monkeypatch.setattr("p2p_handoff.protocol.admission.MAX_OFFERS_KEPT", 100)
    requests = heard_by(desktop, msg.Request)
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await until(lambda: bool(requests))
    assert len(requests[0].manifest) > 100
    slowly.set()
    turned_away = await handing
    assert (turned_away.outcome, turned_away.reason) == ("rejected", "busy")
    monkeypatch.undo()
    assert (await laptop.to("desktop", folder)).outcome == "done"
