# SPDX-License-Identifier: Apache-2.0
"""Ownership news on the open wires: tells, asks, and stores what came. Layer: agent.

Specification: docs/specs/handoff-v2.md §3 (ownership news), docs/specs/ownership.md §3 rule 8. What is said and what
follows is decided in protocol.news. One task takes everything in order, so that the wires of a handoff never wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from p2p_handoff.agent.learning import Learner
from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.wire import Wire
from p2p_handoff.errors import HandoffError, RemoteProtocolError, StorageError, TrustError
from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.limits import MAX_TITLE
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import news
from p2p_handoff.protocol.news import Hearing
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import Chain
from p2p_handoff.session.journal import Held
from p2p_handoff.session.paths import printable
from p2p_handoff.store.records import NewSession

log = logging.getLogger(__name__)

NewsMessage = msg.News | msg.AskChain | msg.ChainNews
NEWS_MESSAGES = (msg.News, msg.AskChain, msg.ChainNews)

AGAIN_AFTER: Final = 10.0
"""Seconds until a chain is asked for again that could not be stored, as on a full disk."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What the desk needs of the agent besides its services.

    Args:
        wires: The open wires.
        outgoing_of: The outgoing handoff of a session, if one is under way.
        ask_again: Called when a device may answer now what it could not before.
        heard: Called when a device has told all that it knows, and it is durable here.
    """

    wires: Callable[[], Sequence[Wire]]
    outgoing_of: Callable[[SessionId], Outgoing | None]
    ask_again: Callable[[DeviceId], None]
    heard: Callable[[DeviceId], None]


class NewsDesk:
    """The news of one agent.

    Args:
        services: The agent's parts.
        reach: Wires, running handoffs, and who wants to know.
    """

    def __init__(self, services: Services, reach: Reach) -> None:
        self._services = services
        self._reach = reach
        self._learner = Learner(services, reach.outgoing_of)
        self._hearings: dict[Wire, Hearing] = {}
        self._again: dict[Wire, asyncio.TimerHandle] = {}
        """Wires whose chain could not be stored."""
        self._storing: set[SessionId] = set()
        """Sessions whose running handoff has been told, and has not stored it yet."""
        self._work: asyncio.Queue[tuple[Wire, NewsMessage | None] | SessionId | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(), name="ownership news")
        self._cancel = services.events.subscribe(self._event)

    def opened(self, wire: Wire) -> None:
        """A wire's handshake is complete: tell its peer everything that concerns it."""
        self._hearings[wire] = Hearing()
        self._work.put_nowait((wire, None))

    def received(self, wire: Wire, message: NewsMessage) -> None:
        """A message of ours arrived."""
        self._work.put_nowait((wire, message))

    def closed(self, wire: Wire) -> None:
        """A wire is over: what it had not answered is asked again on the next one."""
        self._hearings.pop(wire, None)
        if (timer := self._again.pop(wire, None)) is not None:
            timer.cancel()

    async def close(self) -> None:
        """Take nothing more."""
        self._cancel()
        for timer in self._again.values():
            timer.cancel()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    # --- the task -----------------------------------------------------------------------------------

    def _event(self, name: str, fields: Mapping[str, Any]) -> None:
        if name == "owner":
            self._storing.discard(fields["session"])
            self._work.put_nowait(fields["session"])
        elif name == "home-confirmed":
            self._work.put_nowait(None)

    async def _run(self) -> None:
        while True:
            item = await self._work.get()
            try:
                await self._take(item)
            except HandoffError as error:
                log.warning("ownership news: %s", error)
            except Exception:
                log.exception("ownership news failed in a way that nobody foresaw")

    async def _take(self, item: tuple[Wire, NewsMessage | None] | SessionId | None) -> None:
        match item:
            case (wire, msg.News() as message):
                await self._told(wire, message)
            case (wire, msg.AskChain(session)):
                await self._answer(wire, session)
            case (wire, msg.ChainNews() as message):
                await self._chain_came(wire, message)
            case (wire, None):
                await self._tell(wire, await asyncio.to_thread(self._services.store.ownership.all_held))
            case None:
                for wire in self._reach.wires():
                    await self._tell(wire, ())
            case _:
                await self._tell_change(item)

    # --- telling ------------------------------------------------------------------------------------

    async def _tell(self, wire: Wire, sessions: Sequence[Held]) -> None:
        counter = self._services.store.counter.value
        with contextlib.suppress(HandoffError):
            for message in news.listed(sessions, wire.peer, own=self._is_own(wire.peer), counter=counter):
                wire.send(message)

    async def _tell_change(self, session: SessionId) -> None:
        held = await asyncio.to_thread(self._services.store.ownership.held_of, session)
        for wire in self._reach.wires():
            if held is not None and news.may_know(held, wire.peer, own=self._is_own(wire.peer)):
                await self._tell(wire, (held,))
        for wire in tuple(self._hearings):
            self._look_whether_heard(wire)

    async def _answer(self, wire: Wire, session: SessionId) -> None:
        held = await asyncio.to_thread(self._services.store.ownership.held_of, session)
        record = self._services.store.sessions.get(session)
        title = record.title if record is not None else ""
        with contextlib.suppress(HandoffError):
            own = self._is_own(wire.peer)
            wire.send(await asyncio.to_thread(news.answer, session, held, title, wire.peer, own=own))

    def _is_own(self, peer: DeviceId) -> bool:
        link = self._services.store.links.get(peer)
        return link is not None and link.kind is LinkKind.OWN

    # --- asking -------------------------------------------------------------------------------------

    async def _told(self, wire: Wire, message: msg.News) -> None:
        store = self._services.store.ownership
        found = {owner.session: await asyncio.to_thread(store.held_of, owner.session) for owner in message.owners}
        here = {session: held for session, held in found.items() if held is not None}
        hearing = self._hearings.get(wire)
        if hearing is not None:
            if hearing.complete_list and not message.owners:
                self._reach.ask_again(wire.peer)  # Its home was confirmed: before, it could refuse nothing.
            self._go_on(wire, news.told(hearing, message, here, me=self._services.identity.device))

    async def _chain_came(self, wire: Wire, message: msg.ChainNews) -> None:
        hearing = self._hearings.get(wire)
        if hearing is None or hearing.asked != message.session:
            return
        if message.chain:
            try:
                await self._learn(message)
            except StorageError:
                self._ask_later(wire, message.session)
                raise
            except (TrustError, RemoteProtocolError) as error:
                self._conflict(wire, message.session, error)
        # It may have closed meanwhile; then everything is asked for again on the next wire.
        if (hearing := self._hearings.get(wire)) is not None:
            self._go_on(wire, news.answered(hearing, message.session))

    def _go_on(self, wire: Wire, hearing: Hearing) -> None:
        hearing, session = news.next_question(hearing)
        self._hearings[wire] = hearing
        if session is not None:
            with contextlib.suppress(HandoffError):
                wire.send(msg.AskChain(session))
        self._look_whether_heard(wire)

    def _ask_later(self, wire: Wire, session: SessionId) -> None:
        """The wire may stay open for long: what it told must not wait for the next one."""
        if (earlier := self._again.get(wire)) is not None:
            earlier.cancel()  # A peer may say the same twice.
        loop = asyncio.get_running_loop()
        self._again[wire] = loop.call_later(AGAIN_AFTER, self._ask_again, wire, session)

    def _ask_again(self, wire: Wire, session: SessionId) -> None:
        del self._again[wire]
        with contextlib.suppress(HandoffError):
            wire.send(msg.AskChain(session))

    def _look_whether_heard(self, wire: Wire) -> None:
        hearing = self._hearings.get(wire)
        if hearing is not None and hearing.heard and not self._storing:
            self._reach.heard(wire.peer)

    # --- learning -----------------------------------------------------------------------------------

    async def _learn(self, message: msg.ChainNews) -> None:
        chain = await asyncio.to_thread(chains.decode_chain, message.chain)
        held = await asyncio.to_thread(self._services.store.ownership.held_of, message.session)
        if held is None:
            await self._remember_lost(message, chain)
            return
        if await self._learner.learn(held, chain) is not None:
            self._storing.add(message.session)

    async def _remember_lost(self, message: msg.ChainNews, chain: Chain) -> None:
        """A session that this device owns by its own signature, and of which it knows nothing: said, not acted on."""
        state = await asyncio.to_thread(chains.verify_chain, chain)
        if (state.session, state.primary) != (message.session, self._services.identity.device):
            raise TrustError("the chain is not the one that was asked for")
        title = printable(message.title, MAX_TITLE) or message.session[:8]
        new = NewSession(title, self._services.clock(), None, chain, ())
        own = await asyncio.to_thread(self._services.store.ownership.follow, new)
        self._services.events.emit("owner", session=own.session, primary=own.primary, epoch=own.epoch)

    def _conflict(self, wire: Wire, session: SessionId, error: HandoffError) -> None:
        name = self._services.peer_name(wire.peer)
        log.error("the history of session %s as %s has it was refused: %s", session[:6], name, error)
        self._services.events.emit(
            "ownership-conflict", session=session, device=wire.peer, name=name, text=error.sentence
        )
