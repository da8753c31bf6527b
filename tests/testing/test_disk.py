# SPDX-License-Identifier: Apache-2.0
"""A full disk says so and keeps what it had; a process dies before or after a write."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from p2p_handoff.errors import StorageError
from p2p_handoff.testing.device import CrashedError, Device
from p2p_handoff.testing.disk import Moment


async def test_a_full_disk_refuses_every_write_and_keeps_what_is_there(two_devices: Sequence[Device]) -> None:
    laptop, _ = two_devices
    laptop.write(laptop.things / "chat.jsonl", b"{}\n")
    laptop.disk.full = True
    with pytest.raises(StorageError, match="is full"):
        await laptop.begin(laptop.things / "chat.jsonl")
    assert laptop.agent.store.sessions.all() == ()
    laptop.disk.full = False
    record = await laptop.begin(laptop.things / "chat.jsonl")
    assert [known.id for known in laptop.agent.store.sessions.all()] == [record.id]


@pytest.mark.parametrize(("moment", "sessions"), [(Moment.BEFORE, 0), (Moment.AFTER, 1)])
async def test_a_process_dies_at_a_write_and_the_write_has_happened_or_not(
    two_devices: Sequence[Device], moment: Moment, sessions: int
) -> None:
    laptop, _ = two_devices
    laptop.write(laptop.things / "chat.jsonl", b"{}\n")
    laptop.disk.kill_at_write(1, moment)
    with pytest.raises(CrashedError):
        await laptop.begin(laptop.things / "chat.jsonl")
    await laptop.start()
    assert len(laptop.agent.store.sessions.all()) == sessions


async def test_a_death_can_be_called_off(two_devices: Sequence[Device]) -> None:
    laptop, _ = two_devices
    laptop.write(laptop.things / "chat.jsonl", b"{}\n")
    laptop.disk.kill_at_write(1, Moment.BEFORE)
    laptop.disk.forget_kill()
    await laptop.begin(laptop.things / "chat.jsonl")
    assert laptop.is_running
