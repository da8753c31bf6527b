# SPDX-License-Identifier: Apache-2.0
"""The suite that every adapter passes: subclass it in a test module and give it a bench. Layer: test kit, public.

Specification: docs/specs/adapters.md §9. A bench makes, edits and reads parts of one kind; the suite moves them
between two imagined devices through the adapter's contract alone, as an agent would.

    class TestFolder(AdapterConformance):
        @pytest.fixture
        def bench(self, tmp_path): return FolderBench(tmp_path)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pytest

from p2p_handoff.adapters.base import Adapter, OpenPart, Placement, Snapshot, Staging, Want
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import HandoffError, IntegrityError, LocalProtocolError, NotFoundError, UsageError

_STAGING: Final = "conformance-p1"


class AdapterBench(ABC):
    """Parts of one kind, for the suite.

    Args:
        directory: An empty directory of the test's own.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    @abstractmethod
    def adapter(self) -> Adapter:
        """A fresh adapter, as after a restart."""

    @abstractmethod
    def make(self, path: Path) -> None:
        """Make a part of some size (several objects) at a path that is free."""

    @abstractmethod
    def edit(self, path: Path, mark: str) -> None:
        """Change a part, so that ``mark`` (a short ASCII word) is found in it; different marks do not collide."""

    @abstractmethod
    def collide(self, path: Path, mark: str) -> None:
        """As ``edit``, but all marks are written to the same place of the part."""

    @abstractmethod
    def read(self, path: Path) -> Mapping[str, bytes]:
        """Everything that a person would call the part's content, comparable between devices."""


class Device:
    """One side of a transfer: a path and a state directory."""

    def __init__(self, bench: AdapterBench, name: str) -> None:
        self.bench = bench
        self.home = bench.directory / name
        self.home.mkdir()
        self.path = self.home / "part.jsonl"
        self.state = self.home / "state"
        self.state.mkdir(mode=0o700)

    def open(self) -> OpenPart:
        """Open the part, as after a restart."""
        return self.bench.adapter.open(self.path, self.state)

    def stage(self) -> Staging:
        """Stage an update where the part lives, or a first arrival."""
        if self.path.exists():
            return self.open().stage(_STAGING)
        return self.bench.adapter.stage_new(self.path, self.state, _STAGING)

    def recover(self, directory: Path) -> Staging:
        """Reopen a sealed staging directory, as after a restart."""
        return self.bench.adapter.recover(directory, self.state)

    def everything(self) -> bytes:
        """All bytes that a person can find beside each other: the part and whatever copies were kept."""
        files = (item for item in sorted(self.home.rglob("*")) if self.state not in item.parents)
        return b"\n".join(item.read_bytes() for item in files if item.is_file() and not item.is_symlink())


def deliver(staging: Staging, wants: Iterable[Want], source: Snapshot, *, at_most: int | None = None) -> int:
    """Serve wants until none is left; returns how many objects were put.

    Args:
        staging: Where they go.
        wants: What ``begin`` returned.
        source: Where they come from.
        at_most: Stop after so many.
    """
    queue = deque(wants)
    delivered = 0
    while queue and delivered != at_most:
        want = queue.popleft()
        data = source.read(want.digest)
        assert len(data) <= want.size, "an object is larger than its want said"
        queue.extend(staging.put(want.digest, data))
        delivered += 1
    return delivered


def transfer(source: Device, target: Device) -> Placement:
    """A whole handoff from one device to another, through the adapter's contract alone."""
    part = source.open()
    picture = part.freeze()
    staging = target.stage()
    deliver(staging, staging.begin(picture.root, picture.root_size), picture)
    assert staging.complete
    staging.seal()
    placement = staging.commit()
    part.release(picture.root)
    return placement


class AdapterConformance:
    """The tests. Give a ``bench`` fixture in the subclass."""

    @pytest.fixture
    def source(self, bench: AdapterBench) -> Device:
        """A device that has a part."""
        device = Device(bench, "source")
        bench.make(device.path)
        return device

    @pytest.fixture
    def target(self, bench: AdapterBench) -> Device:
        """A device that has nothing."""
        return Device(bench, "target")

    def test_the_adapter_claims_what_it_can_open(self, source: Device, bench: AdapterBench) -> None:
        """What it claims opens, and what is missing is named."""
        assert bench.adapter.claims(source.path)
        assert source.open().path == source.path
        with pytest.raises(NotFoundError):
            bench.adapter.open(source.home / "missing", source.state)

    def test_an_unchanged_part_keeps_its_root(self, source: Device) -> None:
        """The same root again, in this process and after a restart."""
        part = source.open()
        first = part.snapshot()
        assert part.snapshot().root == first.root
        assert source.open().snapshot().root == first.root

    def test_a_change_changes_the_root(self, source: Device, bench: AdapterBench) -> None:
        """An edit is seen by the next snapshot."""
        part = source.open()
        before = part.snapshot().root
        bench.edit(source.path, "apple")
        assert part.snapshot().root != before

    def test_every_object_is_what_its_digest_says(self, source: Device) -> None:
        """The root object reads back under its own name and size."""
        picture = source.open().snapshot()
        data = picture.read(picture.root)
        assert digest(data) == picture.root
        assert len(data) == picture.root_size
        with pytest.raises(NotFoundError):
            picture.read(digest(b"no such object"))

    def test_a_round_trip_is_equal(self, source: Device, target: Device, bench: AdapterBench) -> None:
        """What arrives is what was there, and its directory is gone."""
        placement = transfer(source, target)
        assert placement.path == target.path
        assert not placement.conflicts
        assert bench.read(target.path) == bench.read(source.path)

    def test_nothing_is_visible_before_the_commit(self, source: Device, target: Device) -> None:
        """Sealed is not placed; committed leaves no staging directory."""
        picture = source.open().freeze()
        staging = target.stage()
        deliver(staging, staging.begin(picture.root, picture.root_size), picture)
        staging.seal()
        assert not target.path.exists()
        staging.commit()
        assert target.path.exists()
        assert not staging.directory.exists()

    def test_a_hand_back_brings_the_edits(self, source: Device, target: Device, bench: AdapterBench) -> None:
        """There, edited, back, edited, there again: no conflict, and both marks on both sides."""
        transfer(source, target)
        bench.edit(target.path, "apple")
        assert not transfer(target, source).conflicts
        bench.edit(source.path, "pear")
        assert not transfer(source, target).conflicts
        assert bench.read(target.path) == bench.read(source.path)
        assert b"apple" in target.everything()
        assert b"pear" in target.everything()

    def test_an_interrupted_transfer_resumes(self, source: Device, target: Device, bench: AdapterBench) -> None:
        """After a restart nothing that arrived is wanted again."""
        picture = source.open().freeze()
        staging = target.stage()
        before = deliver(staging, staging.begin(picture.root, picture.root_size), picture, at_most=2)
        del staging
        resumed = target.stage()
        after = deliver(resumed, resumed.begin(picture.root, picture.root_size), picture)
        fresh = Device(bench, "fresh").stage()
        whole = deliver(fresh, fresh.begin(picture.root, picture.root_size), picture)
        fresh.abandon()
        assert before + after <= whole
        resumed.seal()
        resumed.commit()
        assert bench.read(target.path) == bench.read(source.path)

    def test_a_second_round_keeps_what_arrived(self, source: Device, target: Device, bench: AdapterBench) -> None:
        """The source keeps working between rounds; the last root wins."""
        part = source.open()
        first = part.snapshot()
        staging = target.stage()
        whole = deliver(staging, staging.begin(first.root, first.root_size), first)
        bench.edit(source.path, "apple")
        second = part.freeze()
        again = deliver(staging, staging.begin(second.root, second.root_size), second)
        assert again <= whole
        staging.seal()
        staging.commit()
        assert bench.read(target.path) == bench.read(source.path)

    def test_a_round_after_the_seal_replaces_it(self, source: Device, target: Device, bench: AdapterBench) -> None:
        """A newer root may follow a seal, as long as nothing was committed."""
        part = source.open()
        first = part.snapshot()
        staging = target.stage()
        deliver(staging, staging.begin(first.root, first.root_size), first)
        staging.seal()
        bench.edit(source.path, "apple")
        second = part.freeze()
        deliver(staging, staging.begin(second.root, second.root_size), second)
        staging.seal()
        staging.commit()
        assert bench.read(target.path) == bench.read(source.path)

    def test_a_local_change_is_not_lost(self, source: Device, target: Device, bench: AdapterBench) -> None:
        """Both sides changed the same place: both versions are to be found."""
        transfer(source, target)
        bench.collide(source.path, "apple")
        bench.collide(target.path, "pear")
        transfer(source, target)
        assert b"apple" in target.everything()
        assert b"pear" in target.everything()

    def test_a_change_during_the_transfer_is_not_lost(
        self, source: Device, target: Device, bench: AdapterBench
    ) -> None:
        """The target's user saves between the seal and the commit."""
        transfer(source, target)
        bench.collide(source.path, "apple")
        picture = source.open().freeze()
        staging = target.stage()
        deliver(staging, staging.begin(picture.root, picture.root_size), picture)
        staging.seal()
        bench.collide(target.path, "pear")
        staging.commit()
        assert b"apple" in target.everything()
        assert b"pear" in target.everything()

    def test_a_wrong_object_is_refused(self, source: Device, target: Device) -> None:
        """Data that is not what its digest says changes nothing."""
        picture = source.open().snapshot()
        staging = target.stage()
        wants = staging.begin(picture.root, picture.root_size)
        with pytest.raises(IntegrityError):
            staging.put(wants[0].digest, b"x" + picture.read(wants[0].digest))
        deliver(staging, wants, picture)
        assert staging.complete
        staging.abandon()
        assert not staging.directory.exists()

    def test_an_incomplete_staging_cannot_be_sealed(self, source: Device, target: Device) -> None:
        """Absence is a defect of the caller."""
        picture = source.open().snapshot()
        staging = target.stage()
        staging.begin(picture.root, picture.root_size)
        with pytest.raises(LocalProtocolError):
            staging.seal()
        staging.abandon()

    def test_a_sealed_staging_commits_after_a_restart(
        self, source: Device, target: Device, bench: AdapterBench
    ) -> None:
        """Recovered, committed, and committed again without harm."""
        picture = source.open().freeze()
        staging = target.stage()
        deliver(staging, staging.begin(picture.root, picture.root_size), picture)
        staging.seal()
        directory = staging.directory
        del staging
        recovered = target.recover(directory)
        placement = recovered.commit()
        assert recovered.commit() == placement
        assert bench.read(target.path) == bench.read(source.path)
        assert not directory.exists()

    def test_an_update_commits_after_a_restart(self, source: Device, target: Device, bench: AdapterBench) -> None:
        """As above, where the part lives."""
        transfer(source, target)
        bench.edit(source.path, "apple")
        picture = source.open().freeze()
        staging = target.stage()
        deliver(staging, staging.begin(picture.root, picture.root_size), picture)
        staging.seal()
        directory = staging.directory
        del staging
        target.recover(directory).commit()
        assert bench.read(target.path) == bench.read(source.path)

    def test_what_appears_at_the_destination_is_not_overwritten(
        self, source: Device, target: Device, bench: AdapterBench
    ) -> None:
        """The commit refuses, keeps what arrived, and works once the place is free."""
        picture = source.open().freeze()
        staging = target.stage()
        deliver(staging, staging.begin(picture.root, picture.root_size), picture)
        staging.seal()
        target.path.write_bytes(b"mine")
        with pytest.raises(HandoffError):
            staging.commit()
        assert target.path.read_bytes() == b"mine"
        target.path.unlink()
        staging.commit()
        assert bench.read(target.path) == bench.read(source.path)

    def test_a_taken_destination_is_refused(self, target: Device, bench: AdapterBench) -> None:
        """A first arrival needs a free place."""
        target.path.write_bytes(b"mine")
        with pytest.raises(UsageError):
            bench.adapter.stage_new(target.path, target.state, _STAGING)

    def test_a_thawed_part_goes_on(self, source: Device, target: Device, bench: AdapterBench) -> None:
        """Edits made while frozen are in the next picture."""
        part = source.open()
        frozen = part.freeze()
        bench.edit(source.path, "apple")
        part.thaw()
        assert part.snapshot().root != frozen.root
        transfer(source, target)
        assert b"apple" in target.everything()
