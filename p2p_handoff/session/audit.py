# SPDX-License-Identifier: Apache-2.0
"""Checks what a device has stored about a session's owners, and names the first link that is bad. Layer: session.

Specification: docs/specs/ownership.md §6. Needs nothing but the stored bytes: no network, no clock, no other device.
A chain from a peer is decoded whole or not at all (session.chain); here the bytes come from a disk that may have lost
or changed some, so they are read link by link, and the answer says how far they are whole.
"""

from __future__ import annotations

from typing import Final, NoReturn

from p2p_handoff.errors import RemoteProtocolError, TrustError
from p2p_handoff.ids import SessionId
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import ChainState
from p2p_handoff.session.ownership import Ownership, Role
from p2p_handoff.session.signed import SignedStatement, decode_signed

_BYTES: Final = 2
_ARRAY: Final = 4
"""Major types of CBOR (RFC 8949 §3.1)."""


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
    links, unreadable = _whole_links(data)
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


def _whole_links(data: bytes) -> tuple[list[SignedStatement], str]:
    """The links at the beginning that can be read, and why the next one cannot; empty when all can."""
    links: list[SignedStatement] = []
    try:
        major, count, at = _head(data, 0)
        if major != _ARRAY:
            return links, "what is stored is no chain"
        for _ in range(count):
            end = _end_of_link(data, at)
            links.append(decode_signed(data[at:end]))
            at = end
    except (RemoteProtocolError, IndexError, ValueError) as error:
        what = error.what if isinstance(error, RemoteProtocolError) else "it is cut off or no statement"
        return links, f"it cannot be read: {what}"
    return links, "something that is no link follows the last one" if at != len(data) else ""


def _end_of_link(data: bytes, at: int) -> int:
    """Where the array of two byte strings ends that begins at an offset."""
    major, count, at = _head(data, at)
    if (major, count) != (_ARRAY, 2):
        raise ValueError
    for _ in range(2):
        major, length, at = _head(data, at)
        if major != _BYTES or at + length > len(data):
            raise ValueError
        at += length
    return at


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Major type, argument, and where what follows begins."""
    major, short = data[at] >> 5, data[at] & 0x1F
    if short < 24:
        return major, short, at + 1
    if short > 27:
        raise ValueError
    end = at + 1 + (1 << (short - 24))
    return major, int.from_bytes(data[at + 1 : end], "big"), end


def _bad(index: int, who: str, why: str) -> NoReturn:
    raise TrustError(f"link {index} of the ownership chain, due from {who}, is bad: {why}")
