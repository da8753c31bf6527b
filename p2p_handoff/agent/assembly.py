# SPDX-License-Identifier: Apache-2.0
"""Puts the parts of one agent together and starts them; a stack takes them down in reverse. Layer: agent.

Specification: docs/architecture.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from p2p_handoff.adapters.base import Adapter
from p2p_handoff.adapters.conversation import ConversationAdapter
from p2p_handoff.adapters.folder import FolderAdapter
from p2p_handoff.agent.catalog import Catalog
from p2p_handoff.agent.circle import Circle, CircleReach
from p2p_handoff.agent.confirming import Confirmation
from p2p_handoff.agent.consenting import Consenting
from p2p_handoff.agent.contacts import Contacts, Hearers, hang_up_idle, hello
from p2p_handoff.agent.contributions import Contributions
from p2p_handoff.agent.current_settings import CurrentSettings, SettingsFile
from p2p_handoff.agent.dialer import Dialer
from p2p_handoff.agent.dialling import Dialling
from p2p_handoff.agent.doubts import Around
from p2p_handoff.agent.events import Events
from p2p_handoff.agent.following import Follower
from p2p_handoff.agent.forking import Forking
from p2p_handoff.agent.handoffs import Handoffs
from p2p_handoff.agent.ice_servers import ice_servers
from p2p_handoff.agent.keeping import Keeper, Shelves
from p2p_handoff.agent.link_desk import LinkDesk
from p2p_handoff.agent.links import Links
from p2p_handoff.agent.naming import Naming
from p2p_handoff.agent.news import NewsDesk, Reach
from p2p_handoff.agent.old_copies import OldCopies
from p2p_handoff.agent.outside import Outside
from p2p_handoff.agent.owner_search import OwnerSearch
from p2p_handoff.agent.peers import PeerBook
from p2p_handoff.agent.policies import Policies
from p2p_handoff.agent.registering import Registering
from p2p_handoff.agent.relays import Relays
from p2p_handoff.agent.requests import RequestBook
from p2p_handoff.agent.reunion import Reunion
from p2p_handoff.agent.search_ahead import SearchAhead
from p2p_handoff.agent.secret_search import SecretSearch, build_ahead
from p2p_handoff.agent.seeking import Seeker
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.stagings import Stagings
from p2p_handoff.agent.surroundings import Surroundings
from p2p_handoff.agent.undoing import Undoing
from p2p_handoff.agent.unplaced import Unplaced
from p2p_handoff.agent.visibility import acquaintances, audience
from p2p_handoff.agent.wire import Wire
from p2p_handoff.discovery.announcement import Announcement, Room
from p2p_handoff.engines.base import Engine
from p2p_handoff.engines.choose import choose_engine, disarm
from p2p_handoff.ids import DeviceId
from p2p_handoff.security.identity import Identity
from p2p_handoff.session.statements import NONCE_BYTES
from p2p_handoff.settings.config import Settings
from p2p_handoff.store import home as homes
from p2p_handoff.store.key_places import KeyWish, load_or_create
from p2p_handoff.store.scans import Scans

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Given:
    """What an agent is made of before it runs.

    Args:
        engine: Used instead of the configured one when given.
        versions: Protocol versions spoken.
        outside: Network, clock, randomness, disk.
    """

    home: homes.Home
    current: CurrentSettings
    events: Events
    requests: RequestBook
    engine: Engine | None
    versions: tuple[int, ...]
    outside: Outside

    @property
    def settings(self) -> Settings:
        """As they hold now."""
        return self.current.value


class Assembly:
    """The parts of one agent; ``start`` next, once they are known to whom they call back.

    Args:
        given: What the agent is made of.
        stack: Takes down what was put together, in reverse, also after a failure half way.

    Raises:
        HandoffError: The home is in use or cannot be read, or there is no engine.
    """

    def __init__(self, given: Given, stack: contextlib.AsyncExitStack) -> None:
        self._given = given
        self._stack = stack
        self.port = 0
        home = given.home
        stack.enter_context(given.outside.lock(home))
        found = load_or_create(home, KeyWish(given.settings.keys), lambda: Identity.generate().to_bytes())
        self.keys_kept_in = found.kept_in
        self.identity = Identity.from_bytes(found.secret)
        self.store = stack.enter_context(given.outside.open_store(home.database, self.identity.device))
        self.scans = Scans(home.searched)
        stack.callback(self.scans.close)
        search = SecretSearch(self.scans)
        self._ahead = SearchAhead(search)
        stack.push_async_callback(self._ahead.close)
        adapters = {adapter.kind: adapter for adapter in _adapters(given)}
        self.policies = Policies(self.store, lambda: given.settings)
        self.catalog = Catalog(
            self.store, self.identity, adapters, home.part_state, given.outside.entropy, given.outside.clock
        )
        self.settings_file = SettingsFile(given.home.settings, given.current, self.policies, given.events)
        self.naming = Naming(self.store, self.catalog)
        self.registering = Registering(self.store, self.catalog, self.naming, given.events, self._ahead)
        self.unplaced = Unplaced(self.store, given.events)
        self.contributions = Contributions(self.store, self.catalog, given.events)
        self.engine = given.engine or self._choose_engine()
        self.surroundings = Surroundings(
            given.settings,
            given.outside.network,
            given.events,
            self._announcement,
            lambda: acquaintances(self.identity, self.store.links),
            self._peer_name,
        )
        self.old_copies = OldCopies(self.store, given.events, self._peer_name, given.outside.clock)
        stack.push_async_callback(self.old_copies.close)
        self.dialer = Dialer(self._dialling())
        stack.push_async_callback(self.dialer.close)
        self.peer_book = PeerBook(
            self.store, self.surroundings.sightings, lambda device: self.dialer.wire(device) is not None
        )
        self.seeker = Seeker(self._connect_sought, self.surroundings.sighted, given.outside.entropy)
        services = self._services(search)
        self.handoffs = Handoffs(services, given.requests)
        self.owner_search = OwnerSearch(services, self.naming, self.peer_book, self.handoffs.sessions_of)
        self.consenting = Consenting(given.requests, self.handoffs, self.catalog)
        self.undoing = Undoing(services, self.handoffs.is_busy)
        self.forking = Forking(services)
        self.reunion = Reunion(services, self.handoffs.is_busy, self.handoffs.push)
        stack.push_async_callback(self.handoffs.close)
        self.confirmation = Confirmation(self.store, given.events, self.dialer.connect, given.outside.entropy)
        stack.push_async_callback(self.confirmation.close)
        handoffs, heard = self.handoffs, self.confirmation.heard
        self.news = NewsDesk(services, Reach(self.dialer.wires, handoffs.outgoing_of, handoffs.ask_again, heard))
        stack.push_async_callback(self.news.close)
        self.circle = Circle(services, CircleReach(self.dialer.wires, self._part))
        stack.push_async_callback(self.circle.close)
        self.contacts = Contacts(
            self.store,
            given.events,
            Hearers(self.peer_book, self.handoffs, self.news, self.circle, self.old_copies, self.confirmation),
        )
        self.relays = Relays(
            self.identity,
            given.outside.network,
            given.settings.relays,
            self.dialer.envelope_arrived,
            lambda: given.events.emit("relays"),
        )
        self.links = Links(services, self._desk(), self.circle, self._part)

    async def start(self) -> None:
        """Start the relay, discovery, and whatever an earlier run left unfinished."""
        given, stack = self._given, self._stack
        build_ahead()
        stack.push_async_callback(self.relays.close)
        self.port = await self.relays.start(given.settings.port)
        stack.push_async_callback(self.surroundings.close)
        await self.surroundings.start()
        self.circle.settle()
        self.handoffs.recover()
        stack.push_async_callback(self.undoing.close)
        self.undoing.start()
        self.confirmation.look()
        stack.push_async_callback(self.reunion.close)
        self.reunion.start()
        follower = Follower(self.store, self.catalog, self.contributions, given.events, self._ahead)
        stack.push_async_callback(follower.close)
        stack.push_async_callback(self.contributions.close)
        follower.refresh()
        stack.callback(asyncio.create_task(hang_up_idle(self.dialer, self.handoffs), name="idle wires").cancel)
        log.info("agent %s (%s) listens on port %d", given.settings.name, self.identity.device, self.port)

    @property
    def around(self) -> Around:
        """What words about unsettled sessions draw on."""
        return Around(
            self.store,
            self.identity.device,
            self.peer_book.name,
            lambda device: self.dialer.wire(device) is not None,
            self.confirmation.awaited,
        )

    def relay_states(self) -> dict[str, str]:
        """Shared relays: empty for a connected one, else why it is not."""
        return {url: self.relays.problems.get(url, "") for url in self._given.settings.relays}

    def _choose_engine(self) -> Engine:
        marker = self._given.home.path / "native-engine-crash"
        engine = choose_engine(self._given.settings.engine, marker)
        self._stack.callback(disarm, marker)
        return engine

    def _announcement(self, room: Room | None) -> Announcement | None:
        given = self._given
        to = audience(given.settings.visible, linked=bool(self.store.links.all()))
        if to is None:
            return None
        return Announcement(self.identity.device, given.settings.name, self.port, max(given.versions), room, to)

    def _dialling(self) -> Dialling:
        given = self._given
        instance = given.outside.entropy(NONCE_BYTES)
        return Dialling(
            identity=self.identity,
            store=self.store,
            engine=self.engine,
            relays=lambda: self.relays,
            addresses=self.surroundings.addresses,
            manual=self.surroundings.manual,
            ice_servers=ice_servers(given.settings, given.home.path),
            hello=lambda peer: hello(
                self.store, given.settings.name, given.versions, self.old_copies.seen(peer), instance
            ),
            seen=self.old_copies.seen,
            is_clear=self.old_copies.is_clear,
            opened=self._opened,
            is_linking=lambda: self.links.is_linking,
            dropped=self._dropped,
            clock=given.outside.clock,
            entropy=given.outside.entropy,
            versions=given.versions,
        )

    def _dropped(self, device: DeviceId) -> None:
        self.links.dropped(device)

    async def _part(self, device: DeviceId) -> None:
        """End what goes on with a device that is linked no longer."""
        await self.dialer.hang_up(device, "unlinked")
        self.handoffs.unlinked(device)

    def _peer_name(self, device: DeviceId) -> str:
        return self.peer_book.name(device)

    def _opened(self, wire: Wire) -> None:
        self.contacts.opened(wire)

    def _services(self, search: SecretSearch) -> Services:
        given = self._given
        shelves = Shelves(given.home.generations, lambda: given.settings.keep_generations)
        return Services(
            identity=self.identity,
            store=self.store,
            catalog=self.catalog,
            keeper=Keeper(self.store, self.catalog, shelves, given.outside.clock),
            current=given.current,
            policies=self.policies,
            events=given.events,
            entropy=given.outside.entropy,
            connect=self.dialer.connect,
            peer_name=self.peer_book.name,
            seek=self.seeker.reach,
            is_old=self.old_copies.is_old,
            sighted=self.surroundings.sighted,
            clock=given.outside.clock,
            stagings=Stagings(given.home.stagings, given.outside.clock),
            secrets=search,
            unplaced=self.unplaced,
        )

    async def _connect_sought(self, device: DeviceId, patience: float | None) -> Wire:
        if patience is not None:
            self.relays.hurry()
        return await self.dialer.connect(device, patience)

    def _desk(self) -> LinkDesk:
        return LinkDesk(
            identity=self.identity,
            name=lambda: self._given.settings.name,
            relays=self.relays,
            room_urls=self.surroundings.room_urls,
            look=self.surroundings.look,
            manual=self.surroundings.manual,
            announce=self.surroundings.announce_room,
            entropy=self._given.outside.entropy,
            clock=asyncio.get_running_loop().time,
            ended=self.circle.ended,
            tried=lambda text: self._given.events.emit("link-tried", text=text),
            disturbed=lambda text: self._given.events.emit("link-disturbed", text=text),
        )


def _adapters(given: Given) -> list[Adapter]:
    name, watch = given.settings.name, given.outside.watch
    return [ConversationAdapter(given.outside.entropy, name, watch), FolderAdapter(name, watch)]
