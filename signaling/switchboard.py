# SPDX-License-Identifier: Apache-2.0
"""Who is connected, and what goes to whom. Layer: signaling, pure. Specification: docs/specs/signaling.md §4-§7.

A request and the time come in, messages for clients come out; nothing is stored for anyone who is not here.
A Goodbye among the outputs is the last that its client gets: the caller ends that connection after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from p2p_handoff.ids import DeviceId, Entropy, RoomId
from p2p_handoff.limits import (
    RELAY_JOIN_BURST,
    RELAY_JOINS_PER_SECOND,
    RELAY_LOOKUP_BURST,
    RELAY_LOOKUPS_PER_SECOND,
    RELAY_MAX_ROOMS,
)
from signaling.bucket import TokenBucket
from signaling.messages import (
    CloseRoom,
    Deliver,
    Farewell,
    FindRoom,
    FromRelay,
    Goodbye,
    JoinRoom,
    OpenRoom,
    Presence,
    Present,
    Refusal,
    Refused,
    Request,
    RequestId,
    RoomClosed,
    RoomEnd,
    RoomFound,
    RoomJoined,
    RoomMessage,
    RoomOpened,
    RoomSend,
    RoomVisited,
    Send,
    Sent,
    Visit,
)
from signaling.policy import Policy
from signaling.rooms import ClientKey, Rooms

_LOOKUPS: Final = (OpenRoom, FindRoom, JoinRoom)
_JOINS: Final = (FindRoom, JoinRoom)


class Output(NamedTuple):
    """One message for one client."""

    client: ClientKey
    message: FromRelay


@dataclass(slots=True)
class _Client:
    device: DeviceId
    address: str
    congested: bool = False


class Switchboard:
    """The whole state of a relay.

    Args:
        policy: Whom it serves.
        entropy: Chooses room ids and nameplates.
        max_rooms: Rooms at most.
    """

    def __init__(self, policy: Policy, entropy: Entropy, max_rooms: int = RELAY_MAX_ROOMS) -> None:
        self._policy = policy
        self._rooms = Rooms(entropy, max_rooms)
        self._clients: dict[ClientKey, _Client] = {}
        self._by_device: dict[DeviceId, ClientKey] = {}
        self._lookups: dict[str, TokenBucket] = {}
        self._joins: TokenBucket | None = None
        """Of all addresses together; made when the time is known."""
        self._handlers: Mapping[type, Callable[[ClientKey, Any, float], list[Output]]] = {
            Send: self._send,
            Presence: self._presence,
            OpenRoom: self._open_room,
            FindRoom: self._find_room,
            JoinRoom: self._join_room,
            RoomSend: self._room_send,
            CloseRoom: self._close_room,
        }

    @property
    def client_count(self) -> int:
        """Devices connected now."""
        return len(self._clients)

    @property
    def room_count(self) -> int:
        """Rooms open now."""
        return len(self._rooms)

    def connect(self, client: ClientKey, device: DeviceId, address: str, now: float) -> list[Output]:
        """A device logged in; an older connection of the same device ends."""
        outputs: list[Output] = []
        older = self._by_device.get(device)
        if older is not None:
            outputs = [Output(older, Goodbye(Farewell.REPLACED)), *self.disconnect(older, now)]
        self._clients[client] = _Client(device, address)
        self._by_device[device] = client
        return outputs

    def disconnect(self, client: ClientKey, now: float) -> list[Output]:
        """A connection ended. Nothing happens for a client that is already gone."""
        gone = self._clients.pop(client, None)
        if gone is None:
            return []
        del self._by_device[gone.device]
        outputs: list[Output] = []
        for room in self._rooms.rooms_of(client):
            other = self._rooms.leave(client, room, now)
            if other is not None and not isinstance(other, Refusal):
                outputs.append(Output(other, RoomClosed(room, RoomEnd.LEFT)))
        return outputs

    def set_congested(self, client: ClientKey, *, congested: bool) -> None:
        """Note whether a client reads slowly: while it does, others' messages to it are refused as busy."""
        if client in self._clients:
            self._clients[client].congested = congested

    def handle(self, client: ClientKey, request: Request, now: float) -> list[Output]:
        """Carry out one request; nothing happens for a client that is gone."""
        if client not in self._clients:
            return []
        if isinstance(request, _LOOKUPS) and not self._may_look_up(client, request, now):
            return [self._refused(client, request.id, Refusal.TOO_FAST)]
        return [*self._end_rooms(now), *self._handlers[type(request)](client, request, now)]

    def expire(self, now: float) -> list[Output]:
        """Close the rooms whose time is over, and forget addresses that have been quiet."""
        for address in [address for address, bucket in self._lookups.items() if bucket.is_full(now)]:
            del self._lookups[address]
        return self._end_rooms(now)

    def _end_rooms(self, now: float) -> list[Output]:
        return [
            Output(party, RoomClosed(room.id, RoomEnd.EXPIRED))
            for room in self._rooms.expire(now)
            for party in room.parties()
        ]

    def next_deadline(self, now: float) -> float | None:
        """When to call ``expire``: monotonic seconds, or None if nothing waits."""
        forget = now + RELAY_LOOKUP_BURST / RELAY_LOOKUPS_PER_SECOND if self._lookups else None
        return min((when for when in (self._rooms.next_expiry(), forget) if when is not None), default=None)

    def _may_look_up(self, client: ClientKey, request: Request, now: float) -> bool:
        address = self._clients[client].address
        if address not in self._lookups:
            self._lookups[address] = TokenBucket(RELAY_LOOKUPS_PER_SECOND, RELAY_LOOKUP_BURST, now)
        if not self._lookups[address].take(now):
            return False
        if not isinstance(request, _JOINS):
            return True
        if self._joins is None:
            self._joins = TokenBucket(RELAY_JOINS_PER_SECOND, RELAY_JOIN_BURST, now)
        return self._joins.take(now)

    @staticmethod
    def _refused(client: ClientKey, request: RequestId, reason: Refusal) -> Output:
        return Output(client, Refused(request, reason))

    def _send(self, client: ClientKey, request: Send, _now: float) -> list[Output]:
        sender = self._clients[client].device
        wanted = self._policy.recipient(sender, request.to)
        if wanted is None:
            return [self._refused(client, request.id, Refusal.FORBIDDEN)]
        recipient = self._by_device.get(wanted)
        if recipient is None:
            return [self._refused(client, request.id, Refusal.ABSENT)]
        if self._clients[recipient].congested:
            return [self._refused(client, request.id, Refusal.BUSY)]
        return [
            Output(recipient, Deliver(self._policy.return_address(sender), request.envelope)),
            Output(client, Sent(request.id)),
        ]

    def _presence(self, client: ClientKey, request: Presence, _now: float) -> list[Output]:
        asker = self._clients[client].device
        here = tuple(
            device
            for device in dict.fromkeys(request.devices)
            if device in self._by_device and self._policy.may_see(asker, device)
        )
        return [Output(client, Present(request.id, here))]

    def _open_room(self, client: ClientKey, request: OpenRoom, now: float) -> list[Output]:
        if not self._policy.may_open_rooms(self._clients[client].device):
            return [self._refused(client, request.id, Refusal.FORBIDDEN)]
        opened = self._rooms.open(client, request.room, request.nameplate, now)
        if isinstance(opened, Refusal):
            return [self._refused(client, request.id, opened)]
        return [Output(client, RoomOpened(request.id, opened.id, opened.nameplate))]

    def _find_room(self, client: ClientKey, request: FindRoom, _now: float) -> list[Output]:
        found = self._rooms.find(request.nameplate)
        if isinstance(found, Refusal):
            return [self._refused(client, request.id, found)]
        return [Output(client, RoomFound(request.id, found))]

    def _join_room(self, client: ClientKey, request: JoinRoom, _now: float) -> list[Output]:
        joined = self._rooms.join(client, request.room)
        if isinstance(joined, Refusal):
            return [self._refused(client, request.id, joined), *self._told_of_another(client, request.room, joined)]
        told = Output(joined.opener, RoomVisited(joined.id, Visit.JOINED))
        kept = [Output(client, RoomMessage(joined.id, data)) for data in joined.waiting]
        joined.waiting.clear()
        return [Output(client, RoomJoined(request.id, joined.id)), *kept, told]

    def _told_of_another(self, client: ClientKey, room: RoomId, refusal: Refusal) -> list[Output]:
        opener = self._rooms.news_of_another(client, room) if refusal is Refusal.CROWDED else None
        return [] if opener is None else [Output(opener, RoomVisited(room, Visit.TURNED_AWAY))]

    def _room_send(self, client: ClientKey, request: RoomSend, _now: float) -> list[Output]:
        other = self._rooms.send(client, request.room, request.data)
        if isinstance(other, Refusal):
            return [self._refused(client, request.id, other)]
        sent = Output(client, Sent(request.id))
        if other is None:
            return [sent]
        if self._clients[other].congested:
            return [self._refused(client, request.id, Refusal.BUSY)]
        return [Output(other, RoomMessage(request.room, request.data)), sent]

    def _close_room(self, client: ClientKey, request: CloseRoom, now: float) -> list[Output]:
        other = self._rooms.leave(client, request.room, now)
        if isinstance(other, Refusal):
            return [self._refused(client, request.id, other)]
        told = [] if other is None else [Output(other, RoomClosed(request.room, RoomEnd.LEFT))]
        return [*told, Output(client, Sent(request.id))]
