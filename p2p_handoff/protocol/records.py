# SPDX-License-Identifier: Apache-2.0
"""The bulk channel's byte stream: objects, one after another. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §4. A record is a fixed header (txn, digest, encoding, length) and a
payload. Frames cut the stream anywhere, so that small objects share a frame and large ones span many.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from typing import Final

from p2p_handoff.content.digests import Digest
from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError
from p2p_handoff.ids import LONG_ID_LENGTH, TxnId, parse_id
from p2p_handoff.limits import MAX_OBJECT

_HEADER: Final = struct.Struct(f"!{LONG_ID_LENGTH}s32sBI")
HEADER_BYTES: Final = _HEADER.size


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One object on the bulk channel."""

    txn: TxnId
    digest: Digest
    encoding: int
    """content.compression.Encoding of the payload."""
    payload: bytes

    @property
    def wire_bytes(self) -> int:
        """Bytes this record takes in the stream."""
        return HEADER_BYTES + len(self.payload)


class RecordWriter:
    """Turns records into pieces of the stream of any wanted size."""

    def __init__(self) -> None:
        self._pieces: deque[memoryview] = deque()
        self.pending = 0
        """Bytes of the stream not taken yet."""

    def add(self, record: ObjectRecord) -> None:
        """Append a record to the stream.

        Raises:
            LocalProtocolError: The payload is larger than the peer may accept.
        """
        if len(record.payload) > MAX_OBJECT:
            raise LocalProtocolError(f"an object of {len(record.payload)} bytes is larger than {MAX_OBJECT}")
        header = _HEADER.pack(record.txn.encode("ascii"), record.digest, record.encoding, len(record.payload))
        for piece in (header, record.payload):
            if piece:
                self._pieces.append(memoryview(piece))
                self.pending += len(piece)

    def take(self, size: int) -> bytes:
        """The next bytes of the stream, at most ``size``."""
        taken: list[memoryview] = []
        room = size
        while room and self._pieces:
            piece = self._pieces.popleft()
            if len(piece) > room:
                self._pieces.appendleft(piece[room:])
                piece = piece[:room]
            taken.append(piece)
            room -= len(piece)
        self.pending -= size - room
        return b"".join(taken)


class RecordReader:
    """Turns pieces of the stream back into records. What a piece has as a whole is copied once, out of the piece."""

    def __init__(self) -> None:
        self._begun = bytearray()
        """A record of which some bytes are missing."""

    @property
    def pending(self) -> int:
        """Bytes of a record that is not complete yet, at most one byte less than HEADER_BYTES + MAX_OBJECT."""
        return len(self._begun)

    def feed(self, data: bytes) -> list[ObjectRecord]:
        """Take the next piece of the stream; returns the records it completes.

        Raises:
            RemoteProtocolError: A header is malformed or announces too large a payload.
        """
        records: list[ObjectRecord] = []
        rest = memoryview(data)
        while self._begun and rest:
            rest = self._go_on(rest)
            if len(self._begun) == _length(self._begun):
                records.append(_parse(self._begun))
                self._begun = bytearray()
        while (length := _length(rest)) is not None and length <= len(rest):
            records.append(_parse(rest[:length]))
            rest = rest[length:]
        self._begun += rest
        return records

    def _go_on(self, rest: memoryview) -> memoryview:
        """Add what is missing of the header, or else of the record; returns what is behind it."""
        missing = (_length(self._begun) or HEADER_BYTES) - len(self._begun)
        self._begun += rest[:missing]
        return rest[missing:]


def _length(record: bytearray | memoryview) -> int | None:
    """Bytes of the record that begins here, header included; None where the header is cut."""
    if len(record) < HEADER_BYTES:
        return None
    payload = int.from_bytes(record[HEADER_BYTES - 4 : HEADER_BYTES], "big")
    if payload > MAX_OBJECT:
        raise RemoteProtocolError(f"an object of {payload} bytes is larger than {MAX_OBJECT}")
    return HEADER_BYTES + payload


def _parse(record: bytearray | memoryview) -> ObjectRecord:
    txn, name, encoding, _ = _HEADER.unpack_from(record)
    try:
        txn_text = txn.decode("ascii")
    except UnicodeDecodeError:
        raise RemoteProtocolError("an object for a malformed txn") from None
    return ObjectRecord(
        txn=TxnId(parse_id(txn_text, LONG_ID_LENGTH)),
        digest=Digest(name),
        encoding=encoding,
        payload=bytes(memoryview(record)[HEADER_BYTES:]),
    )
