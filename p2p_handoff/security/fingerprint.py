# SPDX-License-Identifier: Apache-2.0
"""The DTLS fingerprint that an SDP announces. Layer: security, pure.

Specification: docs/specs/sealing.md §5 (RFC 8122).
"""

from __future__ import annotations

import re
from typing import Final

from p2p_handoff.errors import SealError

_ATTRIBUTE: Final = "a=fingerprint:"
_VALUE: Final = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31}")


def sdp_fingerprint(sdp: str) -> bytes:
    """The one SHA-256 certificate fingerprint of a session description.

    The same value may stand at several places (session and media level); fingerprints by other hash
    functions are left alone, because the engine's observed certificate is compared by SHA-256.

    Args:
        sdp: A session description (RFC 8866).

    Returns:
        32 bytes.

    Raises:
        SealError: There is no SHA-256 fingerprint, a malformed one, or two different ones.
    """
    found = {value for function, value in map(_parse, _attributes(sdp)) if function == "sha-256"}
    if len(found) != 1:
        raise SealError(f"a session description has {len(found) or 'no'} SHA-256 fingerprints where one belongs")
    (value,) = found
    if not _VALUE.fullmatch(value):
        raise SealError("a session description's SHA-256 fingerprint is malformed")
    return bytes.fromhex(value.replace(":", ""))


def _attributes(sdp: str) -> list[str]:
    lines = re.split(r"\r\n|\r|\n", sdp)
    return [line.removeprefix(_ATTRIBUTE) for line in lines if line.startswith(_ATTRIBUTE)]


def _parse(attribute: str) -> tuple[str, str]:
    function, _, value = attribute.strip().partition(" ")
    return function.lower(), value.strip().upper()
