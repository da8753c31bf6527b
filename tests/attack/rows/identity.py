# SPDX-License-Identifier: Apache-2.0
"""Devices that are trusted no longer, and devices that say they are another one."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Final

from p2p_handoff.agent import sealed_offers
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import HandoffError
from p2p_handoff.ids import new_session_id, new_txn_id
from p2p_handoff.protocol import messages as msg
from p2p_handoff.security.identity import Identity
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session import chain as chains
from tests.agent.devices import fill
from tests.attack.attack import Attack, Seen, hold
from tests.attack.scene import scene


async def revoked(root: Path) -> Seen:
    """A device is unlinked on an open connection in the middle of an offer, and goes on with its old keys."""
    sealed_offers.ANSWER_DEADLINE = 1.0  # in this process alone
    async with scene(root, kind=LinkKind.OTHER) as stage:
        folder = fill(root / "intruder" / "gift", {"a": b"b"})
        offering = asyncio.create_task(stage.intruder.to("victim", folder))
        async with asyncio.timeout(20):
            while not (await stage.victim.call("requests"))["requests"]:
                await asyncio.sleep(0.02)
        wire = stage.intruder.parts.dialer.wire(stage.device)
        assert wire is not None
        await stage.victim.call("unlink", peer="intruder")
        async with asyncio.timeout(10):
            await wire.wait_closed()
        offering.cancel()
        await asyncio.gather(offering, return_exceptions=True)
        opened = 0
        for _ in range(3):
            with contextlib.suppress(HandoffError):
                await stage.intruder.parts.dialer.connect(stage.device)
                opened += 1
        hold(opened == 0, f"{opened} connections opened with revoked keys")
        hold(not (await stage.victim.call("requests"))["requests"], "its request is still there")
        hold(
            not (root / "victim" / "received").exists() or not list((root / "victim" / "received").iterdir()),
            "it landed",
        )
        await stage.check_untouched()
    return Seen("the connection ended at once with its offer; 3 dials with the old keys: 0 connections")


async def switched(root: Path) -> Seen:
    """After a genuine handshake the device says that it is another one, in every message that names devices."""
    async with scene(root) as stage:
        other = Identity.generate()
        entropy = os.urandom
        session, txn = new_session_id(entropy), new_txn_id(entropy)
        chain = chains.encode_chain(chains.create(other, session, digest(b"root")))
        inits = {
            "source is another device": msg.Init(
                txn, session, other.device, stage.device, msg.Mode.MOVE, 1, chain, take=False
            ),
            "source is the victim": msg.Init(
                new_txn_id(entropy), session, stage.device, stage.device, msg.Mode.MOVE, 1, chain, take=False
            ),
            "target is another device": msg.Init(
                new_txn_id(entropy), session, stage.intruder.device, other.device, msg.Mode.MOVE, 1, chain, take=False
            ),
            "the chain is another device's": msg.Init(
                new_txn_id(entropy), session, stage.intruder.device, stage.device, msg.Mode.MOVE, 1, chain, take=False
            ),
            "it answers a take that nobody made": msg.Init(
                new_txn_id(entropy), session, stage.intruder.device, stage.device, msg.Mode.MOVE, 1, chain, take=True
            ),
        }
        answers = {}
        speaker = await stage.speaker()
        with stage.listening() as heard:
            for name, init in inits.items():
                await speaker.message(init)
                async with asyncio.timeout(10):
                    while not isinstance(answer := await heard.get(), msg.Reject):
                        continue
                hold(answer.txn == init.txn, f"{name}: another answer")
                answers[name] = answer.reason.value
        victims = await stage.victim.session("private")
        for statement in (b"", b"x" * 64):
            with contextlib.suppress(HandoffError):
                await speaker.message(msg.Accepted(txn, statement or b"x", 1))
                await speaker.message(msg.Grant(txn, victims["session"], statement or b"x", b"manifest", 1))
                await speaker.message(msg.ChainNews(victims["session"], "title", chain))
        await stage.check_untouched()
    taken = [name for name, reason in answers.items() if reason != "untrusted"]
    hold(not taken, f"not refused as untrusted: {taken}")
    return Seen(
        f"{len(inits)} messages in another's name: refused as untrusted; forged answers, grants and chains: no effect"
    )


ATTACKS: Final = (
    Attack(
        "revoked-device",
        "revoked device",
        "goes on on an open connection, then dials again with its old keys",
        "cut off at once, 0 connections, nothing lands",
        revoked,
    ),
    Attack(
        "device-switched",
        "linked device",
        "names another device after the handshake, in offers, grants, answers and chains",
        "each refused or without effect",
        switched,
    ),
)
