# SPDX-License-Identifier: Apache-2.0
"""Every message between a relay and a client. Layer: signaling, pure. Specification: docs/specs/signaling.md §3-§7.

A client answers the relay's Challenge with a Login and is told Welcome. After that each request carries a
number, and exactly one reply names it. Deliver, RoomMessage, RoomVisited and RoomClosed come unasked; Goodbye
is the last message on a connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, NewType, TypeAlias

from p2p_handoff.ids import DeviceId, RoomId

PROTOCOL_VERSION: Final = 1

RequestId = NewType("RequestId", int)
"""Chosen by the client, 0 to 2³²-1, unique among its unanswered requests."""
Nameplate = NewType("Nameplate", int)
"""The short number by which a room is found: 1 to MAX_NAMEPLATE."""
Version = NewType("Version", int)
Count = NewType("Count", int)
Nonce = NewType("Nonce", bytes)
IdentityKey = NewType("IdentityKey", bytes)
Signature = NewType("Signature", bytes)
RelayName = NewType("RelayName", str)
HostLabel = NewType("HostLabel", str)
"""``host:port`` as dialled: see ``signaling.login.host_label``."""


class Refusal(Enum):
    """Why a request was refused; the connection goes on."""

    ABSENT = "absent"
    """The recipient is not connected here; nothing was stored."""
    BUSY = "busy"
    """The recipient is connected but does not read fast enough; nothing was stored."""
    FORBIDDEN = "forbidden"
    """This relay does not serve such a request to such a device."""
    TAKEN = "taken"
    """The room or the nameplate asked for is in use."""
    NO_ROOM = "no-room"
    CROWDED = "crowded"
    """Two parties are in the room already."""
    BURNT = "burnt"
    """Somebody joined this room and left: it never takes anyone again."""
    FULL = "full"
    """No more room: of rooms, of rooms of this client, or in a room's buffer."""
    TOO_FAST = "too-fast"
    """Too many rooms were asked for from this address."""


class RoomEnd(Enum):
    """Why a room closed."""

    LEFT = "left"
    """The other party closed the room or went away."""
    EXPIRED = "expired"


class Visit(Enum):
    """What its opener is told of a room."""

    JOINED = "joined"
    """Somebody is the second party now."""
    TURNED_AWAY = "turned-away"
    """Somebody else came after that."""


class Farewell(Enum):
    """Why the relay ends a connection."""

    BAD_MESSAGE = "bad-message"
    BAD_LOGIN = "bad-login"
    WRONG_HOST = "wrong-host"
    """The client dialled a host that this relay does not know as its own."""
    VERSION = "version"
    FORBIDDEN = "forbidden"
    TOO_SLOW = "too-slow"
    """Login, or reading, took too long."""
    REPLACED = "replaced"
    """The same device connected again: the newer connection stays."""
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class Challenge:
    """relay → client, first: what the client must sign."""

    versions: tuple[Version, ...]
    relay: RelayName
    nonce: Nonce


@dataclass(frozen=True, slots=True)
class Login:
    """client → relay: the version chosen, who the client is, and the host that it dialled."""

    version: Version
    identity_key: IdentityKey
    host: HostLabel
    signature: Signature


@dataclass(frozen=True, slots=True)
class Welcome:
    """relay → client: the login was good."""

    device: DeviceId
    max_envelope: Count
    messages_per_second: Count
    burst: Count
    room_seconds: Count


@dataclass(frozen=True, slots=True)
class Send:
    """client → relay: pass an envelope on."""

    id: RequestId
    to: DeviceId | None
    """None means the device that the relay is embedded in."""
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Presence:
    """client → relay: which of these devices are connected?"""

    id: RequestId
    devices: tuple[DeviceId, ...]


@dataclass(frozen=True, slots=True)
class OpenRoom:
    """client → relay: open a room, under a chosen id and nameplate or under fresh ones."""

    id: RequestId
    room: RoomId | None = None
    nameplate: Nameplate | None = None


@dataclass(frozen=True, slots=True)
class FindRoom:
    """client → relay: which room has this nameplate?"""

    id: RequestId
    nameplate: Nameplate


@dataclass(frozen=True, slots=True)
class JoinRoom:
    """client → relay: be the second party. A room takes one joiner ever."""

    id: RequestId
    room: RoomId


@dataclass(frozen=True, slots=True)
class RoomSend:
    """client → relay: pass data to the other party, or keep it until there is one."""

    id: RequestId
    room: RoomId
    data: bytes


@dataclass(frozen=True, slots=True)
class CloseRoom:
    """client → relay: leave; the room ends."""

    id: RequestId
    room: RoomId


@dataclass(frozen=True, slots=True)
class Sent:
    """relay → client: the request was carried out."""

    id: RequestId


@dataclass(frozen=True, slots=True)
class Refused:
    """relay → client: the request was not carried out."""

    id: RequestId
    reason: Refusal


@dataclass(frozen=True, slots=True)
class Deliver:
    """relay → client: an envelope, and who handed it in."""

    sender: DeviceId | None
    """None means the device that the relay is embedded in."""
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Present:
    """relay → client: those of the devices asked for that are connected."""

    id: RequestId
    devices: tuple[DeviceId, ...]


@dataclass(frozen=True, slots=True)
class RoomOpened:
    """relay → client: the room exists until ROOM_LIFETIME has passed."""

    id: RequestId
    room: RoomId
    nameplate: Nameplate


@dataclass(frozen=True, slots=True)
class RoomFound:
    """relay → client: the room behind a nameplate."""

    id: RequestId
    room: RoomId


@dataclass(frozen=True, slots=True)
class RoomJoined:
    """relay → client: you are the second party; what was kept follows."""

    id: RequestId
    room: RoomId


@dataclass(frozen=True, slots=True)
class RoomMessage:
    """relay → client: data from the other party of a room."""

    room: RoomId
    data: bytes


@dataclass(frozen=True, slots=True)
class RoomVisited:
    """relay → the room's opener: somebody came."""

    room: RoomId
    visit: Visit


@dataclass(frozen=True, slots=True)
class RoomClosed:
    """relay → client: the room is gone."""

    room: RoomId
    reason: RoomEnd


@dataclass(frozen=True, slots=True)
class Goodbye:
    """relay → client: the last message on this connection."""

    reason: Farewell


Request: TypeAlias = Send | Presence | OpenRoom | FindRoom | JoinRoom | RoomSend | CloseRoom
Reply: TypeAlias = Sent | Refused | Present | RoomOpened | RoomFound | RoomJoined
Unasked: TypeAlias = Deliver | RoomMessage | RoomVisited | RoomClosed | Goodbye
FromClient: TypeAlias = Login | Request
FromRelay: TypeAlias = Challenge | Welcome | Reply | Unasked
Message: TypeAlias = FromClient | FromRelay
