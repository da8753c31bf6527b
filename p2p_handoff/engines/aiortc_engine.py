# SPDX-License-Identifier: Apache-2.0
"""The engine that runs everywhere: aiortc, WebRTC in Python. Layer: I/O ring.

Candidates are gathered completely before a description leaves. The library's weak spots are closed by
``aiortc_hardening``; its slow shutdown is bounded here. Specification: docs/specs/transport.md §6.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final, Literal

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCSctpTransport,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidStateError
from cryptography.hazmat.primitives.serialization import Encoding
from typing_extensions import override

from p2p_handoff.engines import sdp
from p2p_handoff.engines.aiortc_hardening import harden
from p2p_handoff.engines.base import Engine, IceServer, Path, PathKind
from p2p_handoff.engines.negotiation import NegotiatedConnection
from p2p_handoff.engines.paths import path_kind, transport_address
from p2p_handoff.errors import EngineError
from p2p_handoff.limits import GATHER_DEADLINE, ICE_DEADLINE, KIB, MAX_FRAME
from p2p_handoff.protocol.channels import Channel

CLOSE_DEADLINE: Final = 0.25
"""Seconds that ``close`` waits for the library; the rest of its shutdown goes on in the background."""


class AiortcEngine(Engine):
    """A factory of aiortc connections.

    Args:
        ice_deadline: Seconds that ``wait_open`` waits at most.
        gather_deadline: Seconds that STUN and TURN servers have to answer.
    """

    name = "aiortc"

    def __init__(self, *, ice_deadline: float = ICE_DEADLINE, gather_deadline: float = GATHER_DEADLINE) -> None:
        self._ice_deadline = ice_deadline
        self._gather_deadline = gather_deadline
        self._closing: set[asyncio.Task[None]] = set()

    @override
    def connection(self, ice_servers: Sequence[IceServer] = ()) -> AiortcConnection:
        configuration = RTCConfiguration(iceServers=[_ice_server(server) for server in ice_servers])
        return AiortcConnection(
            configuration,
            ice_deadline=self._ice_deadline,
            gather_deadline=self._gather_deadline,
            closing=self._closing,
        )


class AiortcConnection(NegotiatedConnection):
    """One ``RTCPeerConnection`` with two negotiated channels."""

    worth_queueing = 512 * KIB
    """It is filled up between two datagrams, by the same event loop; what waits longer has left the processor's cache
    when it is sent, which costs a sixth of the speed."""

    def __init__(
        self,
        configuration: RTCConfiguration,
        *,
        ice_deadline: float,
        gather_deadline: float,
        closing: set[asyncio.Task[None]],
    ) -> None:
        super().__init__(ice_deadline=ice_deadline, accepts=MAX_FRAME)
        self._closing = closing
        self._peer = RTCPeerConnection(configuration)
        self._channels = {channel: self._open_channel(channel) for channel in Channel}
        harden(self._sctp, gather_deadline)
        self._peer.on("connectionstatechange", self._state_changed)
        self._remote_limit = MAX_FRAME
        self._close_reason = ""

    def _open_channel(self, channel: Channel) -> RTCDataChannel:
        opened = self._peer.createDataChannel(channel.name.lower(), negotiated=True, id=channel.value)
        opened.on("open", self._channel_opened)
        opened.on("close", lambda: self._lost("the peer closed the connection"))
        opened.on("message", lambda message: self._arrived(channel, message))
        opened.on("bufferedamountlow", lambda: self._drained(channel))
        return opened

    @property
    def _sctp(self) -> RTCSctpTransport:
        sctp = self._peer.sctp
        assert sctp is not None
        return sctp

    def _channel_opened(self) -> None:
        if all(channel.readyState == "open" for channel in self._channels.values()):
            self._opened()

    def _state_changed(self) -> None:
        if self._peer.connectionState in {"failed", "closed"}:
            self._lost(f"the connection {self._peer.connectionState}")

    @override
    async def _describe(self) -> str:
        self._require_alive()
        try:
            await self._peer.setLocalDescription()
        except (InvalidStateError, OSError, ValueError) as error:
            raise EngineError(f"no description could be made: {error}") from error
        self._require_alive()
        local = sdp.keep_sha256_fingerprint(sdp.require_candidates(self._peer.localDescription.sdp))
        return sdp.announce_max_message_size(local, self._accepts)

    @override
    async def _take(self, description: str, kind: Literal["offer", "answer"]) -> None:
        self._require_alive()
        accepted = sdp.for_engine(description)
        self._remote_limit = sdp.max_message_size(description) or self._accepts
        try:
            await self._peer.setRemoteDescription(RTCSessionDescription(accepted, kind))
        except Exception as error:
            # The library's parser answers malformed text with whatever its string operations raise.
            raise EngineError(f"this {kind} cannot be used: {error}") from error
        self._require_alive()

    @override
    def _transmit(self, channel: Channel, message: bytes) -> None:
        try:
            self._channels[channel].send(message)
        except InvalidStateError as error:
            raise EngineError("the channel is not open any more") from error

    @override
    def queued_bytes(self, channel: Channel) -> int:
        return self._channels[channel].bufferedAmount

    @override
    def _notify_below(self, channel: Channel, size: int) -> None:
        self._channels[channel].bufferedAmountLowThreshold = size

    @property
    @override
    def max_message_size(self) -> int:
        return min(self._accepts, self._remote_limit)

    @override
    def remote_fingerprint(self) -> bytes:
        ssl = self._sctp.transport._ssl  # noqa: SLF001 - the library offers no accessor for the peer's certificate
        certificate = ssl.get_peer_certificate(as_cryptography=True) if ssl is not None else None
        if certificate is None:
            raise EngineError("no certificate was observed yet")
        return hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()

    @override
    async def path(self) -> Path:
        nominated = self._sctp.transport.transport._connection._nominated  # noqa: SLF001 - no accessor in 1.16
        for pair in nominated.values():
            local, remote = pair.local_candidate, pair.remote_candidate
            return Path(
                path_kind(local.type, remote.type, local.host, remote.host),
                transport_address(local.host, local.port),
                transport_address(remote.host, remote.port),
            )
        return Path(PathKind.UNKNOWN)

    @override
    async def _release(self) -> None:
        task = asyncio.ensure_future(self._peer.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        await asyncio.wait({task}, timeout=CLOSE_DEADLINE)


def _ice_server(server: IceServer) -> RTCIceServer:
    return RTCIceServer(urls=server.url, username=server.username or None, credential=server.credential or None)
