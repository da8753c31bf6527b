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
from p2p_handoff.protocol.source import Source
from p2p_handoff.protocol.target import Target
from p2p_handoff.session.journal import Decision, Held
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


@dataclass(frozen=True, slots=True)
class In:
    """An incoming handoff: agent.incoming without its tasks."""

    machine: Target
    admitted: Admitted
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


@dataclass(frozen=True, slots=True)
class Ask:
    """A take that this device asked for."""

    txn: TxnId
    session: SessionId
    peer: DeviceId


@dataclass(frozen=True, slots=True)
class Device:
    """One device."""

    me: int
    durable: Durable
    outs: tuple[Out, ...] = ()
    ins: tuple[In, ...] = ()
    asks: tuple[Ask, ...] = ()
    called_off: tuple[TxnId, ...] = ()


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
        self.most_nonces = most_nonces
        self.most_rounds = most_rounds
        self.sends: list[tuple[int, msg.Message]] = []
        self.acks: list[tuple[SessionId, int, int]] = []
        """Session, part and version of every edit acknowledged."""
        self.did: list[str] = []
        self.marks: list[tuple[Durable, int]] = []
        """What is durable and how much was sent, behind every effect: a crash comes there."""
        self.disk_full = False

    def device(self) -> Device:
        """The state after the step."""
        return Device(
            self.me,
            self.durable,
            tuple(self.outs[name] for name in sorted(self.outs)),
            tuple(self.ins[name] for name in sorted(self.ins)),
            tuple(self.asks[name] for name in sorted(self.asks)),
            tuple(sorted(self.called_off)),
        )

    def send(self, to: DeviceId, message: msg.Message) -> None:
        self.sends.append((cast.numbers()[to], message))

    def mark(self, effect: object) -> None:
        self.did.append(type(effect).__name__)
        self.marks.append((self.durable, len(self.sends)))

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

    def parts_here(self, session: SessionId) -> tuple[PartId, ...]:
        return tuple(
            name for name, (_, holder) in zip(cast.PARTS, self.copies(session), strict=False) if holder is None
        )
