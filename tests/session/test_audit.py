# SPDX-License-Identifier: Apache-2.0
"""session.audit: whatever happened to the stored bytes, the first bad link is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.content import strict_cbor
from p2p_handoff.errors import TrustError
from p2p_handoff.session import chain as chains
from p2p_handoff.session.audit import audit
from p2p_handoff.session.chain import Chain, encode_chain
from p2p_handoff.session.ownership import Frozen, Ownership, Role
from p2p_handoff.session.signed import SignedStatement, read
from p2p_handoff.session.statements import Grant
from tests.session.ownership_world import ROOT, chain_of, device, grant, session_id, txn_id

CHAIN = chain_of(1, 2, 1, 3)
"""Genesis, and three handoffs: seven links."""
OWN = Ownership(session_id(), Role.SECONDARY, 4, device(3).device)
DATA = encode_chain(CHAIN)
_STARTS = [3 if len(CHAIN) >= 24 else 1]
for _link in CHAIN:
    _STARTS.append(_STARTS[-1] + len(strict_cbor.encode([_link.body, _link.signature])))


def damaged(data: bytes) -> str:
    with pytest.raises(TrustError) as bad:
        audit(data, session_id(), OWN, None)
    return bad.value.what


def forged(chain: Chain, index: int, change: Callable[[SignedStatement], SignedStatement]) -> bytes:
    return encode_chain((*chain[:index], change(chain[index]), *chain[index + 1 :]))


def test_a_whole_chain_proves_its_owner() -> None:
    state = audit(DATA, session_id(), OWN, None)
    assert (state.primary, state.epoch) == (device(3).device, 4)


@pytest.mark.parametrize("index", range(len(CHAIN)))
def test_a_changed_signature_or_body_is_named(index: int) -> None:
    for change in (
        lambda link: SignedStatement(link.body, bytes(64)),
        lambda link: SignedStatement(link.body[:-1] + bytes([link.body[-1] ^ 1]), link.signature),
    ):
        assert damaged(forged(CHAIN, index, change)).startswith(f"link {index} of the ownership chain, due from ")


@pytest.mark.parametrize("index", range(len(CHAIN)))
def test_a_link_that_is_missing_is_named(index: int) -> None:
    """One that is cut out leaves another one in its place, or nothing."""
    assert damaged(encode_chain((*CHAIN[:index], *CHAIN[index + 1 :]))).startswith(f"link {index} ")


@pytest.mark.parametrize("index", range(len(CHAIN) - 1))
def test_links_in_another_order_are_named(index: int) -> None:
    swapped = (*CHAIN[:index], CHAIN[index + 1], CHAIN[index], *CHAIN[index + 2 :])
    assert damaged(encode_chain(swapped)).startswith(f"link {index} ")


@given(at=st.integers(0, len(DATA) - 1), flip=st.integers(1, 255))
def test_every_changed_byte_is_found_at_its_link(at: int, flip: int) -> None:
    what = damaged(DATA[:at] + bytes([DATA[at] ^ flip]) + DATA[at + 1 :])
    index = max(0, sum(start <= at for start in _STARTS) - 1)
    assert what.startswith(f"link {index} ") or at == 0, what


@given(length=st.integers(0, len(DATA) - 1))
def test_every_cut_is_found_at_its_link(length: int) -> None:
    index = min(sum(start <= length for start in _STARTS) - 1, len(CHAIN)) if length else 0
    assert damaged(DATA[:length]).startswith(f"link {max(0, index)} ")


def test_what_follows_the_last_link_is_named() -> None:
    assert "link 7" in damaged(DATA + b"\x00")


def test_what_is_no_chain_is_named() -> None:
    assert damaged(b"hello").startswith("link 0 ")
    assert damaged(b"").startswith("link 0 ")
    assert damaged(encode_chain(())).startswith("link 0 ")


def test_another_session_s_chain_is_named() -> None:
    other = chains.create(device(1), session_id(2), ROOT)
    assert "another session's" in damaged(encode_chain(other))


def test_a_chain_that_was_cut_after_an_acceptance_contradicts_the_record() -> None:
    what = damaged(encode_chain(CHAIN[:5]))
    assert what.startswith("link 5 ")
    assert "epoch 3" in what
    assert "epoch 4" in what


def test_a_record_that_was_changed_contradicts_the_chain() -> None:
    own = Ownership(session_id(), Role.PRIMARY, 4, device(1).device)
    with pytest.raises(TrustError, match=r"link 7 .* record says"):
        audit(DATA, session_id(), own, None)


def test_the_outstanding_grant_of_a_frozen_session_is_checked() -> None:
    signed = grant(CHAIN, 9, device(3), device(2))
    content = read(signed, Grant)
    frozen = Frozen(txn_id(9), device(2).device, content.root, 4)
    own = Ownership(session_id(), Role.FROZEN, 4, device(3).device, frozen)
    assert audit(DATA, session_id(), own, signed).epoch == 4
    for stored, why in (
        (None, "the grant is missing"),
        (SignedStatement(signed.body, bytes(64)), "signature"),
        (grant(CHAIN, 8, device(3), device(2)), "another grant"),
    ):
        with pytest.raises(TrustError, match=rf"link 7 .*{why}"):
            audit(DATA, session_id(), own, stored)
