# SPDX-License-Identifier: Apache-2.0
"""agent.stopwatch: what has run in all."""

from __future__ import annotations

from p2p_handoff.agent.stopwatch import Stopwatch


def test_what_stands_still_adds_nothing() -> None:
    watch = Stopwatch()
    watch.stop(5.0)
    assert watch.seconds(9.0) == 0.0


def test_what_runs_counts_until_now() -> None:
    watch = Stopwatch()
    watch.start(5.0)
    watch.start(6.0)
    assert watch.seconds(8.0) == 3.0


def test_what_ran_before_is_added() -> None:
    watch = Stopwatch()
    for began in (0.0, 10.0):
        watch.start(began)
        watch.stop(began + 2)
    assert watch.seconds(100.0) == 4.0
