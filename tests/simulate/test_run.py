# SPDX-License-Identifier: Apache-2.0
"""A few seeds in the ordinary suite: the runs hand over, meet faults, and keep the promises."""

from __future__ import annotations

import pytest

from tests.simulate.run import run


@pytest.mark.parametrize("seed", range(2))
def test_a_seeded_run_keeps_the_promises(seed: int) -> None:
    result = run(seed)
    assert result.failure == "", result.trace
    assert result.handoffs > 0
    assert result.faults.total() > 0
