# SPDX-License-Identifier: Apache-2.0
"""A draft of a file in the user's editor. Layer: cli. Specification: docs/cli.md §8.

The draft lies beside the file, for this user alone, and stays until it was installed or nothing was changed in it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from p2p_handoff.errors import CancelledError, StorageError, UsageError

_EMPTY = "# What can be set: docs/configuration.md. 'handoff config show' lists all keys with their defaults.\n"
_USUAL = ("sensible-editor", "nano", "vi")


class Draft:
    """A copy to be edited; a draft that an earlier edit left is taken up again.

    Args:
        of: The file.
        text: What it says.
    """

    def __init__(self, of: Path, text: str) -> None:
        self.path = of.with_name(f"{of.name}.draft")
        self._of = of
        self._text = text

    def edit(self) -> str:
        """Open the editor and wait; returns what the draft says then.

        Raises:
            UsageError: There is no editor, or what it left is not text.
            CancelledError: It ended with an error.
            StorageError: The draft cannot be written.
        """
        command = _editor()
        self._begin()
        try:
            code = subprocess.run([*command, str(self.path)], check=False).returncode  # noqa: S603 - the user's choice
        except OSError as error:
            raise UsageError(f"{command[0]} cannot be started: {error.strerror}", advice="see $EDITOR") from None
        if code:
            raise CancelledError(f"{command[0]} ended with code {code}", advice=f"the draft is kept as {self.path}")
        try:
            return self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{self.path} cannot be read: {error}") from None

    def is_changed(self, text: str) -> bool:
        """Whether a text says something else than the file."""
        return text != (self._text or _EMPTY)

    def check_unchanged(self, text: str) -> None:
        """Make sure that nobody else changed the file meanwhile.

        Args:
            text: What it says now.

        Raises:
            CancelledError: Somebody did.
        """
        if text != self._text:
            raise CancelledError(f"{self._of} was changed meanwhile", advice=f"the draft is kept as {self.path}")

    def discard(self) -> None:
        """The draft is not needed any more."""
        self.path.unlink(missing_ok=True)

    def _begin(self) -> None:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return
        except OSError as error:
            raise StorageError(f"{self.path} cannot be written: {error.strerror}") from error
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self._text or _EMPTY)


def _editor() -> list[str]:
    chosen = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if chosen:
        return shlex.split(chosen)
    found = next((name for name in _USUAL if shutil.which(name)), None)
    if found is None:
        raise UsageError("there is no editor", advice="name one in $EDITOR")
    return [found]
