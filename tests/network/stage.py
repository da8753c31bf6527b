# SPDX-License-Identifier: Apache-2.0
"""Where a network scenario plays: two linked devices, whose weather changes, and what must hold in the end."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final

from p2p_handoff.adapters.folder import FolderAdapter, OpenFolder
from p2p_handoff.content.digests import Digest
from p2p_handoff.content.objects import EMPTY
from p2p_handoff.limits import CREDIT_WINDOW, MIB
from tests.network.lab import Host, Lab
from tests.network.peer import Answer, Command, Devices, Peer, link, until
from tests.network.trees import KIB, assert_same, mixed, random_file

PATIENCE: Final = 240.0
"""Seconds for a handoff through the worst weather; no scenario needs half of it on a quiet machine."""
SETTLED: Final = 120.0
"""Seconds until both devices know how it ended, once they meet again."""
TITLE: Final = "work"


class MomentMissedError(Exception):
    """The test cut too late to see what it wanted to see: nothing was learnt. It may try again, with more time."""


class End(Enum):
    """How a scenario ends, as it was written down before it was played."""

    DONE = "done"
    DONE_AFTER_HEAL = "done after the heal, by the same command"
    DONE_NEXT_TIME = "exit 4 and unchanged; done at the next try"
    IN_DOUBT_THEN_DONE = "exit 8, in doubt; done after the heal, by itself"
    UNREACHABLE = "exit 4 and unchanged"

    @property
    def exit_code(self) -> int:
        """Of the first ``handoff to``."""
        return _EXIT_CODES.get(self, 0)

    @property
    def primary(self) -> str:
        """Who is primary in the end."""
        return "laptop" if self is End.UNREACHABLE else "desktop"


_EXIT_CODES: Final = {End.DONE_NEXT_TIME: 4, End.IN_DOUBT_THEN_DONE: 8, End.UNREACHABLE: 4}


def pieces_of(folder: Path) -> set[Digest]:
    """The distinct objects of a folder, as the folder itself tells: each has to be staged exactly once."""
    with tempfile.TemporaryDirectory() as state:
        opened = FolderAdapter("counting").open(folder, Path(state))
        assert isinstance(opened, OpenFolder)
        found = opened.snapshot().scan
        pieces = set(found.objects())
        for record in found.records.values():
            pieces.update(name for name, _ in record.chunks)
            pieces.update(() if record.chunks else (record.content.ref,))
        return pieces - {EMPTY.ref}


class Stage:
    """Two devices, ``laptop`` and ``desktop``, and a session that the laptop hands to the desktop.

    Args:
        lab: Where their hosts are.
        devices: Makes them.
        engine: Of both.
        name: Of the scenario: decides the seed.
        seed: Added to it, to see other weather.
        reaction: Seconds that the test has to cut the cable at a certain moment.
    """

    def __init__(
        self, lab: Lab, devices: Devices, engine: str, name: str, seed: int = 0, reaction: float = 0.3
    ) -> None:
        self.lab = lab
        self.devices = devices
        self.engine = engine
        self.seed = zlib.crc32(name.encode()) + seed
        self.reaction = reaction
        self.laptop: Peer
        self.desktop: Peer
        self.folder: Path
        self.arrivals: Command
        self.translators: list[Host] = []
        """Home routers, the laptop's first."""
        self._pieces: set[Digest] = set()

    # --- building -----------------------------------------------------------------------------------

    def on_one_network(self, *options: str, kind: str = "own") -> None:
        """Both on one network; the laptop's cable is the bad one."""
        net = self.lab.bridge("net")
        laptop = self.lab.host("laptop", bridge=net, seed=self.seed)
        desktop = self.lab.host("desktop", bridge=net)
        self.people(self.device(laptop, *options), self.device(desktop, *options), kind)

    def device(self, host: Host, *options: str) -> Peer:
        """A device of this scenario's engine on a host."""
        return self.devices.on(host, "--engine", self.engine, *options)

    def people(
        self, laptop: Peer, desktop: Peer, kind: str = "own", *, start: bool = True, discovered: bool = True
    ) -> None:
        """These two are it: start and link them while all is well.

        Args:
            laptop: The source.
            desktop: The target.
            kind: Of the link.
            start: False where they run already.
            discovered: Whether multicast leads from one to the other.
        """
        self.laptop, self.desktop = laptop, desktop
        if start:
            self.devices.start(laptop, desktop)
        if discovered:
            desktop.sees(laptop)
        link(laptop, desktop, kind)

    def session(self, *, small: int = 20, large: int = 96 * KIB) -> None:
        """A folder to hand over, registered."""
        self.folder = mixed(self.laptop.user / TITLE, small=small, large=large)
        self._register()

    def big_file(self, size: int, megabits: int = 16) -> None:
        """One large file, and a cable slow enough to have a middle."""
        slow(self.laptop, megabits)
        self.folder = random_file(self.laptop.user / TITLE / "model.bin", size).parent
        self._register()

    def _register(self) -> None:
        self.laptop.ask("start", str(self.folder))
        self.arrivals = self.desktop.events()
        self.count()

    def count(self) -> None:
        """Also what the folder consists of now has to arrive."""
        self._pieces |= pieces_of(self.folder)

    # --- playing ------------------------------------------------------------------------------------

    def push(self) -> Command:
        """Begin to hand over."""
        return self.laptop.begin("to", "desktop", TITLE)

    def pushed(self) -> Answer:
        """Hand over, to its end."""
        return self.push().answer(PATIENCE)

    # --- judging ------------------------------------------------------------------------------------

    def judge(self, end: End, first: Answer) -> None:
        """What must hold whatever the network did: it ended as expected, with one primary and one equal tree."""
        assert first.exit_code == end.exit_code, f"exit code {first.exit_code}: {first.result}"
        if end.exit_code:
            assert first.message.endswith("."), first.result
        if end is End.DONE_NEXT_TIME:
            assert self.role(self.laptop) == "primary"
            first = self.pushed()
            assert first.exit_code == 0, first.result
        self._judge_owners(end.primary)
        if end.primary == "desktop":
            self._judge_content(end, first)

    def _judge_owners(self, primary: str) -> None:
        others = {"laptop", "desktop"} - {primary}
        peers = {"laptop": self.laptop, "desktop": self.desktop}
        until(lambda: self.role(peers[primary]) == "primary" or None, SETTLED, f"{primary} is primary")
        until(
            lambda: all(self.role(peers[name]) in ("secondary", "") for name in others) or None,
            SETTLED,
            f"{primary} is the only primary",
        )
        epochs = {peer.session(TITLE)["epoch"] for peer in peers.values() if self.role(peer)}
        assert epochs == {2 if primary == "desktop" else 1}
        for peer in peers.values():
            if self.role(peer):
                assert peer.ask("history", TITLE, "--verify")["verified"]

    def _judge_content(self, end: End, first: Answer) -> None:
        arrived = self.arrivals.wait("handoff", lambda event: event["outcome"] == "done", patience=SETTLED)
        assert_same(self.folder, Path(arrived["into"][0]))
        assert arrived["received_objects"] == len(self._pieces), "what was staged was staged once"
        if end in (End.DONE, End.DONE_AFTER_HEAL):
            sent = first.result
            lost = sent["sent_bytes"] - arrived["received_bytes"]
            assert 0 <= lost <= CREDIT_WINDOW + MIB, "only what was under way is sent again"

    def role(self, peer: Peer) -> str:
        """What the session is to a device; empty where it never came."""
        sessions: list[Mapping[str, Any]] = peer.told("sessions")["sessions"]
        return next((str(item["role"]) for item in sessions if item["title"] == TITLE), "")


def slow(peer: Peer, megabits: float, *, buffer: int = 64 * KIB, interface: str = "eth0") -> None:
    """Limit what leaves a host; ``buffer`` bytes wait at most, and more is lost."""
    rate = ["rate", f"{int(megabits * 1000)}kbit", "burst", str(16 * KIB), "limit", str(buffer)]
    peer.host.run(["tc", "qdisc", "replace", "dev", interface, "root", "tbf", *rate])
