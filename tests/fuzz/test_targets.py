# SPDX-License-Identifier: Apache-2.0
"""Every kept input holds its promise, and a promise that is broken is found."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.content import strict_cbor
from p2p_handoff.errors import LocalProtocolError
from tests.fuzz.corpus import DIRECTORY, inputs, kept
from tests.fuzz.engine import fuzz
from tests.fuzz.mutation import mutate
from tests.fuzz.target import BrokenPromiseError, Shape, Target, attempt
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
KEPT = [(name, path) for name, target in TARGETS.items() for path in kept(target)]


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_hold_their_promise_and_some_are_taken(name: str) -> None:
    target = TARGETS[name]
    assert sum(target.run(data) for data in target.seeds()) > 0


@pytest.mark.parametrize(("name", "path"), KEPT, ids=[f"{name}/{path.name}" for name, path in KEPT])
def test_a_kept_input_holds_its_promise(name: str, path: Path) -> None:
    TARGETS[name].run(path.read_bytes())


def test_every_kept_input_belongs_to_a_target() -> None:
    assert {path.name for path in DIRECTORY.iterdir()} <= set(TARGETS)


@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"writer", "switchboard", "frame", "machine", "tree"}))
def test_mutants_hold_their_promise(name: str) -> None:
    run = fuzz(TARGETS[name], 150, 5)
    assert run.findings == []
    assert run.executions == 150


@pytest.mark.parametrize("shape", Shape)
def test_the_same_seed_makes_the_same_mutants(shape: Shape) -> None:
    data = strict_cbor.encode({"type": "x", "list": [1, b"two", None]})

    def mutants(seed: int) -> list[bytes]:
        rng = random.Random(seed)
        return [mutate(rng, shape, data, [data, b"other"], 64) for _ in range(50)]

    assert mutants(1) == mutants(1) != mutants(2)
    assert all(len(mutant) <= 64 for mutant in mutants(1))
    assert len(set(mutants(1))) > 25


def planted(run: Callable[[bytes], bool]) -> Target:
    return Target("planted", "nothing", run, Shape.CBOR, lambda: [strict_cbor.encode({"size": 1, "data": b"x"})])


def test_a_planted_defect_is_found_and_ends_the_run() -> None:
    def run(data: bytes) -> bool:
        value: Any = attempt(strict_cbor.decode, data, limit=1000)
        if isinstance(value, dict) and isinstance(value.get("size"), int) and value["size"] > 1_000_000:
            bytes(value["size"] // (value["size"] - value["size"]))
        return value is not None

    found = fuzz(planted(run), 20_000, 1)
    [(data, error)] = found.findings
    assert "ZeroDivisionError" in error
    with pytest.raises(ZeroDivisionError):
        run(data)
    assert found.executions < 20_000
    assert found.taken > found.executions // 10


def test_input_that_counts_as_a_defect_of_ours_breaks_a_promise() -> None:
    def misused() -> None:
        raise LocalProtocolError("we did it")

    with pytest.raises(BrokenPromiseError, match="we did it"):
        attempt(misused)


def test_there_are_inputs_for_every_target() -> None:
    assert all(any(inputs(target)) for target in TARGETS.values())


def test_the_command_runs_targets_and_prints_a_row_for_each(tmp_path: Path) -> None:
    report = tmp_path / "rows"
    command = [sys.executable, "-m", "tests.fuzz", "cbor", "link-code", "--executions", "100", "--json", str(report)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("held") == 2
    assert len(report.read_text().splitlines()) == 2
