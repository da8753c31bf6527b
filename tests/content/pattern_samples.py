# SPDX-License-Identifier: Apache-2.0
"""Makes text that a regular expression matches, with characters drawn at random where it leaves a choice."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from random import Random
from re import _constants as codes  # type: ignore[attr-defined] # the parser's own names for what it finds
from re import _parser as parser  # type: ignore[attr-defined] # as above
from string import ascii_letters, digits
from typing import Any

_ANY = ascii_letters + digits
_CATEGORIES = {codes.CATEGORY_WORD: _ANY + "_", codes.CATEGORY_DIGIT: digits, codes.CATEGORY_SPACE: " "}
_LONGER = 12
"""What an open repetition adds at most."""


def sample(pattern: str, dice: Random) -> str:
    """A text that a pattern in RE2's syntax matches."""
    for ours, theirs in (("[[:alnum:]]", "[a-zA-Z0-9]"), ("[:alnum:]", "a-zA-Z0-9"), (r"\z", r"\Z")):
        pattern = pattern.replace(ours, theirs)
    pattern = re.sub(r"\(\?i?m?\)", "", pattern)  # What matches as it is written matches in any case.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _sequence(parser.parse(pattern), dice)


def _sequence(nodes: Any, dice: Random) -> str:
    return "".join(_MAKERS[code](value, dice) for code, value in nodes)


def _chosen(items: Any, dice: Random) -> str:
    if items[0][0] is codes.NEGATE:
        forbidden = {char for item in items[1:] for char in _of(item)}
        return dice.choice([char for char in _ANY if char not in forbidden] or " ")
    every = "".join(_of(item) for item in items)
    # Letters and digits make a secret; punctuation that a class allows as well is often what ends it.
    return dice.choice([char for char in every if char in _ANY] or every)


def _of(item: Any) -> str:
    code, value = item
    if code is codes.RANGE:
        return "".join(map(chr, range(value[0], value[1] + 1)))
    return chr(value) if code is codes.LITERAL else _CATEGORIES.get(value, _ANY)


def _repeated(value: Any, dice: Random) -> str:
    least, most, nodes = value
    most = min(int(most), max(int(least), 1) + _LONGER) if int(most) > int(least) else int(least)
    return "".join(_sequence(nodes, dice) for _ in range(dice.randint(int(least), most)))


_MAKERS: dict[Any, Callable[[Any, Random], str]] = {
    codes.LITERAL: lambda value, _: chr(value),
    codes.NOT_LITERAL: lambda value, dice: dice.choice(_ANY.replace(chr(value), "")),
    codes.ANY: lambda _, dice: dice.choice(_ANY),
    codes.IN: _chosen,
    codes.BRANCH: lambda value, dice: _sequence(dice.choice(value[1]), dice),
    codes.SUBPATTERN: lambda value, dice: _sequence(value[-1], dice),
    codes.MAX_REPEAT: _repeated,
    codes.MIN_REPEAT: _repeated,
    codes.AT: lambda _value, _dice: "",
}
