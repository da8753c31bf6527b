# SPDX-License-Identifier: Apache-2.0
"""Pictures that look only at what changed are those of a walk, whatever happens to the folder."""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from typing_extensions import override

from p2p_handoff.adapters import beneath, file_hash, folder_scan
from p2p_handoff.adapters.changes import Changes
from p2p_handoff.adapters.folder import OpenFolder
from p2p_handoff.adapters.folder_memory import FolderMemory
from p2p_handoff.adapters.folder_scan import scan
from p2p_handoff.adapters.ignore import IgnoreRules, load_rules
from p2p_handoff.adapters.scanned import Scan
from p2p_handoff.adapters.stat_cache import load
from p2p_handoff.errors import ContentGoneError

NAMES = st.sampled_from(["a", "b", "a-b", ".git", "kept.log"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
CONTENTS = {"nothing": b"", "one": b"one", "two": b"two", "long": b"x" * 40_000, "other": bytes(range(256)) * 400}
WHAT = st.sampled_from(sorted(CONTENTS))


def fresh_scan(folder: Path) -> Scan:
    """What somebody sees who knows nothing."""
    held = beneath.HeldDirectory(beneath.open_root(folder))
    return scan(held.descriptor, {}, load_rules(held.descriptor))


@settings(
    max_examples=15,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
class WatchedFolder(RuleBasedStateMachine):
    """People and programs do what they like in a folder; after each step the picture must be the one of a walk."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(os.environ["WATCHED_FOLDERS"]) / str(id(self))
        self.folder = self.place / "folder"
        self.folder.mkdir(parents=True)
        self.part = OpenFolder(self.folder, self.place / "state", "here")
        self.stop: Callable[[], None] = self.part.watch(lambda: None)
        self.part.snapshot()

    @override
    def teardown(self) -> None:
        self.stop()
        shutil.rmtree(self.place)

    @rule(path=PATHS, what=WHAT)
    def write(self, path: str, what: str) -> None:
        with contextlib.suppress(OSError):
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            if not (self.folder / path).is_fifo():  # which waits for a reader
                (self.folder / path).write_bytes(CONTENTS[what])

    @rule(path=PATHS, data=st.sampled_from([b"one", b"two"]))
    def rewrite_with_the_old_times(self, path: str, data: bytes) -> None:
        place = self.folder / path
        if place.is_file():
            before = place.stat()
            place.write_bytes(data)
            os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))

    @rule(path=PATHS)
    def remove(self, path: str) -> None:
        place = self.folder / path
        with contextlib.suppress(OSError):
            shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()

    @rule(old=PATHS, new=PATHS)
    def rename(self, old: str, new: str) -> None:
        with contextlib.suppress(OSError):
            (self.folder / old).rename(self.folder / new)

    @rule(path=PATHS)
    def make_directories(self, path: str) -> None:
        with contextlib.suppress(OSError):
            (self.folder / path / "deep").mkdir(parents=True)

    @rule(path=PATHS, executable=st.booleans())
    def change_mode(self, path: str, *, executable: bool) -> None:
        if (self.folder / path).is_file():
            (self.folder / path).chmod(0o700 if executable else 0o600)

    @rule(path=PATHS)
    def link_to_nowhere(self, path: str) -> None:
        with contextlib.suppress(OSError):
            (self.folder / path).symlink_to("nowhere")

    @rule(path=PATHS)
    def make_a_fifo(self, path: str) -> None:
        with contextlib.suppress(OSError):
            os.mkfifo(self.folder / path)

    @rule(path=PATHS)
    def move_out_and_in_again(self, path: str) -> None:
        with contextlib.suppress(OSError):
            (self.folder / path).rename(self.place / "outside")
            for item in self.place.glob("outside/*"):
                item.rename(item.with_name("renamed outside"))
            (self.place / "outside").rename(self.folder / path)

    @rule(old=PATHS, new=PATHS, what=WHAT)
    def write_through_another_name(self, old: str, new: str, what: str) -> None:
        with contextlib.suppress(OSError):
            os.link(self.folder / old, self.folder / new)
            self.part.snapshot()
            if not (self.folder / new).is_fifo():
                (self.folder / new).write_bytes(CONTENTS[what])

    @rule(ignored=st.sampled_from(["", "*.log\n", "a/\n"]))
    def ignore(self, ignored: str) -> None:
        (self.folder / ".handoffignore").write_text(ignored)

    @rule()
    def picture_through_a_restart(self) -> None:
        self.stop()
        self.part = OpenFolder(self.folder, self.place / "state", "here")
        self.stop = self.part.watch(lambda: None)

    @precondition(lambda self: self.folder.exists())
    @invariant()
    def the_picture_is_that_of_a_walk(self) -> None:
        seen, expected = self.part.snapshot(), fresh_scan(self.folder)
        assert seen.root == expected.root.ref
        assert seen.scan.records.keys() == expected.records.keys()
        assert seen.scan.directories.keys() == expected.directories.keys()
        assert sorted(seen.skipped) == sorted(expected.skipped)
        assert seen.scan.objects() == expected.objects()


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHED_FOLDERS", str(tmp_path))


TestWatchedFolder = WatchedFolder.TestCase


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "folder"
    (place / "d").mkdir(parents=True)
    for name in ("a", "b", "d/c"):
        (place / name).write_bytes(name.encode() * 100)
        os.utime(place / name, ns=(10**18, 10**18))
    return place


@pytest.fixture
def memory(tmp_path: Path) -> FolderMemory:
    (tmp_path / "state").mkdir()
    return FolderMemory(beneath.HeldDirectory(beneath.open_root(tmp_path / "state")))


@pytest.fixture
def opened(folder: Path) -> Iterator[int]:
    held = beneath.HeldDirectory(beneath.open_root(folder))
    yield held.descriptor
    held.close()


RULES = IgnoreRules()


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Directories that were listed."""
    listed: list[bytes] = []
    visit = folder_scan._Walk._visit

    def noted(self: folder_scan._Walk, opened: int, path: bytes) -> None:
        listed.append(path)
        visit(self, opened, path)

    monkeypatch.setattr(folder_scan._Walk, "_visit", noted)
    return listed


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Files that were read."""
    names: list[bytes] = []
    hash_small = file_hash.hash_small

    def noted(opened: int, name: bytes, before: os.stat_result) -> file_hash.HashedFile | None:
        names.append(name)
        return hash_small(opened, name, before)

    monkeypatch.setattr(folder_scan, "hash_small", noted)
    return names


def settle() -> None:
    """Let the last change be so old that its file's status can be trusted."""
    time.sleep(0.06)


def test_where_nothing_changed_nothing_is_looked_at(memory: FolderMemory, opened: int, walks: list[bytes]) -> None:
    first = memory.look(opened, RULES, None)
    walks.clear()
    assert memory.look(opened, RULES, Changes()) is first
    assert not walks


def test_a_change_costs_a_look_at_it(
    memory: FolderMemory, opened: int, folder: Path, walks: list[bytes], reads: list[bytes]
) -> None:
    memory.look(opened, RULES, None)
    (folder / "d/c").write_bytes(b"other")
    walks.clear()
    reads.clear()
    found = memory.look(opened, RULES, Changes(entries=frozenset({b"d/c"})))
    assert (walks, reads) == ([], [b"c"])
    assert found.root == fresh_scan(folder).root


def test_without_an_account_everything_is_looked_at_and_nothing_read(
    memory: FolderMemory, opened: int, folder: Path, walks: list[bytes], reads: list[bytes]
) -> None:
    settle()
    memory.look(opened, RULES, None)
    walks.clear()
    reads.clear()
    memory.look(opened, RULES, None)
    assert walks == [b"", b"d"]
    assert not reads


def test_after_a_failure_everything_is_looked_at(
    memory: FolderMemory, opened: int, folder: Path, walks: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.look(opened, RULES, None)
    (folder / "a").write_bytes(b"other")

    def fail(*_: object) -> None:
        raise ContentGoneError("a file that keeps changing")

    with monkeypatch.context() as failing:
        failing.setattr(folder_scan._Walk, "_take_file", fail)
        with pytest.raises(ContentGoneError):
            memory.look(opened, RULES, Changes(entries=frozenset({b"a"})))
    walks.clear()
    assert memory.look(opened, RULES, Changes()).root == fresh_scan(folder).root
    assert walks[:2] == [b"", b"d"]


def test_other_rules_are_a_walk(memory: FolderMemory, opened: int, walks: list[bytes]) -> None:
    memory.look(opened, RULES, None)
    walks.clear()
    assert b"a" not in memory.look(opened, IgnoreRules(b"a\n"), Changes()).records
    assert walks


def test_what_is_doubted_is_read_whatever_its_status_says(
    memory: FolderMemory, opened: int, folder: Path, reads: list[bytes]
) -> None:
    settle()
    memory.look(opened, RULES, None)
    reads.clear()
    memory.doubt([b"b", b"never there"])
    memory.look(opened, RULES, Changes())
    assert reads == [b"b"]
    memory.doubt([b"a"])
    memory.look(opened, RULES, None)
    assert reads == [b"b", b"a"]


def test_what_was_learned_outlives_a_restart_and_costs_what_changed(
    memory: FolderMemory, opened: int, folder: Path, tmp_path: Path, reads: list[bytes]
) -> None:
    settle()
    memory.look(opened, RULES, None)
    size = (tmp_path / "state/stat-cache").stat().st_size
    (folder / "a").write_bytes(b"other")
    settle()
    memory.look(opened, RULES, Changes(entries=frozenset({b"a"})))
    assert size < (tmp_path / "state/stat-cache").stat().st_size < 2 * size
    reads.clear()
    held = beneath.HeldDirectory(beneath.open_root(tmp_path / "state"))
    FolderMemory(held).look(opened, RULES, None)
    assert not reads


def test_the_cache_file_does_not_grow_for_ever(
    memory: FolderMemory, opened: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2p_handoff.adapters.folder_memory._SPARE_ROWS", 5)
    held = beneath.HeldDirectory(beneath.open_root(tmp_path / "state"))
    settle()
    memory.look(opened, RULES, None)
    for number in range(20):
        (folder / "a").write_bytes(b"%d" % number)
        settle()
        memory.look(opened, RULES, Changes(entries=frozenset({b"a"})))
        assert load(held.descriptor).rows <= 2 * 3 + 5
    assert load(held.descriptor).records.keys() == {b"a", b"b", b"d/c"}


def test_a_damaged_cache_file_is_written_anew(memory: FolderMemory, opened: int, tmp_path: Path) -> None:
    (tmp_path / "state/stat-cache").write_bytes(b"nonsense")
    held = beneath.HeldDirectory(beneath.open_root(tmp_path / "state"))
    settle()
    memory.look(opened, RULES, None)
    assert load(held.descriptor).whole
    assert load(held.descriptor).rows == 3


def test_a_repository_is_looked_at_as_a_whole(
    memory: FolderMemory, opened: int, folder: Path, walks: list[bytes]
) -> None:
    (folder / "d/.git/objects").mkdir(parents=True)
    (folder / "d/.git/HEAD").write_bytes(b"ref")
    memory.look(opened, RULES, None)
    walks.clear()
    memory.look(opened, RULES, Changes(entries=frozenset({b"d/.git/HEAD"})))
    assert walks == [b"d/.git", b"d/.git/objects"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and inotify are Linux's")
def test_a_freeze_sees_what_a_mapping_wrote_unseen_by_the_watcher(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("p2p_handoff.adapters.folder._WALKED", 0)
    (folder / "a").write_bytes(bytes(4096))
    settle()
    part = OpenFolder(folder, tmp_path / "state", "here")
    stop = part.watch(lambda: None)
    part.snapshot()
    with (folder / "a").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        part.snapshot()
        mapped[:4] = b"late"
        assert part.freeze().root == fresh_scan(folder).root.ref
        mapped[:5] = b"later"
        assert part.freeze().root == fresh_scan(folder).root.ref
    stop()
