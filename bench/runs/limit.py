# SPDX-License-Identifier: Apache-2.0
"""What the network between the two places lets through at most. Layer: bench."""

from __future__ import annotations

from bench.figures import Figure, rounded
from bench.peers import iperf
from bench.stage import Stage


def measure(stage: Stage) -> list[Figure]:
    """One figure, of no engine.

    Raises:
        BenchError: It failed.
        PeerMissingError: iperf3 is not here.
    """
    rates = [iperf.limit(stage.places, stage.sizes.limit_seconds) / 1e6 for _ in range(stage.rounds)]
    return [Figure(f"UDP limit, {iperf.DATAGRAM}-byte datagrams (iperf3)", "MB/s", rounded(rates))]
