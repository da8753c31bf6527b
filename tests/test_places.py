# SPDX-License-Identifier: Apache-2.0
"""Where things are when nobody says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2p_handoff.places import cache, default_home


def test_the_default_home_is_absolute_and_lies_below_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert tmp_path in default_home().parents
    assert tmp_path in cache().parents
