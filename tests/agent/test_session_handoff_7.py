# SPDX-License-Identifier: Apache-2.0
"""The procedure of a person: start, discover, choose types, hand over, watch, resume; trust, retry, switching off."""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff import NotFoundError, TrustError, UsageError
from p2p_handoff.adapters.base import Want
from p2p_handoff.adapters.folder_staging import FolderStaging
from p2p_handoff.agent.outgoing_content import OutgoingContent
from p2p_handoff.agent.pacing import MAX_ROUNDS
from p2p_handoff.agent.wire import Wire
from p2p_handoff.content.digests import Digest
from p2p_handoff.protocol.records import ObjectRecord
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.testing.samples import conversation_lines
from tests.agent.devices import Devices, Pair, event, fill, introduce, pull_cable, tree, until

FILES = {"main.py": b"print('hello')\n", "sub/notes.md": b"# half an idea\n"}


def noise(megabytes: int, seed: int = 7) -> bytes:
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(megabytes * 1_000_000)


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


async def test_start_discover_and_hand_over_the_folder_one_stands_in(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    record = await laptop.start([folder])
    assert [peer.name for peer in laptop.discover()] == ["desktop"]
    report = await laptop.to("desktop")
    assert (report.outcome, report.session, report.title) == ("done", record.id, "project")
    assert tree(desktop.settings.receive_dir / "project") == FILES
    assert [(agent.sessions()[0].ownership.role.value) for agent in two_agents] == ["secondary", "primary"]


async def test_types_are_chosen_by_name(two_agents: Pair, folder: Path, devices: Devices) -> None:
    laptop, desktop = two_agents
    talk = devices.path("laptop", "talk.jsonl")
    talk.write_bytes(b"".join(conversation_lines(10)))
    await laptop.start([folder, talk], "both")
    await laptop.to("desktop", "both", only=["messages"])
    assert set(tree(desktop.settings.receive_dir)) == {"talk.jsonl"}
    assert tree(folder) == FILES


async def test_a_type_that_the_session_does_not_have_is_a_usage_error(two_agents: Pair, folder: Path) -> None:
    await two_agents.laptop.start([folder])
    with pytest.raises(UsageError, match="no part of the chosen types"):
        await two_agents.laptop.to("desktop", only=["messages"])
    assert two_agents.laptop.sessions()[0].ownership.role.value == "primary"


async def test_a_session_that_never_rests_ends_in_a_choice_with_the_source_untouched(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    record = await laptop.start([folder])
    take, pictures = OutgoingContent.picture, itertools.count()

    async def edit_and_take(content: OutgoingContent, *args: Any, **kwargs: Any) -> Any:
        (folder / "main.py").write_bytes(random.Random(next(pictures)).randbytes(50_000))
        return await take(content, *args, **kwargs)

    with monkeypatch.context() as restless:
        restless.setattr(OutgoingContent, "picture", edit_and_take)
        report = await laptop.to("desktop", max_pause=0.001)
    assert (report.outcome, report.exit_code, report.pause_ms) == ("failed", 5, 0)
    assert "the session is unchanged and still here; allow a longer one (--max-pause 100 would do)" in report.text
    assert laptop.sessions()[0].ownership.role.value == "primary"
    await until(lambda: not any(desktop.settings.receive_dir.iterdir()))
    assert next(pictures) <= 2 * MAX_ROUNDS + 2
    assert (await laptop.to("desktop", record.id, max_pause=0.1)).outcome == "done"


async def test_progress_names_phase_bytes_and_what_remains(two_agents: Pair, folder: Path) -> None:
    (folder / "big.bin").write_bytes(noise(3))
    told: dict[str, list[Mapping[str, Any]]] = {"source": [], "target": []}
    two_agents.laptop.on("progress", told["source"].append)
    two_agents.desktop.on("progress", told["target"].append)
    report = await two_agents.laptop.to("desktop", folder)
    for side in told.values():
        assert side
        assert {fields["txn"] for fields in side} == {report.txn}
        assert all(now["bytes"] <= later["bytes"] for now, later in itertools.pairwise(side))
        assert all(fields["remaining"] >= 0 for fields in side)
        assert all(fields["total_bytes"] > 3_000_000 for fields in side)
        assert all(fields["left"] is None or fields["rate"] > 0 for fields in side)
    assert report.sent_bytes > 3_000_000


async def test_what_runs_on_resume_is_the_targets_own_template(devices: Devices, folder: Path) -> None:
    canary = devices.path("desktop", "canary")
    write = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
    template = (sys.executable, "-c", write, str(canary), "{path}")
    pair = Pair(await devices.start("laptop"), await devices.start("desktop", resume={"folder": template}))
    introduce(*pair)
    report = await pair.laptop.to("desktop", folder)
    assert report.resumed.startswith(f"started {sys.executable} (process ")
    await until(lambda: canary.exists() and bool(canary.read_text()))
    assert canary.read_text() == str(pair.desktop.settings.receive_dir / "project")


async def test_nothing_runs_on_resume_unless_it_is_configured(two_agents: Pair, folder: Path) -> None:
    assert (await two_agents.laptop.to("desktop", folder)).resumed == ""


async def test_a_resume_command_that_cannot_start_does_not_fail_the_handoff(devices: Devices, folder: Path) -> None:
    pair = Pair(
        await devices.start("laptop"), await devices.start("desktop", resume={"folder": ("/nowhere/editor", "{path}")})
    )
    introduce(*pair)
    report = await pair.laptop.to("desktop", folder)
    assert (report.outcome, report.resumed) == (
        "done",
        "/nowhere/editor could not be started (No such file or directory)",
    )


async def test_a_device_that_is_not_linked_cannot_be_named(devices: Devices, folder: Path) -> None:
    laptop = await devices.start("laptop")
    await devices.start("desktop")
    with pytest.raises(NotFoundError, match="no linked device is called 'desktop'"):
        await laptop.to("desktop", folder)


@pytest.mark.usefixtures("impatient")
async def test_a_device_that_only_one_side_trusts_is_refused(devices: Devices, folder: Path) -> None:
    """The stranger holds the target's keys and address; the target holds nothing of the stranger's."""
    stranger, target = await devices.start("stranger"), await devices.start("target")
    introduce(stranger, target)
    target.store.links.remove(stranger.device, at=0.0)
    connected: list[Mapping[str, Any]] = []
    target.on("connected", connected.append)
    handing = asyncio.create_task(stranger.to("target", folder))
    with pytest.raises(TrustError, match="does not trust this one any more"):
        await handing
    assert not connected
    assert not target.sessions()
    assert stranger.sessions()[0].ownership.role.value == "primary"


async def test_a_handoff_goes_on_after_its_connection_broke(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    (folder / "big.bin").write_bytes(noise(5))
    received = desktop.handoffs.object_received
    arrived = 0

    def count(wire: Wire, record: ObjectRecord) -> None:
        nonlocal arrived
        before, arrived = arrived, arrived + record.wire_bytes
        received(wire, record)
        if before <= 3_000_000 < arrived:
            pull_cable(desktop, laptop)

    desktop.handoffs.object_received = count  # type: ignore[method-assign]  # counts, and pulls the cable once
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await event(desktop, "disconnected")
    report = await handing
    assert report.outcome == "done"
    assert tree(desktop.settings.receive_dir / "project")["big.bin"] == noise(5)
    assert report.sent_bytes > 5_000_000


async def test_what_was_staged_before_the_break_is_not_sent_again(
    two_agents: Pair, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_agents
    (folder / "big.bin").write_bytes(noise(6))
    loop = asyncio.get_running_loop()
    staged: list[bytes] = []
    broken = threading.Event()
    put = FolderStaging.put

    def pull() -> None:
        pull_cable(desktop, laptop)
        broken.set()

    def look(staging: FolderStaging, name: Digest, data: bytes) -> Sequence[Want]:
        if len(staged) == 20:
            loop.call_soon_threadsafe(pull)
            broken.wait(10)
        staged.append(name)
        return put(staging, name, data)

    monkeypatch.setattr(FolderStaging, "put", look)
    assert (await laptop.to("desktop", folder)).outcome == "done"
    assert broken.is_set()
    assert len(staged) > 20
    assert len(set(staged)) == len(staged)


async def test_switched_off_at_the_target_refuses_and_says_disabled(devices: Devices, folder: Path) -> None:
    pair = Pair(await devices.start("laptop"), await devices.start("desktop", handoff=False))
    introduce(*pair)
    report = await pair.laptop.to("desktop", folder)
    assert (report.outcome, report.reason, report.exit_code) == ("rejected", "disabled", 3)
    assert "switched off" in report.text


async def test_switched_off_here_offers_nothing(devices: Devices, folder: Path) -> None:
    pair = Pair(await devices.start("laptop", handoff=False), await devices.start("desktop"))
    introduce(*pair)
    with pytest.raises(UsageError, match="switched off"):
        await pair.laptop.to("desktop", folder)


async def test_somebody_elses_device_may_not_take(two_people: Pair, folder: Path) -> None:
    laptop, desktop = two_people
    record = await laptop.start([folder])
    with pytest.raises(NotFoundError):
        await desktop.take(record.id, peer="laptop")
    assert desktop.store.links.all()[0].kind is LinkKind.OTHER
