# SPDX-License-Identifier: Apache-2.0
"""Targets: strict CBOR, the messages of HandoffV2, and the bulk channel's records with what is compressed in them."""

from __future__ import annotations

import zstandard

from p2p_handoff.content import strict_cbor
from p2p_handoff.content.compression import Packer, unpack
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import HandoffError, LocalProtocolError
from p2p_handoff.limits import CHUNK_MAX, MAX_CBOR_DEPTH, MAX_CONTROL_MESSAGE, MAX_OBJECT
from p2p_handoff.protocol import codec
from p2p_handoff.protocol.records import HEADER_BYTES, ObjectRecord, RecordReader, RecordWriter
from tests.fuzz.target import BrokenPromiseError, Shape, Target, attempt, must, refused
from tests.fuzz.targets.vectors import content, messages, relay_messages, strings, vector
from tests.protocol.example_messages import TXN


def _cbor(data: bytes) -> bool:
    value = attempt(lambda: (strict_cbor.decode(data, limit=MAX_CONTROL_MESSAGE),))
    if value is None:
        return False
    must(strict_cbor.encode(value[0]) == data, "two spellings of one value were accepted")
    must(_depth(value[0]) <= MAX_CBOR_DEPTH, "a value is nested deeper than the limit")
    items = _items(value[0])
    bounded = attempt(lambda: (strict_cbor.decode(data, limit=len(data), items=items),))
    must(bounded == value, "a value with as many items as allowed is refused")
    if items > 1:
        must(refused(strict_cbor.decode, data, limit=len(data), items=items - 1), "more items than allowed are taken")
    return True


def _items(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(_items(key) + _items(item) for key, item in value.items())
    return 1 + sum(map(_items, value)) if isinstance(value, list) else 1


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _message(data: bytes) -> bool:
    message = attempt(codec.decode, data)
    if message is None:
        return False
    try:
        again = codec.encode(message)
    except LocalProtocolError as error:
        raise BrokenPromiseError(f"what was decoded cannot be encoded: {error.what}") from error
    must(codec.decode(again) == message, "a message changes on its way")
    must(len(again) <= len(data), "a message was made up from fewer bytes than it has")
    return True


def _records(data: bytes) -> bool:
    """Cut at every place that the first byte names: pieces must not change what arrives."""
    step, stream = 1 + data[:1].ljust(1)[0], data[1:]
    whole, cut = RecordReader(), RecordReader()
    records = _fed(whole, [stream])
    pieces = _fed(cut, [stream[start : start + step] for start in range(0, len(stream), step)])
    must((records is None) == (pieces is None), "where a stream is cut decides whether it is refused")
    if records is None or pieces is None:
        return False
    must(records == pieces, "where a stream is cut changes what arrives")
    must(whole.pending <= HEADER_BYTES + MAX_OBJECT, "more is held than one object")
    writer = RecordWriter()
    for record in records:
        writer.add(record)
        attempt(_unpacked, record)
    must(stream.startswith(writer.take(len(stream))), "a record is written otherwise than it was read")
    return bool(records)


def _fed(reader: RecordReader, pieces: list[bytes]) -> list[ObjectRecord] | None:
    try:
        return [record for piece in pieces for record in reader.feed(piece)]
    except LocalProtocolError:
        raise
    except HandoffError:
        return None


def _unpacked(record: ObjectRecord) -> None:
    data = unpack(record.encoding, record.payload, CHUNK_MAX)
    must(len(data) <= CHUNK_MAX, "an object unpacks to more than was allowed")


def _streams() -> list[bytes]:
    def written(*payloads: tuple[int, bytes]) -> bytes:
        writer = RecordWriter()
        for encoding, payload in payloads:
            writer.add(ObjectRecord(TXN, digest(payload), encoding, payload))
        return writer.take(writer.pending)

    packed = Packer().pack(b"once more, " * 40)
    bomb = zstandard.ZstdCompressor().compress(bytes(CHUNK_MAX + 1))
    streaming = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))
    golden = bytes.fromhex(vector("handoff-v2")["record"])
    streams = [golden, golden * 3, written((0, b"")), written(packed, (0, b"raw")), written((1, bomb), (1, streaming))]
    return [bytes([size]) + stream for stream in streams for size in (0, 255)]


TARGETS = (
    Target(
        "cbor",
        "refused, or encoded again to the same bytes; never deeper than the limit",
        _cbor,
        Shape.CBOR,
        lambda: [*messages().values(), *relay_messages(), content("directory"), *strings(vector("ownership"))],
    ),
    Target(
        "message",
        "refused, or the same message after another way over the wire; no longer than what arrived",
        _message,
        Shape.CBOR,
        lambda: list(messages().values()),
    ),
    Target(
        "record",
        "where the stream is cut changes nothing; one object is held at most; nothing unpacks beyond its limit",
        _records,
        Shape.RAW,
        _streams,
    ),
)
