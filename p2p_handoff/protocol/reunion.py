# SPDX-License-Identifier: Apache-2.0
"""When a fork comes together with its original, and whether it may be merged there. Layer: protocol, pure.

Specification: docs/specs/ownership.md §3 (reunion), handoff-v2.md §10. The fork's signed genesis names what it left;
the original's chain, which both sides have, says who granted exactly that: nobody else can have forked it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from p2p_handoff.content.digests import digest
from p2p_handoff.errors import RejectedError, TrustError
from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.messages import RejectReason
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import Chain, ChainState, Proven
from p2p_handoff.session.journal import Held
from p2p_handoff.session.manifest import Manifest, decode_manifest
from p2p_handoff.session.ownership import Ownership, Role, is_lost
from p2p_handoff.session.signed import read
from p2p_handoff.session.statements import Grant, Parent


class Reunion(Enum):
    """What the device that made a fork does about it."""

    WAIT = "wait"
    """The original's fate is not known, somebody works on one of the two, or nobody has the original any more."""
    HERE = "here"
    """The original is this device's: it goes on with what the fork held."""
    OFFER = "offer"
    """Another device is the original's primary: it is offered the fork, and once it has merged it the fork ends."""


@dataclass(frozen=True, slots=True)
class Merging:
    """A fork that may be merged."""

    fork: SessionId
    original: SessionId
    left: Manifest | None
    """The original as it was when the fork left it; None where the source cannot show it any more."""


def judge_reunion(original: Ownership, fork: Ownership, *, me: DeviceId, moving: bool) -> Reunion:
    """What the device that made a fork does about it now.

    Args:
        original: Its record of the original.
        fork: Its record of the open fork.
        me: This device.
        moving: One of the two is being handed off or put in place here.
    """
    if fork.role is not Role.PRIMARY or is_lost(original, me=me) or moving:
        return Reunion.WAIT
    return _REUNIONS[original.role]


_REUNIONS: Final = {Role.PRIMARY: Reunion.HERE, Role.SECONDARY: Reunion.OFFER, Role.FROZEN: Reunion.WAIT}


def parent_of(init: msg.Init, proven: Proven | None = None) -> Parent:
    """What the fork of an Init says it left.

    Args:
        init: The message.
        proven: Its chain, where that was verified before.

    Raises:
        TrustError, RemoteProtocolError: Its chain does not verify, or it is no fork of the device that offers it.
    """
    state = (proven or chains.prove(chains.decode_chain(init.chain))).state
    if (state.session, state.primary, state.epoch) != (init.session, init.source, init.epoch):
        raise TrustError("the ownership chain does not show the other device as the fork's primary")
    if state.parent is None:
        raise TrustError("what shall be merged is no fork")
    if next(iter(state.members)) != init.source:
        raise TrustError("a fork is merged by the device that made it")
    return state.parent


def judge_merge(init: msg.Init, parent: Parent, held: Held | None, *, busy: bool) -> Merging:
    """Find out whether a fork may be merged into a session of this device.

    Args:
        init: The source's message, about the fork.
        parent: From ``parent_of``.
        held: The original as it is here, if it is.
        busy: A change of the original is being put in place here.

    Raises:
        RejectedError: This device is not the original's primary, or not at this moment.
        TrustError: The other device never granted what the fork says it left.
    """
    if held is None or held.ownership.role is Role.SECONDARY:
        raise RejectedError("that device is not the primary of the fork's original", reason=_reason(held).value)
    if held.ownership.role is Role.FROZEN or busy:
        raise RejectedError("the fork's original is changing at this moment", reason=RejectReason.BUSY.value)
    granted = _grant_of(held.chain, held.state, parent.epoch)
    if granted is None or (granted.source, granted.root) != (init.source, parent.root):
        raise TrustError("the other device did not grant what its fork says it left")
    if init.parent and digest(init.parent) != parent.root:
        raise TrustError("the manifest that the fork left is another one")
    return Merging(init.session, parent.session, decode_manifest(init.parent) if init.parent else None)


def _reason(held: Held | None) -> RejectReason:
    return RejectReason.UNKNOWN_SESSION if held is None else RejectReason.NOT_PRIMARY


def _grant_of(chain: Chain, state: ChainState, epoch: int) -> Grant | None:
    """The grant that gave an epoch away, and was accepted: the one of epoch e stands at 2 e - 1."""
    return read(chain[2 * epoch - 1], Grant) if 0 < epoch < state.epoch else None
