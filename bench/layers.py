# SPDX-License-Identifier: Apache-2.0
"""What each layer of the wire costs: one direction, between two processes, layer by layer and in turn.

    python -m bench.layers --engine wrtc --size-mib 128 --rounds 5

`library` is the data channel of the WebRTC library alone, without any code of this project; `engine` the same through
our interface, with what we put into the library; `wire` encrypted objects with credit and pings, as a handoff sends
them, but no disk. Prints one JSON line per run, and the ratios of the medians. With root the processes are in network
namespaces. Layer: bench.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import cProfile
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from typing import Any, Final, Protocol

from typing_extensions import override

from bench.places import enter, pair, shaped_pair
from p2p_handoff.agent.wire import Wire
from p2p_handoff.content.digests import Digest
from p2p_handoff.engines.base import EngineConnection
from p2p_handoff.engines.choose import choose_engine
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import TxnId
from p2p_handoff.limits import CHUNK_MAX, KIB, MAX_QUEUE, MIB
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.protocol.connection import Parameters
from p2p_handoff.protocol.messages import Hello, Message
from p2p_handoff.protocol.records import ObjectRecord
from p2p_handoff.security.exchange import SharedSecrets, channel_keys
from p2p_handoff.security.identity import Identity
from tests.network.faults import Faults

LAYERS: Final = ("library", "engine", "wire")
_STREAM: Final = 2
_DONE: Final = b"complete"


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent."""

    engine: str
    layer: str
    size: int
    message: int
    keys: tuple[bytes, bytes]
    """Device keys of both sides."""
    profile: str = ""
    fast_loop: bool = False


class End(Protocol):
    """One end of a connection, at some layer. The dialling side pours, the answering one drains."""

    async def offer(self) -> str:
        """The complete offer."""

    async def answer(self, offer: str) -> str:
        """The complete answer to it."""

    async def accept(self, answer: str) -> None:
        """Take the answer."""

    async def ready(self) -> None:
        """Return once the channel is open."""

    async def pour(self, size: int, message: int) -> None:
        """Send everything, and return when the other side has it."""

    async def drain(self, size: int) -> None:
        """Receive everything, and say so."""

    async def close(self) -> None:
        """Close at once."""


class _Aiortc:
    """The library aiortc alone."""

    def __init__(self, load: Load) -> None:
        from aiortc import RTCPeerConnection, RTCSessionDescription  # noqa: PLC0415 - only one engine is loaded

        self._description = RTCSessionDescription
        self._peer = RTCPeerConnection()
        self._channel = self._peer.createDataChannel("bulk", negotiated=True, id=_STREAM)
        self._open, self._low, self._told = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._expected, self._received = load.size, 0
        self._channel.on("open", self._open.set)
        self._channel.on("bufferedamountlow", self._low.set)
        self._channel.on("message", self._message)

    def _message(self, data: bytes) -> None:
        self._received += len(data)
        if data == _DONE or self._received >= self._expected:
            self._told.set()

    async def offer(self) -> str:
        await self._peer.setLocalDescription()
        return str(self._peer.localDescription.sdp)

    async def answer(self, offer: str) -> str:
        await self._peer.setRemoteDescription(self._description(offer, "offer"))
        return await self.offer()

    async def accept(self, answer: str) -> None:
        await self._peer.setRemoteDescription(self._description(answer, "answer"))

    async def ready(self) -> None:
        await self._open.wait()

    async def pour(self, size: int, message: int) -> None:
        data = os.urandom(min(message, 64 * KIB))
        self._channel.bufferedAmountLowThreshold = MAX_QUEUE // 2
        for _ in range(0, size, len(data)):
            self._channel.send(data)
            if self._channel.bufferedAmount > MAX_QUEUE:
                self._low.clear()
                await self._low.wait()
        await self._told.wait()

    async def drain(self, size: int) -> None:  # noqa: ARG002 - known since the beginning
        await self._told.wait()
        self._channel.send(_DONE)

    async def close(self) -> None:
        await self._peer.close()


class _Native:
    """The library wrtc alone."""

    def __init__(self, load: Load) -> None:
        import webrtc  # noqa: PLC0415 - only one engine is loaded

        with contextlib.suppress(webrtc.InvalidStateError):
            webrtc.allow_loopback()
        self._webrtc = webrtc
        self._peer = webrtc.RTCPeerConnection(webrtc.RTCConfiguration())
        options = webrtc.RTCDataChannelInit(negotiated=True, id=_STREAM)
        self._channel = self._peer.create_data_channel("bulk", options)
        self._open, self._low, self._told = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._gathered = asyncio.Event()
        self._expected, self._received = load.size, 0
        self._peer.on("icegatheringstatechange", lambda _event: self._gathering())
        self._channel.on("open", lambda _event: self._open.set())
        self._channel.on("bufferedamountlow", lambda _event: self._low.set())
        self._channel.on("message", lambda event: self._message(event.data))

    def _gathering(self) -> None:
        if self._peer.ice_gathering_state == "complete":
            self._gathered.set()

    def _message(self, data: object) -> None:
        assert isinstance(data, bytes)
        self._received += len(data)
        if data == _DONE or self._received >= self._expected:
            self._told.set()

    async def offer(self) -> str:
        await self._peer.set_local_description()
        await self._gathered.wait()
        local = self._peer.local_description
        assert local is not None
        return str(local.sdp)

    async def answer(self, offer: str) -> str:
        await self._peer.set_remote_description(self._webrtc.RTCSessionDescriptionInit("offer", offer))
        return await self.offer()

    async def accept(self, answer: str) -> None:
        await self._peer.set_remote_description(self._webrtc.RTCSessionDescriptionInit("answer", answer))

    async def ready(self) -> None:
        await self._open.wait()

    async def pour(self, size: int, message: int) -> None:
        data = os.urandom(message)
        self._channel.buffered_amount_low_threshold = MAX_QUEUE // 2
        for _ in range(0, size, len(data)):
            self._channel.send(data)
            if self._channel.buffered_amount > MAX_QUEUE:
                self._low.clear()
                await self._low.wait()
        await self._told.wait()

    async def drain(self, size: int) -> None:  # noqa: ARG002 - known since the beginning
        await self._told.wait()
        self._channel.send(_DONE)

    async def close(self) -> None:
        self._peer.close()


class _Counter:
    def __init__(self, expected: int) -> None:
        self._missing = expected
        self.complete = asyncio.Event()

    def message_received(self, channel: Channel, message: bytes) -> None:
        self._missing -= len(message)
        if channel is Channel.CONTROL or self._missing <= 0:
            self.complete.set()

    def connection_lost(self, reason: str) -> None:  # noqa: ARG002 - the sender closes when it is done
        self.complete.set()


class _Engine:
    """Our interface."""

    def __init__(self, load: Load) -> None:
        self.connection: EngineConnection = choose_engine(load.engine).connection()
        self.offer, self.answer, self.accept = (
            self.connection.create_offer,
            self.connection.create_answer,
            self.connection.set_answer,
        )
        self.ready, self.close = self.connection.wait_open, self.connection.close

    async def pour(self, size: int, message: int) -> None:
        connection, counter = self.connection, _Counter(1)
        connection.start_receiving(counter)
        data = os.urandom(min(message, connection.max_message_size))
        for _ in range(0, size, len(data)):
            if connection.queued_bytes(Channel.BULK) > MAX_QUEUE - len(data):
                await connection.wait_queued_below(Channel.BULK, MAX_QUEUE // 2)
            connection.send(Channel.BULK, data)
        await counter.complete.wait()

    async def drain(self, size: int) -> None:
        counter = _Counter(size)
        self.connection.start_receiving(counter)
        await counter.complete.wait()
        self.connection.send(Channel.CONTROL, _DONE)


_TXN: Final = TxnId("a" * 26)


class _Listener:
    """Takes objects and deals with them at once."""

    def __init__(self, expected: int) -> None:
        self._missing = expected
        self.complete = asyncio.Event()

    def message_received(self, wire: Wire, message: Message) -> None: ...

    def object_received(self, wire: Wire, record: ObjectRecord) -> None:
        self._missing -= len(record.payload)
        wire.consumed(record.wire_bytes)
        if self._missing <= 0:
            self.complete.set()

    def wire_closed(self, wire: Wire, error: HandoffError) -> None: ...


class _Wire(_Engine):
    """Encrypted objects under credit."""

    def __init__(self, load: Load) -> None:
        super().__init__(load)
        self._load = load
        self._wire: Wire | None = None

    async def _opened(self, *, dialler: bool) -> Wire:
        ours, theirs = (Identity.from_bytes(key) for key in self._load.keys)
        if not dialler:
            ours, theirs = theirs, ours
        transcript = bytes(32)
        parameters = Parameters(
            identity=ours,
            peer=theirs.public,
            keys=channel_keys(SharedSecrets(bytes(32), bytes(32)), transcript, dialler=dialler),
            transcript=transcript,
            dialler=dialler,
            hello=Hello((2,), "bench", "bench", (), 1, 0),
            max_message=self.connection.max_message_size,
        )
        wire = Wire(self.connection, parameters, theirs.device, self._load.engine, seen_before=0)
        await wire.open()
        return wire

    @override
    async def pour(self, size: int, message: int) -> None:
        wire = await self._opened(dialler=True)
        listener = _Listener(1)
        wire.listen(listener)
        record = ObjectRecord(_TXN, Digest(bytes(32)), 0, os.urandom(CHUNK_MAX // 2))
        for _ in range(0, size, len(record.payload)):
            await wire.send_object(record)
        await listener.complete.wait()

    @override
    async def drain(self, size: int) -> None:
        wire = await self._opened(dialler=False)
        listener = _Listener(size)
        wire.listen(listener)
        await listener.complete.wait()
        await wire.send_object(ObjectRecord(_TXN, Digest(bytes(32)), 0, b"x"))


def _end(load: Load) -> End:
    match load.layer, load.engine:
        case "library", "aiortc":
            return _Aiortc(load)
        case "library", _:
            return _Native(load)
        case "engine", _:
            return _Engine(load)
        case _:
            return _Wire(load)


@contextlib.contextmanager
def _profiled(file: str) -> Iterator[None]:
    if not file:
        yield
        return
    profile = cProfile.Profile(time.thread_time)
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        profile.dump_stats(file)


async def _receive(load: Load, pipe: Pipe) -> None:
    end = _end(load)
    pipe.send("ready")
    pipe.send(await end.answer(await asyncio.to_thread(pipe.recv)))
    await end.ready()
    idle = time.process_time()
    with _profiled(load.profile and load.profile + ".receiver"):
        await end.drain(load.size)
    pipe.send(time.process_time() - idle)
    await asyncio.to_thread(pipe.recv)
    await end.close()


async def _send(load: Load, pipe: Pipe, answer: Pipe) -> None:
    end = _end(load)
    await asyncio.to_thread(pipe.recv)
    pipe.send(await end.offer())
    await end.accept(await asyncio.to_thread(pipe.recv))
    await end.ready()
    began, idle = time.perf_counter(), time.process_time()
    with _profiled(load.profile and load.profile + ".sender"):
        await end.pour(load.size, load.message)
    seconds, busy = time.perf_counter() - began, time.process_time() - idle
    receiver = await asyncio.to_thread(pipe.recv)
    pipe.send("bye")
    await end.close()
    gigabytes = load.size / 1e9
    result = {
        "engine": load.engine,
        "layer": load.layer,
        "mb_per_second": round(load.size / seconds / 1e6, 2),
        "sender_cpu_s_per_gb": round(busy / gigabytes, 2),
        "receiver_cpu_s_per_gb": round(receiver / gigabytes, 2),
    }
    answer.send(result)


def _process(side: Callable[[], Coroutine[Any, Any, None]], namespace: str, *, fast_loop: bool) -> None:
    if namespace:
        enter(namespace)
    factory = None
    if fast_loop:
        import uvloop  # noqa: PLC0415 - not needed otherwise

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(side())


def _sender(load: Load, peer: Pipe, result: Pipe, namespace: str) -> None:
    _process(lambda: _send(load, peer, result), namespace, fast_loop=load.fast_loop)


def _receiver(load: Load, peer: Pipe, namespace: str) -> None:
    _process(lambda: _receive(load, peer), namespace, fast_loop=load.fast_loop)


def _run(load: Load, namespaces: tuple[str, str]) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    left, right = context.Pipe()
    ours, theirs = context.Pipe()
    sides = (
        context.Process(target=_sender, args=(load, left, theirs, namespaces[0])),
        context.Process(target=_receiver, args=(load, right, namespaces[1])),
    )
    for side in sides:
        side.start()
    theirs.close()
    result: dict[str, Any] = ours.recv()
    for side in sides:
        side.join()
    return result


def main() -> None:
    """Run the layers in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="wrtc")
    parser.add_argument("--layers", default=",".join(LAYERS))
    parser.add_argument("--size-mib", type=int, default=64)
    parser.add_argument("--message-kib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", default="", help="beginning of a file name")
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--loopback", action="store_true")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="each way")
    parser.add_argument("--loss", type=float, default=0.0, help="percent, each way")
    wish = parser.parse_args()
    faults = Faults(delay=wish.delay_ms / 1000, loss=wish.loss / 100)
    places_wished = pair(loopback=wish.loopback) if faults == Faults() else shaped_pair(faults)
    keys = (Identity.generate().to_bytes(), Identity.generate().to_bytes())
    runs: dict[str, list[dict[str, Any]]] = {layer: [] for layer in wish.layers.split(",")}
    with places_wished as places:
        for _ in range(wish.rounds):
            for layer, done in runs.items():
                profile = f"{wish.profile}.{layer}" if wish.profile else ""
                load = Load(wish.engine, layer, wish.size_mib * MIB, wish.message_kib * KIB, keys, profile, wish.uvloop)
                done.append(_run(load, (places.left.namespace, places.right.namespace)))
                print(json.dumps(done[-1]), flush=True)
    figures = ("mb_per_second", "sender_cpu_s_per_gb", "receiver_cpu_s_per_gb")
    medians = {
        layer: {name: statistics.median(run[name] for run in done) for name in figures} for layer, done in runs.items()
    }
    for layer, median in medians.items():
        print(layer, median)
    first = next(iter(medians.values()))["mb_per_second"]
    print("ratios of speed:", {layer: round(median["mb_per_second"] / first, 3) for layer, median in medians.items()})


if __name__ == "__main__":
    main()
