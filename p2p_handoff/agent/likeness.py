# SPDX-License-Identifier: Apache-2.0
"""What this device has that resembles the objects it asks for, from the question to the answer. Layer: agent.

Specification: docs/specs/handoff-v2.md §4, docs/specs/content.md §6. Only where few objects are wanted: a bulk
transfer costs nothing more. A base stays in memory until its object is here, so that nothing can change it meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from p2p_handoff.adapters.base import Staging, Want
from p2p_handoff.content import compression, patches
from p2p_handoff.content.compression import Encoding
from p2p_handoff.content.digests import Digest, verify
from p2p_handoff.errors import IntegrityError
from p2p_handoff.limits import KIB, MIB
from p2p_handoff.protocol.records import ObjectRecord

FEW: Final = 128
"""Objects of a part up to which they are described: more are no small change."""
_LEAST: Final = KIB
"""Bytes of an object below which a patch saves nothing."""
_MAX_BASES: Final = 4 * MIB
"""Bytes of all bases together."""


class Likeness:
    """The bases for what one part lacks; one call at a time."""

    def __init__(self) -> None:
        self._bases: dict[Digest, patches.Base] = {}
        self._bytes = 0
        self._wanted = 0

    def begin(self) -> None:
        """Another part, or the same once more: what was known is forgotten."""
        self._bases.clear()
        self._bytes = self._wanted = 0

    def study(self, staging: Staging, wants: Sequence[Want]) -> None:
        """Look for what resembles objects that are about to be asked for. Blocks on the disk.

        Args:
            staging: Where they go.
            wants: The objects.

        Raises:
            HandoffError: As ``Staging.resembling``.
        """
        self._wanted += len(wants)
        names = [want.digest for want in wants if want.size >= _LEAST]
        if not names or self._wanted > FEW:
            return
        for name, data in staging.resembling(names):
            if self._bytes + len(data) > _MAX_BASES:
                return
            base = patches.sketched(data)
            if base is not None and name not in self._bases:
                self._bases[name] = base
                self._bytes += len(data)

    def described(self, names: Sequence[Digest]) -> tuple[tuple[Digest, ...], tuple[bytes, ...]]:
        """Objects in the order in which to ask for them, and the sketches of the first of them."""
        first = [name for name in names if name in self._bases]
        last = [name for name in names if name not in self._bases]
        return (*first, *last), tuple(self._bases[name].sketch for name in first)

    def forget(self, name: Digest) -> None:
        """An object does not come any more."""
        self._take(name)

    def unpack(self, record: ObjectRecord, size: int) -> bytes | None:
        """The bytes of an object that came; not known to be right where it was no patch.

        Args:
            record: The object as it came.
            size: Most bytes that it may have.

        Returns:
            None for a patch that does not make the object: to be asked for once more, and no patch is taken then.

        Raises:
            IntegrityError: It is broken, or a patch of what was not described.
        """
        base = self._take(record.digest)
        if base is None or record.encoding != Encoding.PATCH:
            return compression.unpack(record.encoding, record.payload, size)
        try:
            data = patches.apply(record.payload, base, size)
            verify(record.digest, data)
        except IntegrityError:
            return None
        return data

    def _take(self, name: Digest) -> patches.Base | None:
        base = self._bases.pop(name, None)
        self._bytes -= len(base.data) if base is not None else 0
        return base
