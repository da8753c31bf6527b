# SPDX-License-Identifier: Apache-2.0
"""agent.learning: news that overtake the target's answer while that is being stored."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.protocol import messages as msg
from tests.agent.devices import Devices, Pair, fill, heard_by, until


async def test_news_that_come_while_the_answer_is_being_stored_make_no_doubt(
    devices: Devices, two_agents: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    folder: Path = fill(devices.path("laptop", "project"), {"main.py": b"print('hello')\n"})
    release, stored = laptop.store.outgoing.release, threading.Event()
    came = heard_by(laptop, msg.ChainNews)

    def slow(*args: Any) -> Any:
        assert stored.wait(10)
        return release(*args)

    monkeypatch.setattr(laptop.store.outgoing, "release", slow)
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await until(lambda: bool(came))
    # Whoever follows the news works in turn; what was asked of a thread first is at its end by then.
    await laptop.handoffs.sessions_of(desktop.device)
    stored.set()
    assert (await handing).outcome == "done"
    assert laptop.sessions()[0].ownership.role.value == "secondary"
