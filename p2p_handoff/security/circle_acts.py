# SPDX-License-Identifier: Apache-2.0
"""What a device says when its person links or unlinks an own device. Layer: security, pure.

Specification: docs/specs/circle.md §4.
"""

from __future__ import annotations

from p2p_handoff.ids import DeviceId
from p2p_handoff.security.circle import Book, Judgement, admissions_to_keep
from p2p_handoff.security.circle_statements import (
    MAX_NUMBER,
    Admission,
    Revocation,
    SignedCircleStatement,
    sign_circle_statement,
)
from p2p_handoff.security.identity import Identity, PublicIdentity


def next_number(ended: int) -> int:
    """The number of a new admission.

    Args:
        ended: How many admissions of the device have ended.
    """
    return min(ended + 1, MAX_NUMBER)


def admit(identity: Identity, peer: PublicIdentity, name: str, number: int) -> tuple[SignedCircleStatement, ...]:
    """What this device says of one that a person linked with it as an own one.

    Args:
        identity: This device.
        peer: The other one.
        name: What it is called here.
        number: As both sides agreed.
    """
    return (sign_circle_statement(identity, Admission(identity.device, peer, name, number)),)


def revoke(
    identity: Identity, book: Book, judgement: Judgement, device: DeviceId, *, disowns: bool
) -> tuple[SignedCircleStatement, ...]:
    """What this device says when a person unlinks an own device.

    Before the device goes, this one vouches for the others that it may know through it alone; not when it disowns.

    Args:
        identity: This device.
        book: What it holds.
        judgement: What follows from that.
        device: Whom it shall trust no longer.
        disowns: Whether nothing that the device ever said shall count here.
    """
    member = judgement.members.get(device)
    number = max(1, judgement.number_of(device), 0 if member is None else member.number)
    said = [sign_circle_statement(identity, Revocation(identity.device, device, number, disowns))]
    if not disowns:
        for other, known in admissions_to_keep(book, judgement):
            if other != device:
                said += admit(identity, known.identity, known.name, known.number)
    return tuple(said)
