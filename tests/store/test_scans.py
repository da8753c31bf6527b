# SPDX-License-Identifier: Apache-2.0
"""store.scans: a cache that may be lost, damaged or full, and is then only slower."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2p_handoff.content.digests import digest
from p2p_handoff.store.scans import ScanKey, Scans

RULES = b"v1"
ONE, TWO = ScanKey(digest(b"one"), RULES), ScanKey(digest(b"two"), RULES)
KINDS = frozenset({"private-key", "jwt"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "searched.sqlite3"


@pytest.fixture
def scans(path: Path) -> Iterator[Scans]:
    opened = Scans(path)
    yield opened
    opened.close()


def test_what_was_searched_is_known_again_after_a_restart(path: Path, scans: Scans) -> None:
    assert not scans.found([ONE])
    scans.note([(ONE, KINDS), (TWO, frozenset())])
    scans.close()
    again = Scans(path)
    assert again.found([ONE]) == {ONE: KINDS}
    assert again.found([TWO]) == {TWO: frozenset()}
    again.close()


def test_other_rules_know_nothing_of_it(scans: Scans) -> None:
    scans.note([(ONE, KINDS)])
    assert not scans.found([ScanKey(ONE.digest, b"v2")])


def test_thousands_are_asked_for_at_once(scans: Scans) -> None:
    keys = [ScanKey(digest(b"%d" % number), b"v%d" % (number % 3)) for number in range(3_000)]
    scans.note((key, KINDS if number % 7 == 0 else frozenset()) for number, key in enumerate(keys[:2_000]))
    known = scans.found(keys)
    assert known == {key: KINDS if number % 7 == 0 else frozenset() for number, key in enumerate(keys[:2_000])}
    assert scans.found([]) == {}


def test_the_file_is_private(path: Path, scans: Scans) -> None:
    scans.note([(ONE, KINDS)])
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_oldest_are_forgotten(path: Path) -> None:
    few = Scans(path, most=3)
    keys = [ScanKey(digest(bytes([number])), RULES) for number in range(5)]
    for key in keys:
        few.note([(key, frozenset())])
    assert [bool(few.found([key])) for key in keys] == [False, False, True, True, True]
    few.close()


@pytest.mark.parametrize("damage", [b"not a database", b"SQLite format 3\0" + bytes(200)])
def test_a_damaged_file_is_begun_anew(path: Path, damage: bytes) -> None:
    path.write_bytes(damage)
    scans = Scans(path)
    assert not scans.found([ONE])
    scans.note([(ONE, KINDS)])
    assert scans.found([ONE]) == {ONE: KINDS}
    scans.close()


def test_a_file_that_cannot_be_had_costs_nothing_but_time(tmp_path: Path) -> None:
    scans = Scans(tmp_path / "missing" / "searched.sqlite3")
    scans.note([(ONE, KINDS)])
    assert not scans.found([ONE])
    scans.close()
