# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: SLF001 - hardening a library from outside reaches into it: the versions are pinned and checked by tests
"""What aiortc 1.16.0 and aioice 0.13.0 need before they meet a hostile network. Layer: I/O ring.

Each hardening is a subclass that takes the place of one library object of one connection (its ``__class__`` is
exchanged right after construction), so nothing is patched globally. tests/engines/test_aiortc_hardening.py
pins the versions and holds an attack for each. Specification: docs/specs/transport.md §6.
"""

from __future__ import annotations

import os
import socket
from typing import Any, Final

from aioice import Candidate
from aioice.ice import CandidatePair, StunProtocol
from aioice.stun import Class, Message
from aiortc import RTCSctpTransport
from typing_extensions import override

from p2p_handoff.engines.aiortc_association import HardenedSctp
from p2p_handoff.engines.aiortc_datagrams import MAX_DATAGRAM, DatagramSource, DirectDtls
from p2p_handoff.engines.sctp_sending import RTO_INITIAL
from p2p_handoff.engines.segmentation import Outlet
from p2p_handoff.limits import GATHER_DEADLINE, MIB

AIORTC_VERSION: Final = "1.16.0"
AIOICE_VERSION: Final = "0.13.0"

MAX_QUEUED_DATAGRAMS: Final = 4096
"""Datagrams that wait for the DTLS layer, about 5 MB: more are dropped, as a network may."""
RECEIVE_BUFFER: Final = MIB
"""Bytes of a socket's buffer, where the system grants so many: all that we announce to take, so that nothing is lost
while this process is busy. The kernel doubles it for what it adds to each datagram."""
MAX_AT_ONCE: Final = 32
"""Datagrams that are read in one step of the event loop, before what they brought is handed on: two milliseconds."""

_STUN_LAST: Final = 3
_DTLS_FIRST: Final = 20
_DTLS_LAST: Final = 63
"""First bytes of a datagram by protocol (RFC 7983 §7)."""
_LOOPBACK: Final = ["127.0.0.1", "::1"]


class HardenedProtocol(StunProtocol):
    """One UDP socket of ICE: other datagrams than STUN pass only from addresses that ICE has validated.

    An address is validated once a check from it was authenticated (the agent then answers it with success) or
    a check to it succeeded. Without this, one forged DTLS ClientHello from anywhere ends the handshake.
    """

    _validated: set[tuple[str, int]]

    _ice: DatagramSource
    _socket: socket.socket | None
    outlet: Outlet

    def prepare(self) -> None:
        """What a constructor would do: this class takes the place of the library's in a finished object."""
        self._validated = set()
        assert isinstance(self.receiver, DatagramSource)
        self._ice = self.receiver
        told = self.transport.get_extra_info("socket")
        self._socket = socket.socket(fileno=os.dup(told.fileno())) if told is not None else None
        if self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.outlet = Outlet(self.transport, self._socket)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        super().connection_lost(exc)

    @override
    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        assert isinstance(data, bytes)
        self._take(data, addr)
        direct = self._ice.direct
        if direct is not None:
            self._take_what_waits()
            direct.rest()

    def _take_what_waits(self) -> None:
        """Read on: the event loop would come back for each datagram, at more cost than to deal with it."""
        for _ in range(MAX_AT_ONCE):
            if self._socket is None:
                return
            try:
                data, addr = self._socket.recvfrom(MAX_DATAGRAM)
            except OSError:
                return  # Nothing waits, or an error that the event loop meets as well.
            self._take(data, addr)

    def _take(self, data: bytes, addr: tuple[Any, ...]) -> None:
        kind = data[0] if data else _STUN_LAST + 1
        if kind <= _STUN_LAST:
            super().datagram_received(data, addr)
        elif _DTLS_FIRST <= kind <= _DTLS_LAST and self._is_validated((addr[0], addr[1])):
            ice = self._ice
            if ice.direct is not None and ice._queue.empty():
                ice.direct.datagram(data)
            elif ice._queue.qsize() < MAX_QUEUED_DATAGRAMS:
                ice.data_received(data, self.local_candidate.component)

    @override
    def send_stun(self, message: Message, addr: tuple[str, int]) -> None:
        if message.message_class is Class.RESPONSE:
            self._validated.add((addr[0], addr[1]))
        super().send_stun(message, addr)

    def _is_validated(self, address: tuple[str, int]) -> bool:
        if address in self._validated:
            return True
        succeeded = any(
            pair.protocol is self and pair.remote_addr == address and pair.state is CandidatePair.State.SUCCEEDED
            for pair in self.receiver._check_list
        )
        if succeeded:
            self._validated.add(address)
        return succeeded


class HardenedIce(DatagramSource):
    """An ICE agent that gathers within a deadline, works on a machine with only loopback, and filters sources."""

    gather_deadline: float = GATHER_DEADLINE

    @override
    async def get_component_candidates(self, component: int, addresses: list[str], timeout: int = 5) -> list[Candidate]:
        candidates = await super().get_component_candidates(
            component,
            addresses or _LOOPBACK,
            timeout=self.gather_deadline,  # type: ignore[arg-type]  # asyncio.wait takes a float; the annotation is narrower
        )
        for protocol in self._protocols:
            protocol.__class__ = HardenedProtocol
            assert isinstance(protocol, HardenedProtocol)
            protocol.prepare()
        self._discard_unfiltered()
        return candidates

    def _discard_unfiltered(self) -> None:
        """Nobody knows our candidates yet, so whatever came in while gathering is forged."""
        while not self._queue.empty():
            self._queue.get_nowait()


def harden(sctp: RTCSctpTransport, gather_deadline: float) -> None:
    """Put the hardened classes in place.

    Args:
        sctp: The association of a fresh connection, before any description was set.
        gather_deadline: Seconds that STUN and TURN servers have to answer.
    """
    sctp.__class__ = HardenedSctp
    assert isinstance(sctp, HardenedSctp)
    sctp.prepare()
    sctp._rto = RTO_INITIAL
    ice = sctp.transport.transport._connection
    ice.__class__ = HardenedIce
    assert isinstance(ice, HardenedIce)
    ice.gather_deadline = gather_deadline
    dtls = sctp.transport
    dtls.__class__ = DirectDtls
    assert isinstance(dtls, DirectDtls)
    dtls._source = ice
