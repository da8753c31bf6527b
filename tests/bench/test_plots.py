# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from bench.figures import Figure

pytest.importorskip("matplotlib", reason="the extra 'bench' draws the plots")
from bench.plots import draw

COLD = [Figure("tree, cold", "s", (1.0,), other, (2.0,)) for other in ("rsync over ssh", "magic-wormhole")]
CHANGED = [
    Figure("tree, changed", "s", (share,), "rsync over ssh", (1.0,), series="tree, changed", at=share)
    for share in (0.0, 0.01, 0.1)
]
GROWTH = [
    Figure("growth", "s", (size / 1e6,), series=f"{against}{kind}", at=float(size))
    for against in ("bytes", "files")
    for kind in ("", ", unchanged")
    for size in (10**3, 10**6)
]


def test_there_is_a_picture_for_each_question(tmp_path: Path) -> None:
    drawn = draw([*COLD, *CHANGED, *GROWTH], tmp_path / "figures")
    assert [path.name for path in drawn] == ["beside-others.png", "unchanged-and-changed.png", "growth.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    assert draw([Figure("dial", "ms", (30.0,))], tmp_path) == []
    assert [path.name for path in draw(CHANGED, tmp_path)] == ["unchanged-and-changed.png"]


def test_a_curve_without_its_reference_is_drawn_alone(tmp_path: Path) -> None:
    alone = [Figure("tree, changed", "s", (1.0,), series="tree, changed", at=share) for share in (0.0, 0.1)]
    assert draw(alone, tmp_path)
