# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.ids import DeviceId, RoomId
from p2p_handoff.limits import (
    RELAY_JOIN_BURST,
    RELAY_JOINS_PER_SECOND,
    RELAY_LOOKUP_BURST,
    RELAY_LOOKUPS_PER_SECOND,
    ROOM_LIFETIME,
)
from p2p_handoff.security.words import WORD_BITS
from signaling import messages as m
from signaling.messages import Farewell, Refusal, RequestId, RoomEnd
from signaling.policy import EmbeddedPolicy, Policy, SharedPolicy
from signaling.rooms import ClientKey
from signaling.switchboard import Switchboard
from tests.signaling import parties
from tests.signaling.parties import seeded

ALICE, BOB, CAROL = (each.device for each in (parties.ALICE, parties.BOB, parties.CAROL))
ONE, TWO, THREE, FOUR = map(ClientKey, range(1, 5))
ID = RequestId(7)


def board(policy: Policy | None = None) -> Switchboard:
    """Alice is client 1, Bob 2 and Carol 3."""
    switchboard = Switchboard(policy or SharedPolicy(), seeded())
    for client, device in ((ONE, ALICE), (TWO, BOB), (THREE, CAROL)):
        assert switchboard.connect(client, device, f"192.0.2.{client}", 0.0) == []
    return switchboard


def meet(switchboard: Switchboard) -> RoomId:
    """Alice and Bob in a room."""
    [(_, opened)] = switchboard.handle(ONE, m.OpenRoom(ID), 0.0)
    assert isinstance(opened, m.RoomOpened)
    assert switchboard.handle(TWO, m.JoinRoom(ID, opened.room), 0.0) == [
        (TWO, m.RoomJoined(ID, opened.room)),
        (ONE, m.RoomVisited(opened.room, m.Visit.JOINED)),
    ]
    return opened.room


def test_an_envelope_goes_to_its_recipient_with_the_true_sender() -> None:
    outputs = board().handle(ONE, m.Send(ID, BOB, b"sealed"), 0.0)
    assert outputs == [(TWO, m.Deliver(ALICE, b"sealed")), (ONE, m.Sent(ID))]


def test_nothing_is_kept_for_a_device_that_is_absent() -> None:
    switchboard = board()
    switchboard.disconnect(TWO, 0.0)
    assert switchboard.handle(ONE, m.Send(ID, BOB, b"sealed"), 0.0) == [(ONE, m.Refused(ID, Refusal.ABSENT))]
    assert switchboard.connect(FOUR, BOB, "192.0.2.2", 1.0) == []


def test_a_congested_recipient_is_busy_until_it_has_read() -> None:
    switchboard = board()
    switchboard.set_congested(TWO, congested=True)
    assert switchboard.handle(ONE, m.Send(ID, BOB, b"x"), 0.0) == [(ONE, m.Refused(ID, Refusal.BUSY))]
    switchboard.set_congested(TWO, congested=False)
    assert switchboard.handle(ONE, m.Send(ID, BOB, b"x"), 0.0)[0].client == TWO


def test_a_congested_party_is_busy_in_its_room_as_well() -> None:
    switchboard = board()
    room = meet(switchboard)
    switchboard.set_congested(TWO, congested=True)
    assert switchboard.handle(ONE, m.RoomSend(ID, room, b"x"), 0.0) == [(ONE, m.Refused(ID, Refusal.BUSY))]


def test_presence_answers_for_the_devices_named_and_no_others() -> None:
    asked = (BOB, DeviceId("z" * 32), BOB)
    assert board().handle(ONE, m.Presence(ID, asked), 0.0) == [(ONE, m.Present(ID, (BOB,)))]


def test_a_second_connection_of_a_device_replaces_the_first_and_tells_it_why() -> None:
    switchboard = board()
    outputs = switchboard.connect(FOUR, ALICE, "192.0.2.9", 0.0)
    assert outputs == [(ONE, m.Goodbye(Farewell.REPLACED))]
    assert switchboard.handle(TWO, m.Send(ID, ALICE, b"x"), 0.0)[0].client == FOUR
    assert switchboard.disconnect(ONE, 0.0) == []
    assert switchboard.handle(ONE, m.Send(ID, BOB, b"x"), 0.0) == []
    assert switchboard.client_count == 3


def test_replacing_a_device_ends_the_rooms_of_its_older_connection() -> None:
    switchboard = board()
    room = meet(switchboard)
    outputs = switchboard.connect(FOUR, ALICE, "192.0.2.9", 0.0)
    assert (TWO, m.RoomClosed(room, RoomEnd.LEFT)) in outputs


def test_two_parties_meet_by_nameplate_and_get_what_was_said_before() -> None:
    switchboard = board()
    [(_, opened)] = switchboard.handle(ONE, m.OpenRoom(ID, None, m.Nameplate(42)), 0.0)
    assert isinstance(opened, m.RoomOpened)
    assert switchboard.handle(ONE, m.RoomSend(ID, opened.room, b"early"), 0.0) == [(ONE, m.Sent(ID))]
    assert switchboard.handle(TWO, m.FindRoom(ID, m.Nameplate(42)), 0.0) == [(TWO, m.RoomFound(ID, opened.room))]
    assert switchboard.handle(TWO, m.JoinRoom(ID, opened.room), 0.0) == [
        (TWO, m.RoomJoined(ID, opened.room)),
        (TWO, m.RoomMessage(opened.room, b"early")),
        (ONE, m.RoomVisited(opened.room, m.Visit.JOINED)),
    ]
    assert switchboard.handle(TWO, m.RoomSend(ID, opened.room, b"hi"), 0.0) == [
        (ONE, m.RoomMessage(opened.room, b"hi")),
        (TWO, m.Sent(ID)),
    ]


def test_refusals_in_rooms_reach_the_one_who_asked() -> None:
    switchboard = board()
    room = meet(switchboard)
    crowded = (THREE, m.Refused(ID, Refusal.CROWDED))
    assert switchboard.handle(THREE, m.JoinRoom(ID, room), 0.0)[0] == crowded
    assert switchboard.handle(THREE, m.RoomSend(ID, room, b"x"), 0.0) == [(THREE, m.Refused(ID, Refusal.NO_ROOM))]
    assert switchboard.handle(THREE, m.CloseRoom(ID, room), 0.0) == [(THREE, m.Refused(ID, Refusal.NO_ROOM))]
    assert switchboard.handle(THREE, m.OpenRoom(ID, room), 0.0) == [(THREE, m.Refused(ID, Refusal.TAKEN))]
    no_room = [(THREE, m.Refused(ID, Refusal.NO_ROOM))]
    assert switchboard.handle(THREE, m.FindRoom(ID, m.Nameplate(1)), 0.0) == no_room


def test_the_opener_is_told_once_that_others_were_turned_away() -> None:
    switchboard = board()
    room = meet(switchboard)
    crowded = m.Refused(ID, Refusal.CROWDED)
    assert switchboard.handle(TWO, m.JoinRoom(ID, room), 0.0) == [(TWO, crowded)], "it is in there itself"
    told = (ONE, m.RoomVisited(room, m.Visit.TURNED_AWAY))
    assert switchboard.handle(THREE, m.JoinRoom(ID, room), 0.0) == [(THREE, crowded), told]
    assert switchboard.handle(THREE, m.JoinRoom(ID, room), 0.0) == [(THREE, crowded)]


def test_closing_a_room_tells_the_other_party() -> None:
    switchboard = board()
    room = meet(switchboard)
    assert switchboard.handle(ONE, m.CloseRoom(ID, room), 0.0) == [
        (TWO, m.RoomClosed(room, RoomEnd.LEFT)),
        (ONE, m.Sent(ID)),
    ]
    assert switchboard.room_count == 0


def test_a_party_that_disconnects_leaves_its_rooms() -> None:
    switchboard = board()
    room = meet(switchboard)
    assert switchboard.disconnect(TWO, 0.0) == [(ONE, m.RoomClosed(room, RoomEnd.LEFT))]
    assert switchboard.handle(THREE, m.JoinRoom(ID, room), 0.0) == [(THREE, m.Refused(ID, Refusal.BURNT))]


def test_a_room_that_expires_closes_for_both() -> None:
    switchboard = board()
    room = meet(switchboard)
    assert switchboard.expire(ROOM_LIFETIME) == [
        (ONE, m.RoomClosed(room, RoomEnd.EXPIRED)),
        (TWO, m.RoomClosed(room, RoomEnd.EXPIRED)),
    ]


def test_a_room_past_its_time_takes_nobody_even_if_no_timer_ran() -> None:
    switchboard = board()
    [(_, opened)] = switchboard.handle(ONE, m.OpenRoom(ID), 0.0)
    assert isinstance(opened, m.RoomOpened)
    outputs = switchboard.handle(TWO, m.JoinRoom(ID, opened.room), ROOM_LIFETIME)
    assert (TWO, m.Refused(ID, Refusal.NO_ROOM)) in outputs


def test_a_scan_of_nameplates_is_slowed_down_per_address() -> None:
    switchboard = board()
    switchboard.connect(FOUR, DeviceId("y" * 32), "192.0.2.1", 0.0)
    for plate in range(1, RELAY_LOOKUP_BURST + 1):
        switchboard.handle(ONE, m.FindRoom(ID, m.Nameplate(plate)), 0.0)
    too_fast = m.Refused(ID, Refusal.TOO_FAST)
    assert switchboard.handle(ONE, m.FindRoom(ID, m.Nameplate(1)), 0.0) == [(ONE, too_fast)]
    assert switchboard.handle(FOUR, m.JoinRoom(ID, RoomId("a" * 26)), 0.0) == [(FOUR, too_fast)]
    assert switchboard.handle(TWO, m.FindRoom(ID, m.Nameplate(1)), 0.0) != [(TWO, too_fast)]
    assert switchboard.handle(ONE, m.FindRoom(ID, m.Nameplate(1)), 1.0) != [(ONE, too_fast)]


def test_a_hundred_thousand_guesses_from_a_thousand_addresses_reach_few_rooms_and_each_once() -> None:
    """Each guess finds a nameplate and joins; whoever opened a room opens another one as soon as it is used up."""
    switchboard = board()
    attackers = [ClientKey(100 + number) for number in range(1000)]
    for client in attackers:
        switchboard.connect(client, DeviceId(f"{client:x<32}"), f"198.51.{client % 250}.{client // 250}", 0.0)
    too_fast = m.Refused(ID, Refusal.TOO_FAST)
    admitted = joined = 0
    room: m.RoomOpened | None = None
    for step in range(100_000):
        now = step * ROOM_LIFETIME / 100_000
        if room is None:
            [(_, answer)] = switchboard.handle(ONE, m.OpenRoom(ID), now)
            room = answer if isinstance(answer, m.RoomOpened) else None
        attacker = attackers[step % len(attackers)]
        plate = room.nameplate if room is not None else m.Nameplate(1)
        if (attacker, too_fast) in switchboard.handle(attacker, m.FindRoom(ID, plate), now):
            continue
        admitted += 1
        if room is None or (attacker, too_fast) in switchboard.handle(attacker, m.JoinRoom(ID, room.room), now):
            continue
        joined += 1
        switchboard.handle(attacker, m.CloseRoom(ID, room.room), now)
        room = None
    assert 0 < admitted <= RELAY_JOIN_BURST + RELAY_JOINS_PER_SECOND * ROOM_LIFETIME < 100_000 / 4
    assert 0 < joined <= RELAY_LOOKUP_BURST + RELAY_LOOKUPS_PER_SECOND * ROOM_LIFETIME
    assert joined / 2 ** (2 * WORD_BITS) < 2**-12  # Of all rooms together, in ten minutes; of one code it is 2^-22.


def test_addresses_that_were_quiet_are_forgotten() -> None:
    switchboard = board()
    switchboard.handle(ONE, m.FindRoom(ID, m.Nameplate(1)), 0.0)
    deadline = switchboard.next_deadline(0.0)
    assert deadline is not None
    switchboard.expire(deadline)
    assert switchboard.next_deadline(deadline) is None


def test_an_embedded_relay_refuses_foreign_envelopes_and_rooms() -> None:
    switchboard = board(EmbeddedPolicy(ALICE))
    assert switchboard.handle(TWO, m.Send(ID, CAROL, b"x"), 0.0) == [(TWO, m.Refused(ID, Refusal.FORBIDDEN))]
    assert switchboard.handle(TWO, m.OpenRoom(ID), 0.0) == [(TWO, m.Refused(ID, Refusal.FORBIDDEN))]
    assert switchboard.handle(TWO, m.Presence(ID, (ALICE, CAROL)), 0.0) == [(TWO, m.Present(ID, ()))]
    assert switchboard.handle(TWO, m.Send(ID, ALICE, b"x"), 0.0) == [(TWO, m.Refused(ID, Refusal.FORBIDDEN))]
    assert switchboard.handle(TWO, m.Send(ID, None, b"x"), 0.0)[0] == (ONE, m.Deliver(BOB, b"x"))
    assert switchboard.handle(ONE, m.Send(ID, BOB, b"x"), 0.0)[0] == (TWO, m.Deliver(None, b"x"))
    assert switchboard.handle(ONE, m.Send(ID, None, b"x"), 0.0) == [(ONE, m.Refused(ID, Refusal.FORBIDDEN))]
    meet(switchboard)


devices = st.sampled_from([ALICE, BOB, CAROL, DeviceId("z" * 32)])
rooms = st.sampled_from([RoomId(letter * 26) for letter in "abc"])
plates = st.integers(1, 3).map(m.Nameplate)
requests = st.one_of(
    st.builds(m.Send, st.just(ID), st.none() | devices, st.just(b"x")),
    st.builds(m.Presence, st.just(ID), st.tuples(devices)),
    st.builds(m.OpenRoom, st.just(ID), st.none() | rooms, st.none() | plates),
    st.builds(m.FindRoom, st.just(ID), plates),
    st.builds(m.JoinRoom, st.just(ID), rooms),
    st.builds(m.RoomSend, st.just(ID), rooms, st.just(b"x")),
    st.builds(m.CloseRoom, st.just(ID), rooms),
)


@given(st.lists(st.tuples(st.sampled_from([ONE, TWO, THREE]), requests), max_size=40))
def test_every_request_gets_exactly_one_reply_and_strangers_hear_nothing(
    script: list[tuple[ClientKey, m.Request]],
) -> None:
    switchboard = board()
    replies = (m.Sent, m.Refused, m.Present, m.RoomOpened, m.RoomFound, m.RoomJoined)
    for client, request in script:
        outputs = switchboard.handle(client, request, 0.0)
        assert [output.client for output in outputs if isinstance(output.message, replies)] == [client]
        others = [output.client for output in outputs if output.client != client]
        assert len(others) <= 1
