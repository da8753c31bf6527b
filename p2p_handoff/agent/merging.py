# SPDX-License-Identifier: Apache-2.0
"""Takes a fork into its original on this device, the original's primary. Layer: agent.

Specification: docs/specs/ownership.md §3 (reunion). In the place of agent.arrivals for an Init of mode merge: what
arrives is staged against the original's own parts, then decided in one transaction with a generation of what was there
and a note of what was taken in, then put in place; after a crash the decided rest is rolled forward like an undo.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from typing_extensions import override

from p2p_handoff.adapters.base import Placement, Want
from p2p_handoff.agent.arrivals import Arrival, Arrivals
from p2p_handoff.agent.catalog import is_there
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.work import in_thread
from p2p_handoff.errors import HandoffError, NotFoundError, RejectedError
from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.protocol.messages import Mode, RejectReason
from p2p_handoff.protocol.reunion import Merging
from p2p_handoff.session.guard import is_shown
from p2p_handoff.session.manifest import Manifest, Part, root_of
from p2p_handoff.session.ownership import Role
from p2p_handoff.store.forks import Merge
from p2p_handoff.store.generations import Cause, Change, PendingChange, Phase
from p2p_handoff.store.records import PartBinding
from p2p_handoff.store.store import Store

log = logging.getLogger(__name__)


class MergeArrivals(Arrivals):
    """The parts of a fork on their way into its original.

    Args:
        services: The agent's parts.
        merging: The fork, and what it left.
        txn: Names the staging directories and the change.
        source: The device that made the fork.
        is_busy: Tells whether a handoff of a session is under way.
    """

    def __init__(
        self,
        services: Services,
        merging: Merging,
        txn: TxnId,
        source: DeviceId,
        is_busy: Callable[[SessionId], bool],
    ) -> None:
        super().__init__(
            services.catalog, services.stagings, Mode.MERGE, txn, lambda kind: services.policies.place(source, kind)
        )
        self._services = services
        self._merging = merging
        self._source = source
        self._is_busy = is_busy
        self._known = False
        """True when exactly this was taken in before: nothing has to come."""
        self._decided = False
        self._placements: dict[PartId, Placement] = {}

    @override
    def fitting(self, parts: Sequence[Part]) -> tuple[Part, ...]:
        """Those that the original has on this device; what is held elsewhere is merged by nobody."""
        homes = self._original()
        return tuple(part for part in parts if part.id in homes and homes[part.id].kind == part.kind)

    @override
    def prepare(self, manifest: Manifest, parts: Sequence[Part], into: Path | None) -> None:
        """Open staging beside the original's parts. Blocks; repeating it changes nothing.

        Raises:
            StorageError: A directory cannot be made.
        """
        del into  # the original lives where it lives
        self._known = self._services.store.forks.merged(self._merging.fork, root_of(manifest))
        if self._known or self._arrivals:
            return
        homes = self._original()
        left = {part.id: part for part in self._merging.left.parts} if self._merging.left is not None else {}
        author = self._services.peer_name(self._source)
        for part in parts:
            home, parent = homes[part.id], left.get(part.id)
            wanted = Want(parent.root, parent.root_size) if parent is not None and is_shown(parent) else None
            staging = self._catalog.open_part(home).stage_merge(self._txn, author, wanted)
            state = self._catalog.state_dir(self._merging.original, part.id)
            assert home.path is not None
            self._arrivals[part.id] = Arrival(part, home.path, staging, state)
        self._stagings.note(self._txn, self._staged())

    @override
    def is_sealed(self, part: Part) -> bool:
        """True as well for all that was taken in before."""
        return self._known or super().is_sealed(part)

    @override
    async def decide(self, manifest: Manifest) -> None:
        """The point of no return: what was here is kept, what arrived is noted as taken in.

        Raises:
            RejectedError: The original was handed off meanwhile, or is changing.
            ContentGoneError, StorageError: What is here cannot be kept; nothing has changed.
        """
        if self._known or self._decided:
            return
        store, original = self._services.store, self._merging.original
        self._check_free()
        # No wait between the look and the note: nothing else of this session can begin any more.
        store.generations.begin(Change(self._txn, original, Cause.MERGE, Phase.STAGING))
        try:
            await in_thread(self._decide, manifest)
        finally:
            store.generations.give_up(self._txn)

    def _check_free(self) -> None:
        store, original = self._services.store, self._merging.original
        record = store.sessions.get(original)
        if record is None or record.ownership.role is not Role.PRIMARY:
            raise RejectedError("the fork's original was handed on meanwhile", reason=RejectReason.NOT_PRIMARY.value)
        if self._is_busy(original) or store.generations.change_of(original) is not None:
            raise RejectedError("the fork's original is changing at this moment", reason=RejectReason.BUSY.value)

    def _decide(self, manifest: Manifest) -> None:
        services, original = self._services, self._merging.original
        kept = services.keeper.keep(original, Cause.MERGE, self._txn) if services.keeper.is_on else None
        merge = Merge(self._merging.fork, root_of(manifest), original, self._source, services.clock())
        pending = [
            PendingChange(self._txn, original, part, arrival.staging.directory, arrival.state, arrival.part.kind)
            for part, arrival in self._arrivals.items()
        ]
        generations = services.store.generations
        services.store.forks.take_in(merge, lambda: generations.decide_within(self._txn, kept, pending))
        self._decided = True

    @override
    async def show(self) -> None:
        """Nobody waits for a merge: all of it is ``commit``'s."""

    @override
    async def commit(self, store: Store) -> list[Placement]:
        """Put what was decided in place and note it; may be repeated after a failure.

        Raises:
            StorageError: Something could not be put in place yet; what is done stays done.
        """
        await in_thread(self._place_all)
        placements = [self._placements[part] for part in self._arrivals if part in self._placements]
        if self._decided:
            self._tell(placements)
        return placements

    def _place_all(self) -> None:
        if not self._decided:
            return
        services, generations = self._services, self._services.store.generations
        with self._catalog.guard(self._merging.original):
            for pending in generations.pending(self._txn):
                try:
                    staging = self._catalog.adapter(pending.kind).recover(pending.directory, pending.state)
                except NotFoundError:
                    pass  # Its commit came to its end, and the note did not.
                else:
                    self._placements[pending.part] = staging.commit()
                generations.placed(self._txn, pending.part)
            generations.finish(self._txn)
            self._stagings.forget(self._txn)
            services.keeper.prune(self._merging.original)

    def _tell(self, placements: Sequence[Placement]) -> None:
        self._services.events.emit(
            "merged",
            session=self._merging.original,
            fork=self._merging.fork,
            peer=self._services.peer_name(self._source),
            conflicts=[str(path) for placement in placements for path in placement.conflicts],
        )

    @override
    def abandon(self) -> None:
        """Remove everything staged; what is decided is put in place instead. Blocks."""
        if self._decided:
            self._place_all()
            return
        for arrival in self._arrivals.values():
            try:
                arrival.staging.abandon()
            except HandoffError as error:
                log.warning("the merge %s leaves something for now: %s", self._txn[:6], error)
                return  # Noted where it is, and collected later.
        self._stagings.forget(self._txn)

    def _original(self) -> Mapping[PartId, PartBinding]:
        bindings = self._catalog.bindings(self._merging.original)
        return {binding.part: binding for binding in bindings if is_there(binding) and binding.held_by is None}
