# SPDX-License-Identifier: Apache-2.0
"""Watches a file or a folder and reports that something changed. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §3. One thread per watched part; changes within the debounce are reported
once. ``drain`` proves that everything which happened before it has been reported. On Linux the kernel is asked
directly (tree_watcher); elsewhere a library tells that something changed, and a cookie file is waited for.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final, Protocol

import watchfiles
from watchfiles._rust_notify import WatchfilesRustInternalError

from p2p_handoff.adapters import inotify
from p2p_handoff.adapters.changes import Changes
from p2p_handoff.adapters.tree_watcher import LONGEST, QUIET, TreeWatcher

DEBOUNCE_MS: Final = int(1000 * LONGEST)
STEP_MS: Final = int(1000 * QUIET)
AGAIN_AFTER: Final = 0.1
"""Seconds until a watch that a name ended begins again."""
STOP_POLL_MS: Final = 200
"""How often, in milliseconds, the thread looks whether it shall end where the library cannot be woken."""
START_DEADLINE: Final = 5.0
"""Seconds until a watcher must see its first cookie."""
COOKIE_PREFIX: Final = ".handoff-cookie-"
"""Names with this prefix are the watcher's own: never part of a snapshot."""

_cookies = count()


class Watching(Protocol):
    """A watch that goes on until it is stopped."""

    def drain(self, timeout: float = 1.0) -> bool:
        """Wait until everything that happened before this call has been reported, or so many seconds."""

    def changes(self) -> Changes | None:
        """What changed since this was last asked; None when something may be missing, and at first."""

    def stop(self) -> None:
        """Report nothing any more."""


class Watch(Protocol):
    """Begins to watch a directory; ``watch`` is the real one."""

    def __call__(
        self,
        directory: Path,
        changed: Callable[[], None],
        relevant: Callable[[str], bool],
        *,
        recursive: bool = True,
    ) -> Watching:
        """As ``watch``."""


class Watcher:
    """Reports changes below a directory until it is stopped. What the library loses it does not tell.

    Args:
        directory: The directory to watch.
        changed: Called from the watcher's thread, coalesced.
        relevant: Says whether a changed path (absolute) matters.
        recursive: Whether subdirectories are watched too.
    """

    def __init__(
        self, directory: Path, changed: Callable[[], None], relevant: Callable[[str], bool], *, recursive: bool = True
    ) -> None:
        self._directory = directory
        self._changed = changed
        self._relevant = relevant
        self._recursive = recursive
        self._stopping = threading.Event()
        self._seen: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"watch {directory.name}", daemon=True)
        self._thread.start()

    def changes(self) -> None:
        """Never known."""

    def drain(self, timeout: float = 1.0) -> bool:
        """Wait until everything that happened before this call has been reported.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            False when the cookie could not be made (a read-only folder) or was not seen in time.
        """
        cookie = self._directory / f"{COOKIE_PREFIX}{os.getpid()}-{next(_cookies)}"
        seen = threading.Event()
        with self._lock:
            self._seen[str(cookie)] = seen
        try:
            cookie.touch(exist_ok=False)
            return seen.wait(timeout)
        except OSError:
            return False
        finally:
            with self._lock:
                del self._seen[str(cookie)]
            with suppress(OSError):
                cookie.unlink()

    def stop(self) -> None:
        """End the thread; ``changed`` is not called after this returns, unless this is called from within it."""
        self._stopping.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        with suppress(FileNotFoundError):  # the directory is gone: the next snapshot says so
            missed = False
            while not self._stopping.is_set():
                try:
                    self._watch(missed=missed)
                except WatchfilesRustInternalError:  # a changed name is no UTF-8, and ends the library's watch
                    missed = True
                    self._changed()
                    self._stopping.wait(AGAIN_AFTER)

    def _watch(self, *, missed: bool) -> None:
        """Watch until stopped; with ``missed``, what may have happened before it listens again is reported as a change.

        Raises:
            WatchfilesRustInternalError: The library cannot go on.
        """
        for changes in watchfiles.watch(
            self._directory,
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            stop_event=self._stopping,
            rust_timeout=STOP_POLL_MS,
            yield_on_timeout=True,
            recursive=self._recursive,
            ignore_permission_denied=True,
        ):
            if missed and not self._stopping.is_set():
                missed = False
                self._changed()
            self._report({path for _, path in changes})

    def _report(self, paths: set[str]) -> None:
        cookies = {path for path in paths if Path(path).name.startswith(COOKIE_PREFIX)}
        if not self._stopping.is_set() and any(self._relevant(path) for path in paths - cookies):
            self._changed()
        with self._lock:
            for path in cookies & self._seen.keys():
                self._seen[path].set()


def watch(
    directory: Path, changed: Callable[[], None], relevant: Callable[[str], bool], *, recursive: bool = True
) -> Watching:
    """Start a watcher that is listening when this returns, so that no later change is missed.

    Args:
        directory: The directory to watch; its links are resolved, because the kernel reports real paths.
        changed: As for ``Watcher``.
        relevant: As for ``Watcher``.
        recursive: As for ``Watcher``.
    """
    if inotify.available():
        with suppress(OSError):
            return TreeWatcher(directory.resolve(), changed, relevant, recursive=recursive)
    return watch_by_library(directory, changed, relevant, recursive=recursive)


def watch_by_library(
    directory: Path, changed: Callable[[], None], relevant: Callable[[str], bool], *, recursive: bool = True
) -> Watcher:
    """As ``watch``, by a library that knows every platform."""
    watcher = Watcher(directory.resolve(), changed, relevant, recursive=recursive)
    step, waited = 0.05, 0.0
    while waited < START_DEADLINE and not watcher.drain(step) and os.access(directory, os.W_OK):
        waited += step
    return watcher
