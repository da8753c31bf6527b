# SPDX-License-Identifier: Apache-2.0
"""Targets: the relay's messages, and its switchboard with hostile clients on every port."""

from __future__ import annotations

from typing import Any, Final

import cbor2

from p2p_handoff.ids import DeviceId, device_id
from p2p_handoff.limits import RELAY_ROOMS_PER_CLIENT
from signaling import messages as m
from signaling.login import check_signature
from signaling.policy import EmbeddedPolicy, Policy, SharedPolicy
from signaling.rooms import ClientKey
from signaling.switchboard import Output, Switchboard
from signaling.wire import decode_from_client, decode_from_relay, encode
from tests.fuzz.target import Shape, Target, attempt, must, plan, refused
from tests.fuzz.targets.vectors import relay_messages

_DEVICES: Final = tuple(device_id(bytes([number]) * 32) for number in range(4))
_MAX_ROOMS: Final = 6
_MAX_STEPS: Final = 24
_CHALLENGE: Final = m.Challenge((m.Version(1),), m.RelayName("r" * 26), m.Nonce(bytes(32)))


def _wire(data: bytes) -> bool:
    taken = False
    for decode in (decode_from_client, decode_from_relay):
        message = attempt(decode, data)
        if message is not None:
            must(encode(message) == data, "two spellings of one message")
            taken = True
        if isinstance(message, m.Login):
            must(refused(check_signature, _CHALLENGE, message), "a forged login is good")
    return taken


class _Hall:
    """A switchboard, and what must hold of everything that leaves it."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._asked = 0
        self.board = Switchboard(policy, self._entropy, _MAX_ROOMS)
        self.device: dict[ClientKey, DeviceId] = {}
        self.joined: set[str] = set()
        self.now = 0.0

    def _entropy(self, size: int) -> bytes:
        self._asked += 1
        return self._asked.to_bytes(size, "big")

    def connect(self, number: int) -> None:
        key, device = ClientKey(number % 8), _DEVICES[number % len(_DEVICES)]
        if key in self.device or not self.policy.may_connect(device):
            return
        outputs = self.board.connect(key, device, f"192.0.2.{number % 3}", self.now)
        self.device = {client: other for client, other in self.device.items() if other != device}
        self.device[key] = device
        farewells = [output for output in outputs if isinstance(output.message, m.Goodbye)]
        self.check([output for output in outputs if output not in farewells], None)

    def disconnect(self, number: int) -> None:
        key = ClientKey(number % 8)
        self.device.pop(key, None)
        self.check(self.board.disconnect(key, self.now), None)

    def wait(self, seconds: int) -> None:
        self.now += max(0, min(seconds, 1000))
        self.check(self.board.expire(self.now), None)

    def ask(self, number: int, request: Any) -> bool:
        key = ClientKey(number % 8)
        outputs = self.board.handle(key, request, self.now)
        must(bool(outputs) == (key in self.device), "a request of a client has no answer, or one of nobody has")
        self.check(outputs, key)
        return bool(outputs)

    def _check_envelope(self, sender: DeviceId, recipient: DeviceId, message: m.Deliver) -> None:
        must(message.sender == self.policy.return_address(sender), "an envelope names another sender")
        passes = {self.policy.recipient(sender, None), self.policy.recipient(sender, recipient)}
        must(recipient in passes, "an envelope passes that may not")

    def check(self, outputs: list[Output], asker: ClientKey | None) -> None:
        replies = [output for output in outputs if hasattr(output.message, "id")]
        must(len(replies) <= 1 and all(output.client == asker for output in replies), "not one reply to one request")
        for client, message in outputs:
            must(client in self.device, "something goes to a client that is gone")
            encode(message)
            if isinstance(message, m.Deliver):
                must(asker is not None, "an envelope comes from nobody")
                if asker is not None:
                    self._check_envelope(self.device[asker], self.device[client], message)
            if isinstance(message, m.RoomJoined):
                must(message.room not in self.joined, "a room is joined twice")
                self.joined.add(message.room)
            if isinstance(message, m.Present) and asker is not None:
                allowed = {other for other in self.device.values() if self.policy.may_see(self.device[asker], other)}
                must(set(message.devices) <= allowed, "somebody is told of a device that it may not see")
        must(self.board.room_count <= _MAX_ROOMS, "more rooms than there is space for")
        must(self.board.client_count == len(self.device), "a client is counted that is gone")
        rooms = self.board._rooms
        for key in self.device:
            must(len(rooms.rooms_of(key)) <= RELAY_ROOMS_PER_CLIENT, "a client is in more rooms than it may")


def _board(data: bytes) -> bool:
    steps = plan(data)
    if not steps:
        return False
    hall = _Hall(EmbeddedPolicy(_DEVICES[0]) if steps[0] == 1 else SharedPolicy())
    taken = False
    for step in steps[1:_MAX_STEPS]:
        match step:
            case ["in", int(number)]:
                hall.connect(number)
            case ["out", int(number)]:
                hall.disconnect(number)
            case ["wait", int(seconds)]:
                hall.wait(seconds)
            case ["slow", int(number), bool(congested)]:
                hall.board.set_congested(ClientKey(number % 8), congested=congested)
            case ["ask", int(number), dict(fields)]:
                taken = _asked(hall, number, fields) or taken
            case _:
                continue
    return taken


def _asked(hall: _Hall, number: int, fields: dict[Any, Any]) -> bool:
    try:
        data = cbor2.dumps(fields, canonical=True)
    except (ValueError, TypeError, cbor2.CBORError):
        return False
    request = attempt(decode_from_client, data)
    return request is not None and not isinstance(request, m.Login) and hall.ask(number, request)


def _ask(who: int, **fields: object) -> list[Any]:
    return ["ask", who, fields]


def _evenings() -> list[bytes]:
    room, plate = "c" * 26, 7
    meet = [
        _ask(0, type="open_room", id=1, room=room, nameplate=plate),
        _ask(0, type="room_send", id=2, room=room, data=b"early"),
        _ask(1, type="find_room", id=1, nameplate=plate),
        _ask(1, type="join_room", id=2, room=room),
        _ask(1, type="room_send", id=3, room=room, data=b"hello"),
        _ask(2, type="join_room", id=4, room=room),
    ]
    enter: list[Any] = [["in", 0], ["in", 1], ["in", 2]]
    mail = [
        _ask(0, type="send", id=9, to=_DEVICES[1], envelope=b"sealed"),
        _ask(1, type="presence", id=9, devices=[*_DEVICES]),
        _ask(1, type="send", id=10, to=_DEVICES[2], envelope=b"sealed"),
        _ask(2, type="send", id=11, envelope=b"sealed"),
    ]
    plans: list[list[Any]] = [
        [0, *enter, *meet, ["out", 1], *meet],
        [1, *enter, *meet, ["wait", 601], *mail],
        [0, *enter, *mail, ["slow", 1, True], *mail, ["in", 4], *meet, _ask(0, type="close_room", id=5, room=room)],
        [0, *enter, *(_ask(0, type="open_room", id=number) for number in range(16))],
    ]
    return [cbor2.dumps(item) for item in plans]


TARGETS = (
    Target(
        "relay", "refused, or encoded again to the same bytes; no login is forged", _wire, Shape.CBOR, relay_messages
    ),
    Target(
        "switchboard",
        "one reply to a request, to who asked; nothing to who is gone or may not; a room is joined once; bounds kept",
        _board,
        Shape.CBOR,
        _evenings,
        8_192,
    ),
)
