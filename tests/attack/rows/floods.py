# SPDX-License-Identifier: Apache-2.0
"""Connections without end: of anybody, at the port that an agent listens on, and of a linked device."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import cbor2
from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, TCPConnector
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from p2p_handoff.agent import sealed_offers
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import new_txn_id
from p2p_handoff.limits import RELAY_MAX_PER_ADDRESS
from p2p_handoff.security.exchange import EphemeralOffer
from p2p_handoff.security.offers import SdpOffer
from p2p_handoff.security.sealing import EnvelopeKind, seal
from signaling.login import LOGIN_LABEL, login_message
from signaling.messages import Challenge
from tests.agent.devices import fill
from tests.attack.attack import Attack, Seen, hold
from tests.attack.scene import Scene, scene

_ADDRESSES: Final = 10
"""Of the flooders: all of 127.0.0.0/8 is this machine."""
_EACH: Final = 60
"""Connections that each of them tries to open."""
_ENVELOPES: Final = 40
"""Sealed by nobody, on each connection."""
_SILENT: Final = 200
"""Connections that say nothing, or a byte."""
_OFFERS: Final = 300
"""Of a linked device, each of which it never goes on with."""
_WIRES: Final = 40
"""Of a linked device, opened one after the other, and left open."""


# --- before anybody is known --------------------------------------------------------------------------


async def _log_in(socket: ClientWebSocketResponse, host: str) -> None:
    """As a client with a key of its own does (docs/specs/signaling.md §3)."""
    told = cbor2.loads(await socket.receive_bytes())
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    challenge = Challenge(tuple(told["versions"]), told["relay"], told["nonce"])
    signature = key.sign(LOGIN_LABEL + login_message(challenge, 1, host, public))
    login = {"type": "login", "version": 1, "identity_key": public, "host": host, "signature": signature}
    await socket.send_bytes(cbor2.dumps(login, canonical=True))
    await socket.receive_bytes()


async def _send_rubbish(socket: ClientWebSocketResponse) -> None:
    for number in range(_ENVELOPES):
        message = {"type": "send", "id": number, "envelope": b"\x01" + os.urandom(4000)}
        await socket.send_bytes(cbor2.dumps(message, canonical=True))


async def _flood_from(address: str, port: int, accepted: list[int]) -> AsyncGenerator[None, None]:
    """Everything that one address can open, until told to end."""
    host = f"127.0.0.1:{port}"
    async with ClientSession(connector=TCPConnector(local_addr=(address, 0), limit=0)) as session:
        sockets = []
        for _ in range(_EACH):
            with contextlib.suppress(ClientError, ConnectionError, TypeError):
                socket = await session.ws_connect(f"ws://{host}/v1")
                sockets.append(socket)
                await _log_in(socket, host)
                await _send_rubbish(socket)
        accepted.append(len(sockets))
        yield
        for socket in sockets:
            await socket.close()


@asynccontextmanager
async def _silence(port: int) -> AsyncIterator[None]:
    """Connections that never become a request."""
    writers = []
    for number in range(_SILENT):
        with contextlib.suppress(OSError):
            address = (f"127.0.1.{1 + number % 10}", 0)
            _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=address)
            writer.write(b"G" * (number % 2))
            writers.append(writer)
    try:
        yield
    finally:
        for writer in writers:
            writer.close()


async def _hand_over(stage: Scene, root: Path, name: str) -> None:
    """An honest handoff of the device that is linked; the flood must not stop it."""
    report = await stage.intruder.to("victim", fill(root / "intruder" / name, {"a": b"b"}))
    hold(report.outcome == "done", f"a handoff during a flood: {report.outcome} ({report.text})")


async def strangers(root: Path) -> Seen:
    """Some addresses open all that they can, log in, and send; others say nothing. A linked device is served."""
    accepted: list[int] = []
    async with scene(root) as stage:
        port = int((await stage.victim.call("status"))["port"])
        async with stage.victim.measured() as load:
            floods = [_flood_from(f"127.0.0.{2 + number}", port, accepted) for number in range(_ADDRESSES)]
            await asyncio.gather(*(anext(flood) for flood in floods))
            async with _silence(port):
                await (await stage.wire()).close()
                await _hand_over(stage, root, "during")
            for flood in floods:
                await flood.aclose()
        await _hand_over(stage, root, "after")
        await stage.check_untouched()
    load.check()
    hold(max(accepted) <= RELAY_MAX_PER_ADDRESS, f"an address has {max(accepted)} connections")
    tried = _ADDRESSES * _EACH
    return Seen(
        f"{sum(accepted)} of {tried} connections taken, at most {max(accepted)} of an address, {_SILENT} silent ones, "
        f"{sum(accepted) * _ENVELOPES} envelopes of nobody: a linked device connects and hands over meanwhile",
        load.growth,
        load.stall,
    )


# --- of a linked device -------------------------------------------------------------------------------


async def _offers(stage: Scene) -> None:
    """Genuine offers, each of which the victim answers and then waits for."""
    intruder = stage.intruder
    victim = intruder.parts.dialer._d.pinned(stage.device)
    assert victim is not None
    engine = intruder.parts.dialer._d.engine
    connection = engine.connection(())
    sdp = await connection.create_offer()
    (url,) = intruder.store.addresses.recent(stage.device)
    try:
        async with intruder.parts.dialer._d.relays().visit(url) as port:
            for _ in range(_OFFERS):
                body = SdpOffer(sdp, engine.name, EphemeralOffer.generate().public, (2,)).to_bytes()
                txn = new_txn_id(os.urandom)
                with contextlib.suppress(HandoffError):
                    await port.send(None, seal(intruder.identity, victim, txn, 0, EnvelopeKind.OFFER, body))
    finally:
        await connection.close()


async def _wires(stage: Scene) -> int:
    """Connections that are opened and left, each by a login of its own; returns how many opened."""
    intruder = stage.intruder
    victim = intruder.parts.dialer._d.pinned(stage.device)
    assert victim is not None
    (url,) = intruder.store.addresses.recent(stage.device)
    opened = 0
    for _ in range(_WIRES):
        with contextlib.suppress(HandoffError):
            async with intruder.parts.dialer._d.relays().visit(url) as port:
                await intruder.parts.dialer._offers.offer(port, victim, None)
                opened += 1
    return opened


async def linked(root: Path) -> Seen:
    """Offers that nobody goes on with, and connections that are never closed."""
    sealed_offers.ICE_DEADLINE = 2.0  # type: ignore[attr-defined]  # in this process alone
    async with scene(root) as stage:
        async with stage.victim.measured() as load:
            await _offers(stage)
            opened = await _wires(stage)
            await _hand_over(stage, root, "after")
        sockets = len(list(Path(f"/proc/{stage.victim.pid}/fd").iterdir()))
        await stage.check_untouched()
    load.check()
    return Seen(
        f"{_OFFERS} offers that do not go on, {opened} connections left open: {sockets} descriptors, a handoff passes",
        load.growth,
        load.stall,
    )


ATTACKS: Final = (
    Attack(
        "flood-strangers",
        "anybody on the network",
        "opens connections without end, logs in, sends envelopes of nobody, or says nothing",
        "bounded for each address, at most 64 MiB and 50 ms a step, a linked device is served meanwhile",
        strangers,
    ),
    Attack(
        "flood-connections",
        "linked device",
        "makes offers that it never goes on with, opens connections without end and leaves them",
        "bounded, at most 64 MiB and 50 ms a step, a handoff passes",
        linked,
    ),
)
