# SPDX-License-Identifier: Apache-2.0
"""Link codes as words that people can say aloud. Layer: security, pure. Specification: docs/specs/link.md §2.

The words are the English list of BIP-39: 2,048 words, told apart by their first four letters. It is read once,
when this module is imported, from the package itself.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final

from p2p_handoff.errors import LinkCodeError
from p2p_handoff.ids import DeviceId, Entropy

MAX_NAMEPLATE: Final = 9999
"""Nameplates are said aloud too: four digits, one room each."""
WORD_BITS: Final = 11
UNIQUE_PREFIX: Final = 4
"""So many letters tell any two words apart (BIP-39, word list rules)."""
KEY_WORDS: Final = 4
"""44 bits, as in the verification of a link."""
CODE_WORDS: Final = 2
"""22 secret bits with one guess: one chance in 4,194,304."""

WORDS: Final[tuple[str, ...]] = tuple(
    files("p2p_handoff.security").joinpath("bip39_english.txt").read_text("ascii").split()
)
_BY_PREFIX: Final = {word[:UNIQUE_PREFIX]: word for word in WORDS}
_SEPARATORS: Final = re.compile(r"[\s,._-]+")
_NAMEPLATE: Final = re.compile(r"[0-9]{1,4}")
_MAX_TEXT: Final = 200
URI_SCHEME: Final = "handoff:"
"""What a QR code says before the code, so that a program may open it."""
_EXAMPLE: Final = "a code looks like 7-velvet-sausage"


@dataclass(frozen=True, slots=True)
class LinkCode:
    """What one person reads out and the other types.

    Args:
        nameplate: Public number of the room, 1 to 9999.
        words: The secret.

    Raises:
        LinkCodeError: The nameplate is out of range or a word is not in the list.
    """

    nameplate: int
    words: tuple[str, str] = field(repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.nameplate <= MAX_NAMEPLATE:
            raise LinkCodeError(f"the code's number must be from 1 to {MAX_NAMEPLATE}")
        for word in self.words:
            if _BY_PREFIX.get(word[:UNIQUE_PREFIX]) != word:
                raise LinkCodeError(f"{word[:40]!r} is not a word of link codes")

    @classmethod
    def generate(cls, nameplate: int, entropy: Entropy) -> LinkCode:
        """A fresh code for a room.

        Args:
            nameplate: The number that the room has, 1 to 9999.
            entropy: Source of random bytes.
        """
        first, second = words_of(entropy(3), CODE_WORDS)
        return cls(nameplate, (first, second))

    @classmethod
    def parse(cls, text: str) -> LinkCode:
        """The code that a person typed, or a camera read: any case, any separators, words cut off after four letters.

        Raises:
            LinkCodeError: It is not a code; the sentence says which word is wrong.
        """
        normal = unicodedata.normalize("NFKC", text[:_MAX_TEXT]).casefold().strip().removeprefix(URI_SCHEME)
        pieces = [piece for piece in _SEPARATORS.split(normal) if piece]
        if len(pieces) != 1 + CODE_WORDS or len(text) > _MAX_TEXT:
            raise LinkCodeError(f"a link code is a number and {CODE_WORDS} words", advice=_EXAMPLE)
        number, first, second = pieces
        if not _NAMEPLATE.fullmatch(number):
            raise LinkCodeError(f"a link code begins with a number, not with {number[:40]!r}", advice=_EXAMPLE)
        return cls(int(number), (_complete(first), _complete(second)))

    @property
    def text(self) -> str:
        """The code as it is shown: ``7-velvet-sausage``."""
        return "-".join((str(self.nameplate), *self.words))

    @property
    def secret(self) -> bytes:
        """The part that never leaves the two devices."""
        return "-".join(self.words).encode("ascii")


def words_of(raw: bytes, count: int) -> tuple[str, ...]:
    """The first ``count`` words that random bytes stand for, 11 bits each."""
    bits = int.from_bytes(raw, "big") >> (8 * len(raw) - WORD_BITS * count)
    shifts = range(WORD_BITS * (count - 1), -1, -WORD_BITS)
    return tuple(WORDS[(bits >> shift) & (len(WORDS) - 1)] for shift in shifts)


def key_words(device: DeviceId) -> str:
    """Words by which people compare a device's identity key: the first 44 bits of its id, which is the key's digest."""
    raw = base64.b32decode(device.upper())
    return " ".join(words_of(raw[:6], KEY_WORDS))


def _complete(typed: str) -> str:
    word = _BY_PREFIX.get(typed[:UNIQUE_PREFIX])
    if word is None or not word.startswith(typed):
        raise LinkCodeError(f"{typed[:40]!r} is not a word of link codes", advice="check the spelling")
    return word
