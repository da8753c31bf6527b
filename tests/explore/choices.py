# SPDX-License-Identifier: Apache-2.0
"""What may happen at one device by itself, by a wish or by a fault: everything but messages and connections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from p2p_handoff.content.digests import digest
from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol import target as tgt
from p2p_handoff.protocol.messages import RejectReason
from p2p_handoff.protocol.source import Source, SourceState
from p2p_handoff.protocol.target import TargetState
from p2p_handoff.session.ownership import Role
from p2p_handoff.session.signed import encode_signed, sign
from p2p_handoff.session.statements import Grant
from tests.explore import cast, forks, source_shell, target_shell
from tests.explore.device import Ask, Device, Doing, In, Out
from tests.explore.happening import Input, Kind
from tests.explore.node import may_push, push
from tests.explore.scope import Scope

_OVER: Final = (TargetState.RESUMED, TargetState.REFUSED, TargetState.ENDED)
_UNDECIDED: Final = (TargetState.NEW, TargetState.REVIEWING, TargetState.COPYING, TargetState.READY)
_BEFORE_GRANT: Final = (SourceState.OFFERED, SourceState.COPYING)


# --- what may happen --------------------------------------------------------------------------------


def choices(device: Device, scope: Scope, next_txn: int) -> Iterator[Input]:
    """Everything but messages, connections and crashes."""
    doing = Doing(device, scope.nonces, scope.rounds)
    for out in device.outs:
        yield from _of_source(out, scope)
    for item in device.ins:
        yield from _of_target(item, scope)
    yield from _of_home(doing, device, scope)
    for session in cast.SESSIONS:
        yield from _of_session(doing, session, scope)
    yield from _wishes(doing, scope, next_txn)


def _of_home(doing: Doing, device: Device, scope: Scope) -> Iterator[Input]:
    for txn in device.durable.pending:
        if txn not in doing.ins:
            yield Input("puts in place what a crash left", target_shell.put_in_place, (txn,))
    for change in device.durable.changes:
        if change.decided and change.id != forks.UNDO and change.id not in doing.ins:
            yield Input("puts in place what a crash left of a merge", target_shell.put_in_place, (change.id,))
    if cast.NAMES[device.me] in scope.restores and not device.past.copied:
        yield Input("has its home copied", _copy_home, (), Kind.FAULT)


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
        # A source that is away; one that is there and says nothing for minutes.
        peer = None if scope.cancels else cast.numbers()[machine.source]
        yield Input("waits no longer for the source", target_shell.take_event, (txn, tgt.Abandoned()), down=peer)
    if scope.cancels and machine.state not in _OVER and machine.state is not TargetState.ACCEPTED:
        yield Input("cancels as target", target_shell.take_event, (txn, tgt.TargetCancelAsked("")), Kind.WISH)
    if machine.state in _OVER and not item.queue:
        # After a minute. A source that is connected has said all that belongs to its offer by then.
        away = None if item.merging is None else cast.numbers()[machine.source]
        yield Input("forgets the handoff", _forget, (txn,), down=away)


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
    at_work = held.ownership.role is Role.PRIMARY and not forks.is_changing(doing, session) and not paused
    ended = session == cast.FORK and doing.durable.forks and doing.open_fork(cast.ORIGINAL) is None
    if at_work and not ended:
        for part, (version, holder) in enumerate(doing.copies(session)):
            if holder is None and forks.edits(version) < scope.edits:
                yield Input(f"edits {cast.PARTS[part]}", _edit, (session, part), Kind.WISH)
    frozen = held.ownership.frozen
    if scope.forks and doing.me == 0 and frozen is not None and doing.held(cast.FORK) is None:
        yield Input("forks", forks.fork, (session, scope.reunites), Kind.WISH)
    yield from forks.undoing(doing, session, scope)


def _wishes(doing: Doing, scope: Scope, next_txn: int) -> Iterator[Input]:
    yield from forks.coming_together(doing, scope, next_txn)
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
    for peer in _towards(scope.pushes, doing.me):
        if not may_push(doing, cast.ORIGINAL, cast.device_id(peer)):
            continue
        label = f"begins to push to {cast.NAMES[peer]} (txn {next_txn})"
        args = (cast.txn(next_txn), cast.ORIGINAL, cast.device_id(peer))
        yield Input(label, push, args, Kind.WISH, up=peer, begins=True)
    if doing.asks or doing.rolled_back or (held is not None and held.ownership.role is not Role.SECONDARY):
        return
    for peer in _towards(scope.takes, doing.me):
        label = f"asks to take from {cast.NAMES[peer]} (txn {next_txn})"
        args = (cast.txn(next_txn), cast.ORIGINAL, cast.device_id(peer))
        yield Input(label, _ask_to_take, args, Kind.WISH, up=peer, begins=True)


def _towards(pairs: str, me: int) -> tuple[int, ...]:
    """The others of the pairs that begin with this device."""
    return tuple(cast.NAMES.index(pair[1]) for pair in pairs.split() if pair[0] == cast.NAMES[me])


# --- what it does ---------------------------------------------------------------------------------


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


def _copy_home(doing: Doing) -> None:
    doing.past = replace(doing.past, copy=doing.durable, copied=True)


def _meddle(doing: Doing, txn: Any, target: DeviceId) -> None:
    """A linked device asks about a handoff of others, with a grant that it signed itself."""
    key = cast.key(cast.numbers()[target])
    claim = Grant(cast.ORIGINAL, txn, doing.id, target, key, 1, digest(b""), (), cast.nonce(doing.me, 0), digest(b""))
    doing.send(target, msg.Query(txn, cast.ORIGINAL, encode_signed(sign(doing.identity, claim))))


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
