# SPDX-License-Identifier: Apache-2.0
"""Where the time of a handoff went on this device, and what limited it. Layer: agent, pure.

Specification: docs/cli.md §7 (profile). Every moment belongs to one stage: the first in the order of ``Stage`` of those
that were waited for then. So the stages add up to the whole, however they overlap.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from p2p_handoff.adapters.base import Reused
from p2p_handoff.ids import TxnId
from p2p_handoff.protocol.messages import Tally


class Stage(Enum):
    """What a device waits for in a handoff; what stands first counts where several are waited for."""

    PICTURE = "picture"
    """Source: what is there is looked through; what changed is read and hashed."""
    PLACE = "place"
    """Target: what arrived is put in place, what it replaces is kept."""
    SEAL = "seal"
    """Target: what arrived is verified, assembled and synced."""
    STAGE = "stage"
    """Target: what is here already is found; what arrives is unpacked, verified and written."""
    READ = "read"
    """Source: wanted content is read, nothing else being ready to be sent."""
    PACK = "pack"
    """Source: it is compressed, nothing else being ready to be sent."""
    SEND = "send"
    """Source: it is encrypted and given to the engine."""
    QUEUE = "queue"
    """Source: the engine's queue is full: the network, or the engine, takes no more."""
    CREDIT = "credit"
    """Source: the target has given no credit for more: it has not written what it has."""
    ARRIVAL = "arrival"
    """Target: what was asked for has not arrived."""
    CONNECT = "connect"
    """The other device is dialled."""
    PERSON = "person"
    """Somebody is asked."""
    PEER = "peer"
    """It is the other device's turn."""
    OTHER = "other"
    """Everything else on this device: signing, storing, starting threads."""


class Limit(Enum):
    """What a stage is limited by."""

    DISK = "disk"
    """This device's."""
    CPU = "cpu"
    """This device's."""
    NETWORK = "network"
    PEER = "peer"
    """The other device: its disk or its processor."""
    PEER_OR_NETWORK = "peer-or-network"
    """Content does not arrive faster; from here the two cannot be told apart."""
    PERSON = "person"


_LIMITS: Final = {
    Stage.PICTURE: Limit.DISK,
    Stage.PLACE: Limit.DISK,
    Stage.SEAL: Limit.DISK,
    Stage.STAGE: Limit.DISK,
    Stage.READ: Limit.DISK,
    Stage.PACK: Limit.CPU,
    Stage.SEND: Limit.CPU,
    Stage.QUEUE: Limit.NETWORK,
    Stage.CREDIT: Limit.PEER,
    Stage.ARRIVAL: Limit.PEER_OR_NETWORK,
    Stage.CONNECT: Limit.NETWORK,
    Stage.PERSON: Limit.PERSON,
    Stage.PEER: Limit.PEER,
    Stage.OTHER: Limit.CPU,
}
_OWN: Final = (Limit.DISK, Limit.CPU, Limit.NETWORK)
_BUSY: Final = 0.8
"""Of a core: a device that computed for so much of a stage was not waiting for a disk or for the network."""
_MAY_COMPUTE: Final = frozenset((Limit.DISK, Limit.NETWORK, Limit.PEER_OR_NETWORK))


@dataclass(frozen=True, slots=True)
class Spent:
    """What one stage took."""

    seconds: float
    cpu: float
    """Processor seconds of this agent meanwhile, in all threads; of whatever else it did, too."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The time of one handoff on one device."""

    stages: Mapping[Stage, Spent] = field(default_factory=dict)
    """Those that took any, in the order of ``Stage``; together they are the whole."""
    peer: Mapping[Limit, float] = field(default_factory=dict)
    """Seconds that the other device waited for its own disk, processor, and the network, as it says; empty where it
    said nothing."""

    def limit_of(self, stage: Stage) -> Limit:
        """What a stage was limited by: its usual limit, unless this device computed all the time."""
        spent, usual = self.stages[stage], _LIMITS[stage]
        if usual in _MAY_COMPUTE and spent.cpu >= _BUSY * spent.seconds:
            return Limit.CPU
        if usual is Limit.PEER_OR_NETWORK and self.peer_limit is not None:
            return Limit.NETWORK if self.peer_limit is Limit.NETWORK else Limit.PEER
        return usual

    def seconds(self) -> Mapping[Limit, float]:
        """How long each limit held."""
        seconds: dict[Limit, float] = {}
        for stage, spent in self.stages.items():
            limit = self.limit_of(stage)
            seconds[limit] = seconds.get(limit, 0.0) + spent.seconds
        return seconds

    @property
    def bottleneck(self) -> Limit | None:
        """What most time was waited for, people apart; None where nothing was."""
        return _most({limit: took for limit, took in self.seconds().items() if limit is not Limit.PERSON})

    @property
    def peer_limit(self) -> Limit | None:
        """What the other device waited for most; None where it said nothing, or waited for nothing."""
        return _most({limit: took for limit, took in self.peer.items() if took > 0})

    def as_json(self) -> dict[str, Any]:
        """JSON-ready fields."""
        bottleneck = self.bottleneck
        return {
            "bottleneck": "" if bottleneck is None else bottleneck.value,
            "peer": {limit.value: round(took, 4) for limit, took in self.peer.items()},
            "peer_bottleneck": "" if self.peer_limit is None else self.peer_limit.value,
            "stages": [
                {
                    "stage": stage.value,
                    "seconds": round(spent.seconds, 4),
                    "cpu": round(spent.cpu, 4),
                    "limit": self.limit_of(stage).value,
                }
                for stage, spent in self.stages.items()
            ],
        }


def told(tally: Tally) -> Mapping[Limit, float]:
    """What the other device says that it waited for, in seconds."""
    return dict(zip(_OWN, (tally.disk / 1000, tally.cpu / 1000, tally.network / 1000), strict=True))


def tally_of(profile: Profile, txn: TxnId, reused: Reused) -> Tally:
    """What the other device is told of this one.

    Args:
        profile: Of the time so far.
        txn: The handoff.
        reused: What this device had already.
    """
    seconds = profile.seconds()
    disk, cpu, network = (round(seconds.get(limit, 0.0) * 1000) for limit in _OWN)
    return Tally(txn, disk, cpu, network, reused.chunks, reused.bytes)


def _most(seconds: Mapping[Limit, float]) -> Limit | None:
    return max(seconds, key=lambda limit: seconds[limit], default=None)


class Ledger:
    """Keeps the time of one handoff: ``waiting`` around whatever is waited for, ``profile`` at the end.

    Args:
        clock: Seconds on a clock that never runs backwards.
        cpu: Processor seconds of this process so far.
    """

    def __init__(self, clock: Callable[[], float], cpu: Callable[[], float]) -> None:
        self._clock = clock
        self._cpu = cpu
        self._since = clock(), cpu()
        self._waiting: Counter[Stage] = Counter()
        self._seconds = dict.fromkeys(Stage, 0.0)
        self._computed = dict.fromkeys(Stage, 0.0)

    @contextlib.contextmanager
    def waiting(self, stage: Stage) -> Iterator[None]:
        """What happens within is waited for."""
        self.begin(stage)
        try:
            yield
        finally:
            self.end(stage)

    def begin(self, stage: Stage) -> None:
        """A stage is waited for from now on; ``end`` follows."""
        self._settle()
        self._waiting[stage] += 1

    def end(self, stage: Stage) -> None:
        """It is waited for no longer; without a ``begin`` nothing changes."""
        self._settle()
        self._waiting[stage] = max(0, self._waiting[stage] - 1)

    def shift(self, stage: Stage, to: Stage, seconds: float) -> None:
        """Some of what a stage took was waited for another one, as it turned out.

        Args:
            stage: Which has taken some.
            to: What was waited for.
            seconds: How much of it; no more is shifted than it has.
        """
        self._settle()
        has = self._seconds[stage]
        if has <= 0 or seconds <= 0:
            return
        share = min(1.0, seconds / has)
        for times in (self._seconds, self._computed):
            moved = times[stage] * share
            times[stage] -= moved
            times[to] += moved

    def profile(self) -> Profile:
        """What was spent so far."""
        self._settle()
        return Profile({stage: Spent(took, self._computed[stage]) for stage, took in self._seconds.items() if took > 0})

    def _settle(self) -> None:
        now, computed = self._clock(), self._cpu()
        since, before = self._since
        stage = next((stage for stage in Stage if self._waiting[stage]), Stage.OTHER)
        self._seconds[stage] += now - since
        self._computed[stage] += computed - before
        self._since = now, computed
