# SPDX-License-Identifier: Apache-2.0
"""Reading many ranges in a row: what was read last stays open, and no link is followed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.held_files import HeldFiles
from p2p_handoff.errors import PathError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("a/b/one", "a/b/two", "top"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


@pytest.fixture
def files(place: Path) -> Iterator[HeldFiles]:
    root = beneath.HeldDirectory(beneath.open_root(place))
    with HeldFiles(root.descriptor) as held:
        yield held
    root.close()


def test_ranges_of_several_files_are_read(files: HeldFiles) -> None:
    asked = [(b"a/b/one", 0, 3), (b"a/b/one", 4, 3), (b"a/b/two", 0, 99), (b"top", 1, 2), (b"a/b/one", 2, 1)]
    assert [files.read(*one) for one in asked] == [b"a/b", b"one", b"a/b/two", b"op", b"b"]


def test_what_was_read_last_is_not_opened_again(files: HeldFiles, place: Path) -> None:
    assert files.read(b"a/b/one", 0, 3) == b"a/b"
    (place / "a/b/one").unlink()
    assert files.read(b"a/b/one", 4, 3) == b"one"
    files.close()
    with pytest.raises(FileNotFoundError):
        files.read(b"a/b/one", 4, 3)


def test_at_most_a_file_and_a_directory_are_open(files: HeldFiles) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - of names alone
    for path in (b"a/b/one", b"a/b/two", b"top", b"a/b/one"):
        files.read(path, 0, 1)
        assert len(os.listdir("/proc/self/fd")) <= before + 2  # noqa: PTH208 - as above
    files.close()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - as above


@pytest.mark.parametrize("path", [b"a/link", b"linked/one", b"link"])
def test_links_are_not_followed(files: HeldFiles, place: Path, path: bytes) -> None:
    (place / "a/link").symlink_to("b/one")
    (place / "linked").symlink_to("a/b")
    (place / "link").symlink_to("top")
    with pytest.raises(OSError, match=r"."):
        files.read(path, 0, 1)


def test_what_is_no_file_is_refused_and_blocks_nothing(files: HeldFiles, place: Path) -> None:
    os.mkfifo(place / "pipe")
    for path in (b"pipe", b"a"):
        with pytest.raises(PathError, match="not a regular file"):
            files.read(path, 0, 1)
    assert files.read(b"top", 0, 3) == b"top"
