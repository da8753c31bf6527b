# SPDX-License-Identifier: Apache-2.0
"""Every row of the table of network scenarios ends as it was written down: docs/reliability.md §5."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.network.conftest import require
from tests.network.scenarios import SCENARIOS, Scenario, lacking, run


def rows() -> list[object]:
    """The table as parameters; what not every commit plays is marked slow."""
    marks = {True: (), False: (pytest.mark.slow,)}
    return [pytest.param(row, id=row.title, marks=marks[row.quick]) for row in SCENARIOS]


@pytest.mark.network
@pytest.mark.scenario
@pytest.mark.timeout(900)
@pytest.mark.parametrize("scenario", rows())
def test_it_ends_as_it_was_written_down(scenario: Scenario, tmp_path: Path) -> None:
    require(lacking(scenario))
    run(scenario, tmp_path)


def test_every_family_is_played_with_every_commit() -> None:
    assert {row.family for row in SCENARIOS if row.quick} == {row.family for row in SCENARIOS}


def test_no_two_rows_have_one_title() -> None:
    assert len({row.title for row in SCENARIOS}) == len(SCENARIOS)
