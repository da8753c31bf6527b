# SPDX-License-Identifier: Apache-2.0
"""Judges the homes of the devices that share a session: does what they durably hold keep every promise?

Independent of the product: it imports none of it (a test sees to that) and follows docs/specs/ownership.md and
docs/specs/store.md alone. By hand: ``python -m tests.chaos.checker HOME… [--work work.json] [--recovered]``.
Exit code 0 when every check holds, 1 with one line per violation.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from tests.chaos.evidence import read_home
from tests.chaos.judged import Case, Check, Violation, named
from tests.chaos.promises import AFTER_RECOVERY, ALWAYS
from tests.chaos.statements import BadStatementError, Chain, decode_chain


def check(
    paths: Sequence[Path],
    *,
    work: dict[str, Any] | None = None,
    earlier: dict[str, Any] | None = None,
    recovered: bool = False,
    restored: Collection[str] = (),
) -> list[Violation]:
    """Judge homes.

    Args:
        paths: The homes of all devices that have the session.
        work: What was written into it; without it I3 and I4 are not judged.
        earlier: An older ``remember``: what must not have fallen or gone since.
        recovered: Whether faults have stopped and the devices have met: then I7 is judged, too.
        restored: Devices whose home was put back from an older copy: these may have lost sessions.

    Raises:
        sqlite3.Error: A database cannot be read.
    """
    homes = tuple(read_home(path) for path in paths)
    chains: dict[tuple[str, str], Chain] = {}
    violations: list[Violation] = []
    for home in homes:
        for session in home.sessions:
            try:
                chains[home.device, session.id] = decode_chain(session.chain)
            except BadStatementError as error:
                violations.append(Violation("chain", f"{named(home)}, session {session.id[:6]}: {error}"))
    case = Case(homes, chains, earlier, work, frozenset(restored))
    for one in ALWAYS + (AFTER_RECOVERY if recovered else ()):
        violations.extend(_found(one, case))
    return violations


def remember(paths: Sequence[Path]) -> dict[str, Any]:
    """What must never fall or go: counters, epochs, decisions, answers."""
    memory: dict[str, Any] = {}
    for home in (read_home(path) for path in paths):
        memory[home.device] = {
            "counter": home.counter,
            "epochs": {session.id: session.epoch for session in home.sessions},
            "decisions": {decision.txn: decision.verdict for decision in home.decisions},
            "grants": [grant.txn for grant in home.grants],
        }
    return memory


def _found(one: Check, case: Case) -> list[Violation]:
    try:
        return list(one(case))
    except BadStatementError as error:
        return [Violation("chain", f"a stored statement cannot be read: {error}")]


def main(argv: Sequence[str] | None = None) -> int:
    """Judge homes by hand."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.checker", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("homes", nargs="+", type=Path, metavar="HOME")
    parser.add_argument("--work", type=Path, help="what was written into the session, as a chaos run keeps it")
    parser.add_argument("--recovered", action="store_true", help="faults have stopped, and the devices have met")
    parser.add_argument("--restored", nargs="+", default=[], metavar="DEVICE", help="put back from an older copy")
    options = parser.parse_args(argv)
    work = json.loads(options.work.read_text()) if options.work else None
    violations = check(options.homes, work=work, recovered=options.recovered, restored=options.restored)
    for violation in violations:
        sys.stdout.write(f"{violation}\n")
    sys.stdout.write(f"{len(options.homes)} homes, {len(violations)} violations\n")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
