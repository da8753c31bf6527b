# SPDX-License-Identifier: Apache-2.0
"""The source's side of a transfer: wanted objects are read, compressed and sent. Layer: agent.

Specification: docs/specs/handoff-v2.md §4. Reading and compressing happen in a worker thread, one batch ahead of
what is being sent. An object that resembles something at the target is sent as a patch where that is clearly shorter:
made of what would be sent as a whole otherwise, read like everything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from p2p_handoff.adapters.base import NOTHING_REUSED, Reused, Snapshot
from p2p_handoff.agent.profile import Ledger, Stage
from p2p_handoff.agent.wire import Wire
from p2p_handoff.content import patches
from p2p_handoff.content.compression import Encoding, Packer
from p2p_handoff.content.digests import Digest
from p2p_handoff.errors import ContentGoneError, HandoffError, NotFoundError, RemoteProtocolError, UnreachableError
from p2p_handoff.ids import PartId, TxnId
from p2p_handoff.limits import MAX_WANTED, MIB
from p2p_handoff.protocol.messages import Gone, Want
from p2p_handoff.protocol.records import ObjectRecord

log = logging.getLogger(__name__)

_BATCH_BYTES = 2 * MIB
_BATCH_OBJECTS = 256
_MAX_SKETCHES = MIB
"""Bytes of sketches that wait; ours sends some 50 KB. What comes beyond is sent whole."""
_WORTH_IT = 0.75
"""Share of what an object takes otherwise up to which a patch is sent instead: it has to be put together."""


@dataclass(slots=True)
class Served:
    """What one transfer has sent so far."""

    sent_bytes: int = 0
    """Stream bytes on the bulk channel: compressed payloads and headers."""
    content_bytes: int = 0
    """Uncompressed bytes of the objects sent."""
    remaining: int = 0
    """Uncompressed bytes that the target said it still lacks."""
    objects: int = 0
    gone: int = 0
    total_bytes: int = 0
    """Of all content of the parts, sent or not."""
    reused: Reused = NOTHING_REUSED
    """What the target says that it had already."""


@dataclass(frozen=True, slots=True)
class _Batch:
    records: list[ObjectRecord] = field(default_factory=list)
    gone: list[Digest] = field(default_factory=list)
    content_bytes: int = 0
    taken: int = 0
    """How many digests the batch covers."""
    packing: float = 0.0
    """Of the time that it took, the share that was not reading."""


class Server:
    """Serves the wants of one txn.

    Args:
        txn: The handoff.
        snapshots: The pictures that objects are read from, by part; replaced after each round.
        failed: Told in words why something could not be served.
        ledger: Keeps the time.
    """

    def __init__(
        self, txn: TxnId, snapshots: Mapping[PartId, Snapshot], failed: Callable[[str], None], ledger: Ledger
    ) -> None:
        self.snapshots = snapshots
        self.served = Served()
        self._packer = Packer()
        self._txn = txn
        self._failed = failed
        self._ledger = ledger
        self._wants: asyncio.Queue[tuple[Wire, Want]] = asyncio.Queue()
        self._queued = 0
        """Objects that the queue names."""
        self._sketched = 0
        """Bytes of the sketches in it."""

    def want(self, wire: Wire, message: Want) -> None:
        """Queue a Want that arrived on a wire.

        Raises:
            RemoteProtocolError: More is wanted than MAX_WANTED.
        """
        self._queued += len(message.digests)
        if self._queued > MAX_WANTED:
            raise RemoteProtocolError(f"the other device wants more than {MAX_WANTED} objects at once")
        if self._sketched + _sketch_bytes(message) > _MAX_SKETCHES:
            message = replace(message, sketches=())
        self._sketched += _sketch_bytes(message)
        self.served.remaining = message.remaining
        self._wants.put_nowait((wire, message))

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            wire, message = await self._wants.get()
            self._queued -= len(message.digests)
            self._sketched -= _sketch_bytes(message)
            try:
                await self._serve(wire, message)
            except UnreachableError:
                continue  # The connection broke: the target asks again on the next one.
            except Exception as error:  # noqa: BLE001 - a target that is served no more would wait for ever
                self._give_up(wire, message, error)

    def _give_up(self, wire: Wire, message: Want, error: Exception) -> None:
        if isinstance(error, HandoffError):
            text = error.what
            log.error("handoff %s: part %s cannot be read: %s", self._txn[:6], message.part, error)
        else:
            text = f"the content cannot be read ({type(error).__name__})"
            log.error("handoff %s: part %s cannot be read", self._txn[:6], message.part, exc_info=error)
        self._failed(text)
        with contextlib.suppress(UnreachableError):
            wire.send(Gone(self._txn, message.part, message.digests))

    async def _serve(self, wire: Wire, message: Want) -> None:
        digests = [Digest(name) for name in message.digests]
        sketches = dict(zip(digests, message.sketches, strict=False))
        reading = asyncio.create_task(asyncio.to_thread(self._read, message.part, digests, sketches))
        while digests:
            batch = await self._ready(reading)
            digests = digests[batch.taken :]
            if digests:
                reading = asyncio.create_task(asyncio.to_thread(self._read, message.part, digests, sketches))
            try:
                await self._send(wire, message.part, batch)
            except Exception:  # Whatever it is: one thread at a time reads and packs.
                await asyncio.gather(reading, return_exceptions=True)
                raise

    async def _ready(self, reading: asyncio.Task[_Batch]) -> _Batch:
        loop = asyncio.get_running_loop()
        began = loop.time()
        with self._ledger.waiting(Stage.READ):
            batch = await reading
        self._ledger.shift(Stage.READ, Stage.PACK, (loop.time() - began) * batch.packing)
        return batch

    async def _send(self, wire: Wire, part: PartId, batch: _Batch) -> None:
        queue_full, no_credit = wire.queue_full, wire.no_credit
        with self._ledger.waiting(Stage.SEND):
            for record in batch.records:
                await wire.send_object(record)
                self.served.sent_bytes += record.wire_bytes
                self.served.objects += 1
        self._ledger.shift(Stage.SEND, Stage.QUEUE, wire.queue_full - queue_full)
        self._ledger.shift(Stage.SEND, Stage.CREDIT, wire.no_credit - no_credit)
        self.served.content_bytes += batch.content_bytes
        self.served.remaining = max(0, self.served.remaining - batch.content_bytes)
        if batch.gone:
            self.served.gone += len(batch.gone)
            wire.send(Gone(self._txn, part, tuple(batch.gone)))

    def _read(self, part: PartId, digests: Sequence[Digest], sketches: Mapping[Digest, bytes]) -> _Batch:
        snapshot = self.snapshots.get(part)
        if snapshot is None:
            return _Batch(gone=list(digests), taken=len(digests))
        with snapshot.reading():
            return self._read_from(snapshot, digests, sketches)

    def _read_from(self, snapshot: Snapshot, digests: Sequence[Digest], sketches: Mapping[Digest, bytes]) -> _Batch:
        records: list[ObjectRecord] = []
        gone: list[Digest] = []
        size = taken = 0
        began, reading = time.perf_counter(), 0.0
        for name in digests[:_BATCH_OBJECTS]:
            taken += 1
            before = time.perf_counter()
            try:
                data = snapshot.read(name)
            except (ContentGoneError, NotFoundError):
                gone.append(name)
                continue
            finally:
                reading += time.perf_counter() - before
            encoding, payload = self._pack(data, sketches.get(name, b""))
            records.append(ObjectRecord(self._txn, name, encoding.value, payload))
            size += len(data)
            if size >= _BATCH_BYTES:
                break
        took = time.perf_counter() - began
        return _Batch(records, gone, size, taken, packing=1 - reading / took if took > 0 else 0.0)

    def _pack(self, data: bytes, sketch: bytes) -> tuple[Encoding, bytes]:
        """What to send of an object, which the target may have described something like."""
        encoding, payload = self._packer.pack(data)
        patch = patches.make(data, sketch)
        if patch is not None and len(patch) <= len(payload) * _WORTH_IT:
            return Encoding.PATCH, patch
        return encoding, payload


def _sketch_bytes(message: Want) -> int:
    return sum(map(len, message.sketches))
