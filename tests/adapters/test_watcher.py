# SPDX-License-Identifier: Apache-2.0
"""Watching for changes by the library that knows every platform; tree_watcher has tests of its own."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from p2p_handoff.adapters.watcher import watch_by_library as watch


def test_a_change_is_reported(tmp_path: Path) -> None:
    reported = threading.Event()
    watcher = watch(tmp_path, reported.set, lambda _: True)
    (tmp_path / "file").touch()
    assert reported.wait(5)
    watcher.stop()


def test_draining_reports_all_that_went_before(tmp_path: Path) -> None:
    changes: list[int] = []
    watcher = watch(tmp_path, lambda: changes.append(1), lambda path: path.endswith("file"))
    (tmp_path / "file").touch()
    assert watcher.drain(5)
    assert changes
    watcher.stop()
    assert not list(tmp_path.glob(".handoff-cookie-*"))


def test_cookies_and_irrelevant_changes_are_not_reported(tmp_path: Path) -> None:
    changes: list[int] = []
    watcher = watch(tmp_path, lambda: changes.append(1), lambda path: not path.endswith("noise"))
    (tmp_path / "noise").touch()
    assert watcher.drain(5)
    watcher.stop()
    assert not changes


def test_a_stopped_watcher_is_silent(tmp_path: Path) -> None:
    changes: list[int] = []
    watcher = watch(tmp_path, lambda: changes.append(1), lambda _: True)
    watcher.stop()
    (tmp_path / "file").touch()
    assert not watcher.drain(0.05)
    assert not changes


def test_a_name_that_is_no_text_does_not_end_the_watch(tmp_path: Path) -> None:
    reported = threading.Event()
    watcher = watch(tmp_path, reported.set, lambda _: True)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")).touch()
    assert reported.wait(5)
    assert watcher._thread.is_alive()
    assert any(watcher.drain(0.2) for _ in range(100)), "it does not listen again"
    reported.clear()
    (tmp_path / "file").touch()
    assert reported.wait(10)
    watcher.stop()
