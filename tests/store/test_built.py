# SPDX-License-Identifier: Apache-2.0
"""store.built: what is kept is used only when nobody else can have made it."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2p_handoff.store.built import load, save

DATA = bytes(range(256)) * 40


def test_what_is_kept_is_there_again(tmp_path: Path) -> None:
    place = tmp_path / "cache" / "thing"
    assert load(place) is None
    save(place, DATA)
    assert load(place) == DATA
    assert place.stat().st_mode & 0o777 == 0o600
    save(place, b"other")
    assert load(place) == b"other"
    assert [item.name for item in place.parent.iterdir()] == ["thing"]


@pytest.mark.parametrize("at", [0, 31, 32, 5000, -1])
def test_what_was_changed_is_not_used(tmp_path: Path, at: int) -> None:
    place = tmp_path / "thing"
    save(place, DATA)
    changed = bytearray(place.read_bytes())
    changed[at] ^= 1
    place.write_bytes(changed)
    assert load(place) is None


def test_what_others_may_write_or_link_to_is_not_used(tmp_path: Path) -> None:
    place, link = tmp_path / "thing", tmp_path / "link"
    save(place, DATA)
    link.symlink_to(place)
    assert load(link) is None
    place.chmod(0o620)
    assert load(place) is None


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    save(tmp_path / "file" / "thing", DATA)
    assert load(tmp_path / "file" / "thing") is None
