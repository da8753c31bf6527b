# SPDX-License-Identifier: Apache-2.0
"""Measure a raw data channel between two operating system processes: connect time and throughput.

    python -m bench.peers.raw_channel --engine wrtc --size-mib 64
    python -m bench.peers.raw_channel --engine aiortc --peer wrtc --size-mib 16

Descriptions travel over a pipe. Prints one JSON object. Content goes from the dialling side (``--engine``) to the
answering one (``--peer``, the same engine by default), each in a network namespace of its own when told so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import time
from multiprocessing.connection import Connection
from typing import Any

from bench.places import enter
from p2p_handoff.engines.base import EngineConnection
from p2p_handoff.engines.choose import choose_engine
from p2p_handoff.limits import KIB, MAX_QUEUE, MIB
from p2p_handoff.protocol.channels import Channel


class _Counter:
    """A receiver that counts bytes and tells when it has all of them."""

    def __init__(self, expected: int) -> None:
        self._missing = expected
        self.complete = asyncio.Event()

    def message_received(self, channel: Channel, message: bytes) -> None:
        if channel is Channel.BULK:
            self._missing -= len(message)
        if self._missing <= 0:
            self.complete.set()

    def connection_lost(self, reason: str) -> None:  # noqa: ARG002 - part of the interface
        self.complete.set()


async def _receive(engine: str, pipe: Connection, size: int) -> None:
    connection = choose_engine(engine).connection()
    pipe.send("ready")
    pipe.send(await connection.create_answer(await asyncio.to_thread(pipe.recv)))
    await connection.wait_open()
    idle = time.process_time()
    counter = _Counter(size)
    connection.start_receiving(counter)
    await counter.complete.wait()
    connection.send(Channel.CONTROL, b"complete")
    pipe.send(time.process_time() - idle)
    await asyncio.to_thread(pipe.recv)
    await connection.close()


async def _send(engine: str, pipe: Connection, size: int, message_size: int) -> dict[str, Any]:
    connection = choose_engine(engine).connection()
    await asyncio.to_thread(pipe.recv)
    began = time.perf_counter()
    pipe.send(await connection.create_offer())
    await connection.set_answer(await asyncio.to_thread(pipe.recv))
    await connection.wait_open()
    opened, idle = time.perf_counter(), time.process_time()
    await _pour(connection, size, min(message_size, connection.max_message_size))
    finished, busy = time.perf_counter(), time.process_time()
    path = await connection.path()
    receiver_cpu = pipe.recv()
    pipe.send("bye")
    await connection.close()
    return {
        "connect_ms": round((opened - began) * 1000, 1),
        "mb_per_second": round(size / (finished - opened) / 1e6, 2),
        "seconds": round(finished - opened, 2),
        "sender_cpu_seconds": round(busy - idle, 2),
        "receiver_cpu_seconds": round(receiver_cpu, 2),
        "sender_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // KIB,
        "path": path.kind.value,
    }


async def _pour(connection: EngineConnection, size: int, message_size: int) -> None:
    """Send everything under back pressure and wait until the other side has it."""
    answer = _Counter(0)
    connection.start_receiving(answer)
    message = bytes(message_size)
    for position in range(0, size, message_size):
        await connection.wait_queued_below(Channel.BULK, MAX_QUEUE - message_size)
        connection.send(Channel.BULK, message[: size - position])
    await answer.complete.wait()


def _receiver(engine: str, namespace: str, pipe: Connection, size: int) -> None:
    if namespace:
        enter(namespace)
    asyncio.run(_receive(engine, pipe, size))


def main() -> None:
    """Run one measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--peer", default=None)
    parser.add_argument("--size-mib", type=int, default=16)
    parser.add_argument("--message-kib", type=int, default=256, help="at most what the engine takes")
    parser.add_argument("--namespace", default="", help="network namespace of the dialling side")
    parser.add_argument("--peer-namespace", default="")
    wish = parser.parse_args()
    peer = wish.peer or wish.engine
    size = wish.size_mib * MIB
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    other = context.Process(target=_receiver, args=(peer, wish.peer_namespace, theirs, size))
    other.start()
    if wish.namespace:
        enter(wish.namespace)
    result = asyncio.run(_send(wish.engine, ours, size, wish.message_kib * KIB))
    other.join()
    print(json.dumps({"engine": wish.engine, "peer": peer, "size_mib": wish.size_mib, **result}))


if __name__ == "__main__":
    main()
