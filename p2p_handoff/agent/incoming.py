# SPDX-License-Identifier: Apache-2.0
"""The target's shell: carries out what protocol.target_rules decides. Layer: agent.

Specification: docs/specs/handoff-v2.md §7. One task per handoff takes events from one queue, in order. Long work
(fetching, sealing, putting in place) runs in a task of its own and comes back as an event, so that a Query is answered
while content still streams. The work itself is done by the parts: what arrives (incoming_content), the grant and its
answer (accepting), the way to the source (incoming_connection), putting in place (placing).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

from p2p_handoff.agent.accepting import Accepting
from p2p_handoff.agent.account import Account, Subject
from p2p_handoff.agent.arrivals import Arrivals
from p2p_handoff.agent.carrying import STORE_AGAIN_AFTER, as_failure, carry_out
from p2p_handoff.agent.headway import Headway
from p2p_handoff.agent.incoming_connection import IncomingConnection
from p2p_handoff.agent.incoming_content import IncomingContent
from p2p_handoff.agent.incoming_offer import IncomingOffer
from p2p_handoff.agent.incoming_report import IncomingReport
from p2p_handoff.agent.placing import Placing
from p2p_handoff.agent.profile import Stage
from p2p_handoff.agent.report import Report
from p2p_handoff.agent.requests import Answer, Refusal
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.wire import Wire
from p2p_handoff.agent.work import Finding, Work
from p2p_handoff.errors import HandoffError, NoSpaceError, PathError, RemoteProtocolError, UnreachableError, UsageError
from p2p_handoff.ids import TxnId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import target as tgt
from p2p_handoff.protocol import target_rules
from p2p_handoff.protocol.messages import Mode, RejectReason
from p2p_handoff.protocol.outcome import Outcome, Result
from p2p_handoff.protocol.records import ObjectRecord
from p2p_handoff.protocol.target import Target, TargetEffect, TargetEvent, TargetState
from p2p_handoff.session.manifest import Manifest, Part, root_of

log = logging.getLogger(__name__)

CLEAN_FOR: Final = 10.0
"""Seconds to wait until work in threads ends and its staging is gone; a disk that hangs must not hide the outcome."""

_REJECTIONS: Final[dict[type[HandoffError], RejectReason]] = {
    NoSpaceError: RejectReason.NO_SPACE,
    PathError: RejectReason.UNSUPPORTED,
    UsageError: RejectReason.UNSUPPORTED,
}

_DECIDED: Final = (TargetState.ACCEPTED, TargetState.RESUMED, TargetState.REFUSED, TargetState.ENDED)
_Queued = TargetEvent | msg.Grant | Finding[TargetEvent]
_Failed = Callable[[RejectReason, str], TargetEvent]


class Incoming:
    """One incoming handoff.

    Args:
        services: The agent's parts.
        offer: The checked Init.
        consent: Asks whoever must be asked, given the offered parts; rules for own devices are in there.
        arrivals: Where the parts go.
        room: Raises a RejectedError where there is none for an offer of that weight (protocol.admission).
    """

    def __init__(
        self,
        services: Services,
        offer: IncomingOffer,
        consent: Callable[[Manifest, tuple[Part, ...], int], Awaitable[Answer]],
        arrivals: Arrivals,
        room: Callable[[int], None],
    ) -> None:
        init = offer.init
        self.machine = Target(init.txn, init.session, init.source, init.mode)
        self._services = services
        self._consent = consent
        self._room = room
        self._arrivals = arrivals
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[_Queued] = asyncio.Queue()
        self._connection = IncomingConnection(services, self)
        self.history = offer.history
        """Bytes of the session's chain that are kept for this handoff."""
        self._accepting = Accepting(services, offer)
        subject = Subject(init.txn, init.session, init.source, is_source=False)
        self._account = Account(services, subject, self._connection.current)
        self._ledger = self._account.ledger
        self._content = IncomingContent(
            services,
            offer,
            arrivals,
            self._ledger,
            progressed=lambda: self._reports.progressed(self.machine),
            readable=self._tell_readable,
        )
        self._placing = Placing(services, init, arrivals, self._account.pause_ended)
        self._reports = IncomingReport(services, self._account, self._content, self._placing, init.epoch)
        self._work = Work[TargetEvent](self._events.put_nowait)
        self._asking = Work[TargetEvent](lambda finding: self.happened(finding.event))
        self._request: msg.Request | None = None

    @property
    def txn(self) -> TxnId:
        """The handoff's id."""
        return self.machine.txn

    @property
    def report(self) -> asyncio.Future[Report]:
        """How it ended; the handoff is answered for after that."""
        return self._reports.settled

    @property
    def is_over(self) -> bool:
        """True once nothing more will arrive under this txn."""
        return self.report.done() or self.machine.state in (TargetState.REFUSED, TargetState.ENDED)

    @property
    def weight(self) -> int:
        """Of what the source offered, as far as it is kept here (protocol.admission)."""
        return self._content.weight

    @property
    def undecided(self) -> bool:
        """True while nothing durable depends on this handoff."""
        return self.machine.state in (
            TargetState.NEW,
            TargetState.REVIEWING,
            TargetState.COPYING,
            TargetState.READY,
        )

    # --- from outside -------------------------------------------------------------------------------

    def attach(self, wire: Wire) -> None:
        """The source is reached by this wire from now on."""
        self._connection.attach(wire)

    def deliver(self, wire: Wire, message: msg.Message) -> None:
        """A message of this txn arrived."""
        self._connection.attach(wire)
        self._connection.heard()
        match message:
            case msg.Tally():
                self._account.heard(message)
            case msg.Gone():
                self._content.fetcher.gone_received(message)
            case msg.Request():
                self._request = self._request or message
                self.happened(message)
            case msg.Grant() | msg.Round() | msg.Finish() | msg.Query() | msg.Cancel():
                self._events.put_nowait(message)

    def object_received(self, wire: Wire, record: ObjectRecord) -> None:
        """An object of this txn arrived."""
        self._connection.heard()
        self._content.fetcher.object_received(wire, record)

    def wire_lost(self, wire: Wire) -> None:
        """A wire to the source closed."""
        if self._connection.lost(wire):
            self._content.fetcher.wire_lost("the connection broke")

    def let_go(self) -> None:
        """It is remembered only, for a source that asks again: keep no more than that takes."""
        if self.machine.state in _DECIDED:
            self.history = 0
            self._accepting.let_go()

    def abandon(self) -> None:
        """The source began anew under another txn."""
        self.happened(tgt.Abandoned())

    def cancel(self, text: str) -> None:
        """The user of this side gives up."""
        self.happened(tgt.TargetCancelAsked(text))

    def standing(self) -> Report:
        """How it stands while nothing more is heard: what was accepted is not given back."""
        return self._reports.standing(self.machine)

    def headway(self) -> Headway:
        """How far it is."""
        return self._account.headway(self.machine, self._content.fetcher.progress)

    @property
    def title(self) -> str:
        """The session's, as it was offered; empty before that."""
        return self._content.latest.title if self._content.latest is not None else ""

    def happened(self, event: TargetEvent) -> None:
        """An event for the machine, after those that wait already."""
        self._events.put_nowait(event)

    # --- from beginning to end ----------------------------------------------------------------------

    async def run(self) -> None:
        """Carry the handoff through, and answer for it after its report until cancelled."""
        try:
            while True:
                with self._ledger.waiting(Stage.PEER if self._connection.current.wire else Stage.CONNECT):
                    item = await self._events.get()
                await self._take(item)
        except asyncio.CancelledError:
            self._reports.agent_stopped(self.machine, accepted=self._accepting.has_accepted())
            raise
        finally:
            failed = Outcome(Result.FAILED, RejectReason.FAILED, "the agent failed; see its log")
            self._reports.settle(failed, self.machine)
            self._connection.close()
            await self._asking.stop()
            await self._work.stop()
            self._content.fetcher.close()

    async def _take(self, item: _Queued) -> None:
        event = self._event_of(item)
        if event is None:
            return
        before = self.machine
        try:
            self.machine, effects = target_rules.step(before, event)
        except RemoteProtocolError as error:
            log.warning("handoff %s: %s", self.txn[:6], error)
            return
        log.debug("handoff %s: %s + %s", self.txn[:6], before.state.value, type(event).__name__)
        failed = await carry_out(self.txn, effects, lambda effect: self._EFFECTS[type(effect)](self, effect))
        if failed is not None:
            self._went_wrong(before, event, *failed)

    def _event_of(self, item: _Queued) -> TargetEvent | None:
        match item:
            case msg.Grant() | msg.Query():
                event = self._accepting.judge(item, self.machine, self._content.agreed)
                if self._accepting.is_granted:
                    self._account.pause_began()
                return event
            case Finding():
                return item.event if self._work.is_current(item) else None
            case _:
                return item

    def _went_wrong(self, before: Target, event: TargetEvent, effect: TargetEffect, error: Exception) -> None:
        """An effect failed: what was not stored has not happened, and is not said."""
        failure = self._account.failure = as_failure(self.txn, effect, error)
        match effect:
            case tgt.StoreAccepted():
                self.machine = before
                self.happened(tgt.SealFailed(_reason(failure), failure.what))
            case tgt.StoreRefused():
                # The source waits for it, frozen: tried again until the disk takes it.
                self.machine = before
                self._loop.call_later(STORE_AGAIN_AFTER, self.happened, event)
            case tgt.TargetEnded():
                pass
            case _:
                self.happened(tgt.TargetCancelAsked(failure.what))

    def _tell_readable(self, part: Part, path: Path) -> None:
        self._reports.tell_readable(part, path)

    # --- long work ----------------------------------------------------------------------------------

    def _begin(
        self, work: Work[TargetEvent], name: str, doing: Callable[[], Awaitable[TargetEvent]], failed: _Failed
    ) -> None:
        """Do something beside the loop; what it led to, or ``failed``, is an event."""
        work.start(
            lambda: self._outcome_of(doing(), failed),
            f"{name} {self.txn[:6]}",
            lambda text: failed(RejectReason.FAILED, text),
        )

    async def _outcome_of(self, work: Awaitable[TargetEvent], failed: _Failed) -> TargetEvent | None:
        """What work led to; None when the connection broke: the source comes back and says the same again."""
        try:
            return await work
        except UnreachableError:
            return None
        except HandoffError as error:
            self._account.failure = error
            return failed(_reason(error), error.what)

    async def _ask(self) -> TargetEvent:
        assert self._request is not None
        request, self._request = self._request, replace(self._request, manifest=b"")  # Read once: kept no longer.
        offer = self._content.agree(request, self._room)
        if isinstance(offer, Refusal):
            return tgt.UserRejected(offer.reason, offer.text)
        manifest, parts = offer
        self._reports.tell_offer(manifest, parts)
        with self._ledger.waiting(Stage.PERSON):
            answer = await self._consent(manifest, parts, request.expires_in)
        if isinstance(answer, Refusal):
            return tgt.UserRejected(answer.reason, answer.text)
        chosen = await self._content.choose(parts, answer)
        if not chosen:
            return tgt.UserRejected(RejectReason.NOTHING_CHOSEN, "no offered part is of a chosen type")
        return tgt.UserAccepted(tuple(part.id for part in chosen))

    async def _fetch(self, effect: tgt.FetchRound) -> TargetEvent:
        self._account.moving(self._content.fetcher.progress)
        here = await self._content.fetch_round(effect.manifest, self.machine, self._connection.current)
        return tgt.Fetched(effect.number, here)

    async def _seal(self, effect: tgt.SealGranted) -> TargetEvent:
        if await self._content.fetch_last(effect.manifest, self.machine, self._connection.current):
            return tgt.Sealed()
        return tgt.SealFailed(RejectReason.FAILED, "something changed at the source after it was frozen")

    async def _put_in_place(self) -> TargetEvent:
        with self._ledger.waiting(Stage.PLACE):
            await self._placing.put_in_place()
            await self._placing.resume()
        return tgt.Committed()

    async def _stop_work_and_clean_up(self) -> None:
        await self._asking.stop()
        await self._work.stop()
        await self._content.clean_up()

    # --- effects: messages --------------------------------------------------------------------------

    def _send(self, message: msg.Message) -> None:
        self._connection.current.send(message)

    async def _send_accept(self, effect: tgt.SendAccept) -> None:
        self._send(msg.Accept(self.txn, effect.parts))

    async def _send_reject(self, effect: tgt.SendReject) -> None:
        self._send(msg.Reject(self.txn, effect.reason, effect.text[:500]))

    async def _send_ready(self, effect: tgt.SendReady) -> None:
        self._send(self._account.tally(self._content.fetcher.progress))
        self._send(msg.Ready(self.txn, effect.number, effect.complete, self._accepting.new_nonce()))

    async def _send_decision(self, _effect: tgt.SendDecision) -> None:
        self._send(self._accepting.decision_message())
        self._connection.decision_said()

    async def _send_resumed(self, _effect: tgt.SendResumed) -> None:
        assert self._content.latest is not None
        received = self._content.fetcher.progress.received_bytes
        self._send(self._account.tally(self._content.fetcher.progress))
        root, detail = root_of(self._content.latest), self._placing.resumed[:500]
        self._send(msg.Resumed(self.txn, root, received, detail, self._account.placed_in))

    async def _send_cancel(self, effect: tgt.TargetSendCancel) -> None:
        self._send(msg.Cancel(self.txn, effect.reason, effect.text[:500]))

    # --- effects: content ---------------------------------------------------------------------------

    async def _ask_user(self, _effect: tgt.AskUser) -> None:
        self._begin(self._asking, "ask", self._ask, tgt.UserRejected)

    async def _fetch_round(self, effect: tgt.FetchRound) -> None:
        self._begin(self._work, "fetch", lambda: self._fetch(effect), tgt.FetchFailed)

    async def _seal_granted(self, effect: tgt.SealGranted) -> None:
        self._begin(self._work, "seal", lambda: self._seal(effect), tgt.SealFailed)

    async def _commit(self, _effect: tgt.Commit) -> None:
        self._account.decided()
        record = self._services.store.sessions.get(self.machine.session)
        if record is not None and self.machine.mode is Mode.MOVE:
            own = record.ownership
            self._services.events.emit("owner", session=own.session, primary=own.primary, epoch=own.epoch)
        self._work.start(self._put_in_place, f"commit {self.txn[:6]}", lambda _text: None)

    async def _abandon(self, _effect: tgt.AbandonStaging) -> None:
        self._accepting.forget_nonce()
        self._content.fetcher.close()
        cleaning = asyncio.ensure_future(self._stop_work_and_clean_up())
        _, waiting = await asyncio.wait((cleaning,), timeout=CLEAN_FOR)
        if waiting:
            log.warning("handoff %s: what was staged is removed once the disk answers", self.txn[:6])

    # --- effects: ownership, the end ----------------------------------------------------------------

    async def _store_accepted(self, _effect: tgt.StoreAccepted) -> None:
        assert self._content.latest is not None
        await self._accepting.accept(self.machine, self._content.latest, self._arrivals)

    async def _store_refused(self, effect: tgt.StoreRefused) -> None:
        log.info("handoff %s refused: %s", self.txn[:6], effect.text)
        self._accepting.refuse()

    async def _ended(self, effect: tgt.TargetEnded) -> None:
        await self._asking.stop()
        self._reports.settle(effect.outcome, self.machine)

    _EFFECTS: ClassVar[dict[type[TargetEffect], Callable[[Incoming, Any], Awaitable[None]]]] = {
        tgt.AskUser: _ask_user,
        tgt.SendAccept: _send_accept,
        tgt.SendReject: _send_reject,
        tgt.FetchRound: _fetch_round,
        tgt.SendReady: _send_ready,
        tgt.SealGranted: _seal_granted,
        tgt.StoreAccepted: _store_accepted,
        tgt.StoreRefused: _store_refused,
        tgt.SendDecision: _send_decision,
        tgt.Commit: _commit,
        tgt.SendResumed: _send_resumed,
        tgt.AbandonStaging: _abandon,
        tgt.TargetSendCancel: _send_cancel,
        tgt.TargetEnded: _ended,
    }


def _reason(error: HandoffError) -> RejectReason:
    """An error as the other device hears of it."""
    return _REJECTIONS.get(type(error), RejectReason.FAILED)
