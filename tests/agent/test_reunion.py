# SPDX-License-Identifier: Apache-2.0
"""Reunion: the target had accepted; its primary takes the fork in, and neither side loses anything."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

import pytest

from p2p_handoff.adapters.folder_commit import SealedFolder
from p2p_handoff.agent import reunion
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.keeping import Keeper
from p2p_handoff.agent.telling import fork_history
from p2p_handoff.errors import RejectedError, StorageError
from p2p_handoff.protocol import messages as msg
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.journal import ForkState
from p2p_handoff.store.generations import Cause, Change, Phase
from p2p_handoff.store.records import SessionRecord
from tests.agent.devices import Devices, bytes_of, event, fill, introduce, lose, tree, until

FILES = {"main.py": b"print('hello')\n", "docs/a.md": b"# a\n"}
CHAT = b'{"role":"user","text":"one"}\n'
ANSWERS = (msg.Accepted, msg.Resumed, msg.News, msg.ChainNews)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A primary that was busy is tried again sooner than a person would notice."""
    monkeypatch.setattr(reunion, "AGAIN_AFTER", 0.5)


class Apart(NamedTuple):
    """Two devices that each went on with a session: the desktop as its primary, the laptop in a fork."""

    laptop: Agent
    desktop: Agent
    folder: Path
    chat: Path

    @property
    def received(self) -> Path:
        return self.desktop.settings.receive_dir


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as opened:
        opened.write(data)


def session_of(agent: Agent, title: str) -> SessionRecord:
    return next(record for record in agent.store.sessions.all() if record.title == title)


def fork_state(agent: Agent) -> ForkState | None:
    (fork,) = agent.store.forks.of(session_of(agent, "work").id)
    return fork.state


async def grow_apart(devices: Devices, kind: LinkKind = LinkKind.OWN) -> Apart:
    """The desktop accepts, the laptop never hears of it and forks; both are stopped in the end."""
    laptop, desktop = await devices.start("laptop"), await devices.start("desktop")
    introduce(laptop, desktop, kind)
    folder = fill(devices.path("laptop", "project"), FILES)
    chat = devices.path("laptop", "chat.jsonl")
    chat.write_bytes(CHAT)
    await laptop.start([folder, chat], "work")
    lose(laptop, *ANSWERS, sender=desktop)
    handing = asyncio.create_task(laptop.to("desktop", "work"))
    if kind is LinkKind.OTHER:
        await event(desktop, "request")
        desktop.accept()
    await until(lambda: any(record.ownership.role.value == "primary" for record in desktop.sessions()))
    await until((desktop.settings.receive_dir / "chat.jsonl").exists)
    await until(lambda: not desktop.store.incoming.pending_commits())
    await laptop.fork("work")
    handing.cancel()
    await asyncio.gather(handing, return_exceptions=True)
    await devices.stop("laptop")
    (folder / "main.py").write_bytes(b"print('fork')\n")
    (folder / "fork.txt").write_bytes(b"new in the fork\n")
    append(chat, b'{"role":"user","text":"in the fork"}\n')
    received = desktop.settings.receive_dir
    (received / "project" / "main.py").write_bytes(b"print('original')\n")
    (received / "project" / "docs" / "a.md").write_bytes(b"# changed in the original alone\n")
    append(received / "chat.jsonl", b'{"role":"user","text":"in the original"}\n')
    return Apart(laptop, desktop, folder, chat)


def merged(apart: Apart) -> None:
    """What must be at the desktop after a merge, however it came about."""
    found = tree(apart.received / "project")
    copies = {name: data for name, data in found.items() if ".conflict-" in name}
    kept = {name: data for name, data in found.items() if ".conflict-" not in name}
    assert kept == {
        "main.py": b"print('original')\n",
        "docs/a.md": b"# changed in the original alone\n",
        "fork.txt": b"new in the fork\n",
    }
    assert list(copies.values()) == [b"print('fork')\n"]
    assert next(iter(copies)).startswith("main.conflict-laptop-")
    lines = bytes_of(apart.received / "chat.jsonl").splitlines()
    assert sorted(lines) == sorted(
        [*CHAT.splitlines(), b'{"role":"user","text":"in the fork"}', b'{"role":"user","text":"in the original"}']
    )


async def test_the_originals_primary_takes_the_fork_in(devices: Devices) -> None:
    apart = await grow_apart(devices)
    laptop = await devices.start("laptop")
    await until(lambda: fork_state(laptop) is ForkState.MERGED, 30)
    merged(apart)
    original = session_of(laptop, "work")
    assert (original.ownership.role.value, original.ownership.epoch) == ("secondary", 2)
    assert laptop.catalog.at_path(apart.folder) == original
    assert [record.title for record in laptop.sessions()] == ["work"]
    (here,) = fork_history(laptop.store, original.id, lambda device: device)
    assert here["text"] == "has taken in 'work (fork)' on this device"
    (there,) = fork_history(apart.desktop.store, original.id, apart.desktop.peer_book.name)
    assert there["text"] == "has taken in a fork from laptop"


async def test_what_was_kept_of_a_fork_goes_with_its_end(devices: Devices) -> None:
    apart = await grow_apart(devices)
    await devices.stop("desktop")
    laptop = await devices.start("laptop")
    fork = session_of(laptop, "work (fork)").id
    keeper = laptop.parts.undoing._services.keeper
    laptop.store.generations.add(await asyncio.to_thread(keeper.keep, fork, Cause.UNDO, "an undo"))
    shelf = laptop.home.generations / fork
    assert any(path.is_file() for path in shelf.rglob("*"))
    await devices.start("desktop")
    await until(lambda: fork_state(laptop) is ForkState.MERGED, 30)
    await until(lambda: laptop.store.generations.of(fork) == ())
    await until(lambda: not any(path.is_file() for path in shelf.rglob("*")))
    assert apart.folder.is_dir()


async def test_what_was_kept_of_a_fork_that_ended_goes_at_the_next_start(
    devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    await grow_apart(devices)
    with monkeypatch.context() as crashing:
        crashing.setattr(Keeper, "forget_fork", lambda *_: None)
        laptop = await devices.start("laptop")
        fork = session_of(laptop, "work (fork)").id
        keeper = laptop.parts.undoing._services.keeper
        laptop.store.generations.add(await asyncio.to_thread(keeper.keep, fork, Cause.UNDO, "an undo"))
        await until(lambda: fork_state(laptop) is ForkState.MERGED, 30)
        await devices.stop("laptop")
    laptop = await devices.start("laptop")
    await until(lambda: laptop.store.generations.of(fork) == ())


async def test_after_the_reunion_the_session_goes_on_as_one(devices: Devices) -> None:
    apart = await grow_apart(devices)
    laptop = await devices.start("laptop")
    await until(lambda: fork_state(laptop) is ForkState.MERGED, 30)
    report = await apart.desktop.to("laptop", "work")
    assert (report.outcome, report.epoch) == ("done", 3)
    found = tree(apart.folder)
    assert found["main.py"] == b"print('original')\n"
    assert found["fork.txt"] == b"new in the fork\n"
    assert b"print('fork')\n" in found.values()
    assert bytes_of(apart.chat) == bytes_of(apart.received / "chat.jsonl")


async def test_a_merge_can_be_undone(devices: Devices) -> None:
    apart = await grow_apart(devices)
    laptop = await devices.start("laptop")
    await until(lambda: fork_state(laptop) is ForkState.MERGED, 30)
    kept = apart.desktop.generations("work")
    assert [item.kept.cause for item in kept] == [Cause.HANDOFF, Cause.MERGE]
    await apart.desktop.undo("work")
    assert tree(apart.received / "project") == {
        "main.py": b"print('original')\n",
        "docs/a.md": b"# changed in the original alone\n",
    }


async def test_somebody_elses_device_asks_before_it_takes_a_fork_in(devices: Devices) -> None:
    apart = await grow_apart(devices, LinkKind.OTHER)
    laptop = await devices.start("laptop")
    request = await event(apart.desktop, "request", 30)
    assert request["title"] == "work (fork)"
    assert fork_state(laptop) is ForkState.OPEN
    apart.desktop.accept()
    await until(lambda: fork_state(laptop) is ForkState.MERGED, 30)
    merged(apart)


async def test_who_says_no_is_not_asked_again_and_the_fork_goes_on(devices: Devices) -> None:
    apart = await grow_apart(devices, LinkKind.OTHER)
    laptop = await devices.start("laptop")
    await event(apart.desktop, "request", 30)
    apart.desktop.reject()
    await event(laptop, "handoff", 30)
    assert fork_state(laptop) is ForkState.OPEN
    laptop.events.emit("connected")
    await until(lambda: not laptop.handoffs.active())
    assert apart.desktop.pending() == []
    assert laptop.catalog.at_path(apart.folder) == session_of(laptop, "work (fork)")
    assert tree(apart.received / "project")["main.py"] == b"print('original')\n"


async def test_while_a_fork_is_open_its_original_does_not_come_back(devices: Devices) -> None:
    apart = await grow_apart(devices, LinkKind.OTHER)
    laptop = await devices.start("laptop")
    await event(apart.desktop, "request", 30)
    report = await apart.desktop.to("laptop", "work")
    assert (report.outcome, report.reason) == ("rejected", "busy")
    assert isinstance(report.error, RejectedError)
    assert "merged first" in report.error.sentence
    assert session_of(laptop, "work").ownership.role.value == "secondary"


async def test_a_primary_that_is_busy_is_tried_again_later_and_not_at_once(
    devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reunion, "AGAIN_AFTER", 3600.0)
    apart = await grow_apart(devices)
    change = Change("busy", session_of(apart.desktop, "work").id, Cause.UNDO, Phase.STAGING)
    apart.desktop.store.generations.begin(change)
    laptop = await devices.start("laptop")
    while (await event(laptop, "handoff", 30))["reason"] != "busy":
        pass  # the original's own end comes first
    begun: list[object] = []
    laptop.on("outgoing", begun.append)
    for _ in range(20):
        await asyncio.sleep(0)
    assert begun == []
    apart.desktop.store.generations.give_up("busy")
    laptop.events.emit("connected")
    await until(lambda: fork_state(laptop) is ForkState.MERGED, 30)
    merged(apart)


@pytest.mark.parametrize("steps", [0, 1, 3])
async def test_a_primary_that_stops_in_the_middle_of_the_merge_completes_it(
    devices: Devices, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    apart = await grow_apart(devices)

    def half(sealed: SealedFolder) -> None:
        for _ in zip(sealed.steps(), range(steps), strict=False):
            pass
        raise StorageError("the disk is busy")

    with monkeypatch.context() as broken:
        broken.setattr(SealedFolder, "commit", half)
        broken_off = asyncio.create_task(event(apart.desktop, "not-in-place", 30))
        laptop = await devices.start("laptop")
        await broken_off
        with pytest.raises(RejectedError, match="put in place"):
            await apart.desktop.to("laptop", "work")
        await devices.stop("desktop")
    desktop = await devices.start("desktop")
    await until(lambda: not desktop.store.generations.changes(), 30)
    await until(lambda: fork_state(laptop) is ForkState.MERGED, 60)
    merged(apart._replace(desktop=desktop))


async def test_a_forker_that_stops_before_it_heard_the_end_asks_again_and_nothing_is_merged_twice(
    devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = await grow_apart(devices)
    laptop = await devices.start("laptop")
    tried = asyncio.Event()
    loop = asyncio.get_running_loop()

    def crash(*_: object, **__: object) -> None:
        loop.call_soon_threadsafe(tried.set)
        raise StorageError("the machine stops here")

    monkeypatch.setattr(laptop.store.forks, "end", crash)
    async with asyncio.timeout(30):
        await tried.wait()
    merged(apart)
    await devices.stop("laptop")
    laptop = await devices.start("laptop")
    await until(lambda: fork_state(laptop) is ForkState.MERGED, 30)
    merged(apart)
    assert len(apart.desktop.store.forks.merges_into(session_of(laptop, "work").id)) == 1


async def test_what_is_written_after_the_merge_stays_an_edit_of_the_originals_copy(devices: Devices) -> None:
    apart = await grow_apart(devices)
    laptop = await devices.start("laptop")
    await until(lambda: fork_state(laptop) is ForkState.MERGED, 30)
    (apart.folder / "later.txt").write_bytes(b"later\n")
    await apart.desktop.to("laptop", "work")
    assert tree(apart.folder)["later.txt"] == b"later\n"
