# SPDX-License-Identifier: Apache-2.0
"""File operations that stay beneath a directory."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_handoff.adapters import beneath, platform_files
from p2p_handoff.errors import NotFoundError, PathError, StorageError


@pytest.fixture(params=[True, False], ids=["kernel", "by component"])
def root(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    if not request.param:
        monkeypatch.setattr(platform_files, "_HAS_OPENAT2", False)
    held = beneath.HeldDirectory(beneath.open_root(tmp_path))
    yield held.descriptor
    held.close()


def test_a_file_below_is_read(root: int, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_bytes(b"bytes")
    with beneath.file(root, (b"a", b"b")) as opened:
        assert beneath.read_range(opened, 1, 3) == b"yte"


@pytest.mark.parametrize("path", [(b"link", b"secret"), (b"..", b"secret"), (b"secret-link",)])
def test_nothing_outside_is_opened(root: int, tmp_path: Path, path: beneath.Components) -> None:
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "secret-link").symlink_to("/etc/hostname")
    with (
        pytest.raises(OSError, match=r"Too many levels|cross-device|Not a directory") as raised,
        beneath.file(root, path),
    ):
        pass
    assert raised.value.errno in {errno.ELOOP, errno.EXDEV, errno.ENOTDIR}


def test_a_fifo_does_not_block_and_is_no_file(root: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(PathError), beneath.file(root, (b"fifo",)):
        pass


def test_creation_is_exclusive_and_private(root: int, tmp_path: Path) -> None:
    beneath.write_new(root, b"new", b"1")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        beneath.write_new(root, b"new", b"2")


def test_a_planted_link_is_not_written_through(root: int, tmp_path: Path) -> None:
    (tmp_path / "target.new").symlink_to(tmp_path / "outside")
    with pytest.raises(FileExistsError):
        beneath.create_file(root, b"target.new")
    beneath.write_atomically(root, b"target", b"bytes")
    assert (tmp_path / "target").read_bytes() == b"bytes"
    assert not (tmp_path / "outside").exists()


def test_removing_a_tree_does_not_follow_links(root: int, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/kept").touch()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to(tmp_path / "outside")
    beneath.remove_tree(root, b"tree")
    beneath.remove_tree(root, b"missing")
    assert (tmp_path / "outside/kept").exists()
    assert not (tmp_path / "tree").exists()


def test_reading_is_bounded(root: int, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(StorageError):
        beneath.read_whole(root, b"large", 10)
    with pytest.raises(NotFoundError):
        beneath.read_whole(root, b"missing", 10)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, "7 bytes are needed"),
        (errno.EDQUOT, "disk is full"),
        (errno.EROFS, "Read-only"),
        (errno.EIO, "Input/output"),
    ],
)
def test_a_failing_disk_has_its_own_error(number: int, expected: str) -> None:
    with pytest.raises(StorageError, match=expected), beneath.typed_errors("write", needed=7):
        raise OSError(number, "")


def test_status_of_nothing_is_none(root: int, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert beneath.status(root, (b"missing",)) is None
    assert beneath.status(root, (b"file", b"below")) is None
    assert beneath.status(root, (b"file",)) is not None
