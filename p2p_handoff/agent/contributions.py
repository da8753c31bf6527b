# SPDX-License-Identifier: Apache-2.0
"""What was edited on this device in sessions that it has granted or handed over. Layer: agent.

Specification: docs/specs/adapters.md §1. The edits themselves lie where the user made them, and the base that they are
counted against lies in the part's state directory: both survive every restart. Here they are counted and told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from p2p_handoff.agent.catalog import Catalog
from p2p_handoff.agent.events import Events
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import PartId, SessionId
from p2p_handoff.session import chain as chains
from p2p_handoff.session.manifest import Part, decode_manifest
from p2p_handoff.session.ownership import Role
from p2p_handoff.session.signed import read
from p2p_handoff.session.statements import Grant
from p2p_handoff.store.records import SessionRecord
from p2p_handoff.store.store import Store

log = logging.getLogger(__name__)

LOOK_FOR: Final = 2.0
"""Seconds that a list of sessions waits for a count: a disk that hangs must not hide the other sessions."""
_ONE: Final[Mapping[str, str]] = {"files": "file", "messages": "message", "documents": "document", "context": "entry"}


@dataclass(frozen=True, slots=True)
class Contribution:
    """Edits that the session's primary does not have yet."""

    frozen: bool
    """The grant has no answer yet: after a refusal they are ordinary edits."""
    counts: Mapping[str, int]
    """By part type; only what is not 0."""

    def as_json(self) -> dict[str, Any]:
        """The stable keys of ``edited_here``."""
        return {"files": 0, "messages": 0, **self.counts, "text": self.text}

    @property
    def text(self) -> str:
        """For people; empty where nothing was edited."""
        if not self.counts:
            return ""
        items = ", ".join(f"{count} {_ONE[kind] if count == 1 else kind}" for kind, count in self.counts.items())
        if self.frozen:
            return f"edited here since it was frozen: {items}; kept, whatever the answer is"
        return f"edited here after the handoff: {items}; kept, and merged when the session comes back"


NONE: Final = Contribution(frozen=False, counts={})


class Contributions:
    """Counts the contributions of one device.

    Args:
        store: Knows the sessions.
        catalog: Opens their parts.
        events: Told ``edited-here`` when a count changes.
    """

    def __init__(self, store: Store, catalog: Catalog, events: Events) -> None:
        self._store = store
        self._catalog = catalog
        self._events = events
        self._known: dict[SessionId, Contribution] = {}
        self._looking: dict[SessionId, asyncio.Task[Contribution]] = {}

    async def of(self, record: SessionRecord) -> Contribution:
        """What is known; a session that was not looked at yet, or is frozen, is looked at now, for LOOK_FOR at most."""
        if record.ownership.role is Role.PRIMARY or record.stopped:
            return NONE
        known = self._known.get(record.id)
        if known is not None and not known.frozen and record.ownership.role is Role.SECONDARY:
            return known
        looking = self._looking.get(record.id)
        if looking is None:
            looking = asyncio.create_task(self.look(record.id), name=f"edits {record.id[:6]}")
            self._looking[record.id] = looking
            looking.add_done_callback(lambda _: self._looking.pop(record.id, None))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_FOR):
                return await asyncio.shield(looking)
        return self._known.get(record.id, NONE)

    async def close(self) -> None:
        """Nobody asks any more."""
        for looking in tuple(self._looking.values()):
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def look(self, session: SessionId) -> Contribution:
        """Count anew. What cannot be read or compared counts as unedited; the next handoff says so in words."""
        try:
            found = await asyncio.to_thread(self._count, session)
        except HandoffError as error:
            log.info("session %s cannot be compared: %s", session[:6], error)
            found = NONE
        if found != self._known.get(session, NONE):
            self._events.emit("edited-here", session=session, **found.as_json())
        self._known[session] = found
        return found

    def forget(self, session: SessionId) -> None:
        """The session is this device's own, or gone."""
        self._known.pop(session, None)

    def _count(self, session: SessionId) -> Contribution:
        with self._catalog.guard(session):
            record = self._store.sessions.get(session)
            if record is None or record.ownership.role is Role.PRIMARY:
                return NONE
            frozen = record.ownership.role is Role.FROZEN
            counts: Counter[str] = Counter()
            for part in self._granted(record):
                counts[part.type.value] += self._edits(record, part)
            return Contribution(frozen, {kind: count for kind, count in counts.items() if count})

    def _edits(self, record: SessionRecord, part: Part) -> int:
        places = {binding.part: binding for binding in self._catalog.bindings(record.id)}
        binding = places.get(part.id)
        if binding is None or binding.path is None:
            return 0
        try:
            opened = self._catalog.open_part(binding)
            if record.ownership.role is Role.SECONDARY:
                # A stop between becoming secondary and telling the adapters is made good here.
                opened.release(part.root, part.left_out)
            return opened.edits_since(part.root, part.left_out)
        except HandoffError as error:
            log.info("part %s of %s cannot be compared: %s", part.id, record.id[:6], error)
            return 0

    def _granted(self, record: SessionRecord) -> tuple[Part, ...]:
        """The parts that this device and the other one last had in common, as they were then."""
        frozen = record.ownership.frozen
        grant = self._store.outgoing.grant(frozen.txn) if frozen is not None else None
        data = grant.manifest if grant is not None else record.manifest
        if data is None:
            return ()
        granted = read(grant.signed, Grant).parts if grant is not None else _last_granted(record, data)
        return tuple(part for part in decode_manifest(data).parts if granted is None or part.id in granted)


def _last_granted(record: SessionRecord, manifest: bytes) -> tuple[PartId, ...] | None:
    """The parts of the last grant of a manifest; None where the chain has none, and every part counts."""
    root = digest(manifest)
    for signed in chains.decode_chain(record.chain)[1::2][::-1]:
        grant = read(signed, Grant)
        if grant.root == root:
            return grant.parts
    return None
