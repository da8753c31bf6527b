# SPDX-License-Identifier: Apache-2.0
"""The source's shell: carries out what protocol.source_rules decides. Layer: agent.

Specification: docs/specs/handoff-v2.md §6. One task per handoff takes events from one queue, in order. Durable
effects are awaited before the next one starts. Nothing is decided here but when to dial again and when to stop
waiting for a person.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from p2p_handoff.adapters.base import OpenPart
from p2p_handoff.agent.catalog import Look, Picture
from p2p_handoff.agent.leaving import Leaving
from p2p_handoff.agent.offering import Selection, withheld_as_json
from p2p_handoff.agent.push_refusals import old_there
from p2p_handoff.agent.reaching import first_wire
from p2p_handoff.agent.report import SEE_LOG, STILL_PRIMARY, Report, outcome_error, secrets_as_json, stopped
from p2p_handoff.agent.retry import delays
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.serving import Served, Server
from p2p_handoff.agent.wire import Wire
from p2p_handoff.agent.work import in_thread
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.errors import (
    CancelledError,
    HandoffError,
    RemoteProtocolError,
    StorageError,
    TimedOutError,
    TrustError,
    UnreachableError,
)
from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.limits import OFFER_LIFETIME
from p2p_handoff.protocol import agreement, judgement, source_rules
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol.outcome import Outcome, Result
from p2p_handoff.protocol.source import Source, SourceEffect, SourceEvent, SourceState
from p2p_handoff.security.identity import PublicIdentity
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session import chain as chains
from p2p_handoff.session.guard import EVERYTHING, NOTHING, Letting
from p2p_handoff.session.manifest import Manifest, Part, decode_manifest, encode_manifest
from p2p_handoff.session.ownership import Role
from p2p_handoff.session.signed import decode_signed, encode_signed, read
from p2p_handoff.session.statements import Grant
from p2p_handoff.store.records import PartBinding

log = logging.getLogger(__name__)

_T = TypeVar("_T")

RECONNECT_FOR = 30.0
"""Seconds to look for a target that went away before a grant, and before a frozen source reports a doubt."""
MAX_ROUNDS = 10
"""A session that still changes too fast after this many rounds ends the handoff instead of looping."""
ANSWER_FOR = 300.0
"""Seconds without a byte or a word in which a target that is there may still be at work: syncing, scanning."""
RESUME_FOR = 60.0
"""Seconds to wait for the target's word that the session is in place: it is the primary already."""
STORE_AGAIN_AFTER = 2.0
"""Seconds until an answer that could not be stored is tried again."""
TELL_FOR = 10.0
"""Seconds for an adapter to note how it ended; one that hangs is told when the session is looked at next."""
_ASSUMED_RATE = 2_000_000.0
"""Bytes per second assumed for the pause until something was measured: the slow engine's slow end."""
_PROGRESS_INTERVAL = 0.2
_DURABLE = (src.StoreFrozen, src.StoreReleased, src.StoreThawed, src.StoreLearned)
"""Effects that have happened entirely or not at all."""
_GIVES_UP = (SourceState.OFFERED, SourceState.COPYING, SourceState.FINISHING)
"""Where a target that cannot be reached ends the handoff."""


@dataclass(frozen=True, slots=True)
class OutgoingPlan:
    """What a source is asked to hand over."""

    txn: TxnId
    session: SessionId
    target: DeviceId
    mode: msg.Mode = msg.Mode.MOVE
    types: frozenset[str] = frozenset()
    """Part types offered; empty means all."""
    without: frozenset[PartId] = frozenset()
    """Parts that the settings do not let the target take."""
    take: bool = False
    """True when the target asked for it."""
    max_pause: float = 0.3
    """Seconds."""
    parent: bytes = b""
    """For a merge: the encoded manifest that the fork left, if its objects can be served."""
    letting: Letting = NOTHING
    """The secrets that may go to a device that is not one's own."""


class Outgoing:
    """One outgoing handoff.

    Args:
        services: The agent's parts.
        plan: What to hand over to whom.
        machine: A machine to resume (a frozen session after a restart), or None for a new handoff.
    """

    def __init__(self, services: Services, plan: OutgoingPlan, machine: Source | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.plan = plan
        self.machine = machine or Source(plan.txn, plan.session, plan.target, plan.mode)
        self.settled: asyncio.Future[Report] = loop.create_future()
        """The first report: final, or in doubt while this object keeps trying."""
        self.answered = asyncio.Event()
        """Set once who owns the session is durable here, or once nothing more comes of this object."""
        self.storing = asyncio.Lock()
        """Held while a change of ownership is made durable; until then the machine is ahead of the store."""
        self._services = services
        self._selection = Selection(plan.types, plan.without, services.policies.of(plan.target))
        self._loop = loop
        self._events: asyncio.Queue[SourceEvent] = asyncio.Queue()
        self._wire: Wire | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._picture: Picture | None = None
        self._server = Server(plan.txn, {}, lambda text: self._failed(HandoffError(text)))
        self._started = loop.time()
        self._frozen_at = 0.0
        self._pause = 0.0
        self._resumed: msg.Resumed | None = None
        self._final: Report | None = None
        self._path = "unknown"
        self._engine = ""
        self._rate_mark = (0.0, 0)
        self._doubt: asyncio.TimerHandle | None = None
        self._giving_up = asyncio.Event()
        self._failure: HandoffError | None = None
        """What made this side fail, for the report."""
        self._idle_since = math.inf
        """When this side began to wait for the other; infinity while it is busy itself."""

    @property
    def undecided(self) -> bool:
        """True while this side may still give up."""
        return self.machine.state not in (SourceState.FROZEN, SourceState.RELEASED, SourceState.ENDED)

    # --- from outside -------------------------------------------------------------------------------

    def deliver(self, wire: Wire, message: msg.Message) -> None:
        """A message of this txn arrived."""
        if isinstance(message, msg.Want):
            self._server.want(wire, message)
            return
        if isinstance(message, msg.Resumed):
            self._resumed = message
        if isinstance(message, src.SOURCE_MESSAGES):
            self._events.put_nowait(message)

    def wire_lost(self, wire: Wire) -> None:
        """A wire to this target closed."""
        if wire is self._wire:
            self._wire = None
            self._events.put_nowait(src.Disconnected())

    def cancel(self, text: str) -> None:
        """The user gives up; after a grant only the target can still decide."""
        self._giving_up.set()
        self._events.put_nowait(src.CancelAsked(text))

    def learned(self, event: src.LearnedAccepted | src.LearnedLater) -> None:
        """A verified chain from any device says how the frozen session went on."""
        self._events.put_nowait(event)

    def ask_again(self) -> None:
        """The target may answer now what it could not answer before."""
        if self._wire is not None:
            self._events.put_nowait(src.Connected())

    def standing(self) -> Report:
        """How it stands while nothing is heard of the other device: what is granted cannot be taken back."""
        name = self._services.peer_name(self.plan.target)
        outcomes = {
            SourceState.FROZEN: Outcome(Result.IN_DOUBT, text=f"{name} was granted the session and does not answer"),
            SourceState.RELEASED: Outcome(Result.DONE, text=f"{name} owns the session already"),
        }
        return self._report(outcomes.get(self.machine.state, Outcome(Result.CANCELLED)))

    async def run(self) -> Report:
        """Carry the handoff through; returns the final report."""
        serving = self._loop.create_task(self._server.run(), name=f"serve {self.plan.txn[:6]}")
        watching = self._loop.create_task(self._watch(), name=f"watch {self.plan.txn[:6]}")
        try:
            if self.machine.state is SourceState.OFFERED:
                with contextlib.suppress(CancelledError):  # What was asked for is in the queue.
                    await self._unless_given_up(self._first_connect())
            else:
                await self._picture_again()
                self._dial_again()
            while self._final is None:
                await self._apply(await self._next_event())
            return self._final
        except HandoffError as error:
            self._fail(error)
            raise
        except asyncio.CancelledError:
            self._stop()
            raise
        finally:
            self._settle_failed(HandoffError("the handoff failed in a way that nobody foresaw", advice=SEE_LOG))
            self.answered.set()
            for task in (serving, watching, self._dialling):
                if task is not None:
                    task.cancel()
            self._cancel_doubt()

    # --- the loop -----------------------------------------------------------------------------------

    async def _first_connect(self) -> None:
        if self.plan.take:
            # The device that asked hears at once that it goes on: a first picture may take minutes.
            await self._adopt(await first_wire(self._services, self.plan.target, self.plan.txn))
            with contextlib.suppress(UnreachableError):
                self._send(self._init_message())
        await self._take_picture()
        if not self._offered():
            assert self._picture is not None
            name = self._services.peer_name(self.plan.target)
            raise self._selection.nothing_left(self._picture.manifest, name)
        self._tell_secrets()
        if self._wire is None:
            await self._adopt(await first_wire(self._services, self.plan.target, self.plan.txn))
        await self._apply(src.Connected())

    async def _picture_again(self) -> None:
        """After a restart: what was granted can still be served where nothing changed on disk since."""
        try:
            await self._take_picture()  # No freeze: the adapters remember what was granted, not what is here by now.
        except Exception as error:  # noqa: BLE001 - whatever it is, the target's answer must still be fetched
            log.warning("handoff %s: what was granted cannot be read: %s", self.plan.txn[:6], error)

    async def _next_event(self) -> SourceEvent:
        if self.machine.state is not SourceState.OFFERED:
            return await self._events.get()
        try:
            async with asyncio.timeout(max(0.0, self._started + OFFER_LIFETIME - self._loop.time())):
                return await self._events.get()
        except TimeoutError:
            return src.Expired()

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
            self._dial_again()
        self._idle_since = math.inf
        await self._carry_out(before, event, effects)
        self._idle_since = self._loop.time()

    async def _carry_out(self, before: Source, event: SourceEvent, effects: Iterable[SourceEffect]) -> None:
        for effect in effects:
            try:
                async with self.storing if isinstance(effect, _DURABLE) else contextlib.nullcontext():
                    await self._EFFECTS[type(effect)](self, effect)
            except UnreachableError:
                # The wire broke under this effect: Disconnected is on its way and a later Connected sends again.
                log.debug("handoff %s: %s met a broken wire", self.plan.txn[:6], type(effect).__name__)
            except Exception as error:
                if isinstance(effect, src.Ended):
                    raise
                self._went_wrong(before, event, effect, error)
                return

    def _check(self, event: SourceEvent) -> None:
        """Verify what the target says before the machine sees it."""
        if isinstance(event, msg.Accepted | msg.Refused):
            judgement.check_answer(event, self._target_key(), txn=self.plan.txn)
        elif isinstance(event, msg.Accept):
            try:
                agreement.check_accept(event, self._offered())
            except RemoteProtocolError as error:
                self._failed(error)
                raise

    def _went_wrong(self, before: Source, event: SourceEvent, effect: SourceEffect, error: Exception) -> None:
        """An effect failed: before the grant that ends the handoff, after it the doubt stays until it is resolved."""
        typed = isinstance(error, HandoffError)
        log.error(
            "handoff %s, %s: %s", self.plan.txn[:6], type(effect).__name__, error, exc_info=None if typed else error
        )
        if isinstance(effect, _DURABLE):
            self.machine = before
        if self.machine.state is SourceState.FROZEN:
            self._settle_in_doubt()
            if isinstance(error, StorageError):
                self._loop.call_later(STORE_AGAIN_AFTER, self._events.put_nowait, event)
        elif self.machine.state is not SourceState.RELEASED:
            unexpected = HandoffError(f"an unexpected error ({type(error).__name__})")
            self._failed(error if isinstance(error, HandoffError) else unexpected)

    def _failed(self, error: HandoffError) -> None:
        """This side cannot go on; the report carries the error's kind and advice."""
        self._failure = error
        self._events.put_nowait(src.SourceFailed(error.what))

    def _fail(self, error: HandoffError) -> None:
        decided = self.machine.state in (SourceState.FROZEN, SourceState.RELEASED)
        if self._wire is not None and self._wire.is_open and not decided:
            with contextlib.suppress(HandoffError):
                self._wire.send(msg.Cancel(self.plan.txn, msg.RejectReason.FAILED, error.what[:500]))
        self._settle_failed(error)

    def _stop(self) -> None:
        """The agent stops: what was granted is taken up at its next start, and nothing else has happened."""
        record = self._services.store.sessions.get(self.plan.session)
        role = record.ownership.role if record is not None and self.plan.mode is msg.Mode.MOVE else Role.PRIMARY
        name = self._services.peer_name(self.plan.target)
        match role:
            case Role.FROZEN:
                self._settle(Outcome(Result.IN_DOUBT, text=f"the agent stopped before {name} answered the grant"))
            case Role.SECONDARY:
                self._settle(Outcome(Result.DONE, text=f"{name} owns the session already"))
            case Role.PRIMARY:
                self._fail(stopped(STILL_PRIMARY))

    def _settle_failed(self, error: HandoffError) -> None:
        if not self.settled.done():
            self.settled.set_exception(error)
            self.settled.exception()  # Whoever awaits it has it; nobody may.

    # --- connections --------------------------------------------------------------------------------

    async def _adopt(self, wire: Wire) -> None:
        # What a Hello said is known only now; a frozen source has to ask even an old copy.
        if self.undecided and self.plan.mode is not msg.Mode.COPY and self._services.is_old(self.plan.target):
            raise old_there(self._services.peer_name(self.plan.target))
        self._wire = wire
        self._engine = wire.engine_name
        self._path = await wire.path_kind()
        if not wire.is_open:
            self.wire_lost(wire)

    def _dial_again(self) -> None:
        if self._dialling is None or self._dialling.done():
            self._dialling = self._loop.create_task(self._reconnect(), name=f"redial {self.plan.txn[:6]}")

    async def _reconnect(self) -> None:
        deadline = self._loop.time() + RECONNECT_FOR
        for delay in delays(self._services.entropy):
            if self._is_frozen():
                await self._in_doubt(src.InDoubt())
                while self._wire is None:  # It may break again while it is looked at.
                    await self._adopt(await self._services.seek(self.plan.target, self._is_awaited))
            if self._wire is not None or await self._is_reached():
                self._cancel_doubt()
                self._events.put_nowait(src.Connected())
                return
            if self._loop.time() > deadline and self.machine.state in _GIVES_UP:
                name = self._services.peer_name(self.plan.target)
                self._failed(UnreachableError(f"the connection to {name} broke and did not come back"))
                return
            await self._services.sighted(self.plan.target, delay)

    def _is_frozen(self) -> bool:
        return self.machine.state is SourceState.FROZEN

    def _is_awaited(self) -> bool:
        """Whether somebody waits for the answer: where the work goes on in a fork there is no hurry."""
        with contextlib.suppress(StorageError):
            return self._services.store.forks.open_of(self.plan.session) is None
        return True

    async def _is_reached(self) -> bool:
        try:
            await self._adopt(await self._services.connect(self.plan.target))
        except HandoffError as error:
            log.info("handoff %s: cannot reach the target yet: %s", self.plan.txn[:6], error)
        except Exception:
            log.exception("handoff %s: dialling failed in a way that nobody foresaw", self.plan.txn[:6])
        return self._wire is not None  # It may have broken again while it was looked at.

    def _cancel_doubt(self) -> None:
        if self._doubt is not None:
            self._doubt.cancel()
            self._doubt = None

    def _send(self, message: msg.Message) -> None:
        if self._wire is None:
            raise UnreachableError("no connection to the other device")
        self._wire.send(message)

    # --- effects ------------------------------------------------------------------------------------

    async def _send_offer(self, _effect: src.SendOffer) -> None:
        plan = self.plan
        self._send(self._init_message())
        self._send(msg.Request(plan.txn, self._manifest(), self._offered(), int(OFFER_LIFETIME)))
        link = self._services.store.links.get(plan.target)
        asks = link is not None and link.kind is LinkKind.OTHER
        name = self._services.peer_name(plan.target)
        withheld = withheld_as_json(self._withheld())
        self._services.events.emit(
            "offered", txn=plan.txn, session=plan.session, name=name, asks=asks, withheld=withheld
        )

    def _init_message(self) -> msg.Init:
        plan = self.plan
        record = self._services.store.sessions.get(plan.session)
        assert record is not None
        chain = b"" if plan.mode is msg.Mode.COPY else record.chain
        me = self._services.identity.device
        epoch = record.ownership.epoch
        parent = self._parent()
        return msg.Init(plan.txn, plan.session, me, plan.target, plan.mode, epoch, chain, plan.take, parent)

    def _parent(self) -> bytes:
        """What the fork left, unless its objects would name what is kept back from the target."""
        left = decode_manifest(self.plan.parent).parts if self.plan.parent else ()
        named = any(secret.held_by is None for part in left for secret in part.secrets)
        kept = any(item["withheld"] for item in self._secrets())
        return b"" if kept or (named and not self._is_own()) else self.plan.parent

    def _is_own(self) -> bool:
        link = self._services.store.links.get(self.plan.target)
        return link is not None and link.kind is LinkKind.OWN

    async def _send_round(self, effect: src.SendRound) -> None:
        if effect.number > MAX_ROUNDS:
            what = "the session changes faster than it can be copied within the allowed pause"
            self._failed(HandoffError(what, advice="allow a longer one (--max-pause), or wait until it rests"))
            return
        if effect.fresh:
            await self._take_picture()
        self._rate_mark = (self._loop.time(), self._server.served.sent_bytes)
        self._send(msg.Round(self.plan.txn, effect.number, self._manifest()))

    async def _survey(self, _effect: src.Survey) -> None:
        before = self._roots()
        await self._take_picture()
        # What the last round carried is the best guess at what the next one would.
        _, sent = self._rate_mark
        carried = self._server.served.sent_bytes - sent
        fits = before == self._roots() or carried <= self._rate() * self.plan.max_pause
        self._events.put_nowait(src.RemainderSmall() if fits else src.RemainderLarge())

    async def _freeze(self, _effect: src.FreezeParts) -> None:
        self._frozen_at = self._loop.time()
        self._services.events.emit("frozen", txn=self.plan.txn, session=self.plan.session)
        try:
            await self._take_picture(freeze=self.machine.parts)
        except HandoffError as error:
            self._failed(error)
            return
        self._events.put_nowait(src.FinalTaken(digest(self._manifest())))

    async def _store_frozen(self, effect: src.StoreFrozen) -> None:
        del effect  # the grant names the same root
        record = self._services.store.sessions.get(self.plan.session)
        assert record is not None
        manifest = self._manifest()
        # What the store has proven of the chain already: verifying it anew would lengthen the pause with each handoff.
        state = self._services.store.ownership.held(record).state
        offer = chains.Offer(
            txn=self.plan.txn,
            target_key=self._target_key(),
            root=digest(manifest),
            parts=self.machine.parts,
            nonce=self.machine.nonce,
        )
        signed = chains.grant(self._services.identity, state, offer)
        await in_thread(self._services.store.outgoing.freeze, signed, manifest, at=self._services.clock())

    async def _send_grant(self, _effect: src.SendGrant) -> None:
        outgoing = self._services.store.outgoing.grant(self.plan.txn)
        assert outgoing is not None
        assert outgoing.manifest is not None
        statement, counter = encode_signed(outgoing.signed), self._services.store.counter.value
        self._send(msg.Grant(self.plan.txn, self.plan.session, statement, outgoing.manifest, counter))

    async def _send_finish(self, _effect: src.SendFinish) -> None:
        self._send(msg.Finish(self.plan.txn, self._manifest()))

    async def _send_query(self, _effect: src.SendQuery) -> None:
        outgoing = self._services.store.outgoing.grant(self.plan.txn)
        assert outgoing is not None
        self._send(msg.Query(self.plan.txn, self.plan.session, encode_signed(outgoing.signed)))

    async def _send_cancel(self, effect: src.SendCancel) -> None:
        self._send(msg.Cancel(self.plan.txn, effect.reason, effect.text[:500]))

    async def _store_released(self, effect: src.StoreReleased) -> None:
        if self._frozen_at:
            self._pause = self._loop.time() - self._frozen_at
        signed = decode_signed(effect.statement)
        await in_thread(self._services.store.outgoing.release, self.plan.session, signed)
        self._owner_changed()

    async def _store_learned(self, effect: src.StoreLearned) -> None:
        chain = chains.decode_chain(effect.chain)
        await in_thread(self._services.store.ownership.learn, self.plan.session, chain)
        self._owner_changed()

    def _owner_changed(self) -> None:
        record = self._services.store.sessions.get(self.plan.session)
        assert record is not None
        own = record.ownership
        self.answered.set()
        self._services.events.emit("owner", session=own.session, primary=own.primary, epoch=own.epoch)

    async def _store_thawed(self, effect: src.StoreThawed) -> None:
        signed = decode_signed(effect.statement)
        await in_thread(self._services.store.outgoing.thaw, self.plan.session, signed)

    async def _release(self, _effect: src.ReleaseParts) -> None:
        granted = {part.id: part for part in self._granted().parts}
        await self._each_part(lambda part, opened: opened.release(granted[part].root, granted[part].left_out))
        self._services.events.emit("released", txn=self.plan.txn, session=self.plan.session)

    async def _thaw(self, _effect: src.ThawParts) -> None:
        await self._each_part(lambda _, opened: opened.thaw())

    async def _ended(self, effect: src.Ended) -> None:
        if self._frozen_at and self._resumed is not None and effect.outcome.result is Result.DONE:
            self._pause = self._loop.time() - self._frozen_at
        self._final = self._report(effect.outcome)
        self._settle(effect.outcome)

    async def _in_doubt(self, _effect: src.InDoubt) -> None:
        if self._doubt is None:
            self._doubt = self._loop.call_later(RECONNECT_FOR, self._settle_in_doubt)

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

    # --- pieces -------------------------------------------------------------------------------------

    async def _take_picture(self, freeze: Iterable[PartId] = ()) -> None:
        wanted = tuple(freeze)
        picture = await self._unless_given_up(
            asyncio.to_thread(self._services.catalog.picture, self.plan.session, freeze=wanted, look=self._look())
        )
        self._picture = self._chosen(picture)
        self._server.snapshots = self._picture.snapshots

    async def _unless_given_up(self, work: Awaitable[_T]) -> _T:
        """Wait for something as long as it takes, but not longer than the user: a thread that hangs is left alone.

        Raises:
            CancelledError: The user gave the handoff up.
        """
        working = asyncio.ensure_future(work)
        waiting = asyncio.ensure_future(self._giving_up.wait())
        try:
            await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
        finally:
            waiting.cancel()
            working.cancel()
        raise CancelledError("the handoff was cancelled")

    def _chosen(self, picture: Picture) -> Picture:
        """Only what may be served: the offered parts, and after an accept the accepted ones."""
        allowed = frozenset(self.machine.parts) or self._offered_of(picture.manifest)
        snapshots = {name: snapshot for name, snapshot in picture.snapshots.items() if name in allowed}
        return Picture(picture.manifest, snapshots)

    def _offered_of(self, manifest: Manifest) -> frozenset[PartId]:
        return self._selection.offered(manifest)

    def _withheld(self) -> tuple[Part, ...]:
        return self._selection.withheld(self._picture.manifest) if self._picture else ()

    def _look(self) -> Look:
        """What is listed as secrets: what is found, but once something is granted, what was granted."""
        if not self.undecided:
            granted = {part.id: part.secrets for part in self._granted().parts}
            return lambda binding, _known, _picture: granted[binding.part]
        services = self._services
        letting = EVERYTHING if self._is_own() else self.plan.letting
        accepted = frozenset(self.machine.parts)
        return Leaving(services.secrets, services.identity.device, letting, self._selection.may_go, accepted).look

    def _tell_secrets(self) -> None:
        if secrets := self._secrets():
            name = self._services.peer_name(self.plan.target)
            self._services.events.emit(
                "secrets", txn=self.plan.txn, session=self.plan.session, name=name, secrets=secrets
            )

    def _secrets(self) -> list[dict[str, Any]]:
        parts = self._picture.manifest.parts if self._picture is not None else ()
        return secrets_as_json(parts, self._services.name_of)

    def _offered(self) -> tuple[PartId, ...]:
        assert self._picture is not None
        offered = self._offered_of(self._picture.manifest)
        return tuple(part.id for part in self._picture.manifest.parts if part.id in offered)

    def _roots(self) -> dict[PartId, Digest]:
        assert self._picture is not None
        return {part.id: part.root for part in self._picture.manifest.parts}

    def _manifest(self) -> bytes:
        assert self._picture is not None
        return encode_manifest(self._picture.manifest)

    def _granted(self) -> Manifest:
        """What the target accepted: never the latest picture, which may show edits made since."""
        grant = self._services.store.outgoing.grant(self.plan.txn)
        if grant is not None and grant.manifest is not None:
            return decode_manifest(grant.manifest)
        record = self._services.store.sessions.get(self.plan.session)
        assert record is not None
        assert record.manifest is not None
        return decode_manifest(record.manifest)

    async def _each_part(self, act: Callable[[PartId, OpenPart], None]) -> None:
        """Tell the adapters how it ended. A part that is gone cannot be told; ownership was decided before."""
        accepted = frozenset(self.machine.parts)
        for binding in self._services.catalog.bindings(self.plan.session):
            if binding.part not in accepted or binding.path is None:
                continue
            try:
                async with asyncio.timeout(TELL_FOR):
                    await asyncio.to_thread(self._tell, binding, act)
            except Exception as error:  # noqa: BLE001 - whatever it is, the outcome stands
                log.warning("handoff %s: part %s was not told: %s", self.plan.txn[:6], binding.part, error)

    def _tell(self, binding: PartBinding, act: Callable[[PartId, OpenPart], None]) -> None:
        catalog = self._services.catalog
        with catalog.guard(self.plan.session):
            act(binding.part, catalog.open_part(binding))

    def _target_key(self) -> bytes:
        outgoing = self._services.store.outgoing.grant(self.plan.txn)
        if outgoing is not None:
            return read(outgoing.signed, Grant).target_key
        link = self._services.store.links.get(self.plan.target)
        if link is None:
            raise TrustError("the target is not linked any more")
        return PublicIdentity.from_bytes(link.public).identity_key

    def _rate(self) -> float:
        started, sent = self._rate_mark
        elapsed = self._loop.time() - started
        moved = self._server.served.sent_bytes - sent
        return moved / elapsed if moved > 1_000_000 and elapsed > 0 else _ASSUMED_RATE

    def _settle_in_doubt(self) -> None:
        self._settle(Outcome(Result.IN_DOUBT))

    def _settle(self, outcome: Outcome) -> None:
        if self.settled.done():
            return
        self.settled.set_result(self._report(outcome))

    def _common_root(self) -> str:
        """Of the manifest that both sides have. What was merged is the target's to say: this side may be further."""
        if self.plan.mode is msg.Mode.MERGE and self._resumed is not None:
            return self._resumed.root.hex()
        return digest(self._manifest()).hex() if self._picture else ""

    def _report(self, outcome: Outcome) -> Report:
        record = self._services.store.sessions.get(self.plan.session)
        error = outcome_error(outcome, self._services.peer_name(self.plan.target), self._failure)
        return Report(
            outcome=outcome.result.value,
            txn=self.plan.txn,
            session=self.plan.session,
            title=record.title if record else "",
            peer=self._services.peer_name(self.plan.target),
            epoch=record.ownership.epoch if record else 0,
            seconds=round(self._loop.time() - self._started, 3),
            pause_ms=round(self._pause * 1000, 1),
            sent_bytes=self._server.served.sent_bytes,
            received_bytes=0,
            sent_objects=self._server.served.objects,
            engine=self._engine,
            path=self._path,
            rounds=self.machine.round,
            root=self._common_root(),
            withheld=tuple(part.name for part in self._withheld()),
            secrets=tuple(self._secrets()),
            resumed=self._resumed.detail if self._resumed else "",
            reason=outcome.reason.value if outcome.reason else "",
            text=error.sentence if error else outcome.text,
            exit_code=int(error.exit_code) if error else 0,
            error=error,
        )

    async def _watch(self) -> None:
        """Tell how far it is, and see to it that nobody waits for ever."""
        last = 0
        while True:
            await asyncio.sleep(_PROGRESS_INTERVAL)
            served = self._server.served
            if served.content_bytes != last:
                last = served.content_bytes
                if math.isfinite(self._idle_since):
                    self._idle_since = self._loop.time()
                self._tell_progress(served)
            self._end_waiting(self._loop.time() - self._idle_since)

    def _tell_progress(self, served: Served) -> None:
        self._services.events.emit(
            "progress",
            txn=self.plan.txn,
            session=self.plan.session,
            phase=self.machine.state.value,
            round=self.machine.round,
            bytes=served.content_bytes,
            remaining=served.remaining,
            sent_bytes=served.sent_bytes,
            objects=served.objects,
        )

    def _end_waiting(self, waited: float) -> None:
        match self.machine.state:
            case SourceState.RELEASED if waited > RESUME_FOR:
                self._events.put_nowait(src.ResumeOverdue())
            case SourceState.FROZEN if waited > ANSWER_FOR:
                self._settle_in_doubt()
            case SourceState.COPYING | SourceState.FINISHING if waited > ANSWER_FOR:
                self._failed(TimedOutError("the other device does not go on"))
