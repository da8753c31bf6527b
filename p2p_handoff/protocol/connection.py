# SPDX-License-Identifier: Apache-2.0
"""One encrypted connection between two devices: frames in, events out; messages in, frames out. Pure.

Layer: protocol. Specification: docs/specs/handoff-v2.md §1, docs/specs/frames.md.

Rules: the first frame each way is a signature over the transcript, the second a Hello; nothing else is
believed before both. Any valid frame is life; a peer silent for PEER_DEAD_AFTER is dead, or for HANDSHAKE_DEADLINE
before the handshake is complete. Bulk bytes never exceed the credit that the receiver gave. After an error the
connection is closed for good.

Call ``start()``; give every arriving frame to ``receive()`` and act on its events; after each call send what
``control_frames()`` and ``bulk_frame()`` return; call ``tick()`` when ``next_tick()`` is due.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError
from p2p_handoff.limits import (
    CREDIT_WINDOW,
    HANDSHAKE_DEADLINE,
    MAX_CONTROL_MESSAGE,
    MAX_FRAME,
    MAX_NATIVE_FRAME,
    PEER_DEAD_AFTER,
    PING_INTERVAL,
    SLOW_FRAME,
)
from p2p_handoff.protocol import codec
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.protocol.messages import Credit, Goodbye, Hello, Message, Ping, Pong
from p2p_handoff.protocol.records import ObjectRecord, RecordReader, RecordWriter
from p2p_handoff.protocol.round_trip import RoundTrip
from p2p_handoff.security.exchange import ChannelKeys
from p2p_handoff.security.frames import FRAME_OVERHEAD, FrameOpener, FrameSealer, check_proof, prove
from p2p_handoff.security.identity import Identity, PublicIdentity
from p2p_handoff.security.versions import common_version

PROTOCOL_VERSIONS: Final = (2,)
"""Versions this code speaks: HandoffV2."""

_MIN_MESSAGE: Final = 1024
"""Least that an engine must take in one message: the proof and any ping in one frame, with room to spare."""
_CREDIT_STEP: Final = CREDIT_WINDOW // 4
"""Credit is given in steps of this many bytes: a quarter of the window keeps the sender going meanwhile."""
_OVERDUE: Final = 2 * PING_INTERVAL
"""A tick so late means that this process was suspended or starved."""

_LAST: Final = b"\x01"
_MORE: Final = b"\x00"


class Phase(Enum):
    """How far the handshake is."""

    PROVING = auto()
    GREETING = auto()
    OPEN = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class PeerReady:
    """The handshake is complete: messages may be sent."""

    hello: Hello
    version: int
    """Highest version that both sides speak."""


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message for the handoff on this connection."""

    message: Message


@dataclass(frozen=True, slots=True)
class ObjectReceived:
    """An object arrived on the bulk channel. Call ``consumed(record.wire_bytes)`` once it is dealt with."""

    record: ObjectRecord


@dataclass(frozen=True, slots=True)
class PeerSilent:
    """Nothing valid arrived for PEER_DEAD_AFTER seconds, or HANDSHAKE_DEADLINE before the handshake is complete."""


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """The peer said goodbye."""

    reason: str


Event = PeerReady | MessageReceived | ObjectReceived | PeerSilent | PeerLeft


@dataclass(frozen=True, slots=True)
class Parameters:
    """What one connection is made of.

    Args:
        identity: This device.
        peer: The pinned identity of the other device.
        keys: One key per direction and channel.
        transcript: Hash over both complete envelopes, 32 bytes.
        dialler: True on the side that made the offer.
        hello: What this side says of itself.
        max_message: Bytes that the engine takes in one message.
    """

    identity: Identity
    peer: PublicIdentity
    keys: ChannelKeys
    transcript: bytes
    dialler: bool
    hello: Hello
    max_message: int = MAX_FRAME


class Connection:
    """The protocol core of one connection.

    Args:
        parameters: Identities, keys and sizes.
        now: Current time in seconds on a clock that never runs backwards.

    Raises:
        RemoteProtocolError: The peer's engine takes too small messages.
    """

    def __init__(self, parameters: Parameters, now: float) -> None:
        if parameters.max_message < _MIN_MESSAGE:
            raise RemoteProtocolError(f"the other device takes only {parameters.max_message} bytes in one message")
        self._parameters = parameters
        self._plain_limit = min(parameters.max_message, MAX_NATIVE_FRAME) - FRAME_OVERHEAD
        keys = parameters.keys
        self._control_sealer = FrameSealer(keys.send_control)
        self._control_opener = FrameOpener(keys.receive_control)
        self._bulk_sealer = FrameSealer(keys.send_bulk)
        self._bulk_opener = FrameOpener(keys.receive_bulk)
        self._phase = Phase.PROVING
        self._control_out: deque[bytes] = deque()
        self._partial = bytearray()
        self._writer = RecordWriter()
        self._reader = RecordReader()
        self._bulk_sent = 0
        self._credit = CREDIT_WINDOW
        self._bulk_consumed = 0
        self._bulk_received = 0
        self._credit_given = CREDIT_WINDOW
        self._heard_at = now
        self._ticked_at = now
        self._pinged_at = now
        self._ping_number = 0
        self._round_trip = RoundTrip()

    @property
    def phase(self) -> Phase:
        """How far the handshake is."""
        return self._phase

    @property
    def bulk_received(self) -> int:
        """Stream bytes that arrived on the bulk channel so far."""
        return self._bulk_received

    @property
    def bulk_sent(self) -> int:
        """Stream bytes put into bulk frames so far."""
        return self._bulk_sent

    @property
    def bulk_pending(self) -> int:
        """Stream bytes queued for the bulk channel and not framed yet, for want of credit or of time."""
        return self._writer.pending

    @property
    def round_trip(self) -> float | None:
        """Seconds that a ping and its answer take, smoothed; None before the first answer."""
        return self._round_trip.smoothed

    def start(self) -> None:
        """Queue the proof and the Hello. Next: send ``control_frames()``."""
        parameters = self._parameters
        proof = prove(parameters.identity, parameters.transcript, dialler=parameters.dialler)
        self._control_out.append(self._control_sealer.seal(proof))
        self._queue(parameters.hello)

    def send(self, message: Message) -> None:
        """Queue a message.

        Raises:
            LocalProtocolError: The handshake is not complete, or the connection is closed.
        """
        if self._phase is not Phase.OPEN:
            raise LocalProtocolError(f"cannot send a message while the connection is {self._phase.name.lower()}")
        self._queue(message)

    def send_object(self, record: ObjectRecord) -> None:
        """Queue an object for the bulk channel. Next: send what ``bulk_frame()`` returns, until it returns None.

        Raises:
            LocalProtocolError: The handshake is not complete, the connection is closed, or the object is too large.
        """
        if self._phase is not Phase.OPEN:
            raise LocalProtocolError(f"cannot send an object while the connection is {self._phase.name.lower()}")
        self._writer.add(record)

    def consumed(self, wire_bytes: int) -> None:
        """Objects of that many stream bytes are dealt with: the peer gets credit for as many again."""
        self._bulk_consumed += wire_bytes
        self._give_credit()

    def close(self, reason: str) -> None:
        """Queue a Goodbye and stop. Next: send ``control_frames()``, then close the engine's connection."""
        if self._phase is Phase.OPEN:
            self._queue(Goodbye(reason[:200]))
        self._phase = Phase.CLOSED

    def control_frames(self) -> list[bytes]:
        """Frames to send on the control channel now."""
        frames = list(self._control_out)
        self._control_out.clear()
        return frames

    def bulk_frame(self, most: int = SLOW_FRAME) -> bytes | None:
        """The next frame for the bulk channel; None when nothing is queued, the credit is used up, or it is closed.

        Args:
            most: Bytes of the stream in it, at most; the engine's limit holds as well.
        """
        size = min(most, self._plain_limit, self._credit - self._bulk_sent, self._writer.pending)
        if size <= 0 or self._phase is not Phase.OPEN:
            return None
        piece = self._writer.take(size)
        self._bulk_sent += len(piece)
        return self._bulk_sealer.seal(piece)

    def receive(self, channel: Channel, frame: bytes, now: float) -> list[Event]:
        """Take one frame from the engine.

        Raises:
            SealError: The frame does not open; the connection is closed.
            TrustError: The peer is not who it should be; the connection is closed.
            VersionError: No version in common; the connection is closed.
            RemoteProtocolError: The peer broke the protocol; the connection is closed.
        """
        if self._phase is Phase.CLOSED:
            return []
        try:
            events = self._bulk(frame) if channel is Channel.BULK else self._control(frame, now)
        except Exception:
            self._phase = Phase.CLOSED
            raise
        self._heard_at = now
        return events

    def tick(self, now: float) -> list[Event]:
        """Send a ping if one is due and see whether the peer is silent. Next: send ``control_frames()``."""
        if self._phase is Phase.CLOSED:
            return []
        if now - self._ticked_at > _OVERDUE:
            # The silence may be ours, so the peer gets a fresh chance.
            self._heard_at = now
        self._ticked_at = now
        if now >= self._dead_at():
            self._phase = Phase.CLOSED
            return [PeerSilent()]
        if now >= self._pinged_at + PING_INTERVAL:
            self._pinged_at = now
            self._ping(now)
        return []

    def next_tick(self) -> float:
        """When ``tick()`` wants to be called, on the clock given as ``now``; infinity once the connection is closed."""
        if self._phase is Phase.CLOSED:
            return math.inf
        return min(self._pinged_at + PING_INTERVAL, self._dead_at())

    def _dead_at(self) -> float:
        return self._heard_at + (PEER_DEAD_AFTER if self._phase is Phase.OPEN else HANDSHAKE_DEADLINE)

    def _ping(self, now: float) -> None:
        if self._phase is Phase.OPEN:
            self._ping_number += 1
            self._round_trip.asked(self._ping_number, now)
            self._queue(Ping(self._ping_number))

    def _queue(self, message: Message) -> None:
        data = codec.encode(message)
        size = min(self._plain_limit, SLOW_FRAME) - 1
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            flag = _LAST if start + size >= len(data) else _MORE
            self._control_out.append(self._control_sealer.seal(flag + piece))

    def _control(self, frame: bytes, now: float) -> list[Event]:
        plain = self._control_opener.open(frame)
        if self._phase is Phase.PROVING:
            parameters = self._parameters
            check_proof(parameters.peer, parameters.transcript, dialler=not parameters.dialler, signature=plain)
            self._phase = Phase.GREETING
            return []
        if not plain or plain[:1] not in (_LAST, _MORE):
            raise RemoteProtocolError("a control frame without a continuation flag")
        self._partial += plain[1:]
        if len(self._partial) > MAX_CONTROL_MESSAGE:
            raise RemoteProtocolError(f"a control message of more than {MAX_CONTROL_MESSAGE} bytes")
        if plain[:1] == _MORE:
            return []
        message = codec.decode(bytes(self._partial))
        self._partial.clear()
        return self._greet(message) if self._phase is Phase.GREETING else self._dispatch(message, now)

    def _greet(self, message: Message) -> list[Event]:
        if not isinstance(message, Hello):
            raise RemoteProtocolError(f"expected a hello, got {type(message).__name__}")
        version = common_version(self._parameters.hello.versions, message.versions)
        self._phase = Phase.OPEN
        return [PeerReady(message, version)]

    def _dispatch(self, message: Message, now: float) -> list[Event]:
        match message:
            case Hello():
                raise RemoteProtocolError("a second hello")
            case Ping(number):
                self._queue(Pong(number))
                return []
            case Pong(number):
                self._round_trip.answered(number, now)
                return []
            case Credit(total):
                self._credit = max(self._credit, total)
                return []
            case Goodbye(reason):
                self._phase = Phase.CLOSED
                return [PeerLeft(reason)]
            case _:
                return [MessageReceived(message)]

    def _bulk(self, frame: bytes) -> list[Event]:
        plain = self._bulk_opener.open(frame)
        if self._phase is not Phase.OPEN:
            raise RemoteProtocolError("content before the handshake is complete")
        self._bulk_received += len(plain)
        if self._bulk_received > self._credit_given:
            raise RemoteProtocolError("more content than the credit given")
        records = self._reader.feed(plain)
        self._give_credit()
        return [ObjectReceived(record) for record in records]

    def _give_credit(self) -> None:
        # Nobody can consume a part of an object: without credit for it an object as large as the window would stall.
        total = self._bulk_consumed + self._reader.pending + CREDIT_WINDOW
        if total - self._credit_given >= _CREDIT_STEP and self._phase is Phase.OPEN:
            self._credit_given = total
            self._queue(Credit(total))
