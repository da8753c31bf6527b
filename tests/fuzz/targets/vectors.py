# SPDX-License-Identifier: Apache-2.0
"""Good inputs of the targets that read messages: the golden bytes of the specifications."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.protocol.example_messages import EXAMPLES

_VECTORS: Final = Path(__file__).parents[2] / "vectors"


@cache
def vector(name: str) -> Any:
    """The golden vectors of one specification."""
    return json.loads((_VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def messages() -> dict[str, bytes]:
    """Every message of HandoffV2, encoded."""
    golden = vector("handoff-v2")["messages"]
    return {name: bytes.fromhex(golden[name]) for name in EXAMPLES}


def relay_messages() -> list[bytes]:
    """Messages of the relay protocol."""
    return [bytes.fromhex(item["cbor"]) for item in vector("signaling")["messages"]]


def content(name: str) -> bytes:
    """An object of docs/specs/content.md."""
    return bytes.fromhex(vector("content")[name]["bytes"])


def strings(value: Any) -> list[bytes]:
    """Every hexadecimal string of some length in a file of vectors."""
    found: list[bytes] = []
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict | list):
            pending.extend(item.values() if isinstance(item, dict) else item)
        elif isinstance(item, str) and len(item) > 8:
            try:
                found.append(bytes.fromhex(item))
            except ValueError:
                continue
    return found
