# SPDX-License-Identifier: Apache-2.0
"""What goes wrong outside: names that mean nothing, files that vanish or change, full disks, odd files, lost peers."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from p2p_handoff import ContentGoneError, HandoffError, InDoubtError, NotFoundError, UnreachableError, UsageError
from p2p_handoff.protocol import messages as msg
from p2p_handoff.testing.samples import conversation_lines
from tests.agent.devices import Devices, Pair, deaf_to, event, fill, introduce, pull_cable, tree, until
from tests.agent.test_session_handoff_7 import noise

FILES = {"main.py": b"print('hello')\n"}
MEGABYTE = 1_000_000
NO_NAMES = ["nothing", "/nowhere/at/all", "", "\x00", "a" * 5000, "~nobody-at-all/x", "\ud800", "\x1b[2J"]


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop."""
    return fill(devices.path("laptop", "project"), FILES)


@contextlib.contextmanager
def no_file_beyond(limit: int) -> Iterator[None]:
    """What a full disk does to large files, without a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("session", NO_NAMES)
async def test_a_session_that_is_not_there_is_not_found(two_agents: Pair, session: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        await two_agents.laptop.to("desktop", session)
    assert caught.value.sentence.isprintable()
    assert len(caught.value.sentence) < 500


@pytest.mark.parametrize("peer", ["tablet", "", "laptop", "*", "\x00"])
async def test_a_peer_that_is_not_linked_is_not_found(two_agents: Pair, folder: Path, peer: str) -> None:
    with pytest.raises(NotFoundError):
        await two_agents.laptop.to(peer, folder)
    assert not two_agents.laptop.sessions()


@pytest.mark.parametrize("token", ["abcdefgh", "ZZ", "\x00", None])
async def test_a_token_that_is_not_pending_is_not_found(two_agents: Pair, token: str | None) -> None:
    with pytest.raises(NotFoundError):
        two_agents.desktop.accept(token)
    with pytest.raises(NotFoundError):
        two_agents.desktop.reject(token)


async def test_a_file_of_no_known_kind_is_a_usage_error(two_agents: Pair, devices: Devices) -> None:
    path = devices.path("laptop", "picture.png")
    path.write_bytes(b"png")
    with pytest.raises(UsageError, match=r"neither a directory nor a \.jsonl file"):
        await two_agents.laptop.to("desktop", path)


# --- the source's files -----------------------------------------------------------------------------


async def test_a_folder_that_vanished_before_is_said_to_be_gone(two_agents: Pair, folder: Path) -> None:
    record = await two_agents.laptop.start([folder])
    away = folder.parent / "elsewhere"
    await asyncio.to_thread(folder.rename, away)
    with pytest.raises(HandoffError) as caught:
        await two_agents.laptop.to("desktop", record.id)
    assert isinstance(caught.value, ContentGoneError | NotFoundError)
    assert two_agents.laptop.sessions()[0].ownership.role.value == "primary"
    await asyncio.to_thread(away.rename, folder)
    assert (await two_agents.laptop.to("desktop", record.id)).outcome == "done"


async def test_a_file_that_vanishes_in_the_middle_is_gone_at_the_target_too(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    for number in range(4):
        (folder / f"{number}.bin").write_bytes(noise(1, seed=number)[:500_000])

    async def remove(_fields: Mapping[str, Any]) -> None:
        (folder / "3.bin").unlink(missing_ok=True)

    desktop.on("progress", remove)
    assert (await laptop.to("desktop", folder)).outcome == "done"
    there = tree(desktop.settings.receive_dir / "project")
    assert there == tree(folder)
    assert set(there) == {"main.py", "0.bin", "1.bin", "2.bin"}


async def test_a_folder_that_changes_in_the_middle_arrives_as_it_was_frozen(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    (folder / "big.bin").write_bytes(noise(2))
    changes: list[int] = []

    async def change(_fields: Mapping[str, Any]) -> None:
        if len(changes) < 3:
            changes.append(len(changes))
            (folder / "main.py").write_text(f"print({len(changes)})\n")
            (folder / f"new-{len(changes)}.txt").write_text("new")

    desktop.on("progress", change)
    report = await laptop.to("desktop", folder)
    assert report.outcome == "done"
    assert changes
    assert tree(desktop.settings.receive_dir / "project") == tree(folder)


# --- odd conversations ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"no newline at the end", b'{"text": "\xff\xfe\x00"}\n', b"\xef\xbb\xbf{}\r\n{}\r\n", b"\x00" * 1000],
    ids=["empty", "one newline", "unterminated", "not UTF-8", "BOM and CRLF", "zeros"],
)
async def test_an_odd_conversation_arrives_byte_for_byte_there_and_back(
    two_agents: Pair, devices: Devices, content: bytes
) -> None:
    laptop, desktop = two_agents
    talk = devices.path("laptop", "talk.jsonl")
    talk.write_bytes(content)
    assert (await laptop.to("desktop", talk)).outcome == "done"
    assert tree(desktop.settings.receive_dir) == {"talk.jsonl": content}
    assert (await desktop.to("laptop")).outcome == "done"
    assert tree(talk.parent) == {"talk.jsonl": content}


async def test_an_empty_folder_arrives(two_agents: Pair, devices: Devices) -> None:
    empty = fill(devices.path("laptop", "empty"), {})
    assert (await two_agents.laptop.to("desktop", empty)).outcome == "done"
    assert tree(two_agents.desktop.settings.receive_dir / "empty") == {}


# --- the target's disk ------------------------------------------------------------------------------


async def test_a_disk_that_takes_no_more_ends_the_handoff_with_the_session_at_home(
    two_agents: Pair, folder: Path
) -> None:
    laptop, desktop = two_agents
    (folder / "big.bin").write_bytes(noise(2))
    with no_file_beyond(MEGABYTE):
        report = await laptop.to("desktop", folder)
    assert (report.outcome, report.reason) == ("failed", "no-space")
    assert "still here" in report.text
    assert laptop.sessions()[0].ownership.role.value == "primary"
    assert not desktop.sessions()
    await until(lambda: tree(desktop.settings.receive_dir) == {})
    assert (await laptop.to("desktop")).outcome == "done"


async def test_a_receive_directory_that_is_a_file_is_refused_in_words(devices: Devices, folder: Path) -> None:
    place = devices.path("desktop", "received")
    place.write_bytes(b"I am a file")
    pair = Pair(await devices.start("laptop"), await devices.start("desktop", receive_dir=place))
    introduce(*pair)
    report = await pair.laptop.to("desktop", folder)
    assert (report.outcome, report.reason) == ("rejected", "failed")
    assert "cannot be made" in report.text


# --- a target that goes away ------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
async def test_a_target_that_is_off_is_unreachable_and_the_session_stays(
    two_agents: Pair, folder: Path, devices: Devices
) -> None:
    await devices.stop("desktop")
    with pytest.raises(UnreachableError, match="cannot be reached") as caught:
        await two_agents.laptop.to("desktop", folder)
    assert caught.value.exit_code == 4
    assert two_agents.laptop.sessions()[0].ownership.role.value == "primary"


@pytest.mark.usefixtures("impatient")
async def test_a_target_that_goes_before_the_grant_leaves_the_source_usable(
    two_agents: Pair, folder: Path, devices: Devices
) -> None:
    laptop, desktop = two_agents
    (folder / "big.bin").write_bytes(noise(3))
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await event(desktop, "progress")
    await devices.stop("desktop")
    report = await handing
    assert (report.outcome, report.exit_code) == ("failed", 4)
    assert laptop.sessions()[0].ownership.role.value == "primary"
    introduce(laptop, await devices.start("desktop"))
    assert (await laptop.to("desktop")).outcome == "done"


@pytest.mark.usefixtures("impatient")
async def test_a_target_that_goes_while_the_source_is_frozen_leaves_a_doubt_that_resolves_itself(
    two_agents: Pair, folder: Path, devices: Devices
) -> None:
    laptop, desktop = two_agents
    deaf_to(desktop, msg.Grant)
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await until(lambda: bool(laptop.sessions()) and laptop.sessions()[0].ownership.role.value == "frozen")
    await devices.stop("desktop")
    report = await handing
    assert (report.outcome, report.exit_code) == ("in-doubt", 8)
    assert isinstance(report.error, InDoubtError)
    assert "nothing is lost" in report.text
    assert tree(folder) == FILES
    await devices.start("desktop")
    # The nonce lived in the memory of the agent that stopped, so the new one refuses and says so.
    await until(lambda: not laptop.handoffs.active(), 15)
    assert laptop.sessions()[0].ownership.role.value == "primary"
    assert laptop.sessions()[0].ownership.epoch == 1
    assert (await laptop.to("desktop")).outcome == "done"


async def test_an_answer_that_was_lost_is_asked_for_again(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    hear = deaf_to(laptop, msg.Accepted, msg.Resumed)
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await event(desktop, "handoff")
    hear()
    pull_cable(desktop, laptop)
    assert (await handing).outcome == "done"
    assert laptop.sessions()[0].ownership.role.value == "secondary"


async def test_lines_written_while_a_conversation_moves_are_not_lost(two_agents: Pair, devices: Devices) -> None:
    laptop, desktop = two_agents
    talk = devices.path("laptop", "talk.jsonl")
    talk.write_bytes(b"".join(conversation_lines(200)))
    late = b'{"text": "typed at the last moment"}\n'

    def write(_fields: Mapping[str, Any]) -> None:
        with talk.open("ab") as file:
            file.write(late)

    desktop.on("offer", write)
    assert (await laptop.to("desktop", talk)).outcome == "done"
    assert late in tree(desktop.settings.receive_dir)["talk.jsonl"]
