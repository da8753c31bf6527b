# SPDX-License-Identifier: Apache-2.0
"""Where a device's secret keys are: a file in its home, or an entry in the keyring. Layer: I/O ring.

Specification: docs/specs/store.md §7. Where they are says the home, not the setting: the setting moves them, at a
start. The file counts where both are there, so that a move that was cut off leaves the device what it was. Whatever
is missing, new keys are made only in a home that never had any: another key would silently be another device.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from p2p_handoff.errors import HandoffError, KeyringError, RemoteProtocolError, TrustError
from p2p_handoff.ids import DEVICE_ID_LENGTH, DeviceId, parse_id
from p2p_handoff.security.identity import Identity
from p2p_handoff.store import keys
from p2p_handoff.store.home import Home
from p2p_handoff.store.keyring_entry import SystemKeyring, open_keyring

log = logging.getLogger(__name__)


class KeyPlace(Enum):
    """Where the keys are."""

    FILE = "file"
    KEYRING = "keyring"


class KeyWish(Enum):
    """Where they shall be: the setting ``keys``."""

    AUTO = "auto"
    """Where they are; new ones in the keyring, if one answers."""
    FILE = "file"
    KEYRING = "keyring"


@dataclass(frozen=True, slots=True)
class KeptIn:
    """Where a device's secret keys are."""

    place: KeyPlace
    words: str
    """For people."""


@dataclass(frozen=True, slots=True)
class FoundKeys:
    """A device's secret keys."""

    secret: bytes = field(repr=False)
    kept_in: KeptIn


def load_or_create(home: Home, wish: KeyWish, generate: Callable[[], bytes]) -> FoundKeys:
    """This device's secret keys, where they shall be.

    Args:
        home: A prepared home, locked.
        wish: Where they shall be.
        generate: Makes new keys; called only where there never were any.

    Raises:
        KeyringError: They are, or shall be, in the keyring, and that cannot be used. Nothing has changed.
        TrustError: A file is a link, another user's, readable by others, or damaged.
        StorageError: A file cannot be read or written.
    """
    secret, entry = keys.load(home.identity), _entry(home)
    if secret is not None:
        return _in_file(home, secret, entry, wish)
    if entry is not None:
        return _in_keyring(home, entry, wish)
    if home.database.exists():
        raise TrustError(
            f"the keys of this device are missing: neither {home.identity} nor {home.keyring_entry} is there",
            state="nothing has changed",
            advice="restore the one that was there from a backup; new keys would make this another device",
        )
    return _new(home, wish, generate())


def _new(home: Home, wish: KeyWish, secret: bytes) -> FoundKeys:
    if wish is not KeyWish.FILE:
        try:
            return _to_keyring(home, secret)
        except KeyringError as error:
            if wish is KeyWish.KEYRING:
                raise _advised(error) from error
            log.info("the keys of this device are in a file: %s", error.what)
    keys.create(home.identity, secret)
    return _found_in_file(home, secret)


def _in_file(home: Home, secret: bytes, entry: DeviceId | None, wish: KeyWish) -> FoundKeys:
    if wish is KeyWish.KEYRING:
        try:
            return _to_keyring(home, secret)
        except KeyringError as error:
            raise _advised(error) from error
    if entry is not None:
        _leave_keyring(home, entry)  # A move was cut off.
    return _found_in_file(home, secret)


def _in_keyring(home: Home, entry: DeviceId, wish: KeyWish) -> FoundKeys:
    try:
        keyring = open_keyring()
        secret = keyring.get(entry)
    except KeyringError as error:
        raise KeyringError(
            f"this device's keys are in the keyring, and {error.what}",
            state="nothing has changed",
            advice="log in to the desktop and unlock it, then start again; to use this device without a desktop,"
            " then run: handoff config set keys file",
        ) from error
    if secret is None:
        raise KeyringError(
            f"this device's keys are not in {keyring.name} any more",
            state="nothing has changed",
            advice="unlock or restore the keyring that has them; without them this is another device,"
            " which begins in a data directory of its own",
        )
    if Identity.from_bytes(secret).device != entry:
        raise TrustError(f"what {keyring.name} has for this device are the keys of another one")
    if wish is not KeyWish.FILE:
        return _found_in_keyring(secret, keyring)
    keys.create(home.identity, secret)
    _leave_keyring(home, entry)
    return _found_in_file(home, secret)


def _to_keyring(home: Home, secret: bytes) -> FoundKeys:
    """The entry, then the note of it, then the file goes: at any moment one of them is whole."""
    keyring, device = open_keyring(), Identity.from_bytes(secret).device
    keyring.put(device, secret)
    if _entry(home) is None:
        keys.create(home.keyring_entry, device.encode("ascii"))
    keys.remove(home.identity)
    return _found_in_keyring(secret, keyring)


def _leave_keyring(home: Home, entry: DeviceId) -> None:
    """The file has the keys: what else there is goes, as far as that can be reached."""
    keys.remove(home.keyring_entry)
    try:
        open_keyring().remove(entry)
    except HandoffError as error:
        log.warning("the keys of this device are in a file now, and in the keyring still: %s", error.what)


def _entry(home: Home) -> DeviceId | None:
    content = keys.load(home.keyring_entry)
    if content is None:
        return None
    try:
        return DeviceId(parse_id(content.decode("ascii", "replace"), DEVICE_ID_LENGTH))
    except RemoteProtocolError:
        raise TrustError(f"the file {home.keyring_entry} is damaged", advice="restore it from a backup") from None


def _found_in_file(home: Home, secret: bytes) -> FoundKeys:
    return FoundKeys(secret, KeptIn(KeyPlace.FILE, f"the file {home.identity}, which only this user may read"))


def _found_in_keyring(secret: bytes, keyring: SystemKeyring) -> FoundKeys:
    return FoundKeys(secret, KeptIn(KeyPlace.KEYRING, f"the keyring ({keyring.name})"))


def _advised(error: KeyringError) -> KeyringError:
    return KeyringError(
        f"this device's keys shall be in the keyring, and {error.what}",
        state="nothing has changed",
        advice="unlock it, install p2p-handoff[keyring], or run: handoff config set keys file",
    )
