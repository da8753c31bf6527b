# SPDX-License-Identifier: Apache-2.0
"""All handoffs of one agent: begins them, routes messages to them, answers for those that are over. Layer: agent.

Specification: docs/specs/handoff-v2.md §5-8. Who may do what is decided in admission.py, before a role's machine is
made; aftermath.py knows what is left of handoffs that are over.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from p2p_handoff.agent import aftermath
from p2p_handoff.agent.admission import Admission
from p2p_handoff.agent.arrivals import Arrivals
from p2p_handoff.agent.events import OnBegun, unheard
from p2p_handoff.agent.held_back import HeldBack, Rest
from p2p_handoff.agent.incoming import Incoming
from p2p_handoff.agent.incoming_offer import IncomingOffer
from p2p_handoff.agent.learning import Learner
from p2p_handoff.agent.lessons import Lessons
from p2p_handoff.agent.long_chains import LongChains
from p2p_handoff.agent.merging import MergeArrivals
from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.outgoing_plan import OutgoingPlan
from p2p_handoff.agent.push_refusals import old_there
from p2p_handoff.agent.report import Report
from p2p_handoff.agent.requests import Answer, Consent, RequestBook
from p2p_handoff.agent.retry import delays
from p2p_handoff.agent.returning import call, to_call
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.stagings import KEEP_STAGED
from p2p_handoff.agent.take_questions import TakeQuestions
from p2p_handoff.agent.wire import Wire
from p2p_handoff.agent.work import in_thread
from p2p_handoff.errors import (
    HandoffError,
    NotFoundError,
    RejectedError,
    TimedOutError,
    TrustError,
    UnreachableError,
    UsageError,
)
from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId, new_txn_id
from p2p_handoff.limits import HANDSHAKE_DEADLINE, OFFER_LIFETIME
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import wishes
from p2p_handoff.protocol.messages import Mode, RejectReason
from p2p_handoff.protocol.records import ObjectRecord
from p2p_handoff.protocol.source import SourceState
from p2p_handoff.protocol.wishes import TakeFacts
from p2p_handoff.session.manifest import Manifest, Part
from p2p_handoff.session.ownership import Role
from p2p_handoff.session.policy import Verdict
from p2p_handoff.store.records import PendingCommit, SessionRecord

log = logging.getLogger(__name__)

ANSWER_TAKE_FOR: Final = 20.0
"""Seconds for the answer to a take: a dead connection is found after three, and the next one needs some more."""
REMEMBER_FOR: Final = 60.0
"""Seconds that an incoming handoff is remembered after its end, for a source that comes back to it."""
_TAKE_REFUSALS: Final = {
    wishes.Take.REFUSED: (RejectReason.POLICY, "the settings there do not let this device take it"),
    wishes.Take.USED: (RejectReason.FAILED, "the handoff's id was used before"),
    wishes.Take.ON_ITS_WAY: (RejectReason.BUSY, "the session is on its way to that device already"),
}
_TO_SOURCE: Final = (msg.Accept, msg.Reject, msg.Ready, msg.Accepted, msg.Refused, msg.Want, msg.Resumed, msg.Cancel)
_TO_TARGET: Final = (msg.Request, msg.Round, msg.Gone, msg.Grant, msg.Query, msg.Finish, msg.Cancel)


@dataclass(frozen=True, slots=True)
class TakeAsk:
    """A take that this device asked for."""

    session: SessionId
    peer: DeviceId
    types: frozenset[str]
    into: Path | None
    begun: asyncio.Future[Incoming]
    patience: asyncio.Timeout
    """How long the answer may take; longer where a person is asked."""


@dataclass(slots=True)
class ExpectedCopy:
    """The one copy that a one-off receiver takes without asking."""

    into: Path
    arrived: asyncio.Future[Report]
    on_begun: OnBegun
    txn: TxnId | None = None
    """Known once it has begun."""


class Handoffs:
    """The handoffs of one agent.

    Args:
        services: The agent's parts.
        requests: Where people are asked.
    """

    def __init__(self, services: Services, requests: RequestBook) -> None:
        self._services = services
        self._outgoing: dict[TxnId, Outgoing] = {}
        self._incoming: dict[TxnId, Incoming] = {}
        self._takes: dict[TxnId, TakeAsk] = {}
        self._lists: dict[int, asyncio.Future[msg.SessionList]] = {}
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._called_off: set[TxnId] = set()
        """Takes that were given up before the other device began."""
        self._questions = TakeQuestions(services, requests, self._push_taken)
        self._expected: ExpectedCopy | None = None
        self._held_back = HeldBack(Rest(self.message_received, self._turn_away, self._spawn))
        self._lessons = Lessons(services, Learner(services, self.outgoing_of), self._held_back)
        self._long_chains = LongChains(services, self._held_back)
        self._admission = Admission(services, requests, self._incoming, self._called_off, self._held_back)

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
            TrustError: This home is an old copy that is not confirmed yet.
            TimedOutError: It does not answer.
        """
        self._admission.check_switched_on()
        self._services.store.counter.check()
        wire = await self._services.connect(peer)
        patience = asyncio.timeout(ANSWER_TAKE_FOR)
        ask = TakeAsk(session, peer, types, into, asyncio.get_running_loop().create_future(), patience)
        try:
            async with patience:
                while (begun := await self._begun(wire, ask)) is None:
                    wire = await self._services.connect(peer)
                self._call_off(wire, ask, but=begun.txn)
                return begun
        except asyncio.CancelledError:
            self._call_off(wire, ask)
            raise
        except TimeoutError:
            self._call_off(wire, ask)
            name = self._services.peer_name(peer)
            raise TimedOutError(
                f"{name} did not answer", state="the session is unchanged", advice="try again"
            ) from None
        finally:
            for txn in self._txns_of(ask):
                del self._takes[txn]
            if not ask.begun.cancel():
                ask.begun.exception()  # An answer in the moment of giving up has been seen, and is nobody's error.

    async def _begun(self, wire: Wire, ask: TakeAsk) -> Incoming | None:
        """Ask over one wire; None when it broke before the answer, with which the question may be lost as well.

        Whichever of its txns the other device answers, the handoff is what was asked for.
        """
        if self._services.is_old(ask.peer):
            raise old_there(self._services.peer_name(ask.peer))
        under_way = self._incoming_from(ask.peer, ask.session)
        if under_way is not None:
            return under_way  # The other device was faster: its push is what is asked for.
        txn = new_txn_id(self._services.entropy)
        self._takes[txn] = ask
        closed = asyncio.ensure_future(wire.wait_closed())
        try:
            with contextlib.suppress(UnreachableError):
                wire.send(msg.Take(txn, ask.session, tuple(sorted(ask.types))))
            await asyncio.wait((ask.begun, closed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            closed.cancel()
        return ask.begun.result() if ask.begun.done() else None

    def _txns_of(self, ask: TakeAsk) -> list[TxnId]:
        return [txn for txn, known in self._takes.items() if known is ask]

    def _call_off(self, wire: Wire, ask: TakeAsk, but: TxnId | None = None) -> None:
        """A take that nobody waits for, or that another handoff satisfies, must not move a session later."""
        for txn in self._txns_of(ask):
            if txn == but:
                continue
            self._called_off.add(txn)
            with contextlib.suppress(HandoffError):
                wire.send(msg.Cancel(txn, RejectReason.CANCELLED, "the take was given up"))

    def expect_copy(self, into: Path, on_begun: OnBegun = unheard) -> asyncio.Future[Report]:
        """Take the next one-off copy without asking; cancel what is returned to expect none any more.

        Args:
            into: Directory it goes to.
            on_begun: Called with its txn, before any event tells of it.
        """
        expected = ExpectedCopy(into, asyncio.get_running_loop().create_future(), on_begun)
        expected.arrived.add_done_callback(lambda _: self._forget_expected(expected))
        self._expected = expected
        return expected.arrived

    def copy_must_begin(self, seconds: float) -> None:
        """The devices have met: the expected copy begins within so many seconds, or it fails as timed out."""
        if self._expected is not None:
            asyncio.get_running_loop().call_later(seconds, self._copy_overdue, self._expected)

    def _copy_overdue(self, expected: ExpectedCopy) -> None:
        if expected.txn is None and not expected.arrived.done():
            error = TimedOutError("the other device did not begin to send", advice="try again with a new code")
            expected.arrived.set_exception(error)

    def _forget_expected(self, expected: ExpectedCopy) -> None:
        if self._expected is expected:
            self._expected = None

    async def sessions_of(self, peer: DeviceId) -> tuple[msg.SessionSummary, ...]:
        """What a device offers to be taken.

        Raises:
            UnreachableError, TimedOutError: It cannot be asked.
        """
        wire = await self._services.connect(peer)
        number = next(self._numbers)
        future: asyncio.Future[msg.SessionList] = asyncio.get_running_loop().create_future()
        self._lists[number] = future
        try:
            wire.send(msg.ListSessions(number))
            async with asyncio.timeout(HANDSHAKE_DEADLINE):
                return (await future).sessions
        except TimeoutError:
            raise TimedOutError(f"{self._services.peer_name(peer)} did not answer") from None
        finally:
            del self._lists[number]

    def active(self) -> Sequence[Outgoing | Incoming]:
        """Handoffs under way."""
        return [*self._outgoing.values(), *(item for item in self._incoming.values() if not item.is_over)]

    @property
    def needs_wires(self) -> bool:
        """Whether a handoff is under way, or an answer to a take is awaited on either side."""
        return bool(self.active() or self._takes or self._questions.any_open)

    def incoming(self, txn: TxnId) -> Incoming | None:
        """An incoming handoff under way."""
        return self._incoming.get(txn)

    def outgoing_of(self, session: SessionId) -> Outgoing | None:
        """The outgoing handoff of a session, if one is under way."""
        return next((item for item in self._outgoing.values() if item.plan.session == session), None)

    def is_busy(self, session: SessionId) -> bool:
        """True while a handoff of a session goes out or comes in."""
        arriving = any(item.machine.session == session and not item.is_over for item in self._incoming.values())
        return arriving or self.outgoing_of(session) is not None

    # --- after a restart ----------------------------------------------------------------------------

    def recover(self) -> None:
        """Take up what a stop or a crash interrupted: parts not in place yet, and grants without an answer."""
        for device in to_call(self._services):
            self._spawn(call(self._services, device), f"call {device[:6]}")
        self._spawn(self._finish_commits(), "commits")
        self._spawn(self._collect_stagings(), "stagings")
        for record in self._services.store.sessions.all():
            if record.ownership.role is Role.FROZEN:
                self._take_up(record)

    def _take_up(self, record: SessionRecord) -> None:
        """Ask for the answer of a frozen session; one whose record is damaged must not keep the others from theirs."""
        try:
            self._run_outgoing(aftermath.frozen_again(self._services, record))
        except Exception as error:  # noqa: BLE001 - a damaged database may hold anything
            log.error("session %s cannot be taken up: %s", record.id[:6], error)
            text = f"the grant of {record.title!r} cannot be read; 'handoff history {record.id[:8]} --verify' says more"
            self._services.events.emit("damaged", session=record.id, text=text)

    async def _collect_stagings(self) -> None:
        services = self._services
        while True:
            pending = {commit.directory for commit in services.store.incoming.pending_commits()}
            pending |= services.store.generations.pending_directories()
            for directory in await in_thread(services.stagings.collect, self._incoming.keys(), pending):
                log.info("%s is gone: its handoff did not come back", directory)
            await asyncio.sleep(KEEP_STAGED)

    async def _finish_commits(self) -> None:
        store = self._services.store
        for delay in delays(self._services.entropy):
            pending = store.incoming.pending_commits()
            if not pending:
                return
            for commit in pending:
                if commit.txn in self._incoming:
                    continue  # A handoff of this run, which puts it in place itself.
                try:
                    await self._finish_commit(commit)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                    log.error("part %s of %s is not in place yet: %s", commit.part, commit.session[:6], error)
                    self._services.unplaced.tell(commit.txn, commit.session, error)
            if store.incoming.pending_commits():
                await asyncio.sleep(delay)

    async def _finish_commit(self, commit: PendingCommit) -> None:
        await aftermath.finish_commit(self._services, commit)

    # --- from wires ---------------------------------------------------------------------------------

    def message_received(self, wire: Wire, message: msg.Message) -> None:
        """Route one message."""
        match message:
            case msg.Init():
                self._init(wire, message)
            case msg.Take():
                self._take_asked(wire, message)
            case msg.Asking():
                self._person_asked(wire, message)
            case msg.ListSessions(number):
                wire.send(msg.SessionList(number, self._summaries(wire.peer)))
            case msg.SessionList(number):
                future = self._lists.get(number)
                if future is not None and not future.done():
                    future.set_result(message)
            case _:
                self._route(wire, message)

    def object_received(self, wire: Wire, record: ObjectRecord) -> None:
        """Route one object."""
        incoming = self._incoming.get(record.txn)
        if incoming is not None and incoming.machine.source == wire.peer:
            incoming.object_received(wire, record)
        else:
            wire.consumed(record.wire_bytes)  # Of a handoff that ended meanwhile: the credit must still return.

    def wire_closed(self, wire: Wire, error: HandoffError) -> None:
        """Tell everybody who used a wire."""
        everybody: list[Outgoing | Incoming] = [*self._outgoing.values(), *self._incoming.values()]
        for item in everybody:
            item.wire_lost(wire)
        self._questions.wire_closed(wire)
        name = self._services.peer_name(wire.peer)
        self._services.events.emit("disconnected", device=wire.peer, name=name, text=error.what)

    def unlinked(self, device: DeviceId) -> None:
        """A device is trusted no longer: what it sends or is sent ends, as far as nothing is decided yet."""
        for incoming in self._incoming.values():
            if incoming.machine.source == device and incoming.undecided:
                incoming.abandon()
        for outgoing in self._outgoing.values():
            if outgoing.plan.target == device and outgoing.undecided:
                outgoing.cancel("the devices were unlinked")

    def rolled_back(self, device: DeviceId) -> None:
        """A device's home is an old copy, which may have forgotten what it granted: nothing more is accepted of it."""
        for incoming in self._incoming.values():
            if incoming.machine.source == device:
                incoming.cancel("the data of the device that hands it over is an old copy")

    def ask_again(self, device: DeviceId) -> None:
        """A device may answer now what it could not answer before."""
        for outgoing in self._outgoing.values():
            if outgoing.plan.target == device and outgoing.machine.state is SourceState.FROZEN:
                outgoing.ask_again()

    async def close(self) -> None:
        """Stop all handoffs where they are; what is durable is taken up at the next start."""
        await self._questions.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _route(self, wire: Wire, message: Any) -> None:
        txn: TxnId = message.txn
        if self._held_back.hold(wire, txn, message):
            return
        outgoing = self._outgoing.get(txn)
        if outgoing is not None and outgoing.plan.target == wire.peer and isinstance(message, _TO_SOURCE):
            outgoing.deliver(wire, message)
            return
        incoming = self._incoming.get(txn)
        if incoming is not None and incoming.machine.source == wire.peer and isinstance(message, _TO_TARGET):
            incoming.deliver(wire, message)
            return
        if isinstance(message, msg.Cancel):
            self._questions.withdraw(wire, txn)
        ask = self._takes.get(txn)
        if isinstance(message, msg.Reject) and ask is not None and ask.peer == wire.peer:
            self._take_rejected(ask, message)
        elif isinstance(message, msg.Query | msg.Grant):
            aftermath.answer_forgotten(self._services, wire, message, in_use=incoming is not None)

    # --- as target ----------------------------------------------------------------------------------

    def _init(self, wire: Wire, init: msg.Init) -> None:
        known = self._incoming.get(init.txn)
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
        ask = self._asked_for(init)  # Kept by the closure: the take itself is over once the handoff has begun.
        arrivals, begun = self._arrivals_of(offer), offer.init
        incoming = Incoming(self._services, offer, lambda *seen: self._consent(begun, ask, *seen), arrivals)
        incoming.attach(wire)
        self._incoming[init.txn] = incoming
        if init.mode is Mode.COPY and self._expected is not None and self._expected.txn is None:
            self._expected.txn = init.txn
            self._expected.on_begun(init.txn)
        if ask is not None and not ask.begun.done():
            ask.begun.set_result(incoming)
        self._spawn(self._run_incoming(incoming), f"in {init.txn[:6]}")

    def _turn_away(self, wire: Wire, init: msg.Init, error: HandoffError) -> None:
        reason = RejectReason(error.reason) if isinstance(error, RejectedError) else RejectReason.UNTRUSTED
        wire.send(msg.Reject(init.txn, reason, error.what[:500]))
        self._take_failed(init, error)

    def _arrivals_of(self, offer: IncomingOffer) -> Arrivals:
        services, init = self._services, offer.init
        if offer.merging is not None:
            return MergeArrivals(services, offer.merging, init.txn, init.source, self.is_busy)
        place = partial(services.policies.place, init.source)
        return Arrivals(services.catalog, services.stagings, init.mode, init.txn, place)

    def _take_failed(self, init: msg.Init, error: HandoffError) -> None:
        """What this device asked for cannot be taken: its user hears why."""
        ask = self._asked_for(init)
        if ask is not None and not ask.begun.done():
            ask.begun.set_exception(error)

    def _asked_for(self, init: msg.Init) -> TakeAsk | None:
        """The take that a handoff answers: the one of its txn, or one that crossed a push of the same session."""
        asks = (self._takes.get(init.txn), *self._takes.values())
        return next(
            (ask for ask in asks if ask is not None and (ask.session, ask.peer) == (init.session, init.source)), None
        )

    def _incoming_from(self, peer: DeviceId, session: SessionId) -> Incoming | None:
        return next(
            (
                item
                for item in self._incoming.values()
                if (item.machine.session, item.machine.source) == (session, peer)
                and item.machine.mode is Mode.MOVE
                and not item.is_over
            ),
            None,
        )

    async def _consent(
        self, init: msg.Init, ask: TakeAsk | None, manifest: Manifest, parts: tuple[Part, ...], expires_in: int
    ) -> Answer:
        if ask is not None:
            return Consent(ask.types, ask.into)
        if self._expected is not None and self._expected.txn == init.txn:
            return Consent(into=self._expected.into)
        return await self._admission.consent(init, manifest, parts, expires_in)

    async def _run_incoming(self, incoming: Incoming) -> None:
        self._services.events.emit(
            "incoming", txn=incoming.txn, session=incoming.machine.session, peer=incoming.machine.source
        )
        running = asyncio.create_task(incoming.run(), name=f"target {incoming.txn[:6]}")
        try:
            report = await asyncio.shield(incoming.report)
            self._services.events.emit("handoff", direction="in", **report.as_json())
            expected = self._expected
            if expected is not None and expected.txn == incoming.txn and not expected.arrived.done():
                expected.arrived.set_result(report)
            incoming.let_go()
            # A source that lost the last words asks again: the machine still knows how it ended.
            await asyncio.sleep(REMEMBER_FOR)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            self._incoming.pop(incoming.txn, None)

    # --- as source ----------------------------------------------------------------------------------

    def _take_asked(self, wire: Wire, take: msg.Take) -> None:
        current, judged = self.outgoing_of(take.session), self._admission.judge_take(wire.peer, take.session)
        facts = TakeFacts(
            said=judged.verdict,
            txn_used=take.txn in self._outgoing or self._services.store.outgoing.grant(take.txn) is not None,
            asker=wire.peer,
            current=None if current is None else current.machine,
        )
        verdict = wishes.judge_take(facts)
        if verdict in _TAKE_REFUSALS:
            wire.send(msg.Reject(take.txn, *_TAKE_REFUSALS[verdict]))
        elif verdict is wishes.Take.ASK:
            self._questions.ask(wire, take, judged.without)
        elif verdict is wishes.Take.PUSH:
            self._push_taken(wire, take, judged.without)

    def _person_asked(self, wire: Wire, message: msg.Asking) -> None:
        """The other device asks its person about this one's take."""
        ask = self._takes.get(message.txn)
        if ask is None or ask.peer != wire.peer or ask.begun.done():
            return
        seconds = min(message.expires_in, OFFER_LIFETIME) + ANSWER_TAKE_FOR
        ask.patience.reschedule(asyncio.get_running_loop().time() + seconds)
        self._services.events.emit(
            "asking", txn=message.txn, session=ask.session, name=self._services.peer_name(ask.peer)
        )

    async def taken(self, txn: TxnId) -> Outgoing:
        """The handoff that follows a person's yes to a take.

        Raises:
            NotFoundError: The question is over, or the session cannot be handed over now.
        """
        return await self._questions.begun(txn)

    def _push_taken(self, wire: Wire, take: msg.Take, without: frozenset[PartId]) -> Outgoing | None:
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
            return self.push(plan)
        except RejectedError as error:
            wire.send(msg.Reject(take.txn, RejectReason(error.reason), error.what[:500]))
        except TrustError as error:
            wire.send(msg.Reject(take.txn, RejectReason.STALE, error.what[:500]))
        except NotFoundError as error:
            wire.send(msg.Reject(take.txn, RejectReason.UNKNOWN_SESSION, error.what))
        except UsageError as error:
            wire.send(msg.Reject(take.txn, RejectReason.DISABLED, error.what))
        return None

    def _take_rejected(self, ask: TakeAsk, message: msg.Reject) -> None:
        if not ask.begun.done():
            name = self._services.peer_name(ask.peer)
            why = message.text or message.reason.value
            ask.begun.set_exception(
                RejectedError(
                    f"{name} said no: {why}", reason=message.reason.value, state="the session stays where it is"
                )
            )

    def _summaries(self, peer: DeviceId) -> tuple[msg.SessionSummary, ...]:
        return tuple(
            msg.SessionSummary(
                record.id, record.title, record.ownership.role.value, record.ownership.epoch, record.ownership.primary
            )
            for record in self._services.store.sessions.all()
            if not record.stopped and self._admission.judge_take(peer, record.id).verdict is not Verdict.REFUSE
        )

    def _run_outgoing(self, outgoing: Outgoing) -> None:
        self._outgoing[outgoing.plan.txn] = outgoing
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
            self._outgoing.pop(plan.txn, None)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
