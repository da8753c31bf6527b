# SPDX-License-Identifier: Apache-2.0
"""The source's shell: carries out what protocol.source_rules decides. Layer: agent.

Specification: docs/specs/handoff-v2.md §6. One task per handoff takes events from one queue, in order. Durable
effects are awaited before the next one starts. The work itself is done by the parts: pictures (outgoing_content),
the grant and its answer (granting), the way to the target (outgoing_connection), serving what is wanted (serving).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, ClassVar, Final

from p2p_handoff.adapters.base import Reused
from p2p_handoff.agent.account import Account, Subject
from p2p_handoff.agent.carrying import STORE_AGAIN_AFTER, as_failure, carry_out
from p2p_handoff.agent.giving_up import unless_given_up
from p2p_handoff.agent.granting import Granting
from p2p_handoff.agent.headway import Headway
from p2p_handoff.agent.letting_go import release_parts, thaw_parts
from p2p_handoff.agent.outgoing_connection import OutgoingConnection
from p2p_handoff.agent.outgoing_content import OutgoingContent
from p2p_handoff.agent.outgoing_init import init_message
from p2p_handoff.agent.outgoing_patience import OutgoingPatience
from p2p_handoff.agent.outgoing_plan import OutgoingPlan
from p2p_handoff.agent.outgoing_report import OutgoingReport
from p2p_handoff.agent.pacing import Pacing
from p2p_handoff.agent.profile import Stage
from p2p_handoff.agent.report import SEE_LOG, STILL_PRIMARY, Report, stopped
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.serving import Server
from p2p_handoff.agent.wire import Wire
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import (
    CancelledError,
    HandoffError,
    RemoteProtocolError,
    StorageError,
    TrustError,
    UnreachableError,
)
from p2p_handoff.ids import PartId
from p2p_handoff.limits import OFFER_LIFETIME
from p2p_handoff.protocol import agreement, source_rules
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol.outcome import Outcome, Result
from p2p_handoff.protocol.source import Source, SourceEffect, SourceEvent, SourceState
from p2p_handoff.session.manifest import Manifest

log = logging.getLogger(__name__)

_DURABLE: Final = (src.StoreFrozen, src.StoreReleased, src.StoreThawed, src.StoreLearned)
"""Effects that have happened entirely or not at all."""
_DECIDED: Final = (SourceState.FROZEN, SourceState.RELEASED)
"""Where giving up is not this side's any more."""


class Outgoing:
    """One outgoing handoff.

    Args:
        services: The agent's parts.
        plan: What to hand over to whom.
        machine: A machine to resume (a frozen session after a restart), or None for a new handoff.
    """

    def __init__(self, services: Services, plan: OutgoingPlan, machine: Source | None = None) -> None:
        self.plan = plan
        self.machine = machine or Source(plan.txn, plan.session, plan.target, plan.mode)
        self.storing = asyncio.Lock()
        """Held while a change of ownership is made durable; until then the machine is ahead of the store."""
        self._services = services
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[SourceEvent] = asyncio.Queue()
        self._connection = OutgoingConnection(services, plan, self)
        self._content = OutgoingContent(services, plan)
        self._granting = Granting(services, plan)
        subject = Subject(plan.txn, plan.session, plan.target, is_source=True)
        self._account = Account(services, subject, self._connection.current)
        self._ledger = self._account.ledger
        self._server = Server(plan.txn, {}, lambda text: self.failed(HandoffError(text)), self._ledger)
        self._reports = OutgoingReport(plan, self._account, self._content, self._server.served)
        self._patience = OutgoingPatience(self, self._account, self._server.served)
        self._pacing = Pacing(plan.max_pause)
        self._given_up = asyncio.Event()
        self._final: Report | None = None

    def shown(self, manifest: Manifest) -> Manifest:
        """A session as the target of this handoff sees it."""
        return self._content.shown(manifest, self.machine.parts)

    @property
    def undecided(self) -> bool:
        """True while this side may still give up."""
        return self.machine.state not in (*_DECIDED, SourceState.ENDED)

    @property
    def settled(self) -> asyncio.Future[Report]:
        """The first report: final, or in doubt while this object keeps trying."""
        return self._reports.settled

    @property
    def answered(self) -> asyncio.Event:
        """Set once who owns the session is durable here, or once nothing more comes of this object."""
        return self._granting.answered

    # --- from outside -------------------------------------------------------------------------------

    def deliver(self, wire: Wire, message: msg.Message) -> None:
        """A message of this txn arrived."""
        if isinstance(message, msg.Want):
            self._server.want(wire, message)
            return
        if isinstance(message, msg.Tally):
            self._server.served.reused = Reused(message.reused_chunks, message.reused_bytes)
            self._account.heard(message)
        if isinstance(message, msg.Resumed):
            self._reports.resumed = message
        if isinstance(message, src.SOURCE_MESSAGES):
            self.happened(message)

    def wire_lost(self, wire: Wire) -> None:
        """A wire to this target closed."""
        self._connection.lost(wire)

    def cancel(self, text: str) -> None:
        """The user gives up; after a grant only the target can still decide."""
        self._given_up.set()
        self.happened(src.CancelAsked(text))

    def learned(self, event: src.LearnedAccepted | src.LearnedLater) -> None:
        """A verified chain from any device says how the frozen session went on."""
        self.happened(event)

    def ask_again(self) -> None:
        """The target may answer now what it could not answer before."""
        if self._connection.is_there:
            self.happened(src.Connected())

    def standing(self) -> Report:
        """How it stands while nothing is heard of the other device: what is granted cannot be taken back."""
        return self._reports.standing(self.machine)

    def headway(self) -> Headway:
        """How far it is."""
        return self._account.headway(self.machine, self._server.served)

    # --- from its parts -----------------------------------------------------------------------------

    def happened(self, event: SourceEvent) -> None:
        """An event for the machine, after those that wait already."""
        self._events.put_nowait(event)

    def failed(self, error: HandoffError) -> None:
        """This side cannot go on; the report carries the error's kind and advice."""
        self._account.failure = error
        self.happened(src.SourceFailed(error.what))

    def doubtful(self) -> None:
        """Tell the user that the answer to the grant does not come; it is waited for all the same."""
        self._reports.settle(Outcome(Result.IN_DOUBT), self.machine)

    # --- from beginning to end ----------------------------------------------------------------------

    async def run(self) -> Report:
        """Carry the handoff through; returns the final report."""
        serving = self._loop.create_task(self._server.run(), name=f"serve {self.plan.txn[:6]}")
        watching = self._loop.create_task(self._patience.watch(), name=f"watch {self.plan.txn[:6]}")
        try:
            if self.machine.state is SourceState.OFFERED:
                with contextlib.suppress(CancelledError):  # What was asked for is in the queue.
                    await unless_given_up(self._given_up, self._begin())
            else:
                await self._take_up()
            while self._final is None:
                with self._ledger.waiting(self._reports.awaited(self.machine, connected=self._connection.is_there)):
                    event = await self._next_event()
                await self._apply(event)
            return self._final
        except HandoffError as error:
            self._fail(error)
            raise
        except asyncio.CancelledError:
            self._stop()
            raise
        finally:
            self._reports.settle_failed(HandoffError("the handoff failed in a way that nobody foresaw", advice=SEE_LOG))
            self.answered.set()
            serving.cancel()
            watching.cancel()
            self._content.close()
            self._connection.close()

    async def _begin(self) -> None:
        if self.plan.take:
            # The device that asked hears at once that it goes on: a first picture may take minutes.
            await self._connect()
            with contextlib.suppress(UnreachableError):
                self._send_init()
        await self._take_picture(thorough=False)
        if not self._content.offered():
            raise self._content.nothing_left()
        self._reports.tell_secrets()
        if not self._connection.is_there:
            await self._connect()
        await self._apply(src.Connected())

    async def _connect(self) -> None:
        with self._ledger.waiting(Stage.CONNECT):
            await self._connection.first()

    async def _take_up(self) -> None:
        """After a restart: what was granted can still be served where nothing changed on disk since."""
        try:
            again = self._content.picture_again(self.machine.parts, self._granting.granted())
            self._server.snapshots = await unless_given_up(self._given_up, again)
        except Exception as error:  # noqa: BLE001 - whatever it is, the target's answer must still be fetched
            log.warning("handoff %s: what was granted cannot be read: %s", self.plan.txn[:6], error)
        self._connection.dial_again()

    async def _next_event(self) -> SourceEvent:
        if self.machine.state is not SourceState.OFFERED:
            return await self._events.get()
        try:
            async with asyncio.timeout(max(0.0, OFFER_LIFETIME - self._account.seconds)):
                return await self._events.get()
        except TimeoutError:
            return src.Expired()

    # --- one event ----------------------------------------------------------------------------------

    async def _apply(self, event: SourceEvent) -> None:
        before = self.machine
        try:
            self._check(event)
            self.machine, effects = source_rules.step(before, event)
        except (RemoteProtocolError, TrustError) as error:
            # Nothing that does not verify or has no place here decides anything.
            log.warning("handoff %s: %s", self.plan.txn[:6], error)
            return
        log.debug("handoff %s: %s + %s", self.plan.txn[:6], before.state.value, type(event).__name__)
        if isinstance(event, src.Disconnected) and self.machine.state is not SourceState.ENDED:
            self._connection.dial_again()
        self._patience.busy()
        failed = await carry_out(self.plan.txn, effects, self._act)
        if failed is not None:
            self._went_wrong(before, event, *failed)
        self._patience.waiting()

    def _check(self, event: SourceEvent) -> None:
        """Verify what the target says before the machine sees it."""
        if isinstance(event, msg.Accepted | msg.Refused):
            self._granting.check_answer(event)
        elif isinstance(event, msg.Accept):
            try:
                agreement.check_accept(event, self._content.offered())
            except RemoteProtocolError as error:
                self.failed(error)
                raise

    async def _act(self, effect: SourceEffect) -> None:
        async with self.storing if isinstance(effect, _DURABLE) else contextlib.nullcontext():
            await self._EFFECTS[type(effect)](self, effect)

    def _went_wrong(self, before: Source, event: SourceEvent, effect: SourceEffect, error: Exception) -> None:
        """An effect failed: before the grant that ends the handoff, after it the doubt stays until it is resolved."""
        if isinstance(effect, src.Ended):
            raise error
        failure = as_failure(self.plan.txn, effect, error)
        if isinstance(effect, _DURABLE):
            self.machine = before
        if self.machine.state is SourceState.FROZEN:
            self.doubtful()
            if isinstance(error, StorageError):
                self._loop.call_later(STORE_AGAIN_AFTER, self.happened, event)
        elif self.machine.state is not SourceState.RELEASED:
            self.failed(failure)

    # --- effects: messages --------------------------------------------------------------------------

    def _send(self, message: msg.Message) -> None:
        self._connection.current.send(message)

    async def _send_offer(self, _effect: src.SendOffer) -> None:
        await self._granting.prepare()
        self._send_init()
        self._send(msg.Request(self.plan.txn, self._manifest(), self._content.offered(), int(OFFER_LIFETIME)))
        self._reports.tell_offered(asks=self._services.asks(self.plan.target))

    def _send_init(self) -> None:
        self._send(init_message(self._services, self.plan, keeps_secrets=self._content.keeps_secrets))

    async def _send_round(self, effect: src.SendRound) -> None:
        self._pacing.check(effect.number)
        if effect.fresh:
            await self._take_picture(thorough=False)
        self._pacing.begin(self._server.served.sent_bytes, self._loop.time())
        self._account.moving(self._server.served)
        self._send_tally()
        self._send(msg.Round(self.plan.txn, effect.number, self._manifest()))

    async def _send_grant(self, _effect: src.SendGrant) -> None:
        self._send_tally()
        self._send(self._granting.grant_message())

    async def _send_finish(self, _effect: src.SendFinish) -> None:
        self._send_tally()
        self._send(msg.Finish(self.plan.txn, self._manifest()))

    def _send_tally(self) -> None:
        self._send(self._account.tally(self._server.served))

    async def _send_query(self, _effect: src.SendQuery) -> None:
        self._send(self._granting.query_message())

    async def _send_cancel(self, effect: src.SendCancel) -> None:
        self._send(msg.Cancel(self.plan.txn, effect.reason, effect.text[:500]))

    # --- effects: content ---------------------------------------------------------------------------

    async def _survey(self, _effect: src.Survey) -> None:
        before = self._content.roots()
        await self._take_picture()  # What is listed is complete before the pause begins.
        self._reports.tell_secrets()
        same = before == self._content.roots()
        fits = same or self._pacing.fits(self._server.served.sent_bytes, self._loop.time())
        self.happened(src.RemainderSmall() if fits else src.RemainderLarge())

    async def _freeze(self, _effect: src.FreezeParts) -> None:
        self._account.pause_began()
        self._account.emit("frozen")
        try:
            await self._take_picture(freeze=self.machine.parts)
        except HandoffError as error:
            self.failed(error)
            return
        self.happened(src.FinalTaken(digest(self._manifest())))

    async def _release(self, _effect: src.ReleaseParts) -> None:
        granted = self._granting.granted()
        await release_parts(self._services.catalog, self.plan.session, self.machine.parts, granted)
        self._account.emit("released")

    async def _thaw(self, _effect: src.ThawParts) -> None:
        await thaw_parts(self._services.catalog, self.plan.session, self.machine.parts)

    async def _take_picture(self, freeze: Iterable[PartId] = (), *, thorough: bool = True) -> None:
        picture = self._content.picture(self.machine.parts, freeze=freeze, thorough=thorough)
        with self._ledger.waiting(Stage.PICTURE):
            self._server.snapshots = await unless_given_up(self._given_up, picture)
        self._server.served.total_bytes = sum(taken.total_bytes for taken in self._server.snapshots.values())

    def _manifest(self) -> bytes:
        return self._content.encoded()

    # --- effects: ownership -------------------------------------------------------------------------

    async def _store_frozen(self, effect: src.StoreFrozen) -> None:
        del effect  # the grant names the same root
        await self._granting.freeze(self.machine, self._manifest())

    async def _store_released(self, effect: src.StoreReleased) -> None:
        self._account.decided()
        await self._granting.release(effect.statement)

    async def _store_learned(self, effect: src.StoreLearned) -> None:
        self._account.decided()
        await self._granting.learn(effect.chain)

    async def _store_thawed(self, effect: src.StoreThawed) -> None:
        await self._granting.thaw(effect.statement)

    # --- effects: the end ---------------------------------------------------------------------------

    async def _ended(self, effect: src.Ended) -> None:
        if self._reports.resumed is not None and effect.outcome.result is Result.DONE:
            self._account.pause_ended(self._reports.resumed.placed_in)
        self._final = self._reports.of(effect.outcome, self.machine)
        self._reports.settle(effect.outcome, self.machine)

    async def _in_doubt(self, _effect: src.InDoubt) -> None:
        self._connection.doubt_soon()

    _EFFECTS: ClassVar[dict[type[SourceEffect], Callable[[Outgoing, Any], Awaitable[None]]]] = {
        src.SendOffer: _send_offer,
        src.SendRound: _send_round,
        src.Survey: _survey,
        src.FreezeParts: _freeze,
        src.StoreFrozen: _store_frozen,
        src.SendGrant: _send_grant,
        src.SendFinish: _send_finish,
        src.SendQuery: _send_query,
        src.SendCancel: _send_cancel,
        src.StoreReleased: _store_released,
        src.StoreThawed: _store_thawed,
        src.StoreLearned: _store_learned,
        src.ReleaseParts: _release,
        src.ThawParts: _thaw,
        src.Ended: _ended,
        src.InDoubt: _in_doubt,
    }

    # --- the end without its machine ----------------------------------------------------------------

    def _stop(self) -> None:
        """The agent stops: what was granted is taken up at its next start, and nothing else has happened."""
        outcome = self._reports.stopped(self._granting.role())
        if outcome is None:
            self._fail(stopped(STILL_PRIMARY))
        else:
            self._reports.settle(outcome, self.machine)

    def _fail(self, error: HandoffError) -> None:
        """This side gives up before anything was granted, or cannot go on after."""
        wire = self._connection.current.wire
        if wire is not None and wire.is_open and self.machine.state not in _DECIDED:
            with contextlib.suppress(HandoffError):
                wire.send(msg.Cancel(self.plan.txn, msg.RejectReason.FAILED, error.what[:500]))
        self._reports.settle_failed(error)
