# SPDX-License-Identifier: Apache-2.0
"""protocol.aftermath: a source gets the decision on its own handoff, nobody fills the store, a restart goes on."""

from __future__ import annotations

import pytest

from p2p_handoff.errors import LocalProtocolError, RejectedError, TrustError
from p2p_handoff.limits import MAX_REFUSALS, REFUSALS_IN_RESERVE
from p2p_handoff.protocol import aftermath
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.aftermath import Answer
from p2p_handoff.protocol.source import SourceState
from p2p_handoff.security.identity import Identity
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal
from p2p_handoff.session.journal import Decision
from p2p_handoff.session.ownership import Verdict
from p2p_handoff.session.signed import decode_signed, read
from p2p_handoff.session.statements import Grant, RefusalReason
from tests.protocol.grants import CHAIN, P1, SESSION, TXN, A, B, C, signed_grant
from tests.session.ownership_world import NONCE, session_id

GRANT = read(signed_grant(), Grant)


def refused(source: Identity = A, session: int = 1) -> Decision:
    signed = chains.refuse(B, session_id(session), TXN, source.device, RefusalReason.UNKNOWN)
    return Decision(TXN, source.device, Verdict.REFUSED, signed)


def accepted() -> Decision:
    return Decision(TXN, A.device, Verdict.ACCEPTED, chains.accept(B, signed_grant()))


@pytest.mark.parametrize(
    ("decision", "answer"),
    [
        (None, Answer.STORE_REFUSAL),
        (refused(), Answer.STORED),
        (accepted(), Answer.STORED),
        (refused(source=C), Answer.REFUSE),
        (refused(session=2), Answer.REFUSE),
    ],
)
def test_the_answer_follows_the_decision(decision: Decision | None, answer: Answer) -> None:
    assert aftermath.answer(GRANT, decision, in_use=False, refusals=0) is answer


def test_a_txn_that_another_source_uses_gets_no_answer() -> None:
    with pytest.raises(TrustError):
        aftermath.answer(GRANT, None, in_use=True, refusals=0)


def test_a_source_gets_so_many_refusals_and_no_more() -> None:
    most = MAX_REFUSALS + REFUSALS_IN_RESERVE
    assert aftermath.answer(GRANT, None, in_use=False, refusals=most - 1) is Answer.STORE_REFUSAL
    with pytest.raises(RejectedError):
        aftermath.answer(GRANT, None, in_use=False, refusals=most)
    assert aftermath.answer(GRANT, refused(), in_use=False, refusals=most) is Answer.STORED


def test_a_frozen_session_is_taken_up_where_its_grant_left_it() -> None:
    held = journal.freeze(journal.start(CHAIN, me=A.device), signed_grant())
    machine = aftermath.taken_up(held.ownership, signed_grant())
    assert (machine.txn, machine.session, machine.target, machine.state) == (TXN, SESSION, B.device, SourceState.FROZEN)
    assert (machine.parts, machine.nonce) == ((P1,), NONCE)


def test_a_frozen_session_whose_grant_is_lost_only_asks() -> None:
    held = journal.freeze(journal.start(CHAIN, me=A.device), signed_grant())
    assert aftermath.taken_up(held.ownership, None).nonce == b""


def test_only_a_frozen_session_is_taken_up() -> None:
    with pytest.raises(LocalProtocolError):
        aftermath.taken_up(journal.start(CHAIN, me=A.device).ownership, None)


def test_a_decision_is_said_as_it_was_stored() -> None:
    for decision, kind in ((refused(), msg.Refused), (accepted(), msg.Accepted)):
        message = aftermath.decision_message(decision, 7)
        assert isinstance(message, kind)
        assert message.counter == 7
        assert decode_signed(message.statement) == decision.statement
