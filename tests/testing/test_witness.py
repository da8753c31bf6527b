# SPDX-License-Identifier: Apache-2.0
"""Each check of the witness fails on a world that was broken by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from p2p_handoff.ids import SessionId, TxnId
from p2p_handoff.session import chain as chains
from p2p_handoff.session.statements import RefusalReason
from p2p_handoff.store.generations import Cause, Change, Phase
from p2p_handoff.testing.device import Device
from p2p_handoff.testing.homes import identity
from p2p_handoff.testing.witness import BrokenPromiseError, Witness


class World:
    """A session that was handed over once, with one acknowledged edit."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self.laptop, self.desktop = devices
        self.chat = self.laptop.things / "chat.jsonl"
        self.arrived = self.desktop.received / "chat.jsonl"

    async def prepare(self) -> Witness:
        self.laptop.write(self.chat, b'{"said":"<mark>"}\n')
        record = await self.laptop.begin(self.chat)
        witness = Witness((self.laptop, self.desktop), record.id)
        witness.wrote(self.laptop, "p1", b"<mark>", acknowledged=self.laptop.acknowledges(record.id))
        report = await self.laptop.to(self.desktop, record.id)
        assert report.outcome == "done"
        self.session, self.txn = record.id, TxnId(report.txn)
        await asyncio.sleep(10)
        return witness

    def change(self, device: Device, *statements: str) -> None:
        """Change rows behind the product's back."""
        database = device.agent.store.sessions._database
        for trigger in database.rows("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            with database.transaction():
                database.write(f"DROP TRIGGER {trigger[0]}")
        for statement in statements:
            with database.transaction():
                database.write(statement)


async def test_a_world_that_is_whole_passes(two_devices: Sequence[Device]) -> None:
    world = World(two_devices)
    witness = await world.prepare()
    witness.check_settled()
    assert witness.primary() is world.desktop
    world.desktop.crash()
    witness.check_settled()


def _two_primaries(world: World) -> None:
    world.change(world.laptop, f"UPDATE sessions SET role = 'primary', owner = '{world.laptop.id}'")


def _nobody(world: World) -> None:
    world.change(world.desktop, "UPDATE sessions SET role = 'secondary'")


def _lost(world: World) -> None:
    world.arrived.write_bytes(b"{}\n")


def _nowhere(world: World) -> None:
    world.arrived.write_bytes(b"{}\n")
    world.chat.write_bytes(b"{}\n")


def _refused_as_well(world: World) -> None:
    signed = chains.refuse(identity("laptop"), world.session, world.txn, world.desktop.id, RefusalReason.CANCELLED)
    world.laptop.agent.store.incoming.refuse(signed, identity("laptop").public.identity_key)


BREAKS: dict[str, tuple[Callable[[World], None], str]] = {
    "two primaries": (_two_primaries, "I1|I5"),
    "nobody is primary": (_nobody, "I7"),
    "an acknowledged edit is not at the primary": (_lost, "I3"),
    "an edit is nowhere": (_nowhere, "I3|I4"),
    "a txn was accepted and refused": (_refused_as_well, "I6"),
}


@pytest.mark.parametrize(("break_it", "promise"), BREAKS.values(), ids=BREAKS)
async def test_a_broken_world_does_not_pass(
    two_devices: Sequence[Device], break_it: Callable[[World], None], promise: str
) -> None:
    world = World(two_devices)
    witness = await world.prepare()
    break_it(world)
    with pytest.raises(BrokenPromiseError, match=promise):
        witness.check_settled()


async def test_an_unacknowledged_edit_may_stay_where_it_was_made_and_must_be_somewhere(
    two_devices: Sequence[Device],
) -> None:
    world = World(two_devices)
    witness = await world.prepare()
    witness.wrote(world.laptop, "p1", b"<offline>", acknowledged=False)
    with pytest.raises(BrokenPromiseError, match="I4"):
        witness.check_settled()
    world.laptop.write(world.chat, b'{"said":"<offline>"}\n', append=True)
    witness.check_settled()


def _hide(world: World) -> None:
    hidden = world.desktop.received / ".handoff-staging-x" / "chat.jsonl"
    hidden.parent.mkdir()
    hidden.write_bytes(world.arrived.read_bytes())
    world.arrived.write_bytes(b"{}\n")


async def test_what_is_in_staging_counts_as_nowhere(two_devices: Sequence[Device]) -> None:
    world = World(two_devices)
    witness = await world.prepare()
    _hide(world)
    with pytest.raises(BrokenPromiseError, match="I3"):
        witness.check_settled()


async def test_an_epoch_that_falls_is_noticed(two_devices: Sequence[Device]) -> None:
    world = World(two_devices)
    witness = await world.prepare()
    witness.check_now()
    world.change(world.laptop, "UPDATE sessions SET epoch = 1")
    with pytest.raises(BrokenPromiseError, match="I2"):
        witness.check_now()


async def test_what_was_there_before_an_undo_may_be_in_a_kept_state_and_must_be_somewhere(
    two_devices: Sequence[Device],
) -> None:
    world = World(two_devices)
    witness = await world.prepare()
    assert (await world.desktop.to(world.laptop, world.session)).outcome == "done"
    world.laptop.write(world.chat, b'{"said":"<mark>"}\n{"said":"<later>"}\n')
    witness.wrote(world.laptop, "p1", b"<later>", acknowledged=world.laptop.acknowledges(world.session))
    assert (await world.laptop.to(world.desktop, world.session)).outcome == "done"
    await world.desktop.do(world.desktop.agent.undo(world.session))
    assert b"<later>" not in world.arrived.read_bytes()
    with pytest.raises(BrokenPromiseError, match="I3"):
        witness.check_settled()
    witness.undone()
    world.chat.write_bytes(b"{}\n")
    witness.check_settled()
    witness.wrote(world.desktop, "p1", b"<behind it>", acknowledged=True)
    with pytest.raises(BrokenPromiseError, match="I3"):
        witness.check_settled()
    world.desktop.write(world.arrived, b'{"said":"<behind it>"}\n', append=True)
    witness.check_settled()
    for path in world.desktop.home.generations.rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(BrokenPromiseError, match="I4"):
        witness.check_settled()


async def restored(world: World) -> Witness:
    """The laptop, with its home as it was when it was primary, and out of reach."""
    laptop = world.laptop
    witness = await world.prepare()
    assert (await world.desktop.to(laptop, world.session)).outcome == "done"
    await laptop.stop()
    backup = laptop.back_up()
    await laptop.start()
    assert (await laptop.to(world.desktop, world.session)).outcome == "done"
    laptop.crash()
    laptop.restore(backup)
    return witness


async def test_a_restored_home_may_be_primary_of_an_earlier_epoch_until_it_is_settled(
    two_devices: Sequence[Device],
) -> None:
    world = World(two_devices)
    witness = await restored(world)
    with pytest.raises(BrokenPromiseError, match="I1"):
        witness.check_now()
    witness.restored(world.laptop)
    witness.check_now()
    with pytest.raises(BrokenPromiseError, match="I7"):
        witness.check_settled()
    await world.laptop.start()
    await asyncio.sleep(5)
    await world.laptop.do(world.laptop.agent.parts.dialer.connect(world.desktop.id))
    await asyncio.sleep(5)
    witness.check_settled()


async def test_another_device_does_not_become_primary_beside_a_restored_one(two_devices: Sequence[Device]) -> None:
    world = World(two_devices)
    witness = await restored(world)
    witness.restored(world.desktop)
    with pytest.raises(BrokenPromiseError, match="I1"):
        witness.check_now()


async def test_a_session_that_a_restored_home_has_lost_is_settled_and_nobodys(two_devices: Sequence[Device]) -> None:
    world = World(two_devices)
    witness = await world.prepare()
    assert not witness.is_lost()
    _nobody(world)
    with pytest.raises(BrokenPromiseError, match="I7"):
        witness.check_settled()
    witness.restored(world.desktop)
    assert witness.is_lost()
    witness.check_settled()
    _nowhere(world)
    with pytest.raises(BrokenPromiseError, match="I4"):
        witness.check_settled()


async def test_while_a_state_is_brought_back_nothing_is_acknowledged_and_nothing_settled(
    two_devices: Sequence[Device],
) -> None:
    world = World(two_devices)
    witness = await world.prepare()
    assert world.desktop.acknowledges(world.session)
    generations = world.desktop.agent.store.generations
    generations.begin(Change("an undo", SessionId(world.session), Cause.UNDO, Phase.STAGING, 1))
    assert not world.desktop.acknowledges(world.session)
    assert not witness.is_settled()
    generations.give_up("an undo")
    witness.check_settled()
