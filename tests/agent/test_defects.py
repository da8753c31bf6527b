# SPDX-License-Identifier: Apache-2.0
"""A defect in work that runs beside a handoff's loop ends the handoff: nobody waits for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from p2p_handoff.agent.fetching import Fetcher
from p2p_handoff.agent.serving import Server
from tests.agent.devices import Pair, fill


@pytest.mark.parametrize(("owner", "name"), [(Server, "_read"), (Fetcher, "_stage")])
async def test_a_defect_while_content_moves_fails_the_handoff(
    two_agents: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(owner, name, broken)
    laptop, _ = two_agents
    folder = fill(tmp_path / "work", {"a.txt": b"a"})
    report = await asyncio.wait_for(laptop.to("desktop", folder), 10)
    assert report.outcome == "failed"
    assert "RuntimeError" in report.text
    (session,) = laptop.sessions()
    assert session.ownership.role.value == "primary"
