# SPDX-License-Identifier: Apache-2.0
"""The target's side of a transfer: what is missing is asked for, verified and staged. Layer: agent.

Specification: docs/specs/handoff-v2.md §4. The target pulls: it names objects by digest, at most WINDOW bytes at a
time, and gives the sender credit only after an object is on its way to disk. What is staged is never asked for again,
on this connection or on a later one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from p2p_handoff.adapters.base import NOTHING_REUSED, Reused, Staging, Want
from p2p_handoff.agent.likeness import Likeness
from p2p_handoff.agent.profile import Ledger, Stage
from p2p_handoff.agent.wire import Wire
from p2p_handoff.agent.work import in_thread
from p2p_handoff.content.digests import Digest
from p2p_handoff.errors import RemoteProtocolError, UnreachableError
from p2p_handoff.ids import PartId, TxnId
from p2p_handoff.limits import MIB
from p2p_handoff.protocol.messages import Gone
from p2p_handoff.protocol.messages import Want as WantMessage
from p2p_handoff.protocol.records import ObjectRecord
from p2p_handoff.session.manifest import Part

_WINDOW_BYTES = 16 * MIB
"""Uncompressed bytes asked for and not staged yet."""
_WINDOW_OBJECTS = 8192
_BATCH = 512
"""Objects named in one Want, or staged in one go."""
_BATCH_BYTES = MIB
"""Uncompressed bytes worth a thread's attention: a hand-over costs as much as 100 KB of the work in it."""
_LINGER = 0.02
"""Seconds that a smaller batch waits for more: on a slow link each object is staged, and told of, by itself."""


@dataclass(slots=True)
class FetchProgress:
    """What one transfer has received so far."""

    received_bytes: int = 0
    """Stream bytes on the bulk channel."""
    content_bytes: int = 0
    """Uncompressed bytes staged."""
    remaining: int = 0
    """Uncompressed bytes still missing, as far as known."""
    objects: int = 0
    total_bytes: int = 0
    """Of all content of the parts, here or not."""
    reused: Reused = NOTHING_REUSED
    """What was here already of what changed."""


_Item = tuple[Wire, ObjectRecord] | Gone | UnreachableError


class _Batch:
    """What is staged in one go.

    Args:
        asked: Bytes of each object that was asked for and is not staged, by digest; changes meanwhile.
    """

    def __init__(self, asked: Mapping[Digest, int]) -> None:
        self.records: list[ObjectRecord] = []
        self._asked = asked
        self._bytes = 0

    def add(self, record: ObjectRecord) -> None:
        """Take what arrived, also what nobody asked for: staging judges that."""
        self.records.append(record)
        self._bytes += self._asked.get(record.digest, 0)

    @property
    def full(self) -> bool:
        """True when it is worth a thread's attention."""
        return self._bytes >= _BATCH_BYTES or len(self.records) >= _BATCH

    @property
    def more_is_coming(self) -> bool:
        """False when all that was asked for is in it."""
        return len(self.records) < len(self._asked)


@dataclass(frozen=True, slots=True)
class PartGoal:
    """One part to fetch."""

    part: Part
    staging: Staging
    may_describe: bool = False
    """Whether the source may be told what this device has of the last common state."""


class Fetcher:
    """Fetches parts of one txn over whatever wire is current.

    Args:
        txn: The handoff.
        progressed: Called after each batch that was staged.
        ledger: Keeps the time.
    """

    def __init__(self, txn: TxnId, progressed: Callable[[], None], ledger: Ledger) -> None:
        self.progress = FetchProgress()
        self._txn = txn
        self._progressed = progressed
        self._ledger = ledger
        self._arrived: asyncio.Queue[_Item] = asyncio.Queue()
        self._asked: dict[Digest, int] = {}
        self._outstanding = 0
        self._likeness = Likeness()
        self._backlog: deque[Want] = deque()
        self._backlog_bytes = 0
        self._reused: dict[PartId, Reused] = {}
        self._gone = False
        self._closed = False

    def object_received(self, wire: Wire, record: ObjectRecord) -> None:
        """An object of this txn arrived."""
        if self._closed:
            wire.consumed(record.wire_bytes)
        else:
            self._arrived.put_nowait((wire, record))

    def gone_received(self, message: Gone) -> None:
        """Some wanted objects changed at the source; what it says of others means nothing, and is not kept."""
        named = tuple(name for name in message.digests if Digest(name) in self._asked)
        if named:
            self._arrived.put_nowait(replace(message, digests=named))

    def wire_lost(self, error: str) -> None:
        """The wire broke: ends a running ``fetch`` with UnreachableError."""
        self._arrived.put_nowait(UnreachableError(error))

    async def fetch(self, wire: Wire, goals: Sequence[PartGoal]) -> bool:
        """Fetch everything under the goals' roots.

        Returns:
            True when all is here; False when some objects changed at the source and another round is needed.

        Raises:
            UnreachableError: The wire broke; call again with the next one.
            IntegrityError, PathError, StorageError: From the adapter, and the transfer cannot go on.
            RemoteProtocolError: The source sent what was not asked for.
        """
        self._reset()
        complete = True
        with self._ledger.waiting(Stage.ARRIVAL):
            for goal in goals:
                complete = await self._fetch_part(wire, goal) and complete
        return complete

    def close(self) -> None:
        """Nothing is fetched any more: what still arrives is dropped, and its sender gets the credit back."""
        self._closed = True
        self._reset()

    def _reset(self) -> None:
        while not self._arrived.empty():
            item = self._arrived.get_nowait()
            if isinstance(item, tuple):
                # The wire outlives the transfer: credit that did not return would be missing for ever.
                item[0].consumed(item[1].wire_bytes)
        self._likeness.begin()
        self._asked.clear()
        self._backlog.clear()
        self._outstanding = self._backlog_bytes = 0

    async def _fetch_part(self, wire: Wire, goal: PartGoal) -> bool:
        self._gone = False
        self._likeness.begin()
        with self._ledger.waiting(Stage.STAGE):
            wants = await in_thread(self._begin, goal)
        self._add(wants)
        self._count_reused(goal)
        await self._ask(wire, goal.part.id)
        while self._asked:
            if not (records := await self._next_batch(wire)):
                continue
            try:
                with self._ledger.waiting(Stage.STAGE):
                    wants = await in_thread(self._stage, goal, records)
                self._add(wants)
                self._count_reused(goal)
                await self._ask(wire, goal.part.id)
            finally:
                wire.consumed(sum(record.wire_bytes for record in records))
            self._progressed()
        return goal.staging.complete and not self._gone

    def _count_reused(self, goal: PartGoal) -> None:
        self._reused[goal.part.id] = goal.staging.reused
        self.progress.reused = sum(self._reused.values(), NOTHING_REUSED)

    def _add(self, wants: Sequence[Want]) -> None:
        for want in wants:
            self._backlog.append(want)
            self._backlog_bytes += want.size
        self.progress.remaining = self._backlog_bytes + self._outstanding

    async def _ask(self, wire: Wire, part: PartId) -> None:
        # Enough is under way: asking for a few objects at a time would cost a message and a disk read each.
        if self._outstanding > _WINDOW_BYTES // 2 or len(self._asked) > _WINDOW_OBJECTS // 2:
            return
        while self._backlog and self._outstanding < _WINDOW_BYTES and len(self._asked) < _WINDOW_OBJECTS:
            names: list[Digest] = []
            while self._backlog and len(names) < _BATCH and self._outstanding < _WINDOW_BYTES:
                want = self._backlog.popleft()
                self._backlog_bytes -= want.size
                if want.digest in self._asked:
                    continue
                self._asked[want.digest] = want.size
                self._outstanding += want.size
                names.append(want.digest)
            if names:
                remaining = self._backlog_bytes + self._outstanding
                wanted, sketches = self._likeness.described(names)
                wire.send(WantMessage(self._txn, part, wanted, remaining, sketches))
                await asyncio.sleep(0)  # A window of small objects is 16 messages, 25 ms of encoding.

    async def _next_batch(self, wire: Wire) -> list[ObjectRecord]:
        """What has arrived, and what does within a moment; empty when objects are only said to be gone."""
        batch = _Batch(self._asked)
        self._take(await self._arrived.get(), wire, batch)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LINGER):
                    while not batch.full and batch.more_is_coming:
                        self._take(await self._arrived.get(), wire, batch)
        except asyncio.CancelledError:
            wire.consumed(sum(record.wire_bytes for record in batch.records))
            raise
        except UnreachableError as lost:
            self._arrived.put_nowait(lost)  # What came before is staged first.
        return batch.records

    def _take(self, item: _Item, wire: Wire, batch: _Batch) -> None:
        if isinstance(item, UnreachableError):
            raise item
        if isinstance(item, Gone):
            self._forget(item)
        elif item[0] is wire:
            batch.add(item[1])

    def _forget(self, message: Gone) -> None:
        for name in message.digests:
            self._outstanding -= self._asked.pop(Digest(name), 0)
            self._likeness.forget(Digest(name))
        self._gone = True

    def _begin(self, goal: PartGoal) -> Sequence[Want]:
        wants = goal.staging.begin(goal.part.root, goal.part.root_size, goal.part.left_out)
        self._study(goal, wants)
        return wants

    def _study(self, goal: PartGoal, wants: Sequence[Want]) -> None:
        if goal.may_describe:
            self._likeness.study(goal.staging, wants)

    def _stage(self, goal: PartGoal, records: Sequence[ObjectRecord]) -> list[Want]:
        wants: list[Want] = []
        again: list[Want] = []
        for record in records:
            size = self._asked.pop(record.digest, None)
            if size is None:
                raise RemoteProtocolError("the other device sent an object that was not asked for")
            data = self._likeness.unpack(record, size)
            self._outstanding -= size
            self.progress.received_bytes += record.wire_bytes
            if data is None:
                again.append(Want(record.digest, size))
                continue
            wants.extend(goal.staging.put(record.digest, data))
            self.progress.content_bytes += len(data)
            self.progress.objects += 1
        self.progress.remaining = self._backlog_bytes + self._outstanding
        self._study(goal, wants)
        return [*wants, *again]
