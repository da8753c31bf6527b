# SPDX-License-Identifier: Apache-2.0
"""Homes of simulated devices that are linked already: made once, copied from then on. Layer: testing, public.

The keys follow from the device's name, so that ids are the same in every run. Specification: docs/testing.md §2.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from p2p_handoff.security.identity import Identity
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.store import home as homes
from p2p_handoff.store.records import LinkedDevice
from p2p_handoff.store.store import open_store

EPOCH: Final = 1_800_000_000.0
"""Unix seconds at which every simulation begins."""

Peers = tuple[tuple[str, LinkKind], ...]


@cache
def identity(name: str) -> Identity:
    """The keys of the simulated device of a name; not secret."""
    seed = hashlib.shake_256(f"simulated device {name}".encode()).digest(128)
    return Identity(
        Ed25519PrivateKey.from_private_bytes(seed[:32]),
        MLKEM768PrivateKey.from_seed_bytes(seed[32:96]),
        X25519PrivateKey.from_private_bytes(seed[96:]),
    )


def make_home(path: Path, name: str, peers: Peers) -> homes.Home:
    """A new home of a device that is linked with others.

    Args:
        path: The directory.
        name: The device's name.
        peers: Names of the others, and whose they are.
    """
    home = homes.prepare(path)
    for file, content in ((home.identity, identity(name).to_bytes()), (home.database, _database(name, peers))):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
    return home


@cache
def _database(name: str, peers: Peers) -> bytes:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "store.sqlite3"
        with open_store(path, identity(name).device) as store:
            for other, kind in peers:
                public = identity(other).public
                store.links.add(LinkedDevice(public.device, public.to_bytes(), other, kind, EPOCH))
        return path.read_bytes()
