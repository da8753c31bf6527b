# SPDX-License-Identifier: Apache-2.0
"""A network of simulated devices: relays that are visited, and who is in sight of whom. Layer: testing, public.

The relay in each agent is the real one; only the WebSocket to it is a pair of lanes. Discovery behaves as multicast
DNS does: a goodbye is heard at once, a device that vanished is missed when its record expires, and one whose record
never changed comes back without a word. Specification: docs/testing.md §3.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typing_extensions import override

from p2p_handoff.agent.network import Listening, Lookout, Network
from p2p_handoff.discovery.announcement import Announcement, Heard, Sighting, Stranger, read_announcement
from p2p_handoff.discovery.appearance import Appearance
from p2p_handoff.discovery.publisher import RECORD_TTL
from p2p_handoff.discovery.sightings import SightingBook
from p2p_handoff.discovery.veil import Acquaintances
from p2p_handoff.errors import TimedOutError, UnreachableError
from p2p_handoff.ids import DeviceId, device_id
from p2p_handoff.limits import RELAY_CONNECT_DEADLINE
from p2p_handoff.testing.engine import Exchange, SimulatedEngine
from p2p_handoff.testing.link import Conditions, Lane, Link
from p2p_handoff.testing.loop import Process, SimulatedLoop, State
from signaling.hub import Hub
from signaling.messages import FromRelay, Request
from signaling.port import RelayPort
from signaling.relay import Relay
from signaling.wire import validate

FIRST_PORT: Final = 40_001
HEARD_WITHIN: Final = (0.02, 1.0)
"""Seconds until others hear an announcement: up to a lost packet and its repetition (RFC 6762 §8.3)."""
FIRST_QUESTION: Final = 1.0
LAST_QUESTION: Final = 3600.0
"""Shortest and longest pause between two questions who is there, in seconds (RFC 6762 §5.2)."""


class SimulatedNetwork:
    """All devices of one simulation, and the links between them.

    Args:
        loop: The simulation's loop.
        source: Seeded randomness.
        conditions: Of links that are used for the first time.
    """

    def __init__(self, loop: SimulatedLoop, source: random.Random, conditions: Conditions) -> None:
        self.loop = loop
        self.source = source
        self.conditions = conditions
        self.hosts: dict[str, SimulatedHost] = {}
        """What runs now, by the device's name."""
        self.lookouts: dict[str, SimulatedLookout] = {}
        self.exchange = Exchange(self.link)
        self._links: dict[frozenset[str], Link] = {}
        self._port = FIRST_PORT

    def link(self, one: str, other: str) -> Link:
        """The link between two devices, by name."""
        key = frozenset((one, other))
        if key not in self._links:
            self._links[key] = Link(self.loop, self.source, self.conditions)
        return self._links[key]

    def links(self) -> tuple[Link, ...]:
        """All links that were used so far."""
        return tuple(self._links.values())

    def plug_in(self, name: str, process: Process) -> SimulatedHost:
        """The network as one process sees it."""
        host = SimulatedHost(self, name, process)
        process.at_end.append(host.died)
        return host

    def engine(self, host: SimulatedHost) -> SimulatedEngine:
        """The engine of one process."""
        return SimulatedEngine(self.exchange, host.name, host.process, self.source)

    def free_port(self) -> int:
        """A port that nobody used before."""
        self._port += 1
        return self._port - 1

    def announce_again(self, one: str, other: str) -> None:
        """Two devices came back into one network and notice it: what they announce is heard anew."""
        for speaker, listener in ((one, other), (other, one)):
            if speaker in self.lookouts and listener in self.lookouts:
                self.lookouts[listener].hear(self.lookouts[speaker])


class SimulatedHost(Network):
    """What one process reaches others by."""

    def __init__(self, network: SimulatedNetwork, name: str, process: Process) -> None:
        self.network = network
        self.name = name
        self.process = process
        self.relay: Relay | None = None
        self.port = 0
        self.visits: list[SimulatedPort] = []
        """Visitors of this device's relay."""

    @override
    async def listen(self, relay: Relay, port: int) -> Listening:
        self.relay = relay
        self.port = port or self.network.free_port()
        self.network.hosts[self.name] = self
        return self

    async def close(self) -> None:
        """Listen no longer; visitors are told."""
        self._leave()
        if self.relay is not None:
            self.relay.hub.close()
        self.relay = None

    @override
    def visit(self, url: str, key: Ed25519PrivateKey) -> AbstractAsyncContextManager[RelayPort]:
        return self._visit(urlsplit(url), device_id(key.public_key().public_bytes_raw()))

    @asynccontextmanager
    async def _visit(self, url: object, visitor: DeviceId) -> AsyncIterator[RelayPort]:
        host, where = str(getattr(url, "hostname", "")), getattr(url, "port", 0)
        port = SimulatedPort(visitor, self, self.network.link(self.name, host))
        try:
            await port.dial(host, where)
            yield port
        finally:
            await port.close()

    @override
    def lookout(self, found: Callable[[Sighting], None], lost: Callable[[DeviceId], None]) -> Lookout:
        return SimulatedLookout(self, found, lost)

    def died(self) -> None:
        """The process is gone: its system resets the connections of whoever visited it."""
        self._leave()
        for port in self.visits:
            port.reset()

    def _leave(self) -> None:
        if self.network.hosts.get(self.name) is self:
            del self.network.hosts[self.name]


class SimulatedPort(RelayPort):
    """A visit at another device's relay.

    Args:
        device: Who visits.
        host: Where the visitor runs.
        link: The way there.
    """

    def __init__(self, device: DeviceId, host: SimulatedHost, link: Link) -> None:
        super().__init__(device)
        self._host = host
        self._link = link
        self._back = link.lane(host.process)
        self._there: Lane | None = None
        self._handle: Callable[[Request], None] | None = None
        self._leave_hub: Callable[[], None] = _nothing

    async def dial(self, host: str, port: int) -> None:
        """Connect and log in.

        Raises:
            UnreachableError: Nobody listens there.
            TimedOutError: No answer within the deadline.
        """
        await self._knock(host)
        await asyncio.sleep(2 * self._link.travel())
        there = self._host.network.hosts.get(host)
        if there is None or there.port != port or there.relay is None or there.process.state is State.DEAD:
            raise UnreachableError(f"nobody listens at {host}:{port}")
        welcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._there = self._link.lane(there.process)
        hub = there.relay.hub
        self._there.send(lambda: self._log_in(there, hub, welcome))
        try:
            async with asyncio.timeout(RELAY_CONNECT_DEADLINE):
                await welcome
        except TimeoutError:
            raise TimedOutError(f"{host}:{port} did not answer within {RELAY_CONNECT_DEADLINE:g} s") from None

    def deliver(self, message: FromRelay) -> None:
        """Take a message from the hub, in the visited process."""
        self._back.send(lambda: self._arrived(message))

    def reset(self) -> None:
        """The visited device's system knows the connection no longer."""
        self._back.send(lambda: self._lost("the connection was reset"))

    @override
    async def _transmit(self, request: Request) -> None:
        if self.closed.is_set() or self._there is None:
            raise UnreachableError(self.close_reason)
        validate(request)
        self._there.send(lambda: self._handle(request) if self._handle is not None else None)

    @override
    async def close(self) -> None:
        if not self.closed.is_set() and self._there is not None:
            leave = self._leave_hub
            self._there.send(leave)
        self._lost("this side closed the connection")

    def _log_in(self, there: SimulatedHost, hub: Hub, welcome: asyncio.Future[None]) -> None:
        """Runs in the visited process."""
        client = hub.enter(self, self.device, self._host.name)
        there.visits.append(self)
        self._handle = lambda request: hub.handle(client, request)

        def leave() -> None:
            self._handle = None
            hub.leave(client)
            if self in there.visits:
                there.visits.remove(self)

        self._leave_hub = leave
        there_lane = self._there
        assert there_lane is not None
        self._host.process.at_end.append(lambda: there_lane.send(leave))
        self._back.send(lambda: None if welcome.done() else welcome.set_result(None))

    async def _knock(self, host: str) -> None:
        """Connect as TCP does: asked again after one second, and after two more (RFC 6298 §2)."""
        for pause in (1.0, 2.0, RELAY_CONNECT_DEADLINE - 3.0):
            if not self._link.is_parted:
                return
            await asyncio.sleep(pause)
        raise TimedOutError(f"{host} did not answer within {RELAY_CONNECT_DEADLINE:g} s")


class SimulatedLookout:
    """Who is in sight of one process, as far as announcements reach it."""

    problem: str | None = None

    def __init__(
        self, host: SimulatedHost, found: Callable[[Sighting], None], lost: Callable[[DeviceId], None]
    ) -> None:
        self.host = host
        self.announcement: Announcement | None = None
        self.known = Acquaintances(DeviceId(""), {})
        # Of its own: names change nothing else that is random in a simulation.
        self._appearance = Appearance(random.Random(f"{host.name} {host.network.loop.time()}").randbytes)
        self._book = SightingBook(found, lost)
        self._checking: dict[str, asyncio.TimerHandle] = {}
        self._asking: asyncio.TimerHandle | None = None
        self._said = 0
        self._newest: dict[str, int] = {}
        """The number of the newest announcement that was heard, by name."""

    @property
    def sightings(self) -> Mapping[DeviceId, Sighting]:
        """The devices in sight now."""
        return self._book.devices

    def claims(self, device: DeviceId) -> Sequence[Sighting]:
        """All that claim to be a device now, the likeliest first."""
        return self._book.claims(device)

    @property
    def rooms(self) -> Sequence[Sighting | Stranger]:
        """Who shows an open room now."""
        return self._book.rooms

    async def start(self, announcement: Announcement | None, known: Acquaintances) -> None:
        """Begin to look, and to advertise."""
        self.host.network.lookouts[self.host.name] = self
        self.host.process.at_end.append(self._stop)
        await self.update(announcement, known)
        self._ask_around(FIRST_QUESTION)

    async def update(self, announcement: Announcement | None, known: Acquaintances) -> None:
        """Advertise something else from now on, or recognise others."""
        others_known = known != self.known
        self.announcement, self.known = announcement, known
        if others_known:
            self._appearance.change()
        for _, other in sorted(self._others().items()):
            if announcement is None:
                other.hear_goodbye(self.host.name)
            other.hear(self)
            if others_known:
                self.hear(other)

    def look(self) -> None:
        """Ask everybody anew what they announce."""
        for _, other in sorted(self._others().items()):
            self.hear(other)

    async def close(self) -> None:
        """Say goodbye."""
        self._stop()
        for _, other in sorted(self._others().items()):
            other.hear_goodbye(self.host.name)

    def _ask_around(self, pause: float) -> None:
        self.look()
        again = min(2 * pause, LAST_QUESTION)
        self._asking = self.host.network.loop.call_later(pause, self._ask_around, again)

    def hear(self, speaker: SimulatedLookout) -> None:
        """An announcement of another device is on its way here."""
        network, name = self.host.network, speaker.host.name
        link = network.link(self.host.name, name)
        if link.is_parted or speaker.announcement is None:
            return
        said = speaker.said()
        delay = network.source.uniform(*HEARD_WITHIN)
        self._said += 1
        context = self.host.process.context.copy()
        network.loop.call_later(delay, self._heard, name, said, self._said, context=context)

    def hear_goodbye(self, name: str) -> None:
        """A device says goodbye."""
        if not self.host.network.link(self.host.name, name).is_parted:
            network = self.host.network
            network.loop.call_later(0.01, self._missed, name, context=self.host.process.context.copy())

    def said(self) -> Heard:
        """What others hear of this device now."""
        assert self.announcement is not None
        made = self._appearance.advertisement(self.announcement, self.known, self.host.network.loop.time())
        pairs = {key.encode(): value if isinstance(value, bytes) else value.encode() for key, value in made.txt.items()}
        return Heard(made.label, made.server, made.port, pairs, (self.host.name,))

    def _heard(self, name: str, said: Heard, number: int) -> None:
        if number < self._newest.get(name, 0):
            return  # One that was sent later has come before it: multicast on one wire overtakes nothing.
        self._newest[name] = number
        self._expire_later(name)
        self._book.put(name, read_announcement(said, self.known))

    def _expire_later(self, name: str) -> None:
        if name in self._checking:
            self._checking[name].cancel()
        self._checking[name] = self.host.network.loop.call_later(RECORD_TTL, self._expire, name)

    def _expire(self, name: str) -> None:
        """A record is at its end: the device is asked, and answers if it is there."""
        other = self._others().get(name)
        there = other is not None and other.announcement is not None
        if other is not None and there and not self.host.network.link(self.host.name, name).is_parted:
            self._said += 1
            self._heard(name, other.said(), self._said)
        else:
            self._missed(name)

    def _missed(self, name: str) -> None:
        if name in self._checking:
            self._checking.pop(name).cancel()
        self._book.remove(name)

    def _stop(self) -> None:
        for timer in self._checking.values():
            timer.cancel()
        self._checking.clear()
        if self._asking is not None:
            self._asking.cancel()
        if self.host.network.lookouts.get(self.host.name) is self:
            del self.host.network.lookouts[self.host.name]

    def _others(self) -> dict[str, SimulatedLookout]:
        return {name: other for name, other in self.host.network.lookouts.items() if other is not self}


def _nothing() -> None:
    """Nothing was opened yet."""
