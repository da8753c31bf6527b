# SPDX-License-Identifier: Apache-2.0
"""The stat cache: what it keeps, and what it does not trust."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.adapters import stat_cache
from p2p_handoff.adapters.beneath import HeldDirectory, open_root
from p2p_handoff.adapters.stat_cache import FileRecord
from p2p_handoff.content.digests import digest
from p2p_handoff.content.objects import Content, Entry, EntryKind, build_content

LATER = 10**18 + 10**10


@pytest.fixture
def state(tmp_path: Path) -> Iterator[int]:
    held = HeldDirectory(open_root(tmp_path))
    yield held.descriptor
    held.close()


def record(name: bytes, ctime_ns: int = 10**18 + 1) -> FileRecord:
    entry = Entry(name, EntryKind.FILE, executable=True, mtime_ns=-5, content=Content(digest(name), 4, 0, 4))
    return FileRecord(entry, ctime_ns, 7)


def test_records_come_back(state: int) -> None:
    chunks = tuple((digest(bytes([number])), 20_000) for number in range(5))
    content, _ = build_content(chunks)
    large = FileRecord(Entry(b"large", EntryKind.FILE, mtime_ns=3, content=content), 10**18, 2**63, chunks)
    records = {b"a/\xff": record(b"\xff"), b"large": large}
    stat_cache.save(state, records, LATER)
    assert stat_cache.load(state) == records


def test_racy_records_are_not_kept(state: int) -> None:
    stat_cache.save(state, {b"old": record(b"old"), b"racy": record(b"racy", LATER - 1)}, LATER)
    assert set(stat_cache.load(state)) == {b"old"}


@pytest.mark.parametrize(
    ("ctime_ns", "now_ns", "racy"),
    [
        (1_000_000_001, 1_000_000_002, True),
        (1_000_000_001, 1_100_000_000, False),
        (1_000_000_000, 3_000_000_000, True),
        (1_000_000_000, 4_000_000_000, False),
        (5_000_000_001, 1_000_000_000, True),
    ],
)
def test_a_change_may_hide_in_the_same_tick(ctime_ns: int, now_ns: int, *, racy: bool) -> None:
    assert stat_cache.is_racy(ctime_ns, now_ns) is racy


@given(cut=st.integers(0, 200), flip=st.integers(1, 255))
def test_a_damaged_cache_is_empty(tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int) -> None:
    home = tmp_path_factory.mktemp("state")
    held = HeldDirectory(open_root(home))
    stat_cache.save(held.descriptor, {b"a": record(b"a"), b"b": record(b"b")}, LATER)
    file = home / "stat-cache"
    data = bytearray(file.read_bytes())
    data[cut % len(data)] ^= flip
    file.write_bytes(data)
    assert stat_cache.load(held.descriptor) in ({}, {b"a": record(b"a"), b"b": record(b"b")})
    file.write_bytes(data[: cut % len(data)])
    assert stat_cache.load(held.descriptor) == {}


def test_no_cache_is_empty(state: int) -> None:
    assert stat_cache.load(state) == {}
    stat_cache.save(state, {}, LATER)
    assert stat_cache.load(state) == {}
