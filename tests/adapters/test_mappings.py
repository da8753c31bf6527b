# SPDX-License-Identifier: Apache-2.0
"""Which files are mapped to be written to."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import pytest

from p2p_handoff.adapters.mappings import mapped_for_writing

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")


def test_a_writable_shared_mapping_is_seen_as_long_as_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("d/written", "read", "private"):
        (tmp_path / name).write_bytes(bytes(4096))
    with (tmp_path / "d/written").open("r+b") as written, (tmp_path / "read").open("r+b") as read:
        maps = [
            mmap.mmap(written.fileno(), 0),
            mmap.mmap(read.fileno(), 0, access=mmap.ACCESS_READ),
            mmap.mmap(read.fileno(), 0, access=mmap.ACCESS_COPY),
        ]
    assert mapped_for_writing(tmp_path) == {b"d/written"}
    assert mapped_for_writing(tmp_path / "d") == {b"written"}
    assert mapped_for_writing(tmp_path / "dd") == frozenset()
    for each in maps:
        each.close()
    assert mapped_for_writing(tmp_path) == frozenset()
