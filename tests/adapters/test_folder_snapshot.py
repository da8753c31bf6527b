# SPDX-License-Identifier: Apache-2.0
"""Reading objects back by digest."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from p2p_handoff.content.digests import digest
from p2p_handoff.content.objects import EMPTY, chunks_of
from p2p_handoff.errors import ContentGoneError, NotFoundError
from tests.adapters.folder_peers import Peer, write


@pytest.fixture
def peer(tmp_path: Path) -> Peer:
    peer = Peer(tmp_path, "here")
    peer.write({"a/small": b"small", "large": random.Random(1).randbytes(900_000)})
    return peer


def test_every_chunk_reads_back(peer: Peer) -> None:
    picture = peer.open().snapshot()
    content = picture.scan.records[b"large"].content
    chunks = chunks_of(content, picture.read)
    assert b"".join(picture.read(name) for name, _, _ in chunks) == (peer.path / "large").read_bytes()
    assert picture.read(digest(b"small")) == b"small"
    assert picture.read(EMPTY.ref) == b""
    assert picture.total_bytes == 900_005
    assert picture.items == 2


def test_a_changed_or_vanished_file_is_gone(peer: Peer) -> None:
    picture = peer.open().snapshot()
    write(peer.path / "a/small", b"other")
    with pytest.raises(ContentGoneError, match="changed"):
        picture.read(digest(b"small"))
    (peer.path / "a/small").unlink()
    with pytest.raises(ContentGoneError, match="gone"):
        picture.read(digest(b"small"))


def test_a_file_swapped_for_a_link_is_not_followed(peer: Peer, tmp_path: Path) -> None:
    picture = peer.open().snapshot()
    write(tmp_path / "outside", b"small")
    (peer.path / "a/small").unlink()
    (peer.path / "a/small").symlink_to(tmp_path / "outside")
    with pytest.raises(ContentGoneError):
        picture.read(digest(b"small"))


def test_what_is_not_in_the_picture_is_not_found(peer: Peer) -> None:
    with pytest.raises(NotFoundError):
        peer.open().snapshot().read(digest(b"elsewhere"))


def test_reading_in_a_row_gives_the_same_and_forgets_what_changed(peer: Peer) -> None:
    picture = peer.open().snapshot()
    content = picture.scan.records[b"large"].content
    names = [name for name, _, _ in chunks_of(content, picture.read)]
    with picture.reading():
        assert b"".join(picture.read(name) for name in names) == (peer.path / "large").read_bytes()
        assert picture.read(digest(b"small")) == b"small"
        (peer.path / "a/small").write_bytes(b"other")
        with pytest.raises(ContentGoneError):
            picture.read(digest(b"small"))
        write(peer.path / "a/small", b"small")
        assert picture.read(digest(b"small")) == b"small"
