# SPDX-License-Identifier: Apache-2.0
"""Says on an open, genuine connection what no honest device would say."""

from __future__ import annotations

import asyncio
from typing import Final

from p2p_handoff.agent.wire import Wire
from p2p_handoff.content import strict_cbor
from p2p_handoff.limits import KIB, MIB
from p2p_handoff.protocol import codec
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.protocol.messages import Message

_PIECE: Final = 32 * KIB
_QUEUE: Final = MIB


def _silent(_message: Message) -> None:
    """Stands for what a connection says by itself."""


class Speaker:
    """Speaks on a wire.

    Args:
        wire: Open; its own code goes on answering pings.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._core = wire._core
        self._engine = wire._engine

    @property
    def heard(self) -> bool:
        """Whether the other side still listens."""
        return self.wire.is_open

    async def message(self, message: Message) -> None:
        """A well-formed message that need not make sense."""
        await self.whole(codec.encode(message))

    async def value(self, value: object) -> None:
        """A value that need not be a message."""
        await self.whole(strict_cbor.encode(value))

    async def whole(self, data: bytes, *, last: bool = True) -> None:
        """Bytes as a message, or the beginning of one: then the wire's own code says nothing any more."""
        self._core._queue = _silent  # type: ignore[method-assign,assignment]  # a ping between two pieces would end the message
        for start in range(0, len(data) or 1, _PIECE):
            final = last and start + _PIECE >= len(data)
            await self.control((b"\x01" if final else b"\x00") + data[start : start + _PIECE])
        if last:
            del self._core._queue

    async def control(self, plain: bytes) -> None:
        """One sealed frame on the control channel."""
        await self._send(Channel.CONTROL, self._core._control_sealer.seal(plain))

    async def bulk(self, plain: bytes) -> None:
        """Bytes on the bulk channel, whatever credit there is."""
        for start in range(0, len(plain), _PIECE):
            await self._send(Channel.BULK, self._core._bulk_sealer.seal(plain[start : start + _PIECE]))

    async def frame(self, channel: Channel, frame: bytes) -> None:
        """A frame that nobody sealed."""
        await self._send(channel, frame)

    async def wait_cut_off(self, seconds: float = 10.0) -> None:
        """Wait until the other side ends the connection.

        Raises:
            TimeoutError: It goes on listening.
        """
        async with asyncio.timeout(seconds):
            await self.wire.wait_closed()

    async def _send(self, channel: Channel, frame: bytes) -> None:
        if not self.heard:
            return
        self._engine.send(channel, frame)
        if self._engine.queued_bytes(channel) > _QUEUE:
            await self._engine.wait_queued_below(channel, _QUEUE // 2)
