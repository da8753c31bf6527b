# SPDX-License-Identifier: Apache-2.0
"""Cancel at every step, from either side, on both engines: one primary, nothing left behind, and the truth is said."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from p2p_handoff.adapters.folder_staging import FolderStaging
from p2p_handoff.agent import giving_up, incoming
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.catalog import Catalog, Picture
from p2p_handoff.agent.commands import handlers
from p2p_handoff.agent.giving_up import GivenUpError
from p2p_handoff.agent.incoming import Incoming
from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.report import Report
from p2p_handoff.content.digests import Digest
from p2p_handoff.control.client import Client
from p2p_handoff.control.server import ControlServer
from p2p_handoff.engines.memory import MemoryEngine
from p2p_handoff.errors import CancelledError, ExitCode, StoppedError
from p2p_handoff.ids import SessionId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol import target as tgt
from p2p_handoff.protocol.source import SourceState
from p2p_handoff.protocol.target import TargetState
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.ownership import Role
from tests.agent.devices import Devices, Pair, deaf_to, event, fill, introduce, lose, until

FILES = {"main.py": b"print('hello')\n"}
Lost = tuple[type[msg.Message], ...]


@pytest.fixture(params=["memory", "aiortc"])
async def devices(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Devices]:
    engine = MemoryEngine() if request.param == "memory" else None
    async with Devices(tmp_path, engine) as started:
        yield started


@pytest.fixture
def folder(devices: Devices) -> Path:
    return fill(devices.path("laptop", "project"), FILES)


async def never(*_: object) -> None:
    """An effect that is not carried out: the machine stays where it is."""


@dataclass(frozen=True)
class Phase:
    """Where both sides stand still until somebody cancels."""

    name: str
    source: SourceState
    target: TargetState
    held_source: type | None = None
    """An effect that the source does not carry out."""
    held_target: type | None = None
    to_target: Lost = ()
    """Messages that do not reach the target until the cancel."""
    to_source: Lost = ()
    asks: bool = False


@dataclass(frozen=True)
class End:
    """What follows from a cancel: the source's outcome, and who is primary."""

    outcome: str
    primary: str


PHASES = [
    Phase("reviewing", SourceState.OFFERED, TargetState.REVIEWING, asks=True),
    Phase("copying", SourceState.COPYING, TargetState.READY, held_source=src.Survey),
    Phase("fetching", SourceState.COPYING, TargetState.COPYING, held_target=tgt.FetchRound),
    Phase("freezing", SourceState.FREEZING, TargetState.READY, held_source=src.FreezeParts),
    Phase("frozen", SourceState.FROZEN, TargetState.READY, to_target=(msg.Grant,)),
    Phase("sealing", SourceState.FROZEN, TargetState.SEALING, held_target=tgt.SealGranted),
    Phase("accepted", SourceState.FROZEN, TargetState.RESUMED, to_source=(msg.Accepted, msg.Resumed)),
    Phase("released", SourceState.RELEASED, TargetState.RESUMED, to_source=(msg.Resumed,)),
]
BACK, THAWED, TOO_LATE = End("cancelled", "laptop"), End("failed", "laptop"), End("done", "desktop")
OUTCOMES = {
    ("reviewing", "source"): BACK,
    ("reviewing", "target"): BACK,
    ("copying", "source"): BACK,
    ("copying", "target"): BACK,
    ("fetching", "source"): BACK,
    ("fetching", "target"): BACK,
    ("freezing", "source"): BACK,
    ("freezing", "target"): BACK,
    ("frozen", "source"): BACK,
    ("frozen", "target"): THAWED,
    ("sealing", "source"): BACK,
    ("sealing", "target"): THAWED,
    ("accepted", "source"): TOO_LATE,
    ("accepted", "target"): TOO_LATE,
    ("released", "source"): TOO_LATE,
    ("released", "target"): TOO_LATE,
}


def role(agent: Agent) -> Role | None:
    sessions = agent.sessions()
    return sessions[0].ownership.role if sessions else None


def stagings(agent: Agent) -> list[Path]:
    return list(agent.settings.receive_dir.glob(".*"))


async def start_both(devices: Devices, *, asks: bool) -> Pair:
    both = Pair(await devices.start("laptop"), await devices.start("desktop"))
    introduce(*both, LinkKind.OTHER if asks else LinkKind.OWN)
    return both


async def pushed(laptop: Agent, what: Path | SessionId) -> Report:
    """How a push ended, whoever cancelled it."""
    try:
        return await laptop.to("desktop", what)
    except GivenUpError as given_up:
        return given_up.report


async def standing_still(phase: Phase, both: Pair, folder: Path) -> asyncio.Task[Report]:
    """A push that has come as far as the phase."""
    laptop, desktop = both
    pushing = asyncio.create_task(pushed(laptop, folder))

    def arrived() -> bool:
        there = (phase.source, phase.target)
        there_now = desktop.handoffs._under_way.incoming.values()
        here = {(out.machine.state, inc.machine.state) for out in laptop.handoffs.active() for inc in there_now}
        return there in here and bool(desktop.pending()) is phase.asks

    await until(arrived, 30)  # a real engine on a busy machine
    return pushing


def cancel(side: str, both: Pair, pushing: asyncio.Task[Report]) -> None:
    laptop, desktop = both
    if side == "source":
        pushing.cancel()
        return
    (arriving,) = desktop.handoffs._under_way.incoming.values()
    decided = arriving.machine.state is TargetState.RESUMED
    arriving.cancel("cancelled by the user")
    if decided:  # That changed nothing; the source asks as well, to hear the same.
        laptop.handoffs.active()[0].cancel("asks")


def hold(phase: Phase, both: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    if msg.Accepted in phase.to_source:  # nor does a chain say so
        lose(both.laptop, msg.ChainNews, sender=both.desktop)
    if phase.held_source:
        monkeypatch.setitem(Outgoing._EFFECTS, phase.held_source, never)
    if phase.held_target:
        monkeypatch.setitem(Incoming._EFFECTS, phase.held_target, never)


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.name)
async def test_a_cancel_at_every_step_from_either_side(
    phase: Phase, side: str, devices: Devices, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = laptop, desktop = await start_both(devices, asks=phase.asks)
    monkeypatch.setattr(giving_up, "CANCEL_FOR", 1.0)
    with monkeypatch.context() as holding:
        hold(phase, both, holding)
        hear_there, hear_here = deaf_to(desktop, *phase.to_target), deaf_to(laptop, *phase.to_source)
        pushing = await standing_still(phase, both, folder)
        if phase.name == "accepted":
            hear_here()  # what answers the query that a cancel asks
        cancel(side, both, pushing)
        if phase.name == "released":
            pushing.cancel()  # nobody waits for the word that it is in place
        report = await pushing
    expected = OUTCOMES[phase.name, side]
    assert report.outcome == expected.outcome
    assert (report.exit_code == 7) is (report.outcome == "cancelled")
    hear_there()
    hear_here()
    primary, other = (laptop, desktop) if expected.primary == "laptop" else (desktop, laptop)
    assert role(primary) is Role.PRIMARY
    assert role(other) in (None, Role.SECONDARY)
    await until(lambda: not stagings(desktop))
    if phase.name == "released":
        outgoing = laptop.handoffs.outgoing_of(laptop.sessions()[0].id)
        assert outgoing is not None
        outgoing.happened(src.ResumeOverdue())
    await until(lambda: not laptop.handoffs.active() and not desktop.handoffs.active())
    assert await usable(primary, other, asks=phase.asks)


async def usable(primary: Agent, other: Agent, *, asks: bool) -> bool:
    """The session can be handed over again, at once."""
    again = asyncio.create_task(primary.to(other.name))
    if asks:
        await event(other, "request")
        other.accept()
    return (await again).outcome == "done"


async def test_a_grant_without_an_answer_is_said_to_be_in_doubt_and_resolves_later(
    devices: Devices, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = await start_both(devices, asks=False)
    monkeypatch.setattr(giving_up, "CANCEL_FOR", 0.1)
    hear = deaf_to(desktop, msg.Grant, msg.Query)
    pushing = asyncio.create_task(pushed(laptop, folder))
    await until(lambda: role(laptop) is Role.FROZEN)
    pushing.cancel()
    report = await pushing
    assert (report.outcome, report.exit_code, role(laptop)) == ("in-doubt", 8, Role.FROZEN)
    assert "was granted the session and does not answer; the session is frozen here and nothing is lost" in report.text
    hear()
    laptop.handoffs.active()[0].cancel("once more")
    await until(lambda: role(laptop) is Role.PRIMARY)


async def test_a_push_to_a_device_that_is_away_is_taken_back_at_once(devices: Devices, folder: Path) -> None:
    laptop, _ = await start_both(devices, asks=False)
    await devices.stop("desktop")
    pushing = asyncio.create_task(pushed(laptop, folder))
    await event(laptop, "outgoing")
    pushing.cancel()
    report = await pushing
    assert (report.outcome, report.exit_code) == ("cancelled", 7)
    assert not laptop.handoffs.active()


async def test_a_disk_that_hangs_does_not_hang_the_person_who_cancels(
    devices: Devices, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, _ = await start_both(devices, asks=False)
    hanging, gate = threading.Event(), threading.Event()
    picture = Catalog.picture

    def hang(catalog: Catalog, session: SessionId, **freeze: object) -> Picture:
        hanging.set()
        gate.wait(30)
        return picture(catalog, session, **freeze)  # type: ignore[arg-type]  # passed on as it came

    record = await laptop.start([folder])
    with monkeypatch.context() as broken:
        broken.setattr(Catalog, "picture", hang)
        pushing = asyncio.create_task(pushed(laptop, record.id))
        await asyncio.to_thread(hanging.wait, 10)
        pushing.cancel()
        assert (await pushing).outcome == "cancelled"
        gate.set()
    assert (await laptop.to("desktop")).outcome == "done"


@pytest.mark.parametrize(("answer", "outcome"), [(True, "cancelled"), (False, "in-doubt")])
async def test_a_client_that_gives_up_hears_how_it_ended(
    devices: Devices, folder: Path, monkeypatch: pytest.MonkeyPatch, *, answer: bool, outcome: str
) -> None:
    laptop, desktop = await start_both(devices, asks=False)
    monkeypatch.setattr(giving_up, "CANCEL_FOR", 5.0 if answer else 0.1)
    deaf_to(desktop, *((msg.Grant,) if answer else (msg.Grant, msg.Query)))
    record = await laptop.start([folder])
    path = laptop.home.path / "control.sock"
    async with ControlServer(path, handlers(laptop, lambda: None)):
        client = Client(path)
        calling = asyncio.create_task(asyncio.to_thread(client.call, "to", {"peer": "desktop", "session": record.id}))
        await until(lambda: role(laptop) is Role.FROZEN)
        assert client.give_up()
        assert (await calling)["outcome"] == outcome


async def reviewed_there(devices: Devices, folder: Path) -> tuple[Agent, asyncio.Task[Report]]:
    """The laptop has offered its session, and a person is asked at the desktop, which is returned."""
    laptop, desktop = await start_both(devices, asks=True)
    await laptop.start([folder])
    asked = asyncio.create_task(event(desktop, "request"))
    handing = asyncio.create_task(laptop.to("desktop"))
    await asked
    return desktop, handing


async def test_an_agent_that_stops_before_a_grant_leaves_the_session_where_it_is_and_says_so(
    devices: Devices, folder: Path
) -> None:
    _, handing = await reviewed_there(devices, folder)
    await devices.stop("laptop")
    with pytest.raises(StoppedError, match="agent stopped") as caught:
        await handing
    assert caught.value.exit_code is ExitCode.STOPPED
    assert "unchanged and still here" in caught.value.sentence
    laptop = await devices.start("laptop")
    assert role(laptop) is Role.PRIMARY


async def test_the_other_device_hears_that_an_agent_stops_and_asks_nobody_any_more(
    devices: Devices, folder: Path
) -> None:
    desktop, handing = await reviewed_there(devices, folder)
    await devices.stop("laptop")
    await until(lambda: not desktop.pending())
    await asyncio.gather(handing, return_exceptions=True)


async def test_an_agent_that_stops_while_it_awaits_an_answer_says_that_the_session_is_in_doubt(
    devices: Devices, folder: Path
) -> None:
    laptop, desktop = await start_both(devices, asks=False)
    lose(laptop, msg.Accepted, msg.Resumed, msg.News, sender=desktop)
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await until(lambda: bool(desktop.sessions()))
    await devices.stop("laptop")
    report = await handing
    assert (report.outcome, report.exit_code) == ("in-doubt", ExitCode.IN_DOUBT)
    assert "stopped before desktop answered" in report.text


async def test_an_agent_that_stops_while_something_arrives_says_that_it_stays_where_it_was(
    devices: Devices, folder: Path
) -> None:
    laptop, desktop = await start_both(devices, asks=False)
    record = await laptop.start([folder])
    deaf_to(desktop, msg.Round)
    taking = asyncio.create_task(desktop.take(record.id, peer="laptop"))
    await until(
        lambda: [item.machine.state for item in desktop.handoffs._under_way.incoming.values()] == [TargetState.COPYING]
    )
    await devices.stop("desktop")
    report = await taking
    assert isinstance(report.error, StoppedError)
    assert report.exit_code == ExitCode.STOPPED
    assert "stays where it was" in report.text


@pytest.mark.parametrize("granted", [False, True])
async def test_a_command_of_an_agent_that_is_stopped_says_how_it_stands(
    devices: Devices, folder: Path, monkeypatch: pytest.MonkeyPatch, *, granted: bool
) -> None:
    laptop, desktop = await start_both(devices, asks=not granted)
    monkeypatch.setattr(giving_up, "CANCEL_FOR", 0.1 if granted else 5.0)
    deaf_to(desktop, msg.Grant, msg.Query)
    record = await laptop.start([folder])
    path = laptop.home.path / "control.sock"
    async with ControlServer(path, handlers(laptop, lambda: None)):
        call = Client(path).call
        calling = asyncio.create_task(asyncio.to_thread(call, "to", {"peer": "desktop", "session": record.id}))
        await until(lambda: role(laptop) is Role.FROZEN if granted else bool(desktop.pending()))
    if granted:
        assert (await calling)["exit_code"] == ExitCode.IN_DOUBT
        return
    with pytest.raises(StoppedError) as caught:
        await calling
    assert "unchanged and still here" in caught.value.sentence
    assert role(laptop) is Role.PRIMARY


async def test_a_client_that_gives_up_before_anything_began_hears_that_it_is_cancelled(devices: Devices) -> None:
    laptop = await devices.start("laptop")
    path = laptop.home.path / "control.sock"
    started: list[str] = []
    async with ControlServer(path, handlers(laptop, lambda: None)):
        client = Client(path)
        calling = asyncio.create_task(
            asyncio.to_thread(client.call, "link", {}, on_event=lambda name, _: started.append(name))
        )
        await until(lambda: bool(started))
        assert client.give_up()
        with pytest.raises(CancelledError):
            await calling


async def test_a_target_s_disk_that_hangs_does_not_hang_the_person_who_cancels_there(
    devices: Devices, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = await start_both(devices, asks=False)
    monkeypatch.setattr(incoming, "CLEAN_FOR", 0.1)
    hanging, gate = threading.Event(), threading.Event()
    put = FolderStaging.put

    def hang(staging: FolderStaging, name: Digest, data: bytes) -> object:
        hanging.set()
        gate.wait(30)
        return put(staging, name, data)

    with monkeypatch.context() as broken:
        broken.setattr(FolderStaging, "put", hang)
        pushing = asyncio.create_task(pushed(laptop, folder))
        await asyncio.to_thread(hanging.wait, 10)
        (arriving,) = desktop.handoffs._under_way.incoming.values()
        arriving.cancel("cancelled by the user")
        assert (await arriving.report).outcome == "cancelled"
        assert (await pushing).outcome == "cancelled"
        gate.set()
    await until(lambda: not stagings(desktop))
    assert (await laptop.to("desktop")).outcome == "done"
