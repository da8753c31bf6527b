# SPDX-License-Identifier: Apache-2.0
"""The target's half of a change of ownership: judges a grant, signs and stores what answers it. Layer: agent.

Specification: docs/specs/ownership.md §3, docs/specs/handoff-v2.md §7. What protocol.target calls durable happens here.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from p2p_handoff.agent.arrivals import Arrivals
from p2p_handoff.agent.incoming_offer import IncomingOffer
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.work import in_thread
from p2p_handoff.content.digests import Digest, digest
from p2p_handoff.errors import RemoteProtocolError, TrustError
from p2p_handoff.protocol import judgement
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.aftermath import decision_message
from p2p_handoff.protocol.judgement import Terms
from p2p_handoff.protocol.target import GrantVerified, Target, TargetEvent, TargetState
from p2p_handoff.session import chain as chains
from p2p_handoff.session.manifest import Manifest, encode_manifest
from p2p_handoff.session.ownership import Verdict
from p2p_handoff.session.signed import SignedStatement, read
from p2p_handoff.session.statements import NONCE_BYTES, Grant, RefusalReason
from p2p_handoff.store.records import Acceptance

log = logging.getLogger(__name__)


class Accepting:
    """Who owns the session of one incoming handoff.

    Args:
        services: The agent's parts.
        offer: The checked Init.
    """

    def __init__(self, services: Services, offer: IncomingOffer) -> None:
        self._services = services
        self._store = services.store.incoming
        self._init = offer.init
        self._admitted = offer.admitted
        self._nonce = b""
        self._grant: SignedStatement | None = None

    def let_go(self) -> None:
        """The handoff is over: of the chain only what it proves is needed any more."""
        if self._admitted is not None:
            self._admitted = replace(self._admitted, chain=())

    def new_nonce(self) -> bytes:
        """For a Ready: a grant has to quote the latest one, which only this run of the agent remembers."""
        self._nonce = self._services.entropy(NONCE_BYTES)
        return self._nonce

    def forget_nonce(self) -> None:
        """No grant can be used any more."""
        self._nonce = b""

    def judge(self, message: msg.Grant | msg.Query, machine: Target, agreed: Manifest | None) -> TargetEvent | None:
        """What a grant or a query means; a grant that can be used is the one that ``accept`` answers.

        Args:
            message: What arrived.
            machine: What was accepted, and whether it is decided.
            agreed: The manifest as it was offered; None before the offer was read.

        Returns:
            The event for the machine; None where the message is not the source's at all.
        """
        if self._admitted is None:
            log.warning("handoff %s: a copy cannot be granted", self._init.txn[:6])
            return None
        me, state = self._services.identity.device, self._admitted.state
        try:
            if isinstance(message, msg.Query):
                judgement.check_asker(message, state.primary_key, me=me)
                return message
            terms = Terms(me, self._init.txn, state, self._nonce, agreed, machine.parts)
            judged = judgement.judge_grant(message, terms)
        except (TrustError, RemoteProtocolError) as error:
            kind = type(message).__name__
            log.warning("handoff %s: a %s that decides nothing: %s", self._init.txn[:6], kind, error)
            return None
        undecided = machine.state not in (TargetState.ACCEPTED, TargetState.RESUMED)
        if undecided and isinstance(judged.event, GrantVerified):
            self._grant = judged.signed
        return judged.event

    @property
    def is_granted(self) -> bool:
        """Whether a grant came that can be used."""
        return self._grant is not None

    async def accept(self, machine: Target, manifest: Manifest, arrivals: Arrivals) -> None:
        """Sign the acceptance and make it durable: this device is the primary, and what is staged will be put in place.

        Args:
            machine: What was accepted.
            manifest: As it was granted.
            arrivals: Where the parts are.

        Raises:
            StorageError: It is not durable.
        """
        assert self._grant is not None
        assert self._admitted is not None
        signed = chains.accept(self._services.identity, self._grant)
        acceptance = Acceptance(
            title=manifest.title,
            created_at=self._services.clock(),
            manifest=_granted_bytes(manifest, read(self._grant, Grant).root),
            chain=(*self._admitted.chain, self._grant, signed),
            nonce=self._nonce,
            bindings=arrivals.bindings(manifest, machine.parts, machine.source),
            commits=arrivals.commits(),
            proven=self._admitted.proven,
        )
        await in_thread(self._store.accept, acceptance)

    def refuse(self) -> None:
        """Sign the refusal and make it durable: this device will never accept this handoff.

        Raises:
            StorageError: It is not durable.
        """
        identity, init = self._services.identity, self._init
        signed = chains.refuse(identity, init.session, init.txn, init.source, RefusalReason.CANCELLED)
        self._store.refuse(signed, identity.public.identity_key)

    def decision_message(self) -> msg.Accepted | msg.Refused:
        """The stored decision."""
        decision = self._store.decision(self._init.txn)
        assert decision is not None
        return decision_message(decision, self._services.store.counter.value)

    def has_accepted(self) -> bool:
        """Whether this device owns the session by this handoff, as far as that is durable."""
        decision = self._store.decision(self._init.txn)
        return decision is not None and decision.verdict is Verdict.ACCEPTED


def _granted_bytes(manifest: Manifest, root: Digest) -> bytes:
    data = encode_manifest(manifest)
    assert digest(data) == root, "a manifest that decodes and encodes to other bytes is refused when it arrives"
    return data
