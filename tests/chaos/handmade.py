# SPDX-License-Identifier: Apache-2.0
"""Homes made by hand, statement by statement and row by row, so that the checker can be shown good and bad ones."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cbor2
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.chaos.statements import device_of

SCHEMA: Final = Path(__file__).resolve().parents[2] / "p2p_handoff" / "store" / "schema"
SESSION: Final = "s" * 26
FIRST: Final = "f" * 26
SECOND: Final = "g" * 26
FORK: Final = "k" * 26
MANIFEST: Final = cbor2.dumps(["manifest/1", SESSION, "work", []], canonical=True)
ROOT: Final = blake3(MANIFEST).digest()
NONCE: Final = bytes(16)


@dataclass(frozen=True, slots=True)
class Signer:
    """A device that signs."""

    secret: Ed25519PrivateKey

    @classmethod
    def numbered(cls, number: int) -> Signer:
        """The same one for the same number."""
        return cls(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))

    @property
    def key(self) -> bytes:
        """Its public key."""
        return self.secret.public_key().public_bytes_raw()

    @property
    def device(self) -> str:
        """Its id."""
        return device_of(self.key)

    def sign(self, *values: Any) -> bytes:
        """A signed statement: its kind, and what follows the version."""
        body = cbor2.dumps([values[0], 1, *values[1:]], canonical=True)
        signature = self.secret.sign(b"p2p-handoff ownership v1\0" + body)
        return cbor2.dumps([body, signature], canonical=True)


LAPTOP: Final = Signer.numbered(1)
DESKTOP: Final = Signer.numbered(2)
STRANGER: Final = Signer.numbered(3)


def link(statement: bytes) -> bytes:
    """The link digest of a signed statement."""
    return blake3(statement).digest()


def genesis(signer: Signer = LAPTOP, session: str = SESSION, parent: list[Any] | None = None) -> bytes:
    """A session starts."""
    return signer.sign(0, session, signer.device, signer.key, ROOT, parent)


def granted(source: Signer, target: Signer, txn: str, epoch: int, previous: bytes) -> bytes:
    """An epoch is given away."""
    parts = (SESSION, txn, source.device, target.device, target.key, epoch, ROOT, ["p1", "p2"], NONCE, link(previous))
    return source.sign(1, *parts)


def accepted(target: Signer, txn: str, epoch: int, grant: bytes) -> bytes:
    """The target is primary."""
    return target.sign(2, SESSION, txn, target.device, epoch, link(grant))


def refused(target: Signer, source: Signer, txn: str) -> bytes:
    """The target never will be."""
    return target.sign(3, SESSION, txn, source.device, target.device, 1)


def chain(*statements: bytes) -> bytes:
    """A chain of signed statements."""
    return cbor2.dumps([cbor2.loads(statement) for statement in statements], canonical=True)


GENESIS: Final = genesis()
GRANT: Final = granted(LAPTOP, DESKTOP, FIRST, 1, GENESIS)
ACCEPTED: Final = accepted(DESKTOP, FIRST, 2, GRANT)
BOTH: Final = chain(GENESIS, GRANT, ACCEPTED)
"""The chain after one handoff from the laptop to the desktop."""
BACK: Final = granted(DESKTOP, LAPTOP, SECOND, 2, ACCEPTED)
"""The desktop grants it back."""


@dataclass
class HandmadeHome:
    """A home with a database of the product's schema and rows of our own."""

    place: Path
    signer: Signer
    files: Path = field(init=False)

    def __post_init__(self) -> None:
        self.home = self.place / "home"
        self.files = self.place / "files"
        self.home.mkdir(parents=True)
        (self.files / "work").mkdir(parents=True)
        with self.database() as database:
            for script in sorted(SCHEMA.glob("*.sql")):
                database.executescript(script.read_text())
            database.execute("INSERT INTO home (only_row, device, counter) VALUES (1, ?, 10)", (self.signer.device,))

    @contextlib.contextmanager
    def database(self) -> Any:
        """Its database, for one transaction."""
        connection = sqlite3.connect(self.home / "store.sqlite3")
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def write(self, sql: str, *parameters: object) -> None:
        """Change something, whatever the schema's guards say."""
        with self.database() as database:
            for (trigger,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                database.execute(f"DROP TRIGGER {trigger}")
            database.execute(sql, parameters)

    def has_session(self, role: str, epoch: int, owner: Signer, chain_: bytes, txn: str | None = None) -> None:
        """A row of sessions and its two parts."""
        values = (SESSION, "work", 0.0, MANIFEST, chain_, role, epoch, owner.device, txn)
        columns = "id, title, created_at, manifest, chain, role, epoch, owner, frozen_txn"
        self.write(f"INSERT INTO sessions ({columns}) VALUES ({', '.join('?' * 9)})", *values)
        for part, type_, kind, name in (("p1", "files", "folder", "work"), ("p2", "messages", "conversation", "talk")):
            path = os.fsencode(self.files / ("work" if part == "p1" else "talk.jsonl"))
            columns = "session, part, type, kind, name, path"
            row = (SESSION, part, type_, kind, name, path)
            self.write(f"INSERT INTO parts ({columns}) VALUES (?, ?, ?, ?, ?, ?)", *row)

    def has_fork(self, chain_: bytes, state: str = "open") -> None:
        """The session is forked on this device: a row of forks, and the paths that go over to the fork."""
        values = (FORK, "work (fork)", 0.0, MANIFEST, chain_, "primary", 1, self.signer.device)
        columns = "id, title, created_at, manifest, chain, role, epoch, owner"
        self.write(f"INSERT INTO sessions ({columns}) VALUES ({', '.join('?' * 8)})", *values)
        row = "?, part, type, kind, name, path"
        self.write(f"INSERT INTO parts (session, part, type, kind, name, path) SELECT {row} FROM parts", FORK)
        self.write("UPDATE parts SET path = NULL WHERE session = ?", SESSION if state == "open" else FORK)
        ended = None if state == "open" else 1.0
        columns = "fork, original, manifest, made_at, state, ended_at"
        self.write(f"INSERT INTO forks ({columns}) VALUES (?, ?, ?, 0, ?, ?)", FORK, SESSION, MANIFEST, state, ended)
        self.write("UPDATE sessions SET forked = 1 WHERE id = ? AND role = 'frozen'", SESSION)

    def has_generation(self, number: int, *parts: str) -> None:
        """A row of generations, and its shelves."""
        rows = [[part, "files", "folder", part, bytes(32), 0, 0, 0, None] for part in parts]
        manifest = cbor2.dumps(["manifest/1", SESSION, "work", rows], canonical=True)
        columns = "session, number, kept_at, cause, change, epoch, manifest"
        row = (SESSION, number, 0.0, "handoff", f"c{number}", 1, manifest)
        self.write(f"INSERT INTO generations ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", *row)
        for part in parts:
            trees = self.home / "generations" / SESSION / part / "trees"
            trees.mkdir(parents=True)
            (trees / "tree").write_bytes(b"pack")

    def has_granted(self, txn: str, epoch: int, target: Signer, signed: bytes, answer: bytes | None) -> None:
        """A row of grants."""
        manifest = None if answer else MANIFEST
        row = (txn, SESSION, target.device, ROOT, epoch, signed, manifest, answer)
        columns = "txn, session, target, root, epoch, signed, manifest, answer"
        self.write(f"INSERT INTO grants ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *row)

    def has_decided(self, txn: str, source: Signer, verdict: str, statement: bytes) -> None:
        """A row of decisions."""
        columns = "txn, session, source, verdict, statement"
        row = (txn, SESSION, source.device, verdict, statement)
        self.write(f"INSERT INTO decisions ({columns}) VALUES (?, ?, ?, ?, ?)", *row)

    def has_pending(self, txn: str, directory: Path) -> None:
        """A row of pending_commits."""
        row = (txn, SESSION, "p1", os.fsencode(directory), b"/", "folder")
        columns = "txn, session, part, directory, state, kind"
        self.write(f"INSERT INTO pending_commits ({columns}) VALUES (?, ?, ?, ?, ?, ?)", *row)
