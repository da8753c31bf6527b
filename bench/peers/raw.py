# SPDX-License-Identifier: Apache-2.0
"""Runs ``bench.peers.raw_channel``: an engine's bare data channel between the two places. Layer: bench."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from bench.devices import COMMAND_DEADLINE, BenchError
from bench.places import Pair
from p2p_handoff.limits import MIB


def channel(places: Pair, engine: str, size: int) -> dict[str, Any]:
    """One run.

    Args:
        places: From left to right.
        engine: Of both sides.
        size: Bytes, rounded up to MiB.

    Raises:
        BenchError: It failed.
    """
    argv = [sys.executable, "-m", "bench.peers.raw_channel", "--engine", engine, "--size-mib", str(-(-size // MIB))]
    argv += ["--namespace", places.left.namespace, "--peer-namespace", places.right.namespace]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=COMMAND_DEADLINE, check=False)
    if done.returncode:
        raise BenchError(f"the raw channel of {engine} failed: {done.stderr[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result
