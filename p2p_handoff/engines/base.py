# SPDX-License-Identifier: Apache-2.0
"""What an engine is: a WebRTC implementation behind one small interface. Layer: I/O ring, no implementation.

Every connection has exactly two ordered, reliable channels that both sides create with fixed numbers
(negotiated, no in-band opening): CONTROL for protocol messages, BULK for content. An engine moves opaque
messages; it knows neither keys nor protocol. ``p2p_handoff.testing.engine_conformance`` is the suite that
every implementation passes. Specification: docs/specs/transport.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Protocol

from p2p_handoff.limits import MAX_QUEUE
from p2p_handoff.protocol.channels import Channel as Channel  # noqa: PLC0414 - part of this interface


class PathKind(Enum):
    """How two engines reach each other (RFC 8445 §4)."""

    HOST = "host"
    REFLEXIVE = "reflexive"
    RELAYED = "relayed"
    MEMORY = "memory"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Path:
    """The selected candidate pair."""

    kind: PathKind
    local: str = ""
    """``address:port`` of this side, or empty where the engine does not tell."""
    remote: str = ""


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server (RFC 7064, RFC 7065)."""

    url: str
    username: str = ""
    credential: str = field(default="", repr=False)


class Receiver(Protocol):
    """Who gets what arrives. Called on the event loop; must return quickly and never raise."""

    def message_received(self, channel: Channel, message: bytes) -> None:
        """One whole message, in the order it was sent on its channel."""

    def connection_lost(self, reason: str) -> None:
        """The connection is over; called at most once, never after ``close()`` was called on this side."""


class EngineConnection(ABC):
    """One peer connection. Not restartable: after a failure the way back is a new one.

    The dialling side calls ``create_offer()``, then ``set_answer()``; the other side ``create_answer()``.
    Both then await ``wait_open()`` and call ``start_receiving()``. All methods run on one event loop.
    """

    worth_queueing: ClassVar[int] = MAX_QUEUE
    """Bytes of a channel's queue beyond which no more speed is to be had."""

    @abstractmethod
    async def create_offer(self) -> str:
        """The complete SDP offer: every candidate gathered, or GATHER_DEADLINE passed.

        Raises:
            EngineError: Gathering failed or the connection is closed.
        """

    @abstractmethod
    async def create_answer(self, offer: str) -> str:
        """Take the peer's complete SDP offer and return the complete SDP answer.

        Raises:
            EngineError: The offer cannot be used, or the connection is closed.
        """

    @abstractmethod
    async def set_answer(self, answer: str) -> None:
        """Take the peer's SDP answer.

        Raises:
            EngineError: The answer cannot be used, or the connection is closed.
        """

    @abstractmethod
    async def wait_open(self) -> None:
        """Return once both channels are open. The engine applies ICE_DEADLINE itself.

        Raises:
            EngineError: The connection failed, was closed, or ICE_DEADLINE passed.
        """

    @abstractmethod
    def start_receiving(self, receiver: Receiver) -> None:
        """Deliver messages to ``receiver``, first those that arrived before this call. Call once."""

    @abstractmethod
    def send(self, channel: Channel, message: bytes) -> None:
        """Queue one message, at most ``max_message_size`` bytes.

        Raises:
            EngineError: The connection is not open (any more).
            LocalProtocolError: The message is empty or too large: a defect of the caller.
        """

    @abstractmethod
    def queued_bytes(self, channel: Channel) -> int:
        """Bytes accepted by ``send`` that the engine has not handed to the network yet."""

    @abstractmethod
    async def wait_queued_below(self, channel: Channel, size: int) -> None:
        """Return once ``queued_bytes(channel) <= size``.

        Raises:
            EngineError: The connection broke or was closed meanwhile.
        """

    @property
    @abstractmethod
    def max_message_size(self) -> int:
        """Bytes that both sides accept in one message; valid once open."""

    @abstractmethod
    def remote_fingerprint(self) -> bytes:
        """SHA-256 of the peer's DTLS certificate (DER) as observed after the handshake, 32 bytes.

        Raises:
            EngineError: Not connected yet, or the engine did not observe one.
        """

    @abstractmethod
    async def path(self) -> Path:
        """The selected candidate pair as far as the engine tells."""

    @abstractmethod
    async def close(self) -> None:
        """Close at once and release everything. Idempotent; never raises. Ends every waiter with EngineError."""


class Engine(ABC):
    """A factory of connections."""

    name: str
    """``memory``, ``aiortc`` or ``wrtc``."""

    @abstractmethod
    def connection(self, ice_servers: Sequence[IceServer] = ()) -> EngineConnection:
        """A fresh connection; call on a running event loop."""
