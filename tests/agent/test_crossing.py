# SPDX-License-Identifier: Apache-2.0
"""Things that happen at the same moment: takes, pushes, cancels, unlinking, and parts that are not in place yet."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff import RejectedError, TimedOutError
from p2p_handoff.adapters.folder import FolderAdapter
from p2p_handoff.agent import giving_up, takes
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.arrivals import Arrivals
from p2p_handoff.agent.catalog import Catalog
from p2p_handoff.agent.fetching import Fetcher
from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.profile import Ledger
from p2p_handoff.agent.wire import Wire
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import StorageError
from p2p_handoff.ids import SessionId, TxnId, new_txn_id
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol.messages import Mode
from p2p_handoff.protocol.records import ObjectRecord
from p2p_handoff.testing.samples import conversation_lines
from tests.agent.devices import Devices, Pair, deaf_to, event, failing, fill, introduce, tree, until
from tests.agent.test_wire import connected

FILES = {"main.py": b"print('hello')\n"}


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


def role(agent: Agent, session: SessionId | str) -> str | None:
    record = agent.store.sessions.get(SessionId(session))
    return record.ownership.role.value if record is not None else None


# --- not in place yet -------------------------------------------------------------------------------


async def test_what_is_not_in_place_yet_is_not_handed_on_in_its_old_state(
    two_agents: Pair, folder: Path, devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    phone = await devices.start("phone")
    introduce(phone, desktop)
    record = await laptop.start([folder])
    await laptop.to("desktop", record.id)
    await desktop.to("laptop", record.id)
    (folder / "main.py").write_bytes(b"print('newer')\n")
    place = Arrivals._place
    monkeypatch.setattr(Arrivals, "_place", failing(StorageError("the disk is full"), 1000, None))
    pushing = asyncio.create_task(laptop.to("desktop", record.id))
    await event(desktop, "not-in-place")
    assert role(desktop, record.id) == "primary"
    with pytest.raises(RejectedError, match="still being put in place"):
        await phone.take(record.id, peer="desktop")
    monkeypatch.setattr(Arrivals, "_place", place)
    assert (await asyncio.wait_for(pushing, 20)).outcome == "done"
    report = await phone.take(record.id, peer="desktop")
    assert tree(report.into[0]) == {"main.py": b"print('newer')\n"}


async def test_what_a_live_handoff_puts_in_place_is_not_put_in_place_twice(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    monkeypatch.setattr(Arrivals, "_place", failing(StorageError("the disk is full"), 1, Arrivals._place))
    pushing = asyncio.create_task(laptop.to("desktop", folder))
    await event(desktop, "not-in-place")
    recovered: list[Any] = []

    async def recover(commit: Any) -> None:
        recovered.append(commit)

    restart = desktop.handoffs._restart
    monkeypatch.setattr(restart, "_finish_commit", recover)
    finishing = asyncio.create_task(restart._finish_commits())
    assert (await pushing).outcome == "done"
    await asyncio.wait_for(finishing, 10)
    assert not recovered


def take_pictures_slowly(monkeypatch: pytest.MonkeyPatch, *, seconds: float) -> None:
    """Looking through the files of a session takes a while, as it does with many."""
    picture = Catalog.picture

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(seconds)
        return picture(*args, **kwargs)

    monkeypatch.setattr(Catalog, "picture", slow)


# --- takes ------------------------------------------------------------------------------------------


async def test_a_take_that_crosses_a_push_is_satisfied_by_it(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    record = await laptop.start([folder])
    take_pictures_slowly(monkeypatch, seconds=0.2)
    pushed = asyncio.create_task(laptop.to("desktop", record.id))
    await until(lambda: bool(laptop.handoffs.active()))
    taken = await desktop.take(record.id, peer="laptop")
    assert (taken.outcome, (await pushed).outcome) == ("done", "done")
    assert taken.txn == (await pushed).txn


async def test_a_take_that_a_push_satisfied_moves_nothing_later(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: a Take that was on its way for long fetched the session once more."""
    laptop, desktop = two_agents
    record = await laptop.start([folder])
    take_pictures_slowly(monkeypatch, seconds=0.2)
    received, late = laptop.handoffs.message_received, list[tuple[Wire, msg.Take]]()

    def hold_takes(wire: Wire, message: msg.Message) -> None:
        if isinstance(message, msg.Take):
            late.append((wire, message))
        else:
            received(wire, message)

    monkeypatch.setattr(laptop.handoffs, "message_received", hold_takes)
    pushed = asyncio.create_task(laptop.to("desktop", record.id))
    await until(lambda: bool(laptop.handoffs.active()))
    await desktop.take(record.id, peer="laptop")
    await pushed
    await desktop.to("laptop", record.id)
    [(wire, take)] = late
    ended = asyncio.create_task(event(laptop, "handoff"))
    await asyncio.sleep(0)
    received(wire, take)
    assert (await ended)["reason"] == "cancelled"
    assert (role(laptop, record.id), role(desktop, record.id)) == ("primary", "secondary")


async def test_a_take_after_the_push_has_begun_is_satisfied_by_it(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    record = await laptop.start([folder])
    take_pictures_slowly(monkeypatch, seconds=0.2)
    pushed = asyncio.create_task(laptop.to("desktop", record.id))
    await event(desktop, "incoming")
    taken = await desktop.take(record.id, peer="laptop")
    assert (taken.outcome, taken.txn) == ("done", (await pushed).txn)


async def test_a_take_is_answered_before_the_source_has_looked_through_its_files(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    record = await laptop.start([folder])
    take_pictures_slowly(monkeypatch, seconds=1)
    monkeypatch.setattr(takes, "ANSWER_TAKE_FOR", 0.7)
    assert (await desktop.take(record.id, peer="laptop")).outcome == "done"


async def test_a_take_of_what_cannot_be_read_is_told_so(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    record = await laptop.start([folder])
    monkeypatch.setattr(Catalog, "picture", failing(StorageError("the disk is bad"), 1000, None))
    report = await asyncio.wait_for(desktop.take(record.id, peer="laptop"), 5)
    assert report.outcome == "failed"
    assert "the disk is bad" in report.text


async def test_a_take_that_was_given_up_moves_nothing(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    record = await laptop.start([folder])
    hear = deaf_to(desktop, msg.Init)
    taking = asyncio.create_task(desktop.take(record.id, peer="laptop"))
    await event(laptop, "outgoing")
    taking.cancel()
    hear()
    with pytest.raises(asyncio.CancelledError):
        await taking
    await until(lambda: not laptop.handoffs.active())
    assert (role(laptop, record.id), role(desktop, record.id)) == ("primary", None)


async def test_a_take_nobody_answers_is_called_off(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    record = await laptop.start([folder])
    monkeypatch.setattr(takes, "ANSWER_TAKE_FOR", 0.3)
    deaf_to(desktop, msg.Init)
    with pytest.raises(TimedOutError):
        await desktop.take(record.id, peer="laptop")
    await until(lambda: not laptop.handoffs.active())
    assert (role(laptop, record.id), role(desktop, record.id)) == ("primary", None)


async def test_a_take_cannot_use_the_id_of_another_handoff(two_agents: Pair, folder: Path, devices: Devices) -> None:
    laptop, desktop = two_agents
    first = await laptop.start([folder])
    second = await laptop.start([fill(devices.path("laptop", "other"), FILES)])
    report = await laptop.to("desktop", first.id)
    near, _ = await connected(Pair(desktop, laptop))
    refused: list[msg.Message] = []
    received = desktop.handoffs.message_received

    def watch(wire: Any, message: msg.Message) -> None:
        refused.append(message)
        received(wire, message)

    desktop.handoffs.message_received = watch  # type: ignore[method-assign]  # to see what is answered
    near.send(msg.Take(TxnId(report.txn), second.id, ()))
    await until(lambda: bool(refused))
    assert isinstance(refused[0], msg.Reject)
    assert role(laptop, second.id) == "primary"


# --- cancelling -------------------------------------------------------------------------------------


async def test_cancelling_a_push_that_cannot_end_yet_is_a_cancellation_and_no_timeout(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    monkeypatch.setattr(giving_up, "CANCEL_FOR", 0.1)
    deaf_to(desktop, msg.Grant, msg.Query)
    pushing = asyncio.create_task(laptop.to("desktop", folder))
    await event(laptop, "frozen")
    pushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pushing


async def test_cancelling_an_accept_cancels_the_handoff(
    two_people: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_self: Outgoing, _effect: src.Survey) -> None:
        return

    monkeypatch.setitem(Outgoing._EFFECTS, src.Survey, never)
    laptop, desktop = two_people
    pushing = asyncio.create_task(laptop.to("desktop", folder))
    await event(desktop, "request")
    accepting = asyncio.create_task(desktop.accept_and_wait())
    await until(lambda: laptop.handoffs.active()[0].machine.state is src.SourceState.COPYING)
    accepting.cancel()
    report = await asyncio.wait_for(pushing, 5)
    assert (report.outcome, role(laptop, report.session)) == ("cancelled", "primary")


# --- unlinking --------------------------------------------------------------------------------------


async def test_a_connection_that_opens_after_the_unlinking_is_closed(two_agents: Pair) -> None:
    laptop, desktop = two_agents
    near, _ = await connected(two_agents)
    laptop.store.links.remove(desktop.device, at=1.0)
    laptop.parts.dialer._open._wires.clear()
    laptop.parts.dialer._open.adopt(near)
    await until(lambda: not near.is_open)
    assert laptop.parts.dialer.wire(desktop.device) is None


async def test_unlinking_ends_what_is_undecided_at_once(two_people: Pair, folder: Path) -> None:
    laptop, desktop = two_people
    pushing = asyncio.create_task(laptop.to("desktop", folder))
    await event(desktop, "request")
    await desktop.unlink("laptop")
    await until(lambda: not desktop.pending())
    await laptop.unlink("desktop")
    assert (await asyncio.wait_for(pushing, 5)).outcome == "cancelled"


# --- copies -----------------------------------------------------------------------------------------


async def test_a_copy_leaves_the_session_of_the_same_id_alone(two_people: Pair, devices: Devices, folder: Path) -> None:
    laptop, desktop = two_people
    talk = devices.path("laptop", "talk.jsonl")
    talk.write_bytes(b"".join(conversation_lines(3)))
    record = await laptop.start([folder, talk])
    moving = asyncio.create_task(laptop.to("desktop", record.id))
    await event(desktop, "request")
    desktop.accept()
    await moving
    before = {str(path): path.stat().st_mtime_ns for path in desktop.home.path.rglob("parts/**/*") if path.is_file()}
    copying = asyncio.create_task(laptop.to("desktop", record.id, mode=Mode.COPY))
    await event(desktop, "request")
    desktop.accept()
    assert (await copying).outcome == "done"
    after = {str(path): path.stat().st_mtime_ns for path in desktop.home.path.rglob("parts/**/*") if path.is_file()}
    assert before
    assert after == before


async def test_an_expected_copy_that_does_not_begin_in_time_is_told_so(two_agents: Pair, tmp_path: Path) -> None:
    arrived = two_agents.desktop.handoffs.expect_copy(tmp_path)
    two_agents.desktop.handoffs.copy_must_begin(0.01)
    with pytest.raises(TimedOutError, match="did not begin"):
        await arrived


async def test_a_copy_that_is_expected_no_more_is_asked_for(two_people: Pair, folder: Path, tmp_path: Path) -> None:
    laptop, desktop = two_people
    desktop.handoffs.expect_copy(tmp_path / "into").cancel()
    await asyncio.sleep(0)
    record = await laptop.start([folder])
    copying = asyncio.create_task(laptop.to("desktop", record.id, mode=Mode.COPY))
    await event(desktop, "request")
    desktop.reject()
    assert (await copying).outcome == "rejected"


# --- staging and credit -----------------------------------------------------------------------------


async def test_a_part_that_cannot_be_staged_leaves_nothing_of_the_others(
    two_agents: Pair, folder: Path, devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    second = fill(devices.path("laptop", "second"), FILES)
    stage, calls = FolderAdapter.stage_new, 0

    def stage_once(self: FolderAdapter, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise StorageError("no room")
        return stage(self, *args)

    monkeypatch.setattr(FolderAdapter, "stage_new", stage_once)
    record = await laptop.start([folder, second])
    assert (await laptop.to("desktop", record.id)).outcome == "rejected"
    assert list(desktop.settings.receive_dir.iterdir()) == []


class Purse:
    """A wire as far as credit is concerned."""

    engine_name = "none"

    def __init__(self) -> None:
        self.returned = 0

    def consumed(self, wire_bytes: int) -> None:
        self.returned += wire_bytes


async def test_what_arrives_for_a_transfer_that_ended_gives_its_credit_back() -> None:
    txn = new_txn_id(bytes)
    fetcher, purse = Fetcher(txn, lambda: None, Ledger(time.monotonic, time.process_time)), Purse()
    record = ObjectRecord(txn, digest(b"x"), 0, b"x")
    fetcher.object_received(purse, record)  # type: ignore[arg-type]  # all that it does with a wire
    assert purse.returned == 0
    fetcher.close()
    fetcher.object_received(purse, record)  # type: ignore[arg-type]
    assert purse.returned == 2 * record.wire_bytes
