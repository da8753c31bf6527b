# SPDX-License-Identifier: Apache-2.0
"""``./scripts/attack``: plays every attack against real agents, prints a row for each, fails if one does not hold."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import json
import logging
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from p2p_handoff.limits import MIB
from tests.attack.attack import Attack, BrokenError, Seen
from tests.attack.table import ATTACKS

_PARENT_DEATH_SIGNAL: Final = 1
_GRACE: Final = 20.0
"""Seconds that an attack which is over its time gets to say so."""
_FORK: Final = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Row:
    """An attack as it was played."""

    attack: Attack
    holds: bool
    seen: Seen
    seconds: float

    @property
    def load(self) -> str:
        """Memory and event loop, where they were measured."""
        growth = "" if self.seen.growth is None else f"{self.seen.growth / MIB:.0f} MiB"
        stall = "" if self.seen.stall is None else f"{1000 * self.seen.stall:.0f} ms"
        return f"{growth:>7} {stall:>6}"

    @property
    def text(self) -> str:
        """The row of the table."""
        verdict = "hold" if self.holds else "BROKEN"
        attack = f"{self.attack.name:<22} {self.attack.attacker}: {self.attack.deed}"
        return (
            f"{verdict:<6} {attack}\n{'':<29} expected  {self.attack.expected}\n"
            f"{'':<29} observed  {self.seen.text}\n{'':<29} {self.seconds:.1f} s  {self.load}".rstrip()
        )

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "name": self.attack.name,
            "attacker": self.attack.attacker,
            "attack": self.attack.deed,
            "expected": self.attack.expected,
            "observed": self.seen.text,
            "holds": self.holds,
            "growth_bytes": self.seen.growth,
            "stall_seconds": self.seen.stall,
            "seconds": round(self.seconds, 2),
        }


def main() -> int:
    """Play the table; the exit status is 0 where everything holds."""
    options = _options()
    chosen = [attack for attack in ATTACKS if not options.only or any(word in attack.name for word in options.only)]
    if options.list:
        for attack in chosen:
            print(f"{attack.name:<22} {attack.attacker}: {attack.deed}")
        return 0
    began = time.monotonic()
    rows = []
    for row in _rows(chosen, options.jobs):
        rows.append(row)
        print(json.dumps(row.as_json()) if options.json else row.text, flush=True)
    held = sum(row.holds for row in rows)
    if not options.json:
        print(f"\n{len(rows)} attacks, {held} hold, {time.monotonic() - began:.0f} s with {options.jobs} at a time")
    return 0 if rows and held == len(rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./scripts/attack", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="those whose name has this in it")
    parser.add_argument("--list", action="store_true", help="list the attacks")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each")
    parser.add_argument("--jobs", type=int, default=2, help="attacks at a time (2)")
    return parser.parse_args()


@dataclass(slots=True)
class _Running:
    """An attack under way, in a process of its own."""

    attack: Attack
    process: BaseProcess
    results: Connection
    root: Path
    began: float

    @property
    def left(self) -> float:
        """Seconds until it is ended."""
        return self.began + self.attack.seconds + _GRACE - time.monotonic()

    def ended(self) -> Row:
        """What it came to; ends everything that it has started."""
        holds, seen = False, Seen("it took too long, and was ended")
        if self.results.poll():
            seen = Seen("its process died")
            with contextlib.suppress(EOFError):
                holds, seen = self.results.recv()
        assert self.process.pid is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.join()
        self.results.close()
        row = Row(self.attack, holds, seen, time.monotonic() - self.began)
        shutil.rmtree(self.root, ignore_errors=True)
        return row


def _rows(chosen: Sequence[Attack], jobs: int) -> Iterator[Row]:
    """Play attacks, some at a time. They are forked here, where no threads are, so that each costs no import."""
    waiting, running = deque(chosen), list[_Running]()
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(_begin(waiting.popleft()))
        wait([item.results for item in running], max(0.0, min(item.left for item in running)))
        for item in list(running):
            if item.results.poll() or item.left <= 0:
                running.remove(item)
                yield item.ended()


def _begin(attack: Attack) -> _Running:
    here, there = _FORK.Pipe(duplex=False)
    root = Path(tempfile.mkdtemp(prefix="handoff-attack-"))
    process = _FORK.Process(target=_child, args=(attack, root, there, os.getpid()))
    process.start()
    there.close()
    return _Running(attack, process, here, root, time.monotonic())


def _child(attack: Attack, root: Path, out: Connection, parent: int) -> None:
    os.setsid()
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    logging.disable(logging.CRITICAL)
    out.send(asyncio.run(_played(attack, root)))


async def _played(attack: Attack, root: Path) -> tuple[bool, Seen]:
    try:
        async with asyncio.timeout(attack.seconds):
            return True, await attack.play(root)
    except BrokenError as broken:
        return False, Seen(str(broken))
    except TimeoutError:
        return False, Seen(f"not over after {attack.seconds:.0f} s")
    except Exception as error:  # noqa: BLE001 - whatever it is, the defence was not shown to hold
        return False, Seen(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main())
