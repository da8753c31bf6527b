# SPDX-License-Identifier: Apache-2.0
"""session.freshness: a lower counter proves an old copy only where it cannot be an older message."""

from __future__ import annotations

import pytest

from p2p_handoff.session.freshness import Freshness, judge


@pytest.mark.parametrize(
    ("counter", "highest", "before", "freshness"),
    [
        (0, 0, 0, Freshness.CURRENT),
        (7, 7, 7, Freshness.CURRENT),
        (8, 7, 7, Freshness.CURRENT),
        (7, 7, 5, Freshness.CURRENT),
        (6, 7, 7, Freshness.ROLLED_BACK),
        (4, 7, 5, Freshness.ROLLED_BACK),
        (5, 7, 5, Freshness.UNCLEAR),
        (6, 7, 0, Freshness.UNCLEAR),
    ],
)
def test_a_counter_is_judged_by_what_was_shown_before_it(
    counter: int, highest: int, before: int, freshness: Freshness
) -> None:
    assert judge(counter, highest=highest, before=before) is freshness


def test_no_order_of_messages_of_one_home_makes_it_an_old_copy_and_no_old_copy_is_current() -> None:
    """What a home shows grows; whatever was known before a message was sent, it is not higher than the message."""
    for highest in range(6):
        for before in range(highest + 1):
            for counter in range(7):
                verdict = judge(counter, highest=highest, before=before)
                assert (verdict is Freshness.ROLLED_BACK) == (counter < before)
                assert (verdict is Freshness.CURRENT) == (counter >= highest)
