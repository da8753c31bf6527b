# SPDX-License-Identifier: Apache-2.0
"""The target's side of handoffs: one decision per txn, durable before it is said. Layer: I/O ring.

Specification: docs/specs/ownership.md §3-4. ``accept`` is the commit point of a handoff: everything staged is
on the disk before it, and ``pending_commits`` lists what still has to be moved to its visible place after it.
"""

from __future__ import annotations

import os
from pathlib import Path

from p2p_handoff.content import digests
from p2p_handoff.errors import LocalProtocolError, NotFoundError
from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.session import journal
from p2p_handoff.session.journal import Decision, Held
from p2p_handoff.session.ownership import Ownership, Verdict
from p2p_handoff.session.signed import SignedStatement, decode_signed, encode_signed, read
from p2p_handoff.session.statements import Grant, Refused
from p2p_handoff.store.ownership_rows import OwnershipRows
from p2p_handoff.store.records import Acceptance, PendingCommit


class IncomingHandoffs:
    """What this device was granted, and what it decided."""

    def __init__(self, rows: OwnershipRows) -> None:
        self._rows = rows

    def accept(self, acceptance: Acceptance) -> Ownership:
        """The commit point: this device becomes the primary, with everything that belongs to that.

        Raises:
            TrustError: The chain is bad or contradicts what is known, or the home was rolled back.
            RemoteProtocolError: The grant is for another device, stale, or answers another READY.
            LocalProtocolError: The txn is decided already, or the chain does not end in this device's acceptance.
            IntegrityError: The manifest is not the granted one.
        """
        if len(acceptance.chain) < 3:
            raise LocalProtocolError("the chain does not end in an acceptance")
        grant = read(acceptance.chain[-2], Grant)
        digests.verify(grant.root, acceptance.manifest)
        self._rows.warm(grant.session)
        with self._rows.guarded_change():
            record = self._rows.sessions.get(grant.session)
            known = None if record is None else self._rows.held(record)
            held, decision = journal.accept(
                known,
                self.decision(grant.txn),
                acceptance.chain,
                me=self._rows.me,
                nonce=acceptance.nonce,
                proven=acceptance.proven,
            )
            self._decide(decision, grant.session)
            self._take(acceptance, held, known=record is not None)
        return held.ownership

    def refuse(self, signed: SignedStatement, key: bytes) -> None:
        """Decide against a handoff, for good. Repeating it is no error; what to send is in ``decision``.

        Args:
            signed: This device's refusal.
            key: This device's raw Ed25519 public key, 32 bytes.

        Raises:
            LocalProtocolError: The txn was accepted, or the refusal is another device's.
            RemoteProtocolError: The statement is not a refusal.
            TrustError: It does not verify, or the home was rolled back: it may have forgotten an acceptance.
        """
        refused = read(signed, Refused)
        known = self.decision(refused.txn)
        decision = journal.refuse(known, signed, key, me=self._rows.me)
        if decision is known:
            return
        with self._rows.guarded_change():
            self._decide(decision, refused.session)

    def refusals(self, source: DeviceId) -> int:
        """How many handoffs of a source this device refused."""
        row = self._rows.database.row(
            "SELECT count(*) FROM decisions WHERE source = ? AND verdict = ?", (source, Verdict.REFUSED.value)
        )
        assert row is not None
        return int(row[0])

    def decision(self, txn: TxnId) -> Decision | None:
        """What this device decided about a handoff, or None: then it may still decide either way."""
        row = self._rows.database.row("SELECT txn, source, verdict, statement FROM decisions WHERE txn = ?", (txn,))
        if row is None:
            return None
        return Decision(TxnId(row[0]), DeviceId(row[1]), Verdict(row[2]), decode_signed(row[3]))

    def pending_commits(self) -> tuple[PendingCommit, ...]:
        """Accepted parts that are not yet in place, oldest first: roll each forward, then ``commit_done``."""
        rows = self._rows.database.rows(
            "SELECT txn, session, part, directory, state, kind FROM pending_commits ORDER BY rowid"
        )
        return tuple(
            PendingCommit(TxnId(txn), SessionId(session), PartId(part), _path(directory), _path(state), kind)
            for txn, session, part, directory, state, kind in rows
        )

    def commit_done(self, txn: TxnId, part: PartId, path: Path) -> None:
        """A part is in place.

        Args:
            txn: The handoff that brought it.
            part: The part.
            path: Where it now lives.

        Raises:
            NotFoundError: No such commit was pending.
        """
        database = self._rows.database
        with database.transaction():
            row = database.row("SELECT session FROM pending_commits WHERE txn = ? AND part = ?", (txn, part))
            if row is None:
                raise NotFoundError(f"nothing of part {part} is pending")
            database.write("DELETE FROM pending_commits WHERE txn = ? AND part = ?", (txn, part))
            where = (os.fsencode(path), row[0], part)
            database.write("UPDATE parts SET path = ?, held_by = NULL WHERE session = ? AND part = ?", where)

    def _decide(self, decision: Decision, session: SessionId) -> None:
        self._rows.database.write(
            "INSERT INTO decisions (txn, session, source, verdict, statement) VALUES (?, ?, ?, ?, ?)",
            (decision.txn, session, decision.source, decision.verdict.value, encode_signed(decision.statement)),
        )

    def _take(self, acceptance: Acceptance, held: Held, *, known: bool) -> None:
        session = held.ownership.session
        if known:
            self._rows.move(held, acceptance.manifest)
            self._rows.database.write(
                "UPDATE sessions SET title = ?, stopped = 0 WHERE id = ?", (acceptance.title, session)
            )
            self._rows.bind(session, acceptance.bindings)
        else:
            self._rows.insert(acceptance, held)
        for commit in acceptance.commits:
            self._expect_commit(commit)

    def _expect_commit(self, commit: PendingCommit) -> None:
        self._rows.database.write(
            "INSERT INTO pending_commits (txn, session, part, directory, state, kind) VALUES (?, ?, ?, ?, ?, ?)",
            (
                commit.txn,
                commit.session,
                commit.part,
                os.fsencode(commit.directory),
                os.fsencode(commit.state),
                commit.kind,
            ),
        )


def _path(raw: bytes) -> Path:
    return Path(os.fsdecode(raw))
