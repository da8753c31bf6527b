# SPDX-License-Identifier: Apache-2.0
"""``rsync -a`` over ssh: what copies a folder again fastest. Layer: bench.

It syncs nothing to disk; ours does, before the session changes hands.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from bench.peers.ssh import Ssh
from bench.peers.tools import command, timed

NAME: Final = "rsync over ssh"


class Rsync:
    """One side of the comparison.

    Args:
        ssh: The way to the right place.

    Raises:
        PeerMissingError: It is not here.
    """

    name = NAME

    def __init__(self, ssh: Ssh) -> None:
        self._ssh = ssh
        self._program = command("rsync")

    def carry(self, source: Path, into: Path) -> float:
        """See ``Carrier``."""
        into.mkdir(parents=True, exist_ok=True)
        argv = [self._program, "-a", "-e", shlex.join(self._ssh.argv), str(source), f"right:{into}/"]
        return timed(self._ssh.places.left, argv)
