# SPDX-License-Identifier: Apache-2.0
"""Nothing that was not agreed on is offered, taken or granted later."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2p_handoff.content.digests import digest
from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.ids import DeviceId, PartId, SessionId
from p2p_handoff.protocol.agreement import check_accept, check_later, check_offer
from p2p_handoff.protocol.messages import Accept, Request
from p2p_handoff.session.manifest import Manifest, Part, PartType, encode_manifest
from tests.protocol.example_messages import SESSION, TXN

P1, P2 = PartId("p1"), PartId("p2")
OTHER_SESSION = SessionId("7" * len(SESSION))
HOLDER = DeviceId("a" * 32)


def part(name: PartId) -> Part:
    return Part(name, PartType.FILES, "folder", "work", digest(name.encode()), 10, 10, 1)


MANIFEST = Manifest(SESSION, "Work", (part(P1), part(P2)))


def offer(manifest: Manifest, *parts: PartId) -> Request:
    return Request(TXN, encode_manifest(manifest), parts, 60)


def test_an_offer_gives_its_manifest_and_the_parts_offered() -> None:
    assert check_offer(offer(MANIFEST, P2), SESSION) == (MANIFEST, (part(P2),))


@pytest.mark.parametrize(
    "request_",
    [
        offer(replace(MANIFEST, session=OTHER_SESSION), P1),
        offer(MANIFEST, PartId("p3")),
        offer(MANIFEST, P1, P1),
        offer(replace(MANIFEST, parts=(replace(part(P1), held_by=HOLDER),)), P1),
        Request(TXN, b"nonsense", (P1,), 60),
    ],
    ids=["another session", "an unknown part", "a part twice", "a part that others hold", "no manifest"],
)
def test_an_offer_that_makes_no_sense_is_refused(request_: Request) -> None:
    with pytest.raises(RemoteProtocolError):
        check_offer(request_, SESSION)


def test_later_content_of_an_accepted_part_is_what_rounds_are_for() -> None:
    later = replace(MANIFEST, title="Work again", parts=(replace(part(P1), root=digest(b"later")),))
    assert check_later(encode_manifest(later), MANIFEST, (P1,)) == later


@pytest.mark.parametrize(
    "later",
    [
        replace(MANIFEST, session=OTHER_SESSION),
        replace(MANIFEST, parts=(part(P2),)),
        replace(MANIFEST, parts=(replace(part(P1), kind="conversation"),)),
        replace(MANIFEST, parts=(replace(part(P1), type=PartType.MESSAGES),)),
        replace(MANIFEST, parts=(replace(part(P1), held_by=HOLDER),)),
    ],
    ids=["another session", "without the part", "another kind", "another type", "held by others"],
)
def test_an_accepted_part_stays_what_it_was(later: Manifest) -> None:
    with pytest.raises(RemoteProtocolError):
        check_later(encode_manifest(later), MANIFEST, (P1,))


def test_what_was_offered_may_be_taken() -> None:
    check_accept(Accept(TXN, (P2,)), (P1, P2))


@pytest.mark.parametrize("parts", [(PartId("p3"),), (P1, PartId("p3")), (P1, P1)])
def test_what_was_not_offered_cannot_be_taken(parts: tuple[PartId, ...]) -> None:
    with pytest.raises(RemoteProtocolError):
        check_accept(Accept(TXN, parts), (P1, P2))
