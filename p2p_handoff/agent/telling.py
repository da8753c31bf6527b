# SPDX-License-Identifier: Apache-2.0
"""Kept states and forks as the control API and the command line tell of them. Layer: agent.

Specification: docs/specs/control.md §5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from p2p_handoff.agent.requests import part_as_json
from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.session.journal import ForkState
from p2p_handoff.session.links import genesis_of
from p2p_handoff.session.ownership import is_lost
from p2p_handoff.store.forks import Fork
from p2p_handoff.store.generations import Cause, Generation
from p2p_handoff.store.records import SessionRecord
from p2p_handoff.store.store import Store

_BEFORE: Final = {
    Cause.HANDOFF: "before a handoff arrived",
    Cause.UNDO: "before an undo",
    Cause.MERGE: "before a fork was merged",
}

_FORK: Final = {
    ForkState.OPEN: "goes on in",
    ForkState.REJOINED: "went on for a while in",
    ForkState.MERGED: "has taken in",
}


def generation_as_json(item: Generation) -> dict[str, Any]:
    """The stable keys of a kept state."""
    kept = item.kept
    return {
        "generation": item.number,
        "cause": kept.cause.value,
        "kept_at": kept.kept_at,
        "epoch": kept.epoch,
        "parts": [part_as_json(part) for part in kept.manifest.parts],
        "text": _BEFORE[kept.cause] if kept.manifest.parts else "nothing was here before",
    }


def fork_as_json(store: Store, record: SessionRecord) -> dict[str, Any]:
    """What a session has to do with forks: ``fork_of``, ``forked_into``, and a sentence, each empty where nothing."""
    mine, into = store.forks.get(record.id), store.forks.open_of(record.id)
    parent = genesis_of(record.chain).parent
    return {
        "fork_of": parent.session if parent is not None else "",
        "forked_into": into.fork if into is not None else "",
        "text": _fork_text(store, record, mine, into),
    }


def _fork_text(store: Store, record: SessionRecord, mine: Fork | None, into: Fork | None) -> str:
    if into is not None:
        return f"{record.title!r} goes on in {title_of(store, into.fork)!r} on this device"
    if mine is None:
        return ""
    original = title_of(store, mine.original)
    if stands_alone(store, mine):
        return (
            f"{record.title!r} is a fork of {original!r}, which is lost on this device: it stands by itself,"
            " and comes together with it only if that turns up on another device"
        )
    if mine.state is ForkState.OPEN:
        return f"{record.title!r} is a fork of {original!r}, and comes together with it when its other device is met"
    return f"{record.title!r} is over: it came together with {original!r}"


def stands_alone(store: Store, fork: Fork) -> bool:
    """Whether a fork awaits nothing: its original is lost here, so that nobody has it as far as this device knows."""
    original, copy = store.sessions.get(fork.original), store.sessions.get(fork.fork)
    if fork.state is not ForkState.OPEN or original is None or copy is None:
        return False
    maker = genesis_of(copy.chain).primary
    return is_lost(original.ownership, me=maker)


def open_forks(store: Store) -> list[dict[str, Any]]:
    """The forks that are still to come together with their originals, in words."""
    awaiting = [fork for fork in store.forks.open() if not stands_alone(store, fork)]
    records = [record for fork in awaiting if (record := store.sessions.get(fork.fork)) is not None]
    return [{"session": record.id, "title": record.title, **fork_as_json(store, record)} for record in records]


def force_warning(record: SessionRecord, named: Callable[[DeviceId], str]) -> str:
    """What a person should know before a session goes on in a fork."""
    frozen = record.ownership.frozen
    who = named(frozen.target if frozen is not None else record.ownership.primary)
    return (
        f"{record.title!r} was granted to {who}, which may have it by now. Force only if {who} is gone for good or"
        f" cannot be waited for: the work then goes on here as a session of its own, and what is done on {who}"
        " meanwhile comes together with it when the devices meet, files as copies side by side. Force?"
    )


def fork_history(store: Store, session: SessionId, named: Callable[[DeviceId], str]) -> list[dict[str, Any]]:
    """The forks of a session that this device made or took in, oldest first."""
    made = [
        {
            "fork": item.fork,
            "state": item.state.value,
            "at": item.ended_at or item.made_at,
            "text": f"{_FORK[item.state]} {title_of(store, item.fork)!r} on this device",
        }
        for item in store.forks.of(session)
    ]
    taken = [
        {
            "fork": item.fork,
            "state": ForkState.MERGED.value,
            "at": item.merged_at,
            "text": f"has taken in a fork from {named(item.source)}",
        }
        for item in store.forks.merges_into(session)
    ]
    return sorted([*made, *taken], key=lambda item: item["at"])


def title_of(store: Store, session: SessionId) -> str:
    """A session's title, or the beginning of its id where it is not here."""
    record = store.sessions.get(session)
    return record.title if record is not None else session[:8]
