# SPDX-License-Identifier: Apache-2.0
"""What is not offered of a session shows neither digest nor size, whatever message tells of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.agent.agent import Agent
from p2p_handoff.content.objects import EMPTY
from p2p_handoff.ids import SessionId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.journal import ForkState
from p2p_handoff.session.manifest import Part, PartType, decode_manifest
from p2p_handoff.session.policy import General, Rule, Table
from p2p_handoff.testing.samples import conversation_lines
from tests.agent.devices import Devices, Pair, fill, heard_by, introduce, lose, tree, until

MANIFESTS = (msg.Request, msg.Round, msg.Grant, msg.Finish)
KEPT = General(other=Table(Rule(may_leave=frozenset((PartType.MESSAGES,)))))
FILES = {"plan.txt": b"a guess that could be confirmed\n", "deep/more.txt": b"more\n"}


@pytest.fixture
def talk(devices: Devices) -> Path:
    """A conversation on the laptop."""
    path = devices.path("laptop", "talk.jsonl")
    path.write_bytes(b"".join(conversation_lines(5)))
    return path


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


def told(heard: dict[type[Any], list[Any]], least: int = 3) -> list[Part]:
    """The folder, as each manifest showed it that was sent."""
    manifests = [message.manifest for kind in MANIFESTS for message in heard[kind]]
    assert len(manifests) >= least, "an offer, a round, and a grant where ownership moves"
    return [part for data in manifests for part in decode_manifest(data).parts if part.kind == "folder"]


def content_of(part: Part) -> tuple[bytes, int, int, int]:
    """All that a manifest tells of what a part holds."""
    return part.root, part.root_size, part.total_bytes, part.items


NOTHING = (EMPTY.ref, 0, 0, 0)


async def two(devices: Devices, kind: LinkKind, policy: General) -> Pair:
    """Two linked devices; the laptop has the settings."""
    pair = Pair(await devices.start("laptop", policy=policy), await devices.start("desktop"))
    introduce(*pair, kind)
    return pair


def listen(agent: Agent) -> dict[type[Any], list[Any]]:
    """All messages with manifests that reach an agent from now on."""
    return {kind: heard_by(agent, kind) for kind in MANIFESTS}


async def test_what_the_settings_keep_shows_no_digest_and_no_size_and_is_there_after_the_way_back(
    devices: Devices, folder: Path, talk: Path
) -> None:
    laptop, desktop = await two(devices, LinkKind.OTHER, KEPT)
    heard = listen(desktop)
    record = await laptop.start([folder, talk])
    handing = asyncio.create_task(laptop.to("desktop", record.id))
    await until(lambda: bool(desktop.pending()))
    (stays,) = desktop.pending()[0].as_json(0.0)["withheld"]
    assert (stays["name"], stays["bytes"], stays["items"]) == ("project", None, None)
    desktop.accept()
    report = await handing
    assert (report.outcome, report.withheld) == ("done", ("project",))
    parts = told(heard)
    assert {part.name for part in parts} == {"project"}, "that there is one is told"
    assert {content_of(part) for part in parts} == {NOTHING}
    back = asyncio.create_task(desktop.to("laptop", record.id))
    await until(lambda: bool(laptop.pending()))
    laptop.accept()
    assert (await back).outcome == "done"
    assert tree(folder) == FILES
    assert laptop.sessions()[0].ownership.role.value == "primary"
    assert [binding.held_by for binding in laptop.parts.catalog.bindings(record.id)] == [None, None]


async def test_what_was_not_chosen_shows_no_digest_and_no_size_to_an_own_device_either(
    devices: Devices, folder: Path, talk: Path
) -> None:
    laptop, desktop = await two(devices, LinkKind.OWN, General())
    heard = listen(desktop)
    record = await laptop.start([folder, talk])
    assert (await laptop.to("desktop", record.id, only=["messages"])).outcome == "done"
    assert {content_of(part) for part in told(heard)} == {NOTHING}


async def test_what_is_offered_shows_both(devices: Devices, folder: Path, talk: Path) -> None:
    laptop, desktop = await two(devices, LinkKind.OWN, General())
    heard = listen(desktop)
    record = await laptop.start([folder, talk])
    assert (await laptop.to("desktop", record.id)).outcome == "done"
    assert NOTHING not in {content_of(part) for part in told(heard)}


async def test_an_edit_of_what_stays_is_not_to_be_seen(devices: Devices, folder: Path, talk: Path) -> None:
    laptop, desktop = await two(devices, LinkKind.OWN, General())
    record = await laptop.start([folder, talk])
    heard = listen(desktop)
    for number, text in enumerate((b"before\n", b"after\n")):
        (folder / "plan.txt").write_bytes(text)
        assert (await laptop.to("desktop", record.id, only=["messages"])).outcome == "done"
        assert (await desktop.to("laptop", record.id, only=["messages"])).outcome == "done"
        assert (folder / "plan.txt").read_bytes() == text
        assert laptop.sessions()[0].ownership.epoch == 3 + 2 * number
    assert {content_of(part) for part in told(heard)} == {NOTHING}


async def test_a_fork_is_merged_in_one_go_without_what_its_original_was_handed_over_without(
    devices: Devices, folder: Path, talk: Path
) -> None:
    laptop, desktop = await two(devices, LinkKind.OWN, General())
    await laptop.start([folder, talk], "work")
    lose(laptop, msg.Accepted, msg.Resumed, msg.News, msg.ChainNews, sender=desktop)
    handing = asyncio.create_task(laptop.to("desktop", "work", only=["messages"]))
    await until(lambda: any(record.ownership.role.value == "primary" for record in desktop.sessions()))
    await until((desktop.settings.receive_dir / "talk.jsonl").exists)
    await until(lambda: not desktop.store.incoming.pending_commits())
    await laptop.fork("work")
    handing.cancel()
    await asyncio.gather(handing, return_exceptions=True)
    await devices.stop("laptop")
    with talk.open("ab") as opened:
        opened.write(b'{"role":"user","text":"in the fork"}\n')
    heard, inits = listen(desktop), heard_by(desktop, msg.Init)
    laptop = await devices.start("laptop")
    await until(lambda: [fork.state for fork in laptop.store.forks.of(original_of(laptop))] == [ForkState.MERGED], 20)
    assert [init.mode for init in inits] == [msg.Mode.MERGE]
    assert {content_of(part) for part in told(heard, least=2)} == {NOTHING}
    assert b"in the fork" in (desktop.settings.receive_dir / "talk.jsonl").read_bytes()
    assert tree(folder) == FILES


def original_of(agent: Agent) -> SessionId:
    """The session that was forked."""
    return next(record.id for record in agent.store.sessions.all() if record.title == "work")
