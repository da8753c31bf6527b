# SPDX-License-Identifier: Apache-2.0
"""Why a session may not be handed over now, in words. Layer: agent. Specification: docs/specs/handoff-v2.md §5."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from p2p_handoff.errors import HandoffError, RejectedError, TrustError
from p2p_handoff.protocol.messages import RejectReason
from p2p_handoff.protocol.wishes import Push
from p2p_handoff.store.records import SessionRecord

OLD_HERE: Final = "this device's data is an old copy that is not confirmed yet"


@dataclass(frozen=True, slots=True)
class About:
    """What the words name."""

    record: SessionRecord
    owner: str
    """The primary's name."""
    target: str
    """The target's name."""


def refusal(push: Push, about: About) -> HandoffError | None:
    """The error that a person or a taker is told; None where nothing stands in the way."""
    made = _MADE.get(push)
    return None if made is None else made(about)


def old_there(name: str) -> TrustError:
    """The other device's home is an old copy."""
    return TrustError(
        f"the data of {name} is an old copy that is not confirmed yet",
        state="the session stays where it is",
        advice=f"'handoff recover' on {name} shows which devices it awaits",
    )


def _not_primary(about: About) -> HandoffError:
    return RejectedError(
        f"{about.owner} is the primary of {about.record.title!r}, not this device",
        reason=RejectReason.NOT_PRIMARY.value,
        advice=f"take it first: handoff take {about.record.id[:8]}",
    )


def _not_in_place(about: About) -> HandoffError:
    return RejectedError(
        f"{about.record.title!r} is still being put in place on this device",
        reason=RejectReason.BUSY.value,
        advice="try again in a moment",
    )


def _under_way(about: About) -> HandoffError:
    return RejectedError(
        f"another handoff of {about.record.title!r} is under way",
        reason=RejectReason.BUSY.value,
        advice="'handoff recover' shows it",
    )


def _old_here(_about: About) -> HandoffError:
    return TrustError(
        OLD_HERE,
        state="the session stays where it is",
        advice="'handoff recover' shows which devices are awaited",
    )


def lost(about: About) -> HandoffError:
    """This device owned the session, and has lost what was in it."""
    return TrustError(
        f"this device owned {about.record.title!r} in epoch {about.record.ownership.epoch} and has lost what was in it",
        state="nobody can act on the session",
        advice="restore the newest copy of this device's data, or go on in a fork: handoff recover --force",
    )


def _over(about: About) -> HandoffError:
    """A fork that is over has nothing left."""
    return RejectedError(
        f"{about.record.title!r} is over: it came together with its original",
        reason=RejectReason.BUSY.value,
        advice="work in the original: 'handoff sessions' shows who has it",
    )


def _forked(about: About) -> HandoffError:
    """While a fork is open its original has nothing here."""
    return RejectedError(
        f"{about.record.title!r} goes on in a fork",
        reason=RejectReason.BUSY.value,
        advice="'handoff sessions' shows it",
    )


_MADE: Final[dict[Push, Callable[[About], HandoffError]]] = {
    Push.OVER: _over,
    Push.FORKED: _forked,
    Push.NOT_PRIMARY: _not_primary,
    Push.NOT_IN_PLACE: _not_in_place,
    Push.UNDER_WAY: _under_way,
    Push.LOST: lost,
    Push.OLD_HERE: _old_here,
    Push.OLD_THERE: lambda about: old_there(about.target),
}
