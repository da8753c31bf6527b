# SPDX-License-Identifier: Apache-2.0
"""Applies a sealed journal to a folder that lives here. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §8. Rule: nothing is discarded before it was taken out and looked at. What
arrives is exchanged with what stands there; what came out is discarded only if it is the base's version (or equal to
what arrived) and no program has it open for writing, else it is kept as a conflict copy. Every operation finds out
from the disk how far it got, so the journal can be applied again from any point of a crash. First all of it is shown,
then what came out is looked at: the user does not wait for that. Both yield after each durable act.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.beneath import Components
from p2p_handoff.adapters.file_hash import chunks_of_file
from p2p_handoff.adapters.folder_journal import ARRIVING, LEAVING, Journal
from p2p_handoff.adapters.folder_plan import Operation, Step, same_unit
from p2p_handoff.adapters.folder_scan import scan
from p2p_handoff.adapters.ignore import IgnoreRules
from p2p_handoff.adapters.platform_files import exchange, exists, rename_exclusive, settle_exchange
from p2p_handoff.adapters.writers import Writers
from p2p_handoff.content.digests import Digest
from p2p_handoff.content.objects import Entry, EntryKind, Read, build_content
from p2p_handoff.errors import HandoffError, PathError, StorageError
from p2p_handoff.session.paths import conflict_name, conflict_prefix

PROGRESS: Final = b"progress"
CONFLICTS: Final = b"conflicts"
_COUNT: Final = struct.Struct("<Q")
_MAX_LIST: Final = 64 * 1024 * 1024
_IN_THE_WAY: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_ATTEMPTS: Final = 1000
_OVER: Final = object()


@dataclass(frozen=True, slots=True)
class _Directory:
    path: Components
    held: beneath.HeldDirectory


class Placer:
    """Applies one journal.

    Args:
        staging: The sealed staging directory.
        folder: The folder.
        journal: What to do.
        read: Gives directory objects of the base and of the incoming tree.
    """

    def __init__(
        self, staging: beneath.HeldDirectory, folder: beneath.HeldDirectory, journal: Journal, read: Read
    ) -> None:
        self._staging = staging
        self._folder = folder
        self._journal = journal
        self._read = read
        self._writers = Writers()
        with beneath.typed_errors("go on with what arrived"):
            self._arriving = beneath.HeldDirectory(beneath.make_private_directory(staging.descriptor, ARRIVING))
            self._leaving = beneath.HeldDirectory(beneath.make_private_directory(staging.descriptor, LEAVING))
        self._handlers: dict[Step, Callable[[int, Operation], Iterator[None]]] = {
            Step.MAKE_DIRECTORY: self._make_directory,
            Step.PLACE: self._arrive,
            Step.TOUCH: self._touch,
            Step.REMOVE: self._remove,
            Step.REMOVE_DIRECTORY: self._remove_directory,
            Step.EXCHANGE_UNIT: self._exchange_unit,
            Step.ADD: self._add,
        }
        self._shown = 0
        """Operations that this object has shown."""
        self._unsettled: dict[int, Iterator[None]] = {}
        """By number, those of which something is left to look at."""

    def show(self) -> Iterator[None]:
        """Apply the journal as far as anyone can see, from where it stopped; yields after each durable act.

        What an exchange took out is looked at by ``settle``, which may take as long as it takes to read it.

        Raises:
            StorageError: The disk is failing.
            PathError: A name cannot be represented here.
        """
        for number in range(self._shown or self._progress(), len(self._journal.operations)):
            operation = self._journal.operations[number]
            acts = self._handlers[operation.step](number, operation)
            while self._goes_on(operation, acts):
                yield
                if operation.step is Step.PLACE or operation.step is Step.EXCHANGE_UNIT:
                    self._unsettled[number] = acts
                    break
            self._shown = number + 1
            yield

    def settle(self) -> Iterator[None]:
        """Look at what came out, after ``show``; yields after each durable act.

        Raises:
            StorageError, PathError: As for ``show``.
        """
        try:
            for number in range(self._progress(), len(self._journal.operations)):
                operation = self._journal.operations[number]
                while number in self._unsettled and self._goes_on(operation, self._unsettled[number]):
                    yield
                self._unsettled.pop(number, None)
                with beneath.typed_errors("note how far it is"):
                    self._record_progress(number + 1)
                yield
        except HandoffError:
            # What failed cannot go on where it stopped: the next try finds out from the disk how far all of it got.
            self._unsettled.clear()
            self._shown = 0
            raise

    def _goes_on(self, operation: Operation, acts: Iterator[None]) -> bool:
        with beneath.typed_errors(f"put {os.fsdecode(b'/'.join(operation.path))!r} in place"):
            return next(acts, _OVER) is None

    def conflicts(self) -> tuple[Path, ...]:
        """The copies that were kept, in every run."""
        with suppress(HandoffError):
            listed = beneath.read_whole(self._staging.descriptor, CONFLICTS, _MAX_LIST)
            return tuple(Path(os.fsdecode(item)) for item in listed.split(b"\0") if item)
        return ()

    def _progress(self) -> int:
        with suppress(HandoffError, struct.error):
            (done,) = _COUNT.unpack(beneath.read_whole(self._staging.descriptor, PROGRESS, _COUNT.size))
            return int(done)
        return 0

    def _record_progress(self, done: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        opened = os.open(PROGRESS, flags, 0o600, dir_fd=self._staging.descriptor)
        try:
            beneath.write_all(opened, _COUNT.pack(done), 0)
        finally:
            os.close(opened)

    # --- operations ---------------------------------------------------------------------------

    def _make_directory(self, number: int, operation: Operation) -> Iterator[None]:
        del number
        self._directory(operation.path).close()
        yield

    def _arrive(self, number: int, operation: Operation) -> Iterator[None]:
        staged, name = _number(number), operation.path[-1]
        arriving = self._arriving.descriptor
        parent = self._directory(operation.path[:-1])
        self._settle(staged, parent.descriptor, operation)
        if self._is_staged(number, operation):
            if self._rename_in(staged, parent.descriptor, name):
                return
            self._keep_permissions(staged, parent.descriptor, operation)
            with suppress(FileExistsError):
                exchange(arriving, staged, parent.descriptor, name)
            self._settle(staged, parent.descriptor, operation)
            yield
        if exists(arriving, staged) and not self._discarded(arriving, staged, operation):
            self._keep(arriving, staged, parent.descriptor, operation.path)
        yield

    def _touch(self, number: int, operation: Operation) -> Iterator[None]:
        del number
        incoming = operation.incoming
        assert incoming is not None
        assert incoming.content is not None
        with suppress(OSError, PathError), beneath.file(self._folder.descriptor, operation.path) as opened:
            found = os.fstat(opened)
            if found.st_size == incoming.content.size:
                os.fchmod(opened, _with_execute_bit(found.st_mode, executable=incoming.executable))
                os.utime(opened, ns=(incoming.mtime_ns, incoming.mtime_ns))
        yield

    def _remove(self, number: int, operation: Operation) -> Iterator[None]:
        name, aside = operation.path[-1], _number(number)
        try:
            parent = beneath.HeldDirectory(beneath.open_directory(self._folder.descriptor, operation.path[:-1]))
        except OSError as error:
            if error.errno in _IN_THE_WAY:
                return
            raise
        leaving = self._leaving.descriptor
        if not exists(leaving, aside):
            if not self._is_known(parent.descriptor, name, operation):
                return
            rename_exclusive(parent.descriptor, name, leaving, aside)
            yield
        if not self._discarded(leaving, aside, operation):
            self._put_back(aside, parent.descriptor, operation.path)
        yield

    def _remove_directory(self, number: int, operation: Operation) -> Iterator[None]:
        del number
        with suppress(OSError), beneath.directory(self._folder.descriptor, operation.path[:-1]) as parent:
            os.rmdir(operation.path[-1], dir_fd=parent)
        yield

    def _exchange_unit(self, number: int, operation: Operation) -> Iterator[None]:
        return self._remove(number, operation) if operation.incoming is None else self._arrive(number, operation)

    def _add(self, number: int, operation: Operation) -> Iterator[None]:
        """Beside whatever stands there: what was in the folder keeps its name and its place."""
        staged, arriving = _number(number), self._arriving.descriptor
        if not self._is_staged(number, operation):
            return  # placed before a crash
        *above, name = operation.path
        parent = self._deepest(tuple(above))
        if len(parent.path) != len(above) or not self._rename_in(staged, parent.held.descriptor, name):
            if self._has_equal(parent.held.descriptor, operation):
                beneath.remove_tree(arriving, staged)
            else:
                self._keep(arriving, staged, parent.held.descriptor, (*parent.path, name))
        yield

    # --- what they are made of ----------------------------------------------------------------

    def _is_staged(self, number: int, operation: Operation) -> bool:
        """True while the staged name still holds what comes in, and not yet what came out."""
        arriving, staged = self._arriving.descriptor, _number(number)
        found = beneath.status(arriving, (staged,))
        if found is None or found.st_ino == self._journal.inodes[number]:
            return found is not None
        # A disk that was copied, or that numbers its files anew at each mount, has other inodes than the journal. Were
        # what comes in taken for what came out, it would be discarded; exchanging it once more loses nothing.
        return self._is_incoming(arriving, staged, operation)

    def _rename_in(self, staged: bytes, parent: int, name: bytes) -> bool:
        if exists(parent, name):
            return False
        try:
            rename_exclusive(self._arriving.descriptor, staged, parent, name)
        except FileExistsError:
            return False
        return True

    def _settle(self, staged: bytes, parent: int, operation: Operation) -> None:
        for _ in range(_ATTEMPTS):
            try:
                settle_exchange(self._arriving.descriptor, staged, parent, operation.path[-1])
            except FileExistsError:
                self._keep(parent, operation.path[-1], parent, operation.path)
            else:
                return
        raise StorageError("something keeps being written where a file shall be put")

    def _keep_permissions(self, staged: bytes, parent: int, operation: Operation) -> None:
        """A file that the user made private stays private."""
        incoming = operation.incoming
        found = beneath.status(parent, operation.path[-1:])
        both_files = found is not None and stat.S_ISREG(found.st_mode)
        if both_files and found is not None and incoming is not None and incoming.kind is EntryKind.FILE:
            with beneath.file(self._arriving.descriptor, (staged,)) as opened:
                os.fchmod(opened, _with_execute_bit(found.st_mode, executable=incoming.executable))

    def _directory(self, path: Components) -> beneath.HeldDirectory:
        """A directory of the folder, made where it is missing; what stands in its way is kept beside it."""
        try:
            return beneath.HeldDirectory(beneath.open_directory(self._folder.descriptor, path))
        except OSError as error:
            if error.errno not in _IN_THE_WAY or not path:
                raise
        parent = self._directory(path[:-1])
        if exists(parent.descriptor, path[-1]):
            self._keep(parent.descriptor, path[-1], parent.descriptor, path)
        os.mkdir(path[-1], dir_fd=parent.descriptor)
        return beneath.HeldDirectory(beneath.open_directory(parent.descriptor, path[-1:]))

    def _deepest(self, path: Components) -> _Directory:
        """A directory of the folder, made where it is missing; the one above where something else is in its way."""
        for length in range(1, len(path) + 1):
            found = beneath.status(self._folder.descriptor, path[:length])
            if found is not None and not stat.S_ISDIR(found.st_mode):
                path = path[: length - 1]
                break
        return _Directory(path, self._directory(path))

    def _has_equal(self, parent: int, operation: Operation) -> bool:
        """True when what would be added stands there already, under its name or as an earlier conflict copy."""
        name = operation.path[-1]
        copies = conflict_prefix(os.fsdecode(name))
        names = (os.fsencode(other) for other in os.listdir(parent) if other.startswith(copies))
        return any(self._is_incoming(parent, other, operation) for other in (name, *names))

    def _is_incoming(self, parent: int, name: bytes, operation: Operation) -> bool:
        incoming = operation.incoming
        assert incoming is not None
        if incoming.kind is EntryKind.DIRECTORY:
            return self._is_known_unit(parent, name, [incoming])
        return _holds(parent, name, incoming)

    def _discarded(self, holder: int, name: bytes, operation: Operation) -> bool:
        """Discard what came out if nothing is lost by it."""
        if self._writers.are_gone(holder, name) and self._is_known(holder, name, operation):
            beneath.remove_tree(holder, name)
            return True
        with suppress(OSError):
            os.rmdir(name, dir_fd=holder)  # an empty directory
            return True
        return False

    def _is_known(self, holder: int, name: bytes, operation: Operation) -> bool:
        """True when a name holds what the base or the incoming tree has there."""
        known = [entry for entry in (operation.expected, operation.incoming) if entry is not None]
        if operation.step is Step.EXCHANGE_UNIT:
            return self._is_known_unit(holder, name, known)
        return any(_holds(holder, name, entry) for entry in known)

    def _is_known_unit(self, holder: int, name: bytes, known: list[Entry]) -> bool:
        try:
            with beneath.directory(holder, (name,)) as opened:
                found = scan(opened, {}, IgnoreRules())
        except (OSError, HandoffError):
            return False
        objects = found.objects()
        entry = Entry(name, EntryKind.DIRECTORY, content=found.root)

        def read(ref: Digest) -> bytes:
            return objects.get(ref) or self._read(ref)

        return not found.skipped and any(same_unit(entry, other, read) for other in known)

    def _put_back(self, aside: bytes, parent: int, path: Components) -> None:
        try:
            rename_exclusive(self._leaving.descriptor, aside, parent, path[-1])
        except FileExistsError:
            self._keep(self._leaving.descriptor, aside, parent, path)

    def _keep(self, holder: int, name: bytes, parent: int, path: Components) -> None:
        """Keep this device's version beside the place where it stood."""
        original = os.fsdecode(path[-1])
        for attempt in range(1, _ATTEMPTS):
            kept = os.fsencode(conflict_name(original, self._journal.device, self._journal.stamp, attempt))
            try:
                rename_exclusive(holder, name, parent, kept)
            except FileExistsError:
                continue
            self._list_conflict((*path[:-1], kept))
            return
        raise StorageError(f"{original!r} has too many conflict copies")

    def _list_conflict(self, path: Components) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        opened = os.open(CONFLICTS, flags, 0o600, dir_fd=self._staging.descriptor)
        try:
            os.write(opened, self._journal.destination + b"/" + b"/".join(path) + b"\0")
        finally:
            os.close(opened)


def _number(number: int) -> bytes:
    return b"%d" % number


def _with_execute_bit(mode: int, *, executable: bool) -> int:
    permissions = stat.S_IMODE(mode) & 0o777
    readers = (permissions & 0o444) >> 2
    return permissions | readers if executable else permissions & ~0o111


def _holds(holder: int, name: bytes, entry: Entry) -> bool:
    """True when a name holds a file or symlink with the bytes of an entry."""
    try:
        if entry.kind is EntryKind.SYMLINK:
            return os.readlink(name, dir_fd=holder) == entry.target
        if entry.kind is EntryKind.DIRECTORY or entry.content is None:
            return False
        with beneath.file(holder, (name,)) as opened:
            size = os.fstat(opened).st_size
            return size == entry.content.size and build_content(tuple(chunks_of_file(opened, size)))[0] == entry.content
    except (OSError, EOFError, PathError):
        return False
