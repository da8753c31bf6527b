# SPDX-License-Identifier: Apache-2.0
"""agent.current_wire: one way at a time, and none is an error that a handoff outlives."""

from __future__ import annotations

import pytest

from p2p_handoff.agent.current_wire import CurrentWire
from p2p_handoff.errors import UnreachableError
from p2p_handoff.protocol.messages import Cancel, RejectReason
from tests.agent.devices import Pair
from tests.agent.test_wire import connected
from tests.protocol.grants import TXN


async def test_only_the_end_of_the_current_wire_leaves_none(two_agents: Pair) -> None:
    near, far = await connected(two_agents)
    current = CurrentWire()
    current.change(near)
    current.change(far)
    assert not current.lost(near)
    assert current.require() is far
    assert current.lost(far)
    assert (current.wire, current.engine) == (None, far.engine_name)


async def test_without_a_wire_nothing_is_sent() -> None:
    current = CurrentWire()
    with pytest.raises(UnreachableError, match="no connection"):
        current.send(Cancel(TXN, RejectReason.CANCELLED, ""))
    assert (current.engine, current.path) == ("", "unknown")


async def test_the_path_is_that_of_the_last_wire(two_agents: Pair) -> None:
    near, _ = await connected(two_agents)
    current = CurrentWire()
    current.change(near)
    await current.learn_path()
    assert current.path == await near.path_kind() != "unknown"
