# SPDX-License-Identifier: Apache-2.0
"""The suite that every adapter passes: subclass it in a test module and give it a bench. Layer: test kit, public.

Specification: docs/specs/adapters.md §11. A bench makes, edits and reads parts of one kind; the suite moves them
between two imagined devices through the adapter's contract alone, as an agent would.

    class TestFolder(AdapterConformance):
        @pytest.fixture
        def bench(self, tmp_path): return FolderBench(tmp_path)
"""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
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
    def hold(self, path: Path) -> AbstractContextManager[Callable[[str], None]]:
        """A program that keeps the file open which ``collide`` writes to; what is yielded writes a mark through it.

        Each mark must be on its way to the disk when the call returns, as with write(2).
        """

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


@contextmanager
def somebody_saving(save: Callable[[str], None]) -> Iterator[list[str]]:
    """A person who saves mark after mark in another thread: at least one before the block and one behind its end.

    Args:
        save: Writes one mark.

    Yields:
        The marks that were saved; complete once the block has ended.
    """
    saved: list[str] = []
    another, stop = threading.Event(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            mark = f"mark{len(saved):05}"
            save(mark)
            saved.append(mark)
            another.set()

    thread = threading.Thread(target=work, name="somebody saving")
    thread.start()
    try:
        another.wait()
        yield saved
        another.clear()
        another.wait()
    finally:
        stop.set()
        thread.join()


def let_rest(path: Path, seconds: float = 0.1) -> None:
    """Wait until the newest change of a part is so old that an adapter may trust its status; backdates the times."""
    for item in (path, *path.rglob("*")):
        if not item.is_symlink():
            os.utime(item, ns=(0, 10**18 + 1))
    time.sleep(seconds)


def rewind(path: Path, times: Mapping[Path, int]) -> None:
    """Give every file below a path, and itself, the modification time that it had, as some tools do."""
    for item in (path, *path.rglob("*")):
        if item in times and not item.is_symlink():
            os.utime(item, ns=(times[item], times[item]))


def modification_times(path: Path) -> dict[Path, int]:
    """The modification times of a part's files, in nanoseconds."""
    return {item: item.lstat().st_mtime_ns for item in (path, *path.rglob("*"))}


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


def sealed(source: Device, target: Device) -> tuple[Snapshot, Staging]:
    """A handoff up to the commit point: the frozen picture, and all of it sealed at the target."""
    picture = source.open().freeze()
    staging = target.stage()
    deliver(staging, staging.begin(picture.root, picture.root_size), picture)
    staging.seal()
    return picture, staging


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

    def test_what_was_edited_here_is_never_described(self, source: Device, target: Device, bench: AdapterBench) -> None:
        """What resembles a wanted object is of the last common state, wherever both sides edited it since."""
        transfer(source, target)
        for device, marks in ((source, ("apple", "berry")), (target, ("cherry", "damson"))):
            bench.collide(device.path, marks[0])
            bench.edit(device.path, marks[1])
        picture = source.open().freeze()
        staging = target.stage()
        queue = deque(staging.begin(picture.root, picture.root_size))
        while queue:
            want = queue.popleft()
            for name, data in staging.resembling([want.digest]):
                assert name == want.digest
                assert b"cherry" not in data
                assert b"damson" not in data
            queue.extend(staging.put(want.digest, picture.read(want.digest)))
        staging.abandon()

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

    # --- frozen means frozen ------------------------------------------------------------------------

    def test_an_edit_while_frozen_is_counted_and_ordinary_after_a_refusal(
        self, source: Device, bench: AdapterBench
    ) -> None:
        """What was granted does not have it, the next picture does."""
        part = source.open()
        frozen = part.freeze()
        assert part.edits_since(frozen.root) == 0
        bench.edit(source.path, "apple")
        assert part.edits_since(frozen.root) == 1
        part.thaw()
        assert part.snapshot().root != frozen.root
        assert b"apple" in source.everything()

    def test_an_edit_while_frozen_is_a_contribution_after_an_acceptance(
        self, source: Device, target: Device, bench: AdapterBench
    ) -> None:
        """It is counted, also after a restart, and stays when the other side hands back what it did meanwhile."""
        part = source.open()
        picture = part.freeze()
        bench.edit(source.path, "apple")
        staging = target.stage()
        deliver(staging, staging.begin(picture.root, picture.root_size), picture)
        staging.seal()
        staging.commit()
        assert b"apple" not in target.everything()
        part.release(picture.root)
        bench.edit(source.path, "pear")
        assert source.open().edits_since(picture.root) == 2
        bench.edit(target.path, "plum")
        assert not transfer(target, source).conflicts
        assert all(mark in source.everything() for mark in (b"apple", b"pear", b"plum"))
        transfer(source, target)
        assert bench.read(target.path) == bench.read(source.path)

    def test_a_contribution_to_the_same_place_is_kept_beside_the_other(
        self, source: Device, target: Device, bench: AdapterBench
    ) -> None:
        """Edited after the grant here and as primary there: both are found where the session is."""
        picture, staging = sealed(source, target)
        bench.collide(source.path, "apple")
        staging.commit()
        source.open().release(picture.root)
        bench.collide(target.path, "plum")
        transfer(target, source)
        assert b"apple" in source.everything()
        assert b"plum" in source.everything()

    def test_a_release_that_a_crash_prevented_can_follow(
        self, source: Device, target: Device, bench: AdapterBench
    ) -> None:
        """After a restart, repeated, and with edits in between: the base is what was granted."""
        picture, staging = sealed(source, target)
        bench.edit(source.path, "apple")
        staging.commit()
        source.open().snapshot()
        for _ in range(2):
            source.open().release(picture.root)
        assert source.open().edits_since(picture.root) == 1
        bench.collide(target.path, "plum")
        assert not transfer(target, source).conflicts
        assert b"apple" in source.everything()

    def test_a_frozen_picture_is_served_while_edits_go_on(
        self, source: Device, target: Device, bench: AdapterBench
    ) -> None:
        """A source that waits long for its answer is followed meanwhile: what it granted must stay readable."""
        part = source.open()
        for number in range(3):
            bench.edit(source.path, f"before{number}")
            part.snapshot()
        picture = part.freeze()
        for number in range(12):
            bench.edit(source.path, f"later{number}")
            part.snapshot()
        staging = target.stage()
        deliver(staging, staging.begin(picture.root, picture.root_size), picture)
        assert staging.complete
        staging.seal()
        staging.commit()
        assert b"later" not in target.everything()

    def test_an_edit_that_keeps_size_and_time_is_found(self, source: Device, bench: AdapterBench) -> None:
        """Tools restore times; the next picture and the count notice all the same."""
        bench.collide(source.path, "apple")
        part = source.open()
        let_rest(source.path)
        part.snapshot()
        picture = part.freeze()
        times = modification_times(source.path)
        bench.collide(source.path, "grape")
        rewind(source.path, times)
        assert part.edits_since(picture.root) >= 1
        assert part.snapshot().root != picture.root

    def test_a_program_that_keeps_its_file_open_is_heard_after_the_freeze(
        self, source: Device, bench: AdapterBench
    ) -> None:
        """Opened before the freeze, written to after it."""
        part = source.open()
        with bench.hold(source.path) as write:
            picture = part.freeze()
            write("apple")
            assert part.edits_since(picture.root) >= 1
        part.release(picture.root)
        assert part.edits_since(picture.root) >= 1
        assert b"apple" in source.everything()

    def test_a_program_that_keeps_a_replaced_file_open_writes_to_a_copy(
        self, source: Device, target: Device, bench: AdapterBench
    ) -> None:
        """What it writes after the commit is found beside the part, and the commit says where."""
        transfer(source, target)
        bench.collide(source.path, "apple")
        with bench.hold(target.path) as write:
            placement = transfer(source, target)
            write("pear")
        assert placement.conflicts
        assert all(conflict.exists() for conflict in placement.conflicts)
        assert b"apple" in target.everything()
        assert b"pear" in target.everything()

    def test_saves_in_the_moment_of_the_commit_are_not_lost(
        self, source: Device, target: Device, bench: AdapterBench
    ) -> None:
        """Everything that the target's user saves before, during and after the commit is there."""
        transfer(source, target)
        bench.collide(source.path, "apple")
        _, staging = sealed(source, target)
        with somebody_saving(lambda mark: bench.edit(target.path, mark)) as saved:
            staging.commit()
        found = target.everything()
        assert [mark for mark in saved if mark.encode() not in found] == []
        assert b"apple" in found

    def test_the_last_save_in_the_moment_of_the_commit_is_not_lost(
        self, source: Device, target: Device, bench: AdapterBench
    ) -> None:
        """As above, all to the place that the commit replaces: the last one must be there."""
        transfer(source, target)
        bench.collide(source.path, "apple")
        _, staging = sealed(source, target)
        with somebody_saving(lambda mark: bench.collide(target.path, mark)) as saved:
            staging.commit()
        assert saved[-1].encode() in target.everything()
