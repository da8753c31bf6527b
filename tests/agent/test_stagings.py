# SPDX-License-Identifier: Apache-2.0
"""What a handoff staged and never came back for goes after an hour; what was accepted or is the user's never."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from p2p_handoff.agent.stagings import KEEP_STAGED, Stagings
from p2p_handoff.ids import TxnId
from tests.agent.devices import Devices, Pair, event, fill, until
from tests.agent.test_session_handoff_7 import noise

TXN, OTHER = TxnId("a" * 26), TxnId("b" * 26)


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """A staging directory with something in it."""
    directory = tmp_path / f".project.handoff-{TXN}"
    fill(directory, {"contents/x": b"x"})
    return directory


def stagings(home: Path, *, age: float) -> Stagings:
    """Seen so many seconds after the notes were written."""
    directory = home / "stagings"

    def clock() -> float:
        written = [item.stat().st_mtime for item in directory.iterdir()] if directory.is_dir() else [0.0]
        return max(written, default=0.0) + age

    return Stagings(directory, clock)


def test_an_old_one_goes_with_its_note(tmp_path: Path, staged: Path) -> None:
    old = stagings(tmp_path, age=KEEP_STAGED + 1)
    old.note(TXN, [staged])
    assert old.collect(set(), set()) == [staged]
    assert not staged.exists()
    assert old.collect(set(), set()) == []


@pytest.mark.parametrize("age", [0.0, KEEP_STAGED - 1, -86_400.0], ids=["new", "not yet", "a clock set back"])
def test_a_young_one_stays(tmp_path: Path, staged: Path, age: float) -> None:
    young = stagings(tmp_path, age=age)
    young.note(TXN, [staged])
    assert young.collect(set(), set()) == []
    assert staged.exists()


def test_one_in_use_stays(tmp_path: Path, staged: Path) -> None:
    old = stagings(tmp_path, age=KEEP_STAGED + 1)
    old.note(TXN, [staged])
    assert old.collect({TXN}, set()) == []
    assert staged.exists()


def test_one_that_waits_to_be_put_in_place_stays_with_its_siblings(tmp_path: Path, staged: Path) -> None:
    sibling = fill(tmp_path / f".chat.handoff-{TXN}", {"x": b"x"})
    old = stagings(tmp_path, age=KEEP_STAGED + 1)
    old.note(TXN, [staged, sibling])
    assert old.collect(set(), {staged}) == []
    assert staged.exists()
    assert sibling.exists()


def test_nothing_goes_that_does_not_bear_the_handoff_s_name(tmp_path: Path, staged: Path) -> None:
    mine = fill(tmp_path / "project", {"main.py": b"mine"})
    link = tmp_path / f".link.handoff-{TXN}"
    link.symlink_to(mine)
    old = stagings(tmp_path, age=KEEP_STAGED + 1)
    old.note(TXN, [mine, link, tmp_path / f".other.handoff-{OTHER}", staged])
    assert old.collect(set(), set()) == [staged]
    assert (mine / "main.py").read_bytes() == b"mine"


def test_a_forgotten_one_is_not_looked_for(tmp_path: Path, staged: Path) -> None:
    old = stagings(tmp_path, age=KEEP_STAGED + 1)
    old.note(TXN, [staged])
    old.forget(TXN)
    old.forget(TXN)
    assert old.collect(set(), set()) == []
    assert staged.exists()


async def test_a_transfer_that_never_comes_back_leaves_nothing(
    two_agents: Pair, devices: Devices, tmp_path: Path
) -> None:
    laptop, desktop = two_agents
    folder = fill(tmp_path / "work", {"big.bin": noise(6)})
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await event(desktop, "progress")
    received, notes = desktop.settings.receive_dir, desktop.home.stagings
    await devices.stop("desktop")
    await devices.stop("laptop")
    await asyncio.gather(handing, return_exceptions=True)
    (left,) = received.iterdir()
    assert left.name.startswith(".work.handoff-")
    (note,) = notes.iterdir()
    os.utime(note, (1.0, 1.0))
    await devices.start("desktop")
    await until(lambda: not any(received.iterdir()) and not any(notes.iterdir()))


async def test_a_handoff_that_ends_leaves_no_note(two_agents: Pair, tmp_path: Path) -> None:
    laptop, desktop = two_agents
    folder = fill(tmp_path / "work", {"a": b"a"})
    assert (await laptop.to("desktop", folder)).outcome == "done"
    assert not any(desktop.home.stagings.iterdir())
