# SPDX-License-Identifier: Apache-2.0
"""agent.outgoing_connection: a target that goes away is looked for, as often as it does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.wire import Wire
from p2p_handoff.protocol import source as src
from tests.agent.devices import Devices, Pair, event, fill, pull_cable
from tests.agent.test_answers import FILES, handed_over


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


async def test_a_connection_that_breaks_while_it_is_adopted_is_dialled_again(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    kind, adopted = Wire.path_kind, 0

    async def break_again(self: Wire) -> str:
        nonlocal adopted
        adopted += self.peer == desktop.device
        if self.peer == desktop.device and adopted == 2:
            told = asyncio.create_task(event(laptop, "disconnected"))
            await asyncio.sleep(0)
            self.connection_lost("again")
            await told
        return await kind(self)

    async def break_first(self: Outgoing, effect: src.Survey) -> None:
        if adopted == 1:
            pull_cable(laptop, desktop)
        await survey(self, effect)

    survey = Outgoing._survey
    monkeypatch.setattr(Wire, "path_kind", break_again)
    monkeypatch.setitem(Outgoing._EFFECTS, src.Survey, break_first)
    report = await handed_over(laptop, folder)
    assert report.outcome == "done"
    assert adopted > 2
