# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from bench.sizes import FULL, GIB, QUICK, human


@pytest.mark.parametrize(
    ("size", "text"), [(GIB, "1 GiB"), (100 * 1024, "100 KiB"), (50 * 1000**2, "50 MB"), (10**9, "1 GB"), (7, "7 B")]
)
def test_a_size_is_told_as_people_say_it(size: int, text: str) -> None:
    assert human(size) == text


def test_growth_goes_over_three_decades() -> None:
    for sizes in (FULL.growth_bytes, FULL.growth_files):
        assert sizes[-1] >= 1000 * sizes[0]


def test_the_small_form_is_small() -> None:
    assert QUICK.tree_files < 1000
    assert max(*QUICK.random.values(), *QUICK.memory, QUICK.session, QUICK.hand_back) <= 16 << 20
