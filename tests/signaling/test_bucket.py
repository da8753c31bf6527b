# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from signaling.bucket import TokenBucket

steps = st.lists(st.floats(0, 5), max_size=60)


@given(steps)
def test_no_schedule_takes_more_than_the_burst_and_what_came_since(pauses: list[float]) -> None:
    bucket, now, taken = TokenBucket(rate=2, burst=5, now=0.0), 0.0, 0
    for pause in pauses:
        now += pause
        taken += bucket.take(now)
    assert taken <= 5 + 2 * now + 1e-6


@given(steps)
def test_whoever_waits_as_told_keeps_to_the_rate(pauses: list[float]) -> None:
    bucket, now = TokenBucket(rate=2, burst=5, now=0.0), 0.0
    for count, pause in enumerate(pauses, start=1):
        now += pause
        now += bucket.wait(now)
        assert count <= 5 + 2 * now + 1e-6


def test_a_full_bucket_gives_its_burst_at_once_and_then_nothing() -> None:
    bucket = TokenBucket(rate=1, burst=3, now=0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]


def test_waiting_on_an_empty_bucket_lasts_as_long_as_a_token_takes() -> None:
    bucket = TokenBucket(rate=4, burst=1, now=0.0)
    assert [bucket.wait(0.0), bucket.wait(0.0), bucket.wait(0.0)] == [0.0, 0.25, 0.5]


def test_a_clock_that_jumps_back_gives_nothing_away() -> None:
    bucket = TokenBucket(rate=1, burst=1, now=10.0)
    assert bucket.take(10.0)
    assert not bucket.take(0.0)
    assert not bucket.take(10.5)


def test_a_bucket_is_full_again_after_burst_over_rate() -> None:
    bucket = TokenBucket(rate=1, burst=2, now=0.0)
    bucket.take(0.0)
    assert not bucket.is_full(0.9)
    assert bucket.is_full(1.0)
