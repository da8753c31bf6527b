# SPDX-License-Identifier: Apache-2.0
"""The root object: one encoding, strict reading, every bound enforced."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.adapters.conversation_root import Root, Text, decode_root
from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.content.objects import Content
from p2p_handoff.errors import IntegrityError
from p2p_handoff.limits import MAX_CONVERSATION, MAX_CONVERSATION_LOG, MAX_CRDT_UPDATE

_SMALL = Content(Digest(b"r" * 32), 5, 0, 5)
_LARGE = Content(Digest(b"s" * 32), 1_000_000, 1, 900)
_ROOT = Root(b"d" * 16, Text(Digest(b"t" * 32), 10, 2, 1_763_700_000_000_000_000), (_LARGE, _SMALL))


def test_a_root_reads_back_as_it_was_written() -> None:
    assert decode_root(_ROOT.encoded()) == _ROOT
    assert _ROOT.name == digest(_ROOT.encoded())


def test_the_bytes_of_a_root_are_fixed() -> None:
    root = Root(b"d" * 16, Text(Digest(b"t" * 32), 10, 2, 7), (_SMALL,))
    assert (
        root.encoded().hex()
        == (
            "84"  # four fields
            "6e636f6e766572736174696f6e2f31"  # "conversation/1"
            "50"
            + "64" * 16  # document
            + "845820"
            + "74" * 32
            + "0a0207"  # text: digest, bytes, lines, mtime in ns
            "81845820" + "72" * 32 + "050005"  # log: one update: ref, size, level, ref size
        )
    )


@pytest.mark.parametrize(
    "bad",
    [
        replace(_ROOT, document=b"short"),
        replace(_ROOT, text=replace(_ROOT.text, digest=Digest(b"x"))),
        replace(_ROOT, text=replace(_ROOT.text, size=MAX_CONVERSATION + 1)),
        replace(_ROOT, text=replace(_ROOT.text, lines=11)),
        replace(_ROOT, text=replace(_ROOT.text, size=-1)),
        replace(_ROOT, log=(_SMALL,) * (MAX_CONVERSATION_LOG + 1)),
        replace(_ROOT, log=(replace(_LARGE, size=MAX_CRDT_UPDATE + 1),)),
        replace(_ROOT, log=(replace(_LARGE, size=MAX_CRDT_UPDATE),) * 3),
        replace(_ROOT, log=(replace(_LARGE, level=99),)),
        replace(_ROOT, log=(replace(_SMALL, ref_size=6),)),
        replace(_ROOT, log=(replace(_SMALL, size=0, ref_size=0),)),
        replace(_ROOT, log=(replace(_SMALL, ref=Digest(b"")),)),
    ],
)
def test_a_root_beyond_its_bounds_is_refused(bad: Root) -> None:
    with pytest.raises(IntegrityError):
        decode_root(bad.encoded())


@pytest.mark.parametrize(
    "value",
    [
        [],
        ["dir/1", []],
        ["conversation/2", b"d" * 16, [b"t" * 32, 10, 2, 7], []],
        ["conversation/1", b"d" * 16, [b"t" * 32, True, False, 7], []],
        ["conversation/1", b"d" * 16, [b"t" * 32, 10, 2], []],
        ["conversation/1", b"d" * 16, [b"t" * 32, 10, 2, 7], [5]],
    ],
)
def test_other_objects_are_refused(value: object) -> None:
    with pytest.raises(IntegrityError):
        decode_root(strict_cbor.encode(value))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_root(data)
