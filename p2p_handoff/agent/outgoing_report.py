# SPDX-License-Identifier: Apache-2.0
"""What a source tells of its handoff: while it goes on, when it ended, and how it stands before. Layer: agent.

Specification: docs/specs/control.md §5.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from p2p_handoff.agent.account import Account
from p2p_handoff.agent.offering import withheld_as_json
from p2p_handoff.agent.outgoing_content import OutgoingContent
from p2p_handoff.agent.outgoing_plan import OutgoingPlan
from p2p_handoff.agent.profile import Stage
from p2p_handoff.agent.report import Report
from p2p_handoff.agent.serving import Served
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import HandoffError
from p2p_handoff.protocol.messages import Mode, Resumed
from p2p_handoff.protocol.outcome import Outcome, Result
from p2p_handoff.protocol.source import Source, SourceState
from p2p_handoff.session.ownership import Role


@dataclass(slots=True)
class OutgoingReport:
    """Reports of one source.

    Args:
        plan: What to hand over to whom.
        account: What both sides report alike.
        content: What was offered.
        served: What was sent.
    """

    plan: OutgoingPlan
    account: Account
    content: OutgoingContent
    served: Served
    resumed: Resumed | None = None
    """The target's word that the session is in place, once it has come."""
    settled: asyncio.Future[Report] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """The first one: final, or in doubt while the handoff goes on."""
    _told: list[dict[str, Any]] = field(default_factory=list)
    """Secrets."""
    _asks: bool = False
    """Whether a person was asked."""

    def settle(self, outcome: Outcome, machine: Source) -> None:
        """Report an outcome, unless one was reported."""
        if not self.settled.done():
            self.settled.set_result(self.of(outcome, machine))

    def settle_failed(self, error: HandoffError) -> None:
        """Report what ended the handoff beside its machine, unless an outcome was reported."""
        if not self.settled.done():
            self.settled.set_exception(error)
            self.settled.exception()  # Whoever awaits it has it; nobody may.

    def tell_secrets(self) -> None:
        """Tell the user what looks like a secret, as far as it was not told."""
        fresh = [secret for secret in self.content.secrets() if secret not in self._told]
        if fresh:
            self._told.extend(fresh)
            self.account.emit("secrets", name=self.account.peer_name, secrets=fresh)

    def tell_offered(self, *, asks: bool) -> None:
        """Tell the user that the offer is out; ``asks``: a person there is asked."""
        self._asks = asks
        withheld = withheld_as_json(self.content.withheld())
        self.account.emit("offered", name=self.account.peer_name, asks=asks, withheld=withheld)

    def awaited(self, machine: Source, *, connected: bool) -> Stage:
        """Who keeps this side waiting while it does nothing itself."""
        if not connected:
            return Stage.CONNECT
        return Stage.PERSON if self._asks and machine.state is SourceState.OFFERED else Stage.PEER

    def of(self, outcome: Outcome, machine: Source) -> Report:
        """The report of an outcome."""
        return replace(
            self.account.report(outcome),
            rounds=machine.round,
            sent_bytes=self.served.sent_bytes,
            sent_objects=self.served.objects,
            reused_chunks=self.served.reused.chunks,
            reused_bytes=self.served.reused.bytes,
            root=self._common_root(),
            withheld=tuple(part.name for part in self.content.withheld()),
            left_out=self.content.left_out(),
            secrets=tuple(self.content.secrets()),
            resumed=self.resumed.detail if self.resumed else "",
        )

    def standing(self, machine: Source) -> Report:
        """How it stands while nothing is heard of the other device: what is granted cannot be taken back."""
        name = self.account.peer_name
        outcomes = {
            SourceState.FROZEN: Outcome(Result.IN_DOUBT, text=f"{name} was granted the session and does not answer"),
            SourceState.RELEASED: Outcome(Result.DONE, text=f"{name} owns the session already"),
        }
        return self.of(outcomes.get(machine.state, Outcome(Result.CANCELLED)), machine)

    def stopped(self, role: Role) -> Outcome | None:
        """How it ends for an agent that stops, given what is durable; None where nothing has happened."""
        name = self.account.peer_name
        match role:
            case Role.FROZEN:
                return Outcome(Result.IN_DOUBT, text=f"the agent stopped before {name} answered the grant")
            case Role.SECONDARY:
                return Outcome(Result.DONE, text=f"{name} owns the session already")
            case Role.PRIMARY:
                return None

    def _common_root(self) -> str:
        """Of the manifest that both sides have. What was merged is the target's to say: this side may be further."""
        if self.plan.mode is Mode.MERGE and self.resumed is not None:
            return self.resumed.root.hex()
        return digest(self.content.encoded()).hex() if self.content.is_pictured else ""
