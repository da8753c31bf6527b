# SPDX-License-Identifier: Apache-2.0
"""The STUN and TURN servers that the settings name, with the credential from a file of its own. Layer: agent.

Specification: docs/configuration.md (TURN). A password stands neither in the settings nor in a command's arguments.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from p2p_handoff.engines.base import IceServer
from p2p_handoff.errors import UsageError
from p2p_handoff.settings.config import Settings, credential_path
from p2p_handoff.store.home import check_private

_MOST: Final = 4096
"""Bytes of a credential file; a password is a line."""
_ADVICE: Final = "'handoff config credential' asks for it and writes it"


def ice_servers(settings: Settings, home: Path) -> list[IceServer]:
    """All servers that connections gather candidates at.

    Args:
        settings: Those that the agent starts with.
        home: Its data directory.

    Raises:
        UsageError: A TURN server has no user or no credential.
        TrustError: Others may read the credential.
    """
    stun = [IceServer(url) for url in settings.stun]
    turn = settings.turn
    if not turn.servers:
        return stun
    if not turn.user:
        raise UsageError("turn.servers need a user name", advice="handoff config set turn.user NAME")
    credential = _credential(credential_path(settings, home))
    return [*stun, *(IceServer(url, turn.user, credential) for url in turn.servers)]


def _credential(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UsageError(f"the credential for turn.servers is missing: {path}", advice=_ADVICE) from None
    except OSError as error:
        raise UsageError(f"the credential {path} cannot be read: {error.strerror}", advice=_ADVICE) from None
    try:
        check_private(path, os.fstat(descriptor), mode="600")
        text = os.read(descriptor, _MOST).decode("utf-8", "replace").strip()
    except OSError as error:
        raise UsageError(f"the credential {path} cannot be read: {error.strerror}", advice=_ADVICE) from None
    finally:
        os.close(descriptor)
    if not text:
        raise UsageError(f"the credential {path} is empty", advice=_ADVICE)
    return text
