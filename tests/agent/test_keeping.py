# SPDX-License-Identifier: Apache-2.0
"""Which generations go: the oldest beyond the setting, but none that something needs."""

from __future__ import annotations

from p2p_handoff.agent.keeping import to_forget
from p2p_handoff.content.digests import digest
from p2p_handoff.ids import PartId, SessionId
from p2p_handoff.session.manifest import Manifest, Part, PartType
from p2p_handoff.store.generations import Cause, Generation, Kept

SESSION = SessionId("a" * 26)
P1, P2 = PartId("p1"), PartId("p2")


def part(name: PartId) -> Part:
    return Part(name, PartType.FILES, "folder", "notes", digest(b"root"), 4, 100, 3)


def generation(number: int, *parts: PartId) -> Generation:
    manifest = Manifest(SESSION, "Notes", tuple(map(part, parts)))
    return Generation(number, Kept(SESSION, 0.0, Cause.HANDOFF, f"txn-{number}", 1, manifest))


FIVE = [generation(number, P1) for number in range(1, 6)]


def test_the_oldest_go_first() -> None:
    assert to_forget(FIVE, 3, frozenset({P1}), frozenset()) == {1, 2}
    assert to_forget(FIVE, 5, frozenset({P1}), frozenset()) == frozenset()
    assert to_forget(FIVE, 0, frozenset({P1}), frozenset()) == {1, 2, 3, 4, 5}


def test_what_an_undo_or_a_commit_needs_stays() -> None:
    assert to_forget(FIVE, 2, frozenset({P1}), frozenset({1, None})) == {2, 3}


def test_the_newest_copy_of_a_part_that_is_not_here_stays() -> None:
    kept = [generation(1, P1, P2), generation(2, P1, P2), generation(3, P1), generation(4, P1)]
    assert to_forget(kept, 1, frozenset({P1}), frozenset()) == {1, 3}
