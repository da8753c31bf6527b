# SPDX-License-Identifier: Apache-2.0
"""Agreeing on a protocol version. Layer: security, pure. Specification: docs/specs/link.md §3."""

from __future__ import annotations

from typing import Final

from p2p_handoff.errors import RemoteProtocolError, VersionError

Versions = tuple[int, ...]

MAX_VERSIONS: Final = 16
"""Versions that one device may claim to speak: old ones are dropped long before."""


def common_version(ours: Versions, theirs: Versions) -> int:
    """The highest version that both sides speak.

    Raises:
        VersionError: There is none; the sentence names both lists.
    """
    common = set(ours) & set(theirs)
    if not common:
        raise VersionError(
            f"this device speaks {_listed(ours)} and the other one {_listed(theirs)}",
            advice="update the older of the two",
        )
    return max(common)


def parse_versions(value: object) -> Versions:
    """A version list that came from outside.

    Raises:
        RemoteProtocolError: It is not a list of at most MAX_VERSIONS integers.
    """
    if not isinstance(value, list) or len(value) > MAX_VERSIONS or not all(type(item) is int for item in value):
        raise RemoteProtocolError(f"versions is not a list of at most {MAX_VERSIONS} numbers")
    return tuple(value)


def _listed(versions: Versions) -> str:
    return ", ".join(f"version {number}" for number in sorted(versions)) or "no version"
