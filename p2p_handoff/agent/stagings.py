# SPDX-License-Identifier: Apache-2.0
"""Remembers where staging directories are, so that none is left for ever. Layer: agent.

Specification: docs/specs/store.md §6. A staging directory lies beside its destination, wherever that is. One whose
handoff never comes back after a crash is removed by the rule in ``collect``; what was accepted never is.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

from p2p_handoff.adapters import beneath
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import TxnId

log = logging.getLogger(__name__)

KEEP_STAGED: Final = 3600.0
"""Seconds that the staging of an undecided handoff is kept for its source to come back. A source gives a target that is
away up after half a minute, and a frozen one is refused after a restart: an hour also covers a lid that was closed."""
_MAX_RECORD: Final = 1 << 20


class Stagings:
    """One small file per handoff, named by it, that lists its staging directories.

    Args:
        directory: Of the agent's home; made when it is needed.
        clock: Unix seconds.
    """

    def __init__(self, directory: Path, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock

    def note(self, txn: TxnId, directories: Iterable[Path]) -> None:
        """Remember them, durably, before anything is put there. Blocks.

        Raises:
            StorageError: The home cannot be written to.
        """
        with beneath.typed_errors("note where something is staged"):
            self._directory.mkdir(mode=0o700, exist_ok=True)
            held = beneath.HeldDirectory(beneath.open_root(self._directory))
            listed = b"\0".join(os.fsencode(directory) for directory in directories)
            beneath.write_atomically(held.descriptor, os.fsencode(txn), listed)

    def any(self) -> bool:
        """Whether anything is staged, or was when a run ended."""
        return self._directory.is_dir() and any(self._directory.iterdir())

    def forget(self, txn: TxnId) -> None:
        """They are gone."""
        (self._directory / txn).unlink(missing_ok=True)

    def collect(self, in_use: AbstractSet[TxnId], pending: AbstractSet[Path]) -> list[Path]:
        """Remove what no handoff will ask for again: older than KEEP_STAGED, not in use, and not accepted. Blocks.

        Args:
            in_use: Handoffs of this run.
            pending: Directories that wait to be put in place.

        Returns:
            What was removed.
        """
        removed: list[Path] = []
        for record in sorted(self._directory.iterdir()) if self._directory.is_dir() else ():
            try:
                if record.name not in in_use and self._clock() - record.stat().st_mtime > KEEP_STAGED:
                    removed += self._collect_one(TxnId(record.name), pending)
            except (HandoffError, OSError) as error:
                log.warning("what %s staged is not removed yet: %s", record.name[:6], error)
        return removed

    def _collect_one(self, txn: TxnId, pending: AbstractSet[Path]) -> list[Path]:
        listed = (self._directory / txn).read_bytes()[:_MAX_RECORD]
        directories = {Path(os.fsdecode(item)) for item in listed.split(b"\0") if item}
        if directories & pending:
            return []
        removed = [directory for directory in sorted(directories) if self._remove(directory, txn)]
        self.forget(txn)
        return removed

    def _remove(self, directory: Path, txn: TxnId) -> bool:
        """Only what bears the handoff's own name: whatever the record says, nothing of the user's goes."""
        if not directory.name.endswith(txn) or not directory.is_dir() or directory.is_symlink():
            return False
        with beneath.typed_errors(f"remove {str(directory)!r}"):
            parent = beneath.HeldDirectory(beneath.open_root(directory.parent.resolve()))
            beneath.remove_tree(parent.descriptor, os.fsencode(directory.name))
        return True
