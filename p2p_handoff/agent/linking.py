# SPDX-License-Identifier: Apache-2.0
"""Linking through rooms: the shell of security.link. Layer: agent. Specification: docs/specs/link.md §6.

The opener waits in the same room on its embedded relay and on every shared one; the first message of anybody is the
one guess, and all other rooms close. The joiner looks for the nameplate by mDNS, at addresses given by hand, and at
the shared relays.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from p2p_handoff.agent.relays import Relays
from p2p_handoff.errors import HandoffError, LinkCodeError, NotFoundError, RejectedError, UnreachableError
from p2p_handoff.ids import DeviceId, Entropy, RoomId, new_room_id
from p2p_handoff.limits import LINK_CODE_LIFETIME
from p2p_handoff.security.identity import Identity
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
from signaling.port import RelayPort, Room

log = logging.getLogger(__name__)

Decide = Callable[[LinkResult], Awaitable[LinkKind | None]]
"""Asks the person; None means no."""
_FIND_FOR = 9.0
"""Seconds that a joiner looks for the room: discovery may need a moment."""
_FIND_AGAIN = 0.25
_ASK_AT: Final = (0.0, 1.0, 3.0, 7.0)
"""Seconds after which everybody on the network is asked for the room (RFC 6762 §5.2): its announcement may be lost."""
_TRIED: Final = {
    Role.OPENER: "the code is burnt: somebody used it without knowing its words, by a slip or to get in",
    Role.JOINER: "the code is burnt: what answered does not know these words, by a slip or since somebody sits between",
}
_CROWDED: Final = "somebody used this code before you, by a slip or to get in"


@dataclass(frozen=True, slots=True)
class LinkDesk:
    """What linking needs of the agent.

    Args:
        name: This device's display name.
        room_urls: Relay URLs at which discovery sees an open room with a nameplate.
        look: Asks everybody on the network anew what they announce.
        manual: Relay URLs given by hand.
        announce: Tells the network about the open room, or None when it is closed.
        clock: Monotonic seconds.
        ended: How many admissions of a device to the circle have ended.
        tried: Called with a sentence when somebody may be trying to get in.
    """

    identity: Identity
    name: Callable[[], str]
    relays: Relays
    room_urls: Callable[[int], Sequence[str]]
    look: Callable[[], None]
    manual: Sequence[str]
    announce: Callable[[tuple[RoomId, int] | None], Awaitable[None]]
    entropy: Entropy
    clock: Callable[[], float]
    ended: Callable[[DeviceId], int]
    tried: Callable[[str], None]


async def open_code(
    desk: LinkDesk, purpose: Purpose, on_code: Callable[[LinkCode], Awaitable[None]], decide: Decide
) -> LinkOutcome:
    """Make a code, show it, and link with whoever knows it.

    Raises:
        LinkCodeError: A wrong guess burnt the code, or it expired.
        RejectedError: A person said no.
        UnreachableError: The other side went away.
    """
    rooms = await _open_rooms(desk)
    nameplate = rooms[0].nameplate
    assert nameplate is not None
    code = LinkCode.generate(nameplate, desk.entropy)
    try:
        await desk.announce((rooms[0].id, nameplate))
        await on_code(code)
        room, first = await _first_message(rooms)
        exchange = LinkExchange(_parameters(desk, Role.OPENER, code, room.id, purpose))
        return await _converse(desk, exchange, room, decide, first)
    finally:
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
            room = await stack.enter_async_context(_find_room(desk, code.nameplate))
        except LinkCodeError as error:  # Another one is, or was, in it.
            desk.tried(_CROWDED)
            raise LinkCodeError(error.what, state=_CROWDED, advice=error.advice) from error
        exchange = LinkExchange(_parameters(desk, Role.JOINER, code, room.id, purpose))
        return await _converse(desk, exchange, room, decide, None)


async def _open_rooms(desk: LinkDesk) -> list[Room]:
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


async def _first_message(rooms: Sequence[Room]) -> tuple[Room, bytes]:
    waiting = {asyncio.create_task(room.receive()): room for room in rooms}
    try:
        async with asyncio.timeout(LINK_CODE_LIFETIME):
            while waiting:
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    room = waiting.pop(task)
                    with contextlib.suppress(UnreachableError):
                        return room, task.result()
    except TimeoutError:
        raise LinkCodeError("nobody used the code within ten minutes", advice="make a new one") from None
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    raise LinkCodeError("the code was closed by the relay", advice="make a new one and try again")


@contextlib.asynccontextmanager
async def _find_room(desk: LinkDesk, nameplate: int) -> AsyncIterator[Room]:
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
            await _answer(desk, exchange, room, await room.receive())
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
