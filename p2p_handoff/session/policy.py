# SPDX-License-Identifier: Apache-2.0
"""What a linked device may do, by kind of part: ask, accept or refuse; what may leave to it; where its things land.

Layer: session, pure. Specification: docs/configuration.md. A table of the settings may be silent about a matter; the
most specific table that speaks of it decides: the device's for that kind, the device's, then the same two for whose
device it is, then the default. Matters are decided one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeVar

from p2p_handoff.ids import DeviceId, PartId
from p2p_handoff.security.link_terms import LinkKind
from p2p_handoff.session.manifest import PartType

_T = TypeVar("_T")


class Verdict(Enum):
    """What is answered to a device that wants something."""

    ACCEPT = "accept"
    """Nobody is asked."""
    ASK = "ask"
    """The person at this device is."""
    REFUSE = "refuse"


ALL_TYPES: Final = frozenset(PartType)


@dataclass(frozen=True, slots=True)
class Rule:
    """What one table says; None where it is silent."""

    push: Verdict | None = None
    """The device hands a session to this one."""
    take: Verdict | None = None
    """It fetches a session from this one."""
    may_leave: frozenset[PartType] | None = None
    """Types of parts that may go to it."""
    into: str | None = None
    """Absolute path of the directory for what is new here."""


@dataclass(frozen=True, slots=True)
class Table:
    """What is said of a device, or of all devices of one sort."""

    rule: Rule = Rule()
    kinds: Mapping[str, Rule] = field(default_factory=dict)
    """By kind of part, where that differs."""


@dataclass(frozen=True, slots=True)
class General:
    """What holds for devices that have no table of their own."""

    own: Table = Table()
    other: Table = Table()


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one device and one kind of part."""

    push: Verdict
    take: Verdict
    may_leave: frozenset[PartType]
    into: str | None
    """None: the general directory."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part as far as a policy looks at it."""

    id: PartId
    type: PartType
    kind: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is answered to a push or a take."""

    verdict: Verdict
    without: frozenset[PartId]
    """Parts that are left out, whatever a person answers."""


NOTHING: Final = Rule(Verdict.REFUSE, Verdict.REFUSE, frozenset(), None)
"""For a device that is not linked, or of which the settings do not speak clearly."""
DEFAULTS: Final[Mapping[LinkKind, Rule]] = {
    LinkKind.OWN: Rule(Verdict.ACCEPT, Verdict.ACCEPT, ALL_TYPES, None),
    LinkKind.OTHER: Rule(Verdict.ASK, Verdict.REFUSE, ALL_TYPES, None),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """All that holds for one device: the tables that speak of it, the most specific one first, and the default."""

    tables: tuple[Table, ...]
    default: Rule

    def terms(self, kind: str) -> Terms:
        """What holds for one kind of part."""
        rules = [*self._rules(kind), self.default]
        return Terms(
            push=_first(rules, lambda rule: rule.push) or Verdict.REFUSE,
            take=_first(rules, lambda rule: rule.take) or Verdict.REFUSE,
            may_leave=_first(rules, lambda rule: rule.may_leave) or frozenset(),
            into=_first(rules, lambda rule: rule.into),
        )

    def withheld(self, pieces: Iterable[Piece]) -> frozenset[PartId]:
        """Parts that may not leave to the device."""
        return frozenset(piece.id for piece in pieces if piece.type not in self.terms(piece.kind).may_leave)

    def judge_push(self, pieces: Iterable[Piece]) -> Judgement:
        """What is answered to an offer of these parts: the parts that are refused are left out, if others remain."""
        return _judgement({piece.id: self.terms(piece.kind).push for piece in pieces})

    def judge_take(self, pieces: Iterable[Piece]) -> Judgement:
        """What is answered to a device that fetches a session of these parts."""
        return _judgement(
            {
                piece.id: terms.take if piece.type in terms.may_leave else Verdict.REFUSE
                for piece in pieces
                for terms in (self.terms(piece.kind),)
            }
        )

    def _rules(self, kind: str) -> Iterator[Rule]:
        for table in self.tables:
            if kind in table.kinds:
                yield table.kinds[kind]
            yield table.rule


STRANGER: Final = Policy((), NOTHING)


@dataclass(frozen=True, slots=True)
class Known:
    """A linked device."""

    device: DeviceId
    name: str
    kind: LinkKind


@dataclass(frozen=True, slots=True)
class Unclear:
    """A device's table that cannot be followed."""

    key: str
    """As it is named in the settings."""
    devices: tuple[DeviceId, ...]
    """Those it may mean."""


def policy_of(peer: Known | None, general: General, devices: Mapping[str, Table], linked: Iterable[Known]) -> Policy:
    """What holds for a device. While it is not clear whether a table means it, everything is refused.

    Args:
        peer: None for a device that is not linked.
        general: For devices without a table of their own.
        devices: Tables by name or beginning of an id, as the settings have them.
        linked: All linked devices.
    """
    if peer is None:
        return STRANGER
    everybody = tuple(linked)
    if any(peer.device in item.devices for item in unclear(devices, everybody)):
        return STRANGER
    own = [table for key, table in devices.items() if peer in fitting(key, everybody)]
    shared = general.own if peer.kind is LinkKind.OWN else general.other
    return Policy((*own, shared), DEFAULTS[peer.kind])


def fitting(key: str, linked: Iterable[Known]) -> tuple[Known, ...]:
    """The devices that a table's name may mean.

    Names and beginnings of ids count alike: a device that calls itself as another one's id begins is noticed.
    """
    wanted = key.casefold()
    return tuple(
        known for known in linked if wanted and (known.name.casefold() == wanted or known.device.startswith(wanted))
    )


def unclear(devices: Mapping[str, Table], linked: Iterable[Known]) -> tuple[Unclear, ...]:
    """Tables whose name fits several devices, and every further table of a device that has one."""
    everybody = tuple(linked)
    found: list[Unclear] = []
    taken: set[DeviceId] = set()
    for key in devices:
        meant = [known.device for known in fitting(key, everybody)]
        if len(meant) > 1 or taken.intersection(meant):
            found.append(Unclear(key, tuple(meant)))
        taken.update(meant)
    return tuple(found)


def _judgement(verdicts: Mapping[PartId, Verdict]) -> Judgement:
    refused = frozenset(part for part, verdict in verdicts.items() if verdict is Verdict.REFUSE)
    left = {verdict for verdict in verdicts.values() if verdict is not Verdict.REFUSE}
    if not left:
        return Judgement(Verdict.REFUSE, refused)
    return Judgement(Verdict.ASK if Verdict.ASK in left else Verdict.ACCEPT, refused)


def _first(rules: Iterable[Rule], matter: Callable[[Rule], _T | None]) -> _T | None:
    return next((said for rule in rules if (said := matter(rule)) is not None), None)
