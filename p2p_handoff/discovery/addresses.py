# SPDX-License-Identifier: Apache-2.0
"""Which addresses are worth advertising and dialling, and in which order. Layer: I/O ring, no I/O itself.

Specification: docs/specs/discovery.md §3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address
from typing import Final

MAX_ADDRESSES: Final = 16
"""Addresses kept of one device: a laptop with VPN and containers has about ten."""


@dataclass(frozen=True, slots=True, order=True)
class Interface:
    """One network interface with its addresses."""

    index: int
    name: str
    addresses: tuple[IPv4Interface | IPv6Interface, ...]

    @property
    def loopback(self) -> bool:
        """Whether it only reaches this machine."""
        return all(address.is_loopback for address in self.addresses)

    @property
    def ipv4(self) -> tuple[IPv4Interface, ...]:
        """Its IPv4 addresses with their networks."""
        return tuple(address for address in self.addresses if isinstance(address, IPv4Interface))

    @property
    def ipv6(self) -> tuple[IPv6Interface, ...]:
        """Its IPv6 addresses with their networks, link-local ones first: mDNS is spoken from those."""
        six = (address for address in self.addresses if isinstance(address, IPv6Interface))
        return tuple(sorted(six, key=lambda address: not address.is_link_local))


class Preference(IntEnum):
    """How good an address is to dial; lower is better."""

    SAME_SUBNET = 0
    PRIVATE_V4 = 1
    ROUTED = 2
    LINK_LOCAL = 3


def advertised(interfaces: Sequence[Interface]) -> tuple[str, ...]:
    """The addresses of this device that others may dial, without zones, at most MAX_ADDRESSES."""
    every = (address.ip for interface in interfaces for address in interface.addresses)
    distinct = dict.fromkeys(str(address).partition("%")[0] for address in every if _unicast(address))
    return tuple(distinct)[:MAX_ADDRESSES]


def dialable(claimed: Iterable[str], interfaces: Sequence[Interface]) -> tuple[str, ...]:
    """The addresses of a peer that can be dialled from here, best first, at most MAX_ADDRESSES.

    Loopback addresses count only while this device itself has nothing but loopback: from anybody else they would
    point at services of this machine. A link-local address without a zone gets one where that is unambiguous.

    Args:
        claimed: Addresses as received; a zone may be an interface's number or its name.
        interfaces: This device's interfaces.
    """
    alone = all(interface.loopback for interface in interfaces)
    parsed = [address for text in claimed if (address := _parse(text)) is not None]
    near = _shared_interface(parsed, interfaces)
    usable = (
        zoned
        for address in parsed
        if _unicast(address) and (alone or not address.is_loopback)
        if (zoned := _with_zone(address, interfaces, near)) is not None
    )
    ranked = sorted(dict.fromkeys(usable), key=lambda address: preference(address, interfaces))
    return tuple(str(address) for address in ranked[:MAX_ADDRESSES])


def preference(address: IPv4Address | IPv6Address, interfaces: Sequence[Interface]) -> Preference:
    """How good an address is to dial from here."""
    if address.is_link_local:
        return Preference.LINK_LOCAL
    if any(_same_subnet(address, interface) for interface in interfaces):
        return Preference.SAME_SUBNET
    if isinstance(address, IPv4Address) and address.is_private:
        return Preference.PRIVATE_V4
    return Preference.ROUTED


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # An IPv4-mapped address would slip past the checks on the IPv4 address inside it.
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _unicast(address: IPv4Address | IPv6Address) -> bool:
    return not (address.is_unspecified or address.is_multicast or address.is_reserved)


def _same_subnet(address: IPv4Address | IPv6Address, interface: Interface) -> bool:
    return any(address in own.network for own in interface.addresses if own.version == address.version)


def _shared_interface(
    addresses: Iterable[IPv4Address | IPv6Address], interfaces: Sequence[Interface]
) -> Interface | None:
    """The one interface that a peer's routable addresses say it is on; the only interface if there is one."""
    if len(interfaces) == 1:
        return interfaces[0]
    routable = [address for address in addresses if not address.is_link_local]
    near = [own for own in interfaces if any(_same_subnet(address, own) for address in routable)]
    return near[0] if len(near) == 1 else None


def _with_zone(
    address: IPv4Address | IPv6Address, interfaces: Sequence[Interface], near: Interface | None
) -> IPv4Address | IPv6Address | None:
    if isinstance(address, IPv4Address):
        return address
    bare = str(address).partition("%")[0]
    if not address.is_link_local:
        return IPv6Address(bare)
    zone = address.scope_id
    named = next((own for own in interfaces if zone in (own.name, str(own.index))), None) if zone else near
    return IPv6Address(f"{bare}%{named.name}") if named else None
