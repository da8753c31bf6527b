# SPDX-License-Identifier: Apache-2.0
"""SPAKE2: a strong key from a short code. Layer: security, pure. Specification: docs/specs/link.md §4 (RFC 9382).

The only module that imports ``spake2``, whose messages are one side byte and one Ed25519 group element. The
library rejects zero, elements outside the group, a reflected message and one of the wrong side. It is not
constant-time: what an onlooker could time is a code that lives for one exchange.
"""

from __future__ import annotations

from typing import Final

from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError
from spake2.ed25519_basic import NotOnCurve

from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.ids import Entropy, RoomId
from p2p_handoff.security.link_terms import Role

PAKE_MESSAGE_BYTES: Final = 33

_LABEL: Final = b"p2p-handoff link v1"
_SIDES: Final = {Role.OPENER: SPAKE2_A, Role.JOINER: SPAKE2_B}
_IDS: Final = {"idA": b"p2p-handoff opener", "idB": b"p2p-handoff joiner"}


class Pake:
    """One side of one run; used once.

    Args:
        role: Which side.
        secret: ``LinkCode.secret``.
        room: The room that the run takes place in: the same words in another room are another password.
        entropy: Source of random bytes.
    """

    __slots__ = ("_run", "message")

    def __init__(self, role: Role, secret: bytes, room: RoomId, entropy: Entropy) -> None:
        password = b"\0".join((_LABEL, room.encode("ascii"), secret))
        self._run = _SIDES[role](password, entropy_f=entropy, **_IDS)
        self.message: bytes = self._run.start()

    def finish(self, message: bytes) -> bytes:
        """The key, 32 bytes; the other side has the same one only if it was given the same code.

        Raises:
            RemoteProtocolError: The message is not one of the other side's.
        """
        if len(message) != PAKE_MESSAGE_BYTES:
            raise RemoteProtocolError("a key exchange message of the wrong length")
        try:
            key: bytes = self._run.finish(message)
        except (SPAKEError, NotOnCurve, ValueError, AssertionError):
            raise RemoteProtocolError("a key exchange message that belongs to no run") from None
        return key
