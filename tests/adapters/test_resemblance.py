# SPDX-License-Identifier: Apache-2.0
"""What of the last common state resembles what arrives, and that nothing else is looked at."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_handoff.adapters.base import Staging, Want
from p2p_handoff.adapters.resemblance import _gaps, _nearest
from p2p_handoff.content import patches
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.limits import CHUNK_MAX, CHUNK_MIN
from tests.adapters.folder_peers import Peer, hand_off

LARGE = random.Random(1).randbytes(30_000_000)
"""Some 490 chunks: more than one index holds."""


def names(text: str) -> list[Digest]:
    return [Digest(letter.encode()) for letter in text]


def gaps(olds: str, news: str) -> list[tuple[str, str]]:
    return [(b"".join(gap).decode(), b"".join(run).decode()) for gap, run in _gaps(names(olds), names(news))]


@pytest.mark.parametrize(
    ("olds", "news", "expected"),
    [
        ("abcde", "abXde", [("c", "X")]),
        ("abcde", "Xbcde", [("a", "X")]),
        ("abcde", "abcdX", [("e", "X")]),
        ("abcde", "aXYde", [("bc", "XY")]),
        ("abcde", "abcXde", [("", "X")]),
        ("abcde", "aXcdY", [("b", "X"), ("e", "Y")]),
        ("a", "X", [("a", "X")]),
        ("abcde", "abcde", []),
        ("abcde", "abe", []),
        ("a0b0c", "a0X0c", [("0b0", "X")]),
        ("abc", "cXa", [("", "X")]),
        ("", "X", [("", "X")]),
    ],
)
def test_what_is_new_lies_between_what_both_have(olds: str, news: str, expected: list[tuple[str, str]]) -> None:
    assert gaps(olds, news) == expected


@pytest.mark.parametrize(("place", "of", "expected"), [(0, 1, "abc"), (0, 6, "abc"), (3, 6, "cde"), (5, 6, "def")])
def test_of_a_long_gap_only_what_is_near_is_taken(place: int, of: int, expected: str) -> None:
    assert b"".join(_nearest(names("abcdef"), place, of)).decode() == expected


@pytest.fixture
def source(tmp_path: Path) -> Peer:
    return Peer(tmp_path, "source")


@pytest.fixture
def target(tmp_path: Path) -> Peer:
    return Peer(tmp_path, "target")


def received(source: Peer, staging: Staging) -> Iterator[tuple[Want, bytes, bytes]]:
    """Deliver a picture: each wanted object with its bytes, and with what resembles it; nothing where nothing does."""
    picture = source.open().freeze()
    wants = list(staging.begin(picture.root, picture.root_size))
    while wants:
        alike = dict(staging.resembling([want.digest for want in wants]))
        more: list[Want] = []
        for want in wants:
            data = picture.read(want.digest)
            yield want, data, alike.get(want.digest, b"")
            more.extend(staging.put(want.digest, data))
        wants = more
    assert staging.complete
    staging.abandon()


def edit(peer: Peer, path: str, place: int, data: bytes) -> None:
    with (peer.path / path).open("r+b") as opened:
        opened.seek(place)
        opened.write(data)


def test_an_edit_in_a_long_file_resembles_what_was_there_at_every_level(source: Peer, target: Peer) -> None:
    source.write({"sub/large": LARGE, "other": b"other"})
    hand_off(source, target)
    edit(source, "sub/large", 17_000_000, b"an edit")
    found = list(received(source, target.open().stage("t2-p1")))
    assert len(found) >= 5, "two directories, two levels of indexes, a chunk"
    for want, data, alike in found:
        assert alike, f"nothing for an object of {want.size} bytes"
        base = patches.sketched(alike)
        assert base is not None
        if want.size > 3000:
            patch = patches.make(data, base.sketch)
            assert patch is not None
            assert len(patch) + len(base.sketch) < len(data) / 2
    assert sum(len(alike) for _, _, alike in found) < 4 * CHUNK_MAX


def test_a_file_that_was_edited_here_since_is_never_described(source: Peer, target: Peer) -> None:
    source.write({"mine": LARGE[:500_000], "shared": LARGE[:400_000][::-1]})
    hand_off(source, target)
    edit(source, "mine", 200_000, b"from there")
    edit(source, "shared", 200_000, b"from there")
    edit(target, "mine", 200_000, b"a secret of this device")
    chunks = [(data, alike) for want, data, alike in received(source, target.open().stage("t2-p1"))]
    assert all(b"a secret of this device" not in alike for _, alike in chunks)
    described = [bool(alike) for data, alike in chunks if b"from there" in data]
    assert sorted(described) == [False, True], "only the file that nobody edited here"


def test_a_directory_with_a_new_name_resembles_the_one_of_the_common_state(source: Peer, target: Peer) -> None:
    source.write({f"many/{number:05}": b"" for number in range(3000)})
    hand_off(source, target)
    (source.path / "many/new").write_bytes(b"")
    (target.path / "many/here alone").write_bytes(b"")
    [(_, data, alike)] = [item for item in received(source, target.open().stage("t2-p1")) if len(item[1]) > 10_000]
    assert b"here alone" not in alike
    base = patches.sketched(alike)
    assert base is not None
    patch = patches.make(data, base.sketch)
    assert patch is not None
    assert len(patch) + len(base.sketch) < len(data) / 20


def test_a_file_that_gets_long_or_short_resembles_what_it_was(source: Peer, target: Peer) -> None:
    source.write({"grows": LARGE[:10_000], "shrinks": LARGE[:500_000]})
    hand_off(source, target)
    source.write({"grows": LARGE[:100_000], "shrinks": LARGE[:490_000]})
    alike = [alike for want, _, alike in received(source, target.open().stage("t2-p1")) if want.size > 5_000]
    assert any(alike)


def test_a_first_arrival_resembles_nothing(source: Peer, target: Peer) -> None:
    source.write({"large": LARGE[:500_000]})
    staging = target.adapter.stage_new(target.path, target.state, "t1-p1")
    assert not any(alike for _, _, alike in received(source, staging))


def test_a_fork_that_comes_together_with_its_original_resembles_nothing(source: Peer, target: Peer) -> None:
    source.write({"large": LARGE[:500_000]})
    hand_off(source, target)
    edit(source, "large", 200_000, b"from there")
    staging = target.open().stage_merge("t2-p1", "laptop", None)
    assert not any(alike for _, _, alike in received(source, staging))


def test_what_vanished_meanwhile_resembles_nothing(source: Peer, target: Peer) -> None:
    source.write({"large": LARGE[:500_000]})
    hand_off(source, target)
    edit(source, "large", 200_000, b"from there")
    picture = source.open().freeze()
    staging = target.open().stage("t2-p1")
    wants = list(staging.begin(picture.root, picture.root_size))
    (target.path / "large").unlink()
    found: list[Digest] = []
    while wants:
        want = wants.pop()
        found += [name for name, _ in staging.resembling([want.digest])]
        wants.extend(staging.put(want.digest, picture.read(want.digest)))
    assert found, "the directory"
    assert all(len(picture.read(name)) < CHUNK_MIN for name in found), "no chunk"
    staging.abandon()


def test_a_file_of_the_common_state_that_is_here_twice_is_read_wherever_it_is(source: Peer, target: Peer) -> None:
    source.write({"one": LARGE[:300_000], "two": LARGE[:300_000]})
    hand_off(source, target)
    edit(source, "one", 100_000, b"from there")
    edit(target, "two", 250_000, b"from here")
    for want, data, alike in received(source, target.open().stage("t2-p1")):
        if b"from there" in data:
            assert alike, want
            assert digest(alike) != want.digest
