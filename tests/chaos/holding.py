# SPDX-License-Identifier: Apache-2.0
"""Is everything that was written still on the disks, and every file whole? Independent of the product, as the checker.

A device holds an edit when it is in the session's visible files, or in what it has accepted and not yet put in place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from blake3 import blake3

from tests.chaos.evidence import Home

HIDDEN: Final = ".handoff-"
"""In the names of staging directories and of a watcher's cookies."""
_CONFLICT: Final = ".conflict-"


@dataclass(frozen=True, slots=True)
class Shown:
    """What one device shows of the session."""

    files: Mapping[str, str]
    """Path within the folder → digest."""
    lines: tuple[bytes, ...]
    tail: bytes
    """What follows the last terminator of the conversation."""
    beside: tuple[bytes, ...]
    """Contents of conflict copies of the conversation."""


def judge(homes: Sequence[Home], work: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(promise, what is wrong): every file whole everywhere; primary and frozen source together hold every edit."""
    for home in homes:
        yield from (("whole", f"{home.device[:6]}: {text}") for text in _not_whole(shown_by(home), work))
    held: set[str] = {blake3(b"").hexdigest()} if work["states"] else set()
    text = b""
    for home in homes:
        shown = shown_by(home, _owned(home, ("primary", "frozen")))
        held.update(shown.files.values())
        text += b"\n".join((*shown.lines, *shown.beside))
        for digests, bytes_ in (_staged(home), _kept(home) if work["states"] else (set(), b"")):
            held.update(digests)
            text += bytes_
    yield from (("I4", f"{name} is on no disk of an owner") for name in _missing_files(held, work))
    yield from (
        ("I4", f"the line {line!r} is on no disk of an owner")
        for line in (*work["lines"], *work["fork_lines"])
        if _raw(line) not in text
    )
    yield from (("I4", lost) for lost in _lost_states(held, text, work))
    yield from (("I4", lost) for lost in _lost_late(homes, work))


def judge_primary(homes: Sequence[Home], work: Mapping[str, Any]) -> Iterator[str]:
    """What the primary's own visible files lack, once nothing is pending."""
    for home in homes:
        owned = _owned(home, ("primary",))
        if owned:
            shown, name = shown_by(home, owned), home.device[:6]
            wrong = _no_state(shown, work) if work["states"] else _not_the_work(shown, work)
            yield from (f"{name}: {text}" for text in wrong)


def _not_the_work(shown: Shown, work: Mapping[str, Any]) -> Iterator[str]:
    late = set(work["late"])
    for path, versions in work["files"].items():
        is_here = shown.files.get(path)
        if path in work["removed"]:
            if is_here is not None:
                yield f"{path} was removed, and is back"
        elif path not in late and is_here != versions[-1]:
            yield f"{path} is {'missing' if is_here is None else 'an older version'}"
    for path, digest in work["fork_files"].items():
        if digest not in shown.files.values():
            yield f"{path} as it was written in the fork is missing"
    wanted = [_raw(line) for line in work["lines"]]
    if [line for line in shown.lines if line in set(wanted)] != wanted:
        yield "the conversation lacks lines, doubles them, or has another order"
    yield from (
        f"the fork's line {line!r} is there {count} times"
        for line in work["fork_lines"]
        if (count := shown.lines.count(_raw(line))) != 1
    )


def _no_state(shown: Shown, work: Mapping[str, Any]) -> Iterator[str]:
    """An undo brings back all of a state or nothing: what is shown is one of the states, apart from what came late."""
    late, late_lines = set(work["late"]), {_raw(line) for line in work["late_lines"]}
    files = {path: digest for path, digest in shown.files.items() if path not in late and _CONFLICT not in path}
    lines = [line for line in shown.lines if line not in late_lines]
    states = [(state["files"], [_raw(line) for line in state["lines"]]) for state in work["states"]]
    if (files, lines) not in states:
        yield f"it shows none of the {len(states)} states that it may show, but {sorted(files)}"


def _lost_states(held: set[str], text: bytes, work: Mapping[str, Any]) -> Iterator[str]:
    """Whatever an undo replaces is kept: each state is on the disk, in its place, staged or on a shelf."""
    for number, state in enumerate(work["states"]):
        for path, digest in state["files"].items():
            if digest not in held:
                yield f"{path} of state {number} is on no disk of the owner"
        for line in state["lines"]:
            if _raw(line) not in text:
                yield f"the line {line!r} of state {number} is on no disk of the owner"


def _owned(home: Home, roles: Sequence[str]) -> frozenset[str]:
    """The sessions of which a home is primary, or frozen; a fork that is over is nobody's."""
    over = {fork.fork for fork in home.forks if fork.state != "open"}
    return frozenset(session.id for session in home.sessions if session.role in roles and session.id not in over)


def shown_by(home: Home, sessions: frozenset[str] | None = None) -> Shown:
    """Read what a device shows of these sessions, or of all."""
    files: dict[str, str] = {}
    text, beside = b"", []
    for part in home.parts:
        if part.path is None or not part.path.exists():
            continue
        if sessions is not None and part.session not in sessions:
            continue
        if part.kind == "folder":
            files.update(_tree(part.path))
        else:
            text = part.path.read_bytes()
            copies = part.path.parent.glob(f"{part.path.stem}*{_CONFLICT}*")
            beside += [copy.read_bytes() for copy in copies if copy.is_file() and HIDDEN not in copy.name]
    *lines, tail = text.split(b"\n")
    return Shown(files, tuple(lines), tail, tuple(beside))


def _tree(root: Path) -> dict[str, str]:
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if HIDDEN not in name and path.is_file() and not path.is_symlink():
            found[name] = blake3(path.read_bytes()).hexdigest()
    return found


def _staged(home: Home) -> tuple[set[str], bytes]:
    """Digests and bytes of all files that are accepted and wait for their place."""
    digests: set[str] = set()
    text = b""
    for pending in home.pending:
        found, bytes_ = _contents(pending.directory)
        digests |= found
        text += bytes_
    return digests, text


def _kept(home: Home) -> tuple[set[str], bytes]:
    """Digests and bytes of the earlier states of its sessions (docs/specs/store.md §8)."""
    return _contents(home.path / "generations")


def _contents(directory: Path) -> tuple[set[str], bytes]:
    digests, text = set(), b""
    for path in directory.rglob("*") if directory.is_dir() else ():
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            digests.add(blake3(data).hexdigest())
            text += data
    return digests, text


def _not_whole(shown: Shown, work: Mapping[str, Any]) -> Iterator[str]:
    every = {digest for versions in work["files"].values() for digest in versions} | set(work["fork_files"].values())
    for path, digest in shown.files.items():
        versions = {*work["files"].get(path, ()), work["fork_files"].get(path, "")}
        if digest not in (every if _CONFLICT in path else versions):
            yield f"{path} is no version that was ever written"
    known = {_raw(line) for line in (*work["lines"], *work["late_lines"], *work["fork_lines"])}
    for line in (*shown.lines, *((shown.tail,) if shown.tail else ())):
        if line not in known:
            yield f"the conversation has the line {line[:60]!r}, which nobody wrote"


def _missing_files(held: set[str], work: Mapping[str, Any]) -> Iterator[str]:
    for path, versions in work["files"].items():
        if path not in work["removed"] and path not in work["late"] and versions[-1] not in held:
            yield path
    yield from (f"{path} of the fork" for path, digest in work["fork_files"].items() if digest not in held)


def _lost_late(homes: Sequence[Home], work: Mapping[str, Any]) -> Iterator[str]:
    """Written during a handoff: on some device's disk, whoever owns the session."""
    everywhere = [shown_by(home) for home in homes]
    held = {digest for shown in everywhere for digest in shown.files.values()}
    text = b"\n".join(line for shown in everywhere for line in (*shown.lines, *shown.beside))
    staged = [_staged(home) for home in homes] + [_kept(home) for home in homes if work["states"]]
    held.update(digest for digests, _ in staged for digest in digests)
    text += b"".join(data for _, data in staged)
    for path in work["late"]:
        if work["files"][path][-1] not in held:
            yield f"{path}, written during a handoff, is on no disk"
    for line in work["late_lines"]:
        if _raw(line) not in text:
            yield f"the line {line!r}, written during a handoff, is on no disk"


def _raw(line: str) -> bytes:
    return line.encode()
