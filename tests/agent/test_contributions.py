# SPDX-License-Identifier: Apache-2.0
"""What is edited here while a session is frozen, or after it was handed over: counted, told, kept, and merged."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.contributions import Contribution
from p2p_handoff.protocol import messages as msg
from p2p_handoff.session.ownership import Role
from p2p_handoff.store.outgoing import OutgoingHandoffs
from tests.agent.devices import Devices, Pair, deaf_to, event, fill, tree, until

FILES = {"main.py": b"print('hello')\n", "notes.txt": b"notes\n"}
CHAT = b'{"n": 1}\n{"n": 2}\n'


@pytest.fixture
def folder(devices: Devices) -> Path:
    return fill(devices.path("laptop", "project"), FILES)


@pytest.fixture
def chat(devices: Devices) -> Path:
    path = devices.path("laptop", "chat.jsonl")
    path.write_bytes(CHAT)
    return path


def role(agent: Agent) -> Role | None:
    sessions = agent.sessions()
    return sessions[0].ownership.role if sessions else None


async def edited(agent: Agent) -> Contribution:
    """Counted now, whatever the watchers have noticed."""
    (record,) = agent.sessions()
    await agent.parts.contributions.look(record.id)
    return await agent.parts.contributions.of(record)


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def append(path: Path, line: bytes) -> None:
    with path.open("ab") as file:
        file.write(line)


async def test_edits_while_frozen_are_counted_and_ordinary_after_a_refusal(
    two_agents: Pair, folder: Path, chat: Path, devices: Devices
) -> None:
    laptop, desktop = two_agents
    deaf_to(desktop, msg.Grant)
    record = await laptop.start([folder, chat])
    handing = asyncio.create_task(laptop.to("desktop", record.id))
    await until(lambda: role(laptop) is Role.FROZEN)
    assert (await edited(laptop)).counts == {}
    (folder / "main.py").write_bytes(b"print('while frozen')\n")
    append(chat, b'{"n": 3}\n')
    found = await edited(laptop)
    assert (found.frozen, found.counts) == (True, {"files": 1, "messages": 1})
    assert "since it was frozen: 1 file, 1 message" in found.text
    await devices.stop("desktop")
    desktop = await devices.start("desktop")
    assert (await handing).outcome == "failed"
    assert (await edited(laptop)).counts == {}
    assert (await laptop.to("desktop")).outcome == "done"
    assert tree(desktop.settings.receive_dir / "project")["main.py"] == b"print('while frozen')\n"
    assert (desktop.settings.receive_dir / "chat.jsonl").read_bytes() == CHAT + b'{"n": 3}\n'


async def test_edits_between_the_last_picture_and_the_durable_freeze_are_contributions(
    two_agents: Pair, folder: Path, chat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    freeze = OutgoingHandoffs.freeze

    def edited_first(store: OutgoingHandoffs, *args: object, **named: object) -> object:
        (folder / "late.txt").write_bytes(b"late")
        append(chat, b'{"late": true}\n')
        return freeze(store, *args, **named)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(OutgoingHandoffs, "freeze", edited_first)
    record = await laptop.start([folder, chat])
    assert (await laptop.to("desktop", record.id)).outcome == "done"
    assert "late.txt" not in tree(desktop.settings.receive_dir / "project")
    found = await edited(laptop)
    assert (found.frozen, found.counts) == (False, {"files": 1, "messages": 1})
    monkeypatch.undo()
    append(desktop.settings.receive_dir / "chat.jsonl", b'{"there": true}\n')
    assert (await desktop.to("laptop", record.id)).outcome == "done"
    assert tree(folder) == {**FILES, "late.txt": b"late"}
    assert sorted(lines(chat)[2:]) == [b'{"late": true}', b'{"there": true}']


async def test_edits_of_a_secondary_are_told_and_survive_a_restart_and_the_hand_back(
    two_agents: Pair, folder: Path, devices: Devices
) -> None:
    laptop, desktop = two_agents
    await laptop.to("desktop", folder)
    await until(lambda: not laptop.handoffs.active())
    await devices.stop("laptop")
    (folder / "main.py").write_bytes(b"print('offline')\n")
    (folder / "new.txt").write_bytes(b"new")
    laptop = await devices.start("laptop")
    told = await event(laptop, "edited-here")
    assert (told["files"], told["messages"]) == (2, 0)
    assert "after the handoff: 2 files" in told["text"]
    there = desktop.settings.receive_dir / "project"
    (there / "main.py").write_bytes(b"print('there')\n")
    report = await desktop.to("laptop")
    assert report.outcome == "done"
    assert (await edited(laptop)).counts == {}
    found = tree(folder)
    assert found["main.py"] == b"print('there')\n"
    assert found["new.txt"] == b"new"
    assert b"print('offline')\n" in found.values()


async def test_an_edit_while_frozen_counts_as_one_after_a_restart_and_the_late_answer(
    two_agents: Pair, folder: Path, devices: Devices
) -> None:
    """The frozen picture is what was granted, not what a restarted source finds on the disk."""
    laptop, desktop = two_agents
    deaf_to(laptop, msg.Accepted, msg.Resumed)
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await until(lambda: role(desktop) is Role.PRIMARY)
    (folder / "main.py").write_bytes(b"print('while frozen')\n")
    await devices.stop("laptop")
    await asyncio.gather(handing, return_exceptions=True)
    laptop = await devices.start("laptop")
    await until(lambda: role(laptop) is Role.SECONDARY)
    assert (await edited(laptop)).counts == {"files": 1}
    (desktop.settings.receive_dir / "project" / "notes.txt").write_bytes(b"there\n")
    await until(lambda: not desktop.store.incoming.pending_commits() and not laptop.handoffs.active())
    report = await desktop.to("laptop")
    assert (report.outcome, report.conflicts) == ("done", ())
    assert tree(folder) == {"main.py": b"print('while frozen')\n", "notes.txt": b"there\n"}


async def test_a_stop_between_becoming_secondary_and_telling_the_adapters_is_made_good(
    two_agents: Pair, folder: Path, devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents

    async def stopped(*_: object) -> None:
        """The process ends here."""

    with monkeypatch.context() as broken:
        broken.setattr("p2p_handoff.agent.letting_go._each_part", stopped)
        await laptop.to("desktop", folder)
    await until(lambda: not laptop.handoffs.active())
    await devices.stop("laptop")
    (folder / "mine.txt").write_bytes(b"mine")
    laptop = await devices.start("laptop")
    assert (await event(laptop, "edited-here"))["files"] == 1
    (desktop.settings.receive_dir / "project" / "main.py").unlink()
    report = await desktop.to("laptop")
    assert (report.outcome, report.conflicts) == ("done", ())
    assert tree(folder) == {"notes.txt": b"notes\n", "mine.txt": b"mine"}
