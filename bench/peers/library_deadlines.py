# SPDX-License-Identifier: Apache-2.0
"""What the promised times would be without this project: aiortc alone, with its own settings. Layer: bench.

Measured in the same run as the promises, on the same machine. The three waits run at the same time: nearly all of them
is waiting.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import time
from multiprocessing.connection import Connection

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription

from bench.devices import BenchError
from bench.figures import Figure
from bench.places import enter
from bench.stage import Stage

_PATIENCE = 120.0
"""Seconds: twice what the slowest of them takes."""
_OVER = ("failed", "closed")


def measure(stage: Stage) -> list[Figure]:
    """All three figures.

    Raises:
        BenchError: One of them never ends.
    """
    places = stage.places
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    answering = context.Process(target=_answerer, args=(places.right.namespace, theirs), daemon=True)
    answering.start()
    results, told = context.Pipe(duplex=False)
    dialling = context.Process(target=_dialler, args=(places.left.namespace, ours, told))
    dialling.start()
    try:
        if not results.poll(4 * _PATIENCE):
            raise BenchError("aiortc alone never noticed")
        taken = results.recv()
    except EOFError:
        raise BenchError("aiortc alone could not be measured") from None
    finally:
        for process in (dialling, answering):
            process.kill()
            process.join()
    names = ("dead peer noticed (SIGKILL)", "failed connection attempt ends", "cost of a silent STUN server")
    return [
        Figure(f"aiortc alone: {name}", "s", (round(seconds, 2),)) for name, seconds in zip(names, taken, strict=True)
    ]


def _dialler(namespace: str, other: Connection, told: Connection) -> None:
    if namespace:
        enter(namespace)
    told.send(asyncio.run(_dial(other)))


async def _dial(other: Connection) -> tuple[float, float, float]:
    waits = await asyncio.gather(_dead_peer(other), _dead_attempt(), _silent_server())
    return waits[0], waits[1], waits[2]


async def _dead_peer(other: Connection) -> float:
    peer = RTCPeerConnection()
    peer.createDataChannel("control")
    opened = _reached(peer, ("connected",))
    await peer.setLocalDescription()
    other.send(peer.localDescription.sdp)
    await peer.setRemoteDescription(RTCSessionDescription(await asyncio.to_thread(other.recv), "answer"))
    await opened
    over = _reached(peer, _OVER)
    other.send("die")
    began = time.perf_counter()
    await over
    return time.perf_counter() - began


async def _dead_attempt() -> float:
    dialling, answering = RTCPeerConnection(), RTCPeerConnection()
    dialling.createDataChannel("control")
    await dialling.setLocalDescription()
    await answering.setRemoteDescription(dialling.localDescription)
    await answering.setLocalDescription()
    answer = answering.localDescription
    await answering.close()
    over = _reached(dialling, _OVER)
    began = time.perf_counter()
    await dialling.setRemoteDescription(answer)
    await over
    return time.perf_counter() - began


async def _silent_server() -> float:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = RTCIceServer(f"stun:127.0.0.1:{silent.getsockname()[1]}")
        with_server = await _gather(RTCConfiguration([server]))
    return with_server - await _gather(RTCConfiguration([]))


async def _gather(configuration: RTCConfiguration) -> float:
    peer = RTCPeerConnection(configuration)
    peer.createDataChannel("control")
    began = time.perf_counter()
    await peer.setLocalDescription()
    taken = time.perf_counter() - began
    await peer.close()
    return taken


def _reached(peer: RTCPeerConnection, states: tuple[str, ...]) -> asyncio.Future[None]:
    """Done once the connection is in one of these states."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def look() -> None:
        if peer.connectionState in states and not future.done():
            future.set_result(None)

    peer.on("connectionstatechange", look)
    return future


def _answerer(namespace: str, pipe: Connection) -> None:
    if namespace:
        enter(namespace)
    asyncio.run(_answer(pipe))


async def _answer(pipe: Connection) -> None:
    peer = RTCPeerConnection()
    offer = await asyncio.to_thread(pipe.recv)
    await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await peer.setLocalDescription()
    pipe.send(peer.localDescription.sdp)
    await asyncio.to_thread(pipe.recv)
    os.kill(os.getpid(), signal.SIGKILL)
