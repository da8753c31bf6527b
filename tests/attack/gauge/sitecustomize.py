# SPDX-License-Identifier: Apache-2.0
"""Measures the longest step of an agent's event loop, when this directory is on the agent's path.

Python imports a module of this name before anything else. A step counts as long as it took, but no longer than the
work that the process did meanwhile, on all its threads: a busy machine makes nothing longer, a thread that holds the
interpreter does. The maximum stands in the file that HANDOFF_GAUGE names; whoever reads it may set it back to 0.
Nothing else of the product is different.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import time
from pathlib import Path

_FIGURE = struct.Struct("<d200s")


def _install(path: Path) -> None:
    path.write_bytes(bytes(_FIGURE.size))
    with path.open("r+b") as file:
        figures = mmap.mmap(file.fileno(), _FIGURE.size)
    real = asyncio.Handle._run

    def run(self: asyncio.Handle) -> None:
        work, began = time.process_time(), time.perf_counter()
        try:
            real(self)
        finally:
            stall = min(time.perf_counter() - began, time.process_time() - work)
            if stall > _FIGURE.unpack_from(figures)[0]:
                callback = getattr(self, "_callback", self)
                what = repr(getattr(callback, "__self__", callback))[:200].encode(errors="replace")
                _FIGURE.pack_into(figures, 0, stall, what)

    asyncio.Handle._run = run  # type: ignore[method-assign]  # a gauge around every step


if os.environ.get("HANDOFF_GAUGE"):
    _install(Path(os.environ["HANDOFF_GAUGE"]))
