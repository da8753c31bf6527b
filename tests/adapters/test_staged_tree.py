# SPDX-License-Identifier: Apache-2.0
"""A tree is written where it stays, turned to another one, and taken back after a crash."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.beneath import Components
from p2p_handoff.adapters.file_system_traits import Traits, probe
from p2p_handoff.adapters.staged_tree import StagedTree, reclaim
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.content.objects import Content, Entry, EntryKind
from p2p_handoff.limits import MAX_TREE_DEPTH

Model = dict[Components, Entry]


class Place:
    """A staging directory with its contents, and the tree in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pool = root / "contents"
        self.pool.mkdir()
        self._held = [beneath.HeldDirectory(beneath.open_root(item)) for item in (root, self.pool)]
        self.staging, self.contents = (held.descriptor for held in self._held)
        self.traits: Traits = probe(self.staging)
        self.tree = self.new()

    def new(self) -> StagedTree:
        return StagedTree(self.staging, self.contents, self.traits)

    def has(self, name: Digest) -> bool:
        return (self.pool / name.hex()).exists()

    def deliver(self, model: Model, here: set[Digest]) -> None:
        """What a transfer does: ask for what is not here, write it, put the rest in place."""
        self.tree.aim(model)
        for entry in model.values():
            if entry.kind is EntryKind.FILE and entry.content is not None and entry.content.ref not in here:
                assert self.tree.write(entry.content.ref, data_of(entry)) or not entry.content.size
                here.add(entry.content.ref)
        self.tree.finish()

    def found(self) -> dict[Components, tuple[object, ...]]:
        return {
            tuple(os.fsencode(item) for item in path.relative_to(self.root / "tree").parts): looks(path)
            for path in (self.root / "tree").rglob("*")
        }


def looks(path: Path) -> tuple[object, ...]:
    if path.is_symlink():
        return ("link", os.fsencode(path.readlink()))
    if path.is_dir():
        return ("directory",)
    status = path.stat()
    return ("file", path.read_bytes(), status.st_mtime_ns, status.st_mode & 0o777, status.st_nlink)


TEXTS = {digest(text): text for text in (b"", b"one", b"two", b"three")}


def data_of(entry: Entry) -> bytes:
    assert entry.content is not None
    return TEXTS[entry.content.ref]


def a_file(name: bytes, text: bytes = b"one", mtime: int = 10**18, *, executable: bool = False) -> Entry:
    assert text in TEXTS.values()
    content = Content(digest(text), len(text), 0, len(text))
    return Entry(name, EntryKind.FILE, executable=executable, mtime_ns=mtime, content=content)


def a_directory(name: bytes) -> Entry:
    return Entry(name, EntryKind.DIRECTORY, content=Content(Digest(bytes(32)), 1, 0, 1))


def a_link(name: bytes, target: bytes) -> Entry:
    return Entry(name, EntryKind.SYMLINK, target=target)


def expected(model: Model, traits: Traits) -> dict[Components, tuple[object, ...]]:
    return {path: _expected(entry, traits) for path, entry in model.items()}


def _expected(entry: Entry, traits: Traits) -> tuple[object, ...]:
    if entry.content is None:
        return ("link", entry.target)
    if entry.kind is EntryKind.DIRECTORY:
        return ("directory",)
    return ("file", data_of(entry), entry.mtime_ns, traits.mode(executable=entry.executable), 1)


NAMES = st.sampled_from([b"a", b"b", b"c"])


@st.composite
def models(draw: st.DrawFn) -> Model:
    model: Model = {}
    _grow(draw, (), model, 0)
    return model


def _grow(draw: st.DrawFn, above: Components, model: Model, depth: int) -> None:
    for name in draw(st.sets(NAMES)):
        kind = draw(st.sampled_from(["file", "file", "file", "link", "directory"]))
        if kind == "directory" and depth < 3:
            model[*above, name] = a_directory(name)
            _grow(draw, (*above, name), model, depth + 1)
        elif kind == "link":
            model[*above, name] = a_link(name, draw(st.sampled_from([b"a", b"../b", b"/nowhere"])))
        else:
            text, time = draw(st.sampled_from(sorted(TEXTS.values()))), draw(st.sampled_from([10**18, 10**18 + 1]))
            model[*above, name] = a_file(name, text, time, executable=draw(st.booleans()))


@settings(deadline=None, max_examples=60)
@given(st.lists(models(), min_size=1, max_size=4), st.sets(st.integers(0, 3)))
def test_any_tree_after_any_other_and_after_crashes_is_what_was_aimed_at(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[Model], crashes: set[int]
) -> None:
    place = Place(tmp_path_factory.mktemp("place"))
    here: set[Digest] = set()
    for number, model in enumerate(rounds):
        if number in crashes:
            found = set(reclaim(place.staging, place.contents))
            assert {name for name in here - {digest(b"")} if not place.has(name)} == set()
            assert found <= here
            place.tree = place.new()
        place.deliver(model, here)
        assert place.found() == expected(model, place.traits)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_content_comes_to_all_its_places_as_files_of_their_own(place: Place) -> None:
    model: Model = {(b"a",): a_file(b"a"), (b"b",): a_file(b"b", executable=True)}
    place.tree.aim(model)
    assert place.tree.write(digest(b"one"), b"one")
    assert place.found() == expected(model, place.traits)
    assert not place.tree.write(digest(b"one"), b"one"), "it goes nowhere any more"
    (place.root / "tree" / "a").write_bytes(b"changed")
    assert (place.root / "tree" / "b").read_bytes() == b"one"


def test_a_file_that_moves_between_rounds_is_not_asked_for_again(place: Place) -> None:
    here: set[Digest] = set()
    place.deliver({(b"a",): a_file(b"a")}, here)
    inode = (place.root / "tree" / "a").stat().st_ino
    moved: Model = {(b"d",): a_directory(b"d"), (b"d", b"b"): a_file(b"b", mtime=5, executable=True)}
    place.deliver(moved, here)
    assert place.found() == expected(moved, place.traits)
    assert (place.root / "tree" / "d" / "b").stat().st_ino == inode


def test_a_place_that_is_taken_leaves_nothing_half_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    model: Model = {(b"a",): a_file(b"a"), (b"b",): a_file(b"b")}
    place.tree.aim(model)
    real, failures = os.pwrite, iter([False, True])

    def write(descriptor: int, data: bytes, offset: int) -> int:
        if next(failures, False):
            raise OSError(28, "No space left on device")
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", write)
    with pytest.raises(OSError, match="No space"):
        place.tree.write(digest(b"one"), b"one")
    assert sorted(place.found()) == [(b"a",)]
    assert place.tree.write(digest(b"one"), b"one"), "it is waited for as before"
    assert place.found() == expected(model, place.traits)


def test_a_file_cut_short_by_a_crash_counts_as_what_it_is(place: Place) -> None:
    place.deliver({(b"a",): a_file(b"a", b"three")}, set())
    os.truncate(place.root / "tree" / "a", 2)
    assert list(reclaim(place.staging, place.contents)) == [digest(b"th")]
    assert not place.has(digest(b"three"))


def test_a_link_where_a_directory_was_made_is_not_followed(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    model = {(b"d",): a_directory(b"d"), (b"d", b"a"): a_file(b"a"), (b"e",): a_directory(b"e")}
    place.tree.aim(model)
    (place.root / "tree" / "d").rmdir()
    (place.root / "tree" / "d").symlink_to(outside)
    with pytest.raises(OSError, match=r"Too many levels|Not a directory"):
        place.tree.write(digest(b"one"), b"one")
    assert not list(outside.iterdir())


def _deep(names: int) -> Iterator[tuple[Components, Entry]]:
    path: Components = ()
    for _ in range(names):
        path = (*path, b"n" * 250)
        yield path, a_directory(path[-1])
    yield (*path, b"a"), replace(a_file(b"a"))


def test_a_path_longer_than_the_system_takes_in_one_call(place: Place) -> None:
    model = dict(_deep(MAX_TREE_DEPTH - 1))
    place.tree.aim(model)
    assert place.tree.write(digest(b"one"), b"one")
    assert place.tree.write(digest(b"two"), b"two") is False
    assert list(reclaim(place.staging, place.contents)) == [digest(b"one")]
