# SPDX-License-Identifier: Apache-2.0
"""Handoffs that are over or were interrupted: what is answered for them, and what a restart takes up. Layer: agent.

Specification: docs/specs/handoff-v2.md §5-8. Everything here is read from the store; no handoff needs to be under way.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from p2p_handoff.adapters.base import Staging
from p2p_handoff.agent.incoming import decision_message, store_refusal
from p2p_handoff.agent.outgoing import Outgoing, OutgoingPlan
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.wire import Wire
from p2p_handoff.agent.work import in_thread
from p2p_handoff.content.digests import digest
from p2p_handoff.content.objects import EMPTY
from p2p_handoff.errors import HandoffError, NotFoundError
from p2p_handoff.ids import SessionId, TxnId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.messages import Mode
from p2p_handoff.protocol.source import Source, SourceState
from p2p_handoff.protocol.target import Target
from p2p_handoff.session.ownership import Verdict
from p2p_handoff.session.signed import read
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
        path = await in_thread(_put_in_place, services, commit.session, staging)
    store.incoming.commit_done(commit.txn, commit.part, path)
    catalog.forget_open(commit.session)
    log.info("part %s of %s is in place after a restart", commit.part, commit.session[:6])


def _put_in_place(services: Services, session: SessionId, staging: Staging) -> Path:
    with services.catalog.guard(session):
        return staging.commit().path


def frozen_again(services: Services, record: SessionRecord) -> Outgoing:
    """The outgoing handoff of a session that was granted and has no answer yet."""
    frozen = record.ownership.frozen
    assert frozen is not None
    outstanding = services.store.outgoing.grant(frozen.txn)
    grant = read(outstanding.signed, Grant) if outstanding else None
    machine = Source(
        frozen.txn,
        record.id,
        frozen.target,
        Mode.MOVE,
        SourceState.FROZEN,
        grant.parts if grant else (),
        nonce=grant.nonce if grant else b"",
    )
    plan = OutgoingPlan(frozen.txn, record.id, frozen.target)
    return Outgoing(services, plan, machine)


def answer_forgotten(services: Services, wire: Wire, message: msg.Query | msg.Grant) -> None:
    """A frozen source asks about a txn that is over here, or that this device never knew or forgot."""
    decision = services.store.incoming.decision(message.txn)
    if decision is not None:
        if decision.source == wire.peer:
            wire.send(decision_message(services, message.txn))
            _tell_resumed(services, wire, message.txn, message.session)
        return
    machine = Target(message.txn, message.session, wire.peer)
    try:
        store_refusal(services, machine, RefusalReason.UNKNOWN)
    except HandoffError as error:
        log.error("a refusal could not be stored: %s", error)
        return
    wire.send(decision_message(services, message.txn))


def _tell_resumed(services: Services, wire: Wire, txn: TxnId, session: SessionId) -> None:
    """Say that an accepted session is in place, once it is."""
    store = services.store
    decision = store.incoming.decision(txn)
    pending = any(commit.txn == txn for commit in store.incoming.pending_commits())
    record = store.sessions.get(session)
    if decision is None or decision.verdict is not Verdict.ACCEPTED or pending or record is None:
        return
    root = digest(record.manifest) if record.manifest else EMPTY.ref
    wire.send(msg.Resumed(txn, root, 0, ""))
