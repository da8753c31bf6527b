# SPDX-License-Identifier: Apache-2.0
"""What an exploration looks at: a scope bounds what people do, never what goes wrong, unless it says so."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """One exploration."""

    name: str
    devices: int = 2
    parts: int = 1
    txns: int = 1
    edits: int = 0
    """The version up to which a primary edits a part."""
    pushes: str = "AB"
    """Who pushes to whom: pairs of names."""
    takes: str = ""
    """Who takes from whom."""
    cancels: bool = False
    """Either side cancels at any moment; a source gives up on a target that is away, a target on a source that is
    silent; an offer expires."""
    rejects: bool = False
    partial: bool = False
    """The target may take the first part only."""
    forks: bool = False
    """A goes on in a fork, once: there is one id for it."""
    learns: str = ""
    """Who hears which device's chains, the older ones as well: pairs of names."""
    gone: str = ""
    """A device that may be gone for good at any moment. I7 then asks less: where a device that is left knows how a
    grant ended, its source must come to know it; what is heard from others counts as a step that comes by itself."""
    reunites: bool = False
    """The fork comes together with its original; each try at a merge has a txn of its own …"""
    merges: int = 0
    """… so many in all. Where they are used up and the fork is open, I7 is not judged."""
    undoes: int = 0
    """How often a primary brings an earlier state back; A has one from the start."""
    homes: bool = False
    """Store counters are counted, and devices say Hello and tell News when they connect."""
    restores: str = ""
    """Devices whose home may be copied at any moment, once, and restored from that copy later, once."""
    disk: bool = False
    """Writes of FROZEN and ACCEPTED fail, what is sealed turns out bad."""
    meddler: bool = False
    """C asks about every txn, with grants of its own making."""
    nonces: int = 2
    """READYs of one device."""
    rounds: int = 1
    crashes: int | None = None
    """In all; None: at every moment."""
    cuts: int | None = None
    """Connections that break and take with them what is on its way; None: at every moment."""
    fifo: bool = False
    """Each message arrives once and in order, until a connection breaks. Else whatever was sent may arrive at any time
    and any number of times, behind crashes as well, until a cut loses it."""
    most: int = 10_000_000
    """States at which it stops and says so."""
