# SPDX-License-Identifier: Apache-2.0
"""The content of an incoming handoff, from the offer to what is staged, verified and on the disk. Layer: agent.

Specification: docs/specs/handoff-v2.md §4, §7. Putting it in place is agent.placing's, once it is this device's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from p2p_handoff.agent.arrivals import Arrivals
from p2p_handoff.agent.current_wire import CurrentWire
from p2p_handoff.agent.fetching import Fetcher, PartGoal
from p2p_handoff.agent.incoming_offer import IncomingOffer
from p2p_handoff.agent.policies import pieces_of
from p2p_handoff.agent.profile import Ledger, Stage
from p2p_handoff.agent.requests import Consent, Refusal
from p2p_handoff.agent.services import Services
from p2p_handoff.agent.space import check_margin, check_space
from p2p_handoff.agent.work import in_thread
from p2p_handoff.errors import HandoffError, RejectedError
from p2p_handoff.protocol import agreement
from p2p_handoff.protocol import messages as msg
from p2p_handoff.protocol.admission import weight_of
from p2p_handoff.protocol.messages import Mode, RejectReason
from p2p_handoff.protocol.target import Target
from p2p_handoff.session.manifest import Manifest, Part, PartType

log = logging.getLogger(__name__)

EARLY_AFTER: Final = 1.0
"""Seconds that files may take before what can be read already is shown: less than that is worth nobody's attention."""


class IncomingContent:
    """What arrives by one handoff; ``agree`` comes first.

    Args:
        services: The agent's parts.
        offer: Which handoff.
        arrivals: Where the parts go.
        ledger: Keeps the time.
        progressed: Called after each batch that was staged.
        readable: Told where a part can be read, while others still arrive.
    """

    def __init__(
        self,
        services: Services,
        offer: IncomingOffer,
        arrivals: Arrivals,
        ledger: Ledger,
        *,
        progressed: Callable[[], None],
        readable: Callable[[Part, Path], None],
    ) -> None:
        self.fetcher = Fetcher(offer.init.txn, progressed, ledger)
        self.agreed: Manifest | None = None
        """As it was offered."""
        self.latest: Manifest | None = None
        """As it was last heard of."""
        self.weight = offer.weight
        """What the offer weighs that is kept (protocol.admission)."""
        self._services = services
        self._init = offer.init
        self._arrivals = arrivals
        self._ledger = ledger
        self._readable = readable
        self._is_shown = False

    def agree(self, request: msg.Request, room: Callable[[int], None]) -> tuple[Manifest, tuple[Part, ...]] | Refusal:
        """The offer: its manifest, and the offered parts. Refused where there is no room for it: nothing is kept then.

        Args:
            request: The offer.
            room: Raises a RejectedError where an offer of that weight cannot be kept.

        Raises:
            RemoteProtocolError: It is none.
        """
        manifest, parts = agreement.check_offer(request, self._init.session)
        weight = weight_of(manifest, len(request.manifest))
        try:
            room(weight)
        except RejectedError as error:
            return Refusal(RejectReason(error.reason), error.what)
        self.weight += weight
        self.agreed = self.latest = manifest
        return manifest, parts

    async def choose(self, parts: tuple[Part, ...], answer: Consent) -> tuple[Part, ...]:
        """What of the offered parts is taken, after a place was chosen for it; nothing where none is wished.

        Args:
            parts: What is offered.
            answer: What was said to it.

        Raises:
            HandoffError: There is no place, or no room there; nothing is left behind.
        """
        taken = [part for part in parts if part.id not in answer.without]
        wished = [part for part in taken if not answer.types or part.type.value in answer.types]
        chosen = self._arrivals.fitting(wished)
        if chosen:
            assert self.agreed is not None
            await in_thread(self._prepare, self.agreed, chosen, answer.into)
        return chosen

    def _prepare(self, manifest: Manifest, chosen: tuple[Part, ...], into: Path | None) -> None:
        """Choose places that have room; a refusal leaves nothing behind."""
        self._arrivals.prepare(manifest, chosen, into)
        try:
            check_space(self._arrivals.all())
        except HandoffError:
            self._arrivals.abandon()
            raise

    async def fetch_round(self, manifest: bytes, machine: Target, current: CurrentWire) -> bool:
        """Fetch what a round announced.

        Args:
            manifest: The round's, as it came.
            machine: What was accepted.
            current: The way to the source.

        Returns:
            True when all is here; False when something changed at the source meanwhile.

        Raises:
            RemoteProtocolError: The manifest is not of what was agreed, or something came that was not asked for.
            UnreachableError: The wire broke.
            IntegrityError, PathError, StorageError: It cannot be staged.
        """
        complete = await self._fetch(self._later(manifest, machine), machine, current)
        if complete:
            with self._ledger.waiting(Stage.SEAL):
                if machine.mode is Mode.MOVE:
                    await in_thread(self._services.keeper.prepare, machine.session, machine.txn)
                await in_thread(check_margin, self._arrivals.all())
        return complete

    async def fetch_last(self, manifest: bytes, machine: Target, current: CurrentWire) -> bool:
        """Fetch what a grant, or a Finish, names: the last moment to refuse it.

        Args:
            manifest: As it came.
            machine: What was accepted.
            current: The way to the source.

        Returns:
            True when all is here; False when something changed at the source after it was frozen.

        Raises:
            RejectedError: A merge cannot be taken in any more.
            HandoffError: As for ``fetch_round``.
        """
        self.latest = self._later(manifest, machine)
        complete = await self._fetch(self.latest, machine, current)
        if complete:
            with self._ledger.waiting(Stage.SEAL):
                await in_thread(check_margin, self._arrivals.all())
                await self._arrivals.decide(self.latest)
        return complete

    async def _fetch(self, manifest: Manifest, machine: Target, current: CurrentWire) -> bool:
        await current.learn_path()
        goals = self._goals(manifest, machine)
        accepted = frozenset(machine.parts)
        self.fetcher.progress.total_bytes = sum(part.total_bytes for part in manifest.parts if part.id in accepted)
        for goal in goals:
            self._arrivals.unseal(goal.part.id)
        # Small and readable parts first: a conversation can be read while files still stream.
        readable = [goal for goal in goals if goal.part.type is not PartType.FILES]
        files = [goal for goal in goals if goal.part.type is PartType.FILES]
        complete = await self._fetch_and_seal(readable, current)
        early = [goal.part for goal in readable] if complete and machine.mode is not Mode.MERGE else []
        showing = asyncio.create_task(self._show_early(early), name=f"early {self._init.txn[:6]}")
        try:
            return await self._fetch_and_seal(files, current) and complete
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    async def _fetch_and_seal(self, goals: list[PartGoal], current: CurrentWire) -> bool:
        complete = await self.fetcher.fetch(current.require(), goals)
        if complete:
            # Sealed after every round: when nothing changed any more, the pause has nothing left to do here.
            with self._ledger.waiting(Stage.SEAL):
                await in_thread(self._arrivals.seal, [goal.part for goal in goals])
        return complete

    async def _show_early(self, parts: list[Part]) -> None:
        """Once, as it is now, while the files take their time: what is written until they are here comes with them."""
        if not parts or self._is_shown:
            return
        await asyncio.sleep(EARLY_AFTER)
        self._is_shown = True
        try:
            previews = await in_thread(self._arrivals.previews, parts)
        except HandoffError as error:
            log.info("handoff %s cannot be read before it is done: %s", self._init.txn[:6], error)
            return
        for part, path in previews:
            self._readable(part, path)

    def _later(self, manifest: bytes, machine: Target) -> Manifest:
        assert self.agreed is not None
        return agreement.check_later(manifest, self.agreed, machine.parts)

    def _goals(self, manifest: Manifest, machine: Target) -> list[PartGoal]:
        """The accepted parts that are not here as of this manifest."""
        accepted = frozenset(machine.parts)
        return [
            PartGoal(part, self._arrivals.staging(part.id), self._may_describe(part))
            for part in manifest.parts
            if part.id in accepted and not self._arrivals.is_sealed(part)
        ]

    def _may_describe(self, part: Part) -> bool:
        """Whether the source may know what this device has of a part: an own device, to which the part may leave."""
        source, services = self._init.source, self._services
        return services.is_own(source) and not services.policies.of(source).withheld(pieces_of((part,)))

    async def clean_up(self) -> None:
        """Forget what was staged, once nothing works on it any more."""
        self._services.keeper.abandon(self._init.txn)
        try:
            await in_thread(self._arrivals.abandon)
        except HandoffError as error:
            # What cannot be removed changes nothing about how the handoff ends.
            log.warning("handoff %s leaves something behind: %s", self._init.txn[:6], error)
