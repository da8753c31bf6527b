# SPDX-License-Identifier: Apache-2.0
"""store.circle: signed statements about own devices."""

from __future__ import annotations

from p2p_handoff.store.store import Store
from tests.security.circle_world import admits, revokes

FIRST = (admits("a", "b"), admits("b", "c"), revokes("a", "c"))


def test_statements_are_kept_in_their_order(store: Store) -> None:
    assert store.circle.all() == ()
    store.circle.replace(FIRST)
    assert store.circle.all() == FIRST


def test_a_later_statement_takes_the_place_of_the_one_before(store: Store) -> None:
    store.circle.replace(FIRST)
    store.circle.replace((admits("a", "b", 2), *FIRST[1:], admits("a", "d")))
    assert store.circle.all() == (admits("a", "b", 2), *FIRST[1:], admits("a", "d"))


def test_what_does_not_count_any_more_goes(store: Store) -> None:
    store.circle.replace(FIRST)
    store.circle.replace(FIRST[2:])
    assert store.circle.all() == FIRST[2:]
