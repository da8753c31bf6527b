# SPDX-License-Identifier: Apache-2.0
"""store.keyring_entry: what every keyring does for us, and which ones are none."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null

from p2p_handoff.errors import ExitCode, KeyringError
from p2p_handoff.ids import DeviceId
from p2p_handoff.store import keyring_entry
from p2p_handoff.store.keyring_entry import SystemKeyring, open_keyring
from tests.session.ownership_world import device
from tests.store.keyring_conformance import check_keyring
from tests.store.keyrings import MemoryKeyring, PlainKeyring

ME = device(1).device
SECRET = device(1).to_bytes()


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[MemoryKeyring]]:
    """The keyring of whoever runs this is one in memory."""
    monkeypatch.setattr(MemoryKeyring, "entries", {})
    monkeypatch.setattr(MemoryKeyring, "locked", False)
    before = keyring.get_keyring()
    keyring.set_keyring(MemoryKeyring())
    yield MemoryKeyring
    keyring.set_keyring(before)


def test_a_keyring_keeps_gives_and_forgets(memory: type[MemoryKeyring]) -> None:
    check_keyring(open_keyring())
    assert memory.entries == {}


def test_a_locked_one_is_an_error_that_says_so_and_nothing_of_the_secret(memory: type[MemoryKeyring]) -> None:
    opened = open_keyring()
    opened.put(ME, SECRET)
    memory.locked = True
    questions: tuple[Callable[[], object], ...] = (
        lambda: opened.get(ME),
        lambda: opened.put(ME, SECRET),
        lambda: opened.remove(ME),
    )
    for question in questions:
        with pytest.raises(KeyringError, match="locked or refused") as caught:
            question()
        assert caught.value.exit_code is ExitCode.TRUST
        assert "collection" not in str(caught.value)


def test_a_damaged_entry_is_an_error_and_no_key(memory: type[MemoryKeyring]) -> None:
    open_keyring().put(ME, SECRET)
    memory.entries[keyring_entry.SERVICE, ME] = "no base64!"
    with pytest.raises(KeyringError, match="damaged"):
        open_keyring().get(ME)


def test_one_that_forgets_is_found_out(memory: type[MemoryKeyring], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryKeyring, "set_password", lambda *_: None)
    with pytest.raises(KeyringError, match="did not keep"):
        open_keyring().put(ME, SECRET)


def test_one_that_waits_for_a_person_who_is_not_there_does_not_wait_for_ever(
    memory: type[MemoryKeyring], monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    monkeypatch.setattr(keyring_entry, "ANSWER_WITHIN", 0.05)
    monkeypatch.setattr(MemoryKeyring, "get_password", lambda *_: answered.wait(20))
    try:
        with pytest.raises(KeyringError, match="did not answer"):
            open_keyring().get(ME)
    finally:
        answered.set()


@pytest.mark.parametrize("none", [null.Keyring, fail.Keyring, chainer.ChainerBackend, PlainKeyring])
def test_what_protects_nothing_is_no_keyring(memory: type[MemoryKeyring], none: type[KeyringBackend]) -> None:
    keyring.set_keyring(none())
    with pytest.raises(KeyringError, match="no keyring of a desktop"):
        open_keyring()


def test_of_several_only_the_librarys_own_are_taken_unasked(
    memory: type[MemoryKeyring], monkeypatch: pytest.MonkeyPatch
) -> None:
    desktop = type("Keyring", (MemoryKeyring,), {"__module__": "keyring.backends.SecretService"})
    several = chainer.ChainerBackend()
    keyring.set_keyring(several)
    monkeypatch.setattr(chainer.ChainerBackend, "backends", [MemoryKeyring()])
    with pytest.raises(KeyringError):
        open_keyring()
    monkeypatch.setattr(chainer.ChainerBackend, "backends", [MemoryKeyring(), null.Keyring(), desktop()])
    assert open_keyring().name == desktop().name


def test_a_backend_that_cannot_be_loaded_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> KeyringBackend:
        raise RuntimeError("no session bus")

    monkeypatch.setattr(keyring, "get_keyring", broken)
    with pytest.raises(KeyringError, match="no keyring of a desktop"):
        open_keyring()


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(KeyringError, match="extra 'keyring' is not installed"):
        open_keyring()


def test_an_entry_is_another_devices_for_another_name(memory: type[MemoryKeyring]) -> None:
    opened: SystemKeyring = open_keyring()
    opened.put(ME, SECRET)
    assert opened.get(DeviceId("b" * 32)) is None
