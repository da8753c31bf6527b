# SPDX-License-Identifier: Apache-2.0
"""The keys in a session's chain: enough to verify it by, and good for nothing else."""

from __future__ import annotations

import asyncio
import os
import time
from typing import NamedTuple

import pytest

from p2p_handoff.agent.agent import Agent
from p2p_handoff.agent.verifying import verify_history
from p2p_handoff.errors import HandoffError, TrustError
from p2p_handoff.ids import new_txn_id
from p2p_handoff.protocol import messages as msg
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session import chain as chains
from p2p_handoff.session.chain import ChainState
from p2p_handoff.session.signed import SignedStatement
from p2p_handoff.store.records import LinkedDevice, SessionRecord
from p2p_handoff.store.store import open_store
from tests.agent.devices import Devices, fill, heard_by, introduce, meet, until
from tests.agent.long_histories import handed_about


class Three(NamedTuple):
    """Laptop and desktop are linked, desktop and phone are linked, laptop and phone never were."""

    laptop: Agent
    desktop: Agent
    phone: Agent


@pytest.fixture
async def three(devices: Devices) -> Three:
    """Three devices with a session that began on the laptop and is on the phone now."""
    found = Three(await devices.start("laptop"), await devices.start("desktop"), await devices.start("phone"))
    introduce(found.laptop, found.desktop, LinkKind.OWN)
    introduce(found.desktop, found.phone, LinkKind.OTHER)
    folder = fill(devices.path("laptop", "project"), {"main.py": b"print('hello')\n"})
    assert (await found.laptop.to("desktop", folder)).outcome == "done"
    handing = asyncio.create_task(found.desktop.to("phone"))
    await until(lambda: bool(found.phone.pending()))
    found.phone.accept()
    assert (await handing).outcome == "done"
    return found


def session_of(agent: Agent) -> SessionRecord:
    """The only session of a device."""
    (record,) = agent.sessions()
    return record


def state_at(agent: Agent) -> ChainState:
    """What the chain of its only session proves, from the bytes alone."""
    return chains.verify_chain(chains.decode_chain(session_of(agent).chain))


async def test_a_device_verifies_who_owned_a_session_by_the_keys_in_its_chain_alone(
    three: Three, devices: Devices
) -> None:
    laptop, desktop, phone = three
    members = {agent.device: agent.identity.public.identity_key for agent in three}
    assert state_at(phone).members == members
    home, record, me = phone.home, session_of(phone), phone.device
    phone.store.links.remove(desktop.device, at=0.0)
    await devices.stop("laptop")
    await devices.stop("desktop")
    await devices.stop("phone")
    with open_store(home.database, me) as store:
        assert store.links.all() == ()
        assert store.links.get(laptop.device) is None
        verify_history(store, record, str)


async def test_a_forged_word_of_a_device_that_was_never_linked_is_found_by_the_key_in_the_chain(three: Three) -> None:
    chain = list(chains.decode_chain(session_of(three.phone).chain))
    for index in (0, 1):  # Both are the laptop's.
        forged = SignedStatement(chain[index].body, three.desktop.identity.sign(b"ownership v1", chain[index].body))
        with pytest.raises(TrustError, match=f"link {index} "):
            chains.verify_chain((*chain[:index], forged, *chain[index + 1 :]))


async def test_a_member_of_a_session_is_linked_with_nobody_by_that(three: Three) -> None:
    laptop, _, phone = three
    assert laptop.device in state_at(phone).members
    assert phone.store.links.get(laptop.device) is None
    assert {peer.name for peer in phone.discover()} == {"desktop"}
    assert [link.device for link in phone.store.links.all()] == [three.desktop.device]


@pytest.mark.usefixtures("impatient")
async def test_a_member_of_a_session_gets_no_connection_by_that(three: Three) -> None:
    laptop, _, phone = three
    # The laptop holds the phone for linked, and knows where it listens; the phone has its key in a chain only.
    public = phone.identity.public.to_bytes()
    laptop.store.links.add(LinkedDevice(phone.device, public, "phone", LinkKind.OWN, time.time()))
    laptop.store.addresses.remember(phone.device, f"ws://127.0.0.1:{phone.port}/v1", at=time.time())
    with pytest.raises(HandoffError):
        await laptop.parts.dialer.connect(phone.device)
    assert phone.parts.dialer.wire(laptop.device) is None
    assert session_of(phone).ownership.role.value == "primary"
    # What is missing is the link, and nothing else.
    ours = LinkedDevice(laptop.device, laptop.identity.public.to_bytes(), "laptop", LinkKind.OWN, time.time())
    phone.store.links.add(ours)
    assert (await meet(laptop, phone)).peer == phone.device


async def test_a_member_of_one_session_has_no_say_in_another_one(three: Three, devices: Devices) -> None:
    laptop, desktop, phone = three
    genuine = chains.decode_chain(session_of(phone).chain)[1]
    other = await phone.start([fill(devices.path("phone", "other"), {"notes.txt": b"notes\n"})])
    state = chains.verify_chain(chains.decode_chain(other.chain))
    assert laptop.device not in state.members
    with pytest.raises(TrustError, match="link 1 "):
        chains.check_grant(state, genuine)
    # And a linked device that brings a session which a mere member owns is refused.
    wire = await meet(desktop, phone)
    answers = heard_by(desktop, msg.Reject)
    theirs = chains.encode_chain(handed_about(other.id, laptop.identity, desktop.identity, 0))
    wire.send(
        msg.Init(new_txn_id(os.urandom), other.id, desktop.device, phone.device, msg.Mode.MOVE, 1, theirs, take=False)
    )
    await until(lambda: bool(answers))
    assert answers[0].reason is msg.RejectReason.UNTRUSTED
    assert {record.ownership.role.value for record in phone.sessions()} == {"primary"}
