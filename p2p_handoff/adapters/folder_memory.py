# SPDX-License-Identifier: Apache-2.0
"""What earlier pictures of a folder leave to be looked at for the next one. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §3. With a complete account of what changed since the last picture only that is
looked at. Without one the folder is walked, and files whose status is that of their record are not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from p2p_handoff.adapters import beneath, stat_cache
from p2p_handoff.adapters.changes import MAX_CHANGES, Changes
from p2p_handoff.adapters.folder_scan import rescan, scan
from p2p_handoff.adapters.ignore import IgnoreRules
from p2p_handoff.adapters.scanned import NOTHING, Scan
from p2p_handoff.adapters.stat_cache import FileRecord

_SPARE_ROWS: Final = 1_000
"""Rows that a cache file may have beyond twice what it must, before it is written anew."""


class FolderMemory:
    """The records of one folder and its last picture. Not thread-safe.

    Args:
        state: The part's state directory.
    """

    def __init__(self, state: beneath.HeldDirectory) -> None:
        self._state = state
        self._known: dict[bytes, FileRecord] | None = None
        self._rows: int | None = None
        """Rows of the cache file; None when it cannot be appended to."""
        self._written: set[bytes] = set()
        self._doubted: set[bytes] = set()
        self._last: Scan = NOTHING
        self._looked: stat_cache.Moment | None = None
        self._rules: bytes | None = None
        """What the ignore file said at the last picture; None when that is no base for the next one."""

    def look(self, folder: int, rules: IgnoreRules, changes: Changes | None) -> Scan:
        """Take a picture; the last one again where nothing changed.

        Args:
            folder: Descriptor of the folder.
            rules: What to leave out.
            changes: Everything that changed since the last picture was begun; None when that is not known.

        Raises:
            ContentGoneError, StorageError, PathError: As ``folder_scan.scan``. The next picture is a walk.
        """
        began = stat_cache.now()
        known = self._known = stat_cache.trusted_still(self._records(), self._looked or began, began)
        stale = self._stale(changes) if self._rules == rules.text else None
        self._rules = None
        if stale is None:
            found = scan(folder, known, rules, self._last)
        else:
            found = rescan(folder, known, rules, self._last, stale) if stale else self._last
        if found is not self._last:
            self._learn(found, began.wall_ns, walked=stale is None)
        self._doubted.clear()
        self._rules, self._looked = rules.text, began
        return found

    def doubt(self, paths: Iterable[bytes]) -> None:
        """Read some files again for the next picture, and those that somebody was writing to, whatever their status."""
        self._doubted |= self._written | set(paths)
        self._written.clear()
        for path in self._doubted:
            self._records().pop(path, None)

    def _records(self) -> dict[bytes, FileRecord]:
        if self._known is None:
            loaded = stat_cache.load(self._state.descriptor)
            self._known = stat_cache.lasting(loaded.records, stat_cache.now().wall_ns)
            self._rows = loaded.rows if loaded.whole else None
        return self._known

    def _stale(self, changes: Changes | None) -> Changes | None:
        """What is to be looked at; None for everything."""
        if changes is None:
            return None
        entries = changes.entries | self._doubted | self._last.linked
        return None if len(entries) > MAX_CHANGES else replace(changes, entries=entries)

    def _learn(self, found: Scan, began: int, *, walked: bool) -> None:
        """Trust what was hashed as long as its status stays, but for what may change under the same status."""
        known = self._records()
        fresh = stat_cache.lasting(found.hashed, began)
        for path in found.hashed.keys() - fresh.keys():
            known.pop(path, None)
        known.update(fresh)
        if walked:
            self._known = known = {path: known[path] for path in found.records.keys() & known.keys()}
        self._written = ((self._written - found.hashed.keys()) | found.written) & found.records.keys()
        self._last = found
        self._store({path: record for path, record in fresh.items() if path not in self._written})

    def _store(self, fresh: Mapping[bytes, FileRecord]) -> None:
        """Bring the cache file up to date: it costs what changed."""
        known = self._records()
        if self._rows is not None and not fresh:
            return
        if self._rows is not None and self._rows + len(fresh) <= 2 * len(known) + _SPARE_ROWS:
            stat_cache.append(self._state.descriptor, fresh)
            self._rows += len(fresh)
            return
        kept = {path: record for path, record in known.items() if path not in self._written}
        stat_cache.save(self._state.descriptor, kept)
        self._rows = len(kept)
