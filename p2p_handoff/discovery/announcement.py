# SPDX-License-Identifier: Apache-2.0
"""What a device says about itself by mDNS, and how what others say is checked. Layer: I/O ring, no I/O itself.

A sighting is a hint and never trust: anybody on the network can say anything (docs/specs/discovery.md §5).
Specification: docs/specs/discovery.md §2, §6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from p2p_handoff.discovery.veil import Acquaintances, Veil, is_veiled, read_veil, recognise, tag_strings
from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.ids import DEVICE_ID_LENGTH, LONG_ID_LENGTH, DeviceId, RoomId, parse_id
from p2p_handoff.limits import MAX_NAMEPLATE, MAX_TITLE

SERVICE_TYPE: Final = "_p2p-handoff._tcp.local."
MAX_LABEL_BYTES: Final = 63
"""Bytes of one DNS label (RFC 1035 §2.3.4)."""
MAX_TXT_NAME_BYTES: Final = 200
"""Bytes of the display name in TXT: with its key it must fit a string of 255 (RFC 6763 §6.1)."""
MAX_VERSION: Final = 65535
_SUFFIX_LENGTH: Final = 6

Room = tuple[RoomId, int]
"""An open room for linking, and the nameplate that people say aloud."""


class Audience(Enum):
    """Who shall recognise this device."""

    EVERYONE = "everyone"
    LINKED = "linked"
    """The devices that it is linked with; to all others it is a random name."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What this device advertises."""

    device: DeviceId
    name: str
    """Display name; said to EVERYONE only."""
    port: int
    """TCP port of the embedded relay."""
    version: int
    """Highest protocol version spoken."""
    room: Room | None = None
    """Set while a link code is open."""
    audience: Audience = Audience.EVERYONE


@dataclass(frozen=True, slots=True)
class Advertisement:
    """An announcement in the words of DNS-SD."""

    label: str
    """The service instance's first label."""
    server: str
    """Target of the SRV record: a name that address records hang on, never the host's own one."""
    port: int
    txt: Mapping[str, str | bytes]


@dataclass(frozen=True, slots=True)
class Heard:
    """What another device advertises, as received."""

    label: str
    server: str
    port: int
    properties: Mapping[bytes, bytes | None]
    addresses: tuple[str, ...]
    """Usable addresses, already checked and sorted."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A device that is in sight: validated, bounded, and still only a claim."""

    device: DeviceId
    name: str
    """Display name: printable characters only, at most MAX_TITLE of them; empty where it was recognised by a tag."""
    version: int
    addresses: tuple[str, ...]
    """Where to dial, best first; a link-local IPv6 address carries its interface: ``fe80::1%eth0``."""
    port: int
    room: Room | None = None
    recognised: bool = False
    """By a tag that this device made, which others may repeat; else by nothing but its word."""


@dataclass(frozen=True, slots=True)
class Stranger:
    """Somebody in sight who does not tell this device who it is; of use only while a room is open there."""

    version: int
    addresses: tuple[str, ...]
    port: int
    room: Room | None = None


def advertise(announcement: Announcement, veil: Veil | None) -> Advertisement:
    """What is sent.

    Args:
        announcement: What this device says.
        veil: How it appears; None to appear as itself.
    """
    if veil is None:
        label, server = instance_label(announcement), server_name(announcement.device)
    else:
        label, server = veil.label, server_name(veil.label)
    return Advertisement(label, server, announcement.port, txt_record(announcement, veil))


def instance_label(announcement: Announcement) -> str:
    """The service's instance name: the display name for people, six characters of the id to be unique.

    A dot would split the label in two and a control character is not allowed (RFC 6763 §4.1.1): both become ``-``.
    """
    visible = "".join(
        character if character.isprintable() and character != "." else "-" for character in announcement.name
    )
    suffix = f" {announcement.device[:_SUFFIX_LENGTH]}"
    return _cut(visible.strip(), MAX_LABEL_BYTES - len(suffix)) + suffix


def server_name(name: str) -> str:
    """The name that address records hang on: of the device's id or its random label, never the host's own name."""
    return f"{name}.local."


def txt_record(announcement: Announcement, veil: Veil | None = None) -> dict[str, str | bytes]:
    """The key/value pairs of the TXT record."""
    record: dict[str, str | bytes] = {"v": str(announcement.version)}
    if veil is None:
        record |= {"id": announcement.device, "name": _cut(announcement.name, MAX_TXT_NAME_BYTES)}
    else:
        record |= tag_strings(veil)
    if announcement.room is not None:
        room, nameplate = announcement.room
        record |= {"room": room, "np": str(nameplate)}
    return record


def read_announcement(heard: Heard, known: Acquaintances) -> Sighting | Stranger:
    """Check what a device said, and who it is.

    Args:
        heard: What was received.
        known: The devices that this one recognises.

    Raises:
        RemoteProtocolError: Something is missing, malformed or out of bounds, or the parts contradict each other.
    """
    if not 1 <= heard.port <= 65535:
        raise RemoteProtocolError(f"an announcement has port {heard.port}")
    said = heard.properties
    version, room = _number(_text(said, b"v"), MAX_VERSION), _room(said)
    if is_veiled(said):
        veil = read_veil(heard.label, said)
        _check_server(heard, veil.label)
        device = recognise(veil, known)
        if device is None:
            return Stranger(version, heard.addresses, heard.port, room)
        return Sighting(device, "", version, heard.addresses, heard.port, room, recognised=True)
    device = DeviceId(parse_id(_text(said, b"id"), DEVICE_ID_LENGTH))
    _check_server(heard, device)
    return Sighting(device, _display_name(_text(said, b"name")), version, heard.addresses, heard.port, room)


def _check_server(heard: Heard, name: str) -> None:
    if heard.server.lower() != server_name(name):
        raise RemoteProtocolError("an announcement's server name is not that of who speaks")


def _room(properties: Mapping[bytes, bytes | None]) -> Room | None:
    if b"room" not in properties and b"np" not in properties:
        return None
    room = RoomId(parse_id(_text(properties, b"room"), LONG_ID_LENGTH))
    return room, _number(_text(properties, b"np"), MAX_NAMEPLATE)


def _text(properties: Mapping[bytes, bytes | None], key: bytes) -> str:
    value = properties.get(key)
    if value is None:
        raise RemoteProtocolError(f"an announcement has no {key.decode()!r}")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise RemoteProtocolError(f"an announcement's {key.decode()!r} is not UTF-8") from None


def _number(text: str, highest: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= highest):
        raise RemoteProtocolError(f"{text[:10]!r} is not a number from 1 to {highest}")
    return int(text)


def _display_name(text: str) -> str:
    # Control, bidi and unassigned characters are not printable: they could move a cursor or reorder a line.
    name = "".join(character for character in text if character.isprintable())[:MAX_TITLE].strip()
    if not name:
        raise RemoteProtocolError("an announcement's name has no visible character")
    return name


def _cut(text: str, size: int) -> str:
    return text.encode("utf-8")[:size].decode("utf-8", errors="ignore")
