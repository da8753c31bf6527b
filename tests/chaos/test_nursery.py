# SPDX-License-Identifier: Apache-2.0
"""Agents that a nursery starts are processes of their own: watched, killed and ended like any other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.cases import DISK
from tests.chaos.device import Device
from tests.chaos.nursery import Nursery
from tests.chaos.warden import Call, Kill, Pass, Verdict


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def device(nursery: Nursery, tmp_path: Path) -> Iterator[Device]:
    device = Device(tmp_path / "d", "laptop", 0, 1, nursery)
    device.make()
    yield device
    device.kill()


def test_an_agent_answers_and_ends(device: Device) -> None:
    warden = device.start()
    device.answers()
    assert device.call("whoami")["name"] == "laptop"
    assert os.getsid(warden.process.pid) == warden.process.pid
    device.stop()
    assert warden.process.poll() is not None


def test_two_agents_have_no_randomness_in_common(device: Device, nursery: Nursery, tmp_path: Path) -> None:
    other = Device(tmp_path / "e", "desktop", 0, 1, nursery)
    other.make()
    for one in (device, other):
        one.start()
        one.answers()
    assert device.call("whoami")["device"] != other.call("whoami")["device"]
    other.kill()


def test_it_is_killed_at_a_call_of_its_start(device: Device) -> None:
    def rule(call: Call) -> Verdict:
        return Kill() if call.number == 3 else Pass()

    warden = device.start(lambda warden: warden.arm(rule, DISK))
    warden.wait()
    assert len(warden.calls) == 3
