# SPDX-License-Identifier: Apache-2.0
"""The test's end of a bad cable: starts ``faulty_link`` between a host and a bridge and tells it what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tests.network.faults import CUT, Faults

ROOT: Final = Path(__file__).resolve().parents[2]
_END_DEADLINE: Final = 10.0
"""Seconds until the program must have ended by itself."""


class FaultyCable:
    """A cable from a host to a bridge; perfect until told otherwise.

    Args:
        seed: Of every decision about a frame.
        host: Namespace and interface of the host's end.
        bridge: Namespace and interface of the other.
    """

    def __init__(self, seed: int, host: tuple[str, str], bridge: tuple[str, str]) -> None:
        argv = [sys.executable, "-m", "tests.network.faulty_link", str(seed), *host, *bridge]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=ROOT
        )
        assert self._line() == "ready"

    def set(self, outward: Faults | None = None, inward: Faults | None = None, *, purge: bool = False) -> Counts:
        """Change what happens from now on; returns the counts so far once it holds.

        Args:
            outward: To frames from the host; None leaves it.
            inward: To frames to the host.
            purge: Lose what is under way too.
        """
        wanted: dict[str, Any] = {"purge": purge}
        wanted.update({} if outward is None else {"out": asdict(outward)})
        wanted.update({} if inward is None else {"in": asdict(inward)})
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(wanted) + "\n")
        counts: Counts = json.loads(self._line())
        return counts

    def both(self, faults: Faults) -> None:
        """The same in both directions."""
        self.set(faults, faults)

    def cut(self) -> None:
        """A partition: nothing passes, and what is under way is lost."""
        self.set(CUT, CUT, purge=True)

    def close(self) -> None:
        """Pull the cable for good; both devices vanish."""
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()
        try:
            self._process.wait(_END_DEADLINE)
        finally:
            self._process.kill()
            self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the link ended with {self._process.wait(_END_DEADLINE)}"
        return line.rstrip("\n")


Counts = Mapping[str, Mapping[str, int]]
"""By direction, ``out`` and ``in``: what became of its frames (``faults.Counts``)."""
