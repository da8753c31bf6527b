# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of the source. Each takes a pytest.MonkeyPatch and changes the code until that is undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from p2p_handoff.content.digests import digest
from p2p_handoff.ids import TxnId
from p2p_handoff.protocol import judgement, source_rules, wishes
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol.outcome import Outcome, Result
from p2p_handoff.protocol.rules import only
from p2p_handoff.protocol.source import SourceState
from p2p_handoff.protocol.wishes import Push
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal, ownership
from p2p_handoff.session.journal import Held
from p2p_handoff.session.ownership import Ownership, Role
from p2p_handoff.session.signed import encode_signed, read
from p2p_handoff.session.statements import Accepted
from tests.explore import cast, node, source_shell
from tests.explore.device import Device, Doing

_S: Final = SourceState
_FAILED: Final = Outcome(Result.FAILED)


# --- helpers --------------------------------------------------------------------------------------


def _source(patch: pytest.MonkeyPatch, state: SourceState, event: type, then: SourceState, *effects: Any) -> None:
    patch.setitem(source_rules.MOVE_RULES, (state, event), source_rules.Rule(then, only(*effects)))


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


def after_restart(patch: pytest.MonkeyPatch, change: Callable[[Device, Device], Device]) -> None:
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


def _role(own: Ownership, role: Role) -> Ownership:
    return replace(own, role=role)


def timeout_thaws(patch: pytest.MonkeyPatch) -> None:
    _thaws_by_itself(patch, src.Disconnected)


def cancel_thaws(patch: pytest.MonkeyPatch) -> None:
    _thaws_by_itself(patch, src.CancelAsked)


def targets_cancel_thaws(patch: pytest.MonkeyPatch) -> None:
    _thaws_by_itself(patch, msg.Cancel)


def freeze_is_not_durable(patch: pytest.MonkeyPatch) -> None:
    def forget(_before: Device, after: Device) -> Device:
        held = tuple(
            (name, replace(item, ownership=replace(item.ownership, role=Role.PRIMARY, frozen=None)))
            if item.ownership.frozen
            else (name, item)
            for name, item in after.durable.held
        )
        return replace(after, outs=(), durable=replace(after.durable, held=held))

    after_restart(patch, forget)


def grant_goes_before_the_freeze(patch: pytest.MonkeyPatch) -> None:
    _grants_from_memory(patch)
    swapped = source_rules.Rule(
        _S.FROZEN, lambda machine, event: (machine, (src.SendGrant(machine.nonce), src.StoreFrozen(event.root)))
    )
    patch.setitem(source_rules.MOVE_RULES, (_S.FREEZING, src.FinalTaken), swapped)


def grants_without_freezing(patch: pytest.MonkeyPatch) -> None:
    _grants_from_memory(patch)
    skipped = source_rules.Rule(_S.FROZEN, lambda machine, _event: (machine, (src.SendGrant(machine.nonce),)))
    patch.setitem(source_rules.MOVE_RULES, (_S.FREEZING, src.FinalTaken), skipped)


def full_disk_is_ignored_at_the_freeze(patch: pytest.MonkeyPatch) -> None:
    _grants_from_memory(patch)
    store = source_shell._store_frozen

    def carry_on(doing: Doing, txn: TxnId, effect: src.StoreFrozen) -> None:
        if not doing.disk_full:
            store(doing, txn, effect)

    patch.setitem(source_shell._EFFECTS, src.StoreFrozen, carry_on)


def restart_forgets_the_grant(patch: pytest.MonkeyPatch) -> None:
    after_restart(patch, lambda _before, after: replace(after, outs=()))


def frozen_source_gives_up(patch: pytest.MonkeyPatch) -> None:
    _source(patch, _S.FROZEN, src.Disconnected, _S.ENDED, src.Ended(_FAILED))


def frozen_source_does_not_ask_again(patch: pytest.MonkeyPatch) -> None:
    _source(patch, _S.FROZEN, src.Connected, _S.FROZEN)


def frozen_is_primary(patch: pytest.MonkeyPatch) -> None:
    freeze = ownership.freeze
    patch.setattr(ownership, "freeze", lambda *args: _role(freeze(*args), Role.PRIMARY))


def released_is_primary(patch: pytest.MonkeyPatch) -> None:
    release = ownership.release
    patch.setattr(ownership, "release", lambda *args: _role(release(*args), Role.PRIMARY))


def edits_while_freezing(patch: pytest.MonkeyPatch) -> None:
    freeze = source_shell._freeze_parts

    def keep_working(doing: Doing, txn: TxnId, effect: src.FreezeParts) -> None:
        freeze(doing, txn, effect)
        doing.outs[txn] = replace(doing.outs[txn], paused=False)

    patch.setitem(source_shell._EFFECTS, src.FreezeParts, keep_working)


def grants_an_older_picture(patch: pytest.MonkeyPatch) -> None:
    def old(doing: Doing, txn: TxnId, _effect: src.FreezeParts) -> None:
        out = doing.outs[txn]
        doing.outs[txn] = replace(out, paused=True)
        source_shell.raise_event(doing, txn, src.FinalTaken(digest(out.picture)))

    patch.setitem(source_shell._EFFECTS, src.FreezeParts, old)
    # The picture of the survey would be as new.
    patch.setattr(source_shell, "_take_picture", lambda _doing, _txn: True)


def two_handoffs_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(wishes, "judge_push", lambda facts: Push.NOT_PRIMARY if facts.role is Role.SECONDARY else Push.BEGIN)


def grants_twice(patch: pytest.MonkeyPatch) -> None:
    two_handoffs_at_once(patch)

    def freeze(own: Ownership, txn: Any, target: Any, root: Any) -> Ownership:
        return replace(own, role=Role.FROZEN, frozen=ownership.Frozen(txn, target, root, own.epoch))

    patch.setattr(ownership, "freeze", freeze)


def thaw_by_another_refusal(patch: pytest.MonkeyPatch) -> None:
    _any_answer(patch)


def release_by_another_acceptance(patch: pytest.MonkeyPatch) -> None:
    _any_answer(patch)

    def release(held: Held, granted: Any, signed: Any) -> Held:
        del granted
        own = held.ownership
        assert own.frozen is not None
        read(signed, Accepted)
        return replace(held, ownership=Ownership(own.session, Role.SECONDARY, own.epoch, own.frozen.target))

    patch.setattr(journal, "release", release)


def release_drops_what_was_withheld(patch: pytest.MonkeyPatch) -> None:
    thaw = source_shell._thaw_parts

    def drop(doing: Doing, txn: TxnId, effect: object) -> None:
        thaw(doing, txn, effect)
        machine = doing.outs[txn].machine
        copies = tuple((version, cast.numbers()[machine.target]) for version, _ in doing.copies(machine.session))
        doing.save_copies(machine.session, copies)

    patch.setitem(source_shell._EFFECTS, src.ReleaseParts, drop)
