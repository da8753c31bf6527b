# SPDX-License-Identifier: Apache-2.0
"""Which addresses are told where; between hosts it is tested in tests/network/test_discovery.py."""

from __future__ import annotations

import inspect
from ipaddress import ip_address, ip_interface

import pytest
from zeroconf import IPVersion, Zeroconf
from zeroconf._dns import DNSAddress, DNSPointer
from zeroconf._protocol.outgoing import DNSOutgoing

from p2p_handoff.discovery.addresses import Interface
from p2p_handoff.discovery.responder import LocalResponder, for_interface

HOME = Interface(2, "eth0", (ip_interface("192.168.1.5/24"), ip_interface("fe80::5/64")))
OFFICE = Interface(3, "tun0", (ip_interface("10.8.0.5/24"), ip_interface("fe80::5/64")))
GONE = ("172.16.0.5", 5353)


def record(address: str) -> DNSAddress:
    packed = ip_address(address).packed
    return DNSAddress("host.local.", 1 if len(packed) == 4 else 28, 1, 120, packed)


def answer() -> DNSOutgoing:
    """A packet with all addresses of this device, as answers and beside them."""
    out = DNSOutgoing(0x8400)
    out.add_answer_at_time(DNSPointer("_p2p-handoff._tcp.local.", 12, 1, 120, "one._p2p-handoff._tcp.local."), 0)
    for address in ("192.168.1.5", "10.8.0.5", "fe80::5"):
        out.add_answer_at_time(record(address), 0)
        out.add_additional_answer(record(address))
    return out


@pytest.mark.parametrize(
    ("interface", "told"),
    [(HOME, {"192.168.1.5", "fe80::5"}), (OFFICE, {"10.8.0.5", "fe80::5"}), (None, set())],
)
def test_a_packet_has_the_addresses_of_its_interface_only(interface: Interface | None, told: set[str]) -> None:
    packet = for_interface(answer(), interface)
    for records in ([item for item, _ in packet.answers], packet.additionals):
        assert {str(ip_address(item.address)) for item in records if isinstance(item, DNSAddress)} == told
    assert any(isinstance(item, DNSPointer) for item, _ in packet.answers)
    (data,) = packet.packets()
    assert (ip_address("10.8.0.5").packed in data) == (interface is OFFICE)


class Sender:
    """A socket's address."""

    def __init__(self, *bound: object) -> None:
        self.sock_name = bound


def test_each_socket_gets_what_is_for_its_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[Sender, set[str]]] = []

    def send(_self: Zeroconf, out: DNSOutgoing, *arguments: object) -> None:
        addresses = {str(ip_address(item.address)) for item, _ in out.answers if isinstance(item, DNSAddress)}
        sender = arguments[-1]
        assert isinstance(sender, Sender)
        sent.append((sender, addresses))

    monkeypatch.setattr(Zeroconf, "async_send", send)
    responder = LocalResponder.__new__(LocalResponder)
    responder.own_interfaces = (HOME, OFFICE)
    for sender, expected in (
        (Sender("192.168.1.5", 5353), {"192.168.1.5", "fe80::5"}),
        (Sender("10.8.0.5", 5353), {"10.8.0.5", "fe80::5"}),
        (Sender("fe80::5%tun0", 5353, 0, 3), {"10.8.0.5", "fe80::5"}),
        (Sender(*GONE), set()),
    ):
        responder.async_send(answer(), transport=sender)
        assert sent.pop() == (sender, expected)


def test_what_is_overridden_is_still_what_the_library_calls() -> None:
    """A canary: with another signature addresses might be told everywhere again."""
    theirs, ours = inspect.signature(Zeroconf.async_send), inspect.signature(LocalResponder.async_send)
    assert [(item.name, item.default) for item in theirs.parameters.values()] == [
        (item.name, item.default) for item in ours.parameters.values()
    ]


async def test_it_speaks_nowhere_until_it_is_told_where() -> None:
    responder = LocalResponder(IPVersion.V4Only)
    await responder.async_wait_for_start()
    assert not responder.engine.senders
    await responder._async_close()
