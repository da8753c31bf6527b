# SPDX-License-Identifier: Apache-2.0
"""Pictures of a folder."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.folder_scan import scan
from p2p_handoff.adapters.ignore import load_rules
from p2p_handoff.adapters.scanned import Scan, leave_out, lies_in
from p2p_handoff.adapters.stat_cache import FileRecord
from p2p_handoff.errors import PathError
from p2p_handoff.limits import MAX_TREE_DEPTH
from tests.adapters.folder_peers import write


def picture(path: Path, known: dict[bytes, FileRecord] | None = None) -> Scan:
    held = beneath.HeldDirectory(beneath.open_root(path))
    return scan(held.descriptor, known or {}, load_rules(held.descriptor))


def test_equal_folders_have_equal_roots(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write(tmp_path / name / "a/b.txt", b"b")
        write(tmp_path / name / "link", b"->a/b.txt")
        os.utime(tmp_path / name / "a/b.txt", ns=(5, 5))
    assert picture(tmp_path / "one").root == picture(tmp_path / "other").root


def test_sockets_fifos_and_devices_are_listed_and_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    write(tmp_path / "file", b"x")
    found = picture(tmp_path)
    assert found.skipped == (b"fifo",)
    assert set(found.records) == {b"file"}


def test_what_is_named_like_a_staging_is_listed_and_a_cookie_is_not(tmp_path: Path) -> None:
    write(tmp_path / "deep/.x.handoff-y", b"somebody's")
    write(tmp_path / ".project.handoff-1/inside", b"x")
    write(tmp_path / ".handoff-cookie-1", b"")
    write(tmp_path / "file", b"x")
    found = picture(tmp_path)
    assert set(found.skipped) == {b"deep/.x.handoff-y", b".project.handoff-1"}
    assert set(found.records) == {b"file"}


def test_links_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere/secret", b"secret")
    write(tmp_path / "part/link", b"->../elsewhere")
    found = picture(tmp_path / "part")
    assert set(found.directories) == {b""}
    assert not found.records


def test_ignored_and_own_names_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / ".handoffignore", b"*.log\nbuild/\n")
    for name in ("a.log", "build/out", ".x.handoff-t1", ".handoff-cookie-1-2", "kept"):
        write(tmp_path / name, b"x")
    assert set(picture(tmp_path).records) == {b".handoffignore", b"kept"}


def test_gitignore_does_not_count(tmp_path: Path) -> None:
    write(tmp_path / ".gitignore", b"*\n")
    write(tmp_path / "build.bin", b"x")
    assert b"build.bin" in picture(tmp_path).records


def test_a_known_file_is_not_read_again(tmp_path: Path) -> None:
    write(tmp_path / "file", b"x")
    before = picture(tmp_path)
    after = picture(tmp_path, dict(before.records))
    assert after.records[b"file"] is before.records[b"file"]


def test_a_rewritten_file_with_its_old_size_and_time_is_noticed(tmp_path: Path) -> None:
    write(tmp_path / "file", b"old")
    before = picture(tmp_path)
    status = (tmp_path / "file").stat()
    write(tmp_path / "file", b"new")
    os.utime(tmp_path / "file", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert picture(tmp_path, dict(before.records)).root != before.root


def test_a_large_file_has_an_index(tmp_path: Path) -> None:
    write(tmp_path / "large", os.urandom(2_000_000))
    found = picture(tmp_path)
    record = found.records[b"large"]
    assert record.content.level == 1
    assert sum(length for _, length in record.chunks) == 2_000_000
    assert record.content.ref in found.indexes


def test_a_tree_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "/".join(["d"] * (MAX_TREE_DEPTH + 1))).mkdir(parents=True)
    with pytest.raises(PathError):
        picture(tmp_path)


def test_the_picture_waits_for_git(tmp_path: Path) -> None:
    write(tmp_path / ".git/index", b"half")
    write(tmp_path / ".git/index.lock", b"")

    def finish() -> None:
        time.sleep(0.1)
        write(tmp_path / ".git/index", b"whole")
        (tmp_path / ".git/index.lock").unlink()

    git = threading.Thread(target=finish)
    git.start()
    found = picture(tmp_path)
    git.join()
    assert set(found.records) == {b".git/index"}
    assert found.records[b".git/index"].content.size == len(b"whole")


def test_an_entry_is_found_by_its_path(tmp_path: Path) -> None:
    for name in ("a", "b/c", "b/d"):
        write(tmp_path / name, name.encode())
    found = picture(tmp_path)
    entry = found.entry((b"b", b"d"))
    assert entry is not None
    assert entry.name == b"d"
    assert found.entry((b"b", b"x")) is None
    assert found.entry((b"no", b"x")) is None


def test_what_is_left_out_is_as_if_it_had_never_been_there(tmp_path: Path) -> None:
    for name in ("whole", "thin"):
        write(tmp_path / name / "src/main.py", b"x")
        write(tmp_path / name / "src/deep/er/file", b"y")
        os.utime(tmp_path / name / "src/main.py", ns=(5, 5))
        os.utime(tmp_path / name / "src/deep/er/file", ns=(5, 5))
    large = os.urandom(200_000)
    for secret in (".env", "src/deep/er/key", "src/.git/config", "src/.git/objects/ab/cd"):
        write(tmp_path / "whole" / secret, large)
    found = picture(tmp_path / "whole")
    thin = leave_out(found, [b".env", b"src/deep/er/key", b"src/.git", b"nothing/there"])
    expected = picture(tmp_path / "thin")
    assert thin.root == expected.root
    assert thin.objects() == expected.objects()
    assert set(thin.records) == set(expected.records)
    assert leave_out(found, []).root == found.root


def test_a_place_is_left_out_with_all_beneath_it_and_nothing_beside_it() -> None:
    places = frozenset({b"a/b"})
    assert lies_in(b"a/b", places)
    assert lies_in(b"a/b/c/d", places)
    assert not lies_in(b"a", places)
    assert not lies_in(b"a/bc", places)
    assert not lies_in(b"a/b", frozenset())
