# SPDX-License-Identifier: Apache-2.0
"""How a session begins on this device, forks, and follows news. Layer: I/O ring.

Specification: docs/specs/ownership.md §3-4, 6. Each method is one durable transaction: it has happened when it
returns and has not when it raises. The rules are in session.ownership and session.chain.
"""

from __future__ import annotations

from p2p_handoff.errors import LocalProtocolError, TrustError
from p2p_handoff.ids import SessionId
from p2p_handoff.session import chain as chains
from p2p_handoff.session import ownership as rules
from p2p_handoff.session.chain import Chain, ChainState
from p2p_handoff.session.ownership import Ownership, Role
from p2p_handoff.store.outgoing import OutgoingHandoffs
from p2p_handoff.store.ownership_rows import OwnershipRows
from p2p_handoff.store.records import NewSession, SessionRecord


class OwnershipStore:
    """Ownership outside of a running handoff; store.outgoing and store.incoming are the two sides of one."""

    def __init__(self, rows: OwnershipRows, outgoing: OutgoingHandoffs) -> None:
        self._rows = rows
        self._outgoing = outgoing

    def start(self, new: NewSession) -> Ownership:
        """A session starts on this device, its first primary.

        Raises:
            TrustError: The chain does not verify.
            LocalProtocolError: The session exists, or its chain is more than a genesis of this device.
        """
        own = rules.begin(self._genesis(new).session, self._rows.me)
        with self._rows.change():
            self._rows.insert(new, own)
        return own

    def fork(self, original: SessionId, new: NewSession) -> Ownership:
        """The user gives a silent target up: mark the frozen original and go on in a new session.

        Paths on this device belong to the fork from here on.

        Args:
            original: The frozen session.
            new: The fork; its genesis names the original as parent.

        Raises:
            NotFoundError: No such original.
            TrustError: The fork's chain does not verify.
            LocalProtocolError: The original is not frozen or was forked before, or is not the fork's parent.
        """
        state = self._genesis(new)
        own = rules.begin(state.session, self._rows.me)
        with self._rows.change():
            marked = rules.fork(self._rows.existing(original).ownership)
            if state.parent is None or (state.parent.session, state.parent.epoch) != (original, marked.epoch):
                raise LocalProtocolError("the fork's genesis does not name its original")
            self._rows.set(marked)
            self._rows.database.write("UPDATE parts SET path = NULL WHERE session = ?", (original,))
            self._rows.insert(new, own)
        return own

    def follow(self, new: NewSession) -> Ownership:
        """Begin to follow another device's session as secondary.

        Raises:
            TrustError: Its chain is bad, or says that this device is the primary.
            LocalProtocolError: The session is here already; ``learn`` is for that.
        """
        state = chains.verify_chain(new.chain)
        if state.primary == self._rows.me:
            raise TrustError("this device is the primary of a session that it does not know: its data is an old copy")
        own = Ownership(state.session, Role.SECONDARY, state.epoch, state.primary)
        with self._rows.change():
            self._rows.insert(new, own)
        return own

    def learn(self, session: SessionId, chain: Chain) -> Ownership:
        """Follow a chain that any device sent; resolves a doubt when it holds the outstanding ACCEPTED.

        Allowed in a rolled-back home: it is how such a home catches up.

        Raises:
            NotFoundError: No such session.
            TrustError: The chain is bad, contradicts what is known, or shows that this home forgot that it is primary.
        """
        record = self._rows.existing(session)
        known = chains.decode_chain(record.chain)
        chains.check_agrees(known, chain)
        if len(chain) <= len(known):
            return record.ownership
        state = chains.verify_chain(chain, self._rows.state(record))
        own = rules.learn(record.ownership, state, me=self._rows.me)
        with self._rows.change():
            manifest = self._settle(record, state, chain)
            self._rows.move(own, chain, state, manifest)
        return own

    def _settle(self, record: SessionRecord, state: ChainState, chain: Chain) -> bytes | None:
        """Close the outstanding grant if the chain holds its ACCEPTED; returns the last common manifest."""
        frozen = record.ownership.frozen
        if frozen is None or frozen.txn not in state.accepted:
            return record.manifest
        # Genesis is epoch 1; the acceptance that began epoch e stands at 2 (e - 1).
        return self._outgoing.settle(frozen.txn, chain[2 * (state.accepted[frozen.txn] - 1)])

    def _genesis(self, new: NewSession) -> ChainState:
        state = chains.verify_chain(new.chain)
        if len(new.chain) != 1 or state.primary != self._rows.me:
            raise LocalProtocolError("a session starts with a genesis of this device alone")
        return state
