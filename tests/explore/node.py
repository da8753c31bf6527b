# SPDX-License-Identifier: Apache-2.0
"""What may happen at one device, and what comes of it: routing as in p2p_handoff/agent/handoffs.py, and wishes.

A step depends on the device's own state and on what happens to it alone, so that it is worked out once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from p2p_handoff.content.digests import digest
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
from p2p_handoff.protocol.source import Source, SourceState
from p2p_handoff.protocol.target import Target, TargetState
from p2p_handoff.protocol.wishes import Push, PushFacts, Take, TakeFacts
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal
from p2p_handoff.session.chain import Chain
from p2p_handoff.session.ownership import Role, is_lost
from p2p_handoff.session.signed import SignedStatement, encode_signed, sign
from p2p_handoff.session.statements import Grant, RefusalReason
from tests.explore import cast, source_shell, target_shell
from tests.explore.device import Ask, Device, Doing, Durable, In, Out
from tests.explore.scope import Scope

TO_SOURCE: Final = (msg.Accept, msg.Reject, msg.Ready, msg.Accepted, msg.Refused, msg.Resumed, msg.Cancel)
TO_TARGET: Final = (msg.Request, msg.Round, msg.Grant, msg.Query, msg.Cancel)
_OVER: Final = (TargetState.RESUMED, TargetState.REFUSED, TargetState.ENDED)
_UNDECIDED: Final = (TargetState.NEW, TargetState.REVIEWING, TargetState.COPYING, TargetState.READY)
_BEFORE_GRANT: Final = (SourceState.OFFERED, SourceState.COPYING)


class Kind(Enum):
    """Why something happens."""

    PROGRESS = "progress"
    """By itself: work ends, time passes, a person who is asked says yes."""
    WISH = "wish"
    """Somebody wants something."""
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Input:
    """What happens to a device."""

    label: str
    act: Callable[..., None]
    args: tuple[Any, ...] = ()
    kind: Kind = Kind.PROGRESS
    up: int | None = None
    """The device that must be connected."""
    down: int | None = None
    """The device that must not be."""
    begins: bool = False
    """It uses the next txn: the first argument."""
    disk_full: bool = False


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
        held=doing.held(init.session),
    )
    asks = [ask for ask in doing.asks.values() if (ask.session, ask.peer) == (init.session, init.source)]
    try:
        admitted = admission.judge_init(init, standing)
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
        if _may_push(doing, take.session):
            push(doing, take.txn, take.session, peer, take=True)
        else:
            doing.send(peer, msg.Reject(take.txn, RejectReason.BUSY, ""))
    elif verdict is not Take.OFFERED:
        doing.send(peer, msg.Reject(take.txn, RejectReason.BUSY, ""))


# --- wishes -----------------------------------------------------------------------------------------


def _may_push(doing: Doing, session: SessionId) -> bool:
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


def _ask_to_take(doing: Doing, txn: Any, session: SessionId, peer: DeviceId) -> None:
    doing.asks[txn] = Ask(txn, session, peer)
    doing.send(peer, msg.Take(txn, session, ()))


def _call_off(doing: Doing, ask: Ask) -> None:
    del doing.asks[ask.txn]
    doing.called_off.add(ask.txn)
    doing.send(ask.peer, msg.Cancel(ask.txn, RejectReason.CANCELLED, ""))


def _edit(doing: Doing, session: SessionId, part: int) -> None:
    copies = list(doing.copies(session))
    version = copies[part][0] + 1
    copies[part] = (version, None)
    doing.save_copies(session, tuple(copies))
    doing.acks.append((session, part, version))


def _fork(doing: Doing, session: SessionId) -> None:
    """Agent.fork: the work goes on here, from what this device holds."""
    held = doing.held(session)
    assert held is not None
    parent = journal.parent_of(held)
    copies = doing.copies(session)
    root = digest(cast.manifest(cast.FORK, copies))
    marked, begun = journal.fork(held, chains.create(doing.identity, cast.FORK, root, parent), me=doing.id)
    doing.save(marked)
    doing.save(begun)
    doing.save_copies(cast.FORK, copies)
    doing.acks.extend((cast.FORK, part, version) for part, (version, _) in enumerate(copies))


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


def _meddle(doing: Doing, txn: Any, target: DeviceId) -> None:
    """A linked device asks about a handoff of others, with a grant that it signed itself."""
    key = cast.key(cast.numbers()[target])
    claim = Grant(cast.ORIGINAL, txn, doing.id, target, key, 1, digest(b""), (), cast.nonce(doing.me, 0), digest(b""))
    doing.send(target, msg.Query(txn, cast.ORIGINAL, encode_signed(sign(doing.identity, claim))))


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


def _next_event(doing: Doing, txn: Any) -> None:
    out = doing.outs[txn]
    event, *rest = out.queue
    doing.outs[txn] = replace(out, queue=tuple(rest))
    source_shell.take_event(doing, txn, event)


def _surveyed(doing: Doing, txn: Any, *, large: bool) -> None:
    out = doing.outs[txn]
    doing.outs[txn] = replace(out, queue=out.queue[1:])
    source_shell.take_event(doing, txn, src.RemainderLarge() if large else src.RemainderSmall())


def _next_target_event(doing: Doing, txn: Any) -> None:
    item = doing.ins[txn]
    event, *rest = item.queue
    doing.ins[txn] = replace(item, queue=tuple(rest))
    target_shell.take_event(doing, txn, event)


def _answered(doing: Doing, txn: Any, event: Any) -> None:
    doing.ins[txn] = replace(doing.ins[txn], reviewing=False)
    target_shell.take_event(doing, txn, event)


def _seal_failed(doing: Doing, txn: Any) -> None:
    doing.ins[txn] = replace(doing.ins[txn], work=None)
    target_shell.take_event(doing, txn, tgt.SealFailed(RejectReason.FAILED, ""))


def _forget(doing: Doing, txn: Any) -> None:
    del doing.ins[txn]


# --- what may happen --------------------------------------------------------------------------------


def choices(device: Device, scope: Scope, next_txn: int) -> Iterator[Input]:
    """Everything but messages, connections and crashes."""
    doing = Doing(device, scope.nonces, scope.rounds)
    for out in device.outs:
        yield from _of_source(out, scope)
    for item in device.ins:
        yield from _of_target(item, scope)
    for txn in device.durable.pending:
        if txn not in doing.ins:
            yield Input("puts in place what a crash left", target_shell.put_in_place, (txn,))
    for session in cast.SESSIONS:
        yield from _of_session(doing, session, scope)
    yield from _wishes(doing, scope, next_txn)


def _of_source(out: Out, scope: Scope) -> Iterator[Input]:
    machine, txn = out.machine, out.machine.txn
    peer = cast.numbers()[machine.target]
    if out.queue and out.queue[0] == "survey":
        yield Input("finds little changed", _surveyed_small, (txn,))
        if machine.round < scope.rounds:
            yield Input("finds much changed", _surveyed_large, (txn,))
    elif out.queue:
        yield Input(f"takes {type(out.queue[0]).__name__}", _next_event, (txn,))
        if isinstance(out.queue[0], src.FinalTaken) and scope.disk:
            yield Input("takes FinalTaken, its disk is full", _next_event, (txn,), Kind.FAULT, disk_full=True)
    if machine.state is SourceState.RELEASED:
        yield Input("waits no longer for Resumed", source_shell.take_event, (txn, src.ResumeOverdue()))
    if scope.cancels:
        yield from _given_up(machine, peer)


def _given_up(machine: Source, peer: int) -> Iterator[Input]:
    txn = machine.txn
    if not machine.cancel_asked and machine.state is not SourceState.RELEASED:
        yield Input("cancels as source", source_shell.take_event, (txn, src.CancelAsked("")), Kind.WISH)
    if machine.state is SourceState.OFFERED:
        yield Input("lets its offer expire", source_shell.take_event, (txn, src.Expired()), Kind.WISH)
    if machine.state in _BEFORE_GRANT:
        failed = src.SourceFailed("")
        yield Input("gives up an absent target", source_shell.take_event, (txn, failed), Kind.WISH, down=peer)


def _surveyed_small(doing: Doing, txn: Any) -> None:
    _surveyed(doing, txn, large=False)


def _surveyed_large(doing: Doing, txn: Any) -> None:
    _surveyed(doing, txn, large=True)


def _of_target(item: In, scope: Scope) -> Iterator[Input]:
    machine, txn = item.machine, item.machine.txn
    if item.queue:
        yield Input(f"takes {type(item.queue[0]).__name__}", _next_target_event, (txn,))
    if item.reviewing:
        yield from _reviewing(item, scope)
    if item.work is not None:
        yield Input(f"ends its work: {item.work[0]}", target_shell.finish_work, (txn,))
        if item.work[0] == "seal" and scope.disk:
            yield Input("ends sealing, its disk is full", target_shell.finish_work, (txn,), Kind.FAULT, disk_full=True)
            yield Input("finds what is sealed bad", _seal_failed, (txn,), Kind.FAULT)
    if machine.state in _UNDECIDED:
        peer = cast.numbers()[machine.source]
        yield Input("waits no longer for the source", target_shell.take_event, (txn, tgt.Abandoned()), down=peer)
    if scope.cancels and machine.state not in _OVER and machine.state is not TargetState.ACCEPTED:
        yield Input("cancels as target", target_shell.take_event, (txn, tgt.TargetCancelAsked("")), Kind.WISH)
    if machine.state in _OVER and not item.queue:
        yield Input("forgets the handoff", _forget, (txn,))


def _reviewing(item: In, scope: Scope) -> Iterator[Input]:
    txn = item.machine.txn
    assert item.request is not None
    offered = item.request.parts
    yield Input("takes all parts", _answered, (txn, tgt.UserAccepted(offered)))
    if scope.partial and len(offered) > 1:
        yield Input("takes the first part", _answered, (txn, tgt.UserAccepted(offered[:1])))
    if scope.rejects and not item.asked:
        rejected = tgt.UserRejected(RejectReason.DECLINED, "")
        yield Input("rejects", _answered, (txn, rejected), Kind.WISH)


def _of_session(doing: Doing, session: SessionId, scope: Scope) -> Iterator[Input]:
    held = doing.held(session)
    if held is None:
        return
    paused = any(out.paused for out in doing.outs.values() if out.machine.session == session)
    if held.ownership.role is Role.PRIMARY and not doing.durable.pending and not paused:
        for part, (version, holder) in enumerate(doing.copies(session)):
            if holder is None and version < scope.edits:
                yield Input(f"edits {cast.PARTS[part]}", _edit, (session, part), Kind.WISH)
    frozen = held.ownership.frozen
    if scope.forks and frozen is not None and not held.ownership.forked and doing.held(cast.FORK) is None:
        yield Input("forks", _fork, (session,), Kind.WISH)


def _wishes(doing: Doing, scope: Scope, next_txn: int) -> Iterator[Input]:
    if next_txn <= scope.txns:
        yield from _moves(doing, scope, next_txn)
    for ask in doing.asks.values():
        yield Input("calls its take off", _call_off, (ask,))
    if scope.meddler and doing.me == 2:
        for number in range(1, next_txn):
            for peer in (0, 1):
                claim = (cast.txn(number), cast.device_id(peer))
                yield Input(f"meddles with txn {number}", _meddle, claim, Kind.FAULT, up=peer)


def _moves(doing: Doing, scope: Scope, next_txn: int) -> Iterator[Input]:
    held = doing.held(cast.ORIGINAL)
    for peer in _towards(scope.pushes, doing.me) if _may_push(doing, cast.ORIGINAL) else ():
        label = f"begins to push to {cast.NAMES[peer]} (txn {next_txn})"
        args = (cast.txn(next_txn), cast.ORIGINAL, cast.device_id(peer))
        yield Input(label, push, args, Kind.WISH, up=peer, begins=True)
    if doing.asks or (held is not None and held.ownership.role is not Role.SECONDARY):
        return
    for peer in _towards(scope.takes, doing.me):
        label = f"asks to take from {cast.NAMES[peer]} (txn {next_txn})"
        args = (cast.txn(next_txn), cast.ORIGINAL, cast.device_id(peer))
        yield Input(label, _ask_to_take, args, Kind.WISH, up=peer, begins=True)


def _towards(pairs: str, me: int) -> tuple[int, ...]:
    """The others of the pairs that begin with this device."""
    return tuple(cast.NAMES.index(pair[1]) for pair in pairs.split() if pair[0] == cast.NAMES[me])


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
