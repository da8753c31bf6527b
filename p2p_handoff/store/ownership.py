# SPDX-License-Identifier: Apache-2.0
"""How a session begins on this device, and follows news. Layer: I/O ring.

Specification: docs/specs/ownership.md §3-4, 6. Each method is one durable transaction: it has happened when it
returns and has not when it raises. Forks are in store.forks. The rules are in session.journal.
"""

from __future__ import annotations

from p2p_handoff.ids import SessionId
from p2p_handoff.session import journal
from p2p_handoff.session.chain import Chain
from p2p_handoff.session.journal import Held, Learned
from p2p_handoff.session.ownership import Ownership, is_lost
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
        held = journal.start(new.chain, me=self._rows.me)
        with self._rows.change():
            self._rows.insert(new, held)
        return held.ownership

    def follow(self, new: NewSession) -> Ownership:
        """Begin to follow a session as secondary: another device's, or one that this device owned and has forgotten.

        Raises:
            TrustError: Its chain is bad.
            LocalProtocolError: The session is here already; ``learn`` is for that.
        """
        held = journal.follow(new.chain)
        with self._rows.change():
            self._rows.insert(new, held)
            if is_lost(held.ownership, me=self._rows.me):
                self._rows.recall(held.chain)
                self._rows.counter.forgotten()
        return held.ownership

    def learn(self, session: SessionId, chain: Chain) -> Ownership:
        """Follow a chain that any device sent; resolves a doubt when it holds the outstanding ACCEPTED.

        Allowed in a rolled-back home: it is how such a home catches up. Where the chain says that this device was
        primary in an epoch that it has forgotten, the session is lost here (``session.ownership.is_lost``).
        A statement of this device's that is not known here shows a rolled-back home.

        Raises:
            NotFoundError: No such session.
            TrustError: The chain is bad, or contradicts what is known.
        """
        before = self._rows.held(self._rows.existing(session))
        judged = journal.learn(before, chain, me=self._rows.me)
        with self._rows.database.transaction():
            record = self._rows.existing(session)
            held = self._rows.held(record)
            # Long chains take seconds, in which nobody shall wait for the database: so before, and again if it changed.
            learned = judged if held == before else journal.learn(held, chain, me=self._rows.me)
            if learned.held != held:
                self._rows.move(learned.held, self._common(record, learned))
                self._rows.counter.advance()
            if learned.forgotten:
                self._rows.recall(learned.held.chain)
                self._rows.counter.forgotten()
        return learned.held.ownership

    def held(self, record: SessionRecord) -> Held:
        """A session's record with its verified chain.

        Raises:
            TrustError: The stored chain is damaged.
        """
        return self._rows.held(record)

    def is_warm(self, record: SessionRecord) -> bool:
        """Whether ``held`` answers at once; else it first verifies the stored chain, up to seconds."""
        return self._rows.is_warm(record)

    def held_of(self, session: SessionId) -> Held | None:
        """A session with its chain and what that proves; None for one that is not here."""
        record = self._rows.sessions.get(session)
        return None if record is None else self._rows.held(record)

    def all_held(self) -> tuple[Held, ...]:
        """All sessions with their chains, oldest first."""
        return tuple(self._rows.held(record) for record in self._rows.sessions.all())

    def _common(self, record: SessionRecord, learned: Learned) -> bytes | None:
        """Close the outstanding grant if the chain answered it; returns the last common manifest."""
        frozen = record.ownership.frozen
        if frozen is None or learned.answer is None:
            return record.manifest
        return self._outgoing.settle(frozen.txn, learned.answer)
