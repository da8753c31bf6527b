# SPDX-License-Identifier: Apache-2.0
"""Who may have a fork merged, and where: the device that granted what it left, at the original's primary."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2p_handoff.content.digests import digest
from p2p_handoff.errors import RejectedError, TrustError
from p2p_handoff.ids import DeviceId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import reunion
from p2p_handoff.protocol.messages import Mode, RejectReason
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal
from p2p_handoff.session.chain import Chain
from p2p_handoff.session.journal import Held
from p2p_handoff.session.manifest import Manifest, encode_manifest
from p2p_handoff.session.ownership import Role, begin
from p2p_handoff.session.statements import Parent
from tests.session.ownership_world import NONCE, chain_of, device, handed, offer, session_id, txn_id

A, B, C = device(1), device(2), device(3)
SESSION, FORK = session_id(), session_id(2)
LEFT = encode_manifest(Manifest(SESSION, "work", ()))
ROOT = digest(b"manifest")
CHAIN = chain_of(1, 2)
PARENT = Parent(SESSION, 1, ROOT)


def held_at_b(chain: Chain = CHAIN) -> Held:
    """The original at its primary, which was granted it by A."""
    held, _ = journal.accept(None, None, chain, me=B.device, nonce=NONCE)
    return held


def init_of(chain: Chain, source: DeviceId = A.device, parent: bytes = b"") -> msg.Init:
    state = chains.verify_chain(chain)
    return msg.Init(
        txn_id(7), state.session, source, B.device, Mode.MERGE, state.epoch, chains.encode_chain(chain), False, parent
    )


def fork_of(parent: Parent | None = PARENT) -> Chain:
    return chains.create(A, FORK, digest(b"fork"), parent)


def judge(init: msg.Init, held: Held | None, *, busy: bool = False) -> reunion.Merging:
    return reunion.judge_merge(init, reunion.parent_of(init), held, busy=busy)


def test_the_device_that_granted_what_its_fork_left_may_have_it_merged() -> None:
    merging = judge(init_of(fork_of()), held_at_b())
    assert (merging.fork, merging.original, merging.left) == (FORK, SESSION, None)


def test_the_manifest_that_was_left_comes_along_and_is_checked() -> None:
    grant = chains.grant(A, chains.verify_chain(CHAIN[:1]), replace(offer(0, B), root=digest(LEFT)))
    chain = (*CHAIN[:1], grant, chains.accept(B, grant))
    fork = fork_of(Parent(SESSION, 1, digest(LEFT)))
    merging = judge(init_of(fork, parent=LEFT), held_at_b(chain))
    assert merging.left == Manifest(SESSION, "work", ())
    with pytest.raises(TrustError, match="manifest"):
        judge(init_of(fork, parent=LEFT + b"x"), held_at_b(chain))


@pytest.mark.parametrize(
    "parent",
    [Parent(SESSION, 1, digest(b"another state")), Parent(SESSION, 2, ROOT), Parent(SESSION, 9, ROOT)],
)
def test_a_fork_of_something_that_was_not_granted_is_refused(parent: Parent) -> None:
    with pytest.raises(TrustError, match="did not grant"):
        judge(init_of(fork_of(parent)), held_at_b())


def test_another_device_cannot_have_forked_it() -> None:
    stranger = chains.create(C, FORK, digest(b"fork"), PARENT)
    with pytest.raises(TrustError, match="did not grant"):
        judge(init_of(stranger, C.device), held_at_b())


def test_a_fork_that_was_handed_on_is_merged_by_its_maker_only() -> None:
    with pytest.raises(TrustError, match="that made it"):
        reunion.parent_of(init_of(handed(fork_of(), 5, A, C), C.device))
    with pytest.raises(TrustError, match="fork's primary"):
        reunion.parent_of(init_of(handed(fork_of(), 5, A, C), A.device))


def test_what_is_no_fork_is_not_merged() -> None:
    with pytest.raises(TrustError, match="no fork"):
        reunion.parent_of(init_of(fork_of(None)))


@pytest.mark.parametrize(
    ("held", "busy", "reason"),
    [
        (None, False, RejectReason.UNKNOWN_SESSION),
        (journal.follow(CHAIN), False, RejectReason.NOT_PRIMARY),
        (held_at_b(), True, RejectReason.BUSY),
        (
            journal.freeze(held_at_b(), chains.grant(B, chains.verify_chain(CHAIN), offer(3, C))),
            False,
            RejectReason.BUSY,
        ),
    ],
)
def test_only_the_primary_merges_and_only_at_rest(held: Held | None, busy: bool, reason: RejectReason) -> None:
    with pytest.raises(RejectedError) as caught:
        judge(init_of(fork_of()), held, busy=busy)
    assert caught.value.reason == reason.value


def test_an_original_that_moved_on_is_merged_by_whoever_has_it_now() -> None:
    there_and_back = chain_of(1, 2, 3, 2)
    assert judge(init_of(fork_of()), held_at_b(there_and_back)).original == SESSION


@pytest.mark.parametrize(
    ("role", "verdict"),
    [
        (Role.PRIMARY, reunion.Reunion.HERE),
        (Role.SECONDARY, reunion.Reunion.OFFER),
        (Role.FROZEN, reunion.Reunion.WAIT),
    ],
)
def test_the_maker_of_a_fork_goes_by_what_became_of_the_original(role: Role, verdict: reunion.Reunion) -> None:
    own = replace(begin(SESSION, A.device), role=role, primary=B.device if role is Role.SECONDARY else A.device)
    fork = begin(FORK, A.device)
    assert reunion.judge_reunion(own, fork, me=A.device, moving=False) is verdict
    assert reunion.judge_reunion(own, fork, me=A.device, moving=True) is reunion.Reunion.WAIT
    away = replace(fork, role=Role.SECONDARY)
    assert reunion.judge_reunion(own, away, me=A.device, moving=False) is reunion.Reunion.WAIT


def test_a_fork_whose_original_is_lost_here_has_nobody_to_merge_it() -> None:
    lost = replace(begin(SESSION, A.device), role=Role.SECONDARY)
    verdict = reunion.judge_reunion(lost, begin(FORK, A.device), me=A.device, moving=False)
    assert verdict is reunion.Reunion.WAIT
