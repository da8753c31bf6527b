# SPDX-License-Identifier: Apache-2.0
"""Handoffs without a machine: what is answered for them, and what a restart takes up. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §8, ownership.md §3-4. A decision is told to the source of its handoff only;
where there is none, a refusal is stored first and then said.
"""

from __future__ import annotations

from enum import Enum

from p2p_handoff.errors import LocalProtocolError, RejectedError, TrustError
from p2p_handoff.ids import SessionId
from p2p_handoff.limits import MAX_REFUSALS, REFUSALS_IN_RESERVE
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.messages import Mode, RejectReason
from p2p_handoff.protocol.source import Source, SourceState
from p2p_handoff.session.journal import Decision
from p2p_handoff.session.ownership import Ownership, Verdict
from p2p_handoff.session.signed import SignedStatement, encode_signed, read
from p2p_handoff.session.statement_codec import decode_statement
from p2p_handoff.session.statements import Grant


class Answer(Enum):
    """What the source of a grant hears."""

    STORED = "stored"
    """The decision as it was stored; where the session is in place, that as well."""
    STORE_REFUSAL = "store refusal"
    """Nothing was decided: store a refusal, then say it."""
    REFUSE = "refuse"
    """The txn is decided for another source or session, so that it can never be accepted from this one: say so."""


def answer(grant: Grant, decision: Decision | None, *, in_use: bool, refusals: int) -> Answer:
    """What to answer about a handoff that is over here, or that this device never knew or forgot.

    Args:
        grant: The asker's, checked with ``judgement.check_asker``.
        decision: What this device decided about its txn.
        in_use: A handoff of this txn is under way here, from another source.
        refusals: How many refusals it has stored for this source already.

    Raises:
        TrustError: The txn is another device's.
        RejectedError: The source has had all the refusals that are stored for one.
    """
    if in_use:
        raise TrustError("another device began a handoff of this id")
    if decision is None:
        check_room(refusals - REFUSALS_IN_RESERVE)
        return Answer.STORE_REFUSAL
    about = (decision.source, _session(decision))
    return Answer.STORED if about == (grant.source, grant.session) else Answer.REFUSE


def check_room(refusals: int) -> None:
    """No device fills another one's disk with decisions, which are kept for ever.

    Raises:
        RejectedError: A source has had all the refusals that are stored for one.
    """
    if refusals >= MAX_REFUSALS:
        raise RejectedError(
            f"{MAX_REFUSALS} handoffs of that device were refused: it gets no further answer",
            reason=RejectReason.UNTRUSTED.value,
            state="nothing changes",
            advice="unlink the device if this is not your own doing",
        )


def taken_up(own: Ownership, signed: SignedStatement | None) -> Source:
    """The machine of a session that was granted and has no answer yet: after a restart, and for a doubt.

    Args:
        own: The frozen session's record.
        signed: The outstanding grant.

    Raises:
        LocalProtocolError: The session is not frozen.
    """
    frozen = own.frozen
    if frozen is None:
        raise LocalProtocolError(f"no grant is outstanding: this device is {own.role.value}")
    grant = read(signed, Grant) if signed is not None else None
    return Source(
        frozen.txn,
        own.session,
        frozen.target,
        Mode.MOVE,
        SourceState.FROZEN,
        grant.parts if grant else (),
        nonce=grant.nonce if grant else b"",
    )


def decision_message(decision: Decision, counter: int) -> msg.Accepted | msg.Refused:
    """A stored decision as it is said; ``counter``: this device's store counter now."""
    kind = msg.Accepted if decision.verdict is Verdict.ACCEPTED else msg.Refused
    return kind(decision.txn, encode_signed(decision.statement), counter)


def _session(decision: Decision) -> SessionId:
    return decode_statement(decision.statement.body).session
