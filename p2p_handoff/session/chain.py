# SPDX-License-Identifier: Apache-2.0
"""The ownership chain: a genesis, then a grant and an acceptance per handoff. Layer: session.

Specification: docs/specs/ownership.md §6.

Each statement names the one before by digest and carries the next owner's key, so that anyone who holds the
chain can verify it alone, offline, from the first statement on. What it cannot show is its own end: a shorter
chain is an older one. Two chains of one session must agree as far as both go (``check_agrees``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn, TypeVar

from p2p_handoff import ids
from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import Digest
from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError, TrustError
from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.security.identity import Identity
from p2p_handoff.session.links import whole_links
from p2p_handoff.session.signed import SignedStatement, link_digest, read, sign, verify
from p2p_handoff.session.statements import (
    FIRST_EPOCH,
    MAX_STATEMENT,
    SIGNATURE_BYTES,
    Accepted,
    Genesis,
    Grant,
    Parent,
    RefusalReason,
    Refused,
)

MAX_LINKS: Final = 10_000
"""Handoffs of one session: ten a day for almost three years, 7 MB, a few seconds to verify."""
MAX_CHAIN: Final = (2 * MAX_LINKS + 1) * (MAX_STATEMENT + SIGNATURE_BYTES + 16)
"""Bytes of an encoded chain that are looked at; what carries a chain has its own, smaller bound."""

Chain = tuple[SignedStatement, ...]
"""Genesis, then grant and acceptance in turn: always an odd number of statements."""

_T = TypeVar("_T", Grant, Accepted)


@dataclass(frozen=True, slots=True)
class ChainState:
    """What a verified chain proves."""

    session: SessionId
    primary: DeviceId
    primary_key: bytes
    """Raw Ed25519 public key of the primary, 32 bytes."""
    epoch: int
    root: Digest
    """Manifest digest of the last change of ownership."""
    head: Digest
    """``link_digest`` of the last statement: what the next grant names as its previous."""
    members: dict[DeviceId, bytes] = field(hash=False)
    """Every device that ever was primary, with its raw key, in the order of first ownership."""
    accepted: dict[TxnId, int] = field(hash=False)
    """The handoffs that the chain holds, each with the epoch that it began."""
    parent: Parent | None = None
    """For a fork: where it left its original."""


@dataclass(frozen=True, slots=True)
class Proven:
    """A verified chain together with what it proves: what was verified once is not verified again."""

    chain: Chain
    state: ChainState


@dataclass(frozen=True, slots=True)
class Offer:
    """What a source decides about a grant; the chain knows the rest."""

    txn: TxnId
    target_key: bytes
    """The target's raw Ed25519 public key, 32 bytes."""
    root: Digest
    parts: tuple[PartId, ...]
    nonce: bytes
    """From the target's READY, 16 bytes."""


def create(identity: Identity, session: SessionId, root: Digest, parent: Parent | None = None) -> Chain:
    """The chain of a session that starts on this device.

    Args:
        identity: The first primary.
        session: A fresh id.
        root: Digest of the first manifest.
        parent: For a fork, the original at the moment it was left.
    """
    return (sign(identity, Genesis(session, identity.device, identity.public.identity_key, root, parent)),)


def grant(identity: Identity, state: ChainState, offer: Offer) -> SignedStatement:
    """The source's next statement. Freeze durably before it leaves the device.

    Raises:
        LocalProtocolError: This device is not the chain's primary, or the chain is full.
    """
    if state.primary != identity.device:
        raise LocalProtocolError("only the primary of a chain can extend it")
    if len(state.accepted) >= MAX_LINKS:
        raise LocalProtocolError(f"the session was handed off {MAX_LINKS} times: go on in a new one")
    target = ids.device_id(offer.target_key)
    return sign(
        identity,
        Grant(
            session=state.session,
            txn=offer.txn,
            source=identity.device,
            target=target,
            target_key=offer.target_key,
            epoch=state.epoch,
            root=offer.root,
            parts=offer.parts,
            nonce=offer.nonce,
            previous=state.head,
        ),
    )


def accept(identity: Identity, signed_grant: SignedStatement) -> SignedStatement:
    """The target's acceptance of a grant. Store it in the transaction that makes this device primary.

    Raises:
        RemoteProtocolError: The bytes are not a grant.
        TrustError: The grant is for another device.
    """
    content = read(signed_grant, Grant)
    return sign(
        identity,
        Accepted(content.session, content.txn, content.target, content.epoch + 1, link_digest(signed_grant)),
    )


def refuse(
    identity: Identity, session: SessionId, txn: TxnId, source: DeviceId, reason: RefusalReason
) -> SignedStatement:
    """The target's refusal. Store it before it leaves the device."""
    return sign(identity, Refused(session, txn, source, identity.device, reason))


def verify_chain(chain: Sequence[SignedStatement], proven: ChainState | None = None) -> ChainState:
    """Verify a chain, signature by signature.

    Args:
        chain: All of it, from the genesis on.
        proven: What was verified of its beginning already, where ``check_agrees`` says that it is the beginning;
            only the rest costs time then (about 0.7 ms a handoff).

    Raises:
        TrustError: Names the first bad link: its index, who should have signed it, why it is bad.
    """
    if len(chain) % 2 == 0 or len(chain) > 2 * MAX_LINKS + 1:
        raise TrustError(f"an ownership chain cannot have {len(chain)} statements")
    state = _start(chain[0]) if proven is None else _copy(proven)
    for index in range(2 * len(state.accepted) + 1, len(chain), 2):
        state = _advance(state, index, chain[index], chain[index + 1])
    return state


def prove(chain: Chain, *known: Proven | None) -> Proven:
    """Verify what is new in a chain.

    Args:
        chain: All of it, from the genesis on.
        known: What was verified before. The longest of those with which the chain begins is built on; the others
            change nothing, so that any may be given.

    Raises:
        TrustError: As ``verify_chain``.
    """
    fitting = [each for each in known if each is not None and chain[: len(each.chain)] == each.chain]
    longest = max(fitting, key=lambda each: len(each.chain), default=None)
    return Proven(chain, verify_chain(chain, None if longest is None else longest.state))


def extend(state: ChainState, signed_grant: SignedStatement, accepted: SignedStatement) -> ChainState:
    """What a verified chain proves with one more handoff.

    Raises:
        TrustError: The two statements do not continue it.
    """
    fresh = _copy(state)
    return _advance(fresh, 2 * len(fresh.accepted) + 1, signed_grant, accepted)


def check_grant(state: ChainState, signed_grant: SignedStatement) -> Grant:
    """Verify a grant as the next statement of a verified chain; the target does this before it accepts.

    Raises:
        TrustError: It does not continue the chain.
    """
    return _verified_grant(state, 2 * len(state.accepted) + 1, signed_grant)


def check_agrees(known: Sequence[SignedStatement], offered: Sequence[SignedStatement]) -> None:
    """Check that one of two chains of a session begins with all of the other.

    Raises:
        TrustError: They part somewhere: somebody signed two histories.
    """
    for index, (ours, theirs) in enumerate(zip(known, offered, strict=False)):
        if ours != theirs:
            raise TrustError(f"link {index} differs from what this device knows: the session has two histories")


def encode_chain(chain: Sequence[SignedStatement]) -> bytes:
    """A chain as one CBOR array of signed statements."""
    return strict_cbor.encode([[signed.body, signed.signature] for signed in chain])


def decode_chain(data: bytes) -> Chain:
    """Read a chain; ``verify_chain`` is the next call.

    Raises:
        RemoteProtocolError: The bytes have another form, or hold more than MAX_LINKS handoffs.
    """
    if len(data) > MAX_CHAIN:
        raise RemoteProtocolError(f"an ownership chain of {len(data)} bytes where at most {MAX_CHAIN} are allowed")
    links, why = whole_links(data, most=2 * MAX_LINKS + 1)
    if why or len(links) % 2 == 0:
        what = why or "it ends with a grant that was not accepted"
        raise RemoteProtocolError(f"link {len(links)} of an ownership chain is bad: {what}")
    return tuple(links)


def _start(signed: SignedStatement) -> ChainState:
    try:
        genesis = verify(signed, read(signed, Genesis).key, Genesis)
    except (RemoteProtocolError, TrustError) as error:
        _bad_link(0, "the first primary", error.what, error)
    return ChainState(
        session=genesis.session,
        primary=genesis.primary,
        primary_key=genesis.key,
        epoch=FIRST_EPOCH,
        root=genesis.root,
        head=link_digest(signed),
        members={genesis.primary: genesis.key},
        accepted={},
        parent=genesis.parent,
    )


def _advance(state: ChainState, index: int, signed_grant: SignedStatement, signed: SignedStatement) -> ChainState:
    """The next state. It takes over the mappings of ``state``: a chain of n links must not copy n² entries."""
    content = _verified_grant(state, index, signed_grant)
    _verified_acceptance(content, signed_grant, index + 1, signed)
    state.members[content.target] = content.target_key
    state.accepted[content.txn] = content.epoch + 1
    return ChainState(
        session=state.session,
        primary=content.target,
        primary_key=content.target_key,
        epoch=content.epoch + 1,
        root=content.root,
        head=link_digest(signed),
        members=state.members,
        accepted=state.accepted,
        parent=state.parent,
    )


def _verified_grant(state: ChainState, index: int, signed: SignedStatement) -> Grant:
    content = _checked(index, state.primary, signed, Grant, state.primary_key)
    reasons = {
        "it is of another session": content.session != state.session,
        f"it gives away epoch {content.epoch}, not {state.epoch}": content.epoch != state.epoch,
        "it does not follow the statement before it": content.previous != state.head,
        "it grants to the device that has the session": content.target == state.primary,
        "the target's key is not the target's": ids.device_id(content.target_key) != content.target,
        "its handoff is in the chain already": content.txn in state.accepted,
    }
    _refuse_first(index, state.primary, reasons)
    return content


def _verified_acceptance(content: Grant, signed_grant: SignedStatement, index: int, signed: SignedStatement) -> None:
    accepted = _checked(index, content.target, signed, Accepted, content.target_key)
    reasons = {
        "it is of another session or handoff": (accepted.session, accepted.txn) != (content.session, content.txn),
        f"it takes epoch {accepted.epoch}, not {content.epoch + 1}": accepted.epoch != content.epoch + 1,
        "it answers another grant": accepted.grant != link_digest(signed_grant),
    }
    _refuse_first(index, content.target, reasons)


def _checked(index: int, who: str, signed: SignedStatement, kind: type[_T], key: bytes) -> _T:
    try:
        return verify(signed, key, kind)
    except (RemoteProtocolError, TrustError) as error:
        _bad_link(index, who, error.what, error)


def _refuse_first(index: int, who: str, reasons: dict[str, bool]) -> None:
    for reason, applies in reasons.items():
        if applies:
            _bad_link(index, who, reason)


def _bad_link(index: int, who: str, why: str, cause: Exception | None = None) -> NoReturn:
    raise TrustError(f"link {index} of the ownership chain, due from {who}, is bad: {why}") from cause


def _copy(state: ChainState) -> ChainState:
    return ChainState(
        state.session,
        state.primary,
        state.primary_key,
        state.epoch,
        state.root,
        state.head,
        dict(state.members),
        dict(state.accepted),
        state.parent,
    )
