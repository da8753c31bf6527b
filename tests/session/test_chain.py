# SPDX-License-Identifier: Apache-2.0
"""session.chain: anyone can verify a chain, and nobody can change one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff import ids
from p2p_handoff.errors import HandoffError, LocalProtocolError, RemoteProtocolError, TrustError
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import Chain, check_agrees, decode_chain, encode_chain, extend, verify_chain
from p2p_handoff.session.signed import SignedStatement, link_digest, read, sign
from p2p_handoff.session.statements import Accepted, Grant, Parent
from tests.session.ownership_world import ROOT, chain_of, device, grant, handed, offer, session_id, txn_id

CHAIN = chain_of(1, 2, 3, 1)
VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors/ownership.json").read_text())


def test_a_chain_proves_who_is_primary_and_who_ever_was() -> None:
    state = verify_chain(CHAIN)
    assert (state.session, state.primary, state.epoch) == (session_id(), device(1).device, 4)
    assert list(state.members) == [device(n).device for n in (1, 2, 3)]
    assert state.accepted == {txn_id(0): 2, txn_id(1): 3, txn_id(2): 4}
    assert state.head == link_digest(CHAIN[-1])


def test_a_fork_names_its_original() -> None:
    parent = Parent(session_id(), 3, ROOT)
    fork = chains.create(device(1), session_id(2), ROOT, parent)
    assert verify_chain(fork).parent == parent


def test_extending_proves_the_same_as_verifying_everything() -> None:
    known = verify_chain(CHAIN[:-2])
    assert extend(known, *CHAIN[-2:]) == verify_chain(CHAIN)
    assert known == verify_chain(CHAIN[:-2]), "what was proven before must not change"


def test_verifying_the_rest_after_a_proven_beginning_gives_the_same() -> None:
    assert verify_chain(CHAIN, verify_chain(CHAIN[:3])) == verify_chain(CHAIN)


def test_the_golden_chain_verifies() -> None:
    chain = decode_chain(bytes.fromhex(VECTORS["chain"]["encoded"]))
    state = verify_chain(chain)
    assert (state.primary, state.epoch) == (VECTORS["chain"]["primary"], VECTORS["chain"]["epoch"])
    assert state.head.hex() == VECTORS["chain"]["head"]
    assert chain == chain_of(1, 2, 1), "keys, statements and signatures are all deterministic"


@given(st.integers(0, len(encode_chain(CHAIN)) - 1), st.integers(1, 255))
def test_no_byte_of_a_chain_can_change(position: int, mask: int) -> None:
    raw = bytearray(encode_chain(CHAIN))
    raw[position] ^= mask
    with pytest.raises(HandoffError) as caught:
        verify_chain(decode_chain(bytes(raw)))
    assert isinstance(caught.value, TrustError | RemoteProtocolError)


@given(st.permutations(range(len(CHAIN))))
def test_no_two_statements_can_change_places(order: list[int]) -> None:
    shuffled = tuple(CHAIN[index] for index in order)
    if shuffled == CHAIN:
        assert verify_chain(shuffled).epoch == 4
        return
    with pytest.raises(TrustError):
        verify_chain(shuffled)


@given(st.integers(0, len(CHAIN) - 1), st.sampled_from(["drop", "repeat", "drop pair"]))
def test_no_statement_can_be_dropped_or_repeated(index: int, how: str) -> None:
    width = 2 if how == "drop pair" else 1
    middle = CHAIN[index : index + 1] * 2 if how == "repeat" else ()
    changed = CHAIN[:index] + middle + CHAIN[index + width :]
    if changed == CHAIN[: len(changed)] and len(changed) % 2 == 1:
        assert verify_chain(changed).epoch == 3, "without its last handoff a chain is an older one"
        return
    with pytest.raises(TrustError):
        verify_chain(changed)


def _regrant(**changes: Any) -> Chain:
    """CHAIN with a last handoff whose grant was changed and signed again by the right device."""
    content = read(CHAIN[-2], Grant)
    changed = replace(content, **changes)
    signed = sign(device(3), changed)
    taker = next(device(n) for n in (1, 2, 3, 4) if device(n).device == changed.target)
    return (*CHAIN[:-2], signed, chains.accept(taker, signed))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"session": session_id(2)}, "another session"),
        ({"epoch": 4}, "epoch 4, not 3"),
        ({"previous": ROOT}, "does not follow"),
        ({"target": device(3).device, "target_key": device(3).public.identity_key}, "has the session"),
        ({"target_key": device(2).public.identity_key}, "not the target's"),
        ({"txn": txn_id(0)}, "in the chain already"),
    ],
)
def test_a_primary_cannot_sign_a_grant_that_breaks_the_rules(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(TrustError, match=f"link 5 .* due from {device(3).device}, is bad: .*{why}"):
        verify_chain(_regrant(**changes))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"session": session_id(2)}, "another session or handoff"),
        ({"txn": txn_id(9)}, "another session or handoff"),
        ({"epoch": 9}, "epoch 9, not 4"),
        ({"grant": ROOT}, "another grant"),
    ],
)
def test_a_target_cannot_sign_an_acceptance_that_breaks_the_rules(changes: dict[str, Any], why: str) -> None:
    changed = replace(read(CHAIN[-1], Accepted), **changes)
    with pytest.raises(TrustError, match=f"link 6 .*{why}"):
        verify_chain((*CHAIN[:-1], sign(device(1), changed)))


def test_a_device_that_is_not_primary_cannot_grant() -> None:
    with pytest.raises(LocalProtocolError):
        chains.grant(device(2), verify_chain(CHAIN), offer(9, device(3)))


def test_only_the_named_target_can_accept() -> None:
    with pytest.raises(TrustError, match="cannot sign"):
        chains.accept(device(3), grant(CHAIN, 9, device(1), device(2)))


def test_a_grant_is_checked_as_the_next_link() -> None:
    signed = grant(CHAIN, 9, device(1), device(2))
    assert chains.check_grant(verify_chain(CHAIN), signed).txn == txn_id(9)
    with pytest.raises(TrustError, match="link 5"):
        chains.check_grant(verify_chain(CHAIN[:-2]), signed)


def test_chains_that_continue_each_other_agree() -> None:
    check_agrees(CHAIN[:3], CHAIN)
    check_agrees(CHAIN, CHAIN[:3])


def test_two_histories_of_one_session_are_found_out() -> None:
    other = handed(CHAIN[:3], 7, device(2), device(1))
    verify_chain(other)
    with pytest.raises(TrustError, match="link 3 differs"):
        check_agrees(CHAIN, other)


@pytest.mark.parametrize("chain", [(), CHAIN[:2], CHAIN[1:2], CHAIN[1:4]])
def test_what_does_not_begin_with_a_genesis_is_no_chain(chain: Chain) -> None:
    with pytest.raises(TrustError):
        verify_chain(chain)


def test_a_genesis_must_be_signed_with_the_key_it_names() -> None:
    forged = SignedStatement(CHAIN[0].body, device(2).sign(b"ownership v1", CHAIN[0].body))
    with pytest.raises(TrustError, match="link 0"):
        verify_chain((forged,))


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\x01", b"\xa0", b"\x81\x01", encode_chain(CHAIN[:2])])
def test_other_bytes_are_no_chain(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_chain(raw)


def test_a_full_chain_is_granted_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "MAX_LINKS", 3)
    with pytest.raises(LocalProtocolError, match="handed off 3 times"):
        grant(CHAIN, 9, device(1), device(2))
    monkeypatch.setattr(chains, "MAX_LINKS", 2)
    with pytest.raises(TrustError, match="7 statements"):
        verify_chain(CHAIN)
    with pytest.raises(RemoteProtocolError):
        decode_chain(encode_chain(CHAIN))


def test_a_devices_id_follows_from_the_key_in_the_chain() -> None:
    assert all(ids.device_id(key) == member for member, key in verify_chain(CHAIN).members.items())


def test_what_was_proven_before_is_built_on_where_the_chain_begins_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shorter, longer = chains.prove(CHAIN[:1]), chains.prove(CHAIN[:5])
    other = chains.prove(handed(chain_of(1, 2), 9, device(2), device(1)))
    begun: list[int] = []
    verify = chains.verify_chain

    def watched(chain: Chain, proven: chains.ChainState | None = None) -> chains.ChainState:
        begun.append(0 if proven is None else len(proven.accepted))
        return verify(chain, proven)

    monkeypatch.setattr(chains, "verify_chain", watched)
    expected = verify(CHAIN)
    for known in ((), (None,), (shorter,), (longer, shorter), (other,), (other, longer, None)):
        assert chains.prove(CHAIN, *known) == chains.Proven(CHAIN, expected)
    assert begun == [0, 0, 0, 2, 0, 2]


def test_a_bad_link_after_a_proven_beginning_is_found() -> None:
    forged = (*CHAIN[:-1], SignedStatement(CHAIN[-1].body, bytes(64)))
    with pytest.raises(TrustError, match="link 6 "):
        chains.prove(forged, chains.prove(CHAIN[:5]))
    with pytest.raises(TrustError, match="link 2 "):
        chains.prove((*CHAIN[:2], SignedStatement(CHAIN[2].body, bytes(64)), *CHAIN[3:]), chains.prove(CHAIN[:5]))
