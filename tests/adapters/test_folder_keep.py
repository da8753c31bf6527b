# SPDX-License-Identifier: Apache-2.0
"""The shelf of a folder: each content once, whole or not at all; and how a fork's files are placed."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from p2p_handoff.adapters import folder_keep
from p2p_handoff.adapters.base import Want
from p2p_handoff.adapters.folder_keep import FolderShelf, keep_still
from p2p_handoff.adapters.folder_snapshot import FolderSnapshot
from p2p_handoff.errors import ContentGoneError
from p2p_handoff.testing.adapter_conformance import deliver
from tests.adapters.folder_peers import Peer, Tree, hand_off

LARGE = random.Random(3).randbytes(400_000)
TREE: Tree = {"main.py": b"print('hello')\n", "large.bin": LARGE, "same.bin": LARGE, "docs/a.md": b"# a\n"}


@pytest.fixture
def peer(tmp_path: Path) -> Peer:
    return Peer(tmp_path, "laptop")


def contents(shelf: Path) -> list[Path]:
    return sorted((shelf / "contents").iterdir())


def test_equal_contents_are_kept_once_and_only_changed_ones_are_added(peer: Peer, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    peer.write(TREE)
    peer.open().keep(shelf)
    before = contents(shelf)
    assert len(before) == 3
    peer.write({"docs/a.md": b"# b\n"})
    peer.open().keep(shelf)
    assert len(set(contents(shelf)) - set(before)) == 1


def test_regression_nothing_has_a_contents_name_before_it_is_on_the_disk(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut such a name stood for an empty file, which the next state took for the content."""
    shelf = tmp_path / "shelf"
    peer.write(TREE)

    class PowerCutError(Exception):
        """The machine is off."""

    def power_cut(_descriptor: int) -> None:
        assert [path.suffix for path in contents(shelf)] == [".new"] * 3
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(folder_keep, "sync_filesystem", power_cut)
        with pytest.raises(PowerCutError):
            peer.open().keep(shelf)
    for path in contents(shelf):
        path.write_bytes(b"")
    peer.open().keep(shelf)
    assert {path.read_bytes() for path in contents(shelf)} == set(TREE.values())


def test_an_edit_in_place_does_not_reach_what_is_kept(peer: Peer, tmp_path: Path) -> None:
    peer.write(TREE)
    root = peer.open().keep(tmp_path / "shelf").root
    with (peer.path / "large.bin").open("r+b") as opened:
        opened.write(b"scribble")
    kept = peer.adapter.kept(tmp_path / "shelf", root)
    assert kept.total_bytes == sum(map(len, TREE.values()))
    assert kept.items == len(TREE)
    assert all((peer.path / "large.bin").stat().st_ino != path.stat().st_ino for path in contents(tmp_path / "shelf"))


def test_objects_of_a_repository_are_linked(peer: Peer, tmp_path: Path) -> None:
    peer.write({".git/objects/ab/cd": b"object", ".git/HEAD": b"ref: refs/heads/main\n"})
    peer.open().keep(tmp_path / "shelf")
    stored = (peer.path / ".git/objects/ab/cd").stat().st_ino
    assert stored in {path.stat().st_ino for path in contents(tmp_path / "shelf")}


def test_a_file_that_changed_since_the_picture_is_not_kept(peer: Peer, tmp_path: Path) -> None:
    peer.write(TREE)
    picture = peer.open().snapshot()
    peer.write({"main.py": b"print('other')\n"})
    with pytest.raises(ContentGoneError, match="changed since"):
        FolderShelf(tmp_path / "shelf").keep(picture)
    assert not list((tmp_path / "shelf" / "trees").iterdir())


def test_a_file_that_only_grew_is_kept_as_it_was(peer: Peer, tmp_path: Path) -> None:
    peer.write(TREE)
    picture = peer.open().snapshot()
    with (peer.path / "main.py").open("ab") as opened:
        opened.write(b"more\n")
    FolderShelf(tmp_path / "shelf").keep(picture)
    assert peer.adapter.kept(tmp_path / "shelf", picture.root).root == picture.root


def test_a_folder_that_is_worked_in_is_kept_when_it_holds_still(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_keep, "PAUSES", (0.0, 0.0, 0.0))
    peer.write(TREE)
    part, edits = peer.open(), iter([b"one", b"two"])

    def take() -> FolderSnapshot:
        picture = part.snapshot()
        for edit in edits:
            peer.write({"main.py": edit})
            break
        return picture

    picture = keep_still(take, FolderShelf(tmp_path / "shelf"))
    assert picture.root == part.snapshot().root


def test_a_folder_that_never_holds_still_is_not_kept(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_keep, "PAUSES", (0.0, 0.0))
    peer.write(TREE)
    part = peer.open()

    def take() -> FolderSnapshot:
        picture = part.snapshot()
        peer.write({"main.py": os.urandom(8)})
        return picture

    with pytest.raises(ContentGoneError, match="faster than it can be kept"):
        keep_still(take, FolderShelf(tmp_path / "shelf"))


def test_a_damaged_shelf_gives_an_error_and_no_wrong_bytes(peer: Peer, tmp_path: Path) -> None:
    peer.write({"main.py": b"print('hello')\n"})
    root = peer.open().keep(tmp_path / "shelf").root
    (only,) = contents(tmp_path / "shelf")
    only.write_bytes(b"something else.")
    kept = peer.adapter.kept(tmp_path / "shelf", root)
    peer.write({"main.py": b"gone\n"})
    now = peer.open().keep(tmp_path / "shelf").root
    staging = peer.open().stage_back("b", tmp_path / "shelf", now)
    with pytest.raises(ContentGoneError, match="damaged"):
        deliver(staging, staging.begin(kept.root, kept.root_size), kept)


# --- forks --------------------------------------------------------------------------------------------


def merged(original: Peer, fork: Peer, parent: Want, stop_after: int | None = None) -> None:
    """Take a fork in, cutting the power after so many durable steps."""
    picture = fork.open().snapshot()
    staging = original.open().stage_merge("m", "laptop", parent)
    deliver(staging, staging.begin(picture.root, picture.root_size), picture)
    staging.seal()
    steps = original.recovered(staging.directory).steps()
    for _ in steps if stop_after is None else zip(steps, range(stop_after), strict=False):
        pass
    if stop_after is not None and staging.directory.exists():
        original.recovered(staging.directory).commit()


@pytest.fixture
def forked(tmp_path: Path) -> tuple[Peer, Peer, Want]:
    """An original and a fork of it, which went different ways."""
    fork, original = Peer(tmp_path, "laptop"), Peer(tmp_path, "desktop")
    fork.write({**TREE, "gone.txt": b"gone\n", "both.txt": b"base\n", "deep/x/y.txt": b"y\n"})
    hand_off(fork, original)
    part = fork.open()
    picture = part.snapshot()
    assert part.mark_parent(picture.root)
    return fork, original, Want(picture.root, picture.root_size)


def test_what_the_fork_added_gets_its_own_name_and_what_it_changed_a_copy(forked: tuple[Peer, Peer, Want]) -> None:
    fork, original, parent = forked
    fork.write({"new/one.txt": b"one\n", "both.txt": b"fork\n", "main.py": b"changed\n", "empty/": b""})
    (fork.path / "gone.txt").unlink()
    original.write({"both.txt": b"original\n"})
    merged(original, fork, parent)
    found = original.content()
    assert found["new/one.txt"] == b"one\n"
    assert (original.path / "empty").is_dir()
    assert (found["both.txt"], found["main.py"]) == (b"original\n", TREE["main.py"])
    assert found["gone.txt"] == b"gone\n"
    copies = {name.split(".conflict-laptop-")[0]: data for name, data in found.items() if ".conflict-" in name}
    assert copies == {"both": b"fork\n", "main": b"changed\n"}


def test_a_file_in_the_way_of_the_forks_directory_keeps_its_name(forked: tuple[Peer, Peer, Want]) -> None:
    fork, original, parent = forked
    fork.write({"deep/x/y.txt": b"changed\n"})
    (original.path / "deep/x/y.txt").unlink()
    (original.path / "deep/x").rmdir()
    original.write({"deep/x": b"a file now\n"})
    merged(original, fork, parent)
    found = original.content()
    assert found["deep/x"] == b"a file now\n"
    assert [data for name, data in found.items() if name.startswith("deep/y.conflict-laptop-")] == [b"changed\n"]


def test_a_repository_of_the_fork_is_kept_beside_the_originals(forked: tuple[Peer, Peer, Want]) -> None:
    fork, original, parent = forked
    fork.write({".git/HEAD": b"fork\n", ".git/objects/aa/bb": b"object"})
    original.write({".git/HEAD": b"original\n"})
    merged(original, fork, parent)
    found = original.content()
    assert found[".git/HEAD"] == b"original\n"
    (copy,) = [name for name in found if name.startswith(".git.conflict-laptop-") and name.endswith("HEAD")]
    assert found[copy] == b"fork\n"


@pytest.mark.parametrize("stop_after", range(12))
def test_a_merge_is_whole_after_a_power_cut_at_any_step(forked: tuple[Peer, Peer, Want], stop_after: int) -> None:
    fork, original, parent = forked
    fork.write({"new/one.txt": b"one\n", "both.txt": b"fork\n", "large.bin": LARGE[::-1]})
    original.write({"both.txt": b"original\n"})
    merged(original, fork, parent, stop_after)
    found = original.content()
    copies = sorted(data for name, data in found.items() if ".conflict-" in name)
    assert copies == sorted([b"fork\n", LARGE[::-1]])
    assert (found["new/one.txt"], found["both.txt"]) == (b"one\n", b"original\n")
    merged(original, fork, parent)
    assert original.content() == found


def test_a_merge_leaves_the_last_common_state_as_it_was(forked: tuple[Peer, Peer, Want]) -> None:
    fork, original, parent = forked
    base = (original.state / "base").read_bytes()
    fork.write({"main.py": b"changed\n"})
    merged(original, fork, parent)
    assert (original.state / "base").read_bytes() == base
