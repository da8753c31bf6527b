# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of restored homes, of undos and of a fork's reunion. Each takes a pytest.MonkeyPatch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from p2p_handoff.errors import RejectedError
from p2p_handoff.protocol import admission, reunion, wishes
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.reunion import Merging, Reunion
from p2p_handoff.protocol.wishes import Undo
from p2p_handoff.session import home, journal
from p2p_handoff.session.chain import Chain
from p2p_handoff.session.journal import ForkState, Held
from p2p_handoff.session.ownership import Ownership, Role
from tests.explore import cast, forks, homes
from tests.explore.device import Change, Device, Doing, In, Out
from tests.explore.source_seeds import after_restart

# --- restored homes -----------------------------------------------------------------------------------


def counter_is_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(home, "witnessed", lambda mark, _seen: mark)


def changes_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(home, "advance", lambda mark: mark)


def forgotten_statements_are_overlooked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(journal, "_forgotten", lambda *_: False)
    patch.setattr(home, "forgotten", lambda mark: mark)
    counter_is_ignored(patch)


def confirmed_by_one(patch: pytest.MonkeyPatch) -> None:
    honest = home.awaited
    patch.setattr(home, "awaited", lambda mark, linked, heard: () if heard else honest(mark, linked, heard))


def confirmed_by_a_list_alone(patch: pytest.MonkeyPatch) -> None:
    """The peer's list counts, although the chains asked for upon it have not come."""
    go_on = homes._go_on

    def hasty(doing: Doing, peer: Any, hearing: Any) -> None:
        if hearing.complete_list:
            doing.heard.add(peer)
        go_on(doing, peer, hearing)
        homes.look(doing)

    patch.setattr(homes, "_go_on", hasty)


def confirmed_by_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(home, "awaited", lambda *_: ())


def old_copies_grant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(home, "check", lambda _mark: None)
    honest = wishes.judge_push
    patch.setattr(wishes, "judge_push", lambda facts: honest(replace(facts, old_here=False, old_there=False)))
    patch.setattr(admission, "_check_homes", lambda _standing: None)


def old_copies_refuse(patch: pytest.MonkeyPatch) -> None:
    """Nothing keeps an old copy from answering for what it forgot."""
    patch.setattr(home, "check", lambda _mark: None)


def forgotten_epochs_are_taken_up(patch: pytest.MonkeyPatch) -> None:
    """A chain that makes this device primary in an epoch that it forgot makes it act in it."""
    follow = journal.follow

    def primary(chain: Chain) -> Held:
        held = follow(chain)
        return replace(held, ownership=replace(held.ownership, role=Role.PRIMARY))

    patch.setattr(journal, "follow", primary)


# --- undo -----------------------------------------------------------------------------------------------


def undo_brings_back_the_epoch(patch: pytest.MonkeyPatch) -> None:
    decide = forks.decide_undo

    def earlier(doing: Doing) -> None:
        decide(doing)
        held = doing.held(cast.ORIGINAL)
        assert held is not None
        doing.save(replace(held, ownership=replace(held.ownership, epoch=held.ownership.epoch - 1)))

    patch.setattr(forks, "decide_undo", earlier)


def undo_of_what_is_granted(patch: pytest.MonkeyPatch) -> None:
    honest = wishes.judge_undo

    def also_frozen(role: Role, **named: bool) -> Undo:
        return Undo.BEGIN if role is Role.FROZEN else honest(role, **named)

    patch.setattr(wishes, "judge_undo", also_frozen)


def undo_by_a_secondary(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(wishes, "judge_undo", lambda _role, **_named: Undo.BEGIN)


def undo_during_a_handoff(patch: pytest.MonkeyPatch) -> None:
    """Neither does a handoff keep an undo away, nor an undo a handoff."""
    undo, push = wishes.judge_undo, wishes.judge_push
    patch.setattr(wishes, "judge_undo", lambda role, **named: undo(role, **{**named, "under_way": False}))
    patch.setattr(wishes, "judge_push", lambda facts: push(replace(facts, in_place=True)))


def undo_discards_what_was_there(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(forks, "keep", lambda *_: None)


def restart_forgets_a_decided_undo(patch: pytest.MonkeyPatch) -> None:
    def forget(before: Device, after: Device) -> Device:
        if not any(change.id == forks.UNDO for change in before.durable.changes):
            return after
        content = tuple(
            (name, tuple((version - 10 if version >= 10 else version, holder) for version, holder in copies))
            for name, copies in after.durable.content
        )
        return replace(after, durable=replace(after.durable, changes=(), content=content))

    after_restart(patch, forget)


def restart_leaves_an_undecided_undo(patch: pytest.MonkeyPatch) -> None:
    """It is neither forgotten nor taken up: the session stays blocked, and is never at rest."""

    def keep(before: Device, after: Device) -> Device:
        stuck = tuple(Change(cast.txn(18), item.session, decided=False) for item in before.durable.changes)
        return replace(after, durable=replace(after.durable, changes=stuck))

    after_restart(patch, keep)


# --- reunion --------------------------------------------------------------------------------------------


def fork_is_merged_twice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(forks, "is_taken_in", lambda *_: False)


def fork_is_merged_by_a_secondary(patch: pytest.MonkeyPatch) -> None:
    """Whoever knows the original merges, and the maker offers it to anybody."""
    honest = reunion.judge_merge

    def any_side(init: msg.Init, parent: Any, held: Any, *, busy: bool) -> Merging:
        try:
            return honest(init, parent, held, busy=busy)
        except RejectedError:
            return Merging(init.session, parent.session, None)

    patch.setattr(reunion, "judge_merge", any_side)
    patch.setattr(forks, "check_free", lambda *_: None)


def fork_ends_before_it_is_merged(patch: pytest.MonkeyPatch) -> None:
    """The wrong side: its maker ends it although the original is another device's."""
    honest = reunion.judge_reunion

    def hasty(*args: Any, **named: Any) -> Reunion:
        verdict = honest(*args, **named)
        return Reunion.HERE if verdict is Reunion.OFFER else verdict

    patch.setattr(reunion, "judge_reunion", hasty)


def fork_joins_a_frozen_original(patch: pytest.MonkeyPatch) -> None:
    def here(original: Ownership, _fork: Ownership, **_named: Any) -> Reunion:
        return Reunion.HERE if original.role is not Role.SECONDARY else Reunion.OFFER

    patch.setattr(reunion, "judge_reunion", here)
    patch.setattr(journal, "reunite", lambda *_: ForkState.REJOINED)


def merge_is_said_before_it_is_decided(patch: pytest.MonkeyPatch) -> None:
    def later(doing: Doing, item: In) -> None:
        if item.merging is not None:
            doing.mark(item)

    patch.setattr(forks, "decide", later)


def merge_goes_into_what_is_handed_on(patch: pytest.MonkeyPatch) -> None:
    """A merge does not look again whether the original is free when it is decided."""
    patch.setattr(forks, "check_free", lambda *_: None)


def forks_stay_apart(patch: pytest.MonkeyPatch) -> None:
    """Nobody brings them together."""
    patch.setattr(reunion, "judge_reunion", lambda *_args, **_named: Reunion.WAIT)


def fork_ends_by_its_own_picture(patch: pytest.MonkeyPatch) -> None:
    """Its maker compares with what it pictured last instead of with what the other device says it has."""

    def own(doing: Doing, out: Out) -> None:
        if doing.picture(cast.FORK) == out.picture:
            forks.end(doing)

    patch.setattr(forks, "merged", own)


def own_acceptances_are_not_recalled(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(journal, "acceptances", lambda _chain, *, me: ())  # noqa: ARG005 - the name that it is called by
