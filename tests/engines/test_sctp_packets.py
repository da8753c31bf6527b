# SPDX-License-Identifier: Apache-2.0
"""Packets are what the library would make of the same chunks, and reads them alike."""

from __future__ import annotations

import pytest
from aiortc.rtcsctptransport import Chunk, DataChunk, HeartbeatChunk, SackChunk, parse_packet, serialize_packet
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.engines.sctp_packets import (
    MAX_DUPLICATES,
    MAX_GAPS,
    SERIALS,
    Acknowledgement,
    Fragment,
    Framing,
    PeerMisbehavedError,
    abort_chunk,
    data_chunk,
    read,
    sack_chunk,
)

TAG = 0x12345678
serials = st.integers(0, SERIALS - 1)
shorts = st.integers(0, 65535)
fragments = st.builds(
    Fragment, serials, st.integers(0, 15), shorts, shorts, serials, st.binary(min_size=1, max_size=1200)
)
acknowledgements = st.builds(
    Acknowledgement, serials, serials, st.lists(st.tuples(shorts, shorts), max_size=20).map(tuple)
)


def packet(chunk: bytes, tag: int = TAG) -> bytes:
    return Framing(5000, 5001, tag).packet(chunk)


def of_library(fragment: Fragment) -> DataChunk:
    chunk = DataChunk(flags=fragment.flags)
    chunk.tsn, chunk.stream_id, chunk.stream_seq = fragment.tsn, fragment.stream, fragment.sequence
    chunk.protocol, chunk.user_data = fragment.protocol, fragment.payload
    return chunk


@given(fragments)
def test_data_is_what_the_library_makes_of_it(fragment: Fragment) -> None:
    ours = packet(data_chunk(fragment))
    assert ours == serialize_packet(5000, 5001, TAG, of_library(fragment))
    assert read(ours, TAG) == [fragment]


@given(acknowledgements, st.lists(serials, max_size=MAX_DUPLICATES))
def test_an_acknowledgement_is_what_the_library_makes_of_it(told: Acknowledgement, duplicates: list[int]) -> None:
    chunk = SackChunk()
    chunk.cumulative_tsn, chunk.advertised_rwnd = told.cumulative, told.window
    chunk.gaps, chunk.duplicates = list(told.gaps), duplicates
    ours = packet(sack_chunk(told, duplicates))
    assert ours == serialize_packet(5000, 5001, TAG, chunk)
    assert read(ours, TAG) == [told]


def test_the_end_of_an_association_is_understood_by_the_library() -> None:
    _, _, tag, chunks = parse_packet(packet(abort_chunk()))
    assert (tag, [type(chunk).__name__ for chunk in chunks]) == (TAG, ["AbortChunk"])


def test_an_acknowledgement_of_many_gaps_still_fits_a_datagram() -> None:
    gaps = tuple((number, number) for number in range(2, 20_000, 2))
    made = packet(sack_chunk(Acknowledgement(1, 2, gaps), list(range(1000))))
    assert len(made) <= 1200
    assert read(made, TAG) == [Acknowledgement(1, 2, gaps[:MAX_GAPS])]


@given(st.lists(st.one_of(fragments, acknowledgements), min_size=1, max_size=4))
def test_chunks_that_share_a_packet_are_read_in_order(items: list[Fragment | Acknowledgement]) -> None:
    chunks = [data_chunk(item) if isinstance(item, Fragment) else sack_chunk(item) for item in items]
    assert read(packet(b"".join(chunks)), TAG) == items


@given(fragments, st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_packet_carries_nothing(fragment: Fragment, position: int, change: int) -> None:
    damaged = bytearray(packet(data_chunk(fragment)))
    damaged[position % len(damaged)] ^= change
    position %= len(damaged)
    if position == 12:
        assert read(bytes(damaged), TAG) in (None, [])
    else:
        assert read(bytes(damaged), TAG) == []


def test_a_packet_of_another_association_carries_nothing() -> None:
    made = packet(data_chunk(Fragment(1, 3, 0, 0, 53, b"x")), tag=TAG + 1)
    assert read(made, TAG) == []


def test_other_chunks_are_left_to_the_library() -> None:
    data = data_chunk(Fragment(1, 3, 0, 0, 53, b"four"))
    heartbeat = bytes(HeartbeatChunk())
    assert read(packet(heartbeat), TAG) is None
    assert read(packet(data + heartbeat), TAG) is None


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(b"\0\3\0\3", id="a length below its own header"),
        pytest.param(b"\0\3\0\x80" + bytes(20), id="a length beyond the packet"),
        pytest.param(b"\0\3\0\x10" + bytes(12), id="data without data"),
        pytest.param(b"\3\0\0\x08" + bytes(4), id="a truncated acknowledgement"),
        pytest.param(b"\3\0\0\x10" + bytes(8) + b"\0\1\0\0", id="a gap that is announced and not there"),
        pytest.param(b"\3\0\0\x14" + bytes(8) + b"\0\1\0\1" + bytes(4), id="a duplicate that is not there"),
    ],
)
def test_a_malformed_chunk_is_a_breach(chunk: bytes) -> None:
    with pytest.raises(PeerMisbehavedError):
        read(packet(chunk), TAG)


@given(st.binary(max_size=80))
def test_whatever_comes_is_read_or_refused(chunk: bytes) -> None:
    try:
        found = read(packet(chunk), TAG)
    except PeerMisbehavedError:
        return
    assert found is None or all(isinstance(item, tuple) for item in found)


def test_the_library_still_has_these_numbers() -> None:
    """When this fails, the library counts or pads in another way: read what changed."""
    assert (DataChunk.type, SackChunk.type, Chunk.type) == (0, 3, -1)
