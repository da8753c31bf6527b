# SPDX-License-Identifier: Apache-2.0
"""Two handoff machines joined by a wire that breaks, driven one small step at a time.

Each device takes events from one queue and carries effects out in order, as the agent does. The source's pictures are
taken while it waits; the target fetches, seals and puts in place beside its queue. What is durable survives a restart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from p2p_handoff.ids import DeviceId, PartId, SessionId, TxnId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol import source_rules, target_rules
from p2p_handoff.protocol import target as tgt
from p2p_handoff.protocol.messages import Mode, RejectReason
from p2p_handoff.protocol.outcome import Outcome
from p2p_handoff.protocol.source import Source, SourceState
from p2p_handoff.protocol.target import Target, TargetState

TXN, SESSION = TxnId("t" * 26), SessionId("s" * 26)
SOURCE, TARGET = DeviceId("a" * 32), DeviceId("b" * 32)
PARTS = (PartId("p1"),)
DECIDED = (TargetState.ACCEPTED, TargetState.RESUMED, TargetState.REFUSED)

Action = tuple[str, Callable[[], None]]


@dataclass
class Wire:
    """One connection: two ordered directions; what is not delivered when it breaks is lost.

    The target sends on it once something has arrived.
    """

    known_to_target: bool = False

    to_source: deque[msg.Message] = field(default_factory=deque)
    to_target: deque[msg.Message] = field(default_factory=deque)


class SourceDevice:
    """The source's shell, reduced to what decides."""

    def __init__(self, world: World, mode: Mode) -> None:
        self.world = world
        self.machine = Source(TXN, SESSION, TARGET, mode)
        self.queue: deque[Any] = deque()
        self.dialling = True
        self.outcome: Outcome | None = None
        self.frozen = False
        """Durable."""
        self.released = False
        """Durable."""

    @property
    def is_primary(self) -> bool:
        return not self.frozen and not self.released

    def restart(self) -> None:
        self.queue.clear()
        self.dialling = True
        if not self.frozen:
            self.machine = Source(TXN, SESSION, TARGET, self.machine.mode, SourceState.ENDED)
        else:
            self.machine = Source(TXN, SESSION, TARGET, Mode.MOVE, SourceState.FROZEN, PARTS)

    def take(self) -> None:
        event = self.queue.popleft()
        if self.machine.state is SourceState.ENDED:
            return
        self.dialling = self.dialling or isinstance(event, src.Disconnected)
        self.machine, effects = source_rules.step(self.machine, event)
        for effect in effects:
            self.carry_out(effect)

    def carry_out(self, effect: src.SourceEffect) -> None:  # noqa: C901, PLR0912 - one case for each effect
        match effect:
            case src.SendOffer():
                mode = self.machine.mode
                self.send(msg.Init(TXN, SESSION, SOURCE, TARGET, mode, 1, b"", take=False))
                self.send(msg.Request(TXN, b"", PARTS, 600))
            case src.SendRound(number):
                self.send(msg.Round(TXN, number, b""))
            case src.Survey():
                large = self.world.large_surveys > 0
                self.world.large_surveys -= 1
                self.queue.append(src.RemainderLarge() if large else src.RemainderSmall())
            case src.FreezeParts():
                self.queue.append(src.FinalTaken(b"root"))
            case src.StoreFrozen():
                self.frozen = True
            case src.SendGrant(nonce):
                self.send(msg.Grant(TXN, SESSION, nonce, b"", 0))
            case src.SendFinish():
                self.send(msg.Finish(TXN, b""))
            case src.SendQuery():
                self.send(msg.Query(TXN, SESSION, b"g"))
            case src.SendCancel(reason, text):
                self.send(msg.Cancel(TXN, reason, text))
            case src.StoreReleased() | src.StoreLearned():
                self.frozen, self.released = False, True
            case src.StoreThawed():
                self.frozen = False
            case src.Ended(outcome):
                self.outcome = outcome
            case src.ReleaseParts() | src.ThawParts() | src.InDoubt():
                pass

    def send(self, message: msg.Message) -> None:
        if self.world.wire is not None:
            self.world.wire.to_target.append(message)


class TargetDevice:
    """The target's shell, reduced to what decides."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.machine: Target | None = None
        self.queue: deque[Any] = deque()
        self.work: tuple[str, Any] | None = None
        self.asking = False
        self.nonce = b""
        self.accepted = False
        """Durable."""
        self.refused = False
        """Durable."""

    def restart(self) -> None:
        self.queue.clear()
        self.work, self.asking, self.nonce, self.machine = None, False, b"", None
        if self.accepted or self.refused:
            state = TargetState.RESUMED if self.accepted else TargetState.REFUSED
            self.machine = Target(TXN, SESSION, SOURCE, state=state)

    def receive(self, message: msg.Message) -> None:
        if isinstance(message, msg.Init):
            if self.machine is None:
                self.machine = Target(TXN, SESSION, SOURCE, message.mode)
        elif self.machine is not None:
            self.queue.append(message)
        elif isinstance(message, msg.Grant | msg.Query):
            self.machine = Target(TXN, SESSION, SOURCE)
            self.queue.append(message)

    def take(self) -> None:
        event = self.queue.popleft()
        assert self.machine is not None
        if isinstance(event, msg.Grant):
            ours = bool(self.nonce) and event.statement == self.nonce
            event = tgt.GrantVerified(b"") if ours else tgt.GrantUnusable("another nonce")
        self.machine, effects = target_rules.step(self.machine, event)
        for effect in effects:
            self.carry_out(effect)

    def carry_out(self, effect: tgt.TargetEffect) -> None:  # noqa: C901, PLR0912 - one case for each effect
        match effect:
            case tgt.AskUser():
                self.asking = True
            case tgt.SendAccept(parts):
                self.send(msg.Accept(TXN, parts))
            case tgt.SendReject(reason, text):
                self.send(msg.Reject(TXN, reason, text))
            case tgt.FetchRound(number):
                self.work = ("fetch", tgt.Fetched(number, complete=not self.world.take_gone()))
            case tgt.SendReady(number, complete):
                self.nonce = self.world.fresh_nonce()
                self.send(msg.Ready(TXN, number, complete, self.nonce))
            case tgt.SealGranted():
                self.work = ("seal", tgt.Sealed())
            case tgt.StoreAccepted():
                assert not self.refused
                self.accepted = True
            case tgt.StoreRefused():
                assert not self.accepted
                self.refused = True
            case tgt.SendDecision():
                assert self.accepted or self.refused
                self.send(msg.Accepted(TXN, b"A", 0) if self.accepted else msg.Refused(TXN, b"R", 0))
            case tgt.Commit():
                self.work = ("commit", tgt.Committed())
            case tgt.SendResumed():
                self.send(msg.Resumed(TXN, b"", 0, "", 0))
            case tgt.AbandonStaging():
                self.work, self.nonce = None, b""
            case tgt.TargetSendCancel(reason, text):
                self.send(msg.Cancel(TXN, reason, text))
            case tgt.TargetEnded():
                pass

    def wire_lost(self) -> None:
        if self.work is not None and self.work[0] != "commit":
            self.work = None

    def finish_work(self) -> None:
        assert self.work is not None
        self.queue.append(self.work[1])
        self.work = None

    def answer(self) -> None:
        self.asking = False
        yes, no = tgt.UserAccepted(PARTS), tgt.UserRejected(RejectReason.DECLINED, "no")
        self.queue.append(no if self.world.declines else yes)

    def send(self, message: msg.Message) -> None:
        if self.world.wire is not None and self.world.wire.known_to_target:
            self.world.wire.to_source.append(message)


class World:
    """Both devices and what lies between them.

    Args:
        mode: Move or copy.
        large_surveys: How many pictures find too much changed.
        gone_rounds: How many rounds find objects gone.
        declines: Whether the person at the target says no.
    """

    def __init__(
        self, mode: Mode = Mode.MOVE, *, large_surveys: int = 0, gone_rounds: int = 0, declines: bool = False
    ) -> None:
        self.large_surveys = large_surveys
        self.gone_rounds = gone_rounds
        self.declines = declines
        self.nonces = 0
        self.wire: Wire | None = None
        self.source = SourceDevice(self, mode)
        self.target = TargetDevice(self)

    def fresh_nonce(self) -> bytes:
        self.nonces += 1
        return self.nonces.to_bytes(16, "big")

    def take_gone(self) -> bool:
        self.gone_rounds -= 1
        return self.gone_rounds >= 0

    # --- what may happen next -----------------------------------------------------------------------

    def steps(self) -> list[Action]:
        """Everything that an undisturbed world does by itself."""
        source, target, wire = self.source, self.target, self.wire
        possible: list[tuple[object, Action]] = [
            (source.queue, ("the source takes an event", source.take)),
            (target.queue, ("the target takes an event", target.take)),
            (target.work, ("the target's work is finished", target.finish_work)),
            (target.asking, ("the person answers", target.answer)),
            (wire and wire.to_target, ("a message reaches the target", self.deliver_to_target)),
            (wire and wire.to_source, ("a message reaches the source", self.deliver_to_source)),
            (source.dialling and source.machine.state is not SourceState.ENDED, ("a connection opens", self.connect)),
        ]
        return [action for condition, action in possible if condition]

    def deliver_to_target(self) -> None:
        assert self.wire is not None
        self.wire.known_to_target = True
        self.target.receive(self.wire.to_target.popleft())

    def deliver_to_source(self) -> None:
        assert self.wire is not None
        message = self.wire.to_source.popleft()
        if self.source.machine.state is not SourceState.ENDED:
            self.source.queue.append(message)

    def connect(self) -> None:
        self.wire = Wire()
        self.source.dialling = False
        self.source.queue.append(src.Connected())

    def cut(self) -> None:
        if self.wire is not None:
            self.wire = None
            self.target.wire_lost()
            self.source.queue.append(src.Disconnected())

    def restart_source(self) -> None:
        self.cut()
        self.source.restart()

    def restart_target(self) -> None:
        self.cut()
        self.target.restart()

    def cancel_at_source(self) -> None:
        self.source.queue.append(src.CancelAsked("enough"))

    def cancel_at_target(self) -> None:
        if self.target.machine is not None:
            self.target.queue.append(tgt.TargetCancelAsked("enough"))

    def abandon(self) -> None:
        """The target's patience with an absent source ends."""
        if self.target.machine is not None and self.wire is None:
            self.target.queue.append(tgt.Abandoned())

    # --- running ------------------------------------------------------------------------------------

    def check(self) -> None:
        """Never two primaries."""
        assert not (self.source.is_primary and self.target.accepted), "two primaries"

    def run(self) -> None:
        """Let everything come to rest; a target whose source is over and away loses its patience."""
        for _ in range(500):
            steps = self.steps()
            if not steps:
                break
            steps[0][1]()
            self.check()
        else:
            raise AssertionError("the two machines never come to rest")
        if self.source.machine.state is SourceState.ENDED:
            self.cut()
            self.abandon()
            while self.target.queue:
                self.target.take()
