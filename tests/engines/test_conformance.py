# SPDX-License-Identifier: Apache-2.0
"""Every pair of engines passes the same suite."""

from __future__ import annotations

import pytest

from p2p_handoff.engines.aiortc_engine import AiortcConnection, AiortcEngine
from p2p_handoff.engines.base import EngineConnection
from p2p_handoff.engines.memory import MemoryConnection, MemoryEngine
from p2p_handoff.engines.native_engine import NativeConnection, NativeEngine, available
from p2p_handoff.limits import MAX_FRAME, MAX_QUEUE, MIN_QUEUE
from p2p_handoff.testing.engine_conformance import CHECKS, Check, EngineFactory, opening_and_closing_leaks_nothing

_needs_native = pytest.mark.skipif(not available(), reason="the extra `fast` is not installed")
PAIRS = [
    pytest.param(MemoryEngine, MemoryEngine, id="memory-memory"),
    pytest.param(AiortcEngine, AiortcEngine, id="aiortc-aiortc"),
    pytest.param(NativeEngine, NativeEngine, id="wrtc-wrtc", marks=_needs_native),
    pytest.param(AiortcEngine, NativeEngine, id="aiortc-wrtc", marks=_needs_native),
    pytest.param(NativeEngine, AiortcEngine, id="wrtc-aiortc", marks=_needs_native),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("dialler", "answerer"), PAIRS)
async def test_engine(dialler: EngineFactory, answerer: EngineFactory, check: Check) -> None:
    await check(dialler, answerer)


@pytest.mark.slow
@pytest.mark.parametrize(("dialler", "answerer"), PAIRS)
async def test_fifty_connections_leak_nothing(dialler: EngineFactory, answerer: EngineFactory) -> None:
    await opening_and_closing_leaks_nothing(dialler, answerer, cycles=50)


@pytest.mark.parametrize("connection", [AiortcConnection, MemoryConnection, NativeConnection])
def test_a_queue_worth_its_memory_holds_several_messages(connection: type[EngineConnection]) -> None:
    """Less and it would run dry while the next message is made."""
    assert max(MIN_QUEUE, 4 * MAX_FRAME) <= connection.worth_queueing <= MAX_QUEUE
