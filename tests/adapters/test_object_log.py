# SPDX-License-Identifier: Apache-2.0
"""The log of received objects."""

from __future__ import annotations

from pathlib import Path

from p2p_handoff.adapters.beneath import HeldDirectory, open_root
from p2p_handoff.adapters.object_log import ObjectLog
from p2p_handoff.content.digests import digest


def test_objects_survive_a_restart_and_a_torn_tail_does_not(tmp_path: Path) -> None:
    held = HeldDirectory(open_root(tmp_path))
    first, second = b"first object", b"second object"
    log = ObjectLog(held.descriptor)
    log.add(digest(first), first)
    log.add(digest(second), second)
    log.close()
    whole = (tmp_path / "objects").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "objects").write_bytes(whole[:length])
        again = ObjectLog(held.descriptor)
        assert (again.get(digest(first)) == first) is (length >= len(whole) - len(second) - 36)
        assert again.get(digest(second)) is None
        again.add(digest(second), second)
        again.close()
        reopened = ObjectLog(held.descriptor)
        assert reopened.get(digest(second)) == second
        reopened.close()
