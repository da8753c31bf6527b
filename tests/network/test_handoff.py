# SPDX-License-Identifier: Apache-2.0
"""A handoff between two hosts on one network, from discovery to the hand-back: docs/specs/handoff-v2.md §5."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.network.lab import Lab
from tests.network.peer import Devices, Peer, link
from tests.network.trees import MIB, assert_same, conversation, git, mixed, project, random_file

pytestmark = pytest.mark.network
NAMES = ("laptop", "desktop")


def arrived(peer: Peer, title: str) -> list[Path]:
    """Where the parts of a session are on a device."""
    return [Path(path) for path in peer.session(title)["paths"]]


def test_two_devices_on_one_network_see_each_other_before_they_are_linked(devices: Devices) -> None:
    laptop, desktop = devices.strangers()
    assert laptop.sees(desktop)["linked"] == ""
    assert desktop.sees(laptop)["device"] == laptop.ask("whoami")["device"]


def test_a_folder_and_a_conversation_go_over_and_come_back_with_little_sent(devices: Devices) -> None:
    laptop, desktop = devices.linked()
    folder, talk = project(laptop.user / "work"), conversation(laptop.user / "talk.jsonl")
    random_file(folder / "model.bin", 4 * MIB)
    laptop.ask("start", str(folder), str(talk), "--title", "paper")

    there = laptop.hand_over("paper", desktop)
    assert there["epoch"] == 2
    assert there["sent_bytes"] > 4 * MIB
    folder_there, talk_there = arrived(desktop, "paper")
    assert_same(folder, folder_there)
    assert talk_there.read_bytes() == talk.read_bytes()
    assert git(folder_there, "status", "--porcelain") == git(folder, "status", "--porcelain") != ""
    assert laptop.session("paper")["role"] == "secondary"

    (folder_there / "code.py").write_text("print('from the desktop')\n")
    with talk_there.open("a") as lines:
        lines.write('{"role": "user", "text": "and one more"}\n')
    back = desktop.hand_over("paper", laptop)
    assert back["epoch"] == 3
    assert back["sent_bytes"] < 16_000
    assert_same(folder, folder_there)
    assert talk_there.read_bytes() == talk.read_bytes()
    assert (folder / "code.py").read_text() == "print('from the desktop')\n"

    history = laptop.ask("history", "paper", "--verify")
    owners = [line["primary"] for line in history["history"] if line["statement"] != "grant"]
    assert (history["verified"], owners) == (True, ["laptop", "desktop", "laptop"])


@pytest.mark.parametrize("engine", ["aiortc", "wrtc"])
def test_devices_with_nothing_but_ipv6_hand_over(lab: Lab, devices: Devices, engine: str) -> None:
    net = lab.bridge("net")
    laptop, desktop = (devices.on(lab.host(name, bridge=net, address=None), "--engine", engine) for name in NAMES)
    for number, peer in enumerate((laptop, desktop), start=1):
        # A unique local address: with link-local ones alone wrtc found no connection within its deadline.
        peer.host.run(["ip", "address", "add", f"fd77::{number}/64", "dev", "eth0", "nodad"])
    devices.start(laptop, desktop)
    link(laptop, desktop)
    folder = project(laptop.user / "work")
    laptop.hand_over(folder, desktop)
    assert_same(folder, *arrived(desktop, "work"))


def test_a_device_takes_what_its_owner_left_on_another_one(devices: Devices) -> None:
    laptop, desktop = devices.linked()
    folder = project(laptop.user / "work")
    laptop.ask("start", str(folder))
    into = desktop.user / "elsewhere"
    taken = desktop.run("take", "work", "--into", str(into)).done()
    assert taken["into"] == [str(into / "work")]
    assert_same(folder, into / "work")
    assert laptop.session("work")["primary"] == "desktop"


def test_what_was_not_chosen_stays_at_the_source_and_survives_the_hand_back(devices: Devices) -> None:
    laptop, desktop = devices.linked()
    folder, talk = project(laptop.user / "work"), conversation(laptop.user / "talk.jsonl")
    laptop.ask("start", str(folder), str(talk), "--title", "paper")
    laptop.hand_over("paper", desktop, "--only", "messages")
    (talk_there,) = arrived(desktop, "paper")
    assert talk_there.read_bytes() == talk.read_bytes()
    assert (folder / "code.py").exists()
    talk_there.write_text(talk_there.read_text() + '{"text": "from the desktop"}\n')
    desktop.hand_over("paper", laptop)
    assert (folder / "Überraschung").is_dir()
    assert git(folder, "log", "--format=%s") == "first\n"
    assert talk.read_bytes() == talk_there.read_bytes()
    laptop.hand_over("paper", desktop)
    assert_same(folder, desktop.user / "Handoff" / "work")


@pytest.mark.parametrize("target", ["aiortc", "wrtc"])
@pytest.mark.parametrize("source", ["aiortc", "wrtc"])
def test_every_engine_hands_over_to_every_engine(lab: Lab, devices: Devices, source: str, target: str) -> None:
    net = lab.bridge("net")
    laptop = devices.on(lab.host("laptop", bridge=net), "--engine", source)
    desktop = devices.on(lab.host("desktop", bridge=net), "--engine", target)
    devices.start(laptop, desktop)
    link(laptop, desktop)
    folder = mixed(laptop.user / "work")
    report = laptop.hand_over(folder, desktop)
    assert (report["engine"], report["path"]) == (source, "host")
    assert_same(folder, *arrived(desktop, "work"))
