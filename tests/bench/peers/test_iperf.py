# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from bench.peers.iperf import arrived


def test_what_was_lost_has_not_arrived() -> None:
    assert arrived({"end": {"sum": {"bytes": 1000, "seconds": 2.0, "lost_percent": 25.0}}}) == 375
