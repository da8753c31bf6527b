# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.machine import HAS_PROC, cpu_model, disk_usage, facts, peak_memory


def test_the_processor_is_named_as_the_kernel_names_it() -> None:
    assert cpu_model("processor\t: 0\nmodel name\t: Fast One @ 3.0GHz\n") == "Fast One @ 3.0GHz"


def test_a_kernel_that_does_not_name_it_gives_nothing() -> None:
    assert cpu_model("processor\t: 0\nBogoMIPS\t: 108.00\n") == ""


def test_outside_a_repository_the_commit_is_unknown(tmp_path: Path) -> None:
    assert facts(tmp_path)["commit"] == "unknown"


def test_facts_name_the_packages_that_are_here() -> None:
    packages = facts(Path(__file__).parents[2])["packages"]
    assert packages["cryptography"]
    assert all(packages.values())


@pytest.mark.skipif(not HAS_PROC, reason="this system has no /proc")
def test_peak_memory_counts_children_too() -> None:
    alone = peak_memory(os.getpid())
    program = "print('here', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        of_child = peak_memory(child.pid)
        assert peak_memory(os.getpid()) >= alone + of_child // 2
        child.communicate(b"\n")


def test_a_file_with_two_names_takes_its_place_once(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(os.urandom(100_000))
    before = disk_usage(tmp_path)
    (tmp_path / "again").hardlink_to(tmp_path / "deep" / "file")
    assert disk_usage(tmp_path) == before >= 100_000
    assert disk_usage(tmp_path, tmp_path / "deep") == before
