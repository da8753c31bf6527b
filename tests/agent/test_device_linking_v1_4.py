# SPDX-License-Identifier: Apache-2.0
"""Devices of one person or of two: linking, unlinking, versions, and sessions in the local database."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from p2p_handoff import (
    LinkCodeError,
    LinkKind,
    NotFoundError,
    RejectedError,
    TrustError,
    VersionError,
)
from p2p_handoff.agent.agent import Agent
from p2p_handoff.limits import MAX_BURNT_CODES
from p2p_handoff.protocol.connection import PROTOCOL_VERSIONS
from p2p_handoff.security.link_terms import LinkResult, Purpose
from tests.agent.devices import Devices, Pair, event, fill, introduce, link_by_code, tree, until

FILES = {"notes.txt": b"one\n"}
NEWER = (max(PROTOCOL_VERSIONS) + 1,)


@pytest.fixture
async def strangers(devices: Devices) -> Pair:
    """Two agents that never met; the laptop was told where the desktop listens."""
    desktop = await devices.start("desktop")
    return Pair(await devices.start("laptop", peers=(f"127.0.0.1:{desktop.port}",)), desktop)


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


async def own(_result: LinkResult) -> LinkKind:
    return LinkKind.OWN


async def opened_code(agent: Agent) -> tuple[str, asyncio.Task[object]]:
    """A fresh code, and the task that waits for the other device."""
    shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def show(code: str) -> None:
        shown.set_result(code)

    opening: asyncio.Task[object] = asyncio.ensure_future(_link(agent, show))
    return await shown, opening


async def _link(agent: Agent, show: object) -> object:
    return await agent.link(on_code=show, decide=own)  # type: ignore[arg-type]  # a plain coroutine function


async def test_a_code_links_both_devices_and_a_handoff_follows(strangers: Pair, folder: Path) -> None:
    laptop, desktop = strangers
    await link_by_code(desktop, laptop)
    assert [(peer.name, peer.linked) for peer in laptop.discover()] == [("desktop", "own")]
    assert [(peer.name, peer.linked) for peer in desktop.discover()] == [("laptop", "own")]
    assert (await laptop.to("desktop", folder)).outcome == "done"
    assert tree(desktop.settings.receive_dir / "project") == FILES


async def test_a_copy_for_once_leaves_the_link_of_two_devices_as_it_is(strangers: Pair) -> None:
    laptop, desktop = strangers
    await link_by_code(desktop, laptop)
    before = [agent.store.links.all()[0].kind for agent in strangers]
    shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def show(code: str) -> None:
        shown.set_result(code)

    async def other(_result: LinkResult) -> LinkKind:
        return LinkKind.OTHER

    opening = asyncio.create_task(desktop.link(on_code=show, decide=other, purpose=Purpose.COPY))
    await laptop.link(await shown, decide=other, purpose=Purpose.COPY)
    await opening
    assert [agent.store.links.all()[0].kind for agent in strangers] == before == [LinkKind.OWN, LinkKind.OWN]


async def test_a_device_is_own_only_when_both_people_say_so(strangers: Pair) -> None:
    laptop, desktop = strangers
    code, opening = await opened_code(desktop)

    async def other(_result: LinkResult) -> LinkKind:
        return LinkKind.OTHER

    await laptop.link(code, decide=other)
    await opening
    assert {agent.store.links.all()[0].kind for agent in strangers} == {LinkKind.OTHER}


async def test_both_people_see_the_same_words_and_the_others_name(strangers: Pair) -> None:
    laptop, desktop = strangers
    seen: list[LinkResult] = []

    async def look(result: LinkResult) -> LinkKind:
        seen.append(result)
        return LinkKind.OWN

    shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def show(code: str) -> None:
        shown.set_result(code)

    opening = asyncio.create_task(desktop.link(on_code=show, decide=look))
    await laptop.link(await shown, decide=look)
    await opening
    assert {result.peer_name for result in seen} == {"laptop", "desktop"}
    assert len({result.verification for result in seen}) == 1


async def test_a_wrong_code_links_nobody_and_is_burnt(strangers: Pair) -> None:
    laptop, desktop = strangers
    code, opening = await opened_code(desktop)
    number = code.split("-", maxsplit=1)[0]
    wrong = next(text for text in (f"{number}-acid-acid", f"{number}-able-able") if text != code)
    heard = [asyncio.create_task(event(agent, "link-tried")) for agent in strangers]
    await asyncio.sleep(0)
    with pytest.raises(LinkCodeError, match="the code does not match") as here:
        await laptop.link(wrong, decide=own)
    with pytest.raises(LinkCodeError, match="the code does not match") as there:
        await opening
    assert "somebody used it without knowing its words" in there.value.sentence
    assert "what answered does not know these words" in here.value.sentence
    assert all("the code is burnt" in fields["text"] for fields in await asyncio.gather(*heard))
    assert not laptop.store.links.all()
    assert not desktop.store.links.all()


async def test_a_device_whose_codes_are_burnt_one_after_the_other_makes_no_more_for_a_while(strangers: Pair) -> None:
    laptop, desktop = strangers
    for _ in range(MAX_BURNT_CODES):
        code, opening = await opened_code(desktop)
        wrong = "acid-acid" if not code.endswith("acid-acid") else "able-able"
        with pytest.raises(LinkCodeError):
            await laptop.link(f"{code.split('-', maxsplit=1)[0]}-{wrong}", decide=own)
        with pytest.raises(LinkCodeError):
            await opening
    with pytest.raises(LinkCodeError, match="somebody may be trying to get in"):
        await desktop.link(decide=own)


async def test_who_comes_third_and_the_opener_are_told_of_it(strangers: Pair, devices: Devices) -> None:
    laptop, desktop = strangers
    phone = await devices.start("phone", peers=(f"127.0.0.1:{desktop.port}",))
    code, opening = await opened_code(desktop)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def think(_result: LinkResult) -> LinkKind:
        asked.set()
        await answer.wait()
        return LinkKind.OWN

    first = asyncio.create_task(laptop.link(code, decide=think))
    await asked.wait()
    heard = asyncio.create_task(event(phone, "link-tried"))
    disturbed = asyncio.create_task(event(desktop, "link-disturbed"))
    await asyncio.sleep(0)
    with pytest.raises(LinkCodeError, match="somebody else has joined this room already") as turned_away:
        await phone.link(code, decide=own)
    assert "somebody used this code before you" in turned_away.value.sentence
    assert "before you" in (await heard)["text"]
    assert "was turned away" in (await disturbed)["text"]
    answer.set()
    await asyncio.gather(first, opening)
    assert {link.name for link in desktop.store.links.all()} == {"laptop"}


async def test_a_person_may_say_no_to_a_link(strangers: Pair) -> None:
    laptop, desktop = strangers
    code, opening = await opened_code(desktop)

    async def no(_result: LinkResult) -> None:
        return None

    with pytest.raises(RejectedError):
        await laptop.link(code, decide=no)
    with pytest.raises(RejectedError):
        await opening
    assert not desktop.store.links.all()


async def test_unlinking_ends_a_live_connection_and_what_it_carries(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    await laptop.to("desktop", folder)
    assert desktop.parts.dialer.wire(laptop.device) is not None
    gone = asyncio.create_task(event(laptop, "disconnected"))
    await asyncio.sleep(0)
    await desktop.unlink("laptop")
    assert desktop.parts.dialer.wire(laptop.device) is None
    assert "unlinked" in (await gone)["text"]
    with pytest.raises(NotFoundError, match="no linked device is called 'laptop'"):
        await desktop.to("laptop", "project")


@pytest.mark.usefixtures("impatient")
async def test_an_unlinked_device_is_told_so_and_let_in_no_more(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    await laptop.to("desktop", folder)
    await desktop.unlink("laptop")
    await until(lambda: laptop.parts.dialer.wire(desktop.device) is None)
    with pytest.raises(TrustError, match="does not trust this one any more"):
        await laptop.to("desktop", fill(folder.parent / "second", FILES))
    assert [record.title for record in desktop.sessions()] == ["project"]
    assert not laptop.store.links.all()


async def test_an_unlinked_device_may_be_linked_anew_with_a_code(strangers: Pair, folder: Path) -> None:
    laptop, desktop = strangers
    await link_by_code(desktop, laptop)
    await desktop.unlink("laptop")
    await link_by_code(desktop, laptop)
    assert (await laptop.to("desktop", folder)).outcome == "done"


async def test_devices_without_a_common_version_name_both(devices: Devices, folder: Path) -> None:
    laptop = await devices.start("laptop")
    desktop = await devices.start("desktop", versions=NEWER)
    introduce(laptop, desktop)
    with pytest.raises(VersionError) as caught:
        await laptop.to("desktop", folder)
    sentence = caught.value.sentence
    assert str(max(PROTOCOL_VERSIONS)) in sentence
    assert str(NEWER[0]) in sentence
    assert "update the older" in sentence
    assert caught.value.exit_code == 6
    assert laptop.sessions()[0].ownership.role.value == "primary"


async def test_a_device_with_more_versions_speaks_the_common_one(devices: Devices, folder: Path) -> None:
    laptop = await devices.start("laptop")
    desktop = await devices.start("desktop", versions=(*PROTOCOL_VERSIONS, *NEWER))
    introduce(laptop, desktop)
    assert (await laptop.to("desktop", folder)).outcome == "done"


async def test_links_and_sessions_survive_a_restart(two_agents: Pair, folder: Path, devices: Devices) -> None:
    laptop, _ = two_agents
    record = await laptop.start([folder], "work")
    device = laptop.device
    await devices.stop("laptop")
    laptop = await devices.start("laptop")
    assert laptop.device == device
    assert [link.name for link in laptop.store.links.all()] == ["desktop"]
    assert laptop.sessions() == [record]
    assert (await laptop.to("desktop", "work")).outcome == "done"


async def test_the_role_survives_a_restart_on_both_sides(two_agents: Pair, folder: Path, devices: Devices) -> None:
    await two_agents.laptop.to("desktop", folder)
    for name, role in (("laptop", "secondary"), ("desktop", "primary")):
        await devices.stop(name)
        agent = await devices.start(name)
        assert [(each.ownership.role.value, each.ownership.epoch) for each in agent.sessions()] == [(role, 2)]


async def test_two_agents_cannot_share_a_home(devices: Devices) -> None:
    first = await devices.start("laptop")
    with pytest.raises(Exception, match="agent") as caught:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(Agent(first.home.path, settings=first.settings))
    assert type(caught.value).__module__ == "p2p_handoff.errors"
