# SPDX-License-Identifier: Apache-2.0
"""A device that is lost: one own device revokes it, all hear of it, and nothing that it ever said counts again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from p2p_handoff.agent import sealed_offers
from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.security.identity import PublicIdentity
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.store.home import Home
from p2p_handoff.store.records import LinkedDevice
from p2p_handoff.store.store import open_store
from tests.agent.devices import Devices, fill, introduce, link_by_code, meet, until
from tests.attack.attack import Attack, Seen, hold
from tests.attack.speaker import Speaker
from tests.attack.victim import Victim, configure

_DIALS: Final = 3
_REPLAYED: Final = (msg.Init, msg.Request, msg.Round, msg.Ready, msg.Grant, msg.Query, msg.Take, msg.Accepted)
"""What moves a session, or asks for one."""
_SETTLED: Final = 1.0
"""Seconds for what was replayed to have an effect, if it has one."""


@contextmanager
def _recording(peer: DeviceId) -> Iterator[list[msg.Message]]:
    """What is sent to a device from this process."""
    said: list[msg.Message] = []
    honest = Wire.send

    def send(wire: Wire, message: msg.Message) -> None:
        if wire.peer == peer and isinstance(message, _REPLAYED):
            said.append(message)
        honest(wire, message)

    Wire.send = send  # type: ignore[assignment,method-assign]  # an ear between the agent and its wire
    try:
        yield said
    finally:
        Wire.send = honest  # type: ignore[method-assign]  # as it was


async def _as_process(devices: Devices, root: Path, agent: Agent) -> Victim:
    """The same device as a process of its own."""
    port = agent.port
    await devices.stop(agent.name)
    home = root / agent.name / "home"
    received = str(root / agent.name / "received")
    settings = {"name": agent.name, "receive_dir": received, "mdns": False, "engine": "aiortc", "port": port}
    configure(home, settings)
    victim = Victim(home, ())
    await victim.start()
    return victim


async def _circle(devices: Devices) -> tuple[Agent, Agent, Agent, Agent]:
    """Three devices of one person, linked by two codes, and somebody else's."""
    desktop = await devices.start("desktop")
    known = (f"127.0.0.1:{desktop.port}",)
    laptop = await devices.start("laptop", peers=known)
    lost = await devices.start("lost", peers=known)
    stranger = await devices.start("stranger")
    for joiner in (laptop, lost):
        await link_by_code(desktop, joiner)
        await meet(joiner, desktop)
    introduce(desktop, stranger, LinkKind.OTHER)
    await until(lambda: laptop.store.links.get(lost.device) is not None, 20)
    await until(lambda: lost.store.links.get(laptop.device) is not None, 20)
    for one, other in ((lost, laptop), (laptop, lost), (laptop, desktop), (desktop, laptop)):
        one.store.addresses.remember(other.device, f"ws://127.0.0.1:{other.port}/v1", at=time.time())
    return desktop, laptop, lost, stranger


async def _there_and_back(lost: Agent, desktop: Victim, folder: Path) -> SessionId:
    """The lost device hands a session over, takes it, hands it over; from there it goes on."""
    report = await lost.to("desktop", folder)
    session = SessionId(report.session)
    for ended in (report, await lost.take(session, peer="desktop"), await lost.to("desktop", session)):
        hold(ended.outcome == "done", f"before the loss: {ended.text}")
    await desktop.call("to", peer="laptop", session=session)
    return session


async def _replay(speaker: Speaker, said: Sequence[msg.Message]) -> None:
    for message in said:
        with contextlib.suppress(HandoffError):
            await speaker.message(message)
    await asyncio.sleep(_SETTLED)


async def _standing(victim: Victim, session: SessionId) -> dict[str, Any]:
    known = {item["session"]: item for item in (await victim.call("sessions"))["sessions"]}
    kept = {key: known[session][key] for key in ("role", "epoch", "primary", "root")}
    waiting = (await victim.call("requests"))["requests"]
    return {**kept, "sessions": len(known), "requests": [item["title"] for item in waiting]}


async def _opened(lost: Agent, device: DeviceId) -> int:
    opened = 0
    for _ in range(_DIALS):
        with contextlib.suppress(HandoffError):
            await lost.parts.dialer.connect(device)
            opened += 1
    return opened


async def _linked_anew(desktop: Victim, lost: Agent, public: PublicIdentity) -> Wire:
    """A person links the device again, as somebody else's: now it is heard."""
    found = LinkedDevice(lost.device, lost.identity.public.to_bytes(), "found", LinkKind.OTHER, time.time())
    await desktop.stop()
    with contextlib.closing(open_store(Home(desktop.home).database, public.device)) as store:
        store.links.readmit(found)
    await desktop.start()
    lost.store.links.readmit(LinkedDevice(public.device, public.to_bytes(), "desktop", LinkKind.OTHER, time.time()))
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(HandoffError):
                return await lost.parts.dialer.connect(public.device)
            await asyncio.sleep(0.05)


async def circle(root: Path) -> Seen:
    """A device of three is revoked by another one; it goes on, is quoted by a stranger, and comes back as one."""
    sealed_offers.ANSWER_DEADLINE = 1.0  # in this process alone
    async with Devices(root) as devices:
        first, second, lost, stranger = await _circle(devices)
        desktop_id, laptop_id = first.device, second.device
        desktop, laptop = await _as_process(devices, root, first), await _as_process(devices, root, second)
        try:
            with _recording(desktop_id) as said:
                session = await _there_and_back(lost, desktop, fill(root / "lost" / "plans", {"a": b"b"}))
            was = await _standing(desktop, session)
            wires = [await lost.parts.dialer.connect(device) for device in (desktop_id, laptop_id)]
            await laptop.call("unlink", peer="lost")
            async with asyncio.timeout(20):
                for wire in wires:
                    await wire.wait_closed()
            for victim in (desktop, laptop):
                names = [peer["name"] for peer in (await victim.call("peers"))["peers"]]
                hold("lost" not in names, f"a device still knows the revoked one: {names}")
            opened = await _opened(lost, desktop_id) + await _opened(lost, laptop_id)
            hold(opened == 0, f"{opened} connections opened with revoked keys")
            await _replay(Speaker(await stranger.parts.dialer.connect(desktop_id)), said)
            hold(await _standing(desktop, session) == was, "what the revoked device had said counted for a stranger")
            await _replay(Speaker(await _linked_anew(desktop, lost, first.identity.public)), said)
            hold(await _standing(desktop, session) == was, "what the device had said before counted again")
            for victim in (desktop, laptop):
                await victim.check_sound()
        finally:
            await desktop.stop()
            await laptop.stop()
    kinds = {type(message).__name__ for message in said}
    hold({"Grant", "Take", "Init"} <= kinds, f"only {sorted(kinds)} were recorded")
    return Seen(
        f"revoked at one, cut off at both of the others; {2 * _DIALS} dials with its keys: 0 connections; {len(said)} "
        f"of its messages ({', '.join(sorted(kinds))}) replayed by a stranger and by itself, linked anew: no effect"
    )


ATTACKS: Final = (
    Attack(
        "revoked-circle",
        "revoked own device",
        "is revoked by one of two others, dials both, and its old grants, takes and offers are replayed",
        "cut off by both at once, 0 connections, 0 effects",
        circle,
    ),
)
