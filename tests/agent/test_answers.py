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
from p2p_handoff.agent.incoming import Incoming
from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.report import Report
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import RemoteProtocolError, StorageError, TrustError
from p2p_handoff.ids import SessionId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol import target as tgt
from p2p_handoff.store.generations import Generations
from tests.agent.devices import Devices, Pair, deaf_to, event, failing, fill, pull_cable, tree, until

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


async def test_a_connection_that_breaks_while_it_is_adopted_is_dialled_again(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    kind, adopted = Wire.path_kind, 0

    async def break_again(self: Wire) -> str:
        nonlocal adopted
        adopted += self.peer == desktop.device
        if self.peer == desktop.device and adopted == 2:
            told = asyncio.create_task(event(laptop, "disconnected"))
            await asyncio.sleep(0)
            self.connection_lost("again")
            await told
        return await kind(self)

    async def break_first(self: Outgoing, effect: src.Survey) -> None:
        if adopted == 1:
            pull_cable(laptop, desktop)
        await survey(self, effect)

    survey = Outgoing._survey
    monkeypatch.setattr(Wire, "path_kind", break_again)
    monkeypatch.setitem(Outgoing._EFFECTS, src.Survey, break_first)
    report = await handed_over(laptop, folder)
    assert report.outcome == "done"
    assert adopted > 2


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


async def test_a_target_that_never_says_that_it_resumed_is_not_waited_for(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_self: Incoming, _effect: tgt.SendResumed) -> None:
        return

    monkeypatch.setitem(Incoming._EFFECTS, tgt.SendResumed, silent)
    monkeypatch.setattr(outgoing, "RESUME_FOR", 0.3)
    report = await handed_over(two_agents.laptop, folder)
    assert report.outcome == "done"
    assert "not said yet" in report.text


async def test_a_target_that_does_not_answer_a_grant_leaves_a_doubt_in_time(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    monkeypatch.setattr(outgoing, "ANSWER_FOR", 0.3)
    hear = deaf_to(desktop, msg.Grant)
    report = await handed_over(laptop, folder)
    assert (report.outcome, role(laptop, report)) == ("in-doubt", "frozen")
    hear()
    pull_cable(laptop, desktop)
    await until(lambda: role(laptop, report) == "secondary", 10)
    assert role(desktop, report) == "primary"


async def test_a_target_that_takes_and_does_nothing_ends_the_handoff_in_time(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "ANSWER_FOR", 0.3)
    deaf_to(two_agents.desktop, msg.Round)
    report = await handed_over(two_agents.laptop, folder)
    assert (report.outcome, role(two_agents.laptop, report)) == ("failed", "primary")


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
