# SPDX-License-Identifier: Apache-2.0
"""Walks and differences: complete, in a usable order, and no more expensive than the change."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.content import trees
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.content.objects import Content, Entry, EntryKind, encode_directory
from p2p_handoff.content.trees import Change, diff, walk
from p2p_handoff.errors import IntegrityError
from p2p_handoff.limits import MAX_TREE_DEPTH

Tree = dict[bytes, "Tree | bytes | str"]
"""Directories as dicts, files as their bytes, symbolic links as text."""

NAMES = st.sampled_from([b"a", b"b", b"c", b"a.b"])
TREES = st.recursive(
    st.dictionaries(NAMES, st.binary(max_size=2) | st.sampled_from(["t", "u"]), max_size=3),
    lambda inner: st.dictionaries(NAMES, inner | st.binary(max_size=2), max_size=4),
    max_leaves=12,
)


class Store:
    """Directory objects by digest, counting what is read."""

    def __init__(self) -> None:
        self.objects: dict[Digest, bytes] = {}
        self.reads = 0

    def read(self, name: Digest) -> bytes:
        self.reads += 1
        return self.objects[name]

    def add(self, tree: Tree) -> Digest:
        data = encode_directory(self.entry(name, node) for name, node in tree.items())
        self.objects[digest(data)] = data
        return digest(data)

    def entry(self, name: bytes, node: Tree | bytes | str) -> Entry:
        if isinstance(node, str):
            return Entry(name, EntryKind.SYMLINK, target=node.encode())
        if isinstance(node, bytes):
            return Entry(name, EntryKind.FILE, content=Content(digest(node), len(node), 0, len(node)))
        ref = self.add(node)
        size = len(self.objects[ref])
        return Entry(name, EntryKind.DIRECTORY, content=Content(ref, size, 0, size))


def apply(root: Digest, store: Store, changes: list[Change]) -> dict[tuple[bytes, ...], Entry]:
    """Carry changes out on a flat picture, as strictly as a file system does."""
    state = dict(walk(root, store.read))
    for change in changes:
        if change.old is not None:
            assert state.pop(change.path) == change.old
            if change.new is None:
                assert not any(path[:-1] == change.path for path in state), "removed before its children"
        if change.new is not None:
            assert change.path not in state
            if len(change.path) > 1:
                assert state[change.path[:-1]].kind is EntryKind.DIRECTORY, "added before its parent"
            state[change.path] = change.new
    return state


def without_directory_contents(state: dict[tuple[bytes, ...], Entry]) -> dict[tuple[bytes, ...], Entry | EntryKind]:
    """A directory that differs only inside is no change of its own."""
    return {path: entry.kind if entry.kind is EntryKind.DIRECTORY else entry for path, entry in state.items()}


@given(TREES, TREES)
def test_the_difference_turns_one_tree_into_the_other(old: Tree, new: Tree) -> None:
    store = Store()
    before, after = store.add(old), store.add(new)
    result = apply(before, store, list(diff(before, after, store.read)))
    assert without_directory_contents(result) == without_directory_contents(dict(walk(after, store.read)))


@given(TREES)
def test_equal_trees_do_not_differ_and_are_not_read(tree: Tree) -> None:
    store = Store()
    root = store.add(tree)
    assert list(diff(root, root, store.read)) == []
    assert store.reads == 0


@given(TREES)
def test_everything_is_new_against_no_tree(tree: Tree) -> None:
    store = Store()
    root = store.add(tree)
    expected = [Change(path, None, entry) for path, entry in walk(root, store.read)]
    assert list(diff(None, root, store.read)) == expected


def test_a_walk_is_depth_first_and_sorted() -> None:
    store = Store()
    root = store.add({b"b": b"", b"a": {b"z": "t", b"y": {}}, b"a.b": b""})
    paths = [b"/".join(path) for path, _ in walk(root, store.read)]
    assert paths == [b"a", b"a/y", b"a/z", b"a.b", b"b"]


def test_a_directory_that_came_or_went_is_a_change_of_its_own() -> None:
    store = Store()
    empty, full = store.add({}), store.add({b"d": {b"e": {b"f": b"x"}}})
    came = [(b"/".join(change.path), change.old is None) for change in diff(empty, full, store.read)]
    went = [(b"/".join(change.path), change.new is None) for change in diff(full, empty, store.read)]
    assert came == [(b"d", True), (b"d/e", True), (b"d/e/f", True)]
    assert went == [(b"d/e/f", True), (b"d/e", True), (b"d", True)]


def test_a_changed_kind_is_a_removal_and_then_an_addition() -> None:
    store = Store()
    old, new = store.add({b"x": {b"y": b"1"}}), store.add({b"x": b"1"})
    there = [(change.path, change.old is None) for change in diff(old, new, store.read)]
    back = [(change.path, change.old is None) for change in diff(new, old, store.read)]
    assert there == [((b"x", b"y"), False), ((b"x",), False), ((b"x",), True)]
    assert back == [((b"x",), False), ((b"x",), True), ((b"x", b"y"), True)]


def test_equal_subtrees_are_not_read() -> None:
    store = Store()
    large: Tree = {b"%d" % number: {b"f": b"%d" % number} for number in range(100)}
    old, new = store.add({b"large": large, b"f": b"1"}), store.add({b"large": large, b"f": b"2"})
    assert len(list(diff(old, new, store.read))) == 1
    assert store.reads == 2


def nested(depth: int) -> Tree:
    tree: Tree = {}
    for _ in range(depth):
        tree = {b"d": tree}
    return tree


def test_depth_is_bounded() -> None:
    store = Store()
    deepest, deeper = store.add(nested(MAX_TREE_DEPTH - 1)), store.add(nested(MAX_TREE_DEPTH))
    assert sum(1 for _ in walk(deepest, store.read)) == MAX_TREE_DEPTH - 1
    with pytest.raises(IntegrityError, match="deep"):
        list(walk(deeper, store.read))
    with pytest.raises(IntegrityError, match="deep"):
        list(diff(None, deeper, store.read))


def test_a_tree_that_stands_for_endless_entries_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "MAX_TREE_ENTRIES", 1000)
    store = Store()
    bomb: Tree = {}
    for _ in range(12):
        bomb = {b"a": bomb, b"b": bomb}
    root = store.add(bomb)
    assert len(store.objects) == 13
    with pytest.raises(IntegrityError, match="more than 1000"):
        list(walk(root, store.read))
    with pytest.raises(IntegrityError, match="more than 1000"):
        list(diff(None, root, store.read))


@pytest.mark.parametrize("walker", [walk, lambda root, read: diff(None, root, read)])
def test_an_object_that_is_not_what_its_digest_says_is_refused(walker: Callable[..., Iterator[object]]) -> None:
    store = Store()
    root, other = store.add({b"a": b"1"}), store.add({b"a": b"2"})
    items = walker(root, lambda _: store.objects[other])
    with pytest.raises(IntegrityError, match="digest"):
        list(items)
