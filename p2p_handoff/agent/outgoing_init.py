# SPDX-License-Identifier: Apache-2.0
"""The Init of an outgoing handoff: who hands what to whom, and by which right. Layer: agent.

Specification: docs/specs/handoff-v2.md §3 (Init), docs/specs/secrets.md §4 for what a fork left.
"""

from __future__ import annotations

from p2p_handoff.agent.outgoing_plan import OutgoingPlan
from p2p_handoff.agent.services import Services
from p2p_handoff.protocol import messages as msg
from p2p_handoff.session.manifest import decode_manifest


def init_message(services: Services, plan: OutgoingPlan, *, keeps_secrets: bool) -> msg.Init:
    """The message.

    Args:
        services: The agent's parts.
        plan: What to hand over to whom.
        keeps_secrets: Whether a secret of the session is kept back from the target.
    """
    record = services.store.sessions.get(plan.session)
    assert record is not None
    return msg.Init(
        plan.txn,
        plan.session,
        services.identity.device,
        plan.target,
        plan.mode,
        record.ownership.epoch,
        b"" if plan.mode is msg.Mode.COPY else record.chain,
        plan.take,
        b"" if keeps_secrets or _names_secrets_to_others(services, plan) else plan.parent,
    )


def _names_secrets_to_others(services: Services, plan: OutgoingPlan) -> bool:
    """Whether the objects of what the fork left would name secrets to a device that is not one's own."""
    left = decode_manifest(plan.parent).parts if plan.parent else ()
    named = any(secret.held_by is None for part in left for secret in part.secrets)
    return named and not services.is_own(plan.target)
