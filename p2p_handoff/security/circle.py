# SPDX-License-Identifier: Apache-2.0
"""Which devices are one's own, judged from signed statements. Layer: security, pure.

Specification: docs/specs/circle.md §3.

Rules:

- A device believes itself, and whomever it, or one that it believes, has admitted: those are *heard*.
- A revocation by anyone who is heard ends all admissions of its subject up to its number. It wins over whatever is
  concurrent, and nothing that the subject says undoes it: the next admission must be signed by a member.
- *Members* are reached from this device through admissions that have not ended, by signers that are members.
- Whom this device itself disowned is not heard, nor is who is known through it alone.
- Of one signer's statements of a kind about one subject the one with the highest number counts, and no other.

The judgement depends on the set of statements and on nothing else: not on their order, nor on any clock. A book holds
the statements whose signatures were checked; ``take`` adds to it, ``judge`` says what follows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from p2p_handoff.errors import HandoffError, RemoteProtocolError, TrustError
from p2p_handoff.ids import DeviceId
from p2p_handoff.limits import MAX_CIRCLE_BY_SIGNER, MAX_CIRCLE_STATEMENTS
from p2p_handoff.security.circle_statements import (
    Admission,
    CircleStatement,
    Revocation,
    SignedCircleStatement,
    verify_circle_statement,
)
from p2p_handoff.security.identity import PublicIdentity

_Place = tuple[DeviceId, type[CircleStatement], DeviceId]
"""Signer, kind, subject: one statement counts of each."""


@dataclass(frozen=True, slots=True)
class Member:
    """An own device."""

    identity: PublicIdentity
    name: str
    """What the device calls it that introduced it."""
    by: DeviceId
    """Who introduced it: this device itself where a person linked the two by code."""
    number: int
    """Its highest admission."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows from a book."""

    members: Mapping[DeviceId, Member]
    """The person's other devices."""
    heard: frozenset[DeviceId]
    """Whose statements count, this device included."""
    revoked: Mapping[DeviceId, Revocation]
    """The revocation with the highest number of each device that has one, also of devices admitted again since."""
    expelled: Revocation | None
    """By what this device itself was revoked, if it was: then there are no members."""

    def number_of(self, device: DeviceId) -> int:
        """How many admissions of a device have ended."""
        return _ended(self.revoked, device)


@dataclass(frozen=True, slots=True)
class Entry:
    """A statement whose signature was checked."""

    signed: SignedCircleStatement
    statement: CircleStatement

    @property
    def place(self) -> _Place:
        """What another statement would have to say to take its place."""
        return (self.statement.signer, type(self.statement), self.statement.subject)

    @property
    def rank(self) -> tuple[int, bytes]:
        """The highest of a place counts; equal numbers are told apart by digest, so that all devices choose alike."""
        return (self.statement.number, self.signed.digest)


@dataclass(frozen=True, slots=True)
class Book:
    """The statements that one device holds.

    Args:
        me: The device's keys.
        entries: One per signer, kind and subject, in the order in which they were taken.
    """

    me: PublicIdentity
    entries: Mapping[_Place, Entry] = field(default_factory=dict)

    def statements(self) -> tuple[SignedCircleStatement, ...]:
        """All of them, each after those that make its signer heard."""
        return tuple(entry.signed for entry in self.entries.values())


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of statements that were offered."""

    book: Book
    fresh: tuple[SignedCircleStatement, ...]
    """Those that the book did not have and has now."""
    refused: tuple[str, ...]
    """Why others were not taken, once per reason."""


def take(book: Book, offered: Iterable[SignedCircleStatement]) -> Taken:
    """Add statements that are signed by devices that are heard; the order in which they are offered does not matter.

    Whatever is wrong with a statement is a reason in ``refused``; nothing is raised.
    """
    taken = _Taking(book)
    waiting = taken.read(offered)
    while waiting:
        left = [entry for entry in waiting if not taken.settle(entry)]
        if len(left) == len(waiting):
            taken.refuse("it is signed by a device that is not known as an own one")
            break
        waiting = left
    return taken.result()


class _Taking:
    """One run of ``take``."""

    def __init__(self, book: Book) -> None:
        self._me = book.me
        self._entries = dict(book.entries)
        self._fresh: dict[_Place, SignedCircleStatement] = {}
        self._reasons: dict[str, None] = {}
        self._keys = _heard_keys(book.me, self._entries)
        self._deaf = _disowned(book.me.device, self._said())
        self._by_signer = Counter(signer for signer, _, _ in self._entries)

    def read(self, offered: Iterable[SignedCircleStatement]) -> list[Entry]:
        """Those that are statements at all."""
        entries = []
        for signed in offered:
            try:
                entries.append(Entry(signed, signed.read()))
            except HandoffError as error:
                self.refuse(error.what)
        return entries

    def settle(self, entry: Entry) -> bool:
        """Take or refuse a statement; False while its signer is not heard."""
        key = self._keys.get(entry.statement.signer)
        if key is None:
            return False
        known = self._entries.get(entry.place)
        if known is None or known.rank < entry.rank:
            try:
                self._make_room(entry, known)
                verify_circle_statement(entry.signed, key)
                self._take(entry)
            except HandoffError as error:
                self.refuse(error.what)
        return True

    def refuse(self, reason: str) -> None:
        self._reasons[reason] = None

    def result(self) -> Taken:
        return Taken(Book(self._me, MappingProxyType(self._entries)), tuple(self._fresh.values()), tuple(self._reasons))

    def _take(self, entry: Entry) -> None:
        statement = entry.statement
        self._by_signer[statement.signer] += entry.place not in self._entries
        self._entries[entry.place] = entry
        self._fresh[entry.place] = entry.signed
        if statement.signer == self._me.device:  # It may silence others as well.
            self._keys, self._deaf = _heard_keys(self._me, self._entries), _disowned(self._me.device, self._said())
        elif isinstance(statement, Admission) and statement.subject not in self._deaf:
            self._keys.setdefault(statement.subject, statement.identity.identity_key)

    def _said(self) -> list[CircleStatement]:
        return [entry.statement for entry in self._entries.values()]

    def _make_room(self, entry: Entry, known: Entry | None) -> None:
        signer = entry.statement.signer
        full = self._by_signer[signer] >= MAX_CIRCLE_BY_SIGNER or len(self._entries) >= MAX_CIRCLE_STATEMENTS
        if known is None and full and signer != self._me.device:
            raise RemoteProtocolError("a device says more about own devices than anybody has")


def judge(book: Book) -> Judgement:
    """What follows from the statements of a book."""
    statements = [entry.statement for entry in book.entries.values()]
    me = book.me.device
    heard = frozenset(_heard_keys(book.me, book.entries))
    revoked = _revocations(statements, heard)
    members = _members(me, statements, heard, revoked)
    expelled = revoked.get(me)
    if expelled is not None and expelled.number < _admitted(me, statements, members):
        expelled = None
    return Judgement(MappingProxyType({} if expelled else members), heard, MappingProxyType(revoked), expelled)


def relevant(book: Book) -> Book:
    """The book without what no device that is heard has said: after somebody was disowned, that may be much."""
    heard = _heard_keys(book.me, book.entries)
    kept = {place: entry for place, entry in book.entries.items() if entry.statement.signer in heard}
    return replace(book, entries=MappingProxyType(kept))


def admissions_to_keep(book: Book, judgement: Judgement) -> tuple[tuple[DeviceId, Member], ...]:
    """Members that this device has not admitted itself: it does before a member goes through whom it may know them."""
    me = book.me.device
    mine = {
        entry.statement.subject: entry.statement.number
        for entry in book.entries.values()
        if entry.statement.signer == me and isinstance(entry.statement, Admission)
    }
    return tuple((device, member) for device, member in judgement.members.items() if mine.get(device) != member.number)


def new_entries(book: Book, signed: Iterable[SignedCircleStatement]) -> Book:
    """A book with statements that this device has stored: they were checked before.

    Raises:
        TrustError: They are not what was stored.
    """
    entries = dict(book.entries)
    try:
        for item in signed:
            entry = Entry(item, item.read())
            entries[entry.place] = entry
    except RemoteProtocolError as error:
        raise TrustError("the stored statements about own devices are damaged") from error
    return replace(book, entries=MappingProxyType(entries))


# --- inside -----------------------------------------------------------------------------------------


def _heard_keys(me: PublicIdentity, entries: Mapping[_Place, Entry]) -> dict[DeviceId, bytes]:
    """Who is heard, and by which key: the closure from this device, past whom it disowned."""
    statements = [entry.statement for entry in entries.values()]
    deaf = _disowned(me.device, statements)
    by_signer: dict[DeviceId, list[Admission]] = {}
    for statement in statements:
        if isinstance(statement, Admission):
            by_signer.setdefault(statement.signer, []).append(statement)
    keys = {me.device: me.identity_key}
    line = [me.device]
    while line:
        for admission in by_signer.get(line.pop(), ()):
            subject = admission.subject
            if subject not in keys and subject not in deaf:
                keys[subject] = admission.identity.identity_key
                line.append(subject)
    return keys


def _disowned(me: DeviceId, statements: Iterable[CircleStatement]) -> frozenset[DeviceId]:
    """Whom this device disowned, and has not admitted again."""
    mine = [statement for statement in statements if statement.signer == me]
    admitted = {item.subject: item.number for item in mine if isinstance(item, Admission)}
    return frozenset(
        item.subject
        for item in mine
        if isinstance(item, Revocation) and item.disowns and item.number >= admitted.get(item.subject, 0)
    )


def _revocations(statements: Iterable[CircleStatement], heard: frozenset[DeviceId]) -> dict[DeviceId, Revocation]:
    found: dict[DeviceId, Revocation] = {}
    for item in statements:
        if isinstance(item, Revocation) and item.signer in heard:
            known = found.get(item.subject)
            # Of equal ones the one by the lowest id is told, so that all devices tell the same.
            if known is None or (item.number, known.signer) > (known.number, item.signer):
                found[item.subject] = item
    return found


def _members(
    me: DeviceId,
    statements: Iterable[CircleStatement],
    heard: frozenset[DeviceId],
    revoked: Mapping[DeviceId, Revocation],
) -> dict[DeviceId, Member]:
    """In rings around this device: within a ring the introducer with the lowest id is the one that is told."""
    by_signer: dict[DeviceId, list[Admission]] = {}
    for item in statements:
        if isinstance(item, Admission) and item.subject in heard and item.number > _ended(revoked, item.subject):
            by_signer.setdefault(item.signer, []).append(item)
    members: dict[DeviceId, Member] = {}
    ring = [me]
    while ring:
        said = [item for signer in sorted(ring) for item in by_signer.get(signer, ()) if item.subject != me]
        ring = list(dict.fromkeys(item.subject for item in said if item.subject not in members))
        for item in said:
            fresh = Member(item.identity, item.name, item.signer, item.number)
            known = members.setdefault(item.subject, fresh)
            members[item.subject] = replace(known, number=max(known.number, item.number))
    return members


def _ended(revoked: Mapping[DeviceId, Revocation], device: DeviceId) -> int:
    revocation = revoked.get(device)
    return 0 if revocation is None else revocation.number


def _admitted(me: DeviceId, statements: Iterable[CircleStatement], members: Mapping[DeviceId, Member]) -> int:
    """The highest admission of this device by a member."""
    numbers = (
        item.number
        for item in statements
        if isinstance(item, Admission) and item.subject == me and item.signer in members
    )
    return max(numbers, default=0)
