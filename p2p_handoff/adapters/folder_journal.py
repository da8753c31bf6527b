# SPDX-License-Identifier: Apache-2.0
"""The journal of one arrival: all that a commit needs after a crash. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §8. Written last when a staging directory is sealed, by one rename: its
presence is the seal. Entries are written as directory objects of one entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.base import Purpose
from p2p_handoff.adapters.folder_plan import Operation, Step
from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import Digest
from p2p_handoff.content.objects import Entry, decode_directory, encode_directory
from p2p_handoff.errors import HandoffError, StorageError
from p2p_handoff.limits import GIB

JOURNAL: Final = b"journal"
NEW_BASE: Final = b"new-base"
OLD_BASE: Final = b"old-base"
"""The objects of the state that may be replaced, where that is not the part's last common one."""
TREE: Final = b"tree"
ARRIVING: Final = b"new"
LEAVING: Final = b"out"
"""Names in a sealed staging directory; operations are numbered in the last two."""
MAX_JOURNAL: Final = GIB
_LABEL: Final = "folder-journal/1"


@dataclass(frozen=True, slots=True)
class Journal:
    """What to put in place, and how."""

    fresh: bool
    """True: the whole tree is new, and one rename puts it in place."""
    destination: bytes
    """Absolute path of the part."""
    root: Digest
    device: str
    """Names this device's versions in conflict copies."""
    stamp: str
    """Local time of the seal, as conflict copies carry it."""
    purpose: Purpose = Purpose.UPDATE
    operations: tuple[Operation, ...] = ()
    inodes: tuple[int, ...] = ()
    """Of what was staged for each operation, 0 for nothing: tells what came out from what comes in."""


def write(staging: int, journal: Journal) -> None:
    """Seal a staging directory; it counts once the whole of it is on the disk, which the caller sees to.

    Args:
        staging: Its descriptor; everything else in it is written.
        journal: What to do.
    """
    rows = [_row(*pair) for pair in zip(journal.operations, journal.inodes, strict=True)]
    names = [journal.destination, journal.root, journal.device, journal.stamp]
    head = [_LABEL, journal.fresh, *names, int(journal.purpose)]
    beneath.write_atomically(staging, JOURNAL, strict_cbor.encode([*head, rows]), sync=False)


def read(staging: int) -> Journal:
    """The journal of a sealed staging directory.

    Raises:
        NotFoundError: It is not sealed.
        StorageError: The journal is damaged.
    """
    data = beneath.read_whole(staging, JOURNAL, MAX_JOURNAL)
    try:
        label, fresh, *names, purpose, rows = _list(strict_cbor.decode(data, limit=MAX_JOURNAL))
        destination, root, device, stamp = names
        operations = tuple(_operation(row) for row in rows)
    except (HandoffError, ValueError, TypeError) as error:
        raise StorageError("the journal of a staged folder is damaged") from error
    if label != _LABEL:
        raise StorageError(f"the journal of a staged folder has the unknown format {label!r}")
    inodes = tuple(row[4] for row in rows)
    return Journal(fresh, destination, Digest(root), device, stamp, Purpose(purpose), operations, inodes)


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _row(operation: Operation, inode: int) -> list[object]:
    return [
        int(operation.step),
        list(operation.path),
        _packed(operation.expected),
        _packed(operation.incoming),
        inode,
    ]


def _operation(row: Any) -> Operation:
    step, path, expected, incoming, _ = _list(row)
    return Operation(Step(step), tuple(path), _unpacked(expected), _unpacked(incoming))


def _packed(entry: Entry | None) -> bytes | None:
    return None if entry is None else encode_directory((entry,))


def _unpacked(data: bytes | None) -> Entry | None:
    return None if data is None else decode_directory(data)[0]
