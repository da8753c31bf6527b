# SPDX-License-Identifier: Apache-2.0
"""Files that nothing may touch."""

from __future__ import annotations

from pathlib import Path

from tests.agent.devices import fill
from tests.attack.attack import hold


class Canary:
    """Files beside the destination, of which nothing may change: inode, mode, time and content."""

    def __init__(self, root: Path) -> None:
        self.path = fill(root / "canary", {f"d{number % 5}/f{number}": b"alive %d" % number for number in range(50)})
        (self.path / "d0" / "secret").write_bytes(b"secret")
        self._was = self._look()

    def check(self) -> None:
        """Raises BrokenError where anything was touched."""
        hold(self._look() == self._was, "something outside of the destination was touched")

    def _look(self) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        for path in sorted(self.path.rglob("*")):
            stat = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found.append((str(path), stat.st_ino, stat.st_mode, stat.st_mtime_ns, stat.st_uid, content))
        return found
