# SPDX-License-Identifier: Apache-2.0
"""Receives a folder beside its destination and puts it in place. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §7-8. Three rounds of wants follow each other: directory objects, then small
contents and index objects, then the chunks of long contents. ``seal`` assembles everything out of sight and
writes the journal; ``commit`` renames.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import override

from p2p_handoff.adapters import beneath, folder_journal, tree_pack
from p2p_handoff.adapters.base import Placement, Purpose, Reused, Staging, Want
from p2p_handoff.adapters.file_system_traits import probe
from p2p_handoff.adapters.folder_assemble import Assembler
from p2p_handoff.adapters.folder_commit import SealedFolder, remove_staging
from p2p_handoff.adapters.folder_journal import ARRIVING, JOURNAL, NEW_BASE, OLD_BASE, Journal
from p2p_handoff.adapters.folder_place import CONFLICTS, PROGRESS
from p2p_handoff.adapters.folder_plan import Operation, Step, Trees, plan, plan_merge
from p2p_handoff.adapters.folder_snapshot import FolderSnapshot
from p2p_handoff.adapters.ignore import IGNORE_FILE, MAX_IGNORE_FILE, IgnoreRules, staging_name
from p2p_handoff.adapters.incoming_tree import IncomingTree
from p2p_handoff.adapters.object_log import ObjectLog
from p2p_handoff.adapters.platform_files import sync_filesystem
from p2p_handoff.adapters.resemblance import Versions, resembling
from p2p_handoff.adapters.scanned import NOTHING, lies_in
from p2p_handoff.adapters.staged_contents import CONTENTS, StagedContents, staged_name
from p2p_handoff.adapters.staged_tree import StagedTree, reclaim
from p2p_handoff.adapters.tree_pack import TreePack
from p2p_handoff.content.digests import Digest, verify
from p2p_handoff.content.objects import Content, Entry, EntryKind, chunks_of
from p2p_handoff.content.trees import walk
from p2p_handoff.errors import (
    ContentGoneError,
    LocalProtocolError,
    NoSpaceError,
    NotFoundError,
)
from p2p_handoff.limits import SPACE_MARGIN


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where a folder goes, and who asks."""

    destination: Path
    """Absolute; links in it are resolved."""
    state: beneath.HeldDirectory
    """The part's state directory."""
    device: str
    """Names this device's versions in conflict copies."""
    local: Callable[[], FolderSnapshot] | None
    """Takes a picture of the folder that lives there; None for a first arrival."""
    purpose: Purpose = Purpose.UPDATE
    replaces: TreePack | None = None
    """BACK: the kept state that may be replaced."""
    parent: Want | None = None
    """MERGE: the root at which the fork left, to be asked for like the fork's own."""


class FolderStaging(Staging):
    """A folder on its way in; see ``Staging`` for the order of calls.

    Args:
        arrival: What arrives where.
        name: Names the staging directory.

    Raises:
        StorageError: The directory cannot be made.
    """

    def __init__(self, arrival: Arrival, name: str) -> None:
        hidden = staging_name(os.fsencode(arrival.destination.name), name)
        self.directory = arrival.destination.parent / os.fsdecode(hidden)
        self._arrival = arrival
        with beneath.typed_errors(f"stage beside {str(arrival.destination)!r}"):
            self._parent = beneath.HeldDirectory(beneath.open_root(arrival.destination.parent))
            self._held = beneath.HeldDirectory(beneath.make_private_directory(self._parent.descriptor, hidden))
            self._contents = beneath.HeldDirectory(beneath.make_private_directory(self._staging, CONTENTS))
            self._traits = probe(self._staging)
            self._log = ObjectLog(self._staging)
            self._fresh = StagedTree(self._staging, self._contents.descriptor, self._traits)
            self._staged = StagedContents(self._contents.descriptor, self._fresh.write)
        self._base = arrival.replaces or self._common()
        self._root: Content | None = None
        self._local: FolderSnapshot | None = None
        self._tree: IncomingTree | None = None
        self._operations: list[Operation] = []
        self._large: list[Content] = []
        self._left_out: frozenset[bytes] = frozenset()
        self._round = 0
        self._sealed: SealedFolder | None = None

    def _common(self) -> TreePack | None:
        here = self._arrival.local is not None
        return tree_pack.load(self._arrival.state.descriptor, tree_pack.BASE) if here else None

    @property
    def _staging(self) -> int:
        return self._held.descriptor

    # --- receiving ----------------------------------------------------------------------------

    @override
    def begin(self, root: Digest, root_size: int, left_out: Collection[bytes] = ()) -> Sequence[Want]:
        """Aim at a root; see ``Staging.begin``.

        Raises:
            StorageError: The disk has no room for what is missing.
        """
        with beneath.typed_errors("prepare the staging directory"):
            beneath.remove_tree(self._staging, JOURNAL)
            if self._tree is None:  # begun for the first time: what stands there is from before a crash
                for found in reclaim(self._staging, self._contents.descriptor):
                    self._staged.admit(found)
        self._root = Content(root, root_size, 0, root_size)
        self._staged.forget_wants()
        self._left_out = frozenset(left_out)
        self._local = self._arrival.local() if self._arrival.local is not None else None
        known = dict(self._base.objects) if self._base is not None else {}
        known.update(self._local.scan.objects() if self._local is not None else NOTHING.objects())
        self._tree = IncomingTree(self._log, known, self._traits)
        self._round = 0
        parent = self._arrival.parent
        wants = self._tree.want_directory(parent.digest, parent.size) if parent is not None else []
        return [*wants, *self._tree.want_directory(root, root_size)] or self._advance()

    @override
    def put(self, digest: Digest, data: bytes) -> Sequence[Want]:
        """Take one wanted object; see ``Staging.put``. What no longer is wanted is dropped."""
        tree = self._begun()
        verify(digest, data)
        with beneath.typed_errors("stage what arrives", needed=len(data)):
            wants = tree.put(digest, data)
            if wants is None and not self._staged.put(digest, data):
                return ()
        return wants or self._advance()

    @override
    def resembling(self, names: Collection[Digest]) -> Iterable[tuple[Digest, bytes]]:
        """What the last common state of this folder has in their place; see ``Staging.resembling``."""
        base, local = self._base, self._local
        if base is None or local is None or self._arrival.purpose is not Purpose.UPDATE:
            return ()
        return resembling(names, Versions(base.root, self._aim().ref, self._begun().read, local))

    @property
    @override
    def complete(self) -> bool:
        """True once everything under the current root is here."""
        return (
            self._tree is not None
            and self._round == len(self._rounds())
            and self._tree.complete
            and (self._staged.complete)
        )

    @property
    @override
    def reused(self) -> Reused:
        return self._staged.reused

    def _rounds(self) -> Sequence[Callable[[], list[Want]]]:
        return (self._want_contents, self._want_chunks)

    def _advance(self) -> list[Want]:
        """Begin the next round when the one before has all its metadata."""
        wants: list[Want] = []
        while self._begun().complete and self._round < len(self._rounds()) and not wants:
            begin_round = self._rounds()[self._round]
            self._round += 1
            with beneath.typed_errors("stage what this device has already"):
                wants = begin_round()
        return wants

    def _want_contents(self) -> list[Want]:
        tree, root = self._begun(), self._aim()
        if self._local is not None:
            planned = plan_merge if self._arrival.purpose is Purpose.MERGE else plan
            self._operations = planned(self._trees(self._local, root.ref, tree))
            needed = list(self._arriving_contents())
            self._check_space(needed)
        else:
            entries = dict(walk(root.ref, tree.read))
            needed = list(_contents(entries.values()))
            self._check_space(needed)
            self._fresh.aim(entries)
        self._adopt_repository_objects(needed)
        self._large = [content for content in dict.fromkeys(needed) if content.level]
        small = [content for content in needed if not content.level]
        wants = [Want(content.ref, content.size) for content in small if self._staged.want_small(content, self._fetch)]
        return wants + tree.want_indexes(content for content in self._large if not self._staged.has(content))

    def _want_chunks(self) -> list[Want]:
        read = self._begun().read
        return [
            Want(name, size)
            for content in self._large
            if not self._staged.has(content)
            for name, size in self._staged.want_large(content, list(chunks_of(content, read)), self._fetch)
        ]

    def _trees(self, local: FolderSnapshot, root: Digest, tree: IncomingTree) -> Trees:
        base = self._base.root if self._base is not None else None
        if self._arrival.purpose is Purpose.MERGE:
            base = self._arrival.parent.digest if self._arrival.parent is not None else None
        return Trees(base, root, local.scan.entry, tree.read)

    def _arriving_contents(self) -> Iterator[Content]:
        tree = self._begun()
        for operation in self._operations:
            entry = operation.incoming
            if entry is None or entry.content is None:
                continue
            if operation.step in {Step.PLACE, Step.ADD} and entry.kind is EntryKind.FILE:
                yield entry.content
            elif operation.step in {Step.EXCHANGE_UNIT, Step.ADD}:
                yield from _contents(below for _, below in walk(entry.content.ref, tree.read))

    def _check_space(self, needed: Sequence[Content]) -> None:
        missing = sum(content.size for content in needed if not self._staged.has(content))
        status = os.fstatvfs(self._staging)
        free = status.f_bavail * status.f_frsize
        if missing + SPACE_MARGIN > free:
            raise NoSpaceError(
                f"{missing + SPACE_MARGIN:,} bytes are needed beside {str(self._arrival.destination)!r} "
                f"and {free:,} are free",
                advice="make room and try again",
            )

    def _fetch(self, name: Digest) -> bytes | None:
        """A chunk out of the folder that lives here."""
        if self._local is None:
            return None
        try:
            return self._local.read(name)
        except (NotFoundError, ContentGoneError):
            return None

    def _adopt_repository_objects(self, needed: Sequence[Content]) -> None:
        """Git never writes into an object again: those of the local repository are linked instead of copied."""
        if self._local is None:
            return
        wanted = {content.ref: content for content in needed if not self._staged.has(content)}
        for path, record in self._local.scan.records.items():
            content = wanted.get(record.content.ref)
            if content is not None and content.size and b".git/objects/" in path:
                *parents, last = path.split(b"/")
                with beneath.directory(self._local.folder.descriptor, tuple(parents)) as parent:
                    self._staged.adopt(content, parent, last)
                del wanted[content.ref]

    # --- sealing ------------------------------------------------------------------------------

    @override
    def seal(self) -> None:
        """Assemble, write the journal, sync; see ``Staging.seal``."""
        if not self.complete:
            raise LocalProtocolError("a folder is sealed before all of it is here")
        needed = sum(content.size for content in self._large)
        with beneath.typed_errors(f"assemble {self._arrival.destination.name!r}", needed=needed):
            for left in (JOURNAL, ARRIVING, PROGRESS, CONFLICTS):
                beneath.remove_tree(self._staging, left)
            journal = self._assemble()
            pack = tree_pack.collect(self._aim().ref, self._begun().read)
            beneath.write_atomically(self._staging, NEW_BASE, tree_pack.encode(pack), sync=False)
            if self._arrival.replaces is not None:
                replaced = tree_pack.encode(self._arrival.replaces)
                beneath.write_atomically(self._staging, OLD_BASE, replaced, sync=False)
            folder_journal.write(self._staging, journal)
            sync_filesystem(self._staging)

    def _without_ignored(self, local: FolderSnapshot) -> list[Operation]:
        """The operations but for removals of what either side ignores or kept back: absence says nothing there."""
        rules = [local.rules]
        for operation in self._operations:
            arriving = operation.incoming
            if operation.path == (IGNORE_FILE,) and arriving is not None and arriving.content is not None:
                text = beneath.read_whole(self._contents.descriptor, staged_name(arriving.content), MAX_IGNORE_FILE)
                rules.append(IgnoreRules(text))
        return [
            operation
            for operation in self._operations
            if not _removes_ignored(operation, rules)
            and not (_removes(operation) and lies_in(b"/".join(operation.path), self._left_out))
        ]

    def _assemble(self) -> Journal:
        inodes: list[int] = []
        operations: list[Operation] = []
        if self._local is None:
            self._fresh.finish()
        else:
            assembler = Assembler(self._contents.descriptor, self._traits, self._begun().read)
            arriving = beneath.HeldDirectory(beneath.make_private_directory(self._staging, ARRIVING))
            operations = self._without_ignored(self._local)
            inodes = [
                _stage(assembler, arriving.descriptor, number, operation) for number, operation in enumerate(operations)
            ]
        return Journal(
            fresh=self._local is None,
            destination=os.fsencode(self._arrival.destination),
            root=self._aim().ref,
            device=self._arrival.device,
            stamp=time.strftime("%Y%m%d-%H%M%S"),
            purpose=self._arrival.purpose,
            operations=tuple(operations),
            inodes=tuple(inodes),
        )

    # --- the end ------------------------------------------------------------------------------

    @override
    def show(self) -> None:
        """Put in place as far as anyone can see; see ``Staging.show``."""
        self._to_commit().show()

    @override
    def commit(self) -> Placement:
        """Put in place; see ``Staging.commit``."""
        return self._to_commit().commit()

    def _to_commit(self) -> SealedFolder:
        self.release()
        self._sealed = self._sealed or SealedFolder(self.directory, self._arrival.state)
        return self._sealed

    @override
    def abandon(self) -> None:
        """Forget everything; see ``Staging.abandon``."""
        self.release()
        remove_staging(self.directory)

    def release(self) -> None:
        """Close what is open; the directory stays, to be resumed or recovered."""
        self._log.close()
        self._staged.close()
        self._fresh.close()
        for held in (self._contents, self._held, self._parent):
            held.close()

    def _begun(self) -> IncomingTree:
        if self._tree is None:
            raise LocalProtocolError("a staging is used before it was begun")
        return self._tree

    def _aim(self) -> Content:
        assert self._root is not None
        return self._root


def _contents(entries: Iterable[Entry]) -> Iterator[Content]:
    """The content of every file; what occurs twice comes twice."""
    return (entry.content for entry in entries if entry.kind is EntryKind.FILE and entry.content is not None)


def _stage(assembler: Assembler, arriving: int, number: int, operation: Operation) -> int:
    """Make what an operation puts in place; returns its inode, 0 when it puts nothing."""
    if operation.incoming is None or operation.step not in {Step.PLACE, Step.EXCHANGE_UNIT, Step.ADD}:
        return 0
    name = b"%d" % number
    assembler.put(arriving, name, operation.incoming)
    return os.stat(name, dir_fd=arriving, follow_symlinks=False).st_ino


def _removes_ignored(operation: Operation, rules: Sequence[IgnoreRules]) -> bool:
    if not _removes(operation):
        return False
    path, directory = b"/".join(operation.path), operation.step is not Step.REMOVE
    return any(rule.ignores_within(path, directory=directory) for rule in rules)


def _removes(operation: Operation) -> bool:
    return operation.step in {Step.REMOVE, Step.REMOVE_DIRECTORY} or operation.incoming is None
