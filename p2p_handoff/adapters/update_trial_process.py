# SPDX-License-Identifier: Apache-2.0
"""The process in which a peer's document updates are tried out: it may panic, hang or run out of memory.

Layer: I/O ring, adapters. Specification: docs/specs/conversation.md §10. Started by ``adapters.update_trial`` alone. A
job is a number of updates, each behind its length; the answer is one byte. It ends with its input, or when idle.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import sys
from collections.abc import Sequence
from typing import BinaryIO, Final

from p2p_handoff.errors import HandoffError
from p2p_handoff.limits import MIB, TRIAL_BYTES_PER_BYTE, TRIAL_IDLE, TRIAL_MEMORY
from p2p_handoff.session.document import LineDocument

GOOD: Final = b"\x01"
BAD: Final = b"\x00"
LENGTH_BYTES: Final = 4
_WRITER: Final = 1
_WORN_OUT: Final = 128 * MIB
"""A process that ever was larger ends after its answer: memory comes back late otherwise."""


def main() -> None:
    """Serve jobs from standard input."""
    jobs, answers = sys.stdin.buffer, sys.stdout.buffer
    while select.select([jobs], [], [], TRIAL_IDLE)[0]:
        updates = _job(jobs)
        if updates is None:
            return
        answers.write(GOOD if _holds(updates) else BAD)
        answers.flush()
        if _largest() > _WORN_OUT:
            return


def _job(jobs: BinaryIO) -> list[bytes] | None:
    """The next job; None at the end of the input."""
    head = jobs.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    return [jobs.read(int.from_bytes(jobs.read(LENGTH_BYTES), "big")) for _ in range(int.from_bytes(head, "big"))]


def _holds(updates: Sequence[bytes]) -> bool:
    _limit_memory(TRIAL_MEMORY + TRIAL_BYTES_PER_BYTE * sum(map(len, updates)))
    try:
        use(updates)
    except (HandoffError, MemoryError):
        return False
    return True


def use(updates: Sequence[bytes]) -> None:
    """Apply updates to an empty document, and use it in the ways in which this device does.

    Raises:
        IntegrityError: They cannot be applied, or the document cannot be used.
    """
    document = LineDocument.empty(_WRITER)
    for update in updates:
        document.apply(update)
        document.state_vector()
    document.render()
    document.update_since()
    before = document.state_vector()
    document.append(b"\n")
    document.update_since(before)


def _largest() -> int:
    """Bytes that this process ever had in memory; 0 where the platform cannot tell.

    Not what ``getrusage`` says: that counts the agent, out of which this process came, as well.
    """
    with contextlib.suppress(OSError), open("/proc/self/status", "rb") as status:  # noqa: PTH123 - the kernel's
        for line in status:
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _limit_memory(more: int) -> None:
    """Let this process grow by so many bytes; where the platform cannot tell its size, time alone is the limit."""
    try:
        with open("/proc/self/statm", "rb") as status:  # noqa: PTH123 - one line of the kernel's
            now = int(status.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = now + more if hard == resource.RLIM_INFINITY else min(now + more, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))


if __name__ == "__main__":
    main()
