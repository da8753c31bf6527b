# SPDX-License-Identifier: Apache-2.0
"""Many datagrams of one size by one system call, and one that must not be cut, where the kernel can. Layer: I/O ring.

A system call, and the way through the kernel's network code, cost more than all else that a datagram needs; the kernel
cuts a long buffer behind that way (UDP_SEGMENT, Linux 4.18). Everywhere else, and after the first
refusal, each goes by itself.
Specification: docs/specs/transport.md §6.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import suppress
from typing import Final

MAX_SEGMENTS: Final = 32
"""Datagrams in one call: the kernel takes 64, and 65,507 bytes."""

_UDP_SEGMENT: Final = 103
"""From linux/udp.h; the standard library has no name for it."""
_MTU_DISCOVER: Final = {
    socket.AF_INET: (socket.IPPROTO_IP, 10),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 23),
}
_WANT: Final = 1
_PROBE: Final = 3
"""IP_MTU_DISCOVER and its values from linux/in.h: cut what the path is known not to carry; never cut, ask nobody."""
_SIZE: Final = struct.Struct("=H")
_REFUSED: Final = (BlockingIOError, InterruptedError)


class Outlet:
    """Sends through one UDP socket.

    Args:
        transport: What the event loop or a TURN client sends with.
        direct: The same socket for calls of our own, in non-blocking mode; None where there is none.
    """

    def __init__(self, transport: asyncio.DatagramTransport, direct: socket.socket | None) -> None:
        self._transport = transport
        self._direct = direct if sys.platform == "linux" else None

    def send(self, datagrams: bytes, size: int, address: tuple[str, int]) -> None:
        """Send datagrams.

        Args:
            datagrams: One behind the other, at most MAX_SEGMENTS.
            size: Bytes of each; the last may be shorter.
            address: Where to.
        """
        if len(datagrams) > size and self._at_once(datagrams, size, address):
            return
        for start in range(0, len(datagrams), size):
            self._transport.sendto(datagrams[start : start + size], address)

    @property
    def can_probe(self) -> bool:
        """Whether ``probe`` can send anything."""
        return self._direct is not None

    def probe(self, datagram: bytes, address: tuple[str, int]) -> None:
        """Send a datagram whole or not at all: to find out whether the path carries it."""
        if self._direct is None:
            return
        level, option = _MTU_DISCOVER[self._direct.family]
        with suppress(OSError):  # Larger than what the first link carries, or the socket is full.
            self._direct.setsockopt(level, option, _PROBE)
            self._direct.sendto(datagram, address)
        with suppress(OSError):
            self._direct.setsockopt(level, option, _WANT)

    def _at_once(self, datagrams: bytes, size: int, address: tuple[str, int]) -> bool:
        """Whether the kernel took them all."""
        if self._direct is None:
            return False
        told = [(socket.SOL_UDP, _UDP_SEGMENT, _SIZE.pack(size))]
        try:
            self._direct.sendmsg([datagrams], told, 0, address)
        except _REFUSED:
            return False  # The socket is full: the event loop sends them later, and a few may be overtaken.
        except OSError:
            self._direct = None  # An old kernel, or a device that cannot.
            return False
        return True
