# SPDX-License-Identifier: Apache-2.0
"""Two devices with a folder each, for the tests of the folder adapter."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from p2p_handoff.adapters.base import Placement, Snapshot
from p2p_handoff.adapters.folder import FolderAdapter, OpenFolder
from p2p_handoff.adapters.folder_commit import SealedFolder
from p2p_handoff.adapters.folder_staging import FolderStaging
from p2p_handoff.testing.adapter_conformance import deliver

Tree = Mapping[str, bytes]
"""Path to bytes; a path that ends in ``/`` is an empty directory, bytes that begin with ``->`` a symlink's target."""


class Peer:
    """A folder and its state on an imagined device."""

    def __init__(self, home: Path, name: str) -> None:
        self.path = home / name / "project"
        self.path.parent.mkdir()
        self.state = home / name / "state"
        self.adapter = FolderAdapter(name)

    def open(self) -> OpenFolder:
        return self.adapter.open(self.path, self.state)

    def write(self, tree: Tree) -> None:
        self.path.mkdir(exist_ok=True)
        for path, data in tree.items():
            write(self.path / path, data, directory=path.endswith("/"))

    def content(self) -> dict[str, bytes]:
        """Every file and link by path, without what is ours."""
        found = (item for item in sorted(self.path.rglob("*")) if item.is_symlink() or not item.is_dir())
        return {str(item.relative_to(self.path)): read(item) for item in found}

    def staged(self, picture: Snapshot, name: str = "t1-p1") -> FolderStaging:
        """A complete and sealed staging of a picture."""
        here = self.path.exists()
        staging = self.open().stage(name) if here else self.adapter.stage_new(self.path, self.state, name)
        assert isinstance(staging, FolderStaging)
        deliver(staging, staging.begin(picture.root, picture.root_size), picture)
        staging.seal()
        return staging

    def recovered(self, directory: Path) -> SealedFolder:
        staging = self.adapter.recover(directory, self.state)
        assert isinstance(staging, SealedFolder)
        return staging


def hand_off(source: Peer, target: Peer) -> Placement:
    """All of it, without interruption."""
    part = source.open()
    picture = part.freeze()
    placement = target.staged(picture).commit()
    part.release(picture.root)
    return placement


def write(path: Path, data: bytes, *, directory: bool = False) -> None:
    """Write one item of a ``Tree``, whatever stood there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if directory:
        path.mkdir(exist_ok=True)
    elif data.startswith(b"->"):
        path.unlink(missing_ok=True)
        path.symlink_to(os.fsdecode(data[2:]))
    else:
        path.write_bytes(data)


def read(path: Path) -> bytes:
    """The counterpart of ``write``."""
    return b"->" + os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
