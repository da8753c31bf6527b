# SPDX-License-Identifier: Apache-2.0
"""Two devices with a conversation each and a transfer between them, without a network."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from p2p_handoff.adapters.base import Placement, Snapshot, Staging
from p2p_handoff.adapters.conversation import ConversationAdapter, ConversationPart
from p2p_handoff.content.digests import Digest


def transfer(snapshot: Snapshot, staging: Staging) -> int:
    """Carry over everything that the staging wants; returns the bytes that took."""
    sent = 0
    wants = list(staging.begin(snapshot.root, snapshot.root_size))
    while wants:
        want = wants.pop()
        data = snapshot.read(want.digest)
        assert len(data) <= want.size
        sent += len(data)
        wants += staging.put(want.digest, data)
    assert staging.complete
    return sent


@dataclass
class Device:
    """A device with one conversation."""

    home: Path
    adapter: ConversationAdapter = field(default_factory=lambda: ConversationAdapter(os.urandom, "desk"))
    sent: int = 0

    def __post_init__(self) -> None:
        self.home.mkdir()
        self.file = self.home / "chat.jsonl"
        self.state = self.home / "state"
        self._part: ConversationPart | None = None

    @property
    def part(self) -> ConversationPart:
        if self._part is None:
            part = self.adapter.open(self.file, self.state)
            assert isinstance(part, ConversationPart)
            self._part = part
        return self._part

    def restart(self) -> None:
        self._part = None

    def staging_for(self, source: Device, name: str = "t1") -> tuple[Staging, Digest]:
        """A sealed staging of the source's present conversation."""
        snapshot = source.part.freeze()
        staging = self.part.stage(name) if self.file.exists() else self.adapter.stage_new(self.file, self.state, name)
        self.sent = transfer(snapshot, staging)
        staging.seal()
        return staging, snapshot.root

    def take(self, source: Device, name: str = "t1") -> Placement:
        """A whole handoff from the source."""
        staging, root = self.staging_for(source, name)
        placement = staging.commit()
        source.part.release(root)
        return placement

    def write(self, data: bytes) -> None:
        self.file.write_bytes(data)

    def append(self, data: bytes) -> None:
        with self.file.open("ab") as opened:
            opened.write(data)

    def read(self) -> bytes:
        return self.file.read_bytes()

    def leftovers(self) -> list[str]:
        """Names beside the conversation that ought not be there."""
        return sorted(path.name for path in self.home.iterdir() if path.name not in {"chat.jsonl", "state"})
