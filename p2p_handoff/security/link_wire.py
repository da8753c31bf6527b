# SPDX-License-Identifier: Apache-2.0
"""Messages of the linking exchange. Layer: security, pure. Specification: docs/specs/link.md §5.

A message is a CBOR array whose first element names it. Hello, Confirm and Abort travel in the clear and show
nothing but random-looking bytes; the others travel inside Sealed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import Enum
from typing import Final, TypeVar

from p2p_handoff.content import strict_cbor
from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.limits import KIB, MAX_TITLE
from p2p_handoff.security.circle_statements import MAX_NUMBER
from p2p_handoff.security.identity import SIGNATURE_BYTES, PublicIdentity
from p2p_handoff.security.link_terms import AbortReason, LinkKind, Purpose, Role
from p2p_handoff.security.versions import Versions, parse_versions

MAX_LINK_MESSAGE: Final = 4 * KIB
"""The largest message carries a public identity (1,324 bytes) and a name (at most 800)."""
MAC_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Hello:
    """First message each way."""

    role: Role
    purpose: Purpose
    versions: Versions
    pake: bytes


@dataclass(frozen=True, slots=True)
class Confirm:
    """Shows that the sender derived the same key, hence knows the code."""

    mac: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """One of the messages below, encrypted."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class Abort:
    """The sender gives up; not authenticated, as whoever can forge it can as well cut the line."""

    reason: AbortReason


@dataclass(frozen=True, slots=True)
class Reveal:
    """Who the sender is."""

    identity: PublicIdentity
    name: str
    """Display name, at most MAX_TITLE characters; for people only, and to be escaped where it is shown."""


@dataclass(frozen=True, slots=True)
class Proof:
    """Shows that the sender saw the same exchange and holds the identity that it revealed."""

    mac: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Decision:
    """The person at the sender says yes."""

    kind: LinkKind
    ended_mine: int
    """How many admissions of the sender to its circle have ended, as far as the sender knows."""
    ended_yours: int
    """The same of the receiver."""


@dataclass(frozen=True, slots=True)
class Decline:
    """The person at the sender says no."""


ClearMessage = Hello | Confirm | Sealed | Abort
SealedMessage = Reveal | Proof | Decision | Decline
LinkMessage = ClearMessage | SealedMessage

_NAMES: Final[dict[type[LinkMessage], str]] = {
    Hello: "hello",
    Confirm: "confirm",
    Sealed: "sealed",
    Abort: "abort",
    Reveal: "reveal",
    Proof: "proof",
    Decision: "decision",
    Decline: "decline",
}


def encode(message: LinkMessage) -> bytes:
    """One message as strict CBOR."""
    values = [_plain(getattr(message, field.name)) for field in fields(message)]
    return strict_cbor.encode([_NAMES[type(message)], *values])


def _plain(value: object) -> object:
    match value:
        case Enum():
            return value.value
        case PublicIdentity():
            return value.to_bytes()
    return value


def decode_clear(data: bytes) -> ClearMessage:
    """A message as it arrives from the room.

    Raises:
        RemoteProtocolError: It is none of those that travel in the clear.
    """
    return _decode(data, _CLEAR)


def decode_sealed(data: bytes) -> SealedMessage:
    """A message that was inside Sealed.

    Raises:
        RemoteProtocolError: It is none of those that travel sealed.
    """
    return _decode(data, _SEALED)


_Message = TypeVar("_Message")


def _decode(data: bytes, decoders: dict[str, Callable[..., _Message]]) -> _Message:
    value = strict_cbor.decode(data, limit=MAX_LINK_MESSAGE)
    match value:
        case [str(name), *elements] if name in decoders:
            try:
                return decoders[name](*elements)
            except (TypeError, ValueError):
                raise RemoteProtocolError(f"a malformed {name} message") from None
    raise RemoteProtocolError("not a message of the linking exchange")


def _hello(role: object, purpose: object, versions: object, pake: object) -> Hello:
    return Hello(Role(role), Purpose(purpose), parse_versions(versions), _bytes(pake))


def _reveal(identity: object, name: object) -> Reveal:
    if not isinstance(name, str) or len(name) > MAX_TITLE:
        raise ValueError
    return Reveal(PublicIdentity.from_bytes(_bytes(identity)), name)


def _bytes(value: object, length: int | None = None) -> bytes:
    if not isinstance(value, bytes) or (length is not None and len(value) != length):
        raise ValueError
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_NUMBER:
        raise ValueError
    return value


_CLEAR: Final[dict[str, Callable[..., ClearMessage]]] = {
    "hello": _hello,
    "confirm": lambda mac: Confirm(_bytes(mac, MAC_BYTES)),
    "sealed": lambda frame: Sealed(_bytes(frame)),
    "abort": lambda reason: Abort(AbortReason(reason)),
}
_SEALED: Final[dict[str, Callable[..., SealedMessage]]] = {
    "reveal": _reveal,
    "proof": lambda mac, signature: Proof(_bytes(mac, MAC_BYTES), _bytes(signature, SIGNATURE_BYTES)),
    "decision": lambda kind, mine, yours: Decision(LinkKind(kind), _count(mine), _count(yours)),
    "decline": Decline,
}
