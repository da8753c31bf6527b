# SPDX-License-Identifier: Apache-2.0
"""Scenarios of devices that change their address, their cable or their network in the middle of a transfer."""

from __future__ import annotations

from collections.abc import Callable

from tests.network.lab import MULTICAST
from tests.network.partitions import half_way
from tests.network.peer import Answer, Peer
from tests.network.stage import PATIENCE, Stage, slow

Change = Callable[[Stage], None]


def in_the_middle(change: Change) -> Callable[[Stage], Answer]:
    """Something changes half way, and nobody is told."""

    def play(stage: Stage) -> Answer:
        _, pushing = half_way(stage)
        change(stage)
        return pushing.answer(PATIENCE)

    return play


def source_gets_another_address(stage: Stage) -> None:
    readdress(stage.laptop, "10.77.0.200/24")


def target_gets_another_address(stage: Stage) -> None:
    readdress(stage.desktop, "10.77.0.201/24")


def both_go_from_ipv4_to_ipv6(stage: Stage) -> None:
    for number, peer in enumerate((stage.laptop, stage.desktop), start=1):
        peer.host.drop_address("eth0")
        peer.host.run(["ip", "address", "add", f"fd77::{number}/64", "dev", "eth0", "nodad"])


def source_gets_another_interface(stage: Stage) -> None:
    """The cable is the same; the system calls it something else, as when a dock is changed."""
    host = stage.laptop.host
    host.set_link("eth0", up=False)
    host.run(["ip", "link", "set", "eth0", "name", "eth7"])
    host.set_link("eth7", up=True)
    readdress(stage.laptop, "10.77.0.202/24", "eth7")


def link_flaps(stage: Stage) -> None:
    for _ in range(3):
        for up in (False, True):
            stage.desktop.host.set_link("eth0", up=up)
    stage.desktop.host.run(["ip", "route", "replace", MULTICAST, "dev", "eth0"])


def two_interfaces_and_one_is_pulled(stage: Stage) -> Answer:
    """Both devices are on two networks; the one that is in use goes away."""
    nets = stage.lab.bridge("wire"), stage.lab.bridge("air")
    laptop, desktop = pair = [stage.device(stage.lab.host(name)) for name in ("laptop", "desktop")]
    for net in nets:
        for peer in pair:
            peer.host.attach(net)
    stage.people(laptop, desktop)
    slow(stage.laptop, 16, interface="eth1")
    watching, pushing = half_way(stage, build=False)
    stage.desktop.host.set_link("eth0", up=False)
    watching.wait("disconnected")
    return pushing.answer(PATIENCE)


def readdress(peer: Peer, address: str, interface: str = "eth0") -> None:
    """Take the addresses of an interface and give it another, as when a lease ends."""
    peer.host.drop_address(interface)
    peer.host.add_address(interface, address)
    peer.host.run(["ip", "route", "replace", MULTICAST, "dev", interface])
