# SPDX-License-Identifier: Apache-2.0
"""A target without room says so before anything is frozen: real small disks, nothing pretended."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.space import READY_MARGIN
from p2p_handoff.limits import MIB, SPACE_MARGIN
from p2p_handoff.session.ownership import Role
from tests.agent.devices import Devices, Pair, fill, introduce, tree, until
from tests.agent.test_session_handoff_7 import noise

Mount = Callable[[Path, int], Path]


@pytest.fixture
def small_disk() -> Iterator[Mount]:
    """Mounts a disk of so many bytes at a directory."""
    mounted: list[Path] = []

    def mount(at: Path, size: int) -> Path:
        at.mkdir(parents=True, mode=0o700)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(at)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("mounting a small disk needs root")
        mounted.append(at)
        return at

    yield mount
    for at in mounted:
        subprocess.run(["umount", "-l", str(at)], check=True)


def names(folder: Path) -> list[str]:
    return [item.name for item in folder.iterdir()]


async def pair(devices: Devices) -> Pair:
    both = Pair(await devices.start("laptop"), await devices.start("desktop"))
    introduce(*both)
    return both


def frozen_ever(agent: Agent) -> list[str]:
    """Filled with every freeze from now on."""
    seen: list[str] = []
    agent.on("frozen", lambda fields: seen.append(fields["session"]))
    return seen


async def test_a_first_arrival_without_room_is_refused_at_once_with_how_much_is_missing(
    devices: Devices, tmp_path: Path, small_disk: Mount
) -> None:
    received = small_disk(tmp_path / "desktop" / "received", SPACE_MARGIN + 2 * MIB)
    laptop, desktop = await pair(devices)
    frozen = frozen_ever(laptop)
    folder = fill(devices.path("laptop", "project"), {"big.bin": noise(5)})
    report = await laptop.to("desktop", folder)
    assert (report.outcome, report.reason, report.exit_code) == ("rejected", "no-space", 3)
    assert "more bytes must be free on the disk of" in report.text
    assert (report.rounds, frozen, names(received)) == (0, [], [])
    assert laptop.sessions()[0].ownership.role is Role.PRIMARY
    (folder / "big.bin").write_bytes(noise(1))
    assert (await laptop.to("desktop")).outcome == "done"
    assert tree(desktop.settings.receive_dir / "project") == tree(folder)


async def test_a_data_directory_without_room_is_reason_enough(
    devices: Devices, tmp_path: Path, small_disk: Mount
) -> None:
    small_disk(tmp_path / "desktop" / "home", SPACE_MARGIN)
    laptop, _ = await pair(devices)
    report = await laptop.to("desktop", fill(devices.path("laptop", "project"), {"a": b"a"}))
    assert (report.reason, report.exit_code) == ("no-space", 3)
    assert str(tmp_path / "desktop" / "home") in report.text


async def test_a_disk_that_fills_up_while_it_is_copied_ends_the_handoff_before_the_freeze(
    devices: Devices, tmp_path: Path, small_disk: Mount
) -> None:
    received = small_disk(tmp_path / "desktop" / "received", SPACE_MARGIN + 6 * MIB)
    laptop, desktop = await pair(devices)
    frozen = frozen_ever(laptop)

    def fill_up(_fields: object) -> None:
        filler = received / "filler"
        if not filler.exists():
            status = os.statvfs(received)
            filler.write_bytes(bytes(status.f_bavail * status.f_frsize - READY_MARGIN))

    leave_it = desktop.on("progress", fill_up)
    folder = fill(devices.path("laptop", "project"), {"big.bin": noise(3)})
    report = await laptop.to("desktop", folder)
    assert (report.outcome, report.reason) == ("failed", "no-space")
    assert frozen == []
    assert laptop.sessions()[0].ownership.role is Role.PRIMARY
    await until(lambda: names(received) == ["filler"])  # what was staged is removed
    leave_it()
    (received / "filler").unlink()
    assert (await laptop.to("desktop")).outcome == "done"
