# SPDX-License-Identifier: Apache-2.0
"""Receiving a conversation: resumed, redirected to a newer root, and never fooled."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from p2p_handoff.adapters.base import NOTHING_REUSED, Want
from p2p_handoff.adapters.conversation_log import name_content
from p2p_handoff.adapters.conversation_root import Root, Text, decode_root
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.errors import IntegrityError, LocalProtocolError
from p2p_handoff.session.document import LineDocument
from p2p_handoff.testing.samples import conversation_lines
from tests.adapters.conversation_peers import Device, transfer
from tests.adapters.test_update_trial import PANICS_LATER


@pytest.fixture
def source(tmp_path: Path) -> Device:
    device = Device(tmp_path / "source")
    device.write(b"".join(conversation_lines(2_000)))
    return device


@pytest.fixture
def target(tmp_path: Path) -> Device:
    return Device(tmp_path / "target")


def test_what_arrived_before_a_break_is_not_sent_again(source: Device, target: Device) -> None:
    snapshot = source.part.snapshot()
    staging = target.adapter.stage_new(target.file, target.state, "t")
    wants = list(staging.begin(snapshot.root, snapshot.root_size))
    for _ in range(5):
        want = wants.pop(0)
        wants += staging.put(want.digest, snapshot.read(want.digest))
    again = target.adapter.stage_new(target.file, target.state, "t")
    assert {want.digest for want in again.begin(snapshot.root, snapshot.root_size)} == {want.digest for want in wants}


def test_an_object_damaged_on_the_disk_is_asked_for_again(source: Device, target: Device) -> None:
    snapshot = source.part.snapshot()
    transfer(snapshot, target.adapter.stage_new(target.file, target.state, "t"))
    stored = next((target.home / ".chat.jsonl.handoff-t" / "objects").iterdir())
    stored.write_bytes(b"damaged")
    again = target.adapter.stage_new(target.file, target.state, "t")
    assert [want.digest.hex() for want in again.begin(snapshot.root, snapshot.root_size)][:1] == [stored.name]


def test_a_newer_root_asks_only_for_what_is_new(source: Device, target: Device) -> None:
    staging = target.adapter.stage_new(target.file, target.state, "t")
    transfer(source.part.snapshot(), staging)
    source.append(b"more\n")
    assert transfer(source.part.snapshot(), staging) < 1_000
    staging.seal()
    staging.commit()
    assert target.read() == source.read()


def test_what_the_device_own_log_has_is_counted_as_reused(source: Device, target: Device) -> None:
    staging, _ = target.staging_for(source)
    assert staging.reused == NOTHING_REUSED
    staging.commit()
    source.append(b"more\n")
    staging, _ = target.staging_for(source, "again")
    assert staging.reused.chunks >= 1
    assert staging.reused.bytes > 10 * target.sent


def test_chunks_of_the_device_own_log_are_not_asked_for(source: Device, target: Device) -> None:
    target.take(source)
    (source.state / "log").unlink()  # the source begins a new document with almost the same update
    source.restart()
    target.take(source, "again")
    assert target.sent < 200_000
    assert target.read() == source.read()


def test_an_update_that_the_device_merges_away_before_the_commit_is_still_there(source: Device, target: Device) -> None:
    target.take(source)
    source.append(b"one more\n")
    staging, _ = target.staging_for(source)
    for number in range(3):
        target.write(b"%d" % number * 1_000_000 + b"\n")  # mostly deleted lines: the log is encoded anew
        target.part.snapshot()
    staging.commit()
    assert {b"2" * 1_000_000, b"one more"} <= set(target.read().splitlines())


@pytest.fixture
def wanted(source: Device, target: Device) -> tuple[Device, Want]:
    snapshot = source.part.snapshot()
    staging = target.adapter.stage_new(target.file, target.state, "t")
    (want,) = staging.begin(snapshot.root, snapshot.root_size)
    return target, want


def test_data_that_does_not_match_its_digest_is_refused(wanted: tuple[Device, Want]) -> None:
    target, want = wanted
    staging = target.adapter.stage_new(target.file, target.state, "t")
    staging.begin(want.digest, want.size)
    with pytest.raises(IntegrityError, match="digest"):
        staging.put(want.digest, b"other")


def test_an_object_that_nobody_asked_for_is_refused(wanted: tuple[Device, Want]) -> None:
    target, want = wanted
    staging = target.adapter.stage_new(target.file, target.state, "t")
    staging.begin(want.digest, want.size)
    with pytest.raises(IntegrityError, match="asked"):
        staging.put(digest(b"junk"), b"junk")


def test_an_object_of_another_size_than_announced_is_refused(source: Device, target: Device) -> None:
    snapshot = source.part.snapshot()
    staging = target.adapter.stage_new(target.file, target.state, "t")
    staging.begin(snapshot.root, snapshot.root_size + 1)
    with pytest.raises(IntegrityError, match="another size"):
        staging.put(snapshot.root, snapshot.read(snapshot.root))


def test_a_root_that_is_none_leaves_the_staging_incomplete(target: Device) -> None:
    staging = target.adapter.stage_new(target.file, target.state, "t")
    staging.begin(digest(b"no root"), 7)
    with pytest.raises(IntegrityError):
        staging.put(digest(b"no root"), b"no root")
    assert not staging.complete


class Forged:
    """A snapshot whose log does not render what its root says."""

    def __init__(self, source: Device, update: bytes) -> None:
        snapshot = source.part.snapshot()
        honest = decode_root(snapshot.read(snapshot.root))
        data = replace(honest, log=(name_content(update).content,)).encoded()
        self.root, self.root_size, self.total_bytes, self.items = digest(data), len(data), 0, 0
        self.skipped: tuple[bytes, ...] = ()
        self._objects = {self.root: data, digest(update): update}

    def read(self, digest: Digest) -> bytes:
        return self._objects[digest]

    def reading(self) -> AbstractContextManager[None]:
        return nullcontext()


def test_a_log_that_renders_something_else_changes_nothing(source: Device, target: Device) -> None:
    other = LineDocument.empty(5)
    other.append(b"forged\n")
    staging = target.adapter.stage_new(target.file, target.state, "t")
    transfer(Forged(source, other.update_since()), staging)
    with pytest.raises(IntegrityError, match="render"):
        staging.seal()
    staging.abandon()
    assert not target.file.exists()
    assert target.leftovers() == []


def test_an_update_that_is_no_update_changes_nothing(source: Device, target: Device) -> None:
    target.take(source)
    before = target.read()
    staging = target.part.stage("t")
    transfer(Forged(source, b"\xff" * 50), staging)
    with pytest.raises(IntegrityError):
        staging.seal()
    staging.abandon()
    assert target.read() == before
    assert target.leftovers() == []


def test_sealing_and_placing_too_early_is_a_defect(wanted: tuple[Device, Want]) -> None:
    target, want = wanted
    staging = target.adapter.stage_new(target.file, target.state, "t")
    staging.begin(want.digest, want.size)
    with pytest.raises(LocalProtocolError):
        staging.seal()
    with pytest.raises(LocalProtocolError):
        staging.commit()


def test_a_directory_that_was_never_sealed_cannot_be_recovered(wanted: tuple[Device, Want]) -> None:
    target, _ = wanted
    directory = target.home / ".chat.jsonl.handoff-t"
    (directory / "objects" / "something").write_bytes(b"arrived")
    with pytest.raises(IntegrityError, match="no sealed"):
        target.adapter.recover(directory, target.state)


def test_a_very_long_name_still_gets_a_staging_directory(source: Device, target: Device) -> None:
    target.file = target.home / ("x" * 249 + ".jsonl")
    target.take(source)
    assert target.read() == source.read()


def test_an_update_that_makes_the_library_panic_is_refused_and_leaves_nothing_behind(target: Device) -> None:
    hostile = name_content(PANICS_LATER)
    text = Text(digest(b"two\n"), 4, 1, 0)
    root = Root(bytes(16), text, (hostile.content,))
    staging = target.adapter.stage_new(target.file, target.state, "t")
    (want,) = staging.begin(root.name, len(root.encoded()))
    (update,) = staging.put(want.digest, root.encoded())
    assert list(staging.put(update.digest, PANICS_LATER)) == []
    with pytest.raises(IntegrityError, match="cannot be applied"):
        staging.seal()
    assert not target.file.exists()
    staging.abandon()
    assert target.leftovers() == []
