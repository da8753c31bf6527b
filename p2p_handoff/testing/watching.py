# SPDX-License-Identifier: Apache-2.0
"""Watching files without threads: whoever writes says so. Layer: testing, public. Specification: docs/testing.md §4."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from p2p_handoff.adapters.watcher import Watching
from p2p_handoff.testing.loop import Process, SimulatedLoop

NOTICED_AFTER: Final = 0.05
"""Seconds until a change is reported."""


@dataclass(frozen=True, slots=True)
class _Listener:
    directory: Path
    changed: Callable[[], None]
    relevant: Callable[[str], bool]
    recursive: bool


class SimulatedWatches:
    """The watches of one process; an instance is an ``adapters.watcher.Watch``.

    Args:
        loop: The simulation's loop.
        process: Who watches.
    """

    def __init__(self, loop: SimulatedLoop, process: Process) -> None:
        self._loop = loop
        self._process = process
        self._listeners: list[_Listener] = []

    def __call__(
        self, directory: Path, changed: Callable[[], None], relevant: Callable[[str], bool], *, recursive: bool = True
    ) -> Watching:
        """Begin to watch."""
        listener = _Listener(directory.resolve(), changed, relevant, recursive)
        self._listeners.append(listener)
        return _Stoppable(self._listeners, listener)

    def touched(self, path: Path) -> None:
        """Somebody wrote or removed this file."""
        for listener in self._listeners:
            near = path.parent == listener.directory
            inside = near or (listener.recursive and path.is_relative_to(listener.directory))
            if inside and listener.relevant(str(path)):
                self._loop.call_later(NOTICED_AFTER, listener.changed, context=self._process.context.copy())


class _Stoppable:
    def __init__(self, listeners: list[_Listener], mine: _Listener) -> None:
        self._listeners = listeners
        self._mine = mine

    def drain(self, timeout: float = 1.0) -> bool:  # noqa: ARG002 - part of the interface
        """Nothing is ever late here that a snapshot would not see by itself."""
        return True

    def changes(self) -> None:
        """Never known: what the disk shows is looked at."""

    def stop(self) -> None:
        """Report nothing any more."""
        if self._mine in self._listeners:
            self._listeners.remove(self._mine)
