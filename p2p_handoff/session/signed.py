# SPDX-License-Identifier: Apache-2.0
"""Signed statements: as they travel and as they are stored. Layer: session. Specification: docs/specs/ownership.md §5.

A signed statement is exactly the bytes that were signed, and the Ed25519 signature of the one device that may
say it. Nothing is ever re-encoded to be checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

from p2p_handoff import ids
from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.errors import RemoteProtocolError, TrustError
from p2p_handoff.security.identity import Identity, PublicIdentity
from p2p_handoff.session.statement_codec import decode_statement, encode_statement
from p2p_handoff.session.statements import (
    MAX_STATEMENT,
    SIGNATURE_BYTES,
    Accepted,
    Genesis,
    Grant,
    Refused,
    Statement,
)

CONTEXT: Final = b"ownership v1"
"""Signature domain."""

_T = TypeVar("_T", Genesis, Grant, Accepted, Refused)


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement as it travels and as it is stored."""

    body: bytes
    """The CBOR bytes that were signed."""
    signature: bytes
    """Ed25519, 64 bytes."""


def sign(identity: Identity, statement: Statement) -> SignedStatement:
    """Sign a statement as this device.

    Raises:
        TrustError: It is another device's to say.
    """
    if statement.signer != identity.device:
        raise TrustError(f"this device cannot sign for {statement.signer}")
    body = encode_statement(statement)
    return SignedStatement(body, identity.sign(CONTEXT, body))


def verify(signed: SignedStatement, key: bytes, kind: type[_T]) -> _T:
    """Check a signature and decode what it covers.

    A device's id is a digest of its key, so that no list of known keys is needed.

    Args:
        signed: What was received.
        key: The signer's raw Ed25519 public key, 32 bytes.
        kind: The class that is expected.

    Raises:
        TrustError: The key is not the signer's, or the signature is wrong.
        RemoteProtocolError: The bytes are not such a statement.
    """
    statement = read(signed, kind)
    if ids.device_id(key) != statement.signer:
        raise TrustError(f"the key is not the one of {statement.signer}")
    # Only the signing half of the identity takes part: a chain carries no encryption keys.
    PublicIdentity(key, b"", b"").verify(CONTEXT, signed.signature, signed.body)
    return statement


def read(signed: SignedStatement, kind: type[_T]) -> _T:
    """Decode a statement without checking its signature.

    Raises:
        RemoteProtocolError: The bytes are not such a statement.
    """
    statement = decode_statement(signed.body)
    if not isinstance(statement, kind):
        raise RemoteProtocolError(f"expected {kind.__name__}, got {type(statement).__name__}")
    return statement


def link_digest(signed: SignedStatement) -> Digest:
    """The digest by which the next statement names this one: over body and signature."""
    return digest(encode_signed(signed))


def encode_signed(signed: SignedStatement) -> bytes:
    """``[body, signature]`` in CBOR."""
    return strict_cbor.encode([signed.body, signed.signature])


def decode_signed(data: bytes) -> SignedStatement:
    """Read one signed statement; its signature is not checked here.

    Raises:
        RemoteProtocolError: The bytes have another form.
    """
    return signed_from_value(strict_cbor.decode(data, limit=2 * MAX_STATEMENT))


def signed_from_value(value: object) -> SignedStatement:
    """Read a signed statement that was decoded as part of something larger.

    Raises:
        RemoteProtocolError: The value has another form.
    """
    match value:
        case [bytes(body), bytes(signature)] if len(body) <= MAX_STATEMENT and len(signature) == SIGNATURE_BYTES:
            return SignedStatement(body, signature)
    raise RemoteProtocolError("a signed statement is not a body and a signature")
