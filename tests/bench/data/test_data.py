# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.data import conversation, many_files, random_file, tree


def contents(path: Path) -> dict[str, bytes]:
    files = tree.files_of(path) if path.is_dir() else [path]
    return {str(file.relative_to(path)): file.read_bytes() for file in files if file.is_file()}


def make_tree(path: Path) -> Path:
    return tree.make(path, 40, 100_000)


def make_random(path: Path) -> Path:
    return random_file.make(path, 300_000)


def make_conversation(path: Path) -> Path:
    return conversation.make(path, 20_000)


SETS = [(make_tree, tree.edit), (make_random, random_file.edit), (make_conversation, conversation.edit)]


def copy(path: Path, target: Path) -> Path:
    for name, content in contents(path).items():
        place = target if name == "." else target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return target


@pytest.mark.parametrize(("make", "edit"), SETS)
def test_the_same_seed_edits_copies_in_the_same_way(
    make: Callable[[Path], Path], edit: Callable[[Path, float, int], None], tmp_path: Path
) -> None:
    one = make(tmp_path / "one")
    other = copy(one, tmp_path / "other")
    before = contents(one)
    edit(one, 0.1, 7)
    edit(other, 0.1, 7)
    assert contents(one) == contents(other) != before
    edit(other, 0.1, 8)
    assert contents(one) != contents(other)


@pytest.mark.parametrize(("make", "edit"), SETS)
def test_a_share_of_nothing_edits_nothing(
    make: Callable[[Path], Path], edit: Callable[[Path, float, int], None], tmp_path: Path
) -> None:
    path = make(tmp_path / "one")
    before = contents(path)
    edit(path, 0.0, 7)
    assert contents(path) == before


def test_a_random_file_has_its_size_and_does_not_compress(tmp_path: Path) -> None:
    content = contents(random_file.make(tmp_path / "one", 300_000))["random"]
    assert len(content) == 300_000
    assert len(zlib.compress(content)) > 299_000


def test_an_edit_of_a_random_file_keeps_its_size(tmp_path: Path) -> None:
    path = random_file.make(tmp_path / "one", 300_000)
    random_file.edit(path, 0.5, 1)
    assert (path / "random").stat().st_size == 300_000


def test_a_tree_has_so_many_files_and_bytes(tmp_path: Path) -> None:
    found = contents(tree.make(tmp_path / "tree", 40, 100_000))
    assert len(found) >= 40
    assert sum(map(len, found.values())) >= 100_000


def test_a_share_of_the_files_of_a_tree_is_edited(tmp_path: Path) -> None:
    path = tree.make(tmp_path / "tree", 40, 0)
    before = contents(path)
    tree.edit(path, 0.1, 3)
    after = contents(path)
    assert sum(before[name] != after[name] for name in before) == round(len(before) * 0.1)


def test_copies_of_the_library_differ_and_stay_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "Code.py").write_text("Zebra = 1\n")
    (library / "site-packages").mkdir()
    (library / "site-packages" / "other.py").write_text("no\n")
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": str(library)})
    assert contents(tree.make(tmp_path / "tree", 2, 0)) == {
        "copy 0/Code.py": b"Zebra = 1\n",
        "copy 1/Code.py": b"Afcsb = 1\n",
    }


def test_a_library_that_is_too_small_is_no_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "library").mkdir()
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": str(tmp_path / "library")})
    with pytest.raises(ValueError, match="too small"):
        tree.make(tmp_path / "tree", 1, 0)


def test_a_conversation_is_lines_of_json_and_grows_at_its_end(tmp_path: Path) -> None:
    path = conversation.make(tmp_path / "talk.jsonl", 20_000)
    before = path.read_bytes()
    assert len(before) >= 20_000
    conversation.edit(path, 0.1, 1)
    after = path.read_bytes()
    assert after.startswith(before)
    assert len(after) >= 1.1 * len(before)
    assert all(json.loads(line)["role"] == "user" for line in after.splitlines())


def test_many_files_are_as_many_as_asked_for(tmp_path: Path) -> None:
    found = contents(many_files.make(tmp_path / "many", 230, 10))
    assert len(found) == 230
    assert set(map(len, found.values())) == {10}
