# SPDX-License-Identifier: Apache-2.0
"""The ephemeral hybrid key exchange of a connection, and the frame keys that follow. Layer: security, pure.

Specification: docs/specs/frames.md §1. X25519 and ML-KEM-768 side by side, inside the two sealed envelopes:
an attacker must break both to read recorded traffic, and device keys stolen later open nothing. Every
secret here serves one connection and is forgotten when used.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from p2p_handoff.errors import LocalProtocolError, SealError
from p2p_handoff.security.frames import FRAME_KEY_BYTES, FrameKey

MLKEM_CIPHERTEXT_BYTES: Final = 1088
"""ML-KEM-768 ciphertext (FIPS 203 §8)."""
TRANSCRIPT_BYTES: Final = 32

_TRANSCRIPT_LABEL: Final = b"p2p-handoff transcript v1"
_KEY_LABEL: Final = b"p2p-handoff frames v1 "


@dataclass(frozen=True, slots=True)
class OfferPublic:
    """What the dialling side sends: X25519 public key (32 bytes), ML-KEM-768 encapsulation key (1,184 bytes)."""

    x25519: bytes
    mlkem: bytes


@dataclass(frozen=True, slots=True)
class AnswerPublic:
    """What the answering side sends: X25519 public key (32 bytes), ML-KEM-768 ciphertext (1,088 bytes)."""

    x25519: bytes
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class SharedSecrets:
    """What both sides hold after the exchange, 32 bytes each. Next: ``channel_keys``."""

    x25519: bytes = field(repr=False)
    mlkem: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChannelKeys:
    """One key per direction and channel, named from the point of view of one side."""

    send_control: FrameKey
    receive_control: FrameKey
    send_bulk: FrameKey
    receive_bulk: FrameKey


class EphemeralOffer:
    """The dialling side's half. Send ``public`` in the offer, then call ``finish`` once.

    Args:
        x25519_key: Classical key, used for this connection only.
        mlkem_key: Post-quantum key, used for this connection only.
    """

    __slots__ = ("_keys", "public")

    def __init__(self, x25519_key: X25519PrivateKey, mlkem_key: MLKEM768PrivateKey) -> None:
        self._keys: tuple[X25519PrivateKey, MLKEM768PrivateKey] | None = (x25519_key, mlkem_key)
        self.public = OfferPublic(
            x25519=x25519_key.public_key().public_bytes_raw(), mlkem=mlkem_key.public_key().public_bytes_raw()
        )

    @classmethod
    def generate(cls) -> EphemeralOffer:
        """Fresh keys."""
        return cls(X25519PrivateKey.generate(), MLKEM768PrivateKey.generate())

    def finish(self, answer: AnswerPublic) -> SharedSecrets:
        """The shared secrets; forgets the private keys.

        Raises:
            SealError: The answer's keys are malformed or degenerate.
            LocalProtocolError: Called twice.
        """
        keys, self._keys = self._keys, None
        if keys is None:
            raise LocalProtocolError("an ephemeral offer was finished twice")
        x25519_key, mlkem_key = keys
        try:
            return SharedSecrets(
                x25519=_agree(x25519_key, answer.x25519), mlkem=mlkem_key.decapsulate(answer.ciphertext)
            )
        except ValueError:
            raise SealError("an answer's keys are malformed") from None


def respond(offer: OfferPublic) -> tuple[AnswerPublic, SharedSecrets]:
    """The answering side's half, whole: its keys live no longer than this call.

    Raises:
        SealError: The offer's keys are malformed or degenerate.
    """
    x25519_key = X25519PrivateKey.generate()
    try:
        mlkem_secret, ciphertext = MLKEM768PublicKey.from_public_bytes(offer.mlkem).encapsulate()
        x25519_secret = _agree(x25519_key, offer.x25519)
    except ValueError:
        raise SealError("an offer's keys are malformed") from None
    answer = AnswerPublic(x25519=x25519_key.public_key().public_bytes_raw(), ciphertext=ciphertext)
    return answer, SharedSecrets(x25519=x25519_secret, mlkem=mlkem_secret)


def transcript_hash(offer_envelope: bytes, answer_envelope: bytes) -> bytes:
    """SHA-256 over both complete envelopes as they travelled, 32 bytes: all that was agreed in signaling."""
    digest = hashlib.sha256(_TRANSCRIPT_LABEL)
    for envelope in (offer_envelope, answer_envelope):
        digest.update(len(envelope).to_bytes(8, "big"))
        digest.update(envelope)
    return digest.digest()


def channel_keys(secrets: SharedSecrets, transcript: bytes, *, dialler: bool) -> ChannelKeys:
    """The frame keys of one side.

    Args:
        secrets: From ``EphemeralOffer.finish`` or ``respond``.
        transcript: From ``transcript_hash``, 32 bytes.
        dialler: True on the side that made the offer.
    """
    if len(transcript) != TRANSCRIPT_BYTES:
        raise LocalProtocolError(f"a transcript has {TRANSCRIPT_BYTES} bytes, not {len(transcript)}")
    outward, inward = (b"from dialler", b"from answerer") if dialler else (b"from answerer", b"from dialler")

    def key(channel: bytes, direction: bytes) -> FrameKey:
        label = _KEY_LABEL + channel + b" " + direction
        kdf = HKDF(SHA256(), FRAME_KEY_BYTES, salt=transcript, info=label)
        return FrameKey(kdf.derive(secrets.x25519 + secrets.mlkem), label)

    return ChannelKeys(
        send_control=key(b"control", outward),
        receive_control=key(b"control", inward),
        send_bulk=key(b"bulk", outward),
        receive_bulk=key(b"bulk", inward),
    )


def _agree(private: X25519PrivateKey, public: bytes) -> bytes:
    """X25519; an all-zero result raises ValueError, as RFC 7748 §6.1 advises."""
    return private.exchange(X25519PublicKey.from_public_bytes(public))
