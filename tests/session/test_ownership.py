# SPDX-License-Identifier: Apache-2.0
"""session.ownership, function by function, and then all together in every order a small world allows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from p2p_handoff.errors import LocalProtocolError, RemoteProtocolError, TrustError
from p2p_handoff.session import ownership
from p2p_handoff.session.chain import verify_chain
from p2p_handoff.session.ownership import Frozen, Ownership, Role
from p2p_handoff.session.signed import read
from p2p_handoff.session.statements import Accepted, Grant, RefusalReason, Refused
from tests.session.ownership_world import NONCE, ROOT, chain_of, device, grant, session_id, txn_id

A, B, C = (device(number).device for number in (1, 2, 3))
S = session_id()
T = txn_id(0)

PRIMARY = Ownership(S, Role.PRIMARY, 1, A)
FROZEN = Ownership(S, Role.FROZEN, 1, A, Frozen(T, B, ROOT, 1))
SECONDARY = Ownership(S, Role.SECONDARY, 2, B)

GRANT = read(grant(chain_of(1), 0, device(1), device(2)), Grant)
ACCEPTED = Accepted(S, T, B, 2, ROOT)
REFUSED = Refused(S, T, A, B, RefusalReason.CANCELLED)


def test_a_session_starts_as_primary_of_the_first_epoch() -> None:
    assert ownership.begin(S, A) == PRIMARY


def test_a_primary_freezes_for_one_target() -> None:
    assert ownership.freeze(PRIMARY, T, B, ROOT) == FROZEN


@pytest.mark.parametrize("own", [FROZEN, SECONDARY])
def test_only_a_primary_freezes(own: Ownership) -> None:
    with pytest.raises(LocalProtocolError, match=own.role.value):
        ownership.freeze(own, T, B, ROOT)


def test_a_device_does_not_hand_a_session_to_itself() -> None:
    with pytest.raises(LocalProtocolError):
        ownership.freeze(PRIMARY, T, A, ROOT)


def test_accepted_makes_the_source_secondary_of_the_next_epoch() -> None:
    assert ownership.release(FROZEN, ACCEPTED) == SECONDARY


def test_refused_makes_the_source_primary_again() -> None:
    assert ownership.thaw(FROZEN, REFUSED) == PRIMARY


@pytest.mark.parametrize("own", [PRIMARY, SECONDARY])
def test_an_answer_that_nobody_awaits_changes_nothing(own: Ownership) -> None:
    with pytest.raises(LocalProtocolError):
        ownership.release(own, ACCEPTED)
    with pytest.raises(LocalProtocolError):
        ownership.thaw(own, REFUSED)


@pytest.mark.parametrize("wrong", [{"txn": txn_id(9)}, {"target": C}, {"session": session_id(2)}])
def test_an_answer_about_another_handoff_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        ownership.release(FROZEN, replace(ACCEPTED, **wrong))
    with pytest.raises(RemoteProtocolError):
        ownership.thaw(FROZEN, replace(REFUSED, **wrong))


def test_accepting_another_epoch_than_the_granted_one_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="epoch 3"):
        ownership.release(FROZEN, replace(ACCEPTED, epoch=3))


def test_a_refusal_meant_for_another_source_does_not_thaw() -> None:
    with pytest.raises(RemoteProtocolError):
        ownership.thaw(FROZEN, replace(REFUSED, source=C))


def test_a_forked_session_stays_frozen_until_the_target_answers() -> None:
    forked = ownership.fork(FROZEN, me=A)
    assert forked.role is Role.FROZEN
    assert forked.forked
    assert ownership.release(forked, ACCEPTED) == SECONDARY
    assert ownership.thaw(forked, REFUSED) == PRIMARY


@pytest.mark.parametrize("own", [PRIMARY, SECONDARY, replace(FROZEN, forked=True)])
def test_only_a_frozen_session_forks_and_only_once(own: Ownership) -> None:
    with pytest.raises(LocalProtocolError):
        ownership.fork(own, me=A)


@pytest.mark.parametrize("own", [None, Ownership(S, Role.SECONDARY, 1, A)])
def test_accepting_makes_the_target_primary_of_the_next_epoch(own: Ownership | None) -> None:
    assert ownership.accept(own, GRANT, me=B, nonce=NONCE) == Ownership(S, Role.PRIMARY, 2, B)


def test_a_grant_for_another_device_is_not_accepted() -> None:
    with pytest.raises(RemoteProtocolError, match="another target"):
        ownership.accept(None, GRANT, me=C, nonce=NONCE)


def test_a_grant_that_answers_another_ready_is_not_accepted() -> None:
    with pytest.raises(RemoteProtocolError, match="READY"):
        ownership.accept(None, GRANT, me=B, nonce=b"x" * 16)


@pytest.mark.parametrize("epoch", [2, 7])
def test_a_stale_grant_is_not_accepted(epoch: int) -> None:
    with pytest.raises(RemoteProtocolError, match="stale"):
        ownership.accept(Ownership(S, Role.SECONDARY, epoch, C), GRANT, me=B, nonce=NONCE)


@pytest.mark.parametrize("role", [Role.PRIMARY, Role.FROZEN])
def test_a_device_that_owns_the_session_is_not_granted_it(role: Role) -> None:
    with pytest.raises(RemoteProtocolError, match=role.value):
        ownership.accept(Ownership(S, role, 1, B), GRANT, me=B, nonce=NONCE)


def test_a_grant_is_not_accepted_into_another_session() -> None:
    with pytest.raises(LocalProtocolError):
        ownership.accept(Ownership(session_id(2), Role.SECONDARY, 1, A), GRANT, me=B, nonce=NONCE)


@pytest.mark.parametrize("own", [PRIMARY, FROZEN, Ownership(S, Role.SECONDARY, 1, A)])
def test_a_later_chain_makes_any_role_secondary(own: Ownership) -> None:
    assert ownership.learn(own, verify_chain(chain_of(1, 2, 3))) == Ownership(S, Role.SECONDARY, 3, C)


@pytest.mark.parametrize("own", [PRIMARY, FROZEN, Ownership(S, Role.SECONDARY, 9, C)])
def test_an_older_or_equal_chain_changes_nothing(own: Ownership) -> None:
    assert ownership.learn(own, verify_chain(chain_of(1))) == own


def test_two_primaries_of_one_epoch_are_found_out() -> None:
    with pytest.raises(TrustError, match="epoch 2"):
        ownership.learn(Ownership(S, Role.SECONDARY, 2, C), verify_chain(chain_of(1, 2)))


@pytest.mark.parametrize("own", [Ownership(S, Role.SECONDARY, 1, A), Ownership(S, Role.PRIMARY, 1, B)])
def test_a_home_that_forgot_that_it_is_primary_has_lost_the_session_and_cannot_act(own: Ownership) -> None:
    lost = ownership.learn(own, verify_chain(chain_of(1, 2)))
    assert lost == Ownership(S, Role.SECONDARY, 2, B)
    assert ownership.is_lost(lost, me=B)
    assert not ownership.is_lost(lost, me=A)
    with pytest.raises(LocalProtocolError):
        ownership.freeze(lost, txn_id(5), C, ROOT)


def test_a_lost_session_can_be_forked_and_stays_as_it_is() -> None:
    lost = Ownership(S, Role.SECONDARY, 2, B)
    assert ownership.fork(lost, me=B) == lost
    with pytest.raises(LocalProtocolError):
        ownership.fork(lost, me=A)


def test_a_lost_session_comes_back_with_a_later_grant() -> None:
    lost = Ownership(S, Role.SECONDARY, 2, B)
    with pytest.raises(RemoteProtocolError, match="stale"):
        ownership.accept(lost, GRANT, me=B, nonce=NONCE)
    later = replace(GRANT, epoch=3)
    assert ownership.accept(lost, later, me=B, nonce=NONCE) == Ownership(S, Role.PRIMARY, 4, B)


def test_a_chain_of_another_session_is_not_learned() -> None:
    with pytest.raises(LocalProtocolError):
        ownership.learn(replace(PRIMARY, session=session_id(2)), verify_chain(chain_of(1, 2)))


@dataclass(frozen=True)
class World:
    """Every device's record and decisions, and every message ever sent: each may be delivered at any time, again."""

    owns: tuple[Ownership | None, ...]
    decisions: tuple[frozenset[tuple[int, str]], ...]
    messages: frozenset[tuple[str, int, int, int, int]]
    """(kind, txn, source, target, epoch)"""
    handoffs: int = 0


_DEVICES = (A, B, C)


def _put(world: World, index: int, own: Ownership, *sent: tuple[str, int, int, int, int]) -> World:
    owns = (*world.owns[:index], own, *world.owns[index + 1 :])
    return replace(world, owns=owns, messages=world.messages | frozenset(sent))


def _decide(world: World, index: int, txn: int, verdict: str) -> World:
    mine = world.decisions[index] | {(txn, verdict)}
    return replace(world, decisions=(*world.decisions[:index], mine, *world.decisions[index + 1 :]))


def _verdict(world: World, index: int, txn: int) -> str:
    return next((verdict for known, verdict in world.decisions[index] if known == txn), "")


def _grants(world: World, most: int) -> list[World]:
    """Each primary may freeze for each other device; its grant and its queries are out from then on."""
    following = []
    for source, own in enumerate(world.owns):
        if own is None or own.role is not Role.PRIMARY or world.handoffs == most:
            continue
        for target in {0, 1, 2} - {source}:
            txn = world.handoffs
            frozen = ownership.freeze(own, txn_id(txn), _DEVICES[target], ROOT)
            sent = [(kind, txn, source, target, own.epoch) for kind in ("grant", "query")]
            following.append(replace(_put(world, source, frozen, *sent), handoffs=txn + 1))
    return following


def _deliver(world: World, message: tuple[str, int, int, int, int]) -> World | None:
    kind, txn, source, target, epoch = message
    try:
        if kind in ("grant", "query"):
            return _at_target(world, message)
        own = world.owns[source]
        assert own is not None
        if kind == "accepted":
            accepted = Accepted(S, txn_id(txn), _DEVICES[target], epoch + 1, ROOT)
            return _put(world, source, ownership.release(own, accepted))
        refused = Refused(S, txn_id(txn), _DEVICES[source], _DEVICES[target], RefusalReason.UNKNOWN)
        return _put(world, source, ownership.thaw(own, refused))
    except (LocalProtocolError, RemoteProtocolError):
        return None


def _at_target(world: World, message: tuple[str, int, int, int, int]) -> World:
    kind, txn, source, target, epoch = message
    verdict = _verdict(world, target, txn)
    if not verdict and kind == "query":
        verdict, world = "refused", _decide(world, target, txn, "refused")
    if verdict:
        return replace(world, messages=world.messages | {(verdict, txn, source, target, epoch)})
    granted = replace(
        GRANT, txn=txn_id(txn), source=_DEVICES[source], target=_DEVICES[target], epoch=epoch, nonce=NONCE
    )
    own = ownership.accept(world.owns[target], granted, me=_DEVICES[target], nonce=NONCE)
    return _put(_decide(world, target, txn, "accepted"), target, own, ("accepted", txn, source, target, epoch))


def _check(world: World) -> None:
    owners = [own for own in world.owns if own and own.role is not Role.SECONDARY]
    primaries = [own for own in owners if own.role is Role.PRIMARY]
    assert len(primaries) <= 1
    assert owners, "nobody owns the session and nobody awaits an answer"
    for decisions in world.decisions:
        assert len({txn for txn, _ in decisions}) == len(decisions)


def test_no_order_of_messages_repeated_or_lost_makes_two_primaries() -> None:
    start = World((PRIMARY, None, None), (frozenset(),) * 3, frozenset())
    seen, waiting = {start}, [start]
    while waiting:
        world = waiting.pop()
        _check(world)
        steps = [*_grants(world, most=3), *(_deliver(world, message) for message in world.messages)]
        fresh = {step for step in steps if step is not None} - seen
        seen |= fresh
        waiting += fresh
    assert {own.epoch for world in seen for own in world.owns if own} == {1, 2, 3, 4}
    reached = {(index, own.role) for world in seen for index, own in enumerate(world.owns) if own}
    assert len(reached) == 3 * len(Role)
