# SPDX-License-Identifier: Apache-2.0
"""The target's shell: carries out what protocol.target_rules decides. Layer: agent.

Specification: docs/specs/handoff-v2.md §7. One task per handoff takes events from one queue, in order. Long work
(fetching, sealing, putting in place) runs in a task of its own and comes back as an event, so that a Query is
answered while content still streams.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from p2p_handoff.adapters.base import Placement
from p2p_handoff.agent import resume
from p2p_handoff.agent.arrivals import Arrivals
from p2p_handoff.agent.fetching import Fetcher, PartGoal
from p2p_handoff.agent.report import Report, outcome_error, secrets_as_json, stopped
from p2p_handoff.agent.requests import Answer, Refusal, part_as_json
from p2p_handoff.agent.retry import delays
from p2p_handoff.agent.seeking import always
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.space import check_margin, check_space
from p2p_handoff.agent.wire import Wire
from p2p_handoff.agent.work import Finding, Work, in_thread
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.errors import (
    HandoffError,
    NoSpaceError,
    PathError,
    RemoteProtocolError,
    TrustError,
    UnreachableError,
    UsageError,
)
from p2p_handoff.ids import TxnId
from p2p_handoff.limits import OFFER_LIFETIME, PEER_DEAD_AFTER, SOURCE_SILENCE
from p2p_handoff.protocol import agreement, judgement, target_rules
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import target as tgt
from p2p_handoff.protocol.admission import Admitted
from p2p_handoff.protocol.aftermath import decision_message
from p2p_handoff.protocol.judgement import Terms
from p2p_handoff.protocol.messages import Mode, RejectReason
from p2p_handoff.protocol.outcome import Outcome, Result
from p2p_handoff.protocol.records import ObjectRecord
from p2p_handoff.protocol.reunion import Merging
from p2p_handoff.protocol.target import Target, TargetEffect, TargetEvent, TargetState
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import ChainState
from p2p_handoff.session.manifest import Manifest, Part, PartType, encode_manifest, root_of
from p2p_handoff.session.ownership import Verdict
from p2p_handoff.session.signed import SignedStatement, read
from p2p_handoff.session.statements import NONCE_BYTES, Grant, RefusalReason
from p2p_handoff.store.records import Acceptance

log = logging.getLogger(__name__)

ABANDON_AFTER = OFFER_LIFETIME
"""Seconds a source may stay away before a grant; what it sent is forgotten then."""
STORE_AGAIN_AFTER = 2.0
"""Seconds until a refusal that could not be stored is tried again."""
CLEAN_FOR = 10.0
"""Seconds to wait until work in threads ends and its staging is gone; a disk that hangs must not hide the outcome."""
_PROGRESS_INTERVAL = 0.2
_SURELY_ARRIVED = 2 * PEER_DEAD_AFTER
"""Seconds on a live wire after which what was sent on it has arrived: a dead one is noticed in half of that."""
_AWAITED = (TargetState.SEALING, TargetState.ACCEPTED, TargetState.RESUMED, TargetState.REFUSED)
"""States in which the source is known to have frozen, and waits for the decision."""

_REJECTIONS: dict[type[HandoffError], RejectReason] = {
    NoSpaceError: RejectReason.NO_SPACE,
    PathError: RejectReason.UNSUPPORTED,
    UsageError: RejectReason.UNSUPPORTED,
}


@dataclass(frozen=True, slots=True)
class Offer:
    """What an Init said, checked by the caller."""

    init: msg.Init
    admitted: Admitted | None
    """Its verified chain; None where no ownership moves."""
    merging: Merging | None = None
    """For a merge: the fork."""


class Incoming:
    """One incoming handoff.

    Args:
        services: The agent's parts.
        offer: The checked Init.
        consent: Asks whoever must be asked, given the offered parts; rules for own devices are in there.
        arrivals: Where the parts go.
    """

    def __init__(
        self,
        services: Services,
        offer: Offer,
        consent: Callable[[Manifest, tuple[Part, ...], int], Awaitable[Answer]],
        arrivals: Arrivals,
    ) -> None:
        loop = asyncio.get_running_loop()
        init = offer.init
        self.offer = offer
        self.machine = Target(init.txn, init.session, init.source, init.mode)
        self.report: asyncio.Future[Report] = loop.create_future()
        self._services = services
        self._consent = consent
        self._loop = loop
        self._events: asyncio.Queue[TargetEvent | msg.Grant | Finding[TargetEvent]] = asyncio.Queue()
        self._fetcher = Fetcher(init.txn, self._progressed)
        self._arrivals = arrivals
        self._wire: Wire | None = None
        self._replaced: weakref.WeakSet[Wire] = weakref.WeakSet()
        self._work = Work[TargetEvent](self._events.put_nowait)
        self._asking = Work[TargetEvent](lambda finding: self._events.put_nowait(finding.event))
        self._away: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[Wire] | None = None
        self._said_at: float | None = None
        """When the decision was sent last."""
        self._nonce = b""
        self._grant: SignedStatement | None = None
        self._request: msg.Request | None = None
        self._agreed: Manifest | None = None
        """As it was offered."""
        self._manifest: Manifest | None = None
        """As it was last heard of."""
        self._placements: list[Placement] = []
        self._resumed: list[str] = []
        self._started = loop.time()
        self._granted_at = 0.0
        self._pause = 0.0
        self._path = "unknown"
        self._engine = ""
        self._told_at = 0.0
        self._failure: HandoffError | None = None
        """What made this side fail, for the report."""
        self._heard_at = loop.time()
        self._silence = loop.call_later(SOURCE_SILENCE, self._look_for_silence)

    @property
    def txn(self) -> TxnId:
        """The handoff's id."""
        return self.machine.txn

    @property
    def is_over(self) -> bool:
        """True once nothing more will arrive under this txn."""
        return self.report.done() or self.machine.state in (TargetState.REFUSED, TargetState.ENDED)

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

    def deliver(self, wire: Wire, message: msg.Message) -> None:
        """A message of this txn arrived."""
        self.attach(wire)
        self._heard_at = self._loop.time()
        match message:
            case msg.Gone():
                self._fetcher.gone_received(message)
            case msg.Request():
                self._request = self._request or message
                self._events.put_nowait(message)
            case msg.Grant() | msg.Round() | msg.Finish() | msg.Query() | msg.Cancel():
                self._events.put_nowait(message)

    def object_received(self, wire: Wire, record: ObjectRecord) -> None:
        """An object of this txn arrived."""
        self._heard_at = self._loop.time()
        self._fetcher.object_received(wire, record)

    def wire_lost(self, wire: Wire) -> None:
        """A wire to the source closed."""
        if wire is not self._wire:
            return
        self._wire = None
        self._fetcher.wire_lost("the connection broke")
        self._cancel_timer()
        self._look_for_source()
        if self.is_over:
            return
        self._away = self._loop.call_later(ABANDON_AFTER, self._events.put_nowait, tgt.Abandoned())

    def abandon(self) -> None:
        """The source began anew under another txn."""
        self._events.put_nowait(tgt.Abandoned())

    def cancel(self, text: str) -> None:
        """The user of this side gives up."""
        self._events.put_nowait(tgt.TargetCancelAsked(text))

    def standing(self) -> Report:
        """How it stands while nothing more is heard: what was accepted is not given back."""
        if self.machine.state in (TargetState.ACCEPTED, TargetState.RESUMED):
            return self._report(Outcome(Result.DONE, text="this device owns the session; it is being put in place"))
        return self._report(Outcome(Result.CANCELLED))

    async def run(self) -> None:
        """Carry the handoff through, and answer for it after its report until cancelled."""
        try:
            while True:
                await self._take(await self._events.get())
        except asyncio.CancelledError:
            self._stop()
            raise
        finally:
            self._finish(Outcome(Result.FAILED, RejectReason.FAILED, "the agent failed; see its log"))
            self._cancel_timer()
            self._silence.cancel()
            self._stop_looking()
            await self._asking.stop()
            await self._work.stop()
            self._fetcher.close()

    def _stop(self) -> None:
        """The agent stops: what was accepted is put in place at its next start, and nothing else has happened."""
        decision = self._services.store.incoming.decision(self.txn)
        if decision is not None and decision.verdict is Verdict.ACCEPTED:
            text = "this device owns the session; it is put in place at the next start"
            self._finish(Outcome(Result.DONE, text=text))
            return
        self._failure = stopped()
        self._finish(Outcome(Result.FAILED, RejectReason.FAILED, self._failure.what))

    def attach(self, wire: Wire) -> None:
        """The source is reached by this wire from now on; one that another took the place of is not gone back to."""
        if wire is self._wire or wire in self._replaced:
            return
        if self._wire is not None:
            self._replaced.add(self._wire)
        self._wire = wire
        self._engine = wire.engine_name
        self._cancel_timer()
        self._stop_looking()

    def _look_for_source(self) -> None:
        """A source that is frozen waits for this device's word: whoever reaches the other first."""
        said_in_time = self._said_at is not None and self._loop.time() - self._said_at > _SURELY_ARRIVED
        if self.machine.mode is msg.Mode.MOVE and self.machine.state in _AWAITED and not said_in_time:
            self._looking = self._loop.create_task(
                self._services.seek(self.machine.source, always), name=f"seek source {self.txn[:6]}"
            )

    def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _look_for_silence(self) -> None:
        """A source that is connected and says nothing must not keep an undecided handoff open for ever."""
        if self.is_over or not self.undecided:
            return
        silent = 0.0 if self.machine.state is TargetState.REVIEWING else self._loop.time() - self._heard_at
        if silent >= SOURCE_SILENCE:
            self._events.put_nowait(tgt.Abandoned())
            return
        self._silence = self._loop.call_later(SOURCE_SILENCE - silent, self._look_for_silence)

    def _cancel_timer(self) -> None:
        if self._away is not None:
            self._away.cancel()
            self._away = None

    # --- the loop -----------------------------------------------------------------------------------

    async def _take(self, item: TargetEvent | msg.Grant | Finding[TargetEvent]) -> None:
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
        for effect in effects:
            try:
                await self._EFFECTS[type(effect)](self, effect)
            except UnreachableError:
                log.debug("handoff %s: %s met a broken wire", self.txn[:6], type(effect).__name__)
            except Exception as error:  # noqa: BLE001 - whatever it is, the source must get an answer
                self._went_wrong(before, event, effect, error)
                return

    def _event_of(self, item: TargetEvent | msg.Grant | Finding[TargetEvent]) -> TargetEvent | None:
        match item:
            case msg.Grant() | msg.Query():
                return self._judge(item)
            case Finding():
                return item.event if self._work.is_current(item) else None
            case _:
                return item

    def _went_wrong(self, before: Target, event: TargetEvent, effect: TargetEffect, error: Exception) -> None:
        """An effect failed: what was not stored has not happened, and is not said."""
        typed = isinstance(error, HandoffError)
        log.error("handoff %s, %s: %s", self.txn[:6], type(effect).__name__, error, exc_info=None if typed else error)
        reason, text = _explained(error)
        self._failure = error if isinstance(error, HandoffError) else HandoffError(text)
        match effect:
            case tgt.StoreAccepted():
                self.machine = before
                self._events.put_nowait(tgt.SealFailed(reason, text))
            case tgt.StoreRefused():
                # The source waits for it, frozen: tried again until the disk takes it.
                self.machine = before
                self._loop.call_later(STORE_AGAIN_AFTER, self._events.put_nowait, event)
            case tgt.TargetEnded():
                pass
            case _:
                self._events.put_nowait(tgt.TargetCancelAsked(text))

    def _judge(self, message: msg.Grant | msg.Query) -> TargetEvent | None:
        """What a grant or a query means; None for one that is not the source's at all."""
        if self.offer.admitted is None:
            log.warning("handoff %s: a copy cannot be granted", self.txn[:6])
            return None
        state = self.offer.admitted.state
        try:
            if isinstance(message, msg.Query):
                judgement.check_asker(message, state.primary_key, me=self._services.identity.device)
                return message
            judged = judgement.judge_grant(message, self._terms(state))
        except (TrustError, RemoteProtocolError) as error:
            log.warning("handoff %s: a %s that decides nothing: %s", self.txn[:6], type(message).__name__, error)
            return None
        undecided = self.machine.state not in (TargetState.ACCEPTED, TargetState.RESUMED)
        if undecided and isinstance(judged.event, tgt.GrantVerified):
            self._grant = judged.signed
            self._granted_at = self._granted_at or self._loop.time()
        return judged.event

    def _terms(self, state: ChainState) -> Terms:
        me = self._services.identity.device
        return Terms(me, self.txn, state, self._nonce, self._agreed, self.machine.parts)

    def _later_manifest(self, data: bytes) -> Manifest:
        assert self._agreed is not None
        return agreement.check_later(data, self._agreed, self.machine.parts)

    async def _outcome_of(
        self, work: Awaitable[TargetEvent], failed: Callable[[RejectReason, str], TargetEvent]
    ) -> TargetEvent | None:
        """What work led to; None when the connection broke: the source comes back and says the same again."""
        try:
            return await work
        except UnreachableError:
            return None
        except HandoffError as error:
            self._failure = error
            return failed(*_explained(error))

    def _send(self, message: msg.Message) -> None:
        if self._wire is None:
            raise UnreachableError("no connection to the other device")
        self._wire.send(message)

    # --- effects ------------------------------------------------------------------------------------

    async def _ask_user(self, _effect: tgt.AskUser) -> None:
        self._asking.start(
            lambda: self._outcome_of(self._ask(), tgt.UserRejected),
            f"ask {self.txn[:6]}",
            lambda text: tgt.UserRejected(RejectReason.FAILED, text),
        )

    async def _ask(self) -> TargetEvent:
        assert self._request is not None
        manifest, parts = agreement.check_offer(self._request, self.machine.session)
        self._agreed = self._manifest = manifest
        self._services.events.emit(
            "offer",
            txn=self.txn,
            session=manifest.session,
            title=manifest.title,
            peer=self._services.peer_name(self.machine.source),
            parts=[part_as_json(part) for part in parts],
            secrets=secrets_as_json(manifest.parts, self._services.name_of),
        )
        answer = await self._consent(manifest, parts, self._request.expires_in)
        if isinstance(answer, Refusal):
            return tgt.UserRejected(answer.reason, answer.text)
        taken = [part for part in parts if part.id not in answer.without]
        wished = [part for part in taken if not answer.types or part.type.value in answer.types]
        chosen = self._arrivals.fitting(wished)
        if not chosen:
            return tgt.UserRejected(RejectReason.NOTHING_CHOSEN, "no offered part is of a chosen type")
        await in_thread(self._prepare, manifest, chosen, answer.into)
        return tgt.UserAccepted(tuple(part.id for part in chosen))

    def _prepare(self, manifest: Manifest, chosen: tuple[Part, ...], into: Path | None) -> None:
        """Choose places that have room; a refusal leaves nothing behind."""
        self._arrivals.prepare(manifest, chosen, into)
        try:
            check_space(self._arrivals.all())
        except HandoffError:
            self._arrivals.abandon()
            raise

    async def _send_accept(self, effect: tgt.SendAccept) -> None:
        self._send(msg.Accept(self.txn, effect.parts))

    async def _send_reject(self, effect: tgt.SendReject) -> None:
        self._send(msg.Reject(self.txn, effect.reason, effect.text[:500]))

    async def _fetch_round(self, effect: tgt.FetchRound) -> None:
        self._work.start(
            lambda: self._outcome_of(self._fetch(effect), tgt.FetchFailed),
            f"fetch {self.txn[:6]}",
            lambda text: tgt.FetchFailed(RejectReason.FAILED, text),
        )

    async def _fetch(self, effect: tgt.FetchRound) -> TargetEvent:
        return tgt.Fetched(effect.number, await self._fetch_all(self._later_manifest(effect.manifest)))

    async def _fetch_all(self, manifest: Manifest) -> bool:
        if self._wire is None:
            raise UnreachableError("no connection to the other device")
        self._path = await self._wire.path_kind()
        goals = self._goals(manifest)
        for goal in goals:
            self._arrivals.unseal(goal.part.id)
        complete = await self._fetcher.fetch(self._wire, goals)
        if complete:
            # Sealed after every round: when nothing changed any more, the pause has nothing left to do here.
            await in_thread(self._arrivals.seal, [goal.part for goal in goals])
            if self.machine.mode is Mode.MOVE and self.undecided:
                await in_thread(self._services.keeper.prepare, self.machine.session, self.txn)
            await in_thread(check_margin, self._arrivals.all())
        return complete

    def _goals(self, manifest: Manifest) -> list[PartGoal]:
        """The accepted parts that are not here as of this manifest."""
        accepted = frozenset(self.machine.parts)
        goals = [
            PartGoal(part, self._arrivals.staging(part.id))
            for part in manifest.parts
            if part.id in accepted and not self._arrivals.is_sealed(part)
        ]
        # Small and readable parts first: a conversation is there while files still stream.
        return sorted(goals, key=lambda goal: goal.part.type is PartType.FILES)

    async def _send_ready(self, effect: tgt.SendReady) -> None:
        self._nonce = self._services.entropy(NONCE_BYTES)
        self._send(msg.Ready(self.txn, effect.number, effect.complete, self._nonce))

    async def _seal_granted(self, effect: tgt.SealGranted) -> None:
        self._work.start(
            lambda: self._outcome_of(self._seal(effect.manifest), tgt.SealFailed),
            f"seal {self.txn[:6]}",
            lambda text: tgt.SealFailed(RejectReason.FAILED, text),
        )

    async def _seal(self, data: bytes) -> TargetEvent:
        self._manifest = self._later_manifest(data)
        if await self._fetch_all(self._manifest):
            await self._arrivals.decide(self._manifest)
            return tgt.Sealed()
        return tgt.SealFailed(RejectReason.FAILED, "something changed at the source after it was frozen")

    async def _store_accepted(self, _effect: tgt.StoreAccepted) -> None:
        assert self._grant is not None
        assert self._manifest is not None
        assert self.offer.admitted is not None
        services = self._services
        signed = chains.accept(services.identity, self._grant)
        grant = read(self._grant, Grant)
        acceptance = Acceptance(
            title=self._manifest.title,
            created_at=services.clock(),
            manifest=_granted_bytes(self._manifest, grant.root),
            chain=(*self.offer.admitted.chain, self._grant, signed),
            nonce=self._nonce,
            bindings=self._arrivals.bindings(self._manifest, self.machine.parts, self.machine.source),
            commits=self._arrivals.commits(),
        )
        await in_thread(services.store.incoming.accept, acceptance)

    async def _store_refused(self, effect: tgt.StoreRefused) -> None:
        log.info("handoff %s refused: %s", self.txn[:6], effect.text)
        store_refusal(self._services, self.machine, RefusalReason.CANCELLED)

    async def _send_decision(self, _effect: tgt.SendDecision) -> None:
        decision = self._services.store.incoming.decision(self.txn)
        assert decision is not None
        self._send(decision_message(decision, self._services.store.counter.value))
        self._said_at = self._loop.time()

    async def _commit(self, _effect: tgt.Commit) -> None:
        record = self._services.store.sessions.get(self.machine.session)
        if record is not None and self.machine.mode is msg.Mode.MOVE:
            own = record.ownership
            self._services.events.emit("owner", session=own.session, primary=own.primary, epoch=own.epoch)
        self._work.start(self._put_in_place, f"commit {self.txn[:6]}", lambda _text: None)

    async def _put_in_place(self) -> TargetEvent:
        for delay in delays(self._services.entropy):
            try:
                await self._keep_replaced()
                self._placements = await self._arrivals.commit(self._services.store)
                break
            except Exception as error:  # noqa: BLE001 - whatever it is, the session is this device's already
                # What is staged stays until it can be put in place.
                log.error("handoff %s is not in place yet: %s", self.txn[:6], error)
                self._services.unplaced.tell(self.txn, self.machine.session, error)
                await asyncio.sleep(delay)
        self._services.unplaced.placed(self.machine.session)
        self._services.catalog.forget_open(self.machine.session)
        await in_thread(self._services.keeper.prune, self.machine.session)
        self._pause = self._loop.time() - self._granted_at if self._granted_at else 0.0
        merged = self.machine.mode is Mode.MERGE  # into a session that is in use here
        for arrival, placement in () if merged else zip(self._arrivals.all(), self._placements, strict=True):
            detail = await resume.run(self._services.settings.resume, arrival.part.kind, placement.path)
            self._resumed.extend([detail] if detail else [])
        return tgt.Committed()

    async def _keep_replaced(self) -> None:
        """What the handoff replaces here stays, to be brought back by an undo."""
        if self.machine.mode is not Mode.MOVE:
            return
        failure = await in_thread(self._services.keeper.before_commit, self.machine.session, self.txn)
        if failure is not None:
            log.warning("handoff %s: what it replaces is not kept: %s", self.txn[:6], failure)
            self._services.events.emit("not-kept", txn=self.txn, session=self.machine.session, text=failure.what)

    async def _send_resumed(self, _effect: tgt.SendResumed) -> None:
        assert self._manifest is not None
        root = root_of(self._manifest)
        received = self._fetcher.progress.received_bytes
        self._send(msg.Resumed(self.txn, root, received, "; ".join(self._resumed)[:500]))

    async def _abandon(self, _effect: tgt.AbandonStaging) -> None:
        self._nonce = b""
        self._fetcher.close()
        cleaning = asyncio.ensure_future(self._clean_up())
        _, waiting = await asyncio.wait((cleaning,), timeout=CLEAN_FOR)
        if waiting:
            log.warning("handoff %s: what was staged is removed once the disk answers", self.txn[:6])

    async def _clean_up(self) -> None:
        await self._asking.stop()
        await self._work.stop()
        self._services.keeper.abandon(self.txn)
        try:
            await in_thread(self._arrivals.abandon)
        except HandoffError as error:
            # What cannot be removed changes nothing about how the handoff ends.
            log.warning("handoff %s leaves something behind: %s", self.txn[:6], error)

    async def _send_cancel(self, effect: tgt.TargetSendCancel) -> None:
        self._send(msg.Cancel(self.txn, effect.reason, effect.text[:500]))

    async def _ended(self, effect: tgt.TargetEnded) -> None:
        await self._asking.stop()
        self._finish(effect.outcome)

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

    # --- reporting ----------------------------------------------------------------------------------

    def _progressed(self) -> None:
        now = self._loop.time()
        if now - self._told_at < _PROGRESS_INTERVAL:
            return
        self._told_at = now
        progress = self._fetcher.progress
        self._services.events.emit(
            "progress",
            txn=self.txn,
            session=self.machine.session,
            phase=self.machine.state.value,
            round=self.machine.round,
            bytes=progress.content_bytes,
            remaining=progress.remaining,
            received_bytes=progress.received_bytes,
            objects=progress.objects,
        )

    def _finish(self, outcome: Outcome) -> None:
        if not self.report.done():
            self.report.set_result(self._report(outcome))

    def _report(self, outcome: Outcome) -> Report:
        peer = self._services.peer_name(self.machine.source)
        record = self._services.store.sessions.get(self.machine.session)
        error = outcome_error(outcome, peer, self._failure, source=False)
        return Report(
            outcome=outcome.result.value,
            txn=self.txn,
            session=self.machine.session,
            title=self._manifest.title if self._manifest else "",
            peer=peer,
            epoch=record.ownership.epoch if record else self.offer.init.epoch,
            seconds=round(self._loop.time() - self._started, 3),
            pause_ms=round(self._pause * 1000, 1),
            sent_bytes=0,
            received_bytes=self._fetcher.progress.received_bytes,
            received_objects=self._fetcher.progress.objects,
            engine=self._engine,
            path=self._path,
            rounds=self.machine.round,
            into=tuple(str(placement.path) for placement in self._placements),
            conflicts=tuple(str(path) for placement in self._placements for path in placement.conflicts),
            root=root_of(self._manifest).hex() if self._manifest else "",
            secrets=tuple(secrets_as_json(self._manifest.parts, self._services.name_of) if self._manifest else ()),
            resumed="; ".join(self._resumed),
            reason=outcome.reason.value if outcome.reason else "",
            text=error.sentence if error else outcome.text,
            exit_code=int(error.exit_code) if error else 0,
            error=error,
        )


def _explained(error: Exception) -> tuple[RejectReason, str]:
    """An error as the other device hears of it."""
    if not isinstance(error, HandoffError):
        return RejectReason.FAILED, f"an unexpected error ({type(error).__name__})"
    return _REJECTIONS.get(type(error), RejectReason.FAILED), error.what


def _granted_bytes(manifest: Manifest, root: Digest) -> bytes:
    data = encode_manifest(manifest)
    assert digest(data) == root, "a manifest that decodes and encodes to other bytes is refused when it arrives"
    return data


def store_refusal(services: Services, machine: Target, reason: RefusalReason) -> None:
    """Durably refuse a txn."""
    identity = services.identity
    signed = chains.refuse(identity, machine.session, machine.txn, machine.source, reason)
    services.store.incoming.refuse(signed, identity.public.identity_key)
