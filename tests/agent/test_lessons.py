# SPDX-License-Identifier: Apache-2.0
"""agent.lessons: a session that comes back before its old primary has learned that it was accepted."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.agent.agent import Agent
from p2p_handoff.errors import StorageError
from p2p_handoff.protocol import messages as msg
from tests.agent.devices import Devices, Pair, event, fill, heard_by, lose, until


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), {"main.py": b"print('hello')\n"})


def ownership(agent: Agent) -> tuple[str, int]:
    """Role and epoch of the only session."""
    own = agent.sessions()[0].ownership
    return own.role.value, own.epoch


async def granted(laptop: Agent, desktop: Agent, folder: Path) -> asyncio.Task[Any]:
    """The desktop has accepted and hears no more of it; the laptop's handoff still runs."""
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await until(lambda: bool(desktop.sessions()) and not desktop.handoffs.active())
    assert ownership(laptop) == ("frozen", 1)
    return handing


async def test_a_session_comes_back_although_the_word_of_its_acceptance_was_lost(
    two_agents: Pair, folder: Path, devices: Devices
) -> None:
    laptop, desktop = two_agents
    lose(laptop, msg.Accepted, msg.Resumed, msg.News, sender=desktop)
    handing = await granted(laptop, desktop, folder)
    assert (await desktop.to("laptop")).outcome == "done"
    assert ownership(laptop) == ("primary", 3)
    assert ownership(desktop) == ("secondary", 3)
    await devices.stop("laptop")
    await asyncio.gather(handing, return_exceptions=True)


async def test_a_session_comes_back_while_the_word_of_its_acceptance_is_being_stored(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    release, stored = laptop.store.outgoing.release, threading.Event()
    inits = heard_by(laptop, msg.Init)

    def slow(*args: Any) -> Any:
        assert stored.wait(10)
        return release(*args)

    monkeypatch.setattr(laptop.store.outgoing, "release", slow)
    handing = await granted(laptop, desktop, folder)
    back = asyncio.create_task(desktop.to("laptop"))
    await until(lambda: bool(inits))
    stored.set()
    assert (await back).outcome == "done"
    assert ownership(laptop) == ("primary", 3)
    assert (await handing).outcome == "done"


async def test_a_chain_that_cannot_be_stored_at_once_holds_the_handoff_back_until_it_is(
    two_agents: Pair, folder: Path, devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    lose(laptop, msg.Accepted, msg.Resumed, msg.News, sender=desktop)
    handing = await granted(laptop, desktop, folder)

    def full(*_: Any) -> Any:
        laptop.events.emit("full")
        raise StorageError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(laptop.store.ownership, "learn", full)
        tried = asyncio.create_task(event(laptop, "full"))
        back = asyncio.create_task(desktop.to("laptop"))
        await tried
        assert ownership(laptop) == ("frozen", 1)
    # The answer is tried again by itself, and the handoff that waits for it goes on.
    assert (await back).outcome == "done"
    assert ownership(laptop) == ("primary", 3)
    await devices.stop("laptop")
    await asyncio.gather(handing, return_exceptions=True)
