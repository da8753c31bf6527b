# SPDX-License-Identifier: Apache-2.0
"""The rooms of a code: opened, waited in, looked for. Layer: agent. Specification: docs/specs/link.md §2.

The opener waits in the same room on its embedded relay and on every shared one; the first message of anybody begins
the one guess, and all other rooms close. Who joins a room and says nothing loses it, and the others stay open. The
joiner looks for the nameplate by mDNS, at addresses given by hand, and at the shared relays.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Final

from p2p_handoff.agent.link_desk import LinkDesk
from p2p_handoff.errors import HandoffError, LinkCodeError, NotFoundError, UnreachableError
from p2p_handoff.ids import new_room_id
from p2p_handoff.limits import LINK_ANSWER_WITHIN, LINK_CODE_LIFETIME
from signaling.port import RelayPort, Room

log = logging.getLogger(__name__)

_FIND_FOR = 9.0
"""Seconds that a joiner looks for the room: discovery may need a moment."""
_FIND_AGAIN = 0.25
_ASK_AT: Final = (0.0, 1.0, 3.0, 7.0)
"""Seconds after which everybody on the network is asked for the room (RFC 6762 §5.2): its announcement may be lost."""
_SILENT: Final = "somebody joined with this code's number and said nothing; nobody had a guess at its words"
_TURNED_AWAY: Final = (
    "somebody came with this code's number while it was in use, and was turned away: if that is who the code is for,"
    " cancel, since it is somebody else who uses it"
)


async def open_rooms(desk: LinkDesk) -> list[Room]:
    """The same room, under one nameplate, at every relay that opens it; at least one.

    Raises:
        UnreachableError: No relay does.
    """
    await desk.relays.wait_shared(1.0)
    room = new_room_id(desk.entropy)
    rooms: list[Room] = []
    nameplate: int | None = None
    for port in (*desk.relays.shared(), desk.relays.embedded):
        try:
            opened = await port.open_room(nameplate, room)
        except HandoffError as error:
            log.warning("no room at a relay: %s", error)
            continue
        nameplate = opened.nameplate
        rooms.append(opened)
    if not rooms:
        raise UnreachableError("no relay opens a room for the code", advice="try again in a moment")
    return rooms


async def tell_of_others(desk: LinkDesk, room: Room) -> None:
    """Tell the person when somebody is turned away from a room that is in use."""
    await room.turned_away.wait()
    desk.disturbed(_TURNED_AWAY)


async def first_message(desk: LinkDesk, rooms: Sequence[Room]) -> tuple[Room, bytes]:
    """Wait for whoever uses the code.

    Returns:
        What was said first, and in which room.

    Raises:
        LinkCodeError: The code expired, or no relay keeps its room.
        UnreachableError: Only such as said nothing came, and took all rooms.
    """
    waiting = {asyncio.create_task(_greeting(room)): room for room in rooms}
    try:
        async with asyncio.timeout(LINK_CODE_LIFETIME):
            while waiting:
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    room = waiting.pop(task)
                    try:
                        return room, task.result()
                    except UnreachableError:
                        if room.joined.is_set() and waiting:
                            desk.disturbed(_SILENT)
    except TimeoutError:
        raise LinkCodeError("nobody used the code within ten minutes", advice="make a new one") from None
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    if any(room.joined.is_set() for room in rooms):
        # No guess was made, so this one does not count as burnt: whoever only annoys cannot keep codes from being made.
        desk.tried(_SILENT)
        raise UnreachableError(_SILENT, state="nothing was linked", advice="make a new code")
    raise LinkCodeError("the code was closed by the relay", advice="make a new one and try again")


async def _greeting(room: Room) -> bytes:
    """The first message of whoever joins a room.

    Raises:
        UnreachableError: The room is gone: who joined it left without a word, or was shown out for saying nothing.
    """
    joining = asyncio.create_task(room.joined.wait())
    receiving = asyncio.create_task(room.receive())
    try:
        await asyncio.wait({joining, receiving}, return_when=asyncio.FIRST_COMPLETED)
        async with asyncio.timeout(LINK_ANSWER_WITHIN):
            return await receiving
    except TimeoutError:
        await room.close()
        raise UnreachableError(_SILENT) from None
    finally:
        joining.cancel()
        receiving.cancel()


@contextlib.asynccontextmanager
async def found_room(desk: LinkDesk, nameplate: int) -> AsyncIterator[Room]:
    """The room behind a nameplate, joined.

    Raises:
        NotFoundError: There is none in reach.
        LinkCodeError: Another one is, or was, in it.
    """
    begun = desk.clock()
    ask_at = list(_ASK_AT)
    while True:
        for url in dict.fromkeys((*desk.room_urls(nameplate), *desk.manual)):
            async with contextlib.AsyncExitStack() as stack:
                room = await _join(stack, desk.relays.visit(url), nameplate)
                if room is not None:
                    yield room
                    return
        for port in desk.relays.shared():
            room = await _join_at(port, nameplate)
            if room is not None:
                try:
                    yield room
                finally:
                    await room.close()
                return
        past = desk.clock() - begun
        if past > _FIND_FOR:
            raise NotFoundError(
                f"no device shows a code with the number {nameplate}",
                advice="check the number; both devices must be on one network or use the same relay",
            )
        if ask_at and past >= ask_at[0]:
            ask_at = [later for later in ask_at if later > past]
            desk.look()
        await asyncio.sleep(_FIND_AGAIN)


async def _join(
    stack: contextlib.AsyncExitStack, visit: contextlib.AbstractAsyncContextManager[RelayPort], nameplate: int
) -> Room | None:
    try:
        port = await stack.enter_async_context(visit)
    except HandoffError as error:
        log.info("a relay that might have the room cannot be reached: %s", error)
        return None
    room = await _join_at(port, nameplate)
    if room is not None:
        stack.push_async_callback(room.close)
    return room


async def _join_at(port: RelayPort, nameplate: int) -> Room | None:
    try:
        return await port.join_room(await port.find_room(nameplate))
    except NotFoundError:
        return None
