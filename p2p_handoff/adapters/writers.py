# SPDX-License-Identifier: Apache-2.0
"""Tells whether a file that was taken out of its place can still change. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §8. A program that has a file open goes on writing to it after it was exchanged
for another one. Out of its place nobody new can open it: once no writer is left, what is read from it is final.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.platform_files import has_writer
from p2p_handoff.errors import PathError

PATIENCE: Final = 1.0
"""Seconds that a commit waits in all for writers to close their files: an editor's save takes milliseconds."""
_LOOK_EVERY: Final = 0.01


class Writers:
    """Waits for writers, for so many seconds over all files together.

    Args:
        patience: Seconds.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._left = patience

    def are_gone(self, holder: int, name: bytes) -> bool:
        """True when nobody writes to a file any more; false when somebody still does after the wait.

        Also true for what is no regular file or cannot be opened, and where the platform cannot tell.

        Args:
            holder: Descriptor of a directory that only this program puts things into.
            name: The file's name there.
        """
        with suppress(OSError, PathError), beneath.file(holder, (name,)) as opened:
            while has_writer(opened):
                if self._left <= 0:
                    return False
                time.sleep(_LOOK_EVERY)
                self._left -= _LOOK_EVERY
        return True
