# SPDX-License-Identifier: Apache-2.0
"""Everything that real devices say to each other fits the published schemas, from the link to the last object."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from p2p_handoff.content import strict_cbor
from p2p_handoff.protocol.messages import MESSAGES, Mode
from p2p_handoff.rendezvous.client import RelayClient
from p2p_handoff.security.link_terms import LinkKind, LinkResult
from p2p_handoff.session import chain
from p2p_handoff.session.links import whole_links
from p2p_handoff.session.signed import SignedStatement
from p2p_handoff.testing.device import Device
from p2p_handoff.testing.simulation import Simulation
from signaling import wire
from tests.schemas import schema
from tests.signaling.parties import ALICE, BOB, running_relay

Choose = Callable[[Any], str]
"""Gives the rule for a value."""


def _of_an_offer(value: Any) -> str:
    return "offer" if "mlkem" in value else "answer" if "ciphertext" in value else "refusal"


def _of_an_identity(value: Any) -> str:
    return "stored-identity" if len(value[2]) == 64 else "public-identity"


def _of_an_object(value: Any) -> str:
    return "index" if value[0] == "idx/1" else "directory"


def _of_a_circle(value: Any) -> str:
    return "signed-statement" if isinstance(value[0], bytes) else "revocation" if value[0] else "admission"


TRAVELS: dict[str, tuple[str, Choose | str]] = {
    "p2p_handoff.protocol.codec": ("handoff-v2.cddl", lambda value: str(value["type"])),
    "p2p_handoff.security.link_wire": ("link.md", lambda value: str(value[0])),
    "p2p_handoff.security.offers": ("sealing.md", _of_an_offer),
    "p2p_handoff.security.sealing": ("sealing.md", "content"),
    "p2p_handoff.security.identity": ("sealing.md", _of_an_identity),
    "p2p_handoff.security.circle_statements": ("circle.md", _of_a_circle),
    "p2p_handoff.session.manifest": ("content.md", "manifest"),
    "p2p_handoff.session.statement_codec": ("ownership.md", "statement"),
    "p2p_handoff.session.signed": ("ownership.md", "signed"),
    "p2p_handoff.session.chain": ("ownership.md", "chain"),
    "p2p_handoff.content.objects": ("content.md", _of_an_object),
    "p2p_handoff.adapters.conversation_root": ("conversation.md", "root"),
}
"""Module that reads what comes from another device → the document and the rule for what it reads."""
STAYS = {
    "p2p_handoff.adapters.conversation_area",
    "p2p_handoff.adapters.conversation_keep",
    "p2p_handoff.adapters.conversation_store",
    "p2p_handoff.adapters.folder_journal",
}
"""Modules that read only what this device wrote for itself."""


class Traffic:
    """Every value that is decoded, by the rule that it was held against."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()
        self.strange: list[str] = []
        real = strict_cbor.decode

        def decode(data: bytes, **bounds: Any) -> object:
            value = real(data, **bounds)
            self.note(str(sys._getframe(1).f_globals["__name__"]), value, data)
            return value

        def links(data: bytes, **bounds: Any) -> tuple[list[SignedStatement], str]:
            self.note(chain.__name__, None, data)
            return whole_links(data, **bounds)

        monkeypatch.setattr(strict_cbor, "decode", decode)
        # A chain is read link by link, never as one value.
        monkeypatch.setattr(chain, "whole_links", links)

    def note(self, reader: str, value: Any, data: bytes) -> None:
        if reader in STAYS:
            return
        if reader not in TRAVELS:
            self.strange.append(f"{reader} reads something that no schema is known of")
            return
        document, rule = TRAVELS[reader]
        where = (document, rule if isinstance(rule, str) else rule(value))
        self.seen[where] += 1
        try:
            schema(*where).validate_cbor(data)
        except Exception as error:  # noqa: BLE001 - told at the end: an agent would take it for the peer's fault
            self.strange.append(f"{where}: {error}")

    def rules(self, document: str) -> set[str]:
        return {rule for found, rule in self.seen if found == document}


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> Traffic:
    return Traffic(monkeypatch)


async def _own(_result: LinkResult) -> LinkKind:
    return LinkKind.OWN


async def _meet(opener: Device, joiner: Device) -> None:
    """Link two devices by a code."""
    shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def show(code: str) -> None:
        shown.set_result(code)

    opening = asyncio.ensure_future(opener.do(opener.agent.link(on_code=show, decide=_own)))
    await joiner.do(joiner.agent.link(await shown, decide=_own))
    await opening


async def _evening(laptop: Device, desktop: Device) -> None:
    """A session of a conversation and a folder goes over, back by a take, and as a copy."""
    await laptop.start()
    await desktop.start()
    await _meet(laptop, desktop)
    chat, project = laptop.things / "chat.jsonl", laptop.things / "project"
    laptop.write(chat, b'{"said": "hello"}\n' * 20)
    laptop.write(project / "notes.md", b"notes\n")
    laptop.write(project / "long.bin", bytes(range(256)) * 2_000)
    (project / "link").symlink_to("notes.md")
    session = (await laptop.begin(chat, project)).id
    assert (await laptop.to(desktop, session)).outcome == "done"
    await asyncio.sleep(3)  # of simulated time, in which they say that they are alive
    found = next(desktop.received.rglob("chat.jsonl"))
    desktop.write(found, b'{"said": "and more"}\n', append=True)
    assert (await laptop.take(session, desktop)).outcome == "done"
    await laptop.do(laptop.agent.handoffs.sessions_of(desktop.id))
    other = laptop.things / "other.jsonl"
    laptop.write(other, b'{"said": "once"}\n')
    copied = (await laptop.begin(other)).id
    copying = asyncio.ensure_future(laptop.to(desktop, copied, mode=Mode.COPY))
    while not desktop.agent.requests.pending():  # noqa: ASYNC110 - the simulation jumps from one timer to the next
        await asyncio.sleep(0.1)  # of simulated time
    assert (await desktop.do(desktop.agent.accept_and_wait())).outcome == "done"
    assert (await copying).outcome == "done"
    await desktop.stop()
    await laptop.stop()


def test_what_devices_say_from_their_first_meeting_on_fits_the_schemas(traffic: Traffic) -> None:
    with Simulation(seed=3) as simulation:
        [laptop], [desktop] = simulation.devices("laptop"), simulation.devices("desktop")
        simulation.run(_evening(laptop, desktop))
    assert sorted(set(traffic.strange)) == []
    assert traffic.rules("link.md") >= {"hello", "confirm", "sealed", "reveal", "proof", "decision"}
    assert traffic.rules("sealing.md") >= {"offer", "answer", "content", "public-identity"}
    assert traffic.rules("content.md") == {"manifest", "directory", "index"}
    assert traffic.rules("conversation.md") == {"root"}
    assert traffic.rules("ownership.md") == {"statement", "signed", "chain"}
    usual = {"hello", "ping", "pong", "goodbye", "init", "request", "accept", "round", "want", "ready", "grant"}
    usual |= {"accepted", "resumed", "take", "finish", "list-sessions", "session-list", "news"}
    said = traffic.rules("handoff-v2.cddl")
    assert usual <= said <= set(MESSAGES), usual - said


async def test_what_a_relay_and_its_clients_say_fits_the_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[str] = Counter()
    real = wire._parse

    def parse(data: bytes) -> dict[str, Any]:
        value = real(data)
        schema("signaling.cddl", "message").validate_cbor(data)
        seen[value["type"]] += 1
        return value

    monkeypatch.setattr(wire, "_parse", parse)
    async with (
        running_relay() as url,
        RelayClient.connect(url, ALICE.key, ALICE.sign) as alice,
        RelayClient.connect(url, BOB.key, BOB.sign) as bob,
    ):
        await alice.send(BOB.device, b"sealed")
        assert await anext(bob.envelopes()) == (ALICE.device, b"sealed")
        assert await alice.presence([BOB.device]) == {BOB.device}
        opened = await alice.open_room()
        assert opened.nameplate is not None
        joined = await bob.join_room(await bob.find_room(opened.nameplate))
        await opened.send(b"hello")
        assert await joined.receive() == b"hello"
        await joined.close()
        with pytest.raises(Exception, match="left"):
            await opened.receive()
    assert set(seen) >= {"challenge", "login", "welcome", "send", "sent", "deliver", "presence", "present", "open_room"}
    assert set(seen) >= {"room_opened", "find_room", "room_found", "join_room", "joined", "room_send", "room_message"}
    assert set(seen) >= {"close_room", "room_closed"}
