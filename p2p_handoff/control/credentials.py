# SPDX-License-Identifier: Apache-2.0
"""Who is on the other end of a Unix socket, as the kernel tells. Layer: I/O ring.

Specification: docs/specs/control.md §4 (Linux: unix(7) SO_PEERCRED; macOS: unix(4) LOCAL_PEERCRED).
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import Final

from p2p_handoff.errors import TrustError

ROOT: Final = 0
_UCRED: Final = "=iII"
"""struct ucred of Linux: pid, uid, gid."""
_SOL_LOCAL: Final = 0
_LOCAL_PEERCRED: Final = 1
_XUCRED: Final = "=II"
"""Beginning of struct xucred of macOS: version, uid; the whole has 76 bytes."""
_XUCRED_SIZE: Final = 76


def peer_uid(connection: socket.socket) -> int:
    """The user id of the process that opened the other end.

    Raises:
        TrustError: The kernel does not tell.
    """
    try:
        if sys.platform == "darwin":
            return _uid_of_xucred(connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_SIZE))
        return _uid_of_ucred(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize(_UCRED)))
    except (OSError, struct.error) as error:
        raise TrustError(f"the system does not tell who is on the local socket: {error}") from None


def check_peer(connection: socket.socket) -> None:
    """Let only this user and root through.

    Raises:
        TrustError: It is somebody else, or the kernel does not tell.
    """
    uid = peer_uid(connection)
    if uid not in (os.geteuid(), ROOT):
        raise TrustError(f"the local socket's other end belongs to user {uid}, not to this user")


def _uid_of_ucred(raw: bytes) -> int:
    return int(struct.unpack(_UCRED, raw)[1])


def _uid_of_xucred(raw: bytes) -> int:
    return int(struct.unpack_from(_XUCRED, raw)[1])
