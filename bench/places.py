# SPDX-License-Identifier: Apache-2.0
"""Two places where a measurement runs: hosts in network namespaces with root, else loopback. Layer: bench."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.network.faults import Faults
from tests.network.lab import Lab, missing

_NAMESPACES: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000


@dataclass(frozen=True, slots=True)
class Place:
    """Where commands of one device run."""

    address: str
    namespace: str = ""
    """Name of a network namespace; empty for the machine's own."""

    def argv(self, command: Sequence[str]) -> list[str]:
        """A command, to be run in this place."""
        return ["ip", "netns", "exec", self.namespace, *command] if self.namespace else list(command)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both places."""

    left: Place
    right: Place
    described: str


@contextmanager
def pair(*, loopback: bool) -> Iterator[Pair]:
    """Two places that reach each other.

    Args:
        loopback: Do without namespaces even where they can be made.
    """
    reason = "as asked" if loopback else missing()
    if reason is not None:
        yield Pair(Place("127.0.0.1"), Place("127.0.0.1"), f"over loopback ({reason})")
        return
    with Lab() as lab:
        bridge = lab.bridge("lan")
        left, right = (lab.host(name, bridge=bridge) for name in ("left", "right"))
        yield Pair(
            Place(left.address, left.namespace), Place(right.address, right.namespace), "between two network namespaces"
        )


@contextmanager
def shaped_pair(faults: Faults) -> Iterator[Pair]:
    """Two hosts whose cable does something to frames, in both directions. Needs root."""
    with Lab() as lab:
        bridge = lab.bridge("lan")
        left = lab.host("left", bridge=bridge, seed=1)
        right = lab.host("right", bridge=bridge)
        left.cable.both(faults)
        places = Place(left.address, left.namespace), Place(right.address, right.namespace)
        yield Pair(*places, "over a link with faults")


def enter(namespace: str) -> None:
    """Move this process, which must not have started a thread, into a network namespace (setns(2)).

    Raises:
        OSError: There is none of that name, or this user may not enter it.
    """
    with (_NAMESPACES / namespace).open("rb") as opened:
        library = ctypes.CDLL(None, use_errno=True)
        if library.setns(opened.fileno(), _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), namespace)
