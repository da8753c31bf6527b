# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: SLF001 - two connections of one class work on each other, as two ends of a pipe do
"""An engine inside one process: two connections joined through their session descriptions. Layer: I/O ring.

It keeps every promise of the interface (order, limits, back pressure, loss) without a network, so that the
layers above can be run and tested on it. Its certificates are random bytes; a description that announces
another certificate than its author has does not connect, as in DTLS. Specification: docs/specs/transport.md §5.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from typing_extensions import override

from p2p_handoff.engines import sdp
from p2p_handoff.engines.base import Engine, IceServer, Path, PathKind
from p2p_handoff.engines.lifecycle import LiveConnection, Phase
from p2p_handoff.errors import EngineError
from p2p_handoff.ids import Entropy
from p2p_handoff.limits import ICE_DEADLINE, MAX_FRAME
from p2p_handoff.protocol.channels import Channel

_CERTIFICATE_BYTES: Final = 32
_NAME_BYTES: Final = 16
_ENDPOINT: Final = re.compile(r"^a=x-memory-endpoint:([0-9a-f]{32})\s*$", re.MULTILINE)

_endpoints: WeakValueDictionary[str, MemoryConnection] = WeakValueDictionary()
"""Live connections by the name in their descriptions, so that any two engines of the process can meet."""


class MemoryEngine(Engine):
    """A factory of connections that reach any other memory engine of this process.

    Args:
        max_message_size: Bytes per message that this side accepts.
        ice_deadline: Seconds that ``wait_open`` waits at most.
        entropy: Names and certificates come from here.
    """

    name = "memory"

    def __init__(
        self,
        *,
        max_message_size: int = MAX_FRAME,
        ice_deadline: float = ICE_DEADLINE,
        entropy: Entropy = os.urandom,
    ) -> None:
        self._max_message_size = max_message_size
        self._ice_deadline = ice_deadline
        self._entropy = entropy

    @override
    def connection(self, ice_servers: Sequence[IceServer] = ()) -> MemoryConnection:
        return MemoryConnection(self._max_message_size, self._ice_deadline, self._entropy)


class MemoryConnection(LiveConnection):
    """One end; the other end is found through its description."""

    def __init__(self, max_message_size: int, ice_deadline: float, entropy: Entropy) -> None:
        super().__init__(ice_deadline=ice_deadline, accepts=max_message_size)
        self._name = entropy(_NAME_BYTES).hex()
        self._fingerprint = hashlib.sha256(entropy(_CERTIFICATE_BYTES)).digest()
        self._announced: _Announced | None = None
        self._peer: MemoryConnection | None = None
        self._queue: deque[tuple[Channel, bytes]] = deque()
        self._queued = dict.fromkeys(Channel, 0)
        self._pumping = False

    @override
    async def create_offer(self) -> str:
        self._require_alive()
        return self._describe()

    @override
    async def create_answer(self, offer: str) -> str:
        self._require_alive()
        self._announced = _Announced.read(offer)
        return self._describe()

    @override
    async def set_answer(self, answer: str) -> None:
        self._require_alive()
        self._announced = _Announced.read(answer)
        asyncio.get_running_loop().call_soon(self._handshake)

    @property
    @override
    def max_message_size(self) -> int:
        return min(self._accepts, self._peer._accepts) if self._peer is not None else self._accepts

    @override
    def queued_bytes(self, channel: Channel) -> int:
        return self._queued[channel]

    @override
    def remote_fingerprint(self) -> bytes:
        if self._peer is None:
            raise EngineError("no certificate was observed yet")
        return self._peer._fingerprint

    @override
    async def path(self) -> Path:
        peer = self._peer._name if self._peer is not None else ""
        return Path(PathKind.MEMORY, self._name, peer)

    def _describe(self) -> str:
        _endpoints[self._name] = self
        lines = (
            "v=0",
            "o=- 0 0 IN IP4 0.0.0.0",
            "s=-",
            "t=0 0",
            "m=application 9 memory webrtc-datachannel",
            f"a=x-memory-endpoint:{self._name}",
            f"a=max-message-size:{self._accepts}",
            f"a=fingerprint:sha-256 {self._fingerprint.hex(':').upper()}",
        )
        return "".join(f"{line}\r\n" for line in lines)

    def _handshake(self) -> None:
        """Meet the answering side. A peer that is gone is silence, as on a network."""
        assert self._announced is not None
        peer = _endpoints.get(self._announced.name)
        if peer is None or self._phase is not Phase.CONNECTING:
            return
        if not (self._announced.fits(peer) and peer._announced is not None and peer._announced.fits(self)):
            self._lost("the handshake failed: the peer is not the one of the description")
            peer._lost("the handshake failed: the peer is not the one of the description")
            return
        self._peer, peer._peer = peer, self
        self._opened()
        peer._opened()

    @override
    def _transmit(self, channel: Channel, message: bytes) -> None:
        self._queue.append((channel, message))
        self._queued[channel] += len(message)
        self._schedule()

    @override
    def _notify_below(self, channel: Channel, size: int) -> None:
        """Nothing to arrange: every delivery reports itself."""

    def _schedule(self) -> None:
        if not self._pumping and self._queue:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        if self._phase is not Phase.OPEN or self._peer is None:
            return
        channel, message = self._queue.popleft()
        self._queued[channel] -= len(message)
        self._schedule()
        self._peer._arrived(channel, message)
        self._drained(channel)

    @override
    async def _release(self) -> None:
        _endpoints.pop(self._name, None)
        self._queue.clear()
        peer, self._peer = self._peer, None
        if peer is not None:
            asyncio.get_running_loop().call_soon(peer._lost, "the peer closed the connection")


@dataclass(frozen=True, slots=True)
class _Announced:
    """What a description says about its author."""

    name: str
    fingerprint: bytes

    @staticmethod
    def read(description: str) -> _Announced:
        sdp.check_description(description)
        named = _ENDPOINT.search(description)
        if named is None:
            raise EngineError("this description is not from a memory engine")
        return _Announced(named.group(1), sdp.sha256_fingerprint(description))

    def fits(self, connection: MemoryConnection) -> bool:
        """Whether the connection is the author and has the announced certificate."""
        return (self.name, self.fingerprint) == (connection._name, connection._fingerprint)
