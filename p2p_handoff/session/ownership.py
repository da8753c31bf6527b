# SPDX-License-Identifier: Apache-2.0
"""Who owns a session: one record per device, changed by pure transitions. Layer: session.

Specification: docs/specs/ownership.md §2-4.

The target decides. A source freezes, grants, and then waits for the target's word, however long that takes;
only that word changes its role again:

    PRIMARY --freeze--> FROZEN --release (ACCEPTED)--> SECONDARY --accept--> PRIMARY at epoch + 1
                        FROZEN --thaw (REFUSED)-----> PRIMARY

Every function returns the new record and leaves the old one alone; the caller makes it durable before it acts
on it. Statements come in verified (session.chain); no clock takes part.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from enum import Enum

from p2p_handoff.content.digests import Digest
from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError, TrustError
from p2p_handoff.ids import DeviceId, SessionId, TxnId
from p2p_handoff.session.chain import ChainState
from p2p_handoff.session.statements import FIRST_EPOCH, Accepted, Grant, Refused


class Role(Enum):
    """What a device is to a session."""

    PRIMARY = "primary"
    """It owns the session and may act on it."""
    FROZEN = "frozen"
    """It has granted the session and awaits the target's answer."""
    SECONDARY = "secondary"
    """It holds a copy, follows it and may contribute edits."""


class Verdict(Enum):
    """A target's durable decision on one handoff: taken once, never changed."""

    ACCEPTED = "accepted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Frozen:
    """A grant that is out."""

    txn: TxnId
    target: DeviceId
    root: Digest
    """Digest of the granted manifest."""
    epoch: int
    """The epoch that is given away; the target takes the next one."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """What one device durably knows of a session's ownership."""

    session: SessionId
    role: Role
    epoch: int
    """Never falls."""
    primary: DeviceId
    """The owner of ``epoch`` as far as this device knows; itself while PRIMARY or FROZEN."""
    frozen: Frozen | None = None
    """Present exactly while FROZEN."""
    forked: bool = False
    """FROZEN only: the user gave the target up and went on in a fork."""


def begin(session: SessionId, me: DeviceId) -> Ownership:
    """The record of a session that starts on this device."""
    return Ownership(session, Role.PRIMARY, FIRST_EPOCH, me)


def freeze(own: Ownership, txn: TxnId, target: DeviceId, root: Digest) -> Ownership:
    """Stop acting on the session, for one handoff to one target. Store the result before sending the grant.

    Raises:
        LocalProtocolError: This device is not the primary, or is the target.
    """
    if own.role is not Role.PRIMARY:
        raise LocalProtocolError(f"only a primary can freeze, and this device is {own.role.value}")
    if target == own.primary:
        raise LocalProtocolError("a session cannot be handed to the device that has it")
    return replace(own, role=Role.FROZEN, frozen=Frozen(txn, target, root, own.epoch))


def release(own: Ownership, accepted: Accepted) -> Ownership:
    """The target has accepted: it is the primary now.

    Args:
        own: This device's record.
        accepted: The target's verified statement.

    Raises:
        LocalProtocolError: This device is not frozen.
        RemoteProtocolError: The statement is about another handoff.
    """
    frozen = _answered(own, accepted)
    if accepted.epoch != frozen.epoch + 1:
        raise RemoteProtocolError(f"the target accepted epoch {accepted.epoch}, granted was {frozen.epoch + 1}")
    return Ownership(own.session, Role.SECONDARY, accepted.epoch, accepted.target)


def thaw(own: Ownership, refused: Refused) -> Ownership:
    """The target has refused, and durably so: the source goes on as primary. Nothing else ever thaws.

    Args:
        own: This device's record.
        refused: The target's verified statement.

    Raises:
        LocalProtocolError: This device is not frozen.
        RemoteProtocolError: The statement is about another handoff.
    """
    _answered(own, refused)
    if refused.source != own.primary:
        raise RemoteProtocolError("the refusal answers another source")
    return replace(own, role=Role.PRIMARY, frozen=None, forked=False)


def is_lost(own: Ownership, *, me: DeviceId) -> bool:
    """Whether this device was made primary in an epoch whose content it has forgotten: nobody can act on it here."""
    return own.role is Role.SECONDARY and own.primary == me


def fork(own: Ownership, *, me: DeviceId) -> Ownership:
    """The user gives the original up, and the work goes on in a new session.

    A frozen original stays frozen and is marked, so that a late ACCEPTED still finds no second primary. One whose
    content this device has lost stays as it is.

    Raises:
        LocalProtocolError: The session is neither frozen nor lost here, or this grant was forked already.
    """
    if is_lost(own, me=me):
        return own
    if own.role is not Role.FROZEN or own.forked:
        raise LocalProtocolError("only a frozen or lost session can be forked, and only once per handoff")
    return replace(own, forked=True)


def accept(own: Ownership | None, grant: Grant, *, me: DeviceId, nonce: bytes) -> Ownership:
    """Become the primary at the next epoch. Storing the result is the commit point of a handoff.

    Args:
        own: This device's record, or None when the session is new here.
        grant: The source's statement, verified as the next link of the session's chain.
        me: This device.
        nonce: What this device put into READY for this handoff; it lives in memory only.

    Raises:
        RemoteProtocolError: The grant is for another device, stale, or answers another READY.
        LocalProtocolError: The record is of another session.
    """
    if grant.target != me:
        raise RemoteProtocolError("the grant names another target")
    if not hmac.compare_digest(grant.nonce, nonce):
        raise RemoteProtocolError("the grant does not answer this device's READY")
    if own is not None:
        _check_may_accept(own, grant)
    return Ownership(grant.session, Role.PRIMARY, grant.epoch + 1, me)


def learn(own: Ownership, state: ChainState) -> Ownership:
    """Follow a verified chain, whoever sent it: news of a later epoch always ends in SECONDARY.

    This resolves a doubt (the chain holds the outstanding handoff's ACCEPTED) and corrects a home that was
    rolled back to before it gave the session away. An older or equal chain changes nothing. A chain that made this
    device itself primary in an epoch that it has forgotten leaves it secondary of that epoch as well: ``is_lost``.

    Args:
        own: This device's record.
        state: What the chain proves.

    Raises:
        LocalProtocolError: The chain is of another session.
        TrustError: The chain contradicts the record.
    """
    if state.session != own.session:
        raise LocalProtocolError("the chain is of another session")
    if state.epoch < own.epoch:
        return own
    if state.epoch == own.epoch:
        if state.primary != own.primary:
            raise TrustError(f"two devices were made primary in epoch {own.epoch}")
        return own
    return Ownership(own.session, Role.SECONDARY, state.epoch, state.primary)


def _answered(own: Ownership, statement: Accepted | Refused) -> Frozen:
    if own.frozen is None:
        raise LocalProtocolError(f"no answer is outstanding: this device is {own.role.value}")
    expected = (own.session, own.frozen.txn, own.frozen.target)
    if (statement.session, statement.txn, statement.target) != expected:
        raise RemoteProtocolError("the answer is about another handoff")
    return own.frozen


def _check_may_accept(own: Ownership, grant: Grant) -> None:
    if own.session != grant.session:
        raise LocalProtocolError("the grant is of another session")
    if own.role is not Role.SECONDARY:
        raise RemoteProtocolError(f"this device is {own.role.value} and cannot be granted the session")
    if grant.epoch + 1 <= own.epoch:
        raise RemoteProtocolError(f"the grant is stale: it gives away epoch {grant.epoch}, known is {own.epoch}")
