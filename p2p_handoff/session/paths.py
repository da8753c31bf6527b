# SPDX-License-Identifier: Apache-2.0
"""The only place where a peer's name becomes a safe one: on disk and on a terminal. Layer: session, pure.

Specification: docs/specs/content.md §4. Names travel as the bytes that the source's file system has. A name in
a tree is taken exactly or refused, never altered: an altered name would no longer be the tree that was
granted. Names that only propose a destination or are shown to people are altered freely.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from p2p_handoff.errors import PathError
from p2p_handoff.limits import MAX_NAME_BYTES

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
"""Unicode categories of what moves a cursor, reorders text or shows nothing."""
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters, marks and symbols that show nothing either."""
_IGNORED: Final = re.compile("[\u00ad\u034f\u200b-\u200f\u202a-\u202e\u2060-\u2064\u206a-\u206f\ufe00-\ufe0f\ufeff]")
"""Characters that HFS+ and ext4's casefold skip when they compare names (Default_Ignorable_Code_Point)."""
_FORBIDDEN: Final = re.compile(r'[/\\:<>"|?*\x00]')
_RESERVED: Final = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(?:\..*)?", re.IGNORECASE
)
_LEADING: Final = re.compile(r"^[\s.~-]+")
_TRAILING: Final = re.compile(r"[\s.]+$")
_VISIBLE_CLASSES: Final = frozenset("LNPS")
"""First letters of the Unicode categories of letters, numbers, punctuation and symbols."""
_LAST_RESORT: Final = "unnamed"
_MAX_PROPOSAL: Final = 4096
"""Characters of a proposed name that are looked at: names and titles are far shorter."""
_MAX_SUFFIX_BYTES: Final = 32
_MAX_DEVICE_BYTES: Final = 40


def safe_component(name: bytes) -> str:
    """One name of a peer's tree as this device's functions take it.

    Args:
        name: One path component as the source's file system has it.

    Returns:
        The same name decoded like ``os.fsdecode``; ``os.fsencode`` gives the bytes back.

    Raises:
        PathError: Empty, ``.``, ``..``, longer than MAX_NAME_BYTES, or with a separator or NUL in it.
    """
    if name in {b"", b".", b".."}:
        raise PathError(f"{name!r} is not a name for a file")
    if b"\0" in name or any(separator in name for separator in _separators()):
        raise PathError(f"the name {_shown(name)} contains a separator or NUL")
    if len(name) > MAX_NAME_BYTES:
        raise PathError(f"the name {_shown(name)} has {len(name)} bytes where at most {MAX_NAME_BYTES} are allowed")
    return os.fsdecode(name)


def check_siblings(names: Iterable[bytes], *, case_insensitive: bool, normalise_unicode: bool) -> None:
    """Refuse names in one directory that this file system would take for the same one.

    Args:
        names: All names of one directory.
        case_insensitive: The file system ignores case.
        normalise_unicode: The file system ignores differences of Unicode normalisation.

    Raises:
        PathError: Two names collide; the sentence has both.
    """
    taken: dict[str, bytes] = {}
    for name in names:
        key = _comparison_key(os.fsdecode(name), fold=case_insensitive, normalise=normalise_unicode)
        other = taken.setdefault(key, name)
        if other != name:
            raise PathError(f"{_shown(other)} and {_shown(name)} are the same name on this device")


def safe_name(text: str, fallback: str) -> str:
    """A file name for a default destination, out of whatever a peer calls a part.

    Args:
        text: A part's name or a title.
        fallback: Used when nothing usable is left of it.

    Returns:
        One visible component of at most MAX_NAME_BYTES UTF-8 bytes that every supported system can create: no
        separators, control or direction characters, leading dots or dashes, reserved names. Never empty.
    """
    return _cleaned(text) or _cleaned(fallback) or _LAST_RESORT


def printable(text: str, limit: int) -> str:
    """A peer's string for a terminal: whatever could move the cursor, reorder or hide text is shown as an escape.

    Args:
        text: Anything.
        limit: Most characters of the result; a longer one ends in an ellipsis.
    """
    # An escape never shortens, so the first `limit` characters (and one, to see that there are more) suffice.
    shown = "".join(_visible(character) for character in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: max(limit - 1, 0)] + "…"[:limit]


def conflict_name(name: str, device_name: str, stamp: str, attempt: int) -> str:
    """The name of a copy that is kept because two devices changed the same thing.

    Args:
        name: The file's own name, from ``safe_component``.
        device_name: Display name of the device whose version this is.
        stamp: Local time, like ``20261121-101500``.
        attempt: 1 at first; counted up while the name is taken.

    Returns:
        ``notes.conflict-desktop-20261121-101500.md``, from the second attempt on ``…-101500-2.md``: the suffix
        stays, the whole is at most MAX_NAME_BYTES bytes.
    """
    stem, suffix = _stem_and_suffix(name)
    device = _shortened(re.sub(r"\s+", "-", safe_name(device_name, "device")), _MAX_DEVICE_BYTES)
    number = f"-{attempt}" if attempt > 1 else ""
    tail = f".conflict-{device}-{stamp}{number}{suffix}"
    return _shortened(stem, MAX_NAME_BYTES - len(os.fsencode(tail))) + tail


def conflict_prefix(name: str) -> str:
    """What the names of all conflict copies of a file begin with (but for names that had to be shortened)."""
    return f"{_stem_and_suffix(name)[0]}.conflict-"


def _stem_and_suffix(name: str) -> tuple[str, str]:
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a name, not a path: Path() would normalise it
    return (name, "") if len(os.fsencode(suffix)) > _MAX_SUFFIX_BYTES else (stem, suffix)


def _separators() -> tuple[bytes, ...]:
    return (b"/",) if os.sep == "/" else (b"/", b"\\", b":")


def _shown(name: bytes) -> str:
    return f"“{printable(os.fsdecode(name), 60)}”"


def _comparison_key(text: str, *, fold: bool, normalise: bool) -> str:
    # Canonical caseless matching (Unicode 3.13, D145); folding what is in NFD leaves it in NFD.
    if normalise:
        text = unicodedata.normalize("NFD", _IGNORED.sub("", text))
    return text.casefold() if fold else text


def _cleaned(text: str) -> str:
    text = "".join(character for character in text[:_MAX_PROPOSAL] if not _is_hidden(character))
    # Again after what stood between two characters is gone: a mark then belongs to the letter before it.
    text = unicodedata.normalize("NFC", _FORBIDDEN.sub("", unicodedata.normalize("NFC", text)))
    text = _LEADING.sub("", text)
    text = _TRAILING.sub("", _shortened(text, MAX_NAME_BYTES - len("_")))
    if not any(unicodedata.category(character)[0] in _VISIBLE_CLASSES for character in text):
        return ""
    return f"_{text}" if _RESERVED.fullmatch(text) else text


def _shortened(text: str, limit: int) -> str:
    """The longest beginning that has at most so many bytes on disk."""
    encoded = os.fsencode(text)
    if len(encoded) <= limit:
        return text
    # Where the limit falls inside a character, what is left of it would decode to lone surrogates.
    kept = os.fsdecode(encoded[: max(limit, 0)])
    while kept and not text.startswith(kept):
        kept = kept[:-1]
    return kept


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE or character in _BLANK


def _visible(character: str) -> str:
    if not _is_hidden(character):
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
