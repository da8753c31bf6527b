# SPDX-License-Identifier: Apache-2.0
"""What an agent is doing at one moment: the values of ``Agent.status()`` and of ``handoff status``. Layer: agent, pure.

Specification: docs/cli.md §4. agent.overview gathers them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from p2p_handoff.agent.headway import Headway
from p2p_handoff.agent.peers import Peer
from p2p_handoff.agent.requests import IncomingRequest
from p2p_handoff.ids import DeviceId, SessionId, TxnId
from p2p_handoff.protocol.messages import Mode
from p2p_handoff.session.ownership import Ownership, Role, is_lost
from p2p_handoff.store.key_places import KeptIn


class Direction(Enum):
    """Where a handoff goes, as this device sees it."""

    OUT = "out"
    IN = "in"


class SessionState(Enum):
    """What is true of a session on this device."""

    HERE = "here"
    """This device is its primary."""
    LEAVING = "leaving"
    """A handoff of it goes out, and may still be taken back or is being answered."""
    ARRIVING = "arriving"
    """A handoff of it comes in."""
    NOT_IN_PLACE = "not-in-place"
    """It is this device's, and something keeps it from being put in place."""
    IN_DOUBT = "in-doubt"
    """It is frozen: it was granted, and the answer is outstanding."""
    ELSEWHERE = "elsewhere"
    """Another device is its primary."""
    LOST = "lost"
    """It is this device's, and this home is older than that."""


_STATES = {Role.PRIMARY: SessionState.HERE, Role.FROZEN: SessionState.IN_DOUBT, Role.SECONDARY: SessionState.ELSEWHERE}
_UNDER_WAY = {Direction.OUT: SessionState.LEAVING, Direction.IN: SessionState.ARRIVING}


def session_state(own: Ownership, me: DeviceId, *, moving: Direction | None, unplaced: bool) -> SessionState:
    """The state of a session.

    Args:
        own: This device's record.
        me: This device.
        moving: Where a handoff of it goes that has told nobody yet how it stands; None where there is none.
        unplaced: Whether something keeps it from being put in place.
    """
    if unplaced:
        return SessionState.NOT_IN_PLACE
    if is_lost(own, me=me):
        return SessionState.LOST
    if moving is Direction.OUT and own.role is Role.SECONDARY:
        return SessionState.ELSEWHERE  # It is the other device's already, and is being put in place there.
    return _STATES[own.role] if moving is None else _UNDER_WAY[moving]


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """One session that was not stopped."""

    session: SessionId
    title: str
    role: Role
    epoch: int
    primary: str
    """Name of the device that is its primary, as far as this one knows."""
    state: SessionState

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields."""
        return {**asdict(self), "role": self.role.value, "state": self.state.value}


@dataclass(frozen=True, slots=True)
class Line:
    """An open connection to a device."""

    engine: str
    path: str
    """How the devices reach each other: ``host``, ``reflexive``, ``relayed``, ``unknown``."""
    round_trip: float | None
    """Seconds that a ping and its answer take, smoothed; None within the first second."""
    sending: float
    """Bytes of content per second over the last few seconds, as they are on the wire."""
    receiving: float
    sent_bytes: int
    """Of content since it was opened, as they were on the wire."""
    received_bytes: int

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields."""
        return {
            "engine": self.engine,
            "path": self.path,
            "round_trip_ms": None if self.round_trip is None else round(self.round_trip * 1000, 2),
            "sending": round(self.sending),
            "receiving": round(self.receiving),
            "sent_bytes": self.sent_bytes,
            "received_bytes": self.received_bytes,
        }


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """A device that is linked or in sight."""

    peer: Peer
    line: Line | None
    """The connection to it; None where there is none."""

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields."""
        peer = self.peer
        return {
            "device": peer.device,
            "name": peer.name,
            "linked": peer.linked,
            "online": peer.online,
            "connection": None if self.line is None else self.line.as_json(),
        }


@dataclass(frozen=True, slots=True)
class HandoffStatus:
    """A handoff under way."""

    txn: TxnId
    session: SessionId
    title: str
    """The beginning of the session's id while the other device has not told it."""
    direction: Direction
    peer: str
    """Display name of the other device."""
    mode: Mode
    connected: bool
    headway: Headway

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields; how far it is has the keys of the event ``progress``."""
        return {
            "txn": self.txn,
            "session": self.session,
            "title": self.title,
            "direction": self.direction.value,
            "peer": self.peer,
            "mode": self.mode.value,
            "connected": self.connected,
            **self.headway.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What is not as it should be, in words, with the keys of the commands that tell of it."""

    not_in_place: tuple[Mapping[str, Any], ...]
    in_doubt: tuple[Mapping[str, Any], ...]
    lost: tuple[Mapping[str, Any], ...]
    old_copy: Mapping[str, Any] | None
    """This device's data is older than what its devices have seen of it."""
    forks: tuple[Mapping[str, Any], ...]
    edited_here: tuple[Mapping[str, Any], ...]

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields."""
        return {
            "not_in_place": list(self.not_in_place),
            "in_doubt": list(self.in_doubt),
            "lost": list(self.lost),
            "old_copy": self.old_copy,
            "forks": list(self.forks),
            "edited_here": list(self.edited_here),
        }


@dataclass(frozen=True, slots=True)
class Status:
    """One agent at one moment."""

    device: DeviceId
    name: str
    home: Path
    port: int
    """TCP port of the embedded relay."""
    engine: str
    keys: KeptIn
    """Where the secret keys of this device are."""
    handoff: bool
    """False when it is switched off."""
    visible: str
    """Who recognises this device on the network: ``everyone``, ``linked`` or ``nobody``."""
    discovery: str
    """Why devices may not be found; empty where they should be."""
    receive_dir: Path
    relays: Mapping[str, str]
    """Shared relays: why one is not connected, by URL; empty where it is."""
    devices: tuple[DeviceStatus, ...]
    sessions: tuple[SessionStatus, ...]
    active: tuple[HandoffStatus, ...]
    requests: tuple[IncomingRequest, ...]
    """What waits for a person's answer, oldest first."""
    unsettled: Unsettled
    taken_at: float
    """When this was so, on the event loop's clock, as that of the requests' ends."""

    def as_json(self) -> dict[str, Any]:
        """The stable keys of ``handoff status``."""
        return {
            "device": self.device,
            "name": self.name,
            "home": str(self.home),
            "port": self.port,
            "engine": self.engine,
            "keys": self.keys.place.value,
            "keys_in": self.keys.words,
            "handoff": self.handoff,
            "visible": self.visible,
            "discovery": self.discovery,
            "receive_dir": str(self.receive_dir),
            "relays": dict(self.relays),
            "peers_online": sum(item.peer.online for item in self.devices),
            "devices": [item.as_json() for item in self.devices],
            "sessions": [item.as_json() for item in self.sessions],
            "active": [item.as_json() for item in self.active],
            "requests": [_in_brief(item, self.taken_at) for item in self.requests],
            **self.unsettled.as_json(),
        }


def _in_brief(request: IncomingRequest, now: float) -> dict[str, Any]:
    """What is asked, without what a peer lists as parts and secrets: ``handoff requests`` has that."""
    return {
        "token": request.token,
        "wish": request.wish.value,
        "from": request.peer,
        "title": request.title,
        "expires_in": max(0, round(request.expires_at - now)),
    }
