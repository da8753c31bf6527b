# SPDX-License-Identifier: Apache-2.0
"""Where the parts of one incoming handoff go, and their staging until they are in place. Layer: agent.

Specification: docs/specs/adapters.md §3. A part that already lives on this device is updated there; a new one gets a
place under the directory that the user chose, under a safe form of its name.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from p2p_handoff.adapters.base import Placement, Staging
from p2p_handoff.agent.catalog import Catalog, is_there
from p2p_handoff.agent.stagings import Stagings
from p2p_handoff.agent.work import in_thread
from p2p_handoff.content.digests import Digest
from p2p_handoff.errors import StorageError
from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.protocol.messages import Mode
from p2p_handoff.session.manifest import Manifest, Part
from p2p_handoff.session.paths import safe_name
from p2p_handoff.store.records import PartBinding, PendingCommit
from p2p_handoff.store.store import Store


@dataclass(frozen=True, slots=True)
class Arrival:
    """One accepted part on its way in."""

    part: Part
    path: Path
    """Where it will be."""
    staging: Staging
    state: Path
    """The adapter's own directory."""


class Arrivals:
    """The accepted parts of one txn.

    Args:
        catalog: The agent's sessions.
        stagings: Remembers where something is staged.
        mode: A copy gets a place of its own even where the session is known.
        txn: Names the staging directories, so that they are found again.
        place: Directory for parts of a kind that are new here.
    """

    def __init__(
        self, catalog: Catalog, stagings: Stagings, mode: Mode, txn: TxnId, place: Callable[[str], Path]
    ) -> None:
        self._catalog = catalog
        self._stagings = stagings
        self._mode = mode
        self._txn = txn
        self._place_of = place
        self._arrivals: dict[PartId, Arrival] = {}
        self._sealed: dict[PartId, tuple[Digest, frozenset[bytes]]] = {}

    def prepare(self, manifest: Manifest, parts: Sequence[Part], into: Path | None) -> None:
        """Choose places and open staging. Blocks; repeating it changes nothing.

        Raises:
            UsageError: No adapter for a part, or ``into`` given for a session that lives here already.
            StorageError: A directory cannot be made.
        """
        if self._arrivals:
            return
        homes = self._homes(manifest.session)
        if self._mode is Mode.MOVE:
            self._catalog.check_into(manifest.session, into)
        taken: set[Path] = set()
        try:
            for part in parts:
                self._arrivals[part.id] = self._arrive(manifest.session, part, homes.get(part.id), into, taken)
            self._stagings.note(self._txn, self._staged())
        except BaseException:
            self.abandon()
            self._arrivals.clear()
            raise

    def fitting(self, parts: Sequence[Part]) -> tuple[Part, ...]:
        """Those of the offered parts that this device can take: all."""
        return tuple(parts)

    async def decide(self, manifest: Manifest) -> None:
        """The last moment to refuse what is sealed: for a handoff, and for a copy, there is no reason here.

        Args:
            manifest: As it arrived.
        """

    def all(self) -> tuple[Arrival, ...]:
        """The accepted parts in the manifest's order."""
        return tuple(self._arrivals.values())

    def staging(self, part: PartId) -> Staging:
        """The staging of an accepted part."""
        return self._arrivals[part].staging

    def is_sealed(self, part: Part) -> bool:
        """True when a part is verified and on the disk as a manifest has it, and nothing was staged since."""
        return self._sealed.get(part.id) == (part.root, part.left_out)

    def unseal(self, part: PartId) -> None:
        """Something else is about to be staged for a part."""
        self._sealed.pop(part, None)

    def seal(self, parts: Iterable[Part]) -> None:
        """Verify and sync what is not sealed as it is in a manifest. Blocks.

        Args:
            parts: What was fetched.

        Raises:
            IntegrityError, StorageError: From an adapter.
        """
        for part in parts:
            if not self.is_sealed(part):
                self._arrivals[part.id].staging.seal()
                self._sealed[part.id] = (part.root, part.left_out)

    def previews(self, parts: Iterable[Part]) -> list[tuple[Part, Path]]:
        """Show those of the sealed parts that can be read before they are in place. Blocks.

        Raises:
            StorageError: A preview cannot be written.
        """
        found = ((part, self._arrivals[part.id].staging.preview()) for part in parts if self.is_sealed(part))
        return [(part, path) for part, path in found if path is not None]

    def abandon(self) -> None:
        """Remove everything staged. Blocks."""
        for arrival in self._arrivals.values():
            arrival.staging.abandon()
        self._forget_state()
        self._stagings.forget(self._txn)

    async def show(self) -> None:
        """Put everything in place as far as anyone can see; ``commit`` follows. May be repeated after a failure.

        Raises:
            StorageError: Something could not be put in place yet.
        """
        for arrival in self._arrivals.values():
            await in_thread(self._show, arrival)

    async def commit(self, store: Store) -> list[Placement]:
        """Put everything in place and note it; may be repeated after a failure.

        Raises:
            StorageError: Something could not be put in place yet; what is done stays done.
        """
        placements: list[Placement] = []
        for arrival in self._arrivals.values():
            placement = await in_thread(self._place, arrival)
            if self._mode is Mode.MOVE:
                pending = {(commit.txn, commit.part) for commit in store.incoming.pending_commits()}
                if (self._txn, arrival.part.id) in pending:
                    store.incoming.commit_done(self._txn, arrival.part.id, placement.path)
            placements.append(placement)
        await in_thread(self._forget_state)
        await in_thread(self._stagings.forget, self._txn)
        return placements

    def _staged(self) -> Iterator[Path]:
        for arrival in self._arrivals.values():
            yield arrival.staging.directory
            if self._mode is Mode.COPY:
                yield arrival.state.parent

    def _show(self, arrival: Arrival) -> None:
        with self._catalog.guard(SessionId(arrival.state.parent.name)):
            arrival.staging.show()

    def _place(self, arrival: Arrival) -> Placement:
        with self._catalog.guard(SessionId(arrival.state.parent.name)):
            return arrival.staging.commit()

    def _forget_state(self) -> None:
        """A copy is not a session of this device: what adapters remembered on the way has no further use."""
        for arrival in self._arrivals.values() if self._mode is Mode.COPY else ():
            shutil.rmtree(arrival.state.parent, ignore_errors=True)

    def commits(self) -> tuple[PendingCommit, ...]:
        """What has to be put in place after the commit point, also after a crash."""
        return tuple(
            PendingCommit(
                self._txn,
                SessionId(arrival.state.parent.name),
                arrival.part.id,
                arrival.staging.directory,
                arrival.state,
                arrival.part.kind,
            )
            for arrival in self._arrivals.values()
        )

    def bindings(self, manifest: Manifest, accepted: Iterable[PartId], source: DeviceId) -> tuple[PartBinding, ...]:
        """Where every part of the session is, as this device will know it as primary."""
        taken = frozenset(accepted)
        known = {binding.part: binding for binding in self._catalog.bindings(manifest.session)}
        return tuple(
            self._binding(manifest.session, part, part.id in taken, known.get(part.id), source)
            for part in manifest.parts
        )

    def _binding(
        self,
        session: SessionId,
        part: Part,
        taken: bool,  # noqa: FBT001 - private, one caller
        known: PartBinding | None,
        source: DeviceId,
    ) -> PartBinding:
        path = self._arrivals[part.id].path if taken else known.path if known else None
        # An older copy that still lies here is not the part: who kept it has what was written since.
        mine = taken or (part.held_by == self._catalog.device and known is not None)
        holder = None if mine else part.held_by or source
        return PartBinding(session, part.id, part.type, part.kind, part.name, path, holder)

    def _homes(self, session: SessionId) -> dict[PartId, PartBinding]:
        if self._mode is Mode.COPY:
            return {}
        return {binding.part: binding for binding in self._catalog.bindings(session) if is_there(binding)}

    def _arrive(
        self, session: SessionId, part: Part, home: PartBinding | None, into: Path | None, taken: set[Path]
    ) -> Arrival:
        adapter = self._catalog.adapter(part.kind)
        # A copy of a session that lives here must not touch what the adapters know of the real one.
        owner = SessionId(self._txn) if self._mode is Mode.COPY else session
        state = self._catalog.state_dir(owner, part.id)
        if home is not None and home.path is not None:
            staging = self._catalog.open_part(home).stage(self._txn)
            return Arrival(part, home.path, staging, state)
        base = (into or self._place_of(part.kind)).expanduser()
        _make(base)
        path = _free_place(base / safe_name(part.name, fallback="session"), taken)
        taken.add(path)
        return Arrival(part, path, adapter.stage_new(path, state, self._txn), state)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{directory} cannot be made: {error.strerror}") from error


def _free_place(wished: Path, taken: set[Path]) -> Path:
    """The wished place, or the next one with a number that nothing occupies."""
    candidate, number = wished, 2
    while candidate in taken or candidate.exists() or candidate.is_symlink():
        candidate = wished.with_name(f"{wished.stem}-{number}{wished.suffix}")
        number += 1
    return candidate
