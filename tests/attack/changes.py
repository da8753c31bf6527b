# SPDX-License-Identifier: Apache-2.0
"""Everything that a relay can do to one message: to each of its fields, and to it as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from typing_extensions import override

from tests.attack.tampering import HostileRelay, Tamper

Fields = dict[str, Any]
Change = Callable[[Fields], list[Fields]]
"""What passes instead of a message."""
Passed = list[tuple["Place", Fields]]
"""The messages of a conversation, with their places."""

_SEALED: Final = frozenset({"envelope", "data"})
"""Fields that two devices have sealed against the relay."""


@dataclass(frozen=True, slots=True)
class Place:
    """A message of a conversation over a relay.

    Args:
        whose: On whose connection it is.
        direction: ``up`` to the relay, ``down`` from it.
        kind: Its type.
    """

    whose: str
    direction: str
    kind: str

    @property
    def is_sealed(self) -> bool:
        """Whether something that was sealed is in it."""
        return self.kind in {"send", "deliver", "room_send", "room_message"}

    @override
    def __str__(self) -> str:
        return f"{self.whose}'s {self.kind}"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that the relay does to one message.

    Args:
        place: To which.
        deed: In words.
        change: What it does.
        fatal: Whether what was sealed does not arrive as it was: then nothing may open.
    """

    place: Place
    deed: str
    change: Change
    fatal: bool

    @override
    def __str__(self) -> str:
        return f"{self.place}: {self.deed}"


def _others(value: Any) -> Iterator[tuple[str, Any]]:
    """Other values of a field, of its own type and of others."""
    match value:
        case bytes() if value:
            yield "its last bit", value[:-1] + bytes([value[-1] ^ 1])
            yield "its first bit", bytes([value[0] ^ 128]) + value[1:]
            yield "cut short", value[:-1]
            yield "made longer", value + b"\0"
            yield "empty", b""
        case str():
            yield "other letters", ("b" if value[:1] == "a" else "a") * len(value)
            yield "empty", ""
            yield "made longer", value + "a"
        case int():
            yield from (("one more", value + 1), ("0", 0), ("2^40", 2**40), ("negative", -1))
        case list():
            yield from (("empty", []), ("twice", value * 2), ("strangers", ["a" * 26]))
    yield "of another type", [value] if not isinstance(value, list) else 0


def _set(key: str, value: Any) -> Change:
    return lambda message: [{**message, key: value}] if key in message else [message]


def without(key: str) -> Change:
    """The message without a field."""
    return lambda message: [{name: value for name, value in message.items() if name != key}]


def _changes(place: Place, message: Fields, earlier: Sequence[Fields], foreign: Iterable[Any]) -> Iterator[Case]:
    """Everything that is done to one message.

    Args:
        place: Where it stands.
        message: As it was in a conversation without tampering.
        earlier: The same message in others.
        foreign: Values that stand in other messages.
    """
    for key, value in message.items():
        fatal = key in _SEALED
        yield Case(place, f"without {key}", without(key), fatal)
        for words, _ in _others(value):
            yield Case(place, f"{key} {words}", _other_than(key, words), fatal)
        for older in [item[key] for item in earlier if item.get(key, value) != value][:1]:
            yield Case(place, f"{key} of an earlier one", _set(key, older), fatal)
        for number, alien in enumerate(item for item in foreign if _could_stand_for(value, item)):
            yield Case(place, f"{key} of another message ({number})", _set(key, alien), fatal)
    yield Case(place, "dropped", lambda _message: [], place.is_sealed)
    yield Case(place, "twice", lambda given: [given, given], fatal=False)
    yield Case(place, "with a field more", lambda given: [{**given, "!more": 1}], fatal=False)
    yield Case(place, "after itself as it was earlier", lambda given: [earlier[0], given], fatal=False)
    yield Case(place, "as it was earlier", lambda _message: [earlier[0]], place.is_sealed)
    yield Case(place, "in the wrong order", _later(), fatal=False)


def _could_stand_for(value: Any, other: Any) -> bool:
    """Whether the value of another field is one that this one might have: an id, a key, an envelope."""
    return type(other) is type(value) and other != value and len(other) == len(value)


def _other_than(key: str, words: str) -> Change:
    """Another value, made of the one at hand: a bit of this very envelope, not of an older one."""

    def change(message: Fields) -> list[Fields]:
        if key not in message:
            return [message]
        return [{**message, key: dict(_others(message[key]))[words]}]

    return change


def _later() -> Change:
    """Held back until the next one of its kind, which passes first; the last one is lost."""
    held: list[Fields] = []

    def change(message: Fields) -> list[Fields]:
        passing = [message, *held] if held else []
        held[:] = [] if held else [message]
        return passing

    return change


def cases_from(conversations: Sequence[Passed]) -> list[Case]:
    """All cases, from what passed in conversations without tampering."""
    places: dict[Place, list[Fields]] = {}
    for passed in conversations:
        for place, message in passed:
            places.setdefault(place, []).append(message)
    values = [value for _, message in conversations[-1] for value in message.values() if isinstance(value, str | bytes)]
    foreign = list(dict.fromkeys(values))
    types = sorted({place.kind for place in places})
    made = list[Case]()
    for place, messages in places.items():
        made += _changes(place, messages[-1], messages[:-1] or messages, foreign)
        made += [Case(place, f"as {kind}", _set("type", kind), place.is_sealed) for kind in types if kind != place.kind]
    return made


def nth(case: Case, number: int) -> Case:
    """The same with one of several messages of the kind, counted from 0, and none of the others."""
    seen = [0]

    def change(message: Fields) -> list[Fields]:
        seen[0] += 1
        return case.change(message) if seen[0] == number + 1 else [message]

    return replace(case, deed=f"{case.deed} (number {number})", change=change)


def another(key: str) -> Change:
    """One other value of a field."""

    def change(message: Fields) -> list[Fields]:
        return [{**message, key: next(other for _, other in _others(message[key]))}]

    return change


def tampering(relay: HostileRelay, names: Callable[[str], str], case: Case) -> Tamper:
    """What a case does at a relay.

    Args:
        relay: Where.
        names: Whose connection it is, by the device that logged in on it.
        case: The case.
    """

    def tamper(direction: str, message: Fields) -> Iterable[Fields]:
        place = Place(names(relay.party), direction, message["type"])
        return case.change(message) if place == case.place else (message,)

    return tamper


def noting(relay: HostileRelay, names: Callable[[str], str], passed: Passed) -> Tamper:
    """Lets everything pass as it is, and notes it."""

    def note(direction: str, message: Fields) -> Iterable[Fields]:
        passed.append((Place(names(relay.party), direction, message["type"]), message))
        return (message,)

    return note
