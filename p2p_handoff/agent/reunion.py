# SPDX-License-Identifier: Apache-2.0
"""Brings forks and their originals together again, as soon as the original's fate is known. Layer: agent.

Specification: docs/specs/ownership.md §3 (reunion). Nothing here is decided twice: what is to be done is read from the
store each time something happens that may matter, so a crash at any step is taken up by the next look.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from p2p_handoff.agent.catalog import is_there
from p2p_handoff.agent.forking import copy_state
from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.outgoing_plan import OutgoingPlan
from p2p_handoff.agent.report import Report
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.work import in_thread
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import PartId, SessionId, new_txn_id
from p2p_handoff.protocol import reunion as rules
from p2p_handoff.protocol.messages import Mode, RejectReason
from p2p_handoff.session.guard import is_shown
from p2p_handoff.session.journal import ForkState
from p2p_handoff.session.manifest import decode_manifest, root_of
from p2p_handoff.session.ownership import Role
from p2p_handoff.store.forks import Fork
from p2p_handoff.store.records import SessionRecord

log = logging.getLogger(__name__)

_TELLING: Final = frozenset(
    (
        "connected",
        "found",
        "forked",
        "rejoined",
        "handoff",
        "handoff-failed",
        "released",
        "owner",
        "session-started",
        "undone",
    )
)
"""Events after which a fork and its original may come together."""
AGAIN_AFTER: Final = 30.0
"""Seconds until an original's primary that was busy or out of reach is tried again, if nothing is heard before."""
_ROUNDS: Final = 3
"""Merges of a fork in which somebody works all the time, before the rest counts as edits of the original."""
_FINAL: Final = frozenset((RejectReason.DECLINED.value, RejectReason.EXPIRED.value))
"""Answers of a person: not asked again before the next start."""


class Reunion:
    """The open forks of one agent.

    Args:
        services: The agent's parts.
        is_busy: Tells whether a handoff of a session is under way.
        push: Begins an outgoing handoff.
    """

    def __init__(
        self,
        services: Services,
        is_busy: Callable[[SessionId], bool],
        push: Callable[[OutgoingPlan], Outgoing],
    ) -> None:
        self._services = services
        self._is_busy = is_busy
        self._push = push
        self._answered: set[SessionId] = set()
        """Forks that a person on the other side has said no to."""
        self._looking: dict[SessionId, asyncio.Task[None]] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe = services.events.subscribe(self._heard)

    def start(self) -> None:
        """Look at every open fork now, and again whenever something happened that may matter."""
        self._news.set()
        self._task = asyncio.create_task(self._run(), name="reunion")

    async def close(self) -> None:
        """Stop looking; what is under way is taken up at the next start."""
        self._unsubscribe()
        tasks = [task for task in (self._task, *self._looking.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _heard(self, name: str, fields: Mapping[str, Any]) -> None:
        if name in _TELLING and not self._is_own_attempt(name, fields):
            self._news.set()

    def _is_own_attempt(self, name: str, fields: Mapping[str, Any]) -> bool:
        """The end of a merge that did not come about is no reason to try the next one at once."""
        if name not in ("handoff", "handoff-failed") or fields.get("direction") == "in":
            return False
        fork = self._services.store.forks.get(fields["session"])
        return fork is not None and fork.state is ForkState.OPEN

    async def _run(self) -> None:
        while True:
            forks = self._services.store.forks.open()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_AFTER if forks else None):
                    await self._news.wait()
            self._news.clear()
            for fork in self._services.store.forks.open():
                if fork.fork not in self._looking:
                    task = asyncio.create_task(self._try(fork), name=f"reunion {fork.fork[:6]}")
                    self._looking[fork.fork] = task

    async def _try(self, fork: Fork) -> None:
        try:
            await self._look(fork)
        except HandoffError as error:
            log.info("fork %s stays for now: %s", fork.fork[:6], error)
        except Exception:
            log.exception("fork %s stays for now", fork.fork[:6])
        finally:
            del self._looking[fork.fork]

    async def _look(self, fork: Fork) -> None:
        sessions = self._services.store.sessions
        original, copy = sessions.get(fork.original), sessions.get(fork.fork)
        if original is None or copy is None:
            return
        moving = self._is_moving(fork.original) or self._is_moving(fork.fork)
        me = self._services.identity.device
        verdict = rules.judge_reunion(original.ownership, copy.ownership, me=me, moving=moving)
        offered = verdict is rules.Reunion.OFFER and await self._is_taken_in(fork, original)
        if offered or verdict is rules.Reunion.HERE:
            await in_thread(self._end, fork, original)
            self._tell(fork, copy)
            await in_thread(self._services.keeper.forget_fork, fork.fork, fork.original)

    async def _is_taken_in(self, fork: Fork, original: SessionRecord) -> bool:
        """Have the original's primary merge the fork; True once all that is here now is durable there."""
        services, target = self._services, original.ownership.primary
        if services.store.links.get(target) is None or fork.fork in self._answered:
            return False
        for _ in range(_ROUNDS):
            parent = fork.manifest if await in_thread(self._shows_parent, fork) else b""
            plan = OutgoingPlan(
                new_txn_id(services.entropy),
                fork.fork,
                target,
                Mode.MERGE,
                parent=parent,
                without=_never_offered(fork),
            )
            merging = self._push(plan)
            report = await asyncio.shield(merging.settled)
            if report.reason == RejectReason.NOTHING_CHOSEN.value:
                return True  # The other device has none of these parts: they are held here.
            if report.outcome != "done":
                self._note_answer(fork, report)
                return False
            picture = await in_thread(services.catalog.picture, fork.fork)
            if root_of(merging.shown(picture.manifest)).hex() == report.root:
                return True
        return True  # What is still being written stays here, as edits of the original's copy.

    def _note_answer(self, fork: Fork, report: Report) -> None:
        if report.reason in _FINAL:
            self._answered.add(fork.fork)
        log.info("fork %s is not merged yet: %s", fork.fork[:6], report.text)

    def _shows_parent(self, fork: Fork) -> bool:
        """Whether what the fork left can be served for comparison. Blocks."""
        catalog = self._services.catalog
        roots = {part.id: part.root for part in decode_manifest(fork.manifest).parts if is_shown(part)}
        with catalog.guard(fork.fork):
            return all(
                catalog.open_part(binding).mark_parent(roots[binding.part])
                for binding in catalog.bindings(fork.fork)
                if is_there(binding) and binding.part in roots
            )

    def _is_moving(self, session: SessionId) -> bool:
        return self._services.store.is_placing(session) or self._is_busy(session)

    def _end(self, fork: Fork, original: SessionRecord) -> None:
        """The original takes back its paths, with all that the fork's adapters remember. Blocks."""
        services = self._services
        catalog = services.catalog
        with catalog.guard(fork.original), catalog.guard(fork.fork):
            for binding in catalog.bindings(fork.fork):
                if is_there(binding):
                    copy_state(catalog.state_dir(fork.fork, binding.part), catalog.state_dir(original.id, binding.part))
            services.store.forks.end(fork.fork, at=services.clock())
            catalog.forget_open(fork.fork)
            catalog.forget_open(fork.original)
            if original.ownership.role is not Role.PRIMARY:
                self._remember_common(fork)

    def _remember_common(self, fork: Fork) -> None:
        """The original was handed over as it was granted: that, not what the fork added, is the last common state."""
        catalog = self._services.catalog
        parts = {part.id: part for part in decode_manifest(fork.manifest).parts if is_shown(part)}
        for binding in catalog.bindings(fork.original):
            if is_there(binding) and binding.part in parts:
                part = parts[binding.part]
                try:
                    catalog.open_part(binding).release(part.root, part.left_out)
                except HandoffError as error:
                    log.warning("part %s of %s keeps an older common state: %s", binding.part, fork.original[:6], error)

    def _tell(self, fork: Fork, copy: SessionRecord) -> None:
        ended = self._services.store.forks.get(fork.fork)
        state = ended.state if ended is not None else ForkState.OPEN
        log.info("fork %s is over: %s", fork.fork[:6], state.value)
        self._services.events.emit(
            "rejoined", session=fork.original, fork=fork.fork, title=copy.title, state=state.value
        )


def _never_offered(fork: Fork) -> frozenset[PartId]:
    """What the user kept from the other device when the original was granted: a merge does not give it away."""
    return frozenset(part.id for part in decode_manifest(fork.manifest).parts if not is_shown(part))
