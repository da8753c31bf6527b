# SPDX-License-Identifier: Apache-2.0
"""The ``conversation`` adapter: a JSONL file that is followed line by line. Layer: I/O ring, adapters.

Specification: docs/specs/conversation.md. A snapshot turns what the file gained, or any rewrite of it, into edits
of a line document and appends them to the log as one CRDT update; a transfer carries the updates that the other
side lacks.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from typing_extensions import override

from p2p_handoff.adapters.base import Adapter, OpenPart, PartPicture, Purpose, Screen, Snapshot, Staging, Want, whole
from p2p_handoff.adapters.conversation_area import Aim, StagingArea, finish_removal, staging_path
from p2p_handoff.adapters.conversation_follow import Follower
from p2p_handoff.adapters.conversation_keep import ConversationShelf
from p2p_handoff.adapters.conversation_log import replay
from p2p_handoff.adapters.conversation_snapshot import ConversationSnapshot
from p2p_handoff.adapters.conversation_staging import ConversationStaging
from p2p_handoff.adapters.conversation_store import ConversationStore, Record
from p2p_handoff.adapters.watcher import Watch, watch
from p2p_handoff.content.digests import Digest
from p2p_handoff.errors import IntegrityError, NotFoundError, UsageError
from p2p_handoff.ids import Entropy
from p2p_handoff.session.document import new_client_id, split_lines
from p2p_handoff.session.manifest import PartType

SUFFIX: Final = ".jsonl"


class ConversationPart(OpenPart):
    """A conversation file that lives on this device.

    Args:
        path: Its absolute path.
        state: The part's directory in the agent's home.
        entropy: Random bytes for ids.
        device_name: Written into the names of conflict copies.
        watching: Watches the file's directory.
    """

    def __init__(self, path: Path, state: Path, entropy: Entropy, device_name: str, watching: Watch = watch) -> None:
        self.path = path
        self._entropy = entropy
        self._aim = Aim(destination=path, author=device_name, fresh=False)
        self._watch = watching
        self._store = ConversationStore(state)
        self._follower = Follower(path, self._store, entropy)

    @override
    def snapshot(self) -> ConversationSnapshot:
        return self._picture(self._follower.catch_up(thorough=False))

    @override
    def freeze(self, screen: Screen = whole) -> PartPicture:
        record = self._follower.catch_up(thorough=True)
        picture = screen(self._picture(record))
        self._store.freeze(record)
        return picture

    def renew(self) -> Snapshot:
        """A picture under a fresh document id, for an undo: no older update merges into it on any device.

        Raises:
            ContentGoneError, StorageError: As ``snapshot``.
        """
        return self._picture(self._follower.renew())

    def _picture(self, record: Record) -> ConversationSnapshot:
        return ConversationSnapshot(record.log.root, self._store.updates)

    @override
    def thaw(self) -> None:
        """What was written since is found by the next snapshot; what was granted need not be kept any more."""
        self._store.forget_frozen()

    @override
    def release(self, root: Digest, left_out: Collection[bytes] = ()) -> None:
        """Remember ``root`` as common; one that is neither frozen nor among the last sixteen changes nothing."""
        record = self._store.load()
        text = self._text_under(root, record)
        if record is not None and text is not None and text != record.common:
            self._store.save(replace(record, common=text), record)

    def _text_under(self, root: Digest, record: Record | None) -> Digest | None:
        frozen = self._store.frozen()
        if frozen is not None and frozen.log.root.name == root:
            return frozen.log.text.digest
        return dict(record.roots).get(root) if record else None

    @override
    def edits_since(self, root: Digest, left_out: Collection[bytes] = ()) -> int:
        """How many lines were written, removed or changed since; see ``OpenPart.edits_since``."""
        record = self._follower.catch_up(thorough=False)
        if record.log.text.digest == (self._text_under(root, record) or record.common):
            return 0
        frozen = self._store.frozen()
        if frozen is None or frozen.log.root.name != root:
            return 1
        before, now = self._lines(frozen), self._lines(record)
        return max(1, (now - before).total(), (before - now).total())

    def _lines(self, record: Record) -> Counter[bytes]:
        contents = [update.content for update in record.log.updates]
        document, _ = replay(contents, self._store.read, new_client_id(self._entropy))
        return Counter(split_lines(document.render()))

    @override
    def stage(self, name: str) -> Staging:
        return self._staging(name, self._aim)

    def _staging(self, name: str, aim: Aim) -> Staging:
        area = StagingArea(staging_path(self.path, name), self._store)
        return ConversationStaging(area, aim, self._entropy)

    @override
    def keep(self, shelf: Path) -> Snapshot:
        return self._picture(ConversationShelf(shelf).keep(lambda: self._follower.catch_up(thorough=True), self.path))

    @override
    def stage_back(self, name: str, shelf: Path, now: Digest) -> Staging:
        replaces = ConversationShelf(shelf).text(now).digest
        return self._staging(name, replace(self._aim, purpose=Purpose.BACK, replaces=replaces))

    @override
    def stage_merge(self, name: str, author: str, parent: Want | None) -> Staging:
        return self._staging(name, replace(self._aim, author=author, purpose=Purpose.MERGE))

    @override
    def mark_parent(self, root: Digest) -> bool:
        """True: a conversation merges by its document, without the state at which the fork began."""
        return True

    @override
    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        mine = str(self.path.parent.resolve() / self.path.name)
        return self._watch(self.path.parent, changed, lambda path: path == mine, recursive=False).stop


class ConversationAdapter(Adapter):
    """Regular files whose name ends in ``.jsonl``.

    Args:
        entropy: Random bytes for CRDT client ids and document ids.
        device_name: This device's display name, for the names of conflict copies.
        watching: Watches directories.
    """

    kind = "conversation"
    part_type = PartType.MESSAGES

    def __init__(
        self, entropy: Entropy = os.urandom, device_name: str = "this-device", watching: Watch = watch
    ) -> None:
        self._entropy = entropy
        self._device_name = device_name
        self._watch = watching

    @override
    def claims(self, path: Path) -> bool:
        return path.suffix == SUFFIX and path.is_file() and not path.is_symlink()

    @override
    def open(self, path: Path, state: Path) -> OpenPart:
        if not os.path.lexists(path):
            raise NotFoundError(f"there is no conversation at {path}")
        if not self.claims(path):
            raise UsageError(f"{path} is not a regular file that ends in {SUFFIX}")
        return ConversationPart(path, state, self._entropy, self._device_name, self._watch)

    @override
    def stage_new(self, destination: Path, state: Path, name: str) -> Staging:
        if os.path.lexists(destination):
            raise UsageError(f"something stands at {destination} already")
        area = StagingArea(staging_path(destination, name), ConversationStore(state))
        return ConversationStaging(
            area, Aim(destination=destination, author=self._device_name, fresh=True), self._entropy
        )

    @override
    def recover(self, directory: Path, state: Path) -> Staging:
        if not directory.is_dir() or finish_removal(directory):
            raise NotFoundError(f"{directory} is gone: what was staged in it is in place")
        area = StagingArea(directory, ConversationStore(state))
        plan = area.plan()
        if plan is None:
            raise IntegrityError(f"{directory} holds no sealed conversation")
        return ConversationStaging(area, plan.aim, self._entropy)

    @override
    def kept(self, shelf: Path, root: Digest) -> Snapshot:
        return ConversationShelf(shelf).open(root, self._entropy)

    @override
    def prune(self, shelf: Path, roots: Iterable[Digest]) -> None:
        ConversationShelf(shelf).prune(roots)
