# SPDX-License-Identifier: Apache-2.0
"""``handoff history --verify``: the stored ownership chain, checked and put into words. Layer: agent.

Specification: docs/specs/ownership.md §6. Reads the store alone; nobody is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from p2p_handoff.errors import RemoteProtocolError, TrustError
from p2p_handoff.ids import DeviceId
from p2p_handoff.session.audit import audit
from p2p_handoff.session.signed import SignedStatement
from p2p_handoff.store.records import SessionRecord
from p2p_handoff.store.store import Store

_DEVICE = re.compile(r"\b[a-z2-7]{32}\b")


def verify_history(store: Store, record: SessionRecord, named: Callable[[DeviceId], str]) -> None:
    """Check what this device has stored about who owns a session.

    Args:
        store: The agent's database.
        record: The session.
        named: A device's name for people.

    Raises:
        TrustError: Names the first bad link of the chain.
    """
    try:
        audit(record.chain, record.id, record.ownership, _outstanding(store, record))
    except TrustError as error:
        raise TrustError(
            _DEVICE.sub(lambda found: named(DeviceId(found[0])), error.what),
            state="the files of the session are as they were, and it is not to be handed off like this",
            advice="restore the data directory from a backup, or start the files as a new session",
        ) from error


def _outstanding(store: Store, record: SessionRecord) -> SignedStatement | None:
    """The grant that froze the session; none where it is missing or so damaged that it says nothing."""
    frozen = record.ownership.frozen
    try:
        grant = store.outgoing.grant(frozen.txn) if frozen is not None else None
    except RemoteProtocolError:
        return None
    return grant.signed if grant is not None else None
