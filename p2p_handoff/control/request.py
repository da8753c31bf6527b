# SPDX-License-Identifier: Apache-2.0
"""One command under way, as its handler sees it: arguments, events, questions. Layer: I/O ring.

Specification: docs/specs/control.md §2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from p2p_handoff.control.schema import Fields, encode
from p2p_handoff.errors import RemoteProtocolError, UsageError

EVENT_PATIENCE: Final = 2.0
"""Seconds a client may take to read before its events are dropped: a stopped terminal must not stop a handoff."""


class Request:
    """What a handler gets. The socket belongs to the server; a handler never closes it.

    Args:
        command: The command's name.
        args: Its arguments, as the client sent them: a handler checks them.
        interactive: Whether somebody sits at the client and can be asked.
        writer: The way to the client.
        answers: The client's lines after the request.
    """

    def __init__(
        self,
        command: str,
        args: Fields,
        *,
        interactive: bool,
        writer: asyncio.StreamWriter,
        answers: asyncio.Queue[Fields],
    ) -> None:
        self.command = command
        self.args: Mapping[str, Any] = args
        self.interactive = interactive
        self.given_up = False
        """The client asked to give the command up, and waits to hear how it stands."""
        self.stopping = False
        """The server closes: the handler is cancelled, and may still say how it stands."""
        self._writer = writer
        self._answers = answers
        self._asking = asyncio.Lock()
        self._deaf = False
        self._dropped = 0

    async def event(self, name: str, /, **fields: object) -> None:
        """Tell the client what happens.

        While the client does not read, events are dropped and counted; when it reads again, the event ``dropped``
        with the ``count`` comes before the next one.
        """
        if self._deaf and self._writer.transport.get_write_buffer_size() > self._low_water():
            self._dropped += 1
            return
        if self._dropped:
            self._writer.write(encode({"event": "dropped", "count": self._dropped}))
        self._writer.write(encode({**fields, "event": name}))
        self._deaf, self._dropped = False, 0
        try:
            # Not wait_for: before Python 3.12 it swallows a cancellation that comes as the drain ends.
            async with asyncio.timeout(EVENT_PATIENCE):
                await self._drain()
        except TimeoutError:
            self._deaf = True

    async def ask(
        self, question: object, choices: Sequence[str], default: str | None = None, *, name: str = "choose"
    ) -> str:
        """Ask the person at the client.

        Args:
            question: A text, or JSON-ready fields that the client knows how to show.
            choices: The answers there are.
            default: Taken when nobody can be asked.
            name: What kind of question it is, for clients that show some of them specially.

        Raises:
            UsageError: Nobody can be asked and there is no default.
            RemoteProtocolError: The answer is not one of the choices.
        """
        if not self.interactive:
            if default is None:
                raise UsageError(
                    "this needs an answer and nobody can be asked", advice=f"choose {' or '.join(choices)}"
                )
            return default
        async with self._asking:
            while not self._answers.empty():  # what was said before the question is no answer to it
                self._answers.get_nowait()
            self._writer.write(
                encode({"ask": name, "question": question, "choices": list(choices), "default": default})
            )
            await self._drain()
            answer = (await self._answers.get()).get("answer")
        if answer not in choices:
            raise RemoteProtocolError(f"{answer!s:.40} is not one of {', '.join(choices)}")
        return str(answer)

    async def _drain(self) -> None:
        # A client that went away is noticed where its lines are read, and cancels the handler from there.
        with suppress(ConnectionError):
            await self._writer.drain()

    def _low_water(self) -> int:
        return self._writer.transport.get_write_buffer_limits()[0]


Answer = Mapping[str, Any]
"""The fields of a result, JSON-ready."""
Handler = Callable[[Request], Awaitable[Answer]]
"""Runs one command: returns the result's fields, or raises a HandoffError."""
