# SPDX-License-Identifier: Apache-2.0
"""The signed statements about own devices. Layer: I/O ring.

Specification: docs/specs/store.md §5, docs/specs/circle.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from p2p_handoff.security.circle_statements import Admission, CircleStatement, Revocation, SignedCircleStatement
from p2p_handoff.store.database import Database

_KINDS: Final[dict[type[CircleStatement], str]] = {Admission: "admission", Revocation: "revocation"}


class CircleStatements:
    """What this device and those that it hears have said."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[SignedCircleStatement, ...]:
        """All of them, in the order in which they were stored first."""
        rows = self._database.rows("SELECT statement FROM circle ORDER BY rowid")
        return tuple(SignedCircleStatement.from_bytes(data) for (data,) in rows)

    def replace(self, statements: Iterable[SignedCircleStatement]) -> None:
        """Store exactly these: those that are there already stay where they are."""
        wanted = {_place(signed): signed.to_bytes() for signed in statements}
        with self._database.transaction():
            for place in self._places() - wanted.keys():
                self._database.write("DELETE FROM circle WHERE signer = ? AND kind = ? AND subject = ?", place)
            for place, data in wanted.items():
                self._database.write(
                    "INSERT INTO circle (signer, kind, subject, statement) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT (signer, kind, subject) DO UPDATE SET statement = excluded.statement"
                    " WHERE statement != excluded.statement",
                    (*place, data),
                )

    def _places(self) -> set[tuple[str, str, str]]:
        rows = self._database.rows("SELECT signer, kind, subject FROM circle")
        return {(signer, kind, subject) for signer, kind, subject in rows}


def _place(signed: SignedCircleStatement) -> tuple[str, str, str]:
    statement = signed.read()
    return statement.signer, _KINDS[type(statement)], statement.subject
