# SPDX-License-Identifier: Apache-2.0
"""Placing a conversation: nothing written here meanwhile is lost, and a crash at any step changes nothing."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from p2p_handoff.adapters.base import Placement
from p2p_handoff.adapters.conversation_log import Log
from p2p_handoff.adapters.conversation_place import MAX_ROUNDS, Placer
from p2p_handoff.adapters.conversation_staging import ConversationStaging
from p2p_handoff.adapters.update_trial import UpdateTrial
from p2p_handoff.errors import IntegrityError, NotFoundError, StorageError
from tests.adapters.conversation_peers import Device

STEPS = ["stage", "exchange", "inspect", "record", "remove"]


class PowerCutError(Exception):
    """The machine stops here."""


@pytest.fixture
def devices(tmp_path: Path) -> tuple[Device, Device]:
    """Two devices that have had the same conversation since a handoff."""
    source, target = Device(tmp_path / "source"), Device(tmp_path / "target")
    source.write(b"one\ntwo\n")
    target.take(source, "t0")
    return source, target


def _place(device: Device, source: Device, step: Callable[[str], None]) -> Placement:
    staging, root = device.staging_for(source)
    try:
        return _carry_out(staging, step)
    finally:
        source.part.release(root)


def _carry_out(staging: object, step: Callable[[str], None]) -> Placement:
    assert isinstance(staging, ConversationStaging)
    plan = staging._area.plan()
    assert plan is not None
    return Placer(staging._area, plan, os.urandom, step).place()


def _cut_at(name: str) -> Callable[[str], None]:
    def step(now: str) -> None:
        if now == name:
            raise PowerCutError

    return step


def _recover(device: Device) -> Placement:
    (name,) = [left for left in device.leftovers() if ".handoff-" in left]
    device.restart()
    return device.adapter.recover(device.home / name, device.state).commit()


@pytest.mark.parametrize("cut", STEPS)
def test_an_update_survives_a_crash_at_any_step(devices: tuple[Device, Device], cut: str) -> None:
    source, target = devices
    source.append(b"three\n")
    with pytest.raises(PowerCutError):
        _place(target, source, _cut_at(cut))
    _recover(target)
    assert target.read() == b"one\ntwo\nthree\n"
    assert target.part.snapshot().root == source.part.snapshot().root
    assert target.leftovers() == []


@pytest.mark.parametrize("cut", STEPS)
def test_regression_an_update_survives_that_the_disk_is_copied_at_any_step(
    devices: tuple[Device, Device], cut: str
) -> None:
    """A restored or moved disk has other inodes: what came in was taken for what came out."""
    source, target = devices
    source.append(b"three\n")
    with pytest.raises(PowerCutError):
        _place(target, source, _cut_at(cut))
    copy = target.home.with_name("copy")
    shutil.copytree(target.home, copy, symlinks=True)
    shutil.rmtree(target.home)
    copy.rename(target.home)
    _recover(target)
    assert target.read() == b"one\ntwo\nthree\n"
    assert target.part.snapshot().root == source.part.snapshot().root


@pytest.mark.parametrize("cut", STEPS)
def test_local_edits_survive_a_crash_at_any_step(devices: tuple[Device, Device], cut: str) -> None:
    source, target = devices
    source.append(b"theirs\n")
    target.append(b"mine\n")
    with pytest.raises(PowerCutError):
        _place(target, source, _cut_at(cut))
    _recover(target)
    assert sorted(target.read().splitlines()) == [b"mine", b"one", b"theirs", b"two"]
    source.take(target, "back")
    assert source.read() == target.read()


@pytest.mark.parametrize("cut", STEPS)
def test_lines_written_after_a_crash_are_kept_by_the_recovery(devices: tuple[Device, Device], cut: str) -> None:
    source, target = devices
    source.append(b"theirs\n")
    with pytest.raises(PowerCutError):
        _place(target, source, _cut_at(cut))
    target.append(b"late\n")
    _recover(target)
    target.part.snapshot()
    assert sorted(target.read().splitlines()) == [b"late", b"one", b"theirs", b"two"]
    source.take(target, "back")
    assert source.read() == target.read()


@pytest.mark.parametrize("cut", ["place", "record", "remove"])
def test_a_first_arrival_survives_a_crash_at_any_step(tmp_path: Path, cut: str) -> None:
    source, target = Device(tmp_path / "source"), Device(tmp_path / "target")
    source.write(b"one\ntwo\n")
    with pytest.raises(PowerCutError):
        _place(target, source, _cut_at(cut))
    _recover(target)
    assert target.read() == source.read()
    assert target.part.snapshot().root == source.part.snapshot().root
    assert target.leftovers() == []


def test_a_line_written_in_the_moment_of_the_exchange_is_merged(devices: tuple[Device, Device]) -> None:
    source, target = devices
    source.append(b"theirs\n")
    seen: list[str] = []

    def write_once(now: str) -> None:
        seen.append(now)
        if seen.count("exchange") == 1 and now == "exchange":
            target.append(b"in the gap\n")

    placement = _place(target, source, write_once)
    assert sorted(target.read().splitlines()) == [b"in the gap", b"one", b"theirs", b"two"]
    assert placement.conflicts == ()
    assert seen.count("exchange") == 2


@pytest.mark.parametrize("cut", STEPS)
def test_a_crash_in_the_second_round_loses_nothing(devices: tuple[Device, Device], cut: str) -> None:
    source, target = devices
    source.append(b"theirs\n")
    seen: list[str] = []

    def write_then_cut(now: str) -> None:
        seen.append(now)
        if now == "exchange" and seen.count("exchange") == 1:
            target.append(b"in the gap\n")
        elif now == cut and seen.count("inspect") >= 1 and not (now == "inspect" and seen.count("inspect") == 1):
            raise PowerCutError

    with pytest.raises(PowerCutError):
        _place(target, source, write_then_cut)
    _recover(target)
    assert sorted(target.read().splitlines()) == [b"in the gap", b"one", b"theirs", b"two"]
    source.take(target, "back")
    assert source.read() == target.read()


def test_a_program_that_never_stops_writing_gets_a_conflict_copy(devices: tuple[Device, Device]) -> None:
    source, target = devices
    source.append(b"theirs\n")
    written: list[bytes] = []

    def write_always(now: str) -> None:
        if now == "exchange":
            written.append(b"gap %d\n" % len(written))
            target.append(written[-1])

    placement = _place(target, source, write_always)
    assert len(written) == MAX_ROUNDS
    (copy,) = placement.conflicts
    union = target.read() + copy.read_bytes()
    assert all(line in union for line in [*written, b"theirs\n"])


def test_a_conversation_removed_here_comes_back_with_the_update(devices: tuple[Device, Device]) -> None:
    source, target = devices
    source.append(b"three\n")
    staging, _ = target.staging_for(source)
    target.file.unlink()
    staging.commit()
    assert target.read() == source.read()


def test_a_conversation_removed_in_the_moment_of_the_exchange_comes_back(devices: tuple[Device, Device]) -> None:
    source, target = devices
    source.append(b"three\n")
    _place(target, source, lambda now: target.file.unlink() if now == "exchange" else None)
    assert target.read() == source.read()


def test_another_document_replaces_one_without_local_edits(devices: tuple[Device, Device]) -> None:
    source, target = devices
    source.write(b"one\n")
    source.part.renew()
    placement = target.take(source)
    assert target.read() == b"one\n"
    assert placement.conflicts == ()
    assert target.leftovers() == []


def test_local_edits_are_kept_beside_another_document(devices: tuple[Device, Device]) -> None:
    source, target = devices
    source.write(b"one\n")
    source.part.renew()
    target.append(b"mine\n")
    placement = target.take(source)
    (copy,) = placement.conflicts
    assert target.read() == b"one\n"
    assert copy.read_bytes() == b"one\ntwo\nmine\n"
    assert copy.name.startswith("chat.conflict-desk-")


def test_old_edits_do_not_creep_back_after_an_undo(devices: tuple[Device, Device]) -> None:
    source, target = devices
    source.append(b"regretted\n")
    target.take(source, "t1")
    source.write(b"one\ntwo\n")
    source.part.renew()
    target.take(source, "t2")
    source.take(target, "t3")
    assert source.read() == target.read() == b"one\ntwo\n"


def test_nothing_is_written_over_a_file_that_appeared_meanwhile(tmp_path: Path) -> None:
    source, target = Device(tmp_path / "source"), Device(tmp_path / "target")
    source.write(b"one\n")
    staging, _ = target.staging_for(source)
    target.write(b"somebody else's\n")
    with pytest.raises(StorageError, match="appeared"):
        staging.commit()
    assert target.read() == b"somebody else's\n"
    target.file.rename(target.home / "moved")
    staging.commit()
    assert target.read() == b"one\n"


def test_an_update_keeps_the_mode_that_the_file_has_here(devices: tuple[Device, Device]) -> None:
    source, target = devices
    target.file.chmod(0o640)
    source.append(b"three\n")
    target.take(source)
    assert target.file.stat().st_mode & 0o7777 == 0o640


def test_a_new_conversation_is_private(devices: tuple[Device, Device]) -> None:
    assert devices[1].file.stat().st_mode & 0o7777 == 0o600


def half_removed(home: Path, *, fresh: bool) -> Iterator[tuple[Device, Device]]:
    """Source and target, with the target cut off at each removal of its staging directory."""
    for cut in itertools.count(1):
        source, target = Device(home / f"source-{cut}"), Device(home / f"target-{cut}")
        source.write(b"one\ntwo\n")
        if not fresh:
            target.take(source, "t0")
            source.append(b"three\n")
        with cut_after_removals(cut) as removed, contextlib.suppress(PowerCutError):
            _place(target, source, lambda _: None)
        if len(removed) < cut:
            assert cut > 3
            return
        target.restart()
        yield source, target


@pytest.mark.parametrize("fresh", [True, False])
def test_regression_a_crash_while_the_staging_directory_is_removed_leaves_what_can_be_recovered(
    tmp_path: Path, fresh: bool
) -> None:
    """The plan went first, and what was left counted as never sealed: its commit was tried for ever."""
    for source, target in half_removed(tmp_path, fresh=fresh):
        for name in target.leftovers():
            with contextlib.suppress(NotFoundError):
                target.adapter.recover(target.home / name, target.state).commit()
        assert target.leftovers() == []
        assert target.read() == source.read()


@pytest.mark.parametrize("fresh", [True, False])
def test_regression_nor_does_a_crash_while_a_recovery_removes_the_rest(tmp_path: Path, fresh: bool) -> None:
    """The recovery removed first the word that the plan was carried out."""
    for source, target in half_removed(tmp_path, fresh=fresh):
        while target.leftovers():
            with cut_after_removals(2), contextlib.suppress(PowerCutError, NotFoundError):
                for name in target.leftovers():
                    target.adapter.recover(target.home / name, target.state).commit()
            target.restart()
        assert target.read() == source.read()


@contextlib.contextmanager
def cut_after_removals(count: int) -> Iterator[list[str]]:
    """The power goes before the removal of this number."""
    removed: list[str] = []

    def counted(real: Callable[..., None]) -> Callable[..., None]:
        def remove(name: object, *arguments: object, **options: object) -> None:
            removed.append(str(name))
            if len(removed) >= count:
                raise PowerCutError
            real(name, *arguments, **options)

        return remove

    with pytest.MonkeyPatch.context() as patch:
        for name in ("unlink", "rmdir"):
            patch.setattr(os, name, counted(getattr(os, name)))
        yield removed


@pytest.fixture
def refusing() -> Iterator[UpdateTrial]:
    """A trial in which no updates pass."""
    script = (
        "import sys\n"
        "while sys.stdin.buffer.read1(1 << 20):\n"
        "    sys.stdout.buffer.write(b'\\0')\n"
        "    sys.stdout.buffer.flush()\n"
    )
    trial = UpdateTrial((sys.executable, "-c", script))
    yield trial
    trial.close()


def test_what_cannot_be_merged_safely_is_kept_beside_what_was_accepted(
    devices: tuple[Device, Device], refusing: UpdateTrial
) -> None:
    source, target = devices
    source.append(b"theirs\n")
    target.append(b"mine\n")
    staging, root = target.staging_for(source)
    assert isinstance(staging, ConversationStaging)
    plan = staging._area.plan()
    assert plan is not None
    placement = Placer(staging._area, plan, os.urandom, trial=refusing).place()
    source.part.release(root)
    assert target.read() == b"one\ntwo\ntheirs\n"
    assert [copy.read_bytes() for copy in placement.conflicts] == [b"one\ntwo\nmine\n"]


def test_what_is_written_meanwhile_and_cannot_be_merged_is_kept_beside_it(
    devices: tuple[Device, Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = devices
    source.append(b"theirs\n")

    def write_late(step: str) -> None:
        if step == "exchange":
            target.append(b"late\n")

    def panic(*_: object) -> Log:
        raise IntegrityError("a document cannot be edited")

    monkeypatch.setattr(Placer, "_grown", panic)
    placement = _place(target, source, write_late)
    assert target.read() == b"one\ntwo\ntheirs\n"
    assert [copy.read_bytes() for copy in placement.conflicts] == [b"one\ntwo\nlate\n"]
