# SPDX-License-Identifier: Apache-2.0
"""What this device answers to a take of another one: no, the handoff itself, or a question to a person. Layer: agent.

Specification: docs/specs/handoff-v2.md §3 (Take). Decided in protocol.wishes; what is asked of a person is in
agent.take_questions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from p2p_handoff.agent.admission import Admission
from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.outgoing_plan import OutgoingPlan
from p2p_handoff.agent.requests import RequestBook
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.take_questions import TakeQuestions
from p2p_handoff.agent.under_way import UnderWay
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import NotFoundError, RejectedError, TrustError, UsageError
from p2p_handoff.ids import PartId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import wishes
from p2p_handoff.protocol.messages import RejectReason
from p2p_handoff.protocol.wishes import TakeFacts

_REFUSALS: Final = {
    wishes.Take.REFUSED: (RejectReason.POLICY, "the settings there do not let this device take it"),
    wishes.Take.USED: (RejectReason.FAILED, "the handoff's id was used before"),
    wishes.Take.ON_ITS_WAY: (RejectReason.BUSY, "the session is on its way to that device already"),
}


class TakeAnswers:
    """Takes as they arrive at one agent.

    Args:
        services: The agent's parts.
        requests: Where people are asked.
        admission: What the settings say.
        under_way: The agent's handoffs.
        push: Begins to hand a session over.
    """

    def __init__(
        self,
        services: Services,
        requests: RequestBook,
        admission: Admission,
        under_way: UnderWay,
        push: Callable[[OutgoingPlan], Outgoing],
    ) -> None:
        self.questions = TakeQuestions(services, requests, self._push)
        """What people are being asked."""
        self._services = services
        self._admission = admission
        self._under_way = under_way
        self._push_plan = push

    def asked(self, wire: Wire, take: msg.Take) -> None:
        """Answer a take."""
        current = self._under_way.outgoing_of(take.session)
        judged = self._admission.judge_take(wire.peer, take.session)
        begun = take.txn in self._under_way.outgoing
        facts = TakeFacts(
            said=judged.verdict,
            txn_used=begun or self._services.store.outgoing.grant(take.txn) is not None,
            asker=wire.peer,
            current=None if current is None else current.machine,
        )
        verdict = wishes.judge_take(facts)
        if verdict in _REFUSALS:
            wire.send(msg.Reject(take.txn, *_REFUSALS[verdict]))
        elif verdict is wishes.Take.ASK:
            self.questions.ask(wire, take, judged.without)
        elif verdict is wishes.Take.PUSH:
            self._push(wire, take, judged.without)

    def _push(self, wire: Wire, take: msg.Take, without: frozenset[PartId]) -> Outgoing | None:
        plan = OutgoingPlan(
            take.txn,
            take.session,
            wire.peer,
            types=frozenset(take.types),
            without=without,
            take=True,
            max_pause=self._services.settings.max_pause,
        )
        try:
            return self._push_plan(plan)
        except RejectedError as error:
            wire.send(msg.Reject(take.txn, RejectReason(error.reason), error.what[:500]))
        except TrustError as error:
            wire.send(msg.Reject(take.txn, RejectReason.STALE, error.what[:500]))
        except NotFoundError as error:
            wire.send(msg.Reject(take.txn, RejectReason.UNKNOWN_SESSION, error.what))
        except UsageError as error:
            wire.send(msg.Reject(take.txn, RejectReason.DISABLED, error.what))
        return None
