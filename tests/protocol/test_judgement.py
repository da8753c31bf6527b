# SPDX-License-Identifier: Apache-2.0
"""protocol.judgement: only the other device's own word about this very handoff reaches a machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2p_handoff.errors import HandoffError, RemoteProtocolError, TrustError
from p2p_handoff.protocol import judgement
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.judgement import Terms
from p2p_handoff.protocol.target import GrantUnusable, GrantVerified
from p2p_handoff.security.identity import Identity
from p2p_handoff.session import chain as chains
from p2p_handoff.session.manifest import encode_manifest
from p2p_handoff.session.signed import SignedStatement, encode_signed
from p2p_handoff.session.statements import RefusalReason
from tests.protocol.grants import CHAIN, MANIFEST, P1, SESSION, TXN, A, B, C, grant_message, manifest_of, query
from tests.protocol.grants import signed_grant as granted
from tests.session.ownership_world import NONCE, chain_of, session_id, txn_id

TERMS = Terms(B.device, TXN, chains.verify_chain(CHAIN), NONCE, manifest_of(), (P1,))


def test_a_grant_that_keeps_to_what_was_agreed_is_verified() -> None:
    judged = judgement.judge_grant(grant_message(granted()), TERMS)
    assert judged.event == GrantVerified(MANIFEST)
    assert judged.signed == granted()


@pytest.mark.parametrize(
    "terms",
    [
        replace(TERMS, nonce=b""),
        replace(TERMS, nonce=b"m" * 16),
        replace(TERMS, parts=()),
        replace(TERMS, agreed=replace(manifest_of(), session=session_id(2))),
    ],
)
def test_a_genuine_grant_that_does_not_fit_is_unusable(terms: Terms) -> None:
    assert isinstance(judgement.judge_grant(grant_message(granted()), terms).event, GrantUnusable)


def test_a_manifest_that_is_not_the_granted_one_makes_the_grant_unusable() -> None:
    other = encode_manifest(manifest_of(b"then"))
    assert isinstance(judgement.judge_grant(grant_message(granted(), manifest=other), TERMS).event, GrantUnusable)


@pytest.mark.parametrize(
    "signed",
    [
        granted(target=C),
        granted(txn=txn_id(8)),
        granted(C, chain=chain_of(3)),
        granted(B, A, chain=chain_of(1, 2)),
        replace(granted(), signature=granted(target=C).signature),
        CHAIN[0],
    ],
)
def test_a_grant_that_is_not_the_sources_of_this_handoff_is_no_event(signed: SignedStatement) -> None:
    with pytest.raises(HandoffError):
        judgement.judge_grant(grant_message(signed), TERMS)


def test_whoever_granted_may_ask() -> None:
    for message in (query(granted()), grant_message(granted())):
        assert judgement.check_asker(message, A.public.identity_key, me=B.device).txn == TXN


@pytest.mark.parametrize(
    ("message", "key"),
    [
        (query(granted()), C),
        (query(granted(target=C)), A),
        (query(granted(), txn=txn_id(8)), A),
        (replace(query(granted()), session=session_id(2)), A),
        (replace(query(granted()), statement=encode_signed(CHAIN[0])), A),
        (msg.Query(TXN, SESSION, b"junk"), A),
    ],
)
def test_nobody_else_may_ask(message: msg.Query, key: Identity) -> None:
    with pytest.raises(HandoffError):
        judgement.check_asker(message, key.public.identity_key, me=B.device)


def test_the_targets_answers_are_taken() -> None:
    accepted = msg.Accepted(TXN, encode_signed(chains.accept(B, granted())), 0)
    refused = msg.Refused(TXN, encode_signed(chains.refuse(B, SESSION, TXN, A.device, RefusalReason.UNKNOWN)), 0)
    for message in (accepted, refused):
        judgement.check_answer(message, B.public.identity_key, txn=TXN)


def test_an_answer_of_another_device_kind_or_handoff_is_not_taken() -> None:
    accepted = encode_signed(chains.accept(B, granted()))
    key = B.public.identity_key
    with pytest.raises(TrustError):
        judgement.check_answer(msg.Accepted(TXN, accepted, 0), C.public.identity_key, txn=TXN)
    with pytest.raises(TrustError):
        judgement.check_answer(msg.Accepted(TXN, accepted, 0), key, txn=txn_id(8))
    with pytest.raises(RemoteProtocolError):
        judgement.check_answer(msg.Refused(TXN, accepted, 0), key, txn=TXN)
