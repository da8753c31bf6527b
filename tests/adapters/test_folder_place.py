# SPDX-License-Identifier: Apache-2.0
"""Updates where the folder lives: conflicts are kept, crashes roll forward, links are never followed."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_handoff.adapters import beneath, folder_commit, folder_journal, platform_files
from p2p_handoff.adapters.writers import Writers
from p2p_handoff.errors import PathError, StorageError
from tests.adapters.folder_peers import Peer, Tree, hand_off, write

BASE: Tree = {
    "kept.txt": b"kept",
    "edited.txt": b"old",
    "both.txt": b"old",
    "gone.txt": b"gone",
    "edited-and-gone.txt": b"old",
    "file-to-directory": b"file",
    "directory-to-file/inner.txt": b"inner",
    "deep/er/moved.bin": bytes(range(256)) * 400,
    "link": b"->kept.txt",
    ".git/HEAD": b"ref: refs/heads/main\n",
    ".git/index": b"index 1",
    ".git/objects/ab/cdef": b"object",
}


@pytest.fixture
def source(tmp_path: Path) -> Peer:
    peer = Peer(tmp_path, "source")
    peer.write(BASE)
    return peer


@pytest.fixture
def target(tmp_path: Path, source: Peer) -> Peer:
    peer = Peer(tmp_path, "target")
    hand_off(source, peer)
    return peer


def edit_source(path: Path) -> None:
    """One change of every kind."""
    write(path / "edited.txt", b"new")
    write(path / "both.txt", b"from the source")
    (path / "gone.txt").unlink()
    (path / "edited-and-gone.txt").unlink()
    (path / "file-to-directory").unlink()
    write(path / "file-to-directory/inside.txt", b"inside")
    shutil.rmtree(path / "directory-to-file")
    write(path / "directory-to-file", b"now a file")
    (path / "deep/er/moved.bin").rename(path / "moved.bin")
    (path / "deep/er").rmdir()
    (path / "kept.txt").chmod(0o755)
    write(path / "link", b"->edited.txt")
    write(path / ".git/index", b"index 2")
    write(path / ".git/objects/12/3456", b"another object")


def edit_target(path: Path) -> None:
    """What this device's user did meanwhile."""
    write(path / "both.txt", b"from the target")
    write(path / "edited-and-gone.txt", b"precious")
    write(path / "local-only.txt", b"mine")
    write(path / "directory-to-file/local.txt", b"also mine")
    write(path / ".git/index", b"index of the target")


def without_stamps(content: Tree) -> dict[str, bytes]:
    """Conflict copies without their times, so that two runs compare."""
    return {os.fsdecode(b"#".join(_split(os.fsencode(path)))): data for path, data in content.items()}


def _split(path: bytes) -> list[bytes]:
    head, mark, tail = path.partition(b".conflict-target-")
    return [head, mark, tail[len(b"20261121-101500") :]] if mark else [path]


def test_an_update_brings_every_kind_of_change(source: Peer, target: Peer) -> None:
    edit_source(source.path)
    placement = hand_off(source, target)
    assert not placement.conflicts
    assert target.content() == source.content()
    assert os.access(target.path / "kept.txt", os.X_OK)
    assert not (target.path / "deep").joinpath("er").exists()


def test_what_both_changed_is_kept_twice(source: Peer, target: Peer) -> None:
    edit_source(source.path)
    edit_target(target.path)
    placement = hand_off(source, target)
    content = target.content()
    assert content["both.txt"] == b"from the source"
    assert content["edited-and-gone.txt"] == b"precious"
    assert content["local-only.txt"] == b"mine"
    assert content["directory-to-file"] == b"now a file"
    kept = {path.name.partition(".conflict-target-")[0]: path for path in placement.conflicts}
    assert set(kept) == {"both", "directory-to-file", ".git"}
    assert kept["both"].read_bytes() == b"from the target"
    assert (kept["directory-to-file"] / "local.txt").read_bytes() == b"also mine"
    assert (kept[".git"] / "index").read_bytes() == b"index of the target"
    assert (target.path / ".git/index").read_bytes() == b"index 2"


def test_the_same_change_on_both_sides_is_no_conflict(source: Peer, target: Peer) -> None:
    for peer in (source, target):
        write(peer.path / "both.txt", b"the same")
        write(peer.path / ".git/index", b"the same index")
    assert not hand_off(source, target).conflicts


def test_local_changes_elsewhere_stay_and_come_back(source: Peer, target: Peer) -> None:
    write(target.path / "kept.txt", b"mine")
    write(source.path / "edited.txt", b"new")
    assert not hand_off(source, target).conflicts
    assert not hand_off(target, source).conflicts
    assert source.content()["kept.txt"] == b"mine"


def test_a_file_deleted_here_and_edited_there_comes_back(source: Peer, target: Peer) -> None:
    shutil.rmtree(target.path / "deep")
    write(source.path / "deep/er/moved.bin", b"edited")
    hand_off(source, target)
    assert target.content()["deep/er/moved.bin"] == b"edited"


def test_without_a_base_everything_here_is_kept(source: Peer, target: Peer) -> None:
    (target.state / "base").write_bytes(b"damaged")
    write(target.path / "both.txt", b"from the target")
    write(source.path / "both.txt", b"from the source")
    placement = hand_off(source, target)
    assert [path.read_bytes() for path in placement.conflicts] == [b"from the target"]
    assert target.content()["both.txt"] == b"from the source"


def test_a_private_file_stays_private(source: Peer, target: Peer) -> None:
    (target.path / "edited.txt").chmod(0o600)
    write(source.path / "edited.txt", b"secret")
    hand_off(source, target)
    assert (target.path / "edited.txt").stat().st_mode & 0o777 == 0o600


def test_an_execute_bit_set_here_survives_an_edit_there(source: Peer, target: Peer) -> None:
    (target.path / "edited.txt").chmod(0o755)
    write(source.path / "edited.txt", b"new")
    hand_off(source, target)
    assert os.access(target.path / "edited.txt", os.X_OK)


def test_ignored_files_are_never_removed(source: Peer, target: Peer) -> None:
    write(source.path / ".handoffignore", b"gone.txt\nlocal/\n")
    write(target.path / "local/cache.bin", b"cache")
    hand_off(source, target)
    assert target.content()["gone.txt"] == b"gone"
    assert target.content()["local/cache.bin"] == b"cache"


def test_a_crash_after_any_step_rolls_forward(
    source: Peer, target: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_commit, "sync_filesystem", lambda _: None)  # processes crash here, disks do not
    edit_source(source.path)
    edit_target(target.path)
    staging = target.staged(source.open().freeze())
    staging.release()
    sealed = tmp_path / "sealed"
    shutil.copytree(target.path.parent, sealed, symlinks=True)
    whole = None
    for stop in itertools.count():
        shutil.rmtree(target.path.parent)
        _copy_with_inodes(sealed, target.path.parent, staging.directory)
        steps = target.recovered(staging.directory).steps()
        finished = len(list(itertools.islice(steps, stop))) < stop
        steps.close()
        if staging.directory.exists():
            target.recovered(staging.directory).commit()
        content = without_stamps(target.content())
        whole = whole or content
        assert content == whole, f"stopped after step {stop}"
        if finished:
            break
    assert stop > 20


def test_what_arrives_is_shown_before_what_it_replaces_is_looked_at(
    source: Peer, target: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_source(source.path)
    edit_target(target.path)
    staging = target.staged(source.open().freeze())
    looked: list[bytes] = []

    def look(_writers: Writers, _holder: int, name: bytes) -> bool:
        looked.append(name)
        return True

    monkeypatch.setattr(Writers, "are_gone", look)
    staging.show()
    in_place = {name: target.content()[name] for name in ("edited.txt", "both.txt", "moved.bin", ".git/index")}
    assert in_place == {name: source.content()[name] for name in in_place}
    before = len(looked)
    write(target.path / "edited.txt", b"edited in the moment between")
    placement = staging.commit()
    assert len(looked) > before
    assert target.content()["edited.txt"] == b"edited in the moment between"
    assert {b"from the target", b"precious"} <= set(target.content().values())
    assert placement.conflicts
    assert not staging.directory.exists()


def test_what_could_not_be_looked_at_is_looked_at_by_the_next_try(
    source: Peer, target: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing disk in the middle must not make what came out count as looked at."""
    edit_source(source.path)
    edit_target(target.path)
    staging = target.staged(source.open().freeze())
    staging.show()
    with monkeypatch.context() as failing:
        failing.setattr(Writers, "are_gone", _fail)
        with pytest.raises(StorageError):
            staging.commit()
    staging.show()
    staging.commit()
    assert {b"from the source", b"from the target", b"precious", b"mine"} <= set(target.content().values())


def _fail(*_: object) -> bool:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("stop", range(0, 30, 5))
def test_regression_what_is_accepted_survives_that_the_disk_is_copied_before_it_is_in_place(
    source: Peer, target: Peer, stop: int
) -> None:
    """A restored or moved disk has other inodes: what came in was taken for what came out, and discarded."""
    edit_source(source.path)
    staging = target.staged(source.open().freeze())
    staging.release()
    steps = target.recovered(staging.directory).steps()
    list(itertools.islice(steps, stop))
    steps.close()
    copy = target.path.parent.with_name("copy")
    shutil.copytree(target.path.parent, copy, symlinks=True)
    shutil.rmtree(target.path.parent)
    copy.rename(target.path.parent)
    target.recovered(staging.directory).commit()
    assert target.content() == source.content()


def _copy_with_inodes(sealed: Path, home: Path, directory: Path) -> None:
    """A fresh copy of a sealed state, its journal made again: inodes differ in a copy."""
    shutil.copytree(sealed, home, symlinks=True)
    held = beneath.HeldDirectory(beneath.open_root(directory))
    journal = folder_journal.read(held.descriptor)
    inodes = tuple(
        (directory / "new" / str(number)).lstat().st_ino if inode else 0 for number, inode in enumerate(journal.inodes)
    )
    folder_journal.write(held.descriptor, replace(journal, inodes=inodes))


@pytest.mark.parametrize("stop", range(0, 30, 5))
def test_without_kernel_support_the_same_comes_out(
    source: Peer, target: Peer, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    monkeypatch.setattr(platform_files, "_flagged_rename", lambda *_: False)
    edit_source(source.path)
    edit_target(target.path)
    staging = target.staged(source.open().freeze())
    steps = target.recovered(staging.directory).steps()
    list(itertools.islice(steps, stop))
    steps.close()
    target.recovered(staging.directory).commit()
    assert {b"from the source", b"from the target", b"precious", b"mine"} <= set(target.content().values())


def test_a_parent_swapped_for_a_link_is_not_written_through(source: Peer, target: Peer, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    write(source.path / "deep/er/new.txt", b"new")
    staging = target.staged(source.open().freeze())
    shutil.rmtree(target.path / "deep")
    (target.path / "deep").symlink_to(outside)
    placement = staging.commit()
    assert not list(outside.iterdir())
    assert (target.path / "deep/er/new.txt").read_bytes() == b"new"
    assert [path.is_symlink() for path in placement.conflicts] == [True]


def test_a_link_in_place_of_what_arrived_is_a_typed_error(source: Peer, target: Peer, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside / "0", b"theirs")
    write(source.path / "edited.txt", b"new")
    staging = target.staged(source.open().freeze())
    arriving = staging.directory / os.fsdecode(folder_journal.ARRIVING)
    aside = arriving.rename(arriving.with_name("aside"))
    arriving.symlink_to(outside)
    with pytest.raises(PathError, match="cannot go on with what arrived"):
        staging.commit()
    arriving.unlink()
    aside.rename(arriving)
    staging.commit()
    assert (target.path / "edited.txt").read_bytes() == b"new"
    assert (outside / "0").read_bytes() == b"theirs"


def test_an_edit_between_seal_and_commit_is_kept(source: Peer, target: Peer) -> None:
    edit_source(source.path)
    staging = target.staged(source.open().freeze())
    write(target.path / "edited.txt", b"saved late")
    write(target.path / "gone.txt", b"saved late too")
    write(target.path / ".git/index", b"a late commit")
    placement = staging.commit()
    assert {b"saved late", b"saved late too"} <= set(target.content().values())
    assert {path.name.partition(".conflict")[0] for path in placement.conflicts} == {"edited", ".git"}


NAMES = st.sampled_from(["a", "b", "d/x", "d/y", "d/e/z", ".git/HEAD", ".git/refs/r"])
TREES = st.dictionaries(NAMES, st.binary(max_size=4).map(lambda data: b"=" + data), max_size=6)


def _become(peer: Peer, tree: Tree) -> None:
    shutil.rmtree(peer.path, ignore_errors=True)
    peer.write(tree)


@settings(max_examples=20, deadline=None)
@given(base=TREES, ours=TREES, theirs=TREES)
def test_no_edit_ever_vanishes(tmp_path_factory: pytest.TempPathFactory, base: Tree, ours: Tree, theirs: Tree) -> None:
    home = tmp_path_factory.mktemp("law")
    source, target = Peer(home, "source"), Peer(home, "target")
    _become(source, base)
    hand_off(source, target)
    _become(source, theirs)
    _become(target, ours)
    hand_off(source, target)
    after = target.content()
    for path, data in theirs.items():
        if data != base.get(path):
            assert after[path] == data
    for path, data in ours.items():
        if data != base.get(path):
            assert data in after.values(), f"the edit of {path} is lost"
