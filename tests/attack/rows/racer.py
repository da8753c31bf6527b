# SPDX-License-Identifier: Apache-2.0
"""Directories are swapped for links to the outside, while the agent puts an update in place right there.

The agent's process is stopped at some moment of its work, a directory is swapped, and the process goes on: so a swap
comes between any two of its system calls. Whether it held the directory open at that moment tells who was first.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Final

from p2p_handoff.adapters.folder_journal import ARRIVING, LEAVING
from p2p_handoff.adapters.folder_place import PROGRESS
from p2p_handoff.ids import SessionId
from tests.agent.devices import fill
from tests.attack.attack import Attack, Seen, hold
from tests.attack.canary import Canary
from tests.attack.scene import Scene, scene

_FILES: Final = 200
_ENOUGH: Final = 10
"""Swaps of each order that the attack goes on for."""
_MAX_ROUNDS: Final = 12
_PAUSE: Final = 0.001
"""Seconds between two swaps, and until one is undone, at most."""
_STAGING: Final = 0.2
"""How often what arrives is swapped, too."""
_STOPPED: Final = frozenset("tT")


@dataclass(slots=True)
class Swaps:
    """What was swapped while an update was put in place.

    Attributes:
        before: Directories that the agent did not hold open: it comes to a link.
        after: Those that it held open: it goes on in what it opened, wherever that is now.
        staging: Directories of what arrives that were swapped, to lead its removal astray.
    """

    before: int = 0
    after: int = 0
    staging: int = 0

    def add(self, others: Swaps) -> None:
        """Count others, too."""
        self.before += others.before
        self.after += others.after
        self.staging += others.staging

    @property
    def enough(self) -> bool:
        """Whether both orders were seen often."""
        return min(self.before, self.after) >= _ENOUGH


class Racer:
    """Swaps while an update is put in place.

    Args:
        pid: The agent.
        folder: Where the update is put in place.
        outside: Where links lead.
        swaps: Counts.
    """

    def __init__(self, pid: int, folder: Path, outside: Path, swaps: Swaps) -> None:
        self._pid = pid
        self._folder = folder
        self._outside = outside
        self._swaps = swaps
        self._chance = random.Random(folder.name)
        self._number = 0

    def run(self, over: Event) -> None:
        """Race until told to end."""
        while not over.is_set():
            staging = self._placing()
            if staging is not None:
                self._swap(staging)
            time.sleep(self._chance.random() * _PAUSE)

    def _placing(self) -> Path | None:
        """The directory of an update that is being put in place."""
        for path in self._folder.parent.glob(f".{self._folder.name}.handoff-*"):
            if (path / os.fsdecode(PROGRESS)).exists():
                return path
        return None

    def _swap(self, staging: Path) -> None:
        real = self._folder / "sub"
        ours = staging / os.fsdecode(self._chance.choice([ARRIVING, LEAVING]))
        with self._stopped():
            if self._placing() is None:
                return
            held = self._is_held(real)
            moved = [(real, self._aside(real))]
            if moved[0][1] is not None:
                self._swaps.after += held
                self._swaps.before += not held
            if self._chance.random() < _STAGING:
                moved.append((ours, self._aside(ours)))
                self._swaps.staging += 1
        time.sleep(self._chance.random() * _PAUSE)
        with self._stopped():
            for place, aside in moved:
                self._back(place, aside)

    def _aside(self, real: Path) -> Path | None:
        """Put a link in a directory's place; returns where the directory is now."""
        if not real.is_dir() or real.is_symlink():
            return None
        self._number += 1
        aside = real.with_name(f"aside-{self._number}")
        real.rename(aside)
        real.symlink_to(self._outside)
        return aside

    def _back(self, real: Path, aside: Path | None) -> None:
        """As it was, unless the agent has put the link away."""
        if aside is not None and real.is_symlink() and aside.is_dir():
            real.unlink()
            aside.rename(real)

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        os.kill(self._pid, signal.SIGSTOP)
        try:
            status = Path(f"/proc/{self._pid}/stat")
            while status.read_text().rpartition(")")[2].split()[0] not in _STOPPED:
                time.sleep(0)
            yield
        finally:
            os.kill(self._pid, signal.SIGCONT)

    def _is_held(self, directory: Path) -> bool:
        for link in Path(f"/proc/{self._pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(link) == str(directory):
                    return True
        return False


def _race(pid: int, folder: Path, outside: Path, over: Event, out: Connection) -> None:
    """A process of its own, so that nothing holds it up."""
    swaps = Swaps()
    try:
        Racer(pid, folder, outside, swaps).run(over)
    finally:
        out.send(swaps)


@contextmanager
def _racing(pid: int, folder: Path, outside: Path, swaps: Swaps) -> Iterator[None]:
    fork = multiprocessing.get_context("fork")
    over = fork.Event()
    here, there = fork.Pipe(duplex=False)
    process = fork.Process(target=_race, args=(pid, folder, outside, over, there))
    process.start()
    try:
        yield
    finally:
        over.set()
        swaps.add(here.recv())
        process.join()


async def _round(stage: Scene, canary: Canary, number: int, swaps: Swaps) -> str:
    """One folder arrives, goes back, changes and arrives again while directories are swapped."""
    old = {f"sub/f{item}": b"alive %d" % item for item in range(_FILES)}
    folder = fill(stage.root / "intruder" / f"gift{number}", old)
    report = await stage.intruder.to("victim", folder)
    hold(report.outcome == "done", f"the first handoff: {report.text}")
    session = SessionId(report.session)
    arrived = Path((await stage.victim.session(report.title))["paths"][0])
    async with asyncio.timeout(20):
        while not (arrived / "sub").exists():
            await asyncio.sleep(0.02)
    back = await stage.intruder.take(session, peer="victim")
    hold(back.outcome == "done", f"it did not come back: {back.text}")
    fresh = {f"f{item}": b"evil %d of %d" % (item, number) for item in range(_FILES) if item % 10 != 3}
    for item in range(_FILES):
        if item % 10 == 3:
            (folder / "sub" / f"f{item}").unlink()
    for name, data in fresh.items():
        (folder / "sub" / name).write_bytes(data)
    (folder / "sub" / "secret").write_bytes(b"evil")
    with _racing(stage.victim.pid, arrived, canary.path / "d0", swaps):
        report = await stage.intruder.to("victim", session)
    canary.check()
    await _in_place(stage, report.title)
    canary.check()
    found = [path.read_bytes() for path in arrived.rglob("f*") if path.is_file() and not path.is_symlink()]
    lost = {name for name, data in fresh.items() if data not in found}
    hold(report.outcome != "done" or not lost, f"{len(lost)} files of an update that is done are nowhere")
    return report.outcome


async def _in_place(stage: Scene, title: str) -> None:
    """Wait until nothing waits to be put in place."""
    async with asyncio.timeout(20):
        while (await stage.victim.session(title))["not_in_place"]:
            await asyncio.sleep(0.05)


async def racer(root: Path) -> Seen:
    """Updates and removals are put in place while directories are swapped, before and after they are opened."""
    swaps, outcomes = Swaps(), list[str]()
    async with scene(root) as stage:
        canary = Canary(root)
        while not swaps.enough and len(outcomes) < _MAX_ROUNDS:
            outcomes.append(await _round(stage, canary, len(outcomes), swaps))
        hold(swaps.enough, f"the race did not happen in both orders: {swaps}")
        await stage.check_untouched()
        canary.check()
    told = ", ".join(sorted(f"{outcomes.count(outcome)} {outcome}" for outcome in set(outcomes)))
    return Seen(
        f"{len(outcomes)} updates of {_FILES} files ({told}): {swaps.before} swaps before a directory was opened, "
        f"{swaps.after} while it was open, {swaps.staging} of what arrives: nothing outside touched, nothing lost"
    )


ATTACKS: Final = (
    Attack(
        "files-racer",
        "linked device, and a process at its victim",
        "swaps directories for links to the outside, at any moment of an update that is put in place there",
        "nothing outside of the destination touched, nothing that arrived lost",
        racer,
    ),
)
