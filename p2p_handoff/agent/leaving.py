# SPDX-License-Identifier: Apache-2.0
"""What of a session may leave for one device, as its pictures are taken. Layer: agent.

Specification: docs/specs/secrets.md §4. Finding is ``secret_search``'s, deciding is ``session.guard``'s; both are put
together here for one handoff.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from p2p_handoff.adapters.base import PartPicture
from p2p_handoff.agent.secret_search import PartKey, SecretSearch
from p2p_handoff.errors import SecretsError
from p2p_handoff.ids import DeviceId, PartId
from p2p_handoff.session.guard import Found, Letting, is_whole, judge, kept_elsewhere
from p2p_handoff.session.manifest import Part, Secret
from p2p_handoff.store.records import PartBinding

_ADVICE: Final = "look at it; --include-secrets sends it"


class Care(Enum):
    """How a part is searched."""

    ALL = "all"
    """All of it, before anything of it is told: something may be held back."""
    LISTED = "listed"
    """But for its noise: all of it leaves, and what is found is listed."""
    GLANCE = "glance"
    """What is known already and what takes no time: it will be listed in full later."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """Looks at the parts of one outgoing handoff.

    Args:
        search: Finds secrets.
        me: This device.
        letting: Which of them may leave.
        may_go: Which parts would go, whatever is in them.
        accepted: Parts that the target takes; empty while that is not known.
        care: How they are searched.
    """

    search: SecretSearch
    me: DeviceId
    letting: Letting
    may_go: Callable[[PartBinding], bool]
    accepted: frozenset[PartId]
    care: Care

    def look(self, binding: PartBinding, known: Part | None, picture: PartPicture) -> tuple[Secret, ...]:
        """What a part lists. Blocks.

        Args:
            binding: The part.
            known: As it was last handed over.
            picture: As it is now.

        Raises:
            SecretsError: It was accepted, and must not leave any more.
            StorageError: It cannot be searched.
        """
        elsewhere = kept_elsewhere(known, self.me)
        if not self.may_go(binding):
            return elsewhere
        found = self._found((binding.session, binding.part), picture)
        secrets = judge(found, self.letting, self.me, elsewhere)
        if binding.part in self.accepted and is_whole(secrets):
            raise SecretsError(
                f"{binding.name} holds by now what looks like a secret ({secrets[0].kind})", advice=_ADVICE
            )
        return secrets

    def _found(self, part: PartKey, picture: PartPicture) -> Found:
        match self.care:
            case Care.ALL:
                return self.search.look(part, picture)
            case Care.LISTED:
                return self.search.look(part, picture, skim=True)
            case Care.GLANCE:
                return self.search.glance(part, picture)
