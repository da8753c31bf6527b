# SPDX-License-Identifier: Apache-2.0
"""The four statements about ownership, and who may say each. Layer: session. Specification: docs/specs/ownership.md §5.

session.statement_codec turns them into bytes, session.signed signs those, session.chain strings them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from p2p_handoff.content.digests import Digest
from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId

VERSION: Final = 1
"""Format version of every statement."""
FIRST_EPOCH: Final = 1
"""The epoch in which a session starts."""
MAX_EPOCH: Final = 2**53
"""Largest epoch on the wire: every language's integers hold it."""
NONCE_BYTES: Final = 16
"""Length of the nonce in READY and GRANT."""
KEY_BYTES: Final = 32
"""Length of a raw Ed25519 public key (RFC 8032 §5.1.5)."""
SIGNATURE_BYTES: Final = 64
"""Length of an Ed25519 signature (RFC 8032 §5.1.6)."""
MAX_STATEMENT: Final = 4096
"""Bytes of one statement: a grant of MAX_PARTS parts has under 1,000."""


class StatementKind(IntEnum):
    """The first element of a statement."""

    GENESIS = 0
    GRANT = 1
    ACCEPTED = 2
    REFUSED = 3


class RefusalReason(IntEnum):
    """Why a target refused for good."""

    CANCELLED = 0
    """Somebody cancelled."""
    UNKNOWN = 1
    """Asked about a handoff that it does not (any longer) know: it restarted, or nothing had arrived."""
    STALE = 2
    """The grant's epoch or chain is behind what the target knows."""
    CONTENT = 3
    """The content did not verify or could not be stored."""


@dataclass(frozen=True, slots=True)
class Parent:
    """Where a fork left its original."""

    session: SessionId
    epoch: int
    root: Digest


@dataclass(frozen=True, slots=True)
class Genesis:
    """A session starts on its first primary, which signs this."""

    session: SessionId
    primary: DeviceId
    key: bytes
    """The primary's raw Ed25519 public key, 32 bytes."""
    root: Digest
    """Digest of the first manifest."""
    parent: Parent | None = None

    @property
    def signer(self) -> DeviceId:
        """The device whose signature counts."""
        return self.primary


@dataclass(frozen=True, slots=True)
class Grant:
    """The source gives an epoch away; the source signs."""

    session: SessionId
    txn: TxnId
    source: DeviceId
    target: DeviceId
    target_key: bytes
    """The target's raw Ed25519 public key, 32 bytes."""
    epoch: int
    """The source's epoch; the target takes the next one."""
    root: Digest
    """Digest of the manifest as granted."""
    parts: tuple[PartId, ...]
    """The parts that the target takes."""
    nonce: bytes
    """From the target's READY, 16 bytes."""
    previous: Digest
    """``link_digest`` of the statement before: the genesis or the last ACCEPTED."""

    @property
    def signer(self) -> DeviceId:
        """The device whose signature counts."""
        return self.source


@dataclass(frozen=True, slots=True)
class Accepted:
    """The target has taken the session; the target signs."""

    session: SessionId
    txn: TxnId
    target: DeviceId
    epoch: int
    """The target's new epoch: the grant's plus one."""
    grant: Digest
    """``link_digest`` of the signed grant."""

    @property
    def signer(self) -> DeviceId:
        """The device whose signature counts."""
        return self.target


@dataclass(frozen=True, slots=True)
class Refused:
    """The target has not taken the session and never will under this txn; the target signs."""

    session: SessionId
    txn: TxnId
    source: DeviceId
    """Whom it answers."""
    target: DeviceId
    reason: RefusalReason

    @property
    def signer(self) -> DeviceId:
        """The device whose signature counts."""
        return self.target


Statement = Genesis | Grant | Accepted | Refused
