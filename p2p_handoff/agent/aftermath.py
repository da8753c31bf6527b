# SPDX-License-Identifier: Apache-2.0
"""Handoffs that are over or were interrupted: what is answered for them, and what a restart takes up. Layer: agent.

Specification: docs/specs/handoff-v2.md §5-8. Everything here is read from the store; no handoff needs to be under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from p2p_handoff.adapters.base import Staging
from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.outgoing_plan import OutgoingPlan
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.wire import Wire
from p2p_handoff.agent.work import in_thread
from p2p_handoff.content.digests import digest
from p2p_handoff.content.objects import EMPTY
from p2p_handoff.errors import HandoffError, NotFoundError, TrustError
from p2p_handoff.ids import DeviceId, SessionId, TxnId
from p2p_handoff.protocol import aftermath, judgement
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.aftermath import Answer
from p2p_handoff.security.identity import PublicIdentity
from p2p_handoff.session import chain as chains
from p2p_handoff.session.ownership import Verdict, is_lost
from p2p_handoff.session.signed import SignedStatement, encode_signed
from p2p_handoff.session.statements import Grant, RefusalReason
from p2p_handoff.store.records import PendingCommit, SessionRecord

log = logging.getLogger(__name__)


async def finish_commit(services: Services, commit: PendingCommit) -> None:
    """Put one part in place that a stop or a crash left staged."""
    store, catalog = services.store, services.catalog
    bound = {binding.part: binding.path for binding in store.sessions.bindings(commit.session)}
    path = bound.get(commit.part) or commit.directory
    try:
        staging = await asyncio.to_thread(catalog.adapter(commit.kind).recover, commit.directory, commit.state)
    except NotFoundError:
        pass  # The staging directory is gone: the crash came after its commit and before it was noted.
    else:
        await in_thread(services.keeper.before_commit, commit.session, commit.txn)
        path = await in_thread(_put_in_place, services, commit.session, staging)
    store.incoming.commit_done(commit.txn, commit.part, path)
    catalog.forget_open(commit.session)
    if not any(other.txn == commit.txn for other in store.incoming.pending_commits()):
        services.unplaced.placed(commit.session)
        services.stagings.forget(commit.txn)
    log.info("part %s of %s is in place after a restart", commit.part, commit.session[:6])


def _put_in_place(services: Services, session: SessionId, staging: Staging) -> Path:
    with services.catalog.guard(session):
        return staging.commit().path


def frozen_again(services: Services, record: SessionRecord) -> Outgoing:
    """The outgoing handoff of a session that was granted and has no answer yet."""
    frozen = record.ownership.frozen
    outstanding = None if frozen is None else services.store.outgoing.grant(frozen.txn)
    machine = aftermath.taken_up(record.ownership, outstanding.signed if outstanding else None)
    return Outgoing(services, OutgoingPlan(machine.txn, machine.session, machine.target), machine)


def answer_forgotten(services: Services, wire: Wire, message: msg.Query | msg.Grant, *, in_use: bool) -> None:
    """A frozen source asks about a txn that has no machine of its own here; ``in_use``: another source has one."""
    try:
        grant = judgement.check_asker(message, _key_of(services, wire.peer), me=services.identity.device)
        decision = services.store.incoming.decision(grant.txn)
        refusals = services.store.incoming.refusals(wire.peer)
        _ANSWERS[aftermath.answer(grant, decision, in_use=in_use, refusals=refusals)](services, wire, grant)
    except HandoffError as error:
        log.error("handoff %s: %s is not answered: %s", message.txn[:6], type(message).__name__, error)


def _key_of(services: Services, peer: DeviceId) -> bytes:
    link = services.store.links.get(peer)
    if link is None:
        raise TrustError("the device that asks is not linked any more")
    return PublicIdentity.from_bytes(link.public).identity_key


def _say_stored(services: Services, wire: Wire, grant: Grant) -> None:
    decision = services.store.incoming.decision(grant.txn)
    assert decision is not None
    wire.send(aftermath.decision_message(decision, services.store.counter.value))
    _tell_resumed(services, wire, grant.txn, grant.session)


def _store_refusal(services: Services, wire: Wire, grant: Grant) -> None:
    services.store.incoming.refuse(_refusal(services, grant), services.identity.public.identity_key)
    _say_stored(services, wire, grant)


def _refuse(services: Services, wire: Wire, grant: Grant) -> None:
    wire.send(msg.Refused(grant.txn, encode_signed(_refusal(services, grant)), services.store.counter.value))


def _refusal(services: Services, grant: Grant) -> SignedStatement:
    return chains.refuse(services.identity, grant.session, grant.txn, grant.source, RefusalReason.UNKNOWN)


_ANSWERS: Final[dict[Answer, Callable[[Services, Wire, Grant], None]]] = {
    Answer.STORED: _say_stored,
    Answer.STORE_REFUSAL: _store_refusal,
    Answer.REFUSE: _refuse,
}


def _tell_resumed(services: Services, wire: Wire, txn: TxnId, session: SessionId) -> None:
    """Say that an accepted session is in place, once it is."""
    store = services.store
    decision = store.incoming.decision(txn)
    pending = any(commit.txn == txn for commit in store.incoming.pending_commits())
    record = store.sessions.get(session)
    if decision is None or decision.verdict is not Verdict.ACCEPTED or pending or record is None:
        return
    if is_lost(record.ownership, me=services.identity.device):
        return  # It was accepted, and what was in it is gone.
    root = digest(record.manifest) if record.manifest else EMPTY.ref
    wire.send(msg.Resumed(txn, root, 0, "", 0))
