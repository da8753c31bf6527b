# SPDX-License-Identifier: Apache-2.0
"""Undo: the state before the last handoff comes back, whole, and can be undone itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from p2p_handoff.adapters.folder_commit import SealedFolder
from p2p_handoff.adapters.watcher import COOKIE_PREFIX
from p2p_handoff.agent.agent import Agent
from p2p_handoff.errors import InDoubtError, NotFoundError, RejectedError, StorageError
from p2p_handoff.protocol import messages as msg
from p2p_handoff.store.generations import Cause, Phase
from tests.agent.devices import Devices, Pair, bytes_of, deaf_to, event, fill, introduce, tree, until

FILES = {"main.py": b"print('hello')\n", "docs/a.md": b"# a\n"}
CHAT = b'{"role":"user","text":"one"}\n'


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


@pytest.fixture
def chat(devices: Devices) -> Path:
    """A conversation on the laptop."""
    path = devices.path("laptop", "chat.jsonl")
    path.write_bytes(CHAT)
    return path


def there(agent: Agent, name: str = "project") -> Path:
    return agent.settings.receive_dir / name


def stagings(folder: Path) -> list[Path]:
    """What lies staged beside a folder; a watcher's cookies come and go there too."""
    beside = [path for path in folder.parent.iterdir() if ".handoff-" in path.name]
    return [path for path in beside if not path.name.startswith(COOKIE_PREFIX)]


def move_away(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


async def to_and_fro(laptop: Agent, desktop: Agent) -> None:
    """To the desktop, where somebody works, and back."""
    await laptop.to("desktop")
    (there(desktop) / "main.py").write_bytes(b"print('worse')\n")
    (there(desktop) / "docs" / "a.md").unlink()
    (there(desktop) / "new.txt").write_bytes(b"new\n")
    with there(desktop, "chat.jsonl").open("ab") as opened:
        opened.write(b'{"role":"assistant","text":"nonsense"}\n')
    await desktop.to("laptop")


async def test_undo_brings_back_what_was_here_before_the_hand_back(two_agents: Pair, folder: Path, chat: Path) -> None:
    laptop, desktop = two_agents
    record = await laptop.start([folder, chat], "work")
    await to_and_fro(laptop, desktop)
    worse, nonsense = tree(folder), bytes_of(chat)
    undone = await laptop.undo("work")
    assert (tree(folder), bytes_of(chat)) == (FILES, CHAT)
    assert (undone.epoch, undone.conflicts) == (3, ())
    assert (undone.generation, undone.kept_as) == (1, 2)
    assert sorted(undone.paths) == sorted([folder, chat])
    again = await laptop.undo(record.id)
    assert (tree(folder), bytes_of(chat)) == (worse, nonsense)
    assert (again.generation, again.kept_as) == (2, 3)
    assert [item.kept.cause for item in laptop.generations("work")] == [Cause.HANDOFF, Cause.UNDO, Cause.UNDO]
    assert not stagings(folder)


async def test_an_undone_session_is_handed_off_and_no_old_edit_creeps_back(
    two_agents: Pair, folder: Path, chat: Path
) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder, chat], "work")
    await to_and_fro(laptop, desktop)
    await laptop.undo("work")
    report = await laptop.to("desktop")
    assert (report.outcome, report.conflicts) == ("done", ())
    assert tree(there(desktop)) == FILES
    assert there(desktop, "chat.jsonl").read_bytes() == CHAT
    assert laptop.sessions()[0].ownership.epoch == 4


async def test_any_kept_state_can_be_chosen(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder], "work")
    for round_trip in (1, 2):
        await laptop.to("desktop")
        (there(desktop) / "main.py").write_bytes(b"%d\n" % round_trip)
        await desktop.to("laptop")
    assert (folder / "main.py").read_bytes() == b"2\n"
    await laptop.undo("work", generation=1)
    assert tree(folder) == FILES
    with pytest.raises(NotFoundError, match="no generation 9"):
        await laptop.undo("work", generation=9)


async def test_where_nothing_was_before_undo_says_what_to_do(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    await laptop.to("desktop", folder)
    with pytest.raises(NotFoundError, match="nothing of 'project' was here before") as refused:
        await desktop.undo("project")
    assert "undo there" in refused.value.sentence
    assert tree(there(desktop)) == FILES
    with pytest.raises(RejectedError, match="only the primary can undo"):
        await laptop.undo("project")
    await desktop.to("laptop")
    await laptop.undo("project")
    assert tree(folder) == FILES


async def test_without_a_handoff_there_is_nothing_to_undo(two_agents: Pair, folder: Path) -> None:
    laptop, _ = two_agents
    await laptop.start([folder])
    with pytest.raises(NotFoundError, match="no earlier state"):
        await laptop.undo()


async def test_a_frozen_session_is_not_undone(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    await laptop.to("desktop", folder)
    await desktop.to("laptop")
    hear = deaf_to(desktop, msg.Grant)
    handing = asyncio.create_task(laptop.to("desktop"))
    await until(lambda: laptop.sessions()[0].ownership.role.value == "frozen")
    with pytest.raises(InDoubtError):
        await laptop.undo()
    hear()
    handing.cancel()
    await asyncio.gather(handing, return_exceptions=True)


async def test_a_part_that_was_removed_since_comes_back(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder], "work")
    await laptop.to("desktop")
    await desktop.to("laptop")
    move_away(folder)
    undone = await laptop.undo("work")
    assert tree(folder) == FILES
    assert undone.paths == (folder,)


async def test_only_so_many_generations_are_kept(devices: Devices, folder: Path) -> None:
    laptop, desktop = await devices.start("laptop", keep_generations=2), await devices.start("desktop")
    introduce(laptop, desktop)
    await laptop.start([folder], "work")
    for number in range(4):
        await laptop.to("desktop")
        (there(desktop) / "main.py").write_bytes(b"%d\n" % number)
        await desktop.to("laptop")
    assert [item.number for item in laptop.generations("work")] == [3, 4]
    contents = list((laptop.home.generations).rglob("contents/*"))
    assert len(contents) == 3, "docs/a.md, and main.py twice"


async def test_keeping_can_be_switched_off(devices: Devices, folder: Path) -> None:
    laptop, desktop = await devices.start("laptop", keep_generations=0), await devices.start("desktop")
    introduce(laptop, desktop)
    await laptop.to("desktop", folder)
    assert (await desktop.to("laptop")).outcome == "done"
    assert laptop.generations("project") == ()
    assert not list(laptop.home.generations.rglob("contents/*"))


# --- crashes ------------------------------------------------------------------------------------------


async def test_an_undo_that_was_not_decided_leaves_no_trace(
    two_agents: Pair, folder: Path, devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder], "work")
    await laptop.to("desktop")
    (there(desktop) / "main.py").write_bytes(b"later\n")
    await desktop.to("laptop")
    before = tree(folder)

    def cut(*_: object) -> None:
        raise StorageError("the disk is gone")

    with monkeypatch.context() as broken:
        broken.setattr(laptop.store.generations, "decide", cut)
        broken.setattr(laptop.store.generations, "give_up", lambda _: None)
        with pytest.raises(StorageError, match="the disk is gone"):
            await laptop.undo("work")
    (change,) = laptop.store.generations.changes()
    assert change.phase is Phase.STAGING
    assert stagings(folder)
    with pytest.raises(RejectedError, match="put in place"):
        await laptop.to("desktop")
    await devices.stop("laptop")
    laptop = await devices.start("laptop")
    await until(lambda: not laptop.store.generations.changes())
    assert tree(folder) == before
    assert not stagings(folder)
    assert (await laptop.undo("work")).generation == 1
    assert tree(folder) == FILES


@pytest.mark.parametrize("steps", range(0, 9, 2))
async def test_a_decided_undo_is_rolled_forward_from_anywhere(
    two_agents: Pair, folder: Path, devices: Devices, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder], "work")
    await laptop.to("desktop")
    (there(desktop) / "main.py").write_bytes(b"later\n")
    (there(desktop) / "new.txt").write_bytes(b"new\n")
    await desktop.to("laptop")

    def half(sealed: SealedFolder) -> None:
        for _ in zip(sealed.steps(), range(steps), strict=False):
            pass
        raise StorageError("the disk is busy")

    with monkeypatch.context() as broken:
        broken.setattr(SealedFolder, "commit", half)
        undo = asyncio.create_task(laptop.undo("work"))
        await event(laptop, "not-in-place")
        with pytest.raises(RejectedError, match="put in place"):
            await laptop.to("desktop")
        await devices.stop("laptop")
        await asyncio.gather(undo, return_exceptions=True)
    laptop = await devices.start("laptop")
    await until(lambda: not laptop.store.generations.changes())
    assert tree(folder) == FILES
    assert (await laptop.undo("work")).generation == 2
    assert tree(folder)["main.py"] == b"later\n"


async def test_who_asked_may_go_away_and_the_undo_ends_all_the_same(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder], "work")
    await laptop.to("desktop")
    (there(desktop) / "main.py").write_bytes(b"later\n")
    await desktop.to("laptop")
    asked = asyncio.create_task(laptop.undo("work"))
    await until(lambda: laptop.store.generations.change_of(laptop.sessions()[0].id) is not None)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await until(lambda: not laptop.store.generations.changes())
    assert tree(folder) == FILES


async def test_what_a_handoff_replaces_is_kept_also_when_its_commit_comes_after_a_restart(
    two_agents: Pair, folder: Path, devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    await laptop.start([folder], "work")
    await laptop.to("desktop")
    (there(desktop) / "main.py").write_bytes(b"later\n")

    def busy(_sealed: SealedFolder) -> None:
        raise StorageError("the disk is busy")

    with monkeypatch.context() as broken:
        broken.setattr(SealedFolder, "commit", busy)
        handing = asyncio.create_task(desktop.to("laptop"))
        await event(laptop, "not-in-place")
        await devices.stop("laptop")
    await asyncio.gather(handing, return_exceptions=True)
    laptop = await devices.start("laptop")
    await until(lambda: not laptop.store.incoming.pending_commits())
    assert tree(folder)["main.py"] == b"later\n"
    await laptop.undo("work")
    assert tree(folder) == FILES
