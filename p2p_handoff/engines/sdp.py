# SPDX-License-Identifier: Apache-2.0
"""The few lines of a session description that every engine reads or rewrites. Layer: I/O ring, no I/O of its own.

A description here has one media section (the data channels), so lines are treated as a flat list.
Specification: docs/specs/transport.md §2 (RFC 8866, RFC 8122, RFC 8839, RFC 8841).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from p2p_handoff.errors import EngineError
from p2p_handoff.limits import KIB, MAX_ENVELOPE

_FINGERPRINT: Final = re.compile(r"^a=fingerprint:\s*(\S*)\s*(.*?)\s*$", re.IGNORECASE)
_SHA256: Final = "sha-256"
_SHA256_VALUE: Final = re.compile(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", re.IGNORECASE)
_FOREIGN: Final = re.compile(r"[^\x20-\x7e\r\n]|\r(?!\n)")
"""What ends a line for some readers of a description and not for others, and what no engine writes."""
_MAX_MESSAGE: Final = re.compile(r"^a=max-message-size:(\d{1,10})\s*$", re.MULTILINE)
_DEFAULT_MAX_MESSAGE: Final = 64 * KIB
"""What a peer takes that announces nothing (RFC 8841 §6)."""
_CANDIDATE_ADDRESS: Final = 4
"""Field of a candidate line that holds the address (RFC 8839 §5.1)."""


def check_description(sdp: str) -> None:
    """Refuse a description that no engine needs to parse.

    Raises:
        EngineError: It is not plain text of a plausible size with one application section and one SHA-256 fingerprint.
    """
    if len(sdp) > MAX_ENVELOPE:
        raise EngineError(f"a session description of {len(sdp)} characters is too long")
    if _FOREIGN.search(sdp):
        raise EngineError("a session description has characters that do not belong in one")
    media = [line for line in sdp.splitlines() if line.startswith("m=")]
    if len(media) != 1 or not media[0].startswith("m=application "):
        raise EngineError("a session description must have one section, for data channels")
    sha256_fingerprint(sdp)


def sha256_fingerprint(sdp: str) -> bytes:
    """The certificate fingerprint that a description announces, 32 bytes.

    Raises:
        EngineError: There is none, or more than one (RFC 8122 §5 allows several; a sealed offer has one).
    """
    every = map(_FINGERPRINT.match, sdp.splitlines())
    found = [match[2] for match in every if match and match[1].lower() == _SHA256]
    if len(found) != 1:
        raise EngineError(f"a session description must have one SHA-256 fingerprint, this one has {len(found)}")
    if not _SHA256_VALUE.fullmatch(found[0]):
        raise EngineError("the SHA-256 fingerprint of a session description is malformed")
    return bytes.fromhex(found[0].replace(":", ""))


def max_message_size(sdp: str) -> int:
    """Bytes per message that the author of a description accepts; 0 stands for no limit (RFC 8841 §6.1)."""
    found = _MAX_MESSAGE.search(sdp)
    return int(found.group(1)) if found else _DEFAULT_MAX_MESSAGE


def for_engine(sdp: str) -> str:
    """What an engine is given of a peer's description: one fingerprint, and candidates that are addresses.

    Raises:
        EngineError: As ``check_description``.
    """
    check_description(sdp)
    return keep_sha256_fingerprint(keep_literal_candidates(sdp))


def require_candidates(sdp: str) -> str:
    """The same description, if it says where its author can be reached.

    Raises:
        EngineError: It has no candidate: an answer to it could never arrive.
    """
    if "\na=candidate:" not in sdp:
        raise EngineError("this device has no usable network address", advice="wait until the network is up")
    return sdp


def keep_literal_candidates(sdp: str) -> str:
    """The same description without candidates that name a host: resolving a peer's names would tell on us."""
    return _text([line for line in sdp.splitlines() if not line.startswith("a=candidate:") or _address(line)])


def announce_max_message_size(sdp: str, size: int) -> str:
    """The same description with another ``max-message-size``, in bytes."""
    kept = [line for line in sdp.splitlines() if not line.startswith("a=max-message-size:")]
    return _text([*kept, f"a=max-message-size:{size}"])


def keep_sha256_fingerprint(sdp: str) -> str:
    """The same description without the fingerprints of other hash functions."""
    return _text([line for line in sdp.splitlines() if not _is_other_fingerprint(line)])


def hide_loopback(sdp: str) -> str:
    """The same description without loopback candidates, if there are others.

    A loopback candidate helps only a peer on this machine, and only where the machine has no other address.
    """
    lines = sdp.splitlines()
    others = [line for line in lines if not is_loopback_candidate(line)]
    has_other = any(line.startswith("a=candidate:") for line in others)
    return _text(others if has_other else lines)


def is_loopback_candidate(line: str) -> bool:
    """Whether a line announces a candidate on a loopback address."""
    if not line.startswith("a=candidate:"):
        return False
    address = _address(line)
    return address is not None and address.is_loopback


def _address(candidate: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    fields = candidate.split()
    try:
        return ipaddress.ip_address(fields[_CANDIDATE_ADDRESS])
    except (IndexError, ValueError):
        return None


def _is_other_fingerprint(line: str) -> bool:
    found = _FINGERPRINT.match(line)
    return found is not None and found[1].lower() != _SHA256


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)
