# SPDX-License-Identifier: Apache-2.0
"""Keeps what is expensive to build, for all agents of a user. Layer: I/O ring. Specification: docs/specs/store.md §10.

One file per thing in the platform's place for caches, verified by its digest before it is used. Nothing depends on it:
a file that is missing, damaged, or could be another user's work is built anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from p2p_handoff.content.digests import DIGEST_BYTES, digest
from p2p_handoff.limits import MIB

log = logging.getLogger(__name__)

MAX_BUILT: Final = 64 * MIB
"""Bytes of a file that are read: the largest thing kept has two."""


def load(place: Path) -> bytes | None:
    """What was kept at a place; None where there is nothing that can be trusted."""
    try:
        opened = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with open(opened, "rb") as file:  # noqa: PTH123 - of a descriptor
        status = os.fstat(file.fileno())
        if not _is_ours(status) or status.st_size > MAX_BUILT:
            return None
        data = file.read(MAX_BUILT)
    checksum, body = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
    return body if digest(body) == checksum else None


def save(place: Path, data: bytes) -> None:
    """Keep something; a failure costs the time to build it again.

    Args:
        place: A file; whoever reads it meanwhile sees the old one or the new one.
        data: Its bytes.
    """
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, fresh = tempfile.mkstemp(dir=place.parent, prefix=place.name)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
                file.write(digest(data) + data)
            Path(fresh).replace(place)
        except OSError:
            with contextlib.suppress(OSError):
                Path(fresh).unlink()
            raise
    except OSError as error:
        log.info("%s is not kept: %s", place.name, error)


def _is_ours(status: os.stat_result) -> bool:
    writable_by_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.getuid() and not writable_by_others
