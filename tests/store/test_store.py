# SPDX-License-Identifier: Apache-2.0
"""store.store: one home, one device."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2p_handoff.errors import TrustError
from p2p_handoff.store.store import Store, open_store
from tests.session.ownership_world import device
from tests.store.store_world import SESSION, A, new_session


def test_what_was_stored_is_there_after_reopening(store: Store, tmp_path: Path) -> None:
    store.ownership.start(new_session(A))
    record = store.sessions.get(SESSION)
    store.close()
    with open_store(tmp_path / "store.sqlite3", A.device) as again:
        assert again.sessions.get(SESSION) == record


def test_a_home_opens_for_its_own_device_only(store: Store, tmp_path: Path) -> None:
    store.close()
    with pytest.raises(TrustError, match="belongs to device"):
        open_store(tmp_path / "store.sqlite3", device(2).device)
