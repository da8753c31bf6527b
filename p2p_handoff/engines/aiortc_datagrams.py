# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: SLF001 - takes the place of parts of a library: the versions are pinned and checked by tests
"""Datagrams of an open aiortc connection, without a task switch for each. Layer: I/O ring.

The library puts every datagram into a queue from which a task takes it, and awaits five coroutines to send one. Here a
datagram goes from the socket through DTLS to the association, and back, by plain calls; the handshake stays with the
library. Specification: docs/specs/transport.md §6.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final, Protocol, cast

from aioice import Connection
from aiortc import RTCDtlsTransport
from aiortc.rtcdtlstransport import State
from OpenSSL import SSL
from typing_extensions import override

from p2p_handoff.engines.segmentation import MAX_SEGMENTS

MAX_DATAGRAM: Final = 2048
"""Bytes that are read at once: no path of the internet carries more than 1,500."""
MAX_RECORD_OVERHEAD: Final = 128
"""Most that DTLS adds to a packet: header, explicit nonce and tag need 37, other ciphers a little more."""
IPV4_HEADERS: Final = 28
IPV6_HEADERS: Final = 48
"""Bytes of IP and UDP around a datagram."""


class PacketReceiver(Protocol):
    """The association above DTLS."""

    def take(self, packet: bytes) -> None:
        """One decrypted packet."""

    def rest(self) -> None:
        """No more packets wait."""


class DatagramSource(Connection):
    """An ICE agent that gives datagrams straight to DTLS, once DTLS asked for it."""

    direct: DirectDtls | None = None


class DirectDtls(RTCDtlsTransport):
    """DTLS between an ICE agent and an association, by plain calls once the handshake is complete."""

    _source: DatagramSource
    _above: PacketReceiver
    _overhead: int = MAX_RECORD_OVERHEAD
    """Bytes that DTLS adds to a packet, as seen."""

    @override
    async def _recv_next(self) -> None:
        if self._source.direct is None and self._is_complete():
            self._above = cast("PacketReceiver", self._data_receiver)
            self._source.direct = self
        await super()._recv_next()

    def _is_complete(self) -> bool:
        """Whether no datagram of the handshake can come any more, and there is somebody for what comes."""
        complete = getattr(self, "_RTCDtlsTransport__handshake_done")  # noqa: B009 - the name is the library's secret
        return bool(complete and self._data_receiver is not None)

    def datagram(self, data: bytes) -> None:
        """One datagram of the peer."""
        ssl = self._ssl
        if self._state is not State.CONNECTED or ssl is None:
            return
        ssl.bio_write(data)
        try:
            packet = ssl.recv(MAX_DATAGRAM)
        except SSL.ZeroReturnError:
            self._source.direct = None
            self._source._queue.put_nowait(None)
        except SSL.Error:
            self._answer(ssl)
        else:
            self._above.take(packet)

    def rest(self) -> None:
        """No more datagrams wait in the socket."""
        self._above.rest()

    def _answer(self, ssl: SSL.Connection) -> None:
        """Send what DTLS has to say of what just came: an alert, or the end of the handshake again."""
        try:
            said = ssl.bio_read(MAX_DATAGRAM)
            self._out(said, len(said))
        except (SSL.Error, ConnectionError):
            return  # Nothing, as a rule.

    def send_now(self, packets: Sequence[bytes]) -> None:
        """Encrypt and send packets, those of one size together.

        Raises:
            ConnectionError: DTLS or ICE is not connected.
            SSL.Error: DTLS failed.
        """
        ssl = self._ssl
        if self._state != State.CONNECTED or ssl is None:
            raise ConnectionError("DTLS is not connected")
        for size, run in groupby(packets, len):
            self._send_run(ssl, size, list(run))

    def headers(self) -> int | None:
        """Bytes that IP, UDP and DTLS put around a packet; None where no probe can be sent."""
        pair: Any = self._source._nominated.get(1)
        if pair is None or not pair.protocol.outlet.can_probe:
            return None
        return (IPV6_HEADERS if ":" in pair.remote_addr[0] else IPV4_HEADERS) + self._overhead

    def probe(self, packet: bytes) -> None:
        """Encrypt and send a packet that is lost where it is too large.

        Raises:
            ConnectionError: DTLS or ICE is not connected.
            SSL.Error: DTLS failed.
        """
        pair: Any = self._source._nominated.get(1)
        if self._state is not State.CONNECTED or self._ssl is None or pair is None:
            raise ConnectionError("DTLS is not connected")
        self._ssl.send(packet)
        pair.protocol.outlet.probe(self._ssl.bio_read(MAX_DATAGRAM), pair.remote_addr)

    def _send_run(self, ssl: SSL.Connection, size: int, run: list[bytes]) -> None:
        """Packets of one size make records of one size."""
        for start in range(0, len(run), MAX_SEGMENTS):
            some = run[start : start + MAX_SEGMENTS]
            for packet in some:
                ssl.send(packet)
            records = ssl.bio_read(len(some) * (size + MAX_RECORD_OVERHEAD))
            each, more = divmod(len(records), len(some))
            if not more:  # Else DTLS put in a word of its own, and SCTP finds the loss.
                self._overhead = each - size
                self._out(records, each)

    def _out(self, datagrams: bytes, size: int) -> None:
        pair: Any = self._source._nominated.get(1)
        if pair is None:
            raise ConnectionError("ICE has no pair")
        pair.protocol.outlet.send(datagrams, size, pair.remote_addr)
