# SPDX-License-Identifier: Apache-2.0
"""Every protocol message, and where in a run it goes over the connection: there the link is cut before and after it.

Agents of such a run tell the warden of each message (tests/chaos/telling). ``before``: nothing that is sent from the
message on arrives. ``after``: the message arrived, its receiver has not acted on it yet, and nothing more passes
either way. A message that the product has and this table has not fails a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tests.chaos.cases import Side, Stage, Way

MARK: Final = "message:"
"""How the names of their system calls begin."""
OBJECT: Final = "object"
"""A piece of content on the bulk channel: no message, and cut all the same."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message is sent."""

    way: Way
    stage: Stage
    side: Side
    """Who sends it."""


_PUSH: Final = (Way.PUSH, Stage.UPDATE)
_DECIDED: Final = (Way.MEET, Stage.DECIDED)
_PARTED: Final = (Way.MEET, Stage.PARTED)


def _by(side: Side, *where: tuple[Way, Stage]) -> tuple[Place, ...]:
    return tuple(Place(way, stage, side) for way, stage in where)


PLACES: Final[Mapping[str, tuple[Place, ...]]] = {
    "hello": (*_by(Side.SOURCE, _PUSH, _DECIDED), *_by(Side.TARGET, _PUSH, _DECIDED)),
    "ping": (*_by(Side.SOURCE, (Way.LEAVE, Stage.UPDATE)), *_by(Side.TARGET, (Way.LEAVE, Stage.UPDATE))),
    "pong": (*_by(Side.SOURCE, (Way.LEAVE, Stage.UPDATE)), *_by(Side.TARGET, (Way.LEAVE, Stage.UPDATE))),
    "credit": _by(Side.TARGET, (Way.LARGE, Stage.UPDATE)),
    "goodbye": _by(Side.SOURCE, (Way.LEAVE, Stage.UPDATE)),
    "init": _by(Side.SOURCE, (Way.PUSH, Stage.FIRST), _PUSH, (Way.TAKE, Stage.UPDATE), _PARTED),
    "request": _by(Side.SOURCE, _PUSH, _PARTED),
    "accept": _by(Side.TARGET, (Way.PUSH, Stage.FIRST), _PUSH, _PARTED),
    "reject": _by(Side.TARGET, (Way.DECLINE, Stage.UPDATE)),
    "round": _by(Side.SOURCE, (Way.PUSH, Stage.FIRST), _PUSH, _PARTED),
    "want": _by(Side.TARGET, (Way.PUSH, Stage.FIRST), _PUSH, _PARTED),
    OBJECT: _by(Side.SOURCE, (Way.PUSH, Stage.FIRST), _PUSH, (Way.LARGE, Stage.UPDATE), _PARTED),
    "gone": _by(Side.SOURCE, (Way.CHANGE, Stage.UPDATE)),
    "tally": (*_by(Side.SOURCE, _PUSH, _PARTED), *_by(Side.TARGET, _PUSH, _PARTED)),
    "ready": _by(Side.TARGET, (Way.PUSH, Stage.FIRST), _PUSH, _PARTED),
    "grant": _by(Side.SOURCE, (Way.PUSH, Stage.FIRST), _PUSH, (Way.MEET, Stage.UNDECIDED), _DECIDED),
    "accepted": _by(Side.TARGET, (Way.PUSH, Stage.FIRST), _PUSH, _DECIDED, _PARTED),
    "refused": _by(Side.TARGET, (Way.MEET, Stage.UNDECIDED), (Way.MEET, Stage.FORKED)),
    "query": _by(Side.SOURCE, (Way.TOO_LATE, Stage.UPDATE)),
    "cancel": _by(Side.SOURCE, (Way.GIVE_UP, Stage.UPDATE)),
    "finish": _by(Side.SOURCE, _PARTED),
    "resumed": _by(Side.TARGET, (Way.PUSH, Stage.FIRST), _PUSH, _PARTED),
    "take": _by(Side.TARGET, (Way.TAKE, Stage.FIRST), (Way.TAKE, Stage.UPDATE)),
    "list-sessions": _by(Side.TARGET, (Way.TAKE, Stage.FIRST)),
    "session-list": _by(Side.SOURCE, (Way.TAKE, Stage.FIRST)),
    "news": (*_by(Side.SOURCE, _PUSH, _DECIDED), *_by(Side.TARGET, _PUSH, _DECIDED)),
    "ask-chain": _by(Side.SOURCE, _DECIDED),
    "circle-list": (*_by(Side.SOURCE, _PUSH), *_by(Side.TARGET, _PUSH)),
    "chain-news": _by(Side.TARGET, _DECIDED),
}
"""Message (docs/specs/handoff-v2.md §3) → where it is sent."""

NOT_CUT: Final[Mapping[str, str]] = {
    "asking": "only makes a take wait longer: tests/agent/test_take_questions.py",
    "circle-news": "is asked for anew on every connection: tests/agent/test_circle.py",
}
"""Messages that no handoff between two own devices brings out, and where their loss is tested."""


def mark(way: str, message: str) -> str:
    """What a telling agent names its system call.

    Args:
        way: ``sent`` or ``came``.
        message: Its wire name, or ``object``.
    """
    return f"{MARK}{way}:{message}"
