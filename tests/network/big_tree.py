# SPDX-License-Identifier: Apache-2.0
"""A handoff of a very large folder between two hosts, measured: ``scripts/big-tree``.

The folder is the Python installation's own library, copied with other bytes each time until there are enough files
and bytes; what arrives is compared by diff, sha256sum and stat.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.network.lab import Lab, missing
from tests.network.peer import Devices, Peer, link, memory_peak
from tests.network.trees import assert_same, python_library

PATIENCE = 3600.0
"""Seconds for one handoff."""


def carry(tree: Path, place: Path, engine: str) -> dict[str, object]:
    """Hand a folder over between two fresh devices; returns the figures."""
    with Lab() as lab, Devices(lab, place) as devices:
        laptop, desktop = devices.strangers("--engine", engine)
        link(laptop, desktop)
        begun = time.monotonic()
        (part,) = laptop.run("start", str(tree), "--title", "tree", patience=PATIENCE).done()["parts"]
        scanned = time.monotonic()
        report = laptop.hand_over("tree", desktop, patience=PATIENCE)
        ended = time.monotonic()
        figures: dict[str, object] = {
            "engine": engine,
            "files": part["items"],
            "bytes": part["bytes"],
            "sent_bytes": report["sent_bytes"],
            "start_seconds": round(scanned - begun, 1),
            "handoff_seconds": round(ended - scanned, 1),
            "megabytes_per_second": round(int(part["bytes"]) / (ended - scanned) / 1e6, 1),
            "pause_ms": report["pause_ms"],
            "rounds": report["rounds"],
            "source_peak_mib": memory_peak(laptop.agent) >> 20,
            "target_peak_mib": memory_peak(desktop.agent) >> 20,
        }
        assert_same(tree, Path(desktop.session("tree")["paths"][0]))
        figures["back_seconds"] = hand_back(desktop, laptop)
        assert_same(tree, Path(desktop.session("tree")["paths"][0]))
        return figures


def hand_back(owner: Peer, to: Peer) -> float:
    """Change one file and hand everything back; returns the seconds."""
    (Path(owner.session("tree")["paths"][0]) / "one more").write_text("a line\n")
    begun = time.monotonic()
    owner.hand_over("tree", to, patience=PATIENCE)
    return round(time.monotonic() - begun, 1)


def main() -> None:
    """Build the tree, carry it with each engine, print one line of JSON for each."""
    parser = argparse.ArgumentParser(prog="scripts/big-tree", description=__doc__)
    parser.add_argument("--files", type=int, default=50_000, help="at least so many files  [default: 50000]")
    parser.add_argument("--bytes", type=int, default=1_000_000_000, help="at least so many bytes  [default: 1 GB]")
    parser.add_argument("--engine", action="append", choices=("aiortc", "wrtc"), help="default: both, one by one")
    options = parser.parse_args()
    if (reason := missing()) is not None:
        sys.exit(f"big-tree: {reason}")
    with tempfile.TemporaryDirectory(prefix="handoff-big-tree-") as place:
        tree = python_library(Path(place) / "tree", options.files, options.bytes)
        for engine in options.engine or ("wrtc", "aiortc"):
            print(json.dumps(carry(tree, Path(place) / engine, engine)), flush=True)  # noqa: T201 - the result


if __name__ == "__main__":
    main()
