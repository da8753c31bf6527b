# SPDX-License-Identifier: Apache-2.0
"""Targets: frames that arrive at a connection, and the machines behind it fed with messages in any order."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, Final

import cbor2
from typing_extensions import override

from p2p_handoff.errors import HandoffError, LocalProtocolError, RemoteProtocolError
from p2p_handoff.limits import CREDIT_WINDOW
from p2p_handoff.protocol import codec, source_rules, target_rules
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol import target as tgt
from p2p_handoff.protocol.channels import Channel
from p2p_handoff.protocol.connection import Connection, Event, Parameters, Phase
from p2p_handoff.protocol.messages import Grant, Hello, Message, Mode
from p2p_handoff.protocol.source import Source, SourceState
from p2p_handoff.protocol.target import Target as Receiver
from p2p_handoff.protocol.target import TargetState
from p2p_handoff.security.exchange import ChannelKeys
from p2p_handoff.security.frames import FrameKey, FrameSealer, prove
from p2p_handoff.security.identity import Identity
from tests.fuzz.target import BrokenPromiseError, Shape, Target, attempt, must, plan
from tests.fuzz.targets.vectors import messages, vector
from tests.protocol.example_messages import SESSION, SOURCE, TARGET, TXN
from tests.protocol.machine_events import SOURCE_EVENTS, TARGET_EVENTS

_TRANSCRIPT: Final = bytes(32)
_HELLO: Final = Hello((2,), "desktop", "test", (), 5, 0)
_MAX_STEPS: Final = 16
_CHANNELS: Final = tuple(Channel)
_JUDGED: Final = (tgt.GrantVerified, tgt.GrantUnusable)
_WIRE: Final = tuple(kind for kind in tgt.TARGET_MESSAGES if kind not in _JUDGED)
_ANSWERS: Final = 4
"""Frames that one frame may cause: a pong or a credit each for a message and an object, and room."""


@cache
def _identity(number: int) -> Identity:
    return Identity.from_bytes(bytes.fromhex(vector("link")[("opener", "joiner")[number]]["identity"]))


def _key(number: int) -> FrameKey:
    return FrameKey(bytes([number]) * 32, b"label %d" % number)


_OURS: Final = ChannelKeys(_key(1), _key(2), _key(3), _key(4))


@cache
def _proof() -> bytes:
    return prove(_identity(0), _TRANSCRIPT, dialler=True)


class Peer:
    """A peer that holds the right keys and says what it likes."""

    def __init__(self) -> None:
        parameters = Parameters(_identity(1), _identity(0).public, _OURS, _TRANSCRIPT, dialler=False, hello=_HELLO)
        self.victim = Connection(parameters, 0.0)
        self.now = 0.0
        self.consumed = 0
        self._sealers = {Channel.CONTROL: FrameSealer(_key(2)), Channel.BULK: FrameSealer(_key(4))}

    def open(self) -> Peer:
        """Let the handshake succeed."""
        self.say(Channel.CONTROL, _proof())
        self.say(Channel.CONTROL, b"\x01" + codec.encode(_HELLO))
        return self

    def say(self, channel: Channel, plain: bytes) -> list[Event] | None:
        """Seal and deliver; None where it is refused."""
        return self.deliver(channel, self._sealers[channel].seal(plain))

    def deliver(self, channel: Channel, frame: bytes) -> list[Event] | None:
        """Deliver a frame as it is, and check what must hold after every one."""
        victim = self.victim
        was_closed = victim.phase is Phase.CLOSED
        events = attempt(victim.receive, channel, frame, self.now)
        must(events is not None or victim.phase is Phase.CLOSED, "a connection stays open after an error")
        must(not (was_closed and events), "a closed connection takes something")
        must(len(victim.control_frames()) <= _ANSWERS, "one frame causes many")
        must(victim.bulk_received <= self.consumed + 2 * CREDIT_WINDOW, "more content is taken than credit was given")
        return events

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.victim.tick(self.now)
        must(self.victim.next_tick() >= 0.0, "a tick is due in the past for ever")
        self.victim.control_frames()


def _frames(data: bytes) -> bool:
    steps = plan(data)
    if steps is None:
        return False
    peer = Peer()
    taken = False
    for step in steps[:_MAX_STEPS]:
        match step:
            case "open":
                peer.open()
            case ["wait", int(tenths)] if 0 <= tenths <= 10_000:
                peer.wait(tenths / 10)
            case ["raw", int(channel), bytes(frame)]:
                taken = _said(peer.deliver(_CHANNELS[channel & 1], frame)) or taken
            case ["say", int(channel), bytes(plain)]:
                taken = _said(peer.say(_CHANNELS[channel & 1], plain)) or taken
            case _:
                continue
    return taken


def _said(events: list[Event] | None) -> bool:
    return events is not None


def _machines(data: bytes) -> bool:
    """Messages of a peer, each opened by the codec, and this side's own events, in any order."""
    steps = plan(data)
    if not steps or not isinstance(steps[0], int):
        return False
    mode = list(Mode)[steps[0] % len(Mode)]
    halves: tuple[_Half, ...] = (_SourceHalf(mode), _TargetHalf(mode))
    half = halves[steps[0] // len(Mode) % 2]
    moved = False
    for step in steps[1:_MAX_STEPS]:
        match step:
            case int():
                moved = half.local(step) or moved
            case bytes():
                message = attempt(codec.decode, step)
                moved = (message is not None and half.remote(message)) or moved
            case _:
                continue
        half.check()
    return moved


class _Half:
    """One machine with all that it ever stored."""

    def __init__(self) -> None:
        self.stored: list[type] = []

    def local(self, number: int) -> bool:
        raise NotImplementedError

    def remote(self, message: Message) -> bool:
        raise NotImplementedError

    def check(self) -> None:
        raise NotImplementedError

    def note(self, effects: Iterable[object]) -> None:
        self.stored += [type(effect) for effect in effects if type(effect).__name__.startswith("Store")]


class _SourceHalf(_Half):
    def __init__(self, mode: Mode) -> None:
        super().__init__()
        self.machine = Source(TXN, SESSION, TARGET, mode)

    @override
    def local(self, number: int) -> bool:
        events = [event for event in SOURCE_EVENTS if not isinstance(event, src.SOURCE_MESSAGES)]
        return self._step(events[number % len(events)], LocalProtocolError)

    @override
    def remote(self, message: Message) -> bool:
        return isinstance(message, src.SOURCE_MESSAGES) and self._step(message, RemoteProtocolError)

    def _step(self, event: Any, allowed: type[HandoffError]) -> bool:
        return _stepped(self, source_rules.step, event, allowed)

    @override
    def check(self) -> None:
        released = {src.StoreReleased, src.StoreLearned} & set(self.stored)
        must(not (released and src.StoreThawed in self.stored), "a source that released its session thawed it")
        if released and src.StoreReleased in self.stored:
            must(src.StoreFrozen in self.stored, "a session was released that was never frozen")
        ended = self.machine.state is SourceState.ENDED and src.StoreFrozen in self.stored
        must(not ended or released or src.StoreThawed in self.stored, "a frozen source ended without an answer")


class _TargetHalf(_Half):
    def __init__(self, mode: Mode) -> None:
        super().__init__()
        self.machine = Receiver(TXN, SESSION, SOURCE, mode)
        self.granted = False

    @override
    def local(self, number: int) -> bool:
        events = [event for event in TARGET_EVENTS if not isinstance(event, _WIRE)]
        event = events[number % len(events)]
        if isinstance(event, _JUDGED):
            # The shell makes these of a Grant that arrived.
            return self.granted and self._step(event, RemoteProtocolError)
        return self._step(event, LocalProtocolError)

    @override
    def remote(self, message: Message) -> bool:
        self.granted = self.granted or isinstance(message, Grant)
        return isinstance(message, _WIRE) and self._step(message, RemoteProtocolError)

    def _step(self, event: Any, allowed: type[HandoffError]) -> bool:
        return _stepped(self, target_rules.step, event, allowed)

    @override
    def check(self) -> None:
        both = {tgt.StoreAccepted, tgt.StoreRefused} <= set(self.stored)
        must(not both, "a target decided twice")
        if self.machine.mode is Mode.MOVE and self.machine.state in {TargetState.ACCEPTED, TargetState.RESUMED}:
            must(self.granted and tgt.StoreAccepted in self.stored, "a target owns what it was not granted")


def _stepped(half: Any, step: Any, event: Any, allowed: type[HandoffError]) -> bool:
    before = half.machine
    try:
        half.machine, effects = step(before, event)
    except HandoffError as error:
        if not isinstance(error, allowed):
            raise BrokenPromiseError(f"{type(event).__name__} is blamed on the wrong side: {error.what}") from error
        return False
    half.note(effects)
    return True


def _conversations() -> list[bytes]:
    every = messages()
    greeting: list[Any] = ["open"]
    said: list[Any] = [["say", 0, b"\x01" + data] for data in every.values()]
    bulk = bytes.fromhex(vector("handoff-v2")["record"])
    halves = [["say", 0, b"\x00" + every["grant"][:9]], ["say", 0, b"\x01" + every["grant"][9:]]]
    plans: list[list[Any]] = [
        [*greeting, *said[:8]],
        [*greeting, *said[8:]],
        [*greeting, *halves, ["say", 1, bulk], ["wait", 10], ["say", 0, b"\x01" + every["ping"]]],
        [*greeting, ["say", 1, bulk * 50]] * 3,
        [["raw", 0, bytes(40)], *greeting],
        [*greeting, ["say", 0, b"\x00"], ["say", 0, b""], ["say", 0, b"\x02x"]],
        [["say", 0, bytes(64)], ["say", 0, b"\x01" + every["hello"]]],
    ]
    return [cbor2.dumps(item) for item in plans]


def _orders() -> list[bytes]:
    every = messages()
    to_source = [every[name] for name in ("accept", "ready", "accepted", "resumed")]
    to_target = [every[name] for name in ("request", "round", "grant", "query")]
    plans: list[list[Any]] = []
    for mode in range(len(Mode)):
        plans.append([mode, 0, *to_source[:1], 3, *to_source[1:2], 4, *to_source[2:]])
        plans.append([mode + len(Mode), *to_target[:1], 0, *to_target[1:2], 2, *to_target[2:3], 4, 6, 8])
    plans += [[0, *range(12)], [3, *range(12)]]
    return [cbor2.dumps(item) for item in plans]


TARGETS = (
    Target(
        "frame",
        "an error closes the connection for good; a frame causes few; no content beyond the credit",
        _frames,
        Shape.CBOR,
        _conversations,
        16_384,
    ),
    Target(
        "machine",
        "errors blame the side that made them; a target decides once; what is frozen ends with an answer",
        _machines,
        Shape.CBOR,
        _orders,
        16_384,
    ),
)
