# SPDX-License-Identifier: Apache-2.0
"""agent.rate: the last few seconds, whatever was before."""

from __future__ import annotations

import pytest

from p2p_handoff.agent.rate import WINDOW, Rate


def test_before_anything_was_marked_nothing_moves() -> None:
    assert Rate().per_second(1000, 5.0) == 0.0


def test_what_came_since_the_first_mark_counts() -> None:
    rate = Rate()
    rate.begin(1000, 5.0)
    assert rate.per_second(1000, 5.0) == 0.0
    assert rate.per_second(3000, 6.0) == 2000.0


def test_only_the_last_few_seconds_count() -> None:
    rate = Rate()
    for second in range(100):  # a thousand a second, then ten thousand
        rate.mark(second * 1000 if second < 90 else 90_000 + (second - 90) * 10_000, float(second))
    assert rate.per_second(180_000, 99.0) == pytest.approx(10_000)


def test_what_stands_still_falls_to_nothing() -> None:
    rate = Rate()
    rate.begin(0, 0.0)
    for step in range(1, 100):
        rate.mark(5000, step * 0.2)
    assert rate.per_second(5000, 99 * 0.2) == 0.0


def test_a_new_beginning_forgets_the_wait_before_it() -> None:
    rate = Rate()
    rate.begin(0, 0.0)
    rate.begin(0, 3600.0)
    assert rate.per_second(100, 3601.0) == 100.0


def test_no_more_is_remembered_than_is_looked_back_at() -> None:
    rate = Rate()
    for step in range(10_000):
        rate.mark(step, step * 0.1)
    assert len(rate._marks) <= WINDOW / 0.1 + 2
