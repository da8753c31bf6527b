# SPDX-License-Identifier: Apache-2.0
"""The operating system's keyring, where there is one: one entry for each device. Layer: I/O ring.

Specification: docs/specs/store.md §7. The only module that imports the library, and only when it is asked: it is an
extra. A desktop may show a dialogue before it answers, or nobody may be there to answer it: every call has its time.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from p2p_handoff.errors import KeyringError
from p2p_handoff.ids import DeviceId

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE: Final = "p2p-handoff"
"""Under which a person finds the entries in the desktop's own tool."""
ANSWER_WITHIN: Final = 15.0
"""Seconds for a person to unlock the keyring: the command that starts an agent waits for 20."""
_NO_KEYRINGS: Final = ("keyring.backends.null", "keyring.backends.fail", "keyring.backends.chainer")
"""Modules of the library that stand for none, or for several."""
_OWN: Final = "keyring.backends."
_UNPROTECTED: Final = "keyrings.alt."
"""Files that are not encrypted, or by a password that is asked for in a terminal."""
_RECOMMENDED: Final = 1
"""The priority from which on the library calls a backend suitable."""


class SystemKeyring:
    """One keyring.

    Args:
        backend: The library's; see ``open_keyring``.
    """

    def __init__(self, backend: KeyringBackend) -> None:
        self._backend = backend
        self.name = backend.name
        """For people."""

    def get(self, device: DeviceId) -> bytes | None:
        """The secret keys of a device; None where there are none.

        Raises:
            KeyringError: It is locked, or does not answer; or the entry is no such thing.
        """
        found = self._ask(lambda: self._backend.get_password(SERVICE, device))
        if found is None:
            return None
        try:
            return base64.b64decode(found, validate=True)
        except (binascii.Error, ValueError):
            raise KeyringError(f"what {self.name} has for this device is damaged") from None

    def put(self, device: DeviceId, secret: bytes) -> None:
        """Keep the secret keys of a device; on return they are there.

        Raises:
            KeyringError: It is locked, refuses, does not answer, or lost them.
        """
        encoded = base64.b64encode(secret).decode("ascii")
        self._ask(lambda: self._backend.set_password(SERVICE, device, encoded))
        if self.get(device) != secret:
            raise KeyringError(f"{self.name} did not keep what it was given")

    def remove(self, device: DeviceId) -> None:
        """Forget the keys of a device.

        Raises:
            KeyringError: It is locked, refuses, or does not answer.
        """
        self._ask(lambda: self._backend.delete_password(SERVICE, device))

    def _ask(self, question: Callable[[], Any]) -> Any:
        answers: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                answers.put((question(), None))
            except Exception as error:  # noqa: BLE001 - each desktop's library has errors of its own
                answers.put((None, error))

        # Not of an executor, whose threads Python waits for at its end: this one may wait for a person for ever.
        threading.Thread(target=run, name="keyring", daemon=True).start()
        try:
            answer, error = answers.get(timeout=ANSWER_WITHIN)
        except queue.Empty:
            raise KeyringError(f"{self.name} did not answer within {ANSWER_WITHIN:g} seconds") from None
        if error is not None:
            # Only its kind: the words of a library might quote what it was given.
            raise KeyringError(f"{self.name} is locked or refused ({type(error).__name__})") from None
        return answer


def open_keyring() -> SystemKeyring:
    """The keyring of the desktop that this process runs in, or the one that the library's own settings name.

    Raises:
        KeyringError: There is none, or the library is not installed.
    """
    try:
        import keyring  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        raise KeyringError("the extra 'keyring' is not installed") from None
    with contextlib.suppress(Exception):  # A backend that the user named and that cannot be loaded.
        for backend in _candidates(keyring.get_keyring()):
            if _is_real(backend):
                return SystemKeyring(backend)
    raise KeyringError("no keyring of a desktop is to be reached from here")


def _candidates(chosen: KeyringBackend) -> Iterator[KeyringBackend]:
    yield chosen
    # Several are there, best first. Those of other packages are used only if the user named one.
    for backend in getattr(chosen, "backends", ()):
        if type(backend).__module__.startswith(_OWN):
            yield backend


def _is_real(backend: KeyringBackend) -> bool:
    module = type(backend).__module__
    return module not in _NO_KEYRINGS and not module.startswith(_UNPROTECTED) and backend.priority >= _RECOMMENDED
