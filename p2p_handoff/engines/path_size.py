# SPDX-License-Identifier: Apache-2.0
"""How large a datagram the path carries, found out by probes. Layer: I/O ring, pure.

RFC 8899 for SCTP: a HEARTBEAT padded to the wanted size (RFC 4820), which nobody may cut; only an answer counts, so
a path that swallows what is too large, and tells nobody, costs nothing. A few usual sizes are tried at once.
Specification: docs/specs/transport.md §6.
"""

from __future__ import annotations

import struct
from typing import Final

from p2p_handoff.engines.sctp_packets import COMMON_HEADER, DATA_HEADER

PACKET_SIZES: Final = (1500, 1492, 1420, 1380)
"""Bytes of a whole IP packet on usual paths: Ethernet, PPPoE, WireGuard, other tunnels. Larger ones exist, and other
implementations of DTLS read no more than 1,500 bytes at once."""
ROUNDS: Final = 3
"""How often a size is tried (RFC 8899 §5.1.2): a probe may be lost like any packet."""

_HEARTBEAT: Final = 4
_PAD: Final = 0x84
_HEAD: Final = struct.Struct("!BBH")
_HEARTBEAT_HEAD: Final = struct.Struct("!BBHHH8sH")
"""Chunk header, one parameter with its header, what the peer sends back; two bytes of padding follow."""
_MARK: Final = b"pathsize"


class PathSize:
    """The search for the size that a path carries.

    Args:
        headers: Bytes of a packet around the SCTP packet: those of IP, UDP and DTLS.
    """

    def __init__(self, headers: int) -> None:
        self._open = {(size - headers) // 4 * 4 for size in PACKET_SIZES}
        self._rounds = 0

    def probes(self) -> list[bytes]:
        """Chunks for the packets of one round, one packet each; none once the search is over."""
        if self._rounds == ROUNDS:
            return []
        self._rounds += 1
        return [_probe(size) for size in sorted(self._open)]

    def answered(self, information: bytes) -> int | None:
        """The peer sent this back.

        Returns:
            Bytes of content that a packet may have from now on, or None where nothing new was learnt.
        """
        size = int.from_bytes(information[len(_MARK) :], "big")
        if information[: len(_MARK)] != _MARK or size not in self._open:
            return None
        self._open = {larger for larger in self._open if larger > size}
        return size - COMMON_HEADER - DATA_HEADER


def _probe(size: int) -> bytes:
    information = _MARK + size.to_bytes(2, "big")
    parameter = 4 + len(information)
    heartbeat = _HEARTBEAT_HEAD.pack(_HEARTBEAT, 0, 4 + parameter, 1, parameter, _MARK, size) + b"\0\0"
    left = size - COMMON_HEADER - len(heartbeat)
    return heartbeat + _HEAD.pack(_PAD, 0, left) + bytes(left - _HEAD.size)
