# SPDX-License-Identifier: Apache-2.0
"""Packs of directory objects."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.adapters import tree_pack
from p2p_handoff.content.digests import digest
from p2p_handoff.content.objects import Content, Entry, EntryKind, encode_directory


def example() -> tree_pack.TreePack:
    inner = encode_directory([Entry(b"link", EntryKind.SYMLINK, target=b"x")])
    content = Content(digest(inner), len(inner), 0, len(inner))
    outer = encode_directory([Entry(name, EntryKind.DIRECTORY, content=content) for name in (b"a", b"b")])
    objects = {digest(inner): inner, digest(outer): outer}
    return tree_pack.collect(digest(outer), objects.__getitem__)


def test_a_pack_holds_each_directory_once() -> None:
    assert len(example().objects) == 2


def test_a_pack_comes_back() -> None:
    assert tree_pack.decode(tree_pack.encode(example())) == example()


@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_damaged_pack_is_absent(place: int, flip: int) -> None:
    data = bytearray(tree_pack.encode(example()))
    data[place % len(data)] ^= flip
    assert tree_pack.decode(bytes(data)) is None
    assert tree_pack.decode(bytes(data[: place % len(data)])) is None
