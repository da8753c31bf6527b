# SPDX-License-Identifier: Apache-2.0
"""Searching a part: all of it once, and after that only what changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from p2p_handoff.adapters.base import PartPicture
from p2p_handoff.adapters.folder import FolderAdapter, OpenFolder
from p2p_handoff.agent import secret_search
from p2p_handoff.agent.secret_search import SecretSearch, build
from p2p_handoff.content.secret_rules import parse
from p2p_handoff.content.secret_search import Patterns, Scope, Searcher
from p2p_handoff.errors import CancelledError
from p2p_handoff.ids import PartId, SessionId
from p2p_handoff.limits import CHUNK_MIN
from p2p_handoff.store import built
from p2p_handoff.store.scans import Scans
from tests.agent.secrets_made import private_key

KEY = private_key()
RULES = parse(['[[rules]]\nid = "a"\nregex = "secret-[0-9]{4}"\n[[rules]]\nid = "b"\npath = "key$"\n'])
PART = (SessionId("s" * 26), PartId("p1"))


@pytest.fixture
def folder(tmp_path: Path) -> OpenFolder:
    place = tmp_path / "project"
    place.mkdir()
    for number in range(600):
        (place / f"{number}.txt").write_bytes(b"%d" % number)
    (place / "key").write_bytes(KEY)
    return FolderAdapter("laptop").open(place, tmp_path / "state")


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was searched, in any thread."""
    contents: list[bytes] = []
    real: Callable[[Searcher, Iterable[bytes], Scope], frozenset[str]] = Searcher.hits

    def recording(self: Searcher, blocks: Iterable[bytes], scope: Scope) -> frozenset[str]:
        data = list(blocks)
        contents.append(b"".join(data))
        return real(self, data, scope)

    monkeypatch.setattr(Searcher, "hits", recording)
    return contents


@pytest.fixture
def scans(tmp_path: Path) -> Iterator[Scans]:
    opened = Scans(tmp_path / "searched.sqlite3")
    yield opened
    opened.close()


def found(search: SecretSearch, picture: PartPicture) -> dict[bytes, set[str]]:
    return {path: set(kinds) for path, kinds in search.look(PART, picture)}


def test_only_what_changed_is_searched_again(folder: OpenFolder, scans: Scans, searched: list[bytes]) -> None:
    search = SecretSearch(scans)
    assert found(search, folder.snapshot()) == {b"key": {"private-key"}}
    assert len(searched) == 601
    searched.clear()
    assert found(search, folder.snapshot()) == {b"key": {"private-key"}}
    assert not searched
    (folder.path / "1.txt").write_bytes(b"changed")
    (folder.path / "copy").write_bytes(KEY)
    assert found(search, folder.snapshot()) == {b"key": {"private-key"}, b"copy": {"private-key"}}
    assert searched == [b"changed"]


def test_nothing_is_searched_again_after_a_restart(folder: OpenFolder, scans: Scans, searched: list[bytes]) -> None:
    found(SecretSearch(scans), folder.snapshot())
    searched.clear()
    assert found(SecretSearch(scans), folder.snapshot()) == {b"key": {"private-key"}}
    assert not searched


def test_the_same_bytes_are_searched_again_where_other_rules_hold(
    folder: OpenFolder, scans: Scans, searched: list[bytes]
) -> None:
    values = b"DB_PASSWORD=q7x2z9w4k1\n"
    (folder.path / "notes").write_bytes(values)
    (folder.path / ".env").write_bytes(values)
    assert b"notes" not in found(SecretSearch(scans), folder.snapshot())
    assert searched.count(values) == 2
    assert found(SecretSearch(scans), folder.snapshot())[b".env"] == {"env-secret"}


def test_what_is_left_of_a_file_that_changed_is_searched_and_not_remembered(
    folder: OpenFolder, scans: Scans, searched: list[bytes]
) -> None:
    log = folder.path / "log"
    log.write_bytes(KEY + bytes(1_000_000))
    picture = folder.snapshot()
    with log.open("r+b") as file:
        file.seek(900_000)
        file.write(b"changed")
    search = SecretSearch(scans)
    assert found(search, picture) == {b"key": {"private-key"}, b"log": {"private-key"}}
    searched.clear()
    assert found(search, picture) == {b"key": {"private-key"}, b"log": {"private-key"}}
    assert len(searched) == 1


def test_a_file_that_is_gone_ends_nothing(folder: OpenFolder, scans: Scans) -> None:
    picture = folder.snapshot()
    (folder.path / "key").unlink()
    assert found(SecretSearch(scans), picture) == {}


def test_a_glance_knows_what_was_searched_and_the_smallest_files(
    folder: OpenFolder, scans: Scans, searched: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.path / "large.pem").write_bytes(bytes(100_000) + KEY)
    monkeypatch.setattr(secret_search, "_AT_ONCE", 10)
    monkeypatch.setattr(secret_search, "_AT_ONCE_BYTES", 25)
    search = SecretSearch(scans)
    picture = folder.snapshot()
    assert search.glance(PART, picture) == []
    assert sorted(searched) == [b"%d" % number for number in range(10)]
    assert found(search, picture) == {b"key": {"private-key"}, b"large.pem": {"private-key"}}
    searched.clear()
    assert dict(search.glance(PART, picture)).keys() == {b"key", b"large.pem"}
    assert dict(SecretSearch(scans).glance(PART, picture)).keys() == {b"key", b"large.pem"}
    assert not searched


def test_a_glance_waits_for_no_look(
    folder: OpenFolder, scans: Scans, monkeypatch: pytest.MonkeyPatch, searched: list[bytes]
) -> None:
    del searched
    real, begun, go = Searcher.hits, threading.Event(), threading.Event()

    def blocking(self: Searcher, blocks: Iterable[bytes], scope: Scope) -> frozenset[str]:
        begun.set()
        go.wait()
        return real(self, blocks, scope)

    monkeypatch.setattr(Searcher, "hits", blocking)
    monkeypatch.setattr(secret_search, "_AT_ONCE", 0)
    search, picture = SecretSearch(scans), folder.snapshot()
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(search.look, PART, picture)
        begun.wait()
        assert search.glance(PART, picture) == []
        go.set()
        assert looking.result() == [(b"key", frozenset({"private-key"}))]
    assert search.glance(PART, picture) == [(b"key", frozenset({"private-key"}))]


def test_a_look_that_waits_for_its_turn_or_searches_can_be_stopped(folder: OpenFolder, scans: Scans) -> None:
    search, stop = SecretSearch(scans), threading.Event()
    stop.set()
    with pytest.raises(CancelledError):
        search.look(PART, folder.snapshot(), stop=stop)
    assert found(search, folder.snapshot()) == {b"key": {"private-key"}}


def passed_over(folder: OpenFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in a chunk that is taken for noise."""
    noise = Random(5).randbytes(CHUNK_MIN)
    (folder.path / "image").write_bytes(noise + KEY + noise)
    monkeypatch.setattr(Searcher, "has_text", lambda *_: False)


def test_what_was_only_skimmed_is_searched_where_something_may_be_held_back(
    folder: OpenFolder, scans: Scans, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_over(folder, monkeypatch)
    search, picture = SecretSearch(scans), folder.snapshot()
    assert dict(search.look(PART, picture, skim=True)).keys() == {b"key"}
    assert found(search, picture) == {b"key": {"private-key"}, b"image": {"private-key"}}
    again = SecretSearch(scans)
    assert dict(again.look(PART, picture, skim=True)).keys() == {b"key", b"image"}, "the better result holds"


def test_a_key_in_the_midst_of_noise_is_found_where_it_is_only_listed(folder: OpenFolder, scans: Scans) -> None:
    noise = Random(5).randbytes(CHUNK_MIN)
    (folder.path / "image").write_bytes(noise + KEY + noise)
    found_skimming = dict(SecretSearch(scans).look(PART, folder.snapshot(), skim=True))
    assert found_skimming == {b"key": {"private-key"}, b"image": {"private-key"}}


def test_a_skimmed_result_in_the_store_is_none_for_a_thorough_search(
    folder: OpenFolder, scans: Scans, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_over(folder, monkeypatch)
    picture = folder.snapshot()
    SecretSearch(scans).look(PART, picture, skim=True)
    assert found(SecretSearch(scans), picture) == {b"key": {"private-key"}, b"image": {"private-key"}}


def test_patterns_are_built_once_and_loaded_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "cache" / "patterns"
    build(RULES, place)
    monkeypatch.setattr(Patterns, "dump", lambda _: pytest.fail("built again"))
    again = build(RULES, place).searcher()
    assert again.search([b"my secret-1234"], frozenset()) == {"a"}


@pytest.mark.parametrize("kept", [b"", b"nonsense", bytes(8) + b"nonsense"])
def test_patterns_that_cannot_be_loaded_are_built_again(tmp_path: Path, kept: bytes) -> None:
    built.save(tmp_path / "patterns", kept)
    assert build(RULES, tmp_path / "patterns").searcher().search([b"secret-1234"], frozenset()) == {"a"}
    assert built.load(tmp_path / "patterns") != kept
