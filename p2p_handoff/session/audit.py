# SPDX-License-Identifier: Apache-2.0
"""Checks what a device has stored about a session's owners, and names the first link that is bad. Layer: session.

Specification: docs/specs/ownership.md §6. Needs nothing but the stored bytes: no network, no clock, no other device.
A chain from a peer is decoded whole or not at all (session.chain); here the bytes come from a disk that may have lost
or changed some, so they are read link by link, and the answer says how far they are whole.
"""

from __future__ import annotations

from typing import NoReturn

from p2p_handoff.errors import TrustError
from p2p_handoff.ids import SessionId
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import ChainState
from p2p_handoff.session.links import whole_links
from p2p_handoff.session.ownership import Ownership, Role
from p2p_handoff.session.signed import SignedStatement


def audit(data: bytes, session: SessionId, own: Ownership, outstanding: SignedStatement | None) -> ChainState:
    """Verify a stored chain and compare it with the record beside it.

    Args:
        data: The stored chain.
        session: Whose it is said to be.
        own: The stored record.
        outstanding: For a frozen session the stored grant, if there is one.

    Returns:
        What the chain proves.

    Raises:
        TrustError: Names the first bad link: its index, who should have signed it, why it is bad.
    """
    links, unreadable = whole_links(data)
    if not links:
        _bad(0, "the first primary", unreadable or "it is missing")
    state = chains.verify_chain(links[: len(links) - (len(links) + 1) % 2])
    if state.session != session:
        _bad(0, state.primary, "it is another session's")
    if len(links) % 2 == 0:
        grant = chains.check_grant(state, links[-1])
        _bad(len(links), grant.target, unreadable or "it is missing, and the grant before it is there")
    if unreadable:
        _bad(len(links), state.primary, unreadable)
    _compare(len(links), state, own, outstanding)
    return state


def _compare(index: int, state: ChainState, own: Ownership, outstanding: SignedStatement | None) -> None:
    if (state.primary, state.epoch) != (own.primary, own.epoch):
        ends = f"the chain ends with {state.primary} in epoch {state.epoch}"
        _bad(index, state.primary, f"{ends}, and this device's record says {own.primary} in epoch {own.epoch}")
    if own.role is not Role.FROZEN:
        return
    if outstanding is None or own.frozen is None:
        _bad(index, state.primary, "the session is frozen, and the grant is missing or cannot be read")
    grant = chains.check_grant(state, outstanding)
    frozen = own.frozen
    if (grant.txn, grant.target, grant.root, grant.epoch) != (frozen.txn, frozen.target, frozen.root, frozen.epoch):
        _bad(index, state.primary, "the session is frozen for another grant than the stored one")


def _bad(index: int, who: str, why: str) -> NoReturn:
    raise TrustError(f"link {index} of the ownership chain, due from {who}, is bad: {why}")
