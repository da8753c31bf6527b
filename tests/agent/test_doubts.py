# SPDX-License-Identifier: Apache-2.0
"""agent.doubts: what a person reads about a session in doubt, a lost one, and an old copy of a home."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from p2p_handoff.agent import doubts
from p2p_handoff.agent.agent import Agent
from p2p_handoff.protocol import messages as msg
from tests.agent.devices import Devices, Pair, deaf_to, fill, introduce, meet, until


@pytest.fixture
async def frozen(two_agents: Pair, devices: Devices) -> AsyncIterator[Agent]:
    """The laptop, which granted a session to the desktop and has no answer; the desktop is off."""
    laptop, desktop = two_agents
    deaf_to(desktop, msg.Grant)
    handing = asyncio.create_task(laptop.to("desktop", fill(devices.path("laptop", "project"), {"a": b"a"})))
    await until(lambda: bool(doubts.in_doubt(laptop.sessions())))
    await devices.stop("desktop")
    await until(lambda: laptop.parts.dialer.wire(desktop.device) is None)
    yield laptop
    await devices.stop("laptop")
    await asyncio.gather(handing, return_exceptions=True)


async def test_a_doubt_says_to_whom_since_when_and_what_to_do(frozen: Agent) -> None:
    (record,) = doubts.in_doubt(frozen.sessions())
    doubt = doubts.doubt_as_json(frozen.parts.around, record)
    assert (doubt["title"], doubt["target"], doubt["linked"], doubt["connected"]) == ("project", "desktop", True, False)
    assert isinstance(doubt["since"], float)
    for words in ("granted to desktop on ", "nothing is lost", "last heard of on ", "resolves by itself", "--force"):
        assert words in doubt["text"]


async def test_a_doubt_whose_target_was_unlinked_says_who_can_still_bring_the_answer(frozen: Agent) -> None:
    await frozen.unlink("desktop")
    doubt = doubts.doubt_as_json(frozen.parts.around, frozen.sessions()[0])
    assert not doubt["linked"]
    assert "is not linked any more" in doubt["text"]
    assert "another device that has met it" in doubt["text"]


async def test_a_current_home_with_nothing_in_doubt_has_nothing_to_tell(two_agents: Pair, devices: Devices) -> None:
    laptop, _ = two_agents
    await laptop.start([fill(devices.path("laptop", "project"), {"a": b"a"})])
    assert doubts.in_doubt(laptop.sessions()) == []
    assert doubts.lost_as_json(laptop.parts.around, laptop.sessions()) == []
    assert doubts.old_copy_as_json(laptop.parts.around) is None


async def test_an_old_copy_names_whom_it_awaits_and_what_it_has_lost(
    two_agents: Pair, devices: Devices, tmp_path: Path
) -> None:
    laptop, desktop = two_agents
    introduce(desktop, await devices.start("tablet"))
    await devices.stop("desktop")
    shutil.copytree(desktop.home.path, tmp_path / "backup")
    desktop = await devices.start("desktop")
    await laptop.to("desktop", fill(devices.path("laptop", "project"), {"a": b"a"}))
    await devices.stop("desktop")
    await devices.stop("tablet")
    shutil.rmtree(desktop.home.path)
    shutil.copytree(tmp_path / "backup", desktop.home.path)
    desktop = await devices.start("desktop")
    await meet(laptop, desktop)
    await until(lambda: [link.name for link in desktop.parts.around.awaited()] == ["tablet"])
    old_copy = doubts.old_copy_as_json(desktop.parts.around)
    assert old_copy is not None
    assert old_copy["awaited"] == ["tablet"]
    assert "tablet awaited" in old_copy["text"]
    (lost,) = doubts.lost_as_json(desktop.parts.around, desktop.sessions())
    assert (lost["title"], lost["epoch"]) == ("project", 2)
    assert "nobody can act on it" in lost["text"]
