# SPDX-License-Identifier: Apache-2.0
"""The promises of docs/reliability.md §1 as functions over what homes durably hold. Part of the independent checker.

Each takes a ``Case`` and yields what is broken. Followed are docs/specs/ownership.md and docs/specs/store.md alone.
Forks, generations and undo have theirs in branches.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from blake3 import blake3

from tests.chaos import branches, holding
from tests.chaos.evidence import Grant, Home, Session
from tests.chaos.judged import Case, Check, Violation, is_lost, named
from tests.chaos.statements import BadStatementError, Statement, check_acceptance, check_grant, decode

# --- the store ----------------------------------------------------------------------------------------


def database_is_sound(case: Case) -> Iterator[Violation]:
    """SQLite finds no damage, and no two homes are one device."""
    for home in case.homes:
        if home.damage:
            yield Violation("store", f"{named(home)}: {home.damage}")
    if len({home.device for home in case.homes}) < len(case.homes):
        yield Violation("store", "two homes are the same device")


def nothing_falls(case: Case) -> Iterator[Violation]:
    """Counters and epochs never fall; decisions and grants never go (I2, I6)."""
    for device, before in (case.earlier or {}).items():
        home = case.home(device)
        if home is not None and device not in case.restored:
            yield from _fallen(home, before)
            yield from _gone(home, before)


def _fallen(home: Home, before: dict[str, Any]) -> Iterator[Violation]:
    if home.counter < before["counter"]:
        yield Violation("I2", f"{named(home)}: the counter fell from {before['counter']} to {home.counter}")
    epochs = {session.id: session.epoch for session in home.sessions}
    for session, epoch in before["epochs"].items():
        if epochs.get(session, 0) < epoch:
            yield Violation("I2", f"{named(home)}: epoch {epoch} of {session[:6]} became {epochs.get(session)}")


def _gone(home: Home, before: dict[str, Any]) -> Iterator[Violation]:
    decisions = {decision.txn: decision.verdict for decision in home.decisions}
    for txn, verdict in before["decisions"].items():
        if decisions.get(txn) != verdict:
            yield Violation("I6", f"{named(home)}: {txn[:6]} was {verdict} and is {decisions.get(txn)}")
    for txn in set(before["grants"]) - {grant.txn for grant in home.grants}:
        yield Violation("I6", f"{named(home)}: grant {txn[:6]} is gone")


# --- ownership ----------------------------------------------------------------------------------------


def one_device_acts(case: Case) -> Iterator[Violation]:
    """I1: one primary at most, and none whose successor has accepted."""
    for id_, holders in case.sessions().items():
        primaries = [(home, session) for home, session in holders if session.role == "primary"]
        if len(primaries) > 1:
            yield Violation("I1", f"{id_[:6]}: {' and '.join(named(home) for home, _ in primaries)} are primary")
        latest = max((epoch for epoch, _ in _tenures(case, id_)), default=0)
        for home, session in primaries:
            if session.epoch < latest:
                yield Violation("I1", f"{id_[:6]}: {named(home)} acts in epoch {session.epoch}, {latest} has begun")


def one_primary_per_epoch(case: Case) -> Iterator[Violation]:
    """I2: over all chains and all decisions an epoch has one primary, and chains do not contradict each other."""
    for id_ in case.sessions():
        owners: dict[int, set[str]] = defaultdict(set)
        for epoch, primary in _tenures(case, id_):
            owners[epoch].add(primary)
        for epoch, devices in owners.items():
            if len(devices) > 1:
                yield Violation("I2", f"{id_[:6]}: epoch {epoch} has the primaries {', '.join(sorted(devices))}")
        known = [chain for (_, session), chain in case.chains.items() if session == id_]
        for chain in known:
            for other in known:
                if any(a != b for a, b in zip(chain.links, other.links, strict=False)):
                    yield Violation("I2", f"{id_[:6]}: two histories")
                    return


def role_follows_chain(case: Case) -> Iterator[Violation]:
    """I5: epoch and owner are those of the chain; only the owner is primary or frozen; a grant is of this epoch."""
    for home in case.homes:
        for session in home.sessions:
            chain = case.chains.get((home.device, session.id))
            if chain is None:
                continue
            last, where = chain.tenures[-1], f"{named(home)}, {session.id[:6]}"
            if chain.session != session.id:
                yield Violation("I5", f"{where}: the chain is another session's")
            if (session.epoch, session.owner) != (last.epoch, last.primary):
                yield Violation("I5", f"{where}: epoch {session.epoch} where the chain says {last.epoch}")
            if (session.role == "secondary") == (last.primary == home.device) and not is_lost(home, session):
                yield Violation("I5", f"{where}: {session.role}, and the chain's primary is {last.primary[:6]}")


def lost_only_where_rolled_back(case: Case) -> Iterator[Violation]:
    """I5: what this home accepted it owns; what it has forgotten is lost here, and is so after a roll back alone."""
    for home in case.homes:
        accepted = {decision.txn for decision in home.decisions if decision.verdict == "accepted"}
        for session in home.sessions:
            chain = case.chains.get((home.device, session.id))
            if chain is None or chain.tenures[-1].primary != home.device:
                continue
            yield from _own_epoch(case, home, session, knows=chain.tenures[-1].txn in {"", *accepted})


def _own_epoch(case: Case, home: Home, session: Session, *, knows: bool) -> Iterator[Violation]:
    where = f"{named(home)}, {session.id[:6]}"
    if knows and is_lost(home, session):
        yield Violation("I5", f"{where}: secondary of the epoch that it accepted")
    elif not knows and not is_lost(home, session):
        yield Violation("I5", f"{where}: {session.role} in an epoch that this home has not accepted")
    elif is_lost(home, session) and not (home.is_rolled_back or home.device in case.restored):
        yield Violation("I5", f"{where}: the session is lost, and the home was never rolled back")


def frozen_has_its_grant(case: Case) -> Iterator[Violation]:
    """I4, I5: what is frozen was granted, in this epoch, to one device, and can be granted again."""
    for home in case.homes:
        grants = {grant.txn: grant for grant in home.grants}
        for session in home.sessions:
            if session.role == "frozen":
                yield from _outstanding(home, session, grants.get(session.frozen_txn or ""))
        outstanding = {grant.txn for grant in home.grants if grant.answer is None}
        frozen = {session.frozen_txn for session in home.sessions}
        for txn in outstanding - frozen:
            yield Violation("I5", f"{named(home)}: grant {txn[:6]} is unanswered, and nothing is frozen by it")


def _outstanding(home: Home, session: Session, grant: Grant | None) -> Iterator[Violation]:
    where = f"{named(home)}, {session.id[:6]}"
    if grant is None:
        yield Violation("I5", f"{where}: frozen without a grant")
    elif grant.answer is not None:
        yield Violation("I5", f"{where}: frozen, and its grant is answered")
    elif (grant.session, grant.epoch) != (session.id, session.epoch):
        yield Violation("I5", f"{where}: frozen by a grant of epoch {grant.epoch}")
    elif grant.manifest is None:
        yield Violation("I4", f"{where}: the manifest of the outstanding grant is gone")


def grants_are_sound(case: Case) -> Iterator[Violation]:
    """I5: every stored grant verifies, says what its row says, and its answer is the target's."""
    for home in case.homes:
        for row in home.grants:
            try:
                _check_grant_row(case, home, row)
            except BadStatementError as error:
                yield Violation("I5", f"{named(home)}, grant {row.txn[:6]}: {error}")


def decided_once(case: Case) -> Iterator[Violation]:
    """I6: no txn is accepted somewhere and refused somewhere: in a decision, an answer or a chain."""
    verdicts: dict[str, set[str]] = defaultdict(set)
    for txn, verdict in _said(case):
        verdicts[txn].add(verdict)
    for txn, said in verdicts.items():
        if len(said) > 1:
            yield Violation("I6", f"{txn[:6]} is {' and '.join(sorted(said))}")


def _said(case: Case) -> Iterator[tuple[str, str]]:
    """(txn, verdict) wherever one stands."""
    for home in case.homes:
        for decision in home.decisions:
            yield decision.txn, decision.verdict
            yield decision.txn, decode(decision.statement).kind
        yield from ((grant.txn, decode(grant.answer).kind) for grant in home.grants if grant.answer is not None)
    for chain in case.chains.values():
        yield from ((tenure.txn, "accepted") for tenure in chain.tenures[1:])


def answers_are_decisions(case: Case) -> Iterator[Violation]:
    """I6: what a source believes was answered, the target has stored; what was accepted, the source had granted."""
    for home in case.homes:
        for grant in home.grants:
            target = case.home(grant.target)
            if grant.answer is None or target is None:
                continue
            stored = {decision.txn: decision.verdict for decision in target.decisions}
            said = decode(grant.answer).kind
            if stored.get(grant.txn) != said:
                yield Violation("I6", f"{grant.txn[:6]}: {named(home)} heard {said}, stored is {stored.get(grant.txn)}")
        for decision in home.decisions:
            source = case.home(decision.source)
            if decision.verdict == "accepted" and source is not None:
                granted = {grant.txn: grant for grant in source.grants}.get(decision.txn)
                if granted is None:
                    yield Violation("I6", f"{decision.txn[:6]}: {named(home)} accepted what was never granted")
                else:
                    yield from _answers(home, decode(decision.statement), decode(granted.signed))


def resolved(case: Case) -> Iterator[Violation]:
    """I7: once the devices have met there is one active primary, nothing is frozen or pending, and all agree."""
    for id_, holders in case.sessions().items():
        roles = [session.role for _, session in holders if not session.forked]
        lost = any(is_lost(home, session) for home, session in holders)
        if roles.count("primary") != 1 and not lost:
            yield Violation("I7", f"{id_[:6]}: {roles.count('primary')} primaries ({', '.join(sorted(roles))})")
        if "frozen" in roles:
            yield Violation("I7", f"{id_[:6]} is still frozen")
        if len({(session.epoch, session.owner) for _, session in holders}) > 1:
            yield Violation("I7", f"{id_[:6]}: the devices do not agree who is primary")
    for home in case.homes:
        for pending in home.pending:
            yield Violation("I7", f"{named(home)}: part {pending.part} of {pending.txn[:6]} is not in its place")
        if home.is_rolled_back:
            yield Violation("I7", f"{named(home)} is an old copy still, and all its devices were met")


# --- content ------------------------------------------------------------------------------------------


def pending_can_go_forward(case: Case) -> Iterator[Violation]:
    """No accepted part is lost: its staging directory is there, or it is in its place already."""
    for home in case.homes:
        for pending in home.pending:
            place = next((part.path for part in home.parts_of(pending.session) if part.part == pending.part), None)
            if not pending.directory.is_dir() and (place is None or not place.exists()):
                yield Violation("I3", f"{named(home)}: {pending.part} is accepted, and neither staged nor in place")


def nothing_is_lost(case: Case) -> Iterator[Violation]:
    """I3, I4 and whole files, against what was written."""
    if case.work is not None:
        for promise, text in holding.judge(case.homes, case.work):
            yield Violation(promise, text)


def nothing_is_lost_any_more(case: Case) -> Iterator[Violation]:
    """I3 once everything is in place: the primary itself shows every acknowledged edit."""
    if case.work is not None:
        for text in holding.judge_primary(case.homes, case.work):
            yield Violation("I3", text)


ALWAYS: Final[tuple[Check, ...]] = (
    database_is_sound,
    nothing_falls,
    one_device_acts,
    one_primary_per_epoch,
    role_follows_chain,
    lost_only_where_rolled_back,
    frozen_has_its_grant,
    grants_are_sound,
    decided_once,
    answers_are_decisions,
    pending_can_go_forward,
    *branches.ALWAYS,
    nothing_is_lost,
)
AFTER_RECOVERY: Final[tuple[Check, ...]] = (resolved, *branches.AFTER_RECOVERY, nothing_is_lost_any_more)


def _tenures(case: Case, session: str) -> Iterator[tuple[int, str]]:
    """(epoch, primary) wherever somebody durably says so."""
    for (_, id_), chain in case.chains.items():
        if id_ == session:
            yield from ((tenure.epoch, tenure.primary) for tenure in chain.tenures)
    for home in case.homes:
        for decision in home.decisions:
            if decision.session == session and decision.verdict == "accepted":
                statement = decode(decision.statement)
                yield statement["epoch"], statement["target"]


def _check_grant_row(case: Case, home: Home, row: Grant) -> None:
    statement = decode(row.signed)
    said = (statement["txn"], statement["session"], statement["target"], statement["root"], statement["epoch"])
    if said != (row.txn, row.session, row.target, row.root, row.epoch):
        raise BadStatementError("the row says something else than the statement")
    if row.manifest is not None and blake3(row.manifest).digest() != row.root:
        raise BadStatementError("the manifest is not the granted one")
    if row.answer is not None:
        _check_answer(decode(row.answer), statement)
    chain = case.chains.get((home.device, row.session))
    if chain is not None and row.answer is None:
        check_grant(statement, row.session, chain.tenures[-1], chain.key, chain.links[-1])


def _check_answer(answer: Statement, grant: Statement) -> None:
    if answer.kind == "accepted":
        check_acceptance(answer, grant)
        return
    answer.check_signed_by(grant["target_key"])
    if any(answer[name] != grant[name] for name in ("session", "txn", "source", "target")):
        raise BadStatementError("the refusal is about something else")


def _answers(home: Home, accepted: Statement, grant: Statement) -> Iterator[Violation]:
    try:
        check_acceptance(accepted, grant)
    except BadStatementError as error:
        yield Violation("I6", f"{named(home)}, {grant['txn'][:6]}: {error}")
