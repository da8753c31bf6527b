# SPDX-License-Identifier: Apache-2.0
"""One side of a connection as a program: descriptions go over standard input and output, a line of JSON each.

``python network_peer.py dial|answer aiortc|wrtc``: the dialling side sends one message, the answering side
returns it; both print the kind and the local address of their path.
"""

from __future__ import annotations

import asyncio
import json
import sys

from p2p_handoff.engines.base import EngineConnection
from p2p_handoff.engines.choose import choose_engine
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.testing.engine_conformance import Recorder


async def read() -> str:
    line = await asyncio.to_thread(sys.stdin.readline)
    return str(json.loads(line))


def write(text: str) -> None:
    sys.stdout.write(json.dumps(text) + "\n")
    sys.stdout.flush()


async def dial(connection: EngineConnection, recorder: Recorder) -> None:
    write(await connection.create_offer())
    await connection.set_answer(await read())
    await connection.wait_open()
    connection.start_receiving(recorder)
    connection.send(Channel.BULK, bytes(60_000))
    await recorder.wait_for(Channel.BULK, 1)


async def answer(connection: EngineConnection, recorder: Recorder) -> None:
    write(await connection.create_answer(await read()))
    await connection.wait_open()
    connection.start_receiving(recorder)
    connection.send(Channel.BULK, (await recorder.wait_for(Channel.BULK, 1))[0])
    await connection.wait_queued_below(Channel.BULK, 0)


async def main(role: str, engine: str) -> None:
    connection = choose_engine(engine).connection()
    await {"dial": dial, "answer": answer}[role](connection, Recorder())
    path = await connection.path()
    write(f"{path.kind.value} {path.local}")
    await asyncio.to_thread(sys.stdin.readline)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
