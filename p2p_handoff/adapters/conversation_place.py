# SPDX-License-Identifier: Apache-2.0
"""Puts a sealed conversation in place so that nothing written here meanwhile is lost. Layer: I/O ring, adapters.

Specification: docs/specs/conversation.md §8. An update goes in rounds: import what this device wrote, merge, render,
journal, exchange atomically, look at what came out. If that is not what was imported, it is imported as well and
another round puts the result in place; what a program still has open for writing is kept beside it. The device's
own record changes once, at the end; every step before it can be repeated after a crash, because the journal says by
inode which side of the exchange we are on.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.base import Placement, Purpose
from p2p_handoff.adapters.conversation_area import Plan, Round, StagingArea
from p2p_handoff.adapters.conversation_follow import GENERATION_BYTES, Follower
from p2p_handoff.adapters.conversation_log import Log, replay, text_of
from p2p_handoff.adapters.conversation_store import Record
from p2p_handoff.adapters.platform_files import exchange, rename_exclusive, settle_exchange
from p2p_handoff.adapters.update_trial import SHARED, UpdateTrial
from p2p_handoff.adapters.writers import Writers
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import ContentGoneError, HandoffError, IntegrityError, StorageError
from p2p_handoff.ids import Entropy
from p2p_handoff.limits import MAX_CONVERSATION
from p2p_handoff.session.document import LineDocument, new_client_id, split_lines
from p2p_handoff.session.paths import conflict_name, conflict_prefix

FIRST_TEXT: Final = b"text"
"""The staged file of a first arrival."""
MAX_ROUNDS: Final = 8
"""A program that writes faster than eight exchanges gets its last version kept as a conflict copy."""
_PERMISSIONS: Final = 0o777
PRIVATE: Final = 0o600
"""Conversations arrive readable by their owner alone."""

Step = Callable[[str], None]
"""Called with a step's name before it is taken: where a test may cut the power."""


class Placer:
    """Carries out a plan.

    Args:
        area: The sealed staging directory.
        plan: Its plan.
        entropy: Random bytes for client ids and generations.
        step: Told the name of each step before it is taken.
        trial: Tries a peer's updates out together with this device's own.
    """

    def __init__(
        self,
        area: StagingArea,
        plan: Plan,
        entropy: Entropy,
        step: Step = lambda _: None,
        trial: UpdateTrial = SHARED,
    ) -> None:
        self._area = area
        self._plan = plan
        self._aim = plan.aim
        self._entropy = entropy
        self._step = step
        self._trial = trial
        self._name = os.fsencode(plan.aim.destination.name)
        self._conflicts: list[Path] = []
        self._writers = Writers()

    def place(self) -> Placement:
        """Put the conversation in place, record it, remove the staging directory. May be called again after a crash.

        Raises:
            StorageError: The disk is full or failing, or something stands where a new conversation shall go.
        """
        if self._aim.fresh:
            self._place_new()
            self._record(self._plan.log, self._plan.generation)
        elif self._is_foreign():
            self._add_copy()
        else:
            self._update()
        self._step("remove")
        self._area.remove()
        lines = self._plan.log.text.lines
        return Placement(self._aim.destination, written=lines, conflicts=tuple(self._conflicts))

    def _place_new(self) -> None:
        if self._area.inode(FIRST_TEXT) is None:
            return  # placed before a crash
        self._step("place")
        try:
            with beneath.typed_errors(f"place {self._aim.destination}"):
                self._rename_exclusive(FIRST_TEXT, self._name)
        except StorageError as failure:
            if isinstance(failure.__cause__, FileExistsError):
                raise StorageError(
                    f"something else appeared at {self._aim.destination}",
                    state="the conversation is kept beside it",
                    advice="move it away and try again",
                ) from failure
            raise

    def _rename_exclusive(self, staged: bytes, name: bytes) -> None:
        rename_exclusive(self._area.descriptor, staged, self._area.parent, name)
        os.fsync(self._area.parent)

    def _record(self, log: Log, generation: bytes) -> None:
        """Make a log the device's own, unless that happened before a crash."""
        store = self._area.store
        current = store.load()
        if (current.generation if current else b"") != generation:
            return
        self._step("record")
        for update in log.updates:
            store.updates.adopt(update.content.ref, self._area.updates)
        roots = current.roots if current else ()
        # What comes back or is merged in is shared with nobody yet: the last common state stays the older one.
        known = current.common if current else None
        common = self._plan.log.text.digest if self._aim.purpose is Purpose.UPDATE else known
        store.forget_frozen()
        store.save(Record(self._entropy(GENERATION_BYTES), log, common, roots).knowing_root(), current)

    # --- a fork whose document is another one ---------------------------------------------------------

    def _is_foreign(self) -> bool:
        """True for a fork that went back to an earlier state, or whose original did: the two cannot be merged."""
        if self._aim.purpose is not Purpose.MERGE or self._area.journal() is not None:
            return False
        record = self._local()
        return record is None or record.log.document != self._plan.log.document or not self._fits(record.log)

    def _add_copy(self) -> None:
        """Put the fork's text beside the original, unless all of it is there."""
        text, mtime_ns = self._replayed(self._plan.log).render(), self._plan.log.text.mtime_ns
        if not self._stands_there(text):
            self._area.write_text(FIRST_TEXT, text, mtime_ns, PRIVATE)
            self._keep_copy(FIRST_TEXT)

    def _stands_there(self, text: bytes) -> bool:
        """True when the original begins with a text, or an earlier copy holds it."""
        copies = conflict_prefix(self._aim.destination.name)
        listed = os.listdir(self._area.parent)  # noqa: PTH208 - a held descriptor, not a path
        for name in [self._name, *(os.fsencode(other) for other in listed if other.startswith(copies))]:
            try:
                found = beneath.read_whole(self._area.parent, name, MAX_CONVERSATION)
            except HandoffError:
                continue
            if found == text or (name == self._name and found.startswith(text)):
                return True
        return False

    # --- an update where it lives -----------------------------------------------------------------

    def _update(self) -> None:
        step = self._area.journal() or self._first_round()
        while True:
            self._exchange(step)
            closed = self._writers.are_gone(self._area.descriptor, step.staged)
            surprise = self._surprise(step)
            then = self._merged_with(surprise, step) if surprise is not None else None
            if not closed or (surprise is not None and then is None):
                self._keep_copy(step.staged)
            if then is None:
                break
            step = self._staged(step.number + 1, step.generation, step.next, then, merging=True)
        self._record(step.next, step.generation)

    def _first_round(self) -> Round:
        record = self._local()
        base = record.log if record else None
        merging = base is not None and base.document == self._plan.log.document and self._fits(base)
        then = self._merged(base) if base is not None and merging else self._plan.log
        return self._staged(0, record.generation if record else b"", base, then, merging=merging)

    def _fits(self, base: Log) -> bool:
        """False where a hostile log stands alone but cannot be applied together with this device's own updates."""
        known = {update.content for update in self._plan.log.updates}
        ours = [update.content for update in base.updates if update.content not in known]
        if not ours:
            return True
        theirs = [update.content for update in self._plan.log.updates]
        try:
            self._trial([self._area.read_update(content) for content in (*theirs, *ours)])
        except IntegrityError:
            return False
        return True

    def _local(self) -> Record | None:
        """The device's record with what was written to the file since; as it is where the file was removed."""
        try:
            follower = Follower(self._aim.destination, self._area.store, self._entropy)
            return follower.catch_up(thorough=True)
        except ContentGoneError:
            return self._area.store.load()

    def _merged(self, base: Log) -> Log:
        """The incoming log, and behind it whatever this device has that the log lacks."""
        incoming = self._plan.log
        known = {update.content for update in incoming.updates}
        ours = [update.content for update in base.updates if update.content not in known]
        if not ours:
            return incoming
        document = self._replayed(incoming)
        before = document.state_vector()
        for content in ours:
            document.apply(self._area.read_update(content))
        text, _ = text_of(document, 0)
        if not document.gained_since(before) and text.digest == incoming.text.digest:
            return incoming
        return self._grown(incoming, document, before)

    def _grown(self, log: Log, document: LineDocument, before: bytes) -> Log:
        """The log with one more update, which is written to the staging directory."""
        text, _ = text_of(document, time.time_ns())
        log, newest = log.followed_by(document, before, text)
        self._area.updates.write(log.updates[-1].content.ref, newest)
        return log

    def _replayed(self, log: Log) -> LineDocument:
        contents = [update.content for update in log.updates]
        document, _ = replay(contents, self._area.read_update, new_client_id(self._entropy))
        return document

    def _staged(self, number: int, generation: bytes, base: Log | None, then: Log, *, merging: bool) -> Round:
        """Render a log beside the destination and record the round."""
        step = Round(number, 0, generation, base, then, merging)
        data = self._replayed(then).render()
        found = beneath.status(self._area.parent, (self._name,))
        mode = stat.S_IMODE(found.st_mode) & _PERMISSIONS if found else PRIVATE
        self._step("stage")
        step = replace(step, inode=self._area.write_text(step.staged, data, then.text.mtime_ns, mode))
        self._area.write_journal(step)
        return step

    def _exchange(self, step: Round) -> None:
        """Swap the staged file with the destination's, unless that happened before a crash."""
        area = self._area
        with beneath.typed_errors(f"replace {self._aim.destination}"):
            settle_exchange(area.descriptor, step.staged, area.parent, self._name)
            if not self._is_staged(step):
                return
            self._step("exchange")
            try:
                exchange(area.descriptor, step.staged, area.parent, self._name)
            except FileNotFoundError:  # removed here: an update brings it back
                self._rename_exclusive(step.staged, self._name)
            os.fsync(area.parent)

    def _is_staged(self, step: Round) -> bool:
        """True while the staged name still holds what comes in, and not yet what came out."""
        found = self._area.inode(step.staged)
        if found is None or found == step.inode:
            return found is not None
        # Copied disks, and some at each mount, have other inodes: what is staged must not be taken for what came out.
        return digest(beneath.read_whole(self._area.descriptor, step.staged, MAX_CONVERSATION)) == step.next.text.digest

    def _surprise(self, step: Round) -> bytes | None:
        """What came out of the exchange, where it is something that no log holds."""
        self._step("inspect")
        if self._area.inode(step.staged) is None:
            return None
        data = beneath.read_whole(self._area.descriptor, step.staged, MAX_CONVERSATION)
        name = digest(data)
        if step.merging:
            return None if step.base is not None and name == step.base.text.digest else data
        record = self._area.store.load()
        expected = self._aim.replaces or (record.common if record else None)
        if name in {step.next.text.digest, expected} or self._begins_with(step.next, data):
            return None
        return data

    def _begins_with(self, log: Log, data: bytes) -> bool:
        return len(data) <= log.text.size and self._replayed(log).render().startswith(data)

    def _merged_with(self, surprise: bytes, step: Round) -> Log | None:
        """The round's log, and behind it what came out as an edit of what had been there.

        None where it cannot be merged, or not any more. It is not tried out in another process: both documents passed.
        """
        if not step.merging or step.number + 1 >= MAX_ROUNDS:
            return None
        if step.base is None:
            raise IntegrityError(f"the journal in {self._area.path} is damaged")
        edited, document = self._replayed(step.base), self._replayed(step.next)
        seen, before = edited.state_vector(), document.state_vector()
        try:
            edited.replace_with(split_lines(surprise))
            document.apply(edited.update_since(seen))
            return self._grown(step.next, document, before)
        except IntegrityError:
            return None

    def _keep_copy(self, staged: bytes) -> None:
        """Put a staged file beside the destination, under a name that says what it is."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        attempt = 1
        while True:
            name = conflict_name(self._aim.destination.name, self._aim.author, stamp, attempt)
            self._step("keep")
            try:
                with beneath.typed_errors("keep a conflict copy"):
                    self._rename_exclusive(staged, os.fsencode(name))
            except StorageError as failure:
                if not isinstance(failure.__cause__, FileExistsError):
                    raise
                attempt += 1
            else:
                self._conflicts.append(self._aim.destination.with_name(name))
                return
