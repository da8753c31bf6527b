# SPDX-License-Identifier: Apache-2.0
"""The receiving half: messages in order whatever happens to packets, bounds, and what is acknowledged."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.engines.sctp_packets import (
    AT_ONCE,
    FIRST,
    LAST,
    SERIALS,
    UNORDERED,
    Acknowledgement,
    Fragment,
    PeerMisbehavedError,
)
from p2p_handoff.engines.sctp_receiving import (
    MAX_AHEAD,
    MAX_HELD,
    MAX_UNFINISHED,
    PACKETS_PER_SACK,
    PACKETS_PER_SACK_WAITING,
    Arrived,
    CompleteMessages,
    Inbound,
    OrderedStream,
)
from p2p_handoff.limits import KIB, MIB
from p2p_handoff.protocol.channels import Channel

STREAM = Channel.BULK.value


def fragment(tsn: int, sequence: int, data: bytes, flags: int, stream: int = STREAM) -> Fragment:
    return Fragment(tsn % SERIALS, flags, stream, sequence % 65536, 53, data)


def whole(tsn: int, sequence: int, data: bytes = b"x", flags: int = 0) -> Fragment:
    return fragment(tsn, sequence, data, FIRST | LAST | flags)


def fragments(messages: list[bytes], first_tsn: int, first_sequence: int = 0) -> list[Fragment]:
    """Messages cut into three-byte fragments with consecutive numbers, as a sender does."""
    made: list[Fragment] = []
    for offset, message in enumerate(messages):
        pieces = [message[start : start + 3] for start in range(0, len(message), 3)]
        for number, piece in enumerate(pieces):
            flags = (FIRST if number == 0 else 0) | (LAST if number == len(pieces) - 1 else 0)
            made.append(fragment(first_tsn + len(made), first_sequence + offset, piece, flags))
    return made


@given(
    messages=st.lists(st.binary(min_size=1, max_size=10), max_size=6),
    first_tsn=st.sampled_from([0, 7, SERIALS - 3]),
    shuffle=st.randoms(use_true_random=False),
    twice=st.floats(0, 1),
)
def test_packets_in_any_order_and_some_twice_give_the_messages_in_order(
    messages: list[bytes], first_tsn: int, shuffle: random.Random, twice: float
) -> None:
    packets = fragments(messages, first_tsn)
    packets += [packet for packet in packets if shuffle.random() < twice]
    shuffle.shuffle(packets)
    inbound = Inbound((first_tsn - 1) % SERIALS, MIB)
    received = [arrived.message for packet in packets for arrived in inbound.take(packet)]
    assert received == messages
    told, duplicates = inbound.acknowledgement()
    numbers = {packet.tsn for packet in packets}
    assert told == Acknowledgement((first_tsn - 1 + len(numbers)) % SERIALS, MIB)
    assert len(duplicates) == len(packets) - len(numbers)


@given(st.sets(st.integers(1, 40)), st.sampled_from([0, SERIALS - 5]))
def test_an_acknowledgement_tells_exactly_what_is_here(here: set[int], cumulative: int) -> None:
    inbound = Inbound(cumulative, MIB)
    for offset in here:
        inbound.take(whole(cumulative + offset, offset - 1))
    told, _ = inbound.acknowledgement()
    through = (told.cumulative - cumulative) % SERIALS
    gaps = {through + offset for first, last in told.gaps for offset in range(first, last + 1)}
    assert set(range(1, through + 1)) | gaps == here
    assert all(first > before + 1 for (_, before), (first, _) in zip(told.gaps, told.gaps[1:], strict=False))


def test_message_numbers_wrap_around() -> None:
    inbound = Inbound(0, MIB)
    received = [
        arrived.message
        for number in range(65536 + 3)
        for arrived in inbound.take(whole(number + 1, number, number.to_bytes(4, "big")))
    ]
    assert received == [number.to_bytes(4, "big") for number in range(65536 + 3)]


def test_messages_that_nobody_took_narrow_the_window_and_end_in_a_refusal() -> None:
    complete = CompleteMessages()
    large = Arrived(0, 51, bytes(64 * KIB))
    complete.add([large] * 8)
    assert complete.excess == 0
    complete.add([large])
    assert complete.excess == 64 * KIB
    told, _ = Inbound(0, MIB).acknowledgement(complete.excess)
    assert told.window == MIB - 64 * KIB
    assert complete.pop() == large
    assert complete.excess == 0
    with pytest.raises(PeerMisbehavedError, match="handed on"):
        complete.add([large] * (MAX_HELD // (64 * KIB)))


def test_the_window_shrinks_by_what_is_kept() -> None:
    inbound = Inbound(0, MIB)
    inbound.take(fragment(1, 0, bytes(1000), FIRST))
    inbound.take(fragment(3, 0, bytes(500), 0))
    told, _ = inbound.acknowledgement()
    assert told.window == MIB - 1500
    inbound.take(fragment(2, 0, bytes(500), 0))
    inbound.take(fragment(4, 0, bytes(500), LAST))
    told, _ = inbound.acknowledgement()
    assert told.window == MIB


# --- when to acknowledge ----------------------------------------------------------------------------


def test_every_second_packet_is_acknowledged_and_every_fourth_while_more_wait() -> None:
    inbound = Inbound(0, MIB)
    due = []
    for number in range(PACKETS_PER_SACK_WAITING):
        inbound.take(whole(number + 1, number))
        due.append((inbound.is_due(), inbound.is_due(PACKETS_PER_SACK_WAITING)))
    assert due == [(False, False), (True, False), (True, False), (True, True)]
    assert (PACKETS_PER_SACK, inbound.is_owing) == (2, True)
    inbound.acknowledgement()
    assert not inbound.is_owing
    assert not inbound.is_due()


def test_a_gap_a_duplicate_and_a_hurry_are_acknowledged_at_once() -> None:
    gap, duplicate, hurry = Inbound(0, MIB), Inbound(0, MIB), Inbound(0, MIB)
    gap.take(whole(2, 1))
    duplicate.take(whole(0, 0))
    hurry.take(whole(1, 0, flags=AT_ONCE))
    assert [inbound.is_due(PACKETS_PER_SACK_WAITING) for inbound in (gap, duplicate, hurry)] == [True, True, True]
    hurry.acknowledgement()
    assert not hurry.is_due()


# --- what no honest peer sends ----------------------------------------------------------------------


def test_a_message_that_does_not_end_is_refused() -> None:
    stream = OrderedStream(STREAM)
    for number in range(MAX_UNFINISHED // KIB):
        stream.take(fragment(number, 0, bytes(KIB), FIRST if number == 0 else 0))
    with pytest.raises(PeerMisbehavedError, match="does not end"):
        stream.take(fragment(MAX_UNFINISHED // KIB, 0, b"x", 0))


def test_too_much_behind_a_gap_is_refused() -> None:
    stream = OrderedStream(STREAM)
    for number in range(1, MAX_HELD // (64 * KIB) + 1):
        stream.take(fragment(number, 1, bytes(64 * KIB), 0))
    with pytest.raises(PeerMisbehavedError, match="behind a gap"):
        stream.take(fragment(0, 1, b"x", 0))


def test_a_packet_too_far_ahead_is_refused() -> None:
    """However small: each costs memory, and no acknowledgement could tell of it."""
    inbound = Inbound(0, MIB)
    inbound.take(whole(MAX_AHEAD, 1))
    with pytest.raises(PeerMisbehavedError, match="far ahead"):
        inbound.take(whole(MAX_AHEAD + 1, 2))


def test_an_unordered_message_is_refused() -> None:
    with pytest.raises(PeerMisbehavedError, match="unordered"):
        Inbound(0, MIB).take(whole(1, 0, flags=UNORDERED))


def test_another_stream_is_refused() -> None:
    with pytest.raises(PeerMisbehavedError, match="stream 77"):
        Inbound(0, MIB).take(fragment(1, 0, b"x", FIRST | LAST, stream=77))
