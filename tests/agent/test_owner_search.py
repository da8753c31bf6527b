# SPDX-License-Identifier: Apache-2.0
"""agent.owner_search: a session that is to be taken is found by what a person types, on whichever own device has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2p_handoff import AmbiguousError, NotFoundError, UnreachableError, UsageError
from tests.agent.devices import Devices, Pair, fill, tree

FILES = {"main.py": b"print('hello')\n"}


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


async def test_a_session_is_taken_by_its_title(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder])
    report = await desktop.take("project")
    assert (report.outcome, report.epoch, report.peer) == ("done", 2, "laptop")
    assert report.into == (str(desktop.settings.receive_dir / "project"),)
    assert tree(report.into[0]) == FILES


async def test_a_prefix_of_the_id_does_as_well(two_agents: Pair, folder: Path) -> None:
    record = await two_agents.laptop.start([folder])
    assert (await two_agents.desktop.take(record.id[:8], peer="laptop")).session == record.id


async def test_regression_a_device_that_is_asked_by_name_and_not_reached_is_not_said_to_lack_the_session(
    two_agents: Pair, folder: Path, devices: Devices
) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder])
    await devices.stop("laptop")
    with pytest.raises(UnreachableError):
        await desktop.take("project", peer="laptop")
    with pytest.raises(NotFoundError, match="in reach"):
        await desktop.take("project")


async def test_what_is_here_already_cannot_be_taken(two_agents: Pair, folder: Path) -> None:
    await two_agents.laptop.start([folder])
    with pytest.raises(UsageError, match="the primary of 'project' already"):
        await two_agents.laptop.take("project")


async def test_a_title_that_nobody_has_is_not_found(two_agents: Pair) -> None:
    with pytest.raises(NotFoundError, match="no own device in reach is the primary of 'nothing'"):
        await two_agents.desktop.take("nothing")


async def test_a_title_that_two_sessions_have_is_ambiguous(two_agents: Pair, folder: Path, devices: Devices) -> None:
    await two_agents.laptop.start([folder], "same")
    await two_agents.laptop.start([fill(devices.path("laptop", "second"), FILES)], "same")
    with pytest.raises(AmbiguousError, match="fits several sessions"):
        await two_agents.desktop.take("same")
