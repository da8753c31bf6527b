# SPDX-License-Identifier: Apache-2.0
"""The writes that changes of ownership are made of. Layer: I/O ring. Specification: docs/specs/store.md §4.

What store.ownership, store.outgoing and store.incoming share: one counted transaction, the session's row, its
chain, and what was verified of that chain already. What to write is decided in session.journal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from p2p_handoff.errors import LocalProtocolError, NotFoundError
from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal
from p2p_handoff.session.chain import Chain, ChainState
from p2p_handoff.session.journal import Held
from p2p_handoff.session.ownership import Ownership
from p2p_handoff.session.signed import encode_signed, read
from p2p_handoff.session.statements import Accepted
from p2p_handoff.store.counter import Counter
from p2p_handoff.store.database import Database
from p2p_handoff.store.records import Acceptance, NewSession, PartBinding, SessionRecord
from p2p_handoff.store.sessions import Sessions, write_binding


class OwnershipRows:
    """Rows of sessions, as far as ownership is concerned."""

    def __init__(self, database: Database, sessions: Sessions, counter: Counter, me: DeviceId) -> None:
        self.database = database
        self.sessions = sessions
        self.counter = counter
        self.me = me
        self._proven: dict[SessionId, tuple[bytes, Chain, ChainState]] = {}

    @contextmanager
    def change(self) -> Iterator[None]:
        """One transaction that counts."""
        with self.database.transaction():
            yield
            self.counter.advance()

    @contextmanager
    def guarded_change(self) -> Iterator[None]:
        """One that makes or keeps a primary, or speaks about the past: an old copy of a home must not.

        Raises:
            TrustError: The home was rolled back.
        """
        with self.change():
            self.counter.check()
            yield

    def existing(self, session: SessionId) -> SessionRecord:
        """The session's record.

        Raises:
            NotFoundError: There is none.
        """
        record = self.sessions.get(session)
        if record is None:
            raise NotFoundError(f"no session {session}")
        return record

    def held(self, record: SessionRecord) -> Held:
        """The session with its chain, which is verified once per run of the agent, not at every step."""
        known = self._proven.get(record.id)
        if known is None or known[0] != record.chain:
            chain = chains.decode_chain(record.chain)
            known = record.chain, chain, chains.verify_chain(chain)
            self._proven[record.id] = known
        return Held(record.ownership, known[1], known[2])

    def is_warm(self, record: SessionRecord) -> bool:
        """Whether ``held`` answers at once."""
        known = self._proven.get(record.id)
        return known is not None and known[0] == record.chain

    def warm(self, session: SessionId) -> None:
        """Verify a stored chain before a transaction: for as long as one is open, everybody else waits."""
        record = self.sessions.get(session)
        if record is not None:
            self.held(record)

    def insert(self, new: NewSession | Acceptance, held: Held) -> None:
        """The first row of a session on this device."""
        own, encoded = held.ownership, chains.encode_chain(held.chain)
        self.database.write(
            "INSERT INTO sessions (id, title, created_at, manifest, chain, role, epoch, owner)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                own.session,
                new.title,
                new.created_at,
                new.manifest,
                encoded,
                own.role.value,
                own.epoch,
                own.primary,
            ),
        )
        self.bind(own.session, new.bindings)
        self._remember(encoded, held)

    def set(self, own: Ownership) -> None:
        """The session's ownership record."""
        txn = None if own.frozen is None else own.frozen.txn
        self.database.write(
            "UPDATE sessions SET role = ?, epoch = ?, owner = ?, frozen_txn = ?, forked = ? WHERE id = ?",
            (own.role.value, own.epoch, own.primary, txn, int(own.forked), own.session),
        )

    def move(self, held: Held, manifest: bytes | None) -> None:
        """The record of a session that has changed hands, with its longer chain and its last common manifest."""
        encoded = chains.encode_chain(held.chain)
        session = held.ownership.session
        self.set(held.ownership)
        self.database.write("UPDATE sessions SET chain = ?, manifest = ? WHERE id = ?", (encoded, manifest, session))
        self._remember(encoded, held)

    def _remember(self, encoded: bytes, held: Held) -> None:
        """Used only if the row says the same: a transaction that fails later leaves a stale entry unused."""
        self._proven[held.ownership.session] = encoded, held.chain, held.state

    def recall(self, chain: Chain) -> None:
        """Decisions of this device that a verified chain shows and the home has forgotten: inside a transaction."""
        for decision in journal.acceptances(chain, me=self.me):
            self.database.write(
                "INSERT INTO decisions (txn, session, source, verdict, statement) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (
                    decision.txn,
                    read(decision.statement, Accepted).session,
                    decision.source,
                    decision.verdict.value,
                    encode_signed(decision.statement),
                ),
            )

    def bind(self, session: SessionId, bindings: Iterable[PartBinding]) -> None:
        """Where parts of the session are.

        Raises:
            LocalProtocolError: One is of another session.
        """
        for binding in bindings:
            if binding.session != session:
                raise LocalProtocolError("a part of another session came along")
            write_binding(self.database, binding)
