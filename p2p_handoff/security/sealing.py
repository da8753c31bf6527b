# SPDX-License-Identifier: Apache-2.0
"""Envelopes: signaling between devices that know each other. Layer: security, pure.

Specification: docs/specs/sealing.md §2-4. Signed by the sender, then sealed to the recipient (HPKE, RFC 9180).
From the outside an envelope shows its version and, in steps of 8 KiB, its size: neither sender nor kind, nor
whether the answer was yes. The signature names the recipient, so nobody can pass an envelope on as if it
were meant for somebody else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from p2p_handoff.content import strict_cbor
from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError, SealError, TrustError, VersionError
from p2p_handoff.ids import DEVICE_ID_LENGTH, LONG_ID_LENGTH, DeviceId, TxnId, parse_id
from p2p_handoff.limits import KIB, MAX_ENVELOPE
from p2p_handoff.security.identity import SIGNATURE_BYTES, Identity, PublicIdentity

ENVELOPE_VERSION: Final = 1
PADDING_STEP: Final = 8 * KIB
"""An offer, an answer and a refusal all fit the first step, so their sizes do not tell them apart."""
SEEN_TXNS: Final = 4096
"""Transactions per sender that the replay guard remembers: more than a device makes in weeks."""

_SUITE: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_SEAL_BYTES: Final = KEM.MLKEM768_X25519.enc_length() + 16
_LENGTH_BYTES: Final = 4
_CONTEXT: Final = b"envelope"
_INFO: Final = "p2p-handoff envelope"
_VERSION_BYTE: Final = bytes((ENVELOPE_VERSION,))
_MAX_PLAIN: Final = (MAX_ENVELOPE - 1 - _SEAL_BYTES) // PADDING_STEP * PADDING_STEP


class EnvelopeKind(Enum):
    """What the body of an envelope is (security.offers)."""

    OFFER = "offer"
    ANSWER = "answer"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope that was opened, and whose signature holds. Next: ``SeenEnvelopes.admit``."""

    sender: DeviceId
    txn: TxnId
    counter: int
    """Grows with every envelope of this sender in this txn."""
    kind: EnvelopeKind
    body: bytes
    raw: bytes
    """The complete envelope as it travelled, for ``exchange.transcript_hash``."""


def seal(
    sender: Identity, recipient: PublicIdentity, txn: TxnId, counter: int, kind: EnvelopeKind, body: bytes
) -> bytes:
    """Seal a body to one device.

    Args:
        sender: This device.
        recipient: The pinned identity of the other one.
        txn: The handoff, or connection attempt, that it belongs to.
        counter: Greater than in this device's earlier envelopes of the same txn; not negative.
        kind: What the body is.
        body: Encoded content.

    Raises:
        TrustError: The recipient's KEM key is unusable.
        LocalProtocolError: The body does not fit an envelope.
    """
    signature = sender.sign(_CONTEXT, _statement(sender.device, recipient.device, txn, counter, kind, body))
    plain = _padded(strict_cbor.encode([sender.device, txn, counter, kind.value, body, signature]))
    try:
        return _VERSION_BYTE + _SUITE.encrypt(plain, recipient.kem_public_key(), info=_info(recipient.device))
    except ValueError:
        raise TrustError("a device's encryption key is unusable", advice="link the two devices again") from None


def open_envelope(recipient: Identity, known: Callable[[DeviceId], PublicIdentity | None], data: bytes) -> Envelope:
    """Open an envelope and check who wrote it.

    Args:
        recipient: This device.
        known: Gives the pinned identity of a linked device, None for any other.
        data: The complete envelope.

    Raises:
        VersionError: It is of another version, by its first byte.
        SealError: It does not open, is malformed, or its signature does not hold; which one is not told.
        TrustError: It opens, and names a sender that is not linked.
    """
    if data[:1] not in {b"", _VERSION_BYTE}:
        raise VersionError(
            f"an envelope is of version {data[0]} and this device speaks version {ENVELOPE_VERSION}",
            advice="update the older of the two",
        )
    try:
        sender, txn, counter, kind, body, signature = _parse(_unsealed(recipient, data))
    except (RemoteProtocolError, InvalidTag, ValueError):
        raise SealError("an envelope does not open") from None
    public = known(sender)
    if public is None:
        raise TrustError("an envelope comes from a device that is not linked with this one")
    try:
        public.verify(_CONTEXT, signature, _statement(sender, recipient.device, txn, counter, kind, body))
    except TrustError:
        raise SealError("an envelope does not open") from None
    return Envelope(sender, txn, counter, kind, body, data)


class SeenEnvelopes:
    """Replay guard: of one sender and txn, each envelope's counter must be higher than the one before.

    Bounded per sender, so that one linked device cannot push out what is remembered of another. What is
    forgotten, or lost at a restart, can be replayed once more: that starts a connection attempt which then
    fails, because the replayer lacks the ephemeral keys.

    Args:
        txns_per_sender: How many transactions to remember of each sender.
    """

    __slots__ = ("_limit", "_seen")

    def __init__(self, txns_per_sender: int = SEEN_TXNS) -> None:
        self._limit = txns_per_sender
        self._seen: dict[DeviceId, OrderedDict[TxnId, int]] = {}

    def admit(self, envelope: Envelope) -> None:
        """Remember an opened envelope.

        Raises:
            SealError: It was seen before, or a later one was.
        """
        txns = self._seen.setdefault(envelope.sender, OrderedDict())
        if envelope.counter <= txns.get(envelope.txn, -1):
            raise SealError("an envelope was replayed")
        txns[envelope.txn] = envelope.counter
        txns.move_to_end(envelope.txn)
        if len(txns) > self._limit:
            txns.popitem(last=False)

    def forget(self, sender: DeviceId) -> None:
        """Drop what is remembered of a device that is no longer linked."""
        self._seen.pop(sender, None)


_Fields = tuple[DeviceId, TxnId, int, EnvelopeKind, bytes, bytes]


def _statement(
    sender: DeviceId, recipient: DeviceId, txn: TxnId, counter: int, kind: EnvelopeKind, body: bytes
) -> bytes:
    return strict_cbor.encode([ENVELOPE_VERSION, sender, recipient, txn, counter, kind.value, body])


def _info(recipient: DeviceId) -> bytes:
    return strict_cbor.encode([_INFO, ENVELOPE_VERSION, recipient])


def _padded(content: bytes) -> bytes:
    framed = len(content).to_bytes(_LENGTH_BYTES, "big") + content
    size = -(-len(framed) // PADDING_STEP) * PADDING_STEP
    if size > _MAX_PLAIN:
        raise LocalProtocolError(f"{len(content)} bytes do not fit an envelope")
    return framed.ljust(size, b"\0")


def _unsealed(recipient: Identity, data: bytes) -> bytes:
    if len(data) > MAX_ENVELOPE or data[:1] != _VERSION_BYTE:
        raise RemoteProtocolError("not an envelope of this version")
    plain = _SUITE.decrypt(data[1:], recipient.kem_private_key, info=_info(recipient.device))
    end = _LENGTH_BYTES + int.from_bytes(plain[:_LENGTH_BYTES], "big")
    if len(plain) % PADDING_STEP or any(plain[end:]):
        raise RemoteProtocolError("malformed padding")
    return plain[_LENGTH_BYTES:end]


def _parse(content: bytes) -> _Fields:
    match strict_cbor.decode(content, limit=_MAX_PLAIN):
        case [str(sender), str(txn), int(counter), str(kind), bytes(body), bytes(signature)] if (
            type(counter) is int and counter >= 0 and len(signature) == SIGNATURE_BYTES
        ):
            device = DeviceId(parse_id(sender, DEVICE_ID_LENGTH))
            return device, TxnId(parse_id(txn, LONG_ID_LENGTH)), counter, EnvelopeKind(kind), body, signature
    raise RemoteProtocolError("malformed envelope")
