# SPDX-License-Identifier: Apache-2.0
"""A few seeds in the ordinary suite, of each kind of story: the runs hand over, meet faults, and keep the promises."""

from __future__ import annotations

import pytest

from tests.simulate.run import run

SEEDS = {0: "Story", 5: "UndoStory", 7: "ForkStory", 58: "RestoredStory"}


@pytest.mark.parametrize(("seed", "kind"), SEEDS.items())
def test_a_seeded_run_keeps_the_promises(seed: int, kind: str) -> None:
    result = run(seed)
    assert result.kind == kind
    assert result.failure == "", result.trace
    assert result.handoffs > 0
    assert result.faults.total() > 0
