# SPDX-License-Identifier: Apache-2.0
"""Line differences: correct for any two texts, small where the texts are alike, quick where they are large."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from p2p_handoff.session import line_diff
from p2p_handoff.session.line_diff import Edit, edits

_lines = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n", b"e\n"]), max_size=30)


def _applied(old: list[bytes], new: list[bytes]) -> list[bytes]:
    result = list(old)
    for edit in reversed(edits(old, new)):
        result[edit.start : edit.stop] = new[edit.new_start : edit.new_stop]
    return result


@given(_lines, _lines)
def test_the_edits_turn_one_text_into_the_other(old: list[bytes], new: list[bytes]) -> None:
    assert _applied(old, new) == new


def test_equal_texts_need_no_edit() -> None:
    assert edits([b"a\n", b"b\n"], [b"a\n", b"b\n"]) == []


def test_an_appended_line_is_one_insertion() -> None:
    assert edits([b"a\n"], [b"a\n", b"b\n"]) == [Edit(1, 1, 1, 2)]


def test_two_distant_changes_leave_the_lines_between_alone() -> None:
    old = [b"%d\n" % number for number in range(100)]
    new = [b"first\n", *old[1:50], b"middle\n", *old[51:]]
    assert edits(old, new) == [Edit(0, 1, 0, 1), Edit(50, 51, 50, 51)]


def test_large_texts_are_anchored_at_lines_that_occur_once() -> None:
    old = [b"%d\n" % number for number in range(20_000)]
    new = [b"first\n", *old[1:10_000], b"middle\n", *old[10_001:19_999], b"last\n"]
    assert (len(old) * len(new)) > line_diff.MAX_COMPARISONS
    assert [edit.start for edit in edits(old, new)] == [0, 10_000, 19_999]


def test_lines_that_moved_in_a_large_text_still_give_the_right_result() -> None:
    old = [b"%d\n" % number for number in range(3_000)]
    new = [*old[2_000:], *old[:500], b"new\n", *old[500:2_000]]
    assert _applied(old, new) == new


def test_a_large_text_without_any_anchor_is_replaced_whole() -> None:
    old, new = [b"a\n", b"b\n"] * 1_000, [b"b\n", b"c\n"] * 1_000
    assert _applied(old, new) == new
    assert len(edits(old, new)) == 1
