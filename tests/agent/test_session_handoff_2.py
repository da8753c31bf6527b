# SPDX-License-Identifier: Apache-2.0
"""HandoffV2: discover, signal, connect, init, request, accept or reject, transfer, resume."""

from __future__ import annotations

import asyncio
import itertools
import os

import pytest

from p2p_handoff import HandoffV2, NotFoundError, RejectedError, UsageError
from p2p_handoff.agent.payloads import HandoffEnded, Progress, ReceivedData
from p2p_handoff.agent.requests import IncomingRequest
from p2p_handoff.session.guard import Letting
from p2p_handoff.testing.samples import conversation_lines
from tests.agent.devices import Devices, Pair, event, fill, introduce, tree
from tests.agent.secrets_made import env_file, private_key

FILES = {"main.py": b"print('hello')\n", "sub/data.bin": bytes(range(256)) * 40}
LINES = [*conversation_lines(20), b'{"unterminated": "\xff\xfe"}']


@pytest.fixture
async def session(two_people: Pair, devices: Devices) -> str:
    """A folder and a conversation on the laptop, as one session."""
    folder = fill(devices.path("laptop", "project"), FILES)
    talk = devices.path("laptop", "talk.jsonl")
    talk.write_bytes(b"".join(LINES))
    return (await two_people.laptop.start([folder, talk], "evening work")).id


async def faces(pair: Pair) -> tuple[HandoffV2, HandoffV2]:
    """The same handoff seen from both sides."""
    source, target = HandoffV2(pair.laptop), HandoffV2(pair.desktop)
    await source.init(source_client_id="laptop", target_client_id="desktop")
    await target.init(source_client_id="laptop", target_client_id="desktop")
    return source, target


async def test_a_session_arrives_byte_for_byte_and_is_told_in_types(two_people: Pair, session: str) -> None:
    source, target = await faces(two_people)
    seen: list[ReceivedData] = []
    report, data = await asyncio.gather(source.request_handoff(), target.accept_data(seen.append))
    assert seen == [data]
    assert (report.outcome, data.session, data.title, data.peer) == ("done", session, "evening work", "laptop")
    assert (data.source, data.epoch) == (two_people.laptop.device, 2)
    files, messages = data.parts
    assert [part.type.value for part in data.parts] == ["files", "messages"]
    assert tree(files.path) == FILES
    assert messages.read_lines() == LINES


async def test_the_target_is_asked_with_token_peer_title_and_parts(two_people: Pair, session: str) -> None:
    source, target = await faces(two_people)
    asked: asyncio.Queue[IncomingRequest] = asyncio.Queue()
    target.on("requestHandoff", asked.put)
    handing = asyncio.create_task(source.request_handoff())
    request = await asked.get()
    assert (request.peer, request.title, request.session) == ("laptop", "evening work", session)
    assert [(part.name, part.items) for part in request.parts] == [("project", 2), ("talk.jsonl", len(LINES))]
    assert target.pending() == [request]
    data = await target.accept_data()
    assert (await handing).txn == data.txn


async def test_a_rejection_reaches_the_source_with_its_reason(two_people: Pair, session: str) -> None:
    source, target = await faces(two_people)
    target.on("requestHandoff", lambda request: target.reject("not tonight", token=request.token))
    with pytest.raises(RejectedError, match="not tonight") as caught:
        await source.request_handoff()
    assert (caught.value.reason, caught.value.exit_code) == ("declined", 3)
    assert "still here" in caught.value.sentence
    assert not two_people.desktop.sessions()


async def test_a_rejected_request_does_not_disturb_the_next_one(two_people: Pair, session: str) -> None:
    source, target = await faces(two_people)
    stop = target.on("requestHandoff", lambda _request: target.reject("busy"))
    with pytest.raises(RejectedError):
        await source.request_handoff()
    stop()
    report, data = await asyncio.gather(source.request_handoff(), target.accept_data())
    assert (report.outcome, data.epoch) == ("done", 2)


async def test_data_is_an_event_for_callables_and_coroutines(two_people: Pair, session: str) -> None:
    source, target = await faces(two_people)
    plain: list[ReceivedData] = []
    awaited: asyncio.Queue[ReceivedData] = asyncio.Queue()
    target.on("data", plain.append)
    target.on("data", awaited.put)
    await asyncio.gather(source.request_handoff(), target.accept_data())
    assert plain == [await awaited.get()]


async def test_both_sides_hear_of_the_end(two_people: Pair, session: str) -> None:
    source, target = await faces(two_people)
    ends: dict[str, HandoffEnded] = {}
    both = asyncio.Event()
    for name, face in (("source", source), ("target", target)):

        def ended(end: HandoffEnded, name: str = name) -> None:
            ends[name] = end
            if len(ends) == 2:
                both.set()

        face.on("completed", ended)
    await asyncio.gather(source.request_handoff(), target.accept_data())
    await asyncio.wait_for(both.wait(), 5)
    assert {end.outcome for end in ends.values()} == {"done"}
    assert (ends["source"].peer, ends["target"].peer) == ("desktop", "laptop")


async def test_an_own_device_takes_data_without_being_asked(two_agents: Pair, devices: Devices) -> None:
    await two_agents.laptop.start([fill(devices.path("laptop", "project"), FILES)])
    source, target = await faces(two_agents)
    asked: list[IncomingRequest] = []
    target.on("requestHandoff", asked.append)
    await source.request_handoff()
    data = await target.accept_data()  # It arrived before anybody waited for it.
    assert tree(data.parts[0].path) == FILES
    assert not asked


async def test_a_target_may_ask_for_the_session(two_agents: Pair, devices: Devices) -> None:
    laptop, desktop = two_agents
    await laptop.start([fill(devices.path("laptop", "project"), FILES)])
    target = HandoffV2(desktop)
    await target.init(source_client_id=laptop.device[:10], target_client_id=desktop.device, session="project")
    report = await target.request_handoff()
    assert (report.outcome, report.epoch) == ("done", 2)
    assert (await target.accept_data()).title == "project"


async def test_chosen_types_alone_are_handed_over(two_people: Pair, session: str) -> None:
    source, target = await faces(two_people)
    _, data = await asyncio.gather(source.request_handoff(only=["messages"]), target.accept_data())
    assert [part.type.value for part in data.parts] == ["messages"]


async def test_secrets_stay_unless_the_source_lets_them_go(two_people: Pair, devices: Devices) -> None:
    env, key = env_file(), private_key()
    folder = fill(devices.path("laptop", "project"), {".env": env, "id_rsa": key, "a.txt": b"a"})
    await two_people.laptop.start([folder])
    source, target = await faces(two_people)
    let = Letting(paths=frozenset({b".env"}))
    _, data = await asyncio.gather(source.request_handoff(letting=let), target.accept_data())
    assert tree(data.parts[0].path) == {".env": env, "a.txt": b"a"}
    with pytest.raises(UsageError, match="the source's to say"):
        await target.request_handoff(letting=let)


async def test_what_cannot_be_handed_over_is_told(two_people: Pair, devices: Devices) -> None:
    folder = fill(devices.path("laptop", "project"), {"a.txt": b"a", "sub/.x.handoff-y": b"the user's own"})
    os.mkfifo(folder / "pipe")
    await two_people.laptop.start([folder])
    source, target = await faces(two_people)
    report, data = await asyncio.gather(source.request_handoff(), target.accept_data())
    assert set(report.left_out) == {"project/pipe", "project/sub/.x.handoff-y"}
    assert set(report.as_json()["left_out"]) == set(report.left_out)
    assert tree(data.parts[0].path) == {"a.txt": b"a"}
    assert (folder / "sub/.x.handoff-y").read_bytes() == b"the user's own"


async def test_progress_is_told_while_content_moves(two_agents: Pair, devices: Devices) -> None:
    noise = b"".join(bytes([number % 251]) * 64 + number.to_bytes(8) * 8 for number in range(25_000))
    await two_agents.laptop.start([fill(devices.path("laptop", "project"), {"big": noise})])
    source, target = await faces(two_agents)
    told: list[Progress] = []
    target.on("progress", told.append)
    await source.request_handoff()
    assert told
    assert told[0].session == two_agents.laptop.sessions()[0].id
    assert all(later.bytes >= sooner.bytes for sooner, later in itertools.pairwise(told))


async def test_a_request_of_somebody_else_is_not_accepted(two_people: Pair, session: str, devices: Devices) -> None:
    """The target's face is about one source: requests of others stay for the person."""
    desktop = two_people.desktop
    other = await devices.start("phone")
    introduce(other, desktop)
    target = HandoffV2(desktop)
    await target.init(source_client_id="phone", target_client_id="desktop")
    asked: list[IncomingRequest] = []
    target.on("requestHandoff", asked.append)
    handing = asyncio.create_task(two_people.laptop.to("desktop"))
    await event(desktop, "request")
    assert not target.pending()
    assert not asked
    desktop.reject()
    assert (await handing).outcome == "rejected"


async def test_what_makes_no_sense_is_a_usage_error(two_people: Pair, session: str) -> None:
    laptop = two_people.laptop
    handoff = HandoffV2(laptop)
    with pytest.raises(UsageError, match="no source and target yet") as caught:
        await handoff.request_handoff()
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match="same device"):
        await handoff.init(source_client_id="laptop", target_client_id="laptop")
    with pytest.raises(NotFoundError, match="tablet"):
        await handoff.init(source_client_id="laptop", target_client_id="tablet")
    with pytest.raises(UsageError, match="no event 'dta'"):
        handoff.on("dta", print)
    await handoff.init(source_client_id="laptop", target_client_id="desktop")
    with pytest.raises(UsageError, match="this device is the source"):
        await handoff.accept_data()
    with pytest.raises(NotFoundError, match="no request"):
        handoff.reject()


async def test_without_a_session_the_only_one_is_meant(two_people: Pair, devices: Devices) -> None:
    source = HandoffV2(two_people.laptop)
    with pytest.raises(NotFoundError, match="no session is running"):
        await source.init(source_client_id="laptop", target_client_id="desktop")
    for name in ("one", "two"):
        await two_people.laptop.start([fill(devices.path("laptop", name), FILES)])
    with pytest.raises(UsageError, match="several sessions are running"):
        await source.init(source_client_id="laptop", target_client_id="desktop")


async def test_messages_are_read_from_messages_only(two_people: Pair, session: str) -> None:
    source, target = await faces(two_people)
    _, data = await asyncio.gather(source.request_handoff(), target.accept_data())
    with pytest.raises(UsageError, match="has no messages"):
        data.parts[0].read_lines()


async def test_a_closed_face_hears_nothing_more(two_people: Pair, session: str) -> None:
    _, target = await faces(two_people)
    asked: list[IncomingRequest] = []
    target.on("requestHandoff", asked.append)
    target.close()
    handing = asyncio.create_task(two_people.laptop.to("desktop"))
    await event(two_people.desktop, "request")
    two_people.desktop.reject()
    await handing
    assert not asked
