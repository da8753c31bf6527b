# SPDX-License-Identifier: Apache-2.0
"""I1 to I6 of docs/reliability.md, said once more in code that shares nothing with the product's rules.

``summary`` takes the bare facts out of one device's durable state; the checks look at facts only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from p2p_handoff.ids import DeviceId, SessionId, TxnId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.messages import Message
from p2p_handoff.session.signed import SignedStatement, encode_signed
from p2p_handoff.session.statement_codec import decode_statement
from p2p_handoff.session.statements import Accepted, Grant, Refused
from tests.explore import cast
from tests.explore.device import Copies, Device, Durable

Handoff = tuple[DeviceId, TxnId]
"""Its source and its txn: nobody else's word under the same txn is about it."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What one device durably says of one session."""

    role: str
    epoch: int
    primary: DeviceId
    frozen: TxnId | None
    frozen_epoch: int
    forked: bool
    copies: Copies
    chain_epoch: int
    chain_primary: DeviceId


@dataclass(frozen=True, slots=True)
class Summary:
    """What one device durably says."""

    me: DeviceId
    sessions: tuple[tuple[SessionId, Facts], ...]
    accepted: tuple[tuple[Handoff, SessionId, int], ...]
    """Handoffs that this device accepted, with the epoch that began."""
    refused: tuple[Handoff, ...]
    granted: tuple[tuple[Handoff, SessionId, int, str], ...]
    """Handoffs that this device granted, with the epoch given away, and ``accepted``, ``refused`` or ``open``."""
    pending: bool
    """Something accepted, undone or merged is not in place yet."""
    fork: str = ""
    """How far its fork of the original is, where that is looked at: ``open``, ``rejoined`` or ``merged``."""
    restored: bool = False
    """Its home was exchanged for an older copy of it."""
    acted: bool = False
    """And acted before anybody could tell it."""
    behind: bool = False
    """It takes its home for an old copy."""


Acked = Mapping[SessionId, tuple[int, ...]]
"""The last acknowledged version of every part."""


def summary(device: Device) -> Summary:
    """The facts of one device."""
    durable, mark = device.durable, device.durable.mark
    copies = dict(durable.content)
    sessions = []
    for session, held in durable.held:
        own = held.ownership
        frozen = own.frozen
        sessions.append(
            (
                session,
                Facts(
                    role=own.role.value,
                    epoch=own.epoch,
                    primary=own.primary,
                    frozen=frozen.txn if frozen else None,
                    frozen_epoch=frozen.epoch if frozen else 0,
                    forked=own.forked,
                    copies=copies.get(session, ()),
                    chain_epoch=(len(held.chain) + 1) // 2,
                    chain_primary=held.state.primary,
                ),
            )
        )
    said = [(decision.source, decode_statement(decision.statement.body)) for _, decision in durable.decisions]
    return Summary(
        me=cast.device_id(device.me),
        sessions=tuple(sessions),
        accepted=tuple(
            ((source, item.txn), item.session, item.epoch) for source, item in said if isinstance(item, Accepted)
        ),
        refused=tuple((source, item.txn) for source, item in said if isinstance(item, Refused)),
        granted=tuple(_grant(granted.signed, granted.answer) for _, granted in durable.grants),
        pending=bool(durable.pending or durable.changes),
        fork=next((fork.state.value for _, fork in durable.forks), ""),
        restored=device.past.restored,
        acted=device.past.acted,
        behind=mark is not None and mark.counter < mark.floor,
    )


def _grant(signed: SignedStatement, answer: SignedStatement | None) -> tuple[Handoff, SessionId, int, str]:
    grant = decode_statement(signed.body)
    assert isinstance(grant, Grant)
    end = "open" if answer is None else "accepted" if isinstance(decode_statement(answer.body), Accepted) else "refused"
    return (grant.source, grant.txn), grant.session, grant.epoch, end


def _of(devices: tuple[Summary, ...], session: SessionId) -> list[tuple[Summary, Facts]]:
    return [(device, facts) for device in devices for name, facts in device.sessions if name == session]


def one_actor(devices: tuple[Summary, ...], acked: Acked) -> bool:
    """I1: at most one device may act on a session; a restored home may take itself for an earlier epoch's primary."""
    return all(_one_actor(_of(devices, session)) for session in acked)


def _one_actor(devices: list[tuple[Summary, Facts]]) -> bool:
    primaries = [(facts.epoch, device) for device, facts in devices if facts.role == "primary"]
    latest = max((epoch for epoch, _ in primaries), default=0)
    return sum(epoch == latest or not device.restored for epoch, device in primaries) <= 1


def one_primary_an_epoch(devices: tuple[Summary, ...], acked: Acked) -> bool:
    """I2: no epoch was accepted by two devices, or granted twice unless the first grant was refused."""
    begun = [(session, epoch) for device in devices for _, session, epoch in device.accepted]
    given = [(session, epoch) for device in devices for _, session, epoch, end in device.granted if end != "refused"]
    del acked
    return len(begun) == len(set(begun)) and len(given) == len(set(given))


def primary_has_everything(devices: tuple[Summary, ...], acked: Acked) -> bool:
    """I3: a primary holds every acknowledged edit of its parts; what it does not hold is where it says."""
    return all(
        _has(devices, session, facts.copies, versions)
        for session, versions in acked.items()
        for _, facts in _of(devices, session)
        if facts.role == "primary"
    )


def nothing_lost(devices: tuple[Summary, ...], acked: Acked) -> bool:
    """I4: the durable copies of primary and frozen source together hold everything acknowledged."""
    restored = frozenset(device.me for device in devices if device.restored)
    return _forks_are_whole(devices, acked) and all(
        any(
            _has(devices, session, facts.copies, versions)
            for _, facts in _of(devices, session)
            if facts.role in ("primary", "frozen")
        )
        or is_lost(_of(devices, session), restored)
        for session, versions in acked.items()
    )


def _forks_are_whole(devices: tuple[Summary, ...], acked: Acked) -> bool:
    """What a fork held is in its original once the fork is over: the hundreds of the versions there."""
    over = any(device.fork in ("rejoined", "merged") for device in devices)
    pairs = zip(acked[cast.ORIGINAL], acked.get(cast.FORK, ()), strict=False)
    return not over or all(original // 100 >= fork % 10 for original, fork in pairs)


def is_lost(devices: list[tuple[Summary, Facts]], restored: frozenset[DeviceId]) -> bool:
    """The device that the latest chain makes primary was restored from before, and nobody else has the session."""
    latest = max((facts.chain_epoch for _, facts in devices), default=0)
    owners = {facts.chain_primary for _, facts in devices if facts.chain_epoch == latest}
    holders = {device.me for device, facts in devices if facts.role != "secondary"}
    return bool(owners & restored - holders)


def _has(devices: tuple[Summary, ...], session: SessionId, copies: Copies, versions: tuple[int, ...]) -> bool:
    return len(copies) == len(versions) and all(
        version == acked if holder is None else _pinned(devices, session, holder, part) == acked
        for part, ((version, holder), acked) in enumerate(zip(copies, versions, strict=True))
    )


def _pinned(devices: tuple[Summary, ...], session: SessionId, holder: int, part: int) -> int | None:
    copies = dict(devices[holder].sessions).get(session)
    if copies is None or copies.copies[part][1] is not None:
        return None
    return copies.copies[part][0]


def epochs_agree(devices: tuple[Summary, ...], acked: Acked) -> bool:
    """I5: every record stands in the epoch that its signed chain proves, and a grant gives away that very epoch."""
    return all(
        facts.epoch == facts.chain_epoch
        and facts.primary == facts.chain_primary
        and ((facts.role == "secondary") == (facts.primary != device.me) or _lost_here(device, facts))
        and (facts.frozen is None or facts.frozen_epoch == facts.epoch)
        for session in acked
        for device, facts in _of(devices, session)
    )


def _lost_here(device: Summary, facts: Facts) -> bool:
    return device.restored and facts.role == "secondary"


def decided_once(devices: tuple[Summary, ...], acked: Acked) -> bool:
    """I6: a handoff is never both accepted and refused, by whoever's record."""
    del acked
    accepted = {txn for device in devices for txn, _, _ in device.accepted}
    accepted |= {txn for device in devices for txn, _, _, end in device.granted if end == "accepted"}
    refused = {txn for device in devices for txn in device.refused}
    refused |= {txn for device in devices for txn, _, _, end in device.granted if end == "refused"}
    return not accepted & refused


INVARIANTS: Final[dict[str, Callable[[tuple[Summary, ...], Acked], bool]]] = {
    "I1": one_actor,
    "I2": one_primary_an_epoch,
    "I3": primary_has_everything,
    "I4": nothing_lost,
    "I5": epochs_agree,
    "I6": decided_once,
}


def violated(devices: tuple[Summary, ...], acked: Acked) -> str | None:
    """The first invariant that does not hold."""
    return next((name for name, holds in INVARIANTS.items() if not holds(devices, acked)), None)


def at_rest(devices: tuple[Summary, ...], acked: Acked) -> bool:
    """What I7 wants to be reached: every session has one active primary, and no grant awaits its answer."""
    restored = frozenset(device.me for device in devices if device.restored)
    owned = all(_is_owned(_of(devices, session), restored) for session in acked)
    return owned and not any(item.pending or item.behind for item in devices)


def somebody_knows(devices: tuple[Summary, ...]) -> bool:
    """A grant awaits its answer on one of these devices while another one's chain already goes on behind it."""
    return any(
        facts.frozen is not None and other.chain_epoch > facts.frozen_epoch
        for device in devices
        for session, facts in device.sessions
        for _, other in _of(devices, session)
    )


def _is_owned(facts: list[tuple[Summary, Facts]], restored: frozenset[DeviceId]) -> bool:
    roles = [item.role for _, item in facts]
    owners = 0 if is_lost(facts, restored) else 1
    return roles.count("primary") == owners and "frozen" not in roles


def bad_step(before: Durable, after: Durable) -> str | None:
    """What a single durable change breaks: epochs fall, decisions change, somebody acts in a stale epoch."""
    was = dict(before.held)
    for session, held in after.held:
        old = was.get(session)
        if old is not None and held.ownership.epoch < old.ownership.epoch:
            return "I2: an epoch fell"
    kept = dict(after.decisions)
    for txn, decision in before.decisions:
        if kept.get(txn) != decision:
            return "I6: a decision changed"
    return next(_effects_of_other_epochs(before, after), None)


def not_ready(device: Device, after: Durable) -> str | None:
    """I5: what is accepted answers this device's own latest READY of that handoff, which a restart forgets."""
    before = {txn for txn, _ in device.durable.decisions}
    nonces = {item.machine.txn: item.nonce for item in device.ins}
    primary = [held for _, held in after.held if held.ownership.role.value == "primary"]
    chains = {txn: held.chain for held in primary for txn in held.state.accepted}
    for txn, decision in after.decisions:
        # What a restored home learns of its own acceptances does not make it primary.
        if txn in before or txn not in chains or not isinstance(decode_statement(decision.statement.body), Accepted):
            continue
        grant = decode_statement(chains[txn][-2].body)
        if not isinstance(grant, Grant) or not grant.nonce or grant.nonce != nonces.get(txn):
            return "I5: accepted a grant that answers no READY of this run"
    return None


def said_too_early(durable: Durable, sends: Iterable[tuple[int, Message]]) -> str | None:
    """I6: a decision is durable before it is said; a txn that is another source's is refused without more."""
    decisions = dict(durable.decisions)
    for to, message in sends:
        if not isinstance(message, msg.Accepted | msg.Refused):
            continue
        decision = decisions.get(message.txn)
        if decision is None:
            return "I6: a decision was said before it was stored"
        if decision.source == cast.device_id(to) and encode_signed(decision.statement) != message.statement:
            return "I6: another decision was said than was stored"
    return None


def _effects_of_other_epochs(before: Durable, after: Durable) -> Iterator[str]:
    """I5: who begins to act has accepted a later epoch, or was told by its own target that nobody did."""
    was = dict(before.held)
    answers = {txn: granted.answer for txn, granted in after.grants}
    new = {txn for txn, _ in after.decisions} - {txn for txn, _ in before.decisions}
    for session, held in after.held:
        old = was.get(session)
        role = held.ownership.role.value
        if role != "primary" or (old is not None and old.ownership.role.value == "primary"):
            continue
        if old is not None and old.ownership.frozen is not None:
            answer = answers.get(old.ownership.frozen.txn)
            said = None if answer is None else decode_statement(answer.body)
            if not isinstance(said, Refused) or said.txn != old.ownership.frozen.txn:
                yield "I5: thawed without a refusal of this grant"
        elif old is not None and (held.ownership.epoch <= old.ownership.epoch or not new):
            yield "I5: accepted in a stale epoch"


def bad_change(before: Durable, after: Durable) -> str | None:
    """What a step breaks about undos and merges, and whether a change of ownership was counted."""
    new = after.taken_in[len(before.taken_in) :]
    roles = {session: held.ownership.role.value for session, held in after.held}
    was, now = dict(before.content).get(cast.ORIGINAL, ()), dict(after.content).get(cast.ORIGINAL, ())
    came_back = any(there[0] // 10 % 10 > here[0] // 10 % 10 for here, there in zip(was, now, strict=False))
    here = roles.get(cast.ORIGINAL)
    accepted = after.decisions != before.decisions
    broken = {
        "I5: a fork was taken in twice": len(set(after.taken_in)) < len(after.taken_in),
        "I5: a fork was taken in by a device that is not the primary": bool(new) and here != "primary",
        "I5: an undo by a device that is not the primary": came_back and not accepted and here != "primary",
        "I4: an undo discarded what was there": came_back and not accepted and was not in after.kept,
        "I5: a change of ownership was not counted": _uncounted(before, after),
    }
    return next((words for words, applies in broken.items() if applies), None)


def _uncounted(before: Durable, after: Durable) -> bool:
    if before.mark is None or after.mark is None:
        return False
    changed = (before.held, before.decisions, before.grants) != (after.held, after.decisions, after.grants)
    return changed and after.mark.counter <= before.mark.counter


def bad_old_copy(before: Device, after: Device) -> str | None:
    """Ownership, §7: what a restored home that was told so does before everybody was heard."""
    was, now = before.durable, after.durable
    if not after.past.restored:
        return None
    if before.past.told and takes_part(was, now):
        return "I5: an old copy of a home froze, thawed, accepted or refused"
    was_confirmed = before.past.noticed and not before.past.told
    confirmed = after.past.noticed and not after.past.told
    if confirmed and not was_confirmed and not knows_all(after):
        return "I5: an old copy was confirmed before everybody was heard"
    return None


def takes_part(was: Durable, now: Durable) -> bool:
    """Whether a step froze, thawed, accepted or refused."""
    old = {session: held.ownership.role.value for session, held in was.held}
    roles = {session: held.ownership.role.value for session, held in now.held}
    begins = any(role != "secondary" and old.get(session) != role for session, role in roles.items())
    known = {txn for txn, _ in was.decisions}
    refused = any(decision.verdict.value == "refused" and txn not in known for txn, decision in now.decisions)
    return begins or refused


def knows_all(device: Device) -> bool:
    """Whether every linked device has listed what it knows, and it is known here."""
    lists = dict(device.past.lists)
    chains = {session: (len(held.chain) + 1) // 2 for session, held in device.durable.held}
    peers = {peer for peer, _ in device.durable.seen}
    return peers == set(lists) and all(
        chains.get(session, 0) >= epoch or (session not in chains and owner != cast.device_id(device.me))
        for owners in lists.values()
        for session, epoch, owner in owners
    )
