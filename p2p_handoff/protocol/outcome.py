# SPDX-License-Identifier: Apache-2.0
"""How a handoff ended. Layer: protocol, pure. Specification: docs/specs/handoff-v2.md §5."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from p2p_handoff.protocol.messages import RejectReason


class Result(Enum):
    """The word that a result reports."""

    DONE = "done"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    FAILED = "failed"
    IN_DOUBT = "in-doubt"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a handoff as one side saw it."""

    result: Result
    reason: RejectReason | None = None
    """Why it did not succeed."""
    text: str = ""
    """The same for people; from the peer where it said no."""
