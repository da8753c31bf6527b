# SPDX-License-Identifier: Apache-2.0
"""The fast engine: libwebrtc through ``wrtc`` (extra ``fast``). Layer: I/O ring.

The library is imported when an engine is made, so this module is safe to import without it. Its callbacks
come on the event loop. Loopback candidates are gathered, and announced where the machine has no other.
Specification: docs/specs/transport.md §7.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal

from typing_extensions import override

from p2p_handoff.engines import sdp
from p2p_handoff.engines.base import Engine, IceServer, Path, PathKind
from p2p_handoff.engines.lifecycle import Phase
from p2p_handoff.engines.negotiation import NegotiatedConnection
from p2p_handoff.engines.paths import path_kind, transport_address
from p2p_handoff.errors import EngineError, LocalProtocolError, UsageError
from p2p_handoff.limits import GATHER_DEADLINE, ICE_DEADLINE, MAX_NATIVE_FRAME
from p2p_handoff.protocol.channels import Channel

if TYPE_CHECKING:
    from types import ModuleType

    import webrtc


PAIR_DEADLINE: Final = 0.5
"""Seconds that ``path`` waits for the library to tell the selected pair."""


def available() -> bool:
    """Whether the library is installed. Does not load it."""
    return importlib.util.find_spec("webrtc") is not None


def load() -> ModuleType:
    """Import the library and allow loopback candidates, once per process.

    Raises:
        UsageError: It is not installed, or does not load on this machine.
    """
    try:
        import webrtc  # noqa: PLC0415 - the extra may be missing, and loading it costs 20 MB
    except ImportError as error:
        raise UsageError(
            f"the engine wrtc cannot be loaded: {error}", advice="install it with: pip install 'p2p-handoff[fast]'"
        ) from error
    try:
        webrtc.allow_loopback()
    except webrtc.InvalidStateError:
        # Somebody else in this process made a connection first; ours then lack loopback candidates.
        return webrtc
    return webrtc


class NativeEngine(Engine):
    """A factory of libwebrtc connections.

    Args:
        ice_deadline: Seconds that ``wait_open`` waits at most.
        gather_deadline: Seconds that STUN and TURN servers have to answer.

    Raises:
        UsageError: The library is not installed.
    """

    name = "wrtc"

    def __init__(self, *, ice_deadline: float = ICE_DEADLINE, gather_deadline: float = GATHER_DEADLINE) -> None:
        load()
        self._ice_deadline = ice_deadline
        self._gather_deadline = gather_deadline

    @override
    def connection(self, ice_servers: Sequence[IceServer] = ()) -> NativeConnection:
        return NativeConnection(ice_servers, ice_deadline=self._ice_deadline, gather_deadline=self._gather_deadline)


class NativeConnection(NegotiatedConnection):
    """One ``RTCPeerConnection`` of libwebrtc with two negotiated channels."""

    def __init__(self, ice_servers: Sequence[IceServer], *, ice_deadline: float, gather_deadline: float) -> None:
        super().__init__(ice_deadline=ice_deadline, accepts=MAX_NATIVE_FRAME)
        self._webrtc = load()
        self._gather_deadline = gather_deadline
        self._gathered = asyncio.Event()
        self._peer = self._make_peer(ice_servers)
        self._channels = {channel: self._open_channel(channel) for channel in Channel}
        self._remote_limit = MAX_NATIVE_FRAME
        self._message_limit = MAX_NATIVE_FRAME

    def _make_peer(self, ice_servers: Sequence[IceServer]) -> webrtc.RTCPeerConnection:
        library = self._webrtc
        servers = [
            library.RTCIceServer(server.url, server.username or None, server.credential or None)
            for server in ice_servers
        ]
        try:
            peer: webrtc.RTCPeerConnection = library.RTCPeerConnection(library.RTCConfiguration(ice_servers=servers))
        except (library.RTCException, ValueError) as error:
            raise EngineError(f"these STUN or TURN servers cannot be used: {error}") from error
        peer.on("connectionstatechange", lambda _event: self._state_changed())
        peer.on("icegatheringstatechange", lambda _event: self._gathering_changed())
        return peer

    def _open_channel(self, channel: Channel) -> webrtc.RTCDataChannel:
        options = self._webrtc.RTCDataChannelInit(negotiated=True, id=channel.value)
        opened = self._peer.create_data_channel(channel.name.lower(), options)
        opened.on("open", lambda _event: self._channel_opened())
        opened.on("close", lambda _event: self._lost("the peer closed the connection"))
        opened.on("message", lambda event: self._message(channel, event.data))
        opened.on("bufferedamountlow", lambda _event: self._drained(channel))
        return opened

    def _channel_opened(self) -> None:
        if all(channel.ready_state == "open" for channel in self._channels.values()):
            self._message_limit = self._negotiated_limit()
            self._opened()

    def _gathering_changed(self) -> None:
        if self._peer.ice_gathering_state == "complete":
            self._gathered.set()

    def _state_changed(self) -> None:
        """``disconnected`` is not final: the path may come back, and pings decide when the peer is dead."""
        state = self._peer.connection_state
        if state in {"failed", "closed"}:
            self._lost(f"the connection {state.value}")

    def _message(self, channel: Channel, data: object) -> None:
        if isinstance(data, bytes):
            self._arrived(channel, data)
        else:
            self._lost("the peer sent text on a binary channel")

    @override
    async def _describe(self) -> str:
        self._require_alive()
        try:
            await self._peer.set_local_description()
        except self._webrtc.RTCException as error:
            raise EngineError(f"no description could be made: {error}") from error
        await self._gather()
        self._require_alive()
        local = self._peer.local_description
        assert local is not None
        return sdp.hide_loopback(sdp.announce_max_message_size(sdp.require_candidates(local.sdp), self._accepts))

    async def _gather(self) -> None:
        """Wait for every candidate, but not longer than the deadline: what there is by then must do."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._gather_deadline):
                await self._gathered.wait()

    @override
    async def _take(self, description: str, kind: Literal["offer", "answer"]) -> None:
        self._require_alive()
        accepted = sdp.for_engine(description)
        self._remote_limit = sdp.max_message_size(description) or self._accepts
        remote = self._webrtc.RTCSessionDescriptionInit(kind, accepted)
        try:
            await self._peer.set_remote_description(remote)
        except (self._webrtc.RTCException, ValueError) as error:
            raise EngineError(f"this {kind} cannot be used: {error}") from error
        self._require_alive()

    @override
    def _transmit(self, channel: Channel, message: bytes) -> None:
        try:
            self._channels[channel].send(message)
        except self._webrtc.InvalidStateError as error:
            raise EngineError("the channel is not open any more") from error
        except (self._webrtc.OperationError, TypeError) as error:
            raise LocalProtocolError(f"the engine refused a message: {error}") from error

    @override
    def queued_bytes(self, channel: Channel) -> int:
        return self._channels[channel].buffered_amount

    @override
    def _notify_below(self, channel: Channel, size: int) -> None:
        self._channels[channel].buffered_amount_low_threshold = size

    @property
    @override
    def max_message_size(self) -> int:
        return self._message_limit

    def _negotiated_limit(self) -> int:
        """Final once the channels are open, and asked for then: the library waits for its own thread to tell it."""
        sctp = self._peer.sctp
        negotiated = sctp.max_message_size if sctp is not None else None
        return int(min(self._accepts, self._remote_limit, negotiated or math.inf))

    @override
    def remote_fingerprint(self) -> bytes:
        sctp = self._peer.sctp
        certificates = sctp.transport.get_remote_certificates() if sctp is not None else []
        if not certificates:
            raise EngineError("no certificate was observed yet")
        return hashlib.sha256(certificates[0]).digest()

    @override
    async def path(self) -> Path:
        pair = await self._selected_pair()
        if pair is None:
            return Path(PathKind.UNKNOWN)
        local, remote = pair.local, pair.remote
        return Path(
            path_kind(str(local.type), str(remote.type), local.address, remote.address),
            transport_address(local.address, local.port),
            transport_address(remote.address, remote.port),
        )

    async def _selected_pair(self) -> webrtc.RTCIceCandidatePair | None:
        """The selected pair, which the library may tell a moment after the channels are open."""
        sctp = self._peer.sctp
        if sctp is None or self._phase is not Phase.OPEN:
            return None
        ice = sctp.transport.ice_transport
        if ice.get_selected_candidate_pair() is None:
            selected = asyncio.Event()
            ice.once("selectedcandidatepairchange", lambda _event: selected.set())
            with suppress(TimeoutError):
                async with asyncio.timeout(PAIR_DEADLINE):
                    await selected.wait()
        return ice.get_selected_candidate_pair()

    @override
    async def _release(self) -> None:
        self._peer.close()
