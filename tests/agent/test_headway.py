# SPDX-License-Identifier: Apache-2.0
"""agent.headway: the keys of the event ``progress``."""

from __future__ import annotations

import pytest

from p2p_handoff.agent.headway import Headway, time_left


@pytest.mark.parametrize(
    ("remaining", "rate", "left"), [(100, 50.0, 2.0), (0, 50.0, 0.0), (100, 0.0, None), (0, 0.0, None)]
)
def test_the_time_left_is_what_the_rest_takes_at_the_rate(remaining: int, rate: float, left: float | None) -> None:
    assert time_left(remaining, rate) == left


def test_figures_are_told_as_exactly_as_they_are_known() -> None:
    headway = Headway("copying", 1, 10, 5, 2, 99, 3, 40, rate=3.14159, left=1.5915, seconds=7.65432)
    assert headway.as_json() == {
        "phase": "copying",
        "round": 1,
        "bytes": 10,
        "remaining": 5,
        "objects": 2,
        "total_bytes": 99,
        "reused_chunks": 3,
        "reused_bytes": 40,
        "rate": 3,
        "left": 1.6,
        "seconds": 7.654,
    }
