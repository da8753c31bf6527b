# SPDX-License-Identifier: Apache-2.0
"""What every engine must do, as functions that anybody can run against their own. Layer: testing, public.

Each check takes two engine factories, the dialling and the answering side, and fails with an AssertionError.
With pytest: ``@pytest.mark.parametrize("check", CHECKS)``, then ``await check(MyEngine, MyEngine)``.
Specification: docs/specs/transport.md §9.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Final, Protocol

from p2p_handoff.engines.base import Engine, EngineConnection, PathKind
from p2p_handoff.engines.lifecycle import SEND_QUEUE_LIMIT
from p2p_handoff.engines.sdp import sha256_fingerprint
from p2p_handoff.errors import EngineError, LocalProtocolError
from p2p_handoff.limits import ICE_DEADLINE, KIB, MIB
from p2p_handoff.protocol.channels import Channel

PATIENCE: Final = 20.0
"""Seconds that a check waits for what must happen, on a busy machine."""
NOTICE: Final = 5.0
"""Seconds within which an orderly close must be noticed by the peer."""
DIRECT: Final = frozenset({PathKind.HOST, PathKind.MEMORY})


class EngineFactory(Protocol):
    """What the checks need of an engine class."""

    def __call__(self, *, ice_deadline: float = ICE_DEADLINE) -> Engine:
        """A fresh engine whose connections give up after ``ice_deadline`` seconds."""


Check = Callable[[EngineFactory, EngineFactory], Awaitable[None]]


class Recorder:
    """A receiver that keeps everything and lets a check wait for it."""

    def __init__(self) -> None:
        self.messages: dict[Channel, list[bytes]] = {channel: [] for channel in Channel}
        self.losses: list[str] = []
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def message_received(self, channel: Channel, message: bytes) -> None:
        """Keep one message."""
        self.messages[channel].append(message)
        self._announce()

    def connection_lost(self, reason: str) -> None:
        """Keep the reason."""
        self.losses.append(reason)
        self._announce()

    async def wait_for(self, channel: Channel, count: int) -> list[bytes]:
        """The first ``count`` messages of a channel, once they are there."""
        await self._until(lambda: len(self.messages[channel]) >= count)
        return self.messages[channel][:count]

    async def wait_lost(self, seconds: float = NOTICE) -> str:
        """Why the connection was lost, once it is."""
        await self._until(lambda: bool(self.losses), seconds)
        return self.losses[0]

    def _announce(self) -> None:
        task = asyncio.ensure_future(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _until(self, ready: Callable[[], bool], seconds: float = PATIENCE) -> None:
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(ready)


@dataclass(frozen=True, slots=True)
class Joined:
    """Two connected ends, with what each of them received and the descriptions that joined them."""

    dialler: EngineConnection
    answerer: EngineConnection
    at_dialler: Recorder
    at_answerer: Recorder
    offer: str
    answer: str


async def negotiate(dialler: EngineConnection, answerer: EngineConnection) -> tuple[str, str]:
    """Exchange descriptions and wait until both ends are open. Returns the offer and the answer."""
    offer = await dialler.create_offer()
    answer = await answerer.create_answer(offer)
    await dialler.set_answer(answer)
    await asyncio.gather(dialler.wait_open(), answerer.wait_open())
    return offer, answer


@asynccontextmanager
async def joined(dialler: EngineFactory, answerer: EngineFactory, *, listen: bool = True) -> AsyncIterator[Joined]:
    """Two open connections, closed at the end. With ``listen``, both receive from the start."""
    first, second = dialler().connection(), answerer().connection()
    try:
        offer, answer = await negotiate(first, second)
        ends = Joined(first, second, Recorder(), Recorder(), offer, answer)
        if listen:
            first.start_receiving(ends.at_dialler)
            second.start_receiving(ends.at_answerer)
        yield ends
    finally:
        await first.close()
        await second.close()


async def both_channels_carry_messages_both_ways_in_order(dialler: EngineFactory, answerer: EngineFactory) -> None:
    """Messages keep their order and their channel."""
    async with joined(dialler, answerer) as ends:
        sent = [f"{number}".encode() for number in range(50)]
        for message in sent:
            for end in (ends.dialler, ends.answerer):
                end.send(Channel.CONTROL, b"c" + message)
                end.send(Channel.BULK, b"b" + message)
        for recorder in (ends.at_dialler, ends.at_answerer):
            assert await recorder.wait_for(Channel.CONTROL, 50) == [b"c" + message for message in sent]
            assert await recorder.wait_for(Channel.BULK, 50) == [b"b" + message for message in sent]


async def messages_of_every_size_arrive_whole(dialler: EngineFactory, answerer: EngineFactory) -> None:
    """One byte, a packet's worth, the largest."""
    async with joined(dialler, answerer) as ends:
        assert ends.dialler.max_message_size == ends.answerer.max_message_size >= 64 * KIB
        sent = [os.urandom(size) for size in (1, 1000, ends.dialler.max_message_size)]
        for message in sent:
            ends.dialler.send(Channel.BULK, message)
            ends.answerer.send(Channel.BULK, message)
        assert await ends.at_answerer.wait_for(Channel.BULK, 3) == sent
        assert await ends.at_dialler.wait_for(Channel.BULK, 3) == sent


async def empty_and_oversized_messages_are_refused(dialler: EngineFactory, answerer: EngineFactory) -> None:
    """They are defects of the caller, and leave the connection as it was."""
    async with joined(dialler, answerer) as ends:
        for message in (b"", bytes(ends.dialler.max_message_size + 1)):
            with _expected(LocalProtocolError):
                ends.dialler.send(Channel.CONTROL, message)
        ends.dialler.send(Channel.CONTROL, b"still here")
        assert await ends.at_answerer.wait_for(Channel.CONTROL, 1) == [b"still here"]


async def eight_mebibytes_each_way_survive_back_pressure(dialler: EngineFactory, answerer: EngineFactory) -> None:
    """Content arrives intact while the send queue stays bounded."""
    count, size, bound = 128, 64 * KIB, 1 * MIB
    block = os.urandom(size)

    async def pour(end: EngineConnection) -> None:
        for number in range(count):
            await end.wait_queued_below(Channel.BULK, bound - size)
            end.send(Channel.BULK, number.to_bytes(4, "big") + block[4:])
            assert end.queued_bytes(Channel.BULK) <= bound
        await end.wait_queued_below(Channel.BULK, 0)
        assert end.queued_bytes(Channel.BULK) == 0

    expected = hashlib.sha256(b"".join(number.to_bytes(4, "big") + block[4:] for number in range(count))).digest()
    async with joined(dialler, answerer) as ends:
        await asyncio.gather(pour(ends.dialler), pour(ends.answerer))
        for recorder in (ends.at_dialler, ends.at_answerer):
            received = await recorder.wait_for(Channel.BULK, count)
            assert hashlib.sha256(b"".join(received)).digest() == expected


async def a_full_send_queue_refuses_more(dialler: EngineFactory, answerer: EngineFactory) -> None:
    """Who ignores back pressure gets an error, not unbounded memory; the other channel stays usable."""
    async with joined(dialler, answerer) as ends:
        message = bytes(64 * KIB)
        for _ in range(SEND_QUEUE_LIMIT // len(message)):
            ends.dialler.send(Channel.BULK, message)
        with _expected(LocalProtocolError):
            ends.dialler.send(Channel.BULK, message)
        ends.dialler.send(Channel.CONTROL, b"still usable")


async def messages_wait_for_a_late_receiver(dialler: EngineFactory, answerer: EngineFactory) -> None:
    """What arrives before ``start_receiving`` is kept, and comes first."""
    async with joined(dialler, answerer, listen=False) as ends:
        ends.dialler.start_receiving(ends.at_dialler)
        ends.answerer.send(Channel.CONTROL, b"ready")
        ends.dialler.send(Channel.CONTROL, b"early")
        await ends.at_dialler.wait_for(Channel.CONTROL, 1)
        await asyncio.sleep(0.05)
        ends.answerer.start_receiving(ends.at_answerer)
        ends.dialler.send(Channel.CONTROL, b"late")
        assert await ends.at_answerer.wait_for(Channel.CONTROL, 2) == [b"early", b"late"]


async def a_close_is_noticed_once_by_the_peer(dialler: EngineFactory, answerer: EngineFactory) -> None:
    """The peer learns of a close, the closing side hears nothing."""
    async with joined(dialler, answerer) as ends:
        await ends.dialler.close()
        assert await ends.at_answerer.wait_lost()
        with _expected(EngineError):
            ends.answerer.send(Channel.CONTROL, b"too late")
        await ends.answerer.close()
        await asyncio.sleep(0.05)
        assert len(ends.at_answerer.losses) == 1
        assert ends.at_dialler.losses == []


async def a_receiver_after_the_loss_still_hears_of_it(dialler: EngineFactory, answerer: EngineFactory) -> None:
    """Messages first, then the loss, even when both came before ``start_receiving``."""
    async with joined(dialler, answerer, listen=False) as ends:
        ends.dialler.start_receiving(ends.at_dialler)
        ends.dialler.send(Channel.CONTROL, b"last words")
        ends.answerer.send(Channel.CONTROL, b"tick")
        await ends.at_dialler.wait_for(Channel.CONTROL, 1)
        await asyncio.sleep(0.05)
        await ends.dialler.close()
        await _until_refused(ends.answerer)
        ends.answerer.start_receiving(ends.at_answerer)
        assert ends.at_answerer.messages[Channel.CONTROL] == [b"last words"]
        assert len(ends.at_answerer.losses) == 1


async def a_dead_peer_ends_the_wait_at_the_deadline(dialler: EngineFactory, answerer: EngineFactory) -> None:
    """An answer whose author is gone never opens, and costs the ICE deadline."""
    deadline = 0.5
    first, second = dialler(ice_deadline=deadline).connection(), answerer().connection()
    try:
        answer = await second.create_answer(await first.create_offer())
        await second.close()
        await first.set_answer(answer)
        began = asyncio.get_running_loop().time()
        with _expected(EngineError):
            await first.wait_open()
        assert asyncio.get_running_loop().time() - began < deadline + NOTICE
        with _expected(EngineError):
            first.send(Channel.CONTROL, b"x")
    finally:
        await first.close()


async def a_close_ends_every_waiter(dialler: EngineFactory, answerer: EngineFactory) -> None:
    """Nobody waits for ever on a closed connection."""
    opening = dialler().connection()
    await opening.create_offer()
    wait_open = asyncio.ensure_future(opening.wait_open())
    async with joined(dialler, answerer) as ends:
        for _ in range(64):
            ends.dialler.send(Channel.BULK, bytes(64 * KIB))
        wait_queue = asyncio.ensure_future(ends.dialler.wait_queued_below(Channel.BULK, 0))
        await asyncio.sleep(0)
        await ends.dialler.close()
        await opening.close()
        with _expected(EngineError):
            await wait_open
        with _expected(EngineError):
            await wait_queue
        with _expected(EngineError):
            await ends.dialler.create_offer()
        await ends.dialler.close()


async def the_observed_certificate_is_the_announced_one(dialler: EngineFactory, answerer: EngineFactory) -> None:
    """Each side sees the certificate that the other's description announces."""
    fresh = dialler().connection()
    with _expected(EngineError):
        fresh.remote_fingerprint()
    await fresh.close()
    async with joined(dialler, answerer) as ends:
        assert ends.dialler.remote_fingerprint() == sha256_fingerprint(ends.answer)
        assert ends.answerer.remote_fingerprint() == sha256_fingerprint(ends.offer)


async def a_forged_certificate_does_not_connect(dialler: EngineFactory, answerer: EngineFactory) -> None:
    """A description with another fingerprint than its author's certificate never opens."""
    first, second = dialler(ice_deadline=1.0).connection(), answerer(ice_deadline=1.0).connection()
    try:
        offer = await first.create_offer()
        answer = await second.create_answer(offer)
        genuine = sha256_fingerprint(answer).hex(":").upper()
        await first.set_answer(answer.replace(genuine, hashlib.sha256(b"forged").digest().hex(":").upper()))
        with _expected(EngineError):
            await first.wait_open()
    finally:
        await first.close()
        await second.close()


async def every_connection_appears_as_somebody_new(dialler: EngineFactory, answerer: EngineFactory) -> None:
    """Certificates and ICE names are seen on the network: no two connections of one engine have any in common."""
    for factory in (dialler, answerer):
        engine = factory()
        connections = [engine.connection() for _ in range(2)]
        try:
            offers = [await connection.create_offer() for connection in connections]
        finally:
            for connection in connections:
                await connection.close()
        assert len({sha256_fingerprint(offer) for offer in offers}) == len(offers)
        names = [line for offer in offers for line in offer.splitlines() if line.startswith("a=ice-ufrag")]
        assert len(set(names)) == len(names)


async def the_path_on_one_machine_is_direct(dialler: EngineFactory, answerer: EngineFactory) -> None:
    """Without servers the selected pair is a direct one, and names its addresses."""
    async with joined(dialler, answerer) as ends:
        for end in (ends.dialler, ends.answerer):
            path = await end.path()
            assert path.kind in DIRECT, path
            assert path.local
            assert path.remote


async def useless_descriptions_are_refused(dialler: EngineFactory, answerer: EngineFactory) -> None:
    """Text that is no description raises a typed error and nothing else."""
    for text in ("", "v=0\r\n", "x" * 100_000, _headless_description()):
        for factory in (dialler, answerer):
            connection = factory().connection()
            try:
                with _expected(EngineError):
                    await connection.create_answer(text)
            finally:
                await connection.close()


async def opening_and_closing_leaks_nothing(dialler: EngineFactory, answerer: EngineFactory, cycles: int = 10) -> None:
    """After many connections there are no more tasks, threads or descriptors than before."""

    async def cycle() -> None:
        async with joined(dialler, answerer) as ends:
            ends.dialler.send(Channel.CONTROL, b"x")
            await ends.at_answerer.wait_for(Channel.CONTROL, 1)

    await cycle()
    await _quiet(None)
    before = _resources()
    for _ in range(cycles):
        await cycle()
    await _quiet(before)
    assert _resources() <= before, (before, _resources())


CHECKS: Final[tuple[Check, ...]] = (
    both_channels_carry_messages_both_ways_in_order,
    messages_of_every_size_arrive_whole,
    empty_and_oversized_messages_are_refused,
    eight_mebibytes_each_way_survive_back_pressure,
    a_full_send_queue_refuses_more,
    messages_wait_for_a_late_receiver,
    a_close_is_noticed_once_by_the_peer,
    a_receiver_after_the_loss_still_hears_of_it,
    a_dead_peer_ends_the_wait_at_the_deadline,
    a_close_ends_every_waiter,
    the_observed_certificate_is_the_announced_one,
    a_forged_certificate_does_not_connect,
    every_connection_appears_as_somebody_new,
    the_path_on_one_machine_is_direct,
    useless_descriptions_are_refused,
    opening_and_closing_leaks_nothing,
)
"""Every check, in the order in which a failing engine is best repaired."""


@dataclass(frozen=True, slots=True)
class _Resources:
    tasks: int
    threads: int
    descriptors: int

    def __le__(self, other: _Resources) -> bool:
        return self.tasks <= other.tasks and self.threads <= other.threads and self.descriptors <= other.descriptors


def _resources() -> _Resources:
    descriptors = sum(1 for _ in FilePath("/dev/fd").iterdir())
    return _Resources(len(asyncio.all_tasks()), threading.active_count(), descriptors)


async def _quiet(goal: _Resources | None) -> None:
    """Let the engines finish their shutdown: until the goal is met, or nothing changes for a while."""
    with suppress(TimeoutError):
        async with asyncio.timeout(2.0 if goal is not None else 0.3):
            while goal is None or not _resources() <= goal:  # noqa: ASYNC110 - the kernel tells of no descriptor closing
                await asyncio.sleep(0.02)


@contextmanager
def _expected(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


async def _until_refused(connection: EngineConnection) -> None:
    """Wait until the connection noticed its loss, without a receiver."""
    async with asyncio.timeout(NOTICE):
        with suppress(EngineError):
            while True:
                connection.send(Channel.BULK, b"?")
                await asyncio.sleep(0.02)


def _headless_description() -> str:
    """One fingerprint and nothing that a fingerprint could belong to."""
    return f"v=0\r\na=fingerprint:sha-256 {hashlib.sha256(b'').digest().hex(':').upper()}\r\n"
