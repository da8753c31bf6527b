# SPDX-License-Identifier: Apache-2.0
"""The handoffs of one agent that are under way, by id. Layer: agent. Specification: docs/specs/handoff-v2.md §5."""

from __future__ import annotations

from collections.abc import Sequence

from p2p_handoff.agent.incoming import Incoming
from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.ids import DeviceId, SessionId, TxnId
from p2p_handoff.protocol.messages import Mode


class UnderWay:
    """Whoever begins a handoff puts it in, and takes it out when nothing more comes of it."""

    def __init__(self) -> None:
        self.outgoing: dict[TxnId, Outgoing] = {}
        self.incoming: dict[TxnId, Incoming] = {}
        """Also those that are over, for a while: a source that lost the last words asks again."""

    def active(self) -> Sequence[Outgoing | Incoming]:
        """All that are not over."""
        return [*self.outgoing.values(), *(item for item in self.incoming.values() if not item.is_over)]

    def is_busy(self, session: SessionId) -> bool:
        """True while a handoff of a session goes out or comes in."""
        arriving = any(item.machine.session == session and not item.is_over for item in self.incoming.values())
        return arriving or self.outgoing_of(session) is not None

    def outgoing_of(self, session: SessionId) -> Outgoing | None:
        """The outgoing handoff of a session."""
        return next((item for item in self.outgoing.values() if item.plan.session == session), None)

    def incoming_from(self, peer: DeviceId, session: SessionId) -> Incoming | None:
        """The handoff by which a device hands a session over."""
        return next(
            (
                item
                for item in self.incoming.values()
                if (item.machine.session, item.machine.source) == (session, peer)
                and item.machine.mode is Mode.MOVE
                and not item.is_over
            ),
            None,
        )
