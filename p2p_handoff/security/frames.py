# SPDX-License-Identifier: Apache-2.0
"""Encryption of what crosses the data channels, and the proof that opens a connection. Layer: security, pure.

Specification: docs/specs/frames.md §2-4. Channels are ordered and reliable, so the nonce is a counter that is
never sent: a frame lost, repeated, reordered or moved to another channel or direction does not open, and
then nothing after it does. Keys are stepped forward on both sides after FRAMES_PER_KEY frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from p2p_handoff.errors import LocalProtocolError, SealError, TrustError
from p2p_handoff.limits import MAX_NATIVE_FRAME
from p2p_handoff.security.identity import Identity, PublicIdentity

FRAME_KEY_BYTES: Final = 32
FRAME_OVERHEAD: Final = 16
"""Bytes that sealing adds: the AES-GCM tag."""
FRAMES_PER_KEY: Final = 1 << 16
"""At most 2^30 AES blocks under one key: a forger's and a distinguisher's advantage stay below 2^-60
(NIST SP 800-38D, RFC 8446 §5.5), and what was sent before a step stays closed to who steals the key after it."""

_NONCE_BYTES: Final = 12
_STEP_LABEL: Final = b"p2p-handoff frames v1 next key"
_DIALLER_PROOF: Final = b"connection proof dialler"
_ANSWERER_PROOF: Final = b"connection proof answerer"


@dataclass(frozen=True, slots=True)
class FrameKey:
    """The key of one direction of one channel.

    Args:
        secret: AES-256 key, 32 bytes.
        label: Names channel and direction; authenticated with every frame.
    """

    secret: bytes = field(repr=False)
    label: bytes

    def __post_init__(self) -> None:
        if len(self.secret) != FRAME_KEY_BYTES:
            raise LocalProtocolError(f"a frame key has {FRAME_KEY_BYTES} bytes, not {len(self.secret)}")

    def stepped(self) -> FrameKey:
        """The key that follows this one; there is no way back."""
        return FrameKey(HKDFExpand(SHA256(), FRAME_KEY_BYTES, _STEP_LABEL).derive(self.secret), self.label)


class _Counter:
    """The cipher and the nonce for each frame in turn."""

    __slots__ = ("_cipher", "_key", "_number")

    def __init__(self, key: FrameKey) -> None:
        self._key = key
        self._cipher = AESGCM(key.secret)
        self._number = 0

    def take(self) -> tuple[AESGCM, bytes, bytes]:
        """Cipher, nonce and associated data of the next frame."""
        if self._number and self._number % FRAMES_PER_KEY == 0:
            self._key = self._key.stepped()
            self._cipher = AESGCM(self._key.secret)
        nonce = self._number.to_bytes(_NONCE_BYTES, "big")
        self._number += 1
        return self._cipher, nonce, self._key.label


class FrameSealer:
    """Encrypts the frames of one direction of one channel, in the order in which they are sent.

    Args:
        key: One of ``exchange.ChannelKeys``; each key serves exactly one sealer.
    """

    __slots__ = ("_counter",)

    def __init__(self, key: FrameKey) -> None:
        self._counter = _Counter(key)

    def seal(self, plaintext: bytes | bytearray | memoryview) -> bytes:
        """The next frame: ``len(plaintext) + FRAME_OVERHEAD`` bytes.

        Raises:
            LocalProtocolError: The frame would be larger than MAX_NATIVE_FRAME.
        """
        if len(plaintext) > MAX_NATIVE_FRAME - FRAME_OVERHEAD:
            raise LocalProtocolError(f"{len(plaintext)} bytes do not fit a frame")
        cipher, nonce, label = self._counter.take()
        return cipher.encrypt(nonce, plaintext, label)


class FrameOpener:
    """Decrypts the frames of one direction of one channel, strictly in order. Dead after its first error.

    Args:
        key: The key that the peer's sealer uses.
    """

    __slots__ = ("_counter",)

    def __init__(self, key: FrameKey) -> None:
        self._counter: _Counter | None = _Counter(key)

    def open(self, frame: bytes | bytearray | memoryview) -> bytes:
        """The plaintext of the next frame.

        Raises:
            SealError: It is not the next frame that the peer sealed for this channel and direction, or an
                earlier one was not.
        """
        counter, self._counter = self._counter, None
        if counter is None:
            raise SealError("no frame opens after one that did not")
        if len(frame) > MAX_NATIVE_FRAME:
            raise SealError("a frame is larger than any that may be sent")
        cipher, nonce, label = counter.take()
        try:
            plaintext = cipher.decrypt(nonce, frame, label)
        except InvalidTag:
            raise SealError("a frame does not open: altered, out of order or not for this channel") from None
        self._counter = counter
        return plaintext


def prove(identity: Identity, transcript: bytes, *, dialler: bool) -> bytes:
    """This side's first frame: a signature over the transcript (it takes the place of a DTLS exporter).

    Args:
        identity: This device.
        transcript: ``exchange.transcript_hash`` of both envelopes, 32 bytes.
        dialler: True on the side that made the offer. It is part of what is signed, so that a proof
            cannot be sent back to who made it.
    """
    return identity.sign(_proof_context(dialler=dialler), transcript)


def check_proof(peer: PublicIdentity, transcript: bytes, *, dialler: bool, signature: bytes) -> None:
    """Check the peer's first frame.

    Args:
        peer: The pinned identity.
        transcript: The same hash on both sides, 32 bytes.
        dialler: True when the peer is the side that made the offer.
        signature: What arrived.

    Raises:
        TrustError: The other end of the connection is not the device that it should be.
    """
    try:
        peer.verify(_proof_context(dialler=dialler), signature, transcript)
    except TrustError:
        raise TrustError(
            "the device at the other end is not the one that was dialled", advice="link the two devices again"
        ) from None


def _proof_context(*, dialler: bool) -> bytes:
    return _DIALLER_PROOF if dialler else _ANSWERER_PROOF
