# SPDX-License-Identifier: Apache-2.0
"""The source's side of handoffs: freeze, then wait for the target's word. Layer: I/O ring.

Specification: docs/specs/ownership.md §3-4. Each method that changes something is one durable transaction. The
grant and its manifest stay until the target has answered, so that a restarted source can send them again.
"""

from __future__ import annotations

from p2p_handoff.content import digests
from p2p_handoff.errors import LocalProtocolError
from p2p_handoff.ids import DeviceId, SessionId, TxnId
from p2p_handoff.session import journal
from p2p_handoff.session.journal import Held
from p2p_handoff.session.ownership import Ownership
from p2p_handoff.session.signed import SignedStatement, decode_signed, encode_signed, read
from p2p_handoff.session.statements import Grant
from p2p_handoff.store.ownership_rows import OwnershipRows
from p2p_handoff.store.records import OutgoingGrant


class OutgoingHandoffs:
    """What this device granted."""

    def __init__(self, rows: OwnershipRows) -> None:
        self._rows = rows

    def freeze(self, signed: SignedStatement, manifest: bytes, *, at: float | None = None) -> Ownership:
        """Stop acting on a session, for one handoff. Send the grant only after this returned.

        Args:
            signed: This device's grant.
            manifest: The encoded manifest whose digest the grant names.
            at: Unix seconds, for people only.

        Raises:
            NotFoundError: No such session.
            RemoteProtocolError: The statement is not a grant.
            TrustError: The grant does not continue the session's chain, or the home was rolled back.
            LocalProtocolError: This device is not the primary, or the txn was used before.
            IntegrityError: The manifest is not the granted one.
        """
        grant = read(signed, Grant)
        digests.verify(grant.root, manifest)
        self._rows.warm(grant.session)
        with self._rows.guarded_change():
            held = journal.freeze(self._rows.held(self._rows.existing(grant.session)), signed)
            self._rows.database.write(
                "INSERT INTO grants (txn, session, target, root, epoch, signed, manifest, granted_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (grant.txn, grant.session, grant.target, grant.root, grant.epoch, encode_signed(signed), manifest, at),
            )
            self._rows.set(held.ownership)
        return held.ownership

    def grant(self, txn: TxnId) -> OutgoingGrant | None:
        """A grant that this device made, to send it again or to see its answer; None when it made none."""
        row = self._rows.database.row(
            "SELECT txn, session, target, signed, manifest, answer, granted_at FROM grants WHERE txn = ?", (txn,)
        )
        if row is None:
            return None
        return OutgoingGrant(
            txn=TxnId(row[0]),
            session=SessionId(row[1]),
            target=DeviceId(row[2]),
            signed=decode_signed(row[3]),
            manifest=row[4],
            answer=None if row[5] is None else decode_signed(row[5]),
            granted_at=row[6],
        )

    def release(self, session: SessionId, signed: SignedStatement) -> Ownership:
        """The target's ACCEPTED arrived: become secondary; the granted manifest is the last common state.

        Raises:
            NotFoundError: No such session.
            LocalProtocolError: It is not frozen.
            RemoteProtocolError: The statement is not an ACCEPTED, or is about another handoff.
            TrustError: It does not verify against the grant.
        """
        self._rows.warm(session)
        with self._rows.change():
            frozen, outgoing = self._outstanding(session)
            held = journal.release(frozen, outgoing.signed, signed)
            self._rows.move(held, self.settle(outgoing.txn, signed))
        return held.ownership

    def thaw(self, session: SessionId, signed: SignedStatement) -> Ownership:
        """The target's REFUSED arrived: this device is the primary again.

        Raises:
            NotFoundError: No such session.
            LocalProtocolError: It is not frozen.
            RemoteProtocolError: The statement is not a REFUSED, or is about another handoff.
            TrustError: It does not verify, or the home was rolled back: a later grant may be out.
        """
        self._rows.warm(session)
        with self._rows.guarded_change():
            frozen, outgoing = self._outstanding(session)
            held = journal.thaw(frozen, outgoing.signed, signed)
            self.settle(outgoing.txn, signed)
            self._rows.set(held.ownership)
        return held.ownership

    def settle(self, txn: TxnId, answer: SignedStatement) -> bytes | None:
        """Store a verified answer, inside the transaction that acts on it; returns the granted manifest."""
        outgoing = self.grant(txn)
        self._rows.database.write(
            "UPDATE grants SET answer = ?, manifest = NULL WHERE txn = ?", (encode_signed(answer), txn)
        )
        return None if outgoing is None else outgoing.manifest

    def _outstanding(self, session: SessionId) -> tuple[Held, OutgoingGrant]:
        record = self._rows.existing(session)
        frozen = record.ownership.frozen
        outgoing = None if frozen is None else self.grant(frozen.txn)
        if outgoing is None:
            raise LocalProtocolError("no grant is outstanding")
        return self._rows.held(record), outgoing
