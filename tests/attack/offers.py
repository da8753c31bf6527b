# SPDX-License-Identifier: Apache-2.0
"""Offers of a linked device that does not keep to the protocol, and what it serves for them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from p2p_handoff.content.compression import Encoding
from p2p_handoff.content.digests import Digest
from p2p_handoff.ids import PartId, SessionId, TxnId, new_session_id, new_txn_id
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.records import ObjectRecord, RecordWriter
from p2p_handoff.session.manifest import Manifest, Part, PartType, encode_manifest
from tests.attack.scene import Scene


def copy_of(stage: Scene, manifest: bytes | None = None, kind: str = "folder") -> tuple[msg.Init, msg.Request]:
    entropy = os.urandom
    txn, session = new_txn_id(entropy), new_session_id(entropy)
    init = msg.Init(txn, session, stage.intruder.device, stage.device, msg.Mode.COPY, 0, b"", take=False)
    return init, msg.Request(txn, manifest or manifest_of(session, kind), (PartId("p1"),), 600)


def manifest_of(session: SessionId, kind: str = "folder", root: bytes = bytes(32), size: int = 100) -> bytes:
    part_type = PartType.FILES if kind == "folder" else PartType.MESSAGES
    part = Part(PartId("p1"), part_type, kind, "gift", root, size, 10, 1)  # type: ignore[arg-type]  # a digest of nothing
    return encode_manifest(Manifest(session, "gift", (part,)))


@dataclass(frozen=True, slots=True)
class Lie:
    """An object that is not what it is said to be.

    Args:
        named: The digest that it is asked for by.
        size: The size that is announced.
        encoding: Of the payload.
        payload: What is sent.
    """

    named: Digest
    size: int
    encoding: int
    payload: bytes
    others: Mapping[bytes, bytes] = field(default_factory=dict)
    """Genuine objects beside it, by digest."""
    kind: str = "folder"
    """Of the part whose root it is."""

    def records(self, txn: TxnId, wanted: Sequence[bytes]) -> Iterator[ObjectRecord]:
        """What is sent for a Want."""
        for name in wanted:
            if name in self.others:
                yield ObjectRecord(txn, Digest(name), Encoding.RAW.value, self.others[name])
            else:
                yield ObjectRecord(txn, Digest(name), self.encoding, self.payload)


async def served(stage: Scene, lie: Lie) -> str:
    """Offer a part whose root object is a lie; returns how the victim ended it."""
    speaker = await stage.speaker()
    init, request = copy_of(stage)
    request = replace(request, manifest=manifest_of(init.session, lie.kind, lie.named, lie.size))
    with stage.listening() as heard:
        await speaker.message(init)
        await speaker.message(request)
        await stage.accept(init.session)
        async with asyncio.timeout(20):
            while True:
                match await heard.get():
                    case msg.Accept():
                        await speaker.message(msg.Round(init.txn, 1, request.manifest))
                    case msg.Want(digests=wanted):
                        writer = RecordWriter()
                        for record in lie.records(init.txn, wanted):
                            writer.add(record)
                        await speaker.bulk(writer.take(writer.pending))
                    case msg.Cancel(_, reason, _) | msg.Reject(_, reason, _):
                        return reason.value
                    case msg.Ready():
                        await speaker.message(msg.Cancel(init.txn, msg.RejectReason.FAILED, "enough"))
                        return "ready"
