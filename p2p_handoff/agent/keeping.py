# SPDX-License-Identifier: Apache-2.0
"""Keeps what is about to be replaced on this device, so that it can be brought back. Layer: agent.

Specification: docs/specs/ownership.md §3 (undo), store.md §8. Everything here blocks and is meant for worker threads,
under the guard of its session. Contents are kept by the adapters, on the disk before a row says so.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from p2p_handoff.agent.catalog import Catalog, is_there, part_of
from p2p_handoff.content.digests import Digest
from p2p_handoff.errors import ContentGoneError, HandoffError, StorageError
from p2p_handoff.ids import PartId, SessionId
from p2p_handoff.session.manifest import Manifest, Part
from p2p_handoff.store.generations import Cause, Generation, Kept
from p2p_handoff.store.records import PartBinding
from p2p_handoff.store.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shelves:
    """Where earlier states are kept, and how many."""

    root: Path
    """Holds all of them, by session and part."""
    keep: Callable[[], int]
    """Generations of a session as the settings say now; 0 keeps none."""

    def of(self, session: SessionId, part: PartId) -> Path:
        """The shelf of one part."""
        return self.root / session / part


class Keeper:
    """Keeps and forgets generations.

    Args:
        store: Knows which are kept.
        catalog: Opens the parts.
        shelves: Where they are.
        clock: Unix seconds.
    """

    def __init__(self, store: Store, catalog: Catalog, shelves: Shelves, clock: Callable[[], float]) -> None:
        self._store = store
        self._catalog = catalog
        self._shelves = shelves
        self._clock = clock
        self._prepared: dict[str, Kept] = {}

    @property
    def is_on(self) -> bool:
        """False where the user wants no generations."""
        return self._shelves.keep() > 0

    def shelf(self, session: SessionId, part: PartId) -> Path:
        """Where the earlier states of a part are."""
        return self._shelves.of(session, part)

    def prepare(self, session: SessionId, txn: str) -> None:
        """Keep what a handoff would replace while its source still works, so that the pause has nothing of it to do.

        What is edited here between this and the commit stays in the folder or becomes a conflict copy, as always.

        Raises:
            StorageError: There is no room to keep it.
        """
        if not self.is_on:
            return
        self._prepared.pop(txn, None)
        try:
            self._prepared[txn] = self.keep(session, Cause.HANDOFF, txn)
        except ContentGoneError as error:
            log.info("session %s is not kept ahead: %s", session[:6], error)
        except StorageError as error:
            raise StorageError(
                f"the state that would be replaced cannot be kept: {error.what}",
                advice="make room, or set keep_generations = 0 in config.toml to keep none",
            ) from error

    def keep(self, session: SessionId, cause: Cause, change: str) -> Kept:
        """Keep the session as it is here now; nothing is noted yet.

        Raises:
            ContentGoneError, StorageError: From an adapter.
        """
        record = self._store.sessions.get(session)
        own = None if record is None else record.ownership
        title = "" if record is None else record.title
        with self._catalog.guard(session):
            parts = self._parts(session)
        epoch = 1 if own is None else own.epoch
        return Kept(session, self._clock(), cause, change, epoch, Manifest(session, title, parts))

    def before_commit(self, session: SessionId, txn: str) -> HandoffError | None:
        """Keep and note what an accepted handoff is about to replace, once.

        Returns:
            Why it could not be kept. The handoff is accepted: it is put in place all the same, since what was changed
            here stays as conflict copies; the note then has no parts, so that no later state is taken for this one.
        """
        if not self.is_on or self._store.generations.before(session, txn) is not None:
            return None
        failure: HandoffError | None = None
        try:
            kept = self._prepared.pop(txn, None) or self.keep(session, Cause.HANDOFF, txn)
        except HandoffError as error:
            failure = error
            kept = Kept(session, self._clock(), Cause.HANDOFF, txn, self._epoch(session), Manifest(session, "", ()))
        self._store.generations.add(kept)
        return failure

    def abandon(self, txn: str) -> None:
        """A handoff that was prepared for does not come."""
        self._prepared.pop(txn, None)

    def prune(self, session: SessionId) -> None:
        """Forget the oldest generations, and then what only they had.

        A failure is logged and leaves more than needed, until the next time: whatever came before it is done.
        """
        try:
            self._prune(session)
        except HandoffError as error:
            log.warning("old states of %s stay: %s", session[:6], error)

    def _prune(self, session: SessionId) -> None:
        kept = self._store.generations.of(session)
        change = self._store.generations.change_of(session)
        here = frozenset(binding.part for binding in self._catalog.bindings(session) if is_there(binding))
        needed = {change.generation} if change is not None else set()
        pending = {commit.txn for commit in self._store.incoming.pending_commits()}
        needed |= {item.number for item in kept if item.kept.change in pending}
        forgotten = to_forget(kept, self._shelves.keep(), here, frozenset(needed))
        self._store.generations.forget(session, forgotten)
        self._clear(session, [item for item in kept if item.number not in forgotten])

    def forget_fork(self, fork: SessionId, original: SessionId) -> None:
        """Forget what was kept of a fork that is over: no command brings it back any more.

        Only the newest state of a part that is in place nowhere on this device stays: it may be the only copy.
        """
        kept = self._store.generations.of(fork)
        if not kept:
            return
        here = frozenset(binding.part for binding in self._catalog.bindings(original) if is_there(binding))
        forgotten = to_forget(kept, 0, here, frozenset())
        self._store.generations.forget(fork, forgotten)
        self._clear(fork, [item for item in kept if item.number not in forgotten])

    def tidy(self) -> None:
        """Remove the shelves of sessions that are not here any more, and what was kept of forks that are over."""
        for fork in self._store.forks.ended():
            self.forget_fork(fork.fork, fork.original)
        if not self._shelves.root.is_dir():
            return
        known = {record.id for record in self._store.sessions.all()}
        for place in self._shelves.root.iterdir():
            if place.name not in known:
                shutil.rmtree(place, ignore_errors=True)

    def _parts(self, session: SessionId) -> tuple[Part, ...]:
        kept: list[Part] = []
        for binding in self._catalog.bindings(session):
            if is_there(binding) and binding.held_by is None:
                snapshot = self._catalog.open_part(binding).keep(self.shelf(session, binding.part))
                kept.append(part_of(binding, snapshot))
        return tuple(kept)

    def _clear(self, session: SessionId, kept: Sequence[Generation]) -> None:
        for binding in self._catalog.bindings(session):
            shelf = self.shelf(session, binding.part)
            if shelf.is_dir():
                try:
                    self._catalog.adapter(binding.kind).prune(shelf, _roots(kept, binding))
                except HandoffError as error:
                    log.warning("old states of %s stay: %s", session[:6], error)

    def _epoch(self, session: SessionId) -> int:
        record = self._store.sessions.get(session)
        return 1 if record is None else record.ownership.epoch


def to_forget(
    kept: Sequence[Generation], most: int, here: frozenset[PartId], needed: frozenset[int | None]
) -> frozenset[int]:
    """The generations that go: the oldest beyond ``most``, but for those that must stay.

    A generation stays while an undo or a commit that is not in place needs it, and the newest one that has a part
    stays while that part is not on this device: it may be the only copy.

    Args:
        kept: Of one session, oldest first.
        most: How many stay.
        here: The parts that are in place on this device.
        needed: Numbers that something depends on.
    """
    only_copies = {part.id: item.number for item in kept for part in item.kept.manifest.parts if part.id not in here}
    stay = needed | frozenset(only_copies.values())
    beyond = kept[: max(0, len(kept) - most)]
    return frozenset(item.number for item in beyond if item.number not in stay)


def _roots(kept: Iterable[Generation], binding: PartBinding) -> list[Digest]:
    return [part.root for item in kept for part in item.kept.manifest.parts if part.id == binding.part]
