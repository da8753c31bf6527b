# SPDX-License-Identifier: Apache-2.0
"""The stat cache: what it keeps, and what it does not trust."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from p2p_handoff.adapters import stat_cache
from p2p_handoff.adapters.beneath import HeldDirectory, open_root
from p2p_handoff.adapters.stat_cache import FileRecord, Loaded, Moment, lasting, trusted_still
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
    stat_cache.save(state, records)
    assert stat_cache.load(state) == Loaded(records, 2, whole=True)


def test_racy_records_do_not_last() -> None:
    assert set(lasting({b"old": record(b"old"), b"racy": record(b"racy", LATER - 1)}, LATER)) == {b"old"}


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


def test_later_segments_replace_what_earlier_ones_say(state: int) -> None:
    stat_cache.save(state, {b"a": record(b"a"), b"b": record(b"b")})
    newer = record(b"b", 10**18 + 2)
    stat_cache.append(state, {b"b": newer, b"c": record(b"c")})
    assert stat_cache.load(state) == Loaded({b"a": record(b"a"), b"b": newer, b"c": record(b"c")}, 4, whole=True)


@given(cut=st.integers(0, 2_000), flip=st.integers(1, 255))
def test_a_damaged_cache_knows_what_comes_before_the_damage(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int
) -> None:
    home = tmp_path_factory.mktemp("state")
    held = HeldDirectory(open_root(home))
    stat_cache.save(held.descriptor, {b"a": record(b"a")})
    file = home / "stat-cache"
    first = file.stat().st_size
    stat_cache.append(held.descriptor, {b"a": record(b"a", 10**18 + 2), b"b": record(b"b")})
    data = bytearray(file.read_bytes())
    place = cut % len(data)
    left = Loaded({b"a": record(b"a")}, 1) if place >= first else Loaded()
    file.write_bytes(data[:place])
    assert stat_cache.load(held.descriptor) == (replace(left, whole=True) if place in {0, first} else left) or not place
    data[place] ^= flip
    file.write_bytes(data)
    assert stat_cache.load(held.descriptor) == left


def test_no_cache_is_empty(state: int) -> None:
    assert stat_cache.load(state) == Loaded()
    stat_cache.save(state, {})
    assert stat_cache.load(state) == Loaded(whole=True)


@dataclass
class SimulatedFile:
    """A file on a file system that stamps once per tick, and clocks."""

    tick_ns: int
    wall_ns: int = 10**18
    steady_ns: int = 0
    content: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0

    def wait(self, span_ns: int) -> None:
        self.wall_ns += span_ns
        self.steady_ns += span_ns

    def edit(self, content: int, *, restore_time: bool) -> None:
        self.content = content
        self.ctime_ns = self.wall_ns // self.tick_ns * self.tick_ns
        if not restore_time:
            self.mtime_ns = self.ctime_ns

    def status(self) -> os.stat_result:
        fields = {"st_mtime_ns": self.mtime_ns, "st_ctime_ns": self.ctime_ns}
        return os.stat_result((0o100600, 7, 0, 1, 0, 0, 4, 0, 0, 0), fields)

    def record(self) -> FileRecord:
        read = digest(self.content.to_bytes(4, "big"))
        entry = Entry(b"file", EntryKind.FILE, mtime_ns=self.mtime_ns, content=Content(read, 4, 0, 4))
        return FileRecord(entry, self.ctime_ns, 7)

    def moment(self) -> Moment:
        return Moment(self.wall_ns, self.steady_ns)


MS = 1_000_000
SPANS = st.sampled_from(
    [0, MS, 4 * MS, 11 * MS, 49 * MS, 51 * MS, 999 * MS, 1_001 * MS, 2_999 * MS, 3_001 * MS, 10**13]
)
STEPS = st.one_of(
    st.tuples(st.just("wait"), SPANS),
    st.tuples(st.just("set the clock"), SPANS.flatmap(lambda span: st.sampled_from([span, -span]))),
    st.tuples(st.just("edit"), st.integers(1, 3)),
    st.tuples(st.just("edit and restore the time"), st.integers(1, 3)),
    st.tuples(st.just("look"), st.just(0)),
)


SET_BACK = [("edit", 1), ("wait", 51 * MS), ("look", 0), ("set the clock", -51 * MS), ("edit and restore the time", 2)]


@settings(max_examples=500, deadline=None)
@example(tick_ns=10 * MS, offset=0, steps=SET_BACK)
@given(
    tick_ns=st.sampled_from([1, 4 * MS, 10 * MS, 1_000 * MS, 2_000 * MS]),
    offset=st.sampled_from([0, 1, 3 * MS]),
    steps=st.lists(STEPS, max_size=30),
)
def test_every_edit_is_seen_whenever_it_happens(tick_ns: int, offset: int, steps: list[tuple[str, int]]) -> None:
    """Same size, restored times, within a tick of the last look, clocks set to and fro: a look sees what is there."""
    file = SimulatedFile(tick_ns, wall_ns=10**18 + offset)
    file.edit(0, restore_time=False)
    known: dict[bytes, FileRecord] = {}
    last = file.moment()
    for act, value in [*steps, ("look", 0)]:
        match act:
            case "wait":
                file.wait(value)
            case "set the clock":
                file.wall_ns += value
            case "look":
                here = file.moment()
                known = trusted_still(known, last, here)
                record = known.get(b"file")
                if record is None or not record.describes(file.status()):
                    record = file.record()
                    known = lasting({b"file": record}, here.wall_ns)
                assert record == file.record()
                last = here
            case _:
                file.edit(value, restore_time=act != "edit")
