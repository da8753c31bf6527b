# SPDX-License-Identifier: Apache-2.0
"""Names that look alike, and how they are told apart. Layer: security, pure. Specification: docs/specs/link.md §8.

A peer chooses its own name. What matters is not whether two names are equal but whether a person can see that they
are not: their skeletons are compared (after Unicode Technical Standard 39), in which case, width, accents, invisible
characters, spaces, punctuation and letters of other scripts that are drawn like Latin ones make no difference.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

from p2p_handoff.ids import DeviceId

SUFFIX_CHARACTERS: Final = 8
"""Of the device id, 40 bits, as ``peers`` shows it: who wants another device's must make 2^40 keys."""

_ALIKE: Final = (
    ("a", "αаɑ"),
    ("b", "вβьƅ"),
    ("c", "сϲᴄⅽ"),
    ("d", "ԁⅾ"),
    ("e", "еєεҽ"),
    ("g", "ɡց"),
    ("h", "һнհ"),
    ("i", "іıιɩӏⅼ1|l!ǀ"),
    ("j", "јϳ"),
    ("k", "кκ"),
    ("m", "мⅿ"),
    ("n", "ոпη"),
    ("o", "оοσօ0ө"),
    ("p", "рρ"),
    ("q", "ԛզ"),
    ("r", "гᴦ"),
    ("s", "ѕꜱ5ʂ"),
    ("t", "тτ"),
    ("u", "υսц"),
    ("v", "νѵᴠ"),
    ("w", "ԝшѡω"),
    ("x", "хχ"),
    ("y", "уүγ"),
    ("z", "ᴢ"),
)
"""Drawn alike in common fonts: the Cyrillic, Greek, Armenian and phonetic letters, and the digits, of UTS 39."""
_LATIN: Final = {ord(other): latin for latin, others in _ALIKE for other in others}
_PAIRS: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"), ("ci", "d"))


def skeleton(name: str) -> str:
    """What remains of a name when everything is taken away that a person may overlook."""
    # Twice: a compatibility form may turn into a capital, and a lower-case letter may decompose again.
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    drawn = "".join(character for character in folded if character.isalnum() or ord(character) in _LATIN)
    plain = drawn.translate(_LATIN)
    for pair, letter in _PAIRS:
        plain = plain.replace(pair, letter)
    return plain


def cleaned(name: str) -> str:
    """A name without what nobody can see: invisible and direction characters, spaces in a row and at the ends."""
    return " ".join("".join(char if char.isprintable() else " " if char.isspace() else "" for char in name).split())


def looks_like(name: str, others: Iterable[str]) -> str | None:
    """The first of other names that a person may take this one for; None where there is none."""
    mine = skeleton(name)
    return next((other for other in others if skeleton(other) == mine), None)


def told_apart(name: str, device: DeviceId, others: Iterable[str]) -> str:
    """A name that resembles none of the others: with the beginning of the device's id where it would.

    Args:
        name: Printable; what the peer, or who introduced it, calls it.
        device: Whose name it is.
        others: Names that mean other devices already.
    """
    known = tuple(others)
    if skeleton(name) and looks_like(name, known) is None:
        return name
    return f"{name} ({device[:SUFFIX_CHARACTERS]})".strip()
