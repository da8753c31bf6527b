# SPDX-License-Identifier: Apache-2.0
"""Targets: session descriptions as both parsers of a connection read them, and announcements on the local network."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Interface, IPv6Interface
from typing import Any, Final

import cbor2
from aiortc.sdp import SessionDescription
from zeroconf import DNSIncoming, ServiceInfo  # type: ignore[attr-defined]  # it is there, and not in __all__

from p2p_handoff.discovery.addresses import MAX_ADDRESSES, Interface, dialable
from p2p_handoff.discovery.announcement import (
    SERVICE_TYPE,
    Advertisement,
    Announcement,
    Heard,
    Stranger,
    advertise,
    read_announcement,
    server_name,
)
from p2p_handoff.discovery.veil import Acquaintances, draw
from p2p_handoff.engines import sdp
from p2p_handoff.errors import SealError
from p2p_handoff.ids import DeviceId, RoomId
from p2p_handoff.limits import MAX_NAMEPLATE, MAX_TITLE
from p2p_handoff.security.fingerprint import sdp_fingerprint
from tests.fuzz.target import Shape, Target, attempt, must, plan
from tests.fuzz.targets.descriptions import AIORTC, NATIVE

_INTERFACES: Final = (
    Interface(2, "eth0", (IPv4Interface("192.0.2.9/24"), IPv6Interface("fe80::9/64"))),
    Interface(3, "wlan0", (IPv4Interface("10.0.0.9/8"), IPv6Interface("2001:db8::9/64"))),
)


def _described(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    given = attempt(sdp.for_engine, text)
    must(0 <= sdp.max_message_size(text) < 10**10, "a message size out of bounds")
    must(len(sdp.hide_loopback(text)) <= 2 * len(text) + 2, "a description grows")
    if given is None:
        return False
    announced = sdp.sha256_fingerprint(text)
    must(_sealed_fingerprint(text) in {None, announced}, "two readers see different fingerprints")
    _judge_engine(given, announced)
    return True


def _sealed_fingerprint(text: str) -> bytes | None:
    try:
        return sdp_fingerprint(text)
    except SealError:
        return None


def _judge_engine(text: str, announced: bytes) -> None:
    """What the engine's own parser makes of a description that passed."""
    try:
        parsed = SessionDescription.parse(text)
    except Exception:  # noqa: BLE001 - the engine turns whatever its parser raises into a typed error
        return
    for media in parsed.media:
        for candidate in media.ice_candidates:
            ipaddress.ip_address(candidate.ip)
        if media.dtls is not None:
            values = {item.value.replace(":", "").lower() for item in media.dtls.fingerprints}
            must(values <= {announced.hex()}, "the engine would take another certificate than the sealed one")


def _sighting(data: bytes) -> bool:
    match plan(data):
        case [dict(txt), str(label), str(server), int(port), list(claimed)]:
            properties = {key: value for key, value in txt.items() if isinstance(key, bytes)}
        case [bytes(packet), bytes(record)]:
            return _packet(packet, record)
        case _:
            return False
    addresses = dialable([item for item in claimed if isinstance(item, str)], _INTERFACES)
    _judge_addresses(addresses)
    kept = {key: value for key, value in properties.items() if isinstance(value, bytes | None)}
    return _judged(Heard(label, server, port, kept, addresses))


def _judge_addresses(addresses: tuple[str, ...]) -> None:
    must(len(addresses) <= MAX_ADDRESSES, "more addresses than may be kept")
    for text in addresses:
        address = ipaddress.ip_address(text)
        must(not address.is_loopback, "a stranger's address leads to this machine")
        must(not (address.is_multicast or address.is_unspecified), "an address is none of one device")


def _judged(heard: Heard) -> bool:
    found = attempt(read_announcement, heard, _FRIENDS)
    if found is None:
        return False
    must(1 <= found.port <= 65535, "a port out of bounds")
    must(found.room is None or 1 <= found.room[1] <= MAX_NAMEPLATE, "a nameplate out of bounds")
    if isinstance(found, Stranger):
        return True
    must(len(found.name) <= MAX_TITLE and found.name.isprintable(), "a name that cannot be shown")
    must(not found.recognised or heard.label == _DRAWN.label, "a device is recognised that made no tag")
    if not found.recognised:
        said = advertise(Announcement(found.device, found.name, found.port, found.version, found.room), None)
        must(len(said.label.encode()) <= 63, "a label is too long")
        again = Heard(said.label, said.server, said.port, _as_bytes(said), heard.addresses)
        must(attempt(read_announcement, again, _FRIENDS) is not None, "what was read cannot be said")
    return True


def _as_bytes(said: Advertisement) -> dict[bytes, bytes | None]:
    return {key.encode(): value if isinstance(value, bytes) else value.encode() for key, value in said.txt.items()}


def _packet(packet: bytes, record: bytes) -> bool:
    """A datagram and a TXT record as the library reads them."""
    DNSIncoming(packet).answers()
    info = ServiceInfo(SERVICE_TYPE, f"x.{SERVICE_TYPE}", port=1, properties=record, server=server_name(_DEVICE))
    return _judged(Heard("x", server_name(_DEVICE), 1, dict(info.properties), ()))


_DEVICE: Final = DeviceId("a" * 32)
_FRIENDS: Final = Acquaintances(DeviceId("b" * 32), {_DEVICE: bytes(32)})
_DRAWN: Final = draw(Acquaintances(_DEVICE, {_FRIENDS.me: bytes(32)}), bytes)


def _announcements() -> list[bytes]:
    said = Announcement(_DEVICE, "laptop", 8787, 2, (RoomId("b" * 26), 7))
    plain = Announcement(_DEVICE, "b\u00fcro", 1, 1)
    addresses = ["192.0.2.7", "fe80::7%eth0", "fe80::7", "::ffff:127.0.0.1", "127.0.0.1", "224.0.0.1", "2001:db8::1%3"]
    words = [advertise(said, None), advertise(plain, None), advertise(said, _DRAWN)]
    rows: list[Any] = [[_as_bytes(item), item.label, item.server, item.port, addresses] for item in words]
    info = ServiceInfo(SERVICE_TYPE, f"laptop.{SERVICE_TYPE}", port=1, properties=dict(words[0].txt))
    question = bytes.fromhex("000084000000000100000000") + b"\x04_p2p\x05local\0\0\x10\0\x01\0\0\0x\0\x05\x04id=a"
    rows.append([question, bytes(info.text)])
    return [cbor2.dumps(row) for row in rows]


TARGETS = (
    Target(
        "sdp",
        "all readers of a description see one fingerprint, and no candidate that names a host",
        _described,
        Shape.TEXT,
        lambda: [AIORTC.encode(), NATIVE.encode()],
        8_192,
    ),
    Target(
        "mdns",
        "a sighting is bounded and printable; no address leads to this machine",
        _sighting,
        Shape.CBOR,
        _announcements,
    ),
)
