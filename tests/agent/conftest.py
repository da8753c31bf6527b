# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the agent's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from p2p_handoff.agent import outgoing_connection, reaching, sealed_offers
from p2p_handoff.security.link_terms import LinkKind
from tests.agent.devices import Devices, Pair, introduce


@pytest.fixture
async def devices(tmp_path: Path) -> AsyncIterator[Devices]:
    """Starts agents by name."""
    async with Devices(tmp_path) as started:
        yield started


@pytest.fixture
async def two_agents(devices: Devices) -> Pair:
    """Two running agents of one person."""
    pair = Pair(await devices.start("laptop"), await devices.start("desktop"))
    introduce(*pair)
    return pair


@pytest.fixture
async def two_people(devices: Devices) -> Pair:
    """Two running agents of two persons: the target's is asked."""
    pair = Pair(await devices.start("laptop"), await devices.start("desktop"))
    introduce(*pair, LinkKind.OTHER)
    return pair


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a person would wait for, cut to what a test would."""
    monkeypatch.setattr(sealed_offers, "ANSWER_DEADLINE", 0.4)
    monkeypatch.setattr(reaching, "FIRST_CONNECT_FOR", 0.3)
    monkeypatch.setattr(outgoing_connection, "RECONNECT_FOR", 0.5)
