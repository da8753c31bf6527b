# SPDX-License-Identifier: Apache-2.0
"""What is unsettled on a device, in words: doubts, lost sessions, an old copy of the home. Layer: agent.

Specification: docs/specs/control.md §5, docs/specs/ownership.md §3, §7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from p2p_handoff.ids import DeviceId
from p2p_handoff.session.ownership import Role, is_lost
from p2p_handoff.store.records import LinkedDevice, SessionRecord
from p2p_handoff.store.store import Store


@dataclass(frozen=True, slots=True)
class Around:
    """What the words draw on.

    Args:
        me: This device.
        named: Display name of a device.
        connected: Whether a wire to a device is open.
        awaited: Linked devices that an old copy of this home still waits for.
    """

    store: Store
    me: DeviceId
    named: Callable[[DeviceId], str]
    connected: Callable[[DeviceId], bool]
    awaited: Callable[[], Sequence[LinkedDevice]]


def in_doubt(records: Iterable[SessionRecord]) -> list[SessionRecord]:
    """The sessions that were granted and have no answer."""
    return [record for record in records if record.ownership.role is Role.FROZEN]


def doubt_as_json(around: Around, record: SessionRecord) -> dict[str, Any]:
    """One session in doubt: which, to whom, since when, what is known, what to do."""
    frozen = record.ownership.frozen
    assert frozen is not None
    outgoing = around.store.outgoing.grant(frozen.txn)
    since = outgoing.granted_at if outgoing is not None else None
    link = around.store.links.get(frozen.target)
    peer = around.named(frozen.target)
    granted = f"{record.title!r} was granted to {peer}{f' on {_moment(since)}' if since is not None else ''}"
    state = f"{granted}, and its answer has not arrived; it is frozen here, nothing is lost"
    return {
        "session": record.id,
        "title": record.title,
        "target": peer,
        "txn": frozen.txn,
        "since": since,
        "linked": link is not None,
        "connected": around.connected(frozen.target),
        "text": f"{state}; {_outlook(around, record, frozen.target, link)}",
    }


def lost_as_json(around: Around, records: Iterable[SessionRecord]) -> list[dict[str, Any]]:
    """The sessions that this device owns and has forgotten, and that do not go on in a fork."""
    return [
        {
            "session": record.id,
            "title": record.title,
            "epoch": record.ownership.epoch,
            "text": (
                f"{record.title!r} became this device's in epoch {record.ownership.epoch}, and this data directory is"
                " older than that: what was in it is not here, and nobody can act on it; restore the newest copy of"
                " this device's data, or go on from what is here in a fork with"
                f" 'handoff recover {record.id[:8]} --force'"
            ),
        }
        for record in records
        if is_lost(record.ownership, me=around.me) and around.store.forks.open_of(record.id) is None
    ]


def old_copy_as_json(around: Around) -> dict[str, Any] | None:
    """Whether this home is an old copy, and who is awaited; None when it is not."""
    if not around.store.counter.rolled_back:
        return None
    names = [link.name for link in around.awaited()]
    return {
        "awaited": names,
        "text": (
            "this device's data is an old copy of what it once was; no session changes hands here until every linked"
            f" device has told what it knows: {', '.join(names) or 'none'} awaited; bring them online, and unlink one"
            " that is gone for good with 'handoff unlink NAME'"
        ),
    }


def _outlook(around: Around, record: SessionRecord, target: DeviceId, link: LinkedDevice | None) -> str:
    peer, force = around.named(target), f"'handoff recover {record.id[:8]} --force' goes on in a fork"
    fork = around.store.forks.open_of(record.id)
    if fork is not None:
        return "it goes on in a fork, and the two come together when its other device is met"
    if link is None:
        return (
            f"{peer} is not linked any more, so only another device that has met it since can bring the answer:"
            f" let your devices meet, or link it again; {force}"
        )
    if around.connected(target):
        return f"{peer} is connected and has been asked"
    heard = f"{peer} was last heard of on {_moment(link.last_seen)}" if link.last_seen else f"{peer} is not in reach"
    return (
        f"{heard}; it resolves by itself when {peer}, or any device that has met it since, is in reach;"
        f" if {peer} is gone for good, {force}"
    )


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")
