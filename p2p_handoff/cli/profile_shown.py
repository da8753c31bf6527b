# SPDX-License-Identifier: Apache-2.0
"""Where the time of a handoff went, for people: what ``--profile`` prints. Layer: cli.

Specification: docs/cli.md §7 (profile).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

_LIMITS: Final = {
    "disk": "this device's disk",
    "cpu": "this device's processor",
    "network": "the network",
    "peer": "the other device",
    "peer-or-network": "the other device or the network",
    "person": "a person's answer",
}
_THEIRS: Final = {"disk": " (its disk)", "cpu": " (its processor)"}
"""What the other device waited for most, where it is the bottleneck."""
_STAGES: Final = {
    "picture": "looking through the session",
    "place": "putting it in place",
    "seal": "verifying, syncing",
    "stage": "writing what arrives",
    "read": "reading what is wanted",
    "pack": "compressing",
    "send": "encrypting, sending",
    "queue": "the connection takes no more",
    "credit": "the other device takes no more",
    "arrival": "content has not arrived",
    "connect": "connecting",
    "person": "somebody is asked",
    "peer": "the other device's turn",
    "other": "everything else",
}
_LEAST: Final = 0.005
"""Share of the whole below which a stage is not listed."""


def lines(profile: Mapping[str, Any]) -> Iterator[str]:
    """One line that names the bottleneck, then the stages, longest first."""
    whole = sum(item["seconds"] for item in profile["stages"])
    if whole <= 0:
        yield "nothing was waited for"
        return
    theirs = _THEIRS.get(profile["peer_bottleneck"], "") if profile["bottleneck"] == "peer" else ""
    yield f"bottleneck: {_LIMITS.get(profile['bottleneck'], profile['bottleneck'])}{theirs}"
    for item in sorted(profile["stages"], key=lambda item: -float(item["seconds"])):
        share = item["seconds"] / whole
        if share >= _LEAST:
            what = _STAGES.get(item["stage"], item["stage"])
            yield f"{item['seconds']:9.3f} s {share:5.0%}  {what} ({_LIMITS.get(item['limit'], item['limit'])})"
