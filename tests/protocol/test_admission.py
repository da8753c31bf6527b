# SPDX-License-Identifier: Apache-2.0
"""protocol.admission: which Init may begin a handoff."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from p2p_handoff.content.digests import digest
from p2p_handoff.errors import HandoffError, RejectedError, TrustError
from p2p_handoff.ids import DeviceId, PartId
from p2p_handoff.limits import (
    MAX_ARRIVING,
    MAX_CHAINS_KEPT,
    MAX_CONTROL_MESSAGE,
    MAX_OFFERS_IN_ALL,
    MAX_OFFERS_KEPT,
    MAX_REFUSALS,
    MAX_REMEMBERED,
    MAX_SECRETS,
)
from p2p_handoff.protocol import admission
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.admission import Other, Standing
from p2p_handoff.protocol.messages import Mode, RejectReason
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal
from p2p_handoff.session.journal import Held
from p2p_handoff.session.manifest import Manifest, Part, PartType, Secret
from tests.protocol.grants import CHAIN, SESSION, TXN, A, B, C
from tests.session.ownership_world import chain_of, handed, session_id, txn_id

INIT = msg.Init(TXN, SESSION, A.device, B.device, Mode.MOVE, 1, chains.encode_chain(CHAIN), take=False)
STANDING = Standing(
    B.device,
    A.device,
    enabled=True,
    called_off=False,
    in_use=False,
    decided=False,
    refusals=0,
    old_here=False,
    old_there=False,
    forked=False,
    held=None,
)


def test_a_new_session_is_admitted_with_its_verified_chain() -> None:
    admitted = admission.judge_init(INIT, STANDING)
    assert admitted is not None
    assert (admitted.chain, admitted.state.primary) == (CHAIN, A.device)


@pytest.mark.parametrize("mode", [Mode.MOVE, Mode.COPY])
@pytest.mark.parametrize("crowd", [{"arriving": MAX_ARRIVING}, {"remembered": MAX_REMEMBERED}])
def test_a_device_with_too_many_handoffs_under_way_waits(mode: Mode, crowd: dict[str, Any]) -> None:
    init = replace(INIT, mode=mode)
    with pytest.raises(RejectedError, match="too many") as caught:
        admission.judge_init(init, replace(STANDING, **crowd))
    assert caught.value.reason == "busy"
    admission.judge_init(init, replace(STANDING, **{name: count - 1 for name, count in crowd.items()}))


def test_a_device_with_too_much_history_under_way_waits() -> None:
    room = MAX_CHAINS_KEPT - len(INIT.chain)
    admission.check_beginning(INIT, replace(STANDING, chains_kept=room))
    with pytest.raises(RejectedError, match="too many long histories") as caught:
        admission.check_beginning(INIT, replace(STANDING, chains_kept=room + 1))
    assert caught.value.reason == "busy"


def test_a_device_with_too_large_offers_waits_and_so_do_all_together() -> None:
    admission.check_offers(1, of_device=MAX_OFFERS_KEPT - 1, in_all=MAX_OFFERS_IN_ALL - 1)
    for full in ({"of_device": MAX_OFFERS_KEPT, "in_all": 0}, {"of_device": 0, "in_all": MAX_OFFERS_IN_ALL}):
        with pytest.raises(RejectedError, match="too many large offers") as caught:
            admission.check_offers(1, **full)
        assert caught.value.reason == "busy"


def test_the_largest_offer_that_a_message_holds_has_room_where_no_other_is() -> None:
    secrets = tuple(Secret(b"%04d" % number, "token") for number in range(MAX_SECRETS))
    parts = tuple(
        Part(PartId(f"p{number}"), PartType.FILES, "folder", "x", digest(b""), 0, 0, 0, secrets=secrets)
        for number in range(1, 9)
    )
    weight = admission.weight_of(Manifest(SESSION, "", parts), MAX_CONTROL_MESSAGE)
    assert weight > MAX_CONTROL_MESSAGE + 8 * MAX_SECRETS
    admission.check_offers(weight, of_device=0, in_all=0)


def test_a_chain_that_was_proven_before_is_judged_like_any_other() -> None:
    assert admission.judge_init(INIT, STANDING, chains.prove(CHAIN)) == admission.judge_init(INIT, STANDING)
    with pytest.raises(TrustError):
        admission.judge_init(INIT, STANDING, chains.prove(chain_of(1, 3)))


def test_a_session_that_this_device_follows_is_admitted() -> None:
    held = journal.follow(CHAIN)
    assert admission.judge_init(INIT, replace(STANDING, held=held)) is not None


@pytest.mark.parametrize("standing", [replace(STANDING, old_here=True), replace(STANDING, old_there=True)])
def test_ownership_does_not_pass_through_an_old_copy_of_a_home(standing: Standing) -> None:
    with pytest.raises(RejectedError, match="old copy") as caught:
        admission.judge_init(INIT, standing)
    assert caught.value.reason == "stale"
    assert admission.judge_init(replace(INIT, mode=Mode.COPY, chain=b""), standing) is None


def frozen_source() -> Held:
    """The device B has granted epoch 1 to A and has no answer yet."""
    held = journal.start(chain_of(2), me=B.device)
    return journal.freeze(held, handed(chain_of(2), 9, B, A)[1])


def test_a_chain_that_ends_this_devices_own_ownership_is_learned_first() -> None:
    init = replace(INIT, chain=chains.encode_chain(handed(chain_of(2), 9, B, A)), epoch=2)
    admitted = admission.judge_init(init, replace(STANDING, held=frozen_source()))
    assert admitted is not None
    assert admitted.teaches
    held = journal.learn(frozen_source(), admitted.chain, me=B.device).held
    again = admission.judge_init(init, replace(STANDING, held=held))
    assert again is not None
    assert not again.teaches


def test_a_frozen_source_takes_nothing_of_the_epoch_that_it_grants() -> None:
    init = replace(INIT, chain=chains.encode_chain(chain_of(1)), epoch=1)
    with pytest.raises(RejectedError) as caught:
        admission.judge_init(init, replace(STANDING, held=frozen_source()))
    assert caught.value.reason == RejectReason.STALE.value


def test_a_copy_needs_no_chain() -> None:
    assert admission.judge_init(replace(INIT, mode=Mode.COPY, chain=b""), STANDING) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"enabled": False}, RejectReason.DISABLED),
        ({"called_off": True}, RejectReason.CANCELLED),
        ({"decided": True}, RejectReason.STALE),
        ({"refusals": MAX_REFUSALS}, RejectReason.UNTRUSTED),
        ({"forked": True}, RejectReason.BUSY),
        ({"held": journal.start(chain_of(2), me=B.device)}, RejectReason.STALE),
        ({"held": journal.follow(chain_of(1, 3))}, RejectReason.STALE),
    ],
)
def test_what_stands_in_the_way_is_named(change: dict[str, Any], reason: RejectReason) -> None:
    with pytest.raises(RejectedError) as caught:
        admission.judge_init(INIT, replace(STANDING, **change))
    assert caught.value.reason == reason.value


@pytest.mark.parametrize(
    ("init", "standing"),
    [
        (INIT, replace(STANDING, peer=C.device)),
        (replace(INIT, target=C.device), STANDING),
        (INIT, replace(STANDING, in_use=True)),
        (replace(INIT, epoch=2), STANDING),
        (replace(INIT, session=session_id(2)), STANDING),
        (replace(INIT, chain=chains.encode_chain(chain_of(1, 3))), STANDING),
        (replace(INIT, chain=b"junk"), STANDING),
        (INIT, replace(STANDING, held=journal.follow(chain_of(3)))),
    ],
)
def test_what_does_not_verify_is_refused(init: msg.Init, standing: Standing) -> None:
    with pytest.raises(HandoffError):
        admission.judge_init(init, standing)


def test_another_history_of_the_same_epoch_is_refused() -> None:
    held = journal.follow(chain_of(3, 1))
    init = replace(INIT, chain=chains.encode_chain(handed(chain_of(2), 9, B, A)), epoch=2)
    with pytest.raises(TrustError, match="two histories"):
        admission.judge_init(init, replace(STANDING, held=held))


def other(number: int, source: DeviceId = A.device, *, session: int = 1, undecided: bool = True) -> Other:
    return Other(txn_id(number), session_id(session), source, undecided)


def test_a_source_that_begins_anew_replaces_its_own_undecided_handoff() -> None:
    others = [other(1), other(2, session=2, undecided=False)]
    assert admission.to_abandon(INIT, others) == (txn_id(1),)


@pytest.mark.parametrize("rival", [other(1, C.device), other(1, undecided=False)])
def test_any_other_handoff_of_the_session_is_left_alone(rival: Other) -> None:
    with pytest.raises(RejectedError) as caught:
        admission.to_abandon(INIT, [other(3), rival])
    assert caught.value.reason == RejectReason.BUSY.value
