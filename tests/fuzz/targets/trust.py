# SPDX-License-Identifier: Apache-2.0
"""Targets: link codes as people type them, the linking exchange under a hostile relay, and envelopes."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, Final

import cbor2
from typing_extensions import override

from p2p_handoff.errors import HandoffError, LocalProtocolError, TrustError
from p2p_handoff.ids import Entropy, RoomId
from p2p_handoff.security.fingerprint import sdp_fingerprint
from p2p_handoff.security.identity import Identity, PublicIdentity
from p2p_handoff.security.link import LinkExchange
from p2p_handoff.security.link_terms import FINAL_STATES, LinkKind, LinkParameters, LinkState, Role
from p2p_handoff.security.link_wire import Hello, decode_clear, decode_sealed, encode
from p2p_handoff.security.offers import SdpAnswer, SdpOffer, SdpRefusal
from p2p_handoff.security.pake import Pake
from p2p_handoff.security.sealing import open_envelope
from p2p_handoff.security.words import LinkCode
from tests.fuzz.target import BrokenPromiseError, Shape, Target, attempt, must, plan
from tests.fuzz.targets.descriptions import bodies
from tests.fuzz.targets.vectors import vector

_MAX_STEPS: Final = 24


def _code(data: bytes) -> bool:
    text = data.decode("utf-8", "replace")
    code = attempt(LinkCode.parse, text)
    if code is None:
        return False
    must(LinkCode.parse(code.text) == code, "a code is not the one that it is shown as")
    must(LinkCode.parse(code.text.upper().replace("-", "  ")) == code, "case and spaces make another code")
    must(all(len(word) >= 3 for word in code.words) and 1 <= code.nameplate <= 9999, "a code is out of bounds")
    return True


def _codes() -> list[bytes]:
    texts = (
        "7-velvet-sausage",
        " 7  VELVET, sausage ",
        "0007.velv.saus",
        "9999-zoo-zoo",
        "\uff17 velvet sausage",
        "7-act-actor",
    )
    return [text.encode() for text in texts]


# --- the exchange ---------------------------------------------------------------------------------


class _RecordedPake(Pake):
    """SPAKE2 with the answers that the real one gave once, which takes longer than all else together.

    An element that was not recorded goes to the real one.
    """

    known: dict[tuple[bytes, bytes], bytes] = {}  # noqa: RUF012 - filled by the recording

    @override
    def finish(self, message: bytes) -> bytes:
        key = (self.message, message)
        if key not in self.known:
            self.known[key] = super().finish(message)
        return self.known[key]


def _seeded(seed: bytes) -> Entropy:
    asked = 0

    def entropy(size: int) -> bytes:
        nonlocal asked
        asked += 1
        return hashlib.shake_256(seed + asked.to_bytes(4, "big")).digest(size)

    return entropy


@cache
def _parameters(role: Role) -> LinkParameters:
    golden = vector("link")
    side = golden[role.value]
    identity = Identity.from_bytes(bytes.fromhex(side["identity"]))
    code, room = LinkCode.parse(golden["code"]), RoomId(golden["room"])
    return LinkParameters(
        role, code, room, identity, side["name"], 0.0, _seeded(b"another " + side["entropy_seed"].encode())
    )


@cache
def _greeting(role: Role) -> tuple[bytes, Pake]:
    """The Hello of a side and its half of SPAKE2, made once."""
    given = _parameters(role)
    pake = _RecordedPake(role, given.code.secret, given.room, given.entropy)
    return encode(Hello(role, given.purpose, given.versions, pake.message)), pake


def _side(role: Role) -> LinkExchange:
    """A side that has been started."""
    exchange = LinkExchange(_parameters(role))
    exchange._hello, exchange._pake = _greeting(role)
    exchange._state = LinkState.GREETING
    return exchange


class _Room:
    """Both sides, with a relay between them that does as it likes."""

    def __init__(self) -> None:
        self.sides = {role: _side(role) for role in Role}
        self.sent = {role: [_greeting(role)[0]] for role in Role}
        self.seen: dict[Role, list[bytes]] = {role: [] for role in Role}

    def deliver(self, role: Role, message: bytes) -> bool:
        """Hand a message to one side; returns whether that took it."""
        side = self.sides[role]
        was = side.state
        try:
            answers = side.receive(message, 1.0)
        except LocalProtocolError as error:
            raise BrokenPromiseError(f"a message counts as our own defect: {error.what}") from error
        except HandoffError:
            must(side.state in FINAL_STATES, "an exchange goes on after an error: a second guess")
            side.abort()
            return False
        must(was not in FINAL_STATES, "a used code takes a message")
        self.seen[role].append(message)
        self.sent[role] += answers
        return True

    def check(self) -> None:
        """A side believes in another only after hearing exactly what that one said."""
        for role, side in self.sides.items():
            if side.result is not None:
                must(side.result.peer == _parameters(role.other).identity.public, "a link with somebody else")
                heard, said = self.seen[role], self.sent[role.other]
                must(heard == said[: len(heard)], "a link over messages that the other side did not send so")
            if side.outcome is not None:
                must(LinkState.COMPLETE is side.state, "a link without an end")


def _exchange(data: bytes) -> bool:
    steps = plan(data)
    if not steps:
        return False
    room = _Room()
    taken = False
    for step in steps[:_MAX_STEPS]:
        match step:
            case [bool(to_joiner), int(number)]:  # what the other side sent, in any order
                role = Role.JOINER if to_joiner else Role.OPENER
                sent = room.sent[role.other]
                taken = room.deliver(role, sent[number % len(sent)]) or taken
            case [bool(to_joiner), bytes(message)]:
                taken = room.deliver(Role.JOINER if to_joiner else Role.OPENER, message) or taken
            case [bool(to_joiner), int(number), int(at), int(bits)]:  # the same, altered at one place
                role = Role.JOINER if to_joiner else Role.OPENER
                altered = bytearray(room.sent[role.other][number % len(room.sent[role.other])])
                altered[at % len(altered)] ^= bits & 0xFF
                taken = room.deliver(role, bytes(altered)) or taken
            case bool():
                _decide(room.sides[Role.JOINER if step else Role.OPENER], room, step)
            case _:
                continue
        room.check()
    _parsed(data)
    return taken


def _decide(side: LinkExchange, room: _Room, joiner: bool) -> None:
    role = Role.JOINER if joiner else Role.OPENER
    if side.state is LinkState.DECIDING and role not in side._decisions:
        room.sent[role] += side.decide(LinkKind.OTHER)


def _parsed(data: bytes) -> None:
    for decode in (decode_clear, decode_sealed):
        message = attempt(decode, data)
        must(message is None or encode(message) == data, "two spellings of one message")
    identity = attempt(PublicIdentity.from_bytes, data)
    must(identity is None or identity.to_bytes() == data, "two spellings of one identity")


def _evenings() -> list[bytes]:
    good: list[Any] = [
        [False, 0], [True, 0], [False, 1], [True, 1], [True, 2], [False, 2], [False, 3], [True, 3], False, True,
        [True, 4], [False, 4],
    ]  # fmt: skip
    golden = [bytes.fromhex(message) for _, message in vector("link")["messages"]]
    # Another exchange of the same two devices with the same code, replayed.
    told = [[sender == "opener", bytes.fromhex(message)] for sender, message in vector("link")["messages"][:8]]
    abort = cbor2.dumps(["abort", "cancelled"])
    plans: list[list[Any]] = [good, told, *([*good[:cut], [True, 0, 7, 1]] for cut in range(8))]
    plans += [[*good[:cut], [cut % 2 == 0, abort]] for cut in range(0, 12, 3)]
    return [*(cbor2.dumps(item) for item in plans), *golden, bytes.fromhex(vector("seal")["sender_public"])]


# --- envelopes ------------------------------------------------------------------------------------


@cache
def _recipient() -> Identity:
    return Identity.from_bytes(bytes.fromhex(vector("seal")["recipient"]))


@cache
def _sender() -> PublicIdentity:
    return PublicIdentity.from_bytes(bytes.fromhex(vector("seal")["sender_public"]))


def _golden_envelope() -> bytes:
    return bytes.fromhex(vector("seal")["envelope"])


def _opened(data: bytes) -> bool:
    try:
        open_envelope(_recipient(), lambda device: _sender() if device == _sender().device else None, data)
    except LocalProtocolError as error:
        raise BrokenPromiseError(f"an envelope counts as our own defect: {error.what}") from error
    except TrustError:
        return False
    must(data == _golden_envelope(), "an altered envelope opens")
    return True


def _bodies(data: bytes) -> bool:
    taken = False
    for found in (attempt(SdpOffer.from_bytes, data), attempt(SdpAnswer.from_bytes, data)):
        if found is not None:
            must(type(found).from_bytes(found.to_bytes()) == found, "a body changes on its way")
            attempt(sdp_fingerprint, found.sdp)
            taken = True
    refusal = attempt(SdpRefusal.from_bytes, data)
    if refusal is not None:
        must(SdpRefusal.from_bytes(refusal.to_bytes()) == refusal, "a body changes on its way")
        taken = True
    return taken


TARGETS = (
    Target("link-code", "refused, or the same code in every spelling", _code, Shape.TEXT, _codes, 512),
    Target(
        "link",
        "a link only with who proved it, over exactly what both sent; one error and the code is burnt",
        _exchange,
        Shape.CBOR,
        _evenings,
        8_192,
    ),
    Target("offer", "refused, or the same body after another way over the wire", _bodies, Shape.CBOR, bodies, 16_384),
    Target(
        "envelope",
        "nothing but the envelope that its sender sealed opens",
        _opened,
        Shape.RAW,
        lambda: [_golden_envelope(), b"\x01", b"\x02" + _golden_envelope()[1:]],
        65_600,
    ),
)
