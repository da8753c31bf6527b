# SPDX-License-Identifier: Apache-2.0
"""An accepted session that cannot be put in place: tried for ever, told once, shown until it works."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from p2p_handoff.agent import arrivals, retry
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.commands import handlers
from p2p_handoff.control.request import Request
from p2p_handoff.session.ownership import Role
from tests.agent.devices import Devices, Pair, event, fill, tree, until

FILES = {"main.py": b"print('hello')\n"}


@pytest.fixture
def folder(devices: Devices) -> Path:
    return fill(devices.path("laptop", "project"), FILES)


async def blocked(pair: Pair, folder: Path) -> tuple[asyncio.Task[Any], Path]:
    """A handoff that was accepted while something of the user's appeared at its destination."""
    laptop, desktop = pair
    place = desktop.settings.receive_dir / "project"
    seal = arrivals.Arrivals.seal

    def sealed(self: arrivals.Arrivals, roots: Mapping[Any, Any]) -> None:
        seal(self, roots)
        if not place.exists():
            fill(place, {"mine.txt": b"mine"})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrivals.Arrivals, "seal", sealed)
        handing = asyncio.create_task(laptop.to("desktop", folder))
        told = await event(desktop, "not-in-place")
    assert "is at" in told["text"]
    assert "tried again until it is in place; move it away" in told["text"]
    return handing, place


def shown(agent: Agent) -> str:
    (record,) = agent.sessions()
    return agent.parts.unplaced.of(record.id)


async def test_it_is_told_once_shown_and_over_when_the_way_is_free(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, desktop = two_agents
    monkeypatch.setattr(retry, "FIRST_DELAY", 0.02)
    told: list[object] = []
    handing, place = await blocked(two_agents, folder)
    desktop.on("not-in-place", told.append)
    assert desktop.sessions()[0].ownership.role is Role.PRIMARY
    assert "is at" in shown(desktop)
    place.rename(place.with_name("mine"))
    assert (await handing).outcome == "done"
    assert (tree(place), shown(desktop), told) == (FILES, "", [])


async def test_after_a_restart_it_is_told_and_tried_again(two_agents: Pair, folder: Path, devices: Devices) -> None:
    _, desktop = two_agents
    handing, place = await blocked(two_agents, folder)
    await devices.stop("desktop")
    await handing
    desktop = await devices.start("desktop")
    await until(lambda: "is at" in shown(desktop))
    status = dict(await handlers(desktop, lambda: None)["status"](cast("Request", None)))  # it takes no arguments
    assert [item["title"] for item in cast("list[dict[str, str]]", status["not_in_place"])] == ["project"]
    assert tree(place) == {"mine.txt": b"mine"}
    place.rename(place.with_name("mine"))
    await until(lambda: not shown(desktop), 20)
    assert tree(place) == FILES
    assert not any(desktop.home.stagings.iterdir())
