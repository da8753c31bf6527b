# SPDX-License-Identifier: Apache-2.0
"""Which addresses are told where; between hosts it is tested in tests/network/test_discovery.py."""

from __future__ import annotations

import inspect
from ipaddress import ip_address, ip_interface

import pytest
from zeroconf import IPVersion, ServiceInfo, Zeroconf
from zeroconf._dns import DNSAddress, DNSPointer, DNSRecord
from zeroconf._protocol.outgoing import DNSOutgoing
from zeroconf._services.registry import ServiceRegistry

from p2p_handoff.discovery.addresses import Interface
from p2p_handoff.discovery.announcement import SERVICE_TYPE
from p2p_handoff.discovery.responder import LocalResponder, as_of_now, for_interface

HOME = Interface(2, "eth0", (ip_interface("192.168.1.5/24"), ip_interface("fe80::5/64")))
OFFICE = Interface(3, "tun0", (ip_interface("10.8.0.5/24"), ip_interface("fe80::5/64")))
GONE = ("172.16.0.5", 5353)


def record(address: str) -> DNSAddress:
    packed = ip_address(address).packed
    return DNSAddress("host.local.", 1 if len(packed) == 4 else 28, 1, 120, packed)


ADDRESSES = ("192.168.1.5", "10.8.0.5", "fe80::5")


def service(said: str = "room", *, name: str = "one", addresses: tuple[str, ...] = ADDRESSES) -> ServiceInfo:
    return ServiceInfo(
        SERVICE_TYPE,
        f"{name}.{SERVICE_TYPE}",
        port=4711,
        properties={"said": said},
        server="host.local.",
        parsed_addresses=list(addresses),
        host_ttl=120,
        other_ttl=120,
    )


def registry(*services: ServiceInfo) -> ServiceRegistry:
    made = ServiceRegistry()
    for info in services:
        made.async_add(info)
    return made


def records(info: ServiceInfo, ttl: int | None = None) -> list[DNSRecord]:
    """Everything that is told of a service."""
    told = [info.dns_pointer(ttl), info.dns_service(ttl), info.dns_text(ttl)]
    return [*told, *sorted(info.get_address_and_nsec_records(ttl), key=str)]


def packet(info: ServiceInfo, ttl: int | None = None) -> DNSOutgoing:
    """A packet with everything of a service, as answers and beside them."""
    out = DNSOutgoing(0x8400)
    for item in records(info, ttl):
        out.add_answer_at_time(item, 0)
        out.add_additional_answer(item)
    return out


def told_now(out: DNSOutgoing, *services: ServiceInfo) -> list[DNSRecord]:
    now = as_of_now(out, registry(*services))
    answers = [item for item, _ in now.answers]
    assert answers == now.additionals
    return answers


def test_what_was_put_off_is_told_as_it_is_now() -> None:
    changed = service("no room")
    answers = told_now(packet(service("room")), changed)
    assert answers == records(changed)
    assert answers[2] == changed.dns_text() != service("room").dns_text()


def test_what_is_told_no_longer_is_not_told_late() -> None:
    assert told_now(packet(service())) == []
    assert told_now(packet(service()), service(name="two")) == records(service())[3:], "the addresses are the same"


def test_an_address_that_is_gone_is_not_told_late() -> None:
    left = told_now(packet(service()), service(addresses=ADDRESSES[1:]))
    assert left == records(service(addresses=ADDRESSES[1:]))


def test_a_goodbye_is_for_what_is_told_no_longer() -> None:
    assert told_now(packet(service(), 0)) == records(service(), 0)


def test_who_asks_for_the_kinds_of_services_is_answered() -> None:
    out = DNSOutgoing(0x8400)
    kind = DNSPointer("_services._dns-sd._udp.local.", 12, 1, 4500, SERVICE_TYPE)
    out.add_answer_at_time(kind, 0)
    assert as_of_now(out, registry(service())).answers == [(kind, 0)]


def answer() -> DNSOutgoing:
    """A packet with all addresses of this device, as answers and beside them."""
    out = DNSOutgoing(0x8400)
    out.add_answer_at_time(DNSPointer(SERVICE_TYPE, 12, 1, 120, f"one.{SERVICE_TYPE}"), 0)
    for address in ADDRESSES:
        out.add_answer_at_time(record(address), 0)
        out.add_additional_answer(record(address))
    return out


@pytest.mark.parametrize(
    ("interface", "told"),
    [(HOME, {"192.168.1.5", "fe80::5"}), (OFFICE, {"10.8.0.5", "fe80::5"}), (None, set())],
)
def test_a_packet_has_the_addresses_of_its_interface_only(interface: Interface | None, told: set[str]) -> None:
    fitting = for_interface(answer(), interface)
    for part in ([item for item, _ in fitting.answers], fitting.additionals):
        assert {str(ip_address(item.address)) for item in part if isinstance(item, DNSAddress)} == told
    assert any(isinstance(item, DNSPointer) for item, _ in fitting.answers)
    (data,) = fitting.packets()
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
    responder.registry = registry(service())
    for sender, expected in (
        (Sender("192.168.1.5", 5353), {"192.168.1.5", "fe80::5"}),
        (Sender("10.8.0.5", 5353), {"10.8.0.5", "fe80::5"}),
        (Sender("fe80::5%tun0", 5353, 0, 3), {"10.8.0.5", "fe80::5"}),
        (Sender(*GONE), set()),
    ):
        responder.async_send(answer(), transport=sender)
        assert sent.pop() == (sender, expected)


@pytest.mark.parametrize("interfaces", [(HOME,), (HOME, OFFICE)])
def test_what_is_sent_late_is_sent_as_it_is_now(
    monkeypatch: pytest.MonkeyPatch, interfaces: tuple[Interface, ...]
) -> None:
    sent: list[DNSOutgoing] = []
    monkeypatch.setattr(Zeroconf, "async_send", lambda _, out, *_rest: sent.append(out))
    responder = LocalResponder.__new__(LocalResponder)
    responder.own_interfaces = interfaces
    responder.registry = registry(service(name="two", addresses=()))
    responder.async_send(packet(service()), transport=Sender("192.168.1.5", 5353))
    assert not sent, "the name that is used no longer was told"
    responder.registry = registry(service("no room"))
    responder.async_send(packet(service("room")), transport=Sender("192.168.1.5", 5353))
    assert service("no room").dns_text() in [item for item, _ in sent[0].answers]


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
