# SPDX-License-Identifier: Apache-2.0
"""What an Init leads to at the device that it names as target. Layer: protocol, pure.

Specification: docs/specs/handoff-v2.md §7-8. Asked before a machine is made. Nothing is stored here: an Init that is
turned away leaves no decision behind, because its source is not frozen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from p2p_handoff.errors import RejectedError, TrustError
from p2p_handoff.ids import DeviceId, SessionId, TxnId
from p2p_handoff.limits import (
    MAX_ARRIVING,
    MAX_CHAINS_KEPT,
    MAX_OFFERS_IN_ALL,
    MAX_OFFERS_KEPT,
    MAX_REMEMBERED,
    OFFER_ITEM,
)
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import news
from p2p_handoff.protocol.aftermath import check_room
from p2p_handoff.protocol.messages import Mode, RejectReason
from p2p_handoff.protocol.news import Lesson
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import Chain, ChainState, Proven
from p2p_handoff.session.journal import Held
from p2p_handoff.session.manifest import Manifest
from p2p_handoff.session.ownership import Role

_STALE: Final = RejectReason.STALE.value


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand at the target when an Init arrives."""

    me: DeviceId
    peer: DeviceId
    """The device at the other end of the connection."""
    enabled: bool
    """Handoff is switched on here."""
    called_off: bool
    """The txn is of a take that this device gave up."""
    in_use: bool
    """A handoff of this txn is under way, from another source."""
    decided: bool
    """A handoff of this txn was decided here before."""
    refusals: int
    """How many refusals are stored for this source."""
    old_here: bool
    """This home is an old copy that is not confirmed yet."""
    old_there: bool
    """The peer's home is one."""
    forked: bool
    """This device made a fork of the session, which is open."""
    held: Held | None
    """The session, where this device knows it."""
    arriving: int = 0
    """Handoffs of this source that are under way here and not over."""
    remembered: int = 0
    """The same with those that ended a moment ago."""
    chains_kept: int = 0
    """Bytes of the chains that came with those."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The verified chain that an Init brought."""

    chain: Chain
    state: ChainState
    teaches: bool = False
    """It ends what this device takes for its own ownership: it is learned first, and the Init is judged again then."""

    @property
    def proven(self) -> Proven:
        """The chain alone."""
        return Proven(self.chain, self.state)


@dataclass(frozen=True, slots=True)
class Other:
    """Another handoff that arrives at this device and is not over."""

    txn: TxnId
    session: SessionId
    source: DeviceId
    undecided: bool
    """Nothing durable depends on it."""


def judge_init(init: msg.Init, standing: Standing, proven: Proven | None = None) -> Admitted | None:
    """Find out whether a handoff may begin. Ownership moves by none but a move: else None.

    Args:
        init: The message.
        standing: How things stand.
        proven: Its chain, where that was verified before: up to seconds of work for a long one.

    Raises:
        RejectedError: It is refused, for a reason that the source may know.
        TrustError, RemoteProtocolError: It does not verify.
    """
    check_beginning(init, standing)
    if init.mode is not Mode.MOVE:
        return None  # protocol.reunion has the rest of a merge
    chain, state = _proven(init, standing, proven)
    if (state.session, state.primary, state.epoch) != (init.session, init.source, init.epoch):
        raise TrustError("the ownership chain does not show the other device as the session's primary")
    teaches = standing.held is not None and _teaches(standing.held, init, chain, standing.me)
    if standing.forked:
        # What was done in a fork comes first: the original has no place here while it is open.
        what = "that device went on in a fork of the session, which is merged first"
        raise RejectedError(what, reason=RejectReason.BUSY.value)
    return Admitted(chain, state, teaches)


def check_beginning(init: msg.Init, standing: Standing) -> None:
    """What can be said of an Init without a look at its chain, and at the session here (``Standing.held``).

    Raises:
        RejectedError: It is refused, for a reason that the source may know.
        TrustError: It names other devices than the connection, or a txn of another one.
    """
    if (init.source, init.target) != (standing.peer, standing.me):
        raise TrustError("the handoff names other devices than the connection")
    if not standing.enabled:
        raise RejectedError("handoff is switched off there", reason=RejectReason.DISABLED.value)
    _check_txn(standing)
    if standing.chains_kept + len(init.chain) > MAX_CHAINS_KEPT:
        raise RejectedError("too many long histories of this device are kept there", reason=RejectReason.BUSY.value)
    if init.mode is not Mode.COPY:
        _check_homes(standing)


def weight_of(manifest: Manifest, encoded: int) -> int:
    """What it costs to keep a manifest that a peer sent, in bytes; ``encoded`` is how many it came in."""
    return encoded + OFFER_ITEM * sum(1 + len(part.secrets) for part in manifest.parts)


def check_offers(weight: int, *, of_device: int, in_all: int) -> None:
    """Find out whether there is room for one more offer.

    Args:
        weight: Of the new one.
        of_device: What the offers of its device weigh that are kept.
        in_all: The same of all devices.

    Raises:
        RejectedError: There is none: the source tries again when others were answered.
    """
    if of_device + weight > MAX_OFFERS_KEPT:
        raise RejectedError("too many large offers of this device are kept there", reason=RejectReason.BUSY.value)
    if in_all + weight > MAX_OFFERS_IN_ALL:
        raise RejectedError("too many large offers are kept there", reason=RejectReason.BUSY.value)


def _proven(init: msg.Init, standing: Standing, proven: Proven | None) -> tuple[Chain, ChainState]:
    if proven is None:
        known = None if standing.held is None else standing.held.proven
        proven = chains.prove(chains.decode_chain(init.chain), known)
    return proven.chain, proven.state


def to_abandon(init: msg.Init, others: Iterable[Other]) -> tuple[TxnId, ...]:
    """Only one handoff per session: a source that begins anew replaces its own undecided one.

    Returns:
        The handoffs that give way.

    Raises:
        RejectedError: One that does not give way is under way.
    """
    rivals = [other for other in others if other.session == init.session]
    if any(other.source != init.source or not other.undecided for other in rivals):
        raise RejectedError("another handoff of this session is under way", reason=RejectReason.BUSY.value)
    return tuple(other.txn for other in rivals)


def _check_homes(standing: Standing) -> None:
    """Ownership does not pass through a home that may have forgotten what it decided (ownership.md §7)."""
    if standing.old_here:
        raise RejectedError("that device's data is an old copy that is not confirmed yet", reason=_STALE)
    if standing.old_there:
        raise RejectedError("the data of the device that offers it is an old copy", reason=_STALE)


def _check_txn(standing: Standing) -> None:
    if standing.arriving >= MAX_ARRIVING or standing.remembered >= MAX_REMEMBERED:
        raise RejectedError("too many handoffs of this device are under way there", reason=RejectReason.BUSY.value)
    if standing.called_off:
        raise RejectedError("the take was given up", reason=RejectReason.CANCELLED.value)
    if standing.in_use:
        raise TrustError("another device began a handoff of this id")
    if standing.decided:
        raise RejectedError("the handoff was decided already", reason=_STALE)
    check_room(standing.refusals)


def _teaches(held: Held, init: msg.Init, chain: Chain, me: DeviceId) -> bool:
    """Whether the chain has a later owner than this device, which takes itself for the primary.

    The new primary of a session may hand it on before its old one has learned that it was accepted.
    """
    if init.epoch < held.ownership.epoch:
        raise RejectedError("that device knows a later owner of the session", reason=_STALE)
    if held.ownership.role is Role.SECONDARY:
        chains.check_agrees(held.chain, chain)
        return False
    if init.epoch == held.ownership.epoch:
        raise RejectedError("that device is the session's primary itself", reason=_STALE)
    return news.lesson(held, chain, me=me) is not Lesson.NOTHING
