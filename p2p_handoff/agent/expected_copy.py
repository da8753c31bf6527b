# SPDX-License-Identifier: Apache-2.0
"""The one copy that a one-off receiver takes without asking. Layer: agent. Specification: docs/specs/link.md §3."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from p2p_handoff.agent.events import OnBegun
from p2p_handoff.agent.report import Report
from p2p_handoff.agent.requests import Consent
from p2p_handoff.errors import TimedOutError
from p2p_handoff.ids import TxnId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.messages import Mode


@dataclass(slots=True)
class _Expected:
    into: Path
    arrived: asyncio.Future[Report]
    on_begun: OnBegun
    txn: TxnId | None = None
    """Known once it has begun."""


class ExpectedCopy:
    """What one agent expects: one copy at the most."""

    def __init__(self) -> None:
        self._expected: _Expected | None = None

    def expect(self, into: Path, on_begun: OnBegun) -> asyncio.Future[Report]:
        """Take the next copy without asking; cancel what is returned to expect none any more.

        Args:
            into: Directory it goes to.
            on_begun: Called with its txn, before any event tells of it.
        """
        expected = _Expected(into, asyncio.get_running_loop().create_future(), on_begun)
        expected.arrived.add_done_callback(lambda _: self._forget(expected))
        self._expected = expected
        return expected.arrived

    def must_begin(self, seconds: float) -> None:
        """The devices have met: the expected copy begins within so many seconds, or it fails as timed out."""
        if self._expected is not None:
            asyncio.get_running_loop().call_later(seconds, _overdue, self._expected)

    def begun(self, init: msg.Init) -> None:
        """A handoff begins: the first copy is what is expected."""
        if init.mode is Mode.COPY and self._expected is not None and self._expected.txn is None:
            self._expected.txn = init.txn
            self._expected.on_begun(init.txn)

    def consent(self, txn: TxnId) -> Consent | None:
        """The yes to what is expected; None for any other handoff."""
        expected = self._of(txn)
        return None if expected is None else Consent(into=expected.into)

    def ended(self, txn: TxnId, report: Report) -> None:
        """A handoff has ended."""
        expected = self._of(txn)
        if expected is not None and not expected.arrived.done():
            expected.arrived.set_result(report)

    def _of(self, txn: TxnId) -> _Expected | None:
        return self._expected if self._expected is not None and self._expected.txn == txn else None

    def _forget(self, expected: _Expected) -> None:
        if self._expected is expected:
            self._expected = None


def _overdue(expected: _Expected) -> None:
    if expected.txn is None and not expected.arrived.done():
        error = TimedOutError("the other device did not begin to send", advice="try again with a new code")
        expected.arrived.set_exception(error)
