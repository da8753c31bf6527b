# SPDX-License-Identifier: Apache-2.0
"""store.key_places: keys are made once, move whole, and are never made anew because they cannot be reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import keyring
import pytest
from keyring.backends import null

from p2p_handoff.errors import ExitCode, HandoffError, KeyringError, StorageError, TrustError
from p2p_handoff.ids import DeviceId
from p2p_handoff.store import key_places, keys
from p2p_handoff.store.home import Home, prepare
from p2p_handoff.store.key_places import FoundKeys, KeyPlace, KeyWish, load_or_create
from p2p_handoff.store.keyring_entry import SystemKeyring
from tests.session.ownership_world import device
from tests.store.keyrings import MemoryKeyring

ME = device(1)
SECRET = ME.to_bytes()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return prepare(tmp_path / "home")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[MemoryKeyring]]:
    """The keyring of whoever runs this is one in memory."""
    monkeypatch.setattr(MemoryKeyring, "entries", {})
    monkeypatch.setattr(MemoryKeyring, "locked", False)
    before = keyring.get_keyring()
    keyring.set_keyring(MemoryKeyring())
    yield MemoryKeyring
    keyring.set_keyring(before)


def no_new_keys() -> NoReturn:
    pytest.fail("another key would be another device")


def found(home: Home, wish: KeyWish) -> FoundKeys:
    """The keys of a home that has some."""
    return load_or_create(home, wish, no_new_keys)


def made(home: Home, wish: KeyWish = KeyWish.AUTO) -> FoundKeys:
    """The keys of a home that has none."""
    return load_or_create(home, wish, ME.to_bytes)


def names(home: Home) -> set[str]:
    return {path.name for path in home.path.iterdir()}


def vanish() -> None:
    """The desktop is gone: an agent started at boot, or over the network."""
    keyring.set_keyring(null.Keyring())


def test_new_keys_go_into_the_keyring_where_one_answers_and_no_file_has_them(
    home: Home, memory: type[MemoryKeyring]
) -> None:
    assert made(home).kept_in.place is KeyPlace.KEYRING
    assert list(memory.entries) == [("p2p-handoff", ME.device)]
    assert [path.stat().st_mode & 0o777 for path in home.path.iterdir()] == [0o600]
    assert all(SECRET not in path.read_bytes() for path in home.path.iterdir())
    again = found(home, KeyWish.AUTO)
    assert (again.secret, again.kept_in.place) == (SECRET, KeyPlace.KEYRING)
    assert "MemoryKeyring" in again.kept_in.words


def test_new_keys_go_into_a_file_where_no_keyring_answers(home: Home, memory: type[MemoryKeyring]) -> None:
    memory.locked = True
    kept_in = made(home).kept_in
    assert kept_in.place is KeyPlace.FILE
    assert str(home.identity) in kept_in.words
    memory.locked = False
    assert found(home, KeyWish.AUTO).kept_in.place is KeyPlace.FILE, "auto moves nothing"
    assert names(home) == {"identity"}


def test_the_file_is_used_without_a_look_at_any_keyring(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_places, "open_keyring", lambda: pytest.fail("nobody asked for a keyring"))
    assert made(home, KeyWish.FILE).kept_in.place is KeyPlace.FILE
    assert found(home, KeyWish.FILE).secret == SECRET
    assert found(home, KeyWish.AUTO).secret == SECRET


def test_keys_move_into_the_keyring_and_back_and_stay_the_same(home: Home, memory: type[MemoryKeyring]) -> None:
    made(home, KeyWish.FILE)
    moved = found(home, KeyWish.KEYRING)
    assert (moved.secret, moved.kept_in.place) == (SECRET, KeyPlace.KEYRING)
    assert names(home) == {"identity.keyring"}
    back = found(home, KeyWish.FILE)
    assert (back.secret, back.kept_in.place) == (SECRET, KeyPlace.FILE)
    assert names(home) == {"identity"}
    assert memory.entries == {}


@pytest.mark.parametrize("gone", [vanish, lambda: setattr(MemoryKeyring, "locked", True)])
@pytest.mark.parametrize("wish", list(KeyWish))
def test_a_keyring_that_is_locked_or_gone_never_makes_another_device(
    home: Home, memory: type[MemoryKeyring], wish: KeyWish, gone: Callable[[], None]
) -> None:
    made(home)
    gone()
    with pytest.raises(KeyringError, match="keys are in the keyring, and") as caught:
        found(home, wish)
    assert caught.value.exit_code is ExitCode.TRUST
    assert "handoff config set keys file" in caught.value.advice
    assert names(home) == {"identity.keyring"}
    memory.locked = False
    keyring.set_keyring(MemoryKeyring())
    assert found(home, KeyWish.AUTO).secret == SECRET


def test_an_entry_that_is_gone_never_makes_another_device(home: Home, memory: type[MemoryKeyring]) -> None:
    made(home)
    memory.entries.clear()
    with pytest.raises(KeyringError, match=r"not in .* any more"):
        found(home, KeyWish.AUTO)


def test_an_entry_with_the_keys_of_another_device_is_refused(home: Home, memory: type[MemoryKeyring]) -> None:
    made(home)
    ours, theirs = ("p2p-handoff", ME.device), DeviceId("b" * 32)
    load_or_create(prepare(home.path.parent / "other"), KeyWish.KEYRING, device(2).to_bytes)
    memory.entries[ours] = memory.entries["p2p-handoff", device(2).device]
    with pytest.raises(TrustError, match="another one"):
        found(home, KeyWish.AUTO)
    assert theirs not in {name for _, name in memory.entries}


def test_a_keyring_that_was_asked_for_and_is_not_there_is_an_error(home: Home, memory: type[MemoryKeyring]) -> None:
    vanish()
    with pytest.raises(KeyringError, match="shall be in the keyring, and no keyring"):
        made(home, KeyWish.KEYRING)
    assert names(home) == set()
    made(home, KeyWish.FILE)
    with pytest.raises(KeyringError, match="shall be in the keyring"):
        found(home, KeyWish.KEYRING)
    assert found(home, KeyWish.AUTO).secret == SECRET


def test_lost_keys_beside_a_database_are_not_replaced(home: Home) -> None:
    made(home, KeyWish.FILE)
    home.database.touch()
    home.identity.unlink()
    with pytest.raises(TrustError, match="keys of this device are missing"):
        made(home)
    assert names(home) == {"store.sqlite3"}


def test_a_damaged_note_of_the_entry_is_refused(home: Home, memory: type[MemoryKeyring]) -> None:
    made(home)
    home.keyring_entry.write_text("me\n")
    with pytest.raises(TrustError, match="damaged"):
        found(home, KeyWish.AUTO)


class CutOffError(Exception):
    """The process ends here."""


STEPS = [(keys, "create"), (keys, "remove"), (SystemKeyring, "put"), (SystemKeyring, "remove")]


def cut_off(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """End a move before its step of a number, counted from 0."""
    left = number

    def instead(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise CutOffError
            return real(*args)

        return step

    for where, name in STEPS:
        monkeypatch.setattr(where, name, instead(getattr(where, name)))


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize(("before", "wish"), [(KeyWish.FILE, KeyWish.KEYRING), (KeyWish.KEYRING, KeyWish.FILE)])
def test_a_move_that_is_cut_off_anywhere_leaves_the_device_what_it_was(
    home: Home, memory: type[MemoryKeyring], before: KeyWish, wish: KeyWish, number: int
) -> None:
    made(home, before)
    with pytest.MonkeyPatch.context() as crash:
        cut_off(crash, number)
        if number < 3:
            with pytest.raises(CutOffError):
                found(home, wish)
        else:
            found(home, wish)
    for then in (KeyWish.AUTO, wish, before):
        assert found(home, then).secret == SECRET
    place = found(home, wish).kept_in.place
    assert place.value == wish.value
    assert names(home) == {"identity.keyring" if place is KeyPlace.KEYRING else "identity"}
    assert len(memory.entries) == (1 if place is KeyPlace.KEYRING else 0)


def test_an_entry_that_cannot_be_removed_keeps_nobody_from_using_the_file(
    home: Home, memory: type[MemoryKeyring], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made(home)

    def locked(*_: Any) -> NoReturn:
        raise KeyringError("it is locked")

    monkeypatch.setattr(SystemKeyring, "remove", locked)
    assert found(home, KeyWish.FILE).kept_in.place is KeyPlace.FILE
    assert "in the keyring still" in caplog.text


def test_a_file_that_cannot_be_written_leaves_the_keys_in_the_keyring(
    home: Home, memory: type[MemoryKeyring], monkeypatch: pytest.MonkeyPatch
) -> None:
    made(home)

    def full(*_: Any) -> NoReturn:
        raise StorageError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(keys, "create", full)
        with pytest.raises(HandoffError, match="full"):
            found(home, KeyWish.FILE)
    assert found(home, KeyWish.AUTO).kept_in.place is KeyPlace.KEYRING


def test_nothing_of_the_keys_shows_when_they_are_printed(home: Home) -> None:
    assert SECRET.hex() not in repr(made(home, KeyWish.FILE))
    assert repr(SECRET) not in repr(found(home, KeyWish.FILE))
