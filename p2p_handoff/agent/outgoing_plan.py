# SPDX-License-Identifier: Apache-2.0
"""What a source is asked to hand over: the order that an outgoing handoff carries out. Layer: agent.

Specification: docs/specs/handoff-v2.md §6.
"""

from __future__ import annotations

from dataclasses import dataclass

from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.protocol.messages import Mode
from p2p_handoff.session.guard import NOTHING, Letting


@dataclass(frozen=True, slots=True)
class OutgoingPlan:
    """What a source is asked to hand over."""

    txn: TxnId
    session: SessionId
    target: DeviceId
    mode: Mode = Mode.MOVE
    types: frozenset[str] = frozenset()
    """Part types offered; empty means all."""
    without: frozenset[PartId] = frozenset()
    """Parts that the settings do not let the target take."""
    take: bool = False
    """True when the target asked for it."""
    max_pause: float = 0.3
    """Seconds."""
    parent: bytes = b""
    """For a merge: the encoded manifest that the fork left, if its objects can be served."""
    letting: Letting = NOTHING
    """The secrets that may go to a device that is not one's own."""
