# SPDX-License-Identifier: Apache-2.0
"""What the store hands out and takes in. Layer: I/O ring. Specification: docs/specs/store.md §4."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.chain import Chain, Proven
from p2p_handoff.session.manifest import PartType
from p2p_handoff.session.ownership import Ownership
from p2p_handoff.session.signed import SignedStatement


@dataclass(frozen=True, slots=True)
class LinkedDevice:
    """A device that this one trusts."""

    device: DeviceId
    public: bytes
    """Its pinned public identity (``PublicIdentity.to_bytes``)."""
    name: str
    """For people."""
    kind: LinkKind
    linked_at: float
    """Unix seconds."""
    last_seen: float | None = None
    """Unix seconds of the last authenticated contact."""
    highest_counter: int = 0
    """The highest store counter that it ever showed."""
    introduced_by: DeviceId | None = None
    """The own device that introduced it; None where a person linked the two by code."""
    admission: int = 0
    """The admission to the circle by which it was linked; 0 where it was by none (docs/specs/circle.md)."""


class EndedBy(Enum):
    """Who ended a link."""

    PERSON = "person"
    """Somebody at this device."""
    CIRCLE = "circle"
    """Another own device said so."""
    PEER = "peer"
    """The device itself, which trusts this one no longer."""


@dataclass(frozen=True, slots=True)
class FormerLink:
    """A device that was linked once."""

    link: LinkedDevice
    at: float
    """Unix seconds."""
    ended_by: EndedBy


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session on this device."""

    id: SessionId
    title: str
    created_at: float
    """Unix seconds."""
    manifest: bytes | None
    """The encoded manifest of the last common state, or None before the first one."""
    ownership: Ownership
    chain: bytes
    """``chain.encode_chain``."""
    stopped: bool = False
    """The user stopped watching it; it is handed off no more until it is started again."""


@dataclass(frozen=True, slots=True)
class PartBinding:
    """Where a part of a session is."""

    session: SessionId
    part: PartId
    type: PartType
    kind: str
    """The adapter's name."""
    name: str
    path: Path | None = None
    """Absolute path on this device; None where the part is held elsewhere."""
    held_by: DeviceId | None = None
    """The device that holds it when this one does not."""


@dataclass(frozen=True, slots=True)
class PendingCommit:
    """A staged part that belongs to this device already and still has to be put in its visible place."""

    txn: TxnId
    session: SessionId
    part: PartId
    directory: Path
    """The sealed staging directory."""
    state: Path
    """The part's own directory in the home."""
    kind: str
    """The adapter's name."""


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a session's first row on a device holds."""

    title: str
    created_at: float
    """Unix seconds."""
    manifest: bytes | None
    """None for a session of which nothing but its ownership is known here."""
    chain: Chain
    bindings: tuple[PartBinding, ...]


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Everything that becomes true at the commit point of a handoff, at the target."""

    title: str
    created_at: float
    """Unix seconds; kept from the existing row where the session is known already."""
    manifest: bytes
    chain: Chain
    """Ends in the grant and this device's acceptance."""
    nonce: bytes
    """What this device put into READY."""
    bindings: tuple[PartBinding, ...]
    commits: tuple[PendingCommit, ...]
    proven: Proven | None = None
    """What was verified of the chain already."""


@dataclass(frozen=True, slots=True)
class OutgoingGrant:
    """A grant that this device made, kept for sending again."""

    txn: TxnId
    session: SessionId
    target: DeviceId
    signed: SignedStatement
    manifest: bytes | None
    """As granted; None once the target has answered."""
    answer: SignedStatement | None
    """The target's statement."""
    granted_at: float | None = None
    """Unix seconds; None where it is not known."""
