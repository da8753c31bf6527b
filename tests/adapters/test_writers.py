# SPDX-License-Identifier: Apache-2.0
"""adapters.writers: is a file that was taken out still being written?"""

from __future__ import annotations

import mmap
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_handoff.adapters.platform_files import has_writer
from p2p_handoff.adapters.writers import Writers

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="leases are Linux's")


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(b"hello")
    opened = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield opened
    os.close(opened)


def test_a_file_that_nobody_writes_to_is_free_at_once(holder: int, tmp_path: Path) -> None:
    with (tmp_path / "file").open("rb"):
        assert Writers(0.0).are_gone(holder, b"file")


def test_a_writer_that_stays_is_reported_once_the_patience_is_used_up(holder: int, tmp_path: Path) -> None:
    writers = Writers(0.05)
    with (tmp_path / "file").open("r+b"):
        assert not writers.are_gone(holder, b"file")
    assert writers.are_gone(holder, b"file")


def test_a_writer_that_closes_is_waited_for(holder: int, tmp_path: Path) -> None:
    opened = (tmp_path / "file").open("r+b")
    closing = threading.Timer(0.05, opened.close)
    closing.start()
    try:
        assert Writers(60.0).are_gone(holder, b"file")
    finally:
        closing.join()


def test_a_mapping_counts_as_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"hello")
    with path.open("r+b") as opened:
        mapped = mmap.mmap(opened.fileno(), 5)
    reading = os.open(path, os.O_RDONLY)
    try:
        assert has_writer(reading)
        mapped.close()
        assert not has_writer(reading)
    finally:
        os.close(reading)


@pytest.mark.parametrize("name", [b"missing", b"directory"])
def test_what_is_no_file_has_no_writer(holder: int, tmp_path: Path, name: bytes) -> None:
    (tmp_path / "directory").mkdir()
    assert Writers(0.0).are_gone(holder, name)
