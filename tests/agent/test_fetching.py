# SPDX-License-Identifier: Apache-2.0
"""What a source may say of objects; that they are fetched is in the tests of whole handoffs."""

from __future__ import annotations

import asyncio
import time

import pytest
from typing_extensions import override

from p2p_handoff.agent import fetching
from p2p_handoff.agent.fetching import Fetcher
from p2p_handoff.agent.profile import Ledger
from p2p_handoff.agent.wire import Wire
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import UnreachableError
from p2p_handoff.ids import PartId
from p2p_handoff.limits import MIB
from p2p_handoff.protocol.messages import Gone
from p2p_handoff.protocol.records import ObjectRecord
from tests.protocol.grants import TXN


def test_what_was_not_asked_for_cannot_be_gone() -> None:
    fetcher = Fetcher(TXN, lambda: None, Ledger(time.monotonic, time.process_time))
    fetcher.gone_received(Gone(TXN, PartId("p1"), (bytes(32),) * 8192))
    assert fetcher._arrived.empty(), "a source could fill the memory with it"


def an_object(data: bytes) -> ObjectRecord:
    return ObjectRecord(TXN, digest(data), 0, data)


class _Wire(Wire):
    """Only what a fetcher asks of it; the real one is in the tests of whole handoffs."""

    def __init__(self) -> None:
        self.given_back = 0

    @override
    def consumed(self, wire_bytes: int) -> None:
        self.given_back += wire_bytes


def a_fetcher(*records: ObjectRecord) -> Fetcher:
    fetcher = Fetcher(TXN, lambda: None, Ledger(time.monotonic, time.process_time))
    fetcher._asked.update({record.digest: len(record.payload) for record in records})
    return fetcher


async def test_all_that_was_asked_for_is_staged_without_a_wait() -> None:
    records = [an_object(bytes([number])) for number in range(3)]
    fetcher, wire = a_fetcher(*records), _Wire()
    for record in records:
        fetcher.object_received(wire, record)
    assert await fetcher._next_batch(wire) == records


async def test_a_batch_ends_where_it_is_worth_a_thread() -> None:
    records = [an_object(bytes([number]) * (MIB // 4)) for number in range(10)]
    fetcher, wire = a_fetcher(*records), _Wire()
    for record in records:
        fetcher.object_received(wire, record)
    assert [len(await fetcher._next_batch(wire)) for _ in range(2)] == [4, 4]


async def test_a_slow_link_stages_what_is_there() -> None:
    records = [an_object(b"one"), an_object(b"two")]
    fetcher, wire = a_fetcher(*records), _Wire()
    fetcher.object_received(wire, records[0])
    assert await fetcher._next_batch(wire) == records[:1]


async def test_what_came_before_the_wire_broke_is_staged() -> None:
    records = [an_object(b"one"), an_object(b"two")]
    fetcher, wire = a_fetcher(*records), _Wire()
    fetcher.object_received(wire, records[0])
    fetcher.wire_lost("gone")
    assert await fetcher._next_batch(wire) == records[:1]
    with pytest.raises(UnreachableError):
        await fetcher._next_batch(wire)


async def test_who_gives_up_while_a_batch_fills_gives_the_credit_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_LINGER", 3600.0)
    records = [an_object(b"one"), an_object(b"two")]
    fetcher, wire = a_fetcher(*records), _Wire()
    batch = asyncio.create_task(fetcher._next_batch(wire))
    fetcher.object_received(wire, records[0])
    for _ in range(3):
        await asyncio.sleep(0)
    assert fetcher._arrived.empty()
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    assert wire.given_back == records[0].wire_bytes
