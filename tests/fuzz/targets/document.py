# SPDX-License-Identifier: Apache-2.0
"""Target: updates of a conversation's document, from a peer."""

from __future__ import annotations

from typing import Final

from p2p_handoff.session.document import EMPTY_STATE, LineDocument, split_lines
from tests.fuzz.target import Shape, Target, attempt, must, refused

_OURS: Final = b"one\ntwo\nthree\n"
_HERE, _THERE = 0x0F_1E2D_3C4B_5A69, 0x0A_9B8C_7D6E_5F40
"""Ids of writers as a device draws them: who could guess one could break any document."""


def _imported(data: bytes) -> bool:
    """Two updates: before and after the cut that the first byte names; into a document with lines of its own."""
    cut = data[0] if data else 0
    updates = (data[1 : 1 + cut], data[1 + cut :]) if cut else (data[1:],)
    document = LineDocument.empty(_HERE)
    document.append(_OURS)
    for update in updates:
        if refused(document.apply, update):
            return False
    return attempt(_still_works, document) is True


def _still_works(document: LineDocument) -> bool:
    """What this device does with a document that it imported into: show, edit, hand over."""
    shown = document.render()
    must(b"".join(split_lines(shown)) == shown, "lines do not join to what is shown")
    must(split_lines(shown) == document.lines(), "what is shown splits into other lines")
    items = list(document._array)
    must([bytes(item) for item in items] == document._items, "the mirror of a document differs from it")
    copy = LineDocument.empty(_THERE)
    copy.apply(document.update_since(EMPTY_STATE))
    must(copy.render() == shown, "another replica shows something else")
    before = copy.state_vector()
    copy.append(b"four\n")
    document.apply(copy.update_since(before))
    must(document.render() == copy.render(), "two replicas differ after an edit")
    return True


def _updates() -> list[bytes]:
    first = LineDocument.empty(1)
    first.append(b"a\nb\nc\n")
    whole = first.update_since(EMPTY_STATE)
    second = LineDocument.empty(2)
    second.apply(whole)
    seen = second.state_vector()
    second.replace_with([b"a\n", b"B\n", b"d"])
    step = second.update_since(seen)
    everything = second.update_since(EMPTY_STATE)
    return [bytes([0]) + whole, bytes([0]) + everything, bytes([len(whole)]) + whole + step, bytes([0]) + step]


TARGETS = (
    Target(
        "crdt",
        "refused, or every replica shows the same and can go on; the mirror is the document; no panic",
        _imported,
        Shape.RAW,
        _updates,
    ),
)
