# SPDX-License-Identifier: Apache-2.0
"""``tar | zstd | ssh``: what copies a folder for the first time fastest. Layer: bench."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from bench.peers.ssh import Ssh
from bench.peers.tools import command, timed

NAME: Final = "tar | zstd | ssh"


class TarZstd:
    """One side of the comparison.

    Args:
        ssh: The way to the right place.

    Raises:
        PeerMissingError: zstd is not here.
    """

    name = NAME

    def __init__(self, ssh: Ssh) -> None:
        self._ssh = ssh
        self._zstd = command("zstd")

    def carry(self, source: Path, into: Path) -> float:
        """See ``Carrier``."""
        into.mkdir(parents=True, exist_ok=True)
        there = f"{self._zstd} -d | tar -xf - -C {shlex.quote(str(into))}"
        pack = shlex.join(["tar", "-cf", "-", "-C", str(source.parent), source.name])
        pipe = f"set -o pipefail; {pack} | {self._zstd} -1 -q | {shlex.join([*self._ssh.argv, 'right', there])}"
        return timed(self._ssh.places.left, ["bash", "-c", pipe])
