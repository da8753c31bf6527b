# SPDX-License-Identifier: Apache-2.0
"""Takes up what a stop or a crash interrupted: parts not in place yet, and grants without an answer. Layer: agent.

Specification: docs/specs/handoff-v2.md §8. How each is taken up is in agent.aftermath.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from p2p_handoff.agent import aftermath
from p2p_handoff.agent.outgoing import Outgoing
from p2p_handoff.agent.retry import delays
from p2p_handoff.agent.returning import call, to_call
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.stagings import KEEP_STAGED
from p2p_handoff.agent.under_way import UnderWay
from p2p_handoff.agent.work import in_thread
from p2p_handoff.session.ownership import Role
from p2p_handoff.store.records import PendingCommit, SessionRecord

log = logging.getLogger(__name__)


class Restart:
    """The beginning of one run of an agent.

    Args:
        services: The agent's parts.
        under_way: Its handoffs.
        run: Runs an outgoing handoff.
        spawn: Runs a task until the agent stops.
    """

    def __init__(
        self,
        services: Services,
        under_way: UnderWay,
        run: Callable[[Outgoing], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], None],
    ) -> None:
        self._services = services
        self._under_way = under_way
        self._run = run
        self._spawn = spawn

    def recover(self) -> None:
        """Take everything up; what takes longer goes on beside the caller."""
        for device in to_call(self._services):
            self._spawn(call(self._services, device), f"call {device[:6]}")
        self._spawn(self._finish_commits(), "commits")
        self._spawn(self._collect_stagings(), "stagings")
        for record in self._services.store.sessions.all():
            if record.ownership.role is Role.FROZEN:
                self._take_up(record)

    def _take_up(self, record: SessionRecord) -> None:
        """Ask for the answer of a frozen session; one whose record is damaged must not keep the others from theirs."""
        try:
            self._run(aftermath.frozen_again(self._services, record))
        except Exception as error:  # noqa: BLE001 - a damaged database may hold anything
            log.error("session %s cannot be taken up: %s", record.id[:6], error)
            text = f"the grant of {record.title!r} cannot be read; 'handoff history {record.id[:8]} --verify' says more"
            self._services.events.emit("damaged", session=record.id, text=text)

    async def _collect_stagings(self) -> None:
        services = self._services
        while True:
            pending = {commit.directory for commit in services.store.incoming.pending_commits()}
            pending |= services.store.generations.pending_directories()
            for directory in await in_thread(services.stagings.collect, self._under_way.incoming.keys(), pending):
                log.info("%s is gone: its handoff did not come back", directory)
            await asyncio.sleep(KEEP_STAGED)

    async def _finish_commits(self) -> None:
        store = self._services.store
        for delay in delays(self._services.entropy):
            pending = store.incoming.pending_commits()
            if not pending:
                return
            for commit in pending:
                if commit.txn not in self._under_way.incoming:  # A handoff of this run puts it in place itself.
                    await self._finish_commit(commit)
            if store.incoming.pending_commits():
                await asyncio.sleep(delay)

    async def _finish_commit(self, commit: PendingCommit) -> None:
        try:
            await aftermath.finish_commit(self._services, commit)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            log.error("part %s of %s is not in place yet: %s", commit.part, commit.session[:6], error)
            self._services.unplaced.tell(commit.txn, commit.session, error)
