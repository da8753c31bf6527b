# SPDX-License-Identifier: Apache-2.0
"""Identifiers and how they are written. Layer: bottom, pure. Specification: docs/specs/identifiers.md.

All identifiers are lower-case base32 without padding (RFC 4648 §6), so that a person can read them aloud
and a prefix of one is still readable. Randomness comes in as an argument.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Final, NewType

from p2p_handoff.errors import RemoteProtocolError

DeviceId = NewType("DeviceId", str)
SessionId = NewType("SessionId", str)
TxnId = NewType("TxnId", str)
Token = NewType("Token", str)
RoomId = NewType("RoomId", str)
PartId = NewType("PartId", str)

Entropy = Callable[[int], bytes]
"""A source of random bytes: ``os.urandom`` in production, a seeded generator in tests."""

_ID_BYTES: Final = 16
_DEVICE_BYTES: Final = 20
_TOKEN_BYTES: Final = 5
_BASE32: Final = re.compile(r"[a-z2-7]+")


def _base32(raw: bytes) -> str:
    return base64.b32encode(raw).decode("ascii").rstrip("=").lower()


def device_id(identity_key: bytes) -> DeviceId:
    """The id of the device that holds an identity key.

    Args:
        identity_key: Raw Ed25519 public key, 32 bytes.

    Returns:
        32 characters: the first 160 bits of SHA-256 over a domain label and the key.
    """
    return DeviceId(_base32(hashlib.sha256(b"p2p-handoff device v1" + identity_key).digest()[:_DEVICE_BYTES]))


def new_session_id(entropy: Entropy) -> SessionId:
    """A fresh session id, 26 characters."""
    return SessionId(_base32(entropy(_ID_BYTES)))


def new_txn_id(entropy: Entropy) -> TxnId:
    """A fresh transaction id for one handoff, 26 characters."""
    return TxnId(_base32(entropy(_ID_BYTES)))


def new_room_id(entropy: Entropy) -> RoomId:
    """A fresh room id, 26 characters, unrelated to any secret."""
    return RoomId(_base32(entropy(_ID_BYTES)))


def new_label(entropy: Entropy) -> str:
    """A fresh name for one appearance in public, 26 characters, unrelated to anything."""
    return _base32(entropy(_ID_BYTES))


def new_token(entropy: Entropy) -> Token:
    """A fresh token that names one pending request, 8 characters: short enough to type."""
    return Token(_base32(entropy(_TOKEN_BYTES)))


def parse_id(text: str, length: int) -> str:
    """Check an identifier that came from outside.

    Args:
        text: What was received.
        length: How many characters it must have.

    Raises:
        RemoteProtocolError: It is not lower-case base32 of that length.
    """
    if len(text) != length or not _BASE32.fullmatch(text):
        raise RemoteProtocolError(f"{text[:40]!r} is not an identifier of {length} characters")
    return text


DEVICE_ID_LENGTH: Final = 32
LONG_ID_LENGTH: Final = 26
TOKEN_LENGTH: Final = 8
