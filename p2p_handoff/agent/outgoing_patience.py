# SPDX-License-Identifier: Apache-2.0
"""How long a source waits for a target that is there and silent; and how far it is, told meanwhile. Layer: agent.

Specification: docs/specs/handoff-v2.md §8. Time counts only while it is the target's turn, and anew with each byte.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

from p2p_handoff.agent.account import PROGRESS_INTERVAL, Account
from p2p_handoff.agent.outgoing_connection import Driver
from p2p_handoff.agent.serving import Served
from p2p_handoff.errors import TimedOutError
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol.source import SourceState

ANSWER_FOR: Final = 300.0
"""Seconds without a byte or a word in which a target that is there may still be at work: syncing, scanning."""
RESUME_FOR: Final = 60.0
"""Seconds to wait for the target's word that the session is in place: it is the primary already."""


class OutgoingPatience:
    """Sees to it that nobody waits for ever.

    Args:
        driver: Told when the target was waited for in vain.
        account: Tells of progress.
        served: What was sent.
    """

    def __init__(self, driver: Driver, account: Account, served: Served) -> None:
        self._driver = driver
        self._account = account
        self._served = served
        self._loop = asyncio.get_running_loop()
        self._idle_since = math.inf
        """When this side began to wait for the other; infinity while it is busy itself."""

    def busy(self) -> None:
        """This side is at work: nobody is waited for."""
        self._idle_since = math.inf

    def waiting(self) -> None:
        """It is the target's turn from now on."""
        self._idle_since = self._loop.time()

    async def watch(self) -> None:
        """Look now and then, until cancelled."""
        last = 0
        while True:
            await asyncio.sleep(PROGRESS_INTERVAL)
            if self._served.content_bytes != last:
                last = self._served.content_bytes
                if math.isfinite(self._idle_since):
                    self.waiting()
                self._account.tell_progress(self._driver.machine, self._served, sent_bytes=self._served.sent_bytes)
            self._end_waiting(self._loop.time() - self._idle_since)

    def _end_waiting(self, waited: float) -> None:
        match self._driver.machine.state:
            case SourceState.RELEASED if waited > RESUME_FOR:
                self._driver.happened(src.ResumeOverdue())
            case SourceState.FROZEN if waited > ANSWER_FOR:
                self._driver.doubtful()
            case SourceState.COPYING | SourceState.FINISHING if waited > ANSWER_FOR:
                self._driver.failed(TimedOutError("the other device does not go on"))
