# SPDX-License-Identifier: Apache-2.0
"""One running agent: everything put together, and what can be asked of it. Layer: agent.

``async with Agent(home=…, name="laptop") as agent:`` starts discovery, the embedded relay, the engine and whatever an
earlier run left unfinished; leaving the block stops it all. The command line, the control API and the Python faces
call the same methods. Specification: docs/architecture.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from p2p_handoff.agent import linking
from p2p_handoff.agent.assembly import Assembly, Given
from p2p_handoff.agent.catalog import Catalog
from p2p_handoff.agent.current_settings import Change, CurrentSettings
from p2p_handoff.agent.events import Events, Listener, OnBegun, unheard
from p2p_handoff.agent.giving_up import end_of
from p2p_handoff.agent.handoffs import Handoffs
from p2p_handoff.agent.names import rename
from p2p_handoff.agent.outgoing_plan import OutgoingPlan
from p2p_handoff.agent.outside import Outside
from p2p_handoff.agent.overview import Overview
from p2p_handoff.agent.peers import Peer, PeerBook
from p2p_handoff.agent.policies import Policies
from p2p_handoff.agent.report import Report
from p2p_handoff.agent.requests import Consent, IncomingRequest, Refusal, RequestBook
from p2p_handoff.agent.status import Status
from p2p_handoff.agent.undoing import Undone
from p2p_handoff.engines.base import Engine
from p2p_handoff.errors import UsageError
from p2p_handoff.ids import DeviceId, new_txn_id
from p2p_handoff.places import default_home
from p2p_handoff.protocol.connection import PROTOCOL_VERSIONS
from p2p_handoff.protocol.messages import Mode, RejectReason
from p2p_handoff.security.identity import Identity
from p2p_handoff.security.link_terms import LinkKind, LinkOutcome, Purpose
from p2p_handoff.session.guard import NOTHING, Letting
from p2p_handoff.settings.config import Settings, load
from p2p_handoff.store import home as homes
from p2p_handoff.store.generations import Generation
from p2p_handoff.store.records import LinkedDevice, SessionRecord
from p2p_handoff.store.store import Store


class Agent:
    """One device's agent.

    Args:
        home: Its data directory; the platform's default when None.
        name: Display name; from the settings, else the host's name, when None.
        settings: Used instead of ``config.toml`` when given; or what reads them, now and in ``take_over_settings``.
        engine: Used instead of the configured one when given.
        versions: Protocol versions spoken.
        outside: Network, clock, randomness and disk used instead of the real ones when given.
    """

    def __init__(
        self,
        home: Path | str | None = None,
        name: str | None = None,
        *,
        settings: Settings | Callable[[], Settings] | None = None,
        engine: Engine | None = None,
        versions: tuple[int, ...] = PROTOCOL_VERSIONS,
        outside: Outside | None = None,
    ) -> None:
        self.home = homes.prepare(Path(home) if home is not None else default_home())
        self._current = CurrentSettings.begin(settings or partial(load, self.home.path), name)
        self.events = Events()
        outside = outside or Outside()
        self.requests = RequestBook(self.events, outside.entropy)
        self._given = Given(self.home, self._current, self.events, self.requests, engine, versions, outside)
        self._stack = contextlib.AsyncExitStack()
        self.port = 0
        self.identity: Identity
        self.store: Store
        self.catalog: Catalog
        self.peer_book: PeerBook
        self.handoffs: Handoffs
        self.parts: Assembly

    # --- life ---------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start(self) -> None:
        self.parts = parts = Assembly(self._given, self._stack)
        self.identity, self.store, self.catalog = parts.identity, parts.store, parts.catalog
        self.peer_book, self.handoffs = parts.peer_book, parts.handoffs
        await parts.settings_file.check_as_it_is()
        await parts.start()
        self.port = parts.port

    # --- who is there -------------------------------------------------------------------------------

    @property
    def device(self) -> DeviceId:
        """This device's id."""
        return self.identity.device

    @property
    def settings(self) -> Settings:
        """As they hold now."""
        return self._current.value

    @property
    def policies(self) -> Policies:
        """What linked devices may do."""
        return self.parts.policies

    async def take_over_settings(self) -> Change:
        """Read ``config.toml`` again and let hold from now on what can.

        Raises:
            UsageError: There is a mistake in it, or this agent was given its settings; nothing has changed.
        """
        return await self.parts.settings_file.take_over()

    @property
    def name(self) -> str:
        """This device's display name."""
        return self.settings.name

    def name_of(self, device: DeviceId) -> str:
        """Display name of any device, this one too."""
        return self.name if device == self.device else self.peer_book.name(device)

    @property
    def engine(self) -> str:
        """Name of the engine in use."""
        return self.parts.engine.name

    async def status(self) -> Status:
        """What this agent is doing now: devices and how they are reached, sessions, handoffs, what waits."""
        return await Overview(self._given, self.parts).status()

    def discover(self) -> list[Peer]:
        """Devices linked or in sight now."""
        return self.peer_book.all()

    def on(self, name: str, handler: Callable[[Any], Awaitable[None] | None]) -> Callable[[], None]:
        """Call ``handler`` with the fields of every event of one name; returns a function that stops it."""
        return self.events.subscribe(lambda event, fields: handler(fields) if event == name else None)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener(name, fields)`` for every event; returns a function that stops it."""
        return self.events.subscribe(listener)

    # --- linking ------------------------------------------------------------------------------------

    async def link(
        self,
        code: str | None = None,
        *,
        on_code: Callable[[str], Awaitable[None]] | None = None,
        decide: linking.Decide,
        purpose: Purpose = Purpose.LINK,
    ) -> LinkOutcome:
        """Link with another device: without a code make one and wait, with a code join.

        Args:
            code: What the other device shows.
            on_code: Called with the fresh code, where none was given.
            decide: Asks the person whose device the other one is.
            purpose: What the code is for.

        Raises:
            LinkCodeError: Wrong, expired or burnt.
            NotFoundError: Nobody shows that code.
            RejectedError: A person said no.
            UsageError: A code is open already.
        """
        if code is not None:
            return await self.parts.links.join(code, decide, purpose)
        return await self.parts.links.open(on_code, decide, purpose)

    async def unlink(self, peer: str, *, disown: bool = False) -> LinkedDevice:
        """Trust a device no longer: at once, on open connections too; own devices tell each other.

        Args:
            peer: Name or id.
            disown: Set aside all that the device ever said about own devices: it may be in other hands. One that is
                linked no longer may be disowned too.

        Raises:
            NotFoundError, AmbiguousError: Which device is not clear.
            UsageError: Only an own device can be disowned.
        """
        link = self.peer_book.once_own(peer) if disown else self.peer_book.linked(peer)
        if disown and link.kind is not LinkKind.OWN:
            raise UsageError(f"{link.name} is not your own device", advice="unlink it without --disown")
        await self.parts.links.remove(link, disowns=disown)
        return link

    def rename(self, peer: str, name: str) -> LinkedDevice:
        """Call a linked device by another name on this device.

        Raises:
            NotFoundError, AmbiguousError: Which device is not clear.
            UsageError: The name cannot be used, or looks like the one of another device.
        """
        before = self.peer_book.linked(peer)
        renamed = rename(self.store, self.name, before, name)
        self.events.emit("renamed", device=renamed.device, name=renamed.name, before=before.name)
        return renamed

    # --- sessions -----------------------------------------------------------------------------------

    async def start(self, paths: Iterable[Path | str], title: str | None = None) -> SessionRecord:
        """Register real things as a session of which this device is primary; one that was stopped is taken up again.

        Raises:
            NotFoundError, UsageError: A path is missing, taken, or of no known kind.
        """
        return await self.parts.registering.start(paths, title)

    def sessions(self) -> list[SessionRecord]:
        """Sessions on this device that were not stopped."""
        return self.parts.naming.running()

    def stop_session(self, text: str | None, *, here: Path | None = None) -> SessionRecord:
        """Take a session off the list; its files stay where they are.

        Args:
            text: As for ``session``.
            here: As for ``session``.

        Raises:
            NotFoundError, AmbiguousError: Which session is not clear.
        """
        record = self.session(text, here=here)
        self.parts.registering.stop(record)
        return record

    def session(self, wish: str | Path | None = None, *, here: Path | None = None) -> SessionRecord:
        """The session meant by a title, an id or a path.

        Args:
            wish: What the person typed; None for the session of the folder ``here``, else the only running one.
            here: The directory that the person stands in, where there is one.

        Raises:
            NotFoundError, AmbiguousError: Which session is not clear.
        """
        return self.parts.naming.meant(None if wish is None else str(wish), here)

    # --- handing off --------------------------------------------------------------------------------

    async def to(  # noqa: PLR0913 - what one command takes, by keyword
        self,
        peer: str,
        session: str | Path | None = None,
        *,
        here: Path | None = None,
        only: Sequence[str] = (),
        max_pause: float | None = None,
        mode: Mode = Mode.MOVE,
        letting: Letting = NOTHING,
        on_begun: OnBegun = unheard,
    ) -> Report:
        """Hand a session over to another device.

        Args:
            peer: Name or id of a linked device.
            session: Title, id or path; None as for ``session``.
            here: As for ``session``.
            only: Part types to hand over; empty means all.
            max_pause: Seconds the session may be frozen; None for the setting.
            mode: Move ownership, or copy.
            letting: The secrets that may go to somebody else's device.
            on_begun: Called with the handoff's txn, before any event tells of it.

        Returns:
            How it ended; ``outcome`` may be other than ``done``.

        Raises:
            HandoffError: It could not be begun, or the connection could not be made.
            GivenUpError: The caller was cancelled; its report tells what became of the handoff.
        """
        link = self.peer_book.linked(peer)
        record = await self.parts.registering.meant(session, here)
        plan = OutgoingPlan(
            new_txn_id(self._given.outside.entropy),
            record.id,
            link.device,
            mode,
            frozenset(only),
            max_pause=self.settings.max_pause if max_pause is None else max_pause,
            letting=letting,
        )
        on_begun(plan.txn)
        outgoing = self.handoffs.push(plan)
        return await end_of(outgoing, outgoing.settled)

    async def take(
        self,
        session: str | None = None,
        *,
        peer: str | None = None,
        only: Sequence[str] = (),
        into: Path | None = None,
        here: Path | None = None,
        on_begun: OnBegun = unheard,
    ) -> Report:
        """Fetch a session from the device that is its primary.

        Args:
            session: Title, id or path; None as for ``session``.
            peer: Whom to ask; None asks the known primary, else all own devices in reach.
            only: Part types to take; empty means all.
            into: Directory for parts that are new here.
            here: As for ``session``.
            on_begun: Called with the session's id, before any event tells of the handoff.

        Raises:
            NotFoundError: Nobody in reach has it.
            UnreachableError, TimedOutError: ``peer`` gives no answer.
            RejectedError: The other device says no.
        """
        source, wanted = await self.parts.owner_search.find(session, peer, here)
        self.catalog.check_into(wanted, into)
        on_begun(wanted)
        incoming = await self.handoffs.take(source, wanted, frozenset(only), into)
        return await end_of(incoming, incoming.report)

    async def fork(self, session: str | Path | None = None) -> SessionRecord:
        """Go on without a device that is gone for good: a new session on the same things, with this device as primary.

        The original stays frozen. When its fate becomes known the two come together again by themselves.

        Args:
            session: Title, id or path; None for the only one.

        Raises:
            NotFoundError: No such session, or nothing of it is here.
            UsageError: It is not in doubt, or goes on in a fork already.
        """
        record = self.session(session)
        return await self.parts.forking.fork(record)

    async def undo(self, session: str | Path | None = None, *, generation: int | None = None) -> Undone:
        """Bring back the state before the last accepted handoff (or undo, or merge) as a new generation.

        Args:
            session: Title, id or path; None for the only one.
            generation: Another kept state instead; ``generations`` lists them.

        Raises:
            NotFoundError: No such session, or no such state of it is kept.
            RejectedError: This device is not the primary, or the session is being handed off.
            InDoubtError: The session is frozen.
        """
        record = self.session(session)
        return await self.parts.undoing.undo(record, generation)

    def generations(self, session: str | None = None) -> tuple[Generation, ...]:
        """What ``undo`` can bring back, oldest first.

        Raises:
            NotFoundError, AmbiguousError: Which session is not clear.
        """
        return self.store.generations.of(self.session(session).id)

    def pending(self) -> list[IncomingRequest]:
        """Requests that wait for an answer."""
        return self.requests.pending()

    def accept(
        self, token: str | None = None, *, only: Sequence[str] = (), into: Path | None = None
    ) -> IncomingRequest:
        """Say yes to a request.

        Raises:
            NotFoundError, AmbiguousError: Which request is not clear.
        """
        return self.requests.answer(token, Consent(frozenset(only), into))

    async def accept_and_wait(
        self, token: str | None = None, *, only: Sequence[str] = (), into: Path | None = None
    ) -> Report:
        """Say yes to a request and wait until it has arrived.

        Raises:
            NotFoundError, AmbiguousError: Which request is not clear.
        """
        return await self.parts.consenting.carry_out(token, Consent(frozenset(only), into))

    def reject(self, token: str | None = None, *, reason: str = "") -> IncomingRequest:
        """Say no to a request.

        Raises:
            NotFoundError, AmbiguousError: Which request is not clear.
        """
        return self.requests.answer(token, Refusal(RejectReason.DECLINED, reason))
