# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.limits import RELAY_RETRY_MAX, RELAY_RETRY_MIN
from p2p_handoff.rendezvous.backoff import Backoff


def longest(size: int) -> bytes:
    return b"\xff" * size


def test_the_pause_doubles_up_to_its_bound() -> None:
    backoff = Backoff(longest)
    assert [round(backoff.next(), 3) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_a_good_connection_resets_the_pause() -> None:
    backoff = Backoff(longest)
    for _ in range(5):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= RELAY_RETRY_MIN


def test_a_hopeless_relay_is_left_alone_for_long() -> None:
    backoff = Backoff(bytes)
    backoff.exhaust()
    assert backoff.next() == RELAY_RETRY_MAX / 2


@given(st.lists(st.binary(min_size=4, max_size=4), min_size=1, max_size=20))
def test_no_entropy_leads_out_of_the_bounds(draws: list[bytes]) -> None:
    entropy = iter(draws)
    backoff = Backoff(lambda _size: next(entropy))
    for _ in draws:
        assert RELAY_RETRY_MIN / 2 <= backoff.next() <= RELAY_RETRY_MAX
