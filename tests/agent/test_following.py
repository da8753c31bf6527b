# SPDX-License-Identifier: Apache-2.0
"""Sessions are followed while they change."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.adapters.folder import OpenFolder
from p2p_handoff.errors import NotInPlaceError
from tests.agent.devices import Devices, Pair, fill


def _heard(pair: Pair, event: str) -> asyncio.Queue[Mapping[str, Any]]:
    queue: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
    pair.laptop.on(event, queue.put_nowait)
    return queue


async def test_a_conversation_is_followed_while_it_grows(two_agents: Pair, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_bytes(b'{"n": 1}\n')
    followed, changes = _heard(two_agents, "followed"), _heard(two_agents, "changed")
    record = await two_agents.laptop.start([path])
    await asyncio.wait_for(followed.get(), 10)
    with path.open("ab") as file:
        file.write(b'{"n": 2}\n')
    change = await asyncio.wait_for(changes.get(), 10)
    assert (change["session"], change["items"]) == (record.id, 2)


async def test_what_is_being_put_in_place_is_not_looked_at_until_it_is(
    two_agents: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash the new text may stand beside the old record: a picture would take it for an edit."""
    path, laptop = tmp_path / "chat.jsonl", two_agents.laptop
    path.write_bytes(b'{"n": 1}\n')
    followed, changes = _heard(two_agents, "followed"), _heard(two_agents, "changed")
    record = await laptop.start([path])
    await asyncio.wait_for(followed.get(), 10)
    asked: asyncio.Queue[str] = asyncio.Queue()
    loop, is_placing = asyncio.get_running_loop(), True

    def placing(session: str) -> bool:
        loop.call_soon_threadsafe(asked.put_nowait, session)
        return is_placing

    monkeypatch.setattr(laptop.store, "is_placing", placing)
    with path.open("ab") as file:
        file.write(b'{"n": 2}\n')
    await asyncio.wait_for(asked.get(), 10)
    await asyncio.wait_for(asked.get(), 10)
    with pytest.raises(NotInPlaceError):
        laptop.parts.catalog.picture(record.id)
    assert changes.empty()
    is_placing = False
    assert (await asyncio.wait_for(changes.get(), 10))["items"] == 2


async def test_a_stopped_session_is_followed_no_more(two_agents: Pair, tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    path.write_bytes(b'{"n": 1}\n')
    record = await two_agents.laptop.start([path])
    two_agents.laptop.stop_session(record.id)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("follow") and not task.cancelling()]


async def test_a_watcher_that_is_being_made_when_the_agent_stops_is_stopped_too(
    devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate, made = threading.Event(), threading.Event(), threading.Event()
    watch = OpenFolder.watch

    def slow(part: OpenFolder, changed: Callable[[], None]) -> Callable[[], None]:
        begun.set()
        gate.wait(10)
        stop = watch(part, changed)
        made.set()
        return stop

    monkeypatch.setattr(OpenFolder, "watch", slow)
    agent = await devices.start("laptop")
    folder = fill(devices.path("laptop", "project"), {})
    await agent.start([folder])
    assert await asyncio.to_thread(begun.wait, 10)
    stopping = asyncio.create_task(devices.stop("laptop"))
    gate.set()
    await stopping
    assert await asyncio.to_thread(made.wait, 10)
    assert not [thread.name for thread in threading.enumerate() if thread.name == "watch project"]
