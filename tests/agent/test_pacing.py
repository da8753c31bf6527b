# SPDX-License-Identifier: Apache-2.0
"""agent.pacing: when the rest is small enough for the pause, and when the rounds have no end."""

from __future__ import annotations

import pytest

from p2p_handoff.agent.pacing import ASSUMED_RATE, MAX_ROUNDS, MEASURED_FROM, Pacing
from p2p_handoff.errors import RestlessError


def test_a_small_round_is_judged_by_the_assumed_rate() -> None:
    pacing = Pacing(max_pause=0.1)
    pacing.begin(sent=5, now=10.0)
    assert pacing.fits(sent=5 + int(ASSUMED_RATE * 0.1), now=11.0)
    assert not pacing.fits(sent=6 + int(ASSUMED_RATE * 0.1), now=11.0)


def test_a_round_that_was_measured_is_judged_by_its_own_rate() -> None:
    pacing = Pacing(max_pause=0.5)
    pacing.begin(sent=0, now=0.0)
    assert pacing.fits(sent=MEASURED_FROM + 1, now=0.5)
    assert not pacing.fits(sent=MEASURED_FROM + 1, now=0.6)


def test_only_the_last_round_counts() -> None:
    pacing = Pacing(max_pause=0.1)
    pacing.begin(sent=0, now=0.0)
    pacing.begin(sent=50 * MEASURED_FROM, now=1000.0)
    assert pacing.fits(sent=50 * MEASURED_FROM + 1, now=1001.0)


def test_one_round_too_many_is_an_error_that_leaves_a_choice() -> None:
    pacing = Pacing(max_pause=0.1)
    pacing.begin(sent=0, now=0.0)
    assert not pacing.fits(sent=2 * MEASURED_FROM, now=1.0)
    pacing.check(MAX_ROUNDS)
    with pytest.raises(RestlessError, match="changes faster than it can be copied within a pause of 100 ms") as refused:
        pacing.check(MAX_ROUNDS + 1)
    assert refused.value.advice == "allow a longer one (--max-pause 1500 would do), or wait until it rests"
    assert refused.value.exit_code == 5


@pytest.mark.parametrize(("sent", "seconds"), [(0, 1.0), (2 * MEASURED_FROM, 50.0)])
def test_no_pause_is_advised_that_cannot_be_had_or_told(sent: int, seconds: float) -> None:
    pacing = Pacing(max_pause=0.1)
    pacing.begin(sent=0, now=0.0)
    pacing.fits(sent=sent, now=seconds)
    with pytest.raises(RestlessError) as refused:
        pacing.check(MAX_ROUNDS + 1)
    assert refused.value.advice == "wait until it rests, or allow a longer one (--max-pause)"
