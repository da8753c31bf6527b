# SPDX-License-Identifier: Apache-2.0
"""Processes that stand still while somebody looks at what they leave on the disk."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.chaos.warden import Process


@contextlib.contextmanager
def standing_still(processes: Sequence[Process]) -> Iterator[None]:
    """All are stopped meanwhile, so that what is read of one fits what is read of the other."""
    alive = [process for process in processes if process.poll() is None]
    for process in alive:
        process.send_signal(signal.SIGSTOP)
    for process in alive:
        _wait_until_stopped(process.pid)
    try:
        yield
    finally:
        for process in alive:
            process.send_signal(signal.SIGCONT)


def _wait_until_stopped(pid: int) -> None:
    """Until the kernel shows the process as stopped, or it has ended."""
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return
        if state in "TtZX":
            return
        os.sched_yield()
