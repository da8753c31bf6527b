# SPDX-License-Identifier: Apache-2.0
"""All handoffs of one agent: begins them, routes messages to them, answers for those that are over. Layer: agent.

Specification: docs/specs/handoff-v2.md §5-8. Who may do what is decided in admission.py, before a role's machine is
made; aftermath.py knows what is left of handoffs that are over; restart.py takes up what a stop interrupted. Takes that
this device asks for are in takes.py, those that it is asked for in take_answers.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from p2p_handoff.agent import aftermath
from p2p_handoff.agent.admission import Admission
from p2p_handoff.agent.arrivals import Arrivals
from p2p_handoff.agent.events import OnBegun, unheard
from p2p_handoff.agent.expected_copy import ExpectedCopy
from p2p_handoff.agent.held_back import HeldBack, Rest
from p2p_handoff.agent.incoming import Incoming
from p2p_handoff.agent.incoming_offer import IncomingOffer
from p2p_handoff.agent.learning import Learner
from p2p_handoff.agent.lessons import Lessons
from p2p_handoff.agent.listing import Listing
from p2p_handoff.agent.long_chains import LongChains
from p2p_handoff.agent.merging import MergeArrivals
from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.outgoing_plan import OutgoingPlan
from p2p_handoff.agent.reaching import first_wire
from p2p_handoff.agent.report import Report
from p2p_handoff.agent.requests import Answer, RequestBook
from p2p_handoff.agent.restart import Restart
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.take_answers import TakeAnswers
from p2p_handoff.agent.takes import TakeAsk, Takes
from p2p_handoff.agent.under_way import UnderWay
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import HandoffError, RejectedError
from p2p_handoff.ids import DeviceId, SessionId, TxnId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.messages import RejectReason
from p2p_handoff.protocol.records import ObjectRecord
from p2p_handoff.protocol.source import SourceState
from p2p_handoff.session.manifest import Manifest, Part

log = logging.getLogger(__name__)

REMEMBER_FOR: Final = 60.0
"""Seconds that an incoming handoff is remembered after its end, for a source that comes back to it."""
_TO_SOURCE: Final = (
    msg.Accept,
    msg.Reject,
    msg.Ready,
    msg.Accepted,
    msg.Refused,
    msg.Want,
    msg.Resumed,
    msg.Cancel,
    msg.Tally,
)
_TO_TARGET: Final = (msg.Request, msg.Round, msg.Gone, msg.Grant, msg.Query, msg.Finish, msg.Cancel, msg.Tally)


class Handoffs:
    """The handoffs of one agent.

    Args:
        services: The agent's parts.
        requests: Where people are asked.
    """

    def __init__(self, services: Services, requests: RequestBook) -> None:
        self._services = services
        self._under_way = UnderWay()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._takes = Takes(services, self._under_way)
        self._held_back = HeldBack(Rest(self.message_received, self._turn_away, self._spawn, self._check_room))
        self._lessons = Lessons(services, Learner(services, self.outgoing_of), self._held_back)
        self._long_chains = LongChains(services, self._held_back)
        self._admission = Admission(
            services, requests, self._under_way.incoming, self._takes.called_off, self._held_back
        )
        self._take_answers = TakeAnswers(services, requests, self._admission, self._under_way, self.push)
        self._listing = Listing(services, self._admission)
        self._expected = ExpectedCopy()
        self._restart = Restart(services, self._under_way, self._run_outgoing, self._spawn)

    # --- beginning ----------------------------------------------------------------------------------

    def push(self, plan: OutgoingPlan) -> Outgoing:
        """Begin to hand a session over; await ``settled`` of what is returned.

        Raises:
            UsageError: Handoff is switched off.
            NotFoundError: No such session.
            RejectedError: This device is not the primary, or another handoff of the session is under way.
            TrustError: This home, or the target's, is an old copy that is not confirmed yet, or has lost the session.
        """
        self._admission.check_switched_on()
        refusal = self._admission.may_push(plan, under_way=self.outgoing_of(plan.session) is not None)
        if refusal is not None:
            raise refusal
        outgoing = Outgoing(self._services, plan)
        self._run_outgoing(outgoing)
        return outgoing

    async def take(self, peer: DeviceId, session: SessionId, types: frozenset[str], into: Path | None) -> Incoming:
        """Ask a device to hand a session over to this one; await ``report`` of what is returned.

        Raises:
            UsageError: Handoff is switched off.
            RejectedError: The device says no.
            TrustError: This home, or the other one, is an old copy that is not confirmed yet.
            UnreachableError, TimedOutError: It does not answer.
        """
        self._admission.check_switched_on()
        self._services.store.counter.check()
        return await self._takes.take(peer, session, types, into)

    async def taken(self, txn: TxnId) -> Outgoing:
        """The handoff that follows a person's yes to a take.

        Raises:
            NotFoundError: The question is over, or the session cannot be handed over now.
        """
        return await self._take_answers.questions.begun(txn)

    def expect_copy(self, into: Path, on_begun: OnBegun = unheard) -> asyncio.Future[Report]:
        """Take the next one-off copy without asking; cancel what is returned to expect none any more.

        Args:
            into: Directory it goes to.
            on_begun: Called with its txn, before any event tells of it.
        """
        return self._expected.expect(into, on_begun)

    def copy_must_begin(self, seconds: float) -> None:
        """The devices have met: the expected copy begins within so many seconds, or it fails as timed out."""
        self._expected.must_begin(seconds)

    async def sessions_of(self, peer: DeviceId, *, insist: bool = False) -> tuple[msg.SessionSummary, ...]:
        """What a device offers to be taken.

        Args:
            peer: Whom to ask.
            insist: It is tried for as long as the target of a push; else once.

        Raises:
            UnreachableError, TimedOutError: It cannot be asked.
        """
        wire = await (first_wire(self._services, peer) if insist else self._services.connect(peer))
        return await self._listing.of(wire)

    def recover(self) -> None:
        """Take up what a stop or a crash interrupted: parts not in place yet, and grants without an answer."""
        self._restart.recover()

    async def close(self) -> None:
        """Stop all handoffs where they are; what is durable is taken up at the next start."""
        await self._take_answers.questions.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- what is under way --------------------------------------------------------------------------

    def active(self) -> Sequence[Outgoing | Incoming]:
        """Handoffs under way."""
        return self._under_way.active()

    @property
    def needs_wires(self) -> bool:
        """Whether a handoff is under way, or an answer to a take is awaited on either side."""
        return bool(self.active()) or self._takes.any_open or self._take_answers.questions.any_open

    def incoming(self, txn: TxnId) -> Incoming | None:
        """An incoming handoff under way."""
        return self._under_way.incoming.get(txn)

    def outgoing_of(self, session: SessionId) -> Outgoing | None:
        """The outgoing handoff of a session, if one is under way."""
        return self._under_way.outgoing_of(session)

    def is_busy(self, session: SessionId) -> bool:
        """True while a handoff of a session goes out or comes in."""
        return self._under_way.is_busy(session)

    # --- from wires ---------------------------------------------------------------------------------

    def message_received(self, wire: Wire, message: msg.Message) -> None:
        """Route one message."""
        match message:
            case msg.Init():
                self._init(wire, message)
            case msg.Take():
                self._take_answers.asked(wire, message)
            case msg.Asking():
                self._takes.person_asked(wire, message)
            case msg.ListSessions(number):
                self._listing.tell(wire, number)
            case msg.SessionList():
                self._listing.received(message)
            case _:
                self._route(wire, message)

    def object_received(self, wire: Wire, record: ObjectRecord) -> None:
        """Route one object."""
        incoming = self.incoming(record.txn)
        if incoming is not None and incoming.machine.source == wire.peer:
            incoming.object_received(wire, record)
        else:
            wire.consumed(record.wire_bytes)  # Of a handoff that ended meanwhile: the credit must still return.

    def wire_closed(self, wire: Wire, error: HandoffError) -> None:
        """Tell everybody who used a wire."""
        everybody: list[Outgoing | Incoming] = [*self._under_way.outgoing.values(), *self._under_way.incoming.values()]
        for item in everybody:
            item.wire_lost(wire)
        self._take_answers.questions.wire_closed(wire)
        name = self._services.peer_name(wire.peer)
        self._services.events.emit("disconnected", device=wire.peer, name=name, text=error.what)

    def _route(self, wire: Wire, message: Any) -> None:
        txn: TxnId = message.txn
        if self._held_back.hold(wire, txn, message):
            return
        outgoing = self._under_way.outgoing.get(txn)
        if outgoing is not None and outgoing.plan.target == wire.peer and isinstance(message, _TO_SOURCE):
            outgoing.deliver(wire, message)
            return
        incoming = self.incoming(txn)
        if incoming is not None and incoming.machine.source == wire.peer and isinstance(message, _TO_TARGET):
            incoming.deliver(wire, message)
            return
        match message:
            case msg.Cancel():
                self._take_answers.questions.withdraw(wire, txn)
            case msg.Reject():
                self._takes.rejected(wire, message)
            case msg.Request() if not self._held_back.holds(txn):
                # Its handoff was over and forgotten when the source came back to it; or its Init was turned away.
                wire.send(msg.Reject(txn, RejectReason.FAILED, "the handoff is over on that device"))
            case msg.Query() | msg.Grant():
                aftermath.answer_forgotten(self._services, wire, message, in_use=incoming is not None)

    # --- what changed about a device ----------------------------------------------------------------

    def unlinked(self, device: DeviceId) -> None:
        """A device is trusted no longer: what it sends or is sent ends, as far as nothing is decided yet."""
        for incoming in self._under_way.incoming.values():
            if incoming.machine.source == device and incoming.undecided:
                incoming.abandon()
        for outgoing in self._under_way.outgoing.values():
            if outgoing.plan.target == device and outgoing.undecided:
                outgoing.cancel("the devices were unlinked")

    def rolled_back(self, device: DeviceId) -> None:
        """A device's home is an old copy, which may have forgotten what it granted: nothing more is accepted of it."""
        for incoming in self._under_way.incoming.values():
            if incoming.machine.source == device:
                incoming.cancel("the data of the device that hands it over is an old copy")

    def ask_again(self, device: DeviceId) -> None:
        """A device may answer now what it could not answer before."""
        for outgoing in self._under_way.outgoing.values():
            if outgoing.plan.target == device and outgoing.machine.state is SourceState.FROZEN:
                outgoing.ask_again()

    # --- as target ----------------------------------------------------------------------------------

    def _init(self, wire: Wire, init: msg.Init) -> None:
        known = self.incoming(init.txn)
        if known is not None and known.machine.source == wire.peer:
            return  # The source came back on a new wire; its Request follows.
        try:
            offer = self._admission.check_init(wire.peer, init, self._long_chains.taken(init))
        except HandoffError as error:
            self._turn_away(wire, init, error)
            return
        if offer is None:
            self._long_chains.begin(wire, init)
            return
        if offer.admitted is not None and offer.admitted.teaches:
            self._lessons.begin(wire, init, offer.admitted.chain)
            return
        ask = self._takes.answered_by(init)  # Kept by the closure: the take is over once the handoff has begun.
        arrivals, begun = self._arrivals_of(offer), offer.init
        incoming = Incoming(
            self._services,
            offer,
            lambda *seen: self._consent(begun, ask, *seen),
            arrivals,
            partial(self._admission.check_room, wire.peer),
        )
        incoming.attach(wire)
        self._under_way.incoming[init.txn] = incoming
        self._expected.begun(init)
        if ask is not None and not ask.begun.done():
            ask.begun.set_result(incoming)
        self._spawn(self._run_incoming(incoming), f"in {init.txn[:6]}")

    def _check_room(self, peer: DeviceId, weight: int) -> None:
        self._admission.check_room(peer, weight)

    def _turn_away(self, wire: Wire, init: msg.Init, error: HandoffError) -> None:
        reason = RejectReason(error.reason) if isinstance(error, RejectedError) else RejectReason.UNTRUSTED
        wire.send(msg.Reject(init.txn, reason, error.what[:500]))
        self._takes.failed(init, error)

    def _arrivals_of(self, offer: IncomingOffer) -> Arrivals:
        services, init = self._services, offer.init
        if offer.merging is not None:
            return MergeArrivals(services, offer.merging, init.txn, init.source, self.is_busy)
        place = partial(services.policies.place, init.source)
        return Arrivals(services.catalog, services.stagings, init.mode, init.txn, place)

    async def _consent(
        self, init: msg.Init, ask: TakeAsk | None, manifest: Manifest, parts: tuple[Part, ...], expires_in: int
    ) -> Answer:
        known = ask.consent if ask is not None else self._expected.consent(init.txn)
        if known is not None:
            return known
        return await self._admission.consent(init, manifest, parts, expires_in)

    async def _run_incoming(self, incoming: Incoming) -> None:
        self._services.events.emit(
            "incoming", txn=incoming.txn, session=incoming.machine.session, peer=incoming.machine.source
        )
        running = asyncio.create_task(incoming.run(), name=f"target {incoming.txn[:6]}")
        try:
            report = await asyncio.shield(incoming.report)
            self._services.events.emit("handoff", direction="in", **report.as_json())
            self._expected.ended(incoming.txn, report)
            incoming.let_go()
            # A source that lost the last words asks again: the machine still knows how it ended.
            await asyncio.sleep(REMEMBER_FOR)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            self._under_way.incoming.pop(incoming.txn, None)

    # --- as source ----------------------------------------------------------------------------------

    def _run_outgoing(self, outgoing: Outgoing) -> None:
        self._under_way.outgoing[outgoing.plan.txn] = outgoing
        self._spawn(self._carry_outgoing(outgoing), f"out {outgoing.plan.txn[:6]}")

    async def _carry_outgoing(self, outgoing: Outgoing) -> None:
        plan = outgoing.plan
        self._services.events.emit("outgoing", txn=plan.txn, session=plan.session, peer=plan.target)
        try:
            report = await outgoing.run()
        except HandoffError as error:
            log.warning("handoff %s: %s", plan.txn[:6], error)
            self._services.events.emit("handoff-failed", txn=plan.txn, session=plan.session, text=error.sentence)
        else:
            self._services.events.emit("handoff", direction="out", **report.as_json())
        finally:
            self._under_way.outgoing.pop(plan.txn, None)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
