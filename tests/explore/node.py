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
from p2p_handoff.protocol.news import Hearing, Lesson
from p2p_handoff.protocol.source import Source
from p2p_handoff.protocol.target import Target, TargetState
from p2p_handoff.protocol.wishes import Push, PushFacts, Take, TakeFacts
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal
from p2p_handoff.session.chain import Chain
from p2p_handoff.session.home import Mark
from p2p_handoff.session.ownership import is_lost
from p2p_handoff.session.policy import Verdict
from p2p_handoff.session.signed import SignedStatement, encode_signed
from p2p_handoff.session.statements import Grant, RefusalReason
from tests.explore import cast, forks, homes, source_shell, target_shell
from tests.explore.device import Copies, Device, Doing, Durable, In, Out, Past
from tests.explore.happening import Input
from tests.explore.invariants import takes_part
from tests.explore.scope import Scope

TO_SOURCE: Final = (msg.Accept, msg.Reject, msg.Ready, msg.Accepted, msg.Refused, msg.Resumed, msg.Cancel)
TO_TARGET: Final = (msg.Request, msg.Round, msg.Grant, msg.Query, msg.Finish, msg.Cancel)
_OVER: Final = (TargetState.RESUMED, TargetState.REFUSED, TargetState.ENDED)
_UNDECIDED: Final = (TargetState.NEW, TargetState.REVIEWING, TargetState.COPYING, TargetState.READY)


def first(scope: Scope) -> tuple[Device, ...]:
    """A has the session, nobody else knows it."""
    genesis = cast.genesis(scope.parts)
    held = journal.start(genesis, me=cast.device_id(0))
    copies: Copies = ((0, None),) * scope.parts
    durable = Durable(
        held=((cast.ORIGINAL, held),),
        content=((cast.ORIGINAL, copies),),
        kept=(((0, 1),) * scope.parts,) if scope.undoes else (),
    )
    devices = (Device(0, durable), *(Device(number, Durable()) for number in range(1, scope.devices)))
    return tuple(_met_before(device, scope.devices) for device in devices) if scope.homes else devices


def _met_before(device: Device, count: int) -> Device:
    """All of them are connected and have told each other everything; A has counted the session's start."""
    peers = sorted(cast.device_id(number) for number in range(count) if number != device.me)
    counters = {cast.device_id(number): int(number == 0) for number in range(count)}
    return replace(
        device,
        durable=replace(
            device.durable,
            mark=Mark(counters[cast.device_id(device.me)]),
            seen=tuple((peer, counters[peer]) for peer in peers),
        ),
        hearings=tuple((peer, Hearing(complete_list=True)) for peer in peers),
        heard=tuple(peers),
    )


# --- messages ---------------------------------------------------------------------------------------


def deliver(doing: Doing, sender: int, message: Any) -> None:
    """Handoffs.message_received and ._route."""
    peer = cast.device_id(sender)
    shows = isinstance(message, msg.Grant | msg.Accepted | msg.Refused)
    if shows:
        homes.judge(doing, peer, message.counter)
    match message:
        case msg.Init():
            _init(doing, peer, message)
        case msg.Take():
            _take_asked(doing, peer, message)
        case msg.Hello() | msg.News() | msg.AskChain() | msg.ChainNews():
            homes.deliver(doing, peer, message)
        case _:
            _route(doing, peer, message)
    if shows:
        homes.note(doing, peer, message.counter)


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
        if answer is Answer.STORE_REFUSAL:
            target_shell.store_refusal(doing, grant.txn, _refusal(doing, grant))
            doing.mark("StoreRefused")
    except HandoffError:
        return
    if answer is Answer.REFUSE:
        doing.send(peer, msg.Refused(grant.txn, encode_signed(_refusal(doing, grant)), doing.counter))
        return
    decision = doing.decision(grant.txn)
    assert decision is not None
    doing.send(peer, aftermath.decision_message(decision, doing.counter))
    held = doing.held(grant.session)
    lost = held is None or is_lost(held.ownership, me=doing.id)
    if decision.verdict.value == "accepted" and grant.txn not in doing.durable.pending and not lost:
        doing.send(peer, msg.Resumed(grant.txn, grant.root, 0, "", 0))


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
        old_here=doing.rolled_back,
        old_there=peer in doing.old,
        forked=doing.open_fork(init.session) is not None,
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
        merging = forks.judge(doing, init) if init.mode is Mode.MERGE else None
    except HandoffError as error:
        reason = RejectReason(error.reason) if isinstance(error, RejectedError) else RejectReason.UNTRUSTED
        doing.send(peer, msg.Reject(init.txn, reason, ""))
    else:
        for txn in giving_way:
            target_shell.take_event(doing, txn, tgt.Abandoned())
        machine = Target(init.txn, init.session, init.source, init.mode)
        doing.ins[init.txn] = In(machine, admitted, asked=bool(asks), merging=merging)
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
    verdict = wishes.judge_take(TakeFacts(said=Verdict.ACCEPT, txn_used=used, asker=peer, current=current))
    if verdict is Take.PUSH:
        if may_push(doing, take.session, peer):
            push(doing, take.txn, take.session, peer, take=True)
        else:
            doing.send(peer, msg.Reject(take.txn, RejectReason.BUSY, ""))
    elif verdict is not Take.OFFERED:
        doing.send(peer, msg.Reject(take.txn, RejectReason.BUSY, ""))


# --- wishes -----------------------------------------------------------------------------------------


def may_push(doing: Doing, session: SessionId, target: DeviceId) -> bool:
    held = doing.held(session)
    if held is None:
        return False
    under_way = any(out.machine.session == session for out in doing.outs.values())
    facts = PushFacts(
        held.ownership.role,
        Mode.MOVE,
        in_place=not forks.is_changing(doing, session),
        under_way=under_way,
        lost=is_lost(held.ownership, me=doing.id),
        old_here=doing.rolled_back,
        old_there=target in doing.old,
        forked=doing.open_fork(session) is not None,
        over=False,
    )
    return wishes.judge_push(facts) is Push.BEGIN


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
    """A new connection to a device is open; where homes count, nobody is heard before its Hello."""
    if doing.durable.mark is not None:
        homes.greet(doing, peer)
        return
    for txn, out in sorted(doing.outs.items()):
        if out.machine.target == peer:
            source_shell.take_event(doing, txn, src.Connected())


def lost(doing: Doing, peer: DeviceId) -> None:
    """The connection to a device broke: what is fetched over it ends without a word."""
    homes.lost(doing, peer)
    for txn, out in sorted(doing.outs.items()):
        if out.machine.target == peer:
            source_shell.take_event(doing, txn, src.Disconnected())
    for txn, item in doing.ins.items():
        if item.machine.source == peer and item.work is not None and item.work[0] != "commit":
            doing.ins[txn] = replace(item, work=None)


def restarted(device: Device) -> Device:
    """After a crash: what is durable, and what a start takes up (Handoffs.recover)."""
    changes = tuple(change for change in device.durable.changes if change.decided)
    durable = replace(device.durable, changes=changes)
    doing = Doing(Device(device.me, durable, past=replace(device.past, lists=())), 0, 0)
    for _, held in durable.held:
        frozen = held.ownership.frozen
        if frozen is not None:
            granted = doing.granted(frozen.txn)
            machine = aftermath.taken_up(held.ownership, granted.signed if granted else None)
            doing.outs[machine.txn] = Out(machine, take=False, picture=b"", paused=True)
    return doing.device()


def restored(device: Device) -> Device:
    """Its home is exchanged for the copy; no nonce comes twice, as with 16 random bytes."""
    copy = device.past.copy
    assert copy is not None
    durable = replace(copy, nonces=device.durable.nonces)
    forgets = any(getattr(copy, name) != getattr(device.durable, name) for name in ("held", "grants", "decisions"))
    return restarted(Device(device.me, durable, past=Past(copied=True, restored=forgets)))


def run(device: Device, happens: Input, scope: Scope) -> Doing:
    """Work one step out.

    Raises:
        BeyondScopeError: It leads beyond the scope.
        DefectError: The production code did what it never may.
    """
    doing = Doing(device, scope.nonces, scope.rounds)
    doing.disk_full = happens.disk_full
    doing.keeps = scope.undoes > 0
    happens.act(doing, *happens.args)
    past = doing.past
    if past.restored and not past.noticed and takes_part(device.durable, doing.durable):
        doing.past = replace(past, acted=True)
    return doing
