# SPDX-License-Identifier: Apache-2.0
"""Exponential backoff with jitter."""

from __future__ import annotations

import itertools
import os

from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.agent.retry import delays


@given(st.integers(0, 255), st.floats(0.001, 10), st.floats(0.001, 60))
def test_every_delay_lies_between_half_and_all_of_its_span(draw: int, first: float, limit: float) -> None:
    drawn = delays(lambda count: bytes([draw]) * count, first=first, limit=max(first, limit))
    span = first
    for delay in itertools.islice(drawn, 20):
        assert span / 2 <= delay <= span
        span = min(span * 2, max(first, limit))


def test_two_devices_do_not_wait_alike() -> None:
    one, other = (list(itertools.islice(delays(os.urandom), 12)) for _ in range(2))
    assert one != other
