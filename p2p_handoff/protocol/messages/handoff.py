# SPDX-License-Identifier: Apache-2.0
"""Messages of one handoff, in the order in which they are sent; all carry its txn. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §3. Which one has its place when: ``source_rules``, ``target_rules``.
"""

from __future__ import annotations

from dataclasses import dataclass

from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.protocol.messages.fields import (
    Mode,
    Nonce,
    ObjectDigest,
    ObjectDigests,
    Parts,
    RejectReason,
    RoundNumber,
    Seconds,
    Sentence,
    Sketches,
    Statement,
)


@dataclass(frozen=True, slots=True)
class Init:
    """Opens a handoff: who hands what to whom."""

    txn: TxnId
    session: SessionId
    source: DeviceId
    target: DeviceId
    mode: Mode
    epoch: int
    """The source's epoch; the target's will be one higher."""
    chain: bytes
    """The session's ownership chain, encoded; for a merge the fork's; empty for a copy."""
    take: bool
    """True when this answers the target's own Take: no consent is asked."""
    parent: bytes = b""
    """For a merge: the manifest that the fork left, if the source can still show what it names; else empty."""


@dataclass(frozen=True, slots=True)
class Request:
    """The offer, to be reviewed: parts with sizes are in the manifest."""

    txn: TxnId
    manifest: bytes
    parts: Parts
    """The parts offered; the others stay where they are."""
    expires_in: Seconds
    """Seconds until the source gives up waiting."""


@dataclass(frozen=True, slots=True)
class Accept:
    """The target takes these parts."""

    txn: TxnId
    parts: Parts


@dataclass(frozen=True, slots=True)
class Reject:
    """The target, or a source asked by a take, says no. Ends the handoff; only before a grant."""

    txn: TxnId
    reason: RejectReason
    text: Sentence


@dataclass(frozen=True, slots=True)
class Round:
    """A picture of the session to copy while the source keeps working."""

    txn: TxnId
    number: RoundNumber
    """1, 2, …"""
    manifest: bytes


@dataclass(frozen=True, slots=True)
class Want:
    """Objects the target lacks; the source sends each on the bulk channel."""

    txn: TxnId
    part: PartId
    digests: ObjectDigests
    remaining: int
    """Uncompressed bytes the target still lacks as far as it knows, these included: for the source's progress."""
    sketches: Sketches = ()
    """Of what the target has that resembles the first of these objects, in their order; an empty one: of nothing."""


@dataclass(frozen=True, slots=True)
class Gone:
    """Objects that vanished or changed at the source: the next round no longer needs them."""

    txn: TxnId
    part: PartId
    digests: ObjectDigests


@dataclass(frozen=True, slots=True)
class Tally:
    """What its sender has counted of the handoff so far, for the people at both devices."""

    txn: TxnId
    disk: int
    """Milliseconds in which it waited for its own disk."""
    cpu: int
    """Milliseconds in which it computed, and nothing else went on."""
    network: int
    """Milliseconds in which the network took no more."""
    reused_chunks: int
    """Target: pieces of what changed that it had already; 0 from a source."""
    reused_bytes: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The target holds everything of a round and can take a grant."""

    txn: TxnId
    number: RoundNumber
    complete: bool
    """False when objects were gone: another round is needed."""
    nonce: Nonce
    """Lives in the target's memory only: a grant must quote it."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The source is frozen and grants ownership; ``manifest`` is the final picture."""

    txn: TxnId
    session: SessionId
    statement: Statement
    manifest: bytes
    counter: int
    """The sender's store counter, as in Hello: the source has frozen since it said that."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The target is the primary: durable at the target before this is sent."""

    txn: TxnId
    statement: Statement
    counter: int
    """The sender's store counter, its acceptance counted."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The target will never accept this txn: durable at the target before this is sent."""

    txn: TxnId
    statement: Statement
    counter: int
    """The sender's store counter, its refusal counted."""


@dataclass(frozen=True, slots=True)
class Query:
    """A frozen source asks for the target's decision; only the txn's source may."""

    txn: TxnId
    session: SessionId
    statement: Statement
    """The source's grant: nobody else gets an answer, and nothing is decided for anybody else."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Either side gives up, before a grant."""

    txn: TxnId
    reason: RejectReason
    text: Sentence


@dataclass(frozen=True, slots=True)
class Finish:
    """Copy mode: the last picture; put in place what was copied."""

    txn: TxnId
    manifest: bytes


@dataclass(frozen=True, slots=True)
class Resumed:
    """The session is in place and usable on the target."""

    txn: TxnId
    root: ObjectDigest
    """Root of the manifest that was put in place."""
    received_bytes: int
    """Bulk bytes that arrived for this txn."""
    detail: Sentence
    """What ran on resume, or why nothing did."""
    placed_in: int
    """Milliseconds from ACCEPTED until everything was in place; 0 when it is not known any more."""
