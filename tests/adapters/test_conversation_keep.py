# SPDX-License-Identifier: Apache-2.0
"""The shelf of a conversation: exact bytes, and a document of their own when they come back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from p2p_handoff.adapters.conversation_keep import ConversationShelf
from p2p_handoff.adapters.conversation_root import decode_root
from p2p_handoff.errors import ContentGoneError, NotFoundError
from tests.adapters.conversation_peers import Device, transfer


@pytest.fixture
def device(tmp_path: Path) -> Device:
    device = Device(tmp_path / "laptop")
    device.write(b"one\n\xff\xfe\ntail")
    return device


def document_of(device: Device) -> bytes:
    picture = device.part.snapshot()
    return decode_root(picture.read(picture.root)).document


def went_back(device: Device, shelf: Path, root: bytes) -> None:
    now = device.part.keep(shelf).root
    staging = device.part.stage_back("b", shelf, now)
    transfer(device.adapter.kept(shelf, type(now)(root)), staging)
    staging.seal()
    staging.commit()
    device.restart()


def test_a_state_comes_back_under_a_document_of_its_own(device: Device, tmp_path: Path) -> None:
    root, document = device.part.keep(tmp_path / "shelf").root, document_of(device)
    device.append(b" and more\nthree\n")
    went_back(device, tmp_path / "shelf", root)
    assert device.read() == b"one\n\xff\xfe\ntail"
    assert document_of(device) != document


def test_an_old_edit_cannot_creep_back(device: Device, tmp_path: Path) -> None:
    desktop = Device(tmp_path / "desktop")
    root = device.part.keep(tmp_path / "shelf").root
    device.write(b"one\ntwo\nbad idea\n")
    desktop.take(device)
    went_back(device, tmp_path / "shelf", root)
    desktop.append(b"an edit of the old document\n")
    desktop.take(device, "t2")
    assert desktop.read() == b"one\n\xff\xfe\ntail"
    (copy,) = [name for name in desktop.leftovers() if ".conflict-" in name]
    assert (desktop.home / copy).read_bytes() == b"one\ntwo\nbad idea\nan edit of the old document\n"


def test_an_empty_conversation_comes_back(tmp_path: Path) -> None:
    device = Device(tmp_path / "laptop")
    device.write(b"")
    root = device.part.keep(tmp_path / "shelf").root
    device.append(b"one\n")
    went_back(device, tmp_path / "shelf", root)
    assert device.read() == b""


def test_a_line_that_is_written_while_it_is_kept_changes_nothing_about_what_is_kept(
    device: Device, tmp_path: Path
) -> None:
    before, kept = device.read(), device.part
    shelf = ConversationShelf(tmp_path / "shelf")

    def catch_up() -> object:
        record = kept._follower.catch_up(thorough=True)
        device.append(b"\nlater\n")
        return record

    record = shelf.keep(catch_up, device.file)  # type: ignore[arg-type]  # the record, with an edit behind it
    assert shelf.text(record.log.root.name).size == len(before)


def test_a_conversation_that_is_rewritten_all_the_time_is_not_kept(device: Device, tmp_path: Path) -> None:
    def catch_up() -> object:
        record = device.part._follower.catch_up(thorough=True)
        device.write(os.urandom(9) + b"\n")
        return record

    with pytest.raises(ContentGoneError, match="faster than it can be kept"):
        ConversationShelf(tmp_path / "shelf").keep(catch_up, device.file)  # type: ignore[arg-type]  # as above


def test_a_damaged_shelf_is_an_error(device: Device, tmp_path: Path) -> None:
    root = device.part.keep(tmp_path / "shelf").root
    (text,) = (tmp_path / "shelf" / "contents").iterdir()
    text.write_bytes(b"other")
    with pytest.raises(ContentGoneError, match="damaged"):
        device.adapter.kept(tmp_path / "shelf", root)
    (row,) = (tmp_path / "shelf" / "trees").iterdir()
    row.write_bytes(b"other")
    with pytest.raises(NotFoundError, match="not kept"):
        device.adapter.kept(tmp_path / "shelf", root)
