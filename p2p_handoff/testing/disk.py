# SPDX-License-Identifier: Apache-2.0
"""A home whose database can be full, or end its process at a write. Layer: testing, public.

The database is the real one with its real settings; the faults stand where SQLite would report them, at the
boundaries of a transaction. Specification: docs/testing.md §4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from enum import Enum
from functools import partial
from pathlib import Path
from sqlite3 import Connection

from typing_extensions import override

from p2p_handoff.errors import StorageError
from p2p_handoff.ids import DeviceId
from p2p_handoff.store import home as homes
from p2p_handoff.store.database import Database, open_database
from p2p_handoff.store.store import Store, open_store
from p2p_handoff.testing.loop import Process, ProcessKilledError, State


class Moment(Enum):
    """When a process dies at a write."""

    BEFORE = "before"
    """Nothing of the transaction has happened."""
    AFTER = "after"
    """It is durable, and nobody heard of it."""


class Disk:
    """The disk under one device's home; the faults are set from outside and last over restarts."""

    def __init__(self) -> None:
        self.full = False
        """Every write fails as on a full disk while this is set."""
        self.writes = 0
        """Transactions begun so far."""
        self._kill_at: tuple[int, Moment] | None = None

    def kill_at_write(self, number: int, moment: Moment) -> None:
        """End the process at the ``number``-th write from now on, 1 for the next one."""
        self._kill_at = (self.writes + number, moment)

    def forget_kill(self) -> None:
        """Take ``kill_at_write`` back."""
        self._kill_at = None

    @contextmanager
    def writing(self, process: Process) -> Iterator[None]:
        """Around a transaction's beginning and its commit."""
        self._check_alive(process)
        self.writes += 1
        self._die(process, Moment.BEFORE)
        yield
        self._die(process, Moment.AFTER)

    def check_room(self) -> None:
        """Raise what a full disk does; the transaction is rolled back."""
        if self.full:
            raise StorageError("the disk of the data directory is full", advice="free some space and try again")

    def _die(self, process: Process, moment: Moment) -> None:
        if self._kill_at == (self.writes, moment):
            self._kill_at = None
            process.kill()
            raise ProcessKilledError

    @staticmethod
    def _check_alive(process: Process) -> None:
        if process.state is State.DEAD:
            raise ProcessKilledError


class FaultyDatabase(Database):
    """The real database under a disk that may fail.

    Args:
        disk: Decides.
        process: Whose it is.
        connection: The open SQLite connection.
    """

    def __init__(self, disk: Disk, process: Process, connection: Connection) -> None:
        super().__init__(connection)
        self._disk = disk
        self._process = process

    @override
    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._disk.writing(self._process), super().transaction():
            yield
            self._disk.check_room()


class HomeOnDisk:
    """Opens the home of one process on a disk, and lets go of it when the process dies.

    Args:
        disk: What it lies on.
        process: Who opens it.
    """

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk = disk
        self._process = process

    def lock(self, home: homes.Home) -> AbstractContextManager[None]:
        """As ``store.home.lock``."""
        stack = ExitStack()
        stack.enter_context(homes.lock(home))
        self._process.at_end.append(stack.close)
        return _closing(stack.close)

    def open_store(self, path: Path, me: DeviceId) -> Store:
        """As ``store.store.open_store``."""
        opened = partial(open_database, made=partial(FaultyDatabase, self._disk, self._process))
        store = open_store(path, me, opened)
        self._process.at_end.append(store.close)
        return store


@contextmanager
def _closing(close: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    finally:
        close()
