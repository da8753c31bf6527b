# SPDX-License-Identifier: Apache-2.0
"""Advertise this device and find others by multicast DNS. Layer: I/O ring; imports zeroconf, as publisher.py does.

What zeroconf lacks is added here: one membership per interface and address family, a poll that follows the machine's
interfaces, a check that a silent peer still answers, and the problem in words when multicast does not work.
Specification: docs/specs/discovery.md (RFC 6762, RFC 6763).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Final

from zeroconf import DNSQuestionType, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from p2p_handoff.discovery.addresses import Interface, dialable
from p2p_handoff.discovery.announcement import (
    SERVICE_TYPE,
    Announcement,
    Heard,
    Sighting,
    Stranger,
    read_announcement,
)
from p2p_handoff.discovery.appearance import ROTATION, Appearance
from p2p_handoff.discovery.interfaces import membership_selectors, usable_interfaces
from p2p_handoff.discovery.publisher import Publisher
from p2p_handoff.discovery.records import Records
from p2p_handoff.discovery.responder import LocalResponder, families
from p2p_handoff.discovery.sightings import SightingBook
from p2p_handoff.discovery.veil import Acquaintances
from p2p_handoff.errors import RemoteProtocolError
from p2p_handoff.ids import DeviceId, Entropy

log = logging.getLogger(__name__)

INTERFACE_POLL: Final = 2.0
"""Seconds between looks at the machine's interfaces."""
RESOLVE_DEADLINE: Final = 3.0
"""Seconds a device has to answer for its own records; zeroconf asks up to three times in it."""
RECONFIRM_BELOW: Final = 30.0
"""Remaining lifetime in seconds at which a device is asked again: 75 % of its record is over (RFC 6762 §5.2)."""
FLUSH_DELAY: Final = 1.1
"""Seconds for which a replaced record still stands beside the new one, and a margin (RFC 6762 §10.2: one second)."""
MAX_RESOLVING: Final = 256
"""Questions under way at once: more come only from a flood."""


class Discovery:
    """Advertises one device and keeps the devices in sight. All methods run on one event loop.

    Call ``start()``, then ``update()`` whenever the announcement changes, and ``close()`` at the end. Nothing here
    raises because the network is missing or blocked: ``problem`` says so, and discovery recovers by itself.

    Args:
        on_found: Called with a device that came into sight or whose sighting changed.
        on_lost: Called with a device that said goodbye or fell silent.
        interfaces: Where the machine's interfaces are read.
        poll_interval: Seconds between looks at them.
        entropy: Makes random names.
        rotation: Seconds for which a random name is kept at least.
    """

    def __init__(
        self,
        on_found: Callable[[Sighting], None],
        on_lost: Callable[[DeviceId], None],
        *,
        interfaces: Callable[[], Sequence[Interface]] = usable_interfaces,
        poll_interval: float = INTERFACE_POLL,
        entropy: Entropy = os.urandom,
        rotation: float = ROTATION,
    ) -> None:
        self._book = SightingBook(on_found, on_lost)
        self._read_interfaces = interfaces
        self._poll_interval = poll_interval
        self._interfaces: tuple[Interface, ...] = ()
        self._announcement: Announcement | None = None
        self._known = Acquaintances(DeviceId(""), {})
        self._publisher = Publisher(Appearance(entropy, rotation))
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._watching: asyncio.Task[None] | None = None
        self._resolving: dict[str, asyncio.Task[bool]] = {}
        self._changing = asyncio.Lock()
        self._socket_problem: str | None = None
        self.ignored = 0
        """Announcements that were malformed, contradictory or too many."""

    @property
    def sightings(self) -> Mapping[DeviceId, Sighting]:
        """The devices in sight now."""
        return self._book.devices

    def claims(self, device: DeviceId) -> Sequence[Sighting]:
        """All that claim to be a device now, the likeliest first."""
        return self._book.claims(device)

    @property
    def rooms(self) -> Sequence[Sighting | Stranger]:
        """Who shows an open room now."""
        return self._book.rooms

    @property
    def problem(self) -> str | None:
        """Why devices may not be found, in words; None while all is well."""
        if self._socket_problem is not None:
            return self._socket_problem
        if not self._interfaces:
            return "this device has no network interface with an address"
        if self._publisher.unheard:
            return "multicast DNS is blocked: this device does not hear its own announcement (UDP port 5353)"
        return None

    async def start(self, announcement: Announcement | None, known: Acquaintances) -> None:
        """Begin to browse, and to advertise unless ``announcement`` is None.

        Args:
            announcement: What to advertise.
            known: Who shall recognise this device, and be recognised.
        """
        async with self._changing:
            self._announcement, self._known = announcement, known
            self._interfaces = tuple(self._read_interfaces())
            await self._open()
        self._watching = asyncio.create_task(self._watch(), name="discovery interfaces")

    async def update(self, announcement: Announcement | None, known: Acquaintances) -> None:
        """Advertise something else from now on, for example an open room; None withdraws.

        Args:
            announcement: What to advertise.
            known: Who shall recognise this device, and be recognised; a change shows nothing to others.
        """
        async with self._changing:
            others = known != self._known
            self._announcement, self._known = announcement, known
            if others:
                self._publisher.appearance.change()
            if self._zeroconf is not None:
                await self._publish(self._zeroconf)
                if others:
                    self._look_again(self._zeroconf)

    async def refresh_interfaces(self) -> None:
        """Look at the machine's interfaces now and follow what changed."""
        async with self._changing:
            await self._follow_interfaces()

    async def reconfirm(self, device: DeviceId) -> bool:
        """Ask a device whether it is still there, for example after it could not be reached (RFC 6762 §10.4).

        Returns:
            Whether it answered within RESOLVE_DEADLINE; if not it is lost.
        """
        answers = await asyncio.gather(*(self._ask(name) for name in self._book.names_of(device)))
        return any(answers)

    def look(self) -> None:
        """Ask everybody on all networks anew, for example for a room whose announcement was lost; nobody is named."""
        if self._zeroconf is not None:
            Records(self._zeroconf.zeroconf).ask_all()

    async def close(self) -> None:
        """Say goodbye and stop; no callback is called after this."""
        async with self._changing:
            tasks = [task for task in (self._watching, *self._resolving.values()) if task is not None]
            await _cancel([*tasks, *self._publisher.sending()])
            if self._zeroconf is not None:
                await self._shut(self._zeroconf)

    # --- sockets and interfaces -------------------------------------------------------------------

    async def _open(self) -> None:
        try:
            # The listening socket first and the interfaces after it: one that just vanished fails alone then.
            zeroconf = AsyncZeroconf(zc=LocalResponder(families()))
            await zeroconf.zeroconf.async_wait_for_start()
        except (OSError, RuntimeError) as error:
            self._socket_problem = f"multicast DNS cannot be used: {error}"
            return
        self._zeroconf = zeroconf
        await self._adopt_interfaces(zeroconf)
        self._browse(zeroconf)
        await self._publish(zeroconf)

    async def _adopt_interfaces(self, zeroconf: AsyncZeroconf) -> None:
        if isinstance(zeroconf.zeroconf, LocalResponder):
            zeroconf.zeroconf.own_interfaces = self._interfaces
        try:
            await zeroconf.async_update_interfaces(membership_selectors(self._interfaces))
        except (OSError, RuntimeError) as error:
            self._socket_problem = f"multicast DNS cannot use an interface: {error}"
        else:
            self._socket_problem = None

    async def _shut(self, zeroconf: AsyncZeroconf) -> None:
        if self._browser is not None:
            await self._browser.async_cancel()
        await zeroconf.async_close()
        self._browser = self._zeroconf = None
        self._publisher.forget()

    def _browse(self, zeroconf: AsyncZeroconf) -> None:
        # Unicast answers would reach only one of several agents that share port 5353 of an address: ask for multicast.
        self._browser = AsyncServiceBrowser(
            zeroconf.zeroconf, SERVICE_TYPE, handlers=[self._service_changed], question_type=DNSQuestionType.QM
        )

    async def _publish(self, zeroconf: AsyncZeroconf) -> None:
        await self._publisher.publish(zeroconf, self._announcement, self._known, self._interfaces)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll_interval)
            try:
                await self.refresh_interfaces()
                await self._rotate()
                self._reconfirm_silent()
            except Exception:
                log.exception("discovery could not follow the machine's interfaces")

    async def _follow_interfaces(self) -> None:
        interfaces = tuple(self._read_interfaces())
        changed = interfaces != self._interfaces
        self._interfaces = interfaces
        if self._zeroconf is None:
            await self._open()
            return
        renew = changed or self._publisher.unheard
        if renew:
            # First: the interfaces that appear below announce what is published by then.
            if changed:
                self._publisher.appearance.change()
            await self._publish(self._zeroconf)
            await self._publisher.said_goodbye()
        # Also without a change: an IPv6 address cannot be bound in its first second (RFC 4862 §5.4).
        await self._adopt_interfaces(self._zeroconf)
        if renew:
            await self._ask_again(self._zeroconf)

    async def _ask_again(self, zeroconf: AsyncZeroconf) -> None:
        """Browse anew; who is in sight and does not answer is lost.

        The network may be another one, and whom this device saw before is no business of those who are there: nobody
        is asked by name, and none is named as known (RFC 6762 §7.1).
        """
        if self._browser is not None:
            await self._browser.async_cancel()
        Records(zeroconf.zeroconf).lose(*self._others(zeroconf.zeroconf))
        for name in tuple(self._resolving):
            self._stop_asking(name)
        self._browse(zeroconf)
        for name in self._book.instances:
            self._run(name, self._unless_heard(name))

    async def _unless_heard(self, name: str) -> bool:
        """An instance that answers takes the place of this wait."""
        await asyncio.sleep(RESOLVE_DEADLINE)
        self._book.remove(name)
        return False

    def _look_again(self, zeroconf: AsyncZeroconf) -> None:
        """Read what is known of all instances anew: others are recognised now."""
        for name in self._others(zeroconf.zeroconf):
            self._run(name, self._resolve_settled(zeroconf.zeroconf, name))

    def _others(self, zeroconf: Zeroconf) -> list[str]:
        """The instances of others that were heard."""
        names = Records(zeroconf).instances()
        return [name for name in names if not self._publisher.appearance.is_own(_label(name))]

    async def _rotate(self) -> None:
        """Take another random name when the time of the present one is over."""
        async with self._changing:
            if self._zeroconf is not None and self._publisher.is_due():
                self._publisher.appearance.change()
                await self._publish(self._zeroconf)

    # --- what others say --------------------------------------------------------------------------

    def _service_changed(
        self,
        zeroconf: Zeroconf,
        service_type: str,  # noqa: ARG002 - zeroconf calls by keyword
        name: str,
        state_change: ServiceStateChange,
    ) -> None:
        if self._publisher.is_echo(_label(name)):
            return
        if state_change is ServiceStateChange.Removed:
            self._stop_asking(name)
            self._book.remove(name)
        else:
            self._run(name, self._resolve_settled(zeroconf, name))

    def _run(self, name: str, question: Coroutine[None, None, bool]) -> None:
        """Put a question about an instance; a newer one takes the place of an older one."""
        self._stop_asking(name)
        if len(self._resolving) >= MAX_RESOLVING:
            question.close()
            self.ignored += 1
            return
        task = asyncio.create_task(question, name=f"discovery of {name}")
        self._resolving[name] = task
        task.add_done_callback(lambda done: self._answered(name, done))

    def _stop_asking(self, name: str) -> None:
        if (question := self._resolving.pop(name, None)) is not None:
            question.cancel()

    def _answered(self, name: str, done: asyncio.Task[bool]) -> None:
        if self._resolving.get(name) is done:
            del self._resolving[name]
        if not done.cancelled() and (error := done.exception()):
            log.error("discovery of a device failed", exc_info=error)

    async def _resolve_settled(self, zeroconf: Zeroconf, name: str) -> bool:
        """Look now, and once more when addresses that were replaced have left the cache (RFC 6762 §10.2)."""
        await self._resolve(zeroconf, name)
        await asyncio.sleep(FLUSH_DELAY)
        return await self._resolve(zeroconf, name)

    async def _resolve(self, zeroconf: Zeroconf, name: str) -> bool:
        Records(zeroconf).weed(name)
        info = AsyncServiceInfo(SERVICE_TYPE, name)
        if not await info.async_request(zeroconf, RESOLVE_DEADLINE * 1000, question_type=DNSQuestionType.QM):
            return False
        try:
            addresses = dialable(info.parsed_scoped_addresses(), self._interfaces)
            heard = Heard(_label(name), info.server or "", info.port or 0, info.properties, addresses)
            seen = read_announcement(heard, self._known)
        except RemoteProtocolError as error:
            log.debug("ignored an announcement: %s", error)
            self.ignored += 1
            self._book.remove(name)
            return False
        if isinstance(seen, Sighting) and seen.device == self._known.me:
            return False
        fresh = name not in self._book.instances
        self.ignored += not self._book.put(name, seen)
        if fresh and isinstance(seen, Sighting):
            self._doubt_others(name, seen.device)
        return True

    def _doubt_others(self, name: str, device: DeviceId) -> None:
        """A device that appears under a new name says goodbye under the old one, unless it was killed."""
        for other in self._book.names_of(device):
            if other != name and other not in self._resolving:
                self._run(other, self._ask_later(other))

    async def _ask_later(self, name: str) -> bool:
        await asyncio.sleep(RESOLVE_DEADLINE)
        return name in self._book.instances and await self._ask(name)

    def _reconfirm_silent(self) -> None:
        if self._zeroconf is None:
            return
        for name in self._book.instances:
            if name not in self._resolving and Records(self._zeroconf.zeroconf).lifetime(name) < RECONFIRM_BELOW:
                self._run(name, self._ask(name))

    async def _ask(self, name: str) -> bool:
        """Forget what is cached of an instance and ask it; without an answer it is lost."""
        current = self._zeroconf
        if current is None:
            return False
        records = Records(current.zeroconf)
        records.forget(name)
        if await self._resolve(current.zeroconf, name):
            return True
        if self._zeroconf is not current:  # closed meanwhile
            return False
        records.lose(name)
        self._book.remove(name)
        return False


def _label(name: str) -> str:
    """The first label of an instance's name; it may hold dots."""
    return name.removesuffix(f".{SERVICE_TYPE}")


async def _cancel(tasks: Sequence[asyncio.Future[None] | asyncio.Task[bool]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
