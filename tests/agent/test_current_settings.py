# SPDX-License-Identifier: Apache-2.0
"""A running agent takes over a changed file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from p2p_handoff import Agent, Settings, UsageError
from p2p_handoff.agent.current_settings import Change, CurrentSettings
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.policy import Rule, Table, Verdict
from p2p_handoff.settings.config import CONFIG_NAME, load
from tests.agent.devices import Devices, introduce

BASE = Settings(name="laptop")


def test_what_can_change_changes_and_what_needs_a_restart_waits() -> None:
    current = CurrentSettings(BASE)
    change = current.take_over(replace(BASE, name="desk", port=4000, keep_generations=2))
    assert change == Change(("name", "keep_generations"), ("port",))
    assert (current.value.name, current.value.keep_generations, current.value.port) == ("desk", 2, 0)


def test_a_setting_that_is_as_it_was_at_the_start_needs_no_restart_any_more() -> None:
    current = CurrentSettings(BASE)
    current.take_over(replace(BASE, port=4000))
    assert current.take_over(BASE) == Change((), ())


def test_an_agent_that_was_given_its_settings_reads_no_file() -> None:
    with pytest.raises(UsageError, match="reads no file"):
        CurrentSettings(BASE).read_again()


@pytest.fixture
async def reading(tmp_path: Path, devices: Devices) -> AsyncIterator[Agent]:
    """An agent that reads its file, linked with somebody's phone."""
    phone = await devices.start("phone")
    home = tmp_path / "reading"
    home.mkdir(mode=0o700)
    write(home, 'name = "tablet"\nmdns = false\n')
    async with Agent(home) as agent:
        introduce(phone, agent, LinkKind.OTHER)
        yield agent


def write(home: Path, text: str) -> None:
    (home / CONFIG_NAME).write_text(text, encoding="utf-8")


async def test_a_running_agent_takes_over_its_file(reading: Agent) -> None:
    write(reading.home.path, 'name = "pad"\nmdns = true\nmax_pause = 2\n[device.phone]\npush = "refuse"\n')
    change = await reading.take_over_settings()
    assert change == Change(("name", "max_pause", "device"), ("mdns",))
    assert (reading.name, reading.settings.max_pause, reading.settings.mdns) == ("pad", 2.0, False)
    assert reading.settings.device == {"phone": Table(Rule(push=Verdict.REFUSE))}


async def test_a_mistake_changes_nothing(reading: Agent) -> None:
    write(reading.home.path, 'max_pause = 2\nname = ""\n')
    with pytest.raises(UsageError, match=rf"{CONFIG_NAME}:2:1: name: must be a text"):
        await reading.take_over_settings()
    assert (reading.name, reading.settings.max_pause) == ("tablet", 0.3)


async def test_a_name_that_fits_two_devices_is_a_mistake_of_its_line(reading: Agent, devices: Devices) -> None:
    introduce(await devices.start("phone two"), reading, LinkKind.OTHER)
    second = next(link for link in reading.store.links.all() if link.name == "phone two")
    reading.store.links.rename(second.device, "Phone")
    write(reading.home.path, '# mine\n[device.phone]\npush = "accept"\n')
    with pytest.raises(UsageError, match=rf"{CONFIG_NAME}:2:1: device: 'phone' fits several devices") as caught:
        await reading.take_over_settings()
    assert second.device[:8] in caught.value.what
    assert reading.settings.device == {}


async def test_an_agent_does_not_start_with_a_table_that_fits_two_devices(reading: Agent) -> None:
    phone = reading.store.links.all()[0]
    text = f'[device.phone]\npush = "ask"\n[device.{phone.device[:6]}]\ntake = "refuse"\n'
    home = reading.home.path
    await reading.__aexit__(None, None, None)
    write(home, text)
    assert set(load(home).device) == {"phone", phone.device[:6]}
    with pytest.raises(UsageError, match=rf"{CONFIG_NAME}:3:1: device: .* has a table already"):
        await Agent(home).__aenter__()
