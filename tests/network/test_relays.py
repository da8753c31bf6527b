# SPDX-License-Identifier: Apache-2.0
"""Devices that do not hear each other's multicast: through a shared relay, by address, by memory.

Specification: docs/specs/signaling.md §10.
"""

from __future__ import annotations

import pytest

from tests.network.lab import Host, Lab
from tests.network.peer import Devices, Peer, link, start_relay
from tests.network.trees import MIB, assert_same, mixed, project, random_file

pytestmark = pytest.mark.network


def two_networks(lab: Lab) -> tuple[Host, Host, Host]:
    """A laptop at home, a desktop in the office, and a host between them that routes."""
    home, office = lab.bridge("home"), lab.bridge("office")
    laptop, desktop = lab.host("laptop", bridge=home), lab.host("desktop", bridge=office)
    return laptop, desktop, lab.router("middle", home, office)


def apart(lab: Lab, devices: Devices, *options: str) -> tuple[Peer, Peer]:
    """Two devices on one network that lets no multicast through."""
    net = lab.bridge("net")
    pair = devices.on(lab.host("laptop", bridge=net), *options), devices.on(lab.host("desktop", bridge=net), *options)
    for peer in pair:
        peer.host.block_multicast()
    return pair


def test_devices_on_two_networks_link_and_hand_over_through_a_relay(lab: Lab, devices: Devices) -> None:
    left, right, middle = two_networks(lab)
    _, url = start_relay(middle)
    laptop, desktop = devices.on(left, "--relay", url), devices.on(right, "--relay", url)
    devices.start(laptop, desktop)
    assert desktop.ask("agent", "status")["relays"] == {url: ""}
    link(laptop, desktop)
    folder = mixed(laptop.user / "work", small=50, large=MIB)
    laptop.hand_over(folder, desktop)
    assert_same(folder, desktop.user / "Handoff" / "work")


def test_a_relay_that_is_not_there_is_said_in_a_sentence(lab: Lab, devices: Devices) -> None:
    left, right, middle = two_networks(lab)
    relay, url = start_relay(middle)
    laptop, desktop = devices.on(left, "--relay", url), devices.on(right, "--relay", url)
    devices.start(laptop, desktop)
    link(laptop, desktop)
    relay.kill()
    relay.wait()
    laptop.kill_agent()
    laptop.start_agent()
    answer = laptop.run("to", "desktop", str(project(laptop.user / "work")))
    assert answer.exit_code == 4
    assert answer.message.endswith(".")
    assert "cannot be reached" in answer.message
    assert laptop.session("work")["role"] == "primary"


def test_a_relay_that_dies_after_the_devices_met_is_not_missed(lab: Lab, devices: Devices) -> None:
    left, right, middle = two_networks(lab)
    relay, url = start_relay(middle)
    laptop, desktop = devices.on(left, "--relay", url), devices.on(right, "--relay", url)
    devices.start(laptop, desktop)
    link(laptop, desktop)
    folder = random_file(laptop.user / "work" / "model.bin", 16 * MIB).parent
    pushing = laptop.begin("to", "desktop", str(folder))
    pushing.wait("progress")  # Own devices are connected before that already.
    relay.kill()
    relay.wait()
    assert pushing.answer().done()["outcome"] == "done"
    assert_same(folder, desktop.user / "Handoff" / "work")


def test_where_multicast_is_blocked_an_address_given_by_hand_will_do(lab: Lab, devices: Devices) -> None:
    laptop, desktop = apart(lab, devices)
    desktop.start_agent("--port", "4747")
    laptop.start_agent("--peer", f"{desktop.host.address}:4747")
    link(desktop, laptop)
    folder = project(laptop.user / "work")
    laptop.hand_over(folder, desktop)
    assert_same(folder, desktop.user / "Handoff" / "work")


def test_the_last_good_address_leads_there_without_any_discovery(devices: Devices) -> None:
    laptop, desktop = devices.strangers("--port", "4747")
    link(laptop, desktop)
    folder = project(laptop.user / "work")
    laptop.hand_over(folder, desktop)
    for peer in (laptop, desktop):
        peer.stop_agent()
        peer.start_agent("--no-mdns")
    (folder / "code.py").write_text("print('again')\n")
    desktop_to_laptop = laptop.run("take", "work")
    assert desktop_to_laptop.done()["outcome"] == "done"
