# SPDX-License-Identifier: Apache-2.0
"""What own devices say about each other, signed. Layer: security, pure. Specification: docs/specs/circle.md §2.

An admission introduces a device, a revocation ends it. Both carry a number that counts the admissions of their
subject, so that no clock decides which is later. What follows from a set of them is judged in security.circle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from p2p_handoff.content import strict_cbor
from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError, TrustError
from p2p_handoff.ids import DEVICE_ID_LENGTH, DeviceId, device_id, parse_id
from p2p_handoff.limits import MAX_TITLE
from p2p_handoff.security.identity import SIGNATURE_BYTES, Identity, PublicIdentity

VERSION: Final = 1
"""Format version of both statements."""
MAX_NUMBER: Final = 2**53
"""Largest admission number on the wire: every language's integers hold it."""
MAX_CIRCLE_STATEMENT: Final = 4096
"""Bytes of a statement and its signature: an identity has 1,321, a name of 200 characters at most 800."""

_CONTEXT: Final = b"circle v1"
_ADMISSION: Final = 0
_REVOCATION: Final = 1
_ELEMENTS: Final = 6
_DIGEST_DOMAIN: Final = b"p2p-handoff circle statement v1\0"


@dataclass(frozen=True, slots=True)
class Admission:
    """The signer says: this is another device of the same person."""

    signer: DeviceId
    identity: PublicIdentity
    """The subject's keys."""
    name: str
    """What the signer calls it; for people only."""
    number: int
    """The first admission of a device is 1; a revocation of number n is overcome by an admission above n."""

    subject: DeviceId = field(init=False)
    """Who is introduced: it follows from the keys."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "subject", self.identity.device)


@dataclass(frozen=True, slots=True)
class Revocation:
    """The signer says: this device is trusted no longer."""

    signer: DeviceId
    subject: DeviceId
    number: int
    """Admissions up to this one have ended."""
    disowns: bool
    """At the signer, nothing that the subject ever said counts: its key may be in other hands."""


CircleStatement = Admission | Revocation


@dataclass(frozen=True, slots=True)
class SignedCircleStatement:
    """A statement as it travels and as it is stored."""

    body: bytes
    """The CBOR bytes that were signed."""
    signature: bytes
    """Ed25519, 64 bytes."""

    @property
    def digest(self) -> bytes:
        """Names the statement, 32 bytes."""
        return hashlib.sha256(_DIGEST_DOMAIN + self.to_bytes()).digest()

    def to_bytes(self) -> bytes:
        """``[body, signature]`` in CBOR."""
        return strict_cbor.encode([self.body, self.signature])

    @classmethod
    def from_bytes(cls, data: bytes) -> SignedCircleStatement:
        """Read what ``to_bytes`` wrote; the signature is not checked here.

        Raises:
            RemoteProtocolError: The bytes have another form.
        """
        match strict_cbor.decode(data, limit=MAX_CIRCLE_STATEMENT):
            case [bytes(body), bytes(signature)] if len(signature) == SIGNATURE_BYTES:
                return cls(body, signature)
        raise RemoteProtocolError("a statement of a circle is not a body and a signature")

    def read(self) -> CircleStatement:
        """What it says; whether its signer says so is not checked.

        Raises:
            RemoteProtocolError: It is no statement of this version.
            TrustError: It introduces keys that are not sound.
        """
        return decode_circle_statement(self.body)


def sign_circle_statement(identity: Identity, statement: CircleStatement) -> SignedCircleStatement:
    """Sign a statement as this device.

    Raises:
        LocalProtocolError: It is another device's to say, or it is about this device itself.
    """
    if statement.signer != identity.device or statement.subject == identity.device:
        raise LocalProtocolError("a device speaks for itself, and about others")
    body = encode_circle_statement(statement)
    return SignedCircleStatement(body, identity.sign(_CONTEXT, body))


def verify_circle_statement(signed: SignedCircleStatement, key: bytes) -> CircleStatement:
    """Check a signature and read what it covers.

    Args:
        signed: What was received.
        key: The signer's raw Ed25519 public key, 32 bytes.

    Raises:
        TrustError: The key is not the signer's, the signature is wrong, or what is introduced is not sound.
        RemoteProtocolError: The bytes are no such statement.
    """
    statement = signed.read()
    if device_id(key) != statement.signer:
        raise TrustError(f"the key is not the one of {statement.signer}")
    PublicIdentity(key, b"", b"").verify(_CONTEXT, signed.signature, signed.body)
    if isinstance(statement, Admission):
        statement.identity.check()
    return statement


def encode_circle_statement(statement: CircleStatement) -> bytes:
    """The bytes that are signed."""
    match statement:
        case Admission(signer, identity, name, number):
            return strict_cbor.encode([_ADMISSION, VERSION, signer, identity.to_bytes(), name, number])
        case Revocation(signer, subject, number, disowns):
            return strict_cbor.encode([_REVOCATION, VERSION, signer, subject, number, disowns])


def decode_circle_statement(body: bytes) -> CircleStatement:
    """Read a statement's bytes.

    Raises:
        RemoteProtocolError: They are no statement of this version.
    """
    value = strict_cbor.decode(body, limit=MAX_CIRCLE_STATEMENT)
    if not isinstance(value, list) or len(value) != _ELEMENTS or any(isinstance(item, bool) for item in value[:2]):
        raise RemoteProtocolError("a statement of a circle is not an array of six")
    kind, version, *fields = value
    if version != VERSION:
        raise RemoteProtocolError(f"version {version!r} of a circle's statement is not known")
    reader = _READERS.get(kind) if isinstance(kind, int) else None
    if reader is None:
        raise RemoteProtocolError(f"kind {kind!r} of a circle's statement is not known")
    return reader(fields)


def _read_admission(fields: list[object]) -> Admission:
    match fields:
        case [signer, bytes(public), str(name), number] if len(name) <= MAX_TITLE:
            return Admission(_device(signer), PublicIdentity.from_bytes(public), name, _number(number))
    raise RemoteProtocolError("an admission has other fields")


def _read_revocation(fields: list[object]) -> Revocation:
    match fields:
        case [signer, subject, number, bool(disowns)]:
            return Revocation(_device(signer), _device(subject), _number(number), disowns)
    raise RemoteProtocolError("a revocation has other fields")


_READERS: Final[dict[int, Callable[[list[object]], CircleStatement]]] = {
    _ADMISSION: _read_admission,
    _REVOCATION: _read_revocation,
}


def _device(value: object) -> DeviceId:
    if not isinstance(value, str):
        raise RemoteProtocolError("a device id is not a text")
    return DeviceId(parse_id(value, DEVICE_ID_LENGTH))


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_NUMBER:
        raise RemoteProtocolError(f"{value!r} does not count admissions")
    return value
