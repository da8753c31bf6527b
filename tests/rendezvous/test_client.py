# SPDX-License-Identifier: Apache-2.0
"""The client against a real relay, and against things that are none."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from p2p_handoff.errors import (
    HandoffError,
    LinkCodeError,
    LocalProtocolError,
    NotFoundError,
    RejectedError,
    RemoteProtocolError,
    TimedOutError,
    TrustError,
    UnreachableError,
    UsageError,
    VersionError,
)
from p2p_handoff.ids import DeviceId, RoomId
from p2p_handoff.limits import MAX_ENVELOPE, RELAY_CLIENT_QUEUE, RELAY_SEGMENT
from p2p_handoff.rendezvous.client import RelayClient
from signaling import messages as m
from signaling.login import VERSIONS
from signaling.policy import EmbeddedPolicy, SharedPolicy
from signaling.relay import Capacity, Relay
from signaling.server import serve
from signaling.wire import encode
from tests.signaling.parties import ALICE, BOB, CAROL, MALLORY, Party, dialled, running, running_relay

Behaviour = Callable[[web.WebSocketResponse], Awaitable[None]]


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[RelayClient, RelayClient]]:
    """Alice and Bob at one relay."""
    async with (
        running_relay() as url,
        RelayClient.connect(url, ALICE.key, ALICE.sign) as alice,
        RelayClient.connect(url, BOB.key, BOB.sign) as bob,
    ):
        yield alice, bob


async def test_segments_are_short_enough_for_every_path() -> None:
    async with running_relay() as url, RelayClient.connect(url, ALICE.key, ALICE.sign) as alice:
        used = alice._socket.get_extra_info("socket")
        assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= RELAY_SEGMENT


@asynccontextmanager
async def hostile_relay(behave: Behaviour) -> AsyncIterator[str]:
    """A WebSocket server that does as it likes."""

    async def accept(request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        await behave(response)
        return response

    app = web.Application()
    app.router.add_get("/v1", accept)
    async with running(app) as address:
        yield f"ws://{address}/v1"


async def welcome(response: web.WebSocketResponse, device: DeviceId = ALICE.device) -> None:
    """What a good relay does until the login is through."""
    await response.send_bytes(encode(m.Challenge(VERSIONS, m.RelayName("r"), m.Nonce(bytes(32)))))
    await response.receive_bytes()
    count = m.Count(1)
    await response.send_bytes(encode(m.Welcome(device, count, count, count, count)))


async def until_closed(response: web.WebSocketResponse) -> None:
    async for _ in response:
        pass


async def dial_error(url: str, who: Party = ALICE, deadline: float = 5.0) -> HandoffError:
    with pytest.raises(HandoffError) as failed:
        async with RelayClient.connect(url, who.key, who.sign, deadline=deadline):
            pass
    return failed.value


async def test_envelopes_pass_both_ways() -> None:
    async with pair() as (alice, bob):
        assert (alice.device, bob.device) == (ALICE.device, BOB.device)
        await alice.send(bob.device, b"there")
        assert await anext(bob.envelopes()) == (alice.device, b"there")
        await bob.send(alice.device, bytes(MAX_ENVELOPE))
        assert await anext(alice.envelopes()) == (bob.device, bytes(MAX_ENVELOPE))


async def test_envelopes_keep_their_order() -> None:
    async with pair() as (alice, bob):
        for number in range(50):
            await alice.send(bob.device, b"%d" % number)
        incoming = bob.envelopes()
        assert [(await anext(incoming))[1] for _ in range(50)] == [b"%d" % number for number in range(50)]


async def test_many_requests_at_once_get_their_own_replies() -> None:
    async with pair() as (alice, bob):
        asked = [[bob.device], [CAROL.device], [alice.device, bob.device]] * 10
        answers = await asyncio.gather(*(alice.presence(devices) for devices in asked))
        assert answers == [frozenset(devices) - {CAROL.device} for devices in asked]


async def test_an_absent_device_is_unreachable() -> None:
    async with pair() as (alice, _):
        with pytest.raises(UnreachableError, match="not connected"):
            await alice.send(CAROL.device, b"x")


async def test_an_envelope_that_is_too_large_is_our_defect_and_the_connection_lives() -> None:
    async with pair() as (alice, bob):
        with pytest.raises(LocalProtocolError):
            await alice.send(bob.device, bytes(MAX_ENVELOPE + 1))
        await alice.send(bob.device, b"x")


async def test_two_clients_talk_in_a_room_found_by_its_nameplate() -> None:
    async with pair() as (alice, bob):
        opened = await alice.open_room()
        await opened.send(b"first")
        assert opened.nameplate is not None
        joined = await bob.join_room(await bob.find_room(opened.nameplate))
        assert joined.id == opened.id
        assert await joined.receive() == b"first"
        await joined.send(b"second")
        assert await opened.receive() == b"second"


async def test_what_was_said_before_a_room_closed_is_still_received() -> None:
    async with pair() as (alice, bob):
        opened = await alice.open_room()
        joined = await bob.join_room(opened.id)
        await joined.send(b"last words")
        await joined.close()
        assert await opened.receive() == b"last words"
        for _ in range(2):
            with pytest.raises(UnreachableError, match="left the room"):
                await opened.receive()
        with pytest.raises(UnreachableError, match="left the room"):
            await opened.send(b"x")
        await opened.close()


async def test_a_third_party_and_a_second_guess_are_link_code_errors() -> None:
    async with (
        running_relay() as url,
        RelayClient.connect(url, ALICE.key, ALICE.sign) as alice,
        RelayClient.connect(url, MALLORY.key, MALLORY.sign) as mallory,
    ):
        opened = await alice.open_room()
        async with RelayClient.connect(url, BOB.key, BOB.sign) as bob:
            await bob.join_room(opened.id)
            with pytest.raises(LinkCodeError, match="joined this room already"):
                await mallory.join_room(opened.id)
        with pytest.raises(UnreachableError):
            await opened.receive()
        with pytest.raises(LinkCodeError, match="used up"):
            await mallory.join_room(opened.id)


async def test_a_nameplate_that_nobody_holds_is_not_found() -> None:
    async with pair() as (alice, _):
        with pytest.raises(NotFoundError):
            await alice.find_room(1)
        with pytest.raises(NotFoundError):
            await alice.join_room(RoomId("a" * 26))


async def test_a_taken_nameplate_is_refused_with_its_reason() -> None:
    async with pair() as (alice, bob):
        await alice.open_room(nameplate=7)
        with pytest.raises(RejectedError) as refused:
            await bob.open_room(nameplate=7)
        assert refused.value.reason == "taken"


async def test_the_older_client_learns_that_it_was_replaced() -> None:
    async with (
        running_relay() as url,
        RelayClient.connect(url, ALICE.key, ALICE.sign) as older,
        RelayClient.connect(url, ALICE.key, ALICE.sign),
    ):
        assert [item async for item in older.envelopes()] == []
        assert "second time" in older.close_reason
        with pytest.raises(UnreachableError, match="second time"):
            await older.send(BOB.device, b"x")


async def test_a_relay_is_reached_over_ipv6_and_by_name() -> None:
    async with serve(Relay(SharedPolicy()).application(), ["::1", "127.0.0.1"]) as addresses:
        for host, port in (("[::1]", addresses[0][1]), ("localhost", addresses[1][1])):
            async with RelayClient.connect(f"ws://{host}:{port}", ALICE.key, ALICE.sign) as client:
                assert await client.presence([ALICE.device]) == {ALICE.device}


async def test_a_port_where_nobody_listens_is_unreachable() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        error = await dial_error(f"ws://127.0.0.1:{reserved.getsockname()[1]}")
    assert isinstance(error, UnreachableError)
    assert "refused" in error.what.lower()


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    assert isinstance(await dial_error("ws://no-such-host.invalid:8787"), UnreachableError)


async def test_a_url_that_is_none_is_a_usage_error() -> None:
    assert isinstance(await dial_error("http://127.0.0.1"), UsageError)


async def test_a_port_that_accepts_and_says_nothing_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = await dial_error(f"ws://127.0.0.1:{silent.getsockname()[1]}", deadline=0.1)
    assert isinstance(error, TimedOutError)


async def test_a_websocket_that_says_nothing_times_out() -> None:
    async with hostile_relay(until_closed) as url:
        assert isinstance(await dial_error(url, deadline=0.1), TimedOutError)


async def test_an_ordinary_web_server_is_not_a_relay() -> None:
    async with running(web.Application()) as address:
        error = await dial_error(f"ws://{address}")
    assert isinstance(error, RemoteProtocolError)
    assert "404" in error.what


async def test_something_that_does_not_speak_http_is_a_typed_error() -> None:
    async def shout(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    async with server:
        error = await dial_error(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert isinstance(error, RemoteProtocolError | UnreachableError)


async def test_a_full_relay_is_unreachable_for_now() -> None:
    async with running_relay(Relay(SharedPolicy(), capacity=Capacity(connections=1))) as url, dialled(url):
        error = await dial_error(url)
    assert isinstance(error, UnreachableError)
    assert "no more connections" in error.what


async def test_a_signature_by_another_key_is_a_trust_error() -> None:
    async with running_relay() as url:
        with pytest.raises(TrustError, match="signature"):
            async with RelayClient.connect(url, ALICE.key, MALLORY.sign):
                pass


async def test_an_embedded_relay_turns_a_copy_of_its_own_key_away() -> None:
    async with running_relay(Relay(EmbeddedPolicy(ALICE.device))) as url:
        assert isinstance(await dial_error(url), TrustError)


async def test_a_relay_of_another_version_is_a_version_error() -> None:
    async def other_version(response: web.WebSocketResponse) -> None:
        challenge = m.Challenge((m.Version(7),), m.RelayName("r"), m.Nonce(bytes(32)))
        await response.send_bytes(encode(challenge))
        await until_closed(response)

    async with hostile_relay(other_version) as url:
        error = await dial_error(url)
    assert isinstance(error, VersionError)
    assert "versions 7" in error.what


async def garbage_first(response: web.WebSocketResponse) -> None:
    await response.send_bytes(b"\xff")
    await until_closed(response)


async def text_first(response: web.WebSocketResponse) -> None:
    await response.send_str("hello")
    await until_closed(response)


async def welcome_first(response: web.WebSocketResponse) -> None:
    await response.send_bytes(encode(m.Sent(m.RequestId(1))))
    await until_closed(response)


async def welcome_another(response: web.WebSocketResponse) -> None:
    await welcome(response, BOB.device)
    await until_closed(response)


async def oversized_first(response: web.WebSocketResponse) -> None:
    await response.send_bytes(bytes(1_000_000))
    await until_closed(response)


@pytest.mark.parametrize("behave", [garbage_first, text_first, welcome_first, welcome_another, oversized_first])
async def test_a_relay_that_talks_nonsense_at_login_breaks_the_protocol(behave: Behaviour) -> None:
    async with hostile_relay(behave) as url:
        assert isinstance(await dial_error(url), RemoteProtocolError)


async def test_a_relay_that_hangs_up_at_login_is_unreachable() -> None:
    async def hang_up(response: web.WebSocketResponse) -> None:
        await response.close()

    async with hostile_relay(hang_up) as url:
        assert isinstance(await dial_error(url), UnreachableError)


async def test_nonsense_after_the_login_ends_the_connection_with_a_reason() -> None:
    async def nonsense(response: web.WebSocketResponse) -> None:
        await welcome(response)
        await response.send_bytes(b"\xff")
        await until_closed(response)

    async with hostile_relay(nonsense) as url, RelayClient.connect(url, ALICE.key, ALICE.sign) as client:
        async with asyncio.timeout(5):
            await client.closed.wait()
        assert "CBOR" in client.close_reason


async def test_a_reply_of_the_wrong_kind_breaks_the_protocol() -> None:
    async def confuse(response: web.WebSocketResponse) -> None:
        await welcome(response)
        await response.receive_bytes()
        await response.send_bytes(encode(m.RoomFound(m.RequestId(1), RoomId("a" * 26))))
        await until_closed(response)

    async with hostile_relay(confuse) as url, RelayClient.connect(url, ALICE.key, ALICE.sign) as client:
        with pytest.raises(RemoteProtocolError):
            await client.send(BOB.device, b"x")


async def test_unasked_replies_and_unknown_rooms_are_ignored() -> None:
    async def chatter(response: web.WebSocketResponse) -> None:
        await welcome(response)
        for message in (
            m.Sent(m.RequestId(99)),
            m.RoomMessage(RoomId("a" * 26), b"x"),
            m.RoomVisited(RoomId("a" * 26), m.Visit.JOINED),
            m.RoomClosed(RoomId("a" * 26), m.RoomEnd.LEFT),
            m.Deliver(BOB.device, b"real"),
        ):
            await response.send_bytes(encode(message))
        await until_closed(response)

    async with hostile_relay(chatter) as url, RelayClient.connect(url, ALICE.key, ALICE.sign) as client:
        assert await anext(client.envelopes()) == (BOB.device, b"real")


async def test_a_flood_of_envelopes_stays_bounded() -> None:
    async def flood(response: web.WebSocketResponse) -> None:
        await welcome(response)
        for _ in range(RELAY_CLIENT_QUEUE + 50):
            await response.send_bytes(encode(m.Deliver(BOB.device, b"x")))
        await response.close()

    async with hostile_relay(flood) as url, RelayClient.connect(url, ALICE.key, ALICE.sign) as client:
        await client.closed.wait()
        assert len([item async for item in client.envelopes()]) == RELAY_CLIENT_QUEUE


async def test_a_silent_relay_times_requests_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def say_nothing(response: web.WebSocketResponse) -> None:
        await welcome(response)
        await until_closed(response)

    monkeypatch.setattr("signaling.port.RELAY_REQUEST_DEADLINE", 0.05)
    async with hostile_relay(say_nothing) as url, RelayClient.connect(url, ALICE.key, ALICE.sign) as client:
        with pytest.raises(TimedOutError):
            await client.send(BOB.device, b"x")


async def test_a_relay_that_goes_away_ends_waiting_requests_and_rooms() -> None:
    async def vanish(response: web.WebSocketResponse) -> None:
        await welcome(response)
        await response.receive_bytes()
        opened = m.RoomOpened(m.RequestId(1), RoomId("a" * 26), m.Nameplate(1))
        await response.send_bytes(encode(opened))
        await response.receive_bytes()
        await response.close()

    async with hostile_relay(vanish) as url, RelayClient.connect(url, ALICE.key, ALICE.sign) as client:
        room = await client.open_room()
        with pytest.raises(UnreachableError, match="closed the connection"):
            await client.send(BOB.device, b"x")
        with pytest.raises(UnreachableError, match="closed the connection"):
            await room.receive()


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody vouches for, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "relay.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return file


async def test_a_certificate_that_nobody_vouches_for_is_a_trust_error(tmp_path: Path) -> None:
    file = self_signed(tmp_path)
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(file)
    client_side = ssl.create_default_context(cafile=file)
    async with serve(Relay(SharedPolicy()).application(), ["127.0.0.1"], tls=server_side) as addresses:
        url = f"wss://127.0.0.1:{addresses[0][1]}/v1"
        async with dialled(url, ssl=client_side) as vouched:
            assert isinstance(await vouched.log_in(ALICE), m.Welcome)
        assert isinstance(await dial_error(url), TrustError)
