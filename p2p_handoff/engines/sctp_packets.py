# SPDX-License-Identifier: Apache-2.0
"""SCTP packets that carry data and acknowledgements, as bytes (RFC 9260 §3). Layer: I/O ring, pure.

Everything else that an association says is left to the library. Specification: docs/specs/transport.md §6.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from google_crc32c import extend, value

DATA: Final = 0
SACK: Final = 3
ABORT: Final = 6
"""Kinds of chunks."""
LAST: Final = 0x01
FIRST: Final = 0x02
UNORDERED: Final = 0x04
AT_ONCE: Final = 0x08
"""Flags of a data chunk: end and beginning of a message, unordered, and acknowledge without delay (RFC 7053)."""
SERIALS: Final = 1 << 32
"""Transmission sequence numbers (TSN) count modulo this (RFC 9260 §1.6)."""
LAST_SERIAL: Final = SERIALS - 1
MAX_GAPS: Final = 256
"""Gaps that one acknowledgement tells, so that it fits a datagram of any path."""
MAX_DUPLICATES: Final = 16
COMMON_HEADER: Final = 12
DATA_HEADER: Final = 16
"""Bytes before the chunks of a packet, and before the content of a data chunk."""

_PREFIX: Final = struct.Struct("!HHL")
_COMMON: Final = struct.Struct("!HHL4s")
_CHECKSUM: Final = struct.Struct("<L")
_HEAD: Final = struct.Struct("!BBH")
_DATA: Final = struct.Struct("!BBHLHHL")
_SACK: Final = struct.Struct("!BBHLLHH")
_OURS: Final = frozenset({DATA, SACK})
_NO_CHECKSUM: Final = bytes(4)
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")


class PeerMisbehavedError(Exception):
    """The peer sent what no honest peer sends; the association is aborted."""


class Fragment(NamedTuple):
    """One data chunk: a message, or a piece of one. A tuple, because one is made for every packet."""

    tsn: int
    flags: int
    stream: int
    sequence: int
    """Number of the message on its stream, modulo 65,536."""
    protocol: int
    payload: bytes


class Acknowledgement(NamedTuple):
    """What the peer has."""

    cumulative: int
    """Everything up to this TSN."""
    window: int
    """Bytes it takes beyond that."""
    gaps: tuple[tuple[int, int], ...] = ()
    """What it has beyond a gap: first and last, counted from ``cumulative``."""


class Framing:
    """The common header of everything that one side of an association sends.

    Args:
        source: Our port.
        destination: The peer's port.
        tag: The peer's verification tag.
    """

    __slots__ = ("_prefix", "_seed")

    def __init__(self, source: int, destination: int, tag: int) -> None:
        self._prefix = _PREFIX.pack(source, destination, tag)
        self._seed = value(self._prefix + _NO_CHECKSUM)

    def packet(self, chunk: bytes) -> bytes:
        """A packet with one chunk."""
        return self._prefix + _CHECKSUM.pack(extend(self._seed, chunk)) + chunk


def data_chunk(fragment: Fragment) -> bytes:
    """A data chunk, padded."""
    payload = fragment.payload
    length = DATA_HEADER + len(payload)
    header = _DATA.pack(
        DATA, fragment.flags, length, fragment.tsn, fragment.stream, fragment.sequence, fragment.protocol
    )
    return header + payload + _PADDING[length % 4]


def sack_chunk(told: Acknowledgement, duplicates: Sequence[int] = ()) -> bytes:
    """An acknowledgement; gaps beyond MAX_GAPS and duplicates beyond MAX_DUPLICATES are left out."""
    gaps, repeated = told.gaps[:MAX_GAPS], duplicates[:MAX_DUPLICATES]
    length = 16 + 4 * (len(gaps) + len(repeated))
    header = _SACK.pack(SACK, 0, length, told.cumulative, told.window, len(gaps), len(repeated))
    tail = b"".join(struct.pack("!HH", first, last) for first, last in gaps)
    return header + tail + b"".join(tsn.to_bytes(4, "big") for tsn in repeated)


def abort_chunk() -> bytes:
    """The end of an association."""
    return _HEAD.pack(ABORT, 0, _HEAD.size)


def read(packet: bytes, tag: int) -> list[Fragment | Acknowledgement] | None:
    """What a packet carries, or None where it carries anything but data and acknowledgements.

    Args:
        packet: As it came out of DTLS.
        tag: Our verification tag. A packet with another one, or damaged, carries nothing at all.

    Raises:
        PeerMisbehavedError: A chunk is malformed.
    """
    end = len(packet)
    if end < COMMON_HEADER + _HEAD.size:
        return []
    if packet[COMMON_HEADER] not in _OURS:
        return None
    _, _, told, checksum = _COMMON.unpack_from(packet)
    if told != tag or checksum != _checksum(packet):
        return []
    found: list[Fragment | Acknowledgement] = []
    position = COMMON_HEADER
    while position + _HEAD.size <= end:
        kind, flags, length = _HEAD.unpack_from(packet, position)
        after = position + length
        if length < _HEAD.size or after > end:
            raise PeerMisbehavedError(f"a chunk of {length} bytes")
        if kind == DATA:
            found.append(_data(packet, position, after, flags))
        elif kind == SACK:
            found.append(_sack(packet, position, after))
        else:
            return None
        position = after + -length % 4
    return found


def _checksum(packet: bytes) -> bytes:
    """As it stands in a packet: of all but itself."""
    return _CHECKSUM.pack(value(packet[: _PREFIX.size] + _NO_CHECKSUM + packet[COMMON_HEADER:]))


def _data(packet: bytes, position: int, after: int, flags: int) -> Fragment:
    if after <= position + DATA_HEADER:
        raise PeerMisbehavedError("a data chunk without data")
    _, _, _, tsn, stream, sequence, protocol = _DATA.unpack_from(packet, position)
    return Fragment(tsn, flags, stream, sequence, protocol, packet[position + DATA_HEADER : after])


def _sack(packet: bytes, position: int, after: int) -> Acknowledgement:
    if after < position + _SACK.size:
        raise PeerMisbehavedError("a truncated acknowledgement")
    _, _, _, cumulative, window, gaps, duplicates = _SACK.unpack_from(packet, position)
    if not gaps:
        return Acknowledgement(cumulative, window)
    begin = position + _SACK.size
    if begin + 4 * (gaps + duplicates) > after:
        raise PeerMisbehavedError("an acknowledgement that announces more than it has")
    told = struct.unpack_from(f"!{2 * gaps}H", packet, begin)
    return Acknowledgement(cumulative, window, tuple(zip(told[::2], told[1::2], strict=True)))
