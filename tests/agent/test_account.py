# SPDX-License-Identifier: Apache-2.0
"""agent.account: what either side reports as the pause."""

from __future__ import annotations

from typing import cast
from unittest.mock import Mock

import pytest

from p2p_handoff.agent.account import Account, Subject
from p2p_handoff.agent.current_wire import CurrentWire
from p2p_handoff.agent.services import Services
from p2p_handoff.ids import DeviceId, SessionId, TxnId
from p2p_handoff.protocol.outcome import Outcome, Result


class Clock:
    """Stands in for the loop: its time is set by hand."""

    now = 100.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("p2p_handoff.agent.account.asyncio.get_running_loop", lambda: clock)
    return clock


def account_of() -> Account:
    services = Mock(spec=Services)
    services.store.sessions.get.return_value = None
    subject = Subject(TxnId("t" * 26), SessionId("s" * 26), DeviceId("d" * 32), is_source=True)
    return Account(cast("Services", services), subject, CurrentWire())


def pause_of(account: Account) -> float:
    return account.report(Outcome(Result.DONE)).pause_ms


def test_the_targets_pause_is_from_the_grant_until_all_is_in_place(clock: Clock) -> None:
    account = account_of()
    account.pause_began()
    clock.now += 0.25
    account.decided()
    clock.now += 0.5
    account.pause_ended()
    clock.now += 8
    account.pause_ended()
    assert pause_of(account) == 750
    assert account.placed_in == 500


def test_the_source_adds_what_the_target_says_of_the_placing(clock: Clock) -> None:
    account = account_of()
    account.pause_began()
    clock.now += 0.25
    account.decided()
    clock.now += 4
    account.pause_ended(placed_in=500)
    assert pause_of(account) == 750


def test_a_target_cannot_make_the_pause_longer_than_it_was(clock: Clock) -> None:
    account = account_of()
    account.pause_began()
    account.decided()
    clock.now += 2
    account.pause_ended(placed_in=10**12)
    assert pause_of(account) == 2000


def test_until_the_target_says_more_its_acceptance_ends_the_pause(clock: Clock) -> None:
    account = account_of()
    account.pause_began()
    clock.now += 1
    account.decided()
    clock.now += 3
    assert pause_of(account) == 1000


def test_a_copy_has_no_pause(clock: Clock) -> None:
    account = account_of()
    account.decided()
    clock.now += 1
    account.pause_ended()
    assert pause_of(account) == 0
    assert account.placed_in == 1000
