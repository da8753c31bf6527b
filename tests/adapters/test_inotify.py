# SPDX-License-Identifier: Apache-2.0
"""The kernel's queue of events."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from p2p_handoff.adapters.inotify import Event, Inotify, Seen, available

pytestmark = pytest.mark.skipif(not available(), reason="inotify is Linux's")


def test_it_is_there_on_linux() -> None:
    assert available() is sys.platform.startswith("linux")


def test_events_come_in_order_with_their_names(tmp_path: Path) -> None:
    queue = Inotify()
    watch = queue.add(os.fsencode(tmp_path))
    (tmp_path / "a longer name than the others").touch()
    (tmp_path / "d").mkdir()
    names = [(event.watch, event.mask, event.name) for event in queue.read()]
    long = b"a longer name than the others"
    assert names == [
        (watch, Seen.CREATE, long),
        (watch, Seen.CLOSE_WRITE, long),
        (watch, Seen.CREATE | Seen.DIRECTORY, b"d"),
    ]
    assert queue.read() == []
    queue.close()


def test_a_watch_that_is_taken_away_says_so_behind_what_went_before(tmp_path: Path) -> None:
    queue = Inotify()
    kept, mark = queue.add(os.fsencode(tmp_path)), queue.add(b"/", Seen.DELETE_SELF)
    (tmp_path / "d").mkdir()
    queue.remove(mark)
    assert queue.read() == [Event(kept, Seen.CREATE | Seen.DIRECTORY, b"d"), Event(mark, Seen.IGNORED, b"")]
    queue.close()


def test_what_is_no_directory_is_not_watched(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    queue = Inotify()
    for name in ("file", "link", "missing"):
        with pytest.raises(OSError, match=r"Not a directory|No such file|Too many levels"):
            queue.add(os.fsencode(tmp_path / name))
    queue.close()
