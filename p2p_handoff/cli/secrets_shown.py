# SPDX-License-Identifier: Apache-2.0
"""How secrets in an offer or a report are told to people. Layer: cli. Specification: docs/cli.md §7."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_MOST: Final = 20
"""Lines that somebody reads; ``--json`` has all."""


def lines(secrets: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One line for each place, what is withheld first: where it lies and which kinds it is, never which ones.

    Args:
        secrets: With the keys of reports.
    """
    kinds: dict[tuple[str, str], list[str]] = {}
    for item in sorted(secrets, key=lambda item: not item["withheld"]):
        place = f"{item['name']}/{item['path']}" if item["path"] else item["name"]
        kinds.setdefault((_fate(item), place), []).append(item["kind"])
    for (fate, place), found in tuple(kinds.items())[:_MOST]:
        yield f"{fate}: {place} ({', '.join(dict.fromkeys(found))})"
    if len(kinds) > _MOST:
        yield f"and {len(kinds) - _MOST} more of these"


def _fate(item: Mapping[str, Any]) -> str:
    if item["withheld"]:
        return f"withheld, it is on {item['held_by']}"
    return "goes along, and looks like a secret"
