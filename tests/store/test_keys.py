# SPDX-License-Identifier: Apache-2.0
"""store.keys: written once, whole, private, never through a link."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from p2p_handoff.errors import StorageError, TrustError
from p2p_handoff.security.identity import Identity
from p2p_handoff.store.home import Home, prepare
from p2p_handoff.store.keys import MAX_KEY_FILE, create, load, remove
from tests.session.ownership_world import device


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return prepare(tmp_path / "home")


def no_new_keys() -> NoReturn:
    pytest.fail("keys exist and must not be replaced")


def load_or_create(home: Home, generate: Callable[[], bytes]) -> bytes:
    found = load(home.identity)
    if found is not None:
        return found
    content = generate()
    create(home.identity, content)
    return content


def test_keys_are_created_once_and_stay(home: Home) -> None:
    created = load_or_create(home, device(1).to_bytes)
    assert load_or_create(home, no_new_keys) == created
    assert Identity.from_bytes(created).device == device(1).device


def test_the_file_is_private_and_nothing_else_is_left(home: Home) -> None:
    load_or_create(home, lambda: b"keys")
    assert [(file.name, file.stat().st_mode & 0o777) for file in home.path.iterdir()] == [("identity", 0o600)]


def test_a_draft_that_a_crash_left_is_no_obstacle(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: 42)
    (home.path / "identity.42.new").write_bytes(b"half")
    assert load_or_create(home, lambda: b"keys") == b"keys"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_may_read_is_refused_with_the_command_that_helps(home: Home, mode: int) -> None:
    load_or_create(home, lambda: b"keys")
    home.identity.chmod(mode)
    with pytest.raises(TrustError) as caught:
        load_or_create(home, no_new_keys)
    assert caught.value.advice == f"run: chmod 600 {home.identity}"


@pytest.mark.parametrize("target", ["elsewhere", "missing"])
def test_a_link_is_refused_wherever_it_leads(home: Home, target: str) -> None:
    (home.path / "elsewhere").write_bytes(b"keys")
    home.identity.symlink_to(home.path / target)
    with pytest.raises(TrustError, match="symbolic link"):
        load_or_create(home, no_new_keys)


@pytest.mark.parametrize("size", [0, MAX_KEY_FILE + 1])
def test_an_empty_or_oversized_file_is_refused_not_replaced(home: Home, size: int) -> None:
    load_or_create(home, lambda: b"keys")
    home.identity.write_bytes(bytes(size))
    with pytest.raises(TrustError, match="damaged"):
        load_or_create(home, no_new_keys)


def test_keys_that_appear_in_the_meantime_are_not_replaced(home: Home) -> None:
    def meanwhile() -> bytes:
        load_or_create(home, lambda: b"theirs")
        return b"ours"

    with pytest.raises(StorageError, match="same moment"):
        load_or_create(home, meanwhile)
    assert load_or_create(home, no_new_keys) == b"theirs"


def test_a_home_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        load_or_create(Home(tmp_path / "missing"), lambda: b"keys")


def test_a_removed_file_is_gone_and_need_not_have_been_there(home: Home) -> None:
    create(home.identity, b"keys")
    remove(home.identity)
    remove(home.identity)
    assert load(home.identity) is None
