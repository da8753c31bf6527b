# SPDX-License-Identifier: Apache-2.0
"""Receives a conversation object by object, then proves that it renders what its root promises.

Layer: I/O ring, adapters. Specification: docs/specs/conversation.md §7. Whatever arrived for an earlier root is kept;
updates and chunks that this device holds already are never asked for.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from typing_extensions import override

from p2p_handoff.adapters.base import Placement, Reused, Staging, Want
from p2p_handoff.adapters.conversation_area import Aim, Plan, StagingArea
from p2p_handoff.adapters.conversation_log import Log, replay, text_of
from p2p_handoff.adapters.conversation_place import FIRST_TEXT, PRIVATE, Placer
from p2p_handoff.adapters.conversation_root import Root, decode_root
from p2p_handoff.adapters.conversation_snapshot import ContentTable
from p2p_handoff.adapters.conversation_store import verified
from p2p_handoff.adapters.update_trial import SHARED, UpdateTrial
from p2p_handoff.content.digests import Digest, verify
from p2p_handoff.content.objects import Child, Content, chunks_of, decode_index
from p2p_handoff.errors import ContentGoneError, IntegrityError, LocalProtocolError, NotFoundError
from p2p_handoff.ids import Entropy
from p2p_handoff.limits import MAX_OBJECT
from p2p_handoff.session.document import new_client_id

_PREVIEW: Final = b"preview"
"""The staged file that shows a conversation before it is in place; what it is called behind this comes from there."""
_READ_ONLY: Final = 0o400
_ROOT_LEVEL: Final = -1
"""Where chunks are level 0 and indexes level 1 and above."""


class ConversationStaging(Staging):
    """A conversation on its way in.

    Args:
        area: Its staging directory.
        aim: Where it goes, and what it does there.
        entropy: Random bytes for ids.
        trial: Tries a peer's updates out.
    """

    def __init__(self, area: StagingArea, aim: Aim, entropy: Entropy, trial: UpdateTrial = SHARED) -> None:
        self.directory = area.path
        self._area = area
        self._aim = aim
        self._entropy = entropy
        self._trial = trial
        self._goal: Root | None = None
        self._missing: dict[Digest, tuple[int, Child]] = {}
        self._local: ContentTable | None = None
        self._reused: dict[Digest, int] = {}
        """Bytes of what this device's log had, by digest."""
        self._placement: Placement | None = None

    @override
    def begin(self, root: Digest, root_size: int, left_out: Collection[bytes] = ()) -> Sequence[Want]:
        del left_out  # a conversation comes as a whole
        self._goal = None
        self._missing = {}
        self._area.unseal()
        self._trial.warm()
        record = self._area.store.load()
        self._local = ContentTable(
            self._area.store.updates, [entry.content for entry in record.log.updates] if record else []
        )
        return list(self._need(_ROOT_LEVEL, Child(root, 0, root_size)))

    @override
    def put(self, digest: Digest, data: bytes) -> Sequence[Want]:
        expected = self._missing.get(digest)
        verify(digest, data)
        if expected is None:
            if self._area.objects.has(digest):
                return ()
            raise IntegrityError(f"nobody asked for the object {digest.hex()[:16]}")
        level, child = expected
        if len(data) != child.object_size:
            raise IntegrityError(f"the object {digest.hex()[:16]} has another size than announced")
        wants = list(self._below(level, child, data))
        self._area.objects.write(digest, data)
        del self._missing[digest]
        return wants

    def _need(self, level: int, child: Child) -> Iterator[Want]:
        """Wants for one object and, where it is here, for what it names."""
        data = self._found(level, child)
        if data is None:
            self._missing[child.ref] = (level, child)
            yield Want(child.ref, child.object_size)
        else:
            yield from self._below(level, child, data)

    def _found(self, level: int, child: Child) -> bytes | None:
        """An object that arrived earlier or that this device's log contains; it is on the shelf afterwards."""
        shelf = self._area.objects
        try:
            return verified(shelf, child.ref, child.object_size)
        except (NotFoundError, IntegrityError):
            shelf.discard(child.ref)
        try:
            data = self._local.find(child.ref) if self._local and level != _ROOT_LEVEL else None
        except ContentGoneError:
            return None
        if data is not None and len(data) == child.object_size:
            shelf.write(child.ref, data)
            self._reused[child.ref] = len(data)
            return data
        return None

    def _below(self, level: int, child: Child, data: bytes) -> Iterator[Want]:
        """Wants for what an object names."""
        if level == _ROOT_LEVEL:
            self._goal = decode_root(data)
            for content in self._goal.log:
                if self._is_held(content):
                    self._reused[content.ref] = content.size
                elif not self._area.has_update(content):
                    yield from self._need(content.level, Child(content.ref, content.size, content.ref_size))
        elif level > 0:
            index = decode_index(data)
            if index.level != level or sum(below.content_size for below in index.children) != child.content_size:
                raise IntegrityError(f"the index {child.ref.hex()[:16]} is not what its parent says")
            for below in index.children:
                yield from self._need(level - 1, below)

    def _is_held(self, content: Content) -> bool:
        """True for an update that this device's log had before anything of it arrived; it is taken over."""
        return self._area.store.updates.has(content.ref) and self._area.has_update(content)

    @property
    @override
    def reused(self) -> Reused:
        return Reused(len(self._reused), sum(self._reused.values()))

    @property
    @override
    def complete(self) -> bool:
        return self._goal is not None and not self._missing

    @override
    def seal(self) -> None:
        if self._goal is None or self._missing:
            raise LocalProtocolError("a conversation is sealed before it is complete")
        goal = self._goal
        for content in goal.log:
            self._assemble(content)
        self._try_out(goal)
        document, updates = replay(goal.log, self._area.read_update, new_client_id(self._entropy))
        text, data = text_of(document, goal.text.mtime_ns)
        if text != goal.text:
            raise IntegrityError("the conversation's updates do not render what its root promises")
        if self._aim.fresh:
            self._area.write_text(FIRST_TEXT, data, text.mtime_ns, PRIVATE)
        record = self._area.store.load()
        log = Log(goal.document, text, tuple(updates))
        self._area.write_plan(Plan(self._aim, log, record.generation if record else b""))

    def _try_out(self, goal: Root) -> None:
        """Apply the updates where they can do no harm, unless all of them are this device's already."""
        record = self._area.store.load()
        known = {update.content for update in record.log.updates} if record else set()
        if not known.issuperset(goal.log):
            self._trial([self._area.read_update(content) for content in goal.log])

    def _assemble(self, content: Content) -> None:
        """Join an update's chunks, unless this device had the update."""
        shelf = self._area.updates
        if shelf.has(content.ref):
            return
        parts = [verified(self._area.objects, ref, length) for ref, _, length in chunks_of(content, self._object)]
        shelf.write(content.ref, b"".join(parts))

    def _object(self, ref: Digest) -> bytes:
        return self._area.objects.read(ref, MAX_OBJECT)

    @override
    def preview(self) -> Path | None:
        plan = self._area.plan()
        if plan is None:
            return None
        updates = [update.content for update in plan.log.updates]
        document, _ = replay(updates, self._area.read_update, new_client_id(self._entropy))
        text, data = text_of(document, plan.log.text.mtime_ns)
        name = _PREVIEW + os.fsencode(self._aim.destination.suffix)
        self._area.write_text(name, data, text.mtime_ns, _READ_ONLY)
        return self._area.path / os.fsdecode(name)

    @override
    def commit(self) -> Placement:
        if self._placement is None:
            plan = self._area.plan()
            if plan is None:
                raise LocalProtocolError("a conversation is put in place before it is sealed")
            self._placement = Placer(self._area, plan, self._entropy, trial=self._trial).place()
        return self._placement

    @override
    def abandon(self) -> None:
        self._area.remove()
