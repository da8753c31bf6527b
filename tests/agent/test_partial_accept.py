# SPDX-License-Identifier: Apache-2.0
"""Only some parts are taken: what stays behind stays whole, and is there again after the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from p2p_handoff import RejectedError
from p2p_handoff.agent.payloads import received_parts
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.manifest import decode_manifest
from p2p_handoff.testing.device import Device
from p2p_handoff.testing.samples import conversation_lines
from tests.agent.devices import Devices, Pair, event, fill, tree

FILES = {"main.py": b"print('hello')\n", "data/table.csv": b"1,2\n3,4\n"}
LINES = conversation_lines(12)
MORE = b'{"text": "from the desktop"}\n'


@pytest.fixture
def talk(devices: Devices) -> Path:
    """A conversation on the laptop."""
    path = devices.path("laptop", "talk.jsonl")
    path.write_bytes(b"".join(LINES))
    return path


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


async def take_messages_only(pair: Pair) -> str:
    """The desktop's person takes the messages of what is offered; the session's id."""
    handing = asyncio.create_task(pair.laptop.to("desktop", "work"))
    request = await event(pair.desktop, "request")
    pair.desktop.accept(request["token"], only=["messages"])
    report = await handing
    assert report.outcome == "done"
    return report.session


async def test_messages_arrive_and_the_files_stay(two_people: Pair, folder: Path, talk: Path) -> None:
    laptop, desktop = two_people
    await laptop.start([folder, talk], "work")
    session = await take_messages_only(two_people)
    assert tree(desktop.settings.receive_dir) == {"talk.jsonl": b"".join(LINES)}
    assert tree(folder) == FILES
    here = received_parts(desktop.catalog.bindings(desktop.sessions()[0].id))
    assert [part.type.value for part in here] == ["messages"]
    assert desktop.sessions()[0].id == session


async def test_the_new_primary_knows_who_holds_what_it_did_not_take(two_people: Pair, folder: Path, talk: Path) -> None:
    laptop, desktop = two_people
    await laptop.start([folder, talk], "work")
    await take_messages_only(two_people)
    holders = {binding.name: binding.held_by for binding in desktop.catalog.bindings(desktop.sessions()[0].id)}
    assert holders == {"project": laptop.device, "talk.jsonl": None}


async def test_after_the_way_back_the_files_are_still_there_and_part_of_the_session(
    two_people: Pair, folder: Path, talk: Path
) -> None:
    laptop, desktop = two_people
    await laptop.start([folder, talk], "work")
    await take_messages_only(two_people)
    with (desktop.settings.receive_dir / "talk.jsonl").open("ab") as file:
        file.write(MORE)
    back = asyncio.create_task(desktop.to("laptop", "work"))
    request = await event(laptop, "request")
    assert [part["type"] for part in request["parts"]] == ["messages"]
    laptop.accept()
    assert (await back).epoch == 3
    assert tree(talk.parent)["talk.jsonl"] == b"".join(LINES) + MORE
    assert tree(folder) == FILES
    record = laptop.sessions()[0]
    assert record.ownership.role.value == "primary"
    parts = received_parts(laptop.catalog.bindings(record.id))
    assert [part.type.value for part in parts] == ["files", "messages"]
    manifest = laptop.catalog.picture(record.id).manifest
    assert [part.held_by for part in manifest.parts] == [None, None]


async def test_what_stayed_behind_can_be_handed_over_later(two_people: Pair, folder: Path, talk: Path) -> None:
    laptop, desktop = two_people
    await laptop.start([folder, talk], "work")
    await take_messages_only(two_people)
    back = asyncio.create_task(desktop.to("laptop", "work"))
    await event(laptop, "request")
    laptop.accept()
    await back
    again = asyncio.create_task(laptop.to("desktop", "work"))
    await event(desktop, "request")
    desktop.accept()
    assert (await again).epoch == 4
    assert tree(desktop.settings.receive_dir / "project") == FILES


async def test_choosing_a_type_that_is_not_offered_is_a_rejection(two_people: Pair, folder: Path) -> None:
    laptop, desktop = two_people
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await event(desktop, "request")
    desktop.accept(only=["messages"])
    report = await handing
    assert (report.outcome, report.reason) == ("rejected", "nothing-chosen")
    assert isinstance(report.error, RejectedError)


async def test_an_own_device_may_offer_a_part_only(two_agents: Pair, folder: Path, talk: Path) -> None:
    laptop, desktop = two_agents
    record = await laptop.start([folder, talk], "work")
    await laptop.to("desktop", "work", only=["files"])
    await desktop.to("laptop", "work")
    assert {link.kind for link in laptop.store.links.all()} == {LinkKind.OWN}
    known = laptop.store.sessions.get(record.id)
    assert known is not None
    assert known.manifest is not None
    assert [part.name for part in decode_manifest(known.manifest).parts] == ["project", "talk.jsonl"]
    assert tree(talk.parent)["talk.jsonl"] == b"".join(LINES)


async def test_an_older_copy_of_a_part_that_another_device_holds_does_not_pass_for_the_part(
    three_devices: Sequence[Device],
) -> None:
    laptop, desktop, phone = three_devices
    chat, project = laptop.things / "chat.jsonl", laptop.things / "project"
    laptop.write(chat, MORE)
    laptop.write(project / "main.py", b"old\n")
    session = (await laptop.begin(chat, project, title="work")).id

    async def hand(source: Device, target: Device, *types: str) -> None:
        await asyncio.sleep(2)
        assert (await source.to(target, session, only=types)).outcome == "done"

    await hand(laptop, desktop)
    await hand(desktop, laptop)
    laptop.write(project / "main.py", b"new\n")
    await hand(laptop, phone, "messages")  # The folder stays on the laptop …
    await hand(phone, desktop)  # … and the desktop still has an older one.
    record = desktop.record(session)
    assert record is not None
    holders = {binding.kind: binding.held_by for binding in desktop.agent.catalog.bindings(record.id)}
    assert holders == {"conversation": None, "folder": laptop.id}
    await hand(desktop, laptop)
    assert await asyncio.to_thread((project / "main.py").read_bytes) == b"new\n"
    holders = {binding.kind: binding.held_by for binding in laptop.agent.catalog.bindings(record.id)}
    assert holders == {"conversation": None, "folder": None}
    await hand(laptop, desktop)
    assert await asyncio.to_thread((desktop.received / "project" / "main.py").read_bytes) == b"new\n"
