# SPDX-License-Identifier: Apache-2.0
"""The log: few updates whatever the history, and old ones are left alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_handoff.adapters.conversation_log import Log, first_to_merge, name_content, replay, text_of
from p2p_handoff.content.digests import Digest
from p2p_handoff.content.objects import Content
from p2p_handoff.errors import IntegrityError
from p2p_handoff.limits import MIB
from p2p_handoff.session.document import LineDocument


class Followed:
    """A document and its log, kept in memory."""

    def __init__(self) -> None:
        self.document = LineDocument.empty(1)
        self.log = Log(b"d" * 16, text_of(self.document, 0)[0])
        self.stored: dict[Digest, bytes] = {}
        self.written = 0

    def append(self, data: bytes) -> None:
        before = self.document.state_vector()
        self.document.append(data)
        self._take(before)

    def rewrite(self, lines: list[bytes]) -> None:
        before = self.document.state_vector()
        self.document.replace_with(lines)
        self._take(before)

    def _take(self, before: bytes) -> None:
        self.log, newest = self.log.followed_by(self.document, before, text_of(self.document, 0)[0])
        self.stored[self.log.updates[-1].content.ref] = newest
        self.written += len(newest)

    def render(self) -> bytes:
        document, updates = replay(self.log.root.log, lambda content: self.stored[content.ref], 2)
        assert tuple(updates) == self.log.updates
        return document.render()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=40))
def test_a_log_replays_to_the_file_after_any_appends(pieces: list[bytes]) -> None:
    followed = Followed()
    for piece in pieces:
        followed.append(piece)
    assert followed.render() == b"".join(pieces)


def test_a_thousand_appended_lines_leave_few_updates_and_little_rewriting() -> None:
    followed = Followed()
    for number in range(1_000):
        followed.append(b"%0100d\n" % number)
        assert len(followed.log.updates) <= 32
    assert followed.written < 6 * followed.log.text.size
    assert followed.render() == b"".join(b"%0100d\n" % number for number in range(1_000))


def test_a_small_update_never_rewrites_a_large_one() -> None:
    assert first_to_merge([50 * MIB, 100], 50 * MIB) == 1
    assert first_to_merge([50 * MIB, 100, 100, 100], 50 * MIB) == 3
    assert first_to_merge([50 * MIB, 100, 100, 100, 100], 50 * MIB) == 1


def test_a_merge_that_grows_into_the_next_tier_goes_on() -> None:
    sizes = [2_000, 2_000, 2_000, 500, 500, 500, 600]
    assert first_to_merge(sizes, sum(sizes)) == 0


def test_a_log_of_mostly_deleted_lines_is_written_anew() -> None:
    followed = Followed()
    for number in range(12):
        followed.rewrite([b"%d %s\n" % (number, b"x" * 20_000)])
    assert sum(content.size for content in followed.log.root.log) < 2 * 20_000 + 64 * 1024 + 1_000
    assert followed.render().startswith(b"11 ")


@given(st.lists(st.integers(1, 256 * MIB), max_size=80))
def test_any_history_of_sizes_keeps_the_log_short(history: list[int]) -> None:
    sizes: list[int] = []
    for size in history:
        sizes.append(size)
        start = first_to_merge(sizes, 512 * MIB)
        sizes[start:] = [min(sum(sizes[start:]), 512 * MIB)]
    assert len(sizes) <= 40


def test_named_content_adds_up() -> None:
    data = bytes(range(256)) * 2_000
    named = name_content(data)
    assert named.content.size == len(data) == sum(chunk.size for chunk in named.chunks)
    assert named.content.ref in named.objects


def test_an_update_of_another_size_than_listed_is_refused() -> None:
    data = LineDocument.empty(1).update_since()
    with pytest.raises(IntegrityError, match="another size"):
        replay([Content(Digest(b"r" * 32), 5, 0, 5)], lambda _: data, 2)
