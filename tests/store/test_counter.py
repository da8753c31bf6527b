# SPDX-License-Identifier: Apache-2.0
"""store.counter: an old copy of a home is noticed, held back, and let in again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from p2p_handoff.errors import TrustError
from p2p_handoff.store.store import Store, open_store
from tests.session.ownership_world import device
from tests.store.store_world import A, B, freeze, new_session


def test_a_new_home_starts_at_zero_and_is_not_rolled_back(store: Store) -> None:
    assert (store.counter.value, store.counter.rolled_back) == (0, False)


def test_a_restored_copy_is_held_back_until_confirmed(tmp_path: Path) -> None:
    with open_store(tmp_path / "now", A.device) as store:
        store.ownership.start(new_session(A))
    shutil.copy(tmp_path / "now", tmp_path / "backup")
    with open_store(tmp_path / "now", A.device) as store:
        freeze(store, 0, A, B)
        seen = store.counter.value
    with open_store(tmp_path / "backup", A.device) as restored:
        assert restored.counter.witness(seen)
        with pytest.raises(TrustError, match="old copy"):
            freeze(restored, 1, A, B)
        restored.counter.confirm()
        assert restored.counter.value > seen
        freeze(restored, 1, A, B)


def test_a_peer_that_saw_less_is_no_news(store: Store) -> None:
    store.ownership.start(new_session(device(1)))
    assert not store.counter.witness(1)
    store.counter.check()
