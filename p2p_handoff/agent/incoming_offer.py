# SPDX-License-Identifier: Apache-2.0
"""What an Init offered, after it was found to be allowed: what an incoming handoff begins with. Layer: agent.

Specification: docs/specs/handoff-v2.md §5, §7.
"""

from __future__ import annotations

from dataclasses import dataclass

from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.admission import Admitted
from p2p_handoff.protocol.reunion import Merging


@dataclass(frozen=True, slots=True)
class IncomingOffer:
    """What an Init said, checked by the caller."""

    init: msg.Init
    admitted: Admitted | None
    """Its verified chain; None where no ownership moves."""
    merging: Merging | None = None
    """For a merge: the fork."""
    history: int = 0
    """Bytes of the chain as it came; ``init`` has it no more."""
    weight: int = 0
    """Of the manifest that a fork left (``protocol.admission.weight_of``); ``init`` has that no more, either."""
