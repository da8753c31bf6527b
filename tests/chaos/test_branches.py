# SPDX-License-Identifier: Apache-2.0
"""Forks, generations, undo and lost sessions: the checker takes the good ones, and finds those that are bad by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos import checker
from tests.chaos.handmade import (
    BACK,
    DESKTOP,
    FORK,
    LAPTOP,
    ROOT,
    SECOND,
    SESSION,
    chain,
    genesis,
)
from tests.chaos.test_checker import Scene, digest

PARENT = [SESSION, 2, ROOT]
OF_THE_FORK = chain(genesis(DESKTOP, FORK, PARENT))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """The desktop has granted the session back, has no answer, and goes on in a fork."""
    scene = Scene(tmp_path)
    scene.freeze_back()
    scene.desktop.has_fork(OF_THE_FORK)
    return scene


@pytest.fixture
def rejoined(tmp_path: Path) -> Scene:
    """After the reunion upon a refusal: the desktop is primary of both, and the fork is over."""
    scene = Scene(tmp_path)
    scene.desktop.has_granted(SECOND, 2, LAPTOP, BACK, _refusal())
    scene.laptop.has_decided(SECOND, DESKTOP, "refused", _refusal())
    scene.desktop.has_fork(OF_THE_FORK, state="rejoined")
    return scene


def _refusal() -> bytes:
    return LAPTOP.sign(3, SESSION, SECOND, DESKTOP.device, LAPTOP.device, 1)


def test_an_open_fork_of_a_frozen_session_keeps_every_promise(scene: Scene) -> None:
    assert scene.judged() == set()


def test_a_fork_that_came_home_keeps_every_promise(rejoined: Scene) -> None:
    assert rejoined.judged(recovered=True) == set()


def test_once_the_devices_have_met_no_fork_is_open(scene: Scene) -> None:
    assert "I7" in scene.judged(recovered=True)


def test_edits_of_a_fork_are_wanted_at_the_primary_under_any_name(rejoined: Scene) -> None:
    rejoined.work["fork_files"] = {"notes.md": digest(b"forked")}
    rejoined.work["fork_lines"] = ['{"text": "forked"}']
    assert {"I3", "I4"} <= rejoined.judged(recovered=True)
    (rejoined.desktop.files / "work" / "notes.conflict-desktop.md").write_bytes(b"forked")
    with (rejoined.desktop.files / "talk.jsonl").open("ab") as talk:
        talk.write(b'{"text": "forked"}\n')
    assert rejoined.judged(recovered=True) == set()


def test_a_lost_session_is_legal_in_a_restored_home_only(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.laptop.write("UPDATE sessions SET role = 'secondary'")
    scene.desktop.write("UPDATE sessions SET role = 'secondary'")
    scene.desktop.write("DELETE FROM decisions")
    scene.laptop.write("UPDATE grants SET answer = NULL")
    scene.laptop.write("DELETE FROM grants")
    scene.work = {**scene.work, "files": {}, "lines": [], "late": [], "late_lines": []}
    assert "I5" in {violation.promise for violation in checker.check(scene.homes)}
    assert checker.check(scene.homes, restored=[DESKTOP.device]) == []
    scene.desktop.write("UPDATE home SET floor = 20")
    assert checker.check(scene.homes) == []


def test_a_rolled_back_home_must_not_act_in_an_epoch_that_it_forgot(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.desktop.write("DELETE FROM decisions")
    assert "I5" in {violation.promise for violation in checker.check(scene.homes, restored=[DESKTOP.device])}


def test_what_was_accepted_here_is_not_lost(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.desktop.write("UPDATE sessions SET role = 'secondary'")
    assert "I5" in {violation.promise for violation in checker.check(scene.homes, restored=[DESKTOP.device])}


def test_an_undo_shows_all_of_one_state(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    now = {"files": {"notes.md": digest(b"new"), "deep/data": digest(b"data")}, "lines": list(scene.work["lines"])}
    old = {"files": {"notes.md": digest(b"old"), "deep/data": digest(b"data")}, "lines": scene.work["lines"][:1]}
    scene.work["states"] = [old, now]
    assert scene.judged(recovered=True) == {"I4"}  # The old one is on no shelf.
    shelf = scene.desktop.home / "generations" / SESSION / "p1" / "contents"
    shelf.mkdir(parents=True)
    (shelf / "0").write_bytes(b"old")
    assert scene.judged(recovered=True) == set()
    scene.says(scene.desktop, tuple(scene.work["lines"][:1]))
    assert "I3" in scene.judged(recovered=True)


def another_parent(scene: Scene) -> None:
    other = chain(genesis(DESKTOP, FORK, ["o" * 26, 2, ROOT]))
    scene.desktop.write("UPDATE sessions SET chain = ? WHERE id = ?", other, FORK)


def forked_from_no_grant(scene: Scene) -> None:
    other = chain(genesis(DESKTOP, FORK, [SESSION, 1, ROOT]))
    scene.desktop.write("UPDATE sessions SET chain = ? WHERE id = ?", other, FORK)


def left_another_state(scene: Scene) -> None:
    scene.desktop.write("UPDATE forks SET manifest = ?", b"another")


def not_noted(scene: Scene) -> None:
    scene.desktop.write("DELETE FROM forks")


def not_marked(scene: Scene) -> None:
    scene.desktop.write("UPDATE sessions SET forked = 0")


def original_keeps_its_paths(scene: Scene) -> None:
    for part in ("p1", "p2"):
        path = "(SELECT path FROM parts WHERE session = ? AND part = ?)"
        scene.desktop.write(f"UPDATE parts SET path = {path} WHERE session = ? AND part = ?", FORK, part, SESSION, part)


def merged_by_nobody(scene: Scene) -> None:
    scene.desktop.write("UPDATE forks SET state = 'merged', ended_at = 1")


def a_shelf_is_empty(scene: Scene) -> None:
    scene.desktop.has_generation(1, "p1")
    (scene.desktop.home / "generations" / SESSION / "p1" / "trees" / "tree").unlink()


def a_frozen_session_changes(scene: Scene) -> None:
    scene.desktop.write("INSERT INTO changes VALUES ('x', ?, 'undo', 'placing', 1)", SESSION)


def undecided_and_placed(scene: Scene) -> None:
    scene.desktop.write("INSERT INTO changes VALUES ('x', ?, 'undo', 'staging', 1)", FORK)
    row = ("x", FORK, "p1", str(scene.desktop.files).encode(), b"", "folder")
    scene.desktop.write("INSERT INTO pending_changes VALUES (?, ?, ?, ?, ?, ?)", *row)


BAD: dict[Callable[[Scene], None], str] = {
    another_parent: "I5",
    forked_from_no_grant: "I5",
    left_another_state: "I4",
    not_noted: "I1",
    not_marked: "I5",
    original_keeps_its_paths: "I1",
    merged_by_nobody: "I4",
    a_shelf_is_empty: "I4",
    a_frozen_session_changes: "I5",
    undecided_and_placed: "I3",
}


@pytest.mark.parametrize(("spoil", "promise"), BAD.items(), ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_bad_branch_is_found(scene: Scene, spoil: Callable[[Scene], None], promise: str) -> None:
    spoil(scene)
    assert promise in scene.judged()


def test_two_open_forks_are_found(scene: Scene) -> None:
    scene.desktop.write("DROP INDEX one_open_fork")
    other = "j" * 26
    columns = "title, created_at, manifest, role, epoch, owner"
    whole = chain(genesis(DESKTOP, other, PARENT))
    scene.desktop.write(
        f"INSERT INTO sessions (id, chain, {columns}) SELECT ?, ?, {columns} FROM sessions WHERE id = ?",
        other,
        whole,
        FORK,
    )
    scene.desktop.write(
        "INSERT INTO forks (fork, original, manifest, made_at) SELECT ?, original, manifest, 0 FROM forks", other
    )
    assert scene.judged() == {"I1"}


def test_a_whole_shelf_is_no_violation(scene: Scene) -> None:
    scene.desktop.has_generation(1)
    scene.desktop.has_generation(2, "p1", "p2")
    assert scene.judged() == set()
