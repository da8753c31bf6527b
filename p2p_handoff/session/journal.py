# SPDX-License-Identifier: Apache-2.0
"""What one device durably holds of a session, and every change of it as a pure transition. Layer: session.

Specification: docs/specs/ownership.md §3-4, 6. Each function takes what is stored and returns what to store
instead, or raises and nothing changes. Whoever keeps it makes the whole result durable in one transaction before
anything is said of it. The roles are in session.ownership, the signatures in session.chain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from p2p_handoff.errors import LocalProtocolError
from p2p_handoff.ids import DeviceId, TxnId
from p2p_handoff.session import chain as chains
from p2p_handoff.session import ownership as rules
from p2p_handoff.session.chain import Chain, ChainState, Proven
from p2p_handoff.session.ownership import Ownership, Role, Verdict
from p2p_handoff.session.signed import SignedStatement, read, verify
from p2p_handoff.session.statements import Accepted, Grant, Parent, Refused


@dataclass(frozen=True, slots=True)
class Held:
    """One session on one device."""

    ownership: Ownership
    chain: Chain
    state: ChainState
    """What the chain proves."""

    @property
    def proven(self) -> Proven:
        """The verified chain alone."""
        return Proven(self.chain, self.state)


@dataclass(frozen=True, slots=True)
class Decision:
    """What this device, as a target, decided about one handoff: taken once, never changed."""

    txn: TxnId
    source: DeviceId
    """The only device that may ask for it."""
    verdict: Verdict
    statement: SignedStatement


@dataclass(frozen=True, slots=True)
class Learned:
    """What a chain that came from any device leads to."""

    held: Held
    answer: SignedStatement | None = None
    """The acceptance of the grant that was outstanding here: it is settled."""
    forgotten: bool = False
    """The chain holds a grant or an acceptance of this device's that is not known here: its data is an old copy."""


class ForkState(Enum):
    """How far a fork is at the device that made it."""

    OPEN = "open"
    """The work goes on in it."""
    REJOINED = "rejoined"
    """The original came back to this device and goes on with what the fork held."""
    MERGED = "merged"
    """The original's primary has taken it in."""


# --- how a session begins on a device ---------------------------------------------------------------


def start(chain: Chain, *, me: DeviceId) -> Held:
    """A session starts on this device, its first primary.

    Raises:
        TrustError: The chain does not verify.
        LocalProtocolError: It is more than a genesis of this device.
    """
    state = chains.verify_chain(chain)
    if len(chain) != 1 or state.primary != me:
        raise LocalProtocolError("a session starts with a genesis of this device alone")
    return Held(rules.begin(state.session, me), chain, state)


def follow(chain: Chain) -> Held:
    """Begin to follow a session as secondary: another device's, or one that this device owned and has forgotten.

    Raises:
        TrustError: The chain is bad.
    """
    state = chains.verify_chain(chain)
    return Held(Ownership(state.session, Role.SECONDARY, state.epoch, state.primary), chain, state)


def fork(original: Held, chain: Chain, *, me: DeviceId) -> tuple[Held, Held]:
    """The user gives the original up, frozen or lost as it is: mark it and go on in a new session.

    Args:
        original: The session as it is here.
        chain: The fork's genesis; it names the original as parent.
        me: This device.

    Returns:
        The original as marked, and the fork.

    Raises:
        TrustError: The fork's chain does not verify.
        LocalProtocolError: The original is neither frozen nor lost, was forked before, or is not the fork's parent.
    """
    begun = start(chain, me=me)
    marked = rules.fork(original.ownership, me=me)
    parent = begun.state.parent
    if parent != parent_of(original):
        raise LocalProtocolError("the fork's genesis does not name its original")
    return replace(original, ownership=marked), begun


def parent_of(original: Held) -> Parent:
    """What the genesis of a fork names: the session, its epoch, and the manifest that it was granted with."""
    own = original.ownership
    root = original.state.root if own.frozen is None else own.frozen.root
    return Parent(own.session, own.epoch, root)


def reunite(original: Ownership, fork: Ownership, state: ForkState) -> ForkState:
    """The original has the fork's content: the fork is over.

    Args:
        original: The original's record at the device that made the fork.
        fork: The fork's record there.
        state: How far the fork was.

    Raises:
        LocalProtocolError: It is over already, this device is not its primary, or the original is still frozen.
    """
    if state is not ForkState.OPEN or fork.role is not Role.PRIMARY or original.role is Role.FROZEN:
        raise LocalProtocolError("the fork and its original cannot come together now")
    return ForkState.REJOINED if original.role is Role.PRIMARY else ForkState.MERGED


# --- the source's side ------------------------------------------------------------------------------


def freeze(held: Held, signed: SignedStatement) -> Held:
    """Stop acting on the session, for one handoff. The grant goes out only after this is durable.

    Raises:
        RemoteProtocolError: The statement is not a grant.
        TrustError: It does not continue the session's chain.
        LocalProtocolError: This device is not the primary.
    """
    grant = read(signed, Grant)
    own = rules.freeze(held.ownership, grant.txn, grant.target, grant.root)
    chains.check_grant(held.state, signed)
    return replace(held, ownership=own)


def release(held: Held, granted: SignedStatement, signed: SignedStatement) -> Held:
    """The target's ACCEPTED arrived: become secondary.

    Args:
        held: The frozen session.
        granted: The outstanding grant.
        signed: The target's statement.

    Raises:
        LocalProtocolError: The session is not frozen.
        RemoteProtocolError: The statement is not an ACCEPTED, or is about another handoff.
        TrustError: It does not verify against the grant.
    """
    own = rules.release(held.ownership, read(signed, Accepted))
    return Held(own, (*held.chain, granted, signed), chains.extend(held.state, granted, signed))


def thaw(held: Held, granted: SignedStatement, signed: SignedStatement) -> Held:
    """The target's REFUSED arrived: this device is the primary again. The arguments are those of ``release``.

    Raises:
        LocalProtocolError: The session is not frozen.
        RemoteProtocolError: The statement is not a REFUSED, or is about another handoff.
        TrustError: It does not verify.
    """
    own = rules.thaw(held.ownership, read(signed, Refused))
    verify(signed, read(granted, Grant).target_key, Refused)
    return replace(held, ownership=own)


# --- the target's side ------------------------------------------------------------------------------


def accept(
    held: Held | None,
    decided: Decision | None,
    chain: Chain,
    *,
    me: DeviceId,
    nonce: bytes,
    proven: Proven | None = None,
) -> tuple[Held, Decision]:
    """Become the primary at the next epoch. Storing both results together is the commit point of a handoff.

    Args:
        held: The session as it is here, or None when it is new.
        decided: What was decided about this txn already.
        chain: Ends in the grant and this device's acceptance.
        me: This device.
        nonce: What this device put into READY for this handoff; it lives in memory only.
        proven: What was verified of the chain when it came: the source is frozen now, and waits.

    Raises:
        TrustError: The chain is bad or contradicts what is known.
        RemoteProtocolError: The grant is for another device, stale, or answers another READY.
        LocalProtocolError: The txn is decided already, or the chain does not end in this device's acceptance.
    """
    if len(chain) < 3:
        raise LocalProtocolError("the chain does not end in an acceptance")
    grant = read(chain[-2], Grant)
    own = rules.accept(None if held is None else held.ownership, grant, me=me, nonce=nonce)
    _check_continues(held, chain)
    state = chains.prove(chain, None if held is None else held.proven, proven).state
    if state.primary != me:
        raise LocalProtocolError("the chain does not end in this device's acceptance")
    if decided is not None:
        raise _decided_already(decided)
    return Held(own, chain, state), Decision(grant.txn, grant.source, Verdict.ACCEPTED, chain[-1])


def refuse(decided: Decision | None, signed: SignedStatement, key: bytes, *, me: DeviceId) -> Decision:
    """Decide against a handoff, for good. Repeating it gives the first decision again.

    Args:
        decided: What was decided about this txn already.
        signed: This device's refusal.
        key: This device's raw Ed25519 public key, 32 bytes.
        me: This device.

    Raises:
        LocalProtocolError: The txn was accepted, or the refusal is another device's.
        RemoteProtocolError: The statement is not a refusal.
        TrustError: It does not verify.
    """
    refused = verify(signed, key, Refused)
    if refused.target != me:
        raise LocalProtocolError("another device's refusal is not this one's to store")
    if decided is None:
        return Decision(refused.txn, refused.source, Verdict.REFUSED, signed)
    if decided.verdict is Verdict.ACCEPTED:
        raise _decided_already(decided)
    return decided


# --- news -------------------------------------------------------------------------------------------


def learn(held: Held, chain: Chain, *, me: DeviceId) -> Learned:
    """Follow a chain that any device sent; resolves a doubt when it holds the outstanding ACCEPTED.

    Raises:
        TrustError: It is bad, or contradicts what is known.
    """
    chains.check_agrees(held.chain, chain)
    if len(chain) <= len(held.chain):
        return Learned(held)
    state = chains.verify_chain(chain, held.state)
    after = Held(rules.learn(held.ownership, state), chain, state)
    frozen = held.ownership.frozen
    forgotten = _forgotten(held, chain, me)
    if frozen is None or frozen.txn not in state.accepted:
        return Learned(after, forgotten=forgotten)
    # Genesis is epoch 1; the acceptance that began epoch e stands at 2 (e - 1).
    return Learned(after, chain[2 * (state.accepted[frozen.txn] - 1)], forgotten)


def acceptances(chain: Chain, *, me: DeviceId) -> tuple[Decision, ...]:
    """What this device accepted, as a verified chain shows it: a home that forgot it must not refuse it now."""
    pairs = ((read(granted, Grant), accepted) for granted, accepted in zip(chain[1::2], chain[2::2], strict=True))
    return tuple(
        Decision(grant.txn, grant.source, Verdict.ACCEPTED, accepted) for grant, accepted in pairs if grant.target == me
    )


def _forgotten(held: Held, chain: Chain, me: DeviceId) -> bool:
    frozen = held.ownership.frozen
    outstanding = None if frozen is None else frozen.txn
    grants = (read(signed, Grant) for signed in chain[len(held.chain) :: 2])
    return any(me in (grant.source, grant.target) and grant.txn != outstanding for grant in grants)


def _check_continues(held: Held | None, chain: Chain) -> None:
    if held is None:
        return
    chains.check_agrees(held.chain, chain)
    if len(chain) < len(held.chain):
        raise LocalProtocolError("the chain is older than the known one")


def _decided_already(decided: Decision) -> LocalProtocolError:
    return LocalProtocolError(f"handoff {decided.txn} was {decided.verdict.value}, and that never changes")
