# SPDX-License-Identifier: Apache-2.0
"""Searching the pieces of a picture: a large file in stretches, noise passed over, stopped half way."""

from __future__ import annotations

import threading
from pathlib import Path
from random import Random

import pytest

from p2p_handoff.adapters.base import PartPicture
from p2p_handoff.adapters.folder import FolderAdapter
from p2p_handoff.agent import piece_search
from p2p_handoff.agent.piece_search import Found, Manner, Scoped, search_pieces
from p2p_handoff.content.compression import Packer
from p2p_handoff.content.secret_rules import parse
from p2p_handoff.content.secret_search import Patterns
from p2p_handoff.errors import CancelledError
from p2p_handoff.limits import CHUNK_MIN, MIB, SECRET_WINDOW

RULES = """
[[rules]]
id = "a"
regex = "secret-[0-9]{4}"
[[rules]]
id = "b"
path = "key$"
[[rules]]
id = "c"
regex = "word"
yields = true
"""
PATTERNS = Patterns(parse([RULES]))
SIZE = 4 * SECRET_WINDOW
SECRET = b"secret-1234"
LONG_SECRET = b"a = secret-1234;\n"
THOROUGH = Manner(skim=False, stop=threading.Event())
SKIM = Manner(skim=True, stop=threading.Event())


def pictured(place: Path, files: dict[str, bytes]) -> PartPicture:
    (place / "project").mkdir()
    for name, data in files.items():
        (place / "project" / name).write_bytes(data)
    return FolderAdapter("laptop").open(place / "project", place / "state").snapshot()


def searched(picture: PartPicture, manner: Manner = THOROUGH) -> dict[bytes, Found]:
    searcher = PATTERNS.searcher()
    pieces = [Scoped(piece, searcher.scope(piece.path)) for piece in picture.pieces()]
    results = search_pieces(PATTERNS, picture, pieces, manner)
    return {scoped.piece.path: found for scoped, found in zip(pieces, results, strict=True)}


@pytest.mark.parametrize("place", [0, SIZE // 2 - 5, SIZE // 2, SIZE // 2 - 70_000, SIZE - len(SECRET)])
def test_a_secret_in_a_large_file_is_found_wherever_it_is_cut(tmp_path: Path, place: int) -> None:
    data = bytearray(Random(1).randbytes(SIZE))
    data[place : place + len(SECRET)] = SECRET
    assert searched(pictured(tmp_path, {"large": bytes(data)})) == {b"large": Found(frozenset({"a"}))}


def test_what_yields_does_so_for_what_is_in_another_stretch(tmp_path: Path) -> None:
    files = {"both": b"word" + bytes(SIZE) + SECRET, "word": b"word", "empty-key": b""}
    assert {path: found.kinds for path, found in searched(pictured(tmp_path, files)).items()} == {
        b"both": {"a"},
        b"word": {"c"},
        b"empty-key": {"b"},
    }


def test_noise_is_passed_over_and_text_among_it_is_not(tmp_path: Path) -> None:
    noise = Random(2).randbytes(2 * MIB)
    text = (b"a line of a log\n" * 20_000)[:300_000]
    files = {"mixed": noise + text + SECRET + text + noise, "text": text + SECRET, "noise": noise}
    picture = pictured(tmp_path, files)
    assert searched(picture, SKIM) == {
        b"mixed": Found(frozenset({"a"}), skimmed=True),
        b"text": Found(frozenset({"a"})),
        b"noise": Found(frozenset(), skimmed=True),
    }


def test_text_in_the_midst_of_noise_is_searched(tmp_path: Path) -> None:
    data = Random(6).randbytes(MIB)
    picture = pictured(tmp_path, {"x": data[: MIB // 2] + LONG_SECRET + data[MIB // 2 :]})
    assert searched(picture, SKIM) == {b"x": Found(frozenset({"a"}), skimmed=True)}


@pytest.mark.parametrize("before", [1, 5, 10])
def test_text_across_the_edge_of_two_chunks_of_noise_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    noise = Random(7).randbytes(CHUNK_MIN)
    cut = {b"1": noise + SECRET[:before], b"2": SECRET[before:] + noise}
    picture = pictured(tmp_path, {"x": b"".join(cut.values())})
    monkeypatch.setattr(piece_search, "chunks_of", lambda *_: [(b"1", 0, len(cut[b"1"])), (b"2", 1, len(cut[b"2"]))])
    monkeypatch.setattr(type(picture), "read", lambda _, name: cut[name])
    assert searched(picture, SKIM) == {b"x": Found(frozenset({"a"}), skimmed=True)}


def test_chunks_on_either_side_of_noise_do_not_come_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Packer, "is_noise", lambda _, data: b"12" not in data)
    noise = Random(3).randbytes(MIB)
    result = searched(pictured(tmp_path, {"x": b"secret-12" + noise + b"1234"}), SKIM)
    assert result[b"x"].kinds == frozenset()


def test_it_stops_when_it_is_told(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(CancelledError):
        searched(pictured(tmp_path, {"large": bytes(SIZE)}), Manner(skim=False, stop=stop))


def test_what_changed_since_is_not_whole(tmp_path: Path) -> None:
    picture = pictured(tmp_path, {"large": SECRET + Random(4).randbytes(SIZE)})
    with (tmp_path / "project" / "large").open("r+b") as file:
        file.seek(SIZE - 10)
        file.write(b"changed")
    assert searched(picture) == {b"large": Found(frozenset({"a"}), whole=False)}
