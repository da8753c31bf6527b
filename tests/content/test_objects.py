# SPDX-License-Identifier: Apache-2.0
"""Directories and indexes: one encoding, nothing impossible in them, contents found again through their indexes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2p_handoff.content import strict_cbor
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.content.objects import (
    EMPTY,
    Content,
    Entry,
    EntryKind,
    build_content,
    check_content,
    chunks_of,
    decode_directory,
    decode_index,
    encode_directory,
    encode_index,
)
from p2p_handoff.errors import HandoffError, IntegrityError, PathError
from p2p_handoff.limits import CHUNK_MAX, CHUNK_MIN, INDEX_FANOUT, MAX_NAME_BYTES, MAX_TARGET_BYTES

REF = digest(b"something")
NAMES = st.binary(min_size=1, max_size=12).filter(lambda n: b"/" not in n and b"\0" not in n and n not in {b".", b".."})
DIGESTS = st.binary(min_size=32, max_size=32).map(Digest)
CONTENTS = st.just(EMPTY) | st.builds(lambda ref, size: Content(ref, size, 0, size), DIGESTS, st.integers(1, CHUNK_MAX))
FILES = st.builds(
    Entry, NAMES, st.just(EntryKind.FILE), st.booleans(), st.integers(-(2**63), 2**63 - 1), content=CONTENTS
)
DIRECTORIES = st.builds(
    lambda name, ref, size: Entry(name, EntryKind.DIRECTORY, content=Content(ref, size, 0, size)),
    NAMES, DIGESTS, st.integers(1, 1 << 20),
)  # fmt: skip
SYMLINKS = st.builds(lambda name, target: Entry(name, EntryKind.SYMLINK, target=target), NAMES, NAMES)
ENTRIES = st.lists(FILES | DIRECTORIES | SYMLINKS, max_size=8, unique_by=lambda entry: entry.name)


def file(name: bytes, content: Content = EMPTY) -> Entry:
    return Entry(name, EntryKind.FILE, content=content)


def leaf(size: int) -> Content:
    return Content(REF, size, 0, size)


def numbered(count: int, size: int = CHUNK_MIN) -> list[tuple[Digest, int]]:
    return [(digest(number.to_bytes(4, "big")), size) for number in range(count)]


# --- directories ----------------------------------------------------------------------------------


@given(ENTRIES)
def test_a_directory_survives_and_comes_back_sorted(entries: list[Entry]) -> None:
    data = encode_directory(entries)
    assert list(decode_directory(data)) == sorted(entries, key=lambda entry: entry.name)
    assert encode_directory(reversed(entries)) == data


@settings(max_examples=150)
@given(ENTRIES, st.data())
def test_altered_bytes_are_a_directory_in_its_only_encoding_or_refused(
    entries: list[Entry], data: st.DataObject
) -> None:
    altered = bytearray(encode_directory(entries))
    altered[data.draw(st.integers(0, len(altered) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = decode_directory(bytes(altered))
    except (IntegrityError, PathError):
        return
    assert encode_directory(decoded) == bytes(altered)


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"/", b"nul\0", b"n" * (MAX_NAME_BYTES + 1)])
def test_an_impossible_name_is_refused_on_both_sides(name: bytes) -> None:
    with pytest.raises(PathError):
        encode_directory([file(name)])
    row = [name, 2, b"target"]
    with pytest.raises(PathError):
        decode_directory(strict_cbor.encode(["dir/1", [row]]))


@pytest.mark.parametrize("target", [b"", b"nul\0", b"t" * (MAX_TARGET_BYTES + 1)])
def test_an_impossible_target_is_refused_on_both_sides(target: bytes) -> None:
    with pytest.raises(PathError):
        encode_directory([Entry(b"link", EntryKind.SYMLINK, target=target)])
    with pytest.raises(PathError):
        decode_directory(strict_cbor.encode(["dir/1", [[b"link", 2, target]]]))


def test_two_entries_of_one_name_are_refused_on_both_sides() -> None:
    with pytest.raises(PathError, match="twice"):
        encode_directory([file(b"a"), file(b"a", leaf(3))])
    row = [b"a", 2, b"target"]
    with pytest.raises(PathError, match="twice"):
        decode_directory(strict_cbor.encode(["dir/1", [row, row]]))


def test_unsorted_entries_are_refused() -> None:
    with pytest.raises(IntegrityError, match="sorted"):
        decode_directory(strict_cbor.encode(["dir/1", [[b"b", 2, b"t"], [b"a", 2, b"t"]]]))


@pytest.mark.parametrize(
    "entry",
    [
        Entry(b"a", EntryKind.FILE),
        Entry(b"a", EntryKind.DIRECTORY),
        Entry(b"a", EntryKind.SYMLINK, target=b"t", content=EMPTY),
        Entry(b"a", EntryKind.DIRECTORY, content=EMPTY),
        Entry(b"a", EntryKind.DIRECTORY, content=Content(REF, 10, 1, 10)),
        Entry(b"a", EntryKind.DIRECTORY, content=Content(REF, 10, 0, 11)),
        file(b"a", Content(REF, 0, 0, 0)),
        file(b"a", Content(Digest(b"short"), 1, 0, 1)),
        file(b"a", leaf(CHUNK_MAX + 1)),
        file(b"a", Content(REF, 5, 0, 6)),
        file(b"a", Content(REF, 5, 6, 60)),
        file(b"a", Content(REF, 5, -1, 5)),
        file(b"a", Content(REF, -5, 1, 60)),
        file(b"a", Content(REF, 2**63, 1, 60)),
        file(b"a", Content(REF, 5, 1, 2**30)),
    ],
)
def test_an_entry_that_contradicts_itself_is_refused(entry: Entry) -> None:
    with pytest.raises(IntegrityError):
        encode_directory([entry])


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        ["dir/2", []],
        ["idx/1", 1, []],
        ["dir/1", [], 0],
        ["dir/1", {}],
        ["dir/1", [b"a"]],
        ["dir/1", [[]]],
        ["dir/1", [[b"a", 0, b"t"]]],
        ["dir/1", [[b"a", 3, b"t"]]],
        ["dir/1", [[b"a", True, REF, 5]]],
        ["dir/1", [["a", 2, b"t"]]],
        ["dir/1", [[b"a", 0, 1, 0, REF, 1, 0, 1]]],
        ["dir/1", [[b"a", 0, False, 0, REF, 1, False, 1]]],
    ],
)
def test_what_is_no_directory_is_refused(value: object) -> None:
    with pytest.raises(IntegrityError):
        decode_directory(strict_cbor.encode(value))


def test_a_directory_too_large_for_an_object_is_refused_with_its_size() -> None:
    entries = [Entry(b"%0240d" % number, EntryKind.SYMLINK, target=b"t" * 4000) for number in range(2100)]
    with pytest.raises(PathError, match="2100 entries"):
        encode_directory(entries)


def test_a_time_beyond_64_bits_is_held_to_them() -> None:
    far = Entry(b"a", EntryKind.FILE, mtime_ns=2**64, content=EMPTY)
    assert decode_directory(encode_directory([far]))[0].mtime_ns == 2**63 - 1


# --- contents and indexes -------------------------------------------------------------------------


def test_no_chunks_are_the_empty_content() -> None:
    assert build_content([]) == (EMPTY, {})
    assert list(chunks_of(EMPTY, never_read)) == []


def test_one_chunk_names_its_content_itself() -> None:
    content, objects = build_content([(REF, 7)])
    assert (content, objects) == (Content(REF, 7, 0, 7), {})
    assert list(chunks_of(content, never_read)) == [(REF, 0, 7)]


def never_read(name: Digest) -> bytes:
    raise AssertionError(name)


@pytest.mark.parametrize(("count", "level"), [(2, 1), (INDEX_FANOUT, 1), (INDEX_FANOUT + 1, 2), (3 * INDEX_FANOUT, 2)])
def test_chunks_are_found_again_through_their_indexes(count: int, level: int) -> None:
    chunks = [*numbered(count - 1), (REF, 5)]
    content, objects = build_content(chunks)
    assert (content.level, content.size) == (level, CHUNK_MIN * (count - 1) + 5)
    assert content.ref_size == len(objects[content.ref])
    assert all(digest(data) == name for name, data in objects.items())
    found = list(chunks_of(content, objects.__getitem__))
    assert [(name, length) for name, _, length in found] == chunks
    assert [offset for _, offset, _ in found] == [CHUNK_MIN * number for number in range(count)]


def test_an_insertion_in_a_huge_file_changes_few_indexes() -> None:
    chunks = numbered(20_000)
    _, before = build_content(chunks)
    _, after = build_content([*chunks[:5], (REF, CHUNK_MIN), *chunks[5:]])
    resent = sum(len(data) for name, data in after.items() if name not in before)
    assert resent < sum(map(len, before.values())) / 5


def test_indexes_stay_within_the_fanout() -> None:
    same = [(REF, CHUNK_MIN)] * (2 * INDEX_FANOUT + 7)
    content, objects = build_content(same)
    assert all(len(decode_index(data).children) <= INDEX_FANOUT for data in objects.values())
    assert sum(1 for _ in chunks_of(content, objects.__getitem__)) == len(same)


@pytest.mark.parametrize("chunks", [[(REF, 5), (REF, 5)], [(REF, CHUNK_MAX + 1)], [(REF, 0)], [(Digest(b"x"), 5)]])
def test_chunks_that_cut_would_not_make_are_refused(chunks: list[tuple[Digest, int]]) -> None:
    with pytest.raises(IntegrityError):
        build_content(chunks)


def forged(level: int, children: list[tuple[Digest, int, int]], size: int | None = None) -> tuple[Content, bytes]:
    data = encode_index(level, children)
    return Content(digest(data), size or sum(child[1] for child in children), level, len(data)), data


FULL = (REF, CHUNK_MIN, CHUNK_MIN)


@pytest.mark.parametrize(
    ("content", "data"),
    [
        forged(1, [FULL, FULL], size=CHUNK_MIN),
        forged(1, [FULL, FULL], size=3 * CHUNK_MIN),
        forged(1, [(REF, 5, 5), FULL]),
        (Content(REF, 5, 1, 5), b"other"),
        (Content(digest(b"junk"), 5, 1, 4), b"junk"),
    ],
    ids=["more than declared", "less than declared", "short chunk inside", "wrong digest", "no index"],
)
def test_an_index_that_is_not_what_its_parent_says_is_refused(content: Content, data: bytes) -> None:
    with pytest.raises(IntegrityError):
        list(chunks_of(content, lambda _: data))


def test_an_index_under_another_name_is_refused() -> None:
    content, data = forged(1, [FULL, FULL])
    with pytest.raises(IntegrityError, match="digest"):
        list(chunks_of(Content(REF, content.size, 1, content.ref_size), lambda _: data))


def test_an_index_of_the_wrong_level_or_length_is_refused() -> None:
    content, data = forged(1, [FULL, FULL])
    for wrong in (
        Content(content.ref, content.size, 2, content.ref_size),
        Content(content.ref, content.size, 1, content.ref_size + 1),
    ):
        with pytest.raises(IntegrityError):
            list(chunks_of(wrong, lambda _: data))


@pytest.mark.parametrize(
    "make",
    [
        lambda: encode_index(0, [FULL]),
        lambda: encode_index(6, [FULL]),
        lambda: encode_index(1, []),
        lambda: encode_index(1, [FULL] * (INDEX_FANOUT + 1)),
        lambda: encode_index(1, [(REF, 5, 6)]),
        lambda: encode_index(2, [(REF, 5, 0)]),
        lambda: encode_index(1, [(Digest(b"x"), 5, 5)]),
        lambda: decode_index(strict_cbor.encode(["idx/1", True, [[REF, 5, 5]]])),
        lambda: decode_index(strict_cbor.encode(["idx/1", 1, [[REF, 5]]])),
        lambda: decode_index(strict_cbor.encode(["idx/1", 1, [[REF, True, True]]])),
        lambda: decode_index(strict_cbor.encode(["idx/1", 1, [REF]])),
        lambda: decode_index(strict_cbor.encode(["dir/1", []])),
        lambda: decode_index(b"\xff"),
    ],
)
def test_what_is_no_index_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(IntegrityError):
        make()


@given(st.integers(), st.integers(), st.integers(), st.binary(max_size=40))
def test_a_reference_is_sound_or_refused_with_a_typed_error(size: int, level: int, ref_size: int, ref: bytes) -> None:
    try:
        check_content(Content(Digest(ref), size, level, ref_size))
    except HandoffError:
        return
    assert len(ref) == 32
    assert size > 0
