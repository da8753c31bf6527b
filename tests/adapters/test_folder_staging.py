# SPDX-License-Identifier: Apache-2.0
"""Receiving a folder: what is wanted, what is refused, what is reused."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from p2p_handoff.adapters import folder_staging
from p2p_handoff.adapters.base import NOTHING_REUSED, Staging
from p2p_handoff.adapters.file_system_traits import probe
from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.content.objects import Content, Entry, EntryKind, encode_directory
from p2p_handoff.errors import HandoffError, IntegrityError, LocalProtocolError, PathError, StorageError
from p2p_handoff.limits import CHUNK_MAX
from p2p_handoff.testing.adapter_conformance import deliver
from tests.adapters.folder_peers import Peer, hand_off, write


@pytest.fixture
def source(tmp_path: Path) -> Peer:
    peer = Peer(tmp_path, "source")
    peer.write({"large.bin": random.Random(1).randbytes(1_500_000), "small.txt": b"small", "empty/": b""})
    return peer


@pytest.fixture
def target(tmp_path: Path) -> Peer:
    return Peer(tmp_path, "target")


def fresh(target: Peer) -> Staging:
    return target.adapter.stage_new(target.path, target.state, "t1-p1")


def test_an_edit_in_a_large_file_sends_few_chunks(source: Peer, target: Peer) -> None:
    hand_off(source, target)
    with (source.path / "large.bin").open("r+b") as file:
        file.seek(700_000)
        file.write(b"an edit")
    picture = source.open().freeze()
    staging = target.open().stage("t2-p1")
    sent: list[int] = []
    queue = list(staging.begin(picture.root, picture.root_size))
    while queue:
        want = queue.pop()
        sent.append(want.size)
        queue.extend(staging.put(want.digest, picture.read(want.digest)))
    assert sum(sent) < 2 * CHUNK_MAX + 10_000
    staging.abandon()


def test_a_rename_sends_no_content(source: Peer, target: Peer) -> None:
    hand_off(source, target)
    (source.path / "large.bin").rename(source.path / "renamed.bin")
    picture = source.open().freeze()
    staging = target.open().stage("t2-p1")
    wants = staging.begin(picture.root, picture.root_size)
    assert [want.digest for want in wants] == [picture.root]
    assert not staging.put(picture.root, picture.read(picture.root))
    assert staging.reused.bytes == (source.path / "renamed.bin").stat().st_size
    assert staging.reused.chunks > 1
    staging.seal()
    staging.commit()
    assert target.content() == source.content()


def test_an_unchanged_folder_wants_nothing(source: Peer, target: Peer) -> None:
    hand_off(source, target)
    picture = source.open().freeze()
    staging = target.open().stage("t2-p1")
    assert not staging.begin(picture.root, picture.root_size)
    assert staging.complete
    assert staging.reused == NOTHING_REUSED, "nothing had to be looked for"
    staging.abandon()


def test_a_half_received_file_is_checked_after_a_restart(source: Peer, target: Peer) -> None:
    picture = source.open().freeze()
    staging = fresh(target)
    deliver(staging, staging.begin(picture.root, picture.root_size), picture, at_most=8)
    (part,) = (staging.directory / "contents").glob("*.part")
    part.write_bytes(bytes(1_500_000))
    resumed = fresh(target)
    deliver(resumed, resumed.begin(picture.root, picture.root_size), picture)
    resumed.seal()
    resumed.commit()
    assert target.content() == source.content()


def test_modes_come_from_this_device(source: Peer, target: Peer) -> None:
    (source.path / "small.txt").chmod(0o6777)
    hand_off(source, target)
    umask = os.umask(0)
    os.umask(umask)
    assert (target.path / "small.txt").stat().st_mode & 0o7777 == 0o777 & ~umask
    assert (target.path / "large.bin").stat().st_mode & 0o7777 == 0o666 & ~umask


def raw_directory(*rows: list[object]) -> bytes:
    """A directory object that our own encoder would refuse to make."""
    return strict_cbor.encode(["dir/1", [list(row) for row in rows]])


def file_row(name: bytes, data: bytes = b"x") -> list[object]:
    return [name, 0, False, 0, digest(data), len(data), 0, len(data)]


@pytest.mark.parametrize("name", [b"", b".", b"..", b"../up", b"/etc/passwd", b"a/b", b"nul\0", b"n" * 256])
def test_a_hostile_name_is_refused(target: Peer, name: bytes) -> None:
    data = raw_directory(file_row(name))
    staging = fresh(target)
    staging.begin(digest(data), len(data))
    with pytest.raises(PathError):
        staging.put(digest(data), data)
    staging.abandon()


@pytest.mark.parametrize("rows", [[file_row(b"a"), file_row(b"a")], [[b"l", 2, b""]], [[b"l", 2, b"nul\0"]]])
def test_a_hostile_directory_is_refused(target: Peer, rows: list[list[object]]) -> None:
    data = raw_directory(*rows)
    staging = fresh(target)
    staging.begin(digest(data), len(data))
    with pytest.raises(HandoffError):
        staging.put(digest(data), data)
    staging.abandon()


def test_an_object_larger_than_declared_is_refused(target: Peer) -> None:
    data = encode_directory([Entry(b"a", EntryKind.FILE, content=Content(digest(b"x"), 1, 0, 1))])
    staging = fresh(target)
    staging.begin(digest(data), len(data) - 1)
    with pytest.raises(IntegrityError):
        staging.put(digest(data), data)
    staging.abandon()


def test_a_chunk_of_another_size_than_declared_is_refused(target: Peer) -> None:
    data = encode_directory([Entry(b"a", EntryKind.FILE, content=Content(digest(b"xyz"), 1, 0, 1))])
    staging = fresh(target)
    staging.begin(digest(data), len(data))
    staging.put(digest(data), data)
    with pytest.raises(IntegrityError):
        staging.put(digest(b"xyz"), b"xyz")
    staging.abandon()


def test_more_than_the_disk_holds_is_refused_before_the_transfer(target: Peer) -> None:
    huge = Content(Digest(bytes(32)), 2**60, 2, 100)
    data = encode_directory([Entry(b"huge", EntryKind.FILE, content=huge)])
    staging = fresh(target)
    staging.begin(digest(data), len(data))
    with pytest.raises(StorageError, match="are needed"):
        staging.put(digest(data), data)
    staging.abandon()


def test_names_that_collide_here_are_refused(target: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_staging, "probe", lambda held: replace(probe(held), case_insensitive=True))
    data = raw_directory(file_row(b"README"), file_row(b"readme"))
    staging = fresh(target)
    staging.begin(digest(data), len(data))
    with pytest.raises(PathError):
        staging.put(digest(data), data)
    staging.abandon()


def test_a_link_planted_as_staging_directory_is_refused(target: Peer, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (target.path.parent / ".project.handoff-t1-p1").symlink_to(outside)
    with pytest.raises(PathError):
        fresh(target)
    assert not list(outside.iterdir())


def test_a_link_swapped_in_for_the_contents_is_not_written_through(source: Peer, target: Peer, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    picture = source.open().freeze()
    staging = fresh(target)
    wants = staging.begin(picture.root, picture.root_size)
    (staging.directory / "contents").rename(tmp_path / "moved")
    (staging.directory / "contents").symlink_to(outside)
    deliver(staging, wants, picture)
    assert not list(outside.iterdir())


def test_a_file_in_a_file_is_no_tree(target: Peer, tmp_path: Path) -> None:
    write(tmp_path / "outside/secret", b"secret")
    inner = encode_directory([Entry(b"secret", EntryKind.FILE, content=Content(digest(b"x"), 1, 0, 1))])
    data = raw_directory([b"a", 1, digest(inner), len(inner)], [b"a", 2, os.fsencode(tmp_path / "outside")])
    staging = fresh(target)
    staging.begin(digest(data), len(data))
    with pytest.raises(PathError):
        staging.put(digest(data), data)
    staging.abandon()


def test_a_staging_is_begun_before_it_is_used(target: Peer) -> None:
    staging = fresh(target)
    with pytest.raises(LocalProtocolError):
        staging.put(digest(b""), b"")
    staging.abandon()
