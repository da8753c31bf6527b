# SPDX-License-Identifier: Apache-2.0
"""Reads an encoded chain link by link, as far as it is whole. Layer: session.

Specification: docs/specs/ownership.md §6. Nothing is verified here. A long chain is never decoded as one value, which
would need several times its size in memory.
"""

from __future__ import annotations

from typing import Final

from p2p_handoff.errors import RemoteProtocolError, TrustError
from p2p_handoff.session.signed import SignedStatement, decode_signed, read
from p2p_handoff.session.statements import Genesis

_BYTES: Final = 2
_ARRAY: Final = 4
"""Major types of CBOR (RFC 8949 §3.1)."""
_SMALLEST: Final = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}
"""What is written in 1, 2, 4 and 8 bytes behind a head, at least."""


def genesis_of(data: bytes) -> Genesis:
    """How a stored chain begins; the rest is not looked at, nor is anything verified.

    Raises:
        TrustError: What is stored does not begin with a genesis.
    """
    try:
        _, _, at = _head(data, 0)
        return read(decode_signed(data[at : _end_of_link(data, at)]), Genesis)
    except (RemoteProtocolError, IndexError, ValueError) as error:
        raise TrustError("the stored ownership chain does not begin with a genesis") from error


def whole_links(data: bytes, *, most: int | None = None) -> tuple[list[SignedStatement], str]:
    """The links at the beginning that can be read, and why the next one cannot; empty when all can.

    Args:
        data: An encoded chain, or what became of one.
        most: Of a chain that says to have more none is read.
    """
    links: list[SignedStatement] = []
    try:
        major, count, at = _head(data, 0)
        if major != _ARRAY:
            return links, "this is no chain"
        if most is not None and count > most:
            return links, f"the chain has {count} links"
        for _ in range(count):
            end = _end_of_link(data, at)
            links.append(decode_signed(data[at:end]))
            at = end
    except (RemoteProtocolError, IndexError, ValueError) as error:
        what = error.what if isinstance(error, RemoteProtocolError) else "it is cut off or no statement"
        return links, f"it cannot be read: {what}"
    return links, "something that is no link follows the last one" if at != len(data) else ""


def _end_of_link(data: bytes, at: int) -> int:
    """Where the array of two byte strings ends that begins at an offset."""
    major, count, at = _head(data, at)
    if (major, count) != (_ARRAY, 2):
        raise ValueError
    for _ in range(2):
        major, length, at = _head(data, at)
        if major != _BYTES or at + length > len(data):
            raise ValueError
        at += length
    return at


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Major type, argument, and where what follows begins."""
    major, short = data[at] >> 5, data[at] & 0x1F
    if short < 24:
        return major, short, at + 1
    if short > 27:
        raise ValueError
    end = at + 1 + (1 << (short - 24))
    argument = int.from_bytes(data[at + 1 : end], "big")
    if argument < _SMALLEST[short] or end > len(data):
        raise ValueError  # There is one encoding: the shortest.
    return major, argument, end
