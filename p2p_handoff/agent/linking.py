# SPDX-License-Identifier: Apache-2.0
"""Linking through rooms: the shell of security.link. Layer: agent. Specification: docs/specs/link.md §3.

The rooms themselves are those of code_rooms.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from p2p_handoff.agent.code_rooms import first_message, found_room, open_rooms, tell_of_others
from p2p_handoff.agent.link_desk import LinkDesk
from p2p_handoff.errors import HandoffError, LinkCodeError, RejectedError, UnreachableError
from p2p_handoff.ids import RoomId
from p2p_handoff.limits import LINK_ANSWER_WITHIN
from p2p_handoff.security.link import LinkExchange
from p2p_handoff.security.link_terms import (
    FINAL_STATES,
    LinkKind,
    LinkOutcome,
    LinkParameters,
    LinkResult,
    Purpose,
    Role,
)
from p2p_handoff.security.words import LinkCode
from signaling.port import Room

log = logging.getLogger(__name__)

Decide = Callable[[LinkResult], Awaitable[LinkKind | None]]
"""Asks the person; None means no."""
_TRIED: Final = {
    Role.OPENER: "the code is burnt: somebody used it without knowing its words, by a slip or to get in",
    Role.JOINER: "the code is burnt: what answered does not know these words, by a slip or since somebody sits between",
}
_CROWDED: Final = "somebody used this code before you, by a slip or to get in"


async def open_code(
    desk: LinkDesk, purpose: Purpose, on_code: Callable[[LinkCode], Awaitable[None]], decide: Decide
) -> LinkOutcome:
    """Make a code, show it, and link with whoever knows it.

    Raises:
        LinkCodeError: A wrong guess burnt the code, or it expired.
        RejectedError: A person said no.
        UnreachableError: The other side went away or fell silent; or only such as said nothing ever came.
    """
    rooms = await open_rooms(desk)
    nameplate = rooms[0].nameplate
    assert nameplate is not None
    code = LinkCode.generate(nameplate, desk.entropy)
    others = [asyncio.create_task(tell_of_others(desk, room)) for room in rooms]
    try:
        await desk.announce((rooms[0].id, nameplate))
        await on_code(code)
        room, first = await first_message(desk, rooms)
        exchange = LinkExchange(_parameters(desk, Role.OPENER, code, room.id, purpose))
        return await _converse(desk, exchange, room, decide, first)
    finally:
        for task in others:
            task.cancel()
        await desk.announce(None)
        for room in rooms:
            await room.close()


async def join_code(desk: LinkDesk, purpose: Purpose, code: LinkCode, decide: Decide) -> LinkOutcome:
    """Link with the device that shows a code.

    Raises:
        NotFoundError: No such code is open anywhere in reach.
        LinkCodeError: The code is wrong, expired or used.
        RejectedError: A person said no.
        UnreachableError: The other side went away.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            room = await stack.enter_async_context(found_room(desk, code.nameplate))
        except LinkCodeError as error:  # Another one is, or was, in it.
            desk.tried(_CROWDED)
            raise LinkCodeError(error.what, state=_CROWDED, advice=error.advice) from error
        exchange = LinkExchange(_parameters(desk, Role.JOINER, code, room.id, purpose))
        return await _converse(desk, exchange, room, decide, None)


def _parameters(desk: LinkDesk, role: Role, code: LinkCode, room: RoomId, purpose: Purpose) -> LinkParameters:
    return LinkParameters(
        role=role,
        code=code,
        room=room,
        identity=desk.identity,
        name=desk.name(),
        started_at=desk.clock(),
        entropy=desk.entropy,
        purpose=purpose,
        ended=desk.ended,
    )


async def _converse(
    desk: LinkDesk, exchange: LinkExchange, room: Room, decide: Decide, first: bytes | None
) -> LinkOutcome:
    try:
        for message in exchange.start():
            await room.send(message)
        if first is not None:
            await _answer(desk, exchange, room, first)
        while exchange.result is None:
            await _answer(desk, exchange, room, await _next_message(room))
        await _agree(desk, exchange, room, decide)
    except LinkCodeError as error:
        await _last_words(exchange, room)
        if desk.clock() >= exchange.expires_at:
            raise
        # Whatever was wrong, the code is burnt on both sides: this one has just said so, or was told.
        desk.tried(_TRIED[exchange.role])
        raise LinkCodeError(error.what, state=_TRIED[exchange.role], advice=error.advice) from error
    except BaseException:
        await _last_words(exchange, room)
        raise
    outcome = exchange.outcome
    assert outcome is not None
    return outcome


async def _next_message(room: Room) -> bytes:
    """What a machine makes, not a person: it is there at once or not at all."""
    try:
        async with asyncio.timeout(LINK_ANSWER_WITHIN):
            return await room.receive()
    except TimeoutError:
        what = f"the other side said nothing for {LINK_ANSWER_WITHIN:g} seconds"
        raise UnreachableError(what, state="nothing was linked", advice="make a new code") from None


async def _answer(desk: LinkDesk, exchange: LinkExchange, room: Room, data: bytes) -> None:
    for message in exchange.receive(data, desk.clock()):
        await room.send(message)


async def _agree(desk: LinkDesk, exchange: LinkExchange, room: Room, decide: Decide) -> None:
    """Ask the person while the other side's answer may come first."""
    assert exchange.result is not None
    listening = asyncio.create_task(_until_final(desk, exchange, room))
    asking = asyncio.ensure_future(decide(exchange.result))
    try:
        await asyncio.wait({listening, asking}, return_when=asyncio.FIRST_COMPLETED)
        if listening.done() and not asking.done():
            listening.result()  # The other side said no, or left: there is nothing to ask any more.
        kind = await asking
        if kind is None:
            for message in exchange.decline():
                await room.send(message)
            raise RejectedError("the link was declined on this device", state="nothing was linked")
        for message in exchange.decide(kind):
            await room.send(message)
        if exchange.outcome is None:
            await listening
    finally:
        for task in (listening, asking):
            task.cancel()
        await asyncio.gather(listening, asking, return_exceptions=True)


async def _until_final(desk: LinkDesk, exchange: LinkExchange, room: Room) -> None:
    while exchange.state not in FINAL_STATES:
        try:
            data = await room.receive()
        except UnreachableError:
            if exchange.outcome is None:
                raise
            return
        await _answer(desk, exchange, room, data)


async def _last_words(exchange: LinkExchange, room: Room) -> None:
    for message in exchange.abort():
        with contextlib.suppress(HandoffError):
            await room.send(message)
