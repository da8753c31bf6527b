# SPDX-License-Identifier: Apache-2.0
"""No is an answer: it arrives with its reason, and both sides end where they began."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from p2p_handoff import CancelledError, RejectedError, TimedOutError
from p2p_handoff.agent import outgoing
from p2p_handoff.agent.report import Report
from p2p_handoff.protocol import messages as msg
from tests.agent.devices import Devices, Pair, deaf_to, event, failing, fill, until

FILES = {"main.py": b"print('hello')\n"}


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


async def offered(pair: Pair, folder: Path) -> tuple[asyncio.Task[Report], str]:
    """An offer that waits for an answer, and its token."""
    handing = asyncio.create_task(pair.laptop.to("desktop", folder))
    return handing, (await event(pair.desktop, "request"))["token"]


async def test_the_reason_arrives_in_words_and_as_a_code(two_people: Pair, folder: Path) -> None:
    handing, token = await offered(two_people, folder)
    two_people.desktop.reject(token[:3], reason="no room on this disk")
    report = await handing
    assert (report.outcome, report.reason, report.exit_code) == ("rejected", "declined", 3)
    assert report.text == "desktop said no: no room on this disk; the session is unchanged and still here."
    assert isinstance(report.error, RejectedError)


async def test_after_a_no_both_sides_are_where_they_were(two_people: Pair, folder: Path) -> None:
    handing, _ = await offered(two_people, folder)
    two_people.desktop.reject()
    await handing
    record = two_people.laptop.sessions()[0]
    assert (record.ownership.role.value, record.ownership.epoch) == ("primary", 1)
    assert not two_people.desktop.sessions()
    assert not two_people.desktop.pending()
    assert not two_people.desktop.settings.receive_dir.exists()


async def test_after_a_no_the_session_can_be_offered_again(two_people: Pair, folder: Path) -> None:
    handing, _ = await offered(two_people, folder)
    two_people.desktop.reject()
    await handing
    again, _ = await offered(two_people, folder)
    two_people.desktop.accept()
    assert (await again).outcome == "done"


async def test_an_answer_is_given_once(two_people: Pair, folder: Path) -> None:
    handing, token = await offered(two_people, folder)
    two_people.desktop.reject(token, reason="first")
    two_people.desktop.accept(token)
    assert "first" in (await handing).text


async def test_nobody_answers_and_the_offer_expires(
    two_people: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "OFFER_LIFETIME", 1.2)
    handing, _ = await offered(two_people, folder)
    report = await handing
    assert (report.exit_code, report.reason) in ((5, "expired"), (3, "expired"))
    assert isinstance(report.error, TimedOutError | RejectedError)
    await until(lambda: not two_people.desktop.pending())


async def test_a_source_that_gives_up_takes_the_request_away(two_people: Pair, folder: Path) -> None:
    handing, token = await offered(two_people, folder)
    handing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handing
    await until(lambda: not two_people.desktop.pending())
    assert two_people.laptop.sessions()[0].ownership.role.value == "primary"
    assert token


async def test_cancelling_is_told_as_such(two_people: Pair, folder: Path) -> None:
    handing, _ = await offered(two_people, folder)
    session = two_people.laptop.sessions()[0].id
    under_way = two_people.laptop.handoffs.outgoing_of(session)
    assert under_way is not None
    under_way.cancel("changed my mind")
    report = await handing
    assert (report.outcome, report.exit_code) == ("cancelled", 7)
    assert isinstance(report.error, CancelledError)


async def test_a_request_of_a_handoff_that_the_target_does_not_know_any_more_is_answered_by_no(
    two_agents: Pair, folder: Path
) -> None:
    laptop, desktop = two_agents
    deaf_to(desktop, msg.Init)
    report = await laptop.to("desktop", folder)
    assert (report.outcome, report.reason) == ("rejected", "failed")
    assert "the handoff is over on that device" in report.text
    assert laptop.sessions()[0].ownership.role.value == "primary"
    assert desktop.sessions() == []


async def test_an_init_that_is_turned_away_is_answered_once_more_and_that_changes_nothing(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    record = await laptop.start([folder])
    monkeypatch.setattr(desktop.handoffs._admission, "check_init", failing(RejectedError("no", reason="busy"), 1, None))
    assert (await laptop.to("desktop", record.id)).reason == "busy"
    monkeypatch.undo()
    assert (await laptop.to("desktop", record.id)).outcome == "done"
