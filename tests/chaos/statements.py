# SPDX-License-Identifier: Apache-2.0
"""Signed statements and chains, read a second time: from docs/specs/ownership.md §5-6, with none of the product's code.

A mistake that the product makes in writing and repeats in reading shows here.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any, Final

import cbor2
from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_CONTEXT: Final = b"p2p-handoff ownership v1\0"
_DEVICE_CONTEXT: Final = b"p2p-handoff device v1"
_VERSION: Final = 1
_FIELDS: Final[dict[int, tuple[str, ...]]] = {
    0: ("session", "primary", "key", "root", "parent"),
    1: (
        "session",
        "txn",
        "source",
        "target",
        "target_key",
        "epoch",
        "root",
        "parts",
        "nonce",
        "previous",
    ),
    2: ("session", "txn", "target", "epoch", "grant"),
    3: ("session", "txn", "source", "target", "reason"),
}
_KINDS: Final = ("genesis", "grant", "accepted", "refused")


class BadStatementError(Exception):
    """A statement or a chain that is not what the specification says."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One decoded statement, with what it was decoded from."""

    kind: str
    fields: dict[str, Any]
    body: bytes
    signature: bytes
    link: bytes
    """Digest of its encoding: what the next statement names."""

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def check_signed_by(self, key: bytes) -> None:
        """Check the signature.

        Raises:
            BadStatementError: It is not this key's.
        """
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(self.signature, _CONTEXT + self.body)
        except (InvalidSignature, ValueError):
            raise BadStatementError(f"the {self.kind} is not signed by {device_of(key)}") from None


@dataclass(frozen=True, slots=True)
class Tenure:
    """One epoch of a chain."""

    epoch: int
    primary: str
    txn: str
    """What brought it; empty for the first."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A verified chain."""

    session: str
    links: tuple[bytes, ...]
    tenures: tuple[Tenure, ...]
    key: bytes
    """Of the last primary."""
    parent: tuple[str, int, bytes] | None = None
    """Of a fork: session, epoch and root of its original."""


def device_of(key: bytes) -> str:
    """The device id of a key (docs/specs/identifiers.md)."""
    return base64.b32encode(hashlib.sha256(_DEVICE_CONTEXT + key).digest()[:20]).decode().lower()


def decode(data: bytes) -> Statement:
    """One signed statement from its bytes.

    Raises:
        BadStatementError: It is malformed.
    """
    return _statement(_strict(data))


def decode_chain(data: bytes) -> Chain:
    """A chain from its bytes, verified from its first statement on.

    Raises:
        BadStatementError: Names the first bad link.
    """
    items = _strict(data)
    if not isinstance(items, list) or len(items) % 2 == 0:
        raise BadStatementError("a chain is a genesis and then pairs")
    statements = tuple(_statement(item) for item in items)
    genesis = _expect(statements[0], "genesis")
    key, links = genesis["key"], tuple(statement.link for statement in statements)
    genesis.check_signed_by(key)
    _check(device_of(key) == genesis["primary"], "the genesis names another device than its key's")
    tenures = [Tenure(1, genesis["primary"], "")]
    for index in range(1, len(statements), 2):
        grant, accepted = _expect(statements[index], "grant"), _expect(statements[index + 1], "accepted")
        check_grant(grant, genesis["session"], tenures[-1], key, links[index - 1])
        _check(grant["txn"] not in {tenure.txn for tenure in tenures}, "a txn is used twice")
        key = grant["target_key"]
        check_acceptance(accepted, grant)
        tenures.append(Tenure(accepted["epoch"], accepted["target"], accepted["txn"]))
    return Chain(genesis["session"], links, tuple(tenures), key, _parent(genesis["parent"]))


def part_ids(manifest: bytes) -> tuple[str, ...]:
    """The parts that a manifest names (docs/specs/content.md §5).

    Raises:
        BadStatementError: It is malformed.
    """
    value = _strict(manifest)
    _check(isinstance(value, list) and len(value) == 4 and value[0] == "manifest/1", "not a manifest")
    _check(all(isinstance(row, list) and len(row) == 9 for row in value[3]), "a part of a manifest has nine elements")
    return tuple(row[0] for row in value[3])


def _parent(value: Any) -> tuple[str, int, bytes] | None:
    if value is None:
        return None
    _check(isinstance(value, list) and len(value) == 3, "a parent is [session, epoch, root]")
    session, epoch, root = value
    return session, epoch, root


def check_grant(grant: Statement, session: str, now: Tenure, key: bytes, previous: bytes) -> None:
    """Check that a grant continues a chain.

    Raises:
        BadStatementError: It does not.
    """
    grant.check_signed_by(key)
    _check(grant["session"] == session, "the grant is about another session")
    _check(grant["source"] == now.primary, "the grant is not the primary's")
    _check(grant["target"] != now.primary, "the grant goes to the primary itself")
    _check(grant["epoch"] == now.epoch, f"the grant is of epoch {grant['epoch']}, not {now.epoch}")
    _check(grant["previous"] == previous, "the grant does not continue the chain")
    _check(device_of(grant["target_key"]) == grant["target"], "the target's key is another's")


def check_acceptance(accepted: Statement, grant: Statement) -> None:
    """Check that an acceptance answers a grant.

    Raises:
        BadStatementError: It does not.
    """
    accepted.check_signed_by(grant["target_key"])
    _check(accepted["grant"] == grant.link, "the acceptance names another grant")
    _check(accepted["epoch"] == grant["epoch"] + 1, "the acceptance does not begin the next epoch")
    for name in ("session", "txn", "target"):
        _check(accepted[name] == grant[name], f"the acceptance names another {name}")


def _statement(item: Any) -> Statement:
    _check(isinstance(item, list) and len(item) == 2, "a statement is [body, signature]")
    body, signature = item
    _check(isinstance(body, bytes) and isinstance(signature, bytes) and len(signature) == 64, "[body, signature]")
    values = _strict(body)
    _check(isinstance(values, list) and len(values) >= 2 and values[0] in _FIELDS, "an unknown kind of statement")
    _check(values[1] == _VERSION, "another version")
    names = _FIELDS[values[0]]
    _check(len(values) == len(names) + 2, f"a {_KINDS[values[0]]} has {len(names) + 2} elements, not {len(values)}")
    fields = dict(zip(names, values[2:], strict=True))
    return Statement(_KINDS[values[0]], fields, body, signature, blake3(cbor2.dumps(item, canonical=True)).digest())


def _strict(data: bytes) -> Any:
    """Decode what has exactly one encoding."""
    try:
        value = cbor2.loads(data)
    except (cbor2.CBORDecodeError, ValueError, EOFError) as error:
        raise BadStatementError(f"not CBOR: {error}") from None
    _check(cbor2.dumps(value, canonical=True) == data, "not the one deterministic encoding")
    return value


def _expect(statement: Statement, kind: str) -> Statement:
    _check(statement.kind == kind, f"a {statement.kind} where a {kind} must be")
    return statement


def _check(true: bool, otherwise: str) -> None:
    if not true:
        raise BadStatementError(otherwise)
