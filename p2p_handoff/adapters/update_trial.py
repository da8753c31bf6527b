# SPDX-License-Identifier: Apache-2.0
"""Tries a peer's document updates out where a panic, a hang or a bomb cannot take the agent down.

Layer: I/O ring, adapters. Specification: docs/specs/conversation.md §10. The CRDT library is native code: a hostile
update may make it panic, abort, loop or allocate without end. So updates are applied first in another process with
limits of memory and time, and in this one only when that process has said that it went well. It is kept for the next
trial, and ends when idle.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from typing import Final

from p2p_handoff.adapters.update_trial_process import GOOD, LENGTH_BYTES
from p2p_handoff.errors import IntegrityError, StorageError
from p2p_handoff.limits import TRIAL_SECONDS

_COMMAND: Final = (sys.executable, "-P", "-B", "-m", "p2p_handoff.adapters.update_trial_process")
_PIECE: Final = 1 << 16


class UpdateTrial:
    """A process for trials, started when first needed. Safe in any thread; one trial runs at a time.

    Args:
        command: What is run.
        seconds: How long one trial may take.
    """

    def __init__(self, command: Sequence[str] = _COMMAND, seconds: float = TRIAL_SECONDS) -> None:
        self._command = command
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._proven = False
        """Whether the process has answered before: only the death of one that has not is the updates' doing."""

    def __call__(self, updates: Sequence[bytes]) -> None:
        """Try updates out.

        Args:
            updates: In the order in which they are to be applied to an empty document.

        Raises:
            IntegrityError: They cannot be applied, or not within the limits.
            StorageError: No process can be started.
        """
        job = b"".join(
            (_length(len(updates)), *(piece for update in updates for piece in (_length(len(update)), update)))
        )
        with self._lock:
            answer = self._ask(job)
            if not answer and self._proven:
                self._end()
                answer = self._ask(job)
            self._proven = bool(answer)
            if not answer:
                self._end()
            if answer != GOOD:
                raise IntegrityError("updates of a conversation cannot be applied, or not within this device's limits")

    def warm(self) -> None:
        """Start the process now, if there is none: a trial in a pause need not wait for it."""
        with self._lock:
            self._running()

    def close(self) -> None:
        """End the process, if there is one. It is started again when needed."""
        with self._lock:
            self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        process = self._process
        if process is not None and self._owner == os.getpid() and process.poll() is None:
            return process
        self._end()
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd="/",
                # A panic that searches for symbols takes memory that it has not, and hangs.
                env={**os.environ, "RUST_BACKTRACE": "0"},
                process_group=0,
            )
        except OSError as error:
            raise StorageError(f"the process that tries out updates cannot be started: {error}") from error
        self._process, self._owner, self._proven = process, os.getpid(), False
        weakref.finalize(self, _kill, process, self._owner)
        return process

    def _end(self) -> None:
        process, self._process, self._proven = self._process, None, False
        if process is not None:
            _kill(process, self._owner)

    def _ask(self, job: bytes) -> bytes:
        """The answer of one byte; nothing where the process died. One that is late is ended, and answers nothing."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = time.monotonic() + self._seconds
        os.set_blocking(process.stdin.fileno(), False)
        with selectors.DefaultSelector() as ready, contextlib.suppress(BrokenPipeError):
            ready.register(process.stdout, selectors.EVENT_READ)
            ready.register(process.stdin, selectors.EVENT_WRITE)
            rest = memoryview(job)
            while (left := deadline - time.monotonic()) > 0:
                for key, _ in ready.select(left):
                    if key.fileobj is process.stdout:
                        return os.read(process.stdout.fileno(), 1)
                    rest = rest[os.write(process.stdin.fileno(), rest[:_PIECE]) :]
                    if not rest:
                        ready.unregister(process.stdin)
            self._proven = False  # late: that is the updates' doing
        return b""


def _length(number: int) -> bytes:
    return number.to_bytes(LENGTH_BYTES, "big")


def _kill(process: subprocess.Popen[bytes], owner: int) -> None:
    """End a process that this one started; a forked copy of this one leaves it alone."""
    if owner == os.getpid():
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


SHARED: Final = UpdateTrial()
"""The one of this process: agents that share it take turns."""
