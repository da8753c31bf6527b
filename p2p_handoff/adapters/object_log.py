# SPDX-License-Identifier: Apache-2.0
"""Keeps received directory and index objects in one growing file. Layer: I/O ring, adapters.

Specification: docs/specs/adapters.md §7. Records are a length and the object; digests are computed when the log is
opened again, so a tail that a crash cut short is found and dropped.
"""

from __future__ import annotations

import os
import struct
import weakref
from typing import Final

from p2p_handoff.adapters import beneath
from p2p_handoff.adapters.platform_files import exists
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.limits import MAX_OBJECT

LOG_FILE: Final = b"objects"
_LENGTH: Final = struct.Struct("<I32s")


class ObjectLog:
    """Objects by digest, in memory and in a file.

    Args:
        staging: Descriptor of the staging directory.
    """

    def __init__(self, staging: int) -> None:
        there = exists(staging, LOG_FILE)
        opener = beneath.open_for_writing if there else beneath.create_file
        self._file = opener(staging, LOG_FILE)
        self.close = weakref.finalize(self, os.close, self._file)
        self._objects: dict[Digest, bytes] = {}
        self._end = self._replay() if there else 0

    def get(self, name: Digest) -> bytes | None:
        """An object, or None."""
        return self._objects.get(name)

    def add(self, name: Digest, data: bytes) -> None:
        """Keep an object that was checked against its name.

        Raises:
            OSError: It cannot be written.
        """
        if name not in self._objects:
            record = _LENGTH.pack(len(data), name) + data
            beneath.write_all(self._file, record, self._end)
            self._end += len(record)
            self._objects[name] = data

    def _replay(self) -> int:
        offset = 0
        while len(header := beneath.read_range(self._file, offset, _LENGTH.size)) == _LENGTH.size:
            length, name = _LENGTH.unpack(header)
            data = beneath.read_range(self._file, offset + _LENGTH.size, min(length, MAX_OBJECT))
            if len(data) != length or digest(data) != name:
                break
            self._objects[Digest(name)] = data
            offset += _LENGTH.size + length
        os.ftruncate(self._file, offset)
        return offset
