# SPDX-License-Identifier: Apache-2.0
"""What adapters owe beyond handoffs: kept states that come back, forks that are merged. Layer: test kit, public.

Specification: docs/specs/adapters.md §9-11. Subclass it beside ``AdapterConformance``, with the same bench.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from p2p_handoff.adapters.base import Snapshot, Staging, Want
from p2p_handoff.content.digests import Digest
from p2p_handoff.errors import NotFoundError
from p2p_handoff.testing.adapter_conformance import AdapterBench, Device, deliver, transfer

_BACK = "back-p1"
_MERGE = "merge-p1"


def shelf_of(device: Device) -> Path:
    """Where a device keeps earlier states of its part."""
    return device.home / "state" / "shelf"


def staged_back(device: Device, root: Digest, now: Digest) -> Staging:
    """A sealed staging that brings a kept state back."""
    kept = device.bench.adapter.kept(shelf_of(device), root)
    staging = device.open().stage_back(_BACK, shelf_of(device), now)
    deliver(staging, staging.begin(kept.root, kept.root_size), kept)
    staging.seal()
    return staging


def staged_merge(original: Device, fork: Device, parent: Snapshot | None) -> Staging:
    """A sealed staging that takes in a fork."""
    picture = fork.open().snapshot()
    wanted = Want(parent.root, parent.root_size) if parent is not None else None
    staging = original.open().stage_merge(_MERGE, "laptop", wanted)
    deliver(staging, staging.begin(picture.root, picture.root_size), picture)
    staging.seal()
    return staging


class KeptConformance:
    """The tests. Give a ``bench`` fixture in the subclass."""

    @pytest.fixture
    def device(self, bench: AdapterBench) -> Device:
        """A device that has a part."""
        device = Device(bench, "device")
        bench.make(device.path)
        return device

    @pytest.fixture
    def other(self, bench: AdapterBench) -> Device:
        """A device that has nothing."""
        return Device(bench, "other")

    def test_a_kept_state_comes_back(self, device: Device, bench: AdapterBench) -> None:
        """Byte for byte, without conflict copies, whatever was edited since."""
        before = bench.read(device.path)
        root = device.open().keep(shelf_of(device)).root
        bench.collide(device.path, "apple")
        bench.edit(device.path, "plum")
        now = device.open().keep(shelf_of(device)).root
        placement = staged_back(device, root, now).commit()
        assert bench.read(device.path) == before
        assert not placement.conflicts

    def test_going_back_can_be_taken_back(self, device: Device, bench: AdapterBench) -> None:
        """The later state was kept before the earlier one came."""
        root = device.open().keep(shelf_of(device)).root
        bench.edit(device.path, "apple")
        after = bench.read(device.path)
        later = device.open().keep(shelf_of(device)).root
        staged_back(device, root, later).commit()
        now = device.open().keep(shelf_of(device)).root
        staged_back(device, later, now).commit()
        assert bench.read(device.path) == after

    def test_going_back_survives_a_restart_after_the_seal(self, device: Device, bench: AdapterBench) -> None:
        """A sealed staging needs nothing but its directory."""
        before = bench.read(device.path)
        root = device.open().keep(shelf_of(device)).root
        bench.collide(device.path, "apple")
        now = device.open().keep(shelf_of(device)).root
        directory = staged_back(device, root, now).directory
        assert b"apple" in b"".join(bench.read(device.path).values())
        placement = device.recover(directory).commit()
        assert bench.read(device.path) == before
        assert not placement.conflicts

    def test_what_is_written_while_going_back_is_not_lost(self, device: Device, bench: AdapterBench) -> None:
        """Only what was kept may be replaced."""
        root = device.open().keep(shelf_of(device)).root
        bench.collide(device.path, "apple")
        now = device.open().keep(shelf_of(device)).root
        staging = staged_back(device, root, now)
        bench.collide(device.path, "pear")
        staging.commit()
        assert b"pear" in device.everything()

    def test_a_state_that_came_back_can_be_handed_off(self, device: Device, other: Device, bench: AdapterBench) -> None:
        """It replaces what the other device had from the last handoff, there and back."""
        root = device.open().keep(shelf_of(device)).root
        bench.collide(device.path, "apple")
        transfer(device, other)
        now = device.open().keep(shelf_of(device)).root
        staged_back(device, root, now).commit()
        assert not transfer(device, other).conflicts
        assert bench.read(other.path) == bench.read(device.path)
        bench.edit(other.path, "plum")
        assert not transfer(other, device).conflicts
        assert bench.read(other.path) == bench.read(device.path)

    def test_what_is_pruned_is_gone_and_the_rest_is_whole(self, device: Device, bench: AdapterBench) -> None:
        """States share content; pruning one must not harm another."""
        first = device.open().keep(shelf_of(device)).root
        bench.edit(device.path, "apple")
        kept = bench.read(device.path)
        second = device.open().keep(shelf_of(device)).root
        bench.edit(device.path, "plum")
        now = device.open().keep(shelf_of(device)).root
        bench.adapter.prune(shelf_of(device), (second, now))
        with pytest.raises(NotFoundError):
            bench.adapter.kept(shelf_of(device), first)
        staged_back(device, second, now).commit()
        assert bench.read(device.path) == kept

    def test_keeping_an_unchanged_part_again_changes_nothing(self, device: Device) -> None:
        """The shelf has it already."""
        root = device.open().keep(shelf_of(device)).root
        files = _files(shelf_of(device))
        assert device.open().keep(shelf_of(device)).root == root
        assert _files(shelf_of(device)) == files

    def test_a_fork_and_its_original_are_merged(self, device: Device, other: Device, bench: AdapterBench) -> None:
        """Both sides' edits are to be found, and the original's part is not replaced."""
        parent = _left(device, other)
        bench.collide(device.path, "apple")
        bench.edit(device.path, "plum")
        bench.collide(other.path, "pear")
        staged_merge(other, device, parent).commit()
        found = other.everything()
        assert all(mark in found for mark in (b"apple", b"plum", b"pear"))
        assert b"pear" in b"".join(bench.read(other.path).values())

    def test_a_merge_without_the_parent_loses_nothing_either(
        self, device: Device, other: Device, bench: AdapterBench
    ) -> None:
        """It keeps more copies at worst."""
        _left(device, other)
        bench.collide(device.path, "apple")
        bench.collide(other.path, "pear")
        staged_merge(other, device, None).commit()
        assert all(mark in other.everything() for mark in (b"apple", b"pear"))

    def test_a_fork_that_changed_nothing_leaves_no_trace(
        self, device: Device, other: Device, bench: AdapterBench
    ) -> None:
        """What the original changed since is not copied against it."""
        parent = _left(device, other)
        bench.edit(other.path, "pear")
        before = other.everything()
        assert not staged_merge(other, device, parent).commit().conflicts
        assert other.everything() == before

    def test_merging_twice_is_merging_once(self, device: Device, other: Device, bench: AdapterBench) -> None:
        """A merge whose end was lost is repeated."""
        parent = _left(device, other)
        bench.collide(device.path, "apple")
        bench.collide(other.path, "pear")
        staged_merge(other, device, parent).commit()
        once = other.everything()
        assert not staged_merge(other, device, parent).commit().conflicts
        assert other.everything() == once

    def test_a_merge_survives_a_restart_after_the_seal(
        self, device: Device, other: Device, bench: AdapterBench
    ) -> None:
        """Rolled forward from its directory."""
        parent = _left(device, other)
        bench.collide(device.path, "apple")
        bench.collide(other.path, "pear")
        directory = staged_merge(other, device, parent).directory
        other.recover(directory).commit()
        assert all(mark in other.everything() for mark in (b"apple", b"pear"))

    def test_a_fork_that_went_back_is_kept_beside_the_original(
        self, device: Device, other: Device, bench: AdapterBench
    ) -> None:
        """A fresh document cannot be merged: it becomes a copy, and the original stays as it is."""
        root = device.open().keep(shelf_of(device)).root
        parent = _left(device, other)
        bench.collide(device.path, "apple")
        now = device.open().keep(shelf_of(device)).root
        staged_back(device, root, now).commit()
        bench.collide(device.path, "plum")
        bench.collide(other.path, "pear")
        before = bench.read(other.path)
        staged_merge(other, device, parent).commit()
        assert b"plum" in other.everything()
        after = bench.read(other.path)
        assert all(after[name] == data for name, data in before.items())


def _left(fork: Device, original: Device) -> Snapshot:
    """A handoff whose end the source never heard of: it goes on in a fork."""
    part = fork.open()
    picture = part.freeze()
    staging = original.stage()
    deliver(staging, staging.begin(picture.root, picture.root_size), picture)
    staging.seal()
    staging.commit()
    assert fork.open().mark_parent(picture.root)
    return picture


def _files(shelf: Path) -> dict[str, int]:
    return {str(path.relative_to(shelf)): path.stat().st_mtime_ns for path in shelf.rglob("*") if path.is_file()}
