# SPDX-License-Identifier: Apache-2.0
"""Store counters, Hello and ownership news: agent/contacts.py, old_copies.py, news.py and confirming.py, step by step.

Only in scopes that count (``Durable.mark``). ``Past`` is written here as well: what the checks compare with, worked out
from what arrived and not by the product's rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from p2p_handoff.errors import HandoffError, TrustError
from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import news
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol import target as tgt
from p2p_handoff.protocol.news import Hearing, Lesson
from p2p_handoff.protocol.source import SourceState
from p2p_handoff.session import chain as chains
from p2p_handoff.session import freshness, home, journal
from p2p_handoff.session.chain import Chain
from p2p_handoff.session.freshness import Freshness
from p2p_handoff.session.journal import Held
from p2p_handoff.session.ownership import is_lost
from p2p_handoff.session.signed import read
from p2p_handoff.session.statements import Grant
from tests.explore import cast, source_shell, target_shell
from tests.explore.device import Doing, find, put

NEWS = (msg.Hello, msg.News, msg.AskChain, msg.ChainNews)


def greet(doing: Doing, peer: DeviceId) -> None:
    """A connection is open: Hello is the first word on it."""
    seen = find(doing.durable.seen, peer) or 0
    doing.send(peer, msg.Hello((2,), "", "", (), doing.counter, seen))


def deliver(doing: Doing, peer: DeviceId, message: Any) -> None:
    """Contacts.opened, and NewsDesk."""
    match message:
        case msg.Hello():
            _opened(doing, peer, message)
        case msg.News():
            judge(doing, peer, message.counter)
            _told(doing, peer, message)
            note(doing, peer, message.counter)
        case msg.AskChain(session):
            doing.send(peer, news.answer(session, doing.held(session), "", peer, own=True))
        case msg.ChainNews():
            _chain_came(doing, peer, message)


def judge(doing: Doing, peer: DeviceId, counter: int) -> None:
    """Contacts._note_counter: before the message is taken.

    There is one connection at a time, and what an earlier one brought had arrived when it was made: nothing is unclear.
    """
    highest = find(doing.durable.seen, peer) or 0
    if doing.durable.mark is None:
        return
    if freshness.judge(counter, highest=highest, before=highest) is not Freshness.ROLLED_BACK:
        doing.old.discard(peer)
        return
    doing.old.add(peer)
    for txn, item in doing.ins.items():
        if item.machine.source == peer:
            target_shell.raise_event(doing, txn, tgt.TargetCancelAsked(""))


def note(doing: Doing, peer: DeviceId, counter: int) -> None:
    """OldCopies._note: durable beside what the message leads to, so that a crash may come before it."""
    if doing.durable.mark is not None:
        highest = find(doing.durable.seen, peer) or 0
        doing.durable = replace(doing.durable, seen=put(doing.durable.seen, peer, max(highest, counter)))


def owner_changed(doing: Doing, session: SessionId) -> None:
    """NewsDesk._tell_change: everybody who is connected and may know hears of it."""
    held = doing.held(session)
    if doing.durable.mark is None or held is None:
        return
    for peer in sorted(doing.hearings):
        if news.may_know(held, peer, own=True):
            _tell(doing, peer, (held,))


def recall(doing: Doing, chain: Chain) -> None:
    """OwnershipRows.recall."""
    for decision in journal.acceptances(chain, me=doing.id):
        if doing.decision(decision.txn) is None:
            doing.save_decision(decision)


def forgotten(doing: Doing) -> None:
    """OwnershipStore.learn, its last line: a statement of this device's was not known here."""
    if doing.durable.mark is not None:
        doing.durable = replace(doing.durable, mark=home.forgotten(doing.durable.mark))


def lost(doing: Doing, peer: DeviceId) -> None:
    """A connection is over, and what was found by it."""
    doing.hearings.pop(peer, None)
    doing.old.discard(peer)


# --- contacts ---------------------------------------------------------------------------------------


def _opened(doing: Doing, peer: DeviceId, said: msg.Hello) -> None:
    mark = doing.durable.mark
    assert mark is not None
    if doing.past.restored and said.seen > mark.counter:
        doing.past = replace(doing.past, told=True, noticed=True)
    _begin_list(doing, peer)
    judge(doing, peer, said.counter)
    note(doing, peer, said.counter)
    doing.durable = replace(doing.durable, mark=home.witnessed(mark, said.seen))
    doing.mark(said)
    look(doing)
    doing.hearings[peer] = Hearing()
    _tell(doing, peer, tuple(held for _, held in doing.durable.held))
    for txn, out in sorted(doing.outs.items()):
        if out.machine.target == peer:
            source_shell.take_event(doing, txn, src.Connected())


# --- confirming -------------------------------------------------------------------------------------


def look(doing: Doing) -> None:
    """Confirmation.look."""
    mark = doing.durable.mark
    assert mark is not None
    linked = tuple(peer for peer in cast.numbers() if peer != doing.id and peer in dict(doing.durable.seen))
    if mark.rolled_back and not home.awaited(mark, linked, doing.heard):
        doing.durable = replace(doing.durable, mark=home.confirmed(mark))
        doing.mark(mark)
        doing.past = replace(doing.past, told=False)
        for peer in sorted(doing.hearings):
            _tell(doing, peer, ())


# --- news -------------------------------------------------------------------------------------------


def _tell(doing: Doing, peer: DeviceId, sessions: Iterable[Held]) -> None:
    for message in news.listed(sessions, peer, own=True, counter=doing.counter):
        doing.send(peer, message)


def _told(doing: Doing, peer: DeviceId, message: msg.News) -> None:
    _note_list(doing, peer, message)
    hearing = doing.hearings.get(peer)
    if hearing is None:
        return
    if hearing.complete_list and not message.owners:
        _ask_again(doing, peer)
    here = {owner.session: held for owner in message.owners if (held := doing.held(owner.session)) is not None}
    _go_on(doing, peer, news.told(hearing, message, here, me=doing.id))


def _ask_again(doing: Doing, peer: DeviceId) -> None:
    for txn, out in doing.outs.items():
        if out.machine.target == peer and out.machine.state is SourceState.FROZEN:
            source_shell.raise_event(doing, txn, src.Connected())


def _chain_came(doing: Doing, peer: DeviceId, message: msg.ChainNews) -> None:
    hearing = doing.hearings.get(peer)
    if hearing is None or hearing.asked != message.session:
        return
    if message.chain:
        try:
            _learn(doing, message)
        except HandoffError:
            doing.did.append("refuses another history")
    _go_on(doing, peer, news.answered(doing.hearings[peer], message.session))


def _go_on(doing: Doing, peer: DeviceId, hearing: Hearing) -> None:
    hearing, session = news.next_question(hearing)
    doing.hearings[peer] = hearing
    if session is not None:
        doing.send(peer, msg.AskChain(session))
    if hearing.heard:
        doing.heard.add(peer)
        look(doing)


def _learn(doing: Doing, message: msg.ChainNews) -> None:
    chain = chains.decode_chain(message.chain)
    held = doing.held(message.session)
    if held is None:
        _remember_lost(doing, message.session, chain)
        return
    lesson = news.lesson(held, chain, me=doing.id)
    out = next((out for out in doing.outs.values() if out.machine.session == message.session), None)
    if lesson is Lesson.NOTHING:
        return
    if out is None or out.machine.state is not SourceState.FROZEN:
        source_shell.store_learned(doing, message.session, chain)
        return
    event = src.LearnedAccepted if lesson is Lesson.RESOLVED else src.LearnedLater
    source_shell.take_event(doing, out.machine.txn, event(message.chain))


def _remember_lost(doing: Doing, session: SessionId, chain: Chain) -> None:
    state = chains.verify_chain(chain)
    if (state.session, state.primary) != (session, doing.id):
        raise TrustError("the chain is not the one that was asked for")
    held = journal.follow(chain)
    note_forgotten(doing, chain)
    doing.save(held)
    doing.save_copies(session, tuple((0, None) for _ in range(1)))
    doing.count()
    if is_lost(held.ownership, me=doing.id):
        recall(doing, chain)
        forgotten(doing)
    owner_changed(doing, session)


# --- what the checks know ---------------------------------------------------------------------------


def note_forgotten(doing: Doing, chain: Chain) -> None:
    """Whether a chain has a grant to or by this device of which it knows nothing."""
    if not doing.past.restored or doing.past.told:
        return
    known = {txn for txn, _ in doing.durable.grants} | {txn for txn, _ in doing.durable.decisions}
    grants = [read(signed, Grant) for signed in chain[1::2]]
    if any(doing.id in (grant.source, grant.target) and grant.txn not in known for grant in grants):
        doing.past = replace(doing.past, told=True, noticed=True)


def _begin_list(doing: Doing, peer: DeviceId) -> None:
    """What it listed before and did not show counts no more: it may be an old copy by now itself."""
    listed = find(doing.past.lists, peer)
    held = dict(doing.durable.held)
    concerning = [item for item in listed or () if item[0] in held or item[2] == doing.id]
    if any(name not in held or held[name].state.epoch < epoch for name, epoch, _ in concerning):
        lists = tuple(item for item in doing.past.lists if item[0] != peer)
        doing.past = replace(doing.past, lists=lists)


def _note_list(doing: Doing, peer: DeviceId, message: msg.News) -> None:
    if doing.past.restored:
        before = find(doing.past.lists, peer) or ()
        owners = {name: (name, epoch, owner) for name, epoch, owner in before}
        owners |= {owner.session: (owner.session, owner.epoch, owner.primary) for owner in message.owners}
        listed = tuple(owners[name] for name in sorted(owners))
        doing.past = replace(doing.past, lists=put(doing.past.lists, peer, listed))
