# SPDX-License-Identifier: Apache-2.0
"""Force: the work goes on in a fork at once, in the same place, and the original stays frozen."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.commands import handlers
from p2p_handoff.agent.telling import fork_as_json, fork_history
from p2p_handoff.control.client import Client, OnAsk
from p2p_handoff.control.server import ControlServer
from p2p_handoff.control.socket_path import socket_path
from p2p_handoff.errors import CancelledError, NotFoundError, RejectedError, StorageError, UsageError
from p2p_handoff.protocol import messages as msg
from p2p_handoff.session import chain as chains
from p2p_handoff.session.statements import Parent
from p2p_handoff.store.records import SessionRecord
from tests.agent.devices import Devices, Pair, bytes_of, deaf_to, fill, introduce, tree, until

FILES = {"main.py": b"print('hello')\n"}
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


def session_of(agent: Agent, title: str) -> SessionRecord:
    return next(record for record in agent.store.sessions.all() if record.title == title)


async def in_doubt(pair: Pair, *paths: Path) -> SessionRecord:
    """A session that was granted to a desktop which never got the grant and is away now."""
    laptop, desktop = pair
    await laptop.start(paths, "work")
    deaf_to(desktop, msg.Grant, msg.Query)
    handing = asyncio.create_task(laptop.to("desktop"))
    await until(lambda: session_of(laptop, "work").ownership.role.value == "frozen")
    handing.cancel()
    await asyncio.gather(handing, return_exceptions=True)
    return session_of(laptop, "work")


async def test_the_work_goes_on_in_a_fork_in_the_same_place(
    two_agents: Pair, folder: Path, chat: Path, devices: Devices
) -> None:
    laptop, _ = two_agents
    original = await in_doubt(two_agents, folder, chat)
    (folder / "main.py").write_bytes(b"print('while frozen')\n")
    fork = await laptop.fork("work")
    assert (fork.title, fork.ownership.role.value, fork.ownership.epoch) == ("work (fork)", "primary", 1)
    frozen = original.ownership.frozen
    assert frozen is not None
    state = chains.verify_chain(chains.decode_chain(fork.chain))
    assert state.parent == Parent(original.id, 1, frozen.root)
    assert laptop.catalog.at_path(folder) == fork
    assert session_of(laptop, "work").ownership.forked
    with chat.open("ab") as opened:
        opened.write(b'{"role":"user","text":"two"}\n')
    phone = await devices.start("phone")
    introduce(laptop, phone)
    assert (await laptop.to("phone", "work (fork)")).outcome == "done"
    received = phone.settings.receive_dir
    assert tree(received / "project") == {"main.py": b"print('while frozen')\n"}
    assert bytes_of(received / "chat.jsonl") == CHAT + b'{"role":"user","text":"two"}\n'


async def test_the_original_stays_frozen_and_says_where_the_work_goes_on(two_agents: Pair, folder: Path) -> None:
    laptop, _ = two_agents
    await in_doubt(two_agents, folder)
    fork = await laptop.fork("work")
    original = session_of(laptop, "work")
    assert original.ownership.role.value == "frozen"
    told = fork_as_json(laptop.store, original)
    assert (told["forked_into"], told["fork_of"]) == (fork.id, "")
    assert "goes on in 'work (fork)'" in told["text"]
    told = fork_as_json(laptop.store, fork)
    assert (told["forked_into"], told["fork_of"]) == ("", original.id)
    assert "is a fork of 'work'" in told["text"]
    (line,) = fork_history(laptop.store, original.id, lambda device: device)
    assert line["text"] == "goes on in 'work (fork)' on this device"
    with pytest.raises(RejectedError):
        await laptop.to("desktop", "work")


async def test_a_session_is_forked_only_in_doubt_and_only_once(two_agents: Pair, folder: Path) -> None:
    laptop, _ = two_agents
    await laptop.start([folder], "calm")
    with pytest.raises(UsageError, match="not in doubt"):
        await laptop.fork("calm")
    laptop.store.sessions.rename(session_of(laptop, "calm").id, "work")
    deaf_to(two_agents.desktop, msg.Grant, msg.Query)
    handing = asyncio.create_task(laptop.to("desktop", "work"))
    await until(lambda: session_of(laptop, "work").ownership.role.value == "frozen")
    await laptop.fork("work")
    with pytest.raises(UsageError, match=r"goes on in 'work \(fork\)' already"):
        await laptop.fork("work")
    handing.cancel()
    await asyncio.gather(handing, return_exceptions=True)


async def test_force_warns_and_asks_and_a_no_changes_nothing(two_agents: Pair, folder: Path) -> None:
    laptop, _ = two_agents
    await in_doubt(two_agents, folder)
    asked: list[str] = []

    def say(answer: str) -> OnAsk:
        def on_ask(_name: str, question: object, _choices: list[object]) -> str:
            asked.append(str(question))
            return answer

        return on_ask

    async with ControlServer(socket_path(laptop.home.path), handlers(laptop, lambda: None)) as server:
        client, args = Client(server.path), {"session": "work", "force": True}
        with pytest.raises(CancelledError, match="nothing was forced"):
            await asyncio.to_thread(client.call, "recover", args, on_ask=say("no"))
        with pytest.raises(UsageError, match="nobody can be asked"):
            await asyncio.to_thread(client.call, "recover", args)
        assert laptop.store.forks.open() == ()
        result = await asyncio.to_thread(client.call, "recover", args, on_ask=say("yes"))
        listed = await asyncio.to_thread(client.call, "sessions")
        doubt = await asyncio.to_thread(client.call, "recover", {"wait": 0.0})
        status = await asyncio.to_thread(client.call, "status")
        history = await asyncio.to_thread(client.call, "history", {"session": result["session"]})
    assert [item["text"] for item in status["forks"]] == [result["fork"]["text"]]
    assert history["history"][0]["parent"] == session_of(laptop, "work").id
    assert "was granted to desktop, which may have it by now" in asked[0]
    assert (result["title"], result["paths"]) == ("work (fork)", [str(folder)])
    words = {item["title"]: item["fork"]["text"] for item in listed["sessions"]}
    assert words["work (fork)"].startswith("'work (fork)' is a fork of 'work'")
    assert words["work"].startswith("'work' goes on in 'work (fork)'")
    assert (doubt["resolved"], [item["title"] for item in doubt["in_doubt"]]) == (True, ["work"])


async def test_nothing_can_be_forked_where_nothing_is(two_agents: Pair, folder: Path) -> None:
    laptop, _ = two_agents
    await in_doubt(two_agents, folder)
    folder.rename(folder.with_name("elsewhere"))  # noqa: ASYNC240 - a test's own folder
    with pytest.raises(NotFoundError, match="nothing of 'work'"):
        await laptop.fork("work")


async def test_a_fork_that_fails_changes_nothing(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, _ = two_agents
    await in_doubt(two_agents, folder)

    def full(*_: object, **__: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(laptop.store.forks, "begin", full)
        with pytest.raises(StorageError):
            await laptop.fork("work")
    assert [record.title for record in laptop.store.sessions.all()] == ["work"]
    assert laptop.catalog.at_path(folder) == session_of(laptop, "work")
    assert (await laptop.fork("work")).ownership.role.value == "primary"


async def test_a_fork_survives_a_restart(two_agents: Pair, folder: Path, devices: Devices) -> None:
    laptop, _ = two_agents
    await in_doubt(two_agents, folder)
    await laptop.fork("work")
    await devices.stop("desktop")
    await devices.stop("laptop")
    laptop = await devices.start("laptop")
    assert laptop.catalog.at_path(folder) == session_of(laptop, "work (fork)")
    assert session_of(laptop, "work").ownership.forked


async def test_when_the_other_device_refused_the_original_goes_on_with_what_the_fork_held(
    two_agents: Pair, folder: Path, chat: Path, devices: Devices
) -> None:
    laptop, _ = two_agents
    await in_doubt(two_agents, folder, chat)
    await laptop.fork("work")
    (folder / "new.txt").write_bytes(b"done in the fork\n")
    with chat.open("ab") as opened:
        opened.write(b'{"role":"user","text":"two"}\n')
    await devices.stop("desktop")
    desktop = await devices.start("desktop")
    await until(lambda: laptop.catalog.at_path(folder) == session_of(laptop, "work"), 20)
    original = session_of(laptop, "work")
    assert (original.ownership.role.value, original.ownership.forked, original.ownership.epoch) == ("primary", False, 1)
    assert [record.title for record in laptop.sessions()] == ["work"]
    (line,) = fork_history(laptop.store, original.id, lambda device: device)
    assert line["text"] == "went on for a while in 'work (fork)' on this device"
    with pytest.raises(RejectedError, match="is over"):
        await laptop.to("desktop", "work (fork)")
    assert (await laptop.to("desktop", "work")).outcome == "done"
    received = desktop.settings.receive_dir
    assert tree(received / "project") == {**FILES, "new.txt": b"done in the fork\n"}
    assert bytes_of(received / "chat.jsonl") == CHAT + b'{"role":"user","text":"two"}\n'


async def test_a_crash_before_the_original_took_its_paths_back_is_taken_up(
    two_agents: Pair, folder: Path, devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, _ = two_agents
    await in_doubt(two_agents, folder)
    await laptop.fork("work")
    tried = asyncio.Event()

    def crash(*_: object, **__: object) -> None:
        laptop_loop.call_soon_threadsafe(tried.set)
        raise StorageError("the machine stops here")

    laptop_loop = asyncio.get_running_loop()
    monkeypatch.setattr(laptop.store.forks, "end", crash)
    await devices.stop("desktop")
    await devices.start("desktop")
    await asyncio.wait_for(tried.wait(), 20)
    assert laptop.catalog.at_path(folder) == session_of(laptop, "work (fork)")
    await devices.stop("laptop")
    laptop = await devices.start("laptop")
    await until(lambda: laptop.catalog.at_path(folder) == session_of(laptop, "work"))
    assert tree(folder) == FILES
