# SPDX-License-Identifier: Apache-2.0
"""What a value of the settings must be; one function per sort of value. Layer: I/O ring, pure but for ``~``.

Each returns the value as the program uses it, or raises ValueError or TypeError with what is wrong in words.
Specification: docs/configuration.md.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from p2p_handoff.limits import MAX_TITLE
from p2p_handoff.session.manifest import PartType
from p2p_handoff.session.policy import Verdict

MAX_GENERATIONS: Final = 1000
"""More than anybody looks through; each costs what changed."""

Check = Callable[[Any], Any]


def text(value: Any) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text")
    return value


def display_name(value: Any) -> str:
    """A text that every other device takes for a name."""
    if len(text(value)) > MAX_TITLE:
        raise ValueError(f"must be a text of at most {MAX_TITLE} characters")
    return str(value)


def boolean(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise TypeError("must be true or false")
    return value


def texts(value: Any) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list):
        raise TypeError("must be a list of texts")
    return tuple(text(item) for item in value)


def one_of(*choices: str) -> Callable[[Any], str]:
    """One of some words."""

    def check(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"must be {listed(choices)}{did_you_mean(value, choices)}")
        return str(value)

    return check


def urls(*schemes: str) -> Check:
    """A list of URLs with one of some schemes."""

    def check(value: Any) -> tuple[str, ...]:
        for item in texts(value):
            if item.partition(":")[0] not in schemes or not item.partition(":")[2]:
                raise ValueError(f"{item!r} must begin with {listed([f'{scheme}:' for scheme in schemes])}")
        return tuple(value)

    return check


def path(value: Any) -> Path:
    """A path from the root or from the user's home."""
    place = Path(text(value)).expanduser()
    if not place.is_absolute():
        raise ValueError("must be an absolute path or begin with ~")
    return place


def port(value: Any) -> int:
    """A TCP port, or 0 for any."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 65535:
        raise ValueError("must be a port number")
    return value


def seconds(value: Any) -> float:
    """A short time."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 60:
        raise ValueError("must be seconds, above 0 and at most 60")
    return float(value)


def count(value: Any) -> int:
    """How many generations."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_GENERATIONS:
        raise ValueError(f"must be a number between 0 and {MAX_GENERATIONS}")
    return value


def verdict(value: Any) -> Verdict:
    """Ask, accept or refuse."""
    return Verdict(one_of(*(item.value for item in Verdict))(value))


def verdict_for_all(value: Any) -> Verdict:
    """As ``verdict``, but nothing is given away to devices that will be linked one day."""
    if value == Verdict.ACCEPT.value:
        raise ValueError('can be "accept" for a device of its own table only, not for everybody else\'s')
    return verdict(value)


def part_types(value: Any) -> frozenset[PartType]:
    """A list of part types; it may be empty."""
    names = [item.value for item in PartType]
    for item in texts(value):
        if item not in names:
            raise ValueError(f"{item!r} is none of {listed(names)}{did_you_mean(item, names)}")
    return frozenset(PartType(item) for item in value)


def listed(words: Iterable[str]) -> str:
    """Words as a choice: ``a, b or c``."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def did_you_mean(word: Any, choices: Iterable[str]) -> str:
    """A guess to append to a sentence, or nothing."""
    near = difflib.get_close_matches(word.lower(), list(choices), n=1) if isinstance(word, str) else []
    return f" (did you mean {near[0]!r}?)" if near else ""
