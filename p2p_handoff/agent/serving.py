# SPDX-License-Identifier: Apache-2.0
"""The source's side of a transfer: wanted objects are read, compressed and sent. Layer: agent.

Specification: docs/specs/handoff-v2.md §4. Reading and compressing happen in a worker thread, one batch ahead of
what is being sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from p2p_handoff.adapters.base import Snapshot
from p2p_handoff.agent.wire import Wire
from p2p_handoff.content.compression import Packer
from p2p_handoff.content.digests import Digest
from p2p_handoff.errors import ContentGoneError, HandoffError, NotFoundError, RemoteProtocolError, UnreachableError
from p2p_handoff.ids import PartId, TxnId
from p2p_handoff.limits import MAX_WANTED, MIB
from p2p_handoff.protocol.messages import Gone, Want
from p2p_handoff.protocol.records import ObjectRecord

log = logging.getLogger(__name__)

_BATCH_BYTES = 2 * MIB
_BATCH_OBJECTS = 256


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


@dataclass(frozen=True, slots=True)
class _Batch:
    records: list[ObjectRecord] = field(default_factory=list)
    gone: list[Digest] = field(default_factory=list)
    content_bytes: int = 0
    taken: int = 0
    """How many digests the batch covers."""


class Server:
    """Serves the wants of one txn.

    Args:
        txn: The handoff.
        snapshots: The pictures that objects are read from, by part; replaced after each round.
        failed: Told in words why something could not be served.
    """

    def __init__(self, txn: TxnId, snapshots: Mapping[PartId, Snapshot], failed: Callable[[str], None]) -> None:
        self.snapshots = snapshots
        self.served = Served()
        self._packer = Packer()
        self._txn = txn
        self._failed = failed
        self._wants: asyncio.Queue[tuple[Wire, Want]] = asyncio.Queue()
        self._queued = 0
        """Objects that the queue names."""

    def want(self, wire: Wire, message: Want) -> None:
        """Queue a Want that arrived on a wire.

        Raises:
            RemoteProtocolError: More is wanted than MAX_WANTED.
        """
        self._queued += len(message.digests)
        if self._queued > MAX_WANTED:
            raise RemoteProtocolError(f"the other device wants more than {MAX_WANTED} objects at once")
        self.served.remaining = message.remaining
        self._wants.put_nowait((wire, message))

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            wire, message = await self._wants.get()
            self._queued -= len(message.digests)
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
        reading = asyncio.create_task(asyncio.to_thread(self._read, message.part, digests))
        while digests:
            batch = await reading
            digests = digests[batch.taken :]
            if digests:
                reading = asyncio.create_task(asyncio.to_thread(self._read, message.part, digests))
            try:
                await self._send(wire, message.part, batch)
            except Exception:  # Whatever it is: one thread at a time reads and packs.
                await asyncio.gather(reading, return_exceptions=True)
                raise

    async def _send(self, wire: Wire, part: PartId, batch: _Batch) -> None:
        for record in batch.records:
            await wire.send_object(record)
            self.served.sent_bytes += record.wire_bytes
            self.served.objects += 1
        self.served.content_bytes += batch.content_bytes
        self.served.remaining = max(0, self.served.remaining - batch.content_bytes)
        if batch.gone:
            self.served.gone += len(batch.gone)
            wire.send(Gone(self._txn, part, tuple(batch.gone)))

    def _read(self, part: PartId, digests: Sequence[Digest]) -> _Batch:
        snapshot = self.snapshots.get(part)
        if snapshot is None:
            return _Batch(gone=list(digests), taken=len(digests))
        with snapshot.reading():
            return self._read_from(snapshot, digests)

    def _read_from(self, snapshot: Snapshot, digests: Sequence[Digest]) -> _Batch:
        records: list[ObjectRecord] = []
        gone: list[Digest] = []
        size = taken = 0
        for name in digests[:_BATCH_OBJECTS]:
            taken += 1
            try:
                data = snapshot.read(name)
            except (ContentGoneError, NotFoundError):
                gone.append(name)
                continue
            encoding, payload = self._packer.pack(data)
            records.append(ObjectRecord(self._txn, name, encoding.value, payload))
            size += len(data)
            if size >= _BATCH_BYTES:
                break
        return _Batch(records, gone, size, taken)
