# SPDX-License-Identifier: Apache-2.0
"""What is particular to the memory engine; the common promises are in test_conformance."""

from __future__ import annotations

import random

import pytest

from p2p_handoff.engines.base import PathKind
from p2p_handoff.engines.memory import MemoryEngine
from p2p_handoff.engines.sdp import sha256_fingerprint
from p2p_handoff.errors import EngineError
from p2p_handoff.testing.engine_conformance import joined, negotiate


async def test_the_smaller_message_limit_holds_for_both() -> None:
    small, large = MemoryEngine(max_message_size=100).connection(), MemoryEngine(max_message_size=1000).connection()
    await negotiate(small, large)
    assert small.max_message_size == large.max_message_size == 100


async def test_seeded_entropy_gives_the_same_certificate() -> None:
    offers = [await MemoryEngine(entropy=random.Random(7).randbytes).connection().create_offer() for _ in range(2)]
    assert sha256_fingerprint(offers[0]) == sha256_fingerprint(offers[1])


async def test_an_answer_to_another_offer_does_not_connect() -> None:
    engine = MemoryEngine(ice_deadline=0.05)
    first, second, answerer = (engine.connection() for _ in range(3))
    await second.create_offer()
    answer = await answerer.create_answer(await first.create_offer())
    await second.set_answer(answer)
    with pytest.raises(EngineError, match="handshake"):
        await second.wait_open()


async def test_a_description_of_another_engine_is_refused() -> None:
    offer = await MemoryEngine().connection().create_offer()
    with pytest.raises(EngineError, match="memory engine"):
        await MemoryEngine().connection().create_answer(offer.replace("x-memory-endpoint", "x-other"))


async def test_the_path_is_told_as_memory() -> None:
    async with joined(MemoryEngine, MemoryEngine) as ends:
        assert (await ends.dialler.path()).kind is PathKind.MEMORY
