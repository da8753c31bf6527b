# SPDX-License-Identifier: Apache-2.0
"""Tests written by developers run on a simulation and show its trace when they fail."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff.testing.device import Device

_TESTS = """
import asyncio
import pytest

async def test_a_handoff(two_devices):
    laptop, desktop = two_devices
    laptop.write(laptop.things / "chat.jsonl", b"{}")
    session = await laptop.begin(laptop.things / "chat.jsonl")
    assert (await laptop.to(desktop, session.id)).outcome == "done"

class TestSeeds:
    @pytest.mark.parametrize("simulation_seed", [1, 2])
    async def test_three(self, three_devices, simulation_seed):
        assert three_devices[0].simulation.seed == simulation_seed
        await asyncio.sleep(3600)

def test_without_a_coroutine(simulation):
    assert simulation.seed == 0

async def test_that_fails(two_devices):
    await asyncio.sleep(1)
    assert False
"""
ROOT = Path(__file__).resolve().parents[2]
_OPTIONS = {
    "alone": ["-p", "no:asyncio", "-p", "no:pytest_asyncio"],
    "beside pytest-asyncio in strict mode": ["-p", "pytest_asyncio", "-o", "asyncio_mode=strict"],
    "beside pytest-asyncio in auto mode": ["-p", "pytest_asyncio", "-o", "asyncio_mode=auto"],
}


async def test_the_example_in_the_document_is_a_test_that_passes(two_devices: Sequence[Device]) -> None:
    [example, *_] = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs" / "testing.md").read_text(), re.MULTILINE | re.DOTALL
    )
    names: dict[str, Any] = {}
    exec(example, names)
    await names["test_the_target_crashes_when_it_is_granted_the_session"](two_devices)


@pytest.mark.slow
@pytest.mark.parametrize("options", _OPTIONS.values(), ids=_OPTIONS)
def test_the_fixtures_run_coroutine_functions(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "test_demo.py").write_text(_TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    plugin = ["-p", "p2p_handoff.testing.plugin", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command = [sys.executable, "-m", "pytest", *plugin, *options, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "4 passed" in done.stdout, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "simulation (seed 0)" in done.stdout
    assert "laptop     starts" in done.stdout
