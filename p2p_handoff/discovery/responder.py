# SPDX-License-Identifier: Apache-2.0
"""Multicast DNS that says what holds now, and on each network only the addresses there. Layer: I/O ring, zeroconf.

zeroconf puts an answer off for a second if it gave the same one just before (RFC 6762 §6), and then sends it as it was:
after a change it would take the change back, and tell a name that is used no longer. It says everything on all
interfaces: the addresses of a private network would be told in a café. What this overrides is pinned by
tests/discovery/test_responder.py. Specification: docs/specs/discovery.md §2, §3.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Final

from typing_extensions import override
from zeroconf import IPVersion, Zeroconf
from zeroconf._dns import DNSAddress, DNSNsec, DNSPointer, DNSRecord, DNSService, DNSText
from zeroconf._protocol.outgoing import DNSOutgoing
from zeroconf._services.registry import ServiceRegistry

from p2p_handoff.discovery.addresses import Interface

MDNS_PORT: Final = 5353
_RESPONSE: Final = 0x8000
"""The bit of the flags that tells an answer from a question (RFC 1035 §4.1.1)."""


class LocalResponder(Zeroconf):
    """Speaks on no interface until ``async_update_interfaces`` names some.

    Args:
        ip_version: Families to speak.
    """

    def __init__(self, ip_version: IPVersion) -> None:
        super().__init__(interfaces=[], ip_version=ip_version)
        self.own_interfaces: Sequence[Interface] = ()
        """Which addresses this device has where."""

    @override
    def async_send(
        self,
        out: DNSOutgoing,
        addr: str | None = None,
        port: int = MDNS_PORT,
        v6_flow_scope: tuple[()] | tuple[int, int] = (),
        transport: Any = None,
    ) -> None:
        """Send a packet: what holds now, and on each interface with the addresses of that one only."""
        if not out.flags & _RESPONSE:
            super().async_send(out, addr, port, v6_flow_scope, transport)
            return
        holding = as_of_now(out, self.registry)
        for sender in [transport] if transport is not None else list(self.engine.senders):
            fitting = holding
            if len(self.own_interfaces) > 1:
                fitting = for_interface(holding, _interface(sender.sock_name, self.own_interfaces))
            if fitting.answers:
                super().async_send(fitting, addr, port, v6_flow_scope, sender)


def families() -> IPVersion:
    """Both families, unless the kernel has no IPv6."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return IPVersion.V4Only
    return IPVersion.All


def as_of_now(out: DNSOutgoing, registry: ServiceRegistry) -> DNSOutgoing:
    """A packet as it holds now: what was replaced meanwhile by what replaced it, without what is told no longer.

    Args:
        out: The whole packet, perhaps made a second ago; it is not changed.
        registry: What this device tells now. A goodbye is for what it tells no longer, and is let through.
    """
    packet = _like(out)
    packet.answers = [(now, when) for record, when in out.answers if (now := _holding(record, registry)) is not None]
    packet.additionals = [now for record in out.additionals if (now := _holding(record, registry)) is not None]
    return packet


def for_interface(out: DNSOutgoing, interface: Interface | None) -> DNSOutgoing:
    """A packet as it may be sent on an interface: without the addresses that this device has on others.

    Args:
        out: The whole packet; it is not changed.
        interface: Where it is sent; None for one that is gone.
    """
    own = {address.ip.packed for address in interface.addresses} if interface is not None else set()

    def fits(record: DNSRecord) -> bool:
        return not isinstance(record, DNSAddress) or record.address in own

    packet = _like(out)
    packet.answers = [(record, now) for record, now in out.answers if fits(record)]
    packet.additionals = [record for record in out.additionals if fits(record)]
    return packet


def _like(out: DNSOutgoing) -> DNSOutgoing:
    """A packet without answers yet."""
    packet = DNSOutgoing(out.flags, out.multicast, out.id)
    packet.questions = out.questions
    packet.authorities = out.authorities
    return packet


def _holding(record: DNSRecord, registry: ServiceRegistry) -> DNSRecord | None:
    """The record that is told in the place of this one now; None for none."""
    if record.ttl == 0:
        return record
    if isinstance(record, DNSPointer):
        alias = record.alias.lower()
        told = registry.async_get_info_name(alias) is not None or alias in registry.async_get_types()
        return record if told else None
    if isinstance(record, DNSService | DNSText):
        info = registry.async_get_info_name(record.key)
        if info is None:
            return None
        return info.dns_service() if isinstance(record, DNSService) else info.dns_text()
    if isinstance(record, DNSAddress | DNSNsec):
        hosts = registry.async_get_infos_server(record.key)
        return record if any(record in info.get_address_and_nsec_records() for info in hosts) else None
    return record


def _interface(bound: tuple[Any, ...], interfaces: Sequence[Interface]) -> Interface | None:
    """The interface that a socket is bound to; link-local addresses may be the same on several, with an index each."""
    address, index = ip_address(str(bound[0]).partition("%")[0]), bound[3] if len(bound) > 3 else 0
    for interface in interfaces:
        has_it = any(own.ip.packed == address.packed for own in interface.addresses)
        if has_it and index in (0, interface.index):
            return interface
    return None
