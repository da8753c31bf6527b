# SPDX-License-Identifier: Apache-2.0
"""``./scripts/fuzz``: runs the targets, prints a row for each, keeps what breaks a promise, and fails if any did."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from tests.fuzz.child import ROOM, noted
from tests.fuzz.corpus import inputs, keep
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

CI_EXECUTIONS: Final = 1_500
_STATISTICS: Final = re.compile(r"^stat::(\w+):\s+(\d+)$", re.MULTILINE)
_SLOW: Final = 1.0
"""Seconds of CPU that one input may take in a run of these."""
_MOST_KIB: Final = 64 * 1024
"""Growth of memory that a run may cause: what all inputs together leave behind."""
_HANG_SECONDS: Final = 10
_ENVIRONMENT: Final = {**os.environ, "RUST_BACKTRACE": "0"}


@dataclass(slots=True)
class Row:
    """What a run of one target came to."""

    target: str
    executions: int = 0
    taken: int | None = None
    """Inputs that were no mere refusals; None where the engine does not count them."""
    seconds: float = 0.0
    slowest: float | None = None
    grown_kib: int = 0
    slowest_input: str = ""
    finding: str = ""

    @property
    def text(self) -> str:
        """The row of the table."""
        taken = "" if self.taken is None else f"{100 * self.taken / max(self.executions, 1):.0f} %"
        slowest = "" if self.slowest is None else f"{1000 * self.slowest:.0f} ms"
        memory = f"{self.grown_kib / 1024:.0f} MiB"
        numbers = f"{self.executions:>10,} {self.seconds:>8.1f} {taken:>6} {slowest:>8} {memory:>8}"
        return f"{self.target:<12} {numbers}  {self.finding or 'held'}"


def main() -> int:
    """Run it; the exit status is 0 where everything held."""
    options = _options()
    if options.list:
        for target in TARGETS.values():
            print(f"{target.name:<12} {len(inputs(target)):>4} inputs  {target.promise}")
        return 0
    if options.replay:
        return _replay(options.targets, options.replay)
    chosen = [TARGETS[name] for name in options.targets or TARGETS]
    print(f"{'target':<12} {'executions':>10} {'seconds':>8} {'taken':>6} {'slowest':>8} {'memory':>8}")
    rows = []
    for row in _rows(chosen, options):
        rows.append(row)
        print(row.text, flush=True)
    if options.json:
        with options.json.open("a", encoding="utf-8") as written:
            for row in rows:
                written.write(json.dumps({field.name: getattr(row, field.name) for field in fields(row)}) + "\n")
    return 1 if any(row.finding for row in rows) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./scripts/fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET", help="all unless given")
    parser.add_argument("--ci", action="store_true", help=f"{CI_EXECUTIONS} executions each, always the same")
    parser.add_argument("--executions", type=int, default=20_000, help="inputs of each target (20,000)")
    parser.add_argument("--seed", type=int, default=1, help="chooses the mutants (1)")
    parser.add_argument("--guided", action="store_true", help="use atheris, guided by coverage, where it is installed")
    parser.add_argument("--corpus", type=Path, metavar="DIRECTORY", help="where --guided keeps what it discovers")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input of the TARGET that is named")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append a line of JSON for each row")
    parser.add_argument("--list", action="store_true", help="list the targets")
    options = parser.parse_args()
    if options.guided and importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed; it has no wheel for every platform. Run without --guided.")
    return options


def _replay(names: list[str], path: Path) -> int:
    for name in names:
        print("taken" if TARGETS[name].run(path.read_bytes()) else "refused")
    return 0


def _rows(chosen: list[Target], options: argparse.Namespace) -> Iterator[Row]:
    if options.ci:
        # What it says must not depend on the machine: neither time nor memory is judged.
        yield from _seeded(chosen, CI_EXECUTIONS, 0)
    elif options.guided:
        for target in chosen:
            yield _guided(target, options)
    else:
        for target in chosen:
            yield from map(_judged, _seeded([target], options.executions, options.seed))


# --- the project's own engine -----------------------------------------------------------------------


def _seeded(chosen: list[Target], executions: int, seed: int) -> Iterator[Row]:
    """Run targets in one process; after a death in another one for those that are left."""
    left = [target.name for target in chosen]
    with tempfile.TemporaryDirectory(prefix="handoff-fuzz-") as directory:
        note = Path(directory) / "input"
        while left:
            note.write_bytes(bytes(ROOM))
            command = [sys.executable, "-m", "tests.fuzz.child", str(note), str(executions), str(seed), *left]
            # A panic that is contained is told on the error channel nevertheless, thousands of times in a run.
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_ENVIRONMENT)
            assert child.stdout is not None
            with child:
                for line in child.stdout:
                    row = _row(json.loads(line))
                    left.remove(row.target)
                    yield row
            if left and child.returncode:
                yield _death(TARGETS[left.pop(0)], noted(note), child.returncode)


def _row(report: dict[str, Any]) -> Row:
    target = TARGETS[report["target"]]
    known = {field.name for field in fields(Row)}
    row = Row(**{name: value for name, value in report.items() if name in known})
    for data, error in report["findings"]:
        row.finding = f"{error} ({keep(target, bytes.fromhex(data)).name})"
    return row


def _judged(row: Row) -> Row:
    """A row, with a finding where an input took too long or the run left too much behind."""
    if not row.finding and row.slowest is not None and row.slowest > _SLOW:
        row.finding = f"slow: {keep(TARGETS[row.target], bytes.fromhex(row.slowest_input)).name}"
    if not row.finding and row.grown_kib > _MOST_KIB:
        row.finding = "memory grew beyond its bound"
    return row


def _death(target: Target, data: bytes, returncode: int) -> Row:
    return Row(target.name, finding=f"the process ended with {returncode} ({keep(target, data).name})")


# --- atheris ----------------------------------------------------------------------------------------


def _guided(target: Target, options: argparse.Namespace) -> Row:
    with tempfile.TemporaryDirectory(prefix="handoff-fuzz-") as directory:
        place = Path(directory)
        discovered = (options.corpus or place) / target.name
        seeds = place / "seeds"
        for path in (discovered, seeds):
            path.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs(target)):
            (seeds / str(number)).write_bytes(data)
        began = time.monotonic()
        result = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz.guided", target.name, str(discovered), str(seeds)),
                *(f"-runs={options.executions}", f"-seed={options.seed}", f"-max_len={target.max_bytes}"),
                *(
                    f"-artifact_prefix={place}/",
                    f"-timeout={_HANG_SECONDS}",
                    "-print_final_stats=1",
                    "-rss_limit_mb=1024",
                ),
            ],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=_ENVIRONMENT,
        )
        seen = {name: int(value) for name, value in _STATISTICS.findall(result.stderr)}
        row = Row(target.name, seen.get("number_of_executed_units", 0), seconds=time.monotonic() - began)
        row.grown_kib = 1024 * seen.get("peak_rss_mb", 0)
        if result.returncode:
            row.finding = _artifact(target, place, result.stderr)
        return row


def _artifact(target: Target, place: Path, output: str) -> str:
    errors = [line for line in output.splitlines() if "Error" in line or "ERROR" in line]
    found = [path for path in place.iterdir() if path.is_file()]
    names = ", ".join(keep(target, path.read_bytes()).name for path in found)
    return f"{(errors or output.splitlines() or ['?'])[0][:300]} ({names or 'no input'})"


if __name__ == "__main__":
    sys.exit(main())
