# SPDX-License-Identifier: Apache-2.0
"""A person is asked before another device takes a session."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from p2p_handoff import HandoffV2, MultiClientSyncHandler, NotFoundError, RejectedError, TimedOutError, UsageError
from p2p_handoff.agent import take_questions, takes
from p2p_handoff.ids import TxnId
from p2p_handoff.protocol.messages import Init
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.policy import Rule, Table, Verdict
from tests.agent.devices import Devices, Pair, event, fill, heard_by, introduce, pull_cable, tree

FILES = {"main.py": b"print('hello')\n"}
LINE = b'{"text": "hello"}\n'


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


@pytest.fixture
async def asked(devices: Devices) -> Pair:
    """Somebody else's desktop; the laptop's person is asked when it takes."""
    laptop = await devices.start("laptop", device={"desktop": Table(Rule(take=Verdict.ASK))})
    pair = Pair(laptop, await devices.start("desktop"))
    introduce(*pair, LinkKind.OTHER)
    return pair


async def test_after_a_yes_the_session_is_handed_over(asked: Pair, folder: Path) -> None:
    laptop, desktop = asked
    await laptop.start([folder])
    told = asyncio.create_task(event(desktop, "asking"))
    taking = asyncio.create_task(desktop.take("project", peer="laptop"))
    request = await event(laptop, "take-request")
    assert (request["wish"], request["from"], request["title"]) == ("take", "desktop", "project")
    assert [part["name"] for part in request["parts"]] == ["project"]
    assert (await told)["name"] == "laptop"
    report = await laptop.accept_and_wait(request["token"])
    assert (report.outcome, report.peer) == ("done", "desktop")
    assert (await taking).outcome == "done"
    assert tree(desktop.settings.receive_dir / "project") == FILES
    assert laptop.pending() == []


async def test_before_the_answer_nothing_of_the_session_is_told(asked: Pair, folder: Path) -> None:
    laptop, desktop = asked
    await laptop.start([folder])
    heard = heard_by(desktop, Init)
    taking = asyncio.create_task(desktop.take("project", peer="laptop"))
    request = await event(laptop, "take-request")
    assert heard == []
    laptop.reject(request["token"], reason="not that one")
    with pytest.raises(RejectedError, match="laptop said no: not that one") as caught:
        await taking
    assert caught.value.reason == "declined"
    assert heard == []
    assert laptop.sessions()[0].ownership.role.value == "primary"


async def test_the_person_may_let_only_some_parts_go(asked: Pair, folder: Path, devices: Devices) -> None:
    laptop, desktop = asked
    talk = devices.path("laptop", "talk.jsonl")
    talk.write_bytes(LINE)
    await laptop.start([folder, talk], "work")
    taking = asyncio.create_task(desktop.take("work", peer="laptop"))
    request = await event(laptop, "take-request")
    laptop.accept(request["token"], only=["messages"])
    assert (await taking).outcome == "done"
    assert tree(desktop.settings.receive_dir) == {"talk.jsonl": LINE}


async def test_a_choice_that_leaves_nothing_of_what_was_asked_for_hands_nothing_over(asked: Pair, folder: Path) -> None:
    laptop, desktop = asked
    await laptop.start([folder])
    taking = asyncio.create_task(desktop.take("project", peer="laptop", only=["files"]))
    request = await event(laptop, "take-request")
    with pytest.raises(NotFoundError, match="nothing was handed over"):
        await laptop.accept_and_wait(request["token"], only=["messages"])
    with pytest.raises(RejectedError) as caught:
        await taking
    assert caught.value.reason == "nothing-chosen"


async def test_a_directory_is_no_answer_to_a_take(asked: Pair, folder: Path, tmp_path: Path) -> None:
    laptop, desktop = asked
    await laptop.start([folder])
    taking = asyncio.create_task(desktop.take("project", peer="laptop"))
    request = await event(laptop, "take-request")
    with pytest.raises(UsageError, match="take a session away"):
        await laptop.accept_and_wait(request["token"], into=tmp_path)
    laptop.reject(request["token"])
    with pytest.raises(RejectedError):
        await taking


async def test_a_taker_that_gives_up_withdraws_its_question(asked: Pair, folder: Path) -> None:
    laptop, desktop = asked
    await laptop.start([folder])
    taking = asyncio.create_task(desktop.take("project", peer="laptop"))
    await event(laptop, "take-request")
    closed = asyncio.create_task(event(laptop, "request-closed"))
    await asyncio.sleep(0)
    taking.cancel()
    await closed
    assert laptop.pending() == []
    assert laptop.handoffs.outgoing_of(laptop.sessions()[0].id) is None


async def test_a_taker_that_comes_back_asks_again(asked: Pair, folder: Path) -> None:
    laptop, desktop = asked
    await laptop.start([folder])
    taking = asyncio.create_task(desktop.take("project", peer="laptop"))
    first = await event(laptop, "take-request")
    again = asyncio.create_task(event(laptop, "take-request"))
    await asyncio.sleep(0)
    pull_cable(desktop, laptop)
    second = await again
    assert first["token"] != second["token"]
    assert [request.token for request in laptop.pending()] == [second["token"]]
    laptop.accept(second["token"])
    assert (await taking).outcome == "done"


async def test_a_device_asks_one_question_at_a_time(asked: Pair, folder: Path, devices: Devices) -> None:
    laptop, desktop = asked
    await laptop.start([folder])
    await laptop.start([fill(devices.path("laptop", "second"), FILES)])
    taking = asyncio.create_task(desktop.take("project", peer="laptop"))
    request = await event(laptop, "take-request")
    with pytest.raises(RejectedError, match="asked about another take already"):
        await desktop.take("second", peer="laptop")
    laptop.accept(request["token"])
    assert (await taking).outcome == "done"


async def test_a_person_who_does_not_answer_in_time_hands_nothing_over(
    asked: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = asked
    monkeypatch.setattr(take_questions, "ASK_FOR", 0.2)
    await laptop.start([folder])
    with pytest.raises(RejectedError, match="nobody answered in time") as caught:
        await desktop.take("project", peer="laptop")
    assert caught.value.reason == "expired"


async def test_a_taker_waits_as_long_as_the_person_may_take_and_no_longer(
    asked: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = asked
    await laptop.start([folder])
    monkeypatch.setattr(takes, "OFFER_LIFETIME", 0.2)
    monkeypatch.setattr(takes, "ANSWER_TAKE_FOR", 0.3)
    with pytest.raises(TimedOutError, match="laptop did not answer"):
        await desktop.take("project", peer="laptop")


async def test_the_faces_take_no_take_for_an_offer(asked: Pair, folder: Path) -> None:
    laptop, desktop = asked
    record = await laptop.start([folder])
    face, group = HandoffV2(laptop), MultiClientSyncHandler(laptop)
    await face.init(source_client_id="desktop", target_client_id="laptop")
    taking = asyncio.create_task(desktop.take("project", peer="laptop"))
    request = await event(laptop, "take-request")
    assert face.pending() == []
    assert group.pending() == []
    laptop.reject(request["token"])
    with pytest.raises(RejectedError):
        await taking
    assert laptop.store.sessions.get(record.id) is not None


async def test_what_nobody_asked_about_has_not_begun(asked: Pair) -> None:
    with pytest.raises(NotFoundError, match="nothing was handed over"):
        await asked.laptop.handoffs.taken(TxnId("t" * 26))
