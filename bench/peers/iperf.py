# SPDX-License-Identifier: Apache-2.0
"""iperf3 over UDP: the limit that the network sets to anybody who sends datagrams. Layer: bench."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any, Final

from bench.devices import BenchError
from bench.peers.tools import command
from bench.places import Pair

DATAGRAM: Final = 1200
"""Bytes: what fits every path, and what WebRTC sends."""
_PORT: Final = "47850"
_START_DEADLINE: Final = 60.0


def limit(places: Pair, seconds: int) -> float:
    """Bytes per second that arrive.

    Args:
        places: From left to right.
        seconds: How long it sends.

    Raises:
        PeerMissingError: It is not here.
        BenchError: It failed.
    """
    program = command("iperf3")
    serve = [program, "--server", "--one-off", "--port", _PORT, "--bind", places.right.address]
    client = [program, "--client", places.right.address, "--port", _PORT, "--udp", "--bandwidth", "0", "--json"]
    client += ["--length", str(DATAGRAM), "--time", str(seconds)]
    with subprocess.Popen(places.right.argv(serve), stdout=subprocess.DEVNULL) as serving:
        deadline = time.monotonic() + _START_DEADLINE
        try:
            while True:
                done = subprocess.run(places.left.argv(client), capture_output=True, text=True, check=False)
                report = json.loads(done.stdout or "{}")
                if "sum" in report.get("end", {}):
                    return arrived(report)
                if serving.poll() is not None or time.monotonic() > deadline:
                    raise BenchError(f"iperf3: {done.stdout[-300:]} {done.stderr[-300:]}")
                time.sleep(0.05)
        finally:
            serving.kill()


def arrived(report: dict[str, Any]) -> float:
    """Bytes per second that arrived, out of iperf3's report: what was sent less what was lost."""
    total = report["end"]["sum"]
    return float(total["bytes"]) * (1 - float(total["lost_percent"]) / 100) / float(total["seconds"])
