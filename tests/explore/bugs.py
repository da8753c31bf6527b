# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs: small changes of the production code (or of the shell around it) that the exploration must find.

Where two rules guard one thing, the bug takes both away: with one of them left nothing goes wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import pytest

from tests.explore import source_seeds, target_seeds
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
)
"""All of them; each is found in its scope."""


def hunt(number: int) -> tuple[str, Found]:
    """Seed one bug and look for it."""
    bug = BUGS[number]
    with pytest.MonkeyPatch.context() as patch:
        bug.seed(patch)
        return bug.name, explore(bug.scope)
