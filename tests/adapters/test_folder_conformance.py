# SPDX-License-Identifier: Apache-2.0
"""The folder adapter passes the public suite."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import pytest
from typing_extensions import override

from p2p_handoff.adapters.base import Adapter
from p2p_handoff.adapters.folder import FolderAdapter
from p2p_handoff.testing.adapter_conformance import AdapterBench, AdapterConformance
from p2p_handoff.testing.kept_conformance import KeptConformance


class FolderBench(AdapterBench):
    """Small folders with one of everything."""

    @property
    @override
    def adapter(self) -> Adapter:
        return FolderAdapter("bench")

    @override
    def make(self, path: Path) -> None:
        (path / "empty").mkdir(parents=True)
        (path / "src").mkdir()
        (path / "src" / "main.py").write_text("print('hello')\n")
        (path / "run.sh").write_text("#!/bin/sh\n")
        (path / "run.sh").chmod(0o755)
        (path / "nothing").touch()
        (path / "link").symlink_to("src/main.py")
        (path / "dangling").symlink_to("/no/such/place")
        (path / os.fsdecode(b"caf\xc3\xa9 \xff")).write_bytes(b"any name")
        (path / "large.bin").write_bytes(random.Random(1).randbytes(600_000))
        (path / "same.bin").write_bytes((path / "large.bin").read_bytes())

    @override
    def edit(self, path: Path, mark: str) -> None:
        (path / "src" / f"{mark}.txt").write_text(mark)

    @override
    def collide(self, path: Path, mark: str) -> None:
        (path / "src" / "main.py").write_text(mark)

    @override
    @contextmanager
    def hold(self, path: Path) -> Iterator[Callable[[str], None]]:
        with (path / "src" / "main.py").open("r+b", buffering=0) as opened:
            yield lambda mark: _written(opened, mark)

    @override
    def read(self, path: Path) -> Mapping[str, bytes]:
        return {str(item.relative_to(path)): describe(item) for item in sorted(path.rglob("*"))}


def _written(opened: FileIO, mark: str) -> None:
    assert opened.write(mark.encode()) == len(mark)


def describe(item: Path) -> bytes:
    """Kind, bytes, execute bit and time of one entry."""
    if item.is_symlink():
        return b"link " + os.fsencode(item.readlink())
    if item.is_dir():
        return b"directory"
    status = item.stat()
    return b"file %o %d " % (status.st_mode & 0o777, status.st_mtime_ns) + item.read_bytes()


class TestFolder(AdapterConformance):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> FolderBench:
        return FolderBench(tmp_path)


class TestKeptFolder(KeptConformance):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> FolderBench:
        return FolderBench(tmp_path)
