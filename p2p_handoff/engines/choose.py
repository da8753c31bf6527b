# SPDX-License-Identifier: Apache-2.0
"""Which engine a process uses. Layer: I/O ring.

``auto`` prefers the native engine where it is installed. Native code can crash a process, which no exception
handler sees; so a crash report is kept in a marker file, and ``auto`` stays with aiortc once there is one.
Specification: docs/specs/transport.md §8.
"""

from __future__ import annotations

import faulthandler
import logging
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from p2p_handoff.engines.base import Engine
from p2p_handoff.errors import StorageError, UsageError

WISHES: Final = ("auto", "aiortc", "wrtc")

_log = logging.getLogger(__name__)
_armed: dict[Path, IO[bytes]] = {}
"""Open marker files: the crash handler writes to their descriptors, so they stay open."""


def choose_engine(wish: str = "auto", marker: Path | None = None) -> Engine:
    """Make the engine that is wished for.

    Call ``disarm(marker)`` at a clean shutdown.

    Args:
        wish: ``auto``, ``aiortc`` or ``wrtc``. Wishing for ``wrtc`` by name forgets an earlier crash.
        marker: File in which a crash of native code is recorded; None records nothing.

    Raises:
        UsageError: There is no such engine, or ``wrtc`` is wished for and not installed.
        StorageError: The marker cannot be written.
    """
    if wish not in WISHES:
        raise UsageError(f"there is no engine {wish!r}", advice=f"choose one of {', '.join(WISHES)}")
    if wish == "aiortc" or (wish == "auto" and not _native_is_fit(marker)):
        from p2p_handoff.engines.aiortc_engine import AiortcEngine  # noqa: PLC0415 - only one engine is loaded

        return AiortcEngine()
    from p2p_handoff.engines.native_engine import NativeEngine, load  # noqa: PLC0415 - only one engine is loaded

    load()
    if marker is not None:
        _arm(marker)
    return NativeEngine()


def crashed(marker: Path) -> bool:
    """Whether native code crashed a process that used this marker. A killed process leaves an empty marker."""
    try:
        return marker.stat().st_size > 0
    except OSError:
        return False


def disarm(marker: Path) -> None:
    """Remove the marker of this process, at a clean shutdown. Does nothing if none was set."""
    file = _armed.pop(marker, None)
    if file is None:
        return
    faulthandler.disable()
    file.close()
    with suppress(OSError):
        marker.unlink()


def _native_is_fit(marker: Path | None) -> bool:
    from p2p_handoff.engines.native_engine import available  # noqa: PLC0415 - only one engine is loaded

    if marker is not None and crashed(marker):
        _log.warning("the native engine crashed before (see %s): using aiortc; --engine wrtc tries it again", marker)
        return False
    return available()


def _arm(marker: Path) -> None:
    """Have a fatal signal (SIGSEGV, SIGFPE, SIGABRT, SIGBUS, SIGILL) write a report into the marker."""
    disarm(marker)
    try:
        file = marker.open("wb", buffering=0)
    except OSError as error:
        raise StorageError(f"the crash marker {marker} cannot be written: {error.strerror}") from error
    faulthandler.enable(file, all_threads=False)
    _armed[marker] = file
