# SPDX-License-Identifier: Apache-2.0
"""Exchange and exclusive rename, with the kernel's help and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_handoff.adapters import platform_files as files
from p2p_handoff.adapters.beneath import HeldDirectory, open_root


@pytest.fixture(params=[True, False], ids=["kernel", "dance"])
def here(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    if not request.param:
        monkeypatch.setattr(files, "_flagged_rename", lambda *_: False)
    held = HeldDirectory(open_root(tmp_path))
    yield held.descriptor
    held.close()


def test_two_names_are_exchanged_whatever_they_are(here: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("file")
    (tmp_path / "directory").mkdir()
    files.exchange(here, b"file", here, b"directory")
    assert (tmp_path / "file").is_dir()
    assert (tmp_path / "directory").read_text() == "file"


def test_an_exchange_needs_both(here: int, tmp_path: Path) -> None:
    (tmp_path / "staged").touch()
    with pytest.raises(FileNotFoundError):
        files.exchange(here, b"staged", here, b"missing")
    assert (tmp_path / "staged").exists()


@pytest.mark.parametrize("directory", [True, False])
def test_an_exclusive_rename_replaces_nothing(here: int, tmp_path: Path, *, directory: bool) -> None:
    make = Path.mkdir if directory else Path.touch
    make(tmp_path / "old")
    make(tmp_path / "taken")
    with pytest.raises(FileExistsError):
        files.rename_exclusive(here, b"old", here, b"taken")
    files.rename_exclusive(here, b"old", here, b"free")
    assert (tmp_path / "free").exists()
    assert not (tmp_path / "old").exists()


def test_an_interrupted_dance_is_finished(here: int, tmp_path: Path) -> None:
    (tmp_path / "staged").write_text("new")
    (tmp_path / "staged.swap").write_text("old")
    files.settle_exchange(here, b"staged", here, b"name")
    assert (tmp_path / "name").read_text() == "new"
    assert (tmp_path / "staged").read_text() == "old"
    files.settle_exchange(here, b"staged", here, b"name")
    assert (tmp_path / "name").read_text() == "new"


def test_a_file_made_in_the_gap_of_a_dance_is_not_replaced(here: int, tmp_path: Path) -> None:
    for name in ("staged", "staged.swap", "name"):
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        files.settle_exchange(here, b"staged", here, b"name")
    assert (tmp_path / "name").read_text() == "name"


def test_a_sync_reaches_the_file_system(here: int) -> None:
    files.sync_filesystem(here)
    with pytest.raises(OSError, match="Bad file descriptor"):
        files.sync_filesystem(10**6)


def test_a_clone_has_the_same_bytes_or_none(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x" * 100_000)
    with (tmp_path / "source").open("rb") as source, (tmp_path / "target").open("wb") as target:
        cloned = files.clone(source.fileno(), target.fileno())
    assert (tmp_path / "target").read_bytes() == (b"x" * 100_000 if cloned else b"")
