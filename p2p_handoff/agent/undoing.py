# SPDX-License-Identifier: Apache-2.0
"""Brings back an earlier state of a session, as a new generation made by its primary. Layer: agent.

Specification: docs/specs/ownership.md §3 (undo). Like a handoff from a kept state into the live place: kept, staged,
sealed, decided in one transaction, and put in place; a crash before the decision changes nothing, one after it is
rolled forward. What the undo replaces is kept as well, so that an undo can be undone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from p2p_handoff.adapters.base import Placement, Snapshot, Staging
from p2p_handoff.agent.catalog import is_there
from p2p_handoff.agent.retry import delays
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.work import in_thread
from p2p_handoff.errors import HandoffError, InDoubtError, NotFoundError, RejectedError
from p2p_handoff.ids import PartId, SessionId, TxnId, new_txn_id
from p2p_handoff.protocol import wishes
from p2p_handoff.protocol.messages import RejectReason
from p2p_handoff.protocol.wishes import Undo
from p2p_handoff.session.manifest import Part
from p2p_handoff.store.generations import Cause, Change, Generation, Kept, PendingChange, Phase
from p2p_handoff.store.records import PartBinding, SessionRecord

log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo did."""

    session: SessionId
    title: str
    epoch: int
    generation: int
    """What came back."""
    kept_as: int
    """The state that it replaced: an undo of that brings it back again."""
    paths: tuple[Path, ...]
    """The parts that were brought back."""
    conflicts: tuple[Path, ...]
    """Copies of what was written while it happened."""

    def as_json(self) -> dict[str, Any]:
        """The stable keys of ``handoff undo``."""
        return {
            "session": self.session,
            "title": self.title,
            "epoch": self.epoch,
            "generation": self.generation,
            "kept_as": self.kept_as,
            "paths": [str(path) for path in self.paths],
            "conflicts": [str(path) for path in self.conflicts],
        }


class Undoing:
    """The undos of one agent, and what an earlier run left of them and of merges.

    Args:
        services: The agent's parts.
        is_busy: Tells whether a handoff of a session is under way.
    """

    def __init__(self, services: Services, is_busy: Callable[[SessionId], bool]) -> None:
        self._services = services
        self._is_busy = is_busy
        self._tasks: set[asyncio.Task[Any]] = set()

    async def undo(self, record: SessionRecord, number: int | None = None) -> Undone:
        """Bring back the state before the last accepted handoff, undo or merge.

        Args:
            record: The session.
            number: Another generation instead.

        Raises:
            RejectedError: This device is not the primary, or a handoff is under way.
            InDoubtError: The session is frozen.
            NotFoundError: There is no such state.
            StorageError, ContentGoneError: It cannot be brought back; nothing has changed.
        """
        self._check(record)
        generation = self._chosen(record, number)
        # Whoever waits may go away; the undo goes on to its end.
        return await asyncio.shield(self._spawn(self._undo(record, generation)))

    def start(self) -> None:
        """Take up what a stop or a crash interrupted: forget what was not decided, put the rest in place."""
        self._spawn(self._recover())

    async def close(self) -> None:
        """Stop where it is; what is decided is taken up at the next start."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.create_task(work, name="undo")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _undo(self, record: SessionRecord, generation: Generation) -> Undone:
        services = self._services
        change = Change(new_txn_id(services.entropy), record.id, Cause.UNDO, Phase.STAGING, generation.number)
        services.store.generations.begin(change)
        try:
            await in_thread(self._stage, change, generation)
        except BaseException:
            self._give_up(change)
            raise
        placements = await self._place(change)
        return self._told(record, change, generation, placements)

    async def _recover(self) -> None:
        services = self._services
        await in_thread(services.keeper.tidy)
        for change in services.store.generations.changes():
            if change.phase is Phase.STAGING:
                await in_thread(self._abandon, change)
                self._give_up(change)
            else:
                await self._place(change)
                log.info("the %s of %s is in place after a restart", change.cause.value, change.session[:6])

    # --- whether ------------------------------------------------------------------------------------

    def _check(self, record: SessionRecord) -> None:
        store = self._services.store
        verdict = wishes.judge_undo(
            record.ownership.role,
            forked=store.forks.open_of(record.id) is not None,
            in_place=not store.is_placing(record.id),
            under_way=self._is_busy(record.id),
        )
        if verdict is not Undo.BEGIN:
            raise self._refusal(verdict, record)

    def _refusal(self, verdict: Undo, record: SessionRecord) -> HandoffError:
        title, busy = record.title, RejectReason.BUSY.value
        match verdict:
            case Undo.FROZEN:
                return InDoubtError(f"{title!r} is frozen for a handoff", advice="'handoff recover' shows it")
            case Undo.NOT_PRIMARY:
                owner = self._services.peer_name(record.ownership.primary)
                return RejectedError(
                    f"{owner} is the primary of {title!r}, and only the primary can undo",
                    reason=RejectReason.NOT_PRIMARY.value,
                    advice=f"take it first: handoff take {record.id[:8]}",
                )
            case Undo.FORKED:
                return RejectedError(f"{title!r} goes on in a fork", reason=busy, advice="undo there")
            case _:
                what = f"{title!r} is being handed off or put in place at this moment"
                return RejectedError(what, reason=busy, advice="try again in a moment")

    def _chosen(self, record: SessionRecord, number: int | None) -> Generation:
        kept = self._services.store.generations.of(record.id)
        wanted = [item for item in kept if number is None or item.number == number]
        if not wanted:
            what = "no earlier state" if number is None else f"no generation {number}"
            raise NotFoundError(
                f"{what} of {record.title!r} is kept on this device", advice="'handoff history' lists what is kept"
            )
        if not wanted[-1].kept.manifest.parts:
            raise NotFoundError(
                f"nothing of {record.title!r} was here before it arrived",
                state="the session is unchanged",
                advice="the device that handed it over has the state that it granted: hand it back, and undo there",
            )
        return wanted[-1]

    # --- staging ------------------------------------------------------------------------------------

    def _stage(self, change: Change, generation: Generation) -> None:
        """Keep what is here, stage what was, and decide. Blocks."""
        services, session = self._services, change.session
        with services.catalog.guard(session):
            now = services.keeper.keep(session, Cause.UNDO, change.id)
            present = {part.id: part for part in now.manifest.parts}
            staged = [
                self._staged(change, binding, part, present.get(part.id))
                for binding, part in self._bound(generation.kept)
            ]
            services.store.generations.decide(change.id, now, staged)

    def _bound(self, kept: Kept) -> list[tuple[PartBinding, Part]]:
        """The parts of a kept state that have a place on this device; what is held elsewhere is not ours to change."""
        bindings = {binding.part: binding for binding in self._services.catalog.bindings(kept.session)}
        pairs = [(bindings[part.id], part) for part in kept.manifest.parts if part.id in bindings]
        return [(binding, part) for binding, part in pairs if binding.path is not None and binding.held_by is None]

    def _staged(self, change: Change, binding: PartBinding, part: Part, present: Part | None) -> PendingChange:
        catalog = self._services.catalog
        shelf = self._services.keeper.shelf(change.session, part.id)
        kept = catalog.adapter(part.kind).kept(shelf, part.root)
        if present is None:
            staging = self._new(change, binding)
        else:
            staging = catalog.open_part(binding).stage_back(change.id, shelf, present.root)
        deliver(kept, staging)
        staging.seal()
        state = catalog.state_dir(change.session, part.id)
        return PendingChange(change.id, change.session, part.id, staging.directory, state, part.kind)

    def _new(self, change: Change, binding: PartBinding) -> Staging:
        """A part that was removed here since."""
        assert binding.path is not None
        state = self._services.catalog.state_dir(change.session, binding.part)
        return self._services.catalog.adapter(binding.kind).stage_new(binding.path, state, change.id)

    def _abandon(self, change: Change) -> None:
        """Remove what a change had staged: it was never decided. Blocks."""
        catalog = self._services.catalog
        with catalog.guard(change.session):
            for binding in catalog.bindings(change.session):
                if binding.path is None or binding.held_by is not None:
                    continue
                try:
                    there = is_there(binding)
                    staging = catalog.open_part(binding).stage(change.id) if there else self._new(change, binding)
                    staging.abandon()
                except HandoffError as error:
                    log.warning("the %s of %s leaves something: %s", change.cause.value, change.session[:6], error)

    def _give_up(self, change: Change) -> None:
        self._services.store.generations.give_up(change.id)

    # --- placing ------------------------------------------------------------------------------------

    async def _place(self, change: Change) -> list[Placement]:
        """Put a decided change in place, however often that takes."""
        placements: dict[PartId, Placement] = {}
        for delay in delays(self._services.entropy):
            try:
                await in_thread(self._place_parts, change, placements)
                break
            except Exception as error:  # noqa: BLE001 - whatever it is, the change is decided: it is tried again
                log.error("the %s of %s is not in place yet: %s", change.cause.value, change.session[:6], error)
                text = error.what if isinstance(error, HandoffError) else type(error).__name__
                self._services.events.emit("not-in-place", session=change.session, text=text)
                await asyncio.sleep(delay)
        return list(placements.values())

    def _place_parts(self, change: Change, placements: dict[PartId, Placement]) -> None:
        store, catalog = self._services.store, self._services.catalog
        with catalog.guard(change.session):
            for pending in store.generations.pending(change.id):
                try:
                    staging = catalog.adapter(pending.kind).recover(pending.directory, pending.state)
                except NotFoundError:
                    pass  # A crash came after its commit and before it was noted.
                else:
                    placements[pending.part] = staging.commit()
                store.generations.placed(change.id, pending.part)
            store.generations.finish(change.id)
            self._services.stagings.forget(TxnId(change.id))
            self._services.keeper.prune(change.session)

    def _told(
        self, record: SessionRecord, change: Change, generation: Generation, placements: list[Placement]
    ) -> Undone:
        replaced = self._services.store.generations.before(record.id, change.id)
        undone = Undone(
            session=record.id,
            title=record.title,
            epoch=record.ownership.epoch,
            generation=generation.number,
            kept_as=replaced.number if replaced is not None else 0,
            paths=tuple(placement.path for placement in placements),
            conflicts=tuple(path for placement in placements for path in placement.conflicts),
        )
        self._services.events.emit("undone", **undone.as_json())
        return undone


def deliver(source: Snapshot, staging: Staging) -> None:
    """Give a staging all that it wants, from a state that is on this device.

    Raises:
        ContentGoneError: The kept state is damaged.
        StorageError: The disk is full or failing.
    """
    wants = deque(staging.begin(source.root, source.root_size))
    while wants:
        want = wants.popleft()
        wants.extend(staging.put(want.digest, source.read(want.digest)))
