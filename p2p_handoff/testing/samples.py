# SPDX-License-Identifier: Apache-2.0
"""Sample sessions for tests, benchmarks and demonstrations. Layer: testing, public.

The same arguments always give the same bytes.
"""

from __future__ import annotations

import json
import random
from typing import Final

_PHRASES: Final = (
    "the session folder keeps what nobody committed yet",
    "so move it and look again whether every test still passes on this branch",
    "because yesterday the parser dropped a line when its buffer was full",
    "and that must not happen",
)
_WORDS: Final = tuple(word for phrase in _PHRASES for word in phrase.split())
_TOOLS: Final = ("read", "edit", "search", "run")
_EXTRAS: Final = ("naïve café", "日本語のメモ", "🙂", 'tab\tand "quotes"', "path\\to\\file")
_START_MS: Final = 1_763_700_000_000


def conversation_lines(count: int, seed: int = 0) -> list[bytes]:
    """Messages of an assistant's conversation, one JSON object per line.

    Args:
        count: How many lines.
        seed: Another seed gives another conversation.

    Returns:
        Lines with terminator, about 340 bytes each on average: text in several scripts, tool calls, tool output.
    """
    source = random.Random(seed)
    lines, parent = [], None
    for number in range(count):
        identifier = f"{source.getrandbits(128):032x}"
        message = _message(source, number)
        entry = {"id": identifier, "parent": parent, "time": _START_MS + number * 4_000, **message}
        lines.append(json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
        parent = identifier
    return lines


def _message(source: random.Random, number: int) -> dict[str, object]:
    """One turn: mostly text, sometimes a tool call or its output."""
    if number % 5 == 3:
        call = {"tool": source.choice(_TOOLS), "input": {"path": f"src/{source.choice(_WORDS)}.py"}}
        return {"role": "assistant", "call": call}
    if number % 5 == 4:
        return {"role": "tool", "output": "\n".join(_prose(source, 12) for _ in range(source.randint(1, 10)))}
    return {"role": "assistant" if number % 5 else "user", "text": _prose(source, source.randint(5, 70))}


def _prose(source: random.Random, words: int) -> str:
    chosen = source.choices(_WORDS, k=words)
    if source.random() < 0.2:
        chosen.append(source.choice(_EXTRAS))
    return " ".join(chosen)
