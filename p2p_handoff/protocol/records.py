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
    """Turns pieces of the stream back into records."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of a record that is not complete yet, at most one byte less than HEADER_BYTES + MAX_OBJECT."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[ObjectRecord]:
        """Take the next piece of the stream; returns the records it completes.

        Raises:
            RemoteProtocolError: A header is malformed or announces too large a payload.
        """
        self._buffer += data
        records: list[ObjectRecord] = []
        start = 0
        while (end := self._record_end(start)) is not None:
            records.append(self._parse(start, end))
            start = end
        del self._buffer[:start]
        return records

    def _record_end(self, start: int) -> int | None:
        if len(self._buffer) - start < HEADER_BYTES:
            return None
        length = int.from_bytes(self._buffer[start + HEADER_BYTES - 4 : start + HEADER_BYTES], "big")
        if length > MAX_OBJECT:
            raise RemoteProtocolError(f"an object of {length} bytes is larger than {MAX_OBJECT}")
        end = start + HEADER_BYTES + length
        return end if end <= len(self._buffer) else None

    def _parse(self, start: int, end: int) -> ObjectRecord:
        txn, name, encoding, _ = _HEADER.unpack_from(self._buffer, start)
        try:
            txn_text = txn.decode("ascii")
        except UnicodeDecodeError:
            raise RemoteProtocolError("an object for a malformed txn") from None
        return ObjectRecord(
            txn=TxnId(parse_id(txn_text, LONG_ID_LENGTH)),
            digest=Digest(name),
            encoding=encoding,
            payload=bytes(memoryview(self._buffer)[start + HEADER_BYTES : end]),
        )
