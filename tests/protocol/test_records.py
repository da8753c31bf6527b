# SPDX-License-Identifier: Apache-2.0
"""The bulk stream gives back the objects that went in, however it is cut."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError
from p2p_handoff.ids import TxnId
from p2p_handoff.limits import MAX_OBJECT
from p2p_handoff.protocol.records import HEADER_BYTES, ObjectRecord, RecordReader, RecordWriter

TXN = TxnId("t" * 26)
RECORDS = st.lists(
    st.builds(
        ObjectRecord,
        txn=st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26).map(TxnId),
        digest=st.binary(min_size=32, max_size=32).map(Digest),
        encoding=st.integers(0, 255),
        payload=st.binary(max_size=200),
    ),
    max_size=5,
)


def record(payload: bytes) -> ObjectRecord:
    return ObjectRecord(TXN, digest(payload), 0, payload)


def stream_of(records: list[ObjectRecord]) -> bytes:
    writer = RecordWriter()
    for item in records:
        writer.add(item)
    return writer.take(writer.pending)


@given(RECORDS, st.lists(st.integers(1, 300), max_size=30))
def test_any_cutting_of_the_stream_gives_the_same_records(records: list[ObjectRecord], sizes: list[int]) -> None:
    writer, reader = RecordWriter(), RecordReader()
    for item in records:
        writer.add(item)
    arrived: list[ObjectRecord] = []
    for size in [*sizes, writer.pending]:
        expected = min(size, writer.pending)
        piece = writer.take(size)
        assert len(piece) == expected
        arrived += reader.feed(piece)
    assert arrived == records
    assert reader.pending == writer.pending == 0


@given(RECORDS)
def test_single_bytes_give_the_same_records(records: list[ObjectRecord]) -> None:
    reader = RecordReader()
    stream = stream_of(records)
    assert [item for byte in stream for item in reader.feed(bytes([byte]))] == records
    assert len(stream) == sum(item.wire_bytes for item in records)


def test_adding_between_takes_keeps_the_order() -> None:
    writer, reader = RecordWriter(), RecordReader()
    writer.add(record(b"first"))
    arrived = reader.feed(writer.take(80))
    writer.add(record(b"second"))
    arrived += reader.feed(writer.take(1000))
    assert [item.payload for item in arrived] == [b"first", b"second"]


def test_a_part_of_a_record_is_pending() -> None:
    reader = RecordReader()
    reader.feed(stream_of([record(b"whole"), record(b"half")])[:-1])
    assert reader.pending == HEADER_BYTES + 3


def test_an_object_of_the_largest_size_passes() -> None:
    largest = ObjectRecord(TXN, Digest(bytes(32)), 0, bytes(MAX_OBJECT))
    assert RecordReader().feed(stream_of([largest])) == [largest]


def test_a_larger_object_is_refused_from_its_header_alone() -> None:
    header = struct.pack("!26s32sBI", TXN.encode(), bytes(32), 0, MAX_OBJECT + 1)
    with pytest.raises(RemoteProtocolError, match="is larger than"):
        RecordReader().feed(header)


def test_a_larger_object_is_not_sent() -> None:
    with pytest.raises(LocalProtocolError, match="is larger than"):
        RecordWriter().add(ObjectRecord(TXN, Digest(bytes(32)), 0, bytes(MAX_OBJECT + 1)))


@pytest.mark.parametrize("txn", [b"\xff" * 26, b"A" * 26, bytes(26)])
def test_an_object_of_a_malformed_txn_is_refused(txn: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        RecordReader().feed(struct.pack("!26s32sBI", txn, bytes(32), 0, 0))
