# SPDX-License-Identifier: Apache-2.0
"""What a target may want at once; that it is served is in the tests of whole handoffs."""

from __future__ import annotations

import time
from random import Random

import pytest

from p2p_handoff.agent.profile import Ledger
from p2p_handoff.agent.serving import Server
from p2p_handoff.content import patches
from p2p_handoff.content.compression import Encoding
from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.ids import PartId
from p2p_handoff.limits import MAX_SKETCH, MAX_WANTED, MIB
from p2p_handoff.protocol.messages import Want
from tests.agent.devices import Pair
from tests.agent.test_wire import connected
from tests.protocol.grants import TXN


def a_server() -> Server:
    return Server(TXN, {}, lambda _: None, Ledger(time.monotonic, time.process_time))


async def test_a_target_that_wants_without_end_is_refused(two_agents: Pair) -> None:
    near, _ = await connected(two_agents)
    server = a_server()
    want = Want(TXN, PartId("p1"), (bytes(32),) * 8192, 0)
    for _ in range(MAX_WANTED // 8192):
        server.want(near, want)
    with pytest.raises(RemoteProtocolError, match="wants more"):
        server.want(near, want)


async def test_sketches_beyond_what_may_wait_are_dropped_and_the_objects_sent_whole(two_agents: Pair) -> None:
    near, _ = await connected(two_agents)
    server = a_server()
    want = Want(TXN, PartId("p1"), (bytes(32),), 0, (bytes(MAX_SKETCH),))
    for _ in range(100):
        server.want(near, want)
    waiting = [server._wants.get_nowait()[1] for _ in range(100)]
    assert sum(len(message.sketches) for message in waiting) == MIB // MAX_SKETCH
    assert all(message.digests == want.digests for message in waiting)


def test_a_patch_is_sent_where_it_is_clearly_shorter() -> None:
    server, noise = a_server(), Random(5).randbytes(100_000)
    base, other = patches.sketched(noise), patches.sketched(noise[::-1])
    assert base is not None
    assert other is not None
    assert server._pack(noise + b"more", base.sketch)[0] is Encoding.PATCH
    assert server._pack(noise, other.sketch)[0] is Encoding.RAW
    assert server._pack(noise + noise[::-1][:99_000], other.sketch[:67])[0] is Encoding.RAW
    assert server._pack(noise, b"")[0] is Encoding.RAW
    fresh = a_server()
    assert fresh._pack(bytes(100_000), base.sketch)[0] is Encoding.ZSTD
