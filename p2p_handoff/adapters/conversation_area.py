# SPDX-License-Identifier: Apache-2.0
"""The staging directory of a conversation: what arrived, what it became, and the journal of putting it in place.

Layer: I/O ring, adapters. Specification: docs/specs/conversation.md §7. A hidden sibling of the destination, held
by descriptor; a plan appears in it with ``seal`` and a journal with ``commit``, each by one synced rename.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.base import Purpose
from p2p_handoff.adapters.conversation_log import Log
from p2p_handoff.adapters.conversation_store import ConversationStore, Shelf, log_row, read_log
from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import Digest
from p2p_handoff.content.objects import Content
from p2p_handoff.errors import IntegrityError, NotFoundError, RemoteProtocolError
from p2p_handoff.limits import MAX_CRDT_UPDATE, MAX_NAME_BYTES, MAX_OBJECT
from p2p_handoff.session.paths import safe_component

_PLAN_LABEL: Final = "conversation-plan/1"
_JOURNAL_LABEL: Final = "conversation-journal/1"
_PLAN: Final = b"plan"
_DONE: Final = b"done"
"""What the plan is called once it was carried out."""
_JOURNAL: Final = b"journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Where a staging directory goes, and what it does there."""

    destination: Path
    """Absolute path that the file has or will have."""
    author: str
    """Written into the names of conflict copies: this device, or for a merge the fork's."""
    fresh: bool
    """True for a first arrival: nothing may stand at the destination."""
    purpose: Purpose = Purpose.UPDATE
    replaces: Digest | None = None
    """BACK: digest of the only text that may be replaced."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sealed staging directory shall become."""

    aim: Aim
    log: Log
    generation: bytes
    """Of the device's record when this was sealed; empty where there was none."""


@dataclass(frozen=True, slots=True)
class Round:
    """One exchange of the destination's file with a staged one."""

    number: int
    inode: int
    """Of the staged file: while it still has this inode, the exchange has not happened."""
    generation: bytes
    """Of the device's record before the update: another one means that the update is recorded already."""
    base: Log | None
    """What the destination's file is expected to render, and what a surprise there is an edit of."""
    next: Log
    """What the staged file renders."""
    merging: bool
    """False where the documents differ: a surprise is then kept as a conflict copy."""

    @property
    def staged(self) -> bytes:
        """Name of the staged file in the staging directory."""
        return b"text-%d" % self.number


class StagingArea:
    """The directory itself.

    Args:
        directory: Its absolute path; its parent exists and it is created when it is not there yet.
        store: The part's log on this device: updates found there are not fetched again.
    """

    def __init__(self, directory: Path, store: ConversationStore) -> None:
        self.path = directory
        self.store = store
        with beneath.typed_errors(f"open {directory}"):
            self.parent = beneath.open_root(directory.parent.resolve())
            weakref.finalize(self, os.close, self.parent)
            self.descriptor = beneath.make_private_directory(self.parent, self.name)
            weakref.finalize(self, os.close, self.descriptor)
            self.objects = Shelf(self.descriptor, b"objects", durable=False)
            self.updates = Shelf(self.descriptor, b"updates", durable=True)

    @property
    def name(self) -> bytes:
        """The directory's own name."""
        return os.fsencode(self.path.name)

    def has_update(self, content: Content) -> bool:
        """True when an update is here. One that the device's log has is taken over: the log may merge it away."""
        if not self.updates.has(content.ref) and self.store.updates.has(content.ref):
            self.updates.adopt(content.ref, self.store.updates)
        return self.updates.has(content.ref)

    def read_update(self, content: Content) -> bytes:
        """An update from here or from the device's log.

        Raises:
            NotFoundError: It is in neither.
        """
        shelf = self.updates if self.updates.has(content.ref) else self.store.updates
        return shelf.read(content.ref, MAX_CRDT_UPDATE)

    def write_text(self, name: bytes, data: bytes, mtime_ns: int | None, mode: int) -> int:
        """Stage a file, synced, with its time and mode; what a crash left under the name goes.

        Returns:
            Its inode.

        Raises:
            StorageError: The disk is full or failing.
        """
        with beneath.typed_errors("write the conversation", needed=len(data)):
            beneath.remove_tree(self.descriptor, name)
            created = beneath.create_file(self.descriptor, name)
            try:
                beneath.write_all(created, data, 0)
                os.fchmod(created, mode)
                if mtime_ns is not None:
                    os.utime(created, ns=(mtime_ns, mtime_ns))
                os.fsync(created)
                return os.fstat(created).st_ino
            finally:
                os.close(created)

    def inode(self, name: bytes) -> int | None:
        """The inode under a name here; None where there is nothing."""
        found = beneath.status(self.descriptor, (name,))
        return found.st_ino if found else None

    def write_plan(self, plan: Plan) -> None:
        """Make the staging directory sealed; everything in it is on disk first."""
        aim = plan.aim
        goal = [os.fsencode(aim.destination), aim.author, aim.fresh, int(aim.purpose), aim.replaces]
        row = [_PLAN_LABEL, goal, log_row(plan.log), plan.generation]
        with beneath.typed_errors("seal the conversation"):
            beneath.write_atomically(self.descriptor, _PLAN, strict_cbor.encode(row))
            os.fsync(self.parent)

    def unseal(self) -> None:
        """Forget the plan: a newer root is on its way."""
        with beneath.typed_errors(f"write to {self.path}"):
            beneath.remove_tree(self.descriptor, _PLAN)

    def plan(self) -> Plan | None:
        """The plan, once sealed.

        Raises:
            IntegrityError: It is damaged.
        """
        match self._stored(_PLAN):
            case None:
                return None
            case [str(label), list(goal), list(log), bytes(generation)] if label == _PLAN_LABEL:
                return Plan(_read_aim(goal), read_log(log), generation)
            case _:
                raise IntegrityError(f"the plan in {self.path} is damaged")

    def write_journal(self, step: Round) -> None:
        """Record a round before its exchange; the staged file and its updates are on disk first."""
        base = log_row(step.base) if step.base else None
        row = [_JOURNAL_LABEL, step.number, step.inode, step.generation, base, log_row(step.next), step.merging]
        with beneath.typed_errors("record the update of the conversation"):
            beneath.write_atomically(self.descriptor, _JOURNAL, strict_cbor.encode(row))

    def journal(self) -> Round | None:
        """The last round that was recorded.

        Raises:
            IntegrityError: It is damaged.
        """
        match self._stored(_JOURNAL):
            case None:
                return None
            case [str(label), int(number), int(inode), bytes(generation), base, list(then), bool(merging)] if (
                label == _JOURNAL_LABEL
            ):
                before = read_log(base) if base is not None else None
                return Round(number, inode, generation, before, read_log(then), merging)
            case _:
                raise IntegrityError(f"the journal in {self.path} is damaged")

    def _stored(self, name: bytes) -> object:
        try:
            return strict_cbor.decode(beneath.read_whole(self.descriptor, name, MAX_OBJECT), limit=MAX_OBJECT)
        except NotFoundError:
            return None
        except RemoteProtocolError as failure:
            raise IntegrityError(f"{os.fsdecode(name)!r} in {self.path} is damaged") from failure

    def remove(self) -> None:
        """Remove the directory and all that is in it; what a crash leaves of it says that its plan was carried out."""
        with beneath.typed_errors(f"remove {self.path}"):
            with contextlib.suppress(FileNotFoundError):  # Abandoned before it was sealed.
                os.rename(_PLAN, _DONE, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
            for name in map(os.fsencode, os.listdir(self.descriptor)):  # noqa: PTH208 - a held descriptor, not a path
                if name != _DONE:
                    beneath.remove_tree(self.descriptor, name)
            beneath.remove_tree(self.parent, self.name)


def finish_removal(directory: Path) -> bool:
    """Remove what a crash left of a staging directory that was being removed.

    Returns:
        False when its plan was not carried out; nothing was done then.
    """
    is_empty = not any(not path.is_dir() or path.is_symlink() for path in directory.rglob("*"))
    if not is_empty and not (directory / os.fsdecode(_DONE)).exists():
        return False
    with beneath.typed_errors(f"remove {directory}"):
        # The word that the plan was carried out goes last: this may be cut short, too.
        for path in directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != os.fsdecode(_DONE):
                path.unlink()
        shutil.rmtree(directory)
    return True


def _read_aim(row: list[object]) -> Aim:
    match row:
        case [bytes(destination), str(author), bool(fresh), int(purpose), None | bytes() as replaces]:
            return Aim(
                destination=Path(os.fsdecode(destination)),
                author=author,
                fresh=fresh,
                purpose=Purpose(purpose),
                replaces=None if replaces is None else Digest(replaces),
            )
        case _:
            raise IntegrityError("the plan of a staged conversation is damaged")


def staging_path(destination: Path, name: str) -> Path:
    """Where the staging directory of a destination is: a hidden sibling.

    Raises:
        PathError: The staging name is no file name.
    """
    tail = b".handoff-" + os.fsencode(safe_component(os.fsencode(name)))
    head = b"." + os.fsencode(destination.name)
    return destination.parent / os.fsdecode(head[: MAX_NAME_BYTES - len(tail)] + tail)
