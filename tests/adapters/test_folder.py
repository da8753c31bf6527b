# SPDX-License-Identifier: Apache-2.0
"""The adapter's own doing: opening, remembering the base, watching."""

from __future__ import annotations

import mmap
import shutil
import threading
import time
from pathlib import Path

import pytest

from p2p_handoff.adapters import stat_cache
from p2p_handoff.adapters.beneath import HeldDirectory, open_root
from p2p_handoff.errors import ContentGoneError, NotFoundError, UsageError
from tests.adapters.folder_peers import Peer, hand_off, write


@pytest.fixture
def peer(tmp_path: Path) -> Peer:
    peer = Peer(tmp_path, "here")
    peer.write({"a.txt": b"a", "d/b.txt": b"b"})
    return peer


def test_only_a_folder_opens(peer: Peer, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        peer.adapter.open(peer.path / "a.txt", peer.state)
    with pytest.raises(NotFoundError):
        peer.adapter.open(tmp_path / "missing", peer.state)


def test_a_change_in_a_folder_that_vanished_meanwhile_is_told(peer: Peer) -> None:
    part = peer.open()
    shutil.rmtree(peer.path)
    assert part._is_relevant(str(part.path / "a" / "small"))


def test_a_folder_that_vanished_is_gone(peer: Peer) -> None:
    part = peer.open()
    peer.path.rename(peer.path.with_name("elsewhere"))
    with pytest.raises(ContentGoneError):
        part.snapshot()


def test_a_release_after_a_restart_finds_the_frozen_picture(peer: Peer, tmp_path: Path) -> None:
    other = Peer(tmp_path, "other")
    picture = peer.open().freeze()
    other.staged(picture).commit()
    write(peer.path / "a.txt", b"edited while frozen")
    peer.open().release(picture.root)
    write(other.path / "d/b.txt", b"there")
    assert not hand_off(other, peer).conflicts
    assert peer.content() == {"a.txt": b"edited while frozen", "d/b.txt": b"there"}


def test_an_unknown_root_leaves_the_older_base(peer: Peer) -> None:
    part = peer.open()
    first = part.freeze()
    part.release(first.root)
    before = (peer.state / "base").read_bytes()
    write(peer.path / "a.txt", b"new")
    part.release(part.snapshot().root.__class__(bytes(32)))
    assert (peer.state / "base").read_bytes() == before


def test_a_missing_staging_is_not_recovered(peer: Peer, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        peer.adapter.recover(tmp_path / "missing", peer.state)


def test_changes_are_watched_and_ignored_ones_are_not(peer: Peer) -> None:
    write(peer.path / ".handoffignore", b"*.log\n")
    part, changed = peer.open(), threading.Event()
    stop = part.watch(changed.set)
    write(peer.path / "noise.log", b"x")
    part.freeze()
    assert not changed.is_set()
    write(peer.path / "d/b.txt", b"edited")
    assert changed.wait(5)
    stop()


def test_a_freeze_sees_what_a_mapping_wrote_without_another_stamp(peer: Peer) -> None:
    peer.write({"database": b"a" * 4096})
    part = peer.open()
    with (peer.path / "database").open("r+b") as opened, mmap.mmap(opened.fileno(), 4096) as mapped:
        mapped[0] = ord("b")  # stamped: the page is dirty from now on
        time.sleep(0.1)  # until the stamp is old enough to be trusted
        followed = part.snapshot()
        mapped[0] = ord("c")
        assert part.freeze().root != followed.root
    assert part.snapshot().root == part.freeze().root


def test_a_file_that_is_written_to_is_not_in_the_cache_file(peer: Peer) -> None:
    peer.write({"log": b"one\n", "calm": b"calm"})
    time.sleep(0.1)  # until the stamps are old enough to be trusted
    with (peer.path / "log").open("ab"):
        peer.open().snapshot()
    state = HeldDirectory(open_root(peer.state))
    known = stat_cache.load(state.descriptor).records
    assert b"calm" in known
    assert b"log" not in known
