# SPDX-License-Identifier: Apache-2.0
"""A client hears of the handoff of its own command alone, whatever else the agent does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.commands import handlers
from p2p_handoff.control.client import Client
from p2p_handoff.control.server import ControlServer
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.policy import Rule, Table, Verdict
from tests.agent.devices import Devices, Pair, event, fill, introduce, until

FILES = {"a.txt": b"a" * 5000}


@pytest.fixture
def folders(devices: Devices) -> list[Path]:
    """Two folders on the laptop."""
    return [fill(devices.path("laptop", name), FILES) for name in ("work", "play")]


class Calls:
    """Commands of one agent, each with what its client hears."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, command: str, **args: Any) -> Call:
        """Run one in a thread."""
        return Call(self._path, command, args)


class Call:
    """One command under way."""

    def __init__(self, path: Path, command: str, args: dict[str, Any]) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []
        client = Client(path)
        self._running = asyncio.create_task(
            asyncio.to_thread(
                client.call, command, args, on_event=lambda name, fields: self.told.append((name, dict(fields)))
            )
        )

    async def hears(self, name: str) -> dict[str, Any]:
        """Wait for an event."""
        await until(lambda: name in dict(self.told), seconds=30)
        return dict(self.told)[name]

    async def result(self) -> dict[str, Any]:
        return dict(await self._running)


@asynccontextmanager
async def calls_to(agent: Agent) -> AsyncIterator[Calls]:
    path = agent.home.path / "control.sock"
    async with ControlServer(path, handlers(agent, lambda: None)):
        yield Calls(path)


async def check_hears_its_own(call: Call, *names: str) -> None:
    """It is done; events of these names were told, all of them with its txn."""
    result = await call.result()
    assert result["outcome"] == "done"
    told = [(name, fields["txn"]) for name, fields in call.told if name != "code"]
    assert {txn for _, txn in told} == {result["txn"]}
    assert {name for name, _ in told} >= set(names)


async def test_two_pushes_at_once(two_people: Pair, folders: list[Path]) -> None:
    laptop, desktop = two_people
    async with calls_to(laptop) as here, calls_to(desktop) as there:
        pushes = []
        for folder in folders:  # The first waits for its answer while the second begins.
            record = await laptop.start([folder])
            pushes.append(here.begin("to", peer="desktop", session=record.id))
            await pushes[-1].hears("offered")
        await until(lambda: len(desktop.pending()) == len(pushes), seconds=30)
        accepts = [there.begin("accept", token=request.token) for request in desktop.pending()]
        for push in pushes:
            await check_hears_its_own(push, "outgoing", "offered", "frozen", "released")
        for accept in accepts:
            await check_hears_its_own(accept, "progress")


async def test_two_takes_at_once(devices: Devices) -> None:
    desktop = await devices.start("desktop")
    owners = [
        await devices.start(name, device={"desktop": Table(Rule(take=Verdict.ASK))}) for name in ("laptop", "tablet")
    ]
    async with calls_to(desktop) as calls:
        takes = []
        for owner in owners:  # The first waits for its answer while the second asks.
            introduce(owner, desktop)
            await owner.start([fill(devices.path(owner.name, f"of-{owner.name}"), FILES)])
            takes.append(calls.begin("take", session=f"of-{owner.name}", **{"from": owner.name}))
            await takes[-1].hears("asking")
        for owner in owners:
            owner.accept()
        for take in takes:
            await check_hears_its_own(take, "asking", "incoming")


async def test_a_copy_by_code_while_something_else_arrives(devices: Devices, folders: list[Path]) -> None:
    port = (await devices.start("desktop")).port
    await devices.stop("desktop")
    laptop = await devices.start("laptop", peers=(f"127.0.0.1:{port}",))
    desktop = await devices.start("desktop", peers=(f"127.0.0.1:{laptop.port}",))
    other = await devices.start("other")
    introduce(other, desktop, LinkKind.OTHER)
    elsewhere = asyncio.create_task(other.to("desktop", folders[1]))
    request = await event(desktop, "request")
    async with calls_to(laptop) as here, calls_to(desktop) as there:
        sending = here.begin("send", paths=[str(folders[0])])
        code = (await sending.hears("code"))["code"]
        into = devices.path("desktop", "copied")
        receiving = there.begin("receive", code=code, into=str(into))
        await receiving.hears("incoming")
        desktop.accept(request["token"])
        await check_hears_its_own(sending, "outgoing")
        await check_hears_its_own(receiving, "incoming")
    assert (await elsewhere).outcome == "done"
