# SPDX-License-Identifier: Apache-2.0
"""Watching through inotify: what is told, and what is known not to be known."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from p2p_handoff.adapters import tree_watcher
from p2p_handoff.adapters.changes import Changes
from p2p_handoff.adapters.inotify import Event, Inotify, Seen
from p2p_handoff.adapters.tree_watcher import TreeWatcher
from p2p_handoff.adapters.watcher import watch

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux's")

Begin = Callable[..., TreeWatcher]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Starts watchers of a folder that know what changed from now on."""
    begun: list[TreeWatcher] = []

    def start(
        changed: Callable[[], None] = lambda: None, relevant: Callable[[str], bool] = lambda _: True
    ) -> TreeWatcher:
        watcher = TreeWatcher(tmp_path, changed, relevant)
        begun.append(watcher)
        assert watcher.drain(5)
        watcher.changes()
        return watcher

    yield start
    for watcher in begun:
        watcher.stop()


def told(watcher: TreeWatcher) -> Changes | None:
    assert watcher.drain(5)
    return watcher.changes()


def test_it_is_what_watches_here(tmp_path: Path) -> None:
    watcher = watch(tmp_path, lambda: None, lambda _: True)
    assert isinstance(watcher, TreeWatcher)
    watcher.stop()


def test_a_change_is_reported_and_then_known(tmp_path: Path, begin: Begin) -> None:
    reported = threading.Event()
    watcher = begin(reported.set)
    (tmp_path / "file").touch()
    assert reported.wait(5)
    assert told(watcher) == Changes(entries=frozenset({b"file"}))
    assert told(watcher) == Changes()


def test_at_first_nothing_is_known(tmp_path: Path) -> None:
    watcher = TreeWatcher(tmp_path, lambda: None, lambda _: True)
    assert told(watcher) is None
    assert told(watcher) == Changes()
    watcher.stop()


def test_draining_reports_all_that_went_before_and_makes_no_file(tmp_path: Path, begin: Begin) -> None:
    changes: list[int] = []
    watcher = begin(lambda: changes.append(1))
    (tmp_path / "file").touch()
    tmp_path.chmod(0o555)
    assert watcher.drain(5)
    tmp_path.chmod(0o755)
    assert changes
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_irrelevant_changes_are_not_reported_but_known(tmp_path: Path, begin: Begin) -> None:
    changes: list[int] = []
    watcher = begin(lambda: changes.append(1), lambda path: not path.endswith("noise"))
    (tmp_path / "noise").touch()
    assert told(watcher) == Changes(entries=frozenset({b"noise"}))
    assert not changes


def test_a_new_directory_is_looked_at_as_a_whole_and_watched(tmp_path: Path, begin: Begin) -> None:
    watcher = begin()
    (tmp_path / "a/b/c").mkdir(parents=True)
    found = told(watcher)
    assert found is not None
    assert b"a" in found.trees
    (tmp_path / "a/b/c/file").touch()
    assert told(watcher) == Changes(entries=frozenset({b"a/b/c/file"}))


def test_a_directory_that_moved_is_known_by_its_new_name(tmp_path: Path, begin: Begin) -> None:
    (tmp_path / "old/deep").mkdir(parents=True)
    watcher = begin()
    (tmp_path / "old").rename(tmp_path / "new")
    assert told(watcher) == Changes(frozenset({b"old"}), frozenset({b"new"}))
    (tmp_path / "new/deep/file").touch()
    assert told(watcher) == Changes(entries=frozenset({b"new/deep/file"}))


def test_names_that_are_no_text_are_told(tmp_path: Path, begin: Begin) -> None:
    watcher = begin()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")).touch()
    assert told(watcher) == Changes(entries=frozenset({b"\xff\xfe"}))


def test_what_a_mapping_wrote_is_told_when_it_goes(tmp_path: Path, begin: Begin) -> None:
    (tmp_path / "file").write_bytes(b"x")
    watcher = begin()
    with (tmp_path / "file").open("r+b"):
        assert told(watcher) == Changes()
    assert told(watcher) == Changes(entries=frozenset({b"file"}))


def test_after_an_overflow_nothing_is_known_until_the_next_look(
    tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported = threading.Event()
    watcher = begin(reported.set, lambda _: False)
    read, lost = Inotify.read, [Event(-1, Seen.OVERFLOW, b"")]

    def overrun(self: Inotify) -> list[Event]:
        if not lost:
            return read(self)
        read(self)  # what the queue had no room for
        return [lost.pop()]

    monkeypatch.setattr(Inotify, "read", overrun)
    (tmp_path / "unseen").mkdir()
    assert reported.wait(5)
    assert told(watcher) is None
    (tmp_path / "unseen/file").touch()
    assert told(watcher) == Changes(entries=frozenset({b"unseen/file"}))


def test_a_real_overflow_is_noticed(tmp_path: Path) -> None:
    room = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    stuck, entered = threading.Event(), threading.Event()

    def hold() -> None:
        entered.set()
        stuck.wait(60)

    watcher = TreeWatcher(tmp_path, hold, lambda _: True)
    (tmp_path / "first").touch()
    assert entered.wait(5)
    watcher.changes()
    names = [tmp_path / "a", tmp_path / "b"]
    for number in range(room + 10):
        names[number % 2].touch()  # at least one event each, none like the one before
    stuck.set()
    assert watcher.drain(30)
    assert watcher.changes() is None
    watcher.stop()


def test_a_folder_that_goes_is_never_known_again(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    reported = threading.Event()
    watcher = TreeWatcher(folder, reported.set, lambda _: False)
    folder.rename(tmp_path / "elsewhere")
    assert reported.wait(5)
    assert told(watcher) is None
    assert told(watcher) is None
    watcher.stop()


def test_a_limit_of_the_kernel_leaves_changes_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one too many").mkdir()
    add = Inotify.add

    def limited(self: Inotify, directory: bytes, *mask: int) -> int:
        if directory.endswith(b"one too many"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return add(self, directory, *mask)

    monkeypatch.setattr(Inotify, "add", limited)
    watcher = TreeWatcher(tmp_path, lambda: None, lambda _: True)
    assert told(watcher) is None
    assert told(watcher) is None
    watcher.stop()


def test_a_file_system_of_other_machines_leaves_changes_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_watcher, "tells_changes", lambda _: False)
    watcher = TreeWatcher(tmp_path, lambda: None, lambda _: True)
    assert told(watcher) is None
    assert told(watcher) is None
    watcher.stop()


def test_a_stopped_watcher_is_silent(tmp_path: Path, begin: Begin) -> None:
    changes: list[int] = []
    watcher = begin(lambda: changes.append(1))
    watcher.stop()
    (tmp_path / "file").touch()
    assert not watcher.drain(0.05)
    assert watcher.changes() is None
    assert not changes
