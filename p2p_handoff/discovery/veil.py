# SPDX-License-Identifier: Apache-2.0
"""What a device shows that only linked devices shall recognise: a random label and tags. Layer: I/O ring, no I/O.

Nobody else learns which tag is for whom, which are padding, or that two labels are of one device.
Specification: docs/specs/discovery.md §6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.ids import LONG_ID_LENGTH, DeviceId, Entropy, new_label, parse_id
from p2p_handoff.security.recognition import TAG_BYTES, recognition_tag

TAG_STEP: Final = 8
"""The number of tags is a multiple of this: it tells little about how many devices are linked."""
MAX_TAGS: Final = 64
"""640 bytes: with addresses and names it still fits one packet (RFC 6762 §17)."""
TAGS_PER_STRING: Final = 24
"""With its key they fit a TXT string of 255 bytes (RFC 6763 §6.1)."""
TAG_KEYS: Final = ("t0", "t1", "t2")


@dataclass(frozen=True, slots=True)
class Acquaintances:
    """Who shall recognise this device, and be recognised by it.

    Args:
        me: This device.
        keys: ``recognition_key`` of each; those who must not be left out first.
    """

    me: DeviceId
    keys: Mapping[DeviceId, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Veil:
    """One appearance of a device."""

    label: str
    """Random; 26 characters of lower-case base32. The service instance and the host are called by it."""
    tags: tuple[bytes, ...]
    """In order of their bytes, which is a random one."""


def draw(known: Acquaintances, entropy: Entropy) -> Veil:
    """A fresh appearance. Beyond MAX_TAGS acquaintances the last ones get no tag."""
    label = new_label(entropy)
    listeners = list(known.keys.items())[:MAX_TAGS]
    tags = [recognition_tag(key, label, known.me, listener) for listener, key in listeners]
    padding = max(TAG_STEP, -(-len(tags) // TAG_STEP) * TAG_STEP) - len(tags)
    return Veil(label, tuple(sorted([*tags, *(entropy(TAG_BYTES) for _ in range(padding))])))


def recognise(veil: Veil, known: Acquaintances) -> DeviceId | None:
    """Whose appearance it is; None for a stranger's."""
    shown = frozenset(veil.tags)
    for speaker, key in known.keys.items():
        if recognition_tag(key, veil.label, speaker, known.me) in shown:
            return speaker
    return None


def tag_strings(veil: Veil) -> dict[str, bytes]:
    """The tags as TXT pairs."""
    groups = [veil.tags[start : start + TAGS_PER_STRING] for start in range(0, len(veil.tags), TAGS_PER_STRING)]
    return {key: b"".join(group) for key, group in zip(TAG_KEYS, groups, strict=False)}


def is_veiled(properties: Mapping[bytes, bytes | None]) -> bool:
    """Whether TXT pairs hold tags."""
    return TAG_KEYS[0].encode("ascii") in properties


def read_veil(label: str, properties: Mapping[bytes, bytes | None]) -> Veil:
    """Check what a device shows.

    Raises:
        RemoteProtocolError: The label is none, or the tags are malformed or too many.
    """
    raw = b"".join(properties.get(key.encode("ascii")) or b"" for key in TAG_KEYS)
    count, rest = divmod(len(raw), TAG_BYTES)
    if rest or not 0 < count <= MAX_TAGS or count % TAG_STEP:
        raise RemoteProtocolError(f"an announcement has {len(raw)} bytes of tags")
    tags = tuple(raw[start : start + TAG_BYTES] for start in range(0, len(raw), TAG_BYTES))
    return Veil(parse_id(label, LONG_ID_LENGTH), tags)
