# SPDX-License-Identifier: Apache-2.0
"""What a peer's signed statements are worth, before a machine sees them. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §6-8, ownership.md §3, 5. A target judges grants and queries, a source the
answers. What is not the other device's own word about this very handoff is no event at all: it raises.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from p2p_handoff.content.digests import digest
from p2p_handoff.errors import RemoteProtocolError, TrustError
from p2p_handoff.ids import DeviceId, PartId, TxnId
from p2p_handoff.protocol import agreement
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.target import GrantUnusable, GrantVerified
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import ChainState
from p2p_handoff.session.manifest import Manifest
from p2p_handoff.session.signed import SignedStatement, decode_signed, verify
from p2p_handoff.session.statements import Accepted, Grant, Refused


@dataclass(frozen=True, slots=True)
class Terms:
    """What a target knows of a handoff when a grant arrives."""

    me: DeviceId
    txn: TxnId
    state: ChainState
    """What the chain of the Init proves."""
    nonce: bytes
    """From this device's latest Ready, empty where none is out."""
    agreed: Manifest | None
    """As it was offered; None before the offer was read."""
    parts: tuple[PartId, ...]
    """What was accepted."""


@dataclass(frozen=True, slots=True)
class JudgedGrant:
    """A grant that is the source's own, and what the machine hears of it."""

    event: GrantVerified | GrantUnusable
    signed: SignedStatement


def judge_grant(message: msg.Grant, terms: Terms) -> JudgedGrant:
    """Judge a grant that arrived for a handoff under way.

    Raises:
        TrustError: It is not the source's grant of this txn to this device.
        RemoteProtocolError: The bytes are no grant.
    """
    signed = decode_signed(message.statement)
    grant = chains.check_grant(terms.state, signed)
    if (grant.txn, grant.target) != (terms.txn, terms.me):
        raise TrustError("the grant is of another handoff")
    why_not = _why_unusable(grant, message, terms)
    return JudgedGrant(GrantUnusable(why_not) if why_not else GrantVerified(message.manifest), signed)


def _why_unusable(grant: Grant, message: msg.Grant, terms: Terms) -> str:
    if not terms.nonce or not hmac.compare_digest(grant.nonce, terms.nonce):
        return "this device does not remember the handoff any more"
    if grant.root != digest(message.manifest) or frozenset(grant.parts) != frozenset(terms.parts):
        return "the grant does not fit what was agreed"
    # A nonce is out: so the offer was read.
    assert terms.agreed is not None
    try:
        agreement.check_later(message.manifest, terms.agreed, terms.parts)
    except RemoteProtocolError as error:
        return error.what
    return ""


def check_asker(message: msg.Query | msg.Grant, key: bytes, *, me: DeviceId) -> Grant:
    """Check that whoever asks about a handoff has granted it to this device: nobody else gets a decision.

    Args:
        message: What arrived.
        key: The asking device's raw Ed25519 public key, 32 bytes.
        me: This device.

    Raises:
        TrustError: The grant is another device's, or of another handoff.
        RemoteProtocolError: The bytes are no grant.
    """
    grant = verify(decode_signed(message.statement), key, Grant)
    if (grant.txn, grant.session, grant.target) != (message.txn, message.session, me):
        raise TrustError("the grant that came along is of another handoff")
    return grant


def check_answer(message: msg.Accepted | msg.Refused, key: bytes, *, txn: TxnId) -> None:
    """Check that an answer to a grant is the target's own and about this handoff.

    Args:
        message: What arrived.
        key: The target's raw Ed25519 public key, 32 bytes.
        txn: The handoff.

    Raises:
        TrustError: It is another device's, or of another handoff.
        RemoteProtocolError: The bytes are no such statement.
    """
    signed = decode_signed(message.statement)
    statement = verify(signed, key, Accepted) if isinstance(message, msg.Accepted) else verify(signed, key, Refused)
    if statement.txn != txn:
        raise TrustError("the statement is about another handoff")
