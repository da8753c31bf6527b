# SPDX-License-Identifier: Apache-2.0
"""A store on a real disk for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_handoff.store.store import Store, open_store
from tests.session.ownership_world import device


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Device 1's store."""
    with open_store(tmp_path / "store.sqlite3", device(1).device) as opened:
        yield opened
