# SPDX-License-Identifier: Apache-2.0
"""The independent checker says nothing about good homes, and each of its checks finds a home that is bad by hand."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from tests.chaos import checker
from tests.chaos.evidence import read_home
from tests.chaos.handmade import (
    ACCEPTED,
    BACK,
    BOTH,
    DESKTOP,
    FIRST,
    GENESIS,
    GRANT,
    LAPTOP,
    MANIFEST,
    SECOND,
    SESSION,
    STRANGER,
    HandmadeHome,
    accepted,
    chain,
    granted,
    refused,
)
from tests.chaos.promises import AFTER_RECOVERY, ALWAYS

HERE = Path(__file__).parent
INDEPENDENT = ("checker", "promises", "branches", "judged", "evidence", "statements", "holding")
LINES = ('{"text": "one"}', '{"text": "two"}')


class Scene:
    """After one handoff from the laptop to the desktop, with everything in place."""

    def __init__(self, place: Path) -> None:
        self.laptop = HandmadeHome(place / "laptop", LAPTOP)
        self.desktop = HandmadeHome(place / "desktop", DESKTOP)
        self.laptop.has_session("secondary", 2, DESKTOP, BOTH)
        self.laptop.has_granted(FIRST, 1, DESKTOP, GRANT, ACCEPTED)
        self.desktop.has_session("primary", 2, DESKTOP, BOTH)
        self.desktop.has_decided(FIRST, LAPTOP, "accepted", ACCEPTED)
        self.files = {"notes.md": [b"old", b"new"], "deep/data": [b"data"], "gone": [b"removed"]}
        self.work: dict[str, Any] = {
            "files": {name: [digest(data) for data in versions] for name, versions in self.files.items()},
            "removed": ["gone"],
            "lines": list(LINES),
            "late": [],
            "late_lines": [],
            "fork_files": {},
            "fork_lines": [],
            "states": [],
        }
        for home, version in ((self.laptop, 0), (self.desktop, -1)):
            for name in ("notes.md", "deep/data"):
                path = home.files / "work" / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(self.files[name][version])
        self.says(self.laptop, LINES[:1])
        self.says(self.desktop, LINES)

    @property
    def homes(self) -> list[Path]:
        return [self.laptop.home, self.desktop.home]

    def says(self, home: HandmadeHome, lines: tuple[str, ...]) -> None:
        """What the conversation holds on a device."""
        (home.files / "talk.jsonl").write_bytes(b"".join(line.encode() + b"\n" for line in lines))

    def freeze_back(self) -> None:
        """The desktop has granted it back, and the laptop has not answered."""
        self.desktop.write("UPDATE sessions SET role = 'frozen', frozen_txn = ?", SECOND)
        self.desktop.has_granted(SECOND, 2, LAPTOP, BACK, None)

    def accept_back(self) -> Path:
        """The laptop has accepted, and its files still lie in the staging directory."""
        self.freeze_back()
        statement = accepted(LAPTOP, SECOND, 3, BACK)
        self.laptop.has_decided(SECOND, DESKTOP, "accepted", statement)
        whole = chain(GENESIS, GRANT, ACCEPTED, BACK, statement)
        self.laptop.write("UPDATE sessions SET role = 'primary', epoch = 3, owner = ?, chain = ?", LAPTOP.device, whole)
        staging = self.laptop.files / ".work.handoff-x"
        staging.mkdir()
        (staging / "0").write_bytes(b"new")
        self.laptop.has_pending(SECOND, staging)
        return staging

    def judged(self, **options: Any) -> set[str]:
        return {violation.promise for violation in checker.check(self.homes, work=self.work, **options)}


def digest(data: bytes) -> str:
    return blake3(data).hexdigest()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


# --- what is good -------------------------------------------------------------------------------------


def test_a_finished_handoff_keeps_every_promise(scene: Scene) -> None:
    assert scene.judged(recovered=True, earlier=checker.remember(scene.homes)) == set()


def test_a_frozen_source_is_a_doubt_and_no_violation(scene: Scene) -> None:
    scene.freeze_back()
    assert scene.judged() == set()
    assert scene.judged(recovered=True) == {"I7"}


def test_an_accepted_part_may_still_wait_for_its_place(scene: Scene) -> None:
    scene.accept_back()
    assert scene.judged() == set()


def test_a_thawed_source_keeps_its_epoch(scene: Scene) -> None:
    answer = refused(LAPTOP, DESKTOP, SECOND)
    scene.desktop.has_granted(SECOND, 2, LAPTOP, BACK, answer)
    scene.laptop.has_decided(SECOND, DESKTOP, "refused", answer)
    assert scene.judged(recovered=True) == set()


# --- what is bad --------------------------------------------------------------------------------------


def two_primaries(scene: Scene) -> None:
    scene.laptop.write("UPDATE sessions SET role = 'primary'")


def a_stale_primary_acts(scene: Scene) -> None:
    scene.laptop.write(
        "UPDATE sessions SET role = 'primary', epoch = 1, owner = ?, chain = ?", LAPTOP.device, chain(GENESIS)
    )
    scene.desktop.write("UPDATE sessions SET role = 'secondary'")


def one_epoch_granted_twice(scene: Scene) -> None:
    grant = granted(LAPTOP, STRANGER, SECOND, 1, GENESIS)
    other = chain(GENESIS, grant, accepted(STRANGER, SECOND, 2, grant))
    scene.laptop.write("UPDATE sessions SET chain = ?, owner = ?", other, STRANGER.device)


def a_signature_is_broken(scene: Scene) -> None:
    scene.laptop.write("UPDATE sessions SET chain = ?", BOTH[:-1] + bytes([BOTH[-1] ^ 1]))


def a_grant_skips_an_epoch(scene: Scene) -> None:
    grant = granted(LAPTOP, DESKTOP, FIRST, 5, GENESIS)
    skipping = chain(GENESIS, grant, accepted(DESKTOP, FIRST, 6, grant))
    scene.laptop.write("UPDATE sessions SET chain = ?, epoch = 6", skipping)


def the_epoch_is_not_the_chains(scene: Scene) -> None:
    scene.laptop.write("UPDATE sessions SET epoch = 7")


def a_secondary_owns(scene: Scene) -> None:
    scene.desktop.write("UPDATE sessions SET role = 'secondary'")


def frozen_without_a_grant(scene: Scene) -> None:
    scene.desktop.write("UPDATE sessions SET role = 'frozen', frozen_txn = ?", SECOND)


def thawed_without_an_answer(scene: Scene) -> None:
    scene.desktop.has_granted(SECOND, 2, LAPTOP, BACK, None)


def the_granted_manifest_is_gone(scene: Scene) -> None:
    scene.freeze_back()
    scene.desktop.write("UPDATE grants SET manifest = NULL")


def the_granted_manifest_is_another(scene: Scene) -> None:
    scene.freeze_back()
    scene.desktop.write("UPDATE grants SET manifest = ?", MANIFEST + b".")


def a_grant_of_a_past_epoch(scene: Scene) -> None:
    scene.freeze_back()
    scene.desktop.write("UPDATE grants SET signed = ?, epoch = 1", granted(DESKTOP, LAPTOP, SECOND, 1, GENESIS))


def accepted_and_refused(scene: Scene) -> None:
    scene.laptop.write("UPDATE grants SET answer = ?", refused(DESKTOP, LAPTOP, FIRST))


def an_answer_that_nobody_gave(scene: Scene) -> None:
    scene.freeze_back()
    scene.desktop.write("UPDATE grants SET answer = ? WHERE txn = ?", refused(LAPTOP, DESKTOP, SECOND), SECOND)
    scene.desktop.write("UPDATE sessions SET role = 'primary', frozen_txn = NULL")


def an_answer_of_a_third_device(scene: Scene) -> None:
    scene.freeze_back()
    scene.desktop.write("UPDATE grants SET answer = ? WHERE txn = ?", refused(STRANGER, DESKTOP, SECOND), SECOND)
    scene.desktop.write("UPDATE sessions SET role = 'primary', frozen_txn = NULL")


def accepted_what_was_not_granted(scene: Scene) -> None:
    scene.laptop.write("DELETE FROM grants")


def a_staged_part_is_gone(scene: Scene) -> None:
    for path in scene.accept_back().iterdir():
        path.unlink()
    (scene.laptop.files / ".work.handoff-x").rmdir()
    scene.laptop.write("UPDATE parts SET path = ? WHERE part = 'p1'", b"/nowhere/work")


def half_a_file(scene: Scene) -> None:
    (scene.desktop.files / "work" / "notes.md").write_bytes(b"ne")


def half_a_line(scene: Scene) -> None:
    (scene.desktop.files / "talk.jsonl").write_bytes(LINES[0].encode() + b"\n" + LINES[1].encode()[:4])


def a_lost_file(scene: Scene) -> None:
    (scene.desktop.files / "work" / "notes.md").unlink()


def a_lost_line(scene: Scene) -> None:
    scene.says(scene.desktop, LINES[:1])


def a_lost_late_file(scene: Scene) -> None:
    scene.work["files"]["late.txt"] = [digest(b"late")]
    scene.work["late"] = ["late.txt"]


def a_lost_late_line(scene: Scene) -> None:
    scene.work["late_lines"] = ['{"text": "late"}']


def damaged(scene: Scene) -> None:
    scene.desktop.write("CREATE TABLE extra (a INTEGER NOT NULL CHECK (a > 0))")
    scene.desktop.write("PRAGMA ignore_check_constraints = ON")
    with scene.desktop.database() as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        database.execute("INSERT INTO extra VALUES (-1)")


def one_device_twice(scene: Scene) -> None:
    scene.laptop.write("UPDATE home SET device = ?", DESKTOP.device)


BAD: dict[Callable[[Scene], None], str] = {
    two_primaries: "I1",
    a_stale_primary_acts: "I1",
    one_epoch_granted_twice: "I2",
    a_signature_is_broken: "chain",
    a_grant_skips_an_epoch: "chain",
    the_epoch_is_not_the_chains: "I5",
    a_secondary_owns: "I5",
    frozen_without_a_grant: "I5",
    thawed_without_an_answer: "I5",
    the_granted_manifest_is_gone: "I4",
    the_granted_manifest_is_another: "I5",
    a_grant_of_a_past_epoch: "I5",
    accepted_and_refused: "I6",
    an_answer_that_nobody_gave: "I6",
    an_answer_of_a_third_device: "I5",
    accepted_what_was_not_granted: "I6",
    a_staged_part_is_gone: "I3",
    half_a_file: "whole",
    half_a_line: "whole",
    a_lost_file: "I4",
    a_lost_line: "I4",
    a_lost_late_file: "I4",
    a_lost_late_line: "I4",
    damaged: "store",
    one_device_twice: "store",
}


@pytest.mark.parametrize(("spoil", "promise"), BAD.items(), ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_bad_home_is_found(scene: Scene, spoil: Callable[[Scene], None], promise: str) -> None:
    spoil(scene)
    assert promise in scene.judged()


FALLING = {
    "the counter": ("UPDATE home SET counter = 9", "I2"),
    "an epoch": ("UPDATE sessions SET epoch = 1", "I2"),
    "a session": ("DELETE FROM sessions", "I2"),
    "a decision": ("DELETE FROM decisions", "I6"),
    "a verdict": ("UPDATE decisions SET verdict = 'refused'", "I6"),
}


@pytest.mark.parametrize(("sql", "promise"), FALLING.values(), ids=FALLING)
def test_what_falls_or_goes_between_two_looks_is_found(scene: Scene, sql: str, promise: str) -> None:
    earlier = checker.remember(scene.homes)
    scene.desktop.write(sql)
    assert promise in scene.judged(earlier=earlier)


def test_a_grant_that_goes_is_found(scene: Scene) -> None:
    earlier = checker.remember(scene.homes)
    scene.laptop.write("DELETE FROM grants")
    scene.desktop.write("DELETE FROM decisions")
    assert "I6" in scene.judged(earlier=earlier)


def test_recovery_is_not_over_while_a_part_is_pending(scene: Scene) -> None:
    scene.accept_back()
    assert "I7" in scene.judged(recovered=True)


@pytest.mark.parametrize("spoil", [a_lost_file, a_lost_line])
def test_after_recovery_the_primary_itself_shows_every_edit(scene: Scene, spoil: Callable[[Scene], None]) -> None:
    spoil(scene)
    assert "I3" in scene.judged(recovered=True)


def test_a_removed_file_that_is_back_is_found(scene: Scene) -> None:
    (scene.desktop.files / "work" / "gone").write_bytes(b"removed")
    assert scene.judged(recovered=True) == {"I3"}


def test_lines_that_are_doubled_are_found(scene: Scene) -> None:
    scene.says(scene.desktop, (*LINES, LINES[1]))
    assert scene.judged(recovered=True) == {"I3"}


def test_only_an_owners_disk_counts(scene: Scene) -> None:
    """The same file on a secondary's disk does not save it: that device may forget it."""
    (scene.laptop.files / "work" / "notes.md").write_bytes(b"new")
    (scene.desktop.files / "work" / "notes.md").unlink()
    assert "I4" in scene.judged()


# --- the checker itself -------------------------------------------------------------------------------


def test_looking_changes_nothing(scene: Scene) -> None:
    with scene.desktop.database() as database:
        database.execute("PRAGMA journal_mode = WAL")
    before = {path: path.read_bytes() for path in scene.desktop.home.iterdir()}
    read_home(scene.desktop.home)
    assert {path: path.read_bytes() for path in scene.desktop.home.iterdir()} == before


def test_what_only_the_log_of_a_dead_agent_holds_is_read(scene: Scene, tmp_path: Path) -> None:
    """A killed agent leaves its last transactions in the write-ahead log."""
    dead = tmp_path / "dead"
    with scene.desktop.database() as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("UPDATE home SET counter = 77")
        database.commit()
        dead.mkdir()
        for name in ("store.sqlite3", "store.sqlite3-wal"):
            (dead / name).write_bytes((scene.desktop.home / name).read_bytes())
    assert read_home(dead).counter == 77


def test_by_hand(scene: Scene, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "work.json").write_text(json.dumps(scene.work))
    words = [str(home) for home in scene.homes] + ["--work", str(tmp_path / "work.json"), "--recovered"]
    assert checker.main(words) == 0
    two_primaries(scene)
    assert checker.main(words) == 1
    assert "I1: " + SESSION[:6] in capsys.readouterr().out


def test_every_check_is_used() -> None:
    assert len(set(ALWAYS + AFTER_RECOVERY)) == len(ALWAYS) + len(AFTER_RECOVERY) == 22


def imported(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            if node.module == "tests.chaos":
                yield from (f"tests.chaos.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("name", INDEPENDENT)
def test_the_checker_uses_nothing_of_the_product(name: str) -> None:
    allowed = {"tests.chaos", *(f"tests.chaos.{other}" for other in INDEPENDENT)}
    ours = {
        module
        for module in imported(HERE / f"{name}.py")
        if module.split(".")[0] in ("tests", "p2p_handoff", "signaling")
    }
    assert ours <= allowed
