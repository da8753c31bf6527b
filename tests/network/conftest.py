# SPDX-License-Identifier: Apache-2.0
"""The ``lab`` fixture. Without root or iproute2 these tests skip; in continuous integration that is a failure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.network.lab import Lab, missing
from tests.network.peer import Devices

TIMEOUT: Final = 300
"""Seconds for a test that does not say otherwise: two run at a time, on a machine that may be busy with more."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this directory more time than others have."""
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT))


def require(problem: str | None) -> None:
    """Skip, or in continuous integration fail, if there is a reason why no laboratory can be built."""
    if problem is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{problem}, and a skip is a failure when CI=true")
    pytest.skip(problem)


@pytest.fixture(autouse=True)
def _possible() -> None:
    require(missing())


@pytest.fixture
def lab() -> Iterator[Lab]:
    """An empty laboratory, removed after the test whatever happened."""
    with Lab() as laboratory:
        yield laboratory


@pytest.fixture
def devices(lab: Lab, tmp_path: Path) -> Iterator[Devices]:
    """Makes devices on hosts of the laboratory; their agents end with the test, their logs are shown if it failed."""
    with Devices(lab, tmp_path) as made:
        yield made
