# SPDX-License-Identifier: Apache-2.0
"""All programs that carry a path, ready to run; those that cannot be had are named. Layer: bench."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.peers import ssh, wormhole
from bench.peers.base import Carrier, PeerMissingError
from bench.peers.rsync import Rsync
from bench.peers.tar_zstd import TarZstd
from bench.places import Pair


@contextmanager
def carriers(places: Pair, root: Path) -> Iterator[list[Carrier]]:
    """Those that are here, with the servers they need, which end with the block.

    Args:
        places: Of the servers.
        root: A directory for them; made.

    Raises:
        BenchError: One is here and does not start.
    """
    found: list[Carrier] = []
    with ExitStack() as stack:
        try:
            way = stack.enter_context(ssh.server(places, root / "ssh"))
            found += [Rsync(way), TarZstd(way)]
        except PeerMissingError as missing:
            print(f"bench: without rsync and tar | zstd | ssh: {missing}", file=sys.stderr)
        try:
            found.append(stack.enter_context(wormhole.servers(places, root / "wormhole")))
        except PeerMissingError as missing:
            print(f"bench: without magic-wormhole: {missing}", file=sys.stderr)
        yield found
