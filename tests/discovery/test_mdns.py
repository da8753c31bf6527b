# SPDX-License-Identifier: Apache-2.0
"""Discovery on loopback alone; between hosts it is tested in tests/network/test_discovery.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from ipaddress import ip_interface

import pytest
from zeroconf import DNSQuestionType, ServiceStateChange
from zeroconf._protocol.outgoing import DNSOutgoing
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from p2p_handoff.discovery.addresses import Interface
from p2p_handoff.discovery.announcement import (
    SERVICE_TYPE,
    Announcement,
    Audience,
    Sighting,
    instance_label,
    txt_record,
)
from p2p_handoff.discovery.appearance import ROTATION
from p2p_handoff.discovery.mdns import Discovery
from p2p_handoff.discovery.veil import MAX_TAGS, Acquaintances
from p2p_handoff.ids import DeviceId, RoomId, device_id

LO = Interface(1, "lo", (ip_interface("127.0.0.1/8"),))
LAPTOP = Announcement(device_id(b"laptop"), "laptop", 4711, 1)
DESKTOP = Announcement(device_id(b"desktop"), "desktop", 4712, 1)
ROOM = (RoomId("abcdefghijklmnopqrstuvwxyz"), 42)
PATIENCE = 10.0
STRANGER = Acquaintances(DeviceId(""), {})
PAIR_KEY = b"k" * 32
KNOWS_DESKTOP = Acquaintances(LAPTOP.device, {DESKTOP.device: PAIR_KEY})
KNOWS_LAPTOP = Acquaintances(DESKTOP.device, {LAPTOP.device: PAIR_KEY})
HIDDEN = replace(DESKTOP, audience=Audience.LINKED)
SEEN = Sighting(DESKTOP.device, "", 1, ("127.0.0.1",), 4712, recognised=True)


class Watcher:
    """Discovery and a queue of what it told."""

    def __init__(self, *interfaces: Interface, rotation: float = ROTATION) -> None:
        self.interfaces = interfaces
        self.told: asyncio.Queue[Sighting | DeviceId] = asyncio.Queue()
        self.discovery = Discovery(
            self.told.put_nowait,
            self.told.put_nowait,
            interfaces=lambda: self.interfaces,
            poll_interval=0.1,
            rotation=rotation,
        )

    async def next(self) -> Sighting | DeviceId:
        return await asyncio.wait_for(self.told.get(), PATIENCE)


Start = Callable[..., "asyncio.Future[Watcher]"]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts discovery on loopback."""
    watchers: list[Watcher] = []

    async def begin(
        announcement: Announcement | None,
        *interfaces: Interface,
        known: Acquaintances = STRANGER,
        rotation: float = ROTATION,
    ) -> Watcher:
        watcher = Watcher(*(interfaces or (LO,)), rotation=rotation)
        watchers.append(watcher)
        await watcher.discovery.start(announcement, known)
        return watcher

    yield lambda *arguments, **options: asyncio.ensure_future(begin(*arguments, **options))
    await asyncio.gather(*(watcher.discovery.close() for watcher in watchers))


async def test_a_browser_that_advertises_nothing_finds_a_device(start: Start) -> None:
    await start(DESKTOP)
    browser = await start(None)
    expected = Sighting(DESKTOP.device, "desktop", 1, ("127.0.0.1",), 4712)
    assert await browser.next() == expected
    assert browser.discovery.sightings == {DESKTOP.device: expected}
    assert browser.discovery.problem is None


async def test_a_device_does_not_find_itself(start: Start) -> None:
    laptop = await start(LAPTOP)
    await start(DESKTOP)
    await laptop.next()
    assert list(laptop.discovery.sightings) == [DESKTOP.device]


async def test_a_room_opened_right_after_the_start_is_what_remains_seen(start: Start) -> None:
    browser = await start(None)
    desktop = await start(DESKTOP)
    await desktop.discovery.update(replace(DESKTOP, room=ROOM), STRANGER)
    while True:
        seen = await browser.next()
        if isinstance(seen, Sighting) and seen.room == ROOM:
            break
    await asyncio.sleep(0.8)  # an older series of announcements would have been repeated by now
    assert browser.discovery.sightings[DESKTOP.device].room == ROOM


async def test_an_answer_that_was_put_off_does_not_take_a_room_back(start: Start) -> None:
    """Who asks within a second of an announcement is answered a second later: with what holds then (RFC 6762 §6)."""
    desktop = await start(HIDDEN)
    await asyncio.sleep(0.6)  # the announcements are over
    browser = await start(None)
    await asyncio.sleep(0.5)  # it has asked
    await desktop.discovery.update(replace(HIDDEN, room=ROOM), STRANGER)
    await room_seen(browser)
    await asyncio.sleep(1.5)  # the answer has come
    assert [seen.room for seen in browser.discovery.rooms] == [ROOM]


async def test_a_room_that_is_closed_at_once_is_seen_no_longer(start: Start) -> None:
    """What is said then was said and replaced a moment ago, and is news all the same (RFC 6762 §10.2)."""
    desktop, browser = await start(HIDDEN), await start(None)
    await known_to(browser)
    await desktop.discovery.update(replace(HIDDEN, room=ROOM), STRANGER)
    await room_seen(browser)
    await desktop.discovery.update(HIDDEN, STRANGER)
    async with asyncio.timeout(PATIENCE):
        while browser.discovery.rooms:  # noqa: ASYNC110 - strangers are told to nobody
            await asyncio.sleep(0.01)


async def room_seen(watcher: Watcher) -> None:
    async with asyncio.timeout(PATIENCE):
        while not watcher.discovery.rooms:  # noqa: ASYNC110 - strangers are told to nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("said", [DESKTOP, HIDDEN])
async def test_a_room_whose_announcements_were_lost_is_found_by_who_looks(
    start: Start, monkeypatch: pytest.MonkeyPatch, said: Announcement
) -> None:
    desktop, browser = await start(said), await start(None)
    await known_to(browser)
    with monkeypatch.context() as cut:
        lost = lose_what_is_sent(desktop, cut)
        await desktop.discovery.update(replace(said, room=ROOM), STRANGER)
        await asyncio.gather(*desktop.discovery._publisher.sending())
        assert len(lost) >= 3
    assert not browser.discovery.rooms
    browser.discovery.look()
    await room_seen(browser)


async def known_to(watcher: Watcher) -> None:
    async with asyncio.timeout(PATIENCE):
        while not watcher.discovery._book.instances:  # noqa: ASYNC110 - strangers are told to nobody
            await asyncio.sleep(0.01)


def lose_what_is_sent(watcher: Watcher, cut: pytest.MonkeyPatch) -> list[DNSOutgoing]:
    """Nothing of what a device sends arrives; returns what it tried to send."""
    speaker = watcher.discovery._zeroconf
    assert speaker is not None
    lost: list[DNSOutgoing] = []
    cut.setattr(speaker.zeroconf, "async_send", lambda out, *_arguments: lost.append(out))
    return lost


async def test_a_withdrawn_announcement_is_lost(start: Start) -> None:
    browser, desktop = await start(None), await start(DESKTOP)
    await browser.next()
    await desktop.discovery.update(None, STRANGER)
    assert await browser.next() == DESKTOP.device


async def test_a_new_display_name_is_still_one_device(start: Start) -> None:
    browser, desktop = await start(None), await start(DESKTOP)
    await browser.next()
    await desktop.discovery.update(replace(DESKTOP, name="study"), STRANGER)
    while (seen := await browser.next()) and not (isinstance(seen, Sighting) and seen.name == "study"):
        pass
    assert list(browser.discovery.sightings) == [DESKTOP.device]


async def test_without_an_interface_the_problem_is_said_in_words_and_ends_with_one(start: Start) -> None:
    await start(DESKTOP)
    laptop = await start(None)
    laptop.interfaces = ()
    await laptop.discovery.refresh_interfaces()
    assert "no network interface" in (laptop.discovery.problem or "")
    laptop.interfaces = (LO,)
    await laptop.discovery.refresh_interfaces()
    assert laptop.discovery.problem is None
    assert isinstance(await laptop.next(), Sighting)


async def test_an_interface_that_vanished_meanwhile_is_no_error(start: Start) -> None:
    gone = Interface(99, "gone0", (ip_interface("192.0.2.99/24"), ip_interface("fe80::99/64")))
    laptop = await start(LAPTOP, gone)
    laptop.interfaces = (LO,)
    await laptop.discovery.refresh_interfaces()
    assert laptop.discovery.problem is None


async def test_an_announcement_that_contradicts_itself_is_ignored_and_counted(start: Start) -> None:
    browser = await start(None)
    liar = AsyncZeroconf(interfaces=["127.0.0.1"])
    lie = AsyncServiceInfo(
        SERVICE_TYPE,
        f"{instance_label(DESKTOP)}.{SERVICE_TYPE}",
        port=1,
        properties=dict(txt_record(DESKTOP)),
        server="somebody-else.local.",
        parsed_addresses=["127.0.0.1"],
    )
    await liar.async_register_service(lie, cooperating_responders=True)
    while browser.discovery.ignored == 0:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.01)
    assert not browser.discovery.sightings
    await liar.async_close()


async def test_closing_twice_or_before_starting_is_no_error() -> None:
    watcher = Watcher(LO)
    await watcher.discovery.close()
    await watcher.discovery.start(LAPTOP, STRANGER)
    await watcher.discovery.close()
    await watcher.discovery.close()


class Eavesdropper:
    """Everything that is announced on loopback, in the order of its coming: names of instances."""

    def __init__(self) -> None:
        self.zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
        self.heard: list[str] = []
        self.changed = asyncio.Event()
        self.browser = AsyncServiceBrowser(
            self.zeroconf.zeroconf, SERVICE_TYPE, handlers=[self.notice], question_type=DNSQuestionType.QM
        )

    def notice(self, name: str, state_change: ServiceStateChange, **_: object) -> None:
        if state_change is ServiceStateChange.Added:
            self.heard.append(name)
            self.changed.set()

    async def names(self, count: int) -> list[str]:
        """Wait until that many names were heard."""
        async with asyncio.timeout(PATIENCE):
            while len(self.heard) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.heard

    async def close(self) -> None:
        await self.browser.async_cancel()
        await self.zeroconf.async_close()


@pytest.fixture
async def eavesdropper() -> AsyncIterator[Eavesdropper]:
    made = Eavesdropper()
    yield made
    await made.close()


async def test_a_hidden_device_is_found_by_its_acquaintance_and_by_nobody_else(
    start: Start, eavesdropper: Eavesdropper
) -> None:
    laptop, stranger = await start(None, known=KNOWS_DESKTOP), await start(None)
    await start(HIDDEN, known=KNOWS_LAPTOP)
    assert await laptop.next() == SEEN
    (name,) = await eavesdropper.names(1)
    assert "desktop" not in name
    assert DESKTOP.device[:6] not in name
    assert not stranger.discovery.sightings
    assert stranger.told.empty()
    assert stranger.discovery.ignored == 0


async def test_a_device_that_changes_its_name_stays_in_sight(start: Start, eavesdropper: Eavesdropper) -> None:
    laptop = await start(None, known=KNOWS_DESKTOP)
    await start(HIDDEN, known=KNOWS_LAPTOP, rotation=0.5)
    names = await eavesdropper.names(4)
    assert len(set(names)) == len(names)
    assert await laptop.next() == SEEN
    assert laptop.told.empty(), "neither lost nor found again"
    assert laptop.discovery.sightings == {DESKTOP.device: SEEN}


async def test_a_change_of_network_changes_the_name(start: Start, eavesdropper: Eavesdropper) -> None:
    desktop = await start(HIDDEN, known=KNOWS_LAPTOP)
    await eavesdropper.names(1)
    other = Interface(99, "gone0", (ip_interface("192.0.2.99/24"),))
    desktop.interfaces = (LO, other)
    await desktop.discovery.refresh_interfaces()
    first, second = await eavesdropper.names(2)
    assert first != second


async def test_who_was_a_stranger_is_recognised_once_there_is_a_link(start: Start) -> None:
    laptop = await start(None)
    desktop = await start(HIDDEN)
    await desktop.discovery.update(HIDDEN, KNOWS_LAPTOP)
    await laptop.discovery.update(None, KNOWS_DESKTOP)
    assert await laptop.next() == SEEN
    await laptop.discovery.update(None, STRANGER)
    assert await laptop.next() == DESKTOP.device


async def test_a_room_of_a_stranger_is_in_sight(start: Start) -> None:
    laptop = await start(None)
    await start(replace(HIDDEN, room=ROOM))
    await room_seen(laptop)
    (stranger,) = laptop.discovery.rooms
    assert (stranger.room, stranger.port, stranger.addresses) == (ROOM, 4712, ("127.0.0.1",))
    assert not laptop.discovery.sightings


async def test_from_everyone_to_linked_the_name_goes(start: Start) -> None:
    stranger, laptop = await start(None), await start(None, known=KNOWS_DESKTOP)
    desktop = await start(DESKTOP)
    assert isinstance(await stranger.next(), Sighting)
    assert await laptop.next() == Sighting(DESKTOP.device, "desktop", 1, ("127.0.0.1",), 4712)
    await desktop.discovery.update(HIDDEN, KNOWS_LAPTOP)
    assert await stranger.next() == DESKTOP.device
    assert await laptop.next() == SEEN
    assert laptop.told.empty()


async def test_a_device_with_as_many_links_as_there_are_tags_is_found_by_the_last_of_them(start: Start) -> None:
    laptop = await start(None, known=KNOWS_DESKTOP)
    others = {device_id(str(number).encode()): PAIR_KEY for number in range(MAX_TAGS - 1)}
    await start(HIDDEN, known=Acquaintances(DESKTOP.device, others | dict(KNOWS_LAPTOP.keys)))
    assert await laptop.next() == SEEN


async def test_strangers_are_asked_again_like_acquaintances(start: Start) -> None:
    """Or whoever listens to the questions would see who is recognised."""
    laptop = await start(None)
    desktop = await start(HIDDEN)
    await known_to(laptop)
    assert not laptop.discovery.sightings
    await desktop.discovery.update(None, STRANGER)
    async with asyncio.timeout(PATIENCE):
        while laptop.discovery._book.instances:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.01)
