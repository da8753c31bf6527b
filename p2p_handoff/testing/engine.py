# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: SLF001 - two connections of one class work on each other, as two ends of a pipe do
"""An engine whose connections run over simulated links. Layer: testing, public.

It keeps every promise of the interface (docs/specs/transport.md), like ``engines.memory``, whose descriptions and
handshake it shares; only the way between the two ends is ``testing.link``. Specification: docs/testing.md §3.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

from typing_extensions import override

from p2p_handoff.engines.base import Engine, IceServer, Path, PathKind
from p2p_handoff.engines.lifecycle import LiveConnection
from p2p_handoff.engines.sdp import check_description, sha256_fingerprint
from p2p_handoff.errors import EngineError
from p2p_handoff.limits import ICE_DEADLINE, MAX_FRAME
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.testing.link import Ends, Lane, Link
from p2p_handoff.testing.loop import Process

_NAME: Final = "a=x-simulated-endpoint:"


class Exchange:
    """Finds the other end of a connection by its description, and the link between two devices.

    Args:
        link: The link between two devices, by name.
    """

    def __init__(self, link: Callable[[str, str], Link]) -> None:
        self.link = link
        self.ends: dict[str, SimulatedConnection] = {}


class SimulatedEngine(Engine):
    """The engine of one process.

    Args:
        exchange: Shared by all devices of a simulation.
        host: The device's name.
        process: Where what arrives is dealt with.
        source: Seeded randomness for names and certificates.
        ice_deadline: Seconds that ``wait_open`` waits at most.
    """

    name = "memory"

    def __init__(
        self,
        exchange: Exchange,
        host: str,
        process: Process,
        source: random.Random,
        *,
        ice_deadline: float = ICE_DEADLINE,
    ) -> None:
        self._exchange = exchange
        self._host = host
        self._process = process
        self._source = source
        self._ice_deadline = ice_deadline

    @override
    def connection(self, ice_servers: Sequence[IceServer] = ()) -> SimulatedConnection:
        return SimulatedConnection(self._exchange, self._host, self._process, self._source, self._ice_deadline)


class SimulatedConnection(LiveConnection):
    """One end."""

    def __init__(
        self, exchange: Exchange, host: str, process: Process, source: random.Random, ice_deadline: float
    ) -> None:
        super().__init__(ice_deadline=ice_deadline, accepts=MAX_FRAME)
        self.host = host
        self.process = process
        self._exchange = exchange
        self._name = source.randbytes(16).hex()
        self._fingerprint = source.randbytes(32)
        self._announced: tuple[str, bytes] | None = None
        self._peer: SimulatedConnection | None = None
        self._link: Link | None = None
        self._ends: Ends | None = None
        self._lanes: dict[Channel, Lane] = {}
        self._queued = dict.fromkeys(Channel, 0)
        """Bytes that the other side has not acknowledged."""

    @override
    async def create_offer(self) -> str:
        self._require_alive()
        return self._describe()

    @override
    async def create_answer(self, offer: str) -> str:
        self._require_alive()
        self._announced = _announced(offer)
        return self._describe()

    @override
    async def set_answer(self, answer: str) -> None:
        self._require_alive()
        self._announced = _announced(answer)
        peer = self._exchange.ends.get(self._announced[0])
        if peer is None:
            return  # Nobody answers the checks: silence, as on a network.
        link = self._exchange.link(self.host, peer.host)
        knock, back = link.lane(peer.process), link.lane(self.process)
        knock.send(lambda: peer.knocked(self, lambda: back.send(lambda: self.met(peer, link))))

    def knocked(self, dialler: SimulatedConnection, answer: Callable[[], None]) -> None:
        """The other side's checks arrived here; called in this process."""
        if self._announced == dialler.identity:
            answer()

    def met(self, peer: SimulatedConnection, link: Link) -> None:
        """Both sides know each other; called in the dialling process."""
        if self._announced != peer.identity or self._exchange.ends.get(peer.identity[0]) is not peer:
            return
        ends = Ends({self.host: self._lost, peer.host: peer._lost}, {self.host: self.process, peer.host: peer.process})
        for mine, other in ((self, peer), (peer, self)):
            mine.join(other, link, ends)
        link.connected(ends)
        self._opened()
        link.loop.call_later(link.travel(), peer._opened, context=peer.process.context.copy())

    def join(self, peer: SimulatedConnection, link: Link, ends: Ends) -> None:
        """The way to the other end is there."""
        self._peer, self._link, self._ends = peer, link, ends
        self._lanes = {channel: link.lane(peer.process) for channel in Channel}
        ends.lanes.extend(self._lanes.values())

    @property
    def identity(self) -> tuple[str, bytes]:
        """Name and certificate, as the description announces them."""
        return self._name, self._fingerprint

    @property
    @override
    def max_message_size(self) -> int:
        return self._accepts

    @override
    def queued_bytes(self, channel: Channel) -> int:
        return self._queued[channel]

    @override
    def remote_fingerprint(self) -> bytes:
        if self._peer is None:
            raise EngineError("no certificate was observed yet")
        return self._peer.identity[1]

    @override
    async def path(self) -> Path:
        return Path(PathKind.MEMORY, self.host, self._peer.host if self._peer is not None else "")

    @override
    def _transmit(self, channel: Channel, message: bytes) -> None:
        assert self._link is not None
        assert self._peer is not None
        peer = self._peer
        self._queued[channel] += len(message)

        def arrive() -> None:
            self._left(channel, len(message))
            peer._arrived(channel, message)

        self._lanes[channel].send(arrive)
        self._link.sent()

    def _left(self, channel: Channel, size: int) -> None:
        """A message is no longer on its way."""
        self._queued[channel] -= size
        if self._waiters[channel] and self._link is not None:
            self._link.loop.call_soon(self._drained, channel, context=self.process.context.copy())

    @override
    def _notify_below(self, channel: Channel, size: int) -> None:
        """Nothing to arrange: every arrival reports itself."""

    @override
    async def _release(self) -> None:
        self._exchange.ends.pop(self._name, None)
        peer, link, ends = self._peer, self._link, self._ends
        if peer is not None and link is not None and ends is not None and link.over(ends):
            self._lanes[Channel.CONTROL].send(lambda: peer._lost("the peer closed the connection"))

    def _describe(self) -> str:
        self._exchange.ends[self._name] = self
        lines = (
            "v=0",
            "o=- 0 0 IN IP4 0.0.0.0",
            "s=-",
            "t=0 0",
            "m=application 9 memory webrtc-datachannel",
            f"{_NAME}{self._name}",
            f"a=max-message-size:{self._accepts}",
            f"a=fingerprint:sha-256 {self._fingerprint.hex(':').upper()}",
        )
        return "".join(f"{line}\r\n" for line in lines)


def _announced(description: str) -> tuple[str, bytes]:
    """Name and certificate of a description's author."""
    check_description(description)
    name = next((line.removeprefix(_NAME) for line in description.splitlines() if line.startswith(_NAME)), None)
    if name is None:
        raise EngineError("this description is not of the simulation")
    return name, sha256_fingerprint(description)
