# SPDX-License-Identifier: Apache-2.0
"""A device's port to one relay, by whatever way it is reached. Layer: signaling, asyncio.

This half matches replies with requests and sorts what comes unasked; the subclasses move messages:
``signaling.local.LocalPort`` inside one process, ``p2p_handoff.rendezvous.client.RelayClient`` over a
WebSocket. Specification: docs/specs/signaling.md §4-§7.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection
from typing import Final, TypeAlias, TypeVar

from p2p_handoff.errors import RemoteProtocolError, TimedOutError, UnreachableError
from p2p_handoff.ids import DeviceId, RoomId
from p2p_handoff.limits import RELAY_CLIENT_QUEUE, RELAY_REQUEST_DEADLINE
from signaling.messages import (
    CloseRoom,
    Deliver,
    FindRoom,
    FromRelay,
    Goodbye,
    JoinRoom,
    Nameplate,
    OpenRoom,
    Presence,
    Present,
    Refused,
    Reply,
    Request,
    RequestId,
    RoomClosed,
    RoomFound,
    RoomJoined,
    RoomMessage,
    RoomOpened,
    RoomSend,
    RoomVisited,
    Send,
    Sent,
    Visit,
)
from signaling.refusals import FAREWELLS, ROOM_ENDS, refusal_error

_LOG: Final = logging.getLogger(__name__)
_A = TypeVar("_A", bound="_Answer")


class Room:
    """One side of a room. Made by ``RelayPort.open_room`` and ``join_room``; close it when done."""

    def __init__(self, port: RelayPort, room: RoomId, nameplate: int | None) -> None:
        self._port = port
        self.id: Final = room
        self.nameplate: Final = nameplate
        """The number under which others find it; None for the side that joined by id."""
        self.joined: Final = asyncio.Event()
        """At the side that opened it: set when somebody is in it."""
        self.turned_away: Final = asyncio.Event()
        """At the side that opened it: set when somebody else wanted to join it after that."""
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._end = ""

    async def send(self, data: bytes) -> None:
        """Send to the other party; the relay keeps a little until there is one.

        Args:
            data: 1 to MAX_ENVELOPE bytes.

        Raises:
            UnreachableError: The room or the relay connection is closed, or the other party does not read.
            RejectedError: The relay keeps no more for a room that nobody has joined.
            TimedOutError: The relay is silent.
            LocalProtocolError: The data is empty or too large.
        """
        if self._end:
            raise UnreachableError(self._end)
        await self._port.send_in_room(self.id, data)

    async def receive(self) -> bytes:
        """The next message from the other party.

        Raises:
            UnreachableError: The room is closed and everything was received; it says why.
        """
        message = await self._messages.get()
        if message is None:
            self._messages.put_nowait(None)
            raise UnreachableError(self._end)
        return message

    async def close(self) -> None:
        """Leave; the other party is told. Idempotent, and never raises for a relay that is gone."""
        if not self._end:
            self.end("this side closed the room")
            await self._port.leave_room(self.id)

    def arrived(self, data: bytes) -> None:
        """Called by the port for each message; a peer that floods loses the room."""
        if self._messages.qsize() >= RELAY_CLIENT_QUEUE:
            self.end("the other party sent more than anyone reads")
        elif not self._end:
            self._messages.put_nowait(data)

    def visited(self, visit: Visit) -> None:
        """Called by the port when somebody came, in a room that this side opened."""
        (self.joined if visit is Visit.JOINED else self.turned_away).set()

    def end(self, reason: str) -> None:
        """Called by the port when the room is gone; what arrived before can still be received."""
        if not self._end:
            self._end = reason
            self._messages.put_nowait(None)


Delivered: TypeAlias = tuple[DeviceId | None, bytes]
"""Where an answer goes (None: to the device that the relay is embedded in), and an envelope."""
_Answer: TypeAlias = Sent | Refused | Present | RoomFound | Room


class RelayPort(ABC):
    """A logged-in connection to a relay."""

    def __init__(self, device: DeviceId) -> None:
        self.device: Final = device
        self.closed: Final = asyncio.Event()
        """Set when the connection is over."""
        self.close_reason = ""
        """Once closed: why, as a clause."""
        self._numbers = itertools.count(1)
        self._waiting: dict[RequestId, asyncio.Future[_Answer]] = {}
        self._rooms: dict[RoomId, Room] = {}
        self._envelopes: asyncio.Queue[Delivered | None] = asyncio.Queue()

    @abstractmethod
    async def _transmit(self, request: Request) -> None:
        """Hand one request to the relay; UnreachableError if it is gone, LocalProtocolError if it is malformed."""

    @abstractmethod
    async def close(self) -> None:
        """End the connection. Idempotent; never raises."""

    async def send(self, to: DeviceId | None, envelope: bytes) -> None:
        """Pass an envelope to a device that is connected to the same relay now.

        Returning means that the relay passed it on, not that the device took it.

        Args:
            to: The recipient; None for the device that the relay is embedded in.
            envelope: 1 to MAX_ENVELOPE sealed bytes.

        Raises:
            UnreachableError: The device is not connected there or reads too slowly, or the relay is gone.
            RejectedError: The relay does not serve this pair of devices.
            TimedOutError: The relay is silent.
            LocalProtocolError: The envelope is empty or too large.
        """
        await self._request(lambda number: Send(number, to, envelope), Sent)

    async def envelopes(self) -> AsyncIterator[Delivered]:
        """Envelopes for this device with the device that handed each in; ends with the connection.

        At most RELAY_CLIENT_QUEUE wait to be read, further ones are dropped: senders of signaling retry.
        """
        while (item := await self._envelopes.get()) is not None:
            yield item
        self._envelopes.put_nowait(None)

    async def presence(self, devices: Collection[DeviceId]) -> frozenset[DeviceId]:
        """Those of at most RELAY_MAX_PRESENCE devices that are connected to the same relay.

        Raises:
            UnreachableError: The relay is gone.
            TimedOutError: The relay is silent.
        """
        reply = await self._request(lambda number: Presence(number, tuple(devices)), Present)
        return frozenset(reply.devices) & frozenset(devices)

    async def open_room(self, nameplate: int | None = None, room: RoomId | None = None) -> Room:
        """Open a room for one other party.

        Args:
            nameplate: 1 to MAX_NAMEPLATE, or None for a free one.
            room: The id to use, or None for a fresh one.

        Raises:
            RejectedError: Taken, full, too many from this address, or not served.
            UnreachableError: The relay is gone.
            TimedOutError: The relay is silent.
        """
        plate = None if nameplate is None else Nameplate(nameplate)
        return await self._request(lambda number: OpenRoom(number, room, plate), Room)

    async def find_room(self, nameplate: int) -> RoomId:
        """The room behind a nameplate.

        Raises:
            NotFoundError: There is none.
            RejectedError: Too many were asked for from this address.
            UnreachableError: The relay is gone.
            TimedOutError: The relay is silent.
        """
        return (await self._request(lambda number: FindRoom(number, Nameplate(nameplate)), RoomFound)).room

    async def join_room(self, room: RoomId) -> Room:
        """Join a room as its second party: the one chance that anybody gets.

        Raises:
            NotFoundError: There is no such room.
            LinkCodeError: Two parties are in it, or somebody joined and left: the code is spent.
            RejectedError: Too many were asked for from this address.
            UnreachableError: The relay is gone.
            TimedOutError: The relay is silent.
        """
        return await self._request(lambda number: JoinRoom(number, room), Room)

    async def send_in_room(self, room: RoomId, data: bytes) -> None:
        """What ``Room.send`` does."""
        await self._request(lambda number: RoomSend(number, room, data), Sent)

    async def leave_room(self, room: RoomId) -> None:
        """What ``Room.close`` does: the room is gone whether or not the relay can be told."""
        self._rooms.pop(room, None)
        number = RequestId(next(self._numbers))
        try:
            async with asyncio.timeout(RELAY_REQUEST_DEADLINE):
                await self._transmit(CloseRoom(number, room))
        except (UnreachableError, TimeoutError):
            _LOG.debug("the relay was gone before a room was closed")

    async def _request(self, build: Callable[[RequestId], Request], expected: type[_A]) -> _A:
        number = RequestId(next(self._numbers))
        future: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(RELAY_REQUEST_DEADLINE):
                await self._transmit(build(number))
                reply = await future
        except TimeoutError as error:
            raise TimedOutError(f"the relay gave no answer within {RELAY_REQUEST_DEADLINE:g} s") from error
        finally:
            del self._waiting[number]
        if isinstance(reply, Refused):
            raise refusal_error(reply.reason)
        if not isinstance(reply, expected):
            raise RemoteProtocolError("the relay's answer does not fit the request")
        return reply

    def _arrived(self, message: FromRelay) -> None:
        """Take one message from the relay."""
        match message:
            case Deliver(sender, envelope):
                self._envelope_arrived(sender, envelope)
            case RoomMessage(room, data) if room in self._rooms:
                self._rooms[room].arrived(data)
            case RoomVisited(room, visit) if room in self._rooms:
                self._rooms[room].visited(visit)
            case RoomClosed(room, reason) if room in self._rooms:
                self._rooms.pop(room).end(ROOM_ENDS[reason])
            case Goodbye(farewell):
                self._lost(FAREWELLS[farewell])
            case Sent() | Refused() | Present() | RoomOpened() | RoomFound() | RoomJoined():
                self._reply_arrived(message)
            case _:
                _LOG.debug("a relay message that concerns nothing here: %s", type(message).__name__)

    def _reply_arrived(self, reply: Reply) -> None:
        future = self._waiting.get(reply.id)
        if future is None or future.done():
            return
        # The room must exist before the next message, which may be for it, is looked at.
        if isinstance(reply, RoomOpened):
            future.set_result(self._enter(Room(self, reply.room, reply.nameplate)))
        elif isinstance(reply, RoomJoined):
            future.set_result(self._enter(Room(self, reply.room, None)))
        else:
            future.set_result(reply)

    def _enter(self, room: Room) -> Room:
        self._rooms[room.id] = room
        return room

    def _envelope_arrived(self, sender: DeviceId | None, envelope: bytes) -> None:
        if self._envelopes.qsize() >= RELAY_CLIENT_QUEUE:
            _LOG.warning("an envelope was dropped: %d wait to be read", RELAY_CLIENT_QUEUE)
            return
        self._envelopes.put_nowait((sender, envelope))

    def _lost(self, reason: str) -> None:
        """The connection is over: end everything that waits. Idempotent."""
        if self.closed.is_set():
            return
        self.close_reason = reason
        self.closed.set()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(UnreachableError(reason))
        for room in self._rooms.values():
            room.end(reason)
        self._rooms.clear()
        self._envelopes.put_nowait(None)
