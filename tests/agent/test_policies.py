# SPDX-License-Identifier: Apache-2.0
"""The settings at work between real agents: what is accepted, taken, kept back, and where things land."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff import PolicyError, RejectedError
from p2p_handoff.agent.agent import Agent
from p2p_handoff.ids import DeviceId
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.manifest import PartType
from p2p_handoff.session.policy import General, Rule, Table, Verdict
from tests.agent.devices import Devices, Pair, event, fill, introduce, tree

FILES = {"main.py": b"print('hello')\n"}
LINE = b'{"text": "hello"}\n'
MESSAGES = frozenset((PartType.MESSAGES,))


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


@pytest.fixture
def talk(devices: Devices) -> Path:
    """A conversation on the laptop."""
    path = devices.path("laptop", "talk.jsonl")
    path.write_bytes(LINE)
    return path


def own(rule: Rule, **kinds: Rule) -> dict[str, Any]:
    return {"policy": General(own=Table(rule, kinds))}


def towards(name: str, rule: Rule, **kinds: Rule) -> dict[str, Any]:
    return {"device": {name: Table(rule, kinds)}}


async def pair(devices: Devices, kind: LinkKind = LinkKind.OWN, **desktop: Any) -> Pair:
    two = Pair(await devices.start("laptop"), await devices.start("desktop", **desktop))
    introduce(*two, kind)
    return two


def holders(agent: Agent) -> dict[str, DeviceId | None]:
    return {binding.name: binding.held_by for binding in agent.catalog.bindings(agent.sessions()[0].id)}


async def test_an_own_device_can_be_asked_about(devices: Devices, folder: Path) -> None:
    laptop, desktop = await pair(devices, **own(Rule(push=Verdict.ASK)))
    handing = asyncio.create_task(laptop.to("desktop", folder))
    request = await event(desktop, "request")
    desktop.accept(request["token"])
    assert (await handing).outcome == "done"


async def test_an_own_device_can_be_refused_and_hears_why(devices: Devices, folder: Path) -> None:
    laptop, desktop = await pair(devices, **towards("laptop", Rule(push=Verdict.REFUSE)))
    report = await laptop.to("desktop", folder)
    assert (report.outcome, report.reason, report.exit_code) == ("rejected", "policy", 3)
    assert desktop.sessions() == []
    assert laptop.sessions()[0].ownership.role.value == "primary"


async def test_somebody_elses_device_can_be_trusted_to_push(devices: Devices, folder: Path) -> None:
    laptop, desktop = await pair(devices, LinkKind.OTHER, **towards("laptop", Rule(push=Verdict.ACCEPT)))
    assert (await laptop.to("desktop", folder)).outcome == "done"
    assert tree(desktop.settings.receive_dir / "project") == FILES


async def test_a_kind_that_is_refused_stays_at_its_source_and_the_rest_arrives(
    devices: Devices, folder: Path, talk: Path
) -> None:
    laptop, desktop = await pair(devices, **own(Rule(), folder=Rule(push=Verdict.REFUSE)))
    await laptop.start([folder, talk], "work")
    assert (await laptop.to("desktop", "work")).outcome == "done"
    assert tree(desktop.settings.receive_dir) == {"talk.jsonl": LINE}
    assert holders(desktop) == {"project": laptop.device, "talk.jsonl": None}
    assert tree(folder) == FILES


async def test_a_person_is_asked_about_what_is_left_of_the_offer(devices: Devices, folder: Path, talk: Path) -> None:
    kinds = {"folder": Rule(push=Verdict.REFUSE)}
    laptop, desktop = await pair(devices, LinkKind.OTHER, policy=General(other=Table(Rule(), kinds)))
    await laptop.start([folder, talk], "work")
    handing = asyncio.create_task(laptop.to("desktop", "work"))
    request = await event(desktop, "request")
    assert [part["name"] for part in request["parts"]] == ["talk.jsonl"]
    desktop.accept(request["token"])
    assert (await handing).outcome == "done"
    assert tree(desktop.settings.receive_dir) == {"talk.jsonl": LINE}


async def test_what_may_not_leave_stays_is_told_and_comes_together_again(
    devices: Devices, folder: Path, talk: Path
) -> None:
    laptop = await devices.start("laptop", **towards("desktop", Rule(may_leave=MESSAGES)))
    desktop = await devices.start("desktop", **own(Rule(push=Verdict.ASK)))
    introduce(laptop, desktop)
    await laptop.start([folder, talk], "work")
    handing = asyncio.create_task(laptop.to("desktop", "work"))
    request = await event(desktop, "request")
    assert [part["name"] for part in request["parts"]] == ["talk.jsonl"]
    assert [part["name"] for part in request["withheld"]] == ["project"]
    desktop.accept(request["token"])
    report = await handing
    assert (report.outcome, report.withheld) == ("done", ("project",))
    assert tree(desktop.settings.receive_dir) == {"talk.jsonl": LINE}
    assert holders(desktop) == {"project": laptop.device, "talk.jsonl": None}
    assert (await desktop.to("laptop", "work")).outcome == "done"
    assert tree(folder) == FILES
    assert holders(laptop) == {"project": None, "talk.jsonl": None}


async def test_where_nothing_may_leave_nothing_is_said_to_the_other_device(devices: Devices, folder: Path) -> None:
    laptop = await devices.start("laptop", **own(Rule(may_leave=MESSAGES)))
    desktop = await devices.start("desktop")
    introduce(laptop, desktop)
    with pytest.raises(PolicyError, match=r"nothing of 'project' leave to desktop: project \(files\) stays"):
        await laptop.to("desktop", folder)
    assert laptop.sessions()[0].ownership.role.value == "primary"
    assert desktop.sessions() == []


async def test_what_may_not_leave_cannot_be_taken_either(devices: Devices, folder: Path, talk: Path) -> None:
    laptop = await devices.start("laptop", **own(Rule(may_leave=MESSAGES)))
    desktop = await devices.start("desktop")
    introduce(laptop, desktop)
    only_files = await laptop.start([folder], "files")
    await laptop.start([talk], "talk")
    assert [item.title for item in await desktop.handoffs.sessions_of(laptop.device)] == ["talk"]
    with pytest.raises(RejectedError) as caught:
        await desktop.handoffs.take(laptop.device, only_files.id, frozenset(), None)
    assert caught.value.reason == "policy"
    assert (await desktop.take("talk")).outcome == "done"


async def test_an_own_device_that_may_not_take_is_told_of_nothing(devices: Devices, folder: Path) -> None:
    laptop = await devices.start("laptop", **towards("desktop", Rule(take=Verdict.REFUSE)))
    desktop = await devices.start("desktop")
    introduce(laptop, desktop)
    record = await laptop.start([folder])
    assert await desktop.handoffs.sessions_of(laptop.device) == ()
    with pytest.raises(RejectedError, match="do not let this device take it"):
        await desktop.handoffs.take(laptop.device, record.id, frozenset(), None)


async def test_somebody_elses_device_takes_only_what_it_was_let(devices: Devices, folder: Path, talk: Path) -> None:
    rule = Rule(take=Verdict.ACCEPT)
    laptop = await devices.start("laptop", **towards("desktop", rule, folder=Rule(take=Verdict.REFUSE)))
    desktop = await devices.start("desktop")
    introduce(laptop, desktop, LinkKind.OTHER)
    await laptop.start([folder, talk], "work")
    files = await laptop.start([fill(devices.path("laptop", "second"), FILES)], "files")
    assert [item.title for item in await desktop.handoffs.sessions_of(laptop.device)] == ["work"]
    with pytest.raises(RejectedError):
        await desktop.handoffs.take(laptop.device, files.id, frozenset(), None)
    report = await desktop.take("work", peer="laptop")
    assert report.outcome == "done"
    assert tree(desktop.settings.receive_dir) == {"talk.jsonl": LINE}
    assert tree(folder) == FILES


async def test_things_land_where_the_settings_say_by_device_and_kind(
    devices: Devices, folder: Path, talk: Path
) -> None:
    there = devices.path("desktop", "from laptop")
    chats = devices.path("desktop", "chats")
    rule = towards("laptop", Rule(into=str(there)), conversation=Rule(into=str(chats)))
    laptop, desktop = await pair(devices, **rule)
    await laptop.start([folder, talk], "work")
    report = await laptop.to("desktop", "work")
    assert report.outcome == "done"
    assert tree(there) == {"project/main.py": FILES["main.py"]}
    assert tree(chats) == {"talk.jsonl": LINE}
    assert not desktop.settings.receive_dir.exists()


async def test_what_is_asked_for_lands_there_as_well_and_a_directory_that_is_named_wins(
    devices: Devices, folder: Path, talk: Path
) -> None:
    there, here = devices.path("desktop", "from laptop"), devices.path("desktop", "here")
    laptop, desktop = await pair(devices, **own(Rule(into=str(there))))
    await laptop.start([folder])
    await laptop.start([talk], "talk")
    assert (await desktop.take("project")).into == (str(there / "project"),)
    assert (await desktop.take("talk", into=here)).into == (str(here / "talk.jsonl"),)


async def test_a_table_that_fits_two_devices_lets_neither_in(devices: Devices, folder: Path) -> None:
    laptop, desktop = await pair(devices, LinkKind.OTHER, **towards("laptop", Rule(push=Verdict.ACCEPT)))
    desktop.store.links.rename(laptop.device, "Laptop")
    imitator = await devices.start("imitator")
    introduce(imitator, desktop, LinkKind.OTHER)
    desktop.store.links.rename(imitator.device, "laptop")
    report = await laptop.to("desktop", folder)
    assert (report.outcome, report.reason) == ("rejected", "policy")


async def test_what_a_device_may_do_is_listed_by_kind(devices: Devices) -> None:
    rule = Rule(push=Verdict.ACCEPT, may_leave=MESSAGES)
    laptop = await devices.start("laptop", **towards("desktop", rule, folder=Rule(into="/srv/in")))
    desktop = await devices.start("desktop")
    introduce(laptop, desktop, LinkKind.OTHER)
    general = str(laptop.settings.receive_dir)
    listed = {"push": "accept", "take": "refuse", "may_leave": ["messages"]}
    assert laptop.policies.as_json(desktop.device) == {
        "folder": {**listed, "into": "/srv/in"},
        "conversation": {**listed, "into": general},
    }
    assert laptop.policies.as_json(laptop.device) == {}
