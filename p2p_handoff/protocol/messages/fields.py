# SPDX-License-Identifier: Apache-2.0
"""What the fields of messages are made of: bounded types, and the words that are enumerations. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §3. The codec enforces the bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from p2p_handoff.content.digests import DIGEST_BYTES
from p2p_handoff.ids import PartId
from p2p_handoff.limits import MAX_PARTS, MAX_SKETCH, MAX_SKETCHES, MAX_TITLE
from p2p_handoff.security.circle_statements import MAX_CIRCLE_STATEMENT
from p2p_handoff.session.statements import MAX_STATEMENT, NONCE_BYTES, SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class Within:
    """Bounds of a field: characters of a text, bytes, elements of a list, or the value of a number."""

    least: int
    most: int


Title = Annotated[str, Within(0, MAX_TITLE)]
Word = Annotated[str, Within(1, 64)]
"""A name that programs compare."""
Sentence = Annotated[str, Within(0, 500)]
"""Words for a person."""
Nonce = Annotated[bytes, Within(NONCE_BYTES, NONCE_BYTES)]
ObjectDigest = Annotated[bytes, Within(DIGEST_BYTES, DIGEST_BYTES)]
ObjectDigests = Annotated[tuple[ObjectDigest, ...], Within(1, 8192)]
Sketches = Annotated[tuple[Annotated[bytes, Within(0, MAX_SKETCH)], ...], Within(0, MAX_SKETCHES)]
"""What the receiver has that resembles an object (docs/specs/content.md §6)."""
Parts = Annotated[tuple[PartId, ...], Within(1, MAX_PARTS)]
Statement = Annotated[bytes, Within(1, MAX_STATEMENT + SIGNATURE_BYTES + 16)]
"""A signed statement (docs/specs/ownership.md §5): its body, its signature, and CBOR around them."""
CircleStatement = Annotated[bytes, Within(1, MAX_CIRCLE_STATEMENT)]
"""A signed statement about an own device (docs/specs/circle.md §2)."""
RoundNumber = Annotated[int, Within(1, 1 << 31)]
Seconds = Annotated[int, Within(0, 24 * 3600)]


class Mode(Enum):
    """What a handoff does with ownership."""

    MOVE = "move"
    """The target becomes the primary."""
    COPY = "copy"
    """The target gets a copy; no ownership moves (``handoff send``)."""
    MERGE = "merge"
    """The target, primary of the original, takes in a fork; no ownership moves."""


class RejectReason(Enum):
    """Why a target, or a source asked by a take, says no."""

    DECLINED = "declined"
    """A person said no."""
    EXPIRED = "expired"
    """Nobody answered in time."""
    DISABLED = "disabled"
    """Handoff is switched off in the settings."""
    UNTRUSTED = "untrusted"
    """The device is not linked."""
    POLICY = "policy"
    """The settings there refuse it."""
    BUSY = "busy"
    """Another handoff of this session is under way."""
    NOT_PRIMARY = "not-primary"
    """The device asked does not own the session."""
    UNKNOWN_SESSION = "unknown-session"
    STALE = "stale"
    """This device knows a later epoch of the session."""
    NO_SPACE = "no-space"
    UNSUPPORTED = "unsupported"
    """No adapter for a part, or a name that this device cannot represent."""
    NOTHING_CHOSEN = "nothing-chosen"
    """No part of the chosen types."""
    FAILED = "failed"
    """An error on the other side; the text says which."""
    CANCELLED = "cancelled"
