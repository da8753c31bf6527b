# SPDX-License-Identifier: Apache-2.0
"""``./scripts/chaos``: kills real agents everywhere and looks at what is left (docs/reliability.md §4).

Exit code 0 when no promise was broken, 1 when one was, 2 when nothing could be run here. Ends every process that it
started, however it ends.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.chaos import plan, small_disk, summary
from tests.chaos.arena import Arena
from tests.chaos.bugs import BUGS
from tests.chaos.cases import Case, Stage
from tests.chaos.device import DeviceError
from tests.chaos.pair import fast_place
from tests.chaos.run import Result

CI_SECONDS: Final = 70.0
"""After so long the short form begins no further run."""
CI_LEAST: Final = len(plan.CI_OTHERS) + len(plan.CI_PROGRAMMES) + 4
"""Runs that the short form makes however slow the machine is."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a form, or single cases."""
    parser = _parser()
    options = parser.parse_args(argv)
    try:
        plan.part_of([], options.part or "1/1")
    except ValueError as error:
        parser.error(str(error))
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    base = Path(tempfile.mkdtemp(prefix="hc-", dir=fast_place()))
    kept = Path(tempfile.mkdtemp(prefix="handoff-chaos-kept-"))
    try:
        with Arena(base, kept, options.jobs) as arena:
            return _run(arena, options)
    except (OSError, DeviceError, RuntimeError) as error:
        _say(f"chaos cannot run here: {error}")
        return 2
    except KeyboardInterrupt:
        _say("Stopped; nothing is left running.")
        return 7
    finally:
        shutil.rmtree(base, ignore_errors=True)
        if not any(kept.iterdir()):
            kept.rmdir()


def _run(arena: Arena, options: argparse.Namespace) -> int:
    started = time.monotonic()
    arena.prepare([Stage.UPDATE])
    if options.form == "bugs":
        return _hunt(arena)
    if options.only:
        todo = [Case.parse(name) for name in options.only] * options.times
    else:
        measured = arena.measure(plan.places(options.form))
        _tell_points(measured)
        todo = plan.cases(options.form, measured, options.seed)
    if options.part:
        todo = plan.part_of(todo, options.part)
    if options.minutes:
        todo = plan.mixed(todo)
    _say(f"{len(todo)} cases at most; prepared in {time.monotonic() - started:.0f} s")
    if small_disk.missing():
        _say(f"without the small file system: {small_disk.missing()}")
    short = options.form == "ci" and not options.only
    results: list[Result] = []
    whole = CI_SECONDS if short else options.minutes * 60 or float("inf")
    progress = summary.Progress(len(todo), started, whole)
    try:
        for result in arena.run(todo, seconds=whole - (time.monotonic() - started), least=CI_LEAST if short else 0):
            results.append(result)
            _tell(result, verbose=bool(options.only))
            if line := progress.line(results, time.monotonic()):
                _say(line)
    finally:
        _tell_end(results, time.monotonic() - started)
    return 1 if any(result.violations for result in results) else 0


def _hunt(arena: Arena) -> int:
    """Every planted bug must be found."""
    hidden = 0
    for bug, tried, found in arena.hunt(BUGS, arena.measure(plan.places("bugs"))):
        hidden += found is None
        shown = f"{found.case} at {found.happened_at}: {found.violations[0]}" if found else "NOT FOUND"
        _say(f"{bug.name}, {tried} runs: {shown}")
    _say(f"{len(BUGS) - hidden} of {len(BUGS)} planted bugs found")
    return 1 if hidden else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./scripts/chaos", description="Kill real agents at every change of the disk."
    )
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--ci", dest="form", action="store_const", const="ci", help="a bounded, evenly spread share")
    forms.add_argument("--long", dest="form", action="store_const", const="long", help="more of every fault")
    forms.add_argument("--bugs", dest="form", action="store_const", const="bugs", help="find the planted bugs")
    forms.add_argument("--only", nargs="+", metavar="CASE", help="these cases, such as kill/push/update/target/137")
    parser.set_defaults(form="default")
    parser.add_argument("--times", type=int, default=1, help="how often --only runs each")
    parser.add_argument("--seed", type=int, default=1, help="which points a share takes")
    parser.add_argument("--minutes", type=float, default=0, help="begin no run after so long; the cases are mixed then")
    parser.add_argument("--part", metavar="I/N", help="the Ith of N parts of the cases")
    parser.add_argument("--jobs", type=int, default=3, help="runs at a time")
    return parser


def _tell_points(measured: plan.Measured) -> None:
    for (way, stage, side), calls in measured.items():
        durable = len([call for call in calls if call.where != "udp"])
        sent = len(calls) - durable
        _say(f"{way.value} {stage.value} {side.value}: {durable} changes of the disk, {sent} datagrams")


def _tell(result: Result, *, verbose: bool) -> None:
    if result.violations:
        for line in summary.failure(result):
            _say(line)
    elif verbose:
        _say(f"{result.case}: {result.happened_at or 'over before'}: {result.outcome}, {result.seconds:.1f} s")


def _tell_end(results: Sequence[Result], seconds: float) -> None:
    for line in summary.table(results):
        _say(line)
    _say(f"disturbed handoffs ended with: {summary.outcomes(results)}")
    _say(summary.line(results, seconds))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
