# SPDX-License-Identifier: Apache-2.0
"""session.home: an old copy of a home is noticed, held back, and let in again above all that was seen of it."""

from __future__ import annotations

import pytest

from p2p_handoff.errors import TrustError
from p2p_handoff.session import home
from p2p_handoff.session.home import Mark
from tests.session.ownership_world import device

B, C = device(2).device, device(3).device


def test_changes_count_and_a_home_that_nobody_saw_further_is_no_old_copy() -> None:
    mark = home.advance(home.advance(Mark()))
    assert mark == Mark(2, 0)
    assert home.witnessed(mark, 2).rolled_back is False
    home.check(home.witnessed(mark, 2))


def test_a_peer_that_saw_more_shows_an_old_copy() -> None:
    mark = home.witnessed(Mark(2), 5)
    assert mark.rolled_back
    assert home.witnessed(mark, 3) == mark
    with pytest.raises(TrustError, match="old copy"):
        home.check(mark)


def test_a_forgotten_statement_shows_an_old_copy() -> None:
    assert home.forgotten(Mark(7)).rolled_back
    assert home.forgotten(Mark(2, 9)) == Mark(2, 9)


def test_what_an_old_copy_learns_does_not_count_as_catching_up() -> None:
    mark = home.witnessed(Mark(2), 3)
    for _ in range(5):
        mark = home.advance(mark)
        assert mark.rolled_back


def test_a_confirmed_home_goes_on_above_everything_that_was_seen() -> None:
    mark = home.confirmed(Mark(2, 5))
    assert mark.counter > 5
    assert not mark.rolled_back


def test_every_linked_device_is_awaited_until_it_was_heard() -> None:
    old = Mark(2, 5)
    assert home.awaited(old, (B, C), set()) == (B, C)
    assert home.awaited(old, (B, C), {B}) == (C,)
    assert home.awaited(old, (B, C), {B, C}) == ()
    assert home.awaited(Mark(5, 5), (B, C), set()) == ()
