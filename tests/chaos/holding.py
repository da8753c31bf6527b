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
    held: set[str] = set()
    text = b""
    for home in homes:
        if any(session.role in ("primary", "frozen") for session in home.sessions):
            shown = shown_by(home)
            held.update(shown.files.values())
            text += b"\n".join((*shown.lines, *shown.beside))
            digests, bytes_ = _staged(home)
            held.update(digests)
            text += bytes_
    yield from (("I4", f"{name} is on no disk of an owner") for name in _missing_files(held, work))
    yield from (
        ("I4", f"the line {line!r} is on no disk of an owner") for line in work["lines"] if _raw(line) not in text
    )
    yield from (("I4", lost) for lost in _lost_late(homes, work))


def judge_primary(homes: Sequence[Home], work: Mapping[str, Any]) -> Iterator[str]:
    """What the primary's own visible files lack, once nothing is pending."""
    for home in homes:
        if not any(session.role == "primary" for session in home.sessions):
            continue
        shown, name = shown_by(home), home.device[:6]
        late = set(work["late"])
        for path, versions in work["files"].items():
            is_here = shown.files.get(path)
            if path in work["removed"]:
                if is_here is not None:
                    yield f"{name}: {path} was removed, and is back"
            elif path not in late and is_here != versions[-1]:
                yield f"{name}: {path} is {'missing' if is_here is None else 'an older version'}"
        wanted = [_raw(line) for line in work["lines"]]
        if [line for line in shown.lines if line in set(wanted)] != wanted:
            yield f"{name}: the conversation lacks lines, doubles them, or has another order"


def shown_by(home: Home) -> Shown:
    """Read what a device shows."""
    files: dict[str, str] = {}
    text, beside = b"", []
    for part in home.parts:
        if part.path is None or not part.path.exists():
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
    digests, text = set(), b""
    for pending in home.pending:
        if pending.directory.is_dir():
            for path in pending.directory.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    data = path.read_bytes()
                    digests.add(blake3(data).hexdigest())
                    text += data
    return digests, text


def _not_whole(shown: Shown, work: Mapping[str, Any]) -> Iterator[str]:
    every = {digest for versions in work["files"].values() for digest in versions}
    for path, digest in shown.files.items():
        if digest not in (every if _CONFLICT in path else work["files"].get(path, ())):
            yield f"{path} is no version that was ever written"
    known = {_raw(line) for line in (*work["lines"], *work["late_lines"])}
    for line in (*shown.lines, *((shown.tail,) if shown.tail else ())):
        if line not in known:
            yield f"the conversation has the line {line[:60]!r}, which nobody wrote"


def _missing_files(held: set[str], work: Mapping[str, Any]) -> Iterator[str]:
    for path, versions in work["files"].items():
        if path not in work["removed"] and path not in work["late"] and versions[-1] not in held:
            yield path


def _lost_late(homes: Sequence[Home], work: Mapping[str, Any]) -> Iterator[str]:
    """Written during a handoff: on some device's disk, whoever owns the session."""
    everywhere = [shown_by(home) for home in homes]
    held = {digest for shown in everywhere for digest in shown.files.values()}
    text = b"\n".join(line for shown in everywhere for line in (*shown.lines, *shown.beside))
    staged = [_staged(home) for home in homes]
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
