# SPDX-License-Identifier: Apache-2.0
"""Reads the objects of a scanned folder back by digest. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §2. File contents stay on disk and are read on demand, through held
descriptors and without following links; what no longer matches its digest is gone. Thread-safe.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.base import Piece
from p2p_handoff.adapters.held_files import HeldFiles
from p2p_handoff.adapters.ignore import IgnoreRules
from p2p_handoff.adapters.scanned import Scan, leave_out
from p2p_handoff.adapters.tree_pack import TreePack
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.content.objects import EMPTY
from p2p_handoff.errors import ContentGoneError, NotFoundError, PathError


@dataclass(frozen=True, slots=True)
class Location:
    """Where a chunk lies."""

    path: bytes
    """Relative to the folder, components joined by ``/``."""
    offset: int
    length: int


def locate(scan: Scan) -> dict[Digest, Location]:
    """Where each chunk of a scan lies; one place for chunks that occur several times."""
    places: dict[Digest, Location] = {}
    for path, record in scan.records.items():
        if not record.chunks:
            places[record.content.ref] = Location(path, 0, record.content.size)
            continue
        offset = 0
        for name, length in record.chunks:
            places[name] = Location(path, offset, length)
            offset += length
    return places


def read_location(files: HeldFiles, place: Location, name: Digest) -> bytes:
    """The chunk at a place, checked against its digest.

    Args:
        files: Of the folder.
        place: Where it was when the folder was scanned.
        name: Its digest.

    Raises:
        ContentGoneError: Something else is there now.
    """
    try:
        data = files.read(place.path, place.offset, place.length)
    except (OSError, PathError) as error:
        raise ContentGoneError(f"{os.fsdecode(place.path)!r} is gone since the snapshot") from error
    if digest(data) != name:
        files.close()  # What is at that path by now is read next time.
        raise ContentGoneError(f"{os.fsdecode(place.path)!r} changed since the snapshot")
    return data


class FolderSnapshot:
    """A picture of a folder, in the shape of ``adapters.base.Snapshot``.

    Args:
        root: Descriptor of the folder; duplicated.
        scan: What was found in it.
        rules: What was left out.
        parent: In a fork, the objects of the state at which it left its original: they are served as well.
    """

    def __init__(
        self, root: int, scan: Scan, rules: IgnoreRules, parent: Mapping[Digest, bytes] = MappingProxyType({})
    ) -> None:
        self._parent = parent
        self.scan = scan
        self.rules = rules
        self.folder = beneath.HeldDirectory(os.dup(root))
        self._objects: dict[Digest, bytes] | None = None
        self._places: dict[Digest, Location] | None = None
        self._lock = threading.Lock()
        self._reading = threading.local()

    @property
    def root(self) -> Digest:
        """Digest of the folder's directory object."""
        return self.scan.root.ref

    @property
    def root_size(self) -> int:
        """Bytes of that object."""
        return self.scan.root.size

    @property
    def total_bytes(self) -> int:
        """Bytes of all files; what is there twice counts twice, as it does for people."""
        return self.scan.total_bytes

    @property
    def items(self) -> int:
        """Regular files."""
        return len(self.scan.records)

    @property
    def skipped(self) -> tuple[bytes, ...]:
        """Relative paths of what is left out: sockets, fifos, devices, names like those of stagings."""
        return self.scan.skipped

    def read(self, digest: Digest) -> bytes:
        """The object named by a digest, verified against it.

        Raises:
            ContentGoneError: The file behind it vanished or changed since the snapshot.
            NotFoundError: No such object in this snapshot.
        """
        known = self._held().get(digest) or self._parent.get(digest)
        if known is not None:
            return known
        if digest == EMPTY.ref:
            return b""
        place = self._located().get(digest)
        if place is None:
            raise NotFoundError(f"no object {digest.hex()[:16]} in this snapshot")
        held: HeldFiles | None = getattr(self._reading, "files", None)
        if held is not None:
            return read_location(held, place, digest)
        with HeldFiles(self.folder.descriptor) as files:
            return read_location(files, place, digest)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within it, this thread keeps the file and the directory open that it read from last."""
        with HeldFiles(self.folder.descriptor) as files:
            self._reading.files = files
            try:
                yield
            finally:
                del self._reading.files

    def pieces(self) -> Iterable[Piece]:
        """Every file; a content that lies in two places comes twice."""
        return (Piece(path, record.content) for path, record in self.scan.records.items())

    def without(self, paths: Collection[bytes]) -> FolderSnapshot:
        """The same picture as if some paths were not there; without the objects of a fork's parent, which name them."""
        if not paths:
            return self
        return FolderSnapshot(self.folder.descriptor, leave_out(self.scan, paths), self.rules)

    def pack(self) -> TreePack:
        """The directory objects, to be remembered."""
        directories = self.scan.directories.values()
        return TreePack(self.root, {directory.content.ref: directory.data for directory in directories})

    def _held(self) -> dict[Digest, bytes]:
        with self._lock:
            if self._objects is None:
                self._objects = self.scan.objects()
            return self._objects

    def _located(self) -> dict[Digest, Location]:
        with self._lock:
            if self._places is None:
                self._places = locate(self.scan)
            return self._places
