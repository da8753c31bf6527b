# SPDX-License-Identifier: Apache-2.0
"""Builds what an update puts in place out of staged contents, still out of sight. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §7. The first use of a content is a hard link to it, so that assembling costs
no copying and can be begun again after a crash; further uses are copies, because two files must not share an
inode.
"""

from __future__ import annotations

import os
import stat

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.file_hash import WINDOW
from p2p_handoff.adapters.file_system_traits import Traits
from p2p_handoff.adapters.staged_contents import staged_name
from p2p_handoff.content.digests import Digest
from p2p_handoff.content.objects import Content, Entry, EntryKind, Read, decode_directory
from p2p_handoff.errors import IntegrityError
from p2p_handoff.limits import MAX_TREE_DEPTH


class Assembler:
    """Puts entries together in directories of ours.

    Args:
        contents: Descriptor of the directory of staged contents.
        traits: Gives the modes.
        read: Gives directory objects.
    """

    def __init__(self, contents: int, traits: Traits, read: Read) -> None:
        self._contents = contents
        self._traits = traits
        self._read = read
        self._used: set[Digest] = set()

    def put(self, parent: int, name: bytes, entry: Entry) -> None:
        """Make one entry, of whatever kind, under a name that is free.

        Raises:
            OSError: It cannot be written.
        """
        if entry.content is None:
            os.symlink(entry.target, name, dir_fd=parent)
        elif entry.kind is EntryKind.DIRECTORY:
            os.mkdir(name, dir_fd=parent)
            self._fill(parent, name, entry.content, 0)
        else:
            self._file(parent, name, entry, entry.content)

    def _fill(self, parent: int, name: bytes, content: Content, depth: int) -> None:
        if depth >= MAX_TREE_DEPTH:
            raise IntegrityError(f"a tree is nested more than {MAX_TREE_DEPTH} deep")
        with beneath.directory(parent, (name,)) as opened:
            for entry in decode_directory(self._read(content.ref)):
                if entry.kind is EntryKind.DIRECTORY and entry.content is not None:
                    os.mkdir(entry.name, dir_fd=opened)
                    self._fill(opened, entry.name, entry.content, depth + 1)
                else:
                    self.put(opened, entry.name, entry)

    def _file(self, parent: int, name: bytes, entry: Entry, content: Content) -> None:
        if not content.size:
            os.close(beneath.create_file(parent, name))
        elif content.ref in self._used or not self._link(parent, name, content):
            self._copy(parent, name, content)
        self._dress(parent, name, entry)

    def _link(self, parent: int, name: bytes, content: Content) -> bool:
        self._used.add(content.ref)
        try:
            os.link(staged_name(content), name, src_dir_fd=self._contents, dst_dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError:
            return False  # no hard links on this file system
        return True

    def _copy(self, parent: int, name: bytes, content: Content) -> None:
        with beneath.file(self._contents, (staged_name(content),)) as source:
            target = beneath.create_file(parent, name)
            try:
                for offset in range(0, content.size, WINDOW):
                    beneath.write_all(target, beneath.read_range(source, offset, WINDOW), offset)
            finally:
                os.close(target)

    def _dress(self, parent: int, name: bytes, entry: Entry) -> None:
        """Set mode and time; not where they are right, as in an object adopted from this device's repository."""
        with beneath.file(parent, (name,)) as opened:
            found = os.fstat(opened)
            right = found.st_mtime_ns == entry.mtime_ns and bool(found.st_mode & stat.S_IXUSR) == entry.executable
            if not right or stat.S_IMODE(found.st_mode) == stat.S_IRUSR | stat.S_IWUSR:
                os.fchmod(opened, self._traits.mode(executable=entry.executable))
                os.utime(opened, ns=(entry.mtime_ns, entry.mtime_ns))
