# SPDX-License-Identifier: Apache-2.0
"""Whatever goes wrong on one side, the other gets an answer: no handoff waits for ever, none ends with two owners."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from p2p_handoff.adapters.folder_snapshot import FolderSnapshot
from p2p_handoff.agent import incoming, outgoing
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.arrivals import Arrivals
from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.report import Report
from p2p_handoff.errors import RemoteProtocolError, StorageError, TrustError
from p2p_handoff.ids import SessionId
from p2p_handoff.protocol import source as src
from p2p_handoff.store.generations import Generations
from tests.agent.devices import Devices, Pair, event, failing, fill, pull_cable, tree, until

FILES = {"main.py": b"print('hello')\n"}


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


async def handed_over(agent: Agent, what: Path | SessionId) -> Report:
    return await asyncio.wait_for(agent.to("desktop", what), 10)


def role(agent: Agent, report: Report) -> str | None:
    record = agent.store.sessions.get(SessionId(report.session))
    return record.ownership.role.value if record is not None else None


# --- the source's own troubles ----------------------------------------------------------------------


async def test_content_that_cannot_be_read_is_not_offered(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FolderSnapshot, "read", failing(StorageError("the disk is bad"), 1000, None))
    with pytest.raises(StorageError, match="the disk is bad"):
        await handed_over(two_agents.laptop, folder)
    (record,) = two_agents.laptop.store.sessions.all()
    assert record.ownership.role.value == "primary"


async def test_content_that_cannot_be_read_ends_the_handoff_in_words(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = failing(StorageError("the disk is bad"), 1000, None)
    two_agents.laptop.on("offered", lambda _: monkeypatch.setattr(FolderSnapshot, "read", fault))
    report = await handed_over(two_agents.laptop, folder)
    assert (report.outcome, role(two_agents.laptop, report)) == ("failed", "primary")
    assert "the disk is bad" in report.text


async def test_content_that_cannot_be_read_once_frozen_is_refused_and_thawed(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    read = FolderSnapshot.read
    freeze = Outgoing._store_frozen

    async def break_the_disk(self: Outgoing, effect: src.StoreFrozen) -> None:
        await freeze(self, effect)
        monkeypatch.setattr(FolderSnapshot, "read", failing(StorageError("the disk is bad"), 1000, read))

    async def edit_first(self: Outgoing, effect: src.FreezeParts) -> None:
        (folder / "late.py").write_bytes(b"the last delta")
        await freeze_parts(self, effect)

    freeze_parts = Outgoing._freeze
    monkeypatch.setitem(Outgoing._EFFECTS, src.StoreFrozen, break_the_disk)
    monkeypatch.setitem(Outgoing._EFFECTS, src.FreezeParts, edit_first)
    report = await handed_over(laptop, folder)
    assert (report.outcome, role(laptop, report), role(desktop, report)) == ("failed", "primary", None)


async def test_a_folder_that_vanishes_after_the_grant_does_not_undo_the_handoff(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    released = Outgoing._store_released

    async def lose_the_folder(self: Outgoing, effect: src.StoreReleased) -> None:
        await released(self, effect)
        shutil.rmtree(folder)
        laptop.catalog.forget_open(self.plan.session)

    monkeypatch.setitem(Outgoing._EFFECTS, src.StoreReleased, lose_the_folder)
    report = await handed_over(laptop, folder)
    assert (report.outcome, role(laptop, report), role(desktop, report)) == ("done", "secondary", "primary")


async def test_a_release_that_could_not_be_stored_is_tried_again(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, _ = two_agents
    store = laptop.store.outgoing
    monkeypatch.setattr(outgoing, "STORE_AGAIN_AFTER", 0.05)
    monkeypatch.setattr(store, "release", failing(StorageError("the disk is full"), 2, store.release))
    report = await handed_over(laptop, folder)
    assert report.outcome == "in-doubt"
    await until(lambda: role(laptop, report) == "secondary")


# --- the target's troubles --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [StorageError("the disk is full"), RemoteProtocolError("stale"), TrustError("an old copy"), KeyError("x")]
)
async def test_an_acceptance_that_cannot_be_stored_is_a_refusal(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    laptop, desktop = two_agents
    monkeypatch.setattr(desktop.store.incoming, "accept", failing(error, 1, None))
    report = await handed_over(laptop, folder)
    assert (report.outcome, role(laptop, report), role(desktop, report)) == ("failed", "primary", None)


async def test_a_refusal_that_could_not_be_stored_is_tried_again(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    full, store = StorageError("the disk is full"), desktop.store.incoming
    monkeypatch.setattr(incoming, "STORE_AGAIN_AFTER", 0.05)
    monkeypatch.setattr(store, "accept", failing(full, 1, None))
    monkeypatch.setattr(store, "refuse", failing(full, 2, store.refuse))
    report = await handed_over(laptop, folder)
    assert (report.outcome, role(laptop, report)) == ("failed", "primary")


async def test_what_cannot_be_removed_does_not_change_how_a_handoff_ends(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    monkeypatch.setattr(desktop.store.incoming, "accept", failing(StorageError("full"), 1, None))
    monkeypatch.setattr(Arrivals, "abandon", failing(StorageError("read-only"), 1, None))
    ended = asyncio.create_task(event(desktop, "handoff"))
    await asyncio.sleep(0)
    assert (await handed_over(laptop, folder)).outcome == "failed"
    assert (await ended)["outcome"] == "failed"


async def test_old_states_that_cannot_be_forgotten_do_not_change_how_a_handoff_ends(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    session = SessionId((await handed_over(laptop, folder)).session)
    monkeypatch.setattr(Generations, "forget", failing(StorageError("the disk is full"), 1000, None))
    arrived = asyncio.create_task(event(laptop, "handoff"))
    report = await asyncio.wait_for(desktop.to("laptop", session), 10)
    assert (report.outcome, report.text) == ("done", "")
    assert (await arrived)["outcome"] == "done"


async def test_an_acceptance_of_another_grant_decides_nothing_and_the_true_one_still_does(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    store = laptop.store.outgoing
    monkeypatch.setattr(store, "release", failing(TrustError("it answers another grant"), 1, store.release))
    report = await handed_over(laptop, folder)
    assert (report.outcome, role(laptop, report)) == ("in-doubt", "frozen")
    pull_cable(laptop, desktop)
    await until(lambda: role(laptop, report) == "secondary", 10)
    assert tree(desktop.store.sessions.bindings(SessionId(report.session))[0].path or "") == FILES
