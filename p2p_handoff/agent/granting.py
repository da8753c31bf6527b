# SPDX-License-Identifier: Apache-2.0
"""The source's half of a change of ownership: signs and stores a grant, and what answers it. Layer: agent.

Specification: docs/specs/ownership.md §3, docs/specs/handoff-v2.md §6. What protocol.source calls durable happens here;
what the target says is checked against the key that the grant names.
"""

from __future__ import annotations

import asyncio

from p2p_handoff.agent.outgoing_plan import OutgoingPlan
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.work import in_thread
from p2p_handoff.content.digests import digest
from p2p_handoff.errors import TrustError
from p2p_handoff.protocol import judgement
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.source import Source
from p2p_handoff.security.identity import PublicIdentity
from p2p_handoff.session import chain as chains
from p2p_handoff.session.manifest import Manifest, decode_manifest
from p2p_handoff.session.ownership import Role
from p2p_handoff.session.signed import decode_signed, encode_signed, read
from p2p_handoff.session.statements import Grant
from p2p_handoff.store.records import OutgoingGrant, SessionRecord


class Granting:
    """Who owns the session of one outgoing handoff.

    Args:
        services: The agent's parts.
        plan: What to hand over to whom.
    """

    def __init__(self, services: Services, plan: OutgoingPlan) -> None:
        self.answered = asyncio.Event()
        """Set once who owns the session is durable here."""
        self._services = services
        self._store = services.store
        self._plan = plan

    async def prepare(self) -> None:
        """Verify the session's chain, which is done once per run of the agent, so that no pause waits for it."""
        await in_thread(self._store.ownership.held, self._record())

    async def freeze(self, machine: Source, manifest: bytes) -> None:
        """Sign the grant and make it durable: only the target decides from now on.

        Args:
            machine: The parts that were accepted, and the nonce of the target's latest Ready.
            manifest: The last picture's.

        Raises:
            TrustError: The target is not linked any more.
            StorageError: It is not durable.
        """
        # What the store has proven of the chain already: verifying it anew would lengthen the pause with each handoff.
        state = (await in_thread(self._store.ownership.held, self._record())).state
        offer = chains.Offer(
            txn=self._plan.txn,
            target_key=self._target_key(),
            root=digest(manifest),
            parts=machine.parts,
            nonce=machine.nonce,
        )
        signed = chains.grant(self._services.identity, state, offer)
        await in_thread(self._store.outgoing.freeze, signed, manifest, at=self._services.clock())

    def grant_message(self) -> msg.Grant:
        """The stored grant."""
        grant = self._stored()
        assert grant.manifest is not None
        statement = encode_signed(grant.signed)
        return msg.Grant(self._plan.txn, self._plan.session, statement, grant.manifest, self._store.counter.value)

    def query_message(self) -> msg.Query:
        """Asks the target for its decision."""
        return msg.Query(self._plan.txn, self._plan.session, encode_signed(self._stored().signed))

    def check_answer(self, answer: msg.Accepted | msg.Refused) -> None:
        """Check that an answer is the target's own.

        Raises:
            TrustError: It is another device's, or of another handoff.
            RemoteProtocolError: The bytes are no such statement.
        """
        judgement.check_answer(answer, self._target_key(), txn=self._plan.txn)

    async def release(self, statement: bytes) -> None:
        """The target accepted, as its checked statement says: this device is secondary."""
        await in_thread(self._store.outgoing.release, self._plan.session, decode_signed(statement))
        self._owner_changed()

    async def learn(self, chain: bytes) -> None:
        """A verified chain from any device says that this device is secondary."""
        decoded = await in_thread(chains.decode_chain, chain)
        await in_thread(self._store.ownership.learn, self._plan.session, decoded)
        self._owner_changed()

    async def thaw(self, statement: bytes) -> None:
        """The target refused, as its checked statement says: this device is the primary again."""
        await in_thread(self._store.outgoing.thaw, self._plan.session, decode_signed(statement))

    def granted(self) -> Manifest:
        """What the target accepted: never the latest picture, which may show edits made since."""
        grant = self._store.outgoing.grant(self._plan.txn)
        granted = grant.manifest if grant is not None else None
        manifest = granted if granted is not None else self._record().manifest
        assert manifest is not None
        return decode_manifest(manifest)

    def role(self) -> Role:
        """What this device is for the session, as far as that is durable; a copy leaves the primary as it is."""
        record = self._store.sessions.get(self._plan.session)
        if record is None or self._plan.mode is not msg.Mode.MOVE:
            return Role.PRIMARY
        return record.ownership.role

    def _owner_changed(self) -> None:
        own = self._record().ownership
        self.answered.set()
        self._services.events.emit("owner", session=own.session, primary=own.primary, epoch=own.epoch)

    def _record(self) -> SessionRecord:
        record = self._store.sessions.get(self._plan.session)
        assert record is not None
        return record

    def _stored(self) -> OutgoingGrant:
        grant = self._store.outgoing.grant(self._plan.txn)
        assert grant is not None
        return grant

    def _target_key(self) -> bytes:
        grant = self._store.outgoing.grant(self._plan.txn)
        if grant is not None:
            return read(grant.signed, Grant).target_key
        link = self._store.links.get(self._plan.target)
        if link is None:
            raise TrustError("the target is not linked any more")
        return PublicIdentity.from_bytes(link.public).identity_key
