# SPDX-License-Identifier: Apache-2.0
"""protocol.round_trip: smoothed as RFC 6298 says, from answers that were asked for."""

from __future__ import annotations

import pytest

from p2p_handoff.protocol.round_trip import RoundTrip


def test_before_the_first_answer_nothing_is_known() -> None:
    trip = RoundTrip()
    trip.asked(1, 0.0)
    assert trip.smoothed is None


def test_the_first_answer_counts_as_it_is() -> None:
    trip = RoundTrip()
    trip.asked(1, 10.0)
    trip.answered(1, 10.5)
    assert (trip.smoothed, trip.variation) == (0.5, 0.25)


def test_later_answers_count_for_an_eighth() -> None:
    trip = RoundTrip()
    for number, took in enumerate((0.8, 1.6)):
        trip.asked(number, 0.0)
        trip.answered(number, took)
    # RTTVAR = 3/4 · 0.4 + 1/4 · |0.8 - 1.6|; SRTT = 7/8 · 0.8 + 1/8 · 1.6
    assert trip.smoothed == pytest.approx(0.9)
    assert trip.variation == pytest.approx(0.5)


def test_an_answer_belongs_to_the_ping_of_its_number() -> None:
    trip = RoundTrip()
    trip.asked(1, 0.0)
    trip.asked(2, 1.0)
    trip.answered(1, 1.25)
    assert trip.smoothed == 1.25
    trip.answered(2, 2.25)
    assert trip.smoothed == 1.25, "both took as long"


@pytest.mark.parametrize("number", [0, 1, 3, 2**63])
def test_an_answer_that_nobody_waits_for_means_nothing(number: int) -> None:
    trip = RoundTrip()
    trip.asked(1, 0.0)
    trip.answered(1, 0.5)
    trip.asked(2, 1.0)
    trip.answered(number, 100.0)
    assert trip.smoothed == 0.5
    trip.answered(2, 1.5)
    assert trip.smoothed == 0.5, "the ping that was out still counts"


def test_a_peer_that_never_answers_is_not_remembered_without_end() -> None:
    trip = RoundTrip()
    for number in range(1000):
        trip.asked(number, float(number))
    trip.answered(0, 1000.0)
    assert trip.smoothed is None
    trip.answered(999, 1000.0)
    assert trip.smoothed == 1.0
