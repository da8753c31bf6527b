# SPDX-License-Identifier: Apache-2.0
"""Multicast DNS that says on each network only the addresses that this device has there. Layer: I/O ring, zeroconf.

zeroconf says everything on all interfaces: the addresses of a private network would be told in a café. They are of no
use there either. What this overrides is pinned by tests/discovery/test_responder.py.
Specification: docs/specs/discovery.md §3.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Final

from typing_extensions import override
from zeroconf import IPVersion, Zeroconf
from zeroconf._dns import DNSAddress, DNSRecord
from zeroconf._protocol.outgoing import DNSOutgoing

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
        """Send a packet, on each interface with the addresses of that one only."""
        if not out.flags & _RESPONSE or len(self.own_interfaces) <= 1:
            super().async_send(out, addr, port, v6_flow_scope, transport)
            return
        for sender in [transport] if transport is not None else list(self.engine.senders):
            fitting = for_interface(out, _interface(sender.sock_name, self.own_interfaces))
            if fitting.answers:
                super().async_send(fitting, addr, port, v6_flow_scope, sender)


def families() -> IPVersion:
    """Both families, unless the kernel has no IPv6."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return IPVersion.V4Only
    return IPVersion.All


def for_interface(out: DNSOutgoing, interface: Interface | None) -> DNSOutgoing:
    """A packet as it may be sent on an interface: without the addresses that this device has on others.

    Args:
        out: The whole packet; it is not changed.
        interface: Where it is sent; None for one that is gone.
    """
    own = {address.ip.packed for address in interface.addresses} if interface is not None else set()

    def fits(record: DNSRecord) -> bool:
        return not isinstance(record, DNSAddress) or record.address in own

    packet = DNSOutgoing(out.flags, out.multicast, out.id)
    packet.questions = out.questions
    packet.authorities = out.authorities
    packet.answers = [(record, now) for record, now in out.answers if fits(record)]
    packet.additionals = [record for record in out.additionals if fits(record)]
    return packet


def _interface(bound: tuple[Any, ...], interfaces: Sequence[Interface]) -> Interface | None:
    """The interface that a socket is bound to; link-local addresses may be the same on several, with an index each."""
    address, index = ip_address(str(bound[0]).partition("%")[0]), bound[3] if len(bound) > 3 else 0
    for interface in interfaces:
        has_it = any(own.ip.packed == address.packed for own in interface.addresses)
        if has_it and index in (0, interface.index):
            return interface
    return None
