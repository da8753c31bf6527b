# SPDX-License-Identifier: Apache-2.0
"""Twenty thousand files between two hosts; ``scripts/big-tree`` does it with more than 50,000 files and 1 GB."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.network.big_tree import carry
from tests.network.trees import python_library

pytestmark = [pytest.mark.network, pytest.mark.timeout(600), pytest.mark.xdist_group("big tree")]

FILES = 20_000
MAX_PEAK_MIB = 512
"""Memory of an agent: a tree is described in it, contents are not."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The start of many files is the slow part of making them: each is cut short."""
    return python_library(tmp_path_factory.mktemp("library") / "tree", FILES, most=2_000)


@pytest.mark.parametrize("engine", ["wrtc", "aiortc"])
def test_twenty_thousand_files_arrive_and_come_back_equal(tree: Path, tmp_path: Path, engine: str) -> None:
    figures = carry(tree, tmp_path, engine)
    assert int(str(figures["files"])) >= FILES
    assert int(str(figures["source_peak_mib"])) < MAX_PEAK_MIB
    assert int(str(figures["target_peak_mib"])) < MAX_PEAK_MIB
