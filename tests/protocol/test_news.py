# SPDX-License-Identifier: Apache-2.0
"""protocol.news: who hears of what, who asks for what, and what a chain means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2p_handoff.errors import TrustError
from p2p_handoff.ids import DeviceId, SessionId
from p2p_handoff.limits import MAX_OWNERS
from p2p_handoff.protocol import news
from p2p_handoff.protocol.messages import KnownOwner, News
from p2p_handoff.protocol.news import Hearing, Lesson
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal
from p2p_handoff.session.journal import Held
from tests.session.ownership_world import ROOT, chain_of, device, grant, handed, session_id

A, B, C, D = device(1), device(2), device(3), device(4)
S = session_id()


def held(*owners: int) -> Held:
    """A secondary's copy of a session that went through these devices."""
    return journal.follow(chain_of(*owners))


def frozen() -> Held:
    """Started on A, granted to B."""
    return journal.freeze(journal.start(chain_of(1), me=A.device), grant(chain_of(1), 0, A, B))


def owner_of(known: Held) -> KnownOwner:
    (message,) = news.listed([known], A.device, own=True, counter=0)
    return message.owners[0]


def heard(known: Held | None, owner: KnownOwner, me: DeviceId = A.device) -> tuple[SessionId, ...]:
    sessions = {} if known is None else {S: known}
    return news.told(Hearing(), News(1, (owner,), more=False), sessions, me=me).wanted


# --- who hears of what ------------------------------------------------------------------------------


def test_own_devices_and_members_hear_of_a_session_and_strangers_do_not() -> None:
    known = held(1, 2)
    assert news.may_know(known, D.device, own=True)
    assert news.may_know(known, A.device, own=False)
    assert news.may_know(known, B.device, own=False)
    assert not news.may_know(known, D.device, own=False)


def test_somebody_elses_device_hears_of_what_was_granted_to_it() -> None:
    assert news.may_know(frozen(), B.device, own=False)
    assert not news.may_know(frozen(), C.device, own=False)


def test_a_stranger_is_told_the_counter_and_no_session() -> None:
    assert list(news.listed([held(1, 2)], D.device, own=False, counter=7)) == [News(7, (), more=False)]


def test_a_stranger_that_asks_learns_nothing_and_gets_an_answer() -> None:
    message = news.answer(S, held(1, 2), "diary", D.device, own=False)
    assert (message.chain, message.title) == (b"", "")
    assert message == news.answer(S, None, "", D.device, own=False)


def test_a_member_that_asks_gets_the_whole_chain() -> None:
    message = news.answer(S, held(1, 2), "diary", A.device, own=False)
    assert chains.decode_chain(message.chain) == chain_of(1, 2)
    assert message.title == "diary"


@pytest.mark.parametrize(("count", "pages"), [(0, 1), (1, 1), (MAX_OWNERS, 1), (MAX_OWNERS + 1, 2)])
def test_a_long_list_comes_in_pages_and_only_the_last_says_so(count: int, pages: int) -> None:
    messages = list(news.listed([held(1, 2)] * count, A.device, own=True, counter=0))
    assert sum(len(message.owners) for message in messages) == count
    assert [message.more for message in messages] == [True] * (pages - 1) + [False]


# --- who asks for what ------------------------------------------------------------------------------


def test_who_is_behind_asks_and_who_is_ahead_or_equal_does_not() -> None:
    assert heard(held(1, 2), owner_of(held(1, 2, 3))) == (S,)
    assert heard(held(1, 2, 3), owner_of(held(1, 2))) == ()
    assert heard(held(1, 2), owner_of(held(1, 2))) == ()


@pytest.mark.parametrize("known", [held(1, 3), held(1, 3, 2)])
def test_another_history_is_asked_for_however_long_it_is(known: Held) -> None:
    assert heard(known, owner_of(held(1, 2))) == (S,)


def test_a_session_that_is_not_here_is_asked_for_only_where_this_device_is_its_primary() -> None:
    assert heard(None, owner_of(held(1, 2)), me=A.device) == ()
    assert heard(None, owner_of(held(1, 2)), me=B.device) == (S,)


def test_an_epoch_that_there_is_not_is_no_reason_to_ask() -> None:
    assert heard(held(1, 2), replace(owner_of(held(1, 2)), epoch=0)) == ()


def test_chains_are_asked_for_one_at_a_time_and_all_is_heard_after_the_last() -> None:
    other = replace(owner_of(held(1, 2)), session=session_id(2), primary=C.device)
    list_of_two = News(1, (owner_of(held(1, 2, 3)), other), more=False)
    hearing = news.told(Hearing(), list_of_two, {S: held(1, 2)}, me=C.device)
    assert not hearing.heard
    hearing, first = news.next_question(hearing)
    assert first == S
    assert news.next_question(hearing) == (hearing, None)
    hearing, second = news.next_question(news.answered(hearing, S))
    assert second == session_id(2)
    assert not hearing.heard
    hearing = news.answered(hearing, second)
    assert news.next_question(hearing) == (hearing, None)
    assert hearing.heard


def test_nothing_is_complete_before_the_last_page() -> None:
    hearing = news.told(Hearing(), News(1, (), more=True), {}, me=A.device)
    assert not hearing.heard
    assert news.told(hearing, News(1, (), more=False), {}, me=A.device).heard


def test_an_answer_that_was_not_asked_for_changes_nothing() -> None:
    hearing = Hearing(complete_list=True, asked=S)
    assert news.answered(hearing, session_id(2)) == hearing


def test_a_session_listed_twice_is_asked_for_once() -> None:
    owner = owner_of(held(1, 2, 3))
    hearing = news.told(Hearing(), News(1, (owner, owner), more=True), {S: held(1, 2)}, me=A.device)
    assert news.told(hearing, News(1, (owner,), more=False), {S: held(1, 2)}, me=A.device).wanted == (S,)


# --- what follows from a chain ----------------------------------------------------------------------


def test_a_chain_with_the_outstanding_acceptance_resolves_the_doubt() -> None:
    assert news.lesson(frozen(), chain_of(1, 2), me=A.device) is Lesson.RESOLVED
    assert news.lesson(frozen(), chain_of(1, 2, 3), me=A.device) is Lesson.RESOLVED


def test_a_chain_that_went_on_without_the_outstanding_grant_supersedes_it() -> None:
    assert news.lesson(frozen(), handed(chain_of(1), 9, A, C), me=A.device) is Lesson.SUPERSEDED


def test_a_chain_with_another_owner_is_followed_and_a_known_one_teaches_nothing() -> None:
    assert news.lesson(held(1, 2), chain_of(1, 2, 3), me=A.device) is Lesson.FOLLOW
    assert news.lesson(held(1, 2), chain_of(1, 2), me=A.device) is Lesson.NOTHING
    assert news.lesson(held(1, 2), chain_of(1), me=A.device) is Lesson.NOTHING


@pytest.mark.parametrize("other", [chain_of(1, 3), chain_of(1, 3, 2)])
def test_two_histories_are_refused(other: chains.Chain) -> None:
    with pytest.raises(TrustError, match="two histories"):
        news.lesson(held(1, 2), other, me=A.device)


def test_a_chain_with_a_bad_signature_is_refused() -> None:
    longer = chain_of(1, 2, 3)
    forged = (*longer[:-1], replace(longer[-1], signature=bytes(64)))
    with pytest.raises(TrustError, match="link 4"):
        news.lesson(held(1, 2), forged, me=A.device)


def test_a_chain_of_a_session_that_only_shares_the_id_is_another_history() -> None:
    stranger = chains.create(D, S, ROOT)
    with pytest.raises(TrustError, match="two histories"):
        news.lesson(held(1, 2), handed(stranger, 0, D, A), me=A.device)
