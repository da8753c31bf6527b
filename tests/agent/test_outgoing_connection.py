# SPDX-License-Identifier: Apache-2.0
"""agent.outgoing_connection: a target that goes away is looked for, a silent one is not waited for for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from p2p_handoff.agent import outgoing_connection
from p2p_handoff.agent.incoming import Incoming
from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.wire import Wire
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol import target as tgt
from tests.agent.devices import Devices, Pair, deaf_to, event, fill, pull_cable, until
from tests.agent.test_answers import FILES, handed_over, role


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


async def test_a_target_that_never_says_that_it_resumed_is_not_waited_for(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_self: Incoming, _effect: tgt.SendResumed) -> None:
        return

    monkeypatch.setitem(Incoming._EFFECTS, tgt.SendResumed, silent)
    monkeypatch.setattr(outgoing_connection, "RESUME_FOR", 0.3)
    report = await handed_over(two_agents.laptop, folder)
    assert report.outcome == "done"
    assert "not said yet" in report.text


async def test_a_target_that_does_not_answer_a_grant_leaves_a_doubt_in_time(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    monkeypatch.setattr(outgoing_connection, "ANSWER_FOR", 0.3)
    hear = deaf_to(desktop, msg.Grant)
    report = await handed_over(laptop, folder)
    assert (report.outcome, role(laptop, report)) == ("in-doubt", "frozen")
    hear()
    pull_cable(laptop, desktop)
    await until(lambda: role(laptop, report) == "secondary", 10)
    assert role(desktop, report) == "primary"


async def test_a_target_that_takes_and_does_nothing_ends_the_handoff_in_time(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing_connection, "ANSWER_FOR", 0.3)
    deaf_to(two_agents.desktop, msg.Round)
    report = await handed_over(two_agents.laptop, folder)
    assert (report.outcome, role(two_agents.laptop, report)) == ("failed", "primary")
