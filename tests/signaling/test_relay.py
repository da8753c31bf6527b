# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import ClientSession, WSServerHandshakeError, web

from signaling import messages as m
from signaling.messages import Farewell, RequestId
from signaling.policy import EmbeddedPolicy, Policy, SharedPolicy
from signaling.relay import EMBEDDED_NAME, Capacity, Relay
from signaling.wire import decode_from_relay
from tests.signaling.parties import ALICE, BOB, dialled, logged_in, running, running_relay


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def refused_status(url: str, **options: object) -> int:
    with pytest.raises(WSServerHandshakeError) as refused:
        async with dialled(url, **options):
            pass
    return refused.value.status


@pytest.mark.parametrize("policy", [SharedPolicy(), EmbeddedPolicy(ALICE.device)])
async def test_a_web_page_cannot_reach_the_relay(policy: Policy) -> None:
    async with running_relay(Relay(policy)) as url:
        # From the web, from a file or a frame without an origin, and by a name that was bound to this address.
        for origin in ("http://evil.example", "null", url.replace("ws:", "http:").removesuffix("/v1")):
            assert await refused_status(url, origin=origin) == 403
        async with dialled(url) as honest:
            await honest.challenge()


async def test_connections_from_one_address_are_bounded() -> None:
    relay = Relay(SharedPolicy(), capacity=Capacity(per_address=1))
    async with running_relay(relay) as url, dialled(url):
        assert await refused_status(url) == 429


async def test_all_connections_together_are_bounded_logged_in_or_not() -> None:
    relay = Relay(SharedPolicy(), capacity=Capacity(connections=1))
    async with running_relay(relay) as url, dialled(url):
        assert await refused_status(url) == 503


async def test_behind_a_proxy_the_last_forwarded_address_counts() -> None:
    relay = Relay(SharedPolicy(), behind_proxy=True, capacity=Capacity(per_address=1))
    async with running_relay(relay) as url, dialled(url, headers={"X-Forwarded-For": "spoofed, 192.0.2.1"}):
        async with dialled(url, headers={"X-Forwarded-For": "192.0.2.2"}) as other:
            await other.challenge()
        assert await refused_status(url, headers={"X-Forwarded-For": "other, 192.0.2.1"}) == 429


async def test_a_forwarded_address_is_not_believed_without_a_proxy() -> None:
    relay = Relay(SharedPolicy(), capacity=Capacity(per_address=1))
    async with running_relay(relay) as url, dialled(url):
        assert await refused_status(url, headers={"X-Forwarded-For": "192.0.2.2"}) == 429


async def test_health_and_counters_are_plain_text_and_name_nobody(session: ClientSession) -> None:
    async with (
        running(Relay(SharedPolicy()).application()) as address,
        logged_in(f"ws://{address}/v1", ALICE) as alice,
        logged_in(f"ws://{address}/v1", BOB),
    ):
        await alice.ask(m.Send(RequestId(1), BOB.device, b"x"))
        await alice.ask(m.FindRoom(RequestId(2), m.Nameplate(1)))
        health = await (await session.get(f"http://{address}/healthz")).text()
        page = await (await session.get(f"http://{address}/metrics")).text()
    assert health == "ok\n"
    lines = page.splitlines()
    assert "handoff_relay_clients 2" in lines
    assert "handoff_relay_envelopes_total 1" in lines
    assert 'handoff_relay_refused_total{reason="no-room"} 1' in lines
    assert ALICE.device not in page


async def test_a_relay_inside_an_agent_serves_nothing_else_and_tells_nothing_of_itself(session: ClientSession) -> None:
    relay = Relay(EmbeddedPolicy(ALICE.device), name=EMBEDDED_NAME)
    async with running(relay.bare_application()) as address, logged_in(f"ws://{address}/v1", BOB):
        for path in ("/", "/metrics", "/healthz"):
            answer = await session.get(f"http://{address}{path}")
            assert answer.status == 404
            assert not {"Server", "Date"} & answer.headers.keys()
        async with session.ws_connect(f"ws://{address}/v1") as socket:
            challenge = decode_from_relay(await socket.receive_bytes())
            assert isinstance(challenge, m.Challenge)
            assert challenge.relay == "embedded"


async def test_clients_are_told_when_the_relay_shuts_down() -> None:
    async with AsyncExitStack() as clients:
        async with running_relay() as url:
            client = await clients.enter_async_context(logged_in(url, ALICE))
            farewell = asyncio.create_task(client.farewell())
            await asyncio.sleep(0)
        assert await farewell is Farewell.SHUTDOWN


async def test_a_client_that_gives_up_during_the_upgrade_leaves_no_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def gone(_socket: web.WebSocketResponse, _request: web.BaseRequest) -> None:
        raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")

    monkeypatch.setattr(web.WebSocketResponse, "prepare", gone)
    async with running_relay() as url, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(url)
    assert "Error handling request" not in caplog.text
