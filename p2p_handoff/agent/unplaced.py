# SPDX-License-Identifier: Apache-2.0
"""Accepted parts that cannot be put in place yet: why, told once and shown until it works. Layer: agent.

Specification: docs/specs/handoff-v2.md §8. That they wait is durable (``pending_commits``); why is found out anew after
a restart.
"""

from __future__ import annotations

from p2p_handoff.agent.events import Events
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import SessionId, TxnId
from p2p_handoff.store.store import Store


class Unplaced:
    """What one agent could not put in place.

    Args:
        store: Knows what waits.
        events: Told ``not-in-place`` when a reason is new.
    """

    def __init__(self, store: Store, events: Events) -> None:
        self._store = store
        self._events = events
        self._reasons: dict[SessionId, str] = {}

    def tell(self, txn: TxnId, session: SessionId, error: Exception) -> None:
        """Another attempt failed."""
        what = error.what if isinstance(error, HandoffError) else f"an unexpected error ({type(error).__name__})"
        advice = f"; {error.advice}" if isinstance(error, HandoffError) and error.advice else ""
        text = f"{what}; the session is this device's and complete, and it is tried again until it is in place{advice}"
        if self._reasons.get(session) != text:
            self._reasons[session] = text
            self._events.emit("not-in-place", txn=txn, session=session, text=text)

    def placed(self, session: SessionId) -> None:
        """It worked."""
        self._reasons.pop(session, None)

    def of(self, session: SessionId) -> str:
        """Why a session is not in place, for people; empty when nothing of it waits."""
        if not any(commit.session == session for commit in self._store.incoming.pending_commits()):
            return ""
        return self._reasons.get(session, "it is being put in place")
