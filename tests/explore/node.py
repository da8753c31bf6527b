# SPDX-License-Identifier: Apache-2.0
"""What may happen at one device, and what comes of it: routing as in p2p_handoff/agent/handoffs.py, and wishes.

A step depends on the device's own state and on what happens to it alone, so that it is worked out once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from p2p_handoff.errors import HandoffError, RejectedError, TrustError
from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.protocol import admission, aftermath, judgement, news, wishes
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol import target as tgt
from p2p_handoff.protocol.admission import Other, Standing
from p2p_handoff.protocol.aftermath import Answer
from p2p_handoff.protocol.messages import Mode, RejectReason
from p2p_handoff.protocol.news import Lesson
from p2p_handoff.protocol.source import Source
from p2p_handoff.protocol.target import Target, TargetState
from p2p_handoff.protocol.wishes import Push, PushFacts, Take, TakeFacts
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal
from p2p_handoff.session.chain import Chain
from p2p_handoff.session.ownership import is_lost
from p2p_handoff.session.signed import SignedStatement, encode_signed
from p2p_handoff.session.statements import Grant, RefusalReason
from tests.explore import cast, source_shell, target_shell
from tests.explore.device import Device, Doing, Durable, In, Out
from tests.explore.happening import Input
from tests.explore.scope import Scope

TO_SOURCE: Final = (msg.Accept, msg.Reject, msg.Ready, msg.Accepted, msg.Refused, msg.Resumed, msg.Cancel)
TO_TARGET: Final = (msg.Request, msg.Round, msg.Grant, msg.Query, msg.Cancel)
_OVER: Final = (TargetState.RESUMED, TargetState.REFUSED, TargetState.ENDED)
_UNDECIDED: Final = (TargetState.NEW, TargetState.REVIEWING, TargetState.COPYING, TargetState.READY)


def first(scope: Scope) -> tuple[Device, ...]:
    """A has the session, nobody else knows it."""
    genesis = cast.genesis(scope.parts)
    held = journal.start(genesis, me=cast.device_id(0))
    durable = Durable(held=((cast.ORIGINAL, held),), content=((cast.ORIGINAL, ((0, None),) * scope.parts),))
    return (Device(0, durable), *(Device(number, Durable()) for number in range(1, scope.devices)))


# --- messages ---------------------------------------------------------------------------------------


def deliver(doing: Doing, sender: int, message: Any) -> None:
    """Handoffs.message_received and ._route."""
    peer = cast.device_id(sender)
    match message:
        case msg.Init():
            _init(doing, peer, message)
        case msg.Take():
            _take_asked(doing, peer, message)
        case _:
            _route(doing, peer, message)


def _route(doing: Doing, peer: DeviceId, message: Any) -> None:
    out = doing.outs.get(message.txn)
    if out is not None and out.machine.target == peer and isinstance(message, TO_SOURCE):
        source_shell.take_event(doing, message.txn, message)
        return
    item = doing.ins.get(message.txn)
    if item is not None and item.machine.source == peer and isinstance(message, TO_TARGET):
        if isinstance(message, msg.Request):
            doing.ins[message.txn] = replace(item, request=item.request or message)
        target_shell.take_event(doing, message.txn, message)
        return
    ask = doing.asks.get(message.txn)
    if isinstance(message, msg.Reject) and ask is not None and ask.peer == peer:
        del doing.asks[message.txn]
    elif isinstance(message, msg.Query | msg.Grant):
        _answer_forgotten(doing, peer, message, in_use=item is not None)


def _answer_forgotten(doing: Doing, peer: DeviceId, message: msg.Query | msg.Grant, *, in_use: bool) -> None:
    """agent.aftermath.answer_forgotten."""
    try:
        grant = judgement.check_asker(message, cast.key(cast.numbers()[peer]), me=doing.id)
        refusals = sum(item.source == peer for _, item in doing.durable.decisions)
        answer = aftermath.answer(grant, doing.decision(grant.txn), in_use=in_use, refusals=refusals)
    except HandoffError:
        return
    if answer is Answer.REFUSE:
        doing.send(peer, msg.Refused(grant.txn, encode_signed(_refusal(doing, grant)), cast.COUNTER))
        return
    if answer is Answer.STORE_REFUSAL:
        decided = doing.decision(grant.txn)
        doing.save_decision(journal.refuse(decided, _refusal(doing, grant), cast.key(doing.me), me=doing.id))
        doing.mark("StoreRefused")
    decision = doing.decision(grant.txn)
    assert decision is not None
    doing.send(peer, aftermath.decision_message(decision, cast.COUNTER))
    if decision.verdict.value == "accepted" and grant.txn not in doing.durable.pending:
        doing.send(peer, msg.Resumed(grant.txn, grant.root, 0, ""))


def _refusal(doing: Doing, grant: Grant) -> SignedStatement:
    return chains.refuse(doing.identity, grant.session, grant.txn, grant.source, RefusalReason.UNKNOWN)


def _init(doing: Doing, peer: DeviceId, init: msg.Init) -> None:
    known = doing.ins.get(init.txn)
    if known is not None and known.machine.source == peer:
        return
    standing = Standing(
        me=doing.id,
        peer=peer,
        enabled=True,
        called_off=init.txn in doing.called_off,
        in_use=known is not None,
        decided=doing.decision(init.txn) is not None,
        refusals=sum(item.source == peer for _, item in doing.durable.decisions),
        old_here=False,
        old_there=False,
        forked=False,
        held=doing.held(init.session),
    )
    asks = [ask for ask in doing.asks.values() if (ask.session, ask.peer) == (init.session, init.source)]
    try:
        admitted = admission.judge_init(init, standing)
        if admitted is not None and admitted.teaches:
            learn(doing, admitted.chain)
            admitted = admission.judge_init(init, replace(standing, held=doing.held(init.session)))
        if admitted is not None and admitted.teaches:
            raise RejectedError("not stored yet", reason=RejectReason.BUSY.value)
        giving_way = admission.to_abandon(init, _others(doing))
    except HandoffError as error:
        reason = RejectReason(error.reason) if isinstance(error, RejectedError) else RejectReason.UNTRUSTED
        doing.send(peer, msg.Reject(init.txn, reason, ""))
    else:
        assert admitted is not None
        for txn in giving_way:
            target_shell.take_event(doing, txn, tgt.Abandoned())
        machine = Target(init.txn, init.session, init.source, init.mode)
        doing.ins[init.txn] = In(machine, admitted, asked=bool(asks))
    for ask in asks:
        del doing.asks[ask.txn]


def _others(doing: Doing) -> Iterator[Other]:
    for item in doing.ins.values():
        machine = item.machine
        if machine.state not in _OVER:
            yield Other(machine.txn, machine.session, machine.source, machine.state in _UNDECIDED)


def _take_asked(doing: Doing, peer: DeviceId, take: msg.Take) -> None:
    current = next((out.machine for out in doing.outs.values() if out.machine.session == take.session), None)
    used = take.txn in doing.outs or doing.granted(take.txn) is not None
    verdict = wishes.judge_take(TakeFacts(own_device=True, txn_used=used, asker=peer, current=current))
    if verdict is Take.PUSH:
        if may_push(doing, take.session):
            push(doing, take.txn, take.session, peer, take=True)
        else:
            doing.send(peer, msg.Reject(take.txn, RejectReason.BUSY, ""))
    elif verdict is not Take.OFFERED:
        doing.send(peer, msg.Reject(take.txn, RejectReason.BUSY, ""))


# --- wishes -----------------------------------------------------------------------------------------


def may_push(doing: Doing, session: SessionId) -> bool:
    held = doing.held(session)
    if held is None:
        return False
    under_way = any(out.machine.session == session for out in doing.outs.values())
    in_place = not any(_session_of(doing, txn) == session for txn in doing.durable.pending)
    facts = PushFacts(
        held.ownership.role,
        Mode.MOVE,
        in_place=in_place,
        under_way=under_way,
        lost=is_lost(held.ownership, me=doing.id),
        old_here=False,
        old_there=False,
        forked=False,
        over=False,
    )
    return wishes.judge_push(facts) is Push.BEGIN


def _session_of(doing: Doing, txn: str) -> SessionId:
    for session, held in doing.durable.held:
        if txn in held.state.accepted:
            return session
    raise AssertionError(f"{txn} is pending and in no chain")


def push(doing: Doing, txn: Any, session: SessionId, target: DeviceId, *, take: bool = False) -> None:
    """Handoffs.push, with a connection at hand."""
    doing.outs[txn] = Out(Source(txn, session, target), take, doing.picture(session))
    source_shell.take_event(doing, txn, src.Connected())


def learn(doing: Doing, chain: Chain) -> None:
    """News of a session from any device: agent.news."""
    session = chains.verify_chain(chain).session
    held = doing.held(session)
    if held is None:
        return
    try:
        lesson = news.lesson(held, chain, me=doing.id)
    except TrustError:
        return
    if lesson is Lesson.FOLLOW:
        source_shell.store_learned(doing, session, chain)
    elif lesson is not Lesson.NOTHING:
        frozen = held.ownership.frozen
        assert frozen is not None
        encoded = chains.encode_chain(chain)
        event = src.LearnedAccepted(encoded) if lesson is Lesson.RESOLVED else src.LearnedLater(encoded)
        source_shell.take_event(doing, frozen.txn, event)


# --- connections, crashes, time ---------------------------------------------------------------------


def dialled(doing: Doing, peer: DeviceId) -> None:
    """A new connection to a device is open."""
    for txn, out in sorted(doing.outs.items()):
        if out.machine.target == peer:
            source_shell.take_event(doing, txn, src.Connected())


def lost(doing: Doing, peer: DeviceId) -> None:
    """The connection to a device broke: what is fetched over it ends without a word."""
    for txn, out in sorted(doing.outs.items()):
        if out.machine.target == peer:
            source_shell.take_event(doing, txn, src.Disconnected())
    for txn, item in doing.ins.items():
        if item.machine.source == peer and item.work is not None and item.work[0] != "commit":
            doing.ins[txn] = replace(item, work=None)


def restarted(device: Device) -> Device:
    """After a crash: what is durable, and what a start takes up (Handoffs.recover)."""
    durable = device.durable
    doing = Doing(Device(device.me, durable), 0, 0)
    for _, held in durable.held:
        frozen = held.ownership.frozen
        if frozen is not None:
            granted = doing.granted(frozen.txn)
            machine = aftermath.taken_up(held.ownership, granted.signed if granted else None)
            doing.outs[machine.txn] = Out(machine, take=False, picture=b"", paused=True)
    return doing.device()


def run(device: Device, happens: Input, scope: Scope) -> Doing:
    """Work one step out.

    Raises:
        BeyondScopeError: It leads beyond the scope.
        DefectError: The production code did what it never may.
    """
    doing = Doing(device, scope.nonces, scope.rounds)
    doing.disk_full = happens.disk_full
    happens.act(doing, *happens.args)
    return doing
