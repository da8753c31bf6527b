# SPDX-License-Identifier: Apache-2.0
"""What one side of a handoff tells of it, while it runs and when it ends: the same for both sides. Layer: agent.

Specification: docs/specs/control.md §5. Each side adds to the report what only it knows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from p2p_handoff.adapters.base import NOTHING_REUSED, Reused
from p2p_handoff.agent.current_wire import CurrentWire
from p2p_handoff.agent.headway import Headway, time_left
from p2p_handoff.agent.profile import Ledger, Limit, tally_of, told
from p2p_handoff.agent.rate import Rate
from p2p_handoff.agent.report import Report, outcome_error
from p2p_handoff.agent.services import Services
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import DeviceId, SessionId, TxnId
from p2p_handoff.protocol.messages import Tally
from p2p_handoff.protocol.outcome import Outcome
from p2p_handoff.protocol.source import Source
from p2p_handoff.protocol.target import Target

PROGRESS_INTERVAL: Final = 0.2
"""Seconds between two events of progress at the least."""


class Moved(Protocol):
    """What a transfer has moved so far, as either side counts it."""

    content_bytes: int
    """Uncompressed bytes."""
    remaining: int
    """Uncompressed bytes still missing, as far as known."""
    objects: int
    total_bytes: int
    """Of all content of the parts, here or not."""
    reused: Reused
    """What the target had already."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Which handoff it is, and which side of it tells."""

    txn: TxnId
    session: SessionId
    peer: DeviceId
    is_source: bool


class Account:
    """Begun with the handoff.

    Args:
        services: The agent's parts.
        subject: The handoff.
        wire: How the other device is reached.
    """

    def __init__(self, services: Services, subject: Subject, wire: CurrentWire) -> None:
        self.failure: HandoffError | None = None
        """What made this side fail."""
        self._services = services
        self._subject = subject
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self.ledger = Ledger(self._loop.time, time.process_time)
        """Where the time goes."""
        self._peer: Mapping[Limit, float] = {}
        """Where that of the other device went, as it says."""
        self._paused_at = 0.0
        self._decided_at = 0.0
        self._pause = 0.0
        """Seconds."""
        self._rate = Rate()
        self._placing = 0.0
        """Of these, seconds since the target accepted."""

    @property
    def peer_name(self) -> str:
        """The other device."""
        return self._services.peer_name(self._subject.peer)

    @property
    def seconds(self) -> float:
        """Since the handoff began."""
        return self._loop.time() - self._began

    def pause_began(self) -> None:
        """Nobody may act on the session from now on; what is said again changes nothing."""
        self._paused_at = self._paused_at or self._loop.time()

    def decided(self) -> None:
        """The target has accepted."""
        now = self._loop.time()
        self._decided_at = now
        self._pause = now - self._paused_at if self._paused_at else 0.0

    def pause_ended(self, placed_in: int | None = None) -> None:
        """The session is in place at the target as far as anyone can see; what is said again changes nothing.

        Args:
            placed_in: Milliseconds since it accepted, as it says, but never more than have passed; None for now.
        """
        if self._decided_at and not self._placing:
            passed = self._loop.time() - self._decided_at
            self._placing = passed if placed_in is None else min(passed, placed_in / 1000)
            self._pause += self._placing if self._paused_at else 0.0

    @property
    def placed_in(self) -> int:
        """Milliseconds from the acceptance until everything was in place."""
        return round(self._placing * 1000)

    def tally(self, moved: Moved) -> Tally:
        """What the other device is told of this one's share."""
        reused = NOTHING_REUSED if self._subject.is_source else moved.reused
        return tally_of(self.ledger.profile(), self._subject.txn, reused)

    def heard(self, tally: Tally) -> None:
        """What the other device tells of its share."""
        self._peer = told(tally)

    def emit(self, event: str, **fields: Any) -> None:
        """Tell of an event of this handoff."""
        self._services.events.emit(event, txn=self._subject.txn, session=self._subject.session, **fields)

    def moving(self, moved: Moved) -> None:
        """Content is about to move: what was waited for before says nothing of its rate."""
        self._rate.begin(moved.content_bytes, self._loop.time())

    def headway(self, machine: Source | Target, moved: Moved) -> Headway:
        """How far it is.

        Args:
            machine: This side's.
            moved: What was transferred.
        """
        rate = self._rate.per_second(moved.content_bytes, self._loop.time())
        return Headway(
            phase=machine.state.value,
            round=machine.round,
            bytes=moved.content_bytes,
            remaining=moved.remaining,
            objects=moved.objects,
            total_bytes=moved.total_bytes,
            reused_chunks=moved.reused.chunks,
            reused_bytes=moved.reused.bytes,
            rate=rate,
            left=time_left(moved.remaining, rate),
            seconds=self.seconds,
        )

    def tell_progress(self, machine: Source | Target, moved: Moved, **wire_bytes: int) -> None:
        """Tell how far it is; call it a few times a second while content moves.

        Args:
            machine: This side's.
            moved: What was transferred.
            **wire_bytes: ``sent_bytes`` or ``received_bytes``: on the bulk channel, compressed.
        """
        self._rate.mark(moved.content_bytes, self._loop.time())
        self.emit("progress", **self.headway(machine, moved).as_json(), **wire_bytes)

    def report(self, outcome: Outcome, *, epoch: int = 0) -> Report:
        """How it ended, or stands, as far as both sides report it alike.

        Args:
            outcome: The machine's.
            epoch: What is told of a session that is not on this device.
        """
        subject, peer = self._subject, self.peer_name
        record = self._services.store.sessions.get(subject.session)
        error = outcome_error(outcome, peer, self.failure, source=subject.is_source)
        return Report(
            outcome=outcome.result.value,
            txn=subject.txn,
            session=subject.session,
            title=record.title if record else "",
            peer=peer,
            epoch=record.ownership.epoch if record else epoch,
            seconds=round(self.seconds, 3),
            pause_ms=round(self._pause * 1000, 1),
            sent_bytes=0,
            received_bytes=0,
            engine=self._wire.engine,
            path=self._wire.path,
            rounds=0,
            reason=outcome.reason.value if outcome.reason else "",
            text=error.sentence if error else outcome.text,
            exit_code=int(error.exit_code) if error else 0,
            error=error,
            profile=replace(self.ledger.profile(), peer=self._peer),
        )
