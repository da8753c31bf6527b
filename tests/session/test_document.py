# SPDX-License-Identifier: Apache-2.0
"""The line document: exact bytes, convergence, and no line of anybody's insertions lost."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Doc, Text

from p2p_handoff.errors import IntegrityError, UsageError
from p2p_handoff.session import document
from p2p_handoff.session.document import LineDocument, new_client_id, split_lines

_law = settings(max_examples=60, deadline=None)
_text = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n", b"\xff\x00\n", b"tail"]), max_size=12).map(b"".join)


def _document(data: bytes, client_id: int = 1) -> LineDocument:
    made = LineDocument.empty(client_id)
    made.replace_with(split_lines(data))
    return made


def _replica(of: LineDocument, client_id: int) -> LineDocument:
    made = LineDocument.empty(client_id)
    made.apply(of.update_since())
    return made


def _exchange(one: LineDocument, other: LineDocument) -> None:
    to_one, to_other = other.update_since(one.state_vector()), one.update_since(other.state_vector())
    one.apply(to_one)
    other.apply(to_other)


@_law
@given(st.binary())
def test_splitting_any_bytes_loses_nothing(data: bytes) -> None:
    lines = split_lines(data)
    assert b"".join(lines) == data
    assert all(line.endswith(b"\n") for line in lines[:-1])
    assert all(lines)


@_law
@given(st.binary())
def test_any_bytes_come_out_of_another_replica_as_they_went_in(data: bytes) -> None:
    assert _replica(_document(data), 2).render() == data


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\n", b"\0", b"\xff\xfe\n\x80", b"a\r\nb\r", b"no end", b'{"a":1}\n'])
def test_odd_files_are_kept_exactly(data: bytes) -> None:
    assert _replica(_document(data), 2).render() == data


@_law
@given(_text, _text)
def test_replacing_shows_exactly_the_new_lines_on_every_replica(old: bytes, new: bytes) -> None:
    here = _document(old)
    there = _replica(here, 2)
    here.replace_with(split_lines(new))
    there.apply(here.update_since(there.state_vector()))
    assert here.render() == there.render() == new


@_law
@given(_text, _text)
def test_appending_is_the_same_as_writing_to_the_end_of_the_file(start: bytes, more: bytes) -> None:
    here = _document(start)
    here.append(more)
    assert here.render() == start + more
    assert _replica(here, 2).render() == start + more


@_law
@given(_text, _text, _text)
def test_replicas_with_concurrent_edits_converge(base: bytes, one: bytes, other: bytes) -> None:
    here = _document(base)
    there = _replica(here, 2)
    here.replace_with(split_lines(one))
    there.replace_with(split_lines(other))
    _exchange(here, there)
    assert here.render() == there.render()
    assert split_lines(here.render()) == here.lines() == there.lines()


@_law
@given(_text, _text, _text)
def test_no_line_that_either_side_inserted_vanishes(base: bytes, one: bytes, other: bytes) -> None:
    here = _document(base)
    there = _replica(here, 2)
    here.replace_with(split_lines(one))
    there.replace_with(split_lines(other))
    _exchange(here, there)
    merged = Counter(line.rstrip(b"\n") for line in here.lines())
    before = Counter(line.rstrip(b"\n") for line in split_lines(base))
    for side in (one, other):
        inserted = Counter(line.rstrip(b"\n") for line in split_lines(side)) - before
        assert inserted <= merged


@settings(_law, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2), _text), max_size=8))
def test_three_replicas_that_edit_in_turns_converge(steps: list[tuple[int, bytes]]) -> None:
    replicas = [LineDocument.empty(number + 1) for number in range(3)]
    for writer, data in steps:
        replicas[writer].replace_with(split_lines(data))
        _exchange(replicas[writer], replicas[(writer + 1) % 3])
    for _ in range(2):
        for number in range(3):
            _exchange(replicas[number], replicas[(number + 1) % 3])
    assert len({replica.render() for replica in replicas}) == 1


def test_two_unterminated_tails_never_run_together() -> None:
    here = _document(b"a\n")
    there = _replica(here, 2)
    here.append(b"mine")
    there.append(b"yours")
    _exchange(here, there)
    assert here.render() == there.render()
    assert {line.rstrip(b"\n") for line in here.lines()} == {b"a", b"mine", b"yours"}


def test_a_tail_that_both_sides_continue_after_is_not_doubled() -> None:
    here = _document(b"a\ntail")
    there = _replica(here, 2)
    here.append(b"\nmine\n")
    there.replace_with([b"a\n", b"tail\n", b"yours\n"])
    _exchange(here, there)
    assert here.render() == there.render()
    assert sorted(here.lines()) == [b"a\n", b"mine\n", b"tail\n", b"yours\n"]


def test_showing_a_terminator_in_the_middle_is_no_edit() -> None:
    here = _document(b"")
    there = _replica(here, 2)
    here.append(b"mine")
    there.append(b"yours")
    _exchange(here, there)
    before = here.state_vector()
    here.replace_with(split_lines(here.render()))
    assert here.state_vector() == before


def test_an_unterminated_item_that_becomes_the_last_one_is_shown_as_the_file_has_it() -> None:
    here = _document(b"")
    there = _replica(here, 2)
    here.append(b"mine")
    there.append(b"yours")
    _exchange(here, there)
    wanted = here.lines()[0]
    here.replace_with([wanted])
    assert wanted.endswith(b"\n")
    assert here.render() == wanted


def test_an_appended_line_makes_a_small_update() -> None:
    here = _document(b"".join(b"line %d\n" % number for number in range(1_000)))
    seen = here.state_vector()
    here.append(b"one more\n")
    assert len(here.update_since(seen)) < 64


def test_a_changed_line_makes_a_small_update() -> None:
    lines = [b"line %d\n" % number for number in range(1_000)]
    here = _document(b"".join(lines))
    seen = here.state_vector()
    here.replace_with([*lines[:500], b"changed\n", *lines[501:]])
    assert len(here.update_since(seen)) < 64


def test_an_update_may_be_applied_twice() -> None:
    here = _document(b"a\nb\n")
    there = _replica(here, 2)
    there.apply(here.update_since())
    assert there.render() == b"a\nb\n"


def test_an_update_that_came_too_early_waits_for_its_predecessor() -> None:
    here, there = _document(b"a\n"), LineDocument.empty(2)
    first, seen = here.update_since(), here.state_vector()
    here.append(b"b\n")
    there.apply(here.update_since(seen))
    assert there.render() == b""
    there.apply(first)
    assert there.render() == b"a\nb\n"


@_law
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_or_applied_never_worse(data: bytes) -> None:
    try:
        LineDocument.empty(1).apply(data)
    except IntegrityError:
        return


@settings(_law, max_examples=200)
@given(st.data())
def test_a_damaged_update_is_refused_or_applied_never_worse(data: st.DataObject) -> None:
    update = bytearray(_document(b"a\nb\nc\n").update_since())
    update[data.draw(st.integers(0, len(update) - 1))] = data.draw(st.integers(0, 255))
    try:
        LineDocument.empty(2).apply(bytes(update))
    except IntegrityError:
        return


@pytest.mark.parametrize("item", ["text", 5, None, b"", b"two\nlines\n", {"a": 1}])
def test_items_that_are_not_lines_are_refused(item: object) -> None:
    hostile: Doc[Array[object]] = Doc({"lines": Array([item])})
    with pytest.raises(IntegrityError, match="other than lines"):
        LineDocument.empty(2).apply(hostile.get_update())


def test_a_document_whose_lines_are_another_type_is_refused_or_empty() -> None:
    hostile: Doc[Text] = Doc({"lines": Text("abc")})
    victim = LineDocument.empty(2)
    with pytest.raises(IntegrityError):
        victim.apply(hostile.get_update())


def test_an_update_beyond_the_bound_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_CRDT_UPDATE", 10)
    with pytest.raises(IntegrityError, match="more than 10"):
        LineDocument.empty(1).apply(b"\0" * 11)


def test_a_forged_count_of_writers_is_refused_before_memory_is_reserved_for_it() -> None:
    with pytest.raises(IntegrityError, match="more writers"):
        LineDocument.empty(1).apply(bytes.fromhex("9dcdb54813"))


def test_a_malformed_state_vector_is_refused() -> None:
    with pytest.raises(IntegrityError, match="state vector"):
        _document(b"a\n").update_since(b"\xff")


@pytest.mark.parametrize("lines", [[b"a", b"b\n"], [b""], [b"a\nb\n"]])
def test_lines_that_were_not_cut_at_their_terminators_are_refused(lines: list[bytes]) -> None:
    with pytest.raises(UsageError, match="cut"):
        LineDocument.empty(1).replace_with(lines)


def test_a_client_id_uses_53_bits_of_entropy() -> None:
    assert new_client_id(lambda count: b"\xff" * count) == 2**53 - 1
    assert new_client_id(lambda count: b"\0" * count) == 0


def test_reading_a_fragmented_document_is_not_quadratic() -> None:
    scattered: Doc[Array[bytes]] = Doc(client_id=1)
    array = scattered.get("lines", type=Array)
    for number in range(5_000):
        array.insert(0, b"%d\n" % number)
    here = LineDocument.empty(2)
    here.apply(scattered.get_update())
    assert here.lines() == [b"%d\n" % number for number in reversed(range(5_000))]


def test_an_update_that_is_taken_and_panics_later_is_a_typed_error_then() -> None:
    hostile = bytes.fromhex(
        "010100010000000a7402630a00420a740000007f01010264010101010264010101010169d916987f65531031cb2d02"
    )
    document = _document(b"one\ntwo\nthree\n", 7)
    document.apply(hostile)
    with pytest.raises(IntegrityError, match="cannot be told"):
        document.update_since()
