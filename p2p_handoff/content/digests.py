# SPDX-License-Identifier: Apache-2.0
"""BLAKE3 digests: the names of content. Layer: content, pure. Specification: docs/specs/content.md §1."""

from __future__ import annotations

from typing import Final, NewType

from blake3 import blake3

from p2p_handoff.errors import IntegrityError

Digest = NewType("Digest", bytes)
"""32 bytes of BLAKE3."""

DIGEST_BYTES: Final = 32


def digest(data: bytes | bytearray | memoryview) -> Digest:
    """The digest of some bytes."""
    return Digest(blake3(data).digest())


def verify(name: Digest, data: bytes | bytearray | memoryview) -> None:
    """Check that data is what its name says.

    Raises:
        IntegrityError: It is not.
    """
    if digest(data) != name:
        raise IntegrityError(f"content does not match its digest {name.hex()[:16]}")
