# SPDX-License-Identifier: Apache-2.0
"""The plan of an update, as a table of three versions of one file."""

from __future__ import annotations

import pytest

from p2p_handoff.adapters.folder_plan import Step, Trees, plan, unit_of
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.content.objects import Content, Entry, EntryKind, encode_directory
from p2p_handoff.content.trees import Change


def file(data: bytes, *, executable: bool = False, mtime_ns: int = 0) -> Entry:
    return Entry(b"f", EntryKind.FILE, executable, mtime_ns, Content(digest(data), len(data), 0, len(data)))


OLD, NEW, MINE = file(b"old"), file(b"new"), file(b"mine")
LINK = Entry(b"f", EntryKind.SYMLINK, target=b"x")


@pytest.mark.parametrize(
    ("base", "incoming", "local", "steps"),
    [
        (OLD, NEW, OLD, [Step.PLACE]),
        (OLD, NEW, MINE, [Step.PLACE]),
        (OLD, NEW, NEW, []),
        (OLD, NEW, None, [Step.PLACE]),
        (None, NEW, None, [Step.PLACE]),
        (None, NEW, MINE, [Step.PLACE]),
        (OLD, None, OLD, [Step.REMOVE]),
        (OLD, None, MINE, []),
        (OLD, None, None, []),
        (OLD, OLD, MINE, []),
        (OLD, LINK, OLD, [Step.REMOVE, Step.PLACE]),
        (OLD, file(b"old", mtime_ns=9), OLD, [Step.TOUCH]),
        (OLD, file(b"old", executable=True), OLD, [Step.TOUCH]),
        (OLD, file(b"old", executable=True), MINE, []),
        (OLD, file(b"old", mtime_ns=9), None, []),
    ],
)
def test_a_file_in_three_versions(
    base: Entry | None, incoming: Entry | None, local: Entry | None, steps: list[Step]
) -> None:
    objects: dict[Digest, bytes] = {}
    roots = [_tree(entry, objects) for entry in (base, incoming)]
    trees = Trees(roots[0], roots[1], lambda _: local, objects.__getitem__)
    assert [operation.step for operation in plan(trees)] == steps


def _tree(entry: Entry | None, objects: dict[Digest, bytes]) -> Digest:
    data = encode_directory([entry] if entry else [])
    objects[digest(data)] = data
    return digest(data)


@pytest.mark.parametrize(
    ("path", "kind", "unit"),
    [
        ((b"a", b".git", b"refs", b"x"), EntryKind.FILE, (b"a", b".git")),
        ((b".git",), EntryKind.DIRECTORY, (b".git",)),
        ((b".git",), EntryKind.FILE, None),
        ((b"git", b"x"), EntryKind.FILE, None),
    ],
)
def test_a_repository_is_one_unit(path: tuple[bytes, ...], kind: EntryKind, unit: tuple[bytes, ...] | None) -> None:
    content = Content(digest(b"x"), 1, 0, 1)
    assert unit_of(Change(path, None, Entry(path[-1], kind, content=content))) == unit
