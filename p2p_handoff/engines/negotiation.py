# SPDX-License-Identifier: Apache-2.0
"""Offer and answer, as every WebRTC library does them. Layer: I/O ring.

A library fills in two hooks: make this side's description, and take the peer's.
Specification: docs/specs/transport.md §4.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

from typing_extensions import override

from p2p_handoff.engines.lifecycle import LiveConnection


class NegotiatedConnection(LiveConnection):
    """A connection that a WebRTC library negotiates."""

    @abstractmethod
    async def _describe(self) -> str:
        """This side's description, complete with its candidates.

        Raises:
            EngineError: None can be made, or the connection ended meanwhile.
        """

    @abstractmethod
    async def _take(self, description: str, kind: Literal["offer", "answer"]) -> None:
        """Take the peer's description.

        Raises:
            EngineError: It cannot be used, or the connection ended meanwhile.
        """

    @override
    async def create_offer(self) -> str:
        return await self._describe()

    @override
    async def create_answer(self, offer: str) -> str:
        await self._take(offer, "offer")
        return await self._describe()

    @override
    async def set_answer(self, answer: str) -> None:
        await self._take(answer, "answer")
