# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ipaddress import ip_interface

from p2p_handoff.discovery.addresses import Interface
from p2p_handoff.discovery.interfaces import loopback_of, usable_interfaces

LO = Interface(1, "lo", (ip_interface("127.0.0.1/8"), ip_interface("::1/128")))
ETH = Interface(2, "eth0", (ip_interface("192.168.1.5/24"),))


def test_this_machine_has_interfaces_and_loopback_is_used_only_alone() -> None:
    interfaces = usable_interfaces()
    assert interfaces
    assert len({interface.loopback for interface in interfaces}) == 1


def test_reading_twice_gives_the_same() -> None:
    assert usable_interfaces() == usable_interfaces()


def test_of_loopback_only_the_ipv4_side_is_used() -> None:
    (only,) = loopback_of([LO, ETH])
    assert only.addresses == (ip_interface("127.0.0.1/8"),)


def test_loopback_without_ipv4_is_of_no_use() -> None:
    assert loopback_of([Interface(1, "lo", (ip_interface("::1/128"),))]) == ()
