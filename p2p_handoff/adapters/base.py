# SPDX-License-Identifier: Apache-2.0
"""What an adapter is: it connects a part of a session to the real thing on disk. Layer: I/O ring, no implementation.

All methods here are synchronous and may block: the agent calls them in worker threads, one at a time per
part. Content is named by digest (content.objects); an adapter decides how its root object is made and read
back. ``p2p_handoff.testing.adapter_conformance`` is the suite that every adapter passes.
Specification: docs/specs/adapters.md.

On the source:  OpenPart.snapshot() … snapshot.read(digest) … OpenPart.freeze() … OpenPart.thaw() | release()
On the target:  Adapter.stage_new() or OpenPart.stage() → Staging.begin(root) → put() … → complete → seal()
                → (the ownership transaction) → commit(); after a crash Adapter.recover(staging directory).
Going back:     OpenPart.keep(shelf) … OpenPart.stage_back() ← objects of Adapter.kept(shelf, root) → seal() → commit()
A fork's end:   OpenPart.stage_merge() ← objects of the fork → seal() → commit()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from p2p_handoff.content.digests import Digest
from p2p_handoff.content.objects import Content
from p2p_handoff.session.manifest import PartType


class Purpose(IntEnum):
    """What a staging does to the part that it is put in the place of; the numbers are written in journals."""

    UPDATE = 0
    """A handoff: what changed since the last common state arrives."""
    BACK = 1
    """A kept state comes back, and takes the place of all that is there."""
    MERGE = 2
    """A fork comes together with its original: nothing that is there is replaced or removed."""


@dataclass(frozen=True, slots=True)
class Want:
    """An object that the target needs."""

    digest: Digest
    size: int
    """Upper bound of its uncompressed size in bytes; the transfer refuses more."""


@dataclass(frozen=True, slots=True)
class Reused:
    """Content of what changed that was found on this device, and so need not come."""

    chunks: int = 0
    """Pieces that would have been asked for one by one."""
    bytes: int = 0

    def __add__(self, other: Reused) -> Reused:
        return Reused(self.chunks + other.chunks, self.bytes + other.bytes)


NOTHING_REUSED = Reused()


class Snapshot(Protocol):
    """One consistent picture of a part. Valid until the next snapshot of the same part."""

    @property
    def root(self) -> Digest:
        """Digest of the root object: equal roots mean equal parts."""

    @property
    def root_size(self) -> int:
        """Bytes of the root object."""

    @property
    def total_bytes(self) -> int:
        """Bytes of content that a target with nothing has to receive, uncompressed."""

    @property
    def items(self) -> int:
        """Files or messages, for people."""

    @property
    def skipped(self) -> tuple[bytes, ...]:
        """Paths within the part that cannot be handed over, and that nobody asked to leave out."""

    def read(self, digest: Digest) -> bytes:
        """The object named by a digest, verified against it. Thread-safe.

        Raises:
            ContentGoneError: The file behind it vanished or changed since the snapshot.
            NotFoundError: No such object in this snapshot.
        """

    def reading(self) -> AbstractContextManager[None]:
        """Within it, what this thread reads may stay open from one ``read`` to the next: for many objects in a row."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One content of a part, and where it lies."""

    path: bytes
    """Within the part, components joined by ``/``; empty for the part itself."""
    content: Content


class PartPicture(Snapshot, Protocol):
    """A picture of a living part, which can be searched and thinned out before it leaves the device."""

    def pieces(self) -> Iterable[Piece]:
        """All that a transfer of the part carries, but for names and indexes."""

    def without(self, paths: Collection[bytes]) -> PartPicture:
        """The same picture as if some paths, and what lies beneath them, were not there.

        Raises:
            LocalProtocolError: The part is one piece, which only leaves as a whole.
        """


Screen = Callable[[PartPicture], PartPicture]
"""Decides what of a picture may leave; raises where it must not leave at all."""


def whole(picture: PartPicture) -> PartPicture:
    """The screen that lets everything through."""
    return picture


@dataclass(frozen=True, slots=True)
class Placement:
    """What a commit did."""

    path: Path
    """Where the part now lives."""
    written: int = 0
    """Files (or messages) written."""
    removed: int = 0
    conflicts: tuple[Path, ...] = field(default=())
    """Copies that were kept because this device had changed the same thing."""


class Staging(ABC):
    """A part on its way in: invisible to the user until ``commit``. Survives a crash in its own directory."""

    directory: Path
    """On the destination's file system; the agent records it before ACCEPTED and removes nothing in it itself."""

    @abstractmethod
    def begin(self, root: Digest, root_size: int, left_out: Collection[bytes] = ()) -> Sequence[Want]:
        """Aim at a root; returns what is missing first. Called again for each round: what arrived is kept.

        Args:
            root: Digest of the root object.
            root_size: Its bytes.
            left_out: Paths that a device kept back: their absence removes nothing here.
        """

    @abstractmethod
    def put(self, digest: Digest, data: bytes) -> Sequence[Want]:
        """Take one wanted object; returns what became known to be missing through it.

        Raises:
            IntegrityError: The data does not match the digest, or breaks the format.
            PathError: A name in it must not or cannot be represented here.
            StorageError: The disk is full or failing.
        """

    def resembling(self, names: Collection[Digest]) -> Iterable[tuple[Digest, bytes]]:  # noqa: ARG002 - for those that look
        """What the last common state has that resembles wanted objects: each digest with such bytes, read one by one.

        Never anything of what was edited on this device since: it is described to the peer (content.patches).
        An adapter need not find any.

        Args:
            names: Digests of wanted objects.
        """
        return ()

    @property
    @abstractmethod
    def complete(self) -> bool:
        """True once everything under the current root is here."""

    @property
    def reused(self) -> Reused:
        """What was found here so far, in all rounds; what did not change at all is not looked for and not counted."""
        return NOTHING_REUSED

    @abstractmethod
    def seal(self) -> None:
        """Verify, write the plan, sync to disk. After this ``commit`` lacks nothing, even after a power cut.

        Raises:
            IntegrityError, StorageError: And nothing visible has changed.
        """

    def preview(self) -> Path | None:
        """Show what is sealed to a reader, before it is in place.

        Returns:
            A file of its own in ``directory``, to read and not to change, gone with ``directory``; None where a part
            of this kind is of no use before it is in place.

        Raises:
            StorageError: It cannot be written.
        """
        return None

    def show(self) -> None:
        """Put in place as far as anyone can see; ``commit`` follows and does what nobody has to wait for.

        May be repeated like ``commit``, which does all of it where this was not called. An adapter whose commit leaves
        nothing for later need not tell the two apart.
        """
        self.commit()

    @abstractmethod
    def commit(self) -> Placement:
        """Put in place. Idempotent: may be called again after a crash, rolls forward. Removes ``directory``."""

    @abstractmethod
    def abandon(self) -> None:
        """Forget everything staged and remove ``directory``. Not after ``commit`` has begun."""


class OpenPart(ABC):
    """A part that lives at a path on this device."""

    path: Path

    @abstractmethod
    def snapshot(self) -> PartPicture:
        """A picture of the part now, cheap where little changed since the last one.

        Raises:
            ContentGoneError: The part itself is gone.
            StorageError: It cannot be read.
        """

    @abstractmethod
    def freeze(self, screen: Screen = whole) -> PartPicture:
        """The last picture before a grant. Edits made later are not in it; the next snapshot finds them.

        What passes the screen is what is frozen; whatever the screen raises leaves nothing frozen.

        Looks at more than times and sizes where those can lie. What it shows can be served until ``thaw`` or
        ``release``, as far as it is not on this device's user to change it.
        """

    @abstractmethod
    def thaw(self) -> None:
        """The handoff was refused: edits made while frozen are normal edits."""

    @abstractmethod
    def release(self, root: Digest, left_out: Collection[bytes] = ()) -> None:
        """The handoff was accepted: remember ``root`` as the last common state (the base of the next update).

        Paths that were left out of it are none of its edits, whatever becomes of them.

        Repeating it changes nothing. What was edited since the freeze stays where it is: a contribution, counted by
        ``edits_since`` and kept by every later ``commit``.
        """

    @abstractmethod
    def edits_since(self, root: Digest, left_out: Collection[bytes] = ()) -> int:
        """How many files or messages differ now from a root that was frozen or released; 0 when it is this one still.

        At least 1 where they do differ, also when it is not remembered what stood under that root.

        Raises:
            ContentGoneError, StorageError: As ``snapshot``.
        """

    @abstractmethod
    def stage(self, name: str) -> Staging:
        """Begin (or, same ``name``, resume) an update of this part where it lives."""

    @abstractmethod
    def keep(self, shelf: Path) -> Snapshot:
        """Keep the part as it is now, on the disk when this returns. What the shelf has already costs nothing again.

        Args:
            shelf: A directory of this part's own for kept states; made where it is missing.

        Raises:
            ContentGoneError: The part is gone, or changes faster than it can be kept.
            StorageError: The disk is full or failing.
        """

    @abstractmethod
    def stage_back(self, name: str, shelf: Path, now: Digest) -> Staging:
        """Begin (or resume) to bring back a kept state: give it the objects of ``Adapter.kept``.

        Args:
            name: As for ``stage``.
            shelf: As for ``keep``.
            now: The kept state that the commit may replace; whatever differs from it then is kept as a conflict copy.

        Raises:
            NotFoundError: ``now`` is not kept.
        """

    @abstractmethod
    def stage_merge(self, name: str, author: str, parent: Want | None) -> Staging:
        """Begin (or resume) to take in a fork of this part.

        What is CRDT is merged; else what the fork changed is placed where nothing stands, and becomes a conflict copy
        where something does.

        Args:
            name: As for ``stage``.
            author: Display name of the fork's device, for the names of conflict copies.
            parent: The root at which the fork left; None where nobody has it any more.
        """

    @abstractmethod
    def mark_parent(self, root: Digest) -> bool:
        """Remember the frozen state ``root`` as the one at which this part, as a fork's, left its original.

        Returns:
            False where it cannot be had any more; snapshots serve its objects otherwise.
        """

    @abstractmethod
    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call ``changed`` (from any thread, coalesced) after changes on disk; returns a function that stops it."""


class Adapter(ABC):
    """One kind of part."""

    kind: str
    """``folder`` or ``conversation``: written in manifests."""
    part_type: PartType

    @abstractmethod
    def claims(self, path: Path) -> bool:
        """True when this adapter is the one for an existing path."""

    @abstractmethod
    def open(self, path: Path, state: Path) -> OpenPart:
        """Open what lives at ``path``.

        Args:
            path: Absolute path of the real thing.
            state: A directory of this part's own in the agent's home (0700), for whatever the adapter must remember.

        Raises:
            NotFoundError: Nothing is there.
            UsageError: It is not of this kind.
        """

    @abstractmethod
    def stage_new(self, destination: Path, state: Path, name: str) -> Staging:
        """Begin (or resume) the first arrival of a part at ``destination``, which must not exist yet.

        Args:
            destination: Absolute path the part will have; its parent exists.
            state: As for ``open``.
            name: Names the staging directory; the same name resumes.
        """

    @abstractmethod
    def recover(self, directory: Path, state: Path) -> Staging:
        """Reopen a sealed staging directory after a restart, to ``commit`` it."""

    @abstractmethod
    def kept(self, shelf: Path, root: Digest) -> Snapshot:
        """A kept state, to be brought back. CRDT parts come under a fresh document id, and so under another root.

        Args:
            shelf: As for ``OpenPart.keep``.
            root: Root of what ``keep`` returned.

        Raises:
            NotFoundError: It is not kept.
        """

    @abstractmethod
    def prune(self, shelf: Path, roots: Iterable[Digest]) -> None:
        """Forget every kept state but these.

        Raises:
            StorageError: The disk is failing.
        """
