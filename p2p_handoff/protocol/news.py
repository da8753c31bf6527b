# SPDX-License-Identifier: Apache-2.0
"""Ownership news between two linked devices: what to say, what to ask for, what follows from it. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §3 (ownership news), docs/specs/ownership.md §3 rule 8, §6, §7. After the
Hello each side lists how far it knows the sessions that concern the other; who is behind asks for the chain, one at
a time. A chain proves itself, so that it does not matter who sent it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.limits import MAX_CONTROL_MESSAGE, MAX_OWNERS
from p2p_handoff.protocol.messages import ChainNews, KnownOwner, News
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal
from p2p_handoff.session.chain import Chain
from p2p_handoff.session.journal import Held
from p2p_handoff.session.signed import link_digest

_MARGIN = 4096
"""Bytes that a message needs around a chain."""


# --- what to say ------------------------------------------------------------------------------------


def may_know(held: Held, peer: DeviceId, *, own: bool) -> bool:
    """Whether a peer may hear of a session: the user's own device, a member of the chain, or whom it is granted to."""
    frozen = held.ownership.frozen
    return own or peer in held.state.members or (frozen is not None and frozen.target == peer)


def listed(sessions: Iterable[Held], peer: DeviceId, *, own: bool, counter: int) -> Iterator[News]:
    """What a peer is told: at least one message, of which the last says that it is the last.

    Args:
        sessions: All sessions of this device, or those that changed.
        peer: Whom it is told.
        own: Whether the peer is the user's own device.
        counter: This device's store counter.
    """
    owners = [_known(held) for held in sessions if may_know(held, peer, own=own)]
    for start in range(0, max(1, len(owners)), MAX_OWNERS):
        yield News(counter, tuple(owners[start : start + MAX_OWNERS]), more=start + MAX_OWNERS < len(owners))


def answer(session: SessionId, held: Held | None, title: str, peer: DeviceId, *, own: bool) -> ChainNews:
    """The chain that a peer asked for; an empty one when there is none for it."""
    if held is None or not may_know(held, peer, own=own):
        return ChainNews(session, "", b"")
    chain = chains.encode_chain(held.chain)
    # Longer ones travel in no message of the protocol: such a session is handed off no more either.
    return ChainNews(session, title, chain if len(chain) <= MAX_CONTROL_MESSAGE - _MARGIN else b"")


def _known(held: Held) -> KnownOwner:
    return KnownOwner(held.state.session, held.state.epoch, held.state.primary, held.state.head)


# --- what to ask for --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hearing:
    """What one connection's peer has told so far."""

    complete_list: bool = False
    """Its whole list has been heard."""
    wanted: tuple[SessionId, ...] = ()
    """Chains still to be asked for."""
    asked: SessionId | None = None
    """The chain that was asked for and has not come."""

    @property
    def heard(self) -> bool:
        """Everything that the peer listed is known here."""
        return self.complete_list and self.asked is None and not self.wanted


def told(hearing: Hearing, news: News, sessions: Mapping[SessionId, Held], *, me: DeviceId) -> Hearing:
    """The peer has told something. Next: ``next_question``.

    Args:
        hearing: What it told before.
        news: Its message.
        sessions: What this device holds of the sessions that the message lists.
        me: This device.
    """
    behind = [owner.session for owner in news.owners if _is_behind(sessions.get(owner.session), owner, me)]
    fresh = tuple(session for session in dict.fromkeys(behind) if session not in hearing.wanted)
    return replace(hearing, complete_list=hearing.complete_list or not news.more, wanted=hearing.wanted + fresh)


def next_question(hearing: Hearing) -> tuple[Hearing, SessionId | None]:
    """The session whose chain is to be asked for now; None while an answer is awaited or there is nothing to ask."""
    if hearing.asked is not None or not hearing.wanted:
        return hearing, None
    first, *rest = hearing.wanted
    return replace(hearing, wanted=tuple(rest), asked=first), first


def answered(hearing: Hearing, session: SessionId) -> Hearing:
    """The chain that was asked for came, and what it proves is durable. Next: ``next_question``."""
    return replace(hearing, asked=None) if hearing.asked == session else hearing


def _is_behind(held: Held | None, owner: KnownOwner, me: DeviceId) -> bool:
    if held is None:
        return owner.primary == me  # This device owned the session, and has forgotten even that.
    if owner.epoch > held.state.epoch:
        return True
    # The acceptance that began epoch e stands at 2 (e - 1): another one there is another history.
    return owner.epoch > 0 and owner.head != link_digest(held.chain[2 * (owner.epoch - 1)])


# --- what follows from a chain ----------------------------------------------------------------------


class Lesson(Enum):
    """What a chain means for the session as it is here."""

    NOTHING = "nothing"
    """Nothing that was not known."""
    FOLLOW = "follow"
    """Another owner: this device is secondary of it. Stored at once."""
    RESOLVED = "resolved"
    """The outstanding grant was accepted: the source's machine hears LearnedAccepted."""
    SUPERSEDED = "superseded"
    """The session went on without the outstanding grant, as it can in an old copy of a home: LearnedLater."""


def lesson(held: Held, chain: Chain, *, me: DeviceId) -> Lesson:
    """Verify a chain and say what it means. Storing it is up to whoever asked.

    Raises:
        TrustError: It is bad, or contradicts what is known: somebody signed two histories.
    """
    learned = journal.learn(held, chain, me=me)
    if learned.held is held:
        return Lesson.NOTHING
    if held.ownership.frozen is None:
        return Lesson.FOLLOW
    return Lesson.SUPERSEDED if learned.answer is None else Lesson.RESOLVED
