# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

from bench.machine import cpu_model, facts


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
