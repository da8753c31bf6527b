# SPDX-License-Identifier: Apache-2.0
"""Learns an incoming tree: which directory and index objects are still missing. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §7. Subtrees that this device has already (in the base, or on disk) are known
to be whole and are not walked. Every object is checked in full when it arrives, its names against what this
file system can hold side by side.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from p2p_handoff.adapters.base import Want
from p2p_handoff.adapters.file_system_traits import Traits
from p2p_handoff.adapters.object_log import ObjectLog
from p2p_handoff.content.digests import Digest
from p2p_handoff.content.objects import Content, EntryKind, decode_directory, decode_index
from p2p_handoff.errors import IntegrityError, NotFoundError


@dataclass(frozen=True, slots=True)
class _Reference:
    """A missing metadata object."""

    size: int
    level: int
    """0: a directory. n: an index of level n."""


class IncomingTree:
    """The metadata of one incoming root.

    Args:
        log: Where received objects are kept.
        known: Objects of complete trees on this device, by digest.
        traits: What this file system can hold.
    """

    def __init__(self, log: ObjectLog, known: Mapping[Digest, bytes], traits: Traits) -> None:
        self._log = log
        self._known = known
        self._traits = traits
        self._missing: dict[Digest, _Reference] = {}
        self._seen: set[Digest] = set()

    @property
    def complete(self) -> bool:
        """True when no object that was asked for is missing."""
        return not self._missing

    def read(self, name: Digest) -> bytes:
        """A metadata object that is here.

        Raises:
            NotFoundError: It is not.
        """
        data = self._log.get(name) or self._known.get(name)
        if data is None:
            raise NotFoundError(f"the object {name.hex()[:16]} has not arrived")
        return data

    def want_directory(self, root: Digest, size: int) -> list[Want]:
        """Ask for a tree's directory objects; returns what is missing first."""
        return self._explore([(root, _Reference(size, 0))])

    def want_indexes(self, contents: Iterable[Content]) -> list[Want]:
        """Ask for the index objects of long contents; returns what is missing first."""
        return self._explore([(content.ref, _Reference(content.ref_size, content.level)) for content in contents])

    def put(self, name: Digest, data: bytes) -> list[Want] | None:
        """Take an object that was checked against its name.

        Returns:
            What is missing because of it; None when it is no metadata that was asked for.

        Raises:
            IntegrityError: It has another size or form than its parent says.
            PathError: A name in it cannot be represented here.
        """
        reference = self._missing.get(name)
        if reference is None:
            return None
        if len(data) != reference.size:
            raise IntegrityError(
                f"object {name.hex()[:16]} has {len(data)} bytes where its parent says {reference.size}"
            )
        children = self._children(data, reference)
        self._log.add(name, data)
        del self._missing[name]
        return self._explore(children)

    def _explore(self, pending: list[tuple[Digest, _Reference]]) -> list[Want]:
        wants: list[Want] = []
        while pending:
            name, reference = pending.pop()
            if name in self._seen:
                continue
            self._seen.add(name)
            if name in self._known:
                continue
            data = self._log.get(name)
            if data is not None:
                pending.extend(self._children(data, reference))
            else:
                self._missing[name] = reference
                wants.append(Want(name, reference.size))
        return wants

    def _children(self, data: bytes, reference: _Reference) -> list[tuple[Digest, _Reference]]:
        return self._subtrees(data) if reference.level == 0 else _lower_indexes(data, reference.level)

    def _subtrees(self, data: bytes) -> list[tuple[Digest, _Reference]]:
        entries = decode_directory(data)
        self._traits.check(entry.name for entry in entries)
        return [
            (entry.content.ref, _Reference(entry.content.size, 0))
            for entry in entries
            if entry.kind is EntryKind.DIRECTORY and entry.content is not None
        ]


def _lower_indexes(data: bytes, level: int) -> list[tuple[Digest, _Reference]]:
    index = decode_index(data)
    if index.level != level:
        raise IntegrityError(f"an index has level {index.level} where its parent says {level}")
    if level == 1:
        return []
    return [(child.ref, _Reference(child.object_size, level - 1)) for child in index.children]
