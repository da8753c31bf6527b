# SPDX-License-Identifier: Apache-2.0
"""Own devices form a circle: one code brings a device to all of them, and one word takes it from all of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

import pytest

from p2p_handoff.agent.agent import Agent
from p2p_handoff.errors import NotFoundError, TrustError, UnreachableError, UsageError
from p2p_handoff.protocol.messages import CircleNews
from p2p_handoff.security.circle_acts import admit
from p2p_handoff.security.link_terms import LinkKind, LinkResult
from p2p_handoff.testing.device import Device
from p2p_handoff.testing.homes import identity
from p2p_handoff.testing.simulation import Simulation

NAMES = ("desktop", "laptop", "phone", "tablet", "studio", "office", "kitchen", "van", "attic")


async def link(one: Device, other: Device, kind: LinkKind = LinkKind.OWN) -> None:
    """Link two simulated devices by a real code."""
    shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def show(code: str) -> None:
        shown.set_result(code)

    async def decide(_result: LinkResult) -> LinkKind:
        return kind

    opening = asyncio.ensure_future(one.do(one.agent.link(on_code=show, decide=decide)))
    await other.do(other.agent.link(await shown, decide=decide))
    await opening


def own(agent: Agent) -> set[str]:
    """Names of the own devices that an agent knows."""
    return {link.name for link in agent.store.links.all() if link.kind is LinkKind.OWN}


async def settled(devices: list[Device]) -> None:
    """Wait until every device knows all others as its own."""
    names = {device.name for device in devices}
    async with asyncio.timeout(600):
        while any(own(device.agent) != names - {device.name} for device in devices):  # noqa: ASYNC110 - rows of stores
            await asyncio.sleep(1)


def names_linked(device: Device) -> set[str]:
    return {link.name for link in device.agent.store.links.all()}


def told(device: Device, event: str) -> list[str]:
    """The sentences of the events of one name so far."""
    return [str(fields["text"]) for name, fields in device.occurrences if name == event]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not true():  # noqa: ASYNC110 - rows of stores
            await asyncio.sleep(0.1)


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    with Simulation(seed=5) as made:
        yield made


def alone(simulation: Simulation, *names: str) -> list[Device]:
    """Devices that know nobody."""
    return [simulation.devices(name)[0] for name in names]


async def meet(one: Device, other: Device) -> None:
    """Connect two devices that are linked, as soon as they see each other."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(UnreachableError):
                await one.do(one.agent.parts.dialer.connect(other.id))
                return
            await asyncio.sleep(0.5)


def test_nine_own_devices_need_eight_codes_and_each_then_hands_a_session_to_each() -> None:
    with Simulation(seed=9) as simulation:
        devices = [simulation.devices(name)[0] for name in NAMES]

        async def story() -> None:
            for device in devices:
                await device.start()
            for device in devices[1:]:
                await link(devices[0], device)
            await settled(devices)
            for source in devices:
                path = source.things / "work"
                source.write(path / "notes.txt", source.name.encode())
                session = (await source.begin(path)).id
                at = source
                for target in [device for device in devices if device is not source]:
                    assert (await at.to(target, session)).outcome == "done"
                    at = target

        simulation.run(story())


@pytest.mark.parametrize("absent", [0, 1])
def test_devices_that_met_in_any_order_come_to_know_each_other(simulation: Simulation, absent: int) -> None:
    """desktop-laptop, then laptop-phone while the desktop is away; the desktop then meets either of the two."""
    desktop, laptop, phone = alone(simulation, "desktop", "laptop", "phone")

    async def story() -> None:
        for device in (desktop, laptop):
            await device.start()
        await link(desktop, laptop)
        await settled([desktop, laptop])
        await desktop.stop()
        await phone.start()
        await link(laptop, phone)
        await settled_but(desktop, [laptop, phone], {"desktop", "laptop", "phone"})
        away, here = (laptop, phone) if absent else (phone, laptop)
        await away.stop()
        await desktop.start()
        if here is laptop:
            await meet(desktop, laptop)
            await until(lambda: own(desktop.agent) == {"laptop", "phone"})
            return
        # The phone knows the desktop's keys, and the desktop not yet the phone's: the laptop's word has to come first.
        with pytest.raises(UnreachableError):
            await phone.do(phone.agent.parts.dialer.connect(desktop.id))
        await laptop.start()
        await meet(laptop, desktop)
        await settled([desktop, laptop, phone])

    simulation.run(story())


async def settled_but(away: Device, devices: list[Device], names: set[str]) -> None:
    await until(lambda: all(own(device.agent) == names - {device.name} for device in devices))
    assert not away.is_running


def test_a_person_is_told_who_introduced_whom_and_how_to_undo_it(simulation: Simulation) -> None:
    desktop, laptop, phone = alone(simulation, "desktop", "laptop", "phone")

    async def story() -> None:
        await start_circle(desktop, laptop, phone)
        assert told(laptop, "introduced") == [
            "desktop introduced phone as your own device; if that was not you: handoff unlink 'phone'"
        ]
        peers = {peer.name: peer.introduced_by for peer in laptop.agent.discover()}
        assert peers == {"desktop": "", "phone": "desktop"}

    simulation.run(story())


async def start_circle(first: Device, *others: Device) -> None:
    """Start devices and link each with the first one."""
    for device in (first, *others):
        await device.start()
    for device in others:
        await link(first, device)
    await settled([first, *others])


def test_a_revocation_reaches_all_at_once_and_the_device_itself(simulation: Simulation) -> None:
    desktop, laptop, phone = alone(simulation, "desktop", "laptop", "phone")

    async def story() -> None:
        await start_circle(desktop, laptop, phone)
        await meet(laptop, phone)
        await meet(laptop, desktop)
        await meet(desktop, phone)
        await laptop.do(laptop.agent.unlink("phone"))
        await until(lambda: own(desktop.agent) == {"laptop"} and not own(phone.agent))
        await until(lambda: not phone.agent.parts.dialer.wires())
        assert {wire.peer for wire in desktop.agent.parts.dialer.wires()} == {laptop.id}
        assert told(desktop, "unlinked") == ["laptop unlinked phone, so it is linked no more here"]
        assert all("laptop says that this device is not yours any more" in text for text in told(phone, "unlinked"))
        with pytest.raises(NotFoundError):
            await desktop.to(phone, "anything")

    simulation.run(story())


def test_a_revocation_reaches_a_device_that_was_away_and_lasts_over_restarts(simulation: Simulation) -> None:
    desktop, laptop, phone = alone(simulation, "desktop", "laptop", "phone")

    async def story() -> None:
        await start_circle(desktop, laptop, phone)
        await desktop.stop()
        await laptop.do(laptop.agent.unlink("phone"))
        await desktop.start()
        assert own(desktop.agent) == {"laptop", "phone"}
        await meet(desktop, laptop)
        await until(lambda: own(desktop.agent) == {"laptop"})
        for device in (desktop, laptop):
            await device.stop()
            await device.start()
        assert [own(device.agent) for device in (desktop, laptop)] == [{"laptop"}, {"desktop"}]

    simulation.run(story())


def test_a_revoked_device_that_is_linked_anew_is_everybodys_again(simulation: Simulation) -> None:
    desktop, laptop, phone = alone(simulation, "desktop", "laptop", "phone")

    async def story() -> None:
        await start_circle(desktop, laptop, phone)
        await laptop.do(laptop.agent.unlink("phone"))
        await until(lambda: own(desktop.agent) == {"laptop"} and not own(phone.agent))
        await link(desktop, phone)
        await settled([desktop, laptop, phone])

    simulation.run(story())


def test_a_stolen_device_that_revokes_everybody_is_disowned_and_the_others_are_back(simulation: Simulation) -> None:
    desktop, laptop, phone = alone(simulation, "desktop", "laptop", "phone")

    async def story() -> None:
        await start_circle(desktop, laptop, phone)
        for device in (desktop, laptop):
            await phone.do(phone.agent.unlink(device.name))
        await until(lambda: not own(desktop.agent) and not own(laptop.agent))
        for device in (desktop, laptop):
            await device.do(device.agent.unlink("phone", disown=True))
        await until(lambda: own(desktop.agent) == {"laptop"} and own(laptop.agent) == {"desktop"})
        await meet(laptop, desktop)

    simulation.run(story())


def test_someone_elses_device_is_introduced_to_nobody_and_introduces_nobody(simulation: Simulation) -> None:
    desktop, laptop, guest = alone(simulation, "desktop", "laptop", "guest")

    async def story() -> None:
        await start_circle(desktop, laptop)
        await guest.start()
        await link(desktop, guest, LinkKind.OTHER)
        await meet(desktop, laptop)
        await meet(guest, desktop)
        wire = await guest.do(guest.agent.parts.dialer.connect(desktop.id))
        forged = admit(guest.agent.identity, identity("mallory").public, "mallory", 1)
        guest.call(lambda _agent: wire.send(CircleNews(tuple(signed.to_bytes() for signed in forged), ())))
        path = guest.things / "notes"
        guest.write(path / "a.txt", b"a")  # What comes after the message has been dealt with after it.
        await guest.begin(path)
        await asyncio.sleep(30)
        assert names_linked(laptop) == {"desktop"}
        assert names_linked(desktop) == {"laptop", "guest"}
        assert names_linked(guest) == {"desktop"}
        assert not [fields for name, fields in guest.occurrences if name == "introduced"]

    simulation.run(story())


def test_a_device_that_was_unlinked_while_it_was_away_is_told_when_it_dials(simulation: Simulation) -> None:
    desktop, guest = alone(simulation, "desktop", "guest")

    async def story() -> None:
        for device in (desktop, guest):
            await device.start()
        await link(desktop, guest, LinkKind.OTHER)
        await guest.stop()
        await desktop.do(desktop.agent.unlink("guest"))
        await guest.start()
        with pytest.raises(TrustError, match="does not trust this one any more"):
            await meet(guest, desktop)
        assert not names_linked(guest)
        assert told(guest, "unlinked") == [
            "desktop does not trust this device any more, so it is linked no more here; link them again by code"
        ]

    simulation.run(story())


def test_a_device_that_calls_itself_like_another_is_told_apart(simulation: Simulation) -> None:
    desktop, laptop, phone = alone(simulation, "desktop", "laptop", "phone")
    phone.settings["name"] = "L\u0430ptop\u200b"  # A Cyrillic letter, and one that is not seen.

    async def story() -> None:
        for device in (desktop, laptop, phone):
            await device.start()
        await link(desktop, laptop)
        await link(desktop, phone)
        await until(lambda: len(own(desktop.agent)) == 2)
        assert "laptop" in own(desktop.agent)
        assert any(name.endswith(f"({phone.id[:8]})") for name in own(desktop.agent))
        with pytest.raises(UsageError, match="looks like 'laptop'"):
            desktop.call(lambda agent: agent.rename(phone.id, "l\u0430ptop"))
        desktop.call(lambda agent: agent.rename(phone.id, "phone"))
        assert own(desktop.agent) == {"laptop", "phone"}

    simulation.run(story())
