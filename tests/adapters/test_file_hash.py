# SPDX-License-Identifier: Apache-2.0
"""Reading one file into a record."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from p2p_handoff.adapters import file_hash
from p2p_handoff.content.chunking import cut
from p2p_handoff.content.digests import digest
from p2p_handoff.content.objects import EMPTY
from p2p_handoff.errors import ContentGoneError
from p2p_handoff.limits import CHUNK_MAX


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 300_000, 2_000_000])
def test_cuts_in_windows_are_those_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(file_hash, "WINDOW", 2 * CHUNK_MAX + 12_345)
    data = random.Random(size).randbytes(size // 2) + bytes(size - size // 2)
    (tmp_path / "file").write_bytes(data)
    with (tmp_path / "file").open("rb") as file:
        found = list(file_hash.chunks_of_file(file.fileno(), size))
    assert found == [(digest(data[start : start + length]), length) for start, length in cut(data)]


def test_an_empty_file_is_the_empty_content(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "file").open("rb") as file:
        assert file_hash.hash_file(file.fileno(), b"file").record.content == EMPTY


class _Interrupted:
    """Lets something happen to the file in the middle of every reading."""

    def __init__(self, path: Path, change: str) -> None:
        self._path, self._change = path, change
        self._real = file_hash.chunks_of_file
        self._count = 0

    def __call__(self, opened: int, size: int) -> list[tuple[object, int]]:
        chunks = list(self._real(opened, size))
        self._count += 1
        with self._path.open("r+b") as file:
            if self._change == "grow":
                file.seek(0, os.SEEK_END)
            file.write(b"%d" % (self._count % 10))
        os.utime(self._path, ns=(self._count, self._count))
        return list(chunks)


def test_a_file_that_is_rewritten_all_the_time_gives_no_torn_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "busy"
    path.write_bytes(b"0123456789")
    monkeypatch.setattr(file_hash, "chunks_of_file", _Interrupted(path, "rewrite"))
    with path.open("rb") as file, pytest.raises(ContentGoneError, match="keeps changing"):
        file_hash.hash_file(file.fileno(), b"busy")


def test_a_log_that_only_grows_is_taken_up_to_a_size_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"line\n")
    monkeypatch.setattr(file_hash, "chunks_of_file", _Interrupted(path, "grow"))
    with path.open("rb") as file:
        content = file_hash.hash_file(file.fileno(), b"log").record.content
    assert content.ref == digest(path.read_bytes()[: content.size])
