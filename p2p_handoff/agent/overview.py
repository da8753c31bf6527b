# SPDX-License-Identifier: Apache-2.0
"""Gathers what one agent is doing now. Layer: agent. Specification: docs/cli.md §4.

It only reads: nothing waits for it, and what cannot be told any more (a connection that broke meanwhile) is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from p2p_handoff.agent import doubts
from p2p_handoff.agent.assembly import Assembly, Given
from p2p_handoff.agent.incoming import Incoming
from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.peers import Peer
from p2p_handoff.agent.status import (
    DeviceStatus,
    Direction,
    HandoffStatus,
    Line,
    SessionStatus,
    Status,
    Unsettled,
    session_state,
)
from p2p_handoff.agent.telling import open_forks, title_of
from p2p_handoff.agent.visibility import in_force
from p2p_handoff.agent.wire import Wire
from p2p_handoff.engines.base import PathKind
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.protocol.messages import Mode
from p2p_handoff.store.records import SessionRecord


class Overview:
    """Looks at one agent.

    Args:
        given: What it is made of.
        parts: What it consists of.
    """

    def __init__(self, given: Given, parts: Assembly) -> None:
        self._given = given
        self._parts = parts

    async def status(self) -> Status:
        """What the agent is doing now.

        Raises:
            StorageError: Its database cannot be read.
        """
        given, parts = self._given, self._parts
        settings, records = given.settings, parts.naming.running()
        return Status(
            device=parts.identity.device,
            name=settings.name,
            home=given.home.path,
            port=parts.port,
            engine=parts.engine.name,
            keys=parts.keys_kept_in,
            handoff=settings.handoff,
            visible=in_force(settings, parts.store.links),
            discovery=parts.surroundings.problem or "",
            receive_dir=settings.receive_dir,
            relays=parts.relay_states(),
            devices=tuple([await self._device(peer) for peer in parts.peer_book.all()]),
            sessions=tuple(self._session(record) for record in records),
            active=tuple(self._handoff(item) for item in parts.handoffs.active()),
            requests=tuple(given.requests.pending()),
            unsettled=await self._unsettled(records),
            taken_at=asyncio.get_running_loop().time(),
        )

    async def _device(self, peer: Peer) -> DeviceStatus:
        wire = self._parts.dialer.wire(peer.device)
        return DeviceStatus(peer, None if wire is None else await _line(wire))

    def _session(self, record: SessionRecord) -> SessionStatus:
        own, me = record.ownership, self._parts.identity.device
        unplaced = bool(self._parts.unplaced.of(record.id))
        state = session_state(own, me, moving=self._moving(record.id), unplaced=unplaced)
        return SessionStatus(record.id, record.title, own.role, own.epoch, self._name(own.primary), state)

    def _moving(self, session: SessionId) -> Direction | None:
        outgoing = self._parts.handoffs.outgoing_of(session)
        if outgoing is not None:
            # A copy takes nothing away. Once a handoff was reported, in doubt, it only waits for the answer.
            stays = outgoing.plan.mode is not Mode.MOVE or outgoing.settled.done()
            return None if stays else Direction.OUT
        return Direction.IN if self._parts.handoffs.is_busy(session) else None

    def _handoff(self, item: Outgoing | Incoming) -> HandoffStatus:
        machine, is_out = item.machine, isinstance(item, Outgoing)
        peer = item.plan.target if isinstance(item, Outgoing) else item.machine.source
        told = "" if isinstance(item, Outgoing) else item.title
        return HandoffStatus(
            txn=machine.txn,
            session=machine.session,
            title=told or title_of(self._parts.store, machine.session),
            direction=Direction.OUT if is_out else Direction.IN,
            peer=self._name(peer),
            mode=machine.mode,
            connected=self._parts.dialer.wire(peer) is not None,
            headway=item.headway(),
        )

    async def _unsettled(self, records: list[SessionRecord]) -> Unsettled:
        parts, around = self._parts, self._parts.around
        return Unsettled(
            not_in_place=tuple(
                {"session": record.id, "title": record.title, "text": text}
                for record in records
                if (text := parts.unplaced.of(record.id))
            ),
            in_doubt=tuple(doubts.doubt_as_json(around, item) for item in doubts.in_doubt(records)),
            lost=tuple(doubts.lost_as_json(around, records)),
            old_copy=doubts.old_copy_as_json(around),
            forks=tuple(open_forks(parts.store)),
            edited_here=tuple([item for record in records if (item := await self._edited(record))]),
        )

    async def _edited(self, record: SessionRecord) -> dict[str, Any]:
        edits = await self._parts.contributions.of(record)
        return {"session": record.id, "title": record.title, **edits.as_json()} if edits.counts else {}

    def _name(self, device: DeviceId) -> str:
        parts = self._parts
        return self._given.settings.name if device == parts.identity.device else parts.peer_book.name(device)


async def _line(wire: Wire) -> Line:
    path = PathKind.UNKNOWN.value
    with contextlib.suppress(HandoffError):  # It may break while it is looked at.
        path = await wire.path_kind()
    return Line(
        engine=wire.engine_name,
        path=path,
        round_trip=wire.round_trip,
        sending=wire.sending,
        receiving=wire.receiving,
        sent_bytes=wire.bulk_sent,
        received_bytes=wire.bulk_received,
    )
