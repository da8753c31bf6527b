# SPDX-License-Identifier: Apache-2.0
"""Secrets in what is handed over: an own device gets everything, somebody else's gets what holds none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from p2p_handoff import SecretsError
from p2p_handoff.agent.likeness import Likeness
from p2p_handoff.agent.outgoing_init import init_message
from p2p_handoff.agent.outgoing_plan import OutgoingPlan
from p2p_handoff.agent.report import Report
from p2p_handoff.content.digests import digest
from p2p_handoff.content.secret_search import Searcher
from p2p_handoff.ids import TxnId
from p2p_handoff.limits import CHUNK_MIN
from p2p_handoff.protocol.messages import Mode
from p2p_handoff.security.frames import FrameOpener
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.guard import EVERYTHING, NOTHING, Letting
from p2p_handoff.session.manifest import Secret, encode_manifest
from p2p_handoff.testing.samples import conversation_lines
from tests.agent.devices import Devices, Pair, event, fill, introduce, tree, until
from tests.agent.secrets_made import env_file, github_token, private_key

ENV, KEY = env_file(), private_key()
PLAIN = {"main.py": b"print('hello')\n", "data/table.csv": b"1,2\n3,4\n"}
FILES = {**PLAIN, ".env": ENV, "deploy/id_rsa": KEY}
LISTED = [("p1", ".env", "env-secret"), ("p1", "deploy/id_rsa", "private-key")]


@pytest.fixture
def folder(devices: Devices) -> Path:
    """A folder on the laptop with two secrets."""
    return fill(devices.path("laptop", "project"), FILES)


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The plaintext of every frame that any agent here opens from now on, and what is unpacked of it."""
    opened: list[bytes] = []
    real, real_unpack = FrameOpener.open, Likeness.unpack

    def recording(self: FrameOpener, *args: object) -> bytes:
        data = real(self, *args)  # type: ignore[arg-type] # whatever it takes
        opened.append(bytes(data))
        return data

    def unpacking(self: Likeness, *args: object) -> bytes | None:
        data = real_unpack(self, *args)  # type: ignore[arg-type] # as above
        opened.append(data or b"")
        return data

    monkeypatch.setattr(FrameOpener, "open", recording)
    monkeypatch.setattr(Likeness, "unpack", unpacking)
    return opened


async def hand(pair: Pair, session: str | Path, letting: Letting = NOTHING, *, only: Sequence[str] = ()) -> Report:
    """Hand over from the first to the second, whose person says yes."""
    source, target = pair
    handing = asyncio.create_task(source.to(target.device, session, letting=letting, only=only))
    asked = asyncio.create_task(event(target, "request"))
    await asyncio.wait((handing, asked), return_when=asyncio.FIRST_COMPLETED)
    if asked.done():
        target.accept()
    else:
        asked.cancel()
    return await handing


def listed(report: Report, *, withheld: bool) -> list[tuple[str, str, str]]:
    return [(item["part"], item["path"], item["kind"]) for item in report.secrets if item["withheld"] is withheld]


async def test_an_own_device_gets_everything_and_is_told(two_agents: Pair, folder: Path) -> None:
    laptop, desktop = two_agents
    offered = asyncio.create_task(event(desktop, "offer"))
    report = await laptop.to("desktop", folder)
    assert report.outcome == "done"
    assert listed(report, withheld=False) == LISTED
    assert [item["path"] for item in (await offered)["secrets"]] == [".env", "deploy/id_rsa"]
    assert tree(desktop.settings.receive_dir / "project") == FILES


async def test_somebody_elses_device_gets_neither_secrets_nor_their_digests(
    two_people: Pair, folder: Path, frames: list[bytes]
) -> None:
    report = await hand(two_people, folder)
    assert listed(report, withheld=True) == LISTED
    assert {item["held_by"] for item in report.secrets} == {"laptop"}
    assert tree(two_people.desktop.settings.receive_dir / "project") == PLAIN
    wire = b"".join(frames)
    assert PLAIN["data/table.csv"] in wire, "the recording shows what was sent"
    for content in (ENV, KEY):
        assert content not in wire
        assert bytes(digest(content)) not in wire
        assert not any(line in wire for line in content.splitlines() if len(line) > 16)


async def test_a_key_in_the_midst_of_noise_stays_here_whatever_was_passed_over_before(
    two_people: Pair, folder: Path, frames: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, desktop = two_people
    noise = Random(8).randbytes(CHUNK_MIN)
    (folder / "image").write_bytes(noise + KEY + noise)
    (folder / "picture").write_bytes(noise)
    monkeypatch.setattr(Searcher, "has_text", lambda *_: False)
    # Searched ahead as for an own device: there the key is passed over.
    await laptop.start([folder])
    report = await hand(two_people, folder)
    assert ("p1", "image", "private-key") in listed(report, withheld=True)
    assert tree(desktop.settings.receive_dir / "project") == {**PLAIN, "picture": noise}
    assert not any(line in b"".join(frames) for line in KEY.splitlines() if len(line) > 16)


async def test_what_was_withheld_is_still_there_and_part_of_the_session_after_the_way_back(
    two_people: Pair, folder: Path
) -> None:
    laptop, desktop = two_people
    await hand(two_people, folder)
    theirs = desktop.settings.receive_dir / "project"
    (theirs / "main.py").write_bytes(b"print('bye')\n")
    back = await hand(Pair(desktop, laptop), "project")
    assert back.outcome == "done"
    assert tree(folder) == {**FILES, "main.py": b"print('bye')\n"}
    manifest = laptop.catalog.picture(laptop.sessions()[0].id).manifest
    assert manifest.parts[0].items == len(FILES)
    assert not manifest.parts[0].secrets


async def test_what_was_withheld_counts_as_no_edit(two_people: Pair, folder: Path) -> None:
    laptop, _ = two_people
    report = await hand(two_people, folder)
    record = laptop.store.sessions.get(laptop.sessions()[0].id)
    assert record is not None
    assert report.outcome == "done"
    assert not (await laptop.parts.contributions.look(record.id)).counts
    (folder / "notes.txt").write_bytes(b"new\n")
    assert (await laptop.parts.contributions.look(record.id)).counts == {"files": 1}


async def test_a_third_device_that_has_an_older_copy_keeps_it_and_does_not_pass_it_off(
    devices: Devices, two_people: Pair, folder: Path
) -> None:
    laptop, desktop = two_people
    phone = await devices.start("phone")
    introduce(laptop, phone, LinkKind.OWN)
    introduce(desktop, phone, LinkKind.OTHER)
    await hand(Pair(laptop, phone), folder)
    await hand(Pair(phone, laptop), "project")
    newer = env_file()
    (folder / ".env").write_bytes(newer)
    await hand(two_people, "project")
    (desktop.settings.receive_dir / "project" / "main.py").write_bytes(b"theirs\n")
    await hand(Pair(desktop, phone), "project")
    kept = phone.settings.receive_dir / "project"
    assert tree(kept) == {**FILES, "main.py": b"theirs\n"}
    await hand(Pair(phone, laptop), "project")
    assert tree(folder) == {**FILES, "main.py": b"theirs\n", ".env": newer}
    await hand(Pair(laptop, phone), "project")
    assert (kept / ".env").read_bytes() == newer


async def test_what_is_let_go_goes_and_nothing_else(two_people: Pair, folder: Path) -> None:
    report = await hand(two_people, folder, Letting(paths=frozenset({b".env"})))
    assert listed(report, withheld=False) == LISTED[:1]
    assert listed(report, withheld=True) == LISTED[1:]
    assert tree(two_people.desktop.settings.receive_dir / "project") == {**PLAIN, ".env": ENV}


async def test_everything_goes_where_that_is_asked_for(two_people: Pair, folder: Path) -> None:
    report = await hand(two_people, folder, EVERYTHING)
    assert listed(report, withheld=False) == LISTED
    assert tree(two_people.desktop.settings.receive_dir / "project") == FILES


async def test_a_secret_that_appears_while_the_other_side_decides_stays(
    two_people: Pair, folder: Path, frames: list[bytes]
) -> None:
    laptop, desktop = two_people
    handing = asyncio.create_task(laptop.to("desktop", folder))
    await event(desktop, "request")
    late = private_key("EC ")
    (folder / "late.pem").write_bytes(late)
    (folder / "late.txt").write_bytes(b"also late\n")
    desktop.accept()
    report = await handing
    assert listed(report, withheld=True) == [*LISTED, ("p1", "late.pem", "private-key")]
    assert tree(desktop.settings.receive_dir / "project") == {**PLAIN, "late.txt": b"also late\n"}
    assert late not in b"".join(frames)
    assert (folder / "late.pem").read_bytes() == late


async def test_a_conversation_with_a_secret_stays_as_a_whole(two_people: Pair, devices: Devices, folder: Path) -> None:
    laptop, desktop = two_people
    talk = devices.path("laptop", "talk.jsonl")
    talk.write_bytes(b"".join(conversation_lines(4)) + b'{"text": "' + github_token() + b'"}\n')
    await laptop.start([folder, talk], "work")
    report = await hand(two_people, "work")
    assert ("p2", "", "github-pat") in listed(report, withheld=True)
    assert not (desktop.settings.receive_dir / "talk.jsonl").exists()
    holders = {binding.name: binding.held_by for binding in desktop.catalog.bindings(desktop.sessions()[0].id)}
    assert holders == {"project": None, "talk.jsonl": laptop.device}
    back = await hand(Pair(desktop, laptop), "work")
    assert back.outcome == "done"
    assert [part.held_by for part in laptop.catalog.picture(laptop.sessions()[0].id).manifest.parts] == [None, None]


async def test_a_session_of_which_nothing_may_leave_is_not_offered(two_people: Pair, devices: Devices) -> None:
    laptop, desktop = two_people
    talk = devices.path("laptop", "talk.jsonl")
    talk.write_bytes(b'{"text": "' + github_token() + b'"}\n')
    with pytest.raises(SecretsError, match="github-pat"):
        await laptop.to("desktop", talk)
    assert not desktop.pending()
    assert laptop.sessions()[0].ownership.role.value == "primary"


async def test_a_conversation_that_gets_a_secret_during_the_handoff_ends_it(
    two_people: Pair, devices: Devices, frames: list[bytes]
) -> None:
    laptop, desktop = two_people
    talk, token = devices.path("laptop", "talk.jsonl"), github_token()
    talk.write_bytes(b"".join(conversation_lines(4)))
    handing = asyncio.create_task(laptop.to("desktop", talk))
    await event(desktop, "request")
    with talk.open("ab") as file:
        file.write(b'{"text": "' + token + b'"}\n')
    desktop.accept()
    report = await handing
    assert report.outcome == "failed"
    assert isinstance(report.error, SecretsError)
    assert laptop.sessions()[0].ownership.role.value == "primary"
    assert token not in b"".join(frames)
    await until(lambda: not desktop.handoffs.is_busy(laptop.sessions()[0].id))


async def test_a_repository_with_a_credential_stays_as_a_whole(two_people: Pair, devices: Devices) -> None:
    laptop, desktop = two_people
    url = b"https://me:" + github_token() + b"@git.example.org/me/project.git"
    files = {
        "main.py": b"x = 1\n",
        ".git/HEAD": b"ref: refs/heads/main\n",
        ".git/config": b'[remote "origin"]\n\turl = ' + url + b"\n",
    }
    folder = fill(devices.path("laptop", "project"), files)
    report = await hand(two_people, folder)
    assert {path for _, path, _ in listed(report, withheld=True)} == {".git"}
    assert tree(desktop.settings.receive_dir / "project") == {"main.py": b"x = 1\n"}
    (desktop.settings.receive_dir / "project" / "main.py").write_bytes(b"x = 2\n")
    await hand(Pair(desktop, laptop), "project")
    assert tree(folder) == {**files, "main.py": b"x = 2\n"}


async def test_an_undo_after_the_way_back_leaves_what_was_withheld(two_people: Pair, folder: Path) -> None:
    laptop, desktop = two_people
    await hand(two_people, folder)
    (desktop.settings.receive_dir / "project" / "main.py").write_bytes(b"print('bye')\n")
    await hand(Pair(desktop, laptop), "project")
    await laptop.undo("project")
    assert tree(folder) == FILES


@pytest.mark.parametrize(("kind", "named"), [(LinkKind.OWN, True), (LinkKind.OTHER, False)])
async def test_a_forks_parent_with_secrets_is_named_to_own_devices_only(
    devices: Devices, folder: Path, kind: LinkKind, *, named: bool
) -> None:
    laptop, desktop = await devices.start("laptop"), await devices.start("desktop")
    introduce(laptop, desktop, kind)
    record = await laptop.start([folder], "work")
    plain = laptop.catalog.picture(record.id).manifest
    secret = replace(plain, parts=(replace(plain.parts[0], secrets=(Secret(b".env", "env-secret"),)),))
    for parent, shown in ((encode_manifest(plain), True), (encode_manifest(secret), named)):
        plan = OutgoingPlan(TxnId("t" * 26), record.id, desktop.device, Mode.MERGE, parent=parent)
        init = init_message(laptop.handoffs._services, plan, keeps_secrets=False)
        assert init.parent == (parent if shown else b"")
        assert init_message(laptop.handoffs._services, plan, keeps_secrets=True).parent == b""


async def test_a_part_that_is_elsewhere_lists_only_what_is_kept_back(two_people: Pair, devices: Devices) -> None:
    laptop, desktop = two_people
    folder = fill(devices.path("laptop", "project"), FILES)
    talk = devices.path("laptop", "talk.jsonl")
    talk.write_bytes(b"".join(conversation_lines(4)))
    await laptop.start([folder, talk], "work")
    handing = asyncio.create_task(laptop.to("desktop", "work", letting=Letting(paths=frozenset({b".env"}))))
    await event(desktop, "request")
    desktop.accept(only=["messages"])
    await handing
    picture = desktop.catalog.picture(desktop.sessions()[0].id).manifest
    assert {part.name: part.held_by for part in picture.parts} == {"project": laptop.device, "talk.jsonl": None}
    assert [secret.path for part in picture.parts for secret in part.secrets] == [b"deploy/id_rsa"]
