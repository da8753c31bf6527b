# SPDX-License-Identifier: Apache-2.0
"""The target's shell, effect by effect as in p2p_handoff/agent/incoming.py; content is a version that is fetched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from p2p_handoff.content.digests import digest
from p2p_handoff.errors import (
    HandoffError,
    LocalProtocolError,
    RejectedError,
    RemoteProtocolError,
    StorageError,
    TrustError,
)
from p2p_handoff.ids import TxnId
from p2p_handoff.protocol import aftermath, agreement, judgement, target_rules
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import target as tgt
from p2p_handoff.protocol.judgement import Terms
from p2p_handoff.protocol.messages import RejectReason
from p2p_handoff.protocol.target import TargetState
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal
from p2p_handoff.session.manifest import Manifest
from p2p_handoff.session.signed import SignedStatement
from p2p_handoff.session.statements import RefusalReason
from tests.explore import cast, forks, homes
from tests.explore.device import BeyondScopeError, Copies, DefectError, Doing, In


def take_event(doing: Doing, txn: TxnId, event: Any) -> None:
    """Incoming._take."""
    item = doing.ins.get(txn)
    if item is None:
        return
    event = _judged(doing, item, event)
    if event is None:
        return
    before = doing.ins[txn].machine
    try:
        machine, effects = target_rules.step(before, event)
    except RemoteProtocolError:
        return
    except LocalProtocolError as error:
        raise DefectError(error.what) from error
    doing.ins[txn] = replace(doing.ins[txn], machine=machine)
    for effect in effects:
        try:
            _EFFECTS[type(effect)](doing, txn, effect)
        except HandoffError:
            _went_wrong(doing, txn, before, effect)
            return
        doing.mark(effect)


def raise_event(doing: Doing, txn: TxnId, event: Any) -> None:
    """Put a local event into the handoff's queue. One that waits there already says the same."""
    item = doing.ins[txn]
    if event not in item.queue:
        doing.ins[txn] = replace(item, queue=(*item.queue, event))


def finish_work(doing: Doing, txn: TxnId) -> None:
    """Fetching, sealing or committing comes to its end."""
    item = doing.ins[txn]
    assert item.work is not None
    kind, number, manifest = item.work
    doing.ins[txn] = replace(item, work=None)
    _WORK[kind](doing, txn, number, manifest)


def _fetched(doing: Doing, txn: TxnId, number: int, manifest: bytes) -> None:
    _stage(doing, txn, manifest)
    take_event(doing, txn, tgt.Fetched(number, complete=True))


def _sealed(doing: Doing, txn: TxnId, _number: int, manifest: bytes) -> None:
    _stage(doing, txn, manifest)
    try:
        forks.decide(doing, doing.ins[txn])
    except RejectedError:
        take_event(doing, txn, tgt.SealFailed(RejectReason.FAILED, ""))
        return
    take_event(doing, txn, tgt.Sealed())


def _committed(doing: Doing, txn: TxnId, _number: int, _manifest: bytes) -> None:
    put_in_place(doing, txn)
    take_event(doing, txn, tgt.Committed())


def put_in_place(doing: Doing, txn: TxnId) -> None:
    """IncomingHandoffs.commit_done; of a merge Generations.placed."""
    doing.end_change(txn)
    doing.durable = replace(doing.durable, pending=tuple(name for name in doing.durable.pending if name != txn))
    doing.mark("InPlace")


def _stage(doing: Doing, txn: TxnId, manifest: bytes) -> None:
    staged = tuple((part.total_bytes, None) for part in cast.read_manifest(manifest).parts)
    doing.ins[txn] = replace(doing.ins[txn], staged=staged, manifest=manifest)


_WORK: Final = {"fetch": _fetched, "seal": _sealed, "commit": _committed}


def _judged(doing: Doing, item: In, event: Any) -> Any:
    """agent.accepting, Accepting.judge; anything but a grant or a query is itself."""
    if item.admitted is None:
        return None if isinstance(event, msg.Grant | msg.Query) else event
    state = item.admitted.state
    machine = item.machine
    try:
        if isinstance(event, msg.Query):
            judgement.check_asker(event, state.primary_key, me=doing.id)
            return event
        if not isinstance(event, msg.Grant):
            return event
        terms = Terms(doing.id, machine.txn, state, item.nonce, item.agreed, machine.parts)
        judged = judgement.judge_grant(event, terms)
    except (TrustError, RemoteProtocolError):
        return None
    undecided = machine.state not in (TargetState.ACCEPTED, TargetState.RESUMED)
    if undecided and isinstance(judged.event, tgt.GrantVerified):
        doing.ins[machine.txn] = replace(item, grant=judged.signed)
    return judged.event


def _went_wrong(doing: Doing, txn: TxnId, before: tgt.Target, effect: tgt.TargetEffect) -> None:
    match effect:
        case tgt.StoreAccepted():
            doing.ins[txn] = replace(doing.ins[txn], machine=before)
            raise_event(doing, txn, tgt.SealFailed(RejectReason.FAILED, ""))
        case tgt.StoreRefused():
            # Tried again when the disk takes it, that is: at the next message.
            doing.ins[txn] = replace(doing.ins[txn], machine=before)
        case _:
            raise_event(doing, txn, tgt.TargetCancelAsked(""))


def _send(doing: Doing, txn: TxnId, message: msg.Message) -> None:
    doing.send(doing.ins[txn].machine.source, message)


def _ask_user(doing: Doing, txn: TxnId, _effect: tgt.AskUser) -> None:
    item = doing.ins[txn]
    assert item.request is not None
    try:
        agreed, _ = agreement.check_offer(item.request, item.machine.session)
    except RemoteProtocolError:
        raise_event(doing, txn, tgt.UserRejected(RejectReason.FAILED, ""))
        return
    doing.ins[txn] = replace(item, agreed=agreed, manifest=item.request.manifest, reviewing=True)


def _send_accept(doing: Doing, txn: TxnId, effect: tgt.SendAccept) -> None:
    _send(doing, txn, msg.Accept(txn, effect.parts))


def _send_reject(doing: Doing, txn: TxnId, effect: tgt.SendReject) -> None:
    _send(doing, txn, msg.Reject(txn, effect.reason, ""))


def _fetch_round(doing: Doing, txn: TxnId, effect: tgt.FetchRound) -> None:
    doing.ins[txn] = replace(doing.ins[txn], work=("fetch", effect.number, effect.manifest))


def _send_ready(doing: Doing, txn: TxnId, effect: tgt.SendReady) -> None:
    if doing.durable.nonces >= doing.most_nonces and doing.ins[txn].merging is None:
        raise BeyondScopeError
    if doing.ins[txn].merging is None:
        doing.durable = replace(doing.durable, nonces=doing.durable.nonces + 1)
    nonce = cast.nonce(doing.me, doing.durable.nonces)
    doing.ins[txn] = replace(doing.ins[txn], nonce=nonce)
    _send(doing, txn, msg.Ready(txn, effect.number, effect.complete, nonce))


def _seal_granted(doing: Doing, txn: TxnId, effect: tgt.SealGranted) -> None:
    doing.ins[txn] = replace(doing.ins[txn], work=("seal", 0, effect.manifest))


def _store_accepted(doing: Doing, txn: TxnId, _effect: tgt.StoreAccepted) -> None:
    item = doing.ins[txn]
    machine = item.machine
    if doing.disk_full:
        raise StorageError("the disk is full")
    if item.grant is None:
        raise DefectError("a handoff is accepted without a grant")
    if item.admitted is None:
        raise DefectError("a fork is accepted as a handoff")
    doing.guard()
    signed = chains.accept(doing.identity, item.grant)
    chain = (*item.admitted.chain, item.grant, signed)
    held, decision = journal.accept(
        doing.held(machine.session), doing.decision(txn), chain, me=doing.id, nonce=item.nonce
    )
    doing.save(held)
    doing.save_decision(decision)
    if doing.keeps:
        forks.keep(doing, doing.copies(machine.session))
    doing.save_copies(machine.session, _copies(doing, item, cast.read_manifest(item.manifest)))
    doing.durable = replace(doing.durable, pending=tuple(sorted((*doing.durable.pending, txn))))
    doing.count()


def _copies(doing: Doing, item: In, manifest: Manifest) -> Copies:
    """Arrivals.bindings: what was taken is here, what was here stays, the rest is held by the source or its holder."""
    known = doing.copies(item.machine.session) or ((0, -1),) * len(manifest.parts)
    taken = frozenset(item.machine.parts)
    source = cast.numbers()[item.machine.source]
    copies: list[tuple[int, int | None]] = []
    for part, staged, mine in zip(manifest.parts, item.staged, known, strict=True):
        if part.id in taken:
            copies.append((staged[0], None))
        elif part.held_by is not None and mine[1] is None:
            copies.append(mine)
        else:
            copies.append((part.total_bytes, source if part.held_by is None else cast.numbers()[part.held_by]))
    return tuple(copies)


def _store_refused(doing: Doing, txn: TxnId, _effect: tgt.StoreRefused) -> None:
    machine = doing.ins[txn].machine
    signed = chains.refuse(doing.identity, machine.session, txn, machine.source, RefusalReason.CANCELLED)
    store_refusal(doing, txn, signed)


def store_refusal(doing: Doing, txn: TxnId, signed: SignedStatement) -> None:
    """IncomingHandoffs.refuse."""
    known = doing.decision(txn)
    decision = journal.refuse(known, signed, cast.key(doing.me), me=doing.id)
    if decision is not known:
        doing.guard()
        doing.save_decision(decision)
        doing.count()


def _send_decision(doing: Doing, txn: TxnId, _effect: tgt.SendDecision) -> None:
    decision = doing.decision(txn)
    if decision is None:
        raise DefectError("a decision is said that is not stored")
    _send(doing, txn, aftermath.decision_message(decision, doing.counter))


def _commit(doing: Doing, txn: TxnId, _effect: tgt.Commit) -> None:
    item = doing.ins[txn]
    doing.ins[txn] = replace(item, work=("commit", 0, b""))
    if item.merging is None:
        homes.owner_changed(doing, item.machine.session)


def _send_resumed(doing: Doing, txn: TxnId, _effect: tgt.SendResumed) -> None:
    _send(doing, txn, msg.Resumed(txn, digest(_manifest_of(doing, txn)), 0, "", 0))


def _manifest_of(doing: Doing, txn: TxnId) -> bytes:
    """What the source of a handoff does not read, the source of a merge does."""
    item = doing.ins[txn]
    return b"" if item.merging is None else item.manifest


def _abandon(doing: Doing, txn: TxnId, _effect: tgt.AbandonStaging) -> None:
    doing.ins[txn] = replace(doing.ins[txn], nonce=b"", reviewing=False, work=None, staged=(), grant=None)


def _send_cancel(doing: Doing, txn: TxnId, effect: tgt.TargetSendCancel) -> None:
    _send(doing, txn, msg.Cancel(txn, effect.reason, ""))


def _ended(doing: Doing, txn: TxnId, _effect: tgt.TargetEnded) -> None:
    doing.ins[txn] = replace(doing.ins[txn], reviewing=False)


_EFFECTS: Final[dict[type, Callable[[Doing, TxnId, Any], None]]] = {
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
