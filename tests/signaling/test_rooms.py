# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from p2p_handoff.ids import RoomId
from p2p_handoff.limits import RELAY_ROOM_BUFFER, RELAY_ROOM_BUFFER_BYTES, RELAY_ROOMS_PER_CLIENT, ROOM_LIFETIME
from signaling.messages import Nameplate, Refusal
from signaling.rooms import ClientKey, OpenedRoom, Rooms
from tests.signaling.parties import seeded

ALICE, BOB, CAROL = map(ClientKey, (1, 2, 3))
CHOSEN = RoomId("a" * 26)


def opened(rooms: Rooms, client: ClientKey = ALICE, now: float = 0.0) -> OpenedRoom:
    room = rooms.open(client, None, None, now)
    assert isinstance(room, OpenedRoom)
    return room


def test_a_room_gets_a_fresh_id_and_a_free_nameplate() -> None:
    rooms = Rooms(seeded())
    first, second = opened(rooms), opened(rooms)
    assert first.id != second.id
    assert first.nameplate != second.nameplate
    assert rooms.find(first.nameplate) == first.id


def test_entropy_that_repeats_itself_still_gives_different_nameplates() -> None:
    rooms = Rooms(lambda size: b"\xff" * size)
    first = rooms.open(ALICE, CHOSEN, None, 0.0)
    second = rooms.open(ALICE, None, None, 0.0)
    assert isinstance(first, OpenedRoom)
    assert isinstance(second, OpenedRoom)
    assert first.nameplate != second.nameplate


def test_a_chosen_id_and_nameplate_are_kept_and_then_taken() -> None:
    rooms = Rooms(seeded())
    room = rooms.open(ALICE, CHOSEN, Nameplate(42), 0.0)
    assert isinstance(room, OpenedRoom)
    assert (room.id, room.nameplate) == (CHOSEN, 42)
    assert rooms.open(BOB, None, Nameplate(42), 0.0) is Refusal.TAKEN
    assert rooms.open(BOB, CHOSEN, None, 0.0) is Refusal.TAKEN


def test_a_third_party_finds_the_room_crowded() -> None:
    rooms = Rooms(seeded())
    room = opened(rooms)
    assert rooms.join(BOB, room.id) is room
    assert rooms.join(CAROL, room.id) is Refusal.CROWDED


def test_nobody_joins_their_own_room_or_joins_twice() -> None:
    rooms = Rooms(seeded())
    room = opened(rooms)
    assert rooms.join(ALICE, room.id) is Refusal.CROWDED
    rooms.join(BOB, room.id)
    assert rooms.join(BOB, room.id) is Refusal.CROWDED


def test_a_joiner_who_leaves_burns_the_room_for_everyone() -> None:
    rooms = Rooms(seeded())
    room = opened(rooms)
    rooms.join(BOB, room.id)
    assert rooms.leave(BOB, room.id, 1.0) == ALICE
    assert rooms.join(CAROL, room.id) is Refusal.BURNT
    assert rooms.open(ALICE, room.id, None, 1.0) is Refusal.BURNT
    assert rooms.find(room.nameplate) is Refusal.NO_ROOM


def test_an_opener_who_leaves_alone_burns_nothing() -> None:
    rooms = Rooms(seeded())
    room = opened(rooms)
    assert rooms.leave(ALICE, room.id, 1.0) is None
    assert rooms.join(BOB, room.id) is Refusal.NO_ROOM
    assert isinstance(rooms.open(ALICE, room.id, None, 1.0), OpenedRoom)


def test_what_the_opener_says_early_is_kept_up_to_a_bound() -> None:
    rooms = Rooms(seeded())
    room = opened(rooms)
    answers = [rooms.send(ALICE, room.id, b"x") for _ in range(RELAY_ROOM_BUFFER + 1)]
    assert answers == [None] * RELAY_ROOM_BUFFER + [Refusal.FULL]
    assert room.waiting == [b"x"] * RELAY_ROOM_BUFFER


def test_what_is_kept_is_bounded_in_bytes_as_well() -> None:
    rooms = Rooms(seeded())
    room = opened(rooms)
    assert rooms.send(ALICE, room.id, bytes(RELAY_ROOM_BUFFER_BYTES)) is None
    assert rooms.send(ALICE, room.id, b"x") is Refusal.FULL


def test_both_parties_reach_each_other_and_no_one_else_gets_in() -> None:
    rooms = Rooms(seeded())
    room = opened(rooms)
    rooms.join(BOB, room.id)
    assert rooms.send(ALICE, room.id, b"x") == BOB
    assert rooms.send(BOB, room.id, b"x") == ALICE
    assert rooms.send(CAROL, room.id, b"x") is Refusal.NO_ROOM
    assert rooms.leave(CAROL, room.id, 0.0) is Refusal.NO_ROOM


def test_rooms_are_bounded_for_the_relay_and_for_one_client() -> None:
    rooms = Rooms(seeded(), capacity=RELAY_ROOMS_PER_CLIENT + 1)
    for _ in range(RELAY_ROOMS_PER_CLIENT):
        opened(rooms)
    assert rooms.open(ALICE, None, None, 0.0) is Refusal.FULL
    theirs = opened(rooms, BOB)
    assert rooms.open(CAROL, None, None, 0.0) is Refusal.FULL
    assert rooms.join(ALICE, theirs.id) is Refusal.FULL


def test_a_room_and_its_ashes_die_after_their_lifetime() -> None:
    rooms = Rooms(seeded())
    room, spent = opened(rooms), opened(rooms)
    rooms.join(BOB, spent.id)
    rooms.leave(BOB, spent.id, 10.0)
    assert rooms.next_expiry() == ROOM_LIFETIME
    assert rooms.expire(ROOM_LIFETIME - 0.1) == []
    assert rooms.expire(ROOM_LIFETIME) == [room]
    assert rooms.next_expiry() == 10.0 + ROOM_LIFETIME
    rooms.expire(10.0 + ROOM_LIFETIME)
    assert rooms.next_expiry() is None
    assert rooms.join(CAROL, spent.id) is Refusal.NO_ROOM


def test_a_joined_room_that_expires_is_burnt() -> None:
    rooms = Rooms(seeded())
    room = opened(rooms)
    rooms.join(BOB, room.id)
    rooms.expire(ROOM_LIFETIME)
    assert rooms.join(CAROL, room.id) is Refusal.BURNT


class RoomLaws(RuleBasedStateMachine):
    """Whatever clients do: two parties at most, one joiner ever, bounded memory."""

    rooms_made = Bundle[RoomId]("rooms_made")
    clients = st.integers(1, 4).map(ClientKey)

    def __init__(self) -> None:
        super().__init__()
        self.rooms = Rooms(seeded(), capacity=5)
        self.now = 0.0
        self.joined: list[RoomId] = []

    @rule(target=rooms_made, client=clients)
    def open(self, client: ClientKey) -> RoomId:
        room = self.rooms.open(client, None, None, self.now)
        return room.id if isinstance(room, OpenedRoom) else CHOSEN

    @rule(client=clients, room=rooms_made)
    def join(self, client: ClientKey, room: RoomId) -> None:
        if isinstance(self.rooms.join(client, room), OpenedRoom):
            self.joined.append(room)

    @rule(client=clients, room=consumes(rooms_made))
    def leave(self, client: ClientKey, room: RoomId) -> None:
        self.rooms.leave(client, room, self.now)

    @rule(client=clients, room=rooms_made)
    def reopen(self, client: ClientKey, room: RoomId) -> None:
        self.rooms.open(client, room, None, self.now)

    @rule(client=clients, room=rooms_made, data=st.binary(min_size=1, max_size=9))
    def send(self, client: ClientKey, room: RoomId, data: bytes) -> None:
        assert self.rooms.send(client, room, data) != client

    @rule(seconds=st.floats(0, 400))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.rooms.expire(self.now)

    @invariant()
    def nobody_joins_a_room_that_was_joined_before(self) -> None:
        assert len(self.joined) == len(set(self.joined))

    @invariant()
    def rooms_stay_within_their_capacity(self) -> None:
        assert len(self.rooms) <= 5


RoomLaws.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestRoomLaws = RoomLaws.TestCase
