# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs: small changes of the production code (or of the shell around it) that the exploration must find.

Where two rules guard one thing, the bug takes both away: with one of them left nothing goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import pytest

from tests.explore import home_seeds, source_seeds, target_seeds
from tests.explore.scope import Scope
from tests.explore.search import Found, explore

ONE: Final = Scope("one push", nonces=1, crashes=1, cuts=1)
EDITED: Final = replace(ONE, name="one push, edited", edits=1)
CANCELLED: Final = replace(ONE, name="one push, cancelled", cancels=True)
BACK: Final = Scope("there and back", txns=2, pushes="AB BA", nonces=1, crashes=0, cuts=0)
TWICE: Final = Scope("two targets", devices=3, txns=2, pushes="AB AC", nonces=1, crashes=0, cuts=0, edits=1, fifo=True)
AGAIN: Final = Scope("refused, then again", txns=2, disk=True, nonces=2, crashes=0, cuts=0)
FORKED: Final = replace(ONE, name="forked", forks=True)
TAUGHT: Final = Scope("taught", devices=3, txns=2, pushes="AB BC", learns="AB AC BC", nonces=1, crashes=0, cuts=1)
GONE: Final = Scope(
    "the target is gone", devices=3, txns=2, pushes="AB BC", learns="AC", gone="B", nonces=1, crashes=0, cuts=0
)
MEDDLED: Final = Scope("meddled with", devices=3, meddler=True, nonces=1, crashes=1, cuts=0)
PARTIAL: Final = Scope("partial", parts=2, partial=True, nonces=1, crashes=0, cuts=0)
FULL: Final = replace(ONE, name="full disk", disk=True)
OLD_A: Final = Scope("A's home restored", restores="A", homes=True, nonces=2, crashes=0, cuts=1, fifo=True)
OLD_B: Final = replace(OLD_A, name="B's home restored", restores="B")
OLD_OF_THREE: Final = Scope(
    "A's home restored, of three",
    devices=3,
    txns=2,
    pushes="AB AC",
    restores="A",
    homes=True,
    nonces=1,
    crashes=0,
    cuts=0,
    fifo=True,
)
OLD_B_OF_THREE: Final = replace(
    OLD_OF_THREE, name="B's home restored, of three", restores="B", pushes="AB", txns=1, cuts=1
)
OLD_BOTH: Final = replace(OLD_A, name="both homes restored", restores="A B", cuts=0)
OLD_BACK: Final = replace(OLD_B, name="there and back, B's home restored", txns=2, pushes="AB BA")
UNDONE: Final = Scope("undone", undoes=1, edits=1, nonces=1, crashes=1, cuts=0, fifo=True)
UNDONE_BACK: Final = replace(UNDONE, name="there and back, undone", txns=2, pushes="AB BA", crashes=0)
REUNITED: Final = Scope(
    "reunited", forks=True, reunites=True, merges=2, edits=1, nonces=1, crashes=1, cuts=1, fifo=True
)
REUNITED_ANYHOW: Final = replace(REUNITED, name="reunited, in any order", merges=1, crashes=0, cuts=0, fifo=False)
REUNITED_ON: Final = Scope(
    "on to C, reunited",
    devices=3,
    txns=2,
    pushes="AB BC",
    learns="AC",
    forks=True,
    reunites=True,
    merges=1,
    edits=1,
    nonces=1,
    crashes=0,
    cuts=0,
    fifo=True,
)


@dataclass(frozen=True, slots=True)
class Bug:
    """One of them."""

    name: str
    seed: Callable[[pytest.MonkeyPatch], None]
    scope: Scope
    """Where it shows."""


BUGS: Final = (
    Bug("a timeout thaws a frozen source", source_seeds.timeout_thaws, ONE),
    Bug("cancelling thaws a frozen source", source_seeds.cancel_thaws, CANCELLED),
    Bug("the target's Cancel thaws a frozen source", source_seeds.targets_cancel_thaws, CANCELLED),
    Bug("FROZEN is not durable", source_seeds.freeze_is_not_durable, ONE),
    Bug("the grant goes out before FROZEN is stored", source_seeds.grant_goes_before_the_freeze, ONE),
    Bug("granting without freezing", source_seeds.grants_without_freezing, ONE),
    Bug("a full disk is ignored at the freeze", source_seeds.full_disk_is_ignored_at_the_freeze, FULL),
    Bug("a restart forgets the outstanding grant", source_seeds.restart_forgets_the_grant, ONE),
    Bug("a frozen source gives up when the connection breaks", source_seeds.frozen_source_gives_up, ONE),
    Bug("a frozen source does not ask again", source_seeds.frozen_source_does_not_ask_again, ONE),
    Bug("frozen is still primary", source_seeds.frozen_is_primary, ONE),
    Bug("released is still primary", source_seeds.released_is_primary, ONE),
    Bug("edits are acknowledged while the last picture is taken", source_seeds.edits_while_freezing, EDITED),
    Bug("an older picture is granted", source_seeds.grants_an_older_picture, EDITED),
    Bug("two handoffs of a session at once", source_seeds.two_handoffs_at_once, replace(TWICE, disk=True)),
    Bug("a frozen session is granted once more", source_seeds.grants_twice, TWICE),
    Bug("thaws upon the refusal of another handoff", source_seeds.thaw_by_another_refusal, AGAIN),
    Bug(
        "releases upon the acceptance of another handoff",
        source_seeds.release_by_another_acceptance,
        Scope("there, back, and there", txns=3, pushes="AB BA", nonces=2, crashes=0, cuts=0),
    ),
    Bug("a release drops what was withheld", source_seeds.release_drops_what_was_withheld, PARTIAL),
    Bug("ACCEPTED is said before it is stored", target_seeds.acceptance_is_said_first, ONE),
    Bug("ACCEPTED and ownership in two transactions", target_seeds.acceptance_in_two_transactions, ONE),
    Bug("content is not synced before ACCEPTED", target_seeds.content_is_not_synced, EDITED),
    Bug("the last delta is not fetched", target_seeds.last_delta_is_not_fetched, EDITED),
    Bug("the nonce is not checked", target_seeds.no_nonce_check, replace(ONE, nonces=2, cuts=2)),
    Bug("a grant is accepted twice", target_seeds.accepted_again, BACK),
    Bug("accepting does not begin an epoch", target_seeds.accepts_in_the_same_epoch, ONE),
    Bug("a refusal of a forgotten handoff is not stored", target_seeds.refusal_is_not_stored, ONE),
    Bug("a refusal is said before it is stored", target_seeds.refusal_is_said_first, CANCELLED),
    Bug("cancelling refuses what was accepted", target_seeds.cancel_refuses_what_was_accepted, CANCELLED),
    Bug("a query refuses what was accepted", target_seeds.query_refuses_what_was_accepted, CANCELLED),
    Bug("decisions are forgotten", target_seeds.decisions_are_forgotten, ONE),
    Bug("forgotten handoffs get no answer", target_seeds.forgotten_handoffs_get_no_answer, ONE),
    Bug("a third device silences the source", target_seeds.a_third_device_silences_the_source, MEDDLED),
    Bug("a third device makes the target refuse", target_seeds.a_third_device_decides, MEDDLED),
    Bug("a fork makes the original primary", target_seeds.fork_makes_the_original_primary, FORKED),
    Bug("a fork releases the original", target_seeds.fork_releases_the_original, FORKED),
    Bug("older chains are followed", target_seeds.learns_older_chains, TAUGHT),
    Bug("any chain releases a frozen source", target_seeds.any_chain_releases, TAUGHT),
    Bug("news move the epoch and leave the source frozen", target_seeds.news_do_not_settle_the_grant, TAUGHT),
    Bug("news do not reach a frozen source", target_seeds.news_do_not_reach_a_frozen_source, GONE),
    Bug("the counter that a peer saw is ignored", home_seeds.counter_is_ignored, OLD_B),
    Bug("changes of ownership are not counted", home_seeds.changes_are_not_counted, OLD_A),
    Bug("own statements that were forgotten are overlooked", home_seeds.forgotten_statements_are_overlooked, OLD_BACK),
    Bug("an old copy is confirmed by one of two devices", home_seeds.confirmed_by_one, OLD_OF_THREE),
    Bug("an old copy is confirmed by a list without its chains", home_seeds.confirmed_by_a_list_alone, OLD_A),
    Bug("an old copy is confirmed by nobody", home_seeds.confirmed_by_nobody, OLD_A),
    Bug("an old copy grants its epoch again", home_seeds.old_copies_grant, OLD_OF_THREE),
    Bug("an old copy refuses what it may have accepted", home_seeds.old_copies_refuse, OLD_B_OF_THREE),
    Bug("an old copy takes a forgotten epoch up", home_seeds.forgotten_epochs_are_taken_up, OLD_B),
    Bug("an old copy refuses its own acceptance", home_seeds.own_acceptances_are_not_recalled, OLD_BOTH),
    Bug("an undo brings back the epoch as well", home_seeds.undo_brings_back_the_epoch, UNDONE_BACK),
    Bug("an undo of what is granted", home_seeds.undo_of_what_is_granted, UNDONE),
    Bug("an undo by a secondary", home_seeds.undo_by_a_secondary, UNDONE),
    Bug("an undo during a handoff", home_seeds.undo_during_a_handoff, UNDONE),
    Bug("an undo discards what was there", home_seeds.undo_discards_what_was_there, UNDONE),
    Bug("a restart forgets a decided undo", home_seeds.restart_forgets_a_decided_undo, UNDONE),
    Bug("a restart leaves an undecided undo", home_seeds.restart_leaves_an_undecided_undo, UNDONE),
    Bug("a fork is merged twice", home_seeds.fork_is_merged_twice, REUNITED),
    Bug("a fork is merged by a device that is not the primary", home_seeds.fork_is_merged_by_a_secondary, REUNITED_ON),
    Bug("a fork is over before it is merged", home_seeds.fork_ends_before_it_is_merged, REUNITED),
    Bug("a fork joins an original that is granted", home_seeds.fork_joins_a_frozen_original, REUNITED),
    Bug("a merge is said before it is decided", home_seeds.merge_is_said_before_it_is_decided, REUNITED),
    Bug("a merge goes into what is being handed on", home_seeds.merge_goes_into_what_is_handed_on, REUNITED_ON),
    Bug("a fork is over by its maker's own picture", home_seeds.fork_ends_by_its_own_picture, REUNITED_ANYHOW),
    Bug("a fork and its original stay apart", home_seeds.forks_stay_apart, REUNITED),
)
"""All of them; each is found in its scope."""


def hunt(number: int) -> tuple[str, Found]:
    """Seed one bug and look for it."""
    bug = BUGS[number]
    with pytest.MonkeyPatch.context() as patch:
        bug.seed(patch)
        return bug.name, explore(bug.scope)
