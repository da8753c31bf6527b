# SPDX-License-Identifier: Apache-2.0
"""The source's shell, effect by effect as in p2p_handoff/agent/outgoing.py; only dialling and content are left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from p2p_handoff.content.digests import digest
from p2p_handoff.errors import HandoffError, LocalProtocolError, RemoteProtocolError, StorageError, TrustError
from p2p_handoff.ids import SessionId, TxnId
from p2p_handoff.limits import OFFER_LIFETIME
from p2p_handoff.protocol import agreement, judgement, source_rules
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol.messages import Mode
from p2p_handoff.protocol.outcome import Result
from p2p_handoff.protocol.source import SourceState
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal
from p2p_handoff.session.chain import Chain
from p2p_handoff.session.signed import decode_signed, encode_signed, read
from p2p_handoff.session.statements import Grant
from tests.explore import cast, forks, homes
from tests.explore.device import DefectError, Doing, Granted, Out

_DURABLE: Final = (src.StoreFrozen, src.StoreReleased, src.StoreThawed, src.StoreLearned)


def take_event(doing: Doing, txn: TxnId, event: Any) -> None:
    """Outgoing._apply."""
    out = doing.outs.get(txn)
    if out is None:
        return
    before = out.machine
    if isinstance(event, msg.Resumed) and before.mode is Mode.MERGE:
        out = doing.outs[txn] = replace(out, resumed=event.root)
    try:
        _check(doing, out, event)
        machine, effects = source_rules.step(before, event)
    except (RemoteProtocolError, TrustError):
        return
    except LocalProtocolError as error:
        raise DefectError(error.what) from error
    doing.outs[txn] = replace(out, machine=machine)
    for effect in effects:
        try:
            _EFFECTS[type(effect)](doing, txn, effect)
        except HandoffError:
            _went_wrong(doing, txn, before, effect)
            return
        doing.mark(effect)


def raise_event(doing: Doing, txn: TxnId, event: Any) -> None:
    """Put a local event into the handoff's queue. One that waits there already says the same."""
    out = doing.outs[txn]
    if event not in out.queue:
        doing.outs[txn] = replace(out, queue=(*out.queue, event))


def _check(doing: Doing, out: Out, event: Any) -> None:
    if isinstance(event, msg.Accepted | msg.Refused):
        judgement.check_answer(event, _target_key(doing, out), txn=out.machine.txn)
    elif isinstance(event, msg.Accept):
        try:
            agreement.check_accept(event, doing.parts_here(out.machine.session))
        except RemoteProtocolError:
            raise_event(doing, out.machine.txn, src.SourceFailed(""))
            raise


def _went_wrong(doing: Doing, txn: TxnId, before: src.Source, effect: src.SourceEffect) -> None:
    if isinstance(effect, _DURABLE):
        doing.outs[txn] = replace(doing.outs[txn], machine=before)
    if doing.outs[txn].machine.state not in (SourceState.FROZEN, SourceState.RELEASED):
        raise_event(doing, txn, src.SourceFailed(""))


def _target_key(doing: Doing, out: Out) -> bytes:
    granted = doing.granted(out.machine.txn)
    if granted is not None:
        return read(granted.signed, Grant).target_key
    return cast.key(cast.numbers()[out.machine.target])


def init_message(doing: Doing, out: Out) -> msg.Init:
    """agent.outgoing_init."""
    machine = out.machine
    held = doing.held(machine.session)
    assert held is not None
    chain = chains.encode_chain(held.chain)
    epoch = held.ownership.epoch
    parent = forks.left(doing, machine)
    return msg.Init(
        machine.txn, machine.session, doing.id, machine.target, machine.mode, epoch, chain, out.take, parent
    )


def _send(doing: Doing, txn: TxnId, message: msg.Message) -> None:
    doing.send(doing.outs[txn].machine.target, message)


def _send_offer(doing: Doing, txn: TxnId, _effect: src.SendOffer) -> None:
    out = doing.outs[txn]
    _send(doing, txn, init_message(doing, out))
    _send(doing, txn, msg.Request(txn, out.picture, doing.parts_here(out.machine.session), int(OFFER_LIFETIME)))


def _send_round(doing: Doing, txn: TxnId, effect: src.SendRound) -> None:
    if effect.number > doing.most_rounds:
        raise_event(doing, txn, src.SourceFailed(""))
        return
    if effect.fresh:
        _take_picture(doing, txn)
    _send(doing, txn, msg.Round(txn, effect.number, doing.outs[txn].picture))


def _take_picture(doing: Doing, txn: TxnId) -> bool:
    """True where nothing changed since the last one."""
    out = doing.outs[txn]
    picture = doing.picture(out.machine.session)
    doing.outs[txn] = replace(out, picture=picture)
    return picture == out.picture


def _survey(doing: Doing, txn: TxnId, _effect: src.Survey) -> None:
    same = _take_picture(doing, txn)
    # Whether what changed fits the pause is a matter of measured rates: either way.
    raise_event(doing, txn, src.RemainderSmall() if same else "survey")


def _freeze_parts(doing: Doing, txn: TxnId, _effect: src.FreezeParts) -> None:
    _take_picture(doing, txn)
    doing.outs[txn] = replace(doing.outs[txn], paused=True)
    raise_event(doing, txn, src.FinalTaken(digest(doing.outs[txn].picture)))


def _thaw_parts(doing: Doing, txn: TxnId, _effect: object) -> None:
    """The adapters know parts, not handoffs."""
    session = doing.outs[txn].machine.session
    for name, out in doing.outs.items():
        if out.machine.session == session:
            doing.outs[name] = replace(out, paused=False)


def _store_frozen(doing: Doing, txn: TxnId, _effect: src.StoreFrozen) -> None:
    out = doing.outs[txn]
    held = doing.held(out.machine.session)
    assert held is not None
    if doing.disk_full:
        raise StorageError("the disk is full")
    offer = chains.Offer(txn, _target_key(doing, out), digest(out.picture), out.machine.parts, out.machine.nonce)
    signed = chains.grant(doing.identity, held.state, offer)
    if doing.granted(txn) is not None:
        raise LocalProtocolError("the txn was used before")
    doing.guard()
    doing.save(journal.freeze(held, signed))
    doing.save_grant(txn, Granted(signed, out.picture))
    doing.count()


def _send_grant(doing: Doing, txn: TxnId, _effect: src.SendGrant) -> None:
    granted = doing.granted(txn)
    if granted is None or granted.manifest is None:
        raise DefectError("a grant is sent that is not stored")
    session = doing.outs[txn].machine.session
    _send(doing, txn, msg.Grant(txn, session, encode_signed(granted.signed), granted.manifest, doing.counter))


def _send_query(doing: Doing, txn: TxnId, _effect: src.SendQuery) -> None:
    granted = doing.granted(txn)
    if granted is None:
        raise DefectError("a decision is asked for without a grant")
    _send(doing, txn, msg.Query(txn, doing.outs[txn].machine.session, encode_signed(granted.signed)))


def _send_cancel(doing: Doing, txn: TxnId, effect: src.SendCancel) -> None:
    _send(doing, txn, msg.Cancel(txn, effect.reason, ""))


def _store_released(doing: Doing, txn: TxnId, effect: src.StoreReleased) -> None:
    _settle(doing, txn, effect.statement, journal.release)
    homes.owner_changed(doing, doing.outs[txn].machine.session)


def _store_thawed(doing: Doing, txn: TxnId, effect: src.StoreThawed) -> None:
    doing.guard()
    _settle(doing, txn, effect.statement, journal.thaw)


def _store_learned(doing: Doing, txn: TxnId, effect: src.StoreLearned) -> None:
    store_learned(doing, doing.outs[txn].machine.session, chains.decode_chain(effect.chain))


def store_learned(doing: Doing, session: SessionId, chain: Chain) -> None:
    """OwnershipStore.learn."""
    held = doing.held(session)
    assert held is not None
    learned = journal.learn(held, chain, me=doing.id)
    if learned.forgotten and not doing.past.restored:
        raise DefectError("a home that was never restored is taken for an old copy")
    homes.note_forgotten(doing, chain)
    if learned.held is not held:
        doing.save(learned.held)
        doing.count()
    if learned.forgotten:
        homes.recall(doing, learned.held.chain)
        homes.forgotten(doing)
    frozen = held.ownership.frozen
    granted = None if frozen is None else doing.granted(frozen.txn)
    if frozen is not None and granted is not None and learned.answer is not None:
        doing.save_grant(frozen.txn, Granted(granted.signed, None, learned.answer))
    if learned.held is not held:
        homes.owner_changed(doing, session)


def _settle(doing: Doing, txn: TxnId, statement: bytes, transition: Callable[..., journal.Held]) -> None:
    """OutgoingHandoffs.release and .thaw: the outstanding grant is the frozen session's, whatever the machine's txn."""
    held = doing.held(doing.outs[txn].machine.session)
    assert held is not None
    frozen = held.ownership.frozen
    granted = None if frozen is None else doing.granted(frozen.txn)
    if frozen is None or granted is None:
        raise LocalProtocolError("no grant is outstanding")
    signed = decode_signed(statement)
    doing.save(transition(held, granted.signed, signed))
    doing.save_grant(frozen.txn, Granted(granted.signed, None, signed))
    doing.count()


def _send_finish(doing: Doing, txn: TxnId, _effect: src.SendFinish) -> None:
    _send(doing, txn, msg.Finish(txn, doing.outs[txn].picture))


def _ended(doing: Doing, txn: TxnId, effect: src.Ended) -> None:
    out = doing.outs.pop(txn)
    if out.machine.mode is Mode.MERGE and effect.outcome.result is Result.DONE:
        doing.mark(effect)  # A crash here, and the fork is offered once more.
        forks.merged(doing, out)


def _nothing(_doing: Doing, _txn: TxnId, _effect: object) -> None:
    """It is said to nobody outside of this device."""


_EFFECTS: Final[dict[type, Callable[[Doing, TxnId, Any], None]]] = {
    src.SendOffer: _send_offer,
    src.SendRound: _send_round,
    src.Survey: _survey,
    src.FreezeParts: _freeze_parts,
    src.StoreFrozen: _store_frozen,
    src.SendGrant: _send_grant,
    src.SendFinish: _send_finish,
    src.SendQuery: _send_query,
    src.SendCancel: _send_cancel,
    src.StoreReleased: _store_released,
    src.StoreThawed: _store_thawed,
    src.StoreLearned: _store_learned,
    src.ReleaseParts: _thaw_parts,
    src.ThawParts: _thaw_parts,
    src.Ended: _ended,
    src.InDoubt: _nothing,
}
