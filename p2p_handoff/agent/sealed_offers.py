# SPDX-License-Identifier: Apache-2.0
"""A sealed offer and its sealed answer, and the wire that they lead to. Layer: agent.

Specification: docs/specs/handoff-v2.md §8, docs/specs/transport.md §2. Both sides make sure that the connection ends at
the certificate that was named under the seal.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from p2p_handoff.agent.dialling import Dialling
from p2p_handoff.agent.wire import Wire
from p2p_handoff.engines.base import EngineConnection
from p2p_handoff.errors import (
    EngineError,
    HandoffError,
    RejectedError,
    RemoteProtocolError,
    TimedOutError,
    TrustError,
    UnreachableError,
    VersionError,
)
from p2p_handoff.ids import DeviceId, TxnId, new_txn_id
from p2p_handoff.limits import ICE_DEADLINE
from p2p_handoff.protocol.connection import Parameters
from p2p_handoff.security.exchange import (
    ChannelKeys,
    EphemeralOffer,
    channel_keys,
    respond,
    transcript_hash,
)
from p2p_handoff.security.identity import PublicIdentity
from p2p_handoff.security.offers import SdpAnswer, SdpOffer, SdpRefusal
from p2p_handoff.security.sealing import Envelope, EnvelopeKind, seal
from p2p_handoff.security.versions import common_version
from signaling.port import RelayPort

log = logging.getLogger(__name__)

NO_PATH = (
    "it answered, but nothing passes between the devices: where routers translate addresses set 'stun', or for the "
    "strict ones 'turn', in the configuration of both, or bring them into one network"
)
"""Said where signaling works and WebRTC finds no way: address translation, mostly."""
ANSWER_DEADLINE = 5.0
"""Seconds for the other device to answer an offer; it gathers candidates meanwhile."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """What an exchange of offer and answer settled.

    Args:
        peer: The other device.
        fingerprint: Of its certificate.
        keys: One per direction and channel.
        transcript: Hash over both envelopes.
        dialler: Whether this device made the offer.
        seen_before: The highest counter that the peer had shown when this device sealed its envelope.
    """

    peer: PublicIdentity
    fingerprint: bytes
    keys: ChannelKeys
    transcript: bytes
    dialler: bool
    seen_before: int


class SealedOffers:
    """Makes a wire of an offer that is answered, or of one that arrives.

    Args:
        dialling: What is known of the agent.
    """

    def __init__(self, dialling: Dialling) -> None:
        self._d = dialling
        self._answers: dict[TxnId, asyncio.Future[Envelope]] = {}

    async def offer(self, port: RelayPort, public: PublicIdentity, to: DeviceId | None) -> Wire:
        """Offer a connection to a linked device.

        Args:
            port: The relay that carries offer and answer.
            public: The device's keys.
            to: Whom the relay passes the offer to; None for the agent whose relay it is.

        Raises:
            TrustError: What answers is not the device.
            VersionError: No protocol version in common.
            RejectedError: The device says no.
            UnreachableError, TimedOutError: It does not answer, or no connection comes of it.
            RemoteProtocolError: What it answers is malformed.
        """
        d = self._d
        connection = d.engine.connection(d.ice_servers)
        txn = new_txn_id(d.entropy)
        try:
            keys = EphemeralOffer.generate()
            sdp = await connection.create_offer()
            body = SdpOffer(sdp, d.engine.name, keys.public, d.versions).to_bytes()
            seen = d.seen(public.device)
            envelope = seal(d.identity, public, txn, 0, EnvelopeKind.OFFER, body)
            answer = await self._exchange(port, to, txn, envelope)
            if answer.sender != public.device:
                raise TrustError("another device answered")
            reply = _accepted_answer(answer)
            common_version(d.versions, reply.versions)
            transcript = transcript_hash(envelope, answer.raw)
            channel = channel_keys(keys.finish(reply.ephemeral), transcript, dialler=True)
            await connection.set_answer(reply.sdp)
            meeting = Meeting(public, reply.fingerprint, channel, transcript, dialler=True, seen_before=seen)
            return await self._open(connection, meeting)
        except BaseException:
            await connection.close()
            raise

    async def _exchange(self, port: RelayPort, to: DeviceId | None, txn: TxnId, envelope: bytes) -> Envelope:
        future: asyncio.Future[Envelope] = asyncio.get_running_loop().create_future()
        self._answers[txn] = future
        try:
            await port.send(to, envelope)
            async with asyncio.timeout(ANSWER_DEADLINE):
                answer = await future
        except TimeoutError:
            raise TimedOutError("it does not answer") from None
        finally:
            del self._answers[txn]
        return answer

    def answer_arrived(self, envelope: Envelope) -> None:
        """An answer, or a refusal, of a linked device came in; one that nobody awaits is dropped."""
        waiting = self._answers.get(envelope.txn)
        if waiting is not None and not waiting.done():
            waiting.set_result(envelope)

    async def answer(self, port: RelayPort, sender: DeviceId | None, envelope: Envelope) -> Wire | None:
        """Answer an offer of a linked device.

        Args:
            port: Where it came in.
            sender: Where the answer goes.
            envelope: The offer.

        Returns:
            The open wire; None when none came of it.
        """
        d = self._d
        public = d.pinned(envelope.sender)
        assert public is not None
        connection = d.engine.connection(d.ice_servers)
        try:
            offer = SdpOffer.from_bytes(envelope.body)
            common_version(d.versions, offer.versions)
            sdp = await connection.create_answer(offer.sdp)
            ephemeral, secrets = respond(offer.ephemeral)
            body = SdpAnswer(sdp, d.engine.name, ephemeral, d.versions).to_bytes()
            seen = d.seen(public.device)
            reply = seal(d.identity, public, envelope.txn, 0, EnvelopeKind.ANSWER, body)
            transcript = transcript_hash(envelope.raw, reply)
            keys = channel_keys(secrets, transcript, dialler=False)
            await port.send(sender, reply)
            meeting = Meeting(public, offer.fingerprint, keys, transcript, dialler=False, seen_before=seen)
            return await self._open(connection, meeting)
        except VersionError as error:
            await connection.close()
            await self.refuse(port, sender, public, envelope.txn, SdpRefusal("version", error.what[:200]))
        except HandoffError as error:
            log.warning("a dial by %s failed: %s", envelope.sender[:6], error)
            await connection.close()
        except BaseException:
            await connection.close()
            raise
        return None

    async def refuse(
        self, port: RelayPort, sender: DeviceId | None, public: PublicIdentity, txn: TxnId, refusal: SdpRefusal
    ) -> None:
        """Tell a device that its offer is refused, and why."""
        log.warning("a dial by %s was refused: %s", public.device[:6], refusal.text)
        body = refusal.to_bytes()
        with contextlib.suppress(HandoffError):
            await port.send(sender, seal(self._d.identity, public, txn, 0, EnvelopeKind.REFUSAL, body))

    async def _open(self, connection: EngineConnection, meeting: Meeting) -> Wire:
        try:
            async with asyncio.timeout(ICE_DEADLINE + 1):
                await connection.wait_open()
        except TimeoutError:
            raise TimedOutError("the connection could not be opened in time", advice=NO_PATH) from None
        except EngineError as error:
            raise UnreachableError(error.what, advice=NO_PATH) from error
        if connection.remote_fingerprint() != meeting.fingerprint:
            raise TrustError("the certificate of the connection is not the one in the sealed offer")
        parameters = Parameters(
            identity=self._d.identity,
            peer=meeting.peer,
            keys=meeting.keys,
            transcript=meeting.transcript,
            dialler=meeting.dialler,
            hello=self._d.hello(meeting.peer.device),
            max_message=connection.max_message_size,
        )
        wire = Wire(connection, parameters, meeting.peer.device, self._d.engine.name, seen_before=meeting.seen_before)
        await wire.open()
        return wire


def _accepted_answer(envelope: Envelope) -> SdpAnswer:
    if envelope.kind is EnvelopeKind.ANSWER:
        return SdpAnswer.from_bytes(envelope.body)
    if envelope.kind is not EnvelopeKind.REFUSAL:
        raise RemoteProtocolError("an offer was answered by another offer")
    refusal = SdpRefusal.from_bytes(envelope.body)
    if refusal.reason == "version":
        raise VersionError(f"the other device refused: {refusal.text}", advice="update the older of the two")
    raise RejectedError(f"the other device refused: {refusal.text}", reason=refusal.reason)
