# SPDX-License-Identifier: Apache-2.0
"""How secrets in an offer or a report are told to people. Layer: cli. Specification: docs/cli.md §7."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_MOST: Final = 20
"""Lines that somebody reads; ``--json`` has all."""


def lines(secrets: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One line for each, what is withheld first: where it lies and which kind it is, never which one.

    Args:
        secrets: With the keys of reports.
    """
    ordered = sorted(secrets, key=lambda item: not item["withheld"])
    for item in ordered[:_MOST]:
        place = f"{item['name']}/{item['path']}" if item["path"] else item["name"]
        if item["withheld"]:
            yield f"withheld, it is on {item['held_by']}: {place} ({item['kind']})"
        else:
            yield f"goes along, and looks like a secret: {place} ({item['kind']})"
    if len(ordered) > _MOST:
        yield f"and {len(ordered) - _MOST} more of these"
