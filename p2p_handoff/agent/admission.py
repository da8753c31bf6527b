# SPDX-License-Identifier: Apache-2.0
"""Who may do what: the checks of an Init, of a push and of a take, and whom to ask for consent. Layer: agent.

Specification: docs/specs/handoff-v2.md §5-8. Asked before a role's machine is made; begins and ends no handoff but a
source's own earlier, undecided one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial

from p2p_handoff.agent.held_back import HeldBack
from p2p_handoff.agent.incoming import Incoming
from p2p_handoff.agent.incoming_offer import IncomingOffer
from p2p_handoff.agent.outgoing_plan import OutgoingPlan
from p2p_handoff.agent.policies import pieces_bound, pieces_of
from p2p_handoff.agent.push_refusals import About, refusal
from p2p_handoff.agent.report import secrets_as_json
from p2p_handoff.agent.requests import Answer, Consent, IncomingRequest, Refusal, RequestBook
from p2p_handoff.agent.services import Services
from p2p_handoff.errors import HandoffError, NotFoundError, UsageError
from p2p_handoff.ids import DeviceId, SessionId, TxnId
from p2p_handoff.limits import PROVE_AT_ONCE
from p2p_handoff.protocol import admission, reunion, wishes
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.admission import Other, Standing
from p2p_handoff.protocol.messages import Mode, RejectReason
from p2p_handoff.protocol.reunion import Merging
from p2p_handoff.protocol.wishes import PushFacts
from p2p_handoff.session.chain import Proven
from p2p_handoff.session.manifest import Manifest, Part, root_of
from p2p_handoff.session.ownership import is_lost
from p2p_handoff.session.policy import Judgement, Verdict
from p2p_handoff.store.records import SessionRecord


class Admission:
    """The rules of one agent.

    Args:
        services: The agent's parts.
        requests: Where people are asked.
        incoming: The handoffs that arrive; the caller's own table, read here.
        called_off: Takes that were given up before the other device began; the caller's own set.
        held_back: Handoffs that are looked at; the caller's own.
    """

    def __init__(
        self,
        services: Services,
        requests: RequestBook,
        incoming: Mapping[TxnId, Incoming],
        called_off: AbstractSet[TxnId],
        held_back: HeldBack,
    ) -> None:
        self._services = services
        self._requests = requests
        self._incoming = incoming
        self._called_off = called_off
        self._held_back = held_back

    def check_switched_on(self) -> None:
        """Raises UsageError where handoff is switched off."""
        if not self._services.settings.handoff:
            raise UsageError("handoff is switched off in the settings", advice="set handoff = true in config.toml")

    def may_push(self, plan: OutgoingPlan, *, under_way: bool) -> HandoffError | None:
        """Why a session may not be handed over now, if so; ``under_way``: it is being handed over already."""
        record = self._services.store.sessions.get(plan.session)
        if record is None:
            return NotFoundError(f"no session {plan.session[:8]} is on this device")
        services, store = self._services, self._services.store
        facts = PushFacts(
            record.ownership.role,
            plan.mode,
            in_place=not store.is_placing(plan.session),
            under_way=under_way,
            lost=is_lost(record.ownership, me=services.identity.device),
            old_here=store.counter.rolled_back,
            old_there=services.is_old(plan.target),
            forked=store.forks.open_of(plan.session) is not None,
            over=store.forks.is_over(plan.session),
        )
        about = About(record, services.peer_name(record.ownership.primary), services.peer_name(plan.target))
        return refusal(wishes.judge_push(facts), about)

    def judge_take(self, peer: DeviceId, session: SessionId) -> Judgement:
        """What the settings say to a device that wants a session; of one that is not here only own devices hear."""
        pieces = pieces_bound(self._services.catalog.bindings(session))
        if not pieces and self._services.is_own(peer):
            return Judgement(Verdict.ACCEPT, frozenset())
        return self._services.policies.of(peer).judge_take(pieces)

    def check_init(self, peer: DeviceId, init: msg.Init, proven: Proven | None) -> IncomingOffer | None:
        """What an Init offers, once it was found to be allowed; None where that would take long.

        Args:
            peer: Who sent it.
            init: The message.
            proven: Its chain, where that was verified before. Without it a long chain is not looked at: verify it, and
                ask again.

        Raises:
            RejectedError: It is refused, for a reason the source may know.
            TrustError, RemoteProtocolError: It does not verify.
        """
        store = self._services.store
        record = store.sessions.get(init.session)
        standing = self._standing(peer, init)
        if init.parent and not self._held_back.holds(init.txn):
            self.check_room(peer, len(init.parent))
        if proven is None and self._takes_long(init, record):
            admission.check_beginning(init, standing)
            return None
        standing = replace(standing, held=None if record is None else store.ownership.held(record))
        admitted = admission.judge_init(init, standing, proven)
        if admitted is not None and admitted.teaches:
            return IncomingOffer(init, admitted)  # Judged again once that is durable: nothing gives way before.
        if init.mode is not Mode.COPY:
            self._make_way(init)
        merging = self._merging(init, proven) if init.mode is Mode.MERGE else None
        weight = 0
        if merging is not None and merging.left is not None:
            weight = admission.weight_of(merging.left, len(init.parent))
            self.check_room(peer, weight)
        return IncomingOffer(replace(init, chain=b"", parent=b""), admitted, merging, len(init.chain), weight)

    def check_room(self, peer: DeviceId, weight: int) -> None:
        """Raises RejectedError where an offer of a device that weighs so much cannot be kept."""
        of_device = sum(item.weight for item in self._of(peer)) + self._held_back.weight(peer)
        in_all = sum(item.weight for item in self._incoming.values()) + self._held_back.weight()
        admission.check_offers(weight, of_device=of_device, in_all=in_all)

    def _standing(self, peer: DeviceId, init: msg.Init) -> Standing:
        """All but the session itself."""
        store, theirs = self._services.store, self._of(peer)
        held_back = [other for other in self._held_back.of(peer) if other.txn != init.txn]
        return Standing(
            me=self._services.identity.device,
            peer=peer,
            enabled=self._services.settings.handoff,
            called_off=init.txn in self._called_off,
            in_use=init.txn in self._incoming,
            decided=store.incoming.decision(init.txn) is not None,
            refusals=store.incoming.refusals(peer),
            old_here=store.counter.rolled_back,
            old_there=self._services.is_old(peer),
            forked=store.forks.open_of(init.session) is not None,
            held=None,
            arriving=sum(not item.is_over for item in theirs) + len(held_back),
            remembered=len(theirs) + len(held_back),
            chains_kept=sum(item.history for item in theirs) + sum(len(other.chain) for other in held_back),
        )

    def _takes_long(self, init: msg.Init, record: SessionRecord | None) -> bool:
        if init.mode is Mode.COPY:
            return False
        cold = record is not None and not self._services.store.ownership.is_warm(record)
        return len(init.chain) > PROVE_AT_ONCE or (cold and record is not None and len(record.chain) > PROVE_AT_ONCE)

    def _of(self, peer: DeviceId) -> list[Incoming]:
        return [item for item in self._incoming.values() if item.machine.source == peer]

    def _merging(self, init: msg.Init, proven: Proven | None) -> Merging:
        store = self._services.store
        parent = reunion.parent_of(init, proven)
        busy = store.generations.change_of(parent.session) is not None
        return reunion.judge_merge(init, parent, store.ownership.held_of(parent.session), busy=busy)

    def _make_way(self, init: msg.Init) -> None:
        others = (
            Other(item.txn, item.machine.session, item.machine.source, item.undecided)
            for item in self._incoming.values()
            if not item.is_over
        )
        for txn in admission.to_abandon(init, others):
            self._incoming[txn].abandon()

    async def consent(self, init: msg.Init, manifest: Manifest, parts: tuple[Part, ...], expires_in: int) -> Answer:
        """What the settings answer, or the person, who is asked for so many seconds."""
        link = self._services.store.links.get(init.source)
        if link is None:
            return Refusal(RejectReason.UNTRUSTED, "the devices are not linked")
        again = init.mode is Mode.MERGE and self._services.store.forks.merged(init.session, root_of(manifest))
        if again:
            return Consent()
        judged = self._services.policies.of(init.source).judge_push(pieces_of(parts))
        if judged.verdict is Verdict.REFUSE:
            return Refusal(RejectReason.POLICY, "the settings there refuse it")
        if judged.verdict is Verdict.ACCEPT and init.mode is not Mode.COPY:
            return Consent(without=judged.without)
        loop = asyncio.get_running_loop()
        request = IncomingRequest(
            token=self._requests.new_token(),
            device=init.source,
            peer=link.name,
            session=init.session,
            title=manifest.title,
            parts=tuple(part for part in parts if part.id not in judged.without),
            secrets=partial(secrets_as_json, manifest.parts, self._services.name_of),
            expires_at=loop.time() + expires_in,
            txn=init.txn,
            withheld=_stays_there(manifest, parts),
        )
        answer = await self._requests.ask(request)
        return replace(answer, without=judged.without) if isinstance(answer, Consent) else answer


def _stays_there(manifest: Manifest, offered: tuple[Part, ...]) -> tuple[Part, ...]:
    """What the source has of the session and does not offer."""
    return tuple(part for part in manifest.parts if part.held_by is None and part not in offered)
