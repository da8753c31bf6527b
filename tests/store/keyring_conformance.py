# SPDX-License-Identifier: Apache-2.0
"""What is asked of a keyring, whichever it is. Imports nothing of the tests: it also runs in a session of its own."""

from __future__ import annotations

import os

from p2p_handoff.errors import KeyringError
from p2p_handoff.ids import DeviceId
from p2p_handoff.store.keyring_entry import SystemKeyring

ONE, OTHER = DeviceId("a" * 32), DeviceId("b" * 32)


def check_keyring(keyring: SystemKeyring) -> None:
    """Raises AssertionError where a keyring does not do what is needed; leaves nothing in it."""
    assert keyring.name
    assert keyring.get(ONE) is None, "an entry that nobody made"
    for secret in (b"\x00", os.urandom(200), bytes(range(256))):
        keyring.put(ONE, secret)
        assert keyring.get(ONE) == secret, "an entry that was made or replaced"
    keyring.put(OTHER, b"other")
    assert keyring.get(ONE) == bytes(range(256)), "one device's entry changed another one's"
    keyring.remove(OTHER)
    assert keyring.get(OTHER) is None, "an entry that was removed"
    keyring.remove(ONE)
    try:
        keyring.remove(ONE)
    except KeyringError:
        return
    raise AssertionError("an entry that is not there was removed")
