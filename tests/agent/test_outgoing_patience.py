# SPDX-License-Identifier: Apache-2.0
"""agent.outgoing_patience: a target that is there and silent is not waited for for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2p_handoff.agent import outgoing_patience
from p2p_handoff.agent.incoming import Incoming
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import target as tgt
from tests.agent.devices import Devices, Pair, deaf_to, fill, pull_cable, until
from tests.agent.test_answers import FILES, handed_over, role


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


async def test_a_target_that_never_says_that_it_resumed_is_not_waited_for(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_self: Incoming, _effect: tgt.SendResumed) -> None:
        return

    monkeypatch.setitem(Incoming._EFFECTS, tgt.SendResumed, silent)
    monkeypatch.setattr(outgoing_patience, "RESUME_FOR", 0.3)
    report = await handed_over(two_agents.laptop, folder)
    assert report.outcome == "done"
    assert "not said yet" in report.text


async def test_a_target_that_does_not_answer_a_grant_leaves_a_doubt_in_time(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    monkeypatch.setattr(outgoing_patience, "ANSWER_FOR", 0.3)
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
    monkeypatch.setattr(outgoing_patience, "ANSWER_FOR", 0.3)
    deaf_to(two_agents.desktop, msg.Round)
    report = await handed_over(two_agents.laptop, folder)
    assert (report.outcome, role(two_agents.laptop, report)) == ("failed", "primary")
