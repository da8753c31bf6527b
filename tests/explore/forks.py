# SPDX-License-Identifier: Apache-2.0
"""How forks and undos change what a device holds: agent/forking.py, reunion.py, merging.py and undoing.py.

Content is one number for each part: the ones count edits, the tens undos, the hundreds are the edits of a fork that
was taken in. So a state that lacks one of them is smaller than what was acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from p2p_handoff.content.digests import digest
from p2p_handoff.errors import RejectedError
from p2p_handoff.ids import SessionId
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol import reunion, wishes
from p2p_handoff.protocol import source as src
from p2p_handoff.protocol.messages import Mode, RejectReason
from p2p_handoff.protocol.reunion import Merging, Reunion
from p2p_handoff.protocol.source import Source
from p2p_handoff.protocol.target import TargetState
from p2p_handoff.protocol.wishes import Undo
from p2p_handoff.session import chain as chains
from p2p_handoff.session import journal
from p2p_handoff.session.journal import ForkState
from p2p_handoff.session.ownership import Role
from tests.explore import cast, source_shell
from tests.explore.device import Change, Copies, Doing, Fork, In, Out, find, put
from tests.explore.happening import Input, Kind
from tests.explore.scope import Scope

UNDO: Final = cast.txn(19)
"""The id of every undo: no two are under way at once."""
_OVER: Final = (TargetState.RESUMED, TargetState.REFUSED, TargetState.ENDED)


def edits(version: int) -> int:
    """How often a part was edited."""
    return version % 10


def undone(version: int) -> int:
    """How often it was brought back."""
    return version // 10 % 10


def with_fork(mine: Copies, fork: Copies) -> Copies:
    """The original with what a fork holds; doing so again changes nothing."""
    merged = []
    for (version, holder), (other, _) in zip(mine, fork, strict=True):
        taken = max(version // 100, edits(other))
        merged.append((version % 100 + 100 * taken if holder is None else version, holder))
    return tuple(merged)


def is_moving(doing: Doing, session: SessionId) -> bool:
    """Handoffs.is_busy, pending commits, and changes."""
    out = any(out.machine.session == session for out in doing.outs.values())
    arriving = any(item.machine.session == session and item.machine.state not in _OVER for item in doing.ins.values())
    return out or arriving or is_changing(doing, session)


def is_changing(doing: Doing, session: SessionId) -> bool:
    """Something of the session is still to be put in place."""
    accepted = find(doing.durable.held, session)
    pending = accepted is not None and any(txn in accepted.state.accepted for txn in doing.durable.pending)
    return pending or doing.change_of(session) is not None


# --- the device that made the fork ------------------------------------------------------------------


def fork(doing: Doing, session: SessionId, reunites: bool) -> None:
    """Agent.fork: the work goes on here, from what this device holds."""
    held = doing.held(session)
    assert held is not None
    copies = doing.copies(session)
    root = digest(cast.manifest(cast.FORK, copies))
    begun = chains.create(doing.identity, cast.FORK, root, journal.parent_of(held))
    marked, made = journal.fork(held, begun, me=doing.id)
    left = b"" if held.ownership.frozen is None else _granted(doing, held.ownership.frozen.txn)
    doing.save(marked)
    doing.save(made)
    doing.save_copies(cast.FORK, copies)
    doing.count()
    doing.acks.extend((cast.FORK, part, version) for part, (version, _) in enumerate(copies))
    if reunites:
        forks = put(doing.durable.forks, session, Fork(ForkState.OPEN, left))
        doing.durable = replace(doing.durable, forks=forks)


def _granted(doing: Doing, txn: Any) -> bytes:
    granted = doing.granted(txn)
    assert granted is not None
    assert granted.manifest is not None
    return granted.manifest


def left(doing: Doing, machine: Source) -> bytes:
    """What an Init of mode merge shows of the original as the fork left it."""
    made = find(doing.durable.forks, cast.ORIGINAL)
    return made.left if machine.mode is Mode.MERGE and made is not None else b""


def coming_together(doing: Doing, scope: Scope, next_txn: int) -> Iterator[Input]:
    """Reunion._look."""
    original, made = doing.held(cast.ORIGINAL), doing.held(cast.FORK)
    if doing.open_fork(cast.ORIGINAL) is None or original is None or made is None:
        return
    moving = is_moving(doing, cast.ORIGINAL) or is_moving(doing, cast.FORK)
    verdict = reunion.judge_reunion(original.ownership, made.ownership, me=doing.id, moving=moving)
    if verdict is Reunion.HERE:
        yield Input("goes on with its fork in the original", end, ())
    elif verdict is Reunion.OFFER and next_txn <= scope.txns + scope.merges:
        owner = original.ownership.primary
        label = f"offers its fork to {cast.NAMES[cast.numbers()[owner]]} (txn {next_txn})"
        args = (cast.txn(next_txn), owner)
        yield Input(label, offer, args, up=cast.numbers()[owner], begins=True)


def offer(doing: Doing, txn: Any, owner: Any) -> None:
    """Reunion._is_taken_in: a push of mode merge."""
    machine = Source(txn, cast.FORK, owner, Mode.MERGE)
    doing.outs[txn] = Out(machine, take=False, picture=doing.picture(cast.FORK))
    source_shell.take_event(doing, txn, src.Connected())


def merged(doing: Doing, out: Out) -> None:
    """The other device says that it has the fork: over, unless somebody went on meanwhile."""
    if digest(doing.picture(cast.FORK)) == out.resumed and doing.open_fork(cast.ORIGINAL) is not None:
        end(doing)


def end(doing: Doing) -> None:
    """Forks.end: the original takes its paths back with all that the fork knows."""
    original, made = doing.held(cast.ORIGINAL), doing.held(cast.FORK)
    known = find(doing.durable.forks, cast.ORIGINAL)
    assert original is not None
    assert made is not None
    assert known is not None
    state = journal.reunite(original.ownership, made.ownership, known.state)
    doing.durable = replace(doing.durable, forks=put(doing.durable.forks, cast.ORIGINAL, replace(known, state=state)))
    if state is ForkState.REJOINED:
        save(doing, with_fork(doing.copies(cast.ORIGINAL), doing.copies(cast.FORK)))
    doing.count()
    doing.mark(state)


def save(doing: Doing, copies: Copies) -> None:
    """The original's primary acknowledges a state."""
    doing.save_copies(cast.ORIGINAL, copies)
    doing.acks.extend((cast.ORIGINAL, part, version) for part, (version, _) in enumerate(copies))


# --- the original's primary -------------------------------------------------------------------------


def judge(doing: Doing, init: msg.Init) -> Merging:
    """agent.admission: whether an offered fork may be merged."""
    parent = reunion.parent_of(init)
    busy = doing.change_of(parent.session) is not None
    return reunion.judge_merge(init, parent, doing.held(parent.session), busy=busy)


def decide(doing: Doing, item: In) -> None:
    """MergeArrivals.decide: the point of no return of a merge; nothing for a handoff."""
    if item.merging is None or is_taken_in(doing, item):
        return
    check_free(doing, item.merging)
    taken = (*doing.durable.taken_in, (item.merging.fork, item.manifest))
    doing.durable = replace(doing.durable, taken_in=taken)
    save(doing, with_fork(doing.copies(item.merging.original), item.staged))
    doing.save_change(Change(item.machine.txn, item.merging.original, decided=True))
    doing.mark(item.merging)


def is_taken_in(doing: Doing, item: In) -> bool:
    """Forks.merged: exactly this was taken in before."""
    assert item.merging is not None
    return (item.merging.fork, item.manifest) in doing.durable.taken_in


def check_free(doing: Doing, merging: Merging) -> None:
    """MergeArrivals._check_free."""
    held = doing.held(merging.original)
    if held is None or held.ownership.role is not Role.PRIMARY:
        raise RejectedError("handed on meanwhile", reason=RejectReason.NOT_PRIMARY.value)
    if is_moving(doing, merging.original):
        raise RejectedError("changing at this moment", reason=RejectReason.BUSY.value)


# --- undo -------------------------------------------------------------------------------------------


def undoing(doing: Doing, session: SessionId, scope: Scope) -> Iterator[Input]:
    """Undoing.undo, and what a restart takes up of it."""
    held = doing.held(session)
    if held is None or session != cast.ORIGINAL:
        return
    change = doing.change_of(session)
    if change is not None and change.id == UNDO:
        yield (
            Input("decides the undo", decide_undo, ())
            if not change.decided
            else Input("puts the undo in place", place_undo, ())
        )
    verdict = wishes.judge_undo(
        held.ownership.role,
        forked=doing.open_fork(session) is not None,
        in_place=not is_changing(doing, session),
        under_way=is_moving(doing, session),
    )
    done = max((undone(version) for version, _ in doing.copies(session)), default=0)
    if verdict is Undo.BEGIN and doing.durable.kept and done < scope.undoes:
        yield Input("begins an undo", begin_undo, (), Kind.WISH)


def begin_undo(doing: Doing) -> None:
    """Generations.begin."""
    doing.save_change(Change(UNDO, cast.ORIGINAL, decided=False))
    doing.mark("begun")


def decide_undo(doing: Doing) -> None:
    """Generations.decide: what is here is kept, what was comes back."""
    copies = doing.copies(cast.ORIGINAL)
    keep(doing, copies)
    back = tuple((version + 10 if holder is None else version, holder) for version, holder in copies)
    doing.save_change(Change(UNDO, cast.ORIGINAL, decided=True))
    save(doing, back)
    doing.mark("decided")


def place_undo(doing: Doing) -> None:
    """Undoing._place."""
    doing.end_change(UNDO)
    doing.mark("placed")


def keep(doing: Doing, copies: Copies) -> None:
    """A generation."""
    if copies and copies not in doing.durable.kept:
        doing.durable = replace(doing.durable, kept=(*doing.durable.kept, copies))
