# SPDX-License-Identifier: Apache-2.0
"""Rooms: where two parties meet once. Layer: signaling, pure. Specification: docs/specs/signaling.md §6.

Rules: a room has an opener and at most one joiner, ever. When either leaves, the room is gone; if there was
a joiner, its id is burnt: whoever guesses a link code has one guess. A nameplate only names a room and is
free again when the room is gone. Every room dies after ROOM_LIFETIME.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from typing import NewType

from p2p_handoff.ids import Entropy, RoomId, new_room_id
from p2p_handoff.limits import (
    MAX_NAMEPLATE,
    RELAY_MAX_ROOMS,
    RELAY_ROOM_BUFFER,
    RELAY_ROOM_BUFFER_BYTES,
    RELAY_ROOMS_PER_CLIENT,
    ROOM_LIFETIME,
)
from signaling.messages import Nameplate, Refusal

ClientKey = NewType("ClientKey", int)
"""Numbers the connections of one relay."""


@dataclass(slots=True)
class OpenedRoom:
    """A room with one or two parties."""

    id: RoomId
    nameplate: Nameplate
    opener: ClientKey
    expires_at: float
    joiner: ClientKey | None = None
    waiting: list[bytes] = field(default_factory=list)
    """What the opener sent before anyone joined."""
    told_of_others: bool = False
    """Whether the opener knows that somebody came after the joiner; once is enough."""

    def other(self, client: ClientKey) -> ClientKey | None:
        """The other party, if there is one."""
        return self.joiner if client == self.opener else self.opener

    def parties(self) -> tuple[ClientKey, ...]:
        """One or two clients."""
        return (self.opener,) if self.joiner is None else (self.opener, self.joiner)

    def has_space_for(self, data: bytes) -> bool:
        """Whether the buffer takes one more message."""
        size = sum(map(len, self.waiting)) + len(data)
        return len(self.waiting) < RELAY_ROOM_BUFFER and size <= RELAY_ROOM_BUFFER_BYTES


class Rooms:
    """All rooms of one relay.

    Args:
        entropy: Chooses room ids and nameplates.
        capacity: Rooms at most.
    """

    def __init__(self, entropy: Entropy, capacity: int = RELAY_MAX_ROOMS) -> None:
        self._entropy = entropy
        self._capacity = capacity
        # Lifetimes are equal, so that the order of insertion is the order of expiry in both.
        self._rooms: dict[RoomId, OpenedRoom] = {}
        self._burnt: dict[RoomId, float] = {}
        self._by_nameplate: dict[Nameplate, RoomId] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def open(
        self, client: ClientKey, room: RoomId | None, nameplate: Nameplate | None, now: float
    ) -> OpenedRoom | Refusal:
        """Open a room, under the id and nameplate asked for or under fresh ones."""
        refusal = self._refuse_opening(client, room, nameplate)
        if refusal is not None:
            return refusal
        opened = OpenedRoom(
            id=room or new_room_id(self._entropy),
            nameplate=nameplate or self._free_nameplate(),
            opener=client,
            expires_at=now + ROOM_LIFETIME,
        )
        self._rooms[opened.id] = opened
        self._by_nameplate[opened.nameplate] = opened.id
        return opened

    def _refuse_opening(self, client: ClientKey, room: RoomId | None, nameplate: Nameplate | None) -> Refusal | None:
        if room in self._burnt:
            return Refusal.BURNT
        if room in self._rooms or nameplate in self._by_nameplate:
            return Refusal.TAKEN
        if len(self._rooms) >= self._capacity or self._count(client) >= RELAY_ROOMS_PER_CLIENT:
            return Refusal.FULL
        return None

    def _count(self, client: ClientKey) -> int:
        return sum(client in room.parties() for room in self._rooms.values())

    def _free_nameplate(self) -> Nameplate:
        # The capacity is far below MAX_NAMEPLATE, so that a free one is near any starting point.
        start = int.from_bytes(self._entropy(4), "big")
        candidates = (Nameplate((start + step) % MAX_NAMEPLATE + 1) for step in range(MAX_NAMEPLATE))
        return next(nameplate for nameplate in candidates if nameplate not in self._by_nameplate)

    def find(self, nameplate: Nameplate) -> RoomId | Refusal:
        """The room that has a nameplate."""
        return self._by_nameplate.get(nameplate, Refusal.NO_ROOM)

    def join(self, client: ClientKey, room: RoomId) -> OpenedRoom | Refusal:
        """Make a client the second party; the caller delivers ``waiting`` and empties it."""
        opened = self._rooms.get(room)
        if opened is None:
            return Refusal.BURNT if room in self._burnt else Refusal.NO_ROOM
        if opened.joiner is not None or opened.opener == client:
            return Refusal.CROWDED
        if self._count(client) >= RELAY_ROOMS_PER_CLIENT:
            return Refusal.FULL
        opened.joiner = client
        return opened

    def news_of_another(self, client: ClientKey, room: RoomId) -> ClientKey | None:
        """Whom to tell that one more client wanted to join a room; None if there is nobody to tell, or no need."""
        opened = self._rooms.get(room)
        if opened is None or opened.told_of_others or client in opened.parties():
            return None
        opened.told_of_others = True
        return opened.opener

    def send(self, client: ClientKey, room: RoomId, data: bytes) -> ClientKey | Refusal | None:
        """Who gets the data now; None if the room keeps it until somebody joins."""
        opened = self._rooms.get(room)
        if opened is None or client not in opened.parties():
            return Refusal.NO_ROOM
        other = opened.other(client)
        if other is None:
            if not opened.has_space_for(data):
                return Refusal.FULL
            opened.waiting.append(data)
        return other

    def leave(self, client: ClientKey, room: RoomId, now: float) -> ClientKey | Refusal | None:
        """End a room; the other party that must be told, if there is one."""
        opened = self._rooms.get(room)
        if opened is None or client not in opened.parties():
            return Refusal.NO_ROOM
        self._remove(opened, now)
        return opened.other(client)

    def rooms_of(self, client: ClientKey) -> list[RoomId]:
        """The rooms that a client is in."""
        return [room.id for room in self._rooms.values() if client in room.parties()]

    def expire(self, now: float) -> list[OpenedRoom]:
        """Remove and return the rooms whose time is over, and forget what was burnt long ago."""
        over = list(takewhile(lambda room: room.expires_at <= now, self._rooms.values()))
        for room in over:
            self._remove(room, now)
        for burnt in list(takewhile(lambda room: self._burnt[room] <= now, self._burnt)):
            del self._burnt[burnt]
        return over

    def next_expiry(self) -> float | None:
        """When ``expire`` has something to do: monotonic seconds, or None."""
        first_room = next((room.expires_at for room in self._rooms.values()), None)
        first_burnt = next(iter(self._burnt.values()), None)
        return min((when for when in (first_room, first_burnt) if when is not None), default=None)

    def _remove(self, room: OpenedRoom, now: float) -> None:
        del self._rooms[room.id]
        del self._by_nameplate[room.nameplate]
        if room.joiner is None:
            return
        self._burnt[room.id] = now + ROOM_LIFETIME
        if len(self._burnt) > self._capacity:
            del self._burnt[next(iter(self._burnt))]
