# SPDX-License-Identifier: Apache-2.0
"""What a target tells of its handoff: while it goes on, when it ended, and how it stands before. Layer: agent.

Specification: docs/specs/control.md §5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from p2p_handoff.agent.account import PROGRESS_INTERVAL, Account
from p2p_handoff.agent.incoming_content import IncomingContent
from p2p_handoff.agent.placing import Placing
from p2p_handoff.agent.report import LISTED_BYTES, Report, first_that_fit, secrets_as_json, stopped
from p2p_handoff.agent.requests import part_as_json
from p2p_handoff.agent.services import Services
from p2p_handoff.protocol.messages import RejectReason
from p2p_handoff.protocol.outcome import Outcome, Result
from p2p_handoff.protocol.target import Target, TargetState
from p2p_handoff.session.manifest import Manifest, Part, root_of


@dataclass(slots=True)
class IncomingReport:
    """Reports of one target.

    Args:
        services: The agent's parts.
        account: What both sides report alike.
        content: What arrives.
        placing: Where it is put.
        epoch: The session's, as the source told it.
    """

    services: Services
    account: Account
    content: IncomingContent
    placing: Placing
    epoch: int
    settled: asyncio.Future[Report] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """The report."""
    _told_at: float = 0.0

    def tell_offer(self, manifest: Manifest, parts: Iterable[Part]) -> None:
        """Tell what is offered."""
        secrets, more = first_that_fit(secrets_as_json(manifest.parts, self.services.name_of), LISTED_BYTES)
        self.account.emit(
            "offer",
            title=manifest.title,
            peer=self.account.peer_name,
            parts=[part_as_json(part) for part in parts],
            secrets=secrets,
            more_secrets=more,
        )

    def tell_readable(self, part: Part, path: Path) -> None:
        """Tell where a part can be read while the rest still arrives."""
        self.account.emit("readable", part=part.id, name=part.name, type=part.type.value, preview=str(path))

    def progressed(self, machine: Target) -> None:
        """Something was staged: tell how far it is, now and then."""
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= PROGRESS_INTERVAL:
            self._told_at = now
            progress = self.content.fetcher.progress
            self.account.tell_progress(machine, progress, received_bytes=progress.received_bytes)

    def settle(self, outcome: Outcome, machine: Target) -> None:
        """Report an outcome, unless one was reported."""
        if not self.settled.done():
            self.settled.set_result(self.of(outcome, machine))

    def of(self, outcome: Outcome, machine: Target) -> Report:
        """The report of an outcome."""
        manifest = self.content.latest
        parts = manifest.parts if manifest else ()
        secrets, _ = first_that_fit(secrets_as_json(parts, self.services.name_of), LISTED_BYTES)
        progress, placements = self.content.fetcher.progress, self.placing.placements
        return replace(
            self.account.report(outcome, epoch=self.epoch),
            title=manifest.title if manifest else "",
            received_bytes=progress.received_bytes,
            received_objects=progress.objects,
            reused_chunks=progress.reused.chunks,
            reused_bytes=progress.reused.bytes,
            rounds=machine.round,
            into=tuple(str(placement.path) for placement in placements),
            conflicts=tuple(str(path) for placement in placements for path in placement.conflicts),
            root=root_of(manifest).hex() if manifest else "",
            secrets=tuple(secrets),
            resumed=self.placing.resumed,
        )

    def standing(self, machine: Target) -> Report:
        """How it stands while nothing more is heard: what was accepted is not given back."""
        if machine.state in (TargetState.ACCEPTED, TargetState.RESUMED):
            text = "this device owns the session; it is being put in place"
            return self.of(Outcome(Result.DONE, text=text), machine)
        return self.of(Outcome(Result.CANCELLED), machine)

    def agent_stopped(self, machine: Target, *, accepted: bool) -> None:
        """The agent stops: what was accepted is put in place at its next start, and nothing else has happened."""
        if accepted:
            text = "this device owns the session; it is put in place at the next start"
            self.settle(Outcome(Result.DONE, text=text), machine)
            return
        self.account.failure = stopped()
        self.settle(Outcome(Result.FAILED, RejectReason.FAILED, self.account.failure.what), machine)
