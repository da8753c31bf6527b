# SPDX-License-Identifier: Apache-2.0
"""What the fields of an object may be: names, targets, references, index rows. Layer: content, pure.

Specification: docs/specs/content.md §3-4. The same checks stand before writing and behind reading, so that no
device makes an object that another one refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from p2p_handoff.content.digests import DIGEST_BYTES, digest
from p2p_handoff.content.strict_cbor import INT_MAX
from p2p_handoff.errors import IntegrityError, PathError
from p2p_handoff.limits import CHUNK_MAX, INDEX_FANOUT, MAX_INDEX_LEVEL, MAX_NAME_BYTES, MAX_OBJECT, MAX_TARGET_BYTES

_DIGEST_OF_NOTHING: Final = digest(b"")


def check_names(names: Sequence[bytes]) -> None:
    """Check the names of one directory, in their order.

    Raises:
        PathError: A duplicate or impossible name.
        IntegrityError: Not sorted by their bytes.
    """
    for name in names:
        if name in {b"", b".", b".."} or b"/" in name or b"\0" in name or len(name) > MAX_NAME_BYTES:
            raise PathError(f"{name[:40]!r} is not a name for a file")
    for first, second in pairwise(names):
        if first == second:
            raise PathError(f"the name {first[:40]!r} appears twice in one directory")
        if first > second:
            raise IntegrityError("the entries of a directory are not sorted by name")


def check_target(target: bytes) -> None:
    """Check what a symbolic link points to, without judging where that is.

    Raises:
        PathError: Empty, too long, or with a NUL.
    """
    if not target or b"\0" in target or len(target) > MAX_TARGET_BYTES:
        raise PathError(f"{target[:40]!r} is not a target for a symbolic link")


def check_reference(ref: object, size: object, level: object, ref_size: object) -> None:
    """Check the four fields of a Content (content.objects).

    Raises:
        IntegrityError: They contradict each other or a bound.
    """
    if type(level) is not int or not 0 <= level <= MAX_INDEX_LEVEL:
        raise IntegrityError("a reference to a content has an impossible level")
    nothing = (_DIGEST_OF_NOTHING, 0, 0, 0)
    if (ref, size, level, ref_size) != nothing and not _is_child([ref, size, ref_size], level):
        raise IntegrityError("a reference to a content is malformed")


def check_directory_reference(ref: bytes, size: int) -> None:
    """Check a reference to a directory object.

    Raises:
        IntegrityError: Its digest or its size is impossible.
    """
    if len(ref) != DIGEST_BYTES or not 0 < size <= MAX_OBJECT:
        raise IntegrityError("a reference to a directory is malformed")


def check_index(level: int, rows: Sequence[Any]) -> None:
    """Check the level and the children of an index.

    Raises:
        IntegrityError: They contradict each other or a bound.
    """
    if type(level) is not int or not 1 <= level <= MAX_INDEX_LEVEL:
        raise IntegrityError("an index has an impossible level")
    if not 1 <= len(rows) <= INDEX_FANOUT:
        raise IntegrityError(f"an index has {len(rows)} children where 1 to {INDEX_FANOUT} are allowed")
    if not all(_is_child(row, level - 1) for row in rows):
        raise IntegrityError("a child in an index is malformed")


def _is_child(row: Any, level: int) -> bool:
    """True for the [digest, bytes of content, bytes of the object] of something that has this level."""
    if type(row) is not list or tuple(map(type, row)) != (bytes, int, int):
        return False
    ref, content_size, object_size = row
    if level == 0:
        sizes_fit = 0 < content_size == object_size <= CHUNK_MAX
    else:
        sizes_fit = 0 < content_size <= INT_MAX and 0 < object_size <= MAX_OBJECT
    return sizes_fit and len(ref) == DIGEST_BYTES
