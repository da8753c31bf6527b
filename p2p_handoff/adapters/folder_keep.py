# SPDX-License-Identifier: Apache-2.0
"""Keeps earlier states of a folder, so that one of them can come back. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §9. A shelf has each file content once, under its digest, whatever number of
states share it: shared with the folder's own blocks where the file system can, else copied. A state is a pack of
its directory and index objects, written when all its contents are on disk: its presence is the promise.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from p2p_handoff.adapters import beneath, tree_pack
from p2p_handoff.adapters.file_hash import WINDOW, chunks_of_file
from p2p_handoff.adapters.folder_snapshot import FolderSnapshot
from p2p_handoff.adapters.platform_files import clone, sync_filesystem
from p2p_handoff.adapters.staged_contents import staged_name
from p2p_handoff.adapters.tree_pack import TreePack
from p2p_handoff.content.digests import Digest, verify
from p2p_handoff.content.objects import Content, EntryKind, build_content, chunks_of
from p2p_handoff.content.trees import walk
from p2p_handoff.errors import ContentGoneError, IntegrityError, NotFoundError, PathError

_TREES: Final = b"trees"
_CONTENTS: Final = b"contents"
_IMMUTABLE: Final = b".git/objects/"
"""Git never writes into an object again: a second link to it is as good as a copy."""
PAUSES: Final = (0.0, 0.01, 0.05, 0.2)
"""Seconds before each attempt at a folder that changes while it is kept."""


class FolderShelf:
    """The kept states of one folder.

    Args:
        shelf: Their directory; made where it is missing.

    Raises:
        StorageError: It cannot be made.
    """

    def __init__(self, shelf: Path) -> None:
        with beneath.typed_errors(f"use {str(shelf)!r}"):
            shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._held = beneath.HeldDirectory(beneath.open_root(shelf))
            self._trees = beneath.HeldDirectory(beneath.make_private_directory(self._held.descriptor, _TREES))
            self._contents = beneath.HeldDirectory(beneath.make_private_directory(self._held.descriptor, _CONTENTS))

    def keep(self, picture: FolderSnapshot) -> None:
        """Keep a picture; durable when this returns.

        Raises:
            ContentGoneError: A file changed since the picture was taken.
            StorageError: The disk is full or failing.
        """
        name = _hex(picture.root)
        if beneath.status(self._trees.descriptor, (name,)) is not None:
            return
        with beneath.typed_errors("keep the folder as it is", needed=picture.total_bytes):
            self._take_all(picture)
            pack = TreePack(picture.root, picture.scan.objects())
            tree_pack.save(self._trees.descriptor, name, tree_pack.encode(pack), sync=True)

    def tree(self, root: Digest) -> TreePack:
        """The directory and index objects of a kept state.

        Raises:
            NotFoundError: It is not kept.
        """
        pack = tree_pack.load(self._trees.descriptor, _hex(root))
        if pack is None or pack.root != root:
            raise NotFoundError("that state of the folder is not kept any more")
        return pack

    def open(self, root: Digest) -> KeptFolder:
        """A kept state.

        Raises:
            NotFoundError: It is not kept.
        """
        return KeptFolder(self._contents, self.tree(root))

    def prune(self, roots: Iterable[Digest]) -> None:
        """Forget every state but these, and the contents that no state has any more."""
        kept = [pack for root in roots if (pack := tree_pack.load(self._trees.descriptor, _hex(root))) is not None]
        names = {staged_name(content) for pack in kept for content in _contents(pack)}
        with beneath.typed_errors("forget an old state of a folder"):
            _keep_only(self._trees.descriptor, {_hex(pack.root) for pack in kept})
            _keep_only(self._contents.descriptor, names)

    def _take_all(self, picture: FolderSnapshot) -> None:
        """Whatever has a content's name is whole and on the disk: a later state trusts it."""
        here = set(_names(self._contents.descriptor))
        taken: list[Content] = []
        try:
            for path, record in picture.scan.records.items():
                content = record.content
                if content.size and staged_name(content) not in here:
                    self._take(picture.folder.descriptor, path, content)
                    here.add(staged_name(content))
                    taken.append(content)
        finally:
            contents = self._contents.descriptor
            sync_filesystem(contents)
            for content in taken:
                os.rename(_fresh(content), staged_name(content), src_dir_fd=contents, dst_dir_fd=contents)
            os.fsync(contents)

    def _take(self, folder: int, path: bytes, content: Content) -> None:
        fresh = _fresh(content)
        beneath.remove_tree(self._contents.descriptor, fresh)
        try:
            if not (_IMMUTABLE in path and self._link(folder, path, fresh)):
                self._copy(folder, path, fresh, content)
            intact = self._is(fresh, content)
        except (FileNotFoundError, EOFError, PathError) as error:
            raise ContentGoneError(f"{os.fsdecode(path)!r} is gone since the snapshot") from error
        if not intact:
            beneath.remove_tree(self._contents.descriptor, fresh)
            raise ContentGoneError(f"{os.fsdecode(path)!r} changed since the snapshot")

    def _link(self, folder: int, path: bytes, fresh: bytes) -> bool:
        *parents, last = path.split(b"/")
        with beneath.directory(folder, tuple(parents)) as parent:
            try:
                os.link(last, fresh, src_dir_fd=parent, dst_dir_fd=self._contents.descriptor, follow_symlinks=False)
            except FileNotFoundError:
                raise
            except OSError:
                return False  # another file system, or none with links
        return True

    def _copy(self, folder: int, path: bytes, fresh: bytes, content: Content) -> None:
        with beneath.file(folder, tuple(path.split(b"/"))) as source:
            created = beneath.create_file(self._contents.descriptor, fresh)
            try:
                if clone(source, created):
                    os.ftruncate(created, content.size)
                    return
                for offset in range(0, content.size, WINDOW):
                    window = beneath.read_range(source, offset, min(WINDOW, content.size - offset))
                    beneath.write_all(created, window, offset)
            finally:
                os.close(created)

    def _is(self, name: bytes, content: Content) -> bool:
        """True when a file holds exactly a content: what was copied may have changed since it was hashed."""
        with beneath.file(self._contents.descriptor, (name,)) as opened:
            size = os.fstat(opened).st_size
            return size == content.size and build_content(tuple(chunks_of_file(opened, size)))[0] == content


@dataclass(frozen=True, slots=True)
class _Place:
    content: bytes
    """Name of the file that holds a chunk."""
    offset: int
    length: int


class KeptFolder:
    """A kept state, in the shape of ``adapters.base.Snapshot``.

    Args:
        contents: The shelf's directory of contents.
        pack: The state's directory and index objects.
    """

    def __init__(self, contents: beneath.HeldDirectory, pack: TreePack) -> None:
        self._contents = contents
        self._pack = pack
        self._places: dict[Digest, _Place] | None = None
        self._lock = threading.Lock()

    @property
    def root(self) -> Digest:
        """Digest of the folder's directory object."""
        return self._pack.root

    @property
    def root_size(self) -> int:
        """Bytes of that object."""
        return len(self._pack.objects[self.root])

    @property
    def total_bytes(self) -> int:
        """Bytes of all files."""
        return sum(content.size for content in _contents(self._pack))

    @property
    def items(self) -> int:
        """Regular files."""
        return sum(1 for _ in _contents(self._pack))

    @property
    def skipped(self) -> tuple[bytes, ...]:
        """Nothing."""
        return ()

    def read(self, digest: Digest) -> bytes:
        """The object named by a digest, verified against it.

        Raises:
            ContentGoneError: The shelf is damaged.
            NotFoundError: No such object in this state.
        """
        held = self._pack.objects.get(digest)
        if held is not None:
            return held
        place = self._located().get(digest)
        if place is None:
            raise NotFoundError(f"no object {digest.hex()[:16]} in this kept state")
        try:
            with beneath.file(self._contents.descriptor, (place.content,)) as opened:
                data = beneath.read_range(opened, place.offset, place.length)
            verify(digest, data)
        except (OSError, IntegrityError) as error:
            raise ContentGoneError("a kept state of the folder is damaged") from error
        return data

    def reading(self) -> AbstractContextManager[None]:
        """Nothing stays open."""
        return nullcontext()

    def _located(self) -> dict[Digest, _Place]:
        with self._lock:
            if self._places is None:
                self._places = dict(self._locate())
            return self._places

    def _locate(self) -> Iterable[tuple[Digest, _Place]]:
        for content in _contents(self._pack):
            for name, offset, length in chunks_of(content, self._pack.objects.__getitem__):
                yield name, _Place(staged_name(content), offset, length)


def _fresh(content: Content) -> bytes:
    """What a content is called that may not be on the disk yet."""
    return staged_name(content) + b".new"


def keep_still(take: Callable[[], FolderSnapshot], shelf: FolderShelf) -> FolderSnapshot:
    """Keep a folder that is worked in: picture and keep again until nothing changed in between.

    Raises:
        ContentGoneError: It changes faster than it can be kept.
        StorageError: The disk is full or failing.
    """
    gone: ContentGoneError | None = None
    for pause in PAUSES:
        time.sleep(pause)
        picture = take()
        try:
            shelf.keep(picture)
        except ContentGoneError as error:
            gone = error
        else:
            return picture
    why = gone.what if gone is not None else ""
    raise ContentGoneError(f"the folder changes faster than it can be kept: {why}") from gone


def _contents(pack: TreePack) -> Iterable[Content]:
    for _, entry in walk(pack.root, pack.objects.__getitem__):
        if entry.kind is EntryKind.FILE and entry.content is not None:
            yield entry.content


def _keep_only(directory: int, names: set[bytes]) -> None:
    for name in _names(directory):
        if name not in names:
            beneath.remove_tree(directory, name)


def _names(directory: int) -> list[bytes]:
    return [os.fsencode(name) for name in os.listdir(directory)]


def _hex(ref: Digest) -> bytes:
    return ref.hex().encode("ascii")
