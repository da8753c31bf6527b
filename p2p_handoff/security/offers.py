# SPDX-License-Identifier: Apache-2.0
"""Bodies of the envelopes: offer, answer, refusal. Layer: security, pure. Specification: docs/specs/sealing.md §5.

Each is one CBOR map. As everywhere, an unknown key is ignored unless it begins with ``!``, which means that it
must be understood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from p2p_handoff.content import strict_cbor
from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.limits import MAX_ENVELOPE, MAX_TITLE
from p2p_handoff.security.exchange import MLKEM_CIPHERTEXT_BYTES, AnswerPublic, OfferPublic
from p2p_handoff.security.fingerprint import sdp_fingerprint
from p2p_handoff.security.identity import MLKEM_KEY_BYTES, X25519_KEY_BYTES
from p2p_handoff.security.versions import Versions, parse_versions

_TOKEN: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_Body = dict[object, object]


@dataclass(frozen=True, slots=True)
class SdpOffer:
    """Body of an OFFER: one device dials another."""

    sdp: str
    """The complete session description, every candidate gathered (RFC 8866)."""
    engine: str
    """Name of the sender's engine: two native ones may use larger messages."""
    ephemeral: OfferPublic
    versions: Versions
    """Protocol versions that the sender speaks, so that a hopeless dial ends before it connects."""

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the sender's DTLS certificate, 32 bytes; SealError if the SDP has no such one."""
        return sdp_fingerprint(self.sdp)

    def to_bytes(self) -> bytes:
        """Strict CBOR."""
        return strict_cbor.encode(
            {
                "sdp": self.sdp,
                "engine": self.engine,
                "x25519": self.ephemeral.x25519,
                "mlkem": self.ephemeral.mlkem,
                "versions": self.versions,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> SdpOffer:
        """Read what ``to_bytes`` wrote.

        Raises:
            RemoteProtocolError: It is not an offer.
        """
        body = _body(data, ("sdp", "engine", "x25519", "mlkem", "versions"))
        return cls(
            sdp=_text(body, "sdp", MAX_ENVELOPE),
            engine=_token(body, "engine"),
            ephemeral=OfferPublic(_bytes(body, "x25519", X25519_KEY_BYTES), _bytes(body, "mlkem", MLKEM_KEY_BYTES)),
            versions=parse_versions(body["versions"]),
        )


@dataclass(frozen=True, slots=True)
class SdpAnswer:
    """Body of an ANSWER: the dialled device is ready to connect."""

    sdp: str
    engine: str
    ephemeral: AnswerPublic
    versions: Versions

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the sender's DTLS certificate, 32 bytes; SealError if the SDP has no such one."""
        return sdp_fingerprint(self.sdp)

    def to_bytes(self) -> bytes:
        """Strict CBOR."""
        return strict_cbor.encode(
            {
                "sdp": self.sdp,
                "engine": self.engine,
                "x25519": self.ephemeral.x25519,
                "ciphertext": self.ephemeral.ciphertext,
                "versions": self.versions,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> SdpAnswer:
        """Read what ``to_bytes`` wrote.

        Raises:
            RemoteProtocolError: It is not an answer.
        """
        body = _body(data, ("sdp", "engine", "x25519", "ciphertext", "versions"))
        return cls(
            sdp=_text(body, "sdp", MAX_ENVELOPE),
            engine=_token(body, "engine"),
            ephemeral=AnswerPublic(
                _bytes(body, "x25519", X25519_KEY_BYTES), _bytes(body, "ciphertext", MLKEM_CIPHERTEXT_BYTES)
            ),
            versions=parse_versions(body["versions"]),
        )


@dataclass(frozen=True, slots=True)
class SdpRefusal:
    """Body of a REFUSAL: the dialled device does not connect."""

    reason: str
    """Machine-readable: 1 to 32 characters of ``a-z 0-9 -``, a letter first."""
    text: str
    """For people, at most MAX_TITLE characters."""

    def to_bytes(self) -> bytes:
        """Strict CBOR."""
        return strict_cbor.encode({"reason": self.reason, "text": self.text})

    @classmethod
    def from_bytes(cls, data: bytes) -> SdpRefusal:
        """Read what ``to_bytes`` wrote.

        Raises:
            RemoteProtocolError: It is not a refusal.
        """
        body = _body(data, ("reason", "text"))
        return cls(reason=_token(body, "reason"), text=_text(body, "text", MAX_TITLE))


def _body(data: bytes, keys: tuple[str, ...]) -> _Body:
    value = strict_cbor.decode(data, limit=MAX_ENVELOPE)
    if not isinstance(value, dict) or not all(key in value for key in keys):
        raise RemoteProtocolError(f"an envelope's body must be a map with {', '.join(keys)}")
    for key in value:
        if key not in keys and str(key).startswith("!"):
            raise RemoteProtocolError(f"field {str(key)[:40]!r} must be understood, and is not")
    return value


def _text(body: _Body, key: str, longest: int) -> str:
    value = body[key]
    if not isinstance(value, str) or len(value) > longest:
        raise RemoteProtocolError(f"{key} is not a text of at most {longest} characters")
    return value


def _token(body: _Body, key: str) -> str:
    value = body[key]
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise RemoteProtocolError(f"{key} is not a short lower-case name")
    return value


def _bytes(body: _Body, key: str, length: int) -> bytes:
    value = body[key]
    if not isinstance(value, bytes) or len(value) != length:
        raise RemoteProtocolError(f"{key} is not {length} bytes")
    return value
