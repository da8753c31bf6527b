# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs: small changes of the production code (or of the shell around it) that the exploration must find.

Where two rules guard one thing, the bug takes both away: with one of them left nothing goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from p2p_handoff.content.digests import digest
from p2p_handoff.errors import TrustError
from p2p_handoff.ids import TxnId
from p2p_handoff.protocol import aftermath, judgement, wishes
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol import target as tgt
from p2p_handoff.protocol.aftermath import Answer
from p2p_handoff.protocol.outcome import Outcome, Result
from p2p_handoff.protocol.rules import only
from p2p_handoff.protocol.source import SourceState
from p2p_handoff.protocol.target import TargetState
from p2p_handoff.protocol.wishes import Push
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal, ownership
from p2p_handoff.session.journal import Decision, Held
from p2p_handoff.session.ownership import Ownership, Role, Verdict
from p2p_handoff.session.signed import encode_signed, read
from p2p_handoff.session.statements import Accepted, Grant, RefusalReason, Refused
from tests.explore import cast, node, source_shell, target_shell
from tests.explore.device import Device, Doing, Granted
from tests.explore.scope import Scope
from tests.explore.search import Found, explore

_S, _T = SourceState, TargetState
_FAILED: Final = Outcome(Result.FAILED)
ONE: Final = Scope("one push", nonces=1, crashes=1, cuts=1)
EDITED: Final = replace(ONE, name="one push, edited", edits=1)
CANCELLED: Final = replace(ONE, name="one push, cancelled", cancels=True)
BACK: Final = Scope("there and back", txns=2, pushes="AB BA", nonces=1, crashes=0, cuts=0)
TWICE: Final = Scope("two targets", devices=3, txns=2, pushes="AB AC", nonces=1, crashes=0, cuts=0, edits=1, fifo=True)
AGAIN: Final = Scope("refused, then again", txns=2, disk=True, nonces=2, crashes=0, cuts=0)
FORKED: Final = replace(ONE, name="forked", forks=True)
TAUGHT: Final = Scope("taught", devices=3, txns=2, pushes="AB BC", learns="AB AC BC", nonces=1, crashes=0, cuts=1)
MEDDLED: Final = Scope("meddled with", devices=3, meddler=True, nonces=1, crashes=1, cuts=0)
PARTIAL: Final = Scope("partial", parts=2, partial=True, nonces=1, crashes=0, cuts=0)
FULL: Final = replace(ONE, name="full disk", disk=True)


@dataclass(frozen=True, slots=True)
class Bug:
    """One of them."""

    name: str
    seed: Callable[[pytest.MonkeyPatch], None]
    scope: Scope
    """Where it shows."""


# --- helpers ----------------------------------------------------------------------------------------


def _source(patch: pytest.MonkeyPatch, state: SourceState, event: type, then: SourceState, *effects: Any) -> None:
    patch.setitem(src.SOURCE_RULES, (state, event), src.Rule(then, only(*effects)))


def _target(patch: pytest.MonkeyPatch, state: TargetState, event: type, then: TargetState, *effects: Any) -> None:
    patch.setitem(tgt.TARGET_RULES, (state, event), tgt.Rule(then, only(*effects)))


def _thaws_by_itself(patch: pytest.MonkeyPatch, event: type) -> None:
    """A frozen source goes on as primary although nobody refused."""

    def thaw(doing: Doing, txn: TxnId, _effect: object) -> None:
        held = doing.held(doing.outs[txn].machine.session)
        assert held is not None
        doing.save(replace(held, ownership=replace(held.ownership, role=Role.PRIMARY, frozen=None)))

    patch.setitem(source_shell._EFFECTS, src.StoreThawed, thaw)
    _source(patch, _S.FROZEN, event, _S.ENDED, src.StoreThawed(b""), src.ThawParts(), src.Ended(_FAILED))


def _grants_from_memory(patch: pytest.MonkeyPatch) -> None:
    """SendGrant signs where nothing is stored."""

    def send(doing: Doing, txn: TxnId, _effect: object) -> None:
        out = doing.outs[txn]
        granted = doing.granted(txn)
        held = doing.held(out.machine.session)
        assert held is not None
        key = cast.key(cast.numbers()[out.machine.target])
        offer = chains.Offer(txn, key, digest(out.picture), out.machine.parts, out.machine.nonce)
        signed = granted.signed if granted else chains.grant(doing.identity, held.state, offer)
        session, statement = out.machine.session, encode_signed(signed)
        doing.send(out.machine.target, msg.Grant(txn, session, statement, out.picture, cast.COUNTER))

    patch.setitem(source_shell._EFFECTS, src.SendGrant, send)


def _after_restart(patch: pytest.MonkeyPatch, change: Callable[[Device, Device], Device]) -> None:
    restarted = node.restarted
    patch.setattr(node, "restarted", lambda device: change(device, restarted(device)))


def _any_answer(patch: pytest.MonkeyPatch) -> None:
    """An answer is taken for the session's outstanding grant, whatever handoff it is about."""
    route = node._route

    def to_session(doing: Doing, peer: Any, message: Any) -> None:
        if isinstance(message, msg.Accepted | msg.Refused) and message.txn not in doing.outs and doing.outs:
            source_shell.take_event(doing, next(iter(doing.outs)), message)
        else:
            route(doing, peer, message)

    patch.setattr(node, "_route", to_session)
    patch.setattr(judgement, "check_answer", lambda *_args, **_named: None)
    patch.setattr(ownership, "_answered", lambda own, _statement: own.frozen)


def _accepts_anything(patch: pytest.MonkeyPatch) -> None:
    """Neither the role, nor the epoch, nor an earlier decision keeps a target from accepting."""
    accept = journal.accept
    patch.setattr(ownership, "_check_may_accept", lambda *_: None)
    patch.setattr(journal, "_continued", lambda _held, chain: chains.verify_chain(chain))
    patch.setattr(journal, "accept", lambda held, _decided, chain, **named: accept(held, None, chain, **named))


def _refuses_anything(patch: pytest.MonkeyPatch) -> None:
    """An accepted handoff may be refused afterwards."""

    def refuse(_decided: Decision | None, signed: Any, _key: bytes, *, me: Any) -> Decision:
        del me
        refused = read(signed, Refused)
        return Decision(refused.txn, refused.source, Verdict.REFUSED, signed)

    patch.setattr(journal, "refuse", refuse)


def _role(own: Ownership, role: Role) -> Ownership:
    return replace(own, role=role)


# --- the source -------------------------------------------------------------------------------------


def _timeout_thaws(patch: pytest.MonkeyPatch) -> None:
    _thaws_by_itself(patch, src.Disconnected)


def _cancel_thaws(patch: pytest.MonkeyPatch) -> None:
    _thaws_by_itself(patch, src.CancelAsked)


def _targets_cancel_thaws(patch: pytest.MonkeyPatch) -> None:
    _thaws_by_itself(patch, msg.Cancel)


def _freeze_is_not_durable(patch: pytest.MonkeyPatch) -> None:
    def forget(_before: Device, after: Device) -> Device:
        held = tuple(
            (name, replace(item, ownership=replace(item.ownership, role=Role.PRIMARY, frozen=None)))
            if item.ownership.frozen
            else (name, item)
            for name, item in after.durable.held
        )
        return replace(after, outs=(), durable=replace(after.durable, held=held))

    _after_restart(patch, forget)


def _grant_goes_before_the_freeze(patch: pytest.MonkeyPatch) -> None:
    _grants_from_memory(patch)
    swapped = src.Rule(
        _S.FROZEN, lambda machine, event: (machine, (src.SendGrant(machine.nonce), src.StoreFrozen(event.root)))
    )
    patch.setitem(src.SOURCE_RULES, (_S.FREEZING, src.FinalTaken), swapped)


def _grants_without_freezing(patch: pytest.MonkeyPatch) -> None:
    _grants_from_memory(patch)
    skipped = src.Rule(_S.FROZEN, lambda machine, _event: (machine, (src.SendGrant(machine.nonce),)))
    patch.setitem(src.SOURCE_RULES, (_S.FREEZING, src.FinalTaken), skipped)


def _full_disk_is_ignored_at_the_freeze(patch: pytest.MonkeyPatch) -> None:
    _grants_from_memory(patch)
    store = source_shell._store_frozen

    def carry_on(doing: Doing, txn: TxnId, effect: src.StoreFrozen) -> None:
        if not doing.disk_full:
            store(doing, txn, effect)

    patch.setitem(source_shell._EFFECTS, src.StoreFrozen, carry_on)


def _restart_forgets_the_grant(patch: pytest.MonkeyPatch) -> None:
    _after_restart(patch, lambda _before, after: replace(after, outs=()))


def _frozen_source_gives_up(patch: pytest.MonkeyPatch) -> None:
    _source(patch, _S.FROZEN, src.Disconnected, _S.ENDED, src.Ended(_FAILED))


def _frozen_source_does_not_ask_again(patch: pytest.MonkeyPatch) -> None:
    _source(patch, _S.FROZEN, src.Connected, _S.FROZEN)


def _frozen_is_primary(patch: pytest.MonkeyPatch) -> None:
    freeze = ownership.freeze
    patch.setattr(ownership, "freeze", lambda *args: _role(freeze(*args), Role.PRIMARY))


def _released_is_primary(patch: pytest.MonkeyPatch) -> None:
    release = ownership.release
    patch.setattr(ownership, "release", lambda *args: _role(release(*args), Role.PRIMARY))


def _edits_while_freezing(patch: pytest.MonkeyPatch) -> None:
    freeze = source_shell._freeze_parts

    def keep_working(doing: Doing, txn: TxnId, effect: src.FreezeParts) -> None:
        freeze(doing, txn, effect)
        doing.outs[txn] = replace(doing.outs[txn], paused=False)

    patch.setitem(source_shell._EFFECTS, src.FreezeParts, keep_working)


def _grants_an_older_picture(patch: pytest.MonkeyPatch) -> None:
    def old(doing: Doing, txn: TxnId, _effect: src.FreezeParts) -> None:
        out = doing.outs[txn]
        doing.outs[txn] = replace(out, paused=True)
        source_shell.raise_event(doing, txn, src.FinalTaken(digest(out.picture)))

    patch.setitem(source_shell._EFFECTS, src.FreezeParts, old)
    # The picture of the survey would be as new.
    patch.setattr(source_shell, "_take_picture", lambda _doing, _txn: True)


def _two_handoffs_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(wishes, "judge_push", lambda facts: Push.NOT_PRIMARY if facts.role is Role.SECONDARY else Push.BEGIN)


def _grants_twice(patch: pytest.MonkeyPatch) -> None:
    _two_handoffs_at_once(patch)

    def freeze(own: Ownership, txn: Any, target: Any, root: Any) -> Ownership:
        return replace(own, role=Role.FROZEN, frozen=ownership.Frozen(txn, target, root, own.epoch))

    patch.setattr(ownership, "freeze", freeze)


def _thaw_by_another_refusal(patch: pytest.MonkeyPatch) -> None:
    _any_answer(patch)


def _release_by_another_acceptance(patch: pytest.MonkeyPatch) -> None:
    _any_answer(patch)

    def release(held: Held, granted: Any, signed: Any) -> Held:
        del granted
        own = held.ownership
        assert own.frozen is not None
        read(signed, Accepted)
        return replace(held, ownership=Ownership(own.session, Role.SECONDARY, own.epoch, own.frozen.target))

    patch.setattr(journal, "release", release)


def _release_drops_what_was_withheld(patch: pytest.MonkeyPatch) -> None:
    thaw = source_shell._thaw_parts

    def drop(doing: Doing, txn: TxnId, effect: object) -> None:
        thaw(doing, txn, effect)
        machine = doing.outs[txn].machine
        copies = tuple((version, cast.numbers()[machine.target]) for version, _ in doing.copies(machine.session))
        doing.save_copies(machine.session, copies)

    patch.setitem(source_shell._EFFECTS, src.ReleaseParts, drop)


# --- the target -------------------------------------------------------------------------------------


def _acceptance_is_said_first(patch: pytest.MonkeyPatch) -> None:
    def say(doing: Doing, txn: TxnId, _effect: tgt.SendDecision) -> None:
        item = doing.ins[txn]
        assert item.grant is not None
        signed = chains.accept(doing.identity, item.grant)
        doing.send(item.machine.source, msg.Accepted(txn, encode_signed(signed), cast.COUNTER))

    _target(patch, _T.SEALING, tgt.Sealed, _T.ACCEPTED, tgt.SendDecision(), tgt.StoreAccepted(), tgt.Commit())
    patch.setitem(target_shell._EFFECTS, tgt.SendDecision, say)


def _acceptance_in_two_transactions(patch: pytest.MonkeyPatch) -> None:
    store = target_shell._store_accepted

    def in_two(doing: Doing, txn: TxnId, effect: tgt.StoreAccepted) -> None:
        before = doing.durable
        store(doing, txn, effect)
        after = doing.durable
        doing.durable = replace(before, decisions=after.decisions)
        doing.mark(effect)
        doing.durable = after

    patch.setitem(target_shell._EFFECTS, tgt.StoreAccepted, in_two)


def _content_is_not_synced(patch: pytest.MonkeyPatch) -> None:
    def lose(before: Device, after: Device) -> Device:
        if not before.durable.pending:
            return after
        blank = tuple((name, tuple((0, holder) for _, holder in copies)) for name, copies in after.durable.content)
        return replace(after, durable=replace(after.durable, content=blank))

    _after_restart(patch, lose)


def _last_delta_is_not_fetched(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(target_shell._WORK, "seal", lambda doing, txn, *_: target_shell.take_event(doing, txn, tgt.Sealed()))


def _no_nonce_check(patch: pytest.MonkeyPatch) -> None:
    class Lenient:
        compare_digest = staticmethod(lambda *_: True)

    patch.setattr(judgement, "hmac", Lenient)
    patch.setattr(ownership, "hmac", Lenient)


def _accepted_again(patch: pytest.MonkeyPatch) -> None:
    _accepts_anything(patch)
    for state in (_T.ACCEPTED, _T.RESUMED):
        again = tgt.Rule(_T.SEALING, lambda machine, event: (machine, (tgt.SealGranted(event.manifest),)))
        patch.setitem(tgt.TARGET_RULES, (state, tgt.GrantVerified), again)


def _accepts_in_the_same_epoch(patch: pytest.MonkeyPatch) -> None:
    accept = ownership.accept

    def stale(*args: Any, **named: Any) -> Ownership:
        own = accept(*args, **named)
        return replace(own, epoch=own.epoch - 1)

    patch.setattr(ownership, "accept", stale)


def _refusal_is_not_stored(patch: pytest.MonkeyPatch) -> None:
    def only_said(doing: Doing, peer: Any, message: Any, *, in_use: bool) -> None:
        del in_use
        signed = chains.refuse(doing.identity, message.session, message.txn, peer, RefusalReason.UNKNOWN)
        doing.send(peer, msg.Refused(message.txn, encode_signed(signed), cast.COUNTER))

    patch.setattr(node, "_answer_forgotten", only_said)


def _refusal_is_said_first(patch: pytest.MonkeyPatch) -> None:
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


def _cancel_refuses_what_was_accepted(patch: pytest.MonkeyPatch) -> None:
    _refuses_anything(patch)
    _target(patch, _T.SEALING, tgt.TargetCancelAsked, _T.SEALING, tgt.StoreAccepted(), tgt.StoreRefused(""))


def _query_refuses_what_was_accepted(patch: pytest.MonkeyPatch) -> None:
    _refuses_anything(patch)
    _target(patch, _T.ACCEPTED, msg.Query, _T.REFUSED, tgt.StoreRefused(""), tgt.SendDecision())


def _decisions_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    _after_restart(patch, lambda _before, after: replace(after, durable=replace(after.durable, decisions=())))


def _forgotten_handoffs_get_no_answer(patch: pytest.MonkeyPatch) -> None:
    def silent(_grant: Grant, decision: Decision | None, **_named: Any) -> Answer:
        if decision is None:
            raise TrustError("not known")
        return Answer.STORED

    patch.setattr(aftermath, "answer", silent)


def _a_third_device_silences_the_source(patch: pytest.MonkeyPatch) -> None:
    answer = aftermath.answer

    def silent(grant: Grant, decision: Decision | None, **named: Any) -> Answer:
        found = answer(grant, decision, **named)
        if found is Answer.REFUSE:
            raise TrustError("decided for another source")
        return found

    patch.setattr(aftermath, "answer", silent)


def _a_third_device_decides(patch: pytest.MonkeyPatch) -> None:
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


def _fork_makes_the_original_primary(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ownership, "fork", lambda own, **_named: replace(own, role=Role.PRIMARY, frozen=None))


def _fork_releases_the_original(patch: pytest.MonkeyPatch) -> None:
    def release(own: Ownership, **_named: Any) -> Ownership:
        assert own.frozen is not None
        return Ownership(own.session, Role.SECONDARY, own.epoch, own.frozen.target)

    patch.setattr(ownership, "fork", release)


def _learns_older_chains(patch: pytest.MonkeyPatch) -> None:
    def learn(held: Held, chain: Any, *, me: Any) -> journal.Learned:
        state = chains.verify_chain(chain)
        role = Role.PRIMARY if state.primary == me else Role.SECONDARY
        return journal.Learned(Held(Ownership(state.session, role, state.epoch, state.primary), chain, state))

    patch.setattr(journal, "learn", learn)


def _any_chain_releases(patch: pytest.MonkeyPatch) -> None:
    honest = journal.learn

    def learn(held: Held, chain: Any, *, me: Any) -> journal.Learned:
        frozen = held.ownership.frozen
        if frozen is None:
            return honest(held, chain, me=me)
        own = Ownership(held.ownership.session, Role.SECONDARY, held.ownership.epoch, frozen.target)
        return journal.Learned(replace(held, ownership=own), chain[-1])

    patch.setattr(journal, "learn", learn)


def _news_do_not_settle_the_grant(patch: pytest.MonkeyPatch) -> None:
    def learn(doing: Doing, chain: Any) -> None:
        held = doing.held(cast.ORIGINAL)
        if held is not None and held.ownership.frozen is not None and len(chain) > len(held.chain):
            granted = doing.granted(held.ownership.frozen.txn)
            assert granted is not None
            own = replace(held.ownership, epoch=held.ownership.epoch + 1)
            doing.save(replace(held, ownership=own))
            doing.save_grant(held.ownership.frozen.txn, Granted(granted.signed, None))

    patch.setattr(node, "learn", learn)


BUGS: Final = (
    Bug("a timeout thaws a frozen source", _timeout_thaws, ONE),
    Bug("cancelling thaws a frozen source", _cancel_thaws, CANCELLED),
    Bug("the target's Cancel thaws a frozen source", _targets_cancel_thaws, CANCELLED),
    Bug("FROZEN is not durable", _freeze_is_not_durable, ONE),
    Bug("the grant goes out before FROZEN is stored", _grant_goes_before_the_freeze, ONE),
    Bug("granting without freezing", _grants_without_freezing, ONE),
    Bug("a full disk is ignored at the freeze", _full_disk_is_ignored_at_the_freeze, FULL),
    Bug("a restart forgets the outstanding grant", _restart_forgets_the_grant, ONE),
    Bug("a frozen source gives up when the connection breaks", _frozen_source_gives_up, ONE),
    Bug("a frozen source does not ask again", _frozen_source_does_not_ask_again, ONE),
    Bug("frozen is still primary", _frozen_is_primary, ONE),
    Bug("released is still primary", _released_is_primary, ONE),
    Bug("edits are acknowledged while the last picture is taken", _edits_while_freezing, EDITED),
    Bug("an older picture is granted", _grants_an_older_picture, EDITED),
    Bug("two handoffs of a session at once", _two_handoffs_at_once, replace(TWICE, disk=True)),
    Bug("a frozen session is granted once more", _grants_twice, TWICE),
    Bug("thaws upon the refusal of another handoff", _thaw_by_another_refusal, AGAIN),
    Bug(
        "releases upon the acceptance of another handoff",
        _release_by_another_acceptance,
        Scope("there, back, and there", txns=3, pushes="AB BA", nonces=2, crashes=0, cuts=0),
    ),
    Bug("a release drops what was withheld", _release_drops_what_was_withheld, PARTIAL),
    Bug("ACCEPTED is said before it is stored", _acceptance_is_said_first, ONE),
    Bug("ACCEPTED and ownership in two transactions", _acceptance_in_two_transactions, ONE),
    Bug("content is not synced before ACCEPTED", _content_is_not_synced, EDITED),
    Bug("the last delta is not fetched", _last_delta_is_not_fetched, EDITED),
    Bug("the nonce is not checked", _no_nonce_check, replace(ONE, nonces=2, cuts=2)),
    Bug("a grant is accepted twice", _accepted_again, BACK),
    Bug("accepting does not begin an epoch", _accepts_in_the_same_epoch, ONE),
    Bug("a refusal of a forgotten handoff is not stored", _refusal_is_not_stored, ONE),
    Bug("a refusal is said before it is stored", _refusal_is_said_first, CANCELLED),
    Bug("cancelling refuses what was accepted", _cancel_refuses_what_was_accepted, CANCELLED),
    Bug("a query refuses what was accepted", _query_refuses_what_was_accepted, CANCELLED),
    Bug("decisions are forgotten", _decisions_are_forgotten, ONE),
    Bug("forgotten handoffs get no answer", _forgotten_handoffs_get_no_answer, ONE),
    Bug("a third device silences the source", _a_third_device_silences_the_source, MEDDLED),
    Bug("a third device makes the target refuse", _a_third_device_decides, MEDDLED),
    Bug("a fork makes the original primary", _fork_makes_the_original_primary, FORKED),
    Bug("a fork releases the original", _fork_releases_the_original, FORKED),
    Bug("older chains are followed", _learns_older_chains, TAUGHT),
    Bug("any chain releases a frozen source", _any_chain_releases, TAUGHT),
    Bug("news move the epoch and leave the source frozen", _news_do_not_settle_the_grant, TAUGHT),
)
"""All of them; each is found in its scope."""


def hunt(number: int) -> tuple[str, Found]:
    """Seed one bug and look for it."""
    bug = BUGS[number]
    with pytest.MonkeyPatch.context() as patch:
        bug.seed(patch)
        return bug.name, explore(bug.scope)
