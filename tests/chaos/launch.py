# SPDX-License-Identifier: Apache-2.0
"""Become a program whose system calls are watched: ``python -m tests.chaos.launch OUT IN PROGRAM…``.

OUT and IN are pipes of the watcher. The number of the listener goes out before the filter is there, because afterwards
even that write would wait; the watcher fetches the listener itself (pidfd_getfd) and then closes IN. The program dies
with its watcher: without one every watched call would fail.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

from tests.chaos.seccomp import install

_PARENT_DEATH_SIGNAL: Final = 1


def main() -> None:
    """Announce, install, wait, become."""
    argv = sys.argv[3:]
    confine(int(sys.argv[1]), int(sys.argv[2]))
    os.execv(argv[0], argv)


def confine(out: int, go: int) -> None:
    """Put this process behind its filter, and wait until the watcher has the listener.

    Args:
        out: Gets the number of the listener, and is closed.
        go: Is read until the watcher closes its end.
    """
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    expected = os.dup(out)
    os.close(expected)
    os.write(out, b"%d" % expected)
    assert install() == expected
    os.close(out)
    os.read(go, 1)
    os.close(go)


if __name__ == "__main__":
    main()
