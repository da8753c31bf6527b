# SPDX-License-Identifier: Apache-2.0
"""The conversation adapter from end to end: byte-identical arrival, small follow-ups, nothing lost."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from p2p_handoff.errors import ContentGoneError, NotFoundError, PathError, UsageError
from p2p_handoff.session.manifest import PartType
from p2p_handoff.testing.samples import conversation_lines
from tests.adapters.conversation_peers import Device

ODD_FILES = [b"", b"\n", b'{"a":1}', b"\xff\xfe\n\x80tail", b"a\0b\n", b"a\r\n\r\n", b"x" * 100_000]
_pieces = st.lists(st.sampled_from([b"a\n", b"b\n", b"\xff\n", b"{}\n", b"tail"]), max_size=6).map(b"".join)


@pytest.fixture
def source(tmp_path: Path) -> Device:
    device = Device(tmp_path / "source")
    device.write(b"".join(conversation_lines(20)))
    return device


@pytest.fixture
def target(tmp_path: Path) -> Device:
    return Device(tmp_path / "target")


@pytest.mark.parametrize("data", ODD_FILES)
def test_any_file_arrives_byte_identical_with_its_time(source: Device, target: Device, data: bytes) -> None:
    source.write(data)
    target.take(source)
    assert target.read() == data
    assert target.file.stat().st_mtime_ns == source.file.stat().st_mtime_ns
    assert target.leftovers() == []


def test_both_devices_have_the_same_root_after_a_handoff(source: Device, target: Device) -> None:
    target.take(source)
    assert target.part.snapshot().root == source.part.snapshot().root
    target.restart()
    assert target.part.snapshot().root == source.part.snapshot().root


def test_a_handoff_back_after_one_line_moves_less_than_two_kilobytes(source: Device, target: Device) -> None:
    source.write(b"".join(conversation_lines(300)))
    target.take(source)
    target.append(conversation_lines(1, seed=1)[0])
    source.take(target, "back")
    assert source.read() == target.read()
    assert source.sent < 2_000


def test_a_long_conversation_handed_to_and_fro_stays_identical(source: Device, target: Device) -> None:
    target.take(source)
    for turn, line in enumerate(conversation_lines(16, seed=2)):
        here, there = (source, target) if turn % 2 else (target, source)
        here.append(line)
        there.take(here, f"turn{turn}")
        assert there.read() == here.read()
    assert source.leftovers() == target.leftovers() == []


def test_lines_appended_on_both_devices_all_survive(source: Device, target: Device) -> None:
    target.take(source)
    source.append(b"from the source\n")
    target.append(b"from the target\n")
    before = source.read()
    target.take(source, "there")
    source.take(target, "back")
    assert source.read() == target.read()
    assert Counter(source.read().splitlines()) == Counter([*before.splitlines(), b"from the target"])


def test_an_unterminated_tail_that_is_completed_later_is_followed(source: Device, target: Device) -> None:
    source.write(b'{"a":1}\n{"b":')
    target.take(source)
    source.append(b'2}\n{"c":3}\n')
    target.take(source, "again")
    assert target.read() == b'{"a":1}\n{"b":2}\n{"c":3}\n'


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(base=_pieces, mine=_pieces, theirs=_pieces)
def test_no_line_written_on_either_device_vanishes(
    tmp_path_factory: pytest.TempPathFactory, base: bytes, mine: bytes, theirs: bytes
) -> None:
    home = tmp_path_factory.mktemp("devices")
    source, target = Device(home / "source"), Device(home / "target")
    source.write(base)
    target.take(source)
    source.write(theirs)
    target.write(mine)
    target.take(source, "there")
    source.take(target, "back")
    assert source.read() == target.read()
    merged = Counter(source.read().splitlines())
    for side in (mine, theirs):
        assert Counter(side.splitlines()) - Counter(base.splitlines()) <= merged


def test_a_snapshot_of_an_unchanged_file_has_the_same_root(source: Device) -> None:
    first = source.part.snapshot().root
    assert source.part.snapshot().root == first
    source.restart()
    assert source.part.snapshot().root == first


def test_touching_a_file_changes_no_root(source: Device) -> None:
    first = source.part.snapshot().root
    source.file.touch()
    assert source.part.snapshot().root == first


def test_a_snapshot_serves_what_it_showed_while_the_file_goes_on(source: Device, target: Device) -> None:
    shown = source.read()
    snapshot = source.part.snapshot()
    source.append(b"later\n")
    staging = target.adapter.stage_new(target.file, target.state, "t")
    wants = list(staging.begin(snapshot.root, snapshot.root_size))
    while wants:
        want = wants.pop()
        wants += staging.put(want.digest, snapshot.read(want.digest))
    staging.seal()
    staging.commit()
    assert target.read() == shown


def test_a_snapshot_counts_lines_and_bytes(source: Device) -> None:
    snapshot = source.part.snapshot()
    assert snapshot.items == 20
    assert len(source.read()) < snapshot.total_bytes < len(source.read()) + 1_000
    assert snapshot.root_size == len(snapshot.read(snapshot.root))


def test_an_unknown_object_is_not_found(source: Device) -> None:
    snapshot = source.part.snapshot()
    with pytest.raises(NotFoundError, match="no object"):
        snapshot.read(type(snapshot.root)(b"x" * 32))


def test_a_file_that_is_gone_is_said_to_be_gone(source: Device) -> None:
    source.part.snapshot()
    source.file.unlink()
    with pytest.raises(ContentGoneError, match="is gone"):
        source.part.snapshot()


def test_edits_made_while_frozen_are_found_by_the_next_snapshot(source: Device) -> None:
    frozen = source.part.freeze().root
    source.append(b"typed while frozen\n")
    source.part.thaw()
    snapshot = source.part.snapshot()
    assert snapshot.root != frozen
    assert snapshot.items == 21


def test_the_state_survives_a_damaged_record(source: Device, target: Device) -> None:
    target.take(source)
    (source.state / "log").write_bytes(b"damaged")
    source.restart()
    source.append(b"after\n")
    target.take(source, "again")
    assert target.read() == source.read()


def test_the_adapter_claims_regular_jsonl_files_only(tmp_path: Path, source: Device) -> None:
    adapter = source.adapter
    assert adapter.kind == "conversation"
    assert adapter.part_type is PartType.MESSAGES
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "link.jsonl").symlink_to(source.file)
    (tmp_path / "notes.txt").touch()
    assert adapter.claims(source.file)
    assert not any(
        adapter.claims(tmp_path / name) for name in ("folder.jsonl", "link.jsonl", "notes.txt", "none.jsonl")
    )


def test_opening_nothing_or_something_else_is_refused(tmp_path: Path, source: Device) -> None:
    with pytest.raises(NotFoundError):
        source.adapter.open(tmp_path / "none.jsonl", source.state)
    with pytest.raises(UsageError):
        source.adapter.open(tmp_path, source.state)


def test_a_first_arrival_needs_a_free_place(source: Device) -> None:
    with pytest.raises(UsageError, match="already"):
        source.adapter.stage_new(source.file, source.state, "t")


def test_a_staging_name_cannot_lead_elsewhere(source: Device, target: Device) -> None:
    with pytest.raises(PathError):
        target.adapter.stage_new(target.file, target.state, "../out")


def test_the_watcher_reports_an_append(source: Device) -> None:
    changed = threading.Event()
    stop = source.part.watch(changed.set)
    try:
        source.append(b"more\n")
        assert changed.wait(5)
    finally:
        stop()


def test_recovering_what_is_in_place_already_says_so(source: Device, target: Device) -> None:
    staging, _ = target.staging_for(source)
    staging.commit()
    with pytest.raises(NotFoundError, match="in place"):
        target.adapter.recover(staging.directory, target.state)


def test_regression_a_log_that_cannot_be_made_is_a_typed_error(source: Device) -> None:
    source.write(b"one\n")
    source.state.mkdir(exist_ok=True)
    shutil.rmtree(source.state / "updates", ignore_errors=True)
    (source.state / "updates").touch()
    with pytest.raises(PathError, match="cannot make"):
        source.adapter.open(source.file, source.state)
