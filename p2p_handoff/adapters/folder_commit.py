# SPDX-License-Identifier: Apache-2.0
"""A sealed folder: put in place now, or after a restart. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §8. A first arrival is one rename. An update applies its journal. Then the
disk is synced, the base is set to what arrived, and only then the staging directory goes: a crash at any point
leaves something to roll forward.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Sequence
from pathlib import Path

from typing_extensions import override

from p2p_handoff.adapters import beneath, folder_journal, tree_pack
from p2p_handoff.adapters.base import Placement, Purpose, Staging, Want
from p2p_handoff.adapters.folder_journal import JOURNAL, NEW_BASE, OLD_BASE, TREE, Journal
from p2p_handoff.adapters.folder_place import Placer
from p2p_handoff.adapters.folder_plan import Step
from p2p_handoff.adapters.platform_files import exists, rename_exclusive, sync_filesystem
from p2p_handoff.content.digests import Digest
from p2p_handoff.errors import LocalProtocolError, NotFoundError, StorageError, UsageError


class SealedFolder(Staging):
    """A staging directory whose journal is written. It takes nothing more.

    Args:
        directory: The staging directory.
        state: The part's state directory.

    Raises:
        NotFoundError: It is gone (the commit was completed) or was never sealed.
        StorageError: It is damaged.
    """

    def __init__(self, directory: Path, state: beneath.HeldDirectory) -> None:
        self.directory = directory
        self._state = state
        try:
            self._held = beneath.HeldDirectory(beneath.open_root(directory))
        except FileNotFoundError as error:
            raise NotFoundError(f"the staging directory {str(directory)!r} is gone") from error
        except OSError as error:
            raise beneath.typed(error, f"open {str(directory)!r}") from error
        self._journal = folder_journal.read(self._held.descriptor)
        self._placer: Placer | None = None
        self._placement: Placement | None = None

    @override
    def begin(self, root: Digest, root_size: int, left_out: Collection[bytes] = ()) -> Sequence[Want]:
        """Not after the seal: the arguments are ignored.

        Raises:
            LocalProtocolError: Always.
        """
        raise LocalProtocolError("a sealed folder takes nothing more")

    @override
    def put(self, digest: Digest, data: bytes) -> Sequence[Want]:
        """Not after the seal: the arguments are ignored.

        Raises:
            LocalProtocolError: Always.
        """
        raise LocalProtocolError("a sealed folder takes nothing more")

    @property
    @override
    def complete(self) -> bool:
        """Always: only what is complete is sealed."""
        return True

    @override
    def seal(self) -> None:
        """Nothing to do: it is."""

    @override
    def show(self) -> None:
        """Put in place as far as anyone can see; what came out is looked at by ``commit``.

        Raises:
            UsageError, StorageError: As for ``commit``.
        """
        for _ in self._showing():
            pass

    @override
    def commit(self) -> Placement:
        """Put in place; see ``Staging.commit``.

        Raises:
            UsageError: Something appeared at the destination of a first arrival; the staging is kept.
            StorageError: The disk is failing; call again when it is not.
        """
        for _ in self.steps():
            pass
        assert self._placement is not None
        return self._placement

    def steps(self) -> Generator[None, None, None]:
        """What ``commit`` does, one durable act at a time: stop anywhere and a new one rolls forward."""
        if self._placement is not None:
            return
        yield from self._showing()
        placement = Placement(self._destination)
        if self._placer is not None:
            yield from self._placer.settle()
            written, removed = _counts(self._journal)
            placement = Placement(self._destination, written, removed, self._placer.conflicts())
        yield
        self._remember_base()
        yield
        remove_staging(self.directory)
        self._placement = placement

    @override
    def abandon(self) -> None:
        """Forget everything; see ``Staging.abandon``."""
        remove_staging(self.directory)

    @property
    def _destination(self) -> Path:
        return Path(os.fsdecode(self._journal.destination))

    def _showing(self) -> Generator[None, None, None]:
        if self._placement is not None:
            return
        if self._journal.fresh:
            self._put_whole()
        else:
            self._placer = self._placer or Placer(self._held, self._folder(), self._journal, self._reader())
            yield from self._placer.show()

    def _put_whole(self) -> None:
        staging = self._held.descriptor
        if not exists(staging, TREE):
            return
        with beneath.typed_errors(f"put {str(self._destination)!r} in place"):
            parent = beneath.HeldDirectory(beneath.open_root(self._destination.parent))
            try:
                rename_exclusive(staging, TREE, parent.descriptor, os.fsencode(self._destination.name))
            except FileExistsError as error:
                raise UsageError(
                    f"something is at {str(self._destination)!r} already",
                    state="what arrived is kept beside it",
                    advice="move it away and try again",
                ) from error

    def _folder(self) -> beneath.HeldDirectory:
        try:
            return beneath.HeldDirectory(beneath.open_root(self._destination))
        except OSError as error:
            raise StorageError(
                f"the folder {str(self._destination)!r} is gone",
                state="what arrived is kept beside it",
                advice="put it back and try again",
            ) from error

    def _reader(self) -> _PackReader:
        packs = (
            self._new_base(),
            tree_pack.load(self._held.descriptor, OLD_BASE),
            tree_pack.load(self._state.descriptor, tree_pack.BASE),
        )
        return _PackReader(tuple(pack for pack in packs if pack is not None))

    def _new_base(self) -> tree_pack.TreePack | None:
        return tree_pack.load(self._held.descriptor, NEW_BASE)

    def _remember_base(self) -> None:
        with beneath.typed_errors(f"sync {str(self._destination)!r}"):
            sync_filesystem(self._held.descriptor)
            pack = self._new_base()
            # What comes back or is merged in is shared with nobody yet: the last common state stays the older one.
            if pack is not None and self._journal.purpose is Purpose.UPDATE:
                tree_pack.save(self._state.descriptor, tree_pack.BASE, tree_pack.encode(pack), sync=True)


class _PackReader:
    """Reads directory objects out of several packs."""

    def __init__(self, packs: tuple[tree_pack.TreePack, ...]) -> None:
        self._packs = packs

    def __call__(self, name: Digest) -> bytes:
        for pack in self._packs:
            if name in pack.objects:
                return pack.objects[name]
        raise NotFoundError(f"the object {name.hex()[:16]} is not known")


def remove_staging(directory: Path) -> None:
    """Remove a staging directory, its journal last, so that a crash leaves it recognisable.

    Raises:
        StorageError: It cannot be removed.
    """
    with beneath.typed_errors(f"remove {str(directory)!r}"):
        try:
            parent = beneath.HeldDirectory(beneath.open_root(directory.parent))
            held = beneath.HeldDirectory(beneath.open_directory(parent.descriptor, (os.fsencode(directory.name),)))
        except FileNotFoundError:
            return
        for name in map(os.fsencode, os.listdir(held.descriptor)):  # noqa: PTH208 - relative to a held descriptor
            if name != JOURNAL:
                beneath.remove_tree(held.descriptor, name)
        beneath.remove_tree(parent.descriptor, os.fsencode(directory.name))


def _counts(journal: Journal) -> tuple[int, int]:
    written = sum(operation.incoming is not None for operation in journal.operations)
    removed = sum(operation.step in {Step.REMOVE, Step.REMOVE_DIRECTORY} for operation in journal.operations)
    return written, removed
