# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of the target, of forks and of news. Each takes a pytest.MonkeyPatch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from p2p_handoff.errors import TrustError
from p2p_handoff.ids import TxnId
from p2p_handoff.protocol import aftermath, judgement, target_rules
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import target as tgt
from p2p_handoff.protocol.aftermath import Answer
from p2p_handoff.protocol.rules import only
from p2p_handoff.protocol.target import TargetState
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal, ownership
from p2p_handoff.session.journal import Decision, Held
from p2p_handoff.session.ownership import Ownership, Role, Verdict
from p2p_handoff.session.signed import encode_signed, read
from p2p_handoff.session.statements import Grant, RefusalReason, Refused
from tests.explore import cast, node, target_shell
from tests.explore.device import Device, Doing, Granted
from tests.explore.source_seeds import after_restart

_T: Final = TargetState


# --- helpers --------------------------------------------------------------------------------------


def _target(patch: pytest.MonkeyPatch, state: TargetState, event: type, then: TargetState, *effects: Any) -> None:
    patch.setitem(target_rules.MOVE_RULES, (state, event), target_rules.Rule(then, only(*effects)))


def _accepts_anything(patch: pytest.MonkeyPatch) -> None:
    """Neither the role, nor the epoch, nor an earlier decision keeps a target from accepting."""
    accept = journal.accept
    patch.setattr(ownership, "_check_may_accept", lambda *_: None)
    patch.setattr(journal, "_check_continues", lambda *_: None)
    patch.setattr(journal, "accept", lambda held, _decided, chain, **named: accept(held, None, chain, **named))


def _refuses_anything(patch: pytest.MonkeyPatch) -> None:
    """An accepted handoff may be refused afterwards."""

    def refuse(_decided: Decision | None, signed: Any, _key: bytes, *, me: Any) -> Decision:
        del me
        refused = read(signed, Refused)
        return Decision(refused.txn, refused.source, Verdict.REFUSED, signed)

    patch.setattr(journal, "refuse", refuse)


# --- the target -------------------------------------------------------------------------------------


def acceptance_is_said_first(patch: pytest.MonkeyPatch) -> None:
    def say(doing: Doing, txn: TxnId, _effect: tgt.SendDecision) -> None:
        item = doing.ins[txn]
        assert item.grant is not None
        signed = chains.accept(doing.identity, item.grant)
        doing.send(item.machine.source, msg.Accepted(txn, encode_signed(signed), cast.COUNTER))

    _target(patch, _T.SEALING, tgt.Sealed, _T.ACCEPTED, tgt.SendDecision(), tgt.StoreAccepted(), tgt.Commit())
    patch.setitem(target_shell._EFFECTS, tgt.SendDecision, say)


def acceptance_in_two_transactions(patch: pytest.MonkeyPatch) -> None:
    store = target_shell._store_accepted

    def in_two(doing: Doing, txn: TxnId, effect: tgt.StoreAccepted) -> None:
        before = doing.durable
        store(doing, txn, effect)
        after = doing.durable
        doing.durable = replace(before, decisions=after.decisions)
        doing.mark(effect)
        doing.durable = after

    patch.setitem(target_shell._EFFECTS, tgt.StoreAccepted, in_two)


def content_is_not_synced(patch: pytest.MonkeyPatch) -> None:
    def lose(before: Device, after: Device) -> Device:
        if not before.durable.pending:
            return after
        blank = tuple((name, tuple((0, holder) for _, holder in copies)) for name, copies in after.durable.content)
        return replace(after, durable=replace(after.durable, content=blank))

    after_restart(patch, lose)


def last_delta_is_not_fetched(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(target_shell._WORK, "seal", lambda doing, txn, *_: target_shell.take_event(doing, txn, tgt.Sealed()))


def no_nonce_check(patch: pytest.MonkeyPatch) -> None:
    class Lenient:
        compare_digest = staticmethod(lambda *_: True)

    patch.setattr(judgement, "hmac", Lenient)
    patch.setattr(ownership, "hmac", Lenient)


def accepted_again(patch: pytest.MonkeyPatch) -> None:
    _accepts_anything(patch)
    for state in (_T.ACCEPTED, _T.RESUMED):
        again = target_rules.Rule(_T.SEALING, lambda machine, event: (machine, (tgt.SealGranted(event.manifest),)))
        patch.setitem(target_rules.MOVE_RULES, (state, tgt.GrantVerified), again)


def accepts_in_the_same_epoch(patch: pytest.MonkeyPatch) -> None:
    accept = ownership.accept

    def stale(*args: Any, **named: Any) -> Ownership:
        own = accept(*args, **named)
        return replace(own, epoch=own.epoch - 1)

    patch.setattr(ownership, "accept", stale)


def refusal_is_not_stored(patch: pytest.MonkeyPatch) -> None:
    def only_said(doing: Doing, peer: Any, message: Any, *, in_use: bool) -> None:
        del in_use
        signed = chains.refuse(doing.identity, message.session, message.txn, peer, RefusalReason.UNKNOWN)
        doing.send(peer, msg.Refused(message.txn, encode_signed(signed), cast.COUNTER))

    patch.setattr(node, "_answer_forgotten", only_said)


def refusal_is_said_first(patch: pytest.MonkeyPatch) -> None:
    honest = target_shell._send_decision

    def say(doing: Doing, txn: TxnId, effect: tgt.SendDecision) -> None:
        machine = doing.ins[txn].machine
        if doing.decision(txn) is not None:
            honest(doing, txn, effect)
            return
        refused = chains.refuse(doing.identity, machine.session, txn, machine.source, RefusalReason.CANCELLED)
        doing.send(machine.source, msg.Refused(txn, encode_signed(refused), cast.COUNTER))

    patch.setitem(target_shell._EFFECTS, tgt.SendDecision, say)
    _target(patch, _T.READY, msg.Query, _T.REFUSED, tgt.SendDecision(), tgt.StoreRefused(""))
    _target(patch, _T.SEALING, msg.Query, _T.REFUSED, tgt.SendDecision(), tgt.StoreRefused(""))


def cancel_refuses_what_was_accepted(patch: pytest.MonkeyPatch) -> None:
    _refuses_anything(patch)
    _target(patch, _T.SEALING, tgt.TargetCancelAsked, _T.SEALING, tgt.StoreAccepted(), tgt.StoreRefused(""))


def query_refuses_what_was_accepted(patch: pytest.MonkeyPatch) -> None:
    _refuses_anything(patch)
    _target(patch, _T.ACCEPTED, msg.Query, _T.REFUSED, tgt.StoreRefused(""), tgt.SendDecision())


def decisions_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    after_restart(patch, lambda _before, after: replace(after, durable=replace(after.durable, decisions=())))


def forgotten_handoffs_get_no_answer(patch: pytest.MonkeyPatch) -> None:
    def silent(_grant: Grant, decision: Decision | None, **_named: Any) -> Answer:
        if decision is None:
            raise TrustError("not known")
        return Answer.STORED

    patch.setattr(aftermath, "answer", silent)


def a_third_device_silences_the_source(patch: pytest.MonkeyPatch) -> None:
    answer = aftermath.answer

    def silent(grant: Grant, decision: Decision | None, **named: Any) -> Answer:
        found = answer(grant, decision, **named)
        if found is Answer.REFUSE:
            raise TrustError("decided for another source")
        return found

    patch.setattr(aftermath, "answer", silent)


def a_third_device_decides(patch: pytest.MonkeyPatch) -> None:
    """Whoever asks about a txn makes the target refuse it to its source, even while the handoff is under way."""
    honest = node._answer_forgotten

    def unchecked(doing: Doing, peer: Any, message: msg.Query | msg.Grant, *, in_use: bool) -> None:
        if doing.me == 0:
            honest(doing, peer, message, in_use=in_use)
            return
        signed = chains.refuse(doing.identity, message.session, message.txn, cast.device_id(0), RefusalReason.UNKNOWN)
        known = doing.decision(message.txn)
        if known is None:
            doing.save_decision(Decision(message.txn, cast.device_id(0), Verdict.REFUSED, signed))
            known = doing.decision(message.txn)
        assert known is not None
        doing.send(cast.device_id(0), msg.Refused(message.txn, encode_signed(signed), cast.COUNTER))

    patch.setattr(node, "_answer_forgotten", unchecked)


# --- forks and news ---------------------------------------------------------------------------------


def fork_makes_the_original_primary(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ownership, "fork", lambda own, **_named: replace(own, role=Role.PRIMARY, frozen=None))


def fork_releases_the_original(patch: pytest.MonkeyPatch) -> None:
    def release(own: Ownership, **_named: Any) -> Ownership:
        assert own.frozen is not None
        return Ownership(own.session, Role.SECONDARY, own.epoch, own.frozen.target)

    patch.setattr(ownership, "fork", release)


def learns_older_chains(patch: pytest.MonkeyPatch) -> None:
    def learn(held: Held, chain: Any, *, me: Any) -> journal.Learned:
        state = chains.verify_chain(chain)
        role = Role.PRIMARY if state.primary == me else Role.SECONDARY
        return journal.Learned(Held(Ownership(state.session, role, state.epoch, state.primary), chain, state))

    patch.setattr(journal, "learn", learn)


def any_chain_releases(patch: pytest.MonkeyPatch) -> None:
    honest = journal.learn

    def learn(held: Held, chain: Any, *, me: Any) -> journal.Learned:
        frozen = held.ownership.frozen
        if frozen is None:
            return honest(held, chain, me=me)
        own = Ownership(held.ownership.session, Role.SECONDARY, held.ownership.epoch, frozen.target)
        return journal.Learned(replace(held, ownership=own), chain[-1])

    patch.setattr(journal, "learn", learn)


def news_do_not_reach_a_frozen_source(patch: pytest.MonkeyPatch) -> None:
    honest = node.learn

    def learn(doing: Doing, chain: Any) -> None:
        held = doing.held(cast.ORIGINAL)
        if held is None or held.ownership.frozen is None:
            honest(doing, chain)

    patch.setattr(node, "learn", learn)


def news_do_not_settle_the_grant(patch: pytest.MonkeyPatch) -> None:
    def learn(doing: Doing, chain: Any) -> None:
        held = doing.held(cast.ORIGINAL)
        if held is not None and held.ownership.frozen is not None and len(chain) > len(held.chain):
            granted = doing.granted(held.ownership.frozen.txn)
            assert granted is not None
            own = replace(held.ownership, epoch=held.ownership.epoch + 1)
            doing.save(replace(held, ownership=own))
            doing.save_grant(held.ownership.frozen.txn, Granted(granted.signed, None))

    patch.setattr(node, "learn", learn)
