# SPDX-License-Identifier: Apache-2.0
"""Watches a folder through inotify and can say what changed, or that it does not know. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §3. One thread reads the queue. A directory is watched before it is listed, so
what is made in it later is told, and what was made before is found. ``drain`` puts a mark into the queue by a watch
that is taken away at once: no file is needed for it. A queue that ran over, a limit that is reached and a file system
that does not tell everything make the answer "not known".
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from p2p_handoff.adapters.beneath import is_absence
from p2p_handoff.adapters.changes import ChangeLog, Changes
from p2p_handoff.adapters.inotify import Event, Inotify, Seen
from p2p_handoff.adapters.platform_files import tells_changes

log = logging.getLogger(__name__)

QUIET: Final = 0.02
"""Seconds without a change after which what was gathered is reported …"""
LONGEST: Final = 0.1
"""… or when the first of it is so old."""
_SELF: Final = Seen.DELETE_SELF | Seen.MOVE_SELF | Seen.UNMOUNT
_APPEARED: Final = Seen.CREATE | Seen.MOVED_TO | Seen.ATTRIB
_MARK: Final = b"/"
"""A directory that is there, and that no part can be."""


class TreeWatcher:
    """Reports changes below a directory until it is stopped.

    Args:
        directory: The directory to watch, links resolved.
        changed: Called from the watcher's thread, coalesced.
        relevant: Says whether a changed path (absolute) matters.
        recursive: Whether subdirectories are watched too.

    Raises:
        OSError: The kernel or a limit of the user refuses to watch anything.
    """

    def __init__(
        self, directory: Path, changed: Callable[[], None], relevant: Callable[[str], bool], *, recursive: bool = True
    ) -> None:
        self._directory = os.fsencode(directory)
        self._changed = changed
        self._relevant = relevant
        self._recursive = recursive
        self._notify = Inotify()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._log = ChangeLog()
        self._paths: dict[int, bytes] = {}
        self._devices: set[int] = set()
        self._marks: dict[int, threading.Event] = {}
        self._turn = threading.Lock()
        """Held while a mark is made, and when the descriptors go."""
        self._stopping = False
        self._noticed: tuple[float, float] | None = None
        """When the first and the last unreported change were seen."""
        self._add_tree(b"")
        self._thread = threading.Thread(target=self._run, name=f"watch {directory.name}", daemon=True)
        self._thread.start()

    def changes(self) -> Changes | None:
        """What changed since this was last asked; None when something may be missing, and at first."""
        return self._log.take()

    def drain(self, timeout: float = 1.0) -> bool:
        """Wait until everything that happened before this call has been reported.

        Args:
            timeout: Seconds to wait at most.
        """
        seen = threading.Event()
        with self._turn:
            if self._stopping or self._directory == _MARK:
                return False
            with suppress(OSError):
                watch = self._notify.add(_MARK, Seen.DELETE_SELF)
                self._marks[watch] = seen
                self._notify.remove(watch)
        return seen.wait(timeout)

    def stop(self) -> None:
        """End the thread; ``changed`` is not called after this returns, unless this is called from within it."""
        with self._turn:
            if self._stopping:
                return
            self._stopping = True
            os.eventfd_write(self._wake, 1)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # --- the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        ready = select.poll()
        ready.register(self._notify.descriptor, select.POLLIN)
        ready.register(self._wake, select.POLLIN)
        try:
            while not self._stopping:
                ready.poll(self._patience())
                for event in self._notify.read():
                    self._take(event)
                self._report_if_due()
        finally:
            self._log.blind()
            with self._turn:
                self._stopping = True
                self._notify.close()
                os.close(self._wake)

    def _patience(self) -> float | None:
        """Milliseconds until what was gathered is to be reported; None when there is nothing."""
        return None if self._noticed is None else 1000 * max(0.0, self._due(*self._noticed) - time.monotonic())

    def _report_if_due(self) -> None:
        if self._noticed is not None and time.monotonic() >= self._due(*self._noticed):
            self._report()

    @staticmethod
    def _due(first: float, last: float) -> float:
        return min(first + LONGEST, last + QUIET)

    def _report(self) -> None:
        if self._noticed is not None and not self._stopping:
            self._noticed = None
            self._changed()

    def _take(self, event: Event) -> None:
        if event.mask & Seen.OVERFLOW:
            self._start_over()
        elif event.mask & Seen.IGNORED:
            self._ended(event.watch)
        elif event.watch in self._paths:
            self._note(self._paths[event.watch], event)

    def _start_over(self) -> None:
        """The queue ran over: new directories may have been missed, and marks."""
        self._log.missed()
        self._add_tree(b"")
        self._notice_all()
        for watch in list(self._marks):
            self._ended(watch)

    def _ended(self, watch: int) -> None:
        mark = self._marks.pop(watch, None)
        if mark is None:
            self._paths.pop(watch, None)
            return
        self._report()
        mark.set()

    def _note(self, parent: bytes, event: Event) -> None:
        if not event.name:
            if event.mask & _SELF and not parent:
                self._log.blind()  # The folder itself went: what comes to stand there is another one.
                self._notice_all()
            return
        path = parent + b"/" + event.name if parent else event.name
        if event.mask & Seen.DIRECTORY and event.mask & _APPEARED:
            self._log.tree(path)
            if self._recursive:
                self._add_tree(path)
        else:
            self._log.entry(path)
        self._notice(path)

    def _notice(self, path: bytes) -> None:
        now = time.monotonic()
        if self._noticed is not None:
            self._noticed = self._noticed[0], now
        elif self._relevant(os.fsdecode(self._absolute(path))):
            self._noticed = now, now

    def _notice_all(self) -> None:
        now = time.monotonic()
        self._noticed = now, now

    # --- watches ------------------------------------------------------------------------------

    def _absolute(self, path: bytes) -> bytes:
        return self._directory + b"/" + path if path else self._directory

    def _add_tree(self, top: bytes) -> None:
        """Watch a directory and all beneath it; one that moved is known by its new path then."""
        pending = [top]
        while pending:
            path = pending.pop()
            if self._add(path) and self._recursive:
                pending.extend(self._children(path))

    def _add(self, path: bytes) -> bool:
        place = self._absolute(path)
        try:
            self._paths[self._notify.add(place)] = path
            device = os.lstat(place).st_dev
        except OSError as error:
            self._not_watched(path, error)
            return False
        if device not in self._devices:
            self._devices.add(device)
            if not tells_changes(place):
                self._log.blind()
        return True

    def _not_watched(self, path: bytes, error: OSError) -> None:
        if path and is_absence(error):
            return  # It went away again, which is told as well.
        self._log.blind()
        if not is_absence(error):
            log.warning("%r is not watched: %s; the folder is walked instead", os.fsdecode(path), error.strerror)

    def _children(self, path: bytes) -> Iterator[bytes]:
        prefix = path + b"/" if path else b""
        try:
            with os.scandir(self._absolute(path)) as items:
                names = [item.name for item in items if item.is_dir(follow_symlinks=False)]
        except OSError as error:
            self._not_watched(path, error)
            return
        yield from (prefix + name for name in names)
