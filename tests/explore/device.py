# SPDX-License-Identifier: Apache-2.0
"""The state of one device: what is durable, what a crash takes away, and one step under way.

Everything is frozen and compares by value, so that equal states are found again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.admission import Admitted
from p2p_handoff.protocol.news import Hearing
from p2p_handoff.protocol.reunion import Merging
from p2p_handoff.protocol.source import Source
from p2p_handoff.protocol.target import Target
from p2p_handoff.session import home
from p2p_handoff.session.home import Mark
from p2p_handoff.session.journal import Decision, ForkState, Held
from p2p_handoff.session.manifest import Manifest
from p2p_handoff.session.signed import SignedStatement
from tests.explore import cast

K = TypeVar("K", bound=str)
V = TypeVar("V")
Copies = tuple[tuple[int, int | None], ...]
"""For each part the version, and the device that holds it; None where this one does."""


@dataclass(frozen=True, slots=True)
class Granted:
    """A grant that this device made."""

    signed: SignedStatement
    manifest: bytes | None
    answer: SignedStatement | None = None


@dataclass(frozen=True, slots=True)
class Fork:
    """A fork that this device made."""

    state: ForkState
    left: bytes
    """The encoded manifest that the original was granted with."""


@dataclass(frozen=True, slots=True)
class Change:
    """An undo or a merge that is not in place yet."""

    id: TxnId
    session: SessionId
    decided: bool
    """Else a restart forgets it."""


@dataclass(frozen=True, slots=True)
class Durable:
    """What survives a crash."""

    held: tuple[tuple[SessionId, Held], ...] = ()
    grants: tuple[tuple[TxnId, Granted], ...] = ()
    decisions: tuple[tuple[TxnId, Decision], ...] = ()
    content: tuple[tuple[SessionId, Copies], ...] = ()
    pending: tuple[TxnId, ...] = ()
    """Accepted and not in place yet."""
    nonces: int = 0
    """How many were made: not stored by the product, whose nonces are random."""
    mark: Mark | None = None
    """The home's counter, in scopes that count."""
    seen: tuple[tuple[DeviceId, int], ...] = ()
    """The highest counter that each peer showed."""
    forks: tuple[tuple[SessionId, Fork], ...] = ()
    """By original; in scopes in which they come together."""
    taken_in: tuple[tuple[SessionId, bytes], ...] = ()
    """Forks that were merged here, each with its manifest."""
    kept: tuple[Copies, ...] = ()
    """Generations of the original."""
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Out:
    """An outgoing handoff: agent.outgoing without its tasks."""

    machine: Source
    take: bool
    picture: bytes
    """The latest manifest."""
    paused: bool = False
    """The parts are frozen: edits are recorded and not acknowledged."""
    queue: tuple[Any, ...] = ()
    """Local events that were raised and not taken yet."""
    resumed: bytes = b""
    """The root that the target says it has, for a merge."""


@dataclass(frozen=True, slots=True)
class In:
    """An incoming handoff: agent.incoming without its tasks."""

    machine: Target
    admitted: Admitted | None
    """None for a fork."""
    asked: bool
    """By this device's own take: nobody is asked."""
    request: msg.Request | None = None
    agreed: Manifest | None = None
    manifest: bytes = b""
    nonce: bytes = b""
    grant: SignedStatement | None = None
    staged: Copies = ()
    reviewing: bool = False
    work: tuple[str, int, bytes] | None = None
    """Fetching a round, sealing a grant, or committing."""
    queue: tuple[Any, ...] = ()
    merging: Merging | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A take that this device asked for."""

    txn: TxnId
    session: SessionId
    peer: DeviceId


@dataclass(frozen=True, slots=True)
class Past:
    """What is true of a device and what the device itself does not know: for checks only."""

    copy: Durable | None = None
    """A copy of its home."""
    copied: bool = False
    restored: bool = False
    """From that copy, and what it durably knew of ownership was another state then."""
    acted: bool = False
    """Restored, it froze, thawed, accepted or refused before anybody could tell it."""
    noticed: bool = False
    """It was told at some time since."""
    told: bool = False
    """Since then a peer showed it that it saw more, or a chain that it forgot a statement; and it is not confirmed."""
    lists: tuple[tuple[DeviceId, tuple[tuple[SessionId, int, DeviceId], ...]], ...] = ()
    """What each peer listed since the last start: session, epoch and owner."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device."""

    me: int
    durable: Durable
    outs: tuple[Out, ...] = ()
    ins: tuple[In, ...] = ()
    asks: tuple[Ask, ...] = ()
    called_off: tuple[TxnId, ...] = ()
    hearings: tuple[tuple[DeviceId, Hearing], ...] = ()
    """Of the peers whose Hello came on the connection that is open."""
    heard: tuple[DeviceId, ...] = ()
    old: tuple[DeviceId, ...] = ()
    """Peers whose homes are old copies."""
    past: Past = Past()


class BeyondScopeError(Exception):
    """The step leads beyond what the scope looks at."""


class DefectError(Exception):
    """The production code did what no run may make it do."""


def find(items: tuple[tuple[K, V], ...], key: K) -> V | None:
    """The value of a key."""
    return next((value for name, value in items if name == key), None)


def put(items: tuple[tuple[K, V], ...], key: K, value: V) -> tuple[tuple[K, V], ...]:
    """The items with one set."""
    return tuple(sorted((*(item for item in items if item[0] != key), (key, value)), key=lambda item: item[0]))


class Doing:
    """One step of a device under way: its parts may be changed, and every effect leaves a mark."""

    def __init__(self, device: Device, most_nonces: int, most_rounds: int) -> None:
        self.me = device.me
        self.id = cast.device_id(device.me)
        self.identity = cast.identity(device.me)
        self.durable = device.durable
        self.outs = {out.machine.txn: out for out in device.outs}
        self.ins = {item.machine.txn: item for item in device.ins}
        self.asks = {ask.txn: ask for ask in device.asks}
        self.called_off = set(device.called_off)
        self.hearings = dict(device.hearings)
        self.heard = set(device.heard)
        self.old = set(device.old)
        self.past = device.past
        self.most_nonces = most_nonces
        self.most_rounds = most_rounds
        self.sends: list[tuple[int, msg.Message]] = []
        self.acks: list[tuple[SessionId, int, int]] = []
        """Session, part and version of every edit acknowledged."""
        self.did: list[str] = []
        self.marks: list[tuple[Durable, int]] = []
        """What is durable and how much was sent, behind every effect: a crash comes there."""
        self.disk_full = False
        self.keeps = False
        """What a handoff replaces stays as a generation."""

    def device(self) -> Device:
        """The state after the step."""
        return Device(
            self.me,
            self.durable,
            tuple(self.outs[name] for name in sorted(self.outs)),
            tuple(self.ins[name] for name in sorted(self.ins)),
            tuple(self.asks[name] for name in sorted(self.asks)),
            tuple(sorted(self.called_off)),
            tuple(sorted(self.hearings.items())),
            tuple(sorted(self.heard)),
            tuple(sorted(self.old)),
            self.past,
        )

    def send(self, to: DeviceId, message: msg.Message) -> None:
        self.sends.append((cast.numbers()[to], message))

    def mark(self, effect: object) -> None:
        self.did.append(type(effect).__name__)
        self.marks.append((self.durable, len(self.sends)))

    # --- the home's counter, where it counts ----------------------------------------------------------

    @property
    def counter(self) -> int:
        return cast.COUNTER if self.durable.mark is None else self.durable.mark.counter

    @property
    def rolled_back(self) -> bool:
        return self.durable.mark is not None and self.durable.mark.rolled_back

    def guard(self) -> None:
        """OwnershipRows.guarded_change: an old copy makes no primary and says nothing of the past."""
        if self.durable.mark is not None:
            home.check(self.durable.mark)

    def count(self) -> None:
        """One transaction that counts."""
        if self.durable.mark is not None:
            self.durable = replace(self.durable, mark=home.advance(self.durable.mark))

    # --- durable writes: load, apply a transition of session.journal, save ----------------------------

    def held(self, session: SessionId) -> Held | None:
        return find(self.durable.held, session)

    def copies(self, session: SessionId) -> Copies:
        return find(self.durable.content, session) or ()

    def picture(self, session: SessionId) -> bytes:
        return cast.manifest(session, self.copies(session))

    def save(self, held: Held) -> None:
        self.durable = replace(self.durable, held=put(self.durable.held, held.ownership.session, held))

    def save_copies(self, session: SessionId, copies: Copies) -> None:
        self.durable = replace(self.durable, content=put(self.durable.content, session, copies))

    def save_grant(self, txn: TxnId, granted: Granted) -> None:
        self.durable = replace(self.durable, grants=put(self.durable.grants, txn, granted))

    def save_decision(self, decision: Decision) -> None:
        self.durable = replace(self.durable, decisions=put(self.durable.decisions, decision.txn, decision))

    def granted(self, txn: TxnId) -> Granted | None:
        return find(self.durable.grants, txn)

    def decision(self, txn: TxnId) -> Decision | None:
        return find(self.durable.decisions, txn)

    def open_fork(self, original: SessionId) -> Fork | None:
        fork = find(self.durable.forks, original)
        return fork if fork is not None and fork.state is ForkState.OPEN else None

    def change_of(self, session: SessionId) -> Change | None:
        return next((change for change in self.durable.changes if change.session == session), None)

    def save_change(self, change: Change) -> None:
        others = tuple(item for item in self.durable.changes if item.session != change.session)
        self.durable = replace(self.durable, changes=(*others, change))

    def end_change(self, txn: TxnId) -> None:
        others = tuple(item for item in self.durable.changes if item.id != txn)
        self.durable = replace(self.durable, changes=others)

    def parts_here(self, session: SessionId) -> tuple[PartId, ...]:
        return tuple(
            name for name, (_, holder) in zip(cast.PARTS, self.copies(session), strict=False) if holder is None
        )
