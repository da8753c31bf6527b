# SPDX-License-Identifier: Apache-2.0
"""The network interfaces of this machine that discovery uses. Layer: I/O ring.

Loopback is used only when there is nothing else, so that two agents on a machine without a network still find
each other. Specification: docs/specs/discovery.md §3.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_interface

import ifaddr

from p2p_handoff.discovery.addresses import Interface


def usable_interfaces() -> tuple[Interface, ...]:
    """All interfaces that reach other machines, or loopback's IPv4 side when none does; in a stable order."""
    found = sorted(interface for adapter in ifaddr.get_adapters() if (interface := _interface(adapter)) is not None)
    outside = tuple(interface for interface in found if not interface.loopback)
    return outside or loopback_of(found)


def membership_selectors(interfaces: Sequence[Interface]) -> list[str | int]:
    """One IPv4 address and one IPv6 address per interface: a second membership of an interface is refused.

    zeroconf takes IPv6 interfaces by address; where two interfaces have the same one it needs the index.
    """
    every = [str(address.ip) for interface in interfaces for address in interface.ipv6]
    chosen: list[str | int] = [str(interface.ipv4[0].ip) for interface in interfaces if interface.ipv4]
    for interface in interfaces:
        if interface.ipv6:
            address = str(interface.ipv6[0].ip)
            chosen.append(address if every.count(address) == 1 else interface.index)
    return chosen


def loopback_of(interfaces: list[Interface]) -> tuple[Interface, ...]:
    """The loopback interface reduced to IPv4: ``::1`` has no link-local group to speak mDNS on."""
    return tuple(
        Interface(interface.index, interface.name, interface.ipv4)
        for interface in interfaces
        if interface.loopback and interface.ipv4
    )


def _interface(adapter: ifaddr.Adapter) -> Interface | None:
    addresses = tuple(ip_interface(f"{_text(ip)}/{ip.network_prefix}") for ip in adapter.ips)
    if adapter.index is None or not addresses:
        return None
    return Interface(adapter.index, adapter.name, tuple(sorted(addresses, key=str)))


def _text(ip: ifaddr.IP) -> str:
    return ip.ip if isinstance(ip.ip, str) else ip.ip[0]
