# SPDX-License-Identifier: Apache-2.0
"""Checks the promises of one session over all simulated devices that have it. Layer: testing, public.

It reads the stores and the files, and knows which edits were made where; it shares no rule with the code that it
watches. The promises are I1 to I7 of docs/reliability.md §1, and what is left of them where states were brought back or
homes restored. Specification: docs/testing.md §6.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.session import chain as chains
from p2p_handoff.session.ownership import Role, Verdict, is_lost
from p2p_handoff.session.signed import read
from p2p_handoff.session.statement_codec import decode_statement
from p2p_handoff.session.statements import Accepted
from p2p_handoff.store.records import SessionRecord
from p2p_handoff.store.store import Store, open_store
from p2p_handoff.testing.device import Device

HIDDEN: Final = ".handoff-"
"""Names with this prefix are staging and the like: nobody sees what is in there."""


class BrokenPromiseError(AssertionError):
    """A promise does not hold; the text names it."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Something that was written once."""

    marker: bytes
    """Bytes that are nowhere else."""
    device: Device
    part: PartId
    acknowledged: bool
    """Whether the device might act on the session when it was written."""


class Witness:
    """Watches one session.

    Args:
        devices: All that may ever have it.
        session: Its id.
    """

    def __init__(self, devices: Sequence[Device], session: SessionId) -> None:
        self._devices = devices
        self._session = session
        self._owners: dict[int, DeviceId] = {}
        self._epochs: dict[str, int] = {}
        self._restored: set[str] = set()
        self._brought_back = 0
        """How many edits there were when an earlier state was last brought back."""
        self.edits: list[Edit] = []

    def wrote(self, device: Device, part: str, marker: bytes, *, acknowledged: bool) -> None:
        """Note an edit.

        Args:
            device: Where it was made.
            part: The part it belongs to.
            marker: Bytes of it that are nowhere else.
            acknowledged: ``device.acknowledges(session)`` from just before.
        """
        self.edits.append(Edit(marker, device, PartId(part), acknowledged))

    def undone(self) -> None:
        """An earlier state was brought back, or may have been: what was there before may be in a kept state instead."""
        self._brought_back = len(self.edits)

    def restored(self, device: Device) -> None:
        """An older copy of a device's home was put in its place: what it alone knew is forgotten.

        From here on it may take itself for the primary of an earlier epoch until it has heard of a later one, and
        what was written on it may be gone.
        """
        self._restored.add(device.name)
        self._epochs.pop(device.name, None)
        self._owners.clear()  # What nobody but its own store showed may be decided anew.

    def txns(self) -> set[TxnId]:
        """All handoffs of the session that any agent told of."""
        return {
            TxnId(fields["txn"])
            for device in self._devices
            for name, fields in device.occurrences
            if name in ("outgoing", "incoming") and fields["session"] == self._session
        }

    # --- what holds at every moment -----------------------------------------------------------------

    def check_now(self) -> None:
        """I1, I2, I5 and I6, at any moment whatever is broken.

        Raises:
            BrokenPromiseError: One does not hold.
        """
        primaries: list[tuple[int, Device]] = []
        for device in self._devices:
            with opened(device) as store:
                record = store.sessions.get(self._session)
                if record is None:
                    continue
                self._check_record(device, record)
                if record.ownership.role is Role.PRIMARY:
                    primaries.append((record.ownership.epoch, device))
        self._check_primaries(primaries)
        self._check_decisions()

    def _check_primaries(self, primaries: Sequence[tuple[int, Device]]) -> None:
        latest = max((epoch for epoch, _ in primaries), default=0)
        active = [device.name for epoch, device in primaries if epoch == latest or device.name not in self._restored]
        if len(active) > 1:
            raise BrokenPromiseError(f"I1: {' and '.join(active)} are primary of one session")

    def _check_record(self, device: Device, record: SessionRecord) -> None:
        own = record.ownership
        if own.epoch < self._epochs.get(device.name, 0):
            raise BrokenPromiseError(f"I2: the epoch fell on {device.name}")
        self._epochs[device.name] = own.epoch
        epoch, primary, owners = _history(record.chain)
        if (epoch, primary) != (own.epoch, own.primary):
            raise BrokenPromiseError(f"I5: {device.name} acts in an epoch that its chain does not show")
        for number, owner in owners:
            if self._owners.setdefault(number, owner) != owner:
                raise BrokenPromiseError(f"I2: epoch {number} has two primaries")

    def _check_decisions(self) -> None:
        accepted: set[TxnId] = set()
        refused: set[TxnId] = set()
        for device in self._devices:
            with opened(device) as store:
                for txn in sorted(self.txns()):
                    decision = store.incoming.decision(txn)
                    if decision is not None:
                        (accepted if decision.verdict is Verdict.ACCEPTED else refused).add(txn)
                    grant = store.outgoing.grant(txn)
                    if grant is not None and grant.answer is not None:
                        said = decode_statement(grant.answer.body)
                        (accepted if isinstance(said, Accepted) else refused).add(txn)
        if both := accepted & refused:
            raise BrokenPromiseError(f"I6: {min(both)} was both accepted and refused")

    # --- what holds once faults have stopped --------------------------------------------------------

    def is_settled(self) -> bool:
        """Whether exactly one device is primary, nobody is in doubt, and all that is accepted is in place.

        Nobody is primary where a restored home has lost the session.
        """
        primaries = lost = 0
        for device in self._devices:
            with opened(device) as store:
                if store.incoming.pending_commits() or store.generations.changes():
                    return False
                record = store.sessions.get(self._session)
                if record is not None and record.ownership.role is Role.FROZEN:
                    return False
                primaries += record is not None and record.ownership.role is Role.PRIMARY
                lost += record is not None and self._has_lost(device, record)
        return primaries == 1 or (primaries == 0 and lost == 1)

    def _has_lost(self, device: Device, record: SessionRecord) -> bool:
        return device.name in self._restored and is_lost(record.ownership, me=device.id)

    def is_lost(self) -> bool:
        """Whether a restored home has lost the session, of a settled one: nobody can act on it any more."""
        for device in self._devices:
            with opened(device) as store:
                record = store.sessions.get(self._session)
                if record is not None and self._has_lost(device, record):
                    return True
        return False

    def primary(self) -> Device:
        """The one primary of a settled session."""
        for device in self._devices:
            with opened(device) as store:
                record = store.sessions.get(self._session)
                if record is not None and record.ownership.role is Role.PRIMARY:
                    return device
        raise BrokenPromiseError("I7: nobody is primary")

    def check_settled(self) -> None:
        """I3, I4 and I7, once the devices have met again.

        Raises:
            BrokenPromiseError: One does not hold.
        """
        self.check_now()
        if not self.is_settled():
            raise BrokenPromiseError("I7: a doubt stays, or nobody is primary, or something is not in place")
        trees = {device.id: visible(device) for device in self._devices}
        if not self.is_lost():
            self._check_holders(trees)
        everywhere = b"".join(trees.values())
        if self._brought_back:
            everywhere += b"".join(kept(device) for device in self._devices)
        for edit in self.edits:
            if edit.marker not in everywhere and edit.device.name not in self._restored:
                raise BrokenPromiseError(f"I4: {edit.marker!r}, written on {edit.device.name}, is nowhere")

    def _check_holders(self, trees: Mapping[DeviceId, bytes]) -> None:
        primary = self.primary()
        with opened(primary) as store:
            bindings = store.sessions.bindings(self._session)
            holders = {binding.part: binding.held_by or primary.id for binding in bindings}
        for edit in self.edits[self._brought_back :]:
            holder = holders.get(edit.part, primary.id)
            counts = edit.acknowledged and edit.device.name not in self._restored
            if counts and edit.marker not in trees[holder]:
                raise BrokenPromiseError(
                    f"I3: {edit.marker!r}, acknowledged on {edit.device.name}, is not at its holder"
                )


@contextmanager
def opened(device: Device) -> Iterator[Store]:
    """The store of a device, whether or not it runs."""
    if device.is_running and device.has_started:
        yield device.agent.store
        return
    with open_store(device.home.database, device.id) as store:
        yield store


def visible(device: Device) -> bytes:
    """The bytes of all files that a person sees on a device."""
    return b"\n".join(path.read_bytes() for path in _files(device.things) + _files(device.received))


def kept(device: Device) -> bytes:
    """The bytes of all earlier states that a device keeps, as far as they lie there as they were."""
    root = device.home.generations
    return b"\n".join(path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file())


def _files(root: Path) -> list[Path]:
    def shown(path: Path) -> bool:
        return not any(name.startswith(HIDDEN) for name in path.relative_to(root).parts)

    return sorted(path for path in root.rglob("*") if shown(path) and path.is_file())


@lru_cache(maxsize=64)
def _history(encoded: bytes) -> tuple[int, DeviceId, tuple[tuple[int, DeviceId], ...]]:
    """Epoch and primary that a chain ends in, and the primary of each epoch on the way."""
    chain = chains.decode_chain(encoded)
    state = chains.verify_chain(chain)
    owners = [(1, chains.verify_chain(chain[:1]).primary)]
    for signed in chain[2::2]:
        accepted = read(signed, Accepted)
        owners.append((accepted.epoch, accepted.target))
    return state.epoch, state.primary, tuple(owners)
