# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.data import writer

ROOT = Path(__file__).resolve().parents[3]


def test_what_a_writer_says_it_wrote_is_there(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "bench.data.writer", str(tmp_path), "30", "1000"]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        while len(writer.numbers_in(tmp_path)) < 25:
            assert running.poll() is None
        said, _ = running.communicate()
    assert writer.numbers_in(tmp_path) == set(range(30, int(said)))


def test_copies_beside_a_file_are_looked_at_too(tmp_path: Path) -> None:
    (tmp_path / f"{writer.PREFIX}1.txt").write_text("1\n21\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / f"{writer.PREFIX}1 (conflict).txt").write_text("1\n41\n")
    (tmp_path / "something else.txt").write_text("no number")
    assert writer.numbers_in(tmp_path) == {1, 21, 41}
