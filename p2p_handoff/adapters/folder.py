# SPDX-License-Identifier: Apache-2.0
"""The ``folder`` adapter: a directory tree with everything uncommitted in it. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md. This module only wires: scanning is folder_scan's, receiving
folder_staging's, putting in place folder_commit's and folder_place's.
"""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

from typing_extensions import override

from p2p_handoff.adapters import beneath, tree_pack
from p2p_handoff.adapters.base import Adapter, OpenPart, PartPicture, Purpose, Screen, Staging, Want, whole
from p2p_handoff.adapters.changes import Changes
from p2p_handoff.adapters.folder_commit import SealedFolder
from p2p_handoff.adapters.folder_keep import FolderShelf, KeptFolder, keep_still
from p2p_handoff.adapters.folder_memory import FolderMemory
from p2p_handoff.adapters.folder_snapshot import FolderSnapshot
from p2p_handoff.adapters.folder_staging import Arrival, FolderStaging
from p2p_handoff.adapters.ignore import IGNORE_FILE, IgnoreRules, is_own, load_rules
from p2p_handoff.adapters.mappings import mapped_for_writing
from p2p_handoff.adapters.tree_pack import TreePack
from p2p_handoff.adapters.watcher import Watch, Watching, watch
from p2p_handoff.content.digests import Digest
from p2p_handoff.content.objects import EntryKind
from p2p_handoff.content.trees import Change, diff
from p2p_handoff.errors import ContentGoneError, NotFoundError, UsageError
from p2p_handoff.session.manifest import PartType

_DRAIN: Final = 0.5
"""Seconds that a picture waits for the watcher to report what happened before; then the folder is walked."""
_WALKED: Final = 5_000
"""Files up to which a freeze walks: to look at each costs no more than to ask every process for its mappings."""


class OpenFolder(OpenPart):
    """A folder that lives on this device.

    Args:
        path: Absolute, links resolved.
        state: The part's state directory.
        device: Names this device's versions in conflict copies.
        watching: Watches the folder.

    Raises:
        NotFoundError: Nothing is there.
        UsageError: It is not a directory.
        StorageError: The state directory cannot be used.
    """

    def __init__(self, path: Path, state: Path, device: str, watching: Watch = watch) -> None:
        self.path = path
        self._state = _open_state(state)
        self._device = device
        self._watch = watching
        self._memory = FolderMemory(self._state)
        self._rules: IgnoreRules | None = None
        self._files = 0
        """How many the last picture shows."""
        self._turn = threading.RLock()
        self._watchers: list[Watching] = []
        self._parent: TreePack | None = None
        _open_folder(path).close()

    @override
    def snapshot(self) -> FolderSnapshot:
        """A picture of the folder now; files whose status is unchanged are not read."""
        with self._turn:
            return self._picture()

    def _picture(self, *, walk: bool = False) -> FolderSnapshot:
        folder = self._open()
        changes = None if walk else self._changes()
        rules = self._rules = load_rules(folder.descriptor)
        with beneath.typed_errors(f"read {str(self.path)!r}"):
            found = self._memory.look(folder.descriptor, rules, changes)
        self._files = len(found.records)
        return FolderSnapshot(folder.descriptor, found, rules, self._parent_objects())

    def _changes(self) -> Changes | None:
        """What changed since the last picture; None when nobody knows."""
        known = [watcher.changes() if watcher.drain(_DRAIN) else None for watcher in self._watchers]
        return next((changes for changes in known if changes is not None), None)

    @override
    def freeze(self, screen: Screen = whole) -> PartPicture:
        """The last picture before a grant, remembered so that ``release`` finds it after a restart."""
        with self._turn:
            picture = screen(self._still_picture())
        assert isinstance(picture, FolderSnapshot), "a screen thins out what it is given"
        with beneath.typed_errors("remember the frozen state"):
            pack = picture.pack()
            tree_pack.save(self._state.descriptor, tree_pack.FROZEN, tree_pack.encode(pack), sync=False)
        return picture

    @override
    def thaw(self) -> None:
        """The handoff was refused; nothing was held back, so there is nothing to do on disk."""

    @override
    def release(self, root: Digest, left_out: Collection[bytes] = ()) -> None:
        """Remember ``root`` as the last common state.

        A root that neither is frozen nor on disk now leaves the older base: still a common state, from which at
        worst more conflict copies follow.
        """
        base = self._remembered(tree_pack.BASE)
        if base is not None and base.root == root:
            return
        frozen, parent = self._remembered(tree_pack.FROZEN), self._remembered(tree_pack.PARENT)
        with beneath.typed_errors("remember the common state"):
            if frozen is not None and frozen.root == root:
                tree_pack.promote(self._state.descriptor)
                return
            if parent is not None and parent.root == root:
                tree_pack.save(self._state.descriptor, tree_pack.BASE, tree_pack.encode(parent), sync=True)
                return
            picture = self.snapshot().without(left_out)
            if picture.root == root:
                tree_pack.save(self._state.descriptor, tree_pack.BASE, tree_pack.encode(picture.pack()), sync=True)

    @override
    def edits_since(self, root: Digest, left_out: Collection[bytes] = ()) -> int:
        """How many files and links differ from those under ``root``; see ``OpenPart.edits_since``."""
        picture = self.snapshot().without(left_out)
        if picture.root == root:
            return 0
        packs = (self._remembered(tree_pack.FROZEN), self._remembered(tree_pack.BASE))
        before = next((pack for pack in packs if pack is not None and pack.root == root), None)
        if before is None:
            return 1
        objects = {**before.objects, **picture.scan.objects()}
        changes = diff(root, picture.root, objects.__getitem__)
        return max(1, len({change.path for change in changes if not _is_directory(change)}))

    @override
    def stage(self, name: str) -> Staging:
        """Begin (or resume) an update of this folder where it lives."""
        return FolderStaging(Arrival(self.path, self._state, self._device, self.snapshot), name)

    @override
    def keep(self, shelf: Path) -> FolderSnapshot:
        """Keep the folder as it is now; see ``OpenPart.keep``."""
        with self._turn:
            self._memory.doubt(mapped_for_writing(self.path))
        return keep_still(self.snapshot, FolderShelf(shelf))

    @override
    def stage_back(self, name: str, shelf: Path, now: Digest) -> Staging:
        """Begin (or resume) to bring back a kept state; see ``OpenPart.stage_back``."""
        replaces = FolderShelf(shelf).tree(now)
        arrival = Arrival(self.path, self._state, self._device, self.snapshot, Purpose.BACK, replaces)
        return FolderStaging(arrival, name)

    @override
    def stage_merge(self, name: str, author: str, parent: Want | None) -> Staging:
        """Begin (or resume) to take in a fork; see ``OpenPart.stage_merge``."""
        arrival = Arrival(self.path, self._state, author, self.snapshot, Purpose.MERGE, parent=parent)
        return FolderStaging(arrival, name)

    @override
    def mark_parent(self, root: Digest) -> bool:
        """Remember where a fork left its original; see ``OpenPart.mark_parent``."""
        found = [tree_pack.load(self._state.descriptor, name) for name in (tree_pack.FROZEN, tree_pack.PARENT)]
        pack = next((pack for pack in found if pack is not None and pack.root == root), None)
        if pack is None:
            picture = self.snapshot()
            pack = picture.pack() if picture.root == root else None
        if pack is not None:
            with beneath.typed_errors("remember where the fork began"):
                tree_pack.save(self._state.descriptor, tree_pack.PARENT, tree_pack.encode(pack), sync=True)
            self._parent = pack
        return pack is not None

    def _parent_objects(self) -> Mapping[Digest, bytes]:
        if self._parent is None:
            self._parent = tree_pack.load(self._state.descriptor, tree_pack.PARENT)
        return self._parent.objects if self._parent is not None else {}

    @override
    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call ``changed`` after changes on disk; see ``OpenPart.watch``."""
        watcher = self._watch(self.path, changed, self._is_relevant)
        self._watchers.append(watcher)

        def stop() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)
            watcher.stop()

        return stop

    def _remembered(self, name: bytes) -> tree_pack.TreePack | None:
        return tree_pack.load(self._state.descriptor, name)

    def _still_picture(self) -> FolderSnapshot:
        """A picture that trusts no mapping: what is written through one is stamped once, and told to no watcher."""
        few = self._files <= _WALKED
        self._memory.doubt(() if few else mapped_for_writing(self.path))
        return self._picture(walk=few)

    def _is_relevant(self, changed: str) -> bool:
        try:
            path = os.fsencode(Path(changed).relative_to(self.path))
        except ValueError:
            return False
        if path in {b".", IGNORE_FILE}:
            return True
        if any(is_own(name) for name in path.split(b"/")):
            return False
        if self._rules is None:
            try:
                folder = self._open()
            except ContentGoneError:
                return True  # Whoever looks says so in words.
            self._rules = load_rules(folder.descriptor)
        return not self._rules.ignores_within(path, directory=False)

    def _open(self) -> beneath.HeldDirectory:
        try:
            return _open_folder(self.path)
        except (NotFoundError, UsageError) as error:
            raise ContentGoneError(f"the folder {str(self.path)!r} is gone") from error


class FolderAdapter(Adapter):
    """Folders.

    Args:
        device: Names this device's versions in conflict copies; the host's name unless given.
        watching: Watches folders.
    """

    kind = "folder"
    part_type = PartType.FILES

    def __init__(self, device: str | None = None, watching: Watch = watch) -> None:
        self._device = device or platform.node() or "this-device"
        self._watch = watching

    @override
    def claims(self, path: Path) -> bool:
        """True for a directory."""
        return path.is_dir()

    @override
    def open(self, path: Path, state: Path) -> OpenFolder:
        """Open the folder at ``path``; see ``Adapter.open``."""
        return OpenFolder(path.resolve(), state, self._device, self._watch)

    @override
    def stage_new(self, destination: Path, state: Path, name: str) -> Staging:
        """Begin (or resume) a first arrival; see ``Adapter.stage_new``.

        Raises:
            UsageError: Something is at the destination, or its parent is missing.
        """
        parent = destination.parent.resolve()
        if not parent.is_dir():
            raise UsageError(f"{str(parent)!r} is not a directory")
        place = parent / destination.name
        if os.path.lexists(place):
            raise UsageError(f"something is at {str(place)!r} already", advice="choose another place")
        return FolderStaging(Arrival(place, _open_state(state), self._device, None), name)

    @override
    def recover(self, directory: Path, state: Path) -> Staging:
        """Reopen a sealed staging directory.

        Raises:
            NotFoundError: It is gone, so its commit was completed; or it was never sealed.
        """
        return SealedFolder(directory, _open_state(state))

    @override
    def kept(self, shelf: Path, root: Digest) -> KeptFolder:
        """A kept state; see ``Adapter.kept``."""
        return FolderShelf(shelf).open(root)

    @override
    def prune(self, shelf: Path, roots: Iterable[Digest]) -> None:
        """Forget every kept state but these; see ``Adapter.prune``."""
        FolderShelf(shelf).prune(roots)


def _is_directory(change: Change) -> bool:
    entry = change.new or change.old
    return entry is not None and entry.kind is EntryKind.DIRECTORY


def _open_folder(path: Path) -> beneath.HeldDirectory:
    try:
        return beneath.HeldDirectory(beneath.open_root(path))
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no folder {str(path)!r}") from error
    except NotADirectoryError as error:
        raise UsageError(f"{str(path)!r} is not a folder") from error
    except OSError as error:
        raise beneath.typed(error, f"open {str(path)!r}") from error


def _open_state(state: Path) -> beneath.HeldDirectory:
    with beneath.typed_errors(f"use the state directory {str(state)!r}"):
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        return beneath.HeldDirectory(beneath.open_root(state.resolve()))
