# SPDX-License-Identifier: Apache-2.0
"""What is checked of restored homes, undos and reunions, on states made by hand; and that it all happens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal
from p2p_handoff.session.home import Mark
from p2p_handoff.session.journal import Decision
from p2p_handoff.session.ownership import Verdict
from p2p_handoff.session.statements import RefusalReason
from tests.explore import cast, invariants
from tests.explore.device import Device, Durable, Past
from tests.explore.scope import Scope
from tests.explore.test_invariants import PRIMARY, SECONDARY, A, B, summaries, with_facts
from tests.explore.test_search import worlds_of

HELD = journal.start(cast.genesis(1), me=A)
OWNED = Durable(held=((cast.ORIGINAL, HELD),), content=((cast.ORIGINAL, ((1, None),)),), mark=Mark(1))
FOLLOWED = replace(OWNED, held=((cast.ORIGINAL, journal.follow(cast.genesis(1))),))
REFUSED = chains.refuse(cast.identity(0), cast.ORIGINAL, cast.txn(1), B, RefusalReason.UNKNOWN)
DECIDED = replace(OWNED, decisions=((cast.txn(1), Decision(cast.txn(1), B, Verdict.REFUSED, REFUSED)),), mark=Mark(2))
RESTORED = replace(Scope("restored", homes=True, restores="A", nonces=1, crashes=0, cuts=0, fifo=True))
REUNITED = Scope("reunited", forks=True, reunites=True, merges=1, edits=1, nonces=1, crashes=0, cuts=0, fifo=True)


@pytest.mark.parametrize(("restored", "epoch", "holds"), [(True, 1, True), (False, 1, False), (True, 2, False)])
def test_only_a_restored_home_takes_itself_for_an_earlier_primary(restored: bool, epoch: int, holds: bool) -> None:
    a, b = summaries()
    a = replace(with_facts(a, replace(PRIMARY, epoch=epoch)), restored=restored)
    b = with_facts(b, replace(PRIMARY, epoch=2, primary=B))
    assert invariants.one_actor((a, b), {cast.ORIGINAL: (2,)}) is holds


def test_a_session_is_lost_only_where_its_last_owner_was_restored() -> None:
    a, b = summaries()
    gone = with_facts(a, replace(SECONDARY, epoch=2, chain_epoch=2, chain_primary=B))
    for restored in (False, True):
        devices = gone, replace(b, sessions=(), restored=restored)
        assert invariants.nothing_lost(devices, {cast.ORIGINAL: (2,)}) is restored
        assert invariants.at_rest(devices, {cast.ORIGINAL: (2,)}) is restored


def test_an_old_copy_that_is_not_confirmed_is_no_rest() -> None:
    a, b = summaries()
    assert not invariants.at_rest((replace(a, behind=True), b), {cast.ORIGINAL: (2,)})


@pytest.mark.parametrize("fork", ["merged", "rejoined"])
def test_a_fork_that_is_over_is_in_its_original(fork: str) -> None:
    a, b = summaries()
    for version, holds in ((2, False), (102, True)):
        facts = replace(PRIMARY, copies=((version, None),))
        made = replace(facts, copies=((1, None),))
        devices = replace(a, sessions=((cast.ORIGINAL, facts), (cast.FORK, made)), fork=fork), b
        assert invariants.nothing_lost(devices, {cast.ORIGINAL: (version,), cast.FORK: (1,)}) is holds


TAKEN = (cast.FORK, b"state")
BAD = {
    "taken in twice": (replace(OWNED, taken_in=(TAKEN,)), replace(OWNED, taken_in=(TAKEN, TAKEN))),
    "taken in by a device that is not": (FOLLOWED, replace(FOLLOWED, taken_in=(TAKEN,))),
    "undo discarded": (OWNED, replace(OWNED, content=((cast.ORIGINAL, ((11, None),)),))),
    "undo by a device that is not": (FOLLOWED, replace(FOLLOWED, content=((cast.ORIGINAL, ((11, None),)),))),
    "not counted": (OWNED, replace(DECIDED, mark=OWNED.mark)),
}


@pytest.mark.parametrize("words", BAD)
def test_each_bad_change_is_noticed(words: str) -> None:
    broken = invariants.bad_change(*BAD[words])
    assert broken is not None
    assert words in broken


def test_good_changes_are_good() -> None:
    assert invariants.bad_change(OWNED, replace(OWNED, taken_in=(TAKEN,))) is None
    undone = replace(OWNED, content=((cast.ORIGINAL, ((11, None),)),), kept=(((1, None),),))
    assert invariants.bad_change(OWNED, undone) is None
    assert invariants.bad_change(OWNED, DECIDED) is None


def test_an_old_copy_takes_part_in_nothing_once_it_was_told() -> None:
    for told in (False, True):
        past = Past(restored=True, noticed=told, told=told)
        broken = invariants.bad_old_copy(Device(0, OWNED, past=past), Device(0, DECIDED, past=past))
        assert (broken is not None) is told


def test_an_old_copy_is_confirmed_once_every_list_was_heard_and_is_known() -> None:
    told = Device(0, replace(OWNED, seen=((B, 1),)), past=Past(restored=True, noticed=True, told=True))
    for lists, holds in (
        ((), False),
        (((B, ((cast.ORIGINAL, 2, B),)),), False),
        (((B, ((cast.ORIGINAL, 1, A),)),), True),
    ):
        confirmed = replace(told, past=Past(restored=True, noticed=True, lists=lists))
        assert (invariants.bad_old_copy(told, confirmed) is None) is holds


def test_a_restored_home_is_told_confirmed_and_finds_what_it_lost() -> None:
    worlds, all_of_them = worlds_of(RESTORED)
    pasts = {worlds.devices.values[number].past for world in all_of_them for number in world.devices}
    assert {(past.restored, past.told) for past in pasts} == {(False, False), (True, False), (True, True)}
    assert any(past.noticed and not past.told for past in pasts)


def test_a_fork_ends_both_ways_in_what_is_looked_at() -> None:
    worlds, all_of_them = worlds_of(REUNITED)
    summaries_seen = {worlds.summaries.values[worlds.summary_of[n]] for world in all_of_them for n in world.devices}
    assert {summary.fork for summary in summaries_seen} >= {"", "open", "merged"}
    taken = {worlds.devices.values[number].durable.taken_in for world in all_of_them for number in world.devices}
    assert any(taken)
