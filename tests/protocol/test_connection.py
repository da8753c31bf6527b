# SPDX-License-Identifier: Apache-2.0
"""Two connections joined in memory, with real keys: what opens them, what flows, and what closes them for good."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.errors import (
    HandoffError,
    LocalProtocolError,
    RemoteProtocolError,
    SealError,
    TrustError,
    VersionError,
)
from p2p_handoff.ids import PartId
from p2p_handoff.limits import (
    CREDIT_WINDOW,
    HANDSHAKE_DEADLINE,
    MAX_CONTROL_MESSAGE,
    MAX_FRAME,
    MAX_NATIVE_FRAME,
    MAX_OBJECT,
    PEER_DEAD_AFTER,
    PING_INTERVAL,
    SLOW_FRAME,
)
from p2p_handoff.protocol import codec
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.protocol.connection import (
    Connection,
    Event,
    MessageReceived,
    ObjectReceived,
    Parameters,
    PeerLeft,
    PeerReady,
    PeerSilent,
    Phase,
)
from p2p_handoff.protocol.messages import Credit, Hello, Ping, Query, Round, Want
from p2p_handoff.protocol.records import ObjectRecord
from p2p_handoff.security.exchange import EphemeralOffer, channel_keys, respond, transcript_hash
from p2p_handoff.security.frames import FRAME_OVERHEAD, FrameSealer, prove
from p2p_handoff.security.identity import Identity
from tests.protocol.example_messages import SESSION, TXN

DIALLER, ANSWERER, STRANGER = Identity.generate(), Identity.generate(), Identity.generate()
OFFER = EphemeralOffer.generate()
ANSWER, SECRETS = respond(OFFER.public)
TRANSCRIPT = transcript_hash(b"offer", b"answer")
HELLO = Hello((2,), "laptop", "test", (), 5, 0)
QUERY = Query(TXN, SESSION, b"g")


def parameters(*, dialler: bool) -> Parameters:
    me, peer = (DIALLER, ANSWERER) if dialler else (ANSWERER, DIALLER)
    keys = channel_keys(SECRETS, TRANSCRIPT, dialler=dialler)
    return Parameters(me, peer.public, keys, TRANSCRIPT, dialler=dialler, hello=HELLO)


class Pair:
    """Both ends. What one end sends arrives at once and in order when ``exchange`` is called."""

    def __init__(self, change: Callable[[Parameters], Parameters] = lambda given: given) -> None:
        self.now = 0.0
        self.left = Connection(change(parameters(dialler=True)), self.now)
        self.right = Connection(parameters(dialler=False), self.now)
        self.left_events: list[Event] = []
        self.right_events: list[Event] = []
        self.left.start()
        self.right.start()

    def exchange(self) -> None:
        moved = True
        while moved:
            moved = self._pass(self.left, self.right, self.right_events)
            moved = self._pass(self.right, self.left, self.left_events) or moved

    def _pass(self, sender: Connection, receiver: Connection, events: list[Event]) -> bool:
        frames = [(Channel.CONTROL, frame) for frame in sender.control_frames()]
        while (frame := sender.bulk_frame()) is not None:
            frames.append((Channel.BULK, frame))
        for channel, sent in frames:
            events += receiver.receive(channel, sent, self.now)
        return bool(frames)

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def pair() -> Pair:
    both = Pair()
    both.exchange()
    both.left_events.clear()
    both.right_events.clear()
    return both


class Forger:
    """A left end that holds the right keys and sends whatever it likes to an open right end."""

    def __init__(self) -> None:
        self.victim = Connection(parameters(dialler=False), 0.0)
        self.sealer = FrameSealer(parameters(dialler=True).keys.send_control)
        self.bulk = FrameSealer(parameters(dialler=True).keys.send_bulk)

    def prove(self) -> None:
        self.victim.receive(Channel.CONTROL, self.sealer.seal(prove(DIALLER, TRANSCRIPT, dialler=True)), 0.0)

    def send(self, plain: bytes) -> list[Event]:
        return self.victim.receive(Channel.CONTROL, self.sealer.seal(plain), 0.0)

    def open(self) -> Forger:
        self.prove()
        self.send(b"\x01" + codec.encode(HELLO))
        return self


def record(size: int) -> ObjectRecord:
    return ObjectRecord(TXN, Digest(bytes(32)), 0, bytes(size))


# --- handshake --------------------------------------------------------------------------------------


def test_proofs_and_hellos_open_the_connection() -> None:
    both = Pair()
    both.exchange()
    assert both.left.phase is both.right.phase is Phase.OPEN
    assert both.left_events == both.right_events == [PeerReady(HELLO, 2)]


@pytest.mark.parametrize(
    "change",
    [
        lambda given: replace(given, identity=STRANGER),
        lambda given: replace(given, transcript=bytes(32)),
        lambda given: replace(given, dialler=False),
    ],
    ids=["another device", "another transcript", "the other role"],
)
def test_a_proof_by_a_wrong_key_or_over_other_things_is_refused(change: Callable[[Parameters], Parameters]) -> None:
    both = Pair(change)
    with pytest.raises(TrustError, match="not the one that was dialled"):
        both.exchange()
    assert both.right.phase is Phase.CLOSED
    assert both.right_events == []


def test_a_first_frame_that_is_no_signature_is_refused() -> None:
    forger = Forger()
    with pytest.raises(TrustError):
        forger.send(b"\x01" + codec.encode(HELLO))
    assert forger.victim.phase is Phase.CLOSED


def test_without_a_common_version_the_error_names_both() -> None:
    both = Pair(lambda given: replace(given, hello=replace(HELLO, versions=(3, 4))))
    with pytest.raises(VersionError, match="this device speaks version 2 and the other one version 3, version 4"):
        both.exchange()
    assert both.right.phase is Phase.CLOSED


def test_the_highest_common_version_is_spoken() -> None:
    both = Pair(lambda given: replace(given, hello=replace(HELLO, versions=(1, 2, 9))))
    both.exchange()
    assert both.left_events == [PeerReady(HELLO, 2)]


def test_nothing_but_a_hello_is_believed_before_the_hello() -> None:
    forger = Forger()
    forger.prove()
    with pytest.raises(RemoteProtocolError, match="expected a hello, got Query"):
        forger.send(b"\x01" + codec.encode(QUERY))


def test_a_second_hello_closes_the_connection() -> None:
    forger = Forger().open()
    with pytest.raises(RemoteProtocolError, match="a second hello"):
        forger.send(b"\x01" + codec.encode(HELLO))
    assert forger.victim.phase is Phase.CLOSED


def test_content_before_the_handshake_closes_the_connection() -> None:
    forger = Forger()
    forger.prove()
    with pytest.raises(RemoteProtocolError, match="before the handshake"):
        forger.victim.receive(Channel.BULK, forger.bulk.seal(b"x"), 0.0)


def test_nothing_can_be_sent_before_the_handshake_is_complete() -> None:
    left = Pair().left
    with pytest.raises(LocalProtocolError, match="proving"):
        left.send(QUERY)
    with pytest.raises(LocalProtocolError, match="proving"):
        left.send_object(record(1))


def test_an_engine_that_takes_hardly_anything_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="takes only 1023 bytes"):
        Connection(replace(parameters(dialler=True), max_message=1023), 0.0)


# --- messages ---------------------------------------------------------------------------------------


def test_messages_arrive_in_order(pair: Pair) -> None:
    for number in range(1, 5):
        pair.left.send(Round(TXN, number, b""))
    pair.exchange()
    assert pair.right_events == [MessageReceived(Round(TXN, number, b"")) for number in range(1, 5)]


@given(st.integers(0, 5000), st.sampled_from([1024, 1025, MAX_FRAME, 2 * MAX_NATIVE_FRAME]))
@settings(deadline=None)
def test_a_message_of_any_size_fits_frames_of_any_size(size: int, max_message: int) -> None:
    both = Pair(lambda given: replace(given, max_message=max_message))
    both.exchange()
    message = Round(TXN, 1, bytes(size))
    both.left.send(message)
    frames = both.left.control_frames()
    assert max(map(len, frames)) <= min(max_message, MAX_NATIVE_FRAME)
    events = [event for frame in frames for event in both.right.receive(Channel.CONTROL, frame, 0.0)]
    assert events == [MessageReceived(message)]


def test_a_large_message_spans_many_frames(pair: Pair) -> None:
    message = Round(TXN, 1, bytes(1_000_000))
    pair.left.send(message)
    frames = pair.left.control_frames()
    assert len(frames) == math.ceil(1_000_000 / SLOW_FRAME)
    for frame in frames[:-1]:
        assert pair.right.receive(Channel.CONTROL, frame, 0.0) == []
    assert pair.right.receive(Channel.CONTROL, frames[-1], 0.0) == [MessageReceived(message)]


def test_a_message_beyond_the_limit_is_refused_while_it_arrives() -> None:
    forger = Forger().open()
    piece = b"\x00" + bytes(MAX_NATIVE_FRAME - FRAME_OVERHEAD - 1)
    for _ in range(MAX_CONTROL_MESSAGE // (len(piece) - 1)):
        assert forger.send(piece) == []
    with pytest.raises(RemoteProtocolError, match="a control message of more than"):
        forger.send(piece)


@pytest.mark.parametrize("plain", [b"", b"\x02", b"\x02abc"])
def test_a_frame_without_a_continuation_flag_is_refused(plain: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="continuation flag"):
        Forger().open().send(plain)


@pytest.mark.parametrize("order", [[1], [0, 0]], ids=["lost or overtaken", "repeated"])
def test_a_frame_out_of_its_order_closes_the_connection(pair: Pair, order: list[int]) -> None:
    pair.left.send(QUERY)
    pair.left.send(QUERY)
    frames = pair.left.control_frames()
    *before, last = order
    for index in before:
        pair.right.receive(Channel.CONTROL, frames[index], 0.0)
    with pytest.raises(SealError):
        pair.right.receive(Channel.CONTROL, frames[last], 0.0)
    assert pair.right.phase is Phase.CLOSED


def test_a_control_frame_on_the_bulk_channel_closes_the_connection(pair: Pair) -> None:
    pair.left.send(QUERY)
    with pytest.raises(SealError):
        pair.right.receive(Channel.BULK, pair.left.control_frames()[0], 0.0)


def test_nothing_is_accepted_after_an_error(pair: Pair) -> None:
    pair.left.send(QUERY)
    good = pair.left.control_frames()[0]
    with pytest.raises(SealError):
        pair.right.receive(Channel.CONTROL, bytes(40), 0.0)
    assert pair.right.receive(Channel.CONTROL, good, 0.0) == []
    assert pair.right.tick(1.0) == []
    with pytest.raises(LocalProtocolError, match="closed"):
        pair.right.send(QUERY)


@given(st.binary(max_size=100), st.sampled_from(Channel))
def test_no_frame_raises_anything_untyped(frame: bytes, channel: Channel) -> None:
    with pytest.raises(HandoffError):
        Pair().right.receive(channel, frame, 0.0)


# --- content and credit -----------------------------------------------------------------------------


def test_objects_arrive_as_they_were_sent(pair: Pair) -> None:
    sent = [ObjectRecord(TXN, digest(data), 1, data) for data in (b"", b"small", bytes(200_000))]
    for item in sent:
        pair.left.send_object(item)
    total = sum(item.wire_bytes for item in sent)
    assert pair.left.bulk_pending == total
    pair.exchange()
    assert pair.right_events == [ObjectReceived(item) for item in sent]
    assert (pair.left.bulk_sent, pair.right.bulk_received, pair.left.bulk_pending) == (total, total, 0)


def test_without_new_credit_no_more_than_the_window_is_sent(pair: Pair) -> None:
    for _ in range(20):
        pair.left.send_object(record(1_000_000))
    pair.exchange()
    arrived = sum(event.record.wire_bytes for event in pair.right_events if isinstance(event, ObjectReceived))
    # Credit came back for the part of an object that nobody can consume, and for nothing else.
    assert pair.left.bulk_sent <= CREDIT_WINDOW + record(1_000_000).wire_bytes
    assert 0 < arrived < CREDIT_WINDOW + record(1_000_000).wire_bytes
    assert pair.left.bulk_pending > 0


def test_what_is_consumed_may_be_sent_again(pair: Pair) -> None:
    for _ in range(20):
        pair.left.send_object(record(1_000_000))
    received = 0
    while pair.left.bulk_pending:
        pair.exchange()
        assert pair.right_events, "the stream stalled"
        for event in pair.right_events:
            assert isinstance(event, ObjectReceived)
            pair.right.consumed(event.record.wire_bytes)
            received += 1
        pair.right_events.clear()
    assert received == 20


def test_credit_is_given_in_steps_not_for_every_object(pair: Pair) -> None:
    pair.right.consumed(CREDIT_WINDOW // 4 - 1)
    assert pair.right.control_frames() == []
    pair.right.consumed(1)
    assert len(pair.right.control_frames()) == 1


@pytest.mark.parametrize("consumed_before", [0, CREDIT_WINDOW // 4 - 100])
def test_the_largest_object_never_waits_for_credit_that_only_its_end_would_give(consumed_before: int) -> None:
    both = Pair()
    both.exchange()
    both.right_events.clear()
    if consumed_before:
        both.left.send_object(record(consumed_before - 71))
        both.exchange()
        both.right.consumed(consumed_before)
        both.right_events.clear()
    both.left.send_object(record(MAX_OBJECT))
    both.exchange()
    assert both.right_events == [ObjectReceived(record(MAX_OBJECT))]


def test_more_content_than_the_credit_closes_the_connection() -> None:
    forger = Forger().open()
    small_object = b"a" * 26 + bytes(32 + 1) + (2000).to_bytes(4, "big") + bytes(2000)
    flood = small_object * (200_000 // len(small_object))
    for _ in range(CREDIT_WINDOW // len(flood)):
        forger.victim.receive(Channel.BULK, forger.bulk.seal(flood), 0.0)
    with pytest.raises(RemoteProtocolError, match="more content than the credit"):
        forger.victim.receive(Channel.BULK, forger.bulk.seal(flood), 0.0)


def test_credit_that_falls_changes_nothing(pair: Pair) -> None:
    pair.right.send(Credit(0))
    pair.exchange()
    pair.left.send_object(record(1000))
    pair.exchange()
    assert pair.right_events == [ObjectReceived(record(1000))]


# --- life and death ---------------------------------------------------------------------------------


def tick_left(pair: Pair, seconds: int) -> list[Event]:
    """Time passes at the left end in steps of a ping; the right end is heard only where ``exchange`` is called."""
    events: list[Event] = []
    for _ in range(seconds):
        pair.wait(PING_INTERVAL)
        events += pair.left.tick(pair.now)
    return events


def test_a_peer_that_answers_pings_lives(pair: Pair) -> None:
    for _ in range(10):
        assert tick_left(pair, 1) == []
        pair.exchange()
    assert pair.left.phase is pair.right.phase is Phase.OPEN
    assert pair.left_events == pair.right_events == []


def test_pings_and_their_answers_tell_the_round_trip_time(pair: Pair) -> None:
    trips = [end.round_trip for end in (pair.left, pair.right)]
    assert trips == [None, None]
    pair.wait(PING_INTERVAL)
    pair.left.tick(pair.now)
    pair.wait(0.25)
    pair.exchange()
    trips = [end.round_trip for end in (pair.left, pair.right)]
    assert trips == [0.25, None]


def test_a_silent_peer_is_dead_after_three_seconds(pair: Pair) -> None:
    assert tick_left(pair, int(PEER_DEAD_AFTER) - 1) == []
    assert tick_left(pair, 1) == [PeerSilent()]
    assert pair.left.phase is Phase.CLOSED


def test_death_is_noticed_when_it_is_due_and_not_at_the_next_ping(pair: Pair) -> None:
    pair.wait(PING_INTERVAL / 2)
    pair.right.send(Ping(1))
    pair.exchange()
    heard = pair.now
    while pair.left.next_tick() < heard + PEER_DEAD_AFTER:
        pair.now = pair.left.next_tick()
        assert pair.left.tick(pair.now) == []
    assert pair.left.next_tick() == heard + PEER_DEAD_AFTER
    assert pair.left.tick(pair.left.next_tick()) == [PeerSilent()]


def test_a_closed_connection_asks_for_no_tick(pair: Pair) -> None:
    pair.left.close("enough")
    assert pair.left.next_tick() == math.inf


def test_any_valid_frame_is_life(pair: Pair) -> None:
    for _ in range(10):
        pair.right.send_object(record(10))
        pair.wait(PING_INTERVAL)
        pair.left.receive(Channel.BULK, pair.right.bulk_frame() or b"", pair.now)
        assert pair.left.tick(pair.now) == []


@pytest.mark.parametrize(("most", "largest"), [(None, SLOW_FRAME), (1000, 1000), (MAX_NATIVE_FRAME, MAX_FRAME)])
def test_a_frame_carries_no_more_than_the_path_allows(pair: Pair, most: int | None, largest: int) -> None:
    """A path that takes seconds for one frame would look dead meanwhile."""
    pair.left.send_object(record(2 * MAX_FRAME))
    frame = pair.left.bulk_frame() if most is None else pair.left.bulk_frame(most)
    assert frame is not None
    assert largest - 2 * FRAME_OVERHEAD <= len(frame) <= largest + FRAME_OVERHEAD


def test_a_large_message_travels_in_pieces_that_are_life_each(pair: Pair) -> None:
    pair.left.send(Want(TXN, PartId("p1"), tuple(bytes([number]) * 32 for number in range(250)) * 4, 0))
    frames = pair.left.control_frames()
    assert len(frames) > 1
    assert max(map(len, frames)) <= SLOW_FRAME + FRAME_OVERHEAD


def test_a_process_that_slept_gives_its_peer_a_fresh_chance(pair: Pair) -> None:
    pair.wait(600.0)
    assert pair.left.tick(pair.now) == []
    assert tick_left(pair, int(PEER_DEAD_AFTER)) == [PeerSilent()]


def test_each_tick_asks_for_the_next(pair: Pair) -> None:
    pair.wait(PING_INTERVAL)
    pair.left.tick(pair.now)
    assert pair.left.next_tick() == pair.now + PING_INTERVAL


def test_a_peer_that_never_shakes_hands_is_given_up_later() -> None:
    both = Pair()
    events = tick_left(both, int(HANDSHAKE_DEADLINE) - 1)
    assert events == []
    assert tick_left(both, 1) == [PeerSilent()]


def test_goodbye_closes_both_ends(pair: Pair) -> None:
    pair.left.close("the user stopped the agent")
    pair.exchange()
    assert pair.right_events == [PeerLeft("the user stopped the agent")]
    assert pair.left.phase is pair.right.phase is Phase.CLOSED


def test_a_long_reason_is_cut(pair: Pair) -> None:
    pair.left.close("x" * 10_000)
    pair.exchange()
    assert pair.right_events == [PeerLeft("x" * 200)]


def test_a_closed_end_sends_no_more_content(pair: Pair) -> None:
    pair.left.send_object(record(100))
    pair.left.close("enough")
    assert pair.left.bulk_frame() is None


def test_frames_sealed_before_an_end_closed_are_dropped_by_it(pair: Pair) -> None:
    pair.right.send(Ping(1))
    pair.left.close("enough")
    assert pair.left.receive(Channel.CONTROL, pair.right.control_frames()[0], 0.0) == []


def test_a_goodbye_is_not_sent_before_the_handshake() -> None:
    both = Pair()
    both.left.control_frames()
    both.left.close("early")
    assert both.left.control_frames() == []
