# SPDX-License-Identifier: Apache-2.0
"""MultiClientSyncHandler: one primary per session, roles that everybody can see, handoff by token."""

from __future__ import annotations

import asyncio
import gc
import weakref
from functools import partial
from pathlib import Path

import pytest

from p2p_handoff import MultiClientSyncHandler, NotFoundError, RejectedError, UsageError
from p2p_handoff.agent.payloads import HandoffEnded, PrimaryChanged
from p2p_handoff.agent.requests import IncomingRequest
from p2p_handoff.session.guard import Letting
from p2p_handoff.session.signed import SignedStatement
from tests.agent.devices import Devices, Pair, fill, introduce, tree, until
from tests.agent.secrets_made import env_file, private_key

Ended = HandoffEnded | PrimaryChanged
FILES = {"notes.txt": b"one\n"}


async def handlers(pair: Pair) -> tuple[MultiClientSyncHandler, MultiClientSyncHandler]:
    return MultiClientSyncHandler.instance(pair.laptop), MultiClientSyncHandler.instance(pair.desktop)


def _put(queue: asyncio.Queue[tuple[str, Ended]], label: str, payload: Ended) -> None:
    queue.put_nowait((label, payload))


@pytest.fixture
async def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


async def test_there_is_one_handler_per_agent(two_agents: Pair) -> None:
    mine, other = await handlers(two_agents)
    assert MultiClientSyncHandler.instance(two_agents.laptop) is mine
    assert mine is not other


async def test_a_handler_goes_with_its_agent(devices: Devices) -> None:
    gone: list[weakref.ref[MultiClientSyncHandler]] = []

    async def live_and_end() -> None:
        agent = await devices.start("tablet")
        gone.append(weakref.ref(MultiClientSyncHandler.instance(agent)))
        await devices.stop("tablet")

    await live_and_end()
    await asyncio.sleep(0)  # what the last tasks of the agent left to the loop
    gc.collect()
    assert gone[0]() is None


async def test_initiating_returns_when_the_other_device_is_primary(two_agents: Pair, folder: Path) -> None:
    mine, other = await handlers(two_agents)
    await two_agents.laptop.start([folder])
    assert (mine.role(), mine.primary()) == ("primary", two_agents.laptop.device)
    report = await mine.initiate_handoff(two_agents.desktop.device)
    assert (report.outcome, report.epoch) == ("done", 2)
    assert (mine.role("project"), other.role("project")) == ("secondary", "primary")
    assert mine.primary() == other.primary() == two_agents.desktop.device


async def test_an_own_device_is_not_asked(two_agents: Pair, folder: Path) -> None:
    mine, other = await handlers(two_agents)
    asked: list[IncomingRequest] = []
    other.on("handoffRequest", asked.append)
    await mine.initiate_handoff("desktop", session=folder)
    assert not asked


async def test_a_request_is_accepted_by_its_token(two_people: Pair, folder: Path) -> None:
    mine, other = await handlers(two_people)
    other.on("handoffRequest", lambda request: other.accept_handoff(request.token))
    report = await mine.initiate_handoff("desktop", session=folder)
    assert report.outcome == "done"
    assert other.role() == "primary"


async def test_secrets_stay_unless_they_are_let_go(two_people: Pair, folder: Path) -> None:
    (folder / ".env").write_bytes(env := env_file())
    (folder / "id_rsa").write_bytes(private_key())
    mine, other = await handlers(two_people)
    other.on("handoffRequest", lambda request: other.accept_handoff(request.token))
    report = await mine.initiate_handoff("desktop", session=folder, letting=Letting(paths=frozenset({b".env"})))
    assert [(item["path"], item["withheld"]) for item in report.secrets] == [(".env", False), ("id_rsa", True)]
    arrived = two_people.desktop.settings.receive_dir / "project"
    await until(arrived.exists)
    assert tree(arrived) == {**FILES, ".env": env}


async def test_accepting_can_be_awaited(two_people: Pair, folder: Path) -> None:
    mine, other = await handlers(two_people)
    asked: asyncio.Queue[IncomingRequest] = asyncio.Queue()
    other.on("handoffRequest", asked.put)
    handing = asyncio.create_task(mine.initiate_handoff("desktop", session=folder))
    request = await asked.get()
    assert other.pending() == [request]
    arrived = await other.accept_handoff(request.token)
    assert tree(arrived.into[0]) == FILES
    assert (await handing).txn == arrived.txn


async def test_a_request_is_rejected_by_its_token(two_people: Pair, folder: Path) -> None:
    mine, other = await handlers(two_people)
    other.on("handoffRequest", lambda request: other.reject_handoff(request.token, "ask me tomorrow"))
    with pytest.raises(RejectedError, match="ask me tomorrow"):
        await mine.initiate_handoff("desktop", session=folder)
    assert mine.role() == "primary"


async def test_both_sides_hear_that_it_completed_and_who_is_primary_now(two_agents: Pair, folder: Path) -> None:
    mine, other = await handlers(two_agents)
    heard: asyncio.Queue[tuple[str, Ended]] = asyncio.Queue()
    for who, handler in (("mine", mine), ("other", other)):
        for name in ("handoffCompleted", "primaryChanged", "handoffFailed"):
            handler.on(name, partial(_put, heard, f"{who} {name}"))
    report = await mine.initiate_handoff("desktop", session=folder)
    told = dict([await asyncio.wait_for(heard.get(), 5) for _ in range(4)])
    assert set(told) == {
        f"{who} {name}" for who in ("mine", "other") for name in ("handoffCompleted", "primaryChanged")
    }
    changed = PrimaryChanged(two_agents.laptop.sessions()[0].id, two_agents.desktop.device, 2)
    assert told["mine primaryChanged"] == told["other primaryChanged"] == changed
    assert isinstance(ended := told["mine handoffCompleted"], HandoffEnded)
    assert (ended.outcome, ended.txn) == ("done", report.txn)


async def test_a_failure_changes_no_primary_and_both_sides_hear_of_it(two_people: Pair, folder: Path) -> None:
    mine, other = await handlers(two_people)
    changed: list[PrimaryChanged] = []
    failed: asyncio.Queue[HandoffEnded] = asyncio.Queue()
    for handler in (mine, other):
        handler.on("primaryChanged", changed.append)
        handler.on("handoffFailed", failed.put)
    other.on("handoffRequest", lambda request: other.reject_handoff(request.token))
    with pytest.raises(RejectedError):
        await mine.initiate_handoff("desktop", session=folder)
    ends = [await asyncio.wait_for(failed.get(), 5) for _ in range(2)]
    assert {(end.outcome, end.reason) for end in ends} == {("rejected", "declined")}
    assert not changed


async def test_a_secondary_cannot_hand_over_what_it_does_not_own(two_agents: Pair, folder: Path) -> None:
    mine, _ = await handlers(two_agents)
    await mine.initiate_handoff("desktop", session=folder)
    with pytest.raises(RejectedError, match="desktop is the primary") as caught:
        await mine.initiate_handoff("desktop")
    assert caught.value.reason == "not-primary"


async def test_a_session_goes_round_among_three_devices(two_agents: Pair, folder: Path, devices: Devices) -> None:
    laptop, desktop = two_agents
    phone = await devices.start("phone")
    introduce(laptop, phone)
    introduce(desktop, phone)
    mine, other = await handlers(two_agents)
    third = MultiClientSyncHandler.instance(phone)
    await mine.initiate_handoff("desktop", session=folder)
    arrived = Path(desktop.catalog.bindings(desktop.sessions()[0].id)[0].path or "")
    (arrived / "notes.txt").write_bytes(b"two\n")
    await other.initiate_handoff("phone")
    report = await third.initiate_handoff("laptop")
    assert (report.epoch, mine.role(), third.role()) == (4, "primary", "secondary")
    assert (folder / "notes.txt").read_bytes() == b"two\n"
    await until(lambda: other.primary() == laptop.device)  # It took no part in the last step, and hears of it.


async def test_ambiguity_and_unknown_things_raise(two_people: Pair, devices: Devices) -> None:
    mine, _ = await handlers(two_people)
    with pytest.raises(NotFoundError, match="no session is running"):
        mine.role()
    for name in ("one", "two"):
        await two_people.laptop.start([fill(devices.path("laptop", name), FILES)])
    with pytest.raises(UsageError, match="several sessions are running"):
        await mine.initiate_handoff("desktop")
    with pytest.raises(NotFoundError, match="no session 'three'"):
        mine.primary("three")
    with pytest.raises(NotFoundError, match="no linked device is called 'tablet'"):
        await mine.initiate_handoff("tablet", session="one")
    with pytest.raises(NotFoundError, match="no pending request has the token 'abcd'"):
        mine.accept_handoff("abcd")
    with pytest.raises(UsageError, match="no event 'primary'"):
        mine.on("primary", print)


async def test_a_frozen_session_shows_as_frozen(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, _ = await handlers(two_agents)
    roles: list[str] = []
    freeze = two_agents.laptop.store.outgoing.freeze

    def look(signed: SignedStatement, manifest: bytes, *, at: float) -> None:
        freeze(signed, manifest, at=at)
        roles.append(mine.role())

    monkeypatch.setattr(two_agents.laptop.store.outgoing, "freeze", look)
    await mine.initiate_handoff("desktop", session=folder)
    assert roles == ["frozen"]
