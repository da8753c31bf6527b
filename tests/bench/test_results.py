# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

from bench.figures import Figure
from bench.results import Results

OLD = Figure("tree, cold", "s", (3.0,), "rsync", (2.0,), "tree cold, rsync")
NEW = Figure("tree, cold", "s", (1.0,), "rsync", (2.0,), "tree cold, rsync")
OTHER = Figure("dial", "ms", (30.0,))


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    results = Results({"commit": "abc"})
    results.put("tree@wrtc", [OLD], load=0.5)
    results.write(tmp_path / "deep" / "results.json")
    again = Results.read(tmp_path / "deep" / "results.json")
    assert again.machine == {"commit": "abc"}
    assert again.rows["tree@wrtc"]["load"] == 0.5
    assert again.figures() == [OLD]


def test_a_row_that_is_measured_again_replaces_its_figures_alone() -> None:
    results = Results({})
    results.put("tree@wrtc", [OLD, OLD])
    results.put("latency@wrtc", [OTHER])
    results.put("tree@wrtc", [NEW])
    assert results.figures() == [NEW, OTHER]
