# SPDX-License-Identifier: Apache-2.0
"""Goes on without a device that is gone for good, in a fork of the session. Layer: agent.

Specification: docs/specs/ownership.md §3 (force). A fork is a new session on the same things: its parts have the same
places, and adapters that remember the same. The original stays as it is; agent.reunion brings the two together.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from p2p_handoff.agent.catalog import is_there
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.work import in_thread
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import NotFoundError, StorageError, UsageError
from p2p_handoff.ids import PartId, SessionId, new_session_id
from p2p_handoff.limits import MAX_TITLE
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal
from p2p_handoff.session.guard import is_shown
from p2p_handoff.session.manifest import Part, decode_manifest, encode_manifest
from p2p_handoff.session.ownership import Role, is_lost
from p2p_handoff.store.records import NewSession, PartBinding, SessionRecord

_SUFFIX = " (fork)"


class Forking:
    """Makes the forks of one agent.

    Args:
        services: The agent's parts.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    async def fork(self, original: SessionRecord) -> SessionRecord:
        """Go on in a new session, of which this device is primary.

        Raises:
            UsageError: The session is neither in doubt nor lost, or goes on in a fork already.
            NotFoundError: This device has nothing of it.
            StorageError, ContentGoneError: The parts cannot be read; nothing has changed.
        """
        self.check(original)
        fork = await in_thread(self._fork, original)
        services = self._services
        services.catalog.forget_open(original.id)
        record = services.store.sessions.get(fork)
        assert record is not None
        services.events.emit("forked", session=original.id, fork=fork, title=record.title)
        return record

    def check(self, original: SessionRecord) -> None:
        """Find out whether a session may be forked.

        Raises:
            UsageError: It is neither in doubt nor lost, or goes on in a fork already.
        """
        known = self._services.store.forks.open_of(original.id)
        if known is not None:
            other = self._services.store.sessions.get(known.fork)
            title = other.title if other is not None else known.fork[:8]
            raise UsageError(f"{original.title!r} goes on in {title!r} already", advice="work there")
        own = original.ownership
        if own.role is not Role.FROZEN and not is_lost(own, me=self._services.identity.device):
            raise UsageError(
                f"{original.title!r} is not in doubt: there is nothing to force",
                advice="'handoff sessions' shows who has it",
            )

    def _fork(self, original: SessionRecord) -> SessionId:
        """All of it; blocks. What it leaves behind when it fails are files in the home that nothing names."""
        services, fork = self._services, new_session_id(self._services.entropy)
        with services.catalog.guard(original.id):
            bindings = services.catalog.bindings(original.id)
            if not any(is_there(binding) for binding in bindings):
                raise NotFoundError(f"nothing of {original.title!r} is on this device")
            left = self._left(original)
            moved = tuple(_bound_to(fork, binding) for binding in bindings)
            parts = {part.id: part for part in decode_manifest(left).parts}
            self._take_over_states(original.id, moved, parts)
            title = original.title[: MAX_TITLE - len(_SUFFIX)] + _SUFFIX
            manifest = encode_manifest(services.catalog.picture_of(title, moved, parts).manifest)
            held = services.store.ownership.held(original)
            chain = chains.create(services.identity, fork, digest(manifest), journal.parent_of(held))
            services.store.forks.begin(
                original.id, NewSession(title, services.clock(), manifest, chain, moved), left=left
            )
        return fork

    def _left(self, original: SessionRecord) -> bytes:
        """The encoded manifest of the state at which the fork leaves."""
        frozen = original.ownership.frozen
        granted = self._services.store.outgoing.grant(frozen.txn) if frozen is not None else None
        left = original.manifest if granted is None else granted.manifest
        if left is None:
            raise NotFoundError(f"what {original.title!r} consisted of is not known any more")
        return left

    def _take_over_states(
        self, original: SessionId, moved: Sequence[PartBinding], parts: Mapping[PartId, Part]
    ) -> None:
        catalog = self._services.catalog
        for binding in moved:
            if not is_there(binding):
                continue
            copy_state(catalog.state_dir(original, binding.part), catalog.state_dir(binding.session, binding.part))
            part = parts.get(binding.part)
            if part is not None and is_shown(part):
                catalog.open_part(binding).mark_parent(part.root)


def copy_state(source: Path, target: Path) -> None:
    """Let one session's adapters remember what another's do; on the disk when this returns.

    Args:
        source: The adapter state of a part.
        target: That of another session's part; what is there is replaced.

    Raises:
        StorageError: The disk is full or failing.
    """
    fresh = target.with_name(target.name + ".new")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(source, fresh, symlinks=True)
        for path in (*fresh.rglob("*"), fresh):
            _sync(path)
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
        _sync(target.parent)
    except OSError as error:
        raise StorageError(
            f"what is known of a part cannot be copied: {error.strerror}", advice="make room and try again"
        ) from error


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _bound_to(session: SessionId, binding: PartBinding) -> PartBinding:
    return PartBinding(session, binding.part, binding.type, binding.kind, binding.name, binding.path, binding.held_by)
