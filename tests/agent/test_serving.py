# SPDX-License-Identifier: Apache-2.0
"""What a target may want at once; that it is served is in the tests of whole handoffs."""

from __future__ import annotations

import time

import pytest

from p2p_handoff.agent.profile import Ledger
from p2p_handoff.agent.serving import Server
from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.ids import PartId
from p2p_handoff.limits import MAX_WANTED
from p2p_handoff.protocol.messages import Want
from tests.agent.devices import Pair
from tests.agent.test_wire import connected
from tests.protocol.grants import TXN


async def test_a_target_that_wants_without_end_is_refused(two_agents: Pair) -> None:
    near, _ = await connected(two_agents)
    server = Server(TXN, {}, lambda _: None, Ledger(time.monotonic, time.process_time))
    want = Want(TXN, PartId("p1"), (bytes(32),) * 8192, 0)
    for _ in range(MAX_WANTED // 8192):
        server.want(near, want)
    with pytest.raises(RemoteProtocolError, match="wants more"):
        server.want(near, want)
