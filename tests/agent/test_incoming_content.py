# SPDX-License-Identifier: Apache-2.0
"""What arrives: conversations can be read while files still stream."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.adapters.base import Want
from p2p_handoff.adapters.conversation_staging import ConversationStaging
from p2p_handoff.adapters.folder_staging import FolderStaging
from p2p_handoff.agent import incoming_content
from p2p_handoff.agent.agent import Agent
from p2p_handoff.errors import StorageError
from tests.agent.devices import Devices, Pair, bytes_of, fill

CHAT = b'{"n": 1}\n{"n": 2}\n'
MORE = b'{"n": 3}\n'


@pytest.fixture
def folder(devices: Devices) -> Path:
    return fill(devices.path("laptop", "project"), {"main.py": b"print('hello')\n"})


@pytest.fixture
def chat(devices: Devices) -> Path:
    path = devices.path("laptop", "chat.jsonl")
    path.write_bytes(CHAT)
    return path


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A folder does not arrive before this is set; what can be read is shown at once."""
    may_go_on, begin = threading.Event(), FolderStaging.begin

    def slow(*arguments: Any) -> Sequence[Want]:
        may_go_on.wait(10)
        return begin(*arguments)

    monkeypatch.setattr(FolderStaging, "begin", slow)
    monkeypatch.setattr(incoming_content, "EARLY_AFTER", 0.0)
    return may_go_on


class Reader:
    """A program on a device that shows a conversation as soon as it can."""

    def __init__(self, agent: Agent, place: Path, heard: threading.Event) -> None:
        self.seen: list[tuple[bytes, bytes | None]] = []
        """What could be read early, and what stood in its place then."""
        self.previews: list[Path] = []
        self._place = place
        self._heard = heard
        agent.subscribe(self._event)

    def _event(self, name: str, fields: Mapping[str, Any]) -> None:
        if name == "readable":
            preview = Path(fields["preview"])
            self.previews.append(preview)
            here = self._place.read_bytes() if self._place.exists() else None
            self.seen.append((preview.read_bytes(), here))
            self._heard.set()


async def test_a_conversation_can_be_read_before_the_folder_beside_it_has_arrived(
    two_agents: Pair, folder: Path, chat: Path, patient: threading.Event
) -> None:
    laptop, desktop = two_agents
    received = desktop.settings.receive_dir
    there = Reader(desktop, received / "chat.jsonl", patient)
    record = await laptop.start([folder, chat])
    assert (await laptop.to("desktop", record.id)).outcome == "done"
    assert there.seen == [(CHAT, None)]
    assert not there.previews[0].exists(), "it goes with the staging"
    assert bytes_of(received / "chat.jsonl") == CHAT

    (received / "chat.jsonl").write_bytes(CHAT + MORE)
    (received / "project" / "main.py").write_bytes(b"print('there')\n")
    patient.clear()
    here = Reader(laptop, chat, patient)
    assert (await desktop.to("laptop")).outcome == "done"
    assert here.seen == [(CHAT + MORE, CHAT)]
    assert bytes_of(chat) == CHAT + MORE


async def test_nothing_is_shown_early_where_the_rest_comes_at_once(two_agents: Pair, folder: Path, chat: Path) -> None:
    laptop, desktop = two_agents
    there = Reader(desktop, desktop.settings.receive_dir / "chat.jsonl", threading.Event())
    record = await laptop.start([folder, chat])
    assert (await laptop.to("desktop", record.id)).outcome == "done"
    assert there.seen == []


async def test_what_cannot_be_shown_early_arrives_all_the_same(
    two_agents: Pair, folder: Path, chat: Path, patient: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_staging: ConversationStaging) -> None:
        patient.set()
        raise StorageError("the disk is full")

    laptop, desktop = two_agents
    monkeypatch.setattr(ConversationStaging, "preview", full)
    there = Reader(desktop, desktop.settings.receive_dir / "chat.jsonl", patient)
    record = await laptop.start([folder, chat])
    assert (await laptop.to("desktop", record.id)).outcome == "done"
    assert there.seen == []
    assert bytes_of(desktop.settings.receive_dir / "chat.jsonl") == CHAT
