# SPDX-License-Identifier: Apache-2.0
"""Transcripts and keys of the linking exchange. Layer: security, pure. Specification: docs/specs/link.md §6."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from p2p_handoff.content import strict_cbor
from p2p_handoff.errors import LinkCodeError
from p2p_handoff.ids import RoomId
from p2p_handoff.security.frames import FrameKey, FrameOpener, FrameSealer
from p2p_handoff.security.link_terms import Role
from p2p_handoff.security.link_wire import Sealed, SealedMessage, decode_sealed, encode
from p2p_handoff.security.words import words_of

VERIFICATION_WORDS: Final = 4
"""44 bits: more than anyone can search while two people compare."""

_KEY_BYTES: Final = 32


def hello_transcript(room: RoomId, opener_hello: bytes, joiner_hello: bytes) -> bytes:
    """SHA-256 over the room and both first messages as they travelled: roles, purpose, versions, SPAKE2."""
    return _hash(["p2p-handoff link hello v1", room, opener_hello, joiner_hello])


def identity_transcript(hellos: bytes, opener_reveal: bytes, joiner_reveal: bytes) -> bytes:
    """SHA-256 over the first transcript and what both sides said they are: keys and names."""
    return _hash(["p2p-handoff link identity v1", hellos, opener_reveal, joiner_reveal])


class LinkKeys:
    """Everything that is derived from the SPAKE2 key.

    Args:
        pake_key: 32 bytes from ``Pake.finish``.
        hellos: From ``hello_transcript``.
    """

    __slots__ = ("_hellos", "_pake_key")

    def __init__(self, pake_key: bytes, hellos: bytes) -> None:
        self._pake_key = pake_key
        self._hellos = hellos

    def mac(self, role: Role, transcript: bytes) -> bytes:
        """HMAC-SHA256 by which one side shows that it holds the key and saw this transcript."""
        return hmac.digest(self._derive(f"confirm {role.value}"), transcript, "sha256")

    def check(self, role: Role, transcript: bytes, mac: bytes) -> None:
        """Check the other side's ``mac`` in constant time.

        Raises:
            LinkCodeError: It does not match.
        """
        if not hmac.compare_digest(self.mac(role, transcript), mac):
            raise LinkCodeError("the code does not match", advice="make a new code and try again")

    def frame_key(self, sender: Role) -> FrameKey:
        """Key of the sealed messages that one side sends."""
        label = f"p2p-handoff link v1 from {sender.value}"
        return FrameKey(self._derive(f"frames {sender.value}"), label.encode("ascii"))

    def verification(self, identities: bytes) -> str:
        """Words that both people see and may compare."""
        raw = hmac.digest(self._derive("verification"), identities, "sha256")
        return " ".join(words_of(raw, VERIFICATION_WORDS))

    def _derive(self, use: str) -> bytes:
        info = f"p2p-handoff link v1 {use}".encode("ascii")
        return HKDF(SHA256(), _KEY_BYTES, salt=self._hellos, info=info).derive(self._pake_key)


class SecureLine:
    """What both sides share once the hellos are exchanged: keys, and one encrypted stream each way.

    Args:
        role: This side.
        pake_key: 32 bytes from ``Pake.finish``.
        transcript: From ``hello_transcript``.
    """

    __slots__ = ("_opener", "_sealer", "keys", "transcript")

    def __init__(self, role: Role, pake_key: bytes, transcript: bytes) -> None:
        self.transcript = transcript
        self.keys = LinkKeys(pake_key, transcript)
        self._sealer = FrameSealer(self.keys.frame_key(role))
        self._opener = FrameOpener(self.keys.frame_key(role.other))

    def seal(self, message: SealedMessage) -> bytes:
        """The next message to the other side."""
        return encode(Sealed(self._sealer.seal(encode(message))))

    def open(self, message: Sealed) -> SealedMessage:
        """The next message of the other side.

        Raises:
            SealError: It does not open.
            RemoteProtocolError: It opens, and is malformed.
        """
        return decode_sealed(self._opener.open(message.frame))


def _hash(parts: list[object]) -> bytes:
    return hashlib.sha256(strict_cbor.encode(parts)).digest()
