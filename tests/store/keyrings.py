# SPDX-License-Identifier: Apache-2.0
"""Keyrings in memory, as the library would load them."""

from __future__ import annotations

from typing import ClassVar

from jaraco.classes import properties
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError
from typing_extensions import override


class MemoryKeyring(KeyringBackend):
    """A keyring of this process; ``locked`` as a desktop's is before somebody has logged in."""

    entries: ClassVar[dict[tuple[str, str], str]] = {}
    locked: ClassVar[bool] = False

    @override
    @properties.classproperty
    def priority(self) -> float:
        """As high as a desktop's own."""
        return 5

    @override
    def get_password(self, service: str, username: str) -> str | None:
        """An entry."""
        self._check()
        return self.entries.get((service, username))

    @override
    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep an entry."""
        self._check()
        self.entries[service, username] = password

    @override
    def delete_password(self, service: str, username: str) -> None:
        """Forget an entry."""
        self._check()
        if self.entries.pop((service, username), None) is None:
            raise PasswordDeleteError(username)

    def _check(self) -> None:
        if self.locked:
            raise KeyringLocked("the collection is locked")


class PlainKeyring(MemoryKeyring):
    """One that says of itself that it protects nothing."""

    @override
    @properties.classproperty
    def priority(self) -> float:
        """Below what the library recommends."""
        return 0.5
