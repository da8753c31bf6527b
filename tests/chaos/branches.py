# SPDX-License-Identifier: Apache-2.0
"""Forks, reunion, generations and undo as promises over what homes durably hold. Part of the independent checker.

Followed are docs/specs/ownership.md §3 (force, reunion, undo) and docs/specs/store.md §8-9 alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from blake3 import blake3

from tests.chaos.evidence import Fork, Home, Session
from tests.chaos.judged import Case, Check, Violation, is_lost, named
from tests.chaos.statements import BadStatementError, part_ids


def forks_name_their_original(case: Case) -> Iterator[Violation]:
    """I5: a fork is a session of its own, whose genesis names the state that exactly this device granted."""
    for home in case.homes:
        sessions = {session.id: session for session in home.sessions}
        for fork in home.forks:
            chain = case.chains.get((home.device, fork.fork))
            where = f"{named(home)}, fork {fork.fork[:6]}"
            if fork.fork not in sessions or fork.original not in sessions:
                yield Violation("store", f"{where}: it or its original is not a session here")
            elif chain is not None:
                yield from _parent(home, fork, sessions[fork.original], chain.parent, where)


def _parent(
    home: Home, fork: Fork, original: Session, parent: tuple[str, int, bytes] | None, where: str
) -> Iterator[Violation]:
    if parent is None or parent[0] != fork.original:
        yield Violation("I5", f"{where}: its genesis names another original")
        return
    _, epoch, root = parent
    granted = any((grant.session, grant.epoch, grant.root) == parent for grant in home.grants)
    if granted and blake3(fork.manifest).digest() != root:
        yield Violation("I4", f"{where}: what it left is not what was granted")
    if not granted and not (is_lost(home, original) and original.epoch >= epoch):
        yield Violation("I5", f"{where}: this device granted no such state, and has not lost it")


def sessions_with_a_parent_are_forks(case: Case) -> Iterator[Violation]:
    """I1: whoever is primary of a session with a parent from its first epoch on has noted the fork."""
    for (device, id_), chain in case.chains.items():
        home = case.home(device)
        if home is None or chain.parent is None or chain.tenures[0].primary != device:
            continue
        if id_ not in {fork.fork for fork in home.forks}:
            yield Violation("I1", f"{named(home)}: {id_[:6]} has a parent, and no fork is noted")


def one_open_fork(case: Case) -> Iterator[Violation]:
    """I1: an original has one open fork at most, is marked while it is frozen, and has no path here meanwhile."""
    for home in case.homes:
        opened = Counter(fork.original for fork in home.forks if fork.state == "open")
        for session in home.sessions:
            where = f"{named(home)}, {session.id[:6]}"
            if opened[session.id] > 1:
                yield Violation("I1", f"{where}: it goes on in {opened[session.id]} forks")
            if session.role == "frozen" and session.forked != bool(opened[session.id]):
                yield Violation("I5", f"{where}: marked as forked: {session.forked}, forks: {opened[session.id]}")
            if opened[session.id] and any(part.path for part in home.parts_of(session.id)):
                yield Violation("I1", f"{where}: it has paths here that belong to its fork")


def a_place_has_one_session(case: Case) -> Iterator[Violation]:
    """I1: no file or folder belongs to two sessions of a device."""
    for home in case.homes:
        for path, count in Counter(part.path for part in home.parts if part.path is not None).items():
            if count > 1:
                yield Violation("I1", f"{named(home)}: {path.name} belongs to {count} sessions")


def merged_was_taken_in(case: Case) -> Iterator[Violation]:
    """I4: a fork that is over because it was merged was taken in by a device, if another one has any of it."""
    taken = {(merge.fork, merge.original, merge.source) for home in case.homes for merge in home.merges}
    for home in case.homes:
        for fork in home.forks:
            others = (other for other in case.homes if other is not home)
            nowhere_else = not any(part.path for other in others for part in other.parts_of(fork.original))
            known = (fork.fork, fork.original, home.device) in taken
            if fork.state == "merged" and not known and not nowhere_else:
                yield Violation("I4", f"{named(home)}: fork {fork.fork[:6]} is merged, and nobody has taken it in")


def generations_are_whole(case: Case) -> Iterator[Violation]:
    """I4: what a generation names is on its shelf; a change under way has its session at its primary."""
    for home in case.homes:
        for kept in home.generations:
            try:
                missing = [part for part in part_ids(kept.manifest) if not _is_kept(home, kept.session, part)]
            except BadStatementError as error:
                yield Violation("store", f"{named(home)}, generation {kept.number}: {error}")
                continue
            for part in missing:
                yield Violation("I4", f"{named(home)}: {part} of generation {kept.number} is on no shelf")
        roles = {session.id: session.role for session in home.sessions}
        for change in home.changes:
            if roles.get(change.session) != "primary":
                yield Violation("I5", f"{named(home)}: {change.session[:6]} changes, and is {roles[change.session]}")


def _is_kept(home: Home, session: str, part: str) -> bool:
    trees = home.shelf(session, part) / "trees"
    return trees.is_dir() and any(trees.iterdir())


def pending_changes_are_decided(case: Case) -> Iterator[Violation]:
    """I3: nothing is put in place for a change that is not decided."""
    for home in case.homes:
        staging = {change.id for change in home.changes if change.phase == "staging"}
        for pending in home.pending:
            if pending.txn in staging:
                yield Violation("I3", f"{named(home)}: {pending.part} is to be put in place, and nothing is decided")


def branches_have_come_together(case: Case) -> Iterator[Violation]:
    """I7: once the devices have met, no undo or merge is under way, and no fork is open whose original is not lost."""
    for home in case.homes:
        for change in home.changes:
            yield Violation("I7", f"{named(home)}: a change of {change.session[:6]} is {change.phase} still")
        lost = {session.id for session in home.sessions if is_lost(home, session)}
        for fork in home.forks:
            if fork.state == "open" and fork.original not in lost:
                yield Violation("I7", f"{named(home)}: fork {fork.fork[:6]} is open still")


ALWAYS: Final[tuple[Check, ...]] = (
    forks_name_their_original,
    sessions_with_a_parent_are_forks,
    one_open_fork,
    a_place_has_one_session,
    merged_was_taken_in,
    generations_are_whole,
    pending_changes_are_decided,
)
AFTER_RECOVERY: Final[tuple[Check, ...]] = (branches_have_come_together,)
