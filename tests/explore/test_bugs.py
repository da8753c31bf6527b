# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs are found; ``./scripts/explore --bugs`` looks for all of them, here for one of each kind."""

from __future__ import annotations

import pytest

from tests.explore.bugs import BUGS, hunt

QUICK = {
    "FROZEN is not durable": "I1",
    "a frozen session is granted once more": "I2",
    "the last delta is not fetched": "I3",
    "ACCEPTED and ownership in two transactions": "I4",
    "the nonce is not checked": "I5",
    "ACCEPTED is said before it is stored": "I6",
    "a restart forgets the outstanding grant": "I7",
}
NAMES = [bug.name for bug in BUGS]


def test_there_are_many_and_each_has_its_own_name() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 25


@pytest.mark.parametrize(("name", "invariant"), QUICK.items())
def test_a_seeded_bug_breaks_its_invariant(name: str, invariant: str) -> None:
    found = hunt(NAMES.index(name))[1]
    assert found.violation is not None
    assert found.violation.startswith(invariant)
    assert found.trace
